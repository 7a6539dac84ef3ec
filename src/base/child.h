/*
 * A command run without a shell: its own process group, default signals, a
 * clean environment, a time limit. For `pipe:` destinations and
 * password-command.
 *
 *	child_spawn(&spec, &child, &err);
 *	poll child.pidfd (readable when it ended) and child.output …
 *	child_reap(&child, …) or child_kill(&child);
 */
#ifndef POPHAUL_BASE_CHILD_H
#define POPHAUL_BASE_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct child_spec {
	char *const *argv;        /* argv[0] is looked for in PATH */
	int input;                /* becomes standard input; -1: /dev/null */
	bool separate_errors;     /* standard error to ours instead of the output pipe */
	const char *const *extra; /* more environment, NULL-ended NAME=VALUE; may be NULL */
};

struct child {
	pid_t pid;  /* also its process group */
	int pidfd;  /* readable once it has ended */
	int output; /* non-blocking read end of its standard output (and errors) */
};

/*
 * Start it. Blocks, deaf to signals, until the command is in memory: no time limit covers a file
 * system that does not answer when the command is read from it. ERROR_SYSTEM when it cannot be
 * started; a command that cannot be executed is told by exit status 127 (not found) or 126, as a
 * shell would, with the reason on its standard error. Inherits no descriptor but the three.
 * SSLKEYLOGFILE is taken out of its environment.
 */
int child_spawn(const struct child_spec *spec, struct child *child, struct error *err)
	__attribute__((warn_unused_result));

/* Wait for the ended (or ending) child and release everything; its wait status in `status_out`. */
int child_reap(struct child *child, int *status_out, struct error *err)
	__attribute__((warn_unused_result));

/* SIGTERM to the group, SIGKILL to it after `grace_ms`, then reaped and released. */
void child_kill(struct child *child, int64_t grace_ms);

/*
 * Reap any child process that ends within `limit_ms`, and its wait status; false: it has not, and
 * is still there.
 */
bool child_reap_within(pid_t pid, int64_t limit_ms, int *status_out);

/* The wait status as a sentence part: "exited with status 3", "was killed by signal 9 (Killed)". */
void child_describe_status(int status, char *out, size_t size);

#endif
