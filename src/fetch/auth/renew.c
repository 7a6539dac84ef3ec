#include "fetch/auth/renew.h"

#include <stdbool.h>
#include <string.h>

#include "base/clock.h"

static bool
is_same(const struct secret *token, const struct link_frame *frame)
{
	return secret_is_set(token) && token->len == frame->data_len &&
		memcmp(token->data, frame->data, frame->data_len) == 0;
}

int
renew_token(struct link *link, struct secret *token, struct error *err)
{
	struct link_frame frame;
	bool is_new = false;

	link_expect_token(link);
	link_put(link, LINK_WANT_TOKEN);
	if (link_flush_all(link, CLOCK_NEVER, err) != 0 ||
		link_wait(link, &frame, CLOCK_NEVER, NULL, err) < 0)
		return -1;
	if (frame.type == LINK_TOKEN) {
		is_new = frame.data_len != 0 && !is_same(token, &frame);
		if (is_new)
			secret_set(token, frame.data, frame.data_len);
		link_forget_token(link);
	}
	/* A command takes its time, and the user may not wait for it. */
	if (frame.type != LINK_TOKEN || link_buffered(link) != 0)
		return error_set(err, ERROR_INTERRUPTED, "asked to stop");
	return is_new ? 1 : 0;
}
