#include "deliver/intake.h"

#include "base/clock.h"
#include "base/log.h"

/* Since when the server is as it is: a server that stays the same costs no record. */
static void
remember(struct intake *intake, enum uidl_number which, bool is_so)
{
	if (is_so != (uidl_facts(intake->roster->uidl)->numbers[which] != 0))
		uidl_add_number(intake->roster->uidl, which, is_so ? clock_wall_seconds() : 0);
}

static int
take_server(struct intake *intake, const struct link_frame *frame, struct error *err)
{
	const struct uidl_facts *facts = uidl_facts(intake->roster->uidl);
	const struct link_memory *memory = &frame->u.server.memory;
	int64_t delay = frame->u.server.login_delay;

	if (intake->has_server)
		return peer_out_of_turn(frame, err);
	intake->has_server = true;
	intake->without_id = frame->u.server.without_id;
	/* Most servers ask for no delay: then an idle poll writes nothing. */
	if (delay != 0 || facts->login_delay != 0)
		uidl_add_login(intake->roster->uidl, intake->login_when, delay);
	remember(intake, UIDL_CAPA_WHEN, memory->has_capa);
	remember(intake, UIDL_EXPIRE_NOW_WHEN, memory->expire_now);
	remember(intake, UIDL_UTF8_WHEN, memory->utf8);
	return 0;
}

/* A session that broke in its first listing, and was begun anew, has two of them. */
static int
begin_listing(struct intake *intake, const struct link_frame *frame, struct error *err)
{
	if (frame->value > 1 || intake->has_server)
		return peer_out_of_turn(frame, err);
	intake->has_listing = true;
	roster_begin(intake->roster, frame->value == 1);
	return 0;
}

/*
 * The command that gives the token is run once more, for a fetcher that may have been taken over:
 * so only once, only before a login, and only for an account that logs in with a token, which that
 * fetcher had before.
 */
static int
give_token(struct intake *intake, const struct link_frame *frame, struct error *err)
{
	struct secret token = {0};
	struct error failure;
	int result;

	if (intake->gave_token || intake->has_listing || intake->login_when != 0 ||
		intake->settings->renew_token == NULL || !account_has_token(intake->account))
		return peer_out_of_turn(frame, err);
	intake->gave_token = true;
	if (intake->settings->renew_token(intake->account, &token, &failure) != 0) {
		if (peer_is_interrupted(intake->peer))
			return error_set(err, ERROR_INTERRUPTED,
				"interrupted while a fresh token was waited for");
		/* The server's refusal, of which the fetcher tells, stays the session's error. */
		log_warn("no fresh token: %s", failure.text);
	}
	result = peer_send_token(intake->peer, &token, err);
	secret_release(&token);
	return result;
}

/* 1 when the listing is complete. */
static int
take_frame(struct intake *intake, const struct link_frame *frame, struct error *err)
{
	switch (frame->type) {
	case LINK_PHASE:
		if (frame->value > LINK_PHASE_LOGGED_IN || intake->has_server)
			return peer_out_of_turn(frame, err);
		if (frame->value == LINK_PHASE_LOGGED_IN)
			intake->login_when = clock_wall_seconds();
		return 0;
	case LINK_WANT_TOKEN:
		return give_token(intake, frame, err);
	case LINK_LISTING:
		return begin_listing(intake, frame, err);
	case LINK_ROW:
		return roster_add(intake->roster, &frame->u.row, err);
	case LINK_SIZES:
		return roster_add_sizes(intake->roster, frame->data, frame->data_len, err);
	case LINK_SERVER:
		return take_server(intake, frame, err);
	case LINK_LISTED:
		if (!intake->has_server)
			return peer_out_of_turn(frame, err);
		return roster_complete(intake->roster, frame->value, err) == 0 ? 1 : -1;
	case LINK_RESULT:
		if (peer_take_result(intake->peer, frame, err) != 0)
			return -1;
		return error_set(
			err, ERROR_BUG, "the fetcher says that all is well without a listing");
	default:
		return peer_out_of_turn(frame, err);
	}
}

int
intake_run(struct intake *intake, struct error *err)
{
	struct link_frame frame;
	int result = 0;

	while (result == 0) {
		int found = peer_next(intake->peer, &frame, CLOCK_NEVER, err);

		if (found > 0)
			result = take_frame(intake, &frame, err);
		else if (found < 0 || peer_flush(intake->peer, err) != 0)
			result = -1;
	}
	if (result > 0)
		return 0;
	roster_clear(intake->roster);
	return -1;
}
