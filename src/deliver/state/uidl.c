#include "deliver/state/uidl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/xalloc.h"
#include "deliver/state/broken.h"
#include "deliver/state/idtable.h"
#include "deliver/state/ledger.h"
#include "deliver/state/record.h"
#include "deliver/state/rewrite.h"
#include "deliver/state/statefile.h"
#include "deliver/state/sum.h"
#include "deliver/state/tries.h"
#include "link/link.h"

/* Dead records that are not worth a new file. */
#define COMPACT_MIN_DEAD 128

struct uidl {
	enum uidl_access access;
	int lock; /* -1: none */
	struct state_file file;
	struct buf queue;
	size_t queued;        /* records in the queue */
	bool ahead;           /* what is in memory is not what is in the file, since: */
	struct error failure; /* the write that failed */
	struct ledger ledger;
};

/* Put a new file with all that is in memory in the place of the old one. */
static int
write_anew(struct uidl *uidl, struct error *err)
{
	const struct rewrite_content content = {.table = uidl->ledger.table,
		.facts = &uidl->ledger.facts,
		.broken = &uidl->ledger.broken,
		.tries = &uidl->ledger.tries};
	struct state_writer writer;
	struct rewrite_result result;

	if (state_file_begin(&uidl->file, &writer, err) != 0 ||
		rewrite_all(&content, &writer, &result, err) != 0)
		return -1;
	if (state_file_replace(&uidl->file, &writer, err) != 0) {
		uidl->ahead = true;
		uidl->failure = *err;
		return -1;
	}
	uidl->ledger.records = result.records;
	uidl->ledger.sum = result.sum;
	return 0;
}

/* The damaged file keeps its octets under another name; the digests go on under its own. */
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
	bool is_locked = uidl->access == UIDL_LOCKED;
	struct ledger *ledger = &uidl->ledger;
	off_t size = 0;

	if (state_file_open(&uidl->file, state_dir, name, is_locked, &size, err) != 0)
		return -1;
	ledger_init(ledger, size);
	if (uidl->file.fd < 0)
		return is_locked ? write_anew(uidl, err) : 0;
	if (ledger_read(ledger, &uidl->file, clock_wall_seconds(), err) != 0)
		return -1;
	if (!is_locked)
		return 0;
	if (ledger->doubt.is_damaged)
		return set_aside(uidl, damaged_out, err);
	/* What the next commit adds must not vouch for what is in doubt. */
	if (ledger->doubt.first_line != 0 || state_file_is_doubtful(&uidl->file) ||
		(uidl->file.is_torn && ledger->tries.count != 0))
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
	ledger_release(&uidl->ledger);
	buf_release(&uidl->queue);
	if (uidl->lock >= 0)
		close(uidl->lock);
	free(uidl);
}

const struct uidl_doubt *
uidl_doubt(const struct uidl *uidl)
{
	return &uidl->ledger.doubt;
}

const struct uidl_facts *
uidl_facts(const struct uidl *uidl)
{
	return &uidl->ledger.facts;
}

struct uidl_entry *
uidl_find(struct uidl *uidl, const struct uidl_id *id)
{
	return id_table_find(uidl->ledger.table, id);
}

struct uidl_entry *
uidl_find_next(struct uidl *uidl, const struct uidl_entry *entry)
{
	return id_table_find_next(uidl->ledger.table, entry);
}

struct uidl_entry *
uidl_find_exact(struct uidl *uidl, const struct uidl_id *id, const struct digest *digest)
{
	return id_table_find_exact(uidl->ledger.table, id, digest);
}

struct uidl_entry *
uidl_find_digest(struct uidl *uidl, const struct digest *digest)
{
	return id_table_find_digest(uidl->ledger.table, digest);
}

struct uidl_entry *
uidl_find_gone(struct uidl *uidl, const struct uidl_id *id, const struct digest *digest)
{
	return id_table_find_gone(uidl->ledger.table, id, digest);
}

struct uidl_entry *
uidl_each(struct uidl *uidl, size_t *at)
{
	return id_table_each(uidl->ledger.table, at);
}

struct uidl_entry *
uidl_entry_at(struct uidl *uidl, uint32_t index)
{
	return index != UIDL_NO_ENTRY ? id_table_at(uidl->ledger.table, index) : NULL;
}

struct uidl_id
uidl_entry_id(const struct uidl *uidl, const struct uidl_entry *entry)
{
	return id_table_id(uidl->ledger.table, entry);
}

size_t
uidl_try_count(const struct uidl *uidl)
{
	return uidl->ledger.tries.count;
}

const struct uidl_try *
uidl_try_at(const struct uidl *uidl, size_t index)
{
	assert(index < uidl->ledger.tries.count);
	return &uidl->ledger.tries.list[index];
}

int64_t
uidl_delivery_time(const struct uidl *uidl, int64_t now)
{
	return id_table_delivery_time(uidl->ledger.table, now);
}

static void
queue_record(struct uidl *uidl, const struct record *record)
{
	/*
	 * What is only shown follows from the same doubts as what is done, and leaves nothing
	 * behind.
	 */
	if (uidl->access == UIDL_READ_ONLY)
		return;
	record_format(&uidl->queue, record);
	uidl->queued++;
}

void
uidl_clear_tries(struct uidl *uidl)
{
	if (uidl->ledger.has_try)
		queue_record(uidl, &(struct record){.kind = RECORD_END});
	uidl->ledger.has_try = false;
	tries_clear(&uidl->ledger.tries);
}

void
uidl_add_dest(struct uidl *uidl, const char *text)
{
	struct record record = {
		.kind = RECORD_DEST, .text = text, .text_len = strnlen(text, RECORD_TEXT_MAX)};

	if (tries_set_dest(&uidl->ledger.tries, text, record.text_len))
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
	uidl->ledger.has_try = true;
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
	return ledger_add_entry(&uidl->ledger, &record, UIDL_GOT);
}

/* The entry's id, and its digest where the id alone would not do. */
static struct record
which_record(struct uidl *uidl, const struct uidl_entry *entry)
{
	struct uidl_id id = id_table_id(uidl->ledger.table, entry);
	const struct uidl_entry *first = id_table_find(uidl->ledger.table, &id);

	return (struct record){
		.has_digest = id_table_find_next(uidl->ledger.table, first) != NULL,
		.digest = entry->digest,
		.id = id,
	};
}

static void
leave(struct uidl *uidl, struct uidl_entry *entry, enum record_kind kind, int64_t when)
{
	struct record record = which_record(uidl, entry);

	record.kind = kind;
	record.when = when;
	queue_record(uidl, &record);
	id_table_set_status(uidl->ledger.table, entry, kind == RECORD_OFF ? UIDL_OFF : UIDL_GONE);
	entry->when = when;
}

void
uidl_add_off(struct uidl *uidl, struct uidl_entry *entry, int64_t when)
{
	assert(entry->status != UIDL_DEAD);
	if (entry->status == UIDL_GOT)
		leave(uidl, entry, RECORD_OFF, when);
}

void
uidl_add_gone(struct uidl *uidl, struct uidl_entry *entry, int64_t when)
{
	assert(entry->status == UIDL_GOT && !entry->none);
	leave(uidl, entry, RECORD_GONE, when);
}

void
uidl_add_bye(struct uidl *uidl, struct uidl_entry *entry)
{
	struct record record = {.kind = RECORD_DROP, .digest = entry->digest};

	assert(entry->status != UIDL_DEAD);
	if (entry->status == UIDL_GOT) {
		record = which_record(uidl, entry);
		record.kind = RECORD_BYE;
	} else if (entry->status == UIDL_GONE) {
		record.has_id = true;
		record.id = id_table_id(uidl->ledger.table, entry);
	}
	queue_record(uidl, &record);
	id_table_set_status(uidl->ledger.table, entry, UIDL_DEAD);
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
	/*
	 * A log that ends behind any of them still knows the message, by its id or by its digest.
	 */
	queue_record(uidl, &off);
	queue_record(uidl, &got);
	queue_record(uidl, &drop);
	entry->octets = LINK_OCTETS_UNKNOWN;
}

static void
add_fact(struct uidl *uidl, const struct record *record)
{
	queue_record(uidl, record);
	record_apply_fact(record, &uidl->ledger.facts);
}

void
uidl_add_login(struct uidl *uidl, int64_t when, int64_t delay)
{
	add_fact(uidl, &(struct record){.kind = RECORD_LOGIN, .when = when, .delay = delay});
}

void
uidl_add_number(struct uidl *uidl, enum uidl_number which, int64_t number)
{
	if (uidl->ledger.facts.numbers[which] != number)
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

const struct broken *
uidl_broken(const struct uidl *uidl)
{
	return &uidl->ledger.broken;
}

void
uidl_add_broken(struct uidl *uidl, const struct uidl_id *id, uint32_t count)
{
	struct record record = {.kind = RECORD_BROKE, .count = count, .id = *id};

	if (!broken_would_change(&uidl->ledger.broken, id, count))
		return;
	queue_record(uidl, &record);
	/* The id may be that of what is forgotten here. */
	broken_set(&uidl->ledger.broken, id, count);
}

/* The sum goes out with what it vouches for: a write that is torn has none. */
static void
queue_sum(struct uidl *uidl)
{
	const struct buf *queue = &uidl->queue;
	struct record record = {
		.kind = RECORD_SUM, .sum = sum_add(uidl->ledger.sum, buf_data(queue), queue->len)};

	record_format(&uidl->queue, &record);
	uidl->ledger.sum = record.sum;
}

int
uidl_commit(struct uidl *uidl, struct error *err)
{
	if (!uidl->ahead && uidl->queue.len == 0)
		return 0;
	if (!uidl->ahead)
		queue_sum(uidl);
	if (!uidl->ahead)
		uidl->ahead = state_file_append(&uidl->file, &uidl->queue, &uidl->failure) != 0;
	if (uidl->ahead) {
		*err = uidl->failure;
		return -1;
	}
	uidl->ledger.records += uidl->queued;
	uidl->queued = 0;
	buf_clear(&uidl->queue);
	return 0;
}

static size_t
drop_expired(struct uidl *uidl, int64_t now)
{
	struct uidl_entry *entry;
	size_t live = 0, at = 0;

	while ((entry = id_table_each(uidl->ledger.table, &at)) != NULL) {
		if (entry->status != UIDL_GOT && now - UIDL_OFF_SECONDS > entry->when)
			id_table_set_status(uidl->ledger.table, entry, UIDL_DEAD);
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
	live = drop_expired(uidl, now) + uidl->ledger.tries.count;
	if (uidl->ahead || uidl->ledger.records < 2 * live ||
		uidl->ledger.records - live < COMPACT_MIN_DEAD)
		return 0;
	return write_anew(uidl, err);
}
