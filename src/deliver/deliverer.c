#include "deliver/deliverer.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/quote.h"
#include "base/xalloc.h"
#include "deliver/breaks.h"
#include "deliver/commit.h"
#include "deliver/dest/dest.h"
#include "deliver/farewell.h"
#include "deliver/intake.h"
#include "deliver/peer.h"
#include "deliver/plan.h"
#include "deliver/receive.h"
#include "deliver/resume.h"
#include "deliver/roster.h"
#include "deliver/show.h"
#include "deliver/tally.h"
#include "deliver/tell.h"
#include "deliver/state/uidl.h"
#include "deliver/welcome.h"

/* A group is committed when the link has been quiet for so long. */
#define QUIET_MS 50

#define PROGRESS_MS 200

/* How much of the link is read ahead while a command runs, in units of its credit. */
#define READ_AHEAD 2

/* Octets queued for the poller or the fetcher before they are written in between. */
#define QUEUE_MAX (256 * 1024)

/* The poller has so long to take the lines for standard output: it may be writing to a pager. */
#define TEXT_MS (60 * 60 * 1000)

struct deliverer {
	const struct account *account;
	const struct deliverer_settings *settings;
	struct uidl *uidl;
	struct dest *dest; /* NULL in modes that change nothing */

	/* the session */
	struct peer peer;
	pid_t fetcher; /* 0: not known */
	struct link *poller;
	struct farewell farewell;
	struct roster roster;
	struct tally tally;
	struct commit *commit;
	struct receive *receive;
	struct plan_policy policy;
	struct plan_totals totals;
	struct intake intake;
	struct tell tell;
	int64_t progress_due;
	struct resume resume;
};

static bool
is_reading_only(const struct deliverer *d)
{
	return d->settings->mode != DELIVERER_FETCH;
}

static int
open_state(struct deliverer *d, struct error *err)
{
	enum uidl_access access = is_reading_only(d) ? UIDL_READ_ONLY : UIDL_LOCKED;
	char *damaged = NULL, *doubt;

	d->uidl = uidl_open(d->settings->state_dir, d->account->name, access, &damaged, err);
	doubt = d->uidl != NULL ? welcome_describe_doubt(uidl_doubt(d->uidl), damaged) : NULL;
	if (doubt != NULL)
		log_line(uidl_doubt(d->uidl)->is_damaged ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "%s",
			doubt);
	free(doubt);
	free(damaged);
	return d->uidl != NULL ? 0 : -1;
}

static int
open_destination(struct deliverer *d, struct error *err)
{
	size_t dropped, settled, delivered;
	int64_t owner;

	if (welcome_drop_others_tries(
		    d->settings->state_dir, d->account->name, d->uidl, &dropped, err) != 0)
		return -1;
	if (dropped != 0)
		log_info("another user's session died while delivering %zu message%s: fetched once "
			 "more",
			dropped, plural(dropped));
	if (welcome_settle_tries(d->account, d->uidl, &settled, &delivered, err) != 0)
		return -1;
	if (settled != 0)
		log_info("an earlier session died while delivering %zu message%s: %zu had arrived",
			settled, plural(settled), delivered);
	if (welcome_own_id(d->uidl, &owner, err) != 0)
		return -1;
	d->dest = dest_open(d->account, owner, err);
	if (d->dest == NULL)
		return -1;
	dest_sweep(d->dest);
	uidl_add_dest(d->uidl, d->account->dest.text);
	return 0;
}

struct deliverer *
deliverer_open(
	const struct account *account, const struct deliverer_settings *settings, struct error *err)
{
	struct deliverer *d = xcalloc(1, sizeof *d);

	d->account = account;
	d->settings = settings;
	d->resume = (struct resume){.state_dir = settings->state_dir,
		.account = account,
		.changes_nothing = is_reading_only(d)};
	if (open_state(d, err) != 0)
		goto fail;
	if (!settings->ignore_back_off &&
		welcome_check_back_off(account, uidl_facts(d->uidl), clock_wall_seconds(), err) !=
			0)
		goto fail;
	if (!is_reading_only(d) && open_destination(d, err) != 0)
		goto fail;
	if (welcome_wait_login_delay(uidl_facts(d->uidl), settings->stop, err) != 0)
		goto fail;
	return d;
fail:
	deliverer_free(d);
	return NULL;
}

void
deliverer_free(struct deliverer *d)
{
	if (d == NULL)
		return;
	receive_free(d->receive);
	commit_free(d->commit);
	dest_close(d->dest);
	roster_release(&d->roster);
	plan_forget_grounds(&d->totals);
	tally_release(&d->tally);
	resume_release(&d->resume);
	uidl_close(d->uidl);
	free(d);
}

bool
deliverer_wants_lock_step(const struct deliverer *d)
{
	return farewell_is_lock_step(uidl_facts(d->uidl), clock_wall_seconds());
}

struct link_memory
deliverer_memory(const struct deliverer *d)
{
	return welcome_memory(uidl_facts(d->uidl));
}

static struct plan_grounds
grounds_of(const struct deliverer *d)
{
	return (struct plan_grounds){.uidl = d->uidl, .policy = &d->policy, .totals = &d->totals};
}

static int
make_plan(struct deliverer *d, struct error *err)
{
	const struct uidl_facts *facts = uidl_facts(d->uidl);
	const struct plan_grounds grounds = grounds_of(d);

	d->policy = (struct plan_policy){
		.keep = d->account->keep,
		.max_size = d->account->max_size,
		.max_messages = d->account->max_messages,
		.newest = d->account->newest,
		.only_deletes = d->roster.has_uidl && facts->numbers[UIDL_UNQUIT_WHEN] != 0 &&
			facts->numbers[UIDL_DELETING_WHEN] == 0,
		.now = clock_wall_seconds(),
	};
	if (d->settings->mode != DELIVERER_LIST && roster_doubt(&d->roster, &d->policy, err) != 0)
		return -1;
	breaks_mark(&d->roster);
	plan(d->roster.rows, d->roster.count, d->uidl, &d->policy, &d->totals);
	if (is_reading_only(d))
		return 0;
	tell_plan(d->account, &d->roster, &grounds);
	plan_forget_grounds(&d->totals);
	breaks_tell(&d->roster, &d->tally);
	return roster_add_off(&d->roster, d->policy.now, err);
}

static bool
ask_for(struct deliverer *d, size_t i)
{
	const struct plan_row *row = &d->roster.rows[i];

	switch ((enum plan_verdict)row->verdict) {
	case PLAN_FETCH:
	case PLAN_COMPARE:
		d->roster.states[i] = MESSAGE_AWAITED;
		link_put_action(d->peer.link, row->number, LINK_VERB_FETCH);
		return true;
	case PLAN_DELETE:
		d->roster.states[i] = MESSAGE_DELETING;
		link_put_action(d->peer.link, row->number, LINK_VERB_DELETE);
		return true;
	default:
		/* Nothing is written for what stays: of a big mailbox that is nearly all. */
		return false;
	}
}

/* A line for each message; nothing of what is shown needs an action, but for the headers. */
static bool
show_row(struct deliverer *d, struct buf *text, size_t i, const struct plan_grounds *grounds)
{
	if (d->settings->mode == DELIVERER_DRY_RUN) {
		show_plan_row(text, &d->roster, i, grounds);
		return false;
	}
	if (!d->settings->verbose) {
		show_list_row(text, &d->roster, i);
		return false;
	}
	d->roster.states[i] = MESSAGE_HEAD;
	link_put_action(d->peer.link, d->roster.rows[i].number, LINK_VERB_HEAD);
	return true;
}

/* What is queued for either side must not add up to as much as a listing of millions is. */
static int
flush_queues(struct deliverer *d, struct error *err)
{
	if (link_pending(d->poller) > QUEUE_MAX &&
		link_flush_all(d->poller, clock_monotonic_ms() + TEXT_MS, err) != 0)
		return error_prefix(err, "the poller");
	return link_pending(d->peer.link) > QUEUE_MAX ? peer_flush(&d->peer, err) : 0;
}

/* Lines for standard output, to the poller. */
static void
send_text(struct deliverer *d, struct buf *text)
{
	link_put_data(d->poller, LINK_TEXT, buf_data(text), text->len);
	buf_clear(text);
}

static int
show(struct deliverer *d, size_t *actions_out, struct error *err)
{
	const struct plan_grounds grounds = grounds_of(d);
	struct buf text = {0};
	int result = 0;

	if (d->settings->mode == DELIVERER_LIST)
		show_list_title(&text, d->account, &d->roster);
	for (size_t i = 0; i < d->roster.count && result == 0; i++) {
		*actions_out += show_row(d, &text, i, &grounds) ? 1 : 0;
		if (text.len > LINK_PAYLOAD_MAX / 2)
			send_text(d, &text);
		result = flush_queues(d, err);
	}
	if (d->settings->mode == DELIVERER_DRY_RUN)
		show_plan_totals(&text, d->account, &d->totals);
	send_text(d, &text);
	buf_release(&text);
	return result;
}

static void
start_receiving(struct deliverer *d)
{
	const struct link_credit *credit = &dest_limits(d->dest)->credit;
	struct commit_settings commit = {
		.roster = &d->roster,
		.uidl = d->uidl,
		.dest = d->dest,
		.fetcher = d->peer.link,
		.tally = &d->tally,
	};
	struct receive_settings receive = {
		.account = d->account,
		.roster = &d->roster,
		.uidl = d->uidl,
		.dest = d->dest,
		.tally = &d->tally,
		.stop = d->settings->stop,
	};

	d->commit = receive.commit = commit_new(&commit);
	d->receive = receive_new(&receive);
	dest_set_background(d->dest, d->peer.link, READ_AHEAD * (size_t)credit->octets);
	link_put_credit(d->peer.link, credit);
}

/*
 * The plan goes over whole; a refused server gets an empty one, so that the fetcher leaves in good
 * order.
 */
static int
send_plan(struct deliverer *d, bool is_refused, struct error *err)
{
	size_t actions = 0;

	if (!is_refused && is_reading_only(d)) {
		if (show(d, &actions, err) != 0)
			return -1;
	} else if (!is_refused) {
		for (size_t i = 0; i < d->roster.count; i++) {
			actions += ask_for(d, i) ? 1 : 0;
			if (flush_queues(d, err) != 0)
				return -1;
		}
		start_receiving(d);
	}
	link_put_value(d->peer.link, LINK_PLANNED, actions);
	return peer_flush(&d->peer, err);
}

static void
send_progress(struct deliverer *d, bool at_end)
{
	struct link_progress progress = {
		.messages = d->tally.done,
		.messages_total = d->totals.fetch,
		.octets = d->tally.octets_done,
		.octets_total = d->totals.fetch_octets,
	};
	struct error ignored;
	int64_t now = clock_monotonic_ms();

	if (is_reading_only(d) || d->totals.fetch == 0)
		return;
	if (!at_end && (now < d->progress_due || link_pending(d->poller) != 0))
		return;
	d->progress_due = now + PROGRESS_MS;
	if (d->receive != NULL)
		progress.octets = receive_octets(d->receive);
	link_put_progress(d->poller, &progress);
	/* A poller that is gone has sent its signal: the stop flag tells. */
	if (link_flush(d->poller, &ignored) != 0)
		d->progress_due = CLOCK_NEVER;
}

static int
take_head(struct deliverer *d, const struct link_frame *frame, struct error *err)
{
	ssize_t row = roster_find(&d->roster, frame->number, err);
	struct buf text = {0};

	if (row < 0)
		return -1;
	if (d->roster.states[row] != MESSAGE_HEAD)
		return peer_out_of_turn(frame, err);
	d->roster.states[row] = MESSAGE_IDLE;
	show_list_row(&text, &d->roster, (size_t)row);
	if (frame->type == LINK_HEAD)
		show_list_header(&text, frame->data, frame->data_len);
	send_text(d, &text);
	buf_release(&text);
	return 0;
}

/* 1 when it was the last. */
static int
take_frame(struct deliverer *d, const struct link_frame *frame, struct error *err)
{
	switch (frame->type) {
	case LINK_RESULT:
		return peer_take_result(&d->peer, frame, err) == 0 ? 1 : -1;
	case LINK_HEAD:
		return take_head(d, frame, err);
	case LINK_BEGIN:
	case LINK_DATA:
	case LINK_END:
	case LINK_CUT:
	case LINK_REFUSED:
		if (d->receive != NULL)
			return receive_take(d->receive, frame, err);
		return frame->type == LINK_REFUSED ? take_head(d, frame, err)
						   : peer_out_of_turn(frame, err);
	case LINK_DRAINED:
		if (d->receive == NULL || receive_is_open(d->receive))
			return peer_out_of_turn(frame, err);
		return commit_flush(d->commit, err);
	case LINK_DELETED:
	case LINK_UNDELETED:
		return farewell_take_deletion(&d->farewell, &d->roster, &d->tally, frame, err);
	case LINK_TICKET:
		return resume_take_frame(&d->resume, &d->peer, frame, err);
	case LINK_QUITTING:
		return farewell_take_quitting(&d->farewell, d->uidl, d->peer.link, frame, err);
	case LINK_GONE:
		return farewell_take_gone(&d->farewell, &d->roster, d->uidl, frame, err);
	default:
		return peer_out_of_turn(frame, err);
	}
}

/*
 * A group whose time has come: it is full, or the link is quiet. Never while a message is on its
 * way.
 */
static int
commit_when_due(struct deliverer *d, bool is_quiet, struct error *err)
{
	if (d->commit == NULL || receive_is_open(d->receive))
		return 0;
	if (!is_quiet && !commit_is_full(d->commit))
		return 0;
	return commit_flush(d->commit, err);
}

static int
after_frame(struct deliverer *d, struct error *err)
{
	tell_failures(&d->tell, &d->roster, &d->tally);
	send_progress(d, false);
	/*
	 * A full disk, a lock that is held, a command that cannot be run: the rest would fail
	 * alike.
	 */
	if (d->tally.has_trouble || peer_is_interrupted(&d->peer))
		peer_stop(&d->peer);
	if (is_reading_only(d) && link_flush(d->poller, err) != 0)
		return error_prefix(err, "the poller");
	return peer_flush(&d->peer, err);
}

/* Everything after the plan, until the fetcher's result. */
static int
carry_out(struct deliverer *d, struct error *err)
{
	struct link_frame frame;
	int result = 0;

	while (result == 0) {
		bool waits_for_quiet = d->commit != NULL && !commit_is_empty(d->commit) &&
			!receive_is_open(d->receive);
		int64_t quiet = waits_for_quiet ? clock_monotonic_ms() + QUIET_MS : CLOCK_NEVER;
		int found = peer_next(&d->peer, &frame, quiet, err);

		if (found < 0)
			return -1;
		if (found > 0)
			result = take_frame(d, &frame, err);
		if (result == 0 && commit_when_due(d, found == 0, err) != 0)
			return -1;
		if (result == 0 && after_frame(d, err) != 0)
			return -1;
	}
	return result < 0 ? -1 : 0;
}

static int
run_session(struct deliverer *d, struct error *err)
{
	struct error refusal;
	bool is_refused;

	if (intake_run(&d->intake, err) != 0)
		return -1;
	is_refused = d->settings->mode != DELIVERER_LIST &&
		welcome_check_server(d->account, d->roster.has_uidl, &refusal) != 0;
	if (!is_refused && make_plan(d, err) != 0)
		return -1;
	if (send_plan(d, is_refused, err) != 0 || carry_out(d, err) != 0 ||
		farewell_check_well(&d->roster, &d->peer, err) != 0)
		return -1;
	if (is_refused)
		*err = refusal;
	return is_refused ? -1 : 0;
}

/* What the session has broken off at, if that is not our own doing. */
static void
note_break(struct deliverer *d, const struct error *failure)
{
	ssize_t broke_at = receive_broke_at(d->receive);
	bool is_to_blame = broke_at >= 0 && failure != NULL && !d->tally.has_trouble &&
		!d->peer.out_of_step && breaks_is_to_blame(failure, d->fetcher);

	breaks_settle(&d->roster, broke_at, is_to_blame);
}

/* The last words of the state. Complete messages are committed even when the fetcher has died. */
static int
finish_state(struct deliverer *d, int result, struct error *err)
{
	struct error failure;
	int finished = 0;

	if (d->receive != NULL) {
		receive_abandon(d->receive);
		finished = commit_flush(d->commit, &failure);
		tell_failures(&d->tell, &d->roster, &d->tally);
	}
	if (finished == 0) {
		/* A session that broke before the server's facts came was a login all the same. */
		if (d->intake.login_when != 0 && !d->intake.has_server &&
			uidl_facts(d->uidl)->login_delay != 0)
			uidl_add_login(
				d->uidl, d->intake.login_when, uidl_facts(d->uidl)->login_delay);
		farewell_add_facts(&d->farewell, &d->roster, d->uidl,
			&(struct farewell_facts){.peer = &d->peer,
				.has_logged_in = d->intake.login_when != 0,
				.relisted = d->tally.relisted,
				.failure = result != 0 ? err : NULL});
		if (d->roster.is_complete && d->commit != NULL) {
			note_break(d, result != 0 ? err : NULL);
			finished =
				farewell_add_vanished(&d->farewell, &d->roster, &d->peer, &failure);
		}
		if (finished == 0)
			finished = uidl_commit(d->uidl, &failure);
	}
	tell_relisted(d->tally.relisted, uidl_facts(d->uidl)->numbers[UIDL_RELISTED]);
	if (finished != 0)
		*err = failure;
	else if (d->roster.is_complete && d->commit != NULL && !commit_has_open_tries(d->commit) &&
		uidl_compact(d->uidl, clock_wall_seconds(), &failure) != 0)
		log_warn("the state is not compacted: %s", failure.text);
	return finished != 0 ? -1 : result;
}

static void
fill_report(const struct deliverer *d, struct link_report *report)
{
	uint32_t gone = d->farewell.is_gone ? d->farewell.deleted : 0;
	int64_t delay = uidl_facts(d->uidl)->login_delay;

	report->fetched = d->tally.fetched;
	report->octets = d->tally.octets;
	report->deleted = gone;
	report->left = (uint32_t)d->roster.count - gone + d->intake.without_id;
	report->skipped = d->totals.skip + d->intake.without_id;
	report->failed = d->tally.failed;
	/* A state may be edited. */
	report->login_delay = delay > 0 && delay <= LINK_LOGIN_DELAY_MAX ? (uint32_t)delay : 0;
}

void
deliverer_take_ticket(struct deliverer *d, struct secret *out)
{
	resume_take(&d->resume, out);
}

void
deliverer_set_fetcher(struct deliverer *d, pid_t pid)
{
	d->fetcher = pid;
}

int
deliverer_run(struct deliverer *d, struct link *fetcher, struct link *poller,
	struct link_report *report, struct error *err)
{
	int64_t started = clock_monotonic_ms();
	int result;

	peer_init(&d->peer, fetcher, d->account, d->settings->stop);
	d->poller = poller;
	roster_init(&d->roster, d->uidl);
	d->intake = (struct intake){.account = d->account,
		.settings = d->settings,
		.peer = &d->peer,
		.roster = &d->roster};
	*report = (struct link_report){0};
	result = run_session(d, err);
	if (!is_reading_only(d))
		result = finish_state(d, result, err);
	else if (link_flush_all(poller, clock_monotonic_ms() + TEXT_MS, err) != 0)
		result = error_prefix(err, "the poller");
	result = tell_verdict(&d->tally, peer_is_interrupted(&d->peer), result, err);
	if (result == 0)
		resume_keep(&d->resume);
	send_progress(d, true);
	tell_untold(&d->tell);
	fill_report(d, report);
	report->ok = result == 0;
	if (result != 0)
		report->class = err->class;
	report->milliseconds = clock_monotonic_ms() - started;
	return result;
}
