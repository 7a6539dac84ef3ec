#include "fetch/transfer.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/quote.h"
#include "base/xalloc.h"
#include "fetch/agenda.h"
#include "fetch/replies.h"

/* Idle servers cut after as little as 60 s. */
#define NOOP_AFTER_MS 20000

/* What is in flight when we are asked to stop may take this long. */
#define STOP_MS 10000

/* Of a command that is about no message. */
#define NO_ROW UINT32_MAX

/*
 * With so much more to come, by what it has listed, a server sends it whatever we do. If it is
 * wrong in that, each drop of a reply comes a millisecond later.
 */
#define STREAM_MIN (512 * 1024)

/* Reads of what a server has said before it stopped reading. */
#define LAST_FILLS 16

struct transfer {
	struct transfer_settings settings;
	struct replies replies;
	enum transfer_phase phase;
	size_t next; /* of the agenda's order: the first not looked at in this phase */

	int64_t owed_since; /* when the server last had reason to begin answering */
	int64_t stop_deadline;
	bool told_drained;

	bool is_lost;
	struct error lost;
	size_t cut;
	bool is_out_of_step, is_suspicious;
	uint32_t doubtful; /* number of the first message that is to be doubted; 0: none is */
};

struct transfer *
transfer_new(const struct transfer_settings *settings)
{
	struct transfer *transfer = xcalloc(1, sizeof(*transfer));

	transfer->settings = *settings;
	replies_init(&transfer->replies, settings->conn, settings->link, settings->listing);
	transfer->replies.flight.is_pipelining = settings->is_pipelining;
	transfer->stop_deadline = CLOCK_NEVER;
	return transfer;
}

void
transfer_free(struct transfer *transfer)
{
	if (transfer == NULL)
		return;
	replies_release(&transfer->replies);
	free(transfer);
}

static void
send_command(struct transfer *transfer, enum flight_verb verb, uint32_t row)
{
	const struct flight_command command = {
		.row = row,
		.verb = verb,
		.octets = verb == FLIGHT_RETR ? agenda_cost(&transfer->replies.agenda, row) : 0,
	};

	flight_send(&transfer->replies.flight, &command,
		row == NO_ROW ? 0 : replies_number(&transfer->replies, row));
	if (verb == FLIGHT_RETR || verb == FLIGHT_DELE)
		order_note_command(&transfer->replies.order, command.octets);
	transfer->owed_since = clock_monotonic_ms();
}

/* As far as credit and window go; one may always be asked for when nothing else is about. */
static bool
ask_for_body(struct transfer *transfer, uint32_t row)
{
	struct agenda *agenda = &transfer->replies.agenda;

	if ((transfer->replies.flight.count != 0 || agenda->unsettled != 0) &&
		!(agenda_has_credit(agenda, row) &&
			flight_has_room(&transfer->replies.flight, agenda_cost(agenda, row))))
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
	enum agenda_state state = transfer->replies.agenda.states[row];

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
	const struct replies *replies = &transfer->replies;

	if (transfer->phase == TRANSFER_PLAN || transfer->next == replies->agenda.planned)
		return false;
	if (transfer->phase == TRANSFER_DELETIONS)
		return replies->agenda.is_planned;
	return !replies->agenda.is_stopping && !replies->has_given_up;
}

static bool
wants_sync(const struct transfer *transfer)
{
	const struct replies *replies = &transfer->replies;

	if (transfer->phase != TRANSFER_BODIES && transfer->phase != TRANSFER_DELETIONS)
		return false;
	return flight_has_room(&replies->flight, 0) &&
		order_wants_sync(&replies->order, &replies->flight, !is_asking(transfer));
}

/* Ask for as much as there is room for, with the syncs that are due. */
static void
ask_in_order(struct transfer *transfer)
{
	struct replies *replies = &transfer->replies;

	while (is_asking(transfer) && flight_has_room(&replies->flight, 0)) {
		if (wants_sync(transfer))
			send_command(transfer, order_ask_sync(&replies->order), NO_ROW);
		else if (ask_for_row(transfer, replies->agenda.order[transfer->next]))
			transfer->next++;
		else
			break;
	}
}

/* The last message tells whether those before it are refused for their own sake. */
static void
ask_probe(struct transfer *transfer)
{
	struct replies *replies = &transfer->replies;
	uint32_t row;

	if (replies->probe == REPLIES_PROBE_DUE && replies->flight.count == 0 &&
		agenda_find_last(&replies->agenda, AGENDA_FETCH, &row) &&
		ask_for_body(transfer, row))
		replies->probe = REPLIES_PROBE_ASKED;
}

static void
ask(struct transfer *transfer)
{
	struct replies *replies = &transfer->replies;

	if (is_asking(transfer) && flight_is_low(&replies->flight)) {
		if (transfer->phase != TRANSFER_BODIES || replies->probe == REPLIES_NO_PROBE)
			ask_in_order(transfer);
		else if (!wants_sync(transfer))
			ask_probe(transfer);
	}
	if (wants_sync(transfer))
		send_command(transfer, order_ask_sync(&replies->order), NO_ROW);
}

static int
take_input(struct transfer *transfer, struct error *err)
{
	if (transfer->replies.is_held_back)
		transfer->owed_since = clock_monotonic_ms();
	return replies_take(&transfer->replies, err);
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
		if (agenda_take_frame(&transfer->replies.agenda, &frame, err) != 0)
			return -1;
	}
	if (transfer->replies.agenda.is_stopping && transfer->stop_deadline == CLOCK_NEVER)
		transfer->stop_deadline = clock_monotonic_ms() + patience;
	return found;
}

static bool
is_owed(const struct transfer *transfer)
{
	return transfer->replies.flight.count != 0 || conn_pending(transfer->settings.conn) != 0;
}

/* When the silence is too long, a NOOP is due, or a stop has waited enough. */
static int64_t
next_deadline(const struct transfer *transfer)
{
	int64_t since = conn_last_progress(transfer->settings.conn), deadline;

	if (since < transfer->owed_since)
		since = transfer->owed_since;
	if (transfer->replies.is_held_back)
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
	if (!transfer->replies.in_body)
		return -1;
	return error_prefix(err, "in the middle of message %u",
		replies_number(&transfer->replies, flight_first(&transfer->replies.flight)->row));
}

static int
on_deadline(struct transfer *transfer, struct error *err)
{
	if (transfer->phase != TRANSFER_DELETIONS &&
		clock_monotonic_ms() >= transfer->stop_deadline)
		return error_set(err, ERROR_INTERRUPTED,
			"asked to stop, and what was under way did not end in time");
	if (is_owed(transfer)) {
		error_set(err, ERROR_TIMEOUT, "the server has been silent for %lld second%s",
			(long long)(transfer->settings.timeout_ms / 1000),
			plural((uint64_t)transfer->settings.timeout_ms / 1000));
		return name_message(transfer, err);
	}
	send_command(transfer, FLIGHT_NOOP, NO_ROW);
	return 0;
}

/* The connection is of no more use; what it has left behind is taken in before that is told. */
static void
lose(struct transfer *transfer, const struct error *err)
{
	transfer->is_lost = transfer->replies.is_ending = true;
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

/* Octets that the server has still to send for what it was asked, as far as it has listed them. */
static uint64_t
octets_due(const struct replies *replies)
{
	const struct flight_command *first = flight_first(&replies->flight);
	uint64_t taken = replies->in_body ? replies->body.taken : 0;

	if (first == NULL)
		return 0;
	return replies->flight.octets - (taken < first->octets ? taken : first->octets);
}

static int
wait_for_either(struct transfer *transfer, struct error *err)
{
	struct conn *conn = transfer->settings.conn;
	struct conn_wait wait = {
		.deadline = next_deadline(transfer),
		.other_fd = link_fd(transfer->settings.link),
		.other_events = POLLIN,
		.wants_input = !transfer->replies.is_held_back,
		.is_stream = octets_due(&transfer->replies) >= STREAM_MIN,
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
	if (transfer->replies.flight.count != 0)
		return false;
	if (transfer->phase == TRANSFER_PLAN)
		return transfer->replies.agenda.is_planned || transfer->replies.agenda.is_stopping;
	if (is_asking(transfer) || wants_sync(transfer))
		return false;
	return transfer->phase != TRANSFER_BODIES || transfer->replies.agenda.unsettled == 0;
}

/* Nothing is on its way: the deliverer need not wait for a fuller group. */
static void
tell_drained(struct transfer *transfer)
{
	if (transfer->phase != TRANSFER_BODIES || transfer->told_drained ||
		transfer->replies.flight.count != 0 || transfer->replies.agenda.unsettled == 0)
		return;
	link_put(transfer->settings.link, LINK_DRAINED);
	transfer->told_drained = true;
}

static int
tell_loss(struct transfer *transfer, struct error *err)
{
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
		agenda_refuse_heads(&transfer->replies.agenda, transfer->settings.link);
	if ((is_asking(transfer) || wants_sync(transfer)) && transfer->replies.flight.count == 0 &&
		order_check_silence(&transfer->replies.order, &transfer->replies.flight,
			transfer->settings.conn, err) != 0)
		return -1;
	ask(transfer);
	if (is_complete(transfer))
		return 0;
	tell_drained(transfer);
	if (flush_both(transfer, err) != 0)
		return -1;

	/* The link may have made room for octets held back, and so for more to ask. */
	in_flight = transfer->replies.flight.count;
	if (take_input(transfer, err) != 0)
		return -1;
	if (transfer->replies.flight.count != in_flight && !transfer->is_lost)
		return 1;

	if (!transfer->is_lost && wait_for_either(transfer, err) != 0)
		return -1;
	if (take_input(transfer, err) != 0)
		return -1;
	return transfer->is_lost ? tell_loss(transfer, err) : 1;
}

/*
 * A server that leaves out replies would end each session so; in lock step the order of
 * its replies can be seen. A break within a message, or our own leaving, is no sign of that.
 */
static bool
is_suspicious(const struct transfer *transfer, const struct error *why)
{
	const struct flight_command *sent = flight_first(&transfer->replies.flight);

	return why->class != ERROR_INTERRUPTED && !transfer->replies.in_body && sent != NULL &&
		sent->verb == FLIGHT_RETR;
}

static void
settle_order(struct transfer *transfer, const struct error *why)
{
	const struct replies *replies = &transfer->replies;
	const struct order *order = &replies->order;

	transfer->is_out_of_step = order->is_broken;
	if (!order_is_doubtful(order, &replies->flight, replies->listing))
		return;
	transfer->doubtful = replies_number(replies, order->first);
	transfer->is_suspicious = is_suspicious(transfer, why);
}

void
transfer_abandon(struct transfer *transfer, const struct error *why)
{
	const struct flight_command *sent = flight_first(&transfer->replies.flight);
	struct link *link = transfer->settings.link;

	settle_order(transfer, why);
	/* Of what is in flight only the first was worked on by the server. */
	if (sent != NULL && sent->verb == FLIGHT_RETR) {
		link_put_number(link, LINK_CUT, replies_number(&transfer->replies, sent->row));
		transfer->cut += transfer->replies.in_body ? 1 : 0;
	}
	if (transfer->replies.agenda.unsettled != 0)
		link_put(link, LINK_DRAINED);
}

bool
transfer_is_answered(const struct transfer *transfer)
{
	return transfer->replies.is_answered;
}

bool
transfer_broke_on_batch(const struct transfer *transfer)
{
	return transfer->replies.flight.is_pipelining && transfer->is_lost &&
		transfer->lost.class == ERROR_NET && transfer->replies.flight.count > 1 &&
		!transfer->replies.is_answered;
}

void
transfer_restart(struct transfer *transfer, struct conn *conn)
{
	assert(transfer_broke_on_batch(transfer));
	replies_restart(&transfer->replies, conn);
	transfer->next = 0;
	transfer->is_lost = false;
	transfer->settings.conn = conn;
}

bool
transfer_is_out_of_step(const struct transfer *transfer)
{
	return transfer->is_out_of_step;
}

bool
transfer_is_suspicious(const struct transfer *transfer)
{
	return transfer->is_out_of_step || transfer->is_suspicious;
}

uint32_t
transfer_first_doubtful(const struct transfer *transfer)
{
	return transfer->doubtful;
}

bool
transfer_is_stopped(const struct transfer *transfer)
{
	return transfer->replies.agenda.is_stopping;
}

bool
transfer_gave_up(const struct transfer *transfer, struct error *err)
{
	if (transfer->replies.has_given_up)
		*err = transfer->replies.given_up;
	return transfer->replies.has_given_up;
}

struct transfer_totals
transfer_totals(const struct transfer *transfer)
{
	return (struct transfer_totals){
		.received = transfer->replies.received,
		.unkept = transfer->replies.agenda.unkept + transfer->cut,
		.deletions = transfer->replies.agenda.deletions,
		.deleted = transfer->replies.deleted,
	};
}
