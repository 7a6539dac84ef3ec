/* The books of a session: plan, credit, settlements, and frames that make no sense. */
#include "fetch/agenda.h"

#include "check.h"
#include "fetch/pop3_parse.h"

#define MIB (1024 * 1024)

/* Five messages: 1 to 4 of 1 MiB each, 5 of unknown size. */
static void
make_listing(struct listing *listing)
{
	struct error err;

	for (uint32_t n = 1; n <= 5; n++)
		CHECK(listing_add_octets(listing, n, n == 5 ? POP3_OCTETS_UNKNOWN : MIB, &err) ==
			0);
	CHECK(listing_end(listing, &err) == 0);
}

static int
take_action(struct agenda *agenda, uint32_t number, enum link_verb verb)
{
	struct link_frame frame = {.type = LINK_ACTION, .number = number, .u.verb = verb};
	struct error err = {0};
	int result = agenda_take_frame(agenda, &frame, &err);

	if (result != 0)
		CHECK(err.class == ERROR_BUG);
	return result;
}

static int
take_value(struct agenda *agenda, enum link_type type, uint64_t value)
{
	struct link_frame frame = {.type = type, .value = value};
	struct error err = {0};

	return agenda_take_frame(agenda, &frame, &err);
}

static int
take_settled(struct agenda *agenda, uint32_t number, enum link_outcome outcome)
{
	struct link_frame frame = {.type = LINK_SETTLED, .number = number, .u.outcome = outcome};
	struct error err = {0};
	int result = agenda_take_frame(agenda, &frame, &err);

	if (result != 0)
		CHECK(err.class == ERROR_BUG);
	return result;
}

static void
take_credit(struct agenda *agenda, uint32_t messages, uint64_t octets)
{
	struct link_frame frame = {
		.type = LINK_CREDIT, .u.credit = {.messages = messages, .octets = octets}
        };
	struct error err;

	CHECK(agenda_take_frame(agenda, &frame, &err) == 0);
}

static void
test_plan(void)
{
	struct listing listing = {0};
	struct agenda agenda;

	make_listing(&listing);
	agenda_init(&agenda, &listing);
	CHECK(take_action(&agenda, 3, LINK_VERB_FETCH) == 0);
	CHECK(take_action(&agenda, 1, LINK_VERB_DELETE) == 0);
	CHECK(take_action(&agenda, 2, LINK_VERB_HEAD) == 0);
	CHECK(take_action(&agenda, 3, LINK_VERB_DELETE) != 0);
	CHECK(take_action(&agenda, 6, LINK_VERB_FETCH) != 0);
	CHECK(take_action(&agenda, 0, LINK_VERB_FETCH) != 0);
	CHECK(take_value(&agenda, LINK_PLANNED, 4) != 0);
	CHECK(!agenda.is_planned);
	CHECK(take_value(&agenda, LINK_PLANNED, 3) == 0);
	CHECK(agenda.is_planned && agenda.planned == 3 && agenda.deletions == 1);
	CHECK(agenda.order[0] == 2 && agenda.order[1] == 0 && agenda.order[2] == 1);
	CHECK(take_action(&agenda, 4, LINK_VERB_FETCH) != 0);
	CHECK(take_value(&agenda, LINK_PLANNED, 3) != 0);
	CHECK(take_value(&agenda, LINK_DATA, 0) != 0);
	CHECK(!agenda.is_stopping);
	CHECK(take_value(&agenda, LINK_STOP, 0) == 0);
	CHECK(agenda.is_stopping);
	agenda_release(&agenda);
	listing_release(&listing);
}

static void
test_credit(void)
{
	struct listing listing = {0};
	struct agenda agenda;

	make_listing(&listing);
	agenda_init(&agenda, &listing);
	CHECK(agenda_cost(&agenda, 0) == MIB && agenda_cost(&agenda, 4) == 0);
	CHECK(!agenda_has_credit(&agenda, 0) && !agenda_has_credit(&agenda, 4));
	take_credit(&agenda, 2, MIB);
	CHECK(agenda_has_credit(&agenda, 0));
	agenda_ask(&agenda, 0);
	CHECK(!agenda_has_credit(&agenda, 1));
	CHECK(agenda_has_credit(&agenda, 4));
	agenda_ask(&agenda, 4);
	CHECK(agenda.credit_messages == 0 && agenda.credit_octets == 0);

	/* One may be asked for beyond the credit; the debt is paid by the same sum later. */
	agenda_ask(&agenda, 1);
	CHECK(agenda.credit_messages == -1 && agenda.credit_octets == -MIB);
	agenda_refuse(&agenda, 1);
	CHECK(agenda.states[1] == AGENDA_DONE && agenda.credit_messages == 0);
	agenda_ask(&agenda, 2);
	agenda_put_back(&agenda, 2);
	CHECK(agenda.states[2] == AGENDA_FETCH && agenda.credit_octets == 0);

	/* No sum of frames overflows. */
	for (int i = 0; i < 10; i++)
		take_credit(&agenda, UINT32_MAX, UINT64_MAX);
	CHECK(agenda.credit_octets > 0 && agenda_has_credit(&agenda, 3));
	agenda_refuse(&agenda, 0);
	CHECK(agenda.credit_octets > 0);
	agenda_release(&agenda);
	listing_release(&listing);
}

static void
test_settlements(void)
{
	struct listing listing = {0};
	struct agenda agenda;

	make_listing(&listing);
	agenda_init(&agenda, &listing);
	for (uint32_t n = 1; n <= 4; n++)
		CHECK(take_action(&agenda, n, LINK_VERB_FETCH) == 0);
	CHECK(take_settled(&agenda, 1, LINK_OUTCOME_DELETE) != 0);
	CHECK(take_settled(&agenda, 5, LINK_OUTCOME_LEAVE) != 0);
	CHECK(take_settled(&agenda, 9, LINK_OUTCOME_LEAVE) != 0);
	for (uint32_t row = 0; row < 4; row++)
		agenda_ask(&agenda, row);

	/* Nothing is kept before all of it has been sent; but it may fail before that. */
	CHECK(take_settled(&agenda, 1, LINK_OUTCOME_DELETE) != 0);
	CHECK(take_settled(&agenda, 4, LINK_OUTCOME_FAILED) == 0);
	for (uint32_t row = 0; row < 4; row++)
		agenda_receive(&agenda, row);
	CHECK(agenda.unsettled == 3 && agenda.unkept == 1);
	CHECK(take_settled(&agenda, 1, LINK_OUTCOME_DELETE) == 0);
	CHECK(take_settled(&agenda, 2, LINK_OUTCOME_LEAVE) == 0);
	CHECK(take_settled(&agenda, 3, LINK_OUTCOME_FAILED) == 0);
	CHECK(take_settled(&agenda, 3, LINK_OUTCOME_FAILED) != 0);
	CHECK(agenda.unsettled == 0 && agenda.unkept == 2 && agenda.deletions == 1);
	CHECK(agenda.states[0] == AGENDA_DELETE && agenda.states[1] == AGENDA_DONE);
	CHECK(agenda.states[2] == AGENDA_UNKEPT && agenda.states[3] == AGENDA_UNKEPT);
	agenda_release(&agenda);
	listing_release(&listing);
}

int
main(void)
{
	test_plan();
	test_credit();
	test_settlements();
	return check_done();
}
