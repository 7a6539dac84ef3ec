/*
 * The first part of a session: the fetcher's frames up to the whole listing.
 * Checks that they come in turn.
 */
#ifndef POPHAUL_DELIVER_INTAKE_H
#define POPHAUL_DELIVER_INTAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "deliver/peer.h"
#include "deliver/roster.h"
#include "deliver/state/uidl.h"

struct intake {
	/* borrowed */
	struct peer *peer;
	struct roster *roster;
	struct uidl *uidl;

	/* found out */
	bool has_server;     /* the server's facts have come */
	int64_t login_when;  /* 0: not logged in yet */
	uint32_t without_id; /* messages that the listing does not have */
};

/*
 * Fill the roster, until it is complete or, with an error, empty, and queue what is to be known of
 * the server next time (which a state that is only read does not take).
 * Errors: roster.h's, peer_next()'s, the fetcher's own.
 */
int intake_run(struct intake *intake, struct error *err) __attribute__((warn_unused_result));

#endif
