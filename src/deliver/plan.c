#include "deliver/plan.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/quote.h"
#include "base/xalloc.h"
#include "link/link.h"

/* uidl_entry.plan: how many rows have the id, or with this bit the index of the group. */
#define GROUP_BIT UINT32_C(0x80000000)

#define NO_ROW UINT32_MAX

_Static_assert(sizeof(struct plan_row) == 24, "link.h counts with this size");

/* Room for a day, for a span of time, for the octets of a message. */
#define DAY_SIZE    16
#define SPAN_SIZE   32
#define OCTETS_SIZE 21

/* The rows and entries of one id, where either are several. */
struct plan_group {
	struct uidl_entry *first;     /* of the entries */
	uint32_t listed, known;       /* how many rows, how many entries */
	uint32_t first_row, last_row; /* a chain through planner.next_row */
	uint8_t decided_in;           /* which pass */
	bool delete_after;
	enum plan_verdict verdict;
	enum plan_reason reason;
};

struct planner {
	struct plan_row *rows;
	size_t count;
	struct uidl *uidl;
	const struct plan_policy *policy;
	struct plan_group *groups;
	uint32_t group_count, group_size;
	uint32_t *next_row;
	uint32_t budget; /* messages that may still be fetched */
	bool has_idless; /* messages of a time without UIDL are known */
	uint8_t pass; /* 2: for what was held back in the first one, when there is nothing else to do */
};

bool
plan_is_due(const struct plan_policy *policy, const struct uidl_entry *entry)
{
	switch (policy->keep.kind) {
	case ACCOUNT_KEEP_NEVER:
		return true;
	case ACCOUNT_KEEP_AGE:
		return policy->now - entry->when >= policy->keep.seconds;
	case ACCOUNT_KEEP_FOREVER:
		break;
	}
	return false;
}

/* What is delivered now is deleted at once. */
static bool
deletes_new(const struct plan_policy *policy)
{
	return policy->keep.kind == ACCOUNT_KEEP_NEVER ||
		(policy->keep.kind == ACCOUNT_KEEP_AGE && policy->keep.seconds <= 0);
}

static bool
is_too_big(const struct planner *p, const struct plan_row *row)
{
	return p->policy->max_size != ACCOUNT_NO_LIMIT && row->octets != LINK_OCTETS_UNKNOWN &&
		row->octets > p->policy->max_size;
}

/* Of those that are broken, the ones that broke the fewest sessions are tried first. */
static bool
is_held_back(const struct planner *p, const struct plan_row *row)
{
	return row->is_broken && (p->pass == 1 || !row->is_next);
}

static void
hold_back(struct plan_row *row)
{
	row->verdict = PLAN_SKIP_BROKEN;
	row->reason = PLAN_BROKE;
}

/* A message that the state does not know, or may not know. */
static void
plan_new(struct planner *p, size_t index, bool may_be_known)
{
	const struct plan_policy *policy = p->policy;
	struct plan_row *row = &p->rows[index];

	if (policy->newest != ACCOUNT_NO_LIMIT && p->count - index > policy->newest) {
		row->verdict = PLAN_SKIP_OLD;
		row->reason = PLAN_NOT_NEWEST;
	} else if (is_too_big(p, row)) {
		row->verdict = PLAN_SKIP_BIG;
		row->reason = PLAN_TOO_BIG;
	} else if (is_held_back(p, row)) {
		hold_back(row);
	} else if (p->budget == 0) {
		row->verdict = PLAN_SKIP_LIMIT;
		row->reason = PLAN_BEYOND_LIMIT;
	} else {
		p->budget--;
		row->verdict = may_be_known ? PLAN_COMPARE : PLAN_FETCH;
		row->reason = may_be_known ? PLAN_WITHOUT_ID : PLAN_NEW;
		row->is_shared = may_be_known;
		row->delete_after = row->delete_if_new = deletes_new(policy);
	}
}

/* A known id that may be another message's by now: fetched again, the digest tells. */
static void
plan_doubtful(struct planner *p, struct plan_row *row)
{
	row->verdict = PLAN_LEAVE;
	if (is_too_big(p, row)) {
		row->reason = PLAN_DOUBTFUL_BIG;
	} else if (is_held_back(p, row)) {
		hold_back(row);
	} else if (p->budget == 0) {
		row->reason = PLAN_DOUBTFUL_LATER;
	} else {
		p->budget--;
		row->verdict = PLAN_COMPARE;
		row->reason = PLAN_DOUBTFUL;
		row->delete_after = true;
		row->delete_if_new = deletes_new(p->policy);
	}
}

/* One row of an id that is known once. */
static void
plan_known(struct planner *p, struct plan_row *row)
{
	struct uidl_entry *entry = uidl_entry_at(p->uidl, row->entry);
	bool is_due = plan_is_due(p->policy, entry);

	entry->mark = true;
	/* Only a deletion needs to be sure of more than the id. */
	if (is_due && (row->octets != entry->octets || row->octets == LINK_OCTETS_UNKNOWN)) {
		plan_doubtful(p, row);
		return;
	}
	row->verdict = is_due ? PLAN_DELETE : PLAN_LEAVE;
	row->reason = is_due ? PLAN_DUE : PLAN_KNOWN;
}

static int
compare_octets(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int
compare_rows(const void *a, const void *b)
{
	return compare_octets(
		(*(struct plan_row *const *)a)->octets, (*(struct plan_row *const *)b)->octets);
}

static int
compare_entries(const void *a, const void *b)
{
	return compare_octets(
		(*(struct uidl_entry *const *)a)->octets, (*(struct uidl_entry *const *)b)->octets);
}

static void
mark_entries(struct planner *p, const struct plan_group *group)
{
	for (struct uidl_entry *entry = group->first; entry != NULL;
		entry = uidl_find_next(p->uidl, entry))
		entry->mark = true;
}

/*
 * As many rows as entries: give each row the entry of its size, and tell whether the sizes are the
 * same.
 */
static bool
pair_by_size(struct planner *p, const struct plan_group *group, bool *has_unknown_out)
{
	struct plan_row **rows = xcalloc(group->listed, sizeof *rows);
	struct uidl_entry **entries = xcalloc(group->listed, sizeof *entries);
	struct uidl_entry *entry = group->first;
	bool is_same = true;
	size_t n = 0;

	for (uint32_t i = group->first_row; i != NO_ROW; i = p->next_row[i]) {
		rows[n] = &p->rows[i];
		entries[n++] = entry;
		entry = uidl_find_next(p->uidl, entry);
	}
	qsort(rows, n, sizeof *rows, compare_rows);
	qsort(entries, n, sizeof *entries, compare_entries);
	/* What is not told is the greatest number, and so the last. */
	*has_unknown_out = rows[n - 1]->octets == LINK_OCTETS_UNKNOWN ||
		entries[n - 1]->octets == LINK_OCTETS_UNKNOWN;
	for (size_t i = 0; i < n; i++) {
		is_same &= rows[i]->octets == entries[i]->octets;
		rows[i]->entry = entries[i]->index;
	}
	free(rows);
	free(entries);
	return is_same;
}

/* PLAN_LEAVE or PLAN_DELETE when the rows are surely the known messages, else PLAN_COMPARE. */
static void
judge_group(struct planner *p, struct plan_group *group, bool all_due)
{
	bool is_same, has_unknown = false;

	group->verdict = PLAN_COMPARE;
	group->delete_after = all_due;
	group->reason = PLAN_MISCOUNTED;
	if (group->listed != group->known)
		return;
	is_same = pair_by_size(p, group, &has_unknown);
	group->reason = has_unknown ? PLAN_SHARED_UNTOLD
		: is_same           ? PLAN_SHARED
				    : PLAN_SHARED_CHANGED;
	if (is_same && !has_unknown)
		group->verdict = all_due ? PLAN_DELETE : PLAN_LEAVE;
	else if (has_unknown && !all_due)
		/* Nothing says that they changed; to fetch them in every session would not end. */
		group->verdict = PLAN_LEAVE;
}

/* How many rows of a group could be fetched. */
static uint32_t
count_fetchable(const struct planner *p, const struct plan_group *group)
{
	uint32_t n = 0;

	for (uint32_t i = group->first_row; i != NO_ROW; i = p->next_row[i])
		n += !is_too_big(p, &p->rows[i]);
	return n;
}

static void
decide_group(struct planner *p, struct plan_group *group)
{
	bool all_due = true;
	uint32_t fetched;

	group->decided_in = p->pass;
	group->known = 0;
	for (struct uidl_entry *entry = group->first; entry != NULL;
		entry = uidl_find_next(p->uidl, entry)) {
		/* Whichever of them a row gets, it leads to the group. */
		entry->plan = group->first->plan;
		group->known++;
		all_due &= plan_is_due(p->policy, entry);
	}
	judge_group(p, group, all_due);
	if (group->verdict != PLAN_COMPARE) {
		mark_entries(p, group);
		return;
	}
	if (is_held_back(p, &p->rows[group->first_row])) {
		group->verdict = PLAN_SKIP_BROKEN;
		group->reason = PLAN_BROKE;
		return;
	}
	/*
	 * A part of them would leave known messages without a row, which would
	 * then count as vanished: all or none, and one more than the limit's last.
	 */
	fetched = count_fetchable(p, group);
	if (p->budget == 0)
		group->verdict = PLAN_SKIP_LIMIT;
	if (p->budget == 0 || fetched == 0)
		mark_entries(p, group);
	else
		p->budget -= fetched < p->budget ? fetched : p->budget;
}

/* A row of an id that is listed or known several times. */
static void
plan_shared(struct planner *p, struct plan_row *row, struct plan_group *group)
{
	if (group->decided_in != p->pass)
		decide_group(p, group);
	row->verdict = group->verdict;
	row->reason = group->reason;
	if (row->verdict == PLAN_LEAVE || row->verdict == PLAN_DELETE)
		return;
	if (is_too_big(p, row)) {
		row->verdict = PLAN_SKIP_BIG;
		row->reason = PLAN_TOO_BIG;
	} else if (row->verdict == PLAN_COMPARE) {
		row->is_shared = true;
		row->delete_after = group->delete_after;
		row->delete_if_new = deletes_new(p->policy);
	}
}

/* In the first entry of each id, how many rows have it. */
static void
count_rows(struct planner *p)
{
	for (size_t i = 0; i < p->count; i++) {
		struct plan_row *row = &p->rows[i];
		struct uidl_entry *entry = uidl_entry_at(p->uidl, row->entry);

		row->is_shared = row->delete_after = row->delete_if_new = false;
		if (entry != NULL)
			entry->plan++;
	}
}

static void
add_to_group(struct planner *p, uint32_t index)
{
	struct uidl_entry *first = uidl_entry_at(p->uidl, p->rows[index].entry);
	struct plan_group *group;

	if (p->next_row == NULL)
		p->next_row = xcalloc(p->count, sizeof *p->next_row);
	p->next_row[index] = NO_ROW;
	if ((first->plan & GROUP_BIT) != 0) {
		group = &p->groups[first->plan & ~GROUP_BIT];
		p->next_row[group->last_row] = index;
		group->last_row = index;
		return;
	}
	if (p->group_count == p->group_size) {
		p->group_size = p->group_size != 0 ? 2 * p->group_size : 16;
		p->groups = xreallocarray(p->groups, p->group_size, sizeof *p->groups);
	}
	p->groups[p->group_count] = (struct plan_group){
		.first = first, .listed = first->plan, .first_row = index, .last_row = index};
	first->plan = GROUP_BIT | p->group_count++;
}

static void
make_groups(struct planner *p)
{
	for (size_t i = 0; i < p->count; i++) {
		const struct uidl_entry *first = uidl_entry_at(p->uidl, p->rows[i].entry);

		if (first != NULL && (first->plan != 1 || uidl_find_next(p->uidl, first) != NULL))
			add_to_group(p, (uint32_t)i);
	}
}

static void
add_up(const struct plan_row *row, struct plan_totals *totals)
{
	switch ((enum plan_verdict)row->verdict) {
	case PLAN_FETCH:
	case PLAN_COMPARE:
		totals->fetch++;
		/* A server's sizes may add up to more than there are numbers. */
		if (row->octets != LINK_OCTETS_UNKNOWN &&
			__builtin_add_overflow(
				totals->fetch_octets, row->octets, &totals->fetch_octets))
			totals->fetch_octets = UINT64_MAX;
		break;
	case PLAN_DELETE:
		totals->delete ++;
		break;
	case PLAN_LEAVE:
		totals->leave++;
		break;
	case PLAN_SKIP_BIG:
	case PLAN_SKIP_LIMIT:
	case PLAN_SKIP_OLD:
		totals->skip++;
		break;
	case PLAN_SKIP_BROKEN:
		totals->broken++;
		break;
	}
}

static void
plan_row(struct planner *p, size_t index)
{
	struct plan_row *row = &p->rows[index];
	struct uidl_entry *first = uidl_entry_at(p->uidl, row->entry);

	if (first == NULL) {
		plan_new(p, index, row->none && p->has_idless);
	} else if ((first->plan & GROUP_BIT) != 0) {
		plan_shared(p, row, &p->groups[first->plan & ~GROUP_BIT]);
	} else {
		plan_known(p, row);
		first->plan = 0;
	}
}

/* What was held back is all that is left to do, or it waits. */
static void
plan_broken(struct planner *p, struct plan_totals *totals)
{
	bool is_idle = totals->fetch == 0 && totals->delete == 0 && p->budget != 0;

	p->pass = 2;
	for (size_t i = 0; i < p->count; i++) {
		if (p->rows[i].verdict != PLAN_SKIP_BROKEN)
			continue;
		totals->broken--;
		if (is_idle)
			plan_row(p, i);
		add_up(&p->rows[i], totals);
	}
	for (uint32_t i = 0; i < p->group_count; i++) {
		if (p->groups[i].verdict == PLAN_SKIP_BROKEN)
			mark_entries(p, &p->groups[i]);
	}
}

void
plan(struct plan_row *rows, size_t count, struct uidl *uidl, const struct plan_policy *policy,
	struct plan_totals *totals)
{
	struct planner p = {
		.rows = rows,
		.count = count,
		.uidl = uidl,
		.policy = policy,
		.budget = policy->only_deletes                     ? 0
			: policy->max_messages != ACCOUNT_NO_LIMIT ? policy->max_messages
								   : UINT32_MAX,
		.pass = 1,
		.has_idless = uidl_find(uidl, &(struct uidl_id){.none = true}) != NULL,
	};

	assert(count < GROUP_BIT);
	*totals = (struct plan_totals){0};
	count_rows(&p);
	make_groups(&p);
	for (size_t i = 0; i < count; i++) {
		plan_row(&p, i);
		add_up(&rows[i], totals);
	}
	if (totals->broken != 0)
		plan_broken(&p, totals);
	totals->groups = p.groups;
	free(p.next_row);
}

void
plan_forget_grounds(struct plan_totals *totals)
{
	free(totals->groups);
	totals->groups = NULL;
}

static const char *
day_text(char out[static DAY_SIZE], int64_t when)
{
	time_t seconds = when;
	struct tm tm;

	if (localtime_r(&seconds, &tm) == NULL || strftime(out, DAY_SIZE, "%Y-%m-%d", &tm) == 0)
		snprintf(out, DAY_SIZE, "a day far away");
	return out;
}

static const char *
span_text(char out[static SPAN_SIZE], int64_t seconds)
{
	int64_t unit = seconds % 86400 == 0 ? 86400 : seconds % 3600 == 0 ? 3600 : 1;
	const char *name = unit == 86400 ? "day" : unit == 3600 ? "hour" : "second";

	snprintf(out, SPAN_SIZE, "%" PRId64 " %s%s", seconds / unit, name,
		seconds == unit ? "" : "s");
	return out;
}

static const char *
octets_text(char out[static OCTETS_SIZE], uint64_t octets)
{
	if (octets == LINK_OCTETS_UNKNOWN)
		snprintf(out, OCTETS_SIZE, "not told");
	else
		snprintf(out, OCTETS_SIZE, "%" PRIu64, octets);
	return out;
}

static void
explain_left_out(const struct plan_row *row, const struct plan_policy *policy,
	char out[static PLAN_REASON_SIZE])
{
	if (row->reason == PLAN_TOO_BIG)
		snprintf(out, PLAN_REASON_SIZE, "bigger than max-size (%" PRIu64 " > %" PRIu64 ")",
			row->octets, policy->max_size);
	else if (row->reason == PLAN_NOT_NEWEST)
		snprintf(out, PLAN_REASON_SIZE, "not among the newest %" PRIu32, policy->newest);
	else if (policy->only_deletes)
		snprintf(out, PLAN_REASON_SIZE, "next session: this one deletes what waits");
	else
		snprintf(out, PLAN_REASON_SIZE, "beyond max-messages (%" PRIu32 ")",
			policy->max_messages);
}

static void
explain_known(const struct plan_row *row, const struct uidl_entry *entry,
	const struct plan_policy *policy, char out[static PLAN_REASON_SIZE])
{
	char day[DAY_SIZE], span[SPAN_SIZE];

	day_text(day, entry->when);
	if (row->reason == PLAN_KNOWN)
		snprintf(out, PLAN_REASON_SIZE, "known since %s", day);
	else if (policy->keep.kind == ACCOUNT_KEEP_NEVER)
		snprintf(out, PLAN_REASON_SIZE, "known since %s, not to be kept", day);
	else
		snprintf(out, PLAN_REASON_SIZE, "known since %s, older than %s", day,
			span_text(span, policy->keep.seconds));
}

static void
explain_doubt(const struct plan_row *row, const struct uidl_entry *entry,
	char out[static PLAN_REASON_SIZE])
{
	char day[DAY_SIZE], now[OCTETS_SIZE], before[OCTETS_SIZE];
	const char *more = row->reason == PLAN_DOUBTFUL_BIG ? ", too big"
		: row->reason == PLAN_DOUBTFUL_LATER        ? ", next session"
							    : "";

	snprintf(out, PLAN_REASON_SIZE, "known since %s, size %s, was %s%s",
		day_text(day, entry->when), octets_text(now, row->octets),
		octets_text(before, entry->octets), more);
}

static void
explain_shared(const struct plan_row *row, const struct plan_group *group,
	char out[static PLAN_REASON_SIZE])
{
	if (row->reason == PLAN_MISCOUNTED)
		snprintf(out, PLAN_REASON_SIZE,
			"id listed %" PRIu32 " time%s, known %" PRIu32 " time%s", group->listed,
			plural(group->listed), group->known, plural(group->known));
	else
		snprintf(out, PLAN_REASON_SIZE, "known, id shared by %" PRIu32 " messages%s",
			group->known,
			row->reason == PLAN_SHARED_CHANGED          ? ", sizes changed"
				: row->reason == PLAN_SHARED_UNTOLD ? ", sizes not told"
								    : "");
}

void
plan_explain(const struct plan_row *row, const struct plan_grounds *grounds,
	char out[static PLAN_REASON_SIZE])
{
	const struct uidl_entry *entry = uidl_entry_at(grounds->uidl, row->entry);
	const struct plan_policy *policy = grounds->policy;

	switch ((enum plan_reason)row->reason) {
	case PLAN_NEW:
		snprintf(out, PLAN_REASON_SIZE, "new");
		break;
	case PLAN_BROKE:
		snprintf(out, PLAN_REASON_SIZE,
			"the last sessions broke off at it: only when there is nothing else to do");
		break;
	case PLAN_WITHOUT_ID:
		snprintf(out, PLAN_REASON_SIZE, "new or delivered before: the server gives no ids");
		break;
	case PLAN_TOO_BIG:
	case PLAN_BEYOND_LIMIT:
	case PLAN_NOT_NEWEST:
		explain_left_out(row, policy, out);
		break;
	case PLAN_KNOWN:
	case PLAN_DUE:
		explain_known(row, entry, policy, out);
		break;
	case PLAN_DOUBTFUL:
	case PLAN_DOUBTFUL_BIG:
	case PLAN_DOUBTFUL_LATER:
		explain_doubt(row, entry, out);
		break;
	case PLAN_MISCOUNTED:
	case PLAN_SHARED:
	case PLAN_SHARED_CHANGED:
	case PLAN_SHARED_UNTOLD:
		/* All entries of its id lead to the group. */
		explain_shared(row, &grounds->totals->groups[entry->plan & ~GROUP_BIT], out);
		break;
	}
}
