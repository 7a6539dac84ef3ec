/*
 * The file beside the state that keeps a TLS session's ticket for the next run:
 * STATE-DIR/NAME.ticket. What is in it is the fetcher's and a secret; to the deliverer it is
 * octets.
 *
 *	ticket_take()     at the start of a session: read it and wipe it out, whatever it was
 *	ticket_keep()     when the session has gone well
 *
 * Under the account's lock. Nothing depends on it: it is never synced, and one that is torn,
 * damaged, or another's is removed and counts as none. So the file has a digest of what is in it,
 * the ticket and the date of its birth (resume.h). One that was taken leaves its file, of zeros.
 */
#ifndef POPHAUL_DELIVER_STATE_TICKET_H
#define POPHAUL_DELIVER_STATE_TICKET_H

#include <stdint.h>

#include "base/error.h"
#include "base/secret.h"

/*
 * `out` and `born_out` are set when there is one. -1: there is a file that is none (ERROR_WRITE,
 * ERROR_CREATE), for the log; it is gone then, if that could be.
 */
int ticket_take(const char *dir, const char *name, struct secret *out, int64_t *born_out,
	struct error *err) __attribute__((warn_unused_result));

/* Readable by its owner alone. ERROR_CREATE, ERROR_WRITE: then there is none that is of use. */
int ticket_keep(const char *dir, const char *name, const struct secret *ticket, int64_t born,
	struct error *err) __attribute__((warn_unused_result));

#endif
