#include "deliver/state/uidl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/xalloc.h"
#include "deliver/state/idtable.h"
#include "deliver/state/record.h"
#include "deliver/state/rewrite.h"
#include "deliver/state/statefile.h"
#include "deliver/state/tries.h"
#include "link/link.h"

/* About the length of a `got`: the table is made for as many as fit the file. */
#define RECORD_USUAL 64

/* Dead records that are not worth a new file. */
#define COMPACT_MIN_DEAD 128

struct uidl {
	enum uidl_access access;
	int lock; /* -1: none */
	struct state_file file;
	struct buf queue;
	size_t records, queued; /* in the file, without its first line; in the queue */
	bool ahead;             /* what is in memory is not what is in the file, since: */
	struct error failure;   /* the write that failed */
	bool has_try;           /* the log has a `try` that no `end` follows */
	struct id_table *table;
	struct tries tries;
	struct uidl_facts facts;
};

static struct uidl_entry *
add_entry(struct uidl *uidl, const struct record *record, enum uidl_status status)
{
	struct uidl_entry entry = {
		.when = record->when,
		.octets = record->octets,
		.digest = record->digest,
		.status = (uint8_t)status,
	};

	return id_table_add(uidl->table, &record->id, &entry);
}

static void
replay_off(struct uidl *uidl, const struct record *record)
{
	struct uidl_entry *entry = record->has_digest
		? id_table_find_exact(uidl->table, &record->id, &record->digest)
		: id_table_find(uidl->table, &record->id);

	if (entry != NULL) {
		id_table_set_status(uidl->table, entry, UIDL_OFF);
		entry->when = record->when;
	} else if (record->has_digest) {
		add_entry(uidl, record, UIDL_OFF)->octets = LINK_OCTETS_UNKNOWN;
	}
}

static void
replay_bye(struct uidl *uidl, const struct record *record)
{
	struct uidl_entry *entry;

	if (record->kind == RECORD_DROP)
		entry = id_table_find_off(uidl->table, &record->digest);
	else if (record->has_digest)
		entry = id_table_find_exact(uidl->table, &record->id, &record->digest);
	else
		entry = id_table_find(uidl->table, &record->id);
	if (entry != NULL)
		id_table_set_status(uidl->table, entry, UIDL_DEAD);
}

static void
replay(struct uidl *uidl, const struct record *record)
{
	uidl->records++;
	switch (record->kind) {
	case RECORD_DEST:
		(void)tries_set_dest(&uidl->tries, record->text, record->text_len);
		break;
	case RECORD_TRY:
		tries_add(&uidl->tries, record);
		uidl->has_try = true;
		break;
	case RECORD_GOT:
		tries_settle(&uidl->tries, record);
		add_entry(uidl, record, UIDL_GOT);
		break;
	case RECORD_OFF:
		replay_off(uidl, record);
		break;
	case RECORD_BYE:
	case RECORD_DROP:
		replay_bye(uidl, record);
		break;
	case RECORD_END:
		tries_clear(&uidl->tries);
		uidl->has_try = false;
		break;
	case RECORD_LOGIN:
	case RECORD_NUMBER:
	case RECORD_FAILURES:
		record_apply_fact(record, &uidl->facts);
		break;
	case RECORD_UNKNOWN_FACT:
		break;
	}
}

static int
refuse_version(const struct uidl *uidl, struct error *err)
{
	return error_set(err, ERROR_CONFIG,
		"state file '%s' was written by another version of pophaul: use that version, or move the file away and have all mail fetched again",
		uidl->file.path);
}

/* Read and replay. `is_damaged_out`: something was not readable. */
static int
load_records(struct uidl *uidl, bool *is_damaged_out, struct error *err)
{
	struct state_file *file = &uidl->file;
	enum record_first first = RECORD_FIRST_MISSING;
	bool has_first = false, is_damaged = false;
	struct record record;
	char *line;
	size_t len;
	int more;

	while ((more = state_file_next(file, &line, &len, err)) > 0) {
		if (!has_first)
			first = record_check_first(line, len, false);
		if (first == RECORD_FIRST_OTHER_VERSION)
			return refuse_version(uidl, err);
		if (!has_first && first == RECORD_FIRST_OURS) {
			has_first = true;
			continue;
		}
		has_first = true;
		if (record_parse(line, len, &record) == 0)
			replay(uidl, &record);
		else
			is_damaged = true;
	}
	/* Files are made whole, first line and all: one without has lost it elsewhere. */
	if (more == 0 && !has_first)
		first = record_check_first(buf_data(&file->text), file->text.len, true);
	if (first == RECORD_FIRST_OTHER_VERSION)
		return refuse_version(uidl, err);
	*is_damaged_out = is_damaged || first == RECORD_FIRST_MISSING || file->has_long_line;
	return more;
}

/* Put a new file with all that is in memory in the place of the old one. */
static int
write_anew(struct uidl *uidl, struct error *err)
{
	const struct rewrite_content content = {
		.table = uidl->table, .facts = &uidl->facts, .tries = &uidl->tries};
	struct state_writer writer;
	size_t records;

	if (state_file_begin(&uidl->file, &writer, err) != 0 ||
		rewrite_all(&content, &writer, &records, err) != 0)
		return -1;
	if (state_file_replace(&uidl->file, &writer, err) != 0) {
		uidl->ahead = true;
		uidl->failure = *err;
		return -1;
	}
	uidl->records = records;
	return 0;
}

/* The damaged file keeps its octets under another name; the readable records go on under its own. */
static int
set_aside(struct uidl *uidl, char **damaged_out, struct error *err)
{
	char *aside;

	if (state_file_keep_aside(&uidl->file, &aside, err) != 0)
		return error_prefix(err, "cannot set the damaged state file aside");
	if (write_anew(uidl, err) != 0) {
		free(aside);
		return error_prefix(err, "cannot replace the damaged state file");
	}
	if (damaged_out != NULL)
		*damaged_out = aside;
	else
		free(aside);
	return 0;
}

static int
load_state(struct uidl *uidl, const char *state_dir, const char *name, char **damaged_out,
	struct error *err)
{
	bool is_locked = uidl->access == UIDL_LOCKED, is_damaged = false;
	off_t size = 0;

	if (state_file_open(&uidl->file, state_dir, name, is_locked, &size, err) != 0)
		return -1;
	uidl->table = id_table_new((size_t)size / RECORD_USUAL);
	if (uidl->file.fd < 0)
		return is_locked ? write_anew(uidl, err) : 0;
	if (load_records(uidl, &is_damaged, err) != 0)
		return -1;
	tries_finish(&uidl->tries, is_damaged);
	if (!is_locked)
		return 0;
	if (is_damaged)
		return set_aside(uidl, damaged_out, err);
	if (state_file_is_doubtful(&uidl->file))
		return write_anew(uidl, err);
	return uidl->file.is_torn ? state_file_cut(&uidl->file, err) : 0;
}

static int
lock_state(struct uidl *uidl, const char *state_dir, const char *name, struct error *err)
{
	char *path;

	if (file_make_dirs(state_dir, 0700, err) != 0)
		return error_prefix(err, "state-dir '%s'", state_dir);
	path = xasprintf("%s/%s.lock", state_dir, name);
	uidl->lock = file_lock(path, err);
	free(path);
	return uidl->lock >= 0 ? 0 : -1;
}

struct uidl *
uidl_open(const char *state_dir, const char *name, enum uidl_access access, char **damaged_out,
	struct error *err)
{
	struct uidl *uidl = xcalloc(1, sizeof *uidl);

	uidl->access = access;
	uidl->lock = -1;
	if (damaged_out != NULL)
		*damaged_out = NULL;
	if ((access == UIDL_READ_ONLY || lock_state(uidl, state_dir, name, err) == 0) &&
		load_state(uidl, state_dir, name, damaged_out, err) == 0)
		return uidl;
	uidl_close(uidl);
	return NULL;
}

void
uidl_close(struct uidl *uidl)
{
	if (uidl == NULL)
		return;
	state_file_release(&uidl->file);
	tries_release(&uidl->tries);
	id_table_free(uidl->table);
	buf_release(&uidl->queue);
	if (uidl->lock >= 0)
		close(uidl->lock);
	free(uidl);
}

const struct uidl_facts *
uidl_facts(const struct uidl *uidl)
{
	return &uidl->facts;
}

struct uidl_entry *
uidl_find(struct uidl *uidl, const struct uidl_id *id)
{
	return id_table_find(uidl->table, id);
}

struct uidl_entry *
uidl_find_next(struct uidl *uidl, const struct uidl_entry *entry)
{
	return id_table_find_next(uidl->table, entry);
}

struct uidl_entry *
uidl_find_exact(struct uidl *uidl, const struct uidl_id *id, const struct digest *digest)
{
	return id_table_find_exact(uidl->table, id, digest);
}

struct uidl_entry *
uidl_find_digest(struct uidl *uidl, const struct digest *digest)
{
	return id_table_find_digest(uidl->table, digest);
}

struct uidl_entry *
uidl_each(struct uidl *uidl, size_t *at)
{
	return id_table_each(uidl->table, at);
}

struct uidl_entry *
uidl_entry_at(struct uidl *uidl, uint32_t index)
{
	return index != UIDL_NO_ENTRY ? id_table_at(uidl->table, index) : NULL;
}

struct uidl_id
uidl_entry_id(const struct uidl *uidl, const struct uidl_entry *entry)
{
	return id_table_id(uidl->table, entry);
}

size_t
uidl_try_count(const struct uidl *uidl)
{
	return uidl->tries.count;
}

const struct uidl_try *
uidl_try_at(const struct uidl *uidl, size_t index)
{
	assert(index < uidl->tries.count);
	return &uidl->tries.list[index];
}

int64_t
uidl_delivery_time(const struct uidl *uidl, int64_t now)
{
	return id_table_delivery_time(uidl->table, now);
}

static void
queue_record(struct uidl *uidl, const struct record *record)
{
	/* What is only shown follows from the same doubts as what is done, and leaves nothing behind. */
	if (uidl->access == UIDL_READ_ONLY)
		return;
	record_format(&uidl->queue, record);
	uidl->queued++;
}

void
uidl_clear_tries(struct uidl *uidl)
{
	if (uidl->has_try)
		queue_record(uidl, &(struct record){.kind = RECORD_END});
	uidl->has_try = false;
	tries_clear(&uidl->tries);
}

void
uidl_add_dest(struct uidl *uidl, const char *text)
{
	struct record record = {
		.kind = RECORD_DEST, .text = text, .text_len = strnlen(text, RECORD_TEXT_MAX)};

	if (tries_set_dest(&uidl->tries, text, record.text_len))
		queue_record(uidl, &record);
}

void
uidl_add_try(struct uidl *uidl, const char *token, uint64_t octets, const struct digest *digest,
	const struct uidl_id *id)
{
	struct record record = {
		.kind = RECORD_TRY,
		.text = token,
		.text_len = strlen(token),
		.octets = octets,
		.digest = *digest,
		.id = *id,
	};

	assert(record.text_len <= UIDL_TOKEN_MAX && id->len <= LINK_UIDL_MAX);
	queue_record(uidl, &record);
	uidl->has_try = true;
}

struct uidl_entry *
uidl_add_got(struct uidl *uidl, int64_t when, uint64_t octets, const struct digest *digest,
	const struct uidl_id *id)
{
	struct record record = {
		.kind = RECORD_GOT,
		.when = when,
		.octets = octets,
		.digest = *digest,
		.id = *id,
	};

	assert(id->len <= LINK_UIDL_MAX);
	queue_record(uidl, &record);
	return add_entry(uidl, &record, UIDL_GOT);
}

/* The entry's id, and its digest where the id alone would not do. */
static struct record
which_record(struct uidl *uidl, const struct uidl_entry *entry)
{
	struct uidl_id id = id_table_id(uidl->table, entry);
	const struct uidl_entry *first = id_table_find(uidl->table, &id);

	return (struct record){
		.has_digest = id_table_find_next(uidl->table, first) != NULL,
		.digest = entry->digest,
		.id = id,
	};
}

void
uidl_add_off(struct uidl *uidl, struct uidl_entry *entry, int64_t when)
{
	struct record record;

	assert(entry->status != UIDL_DEAD);
	if (entry->status == UIDL_OFF)
		return;
	record = which_record(uidl, entry);
	record.kind = RECORD_OFF;
	record.when = when;
	queue_record(uidl, &record);
	id_table_set_status(uidl->table, entry, UIDL_OFF);
	entry->when = when;
}

void
uidl_add_bye(struct uidl *uidl, struct uidl_entry *entry)
{
	struct record record = {.kind = RECORD_DROP, .digest = entry->digest};

	assert(entry->status != UIDL_DEAD);
	if (entry->status == UIDL_GOT) {
		record = which_record(uidl, entry);
		record.kind = RECORD_BYE;
	}
	queue_record(uidl, &record);
	id_table_set_status(uidl->table, entry, UIDL_DEAD);
}

void
uidl_add_unsized(struct uidl *uidl, struct uidl_entry *entry, int64_t now)
{
	struct record off = which_record(uidl, entry), got = off, drop = off;

	assert(entry->status == UIDL_GOT && !off.has_digest);
	off.kind = RECORD_OFF;
	off.when = now;
	got.kind = RECORD_GOT;
	got.when = entry->when;
	got.octets = LINK_OCTETS_UNKNOWN;
	drop.kind = RECORD_DROP;
	/* A log that ends behind any of them still knows the message, by its id or by its digest. */
	queue_record(uidl, &off);
	queue_record(uidl, &got);
	queue_record(uidl, &drop);
	entry->octets = LINK_OCTETS_UNKNOWN;
}

static void
add_fact(struct uidl *uidl, const struct record *record)
{
	queue_record(uidl, record);
	record_apply_fact(record, &uidl->facts);
}

void
uidl_add_login(struct uidl *uidl, int64_t when, int64_t delay)
{
	add_fact(uidl, &(struct record){.kind = RECORD_LOGIN, .when = when, .delay = delay});
}

void
uidl_add_number(struct uidl *uidl, enum uidl_number which, int64_t number)
{
	if (uidl->facts.numbers[which] != number)
		add_fact(uidl,
			&(struct record){.kind = RECORD_NUMBER, .which = which, .when = number});
}

void
uidl_add_failures(struct uidl *uidl, uint32_t count, int64_t when, enum error_class class)
{
	add_fact(uidl,
		&(struct record){
			.kind = RECORD_FAILURES, .count = count, .when = when, .class = class});
}

int
uidl_commit(struct uidl *uidl, struct error *err)
{
	if (!uidl->ahead && uidl->queue.len == 0)
		return 0;
	if (!uidl->ahead)
		uidl->ahead = state_file_append(&uidl->file, &uidl->queue, &uidl->failure) != 0;
	if (uidl->ahead) {
		*err = uidl->failure;
		return -1;
	}
	uidl->records += uidl->queued;
	uidl->queued = 0;
	buf_clear(&uidl->queue);
	return 0;
}

static size_t
drop_expired(struct uidl *uidl, int64_t now)
{
	struct uidl_entry *entry;
	size_t live = 0, at = 0;

	while ((entry = id_table_each(uidl->table, &at)) != NULL) {
		if (entry->status == UIDL_OFF && now - UIDL_OFF_SECONDS > entry->when)
			id_table_set_status(uidl->table, entry, UIDL_DEAD);
		else
			live++;
	}
	return live;
}

int
uidl_compact(struct uidl *uidl, int64_t now, struct error *err)
{
	size_t live;

	assert(uidl->access == UIDL_LOCKED && uidl->queue.len == 0);
	live = drop_expired(uidl, now) + uidl->tries.count;
	if (uidl->ahead || uidl->records < 2 * live || uidl->records - live < COMPACT_MIN_DEAD)
		return 0;
	return write_anew(uidl, err);
}
