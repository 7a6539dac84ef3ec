#include "fetch/body.h"

#include <stdio.h>

#include "link/bound.h"

/* Octets of a header that are passed on: what --list shows is near the top. */
#define HEAD_MAX (60 * 1024)

void
body_begin(struct body *body)
{
	dot_init(&body->dot);
	buf_clear(&body->head);
	body->taken = 0;
}

void
body_release(struct body *body)
{
	buf_release(&body->head);
}

bool
body_is_fresh(const struct body *body)
{
	return body->taken == 0;
}

/* Octets of a header into memory, as far as they are wanted. */
static size_t
feed_head(struct body *body, const char *in, size_t len)
{
	size_t out_len, room = HEAD_MAX - body->head.len;
	char *out = buf_reserve(&body->head, len + DOT_OUT_EXTRA);
	size_t taken = dot_feed(&body->dot, in, len, out, &out_len);

	buf_commit(&body->head, out_len < room ? out_len : room);
	return taken;
}

/* Octets of a message straight into the link's queue. */
static size_t
feed_message(struct body *body, struct link *link, const char *in, size_t len)
{
	size_t out_len;
	char *out = link_reserve_data(link, len + DOT_OUT_EXTRA);
	size_t taken = dot_feed(&body->dot, in, len, out, &out_len);

	link_commit_data(link, out_len);
	return taken;
}

bool
body_feed(struct body *body, struct conn *conn, struct link *link, bool is_head)
{
	size_t len, taken;
	const char *in = conn_peek(conn, &len);

	if (len > LINK_PAYLOAD_MAX - DOT_OUT_EXTRA)
		len = LINK_PAYLOAD_MAX - DOT_OUT_EXTRA;
	taken = is_head ? feed_head(body, in, len) : feed_message(body, link, in, len);
	conn_consume(conn, taken);
	body->taken += taken;
	return dot_is_done(&body->dot);
}

uint64_t
body_octets(const struct body *body)
{
	return body->dot.octets;
}

int
body_check_end(const struct body *body, uint64_t listed, struct error *err)
{
	char size[32] = "no size";

	if (body->taken <= bound_message_octets(listed))
		return 0;
	if (listed != LINK_OCTETS_UNKNOWN)
		snprintf(size, sizeof size, "%llu octets", (unsigned long long)listed);
	return error_set(err, ERROR_PROTOCOL,
		"it does not end: %llu octets have come, and LIST has %s for it",
		(unsigned long long)body->taken, size);
}
