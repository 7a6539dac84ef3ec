/*
 * The one interface of all destinations: Maildir, mbox, pipe, each in a file of
 * its own. A destination takes whole messages, a group at a time, so that one
 * flush of the disk serves many. It knows nothing of UIDLs nor of the link's
 * meaning; the order of effects between it and the state is commit.c's.
 *
 *	dest_recover()            what a dead session was publishing: before dest_open()
 *	dest_open(), dest_sweep() once the claims are settled in the state
 *	for each group:
 *	    dest_begin(), dest_write()…, dest_end() or dest_abandon()   staged, index 0, 1, 2 …
 *	    dest_prepare()        all of them complete and, where it matters, durable
 *	    dest_token(i)         goes into the state before anything is published
 *	    dest_publish(i)       for each, in order; one that fails stops no other
 *	    dest_seal()           what was published is durable: it may be recorded
 *	    dest_finish()         the group is over: locks are given back
 *	dest_close()
 */
#ifndef POPHAUL_DELIVER_DEST_DEST_H
#define POPHAUL_DELIVER_DEST_DEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "config/account.h"
#include "link/link.h"

/* Who sent a message whose sender is unknown or not fit for a command line. */
#define DEST_SENDER_UNKNOWN "MAILER-DAEMON"
#define DEST_SENDER_MAX     256

/* What a destination can take in one group, and how much may be under way to it. */
struct dest_limits {
	uint32_t group_messages;
	uint64_t group_octets;
	struct link_credit credit;
};

/* A token of the state, and what dest_recover() found out about it. */
struct dest_claim {
	const char *token;
	bool must_be_found; /* that it is nowhere does not mean that a reader has taken it */
	bool delivered;
};

/* What every implementation provides; `self` is its own struct. Contracts as below. */
struct dest_ops {
	struct dest_limits limits;
	void *(*open)(const struct account *account, int64_t owner, struct error *err);
	void (*close)(void *self);
	int (*begin)(void *self, struct error *err);
	int (*write)(void *self, const void *data, size_t len, struct error *err);
	int (*end)(void *self, const char *sender, struct error *err);
	void (*abandon)(void *self);
	int (*prepare)(void *self, struct error *err);
	const char *(*token)(void *self, size_t index);
	int (*publish)(void *self, size_t index, struct error *err);
	int (*seal)(void *self, struct error *err);
	void (*finish)(void *self);
	/* May be NULL: a dead session leaves nothing. */
	void (*sweep)(void *self);
	/* May be NULL: waits without absorbing a link. */
	void (*set_background)(void *self, struct link *link, size_t max);
	/* May be NULL: nothing can be found out afterwards. */
	int (*recover)(const struct account *account, const char *path, struct dest_claim *claims,
		size_t count, struct error *err);
};

extern const struct dest_ops dest_maildir_ops;
extern const struct dest_ops dest_mbox_ops;
extern const struct dest_ops dest_pipe_ops;

struct dest;

/*
 * Open the account's destination, making what is missing (Maildir folders 0700). `owner` is the
 * state's own number (UIDL_ID): what is staged under it is that state's to settle and to sweep, and
 * no other's. `account` must outlive the result. NULL and ERROR_CREATE, ERROR_CONFIG (no
 * destination).
 */
struct dest *dest_open(const struct account *account, int64_t owner, struct error *err)
	__attribute__((warn_unused_result));

/* Close and free. What is staged and was not prepared is removed. NULL is fine. */
void dest_close(struct dest *dest);

const struct dest_limits *dest_limits(const struct dest *dest);

/*
 * Remove what dead sessions of this account staged and did not publish. Only
 * when no claim is open in the state on disk: what a claim speaks of is the proof that it was not
 * published.
 */
void dest_sweep(struct dest *dest);

/*
 * While a command runs, go on reading `link` (link_fill()) until `max` octets are
 * buffered, so that the other side never stalls on a full socket.
 */
void dest_set_background(struct dest *dest, struct link *link, size_t max);

/* Start a message. ERROR_CREATE. */
int dest_begin(struct dest *dest, struct error *err) __attribute__((warn_unused_result));

/* Its next octets, lines ended by LF. ERROR_WRITE; the message must then be abandoned. */
int dest_write(struct dest *dest, const void *data, size_t len, struct error *err)
	__attribute__((warn_unused_result));

/*
 * It is complete: staged, with the next index of the group (the first is 0).
 * `sender` came through dest_clean_sender(). ERROR_WRITE; the message is then gone.
 */
int dest_end(struct dest *dest, const char *sender, struct error *err)
	__attribute__((warn_unused_result));

/* It will not be complete or is not wanted: forget what came of it. */
void dest_abandon(struct dest *dest);

/*
 * Make the group ready to be published: complete, durable, locks taken. On
 * failure (ERROR_WRITE, ERROR_CREATE, ERROR_BUSY: locks) nothing of the group will be
 * published, dest_finish() must follow.
 */
int dest_prepare(struct dest *dest, struct error *err) __attribute__((warn_unused_result));

/*
 * What the state needs for recovery; NULL: this destination has none. Borrowed until dest_finish().
 */
const char *dest_token(struct dest *dest, size_t index);

/*
 * Give message `index` to its readers. ERROR_CREATE, ERROR_WRITE; of a command: ERROR_DELIVERY_TEMP
 * (later), ERROR_DELIVERY_PERM (refused), ERROR_CONFIG (it cannot be run at all), ERROR_SYSTEM.
 */
int dest_publish(struct dest *dest, size_t index, struct error *err)
	__attribute__((warn_unused_result));

/* Make durable what was published. On failure none of it may be recorded. ERROR_WRITE. */
int dest_seal(struct dest *dest, struct error *err) __attribute__((warn_unused_result));

/* End the group. Prepared messages that were not published stay findable by their tokens. */
void dest_finish(struct dest *dest);

/*
 * Say for each claim of a dead session whether its message is delivered, and make
 * that durable, at the destination that was in force then (`text`, as in the state; NULL: the
 * account's). A torn end of an mbox is cut off. May be called again with the same claims and gives
 * the same answers. ERROR_WRITE, ERROR_CREATE, ERROR_BUSY (locks).
 */
int dest_recover(const struct account *account, const char *text, struct dest_claim *claims,
	size_t count, struct error *err) __attribute__((warn_unused_result));

/*
 * An envelope sender fit for a From_ line and a command's argument: letters,
 * digits and . _ + - = @, not led by "-"; anything else becomes MAILER-DAEMON.
 */
void dest_clean_sender(const void *data, size_t len, char out[static DEST_SENDER_MAX]);

#endif
