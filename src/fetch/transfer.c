#include "fetch/transfer.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/quote.h"
#include "base/xalloc.h"
#include "fetch/agenda.h"
#include "fetch/body.h"
#include "fetch/flight.h"
#include "fetch/order.h"
#include "fetch/pop3.h"

/* Above this the network waits for the deliverer: a message is never in memory as a whole. */
#define LINK_PENDING_MAX (1024 * 1024)

/* Refused RETRs in a row before the server is believed to have given up on us. */
#define REFUSALS_MAX 3

/* Idle servers cut after as little as 60 s. */
#define NOOP_AFTER_MS 20000

/* What is in flight when we are asked to stop may take this long. */
#define STOP_MS 10000

/* Reads of what a server has said before it stopped reading. */
#define LAST_FILLS 16

struct transfer {
	struct transfer_settings settings;
	struct agenda agenda;
	enum transfer_phase phase;
	size_t next; /* of the agenda's order: the first not looked at in this phase */

	struct flight flight;
	bool in_body;      /* of the first reply in flight */
	bool is_held_back; /* octets of a body wait for room in the link */
	struct body body;
	struct order order;
	int64_t owed_since; /* when the server last had reason to begin answering */
	int64_t stop_deadline;
	bool told_drained;

	bool is_answered;
	unsigned refusals; /* in a row */
	bool has_given_up;
	struct error given_up;
	bool is_lost;
	struct error lost;
	size_t received;
	size_t cut;
	size_t deleted;
};

struct transfer *
transfer_new(const struct transfer_settings *settings)
{
	struct transfer *transfer = xcalloc(1, sizeof(*transfer));

	transfer->settings = *settings;
	agenda_init(&transfer->agenda, settings->listing);
	transfer->flight.conn = settings->conn;
	transfer->flight.is_pipelining = settings->is_pipelining;
	transfer->stop_deadline = CLOCK_NEVER;
	return transfer;
}

void
transfer_free(struct transfer *transfer)
{
	if (transfer == NULL)
		return;
	body_release(&transfer->body);
	agenda_release(&transfer->agenda);
	free(transfer);
}

static uint32_t
number_of(const struct transfer *transfer, uint32_t row)
{
	return transfer->settings.listing->rows[row].number;
}

static void
send_command(struct transfer *transfer, enum flight_verb verb, uint32_t row)
{
	const struct flight_command command = {
		.row = row,
		.verb = verb,
		.octets = verb == FLIGHT_RETR ? agenda_cost(&transfer->agenda, row) : 0,
	};

	flight_send(
		&transfer->flight, &command, verb == FLIGHT_NOOP ? 0 : number_of(transfer, row));
	transfer->owed_since = clock_monotonic_ms();
}

static void
finish_command(struct transfer *transfer)
{
	flight_land(&transfer->flight);
	transfer->in_body = false;
	conn_expect_reply(transfer->settings.conn);
}

/* As far as credit and window go; one may always be asked for when nothing else is about. */
static bool
ask_for_body(struct transfer *transfer, uint32_t row)
{
	struct agenda *agenda = &transfer->agenda;

	if ((transfer->flight.count != 0 || agenda->unsettled != 0) &&
		!(agenda_has_credit(agenda, row) &&
			flight_has_room(&transfer->flight, agenda_cost(agenda, row))))
		return false;
	send_command(transfer, FLIGHT_RETR, row);
	agenda_ask(agenda, row);
	transfer->told_drained = false;
	return true;
}

/* Ask for one row of the present phase; false when it has to wait. */
static bool
ask_for_row(struct transfer *transfer, uint32_t row)
{
	enum agenda_state state = transfer->agenda.states[row];

	if (transfer->phase == TRANSFER_BODIES && state == AGENDA_FETCH)
		return ask_for_body(transfer, row);
	if (transfer->phase == TRANSFER_HEADS && state == AGENDA_HEAD)
		send_command(transfer, FLIGHT_TOP, row);
	else if (transfer->phase == TRANSFER_DELETIONS && state == AGENDA_DELETE)
		send_command(transfer, FLIGHT_DELE, row);
	return true;
}

static bool
is_asking(const struct transfer *transfer)
{
	if (transfer->phase == TRANSFER_PLAN || transfer->next == transfer->agenda.planned)
		return false;
	if (transfer->phase == TRANSFER_DELETIONS)
		return transfer->agenda.is_planned;
	return !transfer->agenda.is_stopping && !transfer->has_given_up;
}

static void
ask(struct transfer *transfer)
{
	if (!is_asking(transfer) || !flight_is_low(&transfer->flight))
		return;
	while (transfer->next < transfer->agenda.planned && flight_has_room(&transfer->flight, 0)) {
		if (!ask_for_row(transfer, transfer->agenda.order[transfer->next]))
			break;
		transfer->next++;
	}
}

/* -1: what came was probably another message's, and must not be taken for this one's. */
static int
end_body(struct transfer *transfer, struct error *err)
{
	const struct flight_command *sent = flight_first(&transfer->flight);
	struct link *link = transfer->settings.link;
	uint32_t number = number_of(transfer, sent->row);

	if (sent->verb == FLIGHT_TOP) {
		link_put_text(link, LINK_HEAD, number, buf_data(&transfer->body.head),
			transfer->body.head.len);
		transfer->agenda.states[sent->row] = AGENDA_DONE;
	} else {
		if (order_check_size(&transfer->order, &transfer->flight,
			    transfer->settings.listing, body_octets(&transfer->body), err) != 0)
			return -1;
		link_put_number(link, LINK_END, number);
		agenda_receive(&transfer->agenda, sent->row);
		transfer->received++;
	}
	finish_command(transfer);
	return 0;
}

/* 1: go on; 0: there is nothing more of the body yet, or no room for it; -1: it is no body. */
static int
take_body(struct transfer *transfer, struct error *err)
{
	const struct flight_command *sent = flight_first(&transfer->flight);
	struct conn *conn = transfer->settings.conn;
	struct link *link = transfer->settings.link;
	size_t len;
	int looks;

	conn_peek(conn, &len);
	if (len == 0)
		return 0;
	if (body_is_fresh(&transfer->body)) {
		looks = order_check_text(&transfer->order, &transfer->flight, conn, err);
		if (looks <= 0)
			return looks;
	}
	/* What a lost connection has left behind is little: all of it is taken now. */
	if (link_pending(link) >= LINK_PENDING_MAX && !transfer->is_lost) {
		transfer->is_held_back = true;
		return 0;
	}
	if (body_feed(&transfer->body, conn, link, sent->verb == FLIGHT_TOP))
		return end_body(transfer, err) == 0 ? 1 : -1;
	if (body_check_end(
		    &transfer->body, transfer->settings.listing->rows[sent->row].octets, err) == 0)
		return 1;
	return error_prefix(err, "in the middle of message %u", number_of(transfer, sent->row));
}

static void
begin_body(struct transfer *transfer, const struct flight_command *sent)
{
	transfer->in_body = true;
	body_begin(&transfer->body);
	if (sent->verb == FLIGHT_RETR) {
		transfer->refusals = 0;
		link_put_number(
			transfer->settings.link, LINK_BEGIN, number_of(transfer, sent->row));
	}
}

static void
give_up(struct transfer *transfer, const struct pop3_reply *reply)
{
	transfer->has_given_up = true;
	pop3_refused(&transfer->given_up, pop3_refusal_class(reply, ERROR_PROTOCOL),
		"several messages in a row", reply);
}

/* -ERR to RETR or TOP: nothing of it was sent, so its credit is free again. */
static void
take_refusal(struct transfer *transfer, const struct flight_command *sent,
	const struct pop3_reply *reply)
{
	link_put_text(transfer->settings.link, LINK_REFUSED, number_of(transfer, sent->row),
		reply->text, reply->text_len);
	transfer->agenda.states[sent->row] = AGENDA_DONE;
	if (sent->verb == FLIGHT_RETR) {
		agenda_refuse(&transfer->agenda, sent->row);
		order_note_refusal(&transfer->order, sent->row);
		if (++transfer->refusals == REFUSALS_MAX && !transfer->has_given_up)
			give_up(transfer, reply);
	}
	finish_command(transfer);
}

static void
take_deletion(struct transfer *transfer, const struct flight_command *sent,
	const struct pop3_reply *reply)
{
	uint32_t number = number_of(transfer, sent->row);

	if (reply->ok) {
		link_put_number(transfer->settings.link, LINK_DELETED, number);
		transfer->deleted++;
	} else {
		link_put_text(transfer->settings.link, LINK_UNDELETED, number, reply->text,
			reply->text_len);
	}
	transfer->agenda.states[sent->row] = AGENDA_DONE;
	finish_command(transfer);
}

static int
take_line(struct transfer *transfer, const struct conn_line *line, struct error *err)
{
	const struct flight_command *sent = flight_first(&transfer->flight);
	struct pop3_reply reply;

	if (!pop3_parse_reply(line->data, line->len, &reply))
		return order_not_a_status(&transfer->order, line, err);
	if (sent == NULL)
		return order_unasked(&transfer->order, line, &reply, err);
	if (sent->verb == FLIGHT_NOOP) {
		finish_command(transfer);
		return 0;
	}
	transfer->is_answered = true;
	if (sent->verb == FLIGHT_DELE)
		take_deletion(transfer, sent, &reply);
	else if (reply.ok)
		begin_body(transfer, sent);
	else
		take_refusal(transfer, sent, &reply);
	return 0;
}

/* All that has come from the server and that the link has room for. */
static int
take_input(struct transfer *transfer, struct error *err)
{
	struct conn_line line;
	int found;

	if (transfer->is_held_back)
		transfer->owed_since = clock_monotonic_ms();
	transfer->is_held_back = false;
	for (;;) {
		if (transfer->in_body) {
			found = take_body(transfer, err);
			if (found <= 0)
				return found;
			continue;
		}
		found = conn_next_line(transfer->settings.conn, &line, err);
		if (found <= 0)
			return found;
		if (take_line(transfer, &line, err) != 0)
			return -1;
	}
}

static int
take_frames(struct transfer *transfer, struct error *err)
{
	int64_t patience =
		transfer->settings.timeout_ms < STOP_MS ? transfer->settings.timeout_ms : STOP_MS;
	struct link_frame frame;
	int found;

	if (link_fill(transfer->settings.link, err) < 0)
		return -1;
	while ((found = link_next(transfer->settings.link, &frame, err)) > 0) {
		if (agenda_take_frame(&transfer->agenda, &frame, err) != 0)
			return -1;
	}
	if (transfer->agenda.is_stopping && transfer->stop_deadline == CLOCK_NEVER)
		transfer->stop_deadline = clock_monotonic_ms() + patience;
	return found;
}

static bool
is_owed(const struct transfer *transfer)
{
	return transfer->flight.count != 0 || conn_pending(transfer->settings.conn) != 0;
}

/* When the silence is too long, a NOOP is due, or a stop has waited enough. */
static int64_t
next_deadline(const struct transfer *transfer)
{
	int64_t since = conn_last_progress(transfer->settings.conn), deadline;

	if (since < transfer->owed_since)
		since = transfer->owed_since;
	if (transfer->is_held_back)
		deadline = CLOCK_NEVER;
	else if (is_owed(transfer))
		deadline = since + transfer->settings.timeout_ms;
	else
		deadline = since + NOOP_AFTER_MS;
	if (transfer->phase != TRANSFER_DELETIONS && deadline > transfer->stop_deadline)
		deadline = transfer->stop_deadline;
	return deadline;
}

static int
name_message(const struct transfer *transfer, struct error *err)
{
	if (!transfer->in_body)
		return -1;
	return error_prefix(err, "in the middle of message %u",
		number_of(transfer, flight_first(&transfer->flight)->row));
}

static int
on_deadline(struct transfer *transfer, struct error *err)
{
	if (transfer->phase != TRANSFER_DELETIONS &&
		clock_monotonic_ms() >= transfer->stop_deadline)
		return error_set(err, ERROR_INTERRUPTED,
			"asked to stop, and what was under way did not end in time");
	if (is_owed(transfer)) {
		order_break(&transfer->order);
		if (!transfer->in_body)
			order_fall_silent(
				&transfer->order, &transfer->flight, transfer->settings.listing);
		error_set(err, ERROR_TIMEOUT, "the server has been silent for %lld second%s",
			(long long)(transfer->settings.timeout_ms / 1000),
			plural((uint64_t)transfer->settings.timeout_ms / 1000));
		return name_message(transfer, err);
	}
	send_command(transfer, FLIGHT_NOOP, 0);
	return 0;
}

/* The connection is of no more use; what it has left behind is taken in before that is told. */
static void
lose(struct transfer *transfer, const struct error *err)
{
	transfer->is_lost = true;
	transfer->lost = *err;
}

/* Send what waits, both ways. A server that no longer reads may have said why. */
static int
flush_both(struct transfer *transfer, struct error *err)
{
	struct conn *conn = transfer->settings.conn;
	struct error failure, ignored;
	int fills = 0;

	if (!transfer->is_lost && conn_flush(conn, &failure) != 0) {
		lose(transfer, &failure);
		while (fills < LAST_FILLS && conn_fill(conn, &ignored) > 0)
			fills++;
	}
	return link_flush(transfer->settings.link, err);
}

static int
wait_for_either(struct transfer *transfer, struct error *err)
{
	struct conn *conn = transfer->settings.conn;
	struct conn_wait wait = {
		.deadline = next_deadline(transfer),
		.other_fd = link_fd(transfer->settings.link),
		.other_events = POLLIN,
		.wants_input = !transfer->is_held_back,
	};
	struct error failure;

	if (link_pending(transfer->settings.link) != 0)
		wait.other_events |= POLLOUT;
	if (conn_wait(conn, &wait, &failure) != 0) {
		lose(transfer, &failure);
		return 0;
	}
	if (wait.timed_out)
		return on_deadline(transfer, err);
	if (wait.has_input && conn_fill(conn, &failure) < 0)
		lose(transfer, &failure);
	/* A header that comes slowly is told of only when it is complete. */
	if (wait.has_input)
		link_put_alive(transfer->settings.link);
	if ((wait.other_revents & (POLLIN | POLLHUP | POLLERR)) != 0)
		return take_frames(transfer, err);
	return 0;
}

static bool
is_complete(struct transfer *transfer)
{
	if (transfer->flight.count != 0)
		return false;
	if (transfer->phase == TRANSFER_PLAN)
		return transfer->agenda.is_planned || transfer->agenda.is_stopping;
	if (is_asking(transfer))
		return false;
	return transfer->phase != TRANSFER_BODIES || transfer->agenda.unsettled == 0;
}

/* Nothing is on its way: the deliverer need not wait for a fuller group. */
static void
tell_drained(struct transfer *transfer)
{
	if (transfer->phase != TRANSFER_BODIES || transfer->told_drained ||
		transfer->flight.count != 0 || transfer->agenda.unsettled == 0)
		return;
	link_put(transfer->settings.link, LINK_DRAINED);
	transfer->told_drained = true;
}

static int
tell_loss(struct transfer *transfer, struct error *err)
{
	order_break(&transfer->order);
	*err = transfer->lost;
	return name_message(transfer, err);
}

int
transfer_step(struct transfer *transfer, enum transfer_phase phase, struct error *err)
{
	size_t in_flight;

	if (transfer->phase != phase) {
		transfer->phase = phase;
		transfer->next = 0;
	}
	if (phase == TRANSFER_HEADS && !transfer->settings.has_top)
		agenda_refuse_heads(&transfer->agenda, transfer->settings.link);
	if (is_asking(transfer) && transfer->flight.count == 0 &&
		order_check_silence(&transfer->order, transfer->settings.conn, err) != 0)
		return -1;
	ask(transfer);
	if (is_complete(transfer))
		return 0;
	tell_drained(transfer);
	if (flush_both(transfer, err) != 0)
		return -1;

	/* The link may have made room for octets held back, and so for more to ask. */
	in_flight = transfer->flight.count;
	if (take_input(transfer, err) != 0)
		return -1;
	if (transfer->flight.count != in_flight && !transfer->is_lost)
		return 1;

	if (!transfer->is_lost && wait_for_either(transfer, err) != 0)
		return -1;
	if (take_input(transfer, err) != 0)
		return -1;
	return transfer->is_lost ? tell_loss(transfer, err) : 1;
}

void
transfer_abandon(struct transfer *transfer)
{
	const struct flight_command *sent = flight_first(&transfer->flight);
	struct link *link = transfer->settings.link;

	/* Of what is in flight only the first was worked on by the server. */
	if (sent != NULL && sent->verb == FLIGHT_RETR) {
		link_put_number(link, LINK_CUT, number_of(transfer, sent->row));
		transfer->cut += transfer->in_body ? 1 : 0;
	}
	if (transfer->agenda.unsettled != 0)
		link_put(link, LINK_DRAINED);
}

bool
transfer_is_answered(const struct transfer *transfer)
{
	return transfer->is_answered;
}

bool
transfer_broke_on_batch(const struct transfer *transfer)
{
	return transfer->flight.is_pipelining && transfer->is_lost &&
		transfer->lost.class == ERROR_NET && transfer->flight.count > 1 &&
		!transfer->is_answered;
}

void
transfer_restart(struct transfer *transfer, struct conn *conn)
{
	struct agenda *agenda = &transfer->agenda;

	assert(transfer_broke_on_batch(transfer));
	transfer->in_body = false;
	while (transfer->flight.count != 0) {
		const struct flight_command *sent = flight_first(&transfer->flight);

		if (sent->verb == FLIGHT_RETR)
			agenda_put_back(agenda, sent->row);
		flight_land(&transfer->flight);
	}
	transfer->next = 0;
	transfer->is_lost = false;
	transfer->settings.conn = conn;
	transfer->flight.conn = conn;
	transfer->flight.is_pipelining = false;
}

bool
transfer_is_out_of_step(const struct transfer *transfer)
{
	return transfer->order.is_broken;
}

bool
transfer_is_stopped(const struct transfer *transfer)
{
	return transfer->agenda.is_stopping;
}

bool
transfer_gave_up(const struct transfer *transfer, struct error *err)
{
	if (transfer->has_given_up)
		*err = transfer->given_up;
	return transfer->has_given_up;
}

struct transfer_totals
transfer_totals(const struct transfer *transfer)
{
	return (struct transfer_totals){
		.received = transfer->received,
		.unkept = transfer->agenda.unkept + transfer->cut,
		.deletions = transfer->agenda.deletions,
		.deleted = transfer->deleted,
	};
}
