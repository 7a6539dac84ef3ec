#include "fetch/fetcher.h"

#include <poll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/privilege.h"
#include "base/quote.h"
#include "fetch/auth/choice.h"
#include "fetch/auth/renew.h"
#include "fetch/auth/sasl.h"
#include "fetch/cage/sandbox.h"
#include "fetch/listing.h"
#include "fetch/pop3.h"
#include "fetch/session.h"
#include "fetch/survey.h"
#include "fetch/transfer.h"
#include "fetch/wire/conn.h"
#include "fetch/wire/tls.h"

#define SECONDS_A_DAY 86400

_Static_assert(POP3_LOGIN_DELAY_MAX <= LINK_LOGIN_DELAY_MAX, "what is told must be believed");

struct fetcher {
	const struct account *account;
	struct secret *password;
	struct link *link;
	struct session session;
	struct listing listing;
	struct transfer *transfer;
	bool doors_are_closed;
	bool has_logged_in;
	bool has_restarted;
	bool breaks_on_pipelining;
};

struct clients {
	struct account *const *accounts;
	size_t count;
};

static bool
wants_mechanism(const char *name, const void *context)
{
	const struct clients *clients = context;

	for (size_t i = 0; i < clients->count; i++) {
		if (choice_may_try(clients->accounts[i], name))
			return true;
	}
	return false;
}

static bool
needs_system_trust(const struct clients *clients)
{
	for (size_t i = 0; i < clients->count; i++) {
		const struct account *account = clients->accounts[i];

		if (account->tls != ACCOUNT_TLS_NONE && account->tls_trust_file == NULL &&
			!account->pin_only)
			return true;
	}
	return false;
}

int
fetcher_prepare(struct account *const *accounts, size_t count, struct error *err)
{
	const struct clients clients = {.accounts = accounts, .count = count};
	const struct mech_wants wants = {.wants = wants_mechanism, .context = &clients};

	sandbox_prepare();
	if (privilege_is_root())
		privilege_find_nobody();
	if (tls_prepare(needs_system_trust(&clients), err) != 0)
		return -1;
	return mech_prepare(&wants, err);
}

/*
 * No other connection and no other login will be needed: from here on there is nothing to
 * steal and nowhere to go.
 */
static int
close_doors(struct fetcher *fetcher, struct error *err)
{
	struct sandbox_report report;

	if (fetcher->doors_are_closed)
		return 0;
	secret_release(fetcher->password);
	/* No earlier: a login may need a name, a random device or a library once more. */
	if (privilege_empty_root())
		log_verbose("the root of the file system is an empty folder");
	if (sandbox_close_all(fetcher->account, &report, err) != 0)
		return -1;
	log_verbose("sandbox: %s", report.text);
	fetcher->doors_are_closed = true;
	return 0;
}

static void
log_login(const struct fetcher *fetcher)
{
	const struct session *session = &fetcher->session;

	if (session->without_capa)
		log_verbose("the server breaks off at CAPA: connected again without it");
	if (session->utf8_refused)
		log_verbose("the server lists UTF8 and refuses it");
	log_verbose("logged in with %s, %s", session->mechanism, conn_security(session->conn));
}

/*
 * A token may have ended its life since its command or its file was asked: whoever keeps it is
 * asked once more, and the login is tried once more, over another connection, for some servers
 * end theirs after a refusal.
 */
static int
open_session(struct fetcher *fetcher, struct error *err)
{
	struct error stopped;
	int renewed;

	if (session_open(&fetcher->session, err) == 0)
		return 0;
	if (!fetcher->session.wants_token || fetcher->has_logged_in)
		return -1;
	log_verbose("%s: asking for a fresh token", err->text);
	renewed = renew_token(fetcher->link, fetcher->password, &stopped);
	if (renewed < 0)
		*err = stopped;
	return renewed > 0 ? session_open(&fetcher->session, err) : -1;
}

static int
log_in(struct fetcher *fetcher, struct error *err)
{
	if (open_session(fetcher, err) != 0)
		return -1;
	fetcher->has_logged_in = true;
	log_login(fetcher);
	/*
	 * While pipelining may still break the connection, the password is needed for
	 * another one.
	 */
	return fetcher->session.in_lock_step ? close_doors(fetcher, err) : 0;
}

/* The same again in lock step, for a server that hangs up on several commands at once. */
static int
log_in_again(struct fetcher *fetcher, struct listing *listing, struct error *err)
{
	struct error why = *err;

	log_verbose("%s: trying again in lock step", why.text);
	session_close(&fetcher->session);
	fetcher->has_restarted = true;
	fetcher->session.in_lock_step = true;
	if (log_in(fetcher, err) != 0 || session_list(&fetcher->session, listing, err) != 0) {
		/* A network that is down says nothing about pipelining. */
		fetcher->breaks_on_pipelining =
			err->class != ERROR_NET && err->class != ERROR_TIMEOUT;
		return -1;
	}
	fetcher->breaks_on_pipelining = true;
	return 0;
}

static int
list(struct fetcher *fetcher, struct error *err)
{
	listing_init(&fetcher->listing, fetcher->link, NULL);
	if (session_list(&fetcher->session, &fetcher->listing, err) == 0)
		return 0;
	if (!fetcher->session.flight_broke)
		return -1;
	listing_release(&fetcher->listing);
	listing_init(&fetcher->listing, fetcher->link, NULL);
	return log_in_again(fetcher, &fetcher->listing, err);
}

/*
 * RFC 2449 section 6.7: a client that leaves mail must say so when the server will not
 * keep it. At each poll, and there is nothing new in it, so it is no noise for cron.
 */
static void
tell_expiry(const struct fetcher *fetcher)
{
	const struct account_keep *keep = &fetcher->account->keep;
	int64_t days = fetcher->session.memory.expire_now ? 0 : fetcher->session.caps.expire_days;

	if (days < 0 || keep->kind == ACCOUNT_KEEP_NEVER)
		return;
	if (keep->kind == ACCOUNT_KEEP_AGE && keep->seconds <= days * SECONDS_A_DAY)
		return;
	if (days == 0)
		log_info("the server does not let mail stay after it was fetched, whatever 'keep' "
			 "says");
	else
		log_info(
			"the server deletes mail after %lld day%s, which is sooner than 'keep' says",
			(long long)days, plural((uint64_t)days));
}

static void
log_listing(const struct fetcher *fetcher)
{
	const struct listing *listing = &fetcher->listing;

	log_verbose("messages: %zu%s, %s", listing->count,
		listing->has_uidl ? "" : ", a server without UIDL",
		session_is_pipelining(&fetcher->session) ? "pipelining" : "in lock step");
	if (listing->unmatched != listing->without_id)
		log_verbose("in LIST and not in UIDL, so left alone this time: %zu",
			listing->unmatched - listing->without_id);
	/* Nobody else would tell of mail that never comes. */
	if (listing->without_id != 0)
		log_warn("without a unique id, so not fetched: %zu message%s; LIST has number %u "
			 "and UIDL leaves it out",
			listing->without_id, plural(listing->without_id),
			listing->first_without_id);
	if (listing->digested != 0)
		log_verbose("ids of more than %d octets, known by their digests: %zu",
			LINK_UIDL_MAX, listing->digested);
}

/*
 * The deliverer has the rows: their sizes, facts about the server, and that the listing is whole.
 */
static int
tell_listing(struct fetcher *fetcher, struct error *err)
{
	const struct listing *listing = &fetcher->listing;
	const struct link_server server = {
		.memory = fetcher->session.memory,
		.login_delay = fetcher->session.caps.login_delay,
		.without_id = (uint32_t)listing->without_id,
	};

	listing_put_sizes(listing);
	link_put_server(fetcher->link, &server);
	link_put_value(fetcher->link, LINK_LISTED, listing->count);
	return link_flush(fetcher->link, err);
}

static void
begin_transfer(struct fetcher *fetcher)
{
	const struct session *session = &fetcher->session;
	const struct transfer_settings settings = {
		.conn = session->conn,
		.link = fetcher->link,
		.listing = &fetcher->listing,
		.is_pipelining = session_is_pipelining(session),
		.has_top = session->caps.top || !session->caps.known,
		.timeout_ms = fetcher->account->timeout_ms,
	};

	/* From now on the transfer itself listens to the deliverer. */
	conn_unwatch(session->conn);
	fetcher->transfer = transfer_new(&settings);
}

/*
 * The server hung up on the first batch of commands. The plan goes on over
 * another connection only when its numbers still mean the same messages, which
 * ids alone can tell.
 */
static int
restart_transfer(struct fetcher *fetcher, struct error *err)
{
	struct listing now;
	struct error why = *err;
	int result;

	listing_init(&now, NULL, &fetcher->listing);
	result = log_in_again(fetcher, &now, err);
	if (result == 0 &&
		!(fetcher->listing.has_uidl && now.has_uidl && listing_is_continued(&now))) {
		*err = why;
		result = -1;
	}
	if (result == 0) {
		conn_unwatch(fetcher->session.conn);
		transfer_restart(fetcher->transfer, fetcher->session.conn);
	}
	listing_release(&now);
	return result;
}

static int
run_phase(struct fetcher *fetcher, enum transfer_phase phase, struct error *err)
{
	int more;

	for (;;) {
		more = transfer_step(fetcher->transfer, phase, err);
		if (more == 0)
			return 0;
		if (more < 0 &&
			(fetcher->has_restarted || fetcher->doors_are_closed ||
				!transfer_broke_on_batch(fetcher->transfer) ||
				restart_transfer(fetcher, err) != 0))
			return -1;
		if (more > 0 && transfer_is_answered(fetcher->transfer) &&
			close_doors(fetcher, err) != 0)
			return -1;
	}
}

static int
fetch(struct fetcher *fetcher, struct error *err)
{
	begin_transfer(fetcher);
	if ((session_is_pipelining(&fetcher->session) || close_doors(fetcher, err) == 0) &&
		run_phase(fetcher, TRANSFER_PLAN, err) == 0 &&
		run_phase(fetcher, TRANSFER_HEADS, err) == 0 &&
		run_phase(fetcher, TRANSFER_BODIES, err) == 0)
		return 0;
	transfer_abandon(fetcher->transfer, err);
	return -1;
}

/*
 * QUIT makes a server forget what it has sent (EXPIRE 0, RFC 2449 section 6.7; Gmail hides
 * it), so a message that was sent and not kept would be lost. A dropped connection deletes
 * nothing.
 */
static bool
must_not_quit(const struct fetcher *fetcher)
{
	struct transfer_totals totals = transfer_totals(fetcher->transfer);

	if (totals.unkept == 0)
		return false;
	return session_may_expire(&fetcher->session) || !fetcher->account->quit_after_failure;
}

/*
 * The deliverer first records that the deleted messages may be gone: their ids may then be used
 * again.
 */
static int
await_agreement(struct fetcher *fetcher, struct error *err)
{
	struct link_frame frame;
	int found;

	link_put(fetcher->link, LINK_QUITTING);
	if (link_flush_all(fetcher->link, CLOCK_NEVER, err) != 0)
		return -1;
	do {
		found = link_wait(fetcher->link, &frame, CLOCK_NEVER, NULL, err);
	} while (found > 0 && frame.type != LINK_AGREED);
	return found > 0 ? 0 : -1;
}

static int
confirm_deletions(struct fetcher *fetcher, struct error *err)
{
	struct pop3_reply reply;

	if (await_agreement(fetcher, err) != 0)
		return -1;
	if (pop3_quit(fetcher->session.conn, &reply, err) != 0)
		return error_prefix(err, "deletions are not confirmed");
	if (!reply.ok)
		return pop3_refused(err, pop3_refusal_class(&reply, ERROR_SERVER_TEMP),
			"QUIT, so some messages may not be deleted", &reply);
	link_put(fetcher->link, LINK_GONE);
	return 0;
}

/* QUIT where nothing is deleted: nothing depends on its answer, so it is not waited for. */
static void
say_goodbye(struct fetcher *fetcher)
{
	struct error err;

	pop3_queue_quit(fetcher->session.conn);
	if (conn_flush(fetcher->session.conn, &err) != 0)
		log_verbose("at QUIT: %s", err.text);
}

/* As late as can be: servers send them when they like, and a session that fails gets none. */
static int
hand_over_ticket(struct fetcher *fetcher, struct error *err)
{
	struct secret ticket = {0};
	int result = 0;

	if (conn_get_ticket(fetcher->session.conn, &ticket))
		result = link_send_ticket(fetcher->link, &ticket, CLOCK_NEVER, err);
	secret_release(&ticket);
	return result;
}

static int
leave(struct fetcher *fetcher, struct error *err)
{
	struct transfer_totals totals = transfer_totals(fetcher->transfer);

	if (must_not_quit(fetcher)) {
		log_warn("leaving without QUIT, so that the server deletes nothing: %zu fetched "
			 "message%s not kept, %zu deletion%s left for the next session",
			totals.unkept, plural(totals.unkept), totals.deletions,
			plural(totals.deletions));
		return 0;
	}
	if (run_phase(fetcher, TRANSFER_DELETIONS, err) != 0) {
		transfer_abandon(fetcher->transfer, err);
		return -1;
	}
	totals = transfer_totals(fetcher->transfer);
	if (hand_over_ticket(fetcher, err) != 0)
		return -1;
	if (totals.deleted != 0)
		return confirm_deletions(fetcher, err);
	say_goodbye(fetcher);
	return 0;
}

/*
 * The whole session; `err` is its result. What was fetched and settled counts whatever
 * comes after it.
 */
static int
run_session(struct fetcher *fetcher, struct error *err)
{
	struct sandbox_report report;
	struct error why;

	if (sandbox_close_files(fetcher->account, &report, err) != 0)
		return -1;
	log_verbose("sandbox: %s", report.text);
	if (log_in(fetcher, err) != 0 || list(fetcher, err) != 0)
		return -1;
	fetcher->session.is_listed = true;
	log_listing(fetcher);
	tell_expiry(fetcher);
	if (tell_listing(fetcher, err) != 0)
		return -1;
	if (fetch(fetcher, err) != 0)
		return -1;
	if (leave(fetcher, err) != 0)
		return -1;
	if (transfer_gave_up(fetcher->transfer, &why)) {
		*err = why;
		return -1;
	}
	if (transfer_is_stopped(fetcher->transfer))
		return error_set(err, ERROR_INTERRUPTED, "asked to stop");
	return 0;
}

static int
drop_frames(struct link *link, struct error *err)
{
	struct link_frame frame;
	int found;

	do
		found = link_next(link, &frame, err);
	while (found > 0);
	return found;
}

/*
 * Write what is queued, to the last octet, and stay until the deliverer hangs up: it
 * may be settling what it has, and must not find a broken link before it has read the
 * result. What it says is of no more use here, but has to be read.
 */
static int
see_off(struct link *link, struct error *err)
{
	struct pollfd watch = {.fd = link_fd(link)};
	bool is_told = false;

	for (;;) {
		if (link_flush(link, err) != 0)
			return is_told ? 0 : -1;
		is_told = link_pending(link) == 0;
		watch.events = is_told ? POLLIN : POLLIN | POLLOUT;
		if (poll(&watch, 1, -1) < 0 || (watch.revents & ~POLLOUT) == 0)
			continue;
		if (link_fill(link, err) < 0 || drop_frames(link, err) < 0)
			return is_told ? 0 : -1;
	}
}

/* The last frame. Nobody is left to be told when even that fails but who waits for this process. */
static int
hand_over(struct fetcher *fetcher, int result, const struct error *err)
{
	const struct transfer *transfer = fetcher->transfer;
	const struct link_result frame = {
		.ok = result == 0,
		.class = result == 0 ? ERROR_BUG : err->class,
		/* In lock step the order of a server's replies can be seen. */
		.no_pipelining = fetcher->breaks_on_pipelining ||
			(transfer != NULL && transfer_is_suspicious(transfer) &&
				session_is_pipelining(&fetcher->session)),
		.out_of_step = transfer != NULL && transfer_is_out_of_step(transfer),
		.capa_broke = fetcher->session.capa_broke,
		.doubtful = transfer != NULL ? transfer_first_doubtful(transfer) : 0,
	};
	struct error failure;

	link_put_result(fetcher->link, &frame, result == 0 ? "" : err->text);
	if (see_off(fetcher->link, &failure) == 0)
		return 0;
	log_verbose("the result was not taken: %s", failure.text);
	return error_exit_status(failure.class);
}

/* A user's tickets and tokens are for that user alone: who needs them is no stranger to them. */
static int
give_up_root(const struct account *account, struct error *err)
{
	struct privilege_user user;
	int result;

	if (account->run_as.name == NULL || account->run_as.uid == geteuid() ||
		!account_needs_open_login(account))
		return privilege_become_nobody(err);
	if (privilege_find_user(account->run_as.name, &user, err) != 0)
		return -1;
	result = privilege_become_user(&user, err);
	privilege_release_user(&user);
	return result;
}

int
fetcher_settle(const struct account *account, struct error *err)
{
	if (account->tls != ACCOUNT_TLS_NONE && tls_preload(account, err) != 0)
		return -1;
	if (account->tls != ACCOUNT_TLS_NONE) {
		tls_bind_tickets(account);
		tls_open_key_log();
	}
	return privilege_is_root() ? give_up_root(account, err) : 0;
}

int
fetcher_fail(struct link *link, const struct error *err)
{
	struct fetcher fetcher = {.link = link};

	return hand_over(&fetcher, -1, err);
}

int
fetcher_run(const struct account *account, struct secret *password, struct secret *ticket,
	struct link *link, bool lock_step, const struct link_memory *memory)
{
	struct fetcher fetcher = {.account = account, .password = password, .link = link};
	struct error err;
	int result, status;

	tls_offer_ticket(ticket);
	session_init(&fetcher.session, account, password, link, lock_step, memory);
	result = run_session(&fetcher, &err);
	secret_release(password);
	session_close(&fetcher.session);
	status = hand_over(&fetcher, result, &err);
	transfer_free(fetcher.transfer);
	listing_release(&fetcher.listing);
	return status;
}

int
fetcher_survey(const struct account *account, struct link *link)
{
	struct fetcher fetcher = {.account = account, .link = link};
	struct sandbox_report report;
	struct error err;
	int result = sandbox_close_files(account, &report, &err);

	if (result == 0) {
		log_verbose("sandbox: %s", report.text);
		result = survey_run(account, link, &err);
	}
	return hand_over(&fetcher, result, &err);
}
