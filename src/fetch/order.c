#include "fetch/order.h"

#include <string.h>

#include "base/quote.h"

/* The shortest status that no message begins with. */
static const char status[] = "+OK";

#define STATUS_LEN (sizeof status - 1)

/*
 * Syncs with several commands in flight: often, so that a broken connection leaves little to be
 * fetched again even where sizes are wrong. They wait for nothing.
 */
#define SYNC_COMMANDS 16
#define SYNC_OCTETS   (1024 * 1024)

/* In lock step each is a round trip. */
#define SYNC_COMMANDS_LOCK_STEP 256

enum order_line
order_not_a_status(struct order *order, const struct flight *flight, const struct conn_line *line,
	struct error *err)
{
	char quoted[QUOTE_SIZE];

	if (line->len == 0 && !flight->is_pipelining && !order->has_skipped) {
		order->has_skipped = true;
		return ORDER_SKIP;
	}
	/*
	 * A text that goes on in lock step is that of the last message, whose end was none: had a
	 * reply come too many or too few before it, this would be a status line.
	 */
	if (!flight->is_pipelining && !order->was_odd && order->answers != 0)
		order->first = order->last.row;
	order->is_broken = true;
	error_set(err, ERROR_PROTOCOL, "neither +OK nor -ERR: \"%s\"",
		quote_bytes(quoted, line->data, line->len));
	return ORDER_BROKEN;
}

int
order_unasked(struct order *order, const struct conn_line *line, const struct pop3_reply *reply,
	struct error *err)
{
	enum error_class class = pop3_refusal_class(reply, ERROR_NET);
	char quoted[QUOTE_SIZE];

	if (reply->ok) {
		order->is_broken = true;
		class = ERROR_PROTOCOL;
	}
	return error_set(err, class, "the server says unasked: \"%s\"",
		quote_bytes(quoted, line->data, line->len));
}

/* A line's beginning; "-" is that of a farewell. */
static int
unasked_part(struct order *order, const char *text, size_t len, struct error *err)
{
	char quoted[QUOTE_SIZE];

	order->is_broken = text[0] != '-';
	return error_set(err, order->is_broken ? ERROR_PROTOCOL : ERROR_NET,
		"the server says unasked: \"%s\"", quote_bytes(quoted, text, len));
}

/* 1: an empty line was passed over, so look again. */
static int
look(struct order *order, const struct flight *flight, struct conn *conn, struct error *err)
{
	struct pop3_reply reply;
	struct conn_line line;
	struct error failure;
	const char *text;
	size_t len;
	int filled = conn_fill(conn, &failure), found;

	text = conn_peek(conn, &len);
	if (filled >= 0 && len == 0)
		return 0;
	/* What a server says before it hangs up tells more than that it did. */
	found = conn_next_line(conn, &line, err);
	if (found < 0)
		return -1;
	if (found == 0 && filled < 0) {
		*err = failure;
		return -1;
	}
	if (found == 0)
		return unasked_part(order, text, len, err);
	if (pop3_parse_reply(line.data, line.len, &reply))
		return order_unasked(order, &line, &reply, err);
	return order_not_a_status(order, flight, &line, err) == ORDER_SKIP ? 1 : -1;
}

int
order_check_silence(
	struct order *order, const struct flight *flight, struct conn *conn, struct error *err)
{
	int looked;

	do
		looked = look(order, flight, conn, err);
	while (looked > 0);
	return looked;
}

int
order_check_text(
	struct order *order, const struct flight *flight, struct conn *conn, struct error *err)
{
	size_t len;
	const char *text = conn_peek(conn, &len);

	if (!flight->is_pipelining)
		return 1;
	if (memcmp(text, status, len < STATUS_LEN ? len : STATUS_LEN) != 0)
		return 1;
	if (len < STATUS_LEN)
		return 0;
	order->is_broken = true;
	return error_set(err, ERROR_PROTOCOL,
		"a message begins with a status line: the replies are not in the order of the "
		"commands");
}

int
order_check_end(const struct flight *flight, const struct conn *conn, struct error *err)
{
	char quoted[QUOTE_SIZE];
	size_t len;
	const char *text = conn_peek(conn, &len);

	/* An empty line, or what may be a status line, is looked at where a command is due. */
	if (flight->is_pipelining || len == 0 || memchr("\r\n+-", text[0], 4) != NULL)
		return 0;
	return error_set(err, ERROR_PROTOCOL, "its text goes on behind its end mark: \"%s\"",
		quote_bytes(quoted, text, len));
}

static bool
is_size_of(const struct listing *listing, uint32_t row, uint64_t octets)
{
	return listing->rows[row].octets == octets;
}

static bool
is_size_of_awaited(const struct flight *flight, const struct listing *listing, uint64_t octets)
{
	for (size_t i = 0; i < flight->count; i++) {
		const struct flight_command *sent = flight_at(flight, i);

		if (sent->verb == FLIGHT_RETR && is_size_of(listing, sent->row, octets))
			return true;
	}
	return false;
}

static bool
is_stranger(const struct order *order, const struct flight *flight, const struct listing *listing,
	uint64_t octets)
{
	const struct flight_command *sent = flight_first(flight), *next = flight_second(flight);

	if (is_size_of(listing, sent->row, octets))
		return false;
	if (order->answers != 0 && is_size_of(listing, order->last.row, octets))
		return true;
	return next != NULL && next->verb == FLIGHT_RETR && is_size_of(listing, next->row, octets);
}

static void
note_answer(struct order *order, uint32_t row, uint64_t octets)
{
	order->before = order->last;
	order->last = (struct order_answer){.row = row, .octets = octets};
	order->answers++;
	if (!order->is_unproven || row < order->first)
		order->first = row;
	order->is_unproven = true;
}

int
order_check_size(struct order *order, const struct flight *flight, const struct listing *listing,
	uint64_t octets, struct error *err)
{
	bool is_strange = flight->is_pipelining && is_stranger(order, flight, listing, octets);

	order->strangers = is_strange ? order->strangers + 1 : 0;
	note_answer(order, flight_first(flight)->row, octets);
	if (order->strangers < 2)
		return 0;
	order->is_broken = true;
	return error_set(err, ERROR_PROTOCOL,
		"messages have the sizes of their neighbours: the replies are not in the order of "
		"the commands");
}

void
order_note_refusal(struct order *order, uint32_t row)
{
	order->strangers = 0;
	note_answer(order, row, ORDER_REFUSED);
	order->is_refused = true;
}

void
order_note_command(struct order *order, uint64_t octets)
{
	order->asked++;
	order->octets += octets;
}

bool
order_wants_sync(const struct order *order, const struct flight *flight, bool is_last)
{
	if (order->asked == 0 || (!flight->is_pipelining && flight->count != 0))
		return false;
	if (is_last)
		return true;
	if (flight->is_pipelining)
		return order->asked >= SYNC_COMMANDS || order->octets >= SYNC_OCTETS;
	/* One command at a time, a refusal that was not this one's is found out before the next. */
	return order->is_refused || order->asked >= SYNC_COMMANDS_LOCK_STEP;
}

enum flight_verb
order_ask_sync(struct order *order)
{
	order->asked = 0;
	order->octets = 0;
	return order->was_odd ? FLIGHT_NOOP : FLIGHT_STAT;
}

static void
prove(struct order *order)
{
	order->is_unproven = false;
	order->is_refused = false;
	order->strangers = 0;
	order->answers = 0;
}

int
order_take_sync(struct order *order, const struct flight_command *sent,
	const struct pop3_reply *reply, const struct listing *listing, size_t deleted,
	struct error *err)
{
	uint64_t listed = listing->count + listing->unmatched, count;
	bool is_stat = pop3_parse_stat(reply, &count);

	if (sent->verb == FLIGHT_STAT) {
		/* Some servers count what is marked for deletion, too. */
		if (is_stat && (count == listed || count == listed - deleted)) {
			prove(order);
			return 0;
		}
		order->was_odd = true;
		order->asked = order->asked == 0 ? 1 : order->asked;
		return 0;
	}
	if (!order->was_odd)
		return 0;
	if (!is_stat && (reply->ok || !order->is_refused)) {
		prove(order);
		return 0;
	}
	order->is_broken = true;
	return error_set(err, ERROR_PROTOCOL,
		"what came in answer to NOOP is not that: the replies are not in the order of the "
		"commands");
}

bool
order_is_doubtful(
	const struct order *order, const struct flight *flight, const struct listing *listing)
{
	uint64_t octets = order->last.octets;

	if (!order->is_unproven || order->is_broken)
		return order->is_unproven;
	if (!flight->is_pipelining)
		return false;
	if (order->is_refused || !is_size_of(listing, order->last.row, octets))
		return true;
	if (order->answers > 1 && is_size_of(listing, order->before.row, octets))
		return true;
	return is_size_of_awaited(flight, listing, octets);
}
