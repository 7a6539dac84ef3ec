#include "deliver/relay.h"

#include "base/buf.h"
#include "base/clock.h"
#include "deliver/peer.h"

/* The poller has so long to take the lines for standard output: it may be writing to a pager. */
#define TEXT_MS (60 * 60 * 1000)

static int
pass_on(struct link *poller, const struct link_frame *frame, struct error *err)
{
	struct buf text = {0};

	for (size_t i = 0; i < frame->data_len; i++) {
		char octet = frame->data[i];

		buf_append(
			&text, (octet >= ' ' && octet <= '~') || octet == '\n' ? &octet : "?", 1);
	}
	link_put_data(poller, LINK_TEXT, buf_data(&text), text.len);
	buf_release(&text);
	if (link_flush_all(poller, clock_monotonic_ms() + TEXT_MS, err) != 0)
		return error_prefix(err, "the poller");
	return 0;
}

int
relay_run(const struct account *account, const volatile int *stop, struct link *fetcher,
	struct link *poller, struct error *err)
{
	struct link_frame frame;
	struct peer peer;
	size_t total = 0;
	int found;

	peer_init(&peer, fetcher, account, stop);
	for (;;) {
		found = peer_next(&peer, &frame, CLOCK_NEVER, err);
		if (found > 0 && frame.type == LINK_RESULT)
			return peer_take_result(&peer, &frame, err);
		if (found > 0) {
			total += frame.data_len;
			if (frame.type != LINK_INFO || total > LINK_INFO_MAX)
				return peer_out_of_turn(&frame, err);
			found = pass_on(poller, &frame, err);
		}
		if (found < 0 || peer_flush(&peer, err) != 0)
			return -1;
	}
}
