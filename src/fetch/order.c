#include "fetch/order.h"

#include <string.h>

#include "base/quote.h"

/* The shortest status that no message begins with. */
static const char status[] = "+OK";

#define STATUS_LEN (sizeof status - 1)

int
order_not_a_status(struct order *order, const struct conn_line *line, struct error *err)
{
	char quoted[QUOTE_SIZE];

	order->is_broken = true;
	return error_set(err, ERROR_PROTOCOL, "neither +OK nor -ERR: \"%s\"",
		quote_bytes(quoted, line->data, line->len));
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

int
order_check_silence(struct order *order, struct conn *conn, struct error *err)
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
	if (!pop3_parse_reply(line.data, line.len, &reply))
		return order_not_a_status(order, &line, err);
	return order_unasked(order, &line, &reply, err);
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

static bool
is_size_of(const struct listing *listing, uint32_t row, uint64_t octets)
{
	return listing->rows[row].octets == octets;
}

static bool
is_stranger(const struct order *order, const struct flight *flight, const struct listing *listing,
	uint64_t octets)
{
	const struct flight_command *sent = flight_first(flight), *next = flight_second(flight);

	if (is_size_of(listing, sent->row, octets))
		return false;
	if (order->has_previous && is_size_of(listing, order->previous, octets))
		return true;
	return next != NULL && next->verb == FLIGHT_RETR && is_size_of(listing, next->row, octets);
}

static void
note_answer(struct order *order, uint32_t row, uint64_t octets)
{
	order->previous = row;
	order->octets = octets;
	order->has_previous = true;
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
}

void
order_break(struct order *order)
{
	if (order->strangers != 0)
		order->is_broken = true;
}

void
order_fall_silent(struct order *order, const struct flight *flight, const struct listing *listing)
{
	const struct flight_command *awaited = flight_first(flight);

	if (!flight->is_pipelining || !order->has_previous || awaited == NULL ||
		awaited->verb != FLIGHT_RETR)
		return;
	if (!is_size_of(listing, order->previous, order->octets) ||
		is_size_of(listing, awaited->row, order->octets))
		order->is_broken = true;
}
