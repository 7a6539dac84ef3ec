#include "poll/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/privilege.h"
#include "base/secret.h"
#include "base/stop.h"
#include "base/xalloc.h"
#include "config/source/credential.h"
#include "deliver/deliverer.h"
#include "deliver/relay.h"
#include "fetch/fetcher.h"
#include "poll/launch.h"
#include "poll/place.h"

/* How long the poller has to read the report. */
#define FAREWELL_MS 5000

/* How long a worker that has reported may take to end. The other accounts wait meanwhile. */
#define END_MS 2000

static enum deliverer_mode
mode_of(const struct worker_settings *settings)
{
	switch (settings->mode) {
	case WORKER_LIST:
		return DELIVERER_LIST;
	case WORKER_DRY_RUN:
		return DELIVERER_DRY_RUN;
	default:
		return DELIVERER_FETCH;
	}
}

/* The session is over: what is to be said of it, should the fetcher not have ended well. */
static int
end_session(struct launch *launch, int result, struct error *err)
{
	char how[128];
	int status;

	if (launch_end(launch, result != 0 && err->class == ERROR_TIMEOUT, &status) &&
		result != 0 && WIFSIGNALED(status)) {
		/* That the link broke is only what follows from it. */
		child_describe_status(status, how, sizeof how);
		return error_set(err, ERROR_BUG, "the fetcher process %s", how);
	}
	return result;
}

/* The session itself; the launch's end of the link is closed in any case. */
static int
run_with_fetcher(struct deliverer *deliverer, struct launch *launch, struct link *poller,
	struct link_report *report, struct error *err)
{
	struct link *link = link_new(launch->fd);
	int result;

	launch->fd = -1;
	deliverer_set_fetcher(deliverer, launch->pid);
	result = deliverer_run(deliverer, link, poller, report, err);
	link_free(link);
	return end_session(launch, result, err);
}

/*
 * --server-info needs nothing of the account's: neither its state nor its password, nor to be root.
 */
static int
run_survey(const struct account *account, struct launch *launch, struct link *poller,
	struct error *err)
{
	const struct launch_terms terms = {.surveys = true};
	const struct secret none = {0};
	struct link *link;
	int result, ignored;

	if ((privilege_is_root() && privilege_become_nobody(err) != 0) ||
		launch_hand_over(launch, &terms, &none, err) != 0) {
		launch_end(launch, false, &ignored);
		return -1;
	}
	/* What is passed on comes from a process that a server may have taken over. */
	(void)privilege_empty_root();
	/* A change of user takes it away. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	link = link_new(launch->fd);
	launch->fd = -1;
	result = relay_run(account, stop_flag(), link, poller, err);
	link_free(link);
	return end_session(launch, result, err);
}

/*
 * The passwords of the configuration, but for the account's own; of all accounts when it is NULL.
 */
static void
wipe_secrets(const struct worker_settings *settings, const struct account *but)
{
	for (size_t i = 0; i < settings->account_count; i++) {
		if (settings->accounts[i] != but)
			secret_release(&settings->accounts[i]->password);
	}
}

/* Where the deliverer's state is, and what root has read for it. */
struct ground {
	struct place_taken place; /* its claim only until the state is open */
	bool is_roots;            /* the place is root's own, and may be changed */
	struct secret password;
	bool has_password; /* whether it is in `password` already, should there be one */
};

/* What only root can do for the account's user; then root is given up for ever. */
static int
become_user(const struct account *account, const struct worker_settings *settings,
	struct ground *ground, struct error *err)
{
	struct privilege_user user;
	bool found; /* some logins need none */
	int result;

	if (privilege_find_user(account->run_as.name, &user, err) != 0)
		return -1;
	result = place_take(settings->state_dir, account->name, &user,
		settings->mode != WORKER_FETCH, &ground->place, err);
	if (result == 0 && credential_is_roots_to_read(account)) {
		result = credential_resolve_as_root(account, &ground->password, &found, err);
		ground->has_password = true;
	}
	if (result == 0)
		result = privilege_become_user(&user, err);
	privilege_release_user(&user);
	/* A change of user takes it away. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	return result;
}

/* Be who the account wants, and know where its state is. */
static int
take_ground(const struct account *account, const struct worker_settings *settings,
	struct ground *ground, struct error *err)
{
	if (!privilege_is_root()) {
		ground->place.dir = xstrdup(settings->state_dir);
		return 0;
	}
	if (account->run_as.name != NULL && account->run_as.uid != geteuid())
		return become_user(account, settings, ground, err);
	/* Root's own, but it may have been another's before. */
	ground->is_roots = settings->mode == WORKER_FETCH;
	return place_take(settings->state_dir, account->name, NULL, settings->mode != WORKER_FETCH,
		&ground->place, err);
}

/*
 * The state and the destination, under the session's lock. NULL and `err` as of deliverer_open().
 */
static struct deliverer *
open_deliverer(const struct account *account, const struct deliverer_settings *how,
	struct ground *ground, struct error *err)
{
	struct deliverer *deliverer = deliverer_open(account, how, err);

	if (ground->place.claim >= 0)
		close(ground->place.claim);
	ground->place.claim = -1;
	if (deliverer == NULL || !ground->is_roots ||
		place_check_roots(ground->place.dir, account->name, err) == 0)
		return deliverer;
	deliverer_free(deliverer);
	return NULL;
}

/* What a session needs besides the state; the fetcher waits for it. */
static int
start_session(struct deliverer *deliverer, const struct launch *launch,
	const struct account *account, struct ground *ground, struct error *err)
{
	struct launch_terms terms = {.lock_step = deliverer_wants_lock_step(deliverer),
		.memory = deliverer_memory(deliverer)};
	bool found; /* some logins need none */
	int result;

	if (!ground->has_password &&
		credential_resolve(account, &ground->password, &found, err) != 0)
		return -1;
	deliverer_take_ticket(deliverer, &terms.ticket);
	result = launch_hand_over(launch, &terms, &ground->password, err);
	secret_release(&terms.ticket);
	return result;
}

/* The whole life of a worker, but for its farewell. */
static int
run_session(const struct account *account, const struct worker_settings *settings,
	struct launch *launch, struct link *poller, struct link_report *report, struct error *err)
{
	struct ground ground = {.place.claim = -1};
	struct deliverer_settings how = {
		.mode = mode_of(settings),
		.verbose = settings->verbose,
		.ignore_back_off = settings->ignore_back_off,
		.stop = stop_flag(),
		.renew_token = credential_renew_token,
	};
	struct deliverer *deliverer = NULL;
	int result, ignored;

	if (settings->mode == WORKER_SERVER_INFO) {
		wipe_secrets(settings, NULL);
		return run_survey(account, launch, poller, err);
	}
	result = take_ground(account, settings, &ground, err);
	how.state_dir = ground.place.dir;
	if (result == 0)
		deliverer = open_deliverer(account, &how, &ground, err);
	if (deliverer == NULL || start_session(deliverer, launch, account, &ground, err) != 0)
		result = -1;
	/* One copy is left, the fetcher's. */
	wipe_secrets(settings, NULL);
	secret_release(&ground.password);
	if (result == 0)
		result = run_with_fetcher(deliverer, launch, poller, report, err);
	else
		launch_end(launch, false, &ignored);
	deliverer_free(deliverer);
	if (ground.place.claim >= 0)
		close(ground.place.claim);
	free(ground.place.dir);
	return result;
}

static _Noreturn void
be_worker(const struct account *account, const struct worker_settings *settings, int fd)
{
	int64_t started = clock_monotonic_ms();
	struct link_report report = {0};
	struct error err = {.class = ERROR_BUG};
	/* Of no process, should none be started: root's poller would end another one. */
	struct launch launch = {.pid = -1, .fd = -1};
	struct link *poller;
	bool has_launched;
	int result;

	/* A poller that dies takes its workers with it, in good order. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	stop_set_handler(SIGINT, stop_request);
	stop_set_handler(SIGTERM, stop_request);
	stop_set_handler(SIGHUP, stop_request);
	wipe_secrets(settings, account);
	/* Nor a link of another account in this one. */
	file_close_others(fd);
	log_set_account(account->name);
	log_set_process("deliverer");
	has_launched = launch_fork(&launch, account, settings->accounts, settings->account_count,
			       &err) == 0;
	if (privilege_is_root())
		launch_send_handle(&launch, fd);
	poller = link_new(fd);

	report.ok =
		has_launched && run_session(account, settings, &launch, poller, &report, &err) == 0;
	if (!report.ok)
		report.class = err.class;
	report.milliseconds = clock_monotonic_ms() - started;
	link_put_report(poller, &report, report.ok ? "" : err.text);
	result = link_flush_all(poller, clock_monotonic_ms() + FAREWELL_MS, &err);
	if (result != 0)
		log_error("the poller is gone: %s", err.text);
	link_free(poller);
	_exit(result == 0 ? EX_OK : EX_OSERR);
}

int
worker_prepare(struct account *const *accounts, size_t count, struct error *err)
{
	return fetcher_prepare(accounts, count, err);
}

int
worker_start(struct worker *worker, const struct account *account,
	const struct worker_settings *settings, struct error *err)
{
	int ends[2];

	*worker = (struct worker){.fetcher = -1};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return error_set_errno(err, ERROR_SYSTEM, "cannot make a socket pair");
	fflush(NULL);
	worker->pid = fork();
	if (worker->pid == 0)
		be_worker(account, settings, ends[1]);
	close(ends[1]);
	if (worker->pid < 0) {
		error_set_errno(err, ERROR_SYSTEM, "cannot fork a worker");
		close(ends[0]);
		worker->pid = 0;
		return -1;
	}
	if (privilege_is_root())
		worker->fetcher = launch_take_handle(ends[0]);
	worker->link = link_new(ends[0]);
	return 0;
}

void
worker_stop(const struct worker *worker, bool at_once)
{
	if (worker->pid > 0)
		kill(worker->pid, at_once ? SIGKILL : SIGTERM);
}

int
worker_finish(struct worker *worker, bool has_reported, struct error *err)
{
	char how[128];
	int status = 0;

	link_free(worker->link);
	/*
	 * One that breaks the link's rules has not ended by itself; one that has said all may have
	 * been stopped by its user just then, and all accounts would wait.
	 */
	if (!has_reported || !child_reap_within(worker->pid, END_MS, &status)) {
		kill(worker->pid, SIGKILL);
		while (waitpid(worker->pid, &status, 0) < 0 && errno == EINTR)
			continue;
	}
	/* It has nobody to speak to any more; the worker may not have had the right to end it. */
	launch_kill_by_handle(worker->fetcher);
	*worker = (struct worker){.fetcher = -1};
	if (has_reported)
		return 0;
	child_describe_status(status, how, sizeof how);
	/* One that ran out of memory could say so, and no more. */
	return error_set(err,
		WIFEXITED(status) && WEXITSTATUS(status) == EX_OSERR ? ERROR_SYSTEM : ERROR_BUG,
		"the worker process %s", how);
}
