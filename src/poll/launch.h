/*
 * The fetcher's process, as its worker sees it. It is forked before the worker has read anything or
 * given up root: so it has nothing of the account's state in its memory, and root's part of its
 * start (fetcher_settle()) can be done. It then waits until the worker hands over what the session
 * needs.
 *
 *	launch_fork()        first of all
 *	launch_hand_over()   once the state is open and the password known
 *	…                    the session over launch->fd
 *	launch_end()         in any case
 */
#ifndef POPHAUL_POLL_LAUNCH_H
#define POPHAUL_POLL_LAUNCH_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/secret.h"
#include "config/account.h"
#include "link/link.h"

struct launch {
	pid_t pid;
	int fd; /* this end of the link */
};

/*
 * Root's poller keeps a handle of the fetcher (a pidfd), for when the worker, another user by then,
 * cannot end it: sent by the worker right behind launch_fork(), taken by the poller, who waits for
 * it. -1, without an error: the kernel has none, or the worker has died.
 */
void launch_send_handle(const struct launch *launch, int fd);
int launch_take_handle(int fd);

/* SIGKILL, if the process is still there. -1 as a handle is fine; it is closed. */
void launch_kill_by_handle(int handle);

/* What of a session is known only when the state has been read. */
struct launch_terms {
	bool surveys; /* only look at what the server tells before a login */
	bool lock_step;
	struct link_memory memory;
	struct secret ticket; /* of an earlier TLS session; unset: none */
};

/*
 * Fork it. `accounts` are all that are configured: in the fetcher their passwords are wiped at
 * once, its own comes over the link. ERROR_SYSTEM.
 */
int launch_fork(struct launch *launch, const struct account *account,
	struct account *const *accounts, size_t count, struct error *err)
	__attribute__((warn_unused_result));

/* Let it begin. `password` may be unset; it and the ticket stay the caller's. ERROR_SYSTEM. */
int launch_hand_over(const struct launch *launch, const struct launch_terms *terms,
	const struct secret *password, struct error *err) __attribute__((warn_unused_result));

/*
 * The session is over, or never came: close the link if it is still ours to close (fd is not -1),
 * give the process time to end by itself, none when `at_once`, then end it as far as it is ours to
 * end. True: it ended by itself, *status_out tells how.
 */
bool launch_end(struct launch *launch, bool at_once, int *status_out);

#endif
