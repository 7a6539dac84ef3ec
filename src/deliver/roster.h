/*
 * The server's listing as the fetcher tells it, row by row, and what has become
 * of each message in this session. Checks what the fetcher says: it may have
 * been taken over.
 *
 *	roster_begin() at LINK_LISTING, which voids what came before
 *	roster_add() for each LINK_ROW, roster_add_sizes() for each LINK_SIZES
 *	roster_complete() at LINK_LISTED: the rows are in the order of their numbers
 *	plan() over roster->rows
 *	roster_find() by number
 *	roster_release()
 *
 * An id that the state knows is not held again.
 */
#ifndef POPHAUL_DELIVER_ROSTER_H
#define POPHAUL_DELIVER_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "deliver/plan.h"
#include "deliver/state/uidl.h"
#include "link/link.h"

enum message_state {
	MESSAGE_IDLE,     /* nothing is asked of the fetcher */
	MESSAGE_AWAITED,  /* to be fetched; not begun */
	MESSAGE_HEAD,     /* its header is to come, for --list */
	MESSAGE_OPEN,     /* on its way */
	MESSAGE_STAGED,   /* complete, waits for its group's commit */
	MESSAGE_KEPT,     /* settled: stays on the server */
	MESSAGE_DELETING, /* settled or planned so: to be deleted */
	MESSAGE_DELETED,  /* the server has said +OK to DELE */
	MESSAGE_FAILED
};

/*
 * The most octets of ids that the state does not know. With LINK_ROWS_MAX rows they and the rest of
 * a session stay below 64 MiB.
 */
#define ROSTER_IDS_MAX (28u * 1024 * 1024)

struct roster {
	struct uidl *uidl; /* borrowed, with the ids that it knows */
	struct plan_row *rows;
	unsigned char *states; /* enum message_state of each row, once the listing is complete */
	size_t count, size;
	size_t sized; /* rows that have their size */
	bool has_begun;
	bool has_uidl;
	bool is_complete;
	struct buf ids; /* octets of all ids that the state does not know */
};

/* Records of messages that are queued before they are committed: some MiB. */
#define ROSTER_RECORDS_BATCH 65536

/* An empty roster. */
void roster_init(struct roster *roster, struct uidl *uidl);

/* Forget all rows: what is not whole is no listing. */
void roster_clear(struct roster *roster);

/* A listing begins: with ids, or without. */
void roster_begin(struct roster *roster, bool has_uidl);

/*
 * ERROR_PROTOCOL: more than ROSTER_IDS_MAX octets of ids. ERROR_BUG: out of turn, more than
 * the link's bounds, an id where the server gives none.
 */
int roster_add(struct roster *roster, const struct link_row *row, struct error *err)
	__attribute__((warn_unused_result));

/* Take the sizes of LINK_SIZES for as many rows. ERROR_BUG: more than rows, a number twice. */
int roster_add_sizes(struct roster *roster, const char *sizes, size_t len, struct error *err)
	__attribute__((warn_unused_result));

/*
 * The listing is whole; rows do not move any more. ERROR_BUG: not `expected` rows, or not as many
 * sizes.
 */
int roster_complete(struct roster *roster, uint64_t expected, struct error *err)
	__attribute__((warn_unused_result));

/* The index of message `number`; -1: ERROR_BUG, the listing has none. */
ssize_t roster_find(const struct roster *roster, uint32_t number, struct error *err)
	__attribute__((warn_unused_result));

/*
 * The message has been kept, now or before: row->entry is its record. Not of what was only looked
 * at.
 */
bool roster_has_record(const struct roster *roster, size_t row);

/* The id of a row; its octets hold until roster_release(). */
struct uidl_id roster_id(const struct roster *roster, const struct plan_row *row);

/*
 * Before plan(), after a QUIT that was never confirmed or a listing that was empty: ids may be
 * those of other messages by now. What policy wants deleted, or has another size, is queued as
 * `off`: it is fetched like new mail and its digest tells. The rest stays known, with a size not
 * told, so that no later deletion trusts it either. The two facts are then queued as settled.
 * Records of many messages are committed in between: ERROR_WRITE.
 */
int roster_doubt(struct roster *roster, const struct plan_policy *policy, struct error *err)
	__attribute__((warn_unused_result));

/*
 * After plan(): queue `off` for the state's entries that are no longer listed.
 * Entries whose fate this session's comparing decides are left to roster_add_off_unmatched().
 * Many are committed in between: ERROR_WRITE.
 */
int roster_add_off(const struct roster *roster, int64_t now, struct error *err)
	__attribute__((warn_unused_result));

/*
 * At the session's end: `off` for what every message of its id was compared with in vain.
 * ERROR_WRITE.
 */
int roster_add_off_unmatched(const struct roster *roster, int64_t now, struct error *err)
	__attribute__((warn_unused_result));

/*
 * At the session's end: forget what an earlier session deleted and this listing lacks. An empty
 * listing shows nothing, and what it may list under an id that was not compared stays,
 * but for UIDL_OFF_SECONDS at most. Many are committed in between: ERROR_WRITE.
 */
int roster_forget_gone(const struct roster *roster, int64_t now, struct error *err)
	__attribute__((warn_unused_result));

void roster_release(struct roster *roster);

#endif
