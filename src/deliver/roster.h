/*
 * The server's listing as the fetcher tells it, row by row, and what has become
 * of each message in this session. Checks what the fetcher says: it may have
 * been taken over.
 *
 *	roster_add() for each LINK_ROW, roster_complete() at LINK_LISTED
 *	plan() over roster->rows
 *	roster_find() by number
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

/* The session's side of a row, at the same index. */
struct message {
	enum message_state state;
	struct uidl_entry *entry; /* its record, once it is kept */
};

/* A zeroed struct is an empty roster. */
struct roster {
	struct plan_row *rows;
	struct message *messages;
	size_t count, size;
	bool has_uidl;
	bool is_complete;
	uint32_t *by_number; /* indices of rows, sorted by number; NULL: as the rows are */
	struct buf ids;      /* octets of all ids */
};

/* ERROR_BUG: more than the link's bounds, an id where the server gives none. */
int roster_add(struct roster *roster, const struct link_row *row, struct error *err)
	__attribute__((warn_unused_result));

/*
 * The listing is whole; rows do not move any more. ERROR_BUG: not `expected` rows, a
 * number twice.
 */
int roster_complete(struct roster *roster, uint64_t expected, struct error *err)
	__attribute__((warn_unused_result));

/* The index of message `number`; -1: ERROR_BUG, the listing has none. */
ssize_t roster_find(const struct roster *roster, uint32_t number, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Before plan(), after a QUIT that was never confirmed or a listing that was empty: ids may be
 * those of other messages by now. What policy wants deleted, or has another size, is queued as
 * `off`: it is fetched like new mail and its digest tells. The rest stays known, with a size not
 * told, so that no later deletion trusts it either. The two facts are then queued as settled.
 */
void roster_doubt(const struct roster *roster, struct uidl *uidl, const struct plan_policy *policy);

/*
 * After plan(): queue `off` for the state's entries that are no longer listed.
 * Entries whose fate this session's comparing decides are left to roster_add_off_unmatched().
 */
void roster_add_off(struct roster *roster, struct uidl *uidl, int64_t now);

/* At the session's end: `off` for what every message of its id was compared with in vain. */
void roster_add_off_unmatched(struct roster *roster, struct uidl *uidl, int64_t now);

void roster_release(struct roster *roster);

#endif
