/*
 * Messages on their way: LINK_BEGIN, DATA…, END of one after the other become
 * staged messages at the destination, and their digests decide whether they are
 * delivered (man page, STATE). Checks that the fetcher speaks in turn, and that
 * each message ends. A fetcher that does not mind its credit gains nothing: a
 * group is committed when it is full, and what is not read yet waits in the socket.
 */
#ifndef POPHAUL_DELIVER_RECEIVE_H
#define POPHAUL_DELIVER_RECEIVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "config/account.h"
#include "deliver/commit.h"
#include "deliver/dest/dest.h"
#include "deliver/roster.h"
#include "deliver/tally.h"
#include "deliver/state/uidl.h"
#include "link/link.h"

/* Octets of a message's header that are searched for Return-Path. */
#define RECEIVE_HEADER_MAX 65536

struct receive_settings {
	const struct account *account;
	struct roster *roster;
	struct uidl *uidl;
	struct dest *dest;
	struct commit *commit;
	struct tally *tally;
	const volatile int *stop; /* as deliverer.h; may be NULL */
};

struct receive;

/* What `settings` names must outlive the result. */
struct receive *receive_new(const struct receive_settings *settings);

/* A message on its way is forgotten. NULL is fine. */
void receive_free(struct receive *receive);

/*
 * Take LINK_BEGIN, DATA, END, CUT or REFUSED (of a message to be fetched). -1: ERROR_BUG, out of
 * turn, or a message without an end (bound.h). Failures of the message itself are settled and
 * counted.
 */
int receive_take(struct receive *receive, const struct link_frame *frame, struct error *err)
	__attribute__((warn_unused_result));

/* A message has begun and not ended: the group must wait for it. */
bool receive_is_open(const struct receive *receive);

/*
 * The message that was on its way, or that the server was being waited for, when the session broke
 * off; -1: none. After receive_abandon().
 */
ssize_t receive_broke_at(const struct receive *receive);

/* The session is over: what has begun will not be complete. */
void receive_abandon(struct receive *receive);

/* Octets received, for the progress: complete messages by their listed sizes, and the open one. */
uint64_t receive_octets(const struct receive *receive);

#endif
