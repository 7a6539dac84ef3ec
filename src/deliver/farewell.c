#include "deliver/farewell.h"

#include "base/clock.h"
#include "base/quote.h"

int
farewell_take_deletion(struct farewell *farewell, struct roster *roster, struct tally *tally,
	const struct link_frame *frame, struct error *err)
{
	ssize_t row = roster_find(roster, frame->number, err);
	char quoted[QUOTE_SIZE];
	struct error reason;

	if (row < 0)
		return -1;
	if (roster->states[row] != MESSAGE_DELETING || farewell->is_gone)
		return peer_out_of_turn(frame, err);
	if (frame->type == LINK_DELETED) {
		roster->states[row] = MESSAGE_DELETED;
		farewell->deleted++;
		return 0;
	}
	roster->states[row] = MESSAGE_KEPT;
	error_set(&reason, ERROR_DELIVERY_TEMP,
		"kept here, but the server does not delete it: \"%s\"",
		quote_bytes(quoted, frame->data, frame->data_len));
	tally_tell(tally, &roster->rows[row], &reason);
	return 0;
}

int
farewell_take_quitting(const struct farewell *farewell, struct uidl *uidl, struct link *fetcher,
	const struct link_frame *frame, struct error *err)
{
	if (farewell->is_gone || farewell->deleted == 0)
		return peer_out_of_turn(frame, err);
	uidl_add_number(uidl, UIDL_DELETING_WHEN, clock_wall_seconds());
	if (uidl_commit(uidl, err) != 0)
		return -1;
	link_put(fetcher, LINK_AGREED);
	return 0;
}

int
farewell_take_gone(struct farewell *farewell, struct roster *roster, struct uidl *uidl,
	const struct link_frame *frame, struct error *err)
{
	int64_t now = clock_wall_seconds();
	size_t recorded = 0;

	if (farewell->is_gone || farewell->deleted == 0)
		return peer_out_of_turn(frame, err);
	farewell->is_gone = true;
	/* Before others come to those of the sessions before. */
	if (roster_forget_gone(roster, now, err) != 0)
		return -1;
	for (size_t i = 0; i < roster->count; i++) {
		struct uidl_entry *entry;

		if (roster->states[i] != MESSAGE_DELETED)
			continue;
		/* Two messages may have come to one record. */
		entry = uidl_entry_at(uidl, roster->rows[i].entry);
		if (entry->status == UIDL_GOT && !entry->none)
			uidl_add_gone(uidl, entry, now);
		else if (entry->status == UIDL_GOT || entry->status == UIDL_OFF)
			uidl_add_bye(uidl, entry);
		if (++recorded % ROSTER_RECORDS_BATCH == 0 && uidl_commit(uidl, err) != 0)
			return -1;
	}
	uidl_add_number(uidl, UIDL_DELETING_WHEN, 0);
	return uidl_commit(uidl, err);
}

int
farewell_check_well(const struct roster *roster, const struct peer *peer, struct error *err)
{
	size_t owed = 0;

	for (size_t i = 0; i < roster->count; i++)
		owed += roster->states[i] == MESSAGE_AWAITED || roster->states[i] == MESSAGE_HEAD ||
			roster->states[i] == MESSAGE_OPEN;
	if (owed == 0 || peer->is_stopped)
		return 0;
	return error_set(err, ERROR_BUG,
		"the fetcher says that all is well, and %zu message%s that it was to fetch did not "
		"come",
		owed, plural(owed));
}

int
farewell_add_vanished(const struct farewell *farewell, struct roster *roster,
	const struct peer *peer, struct error *err)
{
	int64_t now = clock_wall_seconds();

	if (roster_add_off_unmatched(roster, now, err) != 0)
		return -1;
	/*
	 * Before QUIT this was done already, and those of a reply out of turn are not recognised.
	 */
	if (farewell->is_gone || peer->out_of_step || peer->doubtful != 0)
		return 0;
	return roster_forget_gone(roster, now, err);
}

bool
farewell_is_lock_step(const struct uidl_facts *facts, int64_t now)
{
	int64_t when = facts->numbers[UIDL_LOCK_STEP_WHEN];

	/* A time of the future is one of a wrong clock, and would hold for years. */
	return when != 0 && when <= now && now - when < FAREWELL_LOCK_STEP_SECONDS;
}

/* The session left in good order, but without the QUIT that its deletions need. */
static bool
has_waiting_deletions(const struct farewell *farewell, const struct roster *roster)
{
	if (farewell->is_gone || !roster->has_uidl)
		return false;
	for (size_t i = 0; i < roster->count; i++) {
		if (roster->states[i] == MESSAGE_DELETING)
			return true;
	}
	return false;
}

/*
 * How a session that went well leaves the mailbox. A message that fails in every
 * session must not hold back the deletions of the others for ever.
 */
static void
add_leaving(const struct farewell *farewell, const struct roster *roster, struct uidl *uidl)
{
	const int64_t *numbers = uidl_facts(uidl)->numbers;
	bool waits = has_waiting_deletions(farewell, roster);
	int64_t now = clock_wall_seconds();

	if (waits != (numbers[UIDL_UNQUIT_WHEN] != 0))
		uidl_add_number(uidl, UIDL_UNQUIT_WHEN, waits ? now : 0);
	/* An empty listing tells nothing of what is gone, only that it may be. */
	if (roster->count == 0 && numbers[UIDL_EMPTIED_WHEN] == 0)
		uidl_add_number(uidl, UIDL_EMPTIED_WHEN, now);
}

/*
 * A reply taken for the next one's would leave a message unfetched under an id that counts as
 * got. What has come all the same is known by its digest, whichever id it was recorded under.
 */
static void
doubt_messages(const struct roster *roster, struct uidl *uidl, uint32_t first, int64_t now)
{
	for (size_t i = 0; i < roster->count; i++) {
		const struct plan_row *row = &roster->rows[i];
		struct uidl_entry *entry;

		if (row->number < first ||
			(row->verdict != PLAN_FETCH && row->verdict != PLAN_COMPARE) ||
			!roster_has_record(roster, i))
			continue;
		entry = uidl_entry_at(uidl, row->entry);
		if (entry->status == UIDL_GOT)
			uidl_add_off(uidl, entry, now);
	}
}

void
farewell_add_facts(const struct farewell *farewell, const struct roster *roster, struct uidl *uidl,
	const struct farewell_facts *found)
{
	const struct uidl_facts *facts = uidl_facts(uidl);
	uint32_t before = facts->failures_class == ERROR_AUTH ? facts->failures : 0;
	int64_t now = clock_wall_seconds();

	if (found->peer->doubtful != 0)
		doubt_messages(roster, uidl, found->peer->doubtful, now);
	if (found->peer->no_pipelining && !farewell_is_lock_step(facts, now))
		uidl_add_number(uidl, UIDL_LOCK_STEP_WHEN, now);
	/* It may have CAPA no more: from the next session on it is done without. */
	if (found->peer->capa_broke)
		uidl_add_number(uidl, UIDL_CAPA_WHEN, 0);
	if (found->failure != NULL && found->failure->class == ERROR_AUTH)
		uidl_add_failures(uidl, before + 1, now, ERROR_AUTH);
	else if (found->has_logged_in && facts->failures != 0)
		uidl_add_failures(uidl, 0, now, ERROR_AUTH);
	if (found->failure == NULL)
		add_leaving(farewell, roster, uidl);
	if (found->relisted != 0)
		uidl_add_number(uidl, UIDL_RELISTED, facts->numbers[UIDL_RELISTED] + 1);
	else if (found->failure == NULL && roster->count != 0)
		uidl_add_number(uidl, UIDL_RELISTED, 0);
}
