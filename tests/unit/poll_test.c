#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "poll/drain.h"
#include "poll/limits.h"
#include "poll/progress.h"
#include "poll/report.h"
#include "poll/worker.h"

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
	CHECK(limits_next(&limits, 1) == 0);
	limits_start(&limits, 0);
	CHECK(limits_next(&limits, 1) == 1);
	limits_start(&limits, 1);
	/* The third of one host waits, another host's account goes before it. */
	CHECK(limits_next(&limits, 1) == 3);
	limits_start(&limits, 3);
	CHECK(limits_next(&limits, 1) == 4);
	limits_end(&limits, 3);
	CHECK(limits_next(&limits, 1) == 4);
	limits_end(&limits, 1);
	CHECK(limits_next(&limits, 1) == 2);
	limits_start(&limits, 2);
	limits_end(&limits, 0);
	limits_end(&limits, 2);
	CHECK(limits_next(&limits, 1) == 4);
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
	limits_start(&limits, limits_next(&limits, 1));
	CHECK(limits_next(&limits, 1) == 2);
	limits_end(&limits, 0);
	CHECK(limits_next(&limits, 1) == 1);
	limits_release(&limits);
}

static void
limits_let_accounts_start_again(void)
{
	struct account one = {.host = (char *)"a"}, two = {.host = (char *)"a"};
	struct account *accounts[] = {&one, &two};
	struct limits limits;

	limits_init(&limits, accounts, 2, 2, 1);
	limits_start(&limits, 0);
	limits_end(&limits, 0);
	limits_again(&limits, 0, 50);
	CHECK(limits.again == 1);
	/* What has not started at all comes first, and the host's limit holds for both. */
	CHECK(limits_next(&limits, 60) == 1);
	limits_start(&limits, 1);
	CHECK(limits_next(&limits, 60) == 2);
	limits_end(&limits, 1);
	CHECK(limits_next(&limits, 49) == 2);
	CHECK(limits_next(&limits, 50) == 0);
	limits_start(&limits, 0);
	CHECK(limits.again == 0);
	limits_end(&limits, 0);
	CHECK(limits_next(&limits, 1000) == 2);
	limits_again(&limits, 0, 70);
	CHECK(limits_next(&limits, 70) == 0);
	limits_release(&limits);
}

static void
drain_adds_up_sessions(void)
{
	struct link_report first = {.ok = true,
				   .fetched = 3,
				   .deleted = 2,
				   .left = 9,
				   .failed = 4,
				   .skipped = 5,
				   .octets = 100,
				   .milliseconds = 7},
			   last = {.class = ERROR_NET,
				   .fetched = 1,
				   .left = 6,
				   .octets = 1ull << 40};
	struct drain drain = {0};

	drain_add(&drain, &first);
	drain_add(&drain, &last);
	CHECK(drain.sessions == 2 && !drain.sum.ok && drain.sum.class == ERROR_NET);
	CHECK(drain.sum.fetched == 4 && drain.sum.deleted == 2 && drain.sum.milliseconds == 7);
	CHECK(drain.sum.left == 6 && drain.sum.skipped == 0 && drain.sum.failed == 0);
	CHECK(drain.sum.octets == (1ull << 40) + 100);
	last.fetched = UINT32_MAX;
	drain_add(&drain, &last);
	CHECK(drain.sum.fetched == UINT32_MAX);
}

static void
drain_goes_on_while_something_new_comes(void)
{
	static const struct {
		bool until_empty, ok;
		uint32_t fetched, failed, delay, sessions;
		int next;
	} cases[] = {
		{true,  true,  1, 0, 0,   1,                  1 },
		{true,  true,  1, 0, 600, 1,                  1 },
		{true,  true,  1, 0, 601, 1,                  -1},
		{true,  true,  1, 0, 0,   DRAIN_SESSIONS_MAX, -1},
		{true,  true,  0, 0, 601, 1,                  0 },
		{true,  true,  1, 1, 601, 1,                  0 },
		{true,  false, 1, 0, 0,   1,                  0 },
		{false, true,  1, 0, 601, 1,                  0 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct account account = {.until_empty = cases[i].until_empty};
		struct link_report report = {.ok = cases[i].ok,
			.fetched = cases[i].fetched,
			.failed = cases[i].failed,
			.login_delay = cases[i].delay};
		struct drain drain = {.sessions = cases[i].sessions};
		struct error err = {.class = ERROR_BUG};
		int64_t wait = -1;

		CHECK(drain_next(&drain, &account, &report, &wait, &err) == cases[i].next);
		CHECK((err.class == ERROR_BUSY) == (cases[i].next < 0));
		CHECK(wait == (cases[i].next > 0 ? (int64_t)cases[i].delay : -1));
	}
}

/* Who may send it signals is the user of run-as, and the poller waits for no one else meanwhile. */
static void
a_worker_that_is_stopped_behind_its_report_is_not_waited_for(void)
{
	struct worker worker = {.fetcher = -1};
	struct error err;
	int ends[2], status;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	worker.pid = fork();
	if (worker.pid == 0) {
		raise(SIGSTOP);
		_exit(0);
	}
	CHECK(waitpid(worker.pid, &status, WUNTRACED) == worker.pid && WIFSTOPPED(status));
	close(ends[1]);
	worker.link = link_new(ends[0]);
	CHECK(worker_finish(&worker, true, &err) == 0);
	CHECK(worker.pid == 0);
}

int
main(void)
{
	sizes_are_told_in_powers_of_1000();
	progress_tells_a_rate_only_when_there_is_one();
	limits_hold_per_host_and_in_all();
	limits_let_accounts_start_again();
	drain_adds_up_sessions();
	drain_goes_on_while_something_new_comes();
	jobs_limit_what_hosts_would_allow();
	a_worker_that_is_stopped_behind_its_report_is_not_waited_for();
	return check_done();
}
