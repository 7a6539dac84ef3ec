/*
 * What the deliverer wants of this session and what has become of it: the plan
 * in its order, the state of each message, the credit, the settlements. It
 * sends nothing to the server and receives nothing from it: transfer.c does,
 * and keeps the books here.
 *
 *	agenda_init()
 *	agenda_take_frame()  for each frame of the deliverer's
 *	agenda_ask(), then agenda_receive() or agenda_refuse(), for each message
 *	agenda_release()
 *
 * Rows are indices into the listing. The deliverer is on the other side of a
 * wall: what it sends is checked for making sense now.
 */
#ifndef POPHAUL_FETCH_AGENDA_H
#define POPHAUL_FETCH_AGENDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "fetch/listing.h"
#include "link/link.h"

/* What is to become of a row, and what has. */
enum agenda_state {
	AGENDA_UNPLANNED,
	AGENDA_HEAD,     /* its header is wanted */
	AGENDA_FETCH,    /* its text is wanted */
	AGENDA_DELETE,   /* it is to be deleted, or is being deleted */
	AGENDA_ASKED,    /* its text is on its way */
	AGENDA_RECEIVED, /* all of it is with the deliverer, which has not settled it */
	AGENDA_UNKEPT,   /* sent to us and not kept */
	AGENDA_DONE
};

struct agenda {
	const struct listing *listing;
	uint32_t *order; /* the planned rows */
	size_t planned;
	bool is_planned;       /* the plan is complete */
	bool is_stopping;      /* LINK_STOP has come */
	unsigned char *states; /* enum agenda_state, by row */
	int64_t credit_messages;
	int64_t credit_octets;
	size_t unsettled;
	size_t unkept;
	size_t deletions;
};

/* `listing` is borrowed and must not change. */
void agenda_init(struct agenda *agenda, const struct listing *listing);
void agenda_release(struct agenda *agenda);

/* ERROR_BUG: a frame that makes no sense now. */
int agenda_take_frame(struct agenda *agenda, const struct link_frame *frame, struct error *err)
	__attribute__((warn_unused_result));

/*
 * What a message costs of credit and window: its octets by LIST; an unknown size costs
 * nothing.
 */
uint64_t agenda_cost(const struct agenda *agenda, uint32_t row);

/* Tell the deliverer of each header that is wanted that a server without TOP will not give it. */
void agenda_refuse_heads(struct agenda *agenda, struct link *link);

/* The last planned row in `state`; false when there is none. `row_out` may be NULL. */
bool agenda_find_last(const struct agenda *agenda, enum agenda_state state, uint32_t *row_out);

/* Whether the deliverer has room for a message. */
bool agenda_has_credit(const struct agenda *agenda, uint32_t row);

/* A message in AGENDA_FETCH is asked for: its credit is spent, whether it was there or not. */
void agenda_ask(struct agenda *agenda, uint32_t row);

/* All of its text has gone to the deliverer. */
void agenda_receive(struct agenda *agenda, uint32_t row);

/* Nothing of it came, so its credit is free again: it is done with, or back in AGENDA_FETCH. */
void agenda_refuse(struct agenda *agenda, uint32_t row);
void agenda_put_back(struct agenda *agenda, uint32_t row);

#endif
