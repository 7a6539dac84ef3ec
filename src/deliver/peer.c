#include "deliver/peer.h"

#include "base/clock.h"

/*
 * A fetcher that was told to stop waits for one answer of the server's at most. What it cannot be
 * woken from is a name server that says nothing.
 */
#define STOP_MARGIN_MS 5000

void
peer_init(struct peer *peer, struct link *link, const struct account *account,
	const volatile int *stop)
{
	*peer = (struct peer){
		.link = link,
		.stop = stop,
		/* It gives up by itself much earlier. */
		.patience_ms = account->connect_timeout_ms + 3 * account->timeout_ms,
		.stop_patience_ms = account_stop_ms(account) + STOP_MARGIN_MS,
	};
	peer->last = clock_monotonic_ms() + peer->patience_ms;
	peer->alive_until = CLOCK_NEVER;
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

bool
peer_is_interrupted(const struct peer *peer)
{
	return peer->stop != NULL && *peer->stop != 0;
}

int
peer_next(struct peer *peer, struct link_frame *frame, int64_t deadline, struct error *err)
{
	const volatile int *stop = peer->is_stopped ? NULL : peer->stop;
	int found;

	found = link_wait(
		peer->link, frame, deadline < peer->last ? deadline : peer->last, stop, err);
	if (found < 0)
		return error_prefix(err, "the fetcher");
	if (found > 0 && frame->type != LINK_ALIVE) {
		peer->last = clock_monotonic_ms() + peer->patience_ms;
		return 1;
	}
	if (found > 0)
		peer->last = earlier(clock_monotonic_ms() + peer->patience_ms, peer->alive_until);
	if (clock_poll_timeout(peer->last) == 0)
		return error_set(err, peer_is_interrupted(peer) ? ERROR_INTERRUPTED : ERROR_TIMEOUT,
			"the fetcher gives no sign of life: ended");
	if (peer_is_interrupted(peer))
		peer_stop(peer);
	return 0;
}

int
peer_flush(struct peer *peer, struct error *err)
{
	if (link_pending(peer->link) == 0)
		return 0;
	if (link_flush_all(peer->link, clock_monotonic_ms() + peer->patience_ms, err) != 0)
		return error_prefix(err, "the fetcher");
	/* It may have waited in silence for just this, a commit or a command long. */
	peer->last = clock_monotonic_ms() + peer->patience_ms;
	return 0;
}

int
peer_send_token(struct peer *peer, const struct secret *token, struct error *err)
{
	if (link_send_token(peer->link, token, clock_monotonic_ms() + peer->patience_ms, err) != 0)
		return error_prefix(err, "the fetcher");
	/* It has waited for just this, as long as a command runs. */
	peer->last = clock_monotonic_ms() + peer->patience_ms;
	return 0;
}

void
peer_stop(struct peer *peer)
{
	int64_t last = clock_monotonic_ms() + peer->stop_patience_ms;

	if (peer->is_stopped)
		return;
	link_put(peer->link, LINK_STOP);
	peer->is_stopped = true;
	peer->alive_until = clock_monotonic_ms() + peer->patience_ms;
	if (peer->stop_patience_ms < peer->patience_ms)
		peer->patience_ms = peer->stop_patience_ms;
	if (last < peer->last)
		peer->last = last;
}

int
peer_take_result(struct peer *peer, const struct link_frame *frame, struct error *err)
{
	size_t len = frame->data_len < ERROR_TEXT_MAX ? frame->data_len : ERROR_TEXT_MAX - 1;

	peer->no_pipelining = frame->u.result.no_pipelining;
	peer->out_of_step = frame->u.result.out_of_step;
	peer->doubtful = frame->u.result.doubtful;
	peer->capa_broke = frame->u.result.capa_broke;
	if (frame->u.result.ok)
		return 0;
	/*
	 * What the server said in it is quoted already; no other octet gets to a terminal either.
	 */
	err->class = frame->u.result.class;
	for (size_t i = 0; i < len; i++) {
		char octet = frame->data[i];

		err->text[i] = octet >= ' ' && octet <= '~' ? octet : '?';
	}
	err->text[len] = '\0';
	return -1;
}

int
peer_out_of_turn(const struct link_frame *frame, struct error *err)
{
	return error_set(err, ERROR_BUG, "the fetcher sent a frame of type %d out of turn",
		(int)frame->type);
}
