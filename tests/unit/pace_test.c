/* Which waits for a server's octets end a session, and how big a message may get. */
#include "fetch/wire/pace.h"

#include <stdint.h>

#include "base/clock.h"
#include "check.h"
#include "link/bound.h"
#include "link/link.h"

#define WINDOW_MS 60000

/*
 * One reply: its first octet, then `step` octets each `ms`, `count` times. What is left when it
 * fails.
 */
static int
drip(struct pace *pace, uint64_t step, int64_t ms, int count)
{
	struct error err;

	pace_receive(pace, 1);
	for (; count > 0; count--) {
		pace_wait(pace, ms);
		pace_receive(pace, step);
		if (pace_check(pace, &err) != 0)
			return count;
	}
	return 0;
}

static void
test_rates(void)
{
	static const struct {
		uint64_t rate, step;
		int64_t ms;
		int count;
		bool fails;
	} cases[] = {
		{100,        1,          5000,    100, true },
		{100,        1,          5000,    11,  false}, /* 55 s: no window is over */
		{100,        1,          5000,    12,  true },
		{100,        500,        5000,    100, false},
		{100,        499,        5000,    100, true },
		{100,        5999,       60000,   5,   true }, /* the first octet makes up for it once only */
		{100,        6000,       60000,   5,   false},
		{0,          0,          60000,   100, false},
		{1,          0,          30000,   2,   true },
		{1,          30,         30000,   100, false},
 /* A process that was stopped for an hour finds a buffer full. */
		{100,        6000,       3600000, 5,   false},
		{UINT64_MAX, UINT32_MAX, 1000,    60,  true },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct pace pace;
		int left;

		pace_init(&pace, cases[i].rate, WINDOW_MS);
		left = drip(&pace, cases[i].step, cases[i].ms, cases[i].count);
		if (!CHECK((left != 0) == cases[i].fails))
			fprintf(stderr, "\tcase %zu: %d left\n", i, left);
	}
}

static void
test_only_replies_under_way_count(void)
{
	struct pace pace;
	struct error err;

	pace_init(&pace, 100, WINDOW_MS);
	for (int reply = 0; reply < 20; reply++) {
		/* Before the first octet any wait will do. */
		CHECK(pace_left_ms(&pace) == CLOCK_NEVER);
		pace_wait(&pace, 10 * WINDOW_MS);
		CHECK(pace_check(&pace, &err) == 0);
		pace_receive(&pace, 0);
		CHECK(pace_left_ms(&pace) == CLOCK_NEVER);
		/* Nearly a whole window for each reply. */
		pace_receive(&pace, 3);
		CHECK(pace_left_ms(&pace) == WINDOW_MS);
		pace_wait(&pace, WINDOW_MS - 1);
		CHECK(pace_left_ms(&pace) == 1 && pace_check(&pace, &err) == 0);
		pace_next_reply(&pace, 0);
	}
	/* Octets of the next reply that are here already have begun it. */
	pace_next_reply(&pace, 7);
	pace_wait(&pace, WINDOW_MS);
	if (CHECK(pace_check(&pace, &err) == -1 && err.class == ERROR_TIMEOUT))
		CHECK_STR(
			err.text, "the server sends too slowly: 7 octets in 60 seconds (min-rate)");
	pace_init(&pace, 2, 1000);
	pace_receive(&pace, 1);
	pace_wait(&pace, 1000);
	if (CHECK(pace_check(&pace, &err) == -1))
		CHECK_STR(err.text, "the server sends too slowly: 1 octet in 1 second (min-rate)");
}

static void
test_bounds_of_messages(void)
{
	static const struct {
		uint64_t listed, most;
	} cases[] = {
		{0,		       268435456         },
		{1000,                    268436456         },
		{268435456,               536870912         },
		{268435457,               536870914         },
		{(uint64_t)10 << 30,      (uint64_t)20 << 30},
		{(uint64_t)1 << 40,       (uint64_t)2 << 40 },
		{((uint64_t)1 << 40) + 1, 1073741824        },
		{UINT64_MAX - 1,          1073741824        },
		{LINK_OCTETS_UNKNOWN,     1073741824        },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (!CHECK(bound_message_octets(cases[i].listed) == cases[i].most))
			fprintf(stderr, "\tcase %zu\n", i);
	}
}

int
main(void)
{
	test_rates();
	test_only_replies_under_way_count();
	test_bounds_of_messages();
	return check_done();
}
