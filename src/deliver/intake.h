/*
 * The first part of a session: the fetcher's frames up to the whole listing.
 * Checks that they come in turn.
 */
#ifndef POPHAUL_DELIVER_INTAKE_H
#define POPHAUL_DELIVER_INTAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "config/account.h"
#include "deliver/deliverer.h"
#include "deliver/peer.h"
#include "deliver/roster.h"

struct intake {
	/* borrowed */
	const struct account *account;
	const struct deliverer_settings *settings;
	struct peer *peer;
	struct roster *roster; /* with the state */

	/* found out */
	bool has_listing;    /* it has begun */
	bool gave_token;     /* a fresh one was asked for */
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
