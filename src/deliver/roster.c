#include "deliver/roster.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

void
roster_init(struct roster *roster, struct uidl *uidl)
{
	*roster = (struct roster){.uidl = uidl};
}

void
roster_clear(struct roster *roster)
{
	struct uidl *uidl = roster->uidl;

	roster_release(roster);
	roster_init(roster, uidl);
}

void
roster_begin(struct roster *roster, bool has_uidl)
{
	roster_clear(roster);
	roster->has_begun = true;
	roster->has_uidl = has_uidl;
}

static struct plan_row *
append_row(struct roster *roster)
{
	if (roster->count == roster->size) {
		roster->size = roster->size != 0 ? 2 * roster->size : 256;
		roster->rows = xreallocarray(roster->rows, roster->size, sizeof *roster->rows);
	}
	return &roster->rows[roster->count++];
}

int
roster_add(struct roster *roster, const struct link_row *row, struct error *err)
{
	const struct uidl_id id = {.data = row->uidl, .len = row->uidl_len};
	const struct uidl_entry *entry;
	struct plan_row *own;

	if (!roster->has_begun || roster->sized != 0 || roster->is_complete ||
		roster->count == LINK_ROWS_MAX)
		return error_set(err, ERROR_BUG, "the fetcher sent too many rows");
	if (!roster->has_uidl && row->uidl_len != 0)
		return error_set(
			err, ERROR_BUG, "the fetcher sent a unique id of a server that gives none");
	entry = roster->has_uidl ? uidl_find(roster->uidl, &id) : NULL;
	if (entry == NULL && roster->ids.len + row->uidl_len > ROSTER_IDS_MAX)
		return error_set(err, ERROR_PROTOCOL,
			"the server's ids of new messages are longer than %u octets in all, "
			"which is the limit",
			ROSTER_IDS_MAX);
	own = append_row(roster);
	*own = (struct plan_row){
		.number = row->number,
		.octets = LINK_OCTETS_UNKNOWN,
		.id_at = entry != NULL ? entry->index : (uint32_t)roster->ids.len,
		.id_len = (uint16_t)row->uidl_len,
		.none = !roster->has_uidl,
		.has_known_id = entry != NULL,
		.entry = entry != NULL ? entry->index : UIDL_NO_ENTRY,
	};
	if (entry == NULL)
		buf_append(&roster->ids, row->uidl, row->uidl_len);
	return 0;
}

bool
roster_has_record(const struct roster *roster, size_t row)
{
	enum message_state state = (enum message_state)roster->states[row];

	return state == MESSAGE_KEPT || state == MESSAGE_DELETING || state == MESSAGE_DELETED;
}

struct uidl_id
roster_id(const struct roster *roster, const struct plan_row *row)
{
	if (row->has_known_id)
		return uidl_entry_id(roster->uidl, uidl_entry_at(roster->uidl, row->id_at));
	return (struct uidl_id){buf_data(&roster->ids) + row->id_at, row->id_len, row->none};
}

/* Let rows[root] sink to its place in the heap. */
static void
sink(struct plan_row *rows, size_t root, size_t count)
{
	struct plan_row row = rows[root];
	size_t child;

	while ((child = 2 * root + 1) < count) {
		if (child + 1 < count && rows[child + 1].number > rows[child].number)
			child++;
		if (rows[child].number <= row.number)
			break;
		rows[root] = rows[child];
		root = child;
	}
	rows[root] = row;
}

/* By number, in place: qsort(3) would take as much memory again as the rows have. */
static void
sort_rows(struct plan_row *rows, size_t count)
{
	for (size_t i = count / 2; i-- > 0;)
		sink(rows, i, count);
	for (size_t left = count; left-- > 1;) {
		struct plan_row last = rows[left];

		rows[left] = rows[0];
		rows[0] = last;
		sink(rows, 0, left);
	}
}

/* All rows are here. Nearly every server lists in order. */
static int
put_in_order(struct roster *roster, struct error *err)
{
	struct plan_row *rows = roster->rows;
	size_t i = 1;

	while (i < roster->count && rows[i - 1].number < rows[i].number)
		i++;
	if (i >= roster->count)
		return 0;
	sort_rows(rows, roster->count);
	for (i = 1; i < roster->count; i++) {
		if (rows[i - 1].number == rows[i].number)
			return error_set(err, ERROR_BUG, "the fetcher sent message %u twice",
				rows[i].number);
	}
	return 0;
}

int
roster_add_sizes(struct roster *roster, const char *sizes, size_t len, struct error *err)
{
	size_t count = len / sizeof roster->rows->octets;

	if (roster->is_complete || count == 0 || len % sizeof roster->rows->octets != 0 ||
		count > roster->count - roster->sized)
		return error_set(err, ERROR_BUG, "the fetcher sent sizes of no rows");
	if (roster->sized == 0 && put_in_order(roster, err) != 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		memcpy(&roster->rows[roster->sized++].octets,
			sizes + i * sizeof roster->rows->octets, sizeof roster->rows->octets);
	return 0;
}

int
roster_complete(struct roster *roster, uint64_t expected, struct error *err)
{
	if (!roster->has_begun || roster->is_complete || expected != roster->count ||
		roster->sized != roster->count)
		return error_set(err, ERROR_BUG,
			"the fetcher sent %zu rows and %zu sizes and says it is %llu",
			roster->count, roster->sized, (unsigned long long)expected);
	roster->is_complete = true;
	roster->states = xcalloc(roster->count + 1, sizeof *roster->states);
	return 0;
}

ssize_t
roster_find(const struct roster *roster, uint32_t number, struct error *err)
{
	size_t low = 0, high = roster->is_complete ? roster->count : 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		uint32_t at = roster->rows[middle].number;

		if (at == number)
			return (ssize_t)middle;
		if (at < number)
			low = middle + 1;
		else
			high = middle;
	}
	return error_set(
		err, ERROR_BUG, "the fetcher speaks of message %u, which is not listed", number);
}

static int
compare_ids(const void *a, const void *b)
{
	const struct uidl_id *x = a, *y = b;
	size_t common = x->len < y->len ? x->len : y->len;
	int order;

	if (x->none != y->none)
		return x->none ? 1 : -1;
	order = common != 0 ? memcmp(x->data, y->data, common) : 0;
	if (order != 0)
		return order;
	return x->len < y->len ? -1 : x->len > y->len;
}

/*
 * Rows whose ids several messages share, or may share: their entries are told apart by digest
 * alone.
 */
struct shared {
	const struct roster *roster;
	uint32_t *rows; /* sorted by id */
	size_t count;
	bool has_none; /* messages without ids are among them */
};

static bool
is_shared(const struct plan_row *row)
{
	return row->none || row->is_shared;
}

/* Left out by a limit, perhaps while others of its id are compared. */
static bool
is_skipped(const struct plan_row *row)
{
	return row->verdict == PLAN_SKIP_BIG || row->verdict == PLAN_SKIP_LIMIT ||
		row->verdict == PLAN_SKIP_BROKEN;
}

static int
compare_rows(const void *a, const void *b, void *roster_of_both)
{
	const struct roster *roster = roster_of_both;
	struct uidl_id x = roster_id(roster, &roster->rows[*(const uint32_t *)a]);
	struct uidl_id y = roster_id(roster, &roster->rows[*(const uint32_t *)b]);

	return compare_ids(&x, &y);
}

/* Which rows are collected. */
enum choice {
	CHOOSE_SHARED,
	CHOOSE_UNSETTLED, /* shared, but those of which no message was compared in this session */
	CHOOSE_UNKNOWN    /* what nobody has looked at: any message of its id */
};

static bool
is_chosen(const struct roster *roster, size_t i, enum choice choice)
{
	const struct plan_row *row = &roster->rows[i];

	switch (choice) {
	case CHOOSE_SHARED:
		return is_shared(row);
	case CHOOSE_UNSETTLED:
		return (is_shared(row) || is_skipped(row)) && !roster_has_record(roster, i);
	case CHOOSE_UNKNOWN:
		break;
	}
	return row->verdict != PLAN_LEAVE && row->verdict != PLAN_DELETE &&
		!roster_has_record(roster, i);
}

static struct shared
collect_rows(const struct roster *roster, enum choice choice)
{
	struct shared shared = {.roster = roster};

	for (size_t i = 0; i < roster->count; i++) {
		const struct plan_row *row = &roster->rows[i];

		if (!is_chosen(roster, i, choice))
			continue;
		shared.has_none |= row->none;
		if (row->none)
			continue;
		if (shared.rows == NULL)
			shared.rows = xcalloc(roster->count, sizeof *shared.rows);
		shared.rows[shared.count++] = (uint32_t)i;
	}
	if (shared.count > 1)
		qsort_r(shared.rows, shared.count, sizeof *shared.rows, compare_rows,
			(struct roster *)roster);
	return shared;
}

static bool
holds(const struct shared *shared, const struct uidl_id *id)
{
	size_t low = 0, high = shared->count;

	if (id->none)
		return shared->has_none;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		struct uidl_id at =
			roster_id(shared->roster, &shared->roster->rows[shared->rows[middle]]);
		int order = compare_ids(id, &at);

		if (order == 0)
			return true;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

static int
add_off_but(
	const struct roster *roster, const struct shared *spared, int64_t now, struct error *err)
{
	struct uidl *uidl = roster->uidl;
	struct uidl_entry *entry;
	size_t at = 0, queued = 0;

	/* An empty mailbox may be a server's mistake, and the digests would be lost in 30 days. */
	if (roster->count == 0)
		return 0;
	while ((entry = uidl_each(uidl, &at)) != NULL) {
		struct uidl_id id = uidl_entry_id(uidl, entry);

		/*
		 * Ids and none at all: only by its digest can a message be known on the other side.
		 */
		if (entry->status != UIDL_GOT || entry->mark || (entry->none && roster->has_uidl))
			continue;
		if (holds(spared, &id))
			continue;
		uidl_add_off(uidl, entry, now);
		if (++queued % ROSTER_RECORDS_BATCH == 0 && uidl_commit(uidl, err) != 0)
			return -1;
	}
	return 0;
}

/* As roster_doubt(), for one row. */
static void
doubt(const struct roster *roster, const struct plan_row *row, const struct plan_policy *policy)
{
	struct uidl_id id = roster_id(roster, row);
	struct uidl *uidl = roster->uidl;
	struct uidl_entry *entry = uidl_find(uidl, &id), *next;

	if (entry == NULL)
		return;
	next = uidl_find_next(uidl, entry);
	if (next == NULL && !plan_is_due(policy, entry) && entry->octets == row->octets) {
		uidl_add_unsized(uidl, entry, policy->now);
		return;
	}
	for (; entry != NULL; entry = next) {
		next = uidl_find_next(uidl, entry);
		/* Its age ends with its record; that it was old enough must not. */
		entry->due = plan_is_due(policy, entry);
		uidl_add_off(uidl, entry, policy->now);
	}
}

int
roster_doubt(struct roster *roster, const struct plan_policy *policy, struct error *err)
{
	const int64_t *numbers = uidl_facts(roster->uidl)->numbers;

	if (numbers[UIDL_DELETING_WHEN] == 0 && numbers[UIDL_EMPTIED_WHEN] == 0)
		return 0;
	/* An empty listing tells nothing yet. */
	if (roster->count == 0 || !roster->has_uidl)
		return 0;
	for (size_t i = 0; i < roster->count; i++) {
		doubt(roster, &roster->rows[i], policy);
		if (i % ROSTER_RECORDS_BATCH == ROSTER_RECORDS_BATCH - 1 &&
			uidl_commit(roster->uidl, err) != 0)
			return -1;
	}
	uidl_add_number(roster->uidl, UIDL_DELETING_WHEN, 0);
	uidl_add_number(roster->uidl, UIDL_EMPTIED_WHEN, 0);
	/* Some entries have vanished. */
	for (size_t i = 0; i < roster->count; i++) {
		struct uidl_id id = roster_id(roster, &roster->rows[i]);
		const struct uidl_entry *entry = uidl_find(roster->uidl, &id);

		roster->rows[i].entry = entry != NULL ? entry->index : UIDL_NO_ENTRY;
	}
	return 0;
}

int
roster_add_off(const struct roster *roster, int64_t now, struct error *err)
{
	struct shared shared = collect_rows(roster, CHOOSE_SHARED);
	int result = add_off_but(roster, &shared, now, err);

	free(shared.rows);
	return result;
}

int
roster_add_off_unmatched(const struct roster *roster, int64_t now, struct error *err)
{
	struct shared all = collect_rows(roster, CHOOSE_SHARED), unsettled;
	int result = 0;

	if (all.count != 0 || all.has_none) {
		unsettled = collect_rows(roster, CHOOSE_UNSETTLED);
		result = add_off_but(roster, &unsettled, now, err);
		free(unsettled.rows);
	}
	free(all.rows);
	return result;
}

static struct uidl_entry *
next_gone(struct uidl *uidl, size_t *at)
{
	struct uidl_entry *entry;

	do {
		entry = uidl_each(uidl, at);
	} while (entry != NULL && entry->status != UIDL_GONE);
	return entry;
}

int
roster_forget_gone(const struct roster *roster, int64_t now, struct error *err)
{
	bool is_proof = roster->is_complete && roster->has_uidl && roster->count != 0;
	struct shared unknown = {.roster = roster};
	struct uidl *uidl = roster->uidl;
	size_t at = 0, queued = 0;
	struct uidl_entry *entry = next_gone(uidl, &at);
	int result = 0;

	if (entry != NULL && is_proof)
		unknown = collect_rows(roster, CHOOSE_UNKNOWN);
	for (; entry != NULL && result == 0; entry = next_gone(uidl, &at)) {
		struct uidl_id id = uidl_entry_id(uidl, entry);

		if ((!is_proof || holds(&unknown, &id)) && now - UIDL_OFF_SECONDS <= entry->when)
			continue;
		uidl_add_bye(uidl, entry);
		if (++queued % ROSTER_RECORDS_BATCH == 0)
			result = uidl_commit(uidl, err);
	}
	free(unknown.rows);
	return result;
}

void
roster_release(struct roster *roster)
{
	free(roster->rows);
	free(roster->states);
	buf_release(&roster->ids);
	*roster = (struct roster){0};
}
