#include "deliver/state/ledger.h"

#include <string.h>

#include "deliver/state/record.h"
#include "deliver/state/sum.h"
#include "link/link.h"

/* About the length of a `got`: the table is made for as many as fit the file. */
#define RECORD_USUAL 64

/* Every line of a file ends before it. */
#define WHOLE_FILE INT64_MAX

struct reader {
	struct ledger *ledger;
	struct state_file *file;
	int64_t now;
	off_t believed; /* what begins before it is believed */
	off_t right;    /* behind the last sum that is right */
	uint32_t sum;   /* of the lines so far, from the last sum on */
	bool is_bad;    /* a line since the last sum is no record */
	size_t first;   /* the number of the first line behind the last sum */
};

void
ledger_init(struct ledger *ledger, off_t size)
{
	*ledger = (struct ledger){
		.table = id_table_new((size_t)size / RECORD_USUAL),
		.sum = SUM_START,
	};
}

void
ledger_release(struct ledger *ledger)
{
	tries_release(&ledger->tries);
	broken_release(&ledger->broken);
	id_table_free(ledger->table);
	*ledger = (struct ledger){.table = NULL};
}

struct uidl_entry *
ledger_add_entry(struct ledger *ledger, const struct record *record, enum uidl_status status)
{
	struct uidl_entry entry = {
		.when = record->when,
		.octets = record->octets,
		.digest = record->digest,
		.status = (uint8_t)status,
	};

	return id_table_add(ledger->table, &record->id, &entry);
}

/* The entry that is got which an `off` or `bye` means. */
static struct uidl_entry *
find_meant(struct ledger *ledger, const struct record *record)
{
	return record->has_digest ? id_table_find_exact(ledger->table, &record->id, &record->digest)
				  : id_table_find(ledger->table, &record->id);
}

/* OFF and GONE. */
static void
apply_off(struct ledger *ledger, const struct record *record)
{
	enum uidl_status status = record->kind == RECORD_GONE ? UIDL_GONE : UIDL_OFF;
	struct uidl_entry *entry = find_meant(ledger, record);

	if (entry != NULL) {
		id_table_set_status(ledger->table, entry, status);
		entry->when = record->when;
	} else if (record->has_digest) {
		ledger_add_entry(ledger, record, status)->octets = LINK_OCTETS_UNKNOWN;
	}
}

static void
apply_bye(struct ledger *ledger, const struct record *record)
{
	struct uidl_entry *entry;

	if (record->kind == RECORD_BYE)
		entry = find_meant(ledger, record);
	else if (record->has_id)
		entry = id_table_find_gone(ledger->table, &record->id, &record->digest);
	else
		entry = id_table_find_off(ledger->table, &record->digest);
	if (entry != NULL)
		id_table_set_status(ledger->table, entry, UIDL_DEAD);
}

static void
apply(struct ledger *ledger, const struct record *record)
{
	switch (record->kind) {
	case RECORD_DEST:
		(void)tries_set_dest(&ledger->tries, record->text, record->text_len);
		break;
	case RECORD_TRY:
		tries_add(&ledger->tries, record);
		ledger->has_try = true;
		break;
	case RECORD_GOT:
		tries_settle(&ledger->tries, record);
		ledger_add_entry(ledger, record, UIDL_GOT);
		break;
	case RECORD_OFF:
	case RECORD_GONE:
		apply_off(ledger, record);
		break;
	case RECORD_BYE:
	case RECORD_DROP:
		apply_bye(ledger, record);
		break;
	case RECORD_END:
		tries_clear(&ledger->tries);
		ledger->has_try = false;
		break;
	case RECORD_LOGIN:
	case RECORD_NUMBER:
	case RECORD_FAILURES:
		record_apply_fact(record, &ledger->facts);
		break;
	case RECORD_BROKE:
		broken_set(&ledger->broken, &record->id, record->count);
		break;
	case RECORD_SUM:
	case RECORD_UNKNOWN_FACT:
		break;
	}
}

/*
 * A fact that may have been changed: believed where that costs a download at most. A false
 * delay would keep the account from its mail.
 */
static bool
is_safe_fact(const struct record *record)
{
	if (record->which == UIDL_DELETING_WHEN || record->which == UIDL_EMPTIED_WHEN)
		return record->when != 0;
	return record->which == UIDL_ID;
}

/*
 * An `off` of a doubtful log has, as a rule, the `got` before it, which is off already. Of two
 * messages with one digest a second entry could hide one that is yet to come.
 */
static bool
is_off(struct ledger *ledger, const struct record *record)
{
	const struct uidl_entry *entry = id_table_find_off(ledger->table, &record->digest);
	struct uidl_id id;

	if (entry == NULL)
		return false;
	id = id_table_id(ledger->table, entry);
	return id.none == record->id.none && id.len == record->id.len &&
		(id.len == 0 || memcmp(id.data, record->id.data, id.len) == 0);
}

/* What no sum vouches for: digests are believed, for they match a message or nothing. */
static void
apply_doubtful(struct ledger *ledger, struct record *record, int64_t now)
{
	struct uidl_entry *entry;
	bool may_stand_alone;

	switch (record->kind) {
	case RECORD_DEST:
	case RECORD_TRY:
		apply(ledger, record);
		break;
	case RECORD_GOT:
		tries_settle(&ledger->tries, record);
		record->when = now;
		ledger_add_entry(ledger, record, UIDL_OFF);
		break;
	case RECORD_OFF:
	case RECORD_GONE:
	case RECORD_BYE:
		entry = find_meant(ledger, record);
		record->when = now;
		may_stand_alone =
			record->kind != RECORD_BYE && record->has_digest && !is_off(ledger, record);
		/* Its id may have been changed: under any it must be known. */
		record->kind = RECORD_OFF;
		if (entry != NULL || may_stand_alone)
			apply_off(ledger, record);
		break;
	case RECORD_NUMBER:
		if (is_safe_fact(record))
			record_apply_fact(record, &ledger->facts);
		break;
	case RECORD_DROP:
	case RECORD_END:
	case RECORD_LOGIN:
	case RECORD_FAILURES:
	case RECORD_BROKE:
	case RECORD_SUM:
	case RECORD_UNKNOWN_FACT:
		break;
	}
}

static void
add_doubt(struct reader *reader, bool is_damage)
{
	struct uidl_doubt *doubt = &reader->ledger->doubt;

	if (doubt->first_line == 0)
		doubt->first_line = reader->first;
	doubt->last_line = reader->file->line > reader->first ? reader->file->line : reader->first;
	doubt->is_damaged |= is_damage;
	/*
	 * Its token may be that of another message, which is there: not even what is found is
	 * proof.
	 */
	if (is_damage)
		tries_drop_block(&reader->ledger->tries);
}

static void
end_block(struct reader *reader, const struct record *record, off_t end)
{
	if (reader->is_bad || record->sum != reader->sum)
		add_doubt(reader, true);
	else
		reader->right = end;
	tries_begin_block(&reader->ledger->tries);
	reader->sum = record->sum;
	reader->is_bad = false;
	reader->first = reader->file->line + 1;
}

static void
take_line(struct reader *reader, char *line, size_t len)
{
	uint32_t sum = sum_add(reader->sum, line, len + 1);
	struct record record;

	if (record_parse(line, len, &record) != 0) {
		reader->is_bad = true;
	} else if (record.kind == RECORD_SUM) {
		end_block(reader, &record, reader->file->end + (off_t)len + 1);
		return;
	} else {
		reader->ledger->records++;
		if (reader->file->end < reader->believed)
			apply(reader->ledger, &record);
		else
			apply_doubtful(reader->ledger, &record, reader->now);
	}
	reader->sum = sum;
}

static int
refuse_version(const struct state_file *file, struct error *err)
{
	return error_set(err, ERROR_CONFIG,
		"state file '%s' was written by another version of pophaul: use that version, or move the file away and have all mail fetched again",
		file->path);
}

/* The first line, or what there is instead: 1 when it is one of ours. */
static int
check_first(struct reader *reader, const char *line, size_t len, bool is_torn, struct error *err)
{
	enum record_first first = record_check_first(line, len, is_torn);

	if (first == RECORD_FIRST_OTHER_VERSION)
		return refuse_version(reader->file, err);
	/* Files are made whole, first line and all: one without has lost it elsewhere. */
	if (first == RECORD_FIRST_MISSING)
		reader->is_bad = true;
	return first == RECORD_FIRST_OURS;
}

/* Once through the file. In the first round only until something is found to be damaged. */
static int
read_lines(struct reader *reader, struct error *err)
{
	struct state_file *file = reader->file;
	bool is_first_round = reader->believed == WHOLE_FILE;
	bool has_first = false;
	char *line;
	size_t len;
	int more, is_ours;

	while ((more = state_file_next(file, &line, &len, err)) > 0) {
		is_ours = has_first ? 0 : check_first(reader, line, len, false, err);
		if (is_ours < 0)
			return -1;
		has_first = true;
		if (is_ours != 0)
			reader->sum = sum_add(reader->sum, line, len + 1);
		else
			take_line(reader, line, len);
		if (is_first_round && (reader->is_bad || reader->ledger->doubt.is_damaged)) {
			add_doubt(reader, true);
			return 0;
		}
	}
	if (more < 0)
		return -1;
	if (!has_first && check_first(reader, buf_data(&file->text), file->text.len, true, err) < 0)
		return -1;
	if (reader->is_bad || file->has_long_line || file->line >= reader->first)
		add_doubt(reader, reader->is_bad || file->has_long_line);
	return 0;
}

static int
read_round(struct ledger *ledger, struct reader *reader, struct error *err)
{
	reader->ledger = ledger;
	reader->right = 0;
	reader->sum = SUM_START;
	reader->is_bad = false;
	reader->first = 1;
	if (read_lines(reader, err) != 0)
		return -1;
	ledger->sum = reader->sum;
	return 0;
}

int
ledger_read(struct ledger *ledger, struct state_file *file, int64_t now, struct error *err)
{
	struct reader reader = {.file = file, .now = now, .believed = WHOLE_FILE};
	bool is_doubtful, is_damaged;

	if (read_round(ledger, &reader, err) != 0)
		return -1;
	is_doubtful = ledger->doubt.first_line != 0;
	is_damaged = ledger->doubt.is_damaged;
	if (is_doubtful) {
		ledger_release(ledger);
		/*
		 * What follows damage is believed as little as what it hit: a record may be missing
		 * there.
		 */
		reader.believed = is_damaged ? 0 : reader.right;
		ledger_init(ledger, file->end);
		if (state_file_rewind(file, err) != 0 || read_round(ledger, &reader, err) != 0)
			return -1;
	}
	/* What is torn may be an `end`. */
	tries_finish(&ledger->tries, is_doubtful || file->is_torn);
	return 0;
}
