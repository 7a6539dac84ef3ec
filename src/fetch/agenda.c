#include "fetch/agenda.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "fetch/pop3_parse.h"

/* Credit is counted in signed numbers and bounded, so that no sum of frames can overflow. */
#define CREDIT_MAX (INT64_C(1) << 61)

/* As much as a message can cost; sizes by LIST are a server's to choose. */
#define COST_MAX (UINT64_C(1) << 50)

void
agenda_init(struct agenda *agenda, const struct listing *listing)
{
	memset(agenda, 0, sizeof(*agenda));
	agenda->listing = listing;
	agenda->order = xcalloc(listing->count + 1, sizeof(agenda->order[0]));
	agenda->states = xcalloc(listing->count + 1, sizeof(agenda->states[0]));
}

void
agenda_release(struct agenda *agenda)
{
	free(agenda->order);
	free(agenda->states);
	memset(agenda, 0, sizeof(*agenda));
}

uint64_t
agenda_cost(const struct agenda *agenda, uint32_t row)
{
	uint64_t octets = agenda->listing->rows[row].octets;

	if (octets == POP3_OCTETS_UNKNOWN)
		return 0;
	return octets < COST_MAX ? octets : COST_MAX;
}

void
agenda_refuse_heads(struct agenda *agenda, struct link *link)
{
	static const char text[] = "the server does not list TOP";

	for (size_t i = 0; i < agenda->planned; i++) {
		uint32_t row = agenda->order[i];

		if (agenda->states[row] != AGENDA_HEAD)
			continue;
		link_put_text(
			link, LINK_REFUSED, agenda->listing->rows[row].number, text, strlen(text));
		agenda->states[row] = AGENDA_DONE;
	}
}

bool
agenda_find_last(const struct agenda *agenda, enum agenda_state state, uint32_t *row_out)
{
	for (size_t i = agenda->planned; i > 0; i--) {
		uint32_t row = agenda->order[i - 1];

		if (agenda->states[row] != state)
			continue;
		if (row_out != NULL)
			*row_out = row;
		return true;
	}
	return false;
}

bool
agenda_has_credit(const struct agenda *agenda, uint32_t row)
{
	return agenda->credit_messages >= 1 &&
		agenda->credit_octets >= (int64_t)agenda_cost(agenda, row);
}

static void
return_credit(struct agenda *agenda, uint32_t row)
{
	agenda->credit_messages++;
	agenda->credit_octets += (int64_t)agenda_cost(agenda, row);
}

void
agenda_ask(struct agenda *agenda, uint32_t row)
{
	agenda->states[row] = AGENDA_ASKED;
	agenda->credit_messages--;
	agenda->credit_octets -= (int64_t)agenda_cost(agenda, row);
}

void
agenda_receive(struct agenda *agenda, uint32_t row)
{
	/* The deliverer may have failed with it while it was still coming. */
	if (agenda->states[row] != AGENDA_ASKED)
		return;
	agenda->states[row] = AGENDA_RECEIVED;
	agenda->unsettled++;
}

void
agenda_refuse(struct agenda *agenda, uint32_t row)
{
	agenda->states[row] = AGENDA_DONE;
	return_credit(agenda, row);
}

void
agenda_put_back(struct agenda *agenda, uint32_t row)
{
	agenda->states[row] = AGENDA_FETCH;
	return_credit(agenda, row);
}

static int
take_action(struct agenda *agenda, const struct link_frame *frame, struct error *err)
{
	static const enum agenda_state state_of[] = {
		[LINK_VERB_FETCH] = AGENDA_FETCH,
		[LINK_VERB_DELETE] = AGENDA_DELETE,
		[LINK_VERB_HEAD] = AGENDA_HEAD,
	};
	const struct listing_row *found = listing_find(agenda->listing, frame->number);
	size_t row;

	if (agenda->is_planned || found == NULL)
		return error_set(err, ERROR_BUG, "the deliverer plans message %u out of turn",
			frame->number);
	row = (size_t)(found - agenda->listing->rows);
	if (agenda->states[row] != AGENDA_UNPLANNED)
		return error_set(
			err, ERROR_BUG, "the deliverer plans message %u twice", frame->number);
	agenda->states[row] = (unsigned char)state_of[frame->u.verb];
	if (frame->u.verb == LINK_VERB_DELETE)
		agenda->deletions++;
	agenda->order[agenda->planned++] = (uint32_t)row;
	return 0;
}

static int
take_settled(struct agenda *agenda, const struct link_frame *frame, struct error *err)
{
	const struct listing_row *found = listing_find(agenda->listing, frame->number);
	size_t row = found == NULL ? 0 : (size_t)(found - agenda->listing->rows);
	bool is_early = found != NULL && agenda->states[row] == AGENDA_ASKED &&
		frame->u.outcome == LINK_OUTCOME_FAILED;

	if (found == NULL || (agenda->states[row] != AGENDA_RECEIVED && !is_early))
		return error_set(err, ERROR_BUG, "the deliverer settles message %u out of turn",
			frame->number);
	if (!is_early)
		agenda->unsettled--;
	switch (frame->u.outcome) {
	case LINK_OUTCOME_LEAVE:
		agenda->states[row] = AGENDA_DONE;
		break;
	case LINK_OUTCOME_DELETE:
		agenda->states[row] = AGENDA_DELETE;
		agenda->deletions++;
		break;
	case LINK_OUTCOME_FAILED:
		agenda->states[row] = AGENDA_UNKEPT;
		agenda->unkept++;
		break;
	}
	return 0;
}

static int64_t
add_credit(int64_t have, uint64_t more)
{
	if (more > (uint64_t)CREDIT_MAX)
		more = (uint64_t)CREDIT_MAX;
	return have > CREDIT_MAX - (int64_t)more ? CREDIT_MAX : have + (int64_t)more;
}

int
agenda_take_frame(struct agenda *agenda, const struct link_frame *frame, struct error *err)
{
	switch (frame->type) {
	case LINK_ACTION:
		return take_action(agenda, frame, err);
	case LINK_PLANNED:
		if (agenda->is_planned || frame->value != agenda->planned)
			return error_set(err, ERROR_BUG, "the deliverer's plan is not whole");
		agenda->is_planned = true;
		return 0;
	case LINK_CREDIT:
		agenda->credit_messages =
			add_credit(agenda->credit_messages, frame->u.credit.messages);
		agenda->credit_octets = add_credit(agenda->credit_octets, frame->u.credit.octets);
		return 0;
	case LINK_SETTLED:
		return take_settled(agenda, frame, err);
	case LINK_STOP:
		agenda->is_stopping = true;
		return 0;
	default:
		return error_set(
			err, ERROR_BUG, "the deliverer sent a frame of type %d", (int)frame->type);
	}
}
