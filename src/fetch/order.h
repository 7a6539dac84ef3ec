/*
 * Whether a server's replies are those to the commands. POP3 numbers no reply: one too many
 * or too few makes each of the rest be taken for its neighbour's, and a message that was
 * never fetched would count as got. Here the evidence is gathered; who has broken the
 * order is doubted: deliver/farewell.h.
 *
 * In lock step nothing may come while nothing is asked. With several commands in flight
 * less can be seen: what is left over at the end, a text that begins with a status line, sizes
 * that are the neighbours'. On such a suspicion the server is asked in lock step next time.
 *
 * A zeroed struct is a server that nothing is known against.
 */
#ifndef POPHAUL_FETCH_ORDER_H
#define POPHAUL_FETCH_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "fetch/flight.h"
#include "fetch/listing.h"
#include "fetch/pop3_parse.h"
#include "fetch/wire/conn.h"

struct order {
	bool is_broken;
	unsigned strangers; /* messages in a row with a neighbour's size */
	bool has_previous;
	uint32_t previous; /* row of the last message answered, */
	uint64_t octets;   /* and with how much; ORDER_REFUSED */
};

/* Of a refusal. */
#define ORDER_REFUSED UINT64_MAX

/* A line where a status is due, and is none. Returns -1: ERROR_PROTOCOL. */
int order_not_a_status(struct order *order, const struct conn_line *line, struct error *err);

/*
 * A status line while nothing is asked. Servers say why before they hang up on an idle
 * client: -ERR is no more than that. Returns -1: by its code, ERROR_NET, or ERROR_PROTOCOL.
 */
int order_unasked(struct order *order, const struct conn_line *line, const struct pop3_reply *reply,
	struct error *err);

/*
 * Before a command when none is in flight: look whether the server has said something. 0: no.
 * Else -1: ERROR_PROTOCOL, or the connection's error.
 */
int order_check_silence(struct order *order, struct conn *conn, struct error *err)
	__attribute__((warn_unused_result));

/*
 * At a message's first octets. 1: they look like a message's; 0: too few to tell; -1: they are
 * a status line (ERROR_PROTOCOL). In lock step they cannot be another reply's.
 */
int order_check_text(struct order *order, const struct flight *flight, struct conn *conn,
	struct error *err) __attribute__((warn_unused_result));

/*
 * The first command in flight, a RETR, was answered with a text of `octets`. -1:
 * ERROR_PROTOCOL, two in a row had their neighbour's size. One alone may be chance, as sizes
 * are often wrong; it counts when the connection breaks behind it: order_break().
 */
int order_check_size(struct order *order, const struct flight *flight,
	const struct listing *listing, uint64_t octets, struct error *err)
	__attribute__((warn_unused_result));

/* The first command in flight, a RETR, was refused: perhaps the refusal was another's. */
void order_note_refusal(struct order *order, uint32_t row);

/* The connection is lost, or silent, while commands are in flight. */
void order_break(struct order *order);

/*
 * It is silent where a reply should begin: one may have been left out before. What shows
 * that none was is that the last message has its own size, and not that of the one
 * that is waited for.
 */
void order_fall_silent(
	struct order *order, const struct flight *flight, const struct listing *listing);

#endif
