/*
 * What the server's replies to the commands in flight mean, and what is told of them over the link:
 * texts and headers go to the deliverer, refusals and deletions are noted. It waits for nothing and
 * sends nothing to the server: transfer.c does, and holds this.
 *
 *	replies_init()
 *	replies_take() whenever octets have come, or the link has made room
 *	replies_release()
 */
#ifndef POPHAUL_FETCH_REPLIES_H
#define POPHAUL_FETCH_REPLIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "fetch/agenda.h"
#include "fetch/body.h"
#include "fetch/flight.h"
#include "fetch/listing.h"
#include "fetch/order.h"
#include "fetch/wire/conn.h"
#include "link/link.h"

/*
 * Whether several refusals in a row are the messages' own or the server has given up on us: the
 * last message that is planned tells.
 */
enum replies_probe {
	REPLIES_NO_PROBE,
	REPLIES_PROBE_DUE,  /* when nothing is in flight */
	REPLIES_PROBE_ASKED /* its RETR is in flight */
};

struct replies {
	/* borrowed */
	struct conn *conn;
	struct link *link;
	const struct listing *listing;

	struct agenda agenda;
	struct flight flight;
	struct order order;
	struct body body;
	bool in_body;      /* of the first reply in flight */
	bool is_held_back; /* octets of a body wait for room in the link */
	bool is_ending;    /* no more will come: what is here is taken, room or not */

	bool is_answered;  /* a command of this connection's was */
	unsigned refusals; /* in a row */
	enum replies_probe probe;
	bool has_given_up;
	struct error given_up;
	size_t received;
	size_t deleted;
};

void replies_init(struct replies *replies, struct conn *conn, struct link *link,
	const struct listing *listing);
void replies_release(struct replies *replies);

/*
 * Take all that has come from the server and that the link has room for. -1: the connection's
 * errors, ERROR_PROTOCOL, what order.h says of a server out of step.
 */
int replies_take(struct replies *replies, struct error *err) __attribute__((warn_unused_result));

/* The number of a row's message. */
uint32_t replies_number(const struct replies *replies, uint32_t row);

/*
 * Begin anew on another connection, in lock step: what was in flight is to be asked for again, as
 * nothing of it was answered.
 */
void replies_restart(struct replies *replies, struct conn *conn);

#endif
