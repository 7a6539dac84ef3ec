/*
 * Messages at which sessions break off: a text without an end, a scanner that hangs up at a virus.
 * They must not keep what is listed behind them from arriving for ever. The state notes them,
 * plan() holds them back (PLAN_BROKEN_MIN).
 */
#ifndef POPHAUL_DELIVER_BREAKS_H
#define POPHAUL_DELIVER_BREAKS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "deliver/roster.h"
#include "deliver/tally.h"

/* Before plan(): mark the rows that the state has noted. */
void breaks_mark(struct roster *roster);

/* After plan(): count and name those that are held back: a failure is not to be forgotten. */
void breaks_tell(const struct roster *roster, struct tally *tally);

/*
 * Whether the message that was on its way may be why the session has failed: the server or the
 * network broke, or the process `fetcher` (0: not known), a child of this one, was killed by a
 * signal, as by a crash. Not so when memory ran out, a process was gone or one of ours is wrong.
 * Waits for a death of which the link has just told, 2 s at most.
 */
bool breaks_is_to_blame(const struct error *failure, pid_t fetcher);

/*
 * At the end of a session with a whole listing: queue what has become of those noted. One that
 * came, was refused or is no longer listed is forgotten. `broke_at`: the row that was on its
 * way at the end, or -1; `is_to_blame`: it may be why.
 */
void breaks_settle(const struct roster *roster, ssize_t broke_at, bool is_to_blame);

#endif
