/*
 * The ticket with which the next run's TLS session may begin: from the fetcher to the state folder,
 * and back to the next fetcher. Nothing depends on it: trouble with it is told to who asks for
 * details, and never fails a session.
 *
 * After a day there is a whole handshake, in which a server shows a new certificate, and what its
 * authority now says of it. The date for that is the deliverer's own, since a fetcher that was
 * taken over could make up a session with a server of its own, and renew it for ever: a ticket is
 * born with the session for which none was handed out, and what comes of a session for which one
 * was has the birth of that.
 */
#ifndef POPHAUL_DELIVER_RESUME_H
#define POPHAUL_DELIVER_RESUME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/secret.h"
#include "config/account.h"
#include "deliver/peer.h"
#include "link/link.h"

struct resume {
	const char *state_dir;
	const struct account *account;
	bool changes_nothing; /* in: nothing is read, removed or written */
	bool has_one;         /* the fetcher has sent one; it may not do so twice */
	struct secret ticket;
	int64_t born; /* of the one to be kept, wall seconds; 0: not known yet */
};

/* What the last session has left, gone from the state then; unset: nothing that may be used. */
void resume_take(struct resume *resume, struct secret *out);

/* The fetcher's LINK_TICKET. ERROR_BUG: the second one, or none that it may send. */
int resume_take_frame(struct resume *resume, struct peer *peer, const struct link_frame *frame,
	struct error *err) __attribute__((warn_unused_result));

/* The session has gone well: keep it. */
void resume_keep(const struct resume *resume);

void resume_release(struct resume *resume);

#endif
