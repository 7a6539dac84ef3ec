#include "fetch/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static char victim[] = "/tmp/pophaul-sandbox-XXXXXX";

/* Each attempt runs in a child of its own; its exit status is 0 for "refused". */
static int
open_for_writing(void)
{
	return open(victim, O_WRONLY | O_CLOEXEC) < 0 ? 0 : 1;
}

static int
open_for_reading(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 ? 0 : 1;
}

static int
remove_file(void)
{
	return unlink(victim) < 0 ? 0 : 1;
}

static int
execute(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return errno == EPERM || errno == EACCES ? 0 : 1;
}

static int
fork_process(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid < 0 ? 0 : 1;
}

static int
kill_parent(void)
{
	return kill(getppid(), 0) < 0 ? 0 : 1;
}

static int
trace_parent(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) < 0 && errno == EPERM ? 0 : 1;
}

static int
make_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0 ? 0 : 1;
}

static int
map_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			MAP_FAILED
		? 0
		: 1;
}

static int
use_memory_and_descriptors(void)
{
	struct pollfd watch = {.fd = STDERR_FILENO, .events = POLLOUT};
	char *memory = malloc(10000000);

	if (memory == NULL)
		return 0;
	memset(memory, 1, 10000000);
	free(memory);
	return poll(&watch, 1, 10) >= 0 && write(STDERR_FILENO, "", 0) == 0 ? 1 : 0;
}

enum step { STEP_FILES, STEP_ALL };

/* 0: refused, 1: done, other: the child died or has no sandbox. */
static int
attempt(enum step step, int (*what)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct sandbox_report report;

		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		report = sandbox_close_files();
		if (!report.has_seccomp || !report.has_landlock)
			_exit(77);
		if (step == STEP_ALL && !sandbox_close_all().has_seccomp)
			_exit(77);
		_exit(what());
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

int
main(void)
{
	static const struct {
		const char *name;
		int (*what)(void);
		int in_files, in_all;
	} cases[] = {
		{"open a file for writing",    open_for_writing,           0, 0},
		{"open a file for reading",    open_for_reading,           1, 0},
		{"remove a file",              remove_file,                0, 0},
		{"execute a program",          execute,                    0, 0},
		{"fork",                       fork_process,               0, 0},
		{"kill another process",       kill_parent,                0, 0},
		{"trace another process",      trace_parent,               0, 0},
		{"make a socket",              make_socket,                1, 0},
		{"map executable memory",      map_code,                   1, 0},
		{"use memory and descriptors", use_memory_and_descriptors, 1, 1},
	};
	int fd = mkstemp(victim);

	CHECK(fd >= 0);
	close(fd);
	if (attempt(STEP_ALL, use_memory_and_descriptors) == 77) {
		fprintf(stderr, "this kernel has no Landlock or no seccomp: nothing to test\n");
		return check_done();
	}
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int in_files = attempt(STEP_FILES, cases[i].what);
		int in_all = attempt(STEP_ALL, cases[i].what);

		if (!CHECK(in_files == cases[i].in_files) || !CHECK(in_all == cases[i].in_all))
			fprintf(stderr, "\t%s: %d, %d\n", cases[i].name, in_files, in_all);
	}
	CHECK(unlink(victim) == 0);
	return check_done();
}
