/*
 * The plan carried out: headers, messages and deletions, with as many commands
 * in flight as the server, the deliverer's credit and memory allow. One poll
 * over the server and the link; nothing here blocks but that poll.
 *
 *	transfer_new()
 *	transfer_step(…, TRANSFER_PLAN) until 0: the plan is here
 *	transfer_step(…, TRANSFER_HEADS), then TRANSFER_BODIES
 *	transfer_step(…, TRANSFER_DELETIONS), if the session may end with QUIT
 *	transfer_abandon() instead, when a step failed
 *	transfer_free()
 *
 * What became of each message goes to the deliverer by the link; the totals
 * that fetcher.c decides by are asked of here.
 */
#ifndef POPHAUL_FETCH_TRANSFER_H
#define POPHAUL_FETCH_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "fetch/wire/conn.h"
#include "fetch/listing.h"
#include "link/link.h"

enum transfer_phase {
	TRANSFER_PLAN,      /* until LINK_PLANNED */
	TRANSFER_HEADS,     /* TOP n 0 for each LINK_VERB_HEAD */
	TRANSFER_BODIES,    /* RETR for each LINK_VERB_FETCH, and until all is settled */
	TRANSFER_DELETIONS, /* DELE for each LINK_VERB_DELETE and each message settled so */
};

struct transfer_settings {
	struct conn *conn;
	struct link *link;
	const struct listing *listing;
	bool is_pipelining;
	bool has_top;       /* or the server has not said that it lacks it */
	int64_t timeout_ms; /* longest silence of the server */
};

struct transfer;

/* What `settings` points to must outlive the result. */
struct transfer *transfer_new(const struct transfer_settings *settings);

/* NULL is fine. */
void transfer_free(struct transfer *transfer);

/*
 * One round of a phase. 1: go on, 0: the phase is complete and nothing is in flight, -1:
 * the session cannot go on: the connection's errors, ERROR_PROTOCOL, ERROR_SYSTEM and
 * ERROR_BUG (the deliverer is gone, or talks nonsense), ERROR_INTERRUPTED (asked to stop,
 * and what was in flight did not come in time).
 *
 * Once the deliverer has said LINK_STOP every phase but the last ends as soon as nothing
 * is in flight.
 */
int transfer_step(struct transfer *transfer, enum transfer_phase phase, struct error *err)
	__attribute__((warn_unused_result));

/*
 * After a failed step, for the reason in `why`: tell the deliverer which message was on its way
 * or the next to come, and to commit what it has, if there is any; and settle what is doubtful.
 */
void transfer_abandon(struct transfer *transfer, const struct error *why);

/*
 * Whether a command of this connection's has been answered: the server copes with them as
 * they are sent.
 */
bool transfer_is_answered(const struct transfer *transfer);

/*
 * After a failed step: the server closed on the first batch of commands and answered none
 * of them.
 */
bool transfer_broke_on_batch(const struct transfer *transfer);

/*
 * Begin the phase anew on another connection, in lock step. Only after
 * transfer_broke_on_batch().
 */
void transfer_restart(struct transfer *transfer, struct conn *conn);

/*
 * After transfer_abandon(): the server's replies were not those to the commands. Suspicious: or
 * they may not have been, so that it is to be asked in lock step.
 */
bool transfer_is_out_of_step(const struct transfer *transfer);
bool transfer_is_suspicious(const struct transfer *transfer);

/*
 * After transfer_abandon(): the messages received from this number on may stand under wrong ids; 0:
 * none may.
 */
uint32_t transfer_first_doubtful(const struct transfer *transfer);

/* LINK_STOP has come. */
bool transfer_is_stopped(const struct transfer *transfer);

/*
 * The server refused too many messages in a row, so no more were asked for; `err` is then
 * filled with that.
 */
bool transfer_gave_up(const struct transfer *transfer, struct error *err);

struct transfer_totals {
	size_t received;  /* messages that came whole */
	size_t unkept;    /* messages sent to us, wholly or in part, and not kept */
	size_t deletions; /* messages to delete */
	size_t deleted;   /* those of them that the server has said +OK to */
};

struct transfer_totals transfer_totals(const struct transfer *transfer);

#endif
