/*
 * meter FILE COMMAND [ARG]...: run the command and write what it and all its descendants that
 * were waited for have used into FILE, one "name value" a line: wall, user and system time in
 * microseconds, the biggest process in KiB, the exit status.
 *
 * A program of its own and not a part of the driver, because a process starts with the peak of the
 * one that forked it: a Python interpreter would stand in each small program's figure.
 */
#include <errno.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static long long
microseconds(const struct timeval *time)
{
	return (long long)time->tv_sec * 1000000 + time->tv_usec;
}

int
main(int argc, char **argv)
{
	struct rusage used;
	int64_t started;
	pid_t pid;
	int code, status;
	FILE *out;

	if (argc < 3) {
		fputs("usage: meter FILE COMMAND [ARG]...\n", stderr);
		return EX_USAGE;
	}
	started = now_us();
	code = posix_spawnp(&pid, argv[2], NULL, NULL, argv + 2, environ);
	if (code != 0) {
		fprintf(stderr, "meter: cannot run '%s': %s\n", argv[2], strerror(code));
		return EX_UNAVAILABLE;
	}
	while (wait4(pid, &status, 0, &used) < 0) {
		if (errno != EINTR) {
			perror("meter: wait4");
			return EX_OSERR;
		}
	}
	started = now_us() - started;
	out = fopen(argv[1], "w");
	if (out == NULL) {
		fprintf(stderr, "meter: cannot write '%s': %s\n", argv[1], strerror(errno));
		return EX_CANTCREAT;
	}
	fprintf(out, "wall %lld\nuser %lld\nsys %lld\npeak %ld\nstatus %d\n", (long long)started,
		microseconds(&used.ru_utime), microseconds(&used.ru_stime), used.ru_maxrss,
		WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return fclose(out) == 0 ? EX_OK : EX_IOERR;
}
