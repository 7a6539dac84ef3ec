#include "deliver/state/rewrite.h"

#include <string.h>

#include "deliver/state/record.h"

/* A new file that is being filled, and what holds at its end. */
struct writer {
	struct state_writer *file;
	size_t records;
	const char *dest;
};

static int
write_record(struct writer *writer, const struct record *record, struct error *err)
{
	record_format(&writer->file->text, record);
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

		/* A doubt that is not in the file would be gone after a death. */
		if (!try->in_doubt &&
			(write_dest(writer, try->dest, err) != 0 ||
				write_record(writer, &record, err) != 0))
			return -1;
	}
	return write_dest(writer, tries_dest(content->tries), err);
}

static int
write_entries(const struct rewrite_content *content, struct writer *writer, enum uidl_status status,
	struct error *err)
{
	const struct uidl_entry *entry;
	size_t at = 0;

	while ((entry = id_table_each(content->table, &at)) != NULL) {
		struct record record = {
			.kind = status == UIDL_GOT ? RECORD_GOT : RECORD_OFF,
			.has_digest = true,
			.when = entry->when,
			.octets = entry->octets,
			.digest = entry->digest,
			.id = id_table_id(content->table, entry),
		};

		if (entry->status == status && write_record(writer, &record, err) != 0)
			return -1;
	}
	return 0;
}

static int
write_facts(const struct uidl_facts *facts, struct writer *writer, struct error *err)
{
	struct record records[RECORD_FACTS_MAX];
	size_t count = record_list_facts(facts, records);

	for (size_t i = 0; i < count; i++)
		if (write_record(writer, &records[i], err) != 0)
			return -1;
	return 0;
}

/*
 * The order gives the same state when it is replayed: an `off` stands for itself only where no
 * `got` was before, and a try must not meet the `got` of another message with its id and digest.
 */
int
rewrite_all(const struct rewrite_content *content, struct state_writer *file, size_t *records_out,
	struct error *err)
{
	struct writer writer = {.file = file};

	buf_append_string(&file->text, RECORD_FIRST_LINE "\n");
	if (write_entries(content, &writer, UIDL_OFF, err) != 0 ||
		write_entries(content, &writer, UIDL_GOT, err) != 0 ||
		write_facts(content->facts, &writer, err) != 0 ||
		write_tries(content, &writer, err) != 0)
		return -1;
	*records_out = writer.records;
	return 0;
}
