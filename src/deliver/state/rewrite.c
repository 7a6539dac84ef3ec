#include "deliver/state/rewrite.h"

#include <string.h>

#include "deliver/state/record.h"
#include "deliver/state/sum.h"

/* A sum so often: what a cut takes away takes the doubt of no more than these with it. */
#define SUM_EVERY 4096

/* A new file that is being filled, and what holds at its end. */
struct writer {
	struct state_writer *file;
	size_t records, summed; /* in all; that have their sum */
	uint32_t sum;
	const char *dest;
};

static void
write_sum(struct writer *writer)
{
	record_format(
		&writer->file->text, &(struct record){.kind = RECORD_SUM, .sum = writer->sum});
	writer->summed = writer->records;
}

static int
write_record(struct writer *writer, const struct record *record, struct error *err)
{
	struct buf *text = &writer->file->text;
	size_t start = text->len;

	record_format(text, record);
	writer->sum = sum_add(writer->sum, buf_data(text) + start, text->len - start);
	writer->records++;
	return state_file_put(writer->file, err);
}

static int
write_dest(struct writer *writer, const char *dest, struct error *err)
{
	struct record record = {.kind = RECORD_DEST, .text = dest};

	if (dest == NULL || dest == writer->dest)
		return 0;
	writer->dest = dest;
	record.text_len = strlen(dest);
	return write_record(writer, &record, err);
}

static int
write_tries(const struct rewrite_content *content, struct writer *writer, struct error *err)
{
	for (size_t i = 0; i < content->tries->count; i++) {
		const struct uidl_try *try = &content->tries->list[i];
		struct record record = {
			.kind = RECORD_TRY,
			.text = try->token,
			.text_len = strlen(try->token),
			.octets = try->octets,
			.digest = try->digest,
			.id = try->id,
		};

		if (write_dest(writer, try->dest, err) != 0 ||
			write_record(writer, &record, err) != 0)
			return -1;
	}
	return write_dest(writer, tries_dest(content->tries), err);
}

static int
write_entries(const struct rewrite_content *content, struct writer *writer, enum uidl_status status,
	struct error *err)
{
	static const enum record_kind kinds[] = {
		[UIDL_GOT] = RECORD_GOT, [UIDL_OFF] = RECORD_OFF, [UIDL_GONE] = RECORD_GONE};
	const struct uidl_entry *entry;
	size_t at = 0;

	while ((entry = id_table_each(content->table, &at)) != NULL) {
		struct record record = {
			.kind = kinds[status],
			.has_digest = true,
			.when = entry->when,
			.octets = entry->octets,
			.digest = entry->digest,
			.id = id_table_id(content->table, entry),
		};

		if (entry->status != status)
			continue;
		if (write_record(writer, &record, err) != 0)
			return -1;
		if (writer->records - writer->summed >= SUM_EVERY)
			write_sum(writer);
	}
	return 0;
}

static int
write_facts(const struct rewrite_content *content, struct writer *writer, struct error *err)
{
	struct record records[RECORD_FACTS_MAX];
	size_t count = record_list_facts(content->facts, records);

	for (size_t i = 0; i < count; i++)
		if (write_record(writer, &records[i], err) != 0)
			return -1;
	for (size_t i = 0; i < content->broken->count; i++) {
		const struct broken_item *item = &content->broken->list[i];
		struct record record = {.kind = RECORD_BROKE, .count = item->count, .id = item->id};

		if (write_record(writer, &record, err) != 0)
			return -1;
	}
	return 0;
}

/*
 * The order gives the same state when it is replayed: an `off` or `gone` stands for itself only
 * where no `got` was before, and a try must not meet the `got` of another message with its id and
 * digest. A file that is cut has its facts still: what they doubt must not be believed for that.
 */
int
rewrite_all(const struct rewrite_content *content, struct state_writer *file,
	struct rewrite_result *result_out, struct error *err)
{
	static const char first[] = RECORD_FIRST_LINE "\n";
	struct writer writer = {.file = file, .sum = sum_add(SUM_START, first, sizeof first - 1)};
	const struct tries *tries = content->tries;
	bool in_doubt = tries->count != 0 && tries->list[0].in_doubt;

	buf_append_string(&file->text, first);
	if (write_facts(content, &writer, err) != 0 ||
		write_entries(content, &writer, UIDL_OFF, err) != 0 ||
		write_entries(content, &writer, UIDL_GONE, err) != 0 ||
		write_entries(content, &writer, UIDL_GOT, err) != 0)
		return -1;
	if (in_doubt)
		write_sum(&writer);
	if (write_tries(content, &writer, err) != 0)
		return -1;
	if (!in_doubt)
		write_sum(&writer);
	result_out->records = writer.records;
	result_out->sum = writer.sum;
	return 0;
}
