#include "deliver/roster.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

int
roster_add(struct roster *roster, const struct link_row *row, struct error *err)
{
	struct plan_row *own;

	if (roster->is_complete || roster->count == LINK_ROWS_MAX ||
		roster->ids.len + row->uidl_len > LINK_UIDLS_TOTAL_MAX)
		return error_set(err, ERROR_BUG, "the fetcher sent too many rows");
	if (!roster->has_uidl && row->uidl_len != 0)
		return error_set(
			err, ERROR_BUG, "the fetcher sent a unique id of a server that gives none");
	if (roster->count == roster->size) {
		roster->size = roster->size != 0 ? 2 * roster->size : 256;
		roster->rows = xreallocarray(roster->rows, roster->size, sizeof *roster->rows);
	}
	own = &roster->rows[roster->count++];
	*own = (struct plan_row){
		.number = row->number,
		.octets = row->octets,
		.id = {.len = row->uidl_len, .none = !roster->has_uidl},
	};
	/* The ids move while they grow: rows point into them once all are here. */
	buf_append(&roster->ids, row->uidl, row->uidl_len);
	return 0;
}

static int
compare_numbers(const void *a, const void *b, void *rows)
{
	uint32_t x = ((const struct plan_row *)rows)[*(const uint32_t *)a].number;
	uint32_t y = ((const struct plan_row *)rows)[*(const uint32_t *)b].number;

	return x < y ? -1 : x > y;
}

/* Nearly every server lists in order, and the fetcher sorts: an index is for one that does not. */
static int
index_numbers(struct roster *roster, struct error *err)
{
	size_t i = 1;

	while (i < roster->count && roster->rows[i - 1].number < roster->rows[i].number)
		i++;
	if (i >= roster->count)
		return 0;
	roster->by_number = xcalloc(roster->count, sizeof *roster->by_number);
	for (i = 0; i < roster->count; i++)
		roster->by_number[i] = (uint32_t)i;
	qsort_r(roster->by_number, roster->count, sizeof *roster->by_number, compare_numbers,
		roster->rows);
	for (i = 1; i < roster->count; i++) {
		uint32_t number = roster->rows[roster->by_number[i]].number;

		if (roster->rows[roster->by_number[i - 1]].number == number)
			return error_set(
				err, ERROR_BUG, "the fetcher sent message %u twice", number);
	}
	return 0;
}

int
roster_complete(struct roster *roster, uint64_t expected, struct error *err)
{
	const char *id = buf_data(&roster->ids);

	if (roster->is_complete || expected != roster->count)
		return error_set(err, ERROR_BUG, "the fetcher sent %zu rows and says it is %llu",
			roster->count, (unsigned long long)expected);
	roster->is_complete = true;
	roster->messages = xcalloc(roster->count + 1, sizeof *roster->messages);
	for (size_t i = 0; i < roster->count; i++) {
		roster->rows[i].id.data = id;
		id += roster->rows[i].id.len;
	}
	return index_numbers(roster, err);
}

ssize_t
roster_find(const struct roster *roster, uint32_t number, struct error *err)
{
	size_t low = 0, high = roster->is_complete ? roster->count : 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		size_t row = roster->by_number != NULL ? roster->by_number[middle] : middle;
		uint32_t at = roster->rows[row].number;

		if (at == number)
			return (ssize_t)row;
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

/* The ids that several messages share, or may share: their entries are told apart by digest alone. */
struct shared {
	struct uidl_id *ids;
	size_t count;
};

static bool
is_shared(const struct plan_row *row)
{
	return row->id.none || (row->verdict == PLAN_COMPARE && row->entry == NULL);
}

static bool
is_settled(const struct message *message)
{
	return message->state == MESSAGE_KEPT || message->state == MESSAGE_DELETING ||
		message->state == MESSAGE_DELETED;
}

/* Left out by a limit, perhaps while others of its id are compared. */
static bool
is_skipped(const struct plan_row *row)
{
	return row->verdict == PLAN_SKIP_BIG || row->verdict == PLAN_SKIP_LIMIT;
}

/* `only_unsettled`: those of which a message was not compared in this session. */
static struct shared
collect_shared(const struct roster *roster, bool only_unsettled)
{
	struct shared shared = {0};

	for (size_t i = 0; i < roster->count; i++) {
		const struct plan_row *row = &roster->rows[i];
		bool wanted = is_shared(row);

		if (only_unsettled)
			wanted = (wanted || is_skipped(row)) && !is_settled(&roster->messages[i]);
		if (!wanted)
			continue;
		if (shared.ids == NULL)
			shared.ids = xcalloc(roster->count, sizeof *shared.ids);
		shared.ids[shared.count++] = roster->rows[i].id;
	}
	if (shared.count > 1)
		qsort(shared.ids, shared.count, sizeof *shared.ids, compare_ids);
	return shared;
}

static bool
holds(const struct shared *shared, const struct uidl_id *id)
{
	return shared->count != 0 &&
		bsearch(id, shared->ids, shared->count, sizeof *shared->ids, compare_ids) != NULL;
}

static void
add_off_but(
	const struct roster *roster, const struct shared *spared, struct uidl *uidl, int64_t now)
{
	struct uidl_entry *entry;
	size_t at = 0;

	/* An empty mailbox may be a server's mistake, and the digests would be lost in 30 days. */
	if (roster->count == 0)
		return;
	while ((entry = uidl_each(uidl, &at)) != NULL) {
		struct uidl_id id = uidl_entry_id(uidl, entry);

		/* Ids and none at all: only by its digest can a message be known on the other side. */
		if (entry->status != UIDL_GOT || entry->mark || (entry->none && roster->has_uidl))
			continue;
		if (!holds(spared, &id))
			uidl_add_off(uidl, entry, now);
	}
}

/* As roster_doubt(), for one row. */
static void
doubt(struct uidl *uidl, const struct plan_row *row, const struct plan_policy *policy)
{
	struct uidl_entry *entry = uidl_find(uidl, &row->id), *next;
	struct uidl_entry old;

	if (entry == NULL)
		return;
	old = *entry;
	next = uidl_find_next(uidl, entry);
	if (next == NULL && !plan_is_due(policy, entry) && entry->octets == row->octets) {
		uidl_add_bye(uidl, entry);
		uidl_add_got(uidl, old.when, LINK_OCTETS_UNKNOWN, &old.digest, &row->id);
		return;
	}
	for (; entry != NULL; entry = next) {
		next = uidl_find_next(uidl, entry);
		/* Its age ends with its record; that it was old enough must not. */
		entry->due = plan_is_due(policy, entry);
		uidl_add_off(uidl, entry, policy->now);
	}
}

void
roster_doubt(const struct roster *roster, struct uidl *uidl, const struct plan_policy *policy)
{
	const int64_t *numbers = uidl_facts(uidl)->numbers;

	if (numbers[UIDL_DELETING_WHEN] == 0 && numbers[UIDL_EMPTIED_WHEN] == 0)
		return;
	/* An empty listing tells nothing yet. */
	if (roster->count == 0 || !roster->has_uidl)
		return;
	for (size_t i = 0; i < roster->count; i++)
		doubt(uidl, &roster->rows[i], policy);
	uidl_add_number(uidl, UIDL_DELETING_WHEN, 0);
	uidl_add_number(uidl, UIDL_EMPTIED_WHEN, 0);
}

void
roster_add_off(struct roster *roster, struct uidl *uidl, int64_t now)
{
	struct shared shared = collect_shared(roster, false);

	add_off_but(roster, &shared, uidl, now);
	free(shared.ids);
}

void
roster_add_off_unmatched(struct roster *roster, struct uidl *uidl, int64_t now)
{
	struct shared all = collect_shared(roster, false), unsettled;

	if (all.count != 0) {
		unsettled = collect_shared(roster, true);
		add_off_but(roster, &unsettled, uidl, now);
		free(unsettled.ids);
	}
	free(all.ids);
}

void
roster_release(struct roster *roster)
{
	free(roster->rows);
	free(roster->messages);
	free(roster->by_number);
	buf_release(&roster->ids);
	*roster = (struct roster){0};
}
