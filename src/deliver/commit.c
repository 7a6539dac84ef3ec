#include "deliver/commit.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/xalloc.h"

struct commit {
	struct commit_settings settings;
	struct commit_item *items;
	size_t count, size;
	size_t staged;   /* of them at the destination */
	uint64_t octets; /* of the staged */
	struct link_credit credit;
	bool ends_tries; /* some were not published: their `try` records are to be ended */
	bool has_open_tries;
};

struct commit *
commit_new(const struct commit_settings *settings)
{
	struct commit *commit = xcalloc(1, sizeof *commit);

	commit->settings = *settings;
	return commit;
}

void
commit_free(struct commit *commit)
{
	if (commit == NULL)
		return;
	free(commit->items);
	free(commit);
}

void
commit_add(struct commit *commit, const struct commit_item *item)
{
	struct commit_item *own;

	if (commit->count == commit->size) {
		commit->size = commit->size != 0 ? 2 * commit->size : 64;
		commit->items = xreallocarray(commit->items, commit->size, sizeof *commit->items);
	}
	own = &commit->items[commit->count++];
	*own = *item;
	own->is_published = false;
	if (own->fate == COMMIT_DELIVER) {
		own->index = commit->staged++;
		commit->octets += own->octets;
	}
	commit->settings.roster->states[own->row] = MESSAGE_STAGED;
}

bool
commit_is_empty(const struct commit *commit)
{
	return commit->count == 0;
}

bool
commit_is_full(const struct commit *commit)
{
	const struct dest_limits *limits = dest_limits(commit->settings.dest);

	return commit->count >= limits->group_messages || commit->octets >= limits->group_octets;
}

bool
commit_has_open_tries(const struct commit *commit)
{
	return commit->has_open_tries;
}

static const struct plan_row *
row_of(const struct commit *commit, size_t row)
{
	return &commit->settings.roster->rows[row];
}

/* Tell the fetcher; the credit goes back in one frame for the whole group. */
static void
settle(struct commit *commit, size_t row, enum link_outcome outcome)
{
	static const enum message_state states[] = {
		[LINK_OUTCOME_LEAVE] = MESSAGE_KEPT,
		[LINK_OUTCOME_DELETE] = MESSAGE_DELETING,
		[LINK_OUTCOME_FAILED] = MESSAGE_FAILED,
	};
	const struct plan_row *listed = row_of(commit, row);

	commit->settings.roster->states[row] = (unsigned char)states[outcome];
	link_put_settled(commit->settings.fetcher, listed->number, outcome);
	commit->credit.messages++;
	if (listed->octets != LINK_OCTETS_UNKNOWN)
		commit->credit.octets += listed->octets;
}

static void
give_credit_back(struct commit *commit)
{
	if (commit->credit.messages != 0)
		link_put_credit(commit->settings.fetcher, &commit->credit);
	commit->credit = (struct link_credit){0};
}

void
commit_fail(struct commit *commit, size_t row, const struct error *err)
{
	tally_fail(commit->settings.tally, row_of(commit, row), err);
	settle(commit, row, LINK_OUTCOME_FAILED);
	give_credit_back(commit);
}

/* Step 1. */
static int
prepare(struct commit *commit, struct error *err)
{
	return commit->staged != 0 ? dest_prepare(commit->settings.dest, err) : 0;
}

/* Step 2. */
static int
record_tries(struct commit *commit, struct error *err)
{
	struct uidl *uidl = commit->settings.uidl;

	for (size_t i = 0; i < commit->count; i++) {
		const struct commit_item *item = &commit->items[i];
		const struct plan_row *row = row_of(commit, item->row);
		struct uidl_id id = roster_id(commit->settings.roster, row);
		const char *token;

		if (item->fate != COMMIT_DELIVER)
			continue;
		token = dest_token(commit->settings.dest, item->index);
		if (token != NULL)
			uidl_add_try(uidl, token, row->octets, &item->digest, &id);
	}
	return uidl_commit(uidl, err);
}

static void
fail_delivery(struct commit *commit, struct commit_item *item, const struct error *err)
{
	item->is_published = false;
	tally_fail(commit->settings.tally, row_of(commit, item->row), err);
	settle(commit, item->row, LINK_OUTCOME_FAILED);
}

/* All that was to be delivered fails for one reason; what is only recorded does not. */
static void
fail_deliveries(struct commit *commit, bool only_published, const struct error *err)
{
	for (size_t i = 0; i < commit->count; i++) {
		struct commit_item *item = &commit->items[i];

		if (item->fate == COMMIT_DELIVER && (item->is_published || !only_published))
			fail_delivery(commit, item, err);
	}
}

/* Steps 3 and 4. */
static void
publish(struct commit *commit)
{
	struct error err;

	for (size_t i = 0; i < commit->count; i++) {
		struct commit_item *item = &commit->items[i];

		if (item->fate != COMMIT_DELIVER)
			continue;
		item->is_published = true;
		if (dest_publish(commit->settings.dest, item->index, &err) == 0)
			continue;
		fail_delivery(commit, item, &err);
		commit->ends_tries = true;
	}
	if (dest_seal(commit->settings.dest, &err) != 0) {
		/*
		 * Whether they are there for good only the next start can tell, by the `try`
		 * records.
		 */
		fail_deliveries(commit, true, &err);
		commit->has_open_tries = true;
		commit->ends_tries = false;
	}
}

/* Step 5. */
static int
record_got(struct commit *commit, struct error *err)
{
	struct uidl *uidl = commit->settings.uidl;
	int64_t now = clock_wall_seconds(), when = uidl_delivery_time(uidl, now);

	for (size_t i = 0; i < commit->count; i++) {
		struct commit_item *item = &commit->items[i];
		const struct plan_row *row = row_of(commit, item->row);
		struct uidl_id id = roster_id(commit->settings.roster, row);

		if (item->fate == COMMIT_KNOWN ||
			(item->fate == COMMIT_DELIVER && !item->is_published))
			continue;
		if (item->retired != NULL)
			uidl_add_off(uidl, item->retired, now);
		item->entry = uidl_add_got(uidl, when, row->octets, &item->digest, &id);
		item->entry->mark = true;
		if (item->fate == COMMIT_RECORD)
			uidl_add_bye(uidl, item->source);
	}
	/*
	 * Behind the `got`: a torn write may lose it, which does no harm, but not those before it.
	 */
	if (commit->ends_tries && !commit->has_open_tries)
		uidl_clear_tries(uidl);
	commit->ends_tries = false;
	return uidl_commit(uidl, err);
}

/* Step 6. */
static void
settle_all(struct commit *commit)
{
	struct tally *tally = commit->settings.tally;

	for (size_t i = 0; i < commit->count; i++) {
		const struct commit_item *item = &commit->items[i];

		if (item->entry == NULL)
			continue;
		commit->settings.roster->rows[item->row].entry = item->entry->index;
		tally->done++;
		if (item->fate == COMMIT_DELIVER) {
			tally->fetched++;
			tally->octets += item->octets;
		}
		settle(commit, item->row, item->deletes ? LINK_OUTCOME_DELETE : LINK_OUTCOME_LEAVE);
	}
}

int
commit_flush(struct commit *commit, struct error *err)
{
	struct error reason;
	int result = 0;

	if (commit->count == 0)
		return 0;
	if (prepare(commit, &reason) != 0) {
		fail_deliveries(commit, false, &reason);
	} else if (record_tries(commit, err) != 0) {
		fail_deliveries(commit, false, err);
		result = -1;
	} else if (commit->staged != 0) {
		publish(commit);
	}
	if (result == 0)
		result = record_got(commit, err);
	/*
	 * The locks are held until here: nobody may change an mbox between its append and its
	 * `got`.
	 */
	if (commit->staged != 0)
		dest_finish(commit->settings.dest);
	if (result == 0)
		settle_all(commit);
	else
		commit->has_open_tries = true;
	give_credit_back(commit);
	commit->count = commit->staged = 0;
	commit->octets = 0;
	return result;
}
