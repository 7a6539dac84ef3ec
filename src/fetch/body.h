/*
 * The text of one reply in flight, a message or its header: from the connection's
 * octets to the link or into memory, the stuffed dots taken out. When octets may be
 * taken, and what they mean, is transfer.c's.
 *
 *	body_begin()
 *	body_feed() until true, body_check_end() behind each
 *	body_release()
 *
 * A zeroed struct is a body that has not begun.
 */
#ifndef POPHAUL_FETCH_BODY_H
#define POPHAUL_FETCH_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "fetch/dot.h"
#include "fetch/wire/conn.h"
#include "link/link.h"

struct body {
	struct dot dot;
	struct buf head; /* of a header: what is wanted of it */
	uint64_t taken;  /* octets, as they came */
};

/* Another one begins; nothing of the last one stays. */
void body_begin(struct body *body);
void body_release(struct body *body);

/* Nothing of it was taken yet. */
bool body_is_fresh(const struct body *body);

/*
 * Take what has come, a frame's worth at most: of a header (`is_head`) into memory as far as it is
 * wanted, of a message to `link` as LINK_DATA. True when that was the end of it.
 */
bool body_feed(struct body *body, struct conn *conn, struct link *link, bool is_head);

/* Octets of a whole message as LIST counts them. */
uint64_t body_octets(const struct body *body);

/*
 * ERROR_PROTOCOL: the server has sent so much more than the `listed` octets (LINK_OCTETS_UNKNOWN:
 * it listed none) that no end will come: bound.h.
 */
int body_check_end(const struct body *body, uint64_t listed, struct error *err)
	__attribute__((warn_unused_result));

#endif
