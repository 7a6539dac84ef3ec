#include "poll/poller.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/secret.h"
#include "base/stop.h"
#include "base/xalloc.h"
#include "poll/drain.h"
#include "poll/limits.h"
#include "poll/progress.h"
#include "poll/report.h"

/* Stopped workers are told again this often: a signal may fall just before a wait. */
#define TICK_MS PROGRESS_INTERVAL_MS

/* Descriptors for each worker (a link, a handle of its fetcher), and besides them. */
#define WORKER_DESCRIPTORS 2
#define OTHER_DESCRIPTORS  32

/* One account's run. */
struct slot {
	struct worker worker;
	size_t account;
	struct link_progress progress;
	struct buf text; /* lines for standard output, kept together until the end */
	struct link_report report;
	char error[ERROR_TEXT_MAX];
	bool has_reported;
	int64_t stop_at, kill_at; /* by the account's session_limit_ms */
	bool is_over_limit;
};

struct pass {
	const struct poller_settings *settings;
	struct report_settings reporting;
	struct report_totals totals;
	struct limits limits;
	struct drain *drains; /* account → its sessions */
	struct progress progress;
	struct progress_state done; /* of accounts that ended */
	struct slot *slots;         /* settings->jobs of them */
	struct slot **running;      /* behind each pollfd */
	struct pollfd *watched;
	int signals_answered;
	bool output_is_gone; /* nobody reads standard output any more, or it is full */
};

static volatile sig_atomic_t signals_received;

static void
count_signal(int number)
{
	(void)number;
	signals_received++;
}

static void
catch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = SIG_IGN};
	sigset_t none;

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		stop_set_handler(numbers[i], count_signal);
	sigemptyset(&action.sa_mask);
	sigaction(SIGPIPE, &action, NULL);
	/* Beyond a limit on files' sizes a write fails as on a full disk; it must not kill. */
	sigaction(SIGXFSZ, &action, NULL);
	/*
	 * Some who start us ignore their children, or block signals, and both is inherited: what a
	 * command's end says of its message must not get lost, nor a signal to stop.
	 */
	action.sa_handler = SIG_DFL;
	sigaction(SIGCHLD, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Who lists mail for a reader that has left, head(1) for instance, may stop. */
static void
lose_output(struct pass *pass)
{
	pass->output_is_gone = true;
	if (errno != EPIPE) {
		log_error("cannot write standard output: %s", strerror(errno));
		pass->totals.status =
			error_graver_status(pass->totals.status, error_exit_status(ERROR_WRITE));
	}
	clearerr(stdout);
}

/* The one way to standard output. */
static void
print(struct pass *pass, struct buf *text)
{
	if (text->len != 0)
		progress_clear(&pass->progress);
	if (!pass->output_is_gone &&
		(fwrite(buf_data(text), 1, text->len, stdout) != text->len || fflush(stdout) != 0))
		lose_output(pass);
	buf_release(text);
}

static struct slot *
free_slot(struct pass *pass)
{
	for (size_t i = 0; i < pass->settings->jobs; i++) {
		if (pass->slots[i].worker.pid == 0)
			return &pass->slots[i];
	}
	return NULL;
}

/* No session of the account follows. */
static void
end_account(struct pass *pass, size_t account, const char *text)
{
	struct account *ended = pass->settings->accounts[account];
	struct buf line = {0};

	secret_release(&ended->password);
	progress_clear(&pass->progress);
	report_account(&pass->reporting, &pass->totals, ended->name, &pass->drains[account].sum,
		text, &line);
	print(pass, &line);
	pass->done.accounts++;
}

/* A session has ended, for which `text` is what went wrong; perhaps another one is to follow. */
static void
end_session(struct pass *pass, size_t account, const struct link_report *report, const char *text)
{
	struct drain *drain = &pass->drains[account];
	struct error err = {.text = ""};
	int64_t wait = 0;
	int more = 0;

	drain_add(drain, report);
	if (pass->settings->mode == WORKER_FETCH && signals_received == 0)
		more = drain_next(drain, pass->settings->accounts[account], report, &wait, &err);
	if (more > 0) {
		log_set_account(pass->settings->accounts[account]->name);
		log_verbose("until-empty: another session in %lld s", (long long)wait);
		log_set_account(NULL);
		limits_again(&pass->limits, account, clock_monotonic_ms() + wait * 1000);
		return;
	}
	if (more < 0) {
		drain->sum.ok = false;
		drain->sum.class = err.class;
	}
	end_account(pass, account, more < 0 ? err.text : text);
}

/*
 * A session that is over its limit is asked to stop. One that still goes on when a server has had
 * its time to answer, and a command its time to take a message, is stuck.
 */
static void
set_limit(struct slot *slot, const struct account *account)
{
	bool has_command = account->dest.kind == ACCOUNT_DEST_PIPE;

	slot->stop_at = slot->kill_at = CLOCK_NEVER;
	if (account->session_limit_ms == ACCOUNT_NO_LIMIT)
		return;
	slot->stop_at = clock_monotonic_ms() + account->session_limit_ms;
	slot->kill_at = slot->stop_at + account_stop_ms(account) +
		(has_command ? account->pipe_timeout_ms : 0);
}

static void
start_account(struct pass *pass, size_t account)
{
	const struct poller_settings *settings = pass->settings;
	struct worker_settings how = {
		.mode = settings->mode,
		.state_dir = settings->state_dir,
		.verbose = settings->verbose,
		.ignore_back_off = settings->ignore_back_off,
		.accounts = settings->accounts,
		.account_count = settings->count,
	};
	struct account *starting = settings->accounts[account];
	struct slot *slot = free_slot(pass);
	struct link_report failed = {.ok = false, .class = ERROR_SYSTEM};
	struct error err;
	int result;

	/* limits_next() names no account while all slots are taken. */
	assert(slot != NULL);
	*slot = (struct slot){.account = account};
	set_limit(slot, starting);
	limits_start(&pass->limits, account);
	result = worker_start(&slot->worker, starting, &how, &err);
	/* The worker has it; another one would need it, too. */
	if (!starting->until_empty || settings->mode != WORKER_FETCH)
		secret_release(&starting->password);
	if (result == 0)
		return;
	limits_end(&pass->limits, account);
	end_session(pass, account, &failed, err.text);
}

static void
start_accounts(struct pass *pass)
{
	size_t account;

	while (signals_received == 0 &&
		(account = limits_next(&pass->limits, clock_monotonic_ms())) <
			pass->settings->count)
		start_account(pass, account);
}

/* A session that ended at its limit says so, in place of what it was ended by. */
static void
name_limit(const struct pass *pass, struct slot *slot)
{
	long long seconds = pass->settings->accounts[slot->account]->session_limit_ms / 1000;

	snprintf(slot->error, sizeof slot->error,
		slot->has_reported
			? "ended early, after session-limit (%lld s): the rest comes next time"
			: "ended at once: it went on after session-limit (%lld s)",
		seconds);
}

static void
end_slot(struct pass *pass, struct slot *slot)
{
	bool killed = signals_received > 1 || clock_monotonic_ms() >= slot->kill_at;
	struct error err;

	if (worker_finish(&slot->worker, slot->has_reported, &err) != 0) {
		slot->report =
			(struct link_report){.class = killed ? ERROR_INTERRUPTED : err.class};
		snprintf(slot->error, sizeof slot->error, "%s",
			killed ? "ended at once by a second signal" : err.text);
	}
	if (slot->is_over_limit && !slot->report.ok && slot->report.class == ERROR_INTERRUPTED)
		name_limit(pass, slot);
	print(pass, &slot->text);
	pass->done.messages += slot->progress.messages;
	pass->done.messages_total += slot->progress.messages_total;
	pass->done.octets += slot->progress.octets;
	pass->done.octets_total += slot->progress.octets_total;
	limits_end(&pass->limits, slot->account);
	end_session(pass, slot->account, &slot->report, slot->error);
}

static void
take_frame(struct pass *pass, struct slot *slot, const struct link_frame *frame)
{
	switch (frame->type) {
	case LINK_PROGRESS:
		slot->progress = frame->u.progress;
		break;
	case LINK_TEXT:
		buf_append(&slot->text, frame->data, frame->data_len);
		/* Alone, nobody's lines can come between. */
		if (pass->settings->count == 1)
			print(pass, &slot->text);
		break;
	case LINK_REPORT:
		slot->report = frame->u.report;
		snprintf(
			slot->error, sizeof slot->error, "%.*s", (int)frame->data_len, frame->data);
		slot->has_reported = true;
		break;
	default:
		break;
	}
}

/* Read what a worker says; false once it has said all. */
static bool
hear_worker(struct pass *pass, struct slot *slot)
{
	struct link_frame frame;
	struct error err;
	int filled = link_fill(slot->worker.link, &err), got;

	while ((got = link_next(slot->worker.link, &frame, &err)) > 0) {
		take_frame(pass, slot, &frame);
		if (slot->has_reported)
			return false;
	}
	return filled >= 0 && got == 0;
}

static void
draw(struct pass *pass)
{
	struct progress_state state = pass->done;

	if (!pass->progress.is_on)
		return;
	state.accounts_total = pass->settings->count;
	for (size_t i = 0; i < pass->settings->jobs; i++) {
		const struct slot *slot = &pass->slots[i];

		if (slot->worker.pid == 0)
			continue;
		state.messages += slot->progress.messages;
		state.messages_total += slot->progress.messages_total;
		state.octets += slot->progress.octets;
		state.octets_total += slot->progress.octets_total;
	}
	progress_draw(&pass->progress, &state);
}

static void
answer_signals(struct pass *pass)
{
	if (signals_received == 0)
		return;
	if (pass->signals_answered == 0) {
		progress_clear(&pass->progress);
		log_warn("interrupted: finishing what is complete (a second signal ends at once)");
	}
	pass->signals_answered = signals_received;
	for (size_t i = 0; i < pass->settings->jobs; i++)
		worker_stop(&pass->slots[i].worker, signals_received > 1);
}

/* Sessions over their limit, too, are told again until they end. */
static void
limit_sessions(struct pass *pass)
{
	int64_t now = clock_monotonic_ms();

	for (size_t i = 0; i < pass->settings->jobs; i++) {
		struct slot *slot = &pass->slots[i];

		if (slot->worker.pid == 0 || now < slot->stop_at)
			continue;
		slot->is_over_limit = true;
		worker_stop(&slot->worker, now >= slot->kill_at);
	}
}

static size_t
watch_workers(struct pass *pass)
{
	size_t count = 0;

	for (size_t i = 0; i < pass->settings->jobs; i++) {
		struct slot *slot = &pass->slots[i];

		if (slot->worker.pid == 0)
			continue;
		pass->running[count] = slot;
		pass->watched[count++] =
			(struct pollfd){.fd = link_fd(slot->worker.link), .events = POLLIN};
	}
	return count;
}

static void
run_pass(struct pass *pass)
{
	size_t count;

	for (;;) {
		start_accounts(pass);
		count = watch_workers(pass);
		if (count == 0 && (pass->limits.again == 0 || signals_received != 0))
			return;
		answer_signals(pass);
		limit_sessions(pass);
		if (poll(pass->watched, count, TICK_MS) < 0)
			continue; /* EINTR: a signal, answered above */
		for (size_t i = 0; i < count; i++) {
			if (pass->watched[i].revents != 0 && !hear_worker(pass, pass->running[i]))
				end_slot(pass, pass->running[i]);
		}
		draw(pass);
	}
}

/* Accounts whose next session a signal has prevented. */
static void
end_waiting(struct pass *pass)
{
	for (size_t i = 0; pass->limits.again != 0 && i < pass->settings->count; i++) {
		if (pass->limits.is_waiting[i] && pass->limits.due[i] != 0)
			end_account(pass, i, "");
	}
}

static int
final_status(const struct pass *pass)
{
	int status = pass->totals.status;

	if (signals_received != 0)
		return error_graver_status(status, error_exit_status(ERROR_INTERRUPTED));
	if (status == 0 && pass->totals.fetched == 0 && pass->settings->mode == WORKER_FETCH)
		return pass->settings->no_mail_status;
	return status;
}

/*
 * So many workers at once as there can be descriptors for, whose limit is most often 1024 and may
 * be raised by ourselves: else the last accounts of many would fail in each run anew.
 */
static unsigned
affordable_jobs(unsigned jobs)
{
	rlim_t wanted = (rlim_t)jobs * WORKER_DESCRIPTORS + OTHER_DESCRIPTORS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return jobs;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 1;
	if (limit.rlim_cur >= wanted)
		return jobs;
	if (limit.rlim_cur < OTHER_DESCRIPTORS + WORKER_DESCRIPTORS)
		return 1;
	return (unsigned)(limit.rlim_cur - OTHER_DESCRIPTORS) / WORKER_DESCRIPTORS;
}

int
poller_run(const struct poller_settings *settings)
{
	int64_t started = clock_monotonic_ms();
	struct pass pass = {
		.settings = settings,
		.reporting = {.shows_results = settings->shows_results,
			      .shows_json = settings->shows_json,
			      .format = settings->format,
			      .changes_nothing = settings->mode != WORKER_FETCH},
	};
	struct buf line = {0};
	struct error err;

	/* Before anything is written: SIGXFSZ must not kill. */
	catch_signals();
	if (worker_prepare(settings->accounts, settings->count, &err) != 0) {
		log_error("%s", err.text);
		return error_exit_status(err.class);
	}
	limits_init(&pass.limits, settings->accounts, settings->count,
		affordable_jobs(settings->jobs), settings->per_host);
	progress_init(&pass.progress, settings->shows_progress);
	pass.drains = xcalloc(settings->count, sizeof *pass.drains);
	pass.slots = xcalloc(settings->jobs, sizeof *pass.slots);
	pass.running = xcalloc(settings->jobs, sizeof *pass.running);
	pass.watched = xcalloc(settings->jobs, sizeof *pass.watched);

	run_pass(&pass);
	end_waiting(&pass);
	progress_clear(&pass.progress);
	report_all(&pass.reporting, &pass.totals, clock_monotonic_ms() - started, &line);
	print(&pass, &line);

	free(pass.drains);
	free(pass.slots);
	free(pass.running);
	free(pass.watched);
	limits_release(&pass.limits);
	return final_status(&pass);
}
