#include "link/link.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"

#include "check.h"

struct pair {
	struct link *a, *b;
	int raw; /* a's descriptor, for octets that no link_put would send */
};

static struct pair
make_pair(void)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
		abort();
	return (struct pair){.a = link_new(fds[0]), .b = link_new(fds[1]), .raw = fds[0]};
}

static void
free_pair(struct pair *pair)
{
	link_free(pair->a);
	link_free(pair->b);
}

static int
receive(struct pair *pair, struct link_frame *frame)
{
	struct error err;

	if (link_flush_all(pair->a, clock_monotonic_ms() + 5000, &err) != 0)
		return -2;
	return link_wait(pair->b, frame, clock_monotonic_ms() + 5000, NULL, &err);
}

static void
carries_every_kind_of_frame(void)
{
	struct pair pair = make_pair();
	struct link_frame frame;
	struct link_row row = {.number = 7, .uidl = "a\0b", .uidl_len = 3};
	struct link_server server = {.login_delay = 300};
	struct link_report report = {
		.ok = false, .class = ERROR_AUTH, .fetched = 1, .login_delay = 86400, .octets = 99};

	link_put_row(pair.a, &row);
	CHECK(receive(&pair, &frame) == 1 && frame.type == LINK_ROW);
	CHECK(frame.u.row.number == 7);
	CHECK_BYTES(frame.u.row.uidl, frame.u.row.uidl_len, "a\0b", 3);

	link_put_server(pair.a, &server);
	CHECK(receive(&pair, &frame) == 1 && frame.type == LINK_SERVER);
	CHECK(!frame.u.server.memory.expire_now && frame.u.server.login_delay == 300);

	link_put_value(pair.a, LINK_LISTED, 12345678901);
	CHECK(receive(&pair, &frame) == 1 && frame.value == 12345678901);
	link_put_number(pair.a, LINK_BEGIN, 9);
	CHECK(receive(&pair, &frame) == 1 && frame.type == LINK_BEGIN && frame.number == 9);
	link_put(pair.a, LINK_DRAINED);
	CHECK(receive(&pair, &frame) == 1 && frame.type == LINK_DRAINED);
	link_put_text(pair.a, LINK_REFUSED, 3, "gone", 4);
	CHECK(receive(&pair, &frame) == 1 && frame.number == 3);
	CHECK_BYTES(frame.data, frame.data_len, "gone", 4);
	link_put_action(pair.a, 4, LINK_VERB_DELETE);
	CHECK(receive(&pair, &frame) == 1 && frame.u.verb == LINK_VERB_DELETE);
	link_put_settled(pair.a, 5, LINK_OUTCOME_FAILED);
	CHECK(receive(&pair, &frame) == 1 && frame.u.outcome == LINK_OUTCOME_FAILED);
	link_put_credit(pair.a, &(struct link_credit){.messages = 8, .octets = 1ull << 33});
	CHECK(receive(&pair, &frame) == 1 && frame.u.credit.octets == 1ull << 33);
	link_put_result(pair.a,
		&(struct link_result){.ok = true, .no_pipelining = true, .doubtful = 77}, "fine");
	CHECK(receive(&pair, &frame) == 1 && frame.u.result.ok && frame.u.result.no_pipelining);
	CHECK(frame.u.result.doubtful == 77);
	CHECK_BYTES(frame.data, frame.data_len, "fine", 4);
	link_put_progress(pair.a, &(struct link_progress){.messages = 1, .octets_total = 5});
	CHECK(receive(&pair, &frame) == 1 && frame.u.progress.octets_total == 5);
	link_put_report(pair.a, &report, "no");
	CHECK(receive(&pair, &frame) == 1 && frame.u.report.class == ERROR_AUTH);
	CHECK(frame.u.report.octets == 99 && frame.data_len == 2);
	CHECK(frame.u.report.login_delay == 86400);
	report.login_delay = 86401;
	link_put_report(pair.a, &report, "no");
	CHECK(receive(&pair, &frame) < 0);
	free_pair(&pair);
}

static void
splits_long_text_into_frames(void)
{
	struct pair pair = make_pair();
	struct link_frame frame;
	size_t total = 0, len = 3 * LINK_PAYLOAD_MAX + 17;
	char *text = xcalloc(len, 1);
	struct error err;

	link_put_data(pair.a, LINK_DATA, text, len);
	memcpy(link_reserve_data(pair.a, 100), "tail", 4);
	link_commit_data(pair.a, 4);
	link_reserve_data(pair.a, 100);
	link_commit_data(pair.a, 0);
	while (total < len + 4) {
		CHECK(link_flush(pair.a, &err) == 0);
		if (!CHECK(link_wait(pair.b, &frame, clock_monotonic_ms() + 5000, NULL, &err) == 1))
			break;
		CHECK(frame.type == LINK_DATA && frame.data_len <= LINK_PAYLOAD_MAX);
		total += frame.data_len;
	}
	CHECK_BYTES(frame.data, frame.data_len, "tail", 4);
	CHECK(link_pending(pair.a) == 0 && link_buffered(pair.b) == 0);
	free(text);
	free_pair(&pair);
}

static void
waits_no_longer_than_it_is_told(void)
{
	struct pair pair = make_pair();
	struct link_frame frame;
	struct error err;
	int stop = 1;

	CHECK(link_wait(pair.b, &frame, clock_monotonic_ms(), NULL, &err) == 0);
	CHECK(link_wait(pair.b, &frame, CLOCK_NEVER, &stop, &err) == 0);
	link_free(pair.a);
	pair.a = NULL;
	CHECK(link_wait(pair.b, &frame, CLOCK_NEVER, NULL, &err) == -1);
	CHECK(err.class == ERROR_SYSTEM);
	free_pair(&pair);
}

/* A frame as a taken-over process might write it. */
static int
send_raw(uint32_t type, uint32_t announced, const void *payload, size_t len)
{
	struct pair pair = make_pair();
	uint32_t head[2] = {announced, type};
	struct link_frame frame;
	struct error err = {.class = ERROR_USAGE};
	int result;

	if (write(pair.raw, head, sizeof head) != sizeof head ||
		write(pair.raw, payload, len) != (ssize_t)len)
		abort();
	result = link_wait(pair.b, &frame, clock_monotonic_ms() + 50, NULL, &err);
	CHECK(result != -1 || err.class == ERROR_BUG);
	free_pair(&pair);
	return result;
}

static void
refuses_frames_that_no_honest_process_sends(void)
{
	static const struct {
		uint32_t type, announced;
		const char *payload;
		size_t len;
		int result;
	} cases[] = {
		{0,            0,                    "",				   0,  -1},
		{63,           0,                    "",				   0,  -1},
		{255,          0,                    "",				   0,  -1},
		{256,          0,                    "",				   0,  -1},
		{UINT32_MAX,   0,                    "",                                   0,  -1},
		{LINK_DATA,    LINK_PAYLOAD_MAX + 1, "",                                   0,  -1},
		{LINK_DATA,    UINT32_MAX,           "",                                   0,  -1},
		{LINK_DATA,    10,                   "short",                              5,  0 },
		{LINK_DATA,    5,                    "right",                              5,  1 },
		{LINK_BEGIN,   3,                    "\0\0\0",                             3,  -1},
		{LINK_BEGIN,   5,                    "\1\0\0\0\0",                         5,  -1},
		{LINK_DRAINED, 1,                    "x",                                  1,  -1},
		{LINK_LISTED,  4,                    "\1\0\0\0",                           4,  -1},
		{LINK_ROW,     4,                    "\0\0\0\0",                           4,  -1},
		{LINK_ROW,     4,                    "\1\0\0\0",                           4,  1 },
		{LINK_ROW,     3,                    "\1\0\0",                             3,  -1},
		{LINK_ACTION,  5,                    "\1\0\0\0\3",                         5,  -1},
		{LINK_SETTLED, 5,                    "\1\0\0\0\3",                         5,  -1},
		{LINK_RESULT,  9,                    "\2\0\0\0\0\0\0\0\0",                 9,  -1},
		{LINK_RESULT,  9,                    "\0\1\0\2\0\0\0\0\0",                 9,  -1},
		{LINK_RESULT,  9,                    "\0\1\0\0\2\0\0\0\0",                 9,  -1},
		{LINK_RESULT,  8,                    "\0\1\0\0\0\0\0\0",                   8,  -1},
		{LINK_RESULT,  9,                    "\0\x7f\0\0\0\0\0\0\0",               9,  -1},
		{LINK_RESULT,  9,                    "\0\1\0\0\0\7\0\0\0",                 9,  1 },
		{LINK_SERVER,  15,                   "\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0",   15, 1 },
		{LINK_SERVER,  15,                   "\0\0\0\0\0\0\0\0\0\0\0\1\0\x10\0",   15, -1},
		{LINK_SERVER,  15,                   "\0\0\0\x80\x51\1\0\0\0\0\0\0\0\0\0", 15, 1 },
		{LINK_SERVER,  15,                   "\0\0\0\x81\x51\1\0\0\0\0\0\0\0\0\0", 15, -1},
		{LINK_SERVER,  15,                   "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0",     15, -1},
		{LINK_SERVER,  15,                   "\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0",     15, -1},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int result =
			send_raw(cases[i].type, cases[i].announced, cases[i].payload, cases[i].len);

		if (!CHECK(result == cases[i].result))
			fprintf(stderr, "\tcase %zu: %d\n", i, result);
	}
}

static void
refuses_an_id_that_is_too_long(void)
{
	char *payload = xcalloc(4 + LINK_UIDL_MAX + 1, 1);

	payload[0] = 1;
	CHECK(send_raw(LINK_ROW, 4 + LINK_UIDL_MAX, payload, 4 + LINK_UIDL_MAX) == 1);
	CHECK(send_raw(LINK_ROW, 5 + LINK_UIDL_MAX, payload, 5 + LINK_UIDL_MAX) == -1);
	free(payload);
}

/* Often asked, seldom said: a slow server's every octet must not become a frame. */
static void
shows_life_only_after_a_silence(void)
{
	struct pair pair = make_pair();
	int64_t started = clock_monotonic_ms();
	struct link_frame frame;

	while (link_pending(pair.a) == 0 && clock_monotonic_ms() < started + 10 * LINK_ALIVE_MS)
		link_put_alive(pair.a);
	CHECK(clock_monotonic_ms() - started >= LINK_ALIVE_MS);
	CHECK(receive(&pair, &frame) == 1 && frame.type == LINK_ALIVE);
	link_put_alive(pair.a);
	CHECK(link_pending(pair.a) == 0);
	free_pair(&pair);
}

int
main(void)
{
	carries_every_kind_of_frame();
	splits_long_text_into_frames();
	waits_no_longer_than_it_is_told();
	refuses_frames_that_no_honest_process_sends();
	refuses_an_id_that_is_too_long();
	shows_life_only_after_a_silence();
	return check_done();
}
