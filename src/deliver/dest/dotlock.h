/*
 * Dot locks: PATH.lock, made by link(2) so that it is safe on NFS too, as mail
 * programs do for mbox files beside fcntl(2) locks. They hold "PID:HOST". A lock that
 * names a dead process of this host, or that nobody has touched for 5 minutes, is taken
 * away; a process of another host, or of none, is not asked for. Where the folder may not be
 * written to (/var/mail without group mail), there is no dot lock and fcntl alone must do.
 */
#ifndef POPHAUL_DELIVER_DEST_DOTLOCK_H
#define POPHAUL_DELIVER_DEST_DOTLOCK_H

#include <stdint.h>

#include "base/error.h"

/* Older locks are abandoned. */
#define DOTLOCK_STALE_SECONDS (5 * 60)

struct dotlock {
	char *path;         /* NULL: none is held */
	int64_t touched_ms; /* monotonic */
};

/*
 * Lock `path`, waiting until `deadline` (clock.h) or a signal to stop. ERROR_BUSY when it stays
 * locked, ERROR_CREATE. Success without a lock when permission lacks.
 */
int dotlock_take(struct dotlock *lock, const char *path, int64_t deadline, struct error *err)
	__attribute__((warn_unused_result));

/* Call it every now and then while the lock is held, so that nobody takes it for abandoned. */
void dotlock_refresh(struct dotlock *lock);

/* Give it back. Nothing held is fine. */
void dotlock_drop(struct dotlock *lock);

/*
 * Remove the lock of `path` that a dead process of this host has left: other programs would wait
 * for it, though nobody here is about to take it. Not one that is only old: we do not
 * want the file. Failing to is harmless.
 */
void dotlock_sweep(const char *path);

#endif
