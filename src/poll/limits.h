/*
 * How many accounts may run now: `jobs` at once, `per-host` of them on one
 * host (bulk runs get an address blocked by some providers). What a server asks
 * for one account, LOGIN-DELAY and the pause after failures, is the deliverer's
 * to obey: it is in that account's state.
 *
 *	limits_init(), limits_next() …
 *	limits_start(), limits_end(), limits_again() …
 *	limits_release()
 */
#ifndef POPHAUL_POLL_LIMITS_H
#define POPHAUL_POLL_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#include "config/account.h"

struct limits {
	unsigned jobs, per_host;
	size_t count;      /* accounts */
	size_t first;      /* none before it has not started at all */
	size_t running;    /* now */
	size_t again;      /* waiting for one more session */
	size_t *host_of;   /* account → host number */
	unsigned *on_host; /* host number → running there */
	bool *is_waiting;  /* account → to be started */
	int64_t *due;      /* account → 0: for the first time; else not before (monotonic ms) */
};

/* Copies nothing of the accounts; hosts are compared without regard to case. */
void limits_init(struct limits *limits, struct account *const *accounts, size_t count,
	unsigned jobs, unsigned per_host);
void limits_release(struct limits *limits);

/*
 * The first account, in the order given, that may start at `now`; `limits->count`: none. Those that
 * have not started at all come before those that are to start again.
 */
size_t limits_next(const struct limits *limits, int64_t now);

/* It starts; it ended. */
void limits_start(struct limits *limits, size_t account);
void limits_end(struct limits *limits, size_t account);

/* After limits_end(): it is to start again, not before `due`, which is not 0. */
void limits_again(struct limits *limits, size_t account, int64_t due);

#endif
