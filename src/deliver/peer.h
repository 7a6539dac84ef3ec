/*
 * The fetcher as the deliverer sees it: its frames with a watchdog, the order to
 * stop, its last word. It may have been taken over: nothing that it sends is
 * believed before it was checked, and its silence has a limit.
 */
#ifndef POPHAUL_DELIVER_PEER_H
#define POPHAUL_DELIVER_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/secret.h"
#include "config/account.h"
#include "link/link.h"

struct peer {
	struct link *link;
	const volatile int *stop;     /* the caller's flag; may be NULL */
	int64_t patience_ms;          /* longest silence */
	int64_t stop_patience_ms;     /* the same, once it was told to stop */
	int64_t last;                 /* when that is over */
	int64_t alive_until;          /* when mere signs of life count no more */
	bool is_stopped;              /* LINK_STOP was sent */
	bool no_pipelining;           /* of its result, */
	bool out_of_step, capa_broke; /* and these too, */
	uint32_t doubtful;            /* and this */
};

/* `link` and `stop` are borrowed. */
void peer_init(struct peer *peer, struct link *link, const struct account *account,
	const volatile int *stop);

/* The stop flag is set. */
bool peer_is_interrupted(const struct peer *peer);

/*
 * The next frame, until `deadline`. 1: a frame; 0: none yet, the deadline came, the fetcher
 * gave a mere sign of life (LINK_ALIVE), or the stop flag was set, which is then passed on.
 * -1: ERROR_TIMEOUT, or ERROR_INTERRUPTED once the stop flag is set: silent for too long;
 * ERROR_SYSTEM: gone; ERROR_BUG: it sends nonsense.
 */
int peer_next(struct peer *peer, struct link_frame *frame, int64_t deadline, struct error *err)
	__attribute__((warn_unused_result));

/* Write all that is queued. It always reads, so this waits only while it is busy. ERROR_SYSTEM. */
int peer_flush(struct peer *peer, struct error *err) __attribute__((warn_unused_result));

/* Send LINK_TOKEN, which may be unset, and leave no copy of it behind. ERROR_SYSTEM. */
int peer_send_token(struct peer *peer, const struct secret *token, struct error *err)
	__attribute__((warn_unused_result));

/* Ask for nothing more: queue LINK_STOP, once. */
void peer_stop(struct peer *peer);

/* Its LINK_RESULT: 0 when all went well, else -1 and its error, made fit for a terminal. */
int peer_take_result(struct peer *peer, const struct link_frame *frame, struct error *err)
	__attribute__((warn_unused_result));

/* Fill `err` for a frame that must not come now. Returns -1. */
int peer_out_of_turn(const struct link_frame *frame, struct error *err);

#endif
