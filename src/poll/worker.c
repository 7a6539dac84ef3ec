#include "poll/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/stop.h"
#include "base/secret.h"
#include "config/credential.h"
#include "deliver/deliverer.h"
#include "fetch/fetcher.h"

/* How long the fetcher has to end by itself once its session is over, and the poller to read the report. */
#define FAREWELL_MS 5000

/* Where the kernel does not tell, how often to look whether a process has ended. */
#define REAP_INTERVAL_MS 10

static void
set_handler(int number, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler}, old;

	/* What nohup(1) or a shell's background ignores stays ignored. */
	if (sigaction(number, NULL, &old) == 0 && old.sa_handler == SIG_IGN)
		return;
	sigemptyset(&action.sa_mask);
	sigaction(number, &action, NULL);
}

/* The fetcher process: everything of the deliverer is closed before the first octet of the network. */
static _Noreturn void
be_fetcher(const struct account *account, struct secret *password, int fd, bool lock_step,
	const struct link_memory *memory)
{
	struct link *link;
	int null, status;

	log_set_process("fetcher");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* A signal to the whole group is for the deliverer to answer: it says LINK_STOP. */
	set_handler(SIGINT, SIG_IGN);
	set_handler(SIGTERM, SIG_IGN);
	set_handler(SIGHUP, SIG_IGN);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0) {
		log_warn("cannot open '/dev/null': %s", strerror(errno));
		_exit(EX_OSERR);
	}
	/* Neither a lock nor a file of the deliverer's may live on in the process that a server talks to. */
	file_close_others(fd);
	link = link_new(fd);
	status = fetcher_run(account, password, link, lock_step, memory);
	link_free(link);
	_exit(status);
}

/* The session is over: the fetcher ends by itself, and *status_out tells how, or is ended: false. */
static bool
reap_fetcher(pid_t pid, bool at_once, int *status_out)
{
	struct pollfd watch = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	int64_t deadline = clock_monotonic_ms() + (at_once ? 0 : FAREWELL_MS);
	bool has_ended = false;
	int left;

	while (!has_ended && (left = clock_poll_timeout(deadline)) != 0) {
		/* Linux before 5.3 tells the end of a process to nobody who also watches the clock. */
		if (watch.fd < 0 && left > REAP_INTERVAL_MS)
			left = REAP_INTERVAL_MS;
		poll(&watch, 1, left);
		has_ended = waitpid(pid, status_out, WNOHANG) == pid;
	}
	if (watch.fd >= 0)
		close(watch.fd);
	if (has_ended)
		return true;
	kill(pid, SIGKILL);
	while (waitpid(pid, status_out, 0) < 0 && errno == EINTR)
		continue;
	return false;
}

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

static int
run_with_fetcher(struct deliverer *deliverer, const struct account *account,
	struct secret *password, struct link *poller, struct link_report *report, struct error *err)
{
	const struct link_memory memory = deliverer_memory(deliverer);
	struct link *link;
	pid_t pid;
	int ends[2], result, status;
	char how[128];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return error_set_errno(err, ERROR_SYSTEM, "cannot make a socket pair");
	pid = fork();
	if (pid == 0)
		be_fetcher(
			account, password, ends[1], deliverer_wants_lock_step(deliverer), &memory);
	secret_release(password);
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return error_set_errno(err, ERROR_SYSTEM, "cannot fork the fetcher");
	}
	link = link_new(ends[0]);
	deliverer_set_fetcher(deliverer, pid);
	result = deliverer_run(deliverer, link, poller, report, err);
	link_free(link);
	if (reap_fetcher(pid, result != 0 && err->class == ERROR_TIMEOUT, &status) && result != 0 &&
		WIFSIGNALED(status)) {
		/* That the link broke is only what follows from it. */
		child_describe_status(status, how, sizeof how);
		return error_set(err, ERROR_BUG, "the fetcher process %s", how);
	}
	return result;
}

/* The passwords of the configuration, but for the account's own; of all accounts when it is NULL. */
static void
wipe_secrets(const struct worker_settings *settings, const struct account *but)
{
	for (size_t i = 0; i < settings->account_count; i++) {
		if (settings->accounts[i] != but)
			secret_release(&settings->accounts[i]->password);
	}
}

/* The whole life of a worker, but for its farewell. */
static int
run_session(const struct account *account, const struct worker_settings *settings,
	struct link *poller, struct link_report *report, struct error *err)
{
	struct deliverer_settings how = {
		.mode = mode_of(settings),
		.state_dir = settings->state_dir,
		.verbose = settings->verbose,
		.ignore_back_off = settings->ignore_back_off,
		.stop = stop_flag(),
		.renew_token = credential_token,
	};
	struct deliverer *deliverer = deliverer_open(account, &how, err);
	struct secret password = {0};
	bool has_password; /* some logins need none */
	int result;

	if (deliverer == NULL)
		return -1;
	result = credential_resolve(account, &password, &has_password, err);
	/* From here on the one copy is what both processes wipe when they have no more use for it. */
	wipe_secrets(settings, NULL);
	if (result == 0)
		result = run_with_fetcher(deliverer, account, &password, poller, report, err);
	secret_release(&password);
	deliverer_free(deliverer);
	return result;
}

static _Noreturn void
be_worker(const struct account *account, const struct worker_settings *settings, int fd)
{
	int64_t started = clock_monotonic_ms();
	struct link_report report = {0};
	struct error err = {.class = ERROR_BUG};
	struct link *poller;
	int result;

	/* A poller that dies takes its workers with it, in good order. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	set_handler(SIGINT, stop_request);
	set_handler(SIGTERM, stop_request);
	set_handler(SIGHUP, stop_request);
	wipe_secrets(settings, account);
	/* Nor a link of another account in this one. */
	file_close_others(fd);
	log_set_account(account->name);
	log_set_process("deliverer");
	poller = link_new(fd);

	report.ok = run_session(account, settings, poller, &report, &err) == 0;
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
worker_prepare(bool needs_system_trust, struct error *err)
{
	return fetcher_prepare(needs_system_trust, err);
}

int
worker_start(struct worker *worker, const struct account *account,
	const struct worker_settings *settings, struct error *err)
{
	int ends[2];

	*worker = (struct worker){0};
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
	/* A worker that breaks the link's rules has not ended by itself. */
	if (!has_reported)
		kill(worker->pid, SIGKILL);
	while (waitpid(worker->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	*worker = (struct worker){0};
	if (has_reported)
		return 0;
	child_describe_status(status, how, sizeof how);
	/* One that ran out of memory could say so, and no more. */
	return error_set(err,
		WIFEXITED(status) && WEXITSTATUS(status) == EX_OSERR ? ERROR_SYSTEM : ERROR_BUG,
		"the worker process %s", how);
}
