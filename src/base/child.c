#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/xalloc.h"

/* Where the kernel does not tell, how often to look whether a process has ended. */
#define REAP_INTERVAL_MS 10

#define NOT_EXECUTABLE 126
#define NOT_FOUND      127

static void
reset_handlers(void)
{
	struct sigaction action = {.sa_handler = SIG_DFL};

	for (int number = 1; number < NSIG; number++)
		sigaction(number, &action, NULL);
}

static void
hold_signals(bool holds)
{
	sigset_t mask;

	if (holds)
		sigfillset(&mask);
	else
		sigemptyset(&mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
}

static int
open_input(int input)
{
	return input >= 0 ? input : open("/dev/null", O_RDONLY);
}

static bool
has_name_of(const char *entry, const char *other)
{
	size_t len = strcspn(other, "=");

	return strncmp(entry, other, len) == 0 && entry[len] == '=';
}

static bool
is_passed_on(const char *entry, const char *const *extra)
{
	for (; extra != NULL && *extra != NULL; extra++) {
		if (has_name_of(entry, *extra))
			return false;
	}
	return !has_name_of(entry, "SSLKEYLOGFILE");
}

/* Our environment with the `extra` (may be NULL); its strings are borrowed, the caller frees. */
static char **
make_environment(const char *const *extra)
{
	size_t count = 0, used = 0;
	char **out;

	while (environ[count] != NULL)
		count++;
	for (const char *const *p = extra; p != NULL && *p != NULL; p++)
		count++;
	out = xcalloc(count + 1, sizeof *out);
	for (char *const *p = environ; *p != NULL; p++) {
		if (is_passed_on(*p, extra))
			out[used++] = *p;
	}
	for (const char *const *p = extra; p != NULL && *p != NULL; p++)
		out[used++] = (char *)*p;
	return out;
}

/*
 * In the child, which shares our memory until it is another program: it changes nothing in it, but
 * for errno and what the C library does for itself.
 */
static _Noreturn void
execute(const struct child_spec *spec, char *const *environment, int output)
{
	int input = open_input(spec->input), error;

	setpgid(0, 0);
	reset_handlers();
	/* Nobody would read its answer: better that it stops than that its work is done again. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if ((!spec->separate_errors && dup2(output, STDERR_FILENO) < 0) || input < 0 ||
		dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0) {
		fprintf(stderr, "pophaul: cannot set up '%s': %s\n", spec->argv[0],
			strerror(errno));
		_exit(NOT_EXECUTABLE);
	}
	file_close_others(-1);
	hold_signals(false);
	execvpe(spec->argv[0], spec->argv, environment);
	error = errno;
	/* Stopped by its terminal for what it says, it would stop us, who wait for it. */
	hold_signals(true);
	fprintf(stderr, "pophaul: cannot run '%s': %s\n", spec->argv[0], strerror(error));
	_exit(error == ENOENT ? NOT_FOUND : NOT_EXECUTABLE);
}

/*
 * A copy of our pages would be thrown away at once, and each page that we write to afterwards be
 * copied once more: half of what a short command takes. So no fork(2). No signal handler of ours
 * may run in the child meanwhile.
 */
static pid_t
start(const struct child_spec *spec, int output)
{
	char **environment = make_environment(spec->extra);
	sigset_t all, before;
	pid_t pid;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork): see execute() */
	if (pid == 0)
		execute(spec, environment, output); /* NOLINT(clang-analyzer-unix.Vfork) */
	sigprocmask(SIG_SETMASK, &before, NULL);
	free(environment);
	return pid;
}

int
child_spawn(const struct child_spec *spec, struct child *child, struct error *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return error_set_errno(
			err, ERROR_SYSTEM, "cannot make a pipe for '%s'", spec->argv[0]);
	/* What we have said comes before what it says. */
	fflush(NULL);
	child->pid = start(spec, ends[1]);
	close(ends[1]);
	child->output = ends[0];
	child->pidfd = -1;
	if (child->pid < 0) {
		error_set_errno(err, ERROR_SYSTEM, "cannot fork for '%s'", spec->argv[0]);
		goto fail;
	}
	child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
	if (child->pidfd < 0 || fcntl(child->output, F_SETFL, O_NONBLOCK) != 0) {
		error_set_errno(err, ERROR_SYSTEM, "cannot watch '%s'", spec->argv[0]);
		child_kill(child, 0);
		return -1;
	}
	return 0;
fail:
	close(ends[0]);
	return -1;
}

static void
release(struct child *child)
{
	if (child->pidfd >= 0)
		close(child->pidfd);
	if (child->output >= 0)
		close(child->output);
	*child = (struct child){.pid = -1, .pidfd = -1, .output = -1};
}

int
child_reap(struct child *child, int *status_out, struct error *err)
{
	pid_t pid;

	do {
		pid = waitpid(child->pid, status_out, 0);
	} while (pid < 0 && errno == EINTR);
	if (pid < 0)
		error_set_errno(err, ERROR_SYSTEM, "cannot wait for process %d", (int)child->pid);
	release(child);
	return pid < 0 ? -1 : 0;
}

static bool
wait_ended(const struct child *child, int64_t deadline)
{
	struct pollfd watch = {.fd = child->pidfd, .events = POLLIN};
	int n;

	if (child->pidfd < 0)
		return false;
	do {
		n = poll(&watch, 1, clock_poll_timeout(deadline));
	} while (n < 0 && errno == EINTR);
	return n > 0;
}

void
child_kill(struct child *child, int64_t grace_ms)
{
	struct error ignored;
	int status;

	if (grace_ms > 0) {
		kill(-child->pid, SIGTERM);
		wait_ended(child, clock_monotonic_ms() + grace_ms);
	}
	/* Also when the leader has ended: grandchildren of its group may live on. */
	kill(-child->pid, SIGKILL);
	kill(child->pid, SIGKILL);
	if (child_reap(child, &status, &ignored) != 0)
		return; /* someone else reaped it: it is gone, which is all we want */
}

bool
child_reap_within(pid_t pid, int64_t limit_ms, int *status_out)
{
	int64_t deadline = clock_monotonic_ms() + limit_ms;
	struct pollfd watch;
	bool has_ended;
	int left;

	/* Most have ended by the first look. */
	if (waitpid(pid, status_out, WNOHANG) == pid)
		return true;
	watch = (struct pollfd){.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	while (!(has_ended = waitpid(pid, status_out, WNOHANG) == pid) &&
		(left = clock_poll_timeout(deadline)) != 0) {
		/*
		 * Linux before 5.3 tells the end of a process to nobody who also watches the clock.
		 */
		if (watch.fd < 0 && left > REAP_INTERVAL_MS)
			left = REAP_INTERVAL_MS;
		poll(&watch, 1, left);
	}
	if (watch.fd >= 0)
		close(watch.fd);
	return has_ended;
}

void
child_describe_status(int status, char *out, size_t size)
{
	if (WIFEXITED(status))
		snprintf(out, size, "exited with status %d", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		snprintf(out, size, "was killed by signal %d (%s)", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else
		snprintf(out, size, "ended with wait status %d", status);
}
