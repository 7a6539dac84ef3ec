/*
 * Whether a server's replies are those to the commands. POP3 numbers no reply: one too many
 * or too few makes each of the rest be taken for its neighbour's, and a message that was
 * never fetched would count as got. Here the evidence is gathered, for and against; who
 * has broken the order is doubted: deliver/farewell.h.
 *
 * For: a sync. STAT's answer can be taken for no other's: where it comes in its place, so did
 * all before it, and what was received is proven. It is asked behind the last message, behind some
 * of those before it, and behind the last DELE. A server that has another answer to it is asked
 * by NOOP behind that: then it is STAT's answer that must not come.
 *
 * Against: in lock step what comes while nothing is asked. With several commands in flight a text
 * that begins with a status line, sizes that are the neighbours'. A server with whom that was found
 * is asked in lock step next time.
 *
 * A connection that ends leaves open what is not proven: order_is_doubtful().
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

/* Of a row: its RETR was answered with so much; ORDER_REFUSED. */
struct order_answer {
	uint32_t row;
	uint64_t octets;
};

/* Of a refusal. */
#define ORDER_REFUSED UINT64_MAX

struct order {
	bool is_broken;
	bool is_unproven;   /* RETRs were answered since the last proof; */
	uint32_t first;     /* the lowest row of theirs, */
	bool is_refused;    /* and one of them with a refusal */
	bool was_odd;       /* a sync's answer was no proof */
	bool has_skipped;   /* an empty line, since the last reply */
	unsigned strangers; /* messages in a row with a neighbour's size */

	unsigned asked;  /* commands since the last sync was sent, */
	uint64_t octets; /* and what their replies are said to be long */

	size_t answers; /* of the last two: how many there are, since the last proof */
	struct order_answer last, before;
};

/* What a line is, where a status is due and it is none. */
enum order_line {
	ORDER_SKIP,  /* nothing: an empty line in lock step, once a reply */
	ORDER_BROKEN /* ERROR_PROTOCOL */
};

/* A line where a status is due, and is none: an error, but for ORDER_SKIP. */
enum order_line order_not_a_status(struct order *order, const struct flight *flight,
	const struct conn_line *line, struct error *err);

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
int order_check_silence(struct order *order, const struct flight *flight, struct conn *conn,
	struct error *err) __attribute__((warn_unused_result));

/*
 * At a message's first octets. 1: they look like a message's; 0: too few to tell; -1: they are
 * a status line (ERROR_PROTOCOL). In lock step they cannot be another reply's.
 */
int order_check_text(struct order *order, const struct flight *flight, struct conn *conn,
	struct error *err) __attribute__((warn_unused_result));

/*
 * Behind a message's end mark, in lock step: -1, ERROR_PROTOCOL, its text goes on, so that it was
 * no end mark. Servers that do not stuff dots end a message at each line of one dot.
 */
int order_check_end(const struct flight *flight, const struct conn *conn, struct error *err)
	__attribute__((warn_unused_result));

/*
 * The first command in flight, a RETR, was answered with a text of `octets`. -1:
 * ERROR_PROTOCOL, two in a row had their neighbour's size. One alone may be chance, as sizes
 * are often wrong.
 */
int order_check_size(struct order *order, const struct flight *flight,
	const struct listing *listing, uint64_t octets, struct error *err)
	__attribute__((warn_unused_result));

/* The first command in flight, a RETR, was refused: perhaps the refusal was another's. */
void order_note_refusal(struct order *order, uint32_t row);

/* A RETR or DELE was sent: a sync is due behind it, sooner or later. */
void order_note_command(struct order *order, uint64_t octets);

/*
 * Whether a sync is due now. `is_last`: nothing else is to be asked in this phase. In lock step
 * only when nothing is in flight.
 */
bool order_wants_sync(const struct order *order, const struct flight *flight, bool is_last);

/* The verb to ask by; it is sent. */
enum flight_verb order_ask_sync(struct order *order);

/*
 * The answer to a STAT or NOOP, whether it was sent for a sync or not; so many of the listing's
 * messages are `deleted`.
 * -1: ERROR_PROTOCOL, it is STAT's answer in place of NOOP's.
 */
int order_take_sync(struct order *order, const struct flight_command *sent,
	const struct pop3_reply *reply, const struct listing *listing, size_t deleted,
	struct error *err) __attribute__((warn_unused_result));

/*
 * The connection ends before its time, by whatever it was: whether what is not proven must be
 * fetched again. In lock step only what was found says so. With commands in flight a reply may
 * have been left out, or come too often: what shows that none was is that the last message has its
 * own size, and not that of a neighbour.
 */
bool order_is_doubtful(
	const struct order *order, const struct flight *flight, const struct listing *listing);

#endif
