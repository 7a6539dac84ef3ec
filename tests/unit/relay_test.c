/*
 * --server-info's deliverer against a fetcher that has been taken over.
 */
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "check.h"
#include "deliver/relay.h"

static struct link *fetcher, *poller, *relay_in, *relay_out;
static struct account account = {.timeout_ms = 5000, .connect_timeout_ms = 5000};
static struct error err;

static void
open_links(void)
{
	int ends[2], room = 4 * LINK_INFO_MAX;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	CHECK(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0);
	fetcher = link_new(ends[0]);
	relay_in = link_new(ends[1]);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	CHECK(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0);
	poller = link_new(ends[0]);
	relay_out = link_new(ends[1]);
}

static int
run(void)
{
	struct error failure;
	int result;

	/* Nobody else reads meanwhile: all has to fit. */
	CHECK(link_flush(fetcher, &failure) == 0 && link_pending(fetcher) == 0);
	result = relay_run(&account, NULL, relay_in, relay_out, &err);
	return result;
}

static void
close_links(void)
{
	link_free(fetcher);
	link_free(poller);
	link_free(relay_in);
	link_free(relay_out);
}

static void
passes_printable_text_on(void)
{
	struct link_frame frame;
	struct error failure;

	open_links();
	link_put_data(fetcher, LINK_INFO, "a\33[31m\n\177\200", 9);
	link_put_result(fetcher, &(struct link_result){.class = ERROR_TLS}, "no\33");
	CHECK(run() == -1 && err.class == ERROR_TLS);
	CHECK_STR(err.text, "no?");
	CHECK(link_wait(poller, &frame, clock_monotonic_ms() + 5000, NULL, &failure) == 1);
	CHECK(frame.type == LINK_TEXT);
	CHECK_BYTES(frame.data, frame.data_len, "a?[31m\n??", 9);
	close_links();
}

static void
believes_nothing_else(void)
{
	static const char much[LINK_INFO_MAX + 1];

	open_links();
	link_put_number(fetcher, LINK_BEGIN, 1);
	CHECK(run() == -1 && err.class == ERROR_BUG);
	close_links();
	open_links();
	link_put(fetcher, LINK_WANT_TOKEN);
	CHECK(run() == -1 && err.class == ERROR_BUG);
	close_links();
	open_links();
	link_put_data(fetcher, LINK_TICKET, much, 1);
	CHECK(run() == -1 && err.class == ERROR_BUG);
	close_links();
	open_links();
	/* Several frames: the bound is on their sum. */
	link_put_data(fetcher, LINK_INFO, much, sizeof much);
	CHECK(run() == -1 && err.class == ERROR_BUG);
	close_links();
}

int
main(void)
{
	passes_printable_text_on();
	believes_nothing_else();
	return check_done();
}
