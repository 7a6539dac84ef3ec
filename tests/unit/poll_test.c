#include "poll/limits.h"
#include "poll/progress.h"
#include "poll/report.h"

#include "check.h"

static void
sizes_are_told_in_powers_of_1000(void)
{
	static const struct {
		uint64_t octets;
		const char *text;
	} cases[] = {
		{0,          "0 octets"  },
		{999,        "999 octets"},
		{1000,       "1.0 KB"    },
		{48211,      "48.2 KB"   },
		{999949,     "999.9 KB"  },
		{999950,     "1.0 MB"    },
		{1073741824, "1.1 GB"    },
		{UINT64_MAX, "18446.7 PB"},
	};
	char text[REPORT_OCTETS_SIZE];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		CHECK_STR(report_octets(text, cases[i].octets), cases[i].text);
}

static void
progress_tells_a_rate_only_when_there_is_one(void)
{
	struct progress_state state = {.accounts_total = 1, .messages = 10, .messages_total = 100};
	char text[256];

	state.octets_total = 100000000;
	progress_format(text, sizeof text, &state, 10000);
	CHECK_STR(text, "10/100 messages, 0 octets of 100.0 MB");
	state.octets = 10000000;
	progress_format(text, sizeof text, &state, 100);
	CHECK_STR(text, "10/100 messages, 10.0 MB of 100.0 MB");
	progress_format(text, sizeof text, &state, 10000);
	CHECK_STR(text, "10/100 messages, 10.0 MB of 100.0 MB, 1.0 MB/s, 1 min 30 s left");
	state.accounts = 3;
	state.accounts_total = 20;
	state.octets = state.octets_total + 1;
	progress_format(text, sizeof text, &state, 1000);
	CHECK_STR(text, "3/20 accounts, 10/100 messages, 100.0 MB of 100.0 MB, 100.0 MB/s");
	state.octets = 1;
	progress_format(text, sizeof text, &state, 1000);
	CHECK(strstr(text, "27777 h 46 min left") != NULL);
}

static void
limits_hold_per_host_and_in_all(void)
{
	struct account a = {.host = (char *)"a.test"}, b = {.host = (char *)"b.test"};
	struct account upper = {.host = (char *)"A.TEST"};
	struct account *accounts[] = {&a, &upper, &a, &b};
	struct limits limits;

	limits_init(&limits, accounts, 4, 3, 2);
	CHECK(limits_next(&limits) == 0);
	limits_start(&limits, 0);
	CHECK(limits_next(&limits) == 1);
	limits_start(&limits, 1);
	/* The third of one host waits, another host's account goes before it. */
	CHECK(limits_next(&limits) == 3);
	limits_start(&limits, 3);
	CHECK(limits_next(&limits) == 4);
	limits_end(&limits, 3);
	CHECK(limits_next(&limits) == 4);
	limits_end(&limits, 1);
	CHECK(limits_next(&limits) == 2);
	limits_start(&limits, 2);
	limits_end(&limits, 0);
	limits_end(&limits, 2);
	CHECK(limits_next(&limits) == 4);
	CHECK(limits.running == 0);
	limits_release(&limits);
}

static void
jobs_limit_what_hosts_would_allow(void)
{
	struct account a = {.host = (char *)"a"}, b = {.host = (char *)"b"};
	struct account *accounts[] = {&a, &b};
	struct limits limits;

	limits_init(&limits, accounts, 2, 1, 9);
	limits_start(&limits, limits_next(&limits));
	CHECK(limits_next(&limits) == 2);
	limits_end(&limits, 0);
	CHECK(limits_next(&limits) == 1);
	limits_release(&limits);
}

int
main(void)
{
	sizes_are_told_in_powers_of_1000();
	progress_tells_a_rate_only_when_there_is_one();
	limits_hold_per_host_and_in_all();
	jobs_limit_what_hosts_would_allow();
	return check_done();
}
