#include "fetch/replies.h"

#include <string.h>

#include "fetch/pop3.h"

/* Above this the network waits for the deliverer: a message is never in memory as a whole. */
#define LINK_PENDING_MAX (1024 * 1024)

/* Refused RETRs in a row before it is asked whether the server has given up on us. */
#define REFUSALS_MAX 3

void
replies_init(struct replies *replies, struct conn *conn, struct link *link,
	const struct listing *listing)
{
	memset(replies, 0, sizeof *replies);
	replies->conn = replies->flight.conn = conn;
	replies->link = link;
	replies->listing = listing;
	agenda_init(&replies->agenda, listing);
}

void
replies_release(struct replies *replies)
{
	body_release(&replies->body);
	agenda_release(&replies->agenda);
}

uint32_t
replies_number(const struct replies *replies, uint32_t row)
{
	return replies->listing->rows[row].number;
}

static void
finish_command(struct replies *replies)
{
	flight_land(&replies->flight);
	replies->in_body = false;
	replies->order.has_skipped = false;
	conn_expect_reply(replies->conn);
}

/* -1: what came was probably another message's, and must not be taken for this one's. */
static int
end_body(struct replies *replies, struct error *err)
{
	const struct flight_command *sent = flight_first(&replies->flight);
	struct link *link = replies->link;
	uint32_t number = replies_number(replies, sent->row);

	if (sent->verb == FLIGHT_TOP) {
		link_put_text(link, LINK_HEAD, number, buf_data(&replies->body.head),
			replies->body.head.len);
		replies->agenda.states[sent->row] = AGENDA_DONE;
	} else {
		if (order_check_end(&replies->flight, replies->conn, err) != 0)
			return error_prefix(err, "message %u", number);
		if (order_check_size(&replies->order, &replies->flight, replies->listing,
			    body_octets(&replies->body), err) != 0)
			return -1;
		link_put_number(link, LINK_END, number);
		agenda_receive(&replies->agenda, sent->row);
		replies->received++;
	}
	finish_command(replies);
	return 0;
}

/* 1: go on; 0: there is nothing more of the body yet, or no room for it; -1: it is no body. */
static int
take_body(struct replies *replies, struct error *err)
{
	const struct flight_command *sent = flight_first(&replies->flight);
	struct conn *conn = replies->conn;
	struct link *link = replies->link;
	size_t len;
	int looks;

	conn_peek(conn, &len);
	if (len == 0)
		return 0;
	if (body_is_fresh(&replies->body)) {
		looks = order_check_text(&replies->order, &replies->flight, conn, err);
		if (looks <= 0)
			return looks;
	}
	/* What a lost connection has left behind is little: all of it is taken now. */
	if (link_pending(link) >= LINK_PENDING_MAX && !replies->is_ending) {
		replies->is_held_back = true;
		return 0;
	}
	if (body_feed(&replies->body, conn, link, sent->verb == FLIGHT_TOP))
		return end_body(replies, err) == 0 ? 1 : -1;
	if (body_check_end(&replies->body, replies->listing->rows[sent->row].octets, err) == 0)
		return 1;
	return error_prefix(err, "in the middle of message %u", replies_number(replies, sent->row));
}

static void
begin_body(struct replies *replies, const struct flight_command *sent)
{
	replies->in_body = true;
	body_begin(&replies->body);
	if (sent->verb == FLIGHT_RETR) {
		replies->refusals = 0;
		replies->probe = REPLIES_NO_PROBE;
		link_put_number(replies->link, LINK_BEGIN, replies_number(replies, sent->row));
	}
}

static void
give_up(struct replies *replies, const struct pop3_reply *reply)
{
	replies->has_given_up = true;
	replies->probe = REPLIES_NO_PROBE;
	pop3_refused(&replies->given_up, pop3_refusal_class(reply, ERROR_PROTOCOL),
		"several messages in a row", reply);
}

/* Messages that were not answered yet, but for the one that is. */
static bool
has_others(const struct replies *replies)
{
	for (size_t i = 1; i < replies->flight.count; i++) {
		if (flight_at(&replies->flight, i)->verb == FLIGHT_RETR)
			return true;
	}
	return agenda_find_last(&replies->agenda, AGENDA_FETCH, NULL);
}

/*
 * What has a code is no message's own; neither is what the last message has in common with those.
 */
static void
count_refusal(struct replies *replies, const struct pop3_reply *reply)
{
	bool is_everyones = pop3_refusal_class(reply, ERROR_PROTOCOL) != ERROR_PROTOCOL;

	if (++replies->refusals < REFUSALS_MAX || replies->has_given_up)
		return;
	if (is_everyones || replies->probe == REPLIES_PROBE_ASKED || !has_others(replies))
		give_up(replies, reply);
	else
		replies->probe = REPLIES_PROBE_DUE;
}

/* -ERR to RETR or TOP: nothing of it was sent, so its credit is free again. */
static void
take_refusal(
	struct replies *replies, const struct flight_command *sent, const struct pop3_reply *reply)
{
	link_put_text(replies->link, LINK_REFUSED, replies_number(replies, sent->row), reply->text,
		reply->text_len);
	replies->agenda.states[sent->row] = AGENDA_DONE;
	if (sent->verb == FLIGHT_RETR) {
		agenda_refuse(&replies->agenda, sent->row);
		order_note_refusal(&replies->order, sent->row);
		count_refusal(replies, reply);
	}
	finish_command(replies);
}

static void
take_deletion(
	struct replies *replies, const struct flight_command *sent, const struct pop3_reply *reply)
{
	uint32_t number = replies_number(replies, sent->row);

	if (reply->ok) {
		link_put_number(replies->link, LINK_DELETED, number);
		replies->deleted++;
	} else {
		link_put_text(replies->link, LINK_UNDELETED, number, reply->text, reply->text_len);
	}
	replies->agenda.states[sent->row] = AGENDA_DONE;
	finish_command(replies);
}

static int
take_sync(struct replies *replies, const struct flight_command *sent,
	const struct pop3_reply *reply, struct error *err)
{
	if (order_take_sync(
		    &replies->order, sent, reply, replies->listing, replies->deleted, err) != 0)
		return -1;
	finish_command(replies);
	return 0;
}

static int
take_line(struct replies *replies, const struct conn_line *line, struct error *err)
{
	const struct flight_command *sent = flight_first(&replies->flight);
	struct pop3_reply reply;

	if (!pop3_parse_reply(line->data, line->len, &reply))
		return order_not_a_status(&replies->order, &replies->flight, line, err) ==
				ORDER_SKIP
			? 0
			: -1;
	if (sent == NULL)
		return order_unasked(&replies->order, line, &reply, err);
	if (sent->verb == FLIGHT_NOOP || sent->verb == FLIGHT_STAT)
		return take_sync(replies, sent, &reply, err);
	replies->is_answered = true;
	if (sent->verb == FLIGHT_DELE)
		take_deletion(replies, sent, &reply);
	else if (reply.ok)
		begin_body(replies, sent);
	else
		take_refusal(replies, sent, &reply);
	return 0;
}

int
replies_take(struct replies *replies, struct error *err)
{
	struct conn_line line;
	int found;

	replies->is_held_back = false;
	for (;;) {
		if (replies->in_body) {
			found = take_body(replies, err);
			if (found <= 0)
				return found;
			continue;
		}
		found = conn_next_line(replies->conn, &line, err);
		if (found <= 0)
			return found;
		if (take_line(replies, &line, err) != 0)
			return -1;
	}
}

void
replies_restart(struct replies *replies, struct conn *conn)
{
	struct flight *flight = &replies->flight;

	replies->in_body = false;
	while (flight->count != 0) {
		const struct flight_command *sent = flight_first(flight);

		if (sent->verb == FLIGHT_RETR)
			agenda_put_back(&replies->agenda, sent->row);
		flight_land(flight);
	}
	replies->order = (struct order){0};
	replies->is_ending = false;
	replies->conn = flight->conn = conn;
	flight->is_pipelining = false;
}
