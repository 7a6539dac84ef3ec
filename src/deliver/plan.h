/*
 * The plan: listing × state × policy × now → one verdict a message. Policy
 * lives here and nowhere else. Pure: reads the state, changes nothing but the
 * rows and the entries' marks.
 *
 * What a PLAN_COMPARE row's message is, its digest says, once it was fetched:
 *
 *	not is_shared          one known message had this id: the same digest, it is that one
 *	uidl_find_exact()      several have this id, or none has one: the one that is found; mark it
 *	uidl_find_digest()     for PLAN_FETCH too: it is one that vanished or never had an id
 *	otherwise              it is new: deliver it
 */
#ifndef POPHAUL_DELIVER_PLAN_H
#define POPHAUL_DELIVER_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/account.h"
#include "deliver/state/uidl.h"

/*
 * A message at which so many sessions in a row broke off (its text has no end, or the server dies
 * of it) would keep all those behind it from arriving, and the deletions too. It is fetched only
 * when there is nothing else to do. Once may be the network.
 */
#define PLAN_BROKEN_MIN 2

/* Room for the longest reason. */
#define PLAN_REASON_SIZE 96

enum plan_verdict {
	PLAN_FETCH,      /* new: fetch and deliver */
	PLAN_COMPARE,    /* fetch; its digest decides whether it is delivered */
	PLAN_DELETE,     /* known: delete without fetching */
	PLAN_LEAVE,      /* known: leave it */
	PLAN_SKIP_BIG,   /* not known for sure, bigger than max-size */
	PLAN_SKIP_LIMIT, /* not known for sure, beyond max-messages: next session */
	PLAN_SKIP_OLD,   /* new, not among the `newest` */
	PLAN_SKIP_BROKEN /* to be fetched; sessions broke off at it, and there is other work */
};

/* Why; plan_explain() makes a text of it. */
enum plan_reason {
	PLAN_NEW,
	PLAN_WITHOUT_ID, /* new or known: the server gives no ids */
	PLAN_TOO_BIG,
	PLAN_BEYOND_LIMIT,
	PLAN_NOT_NEWEST,
	PLAN_KNOWN,
	PLAN_DUE,            /* known, and not to be kept any longer */
	PLAN_DOUBTFUL,       /* a known id, but perhaps of another message */
	PLAN_DOUBTFUL_BIG,   /* the same, too big to be compared */
	PLAN_DOUBTFUL_LATER, /* the same, compared in the next session */
	PLAN_MISCOUNTED,     /* the id is listed more or less often than it is known */
	PLAN_SHARED,         /* the id is known of several messages */
	PLAN_SHARED_CHANGED, /* and the sizes are not theirs */
	PLAN_SHARED_UNTOLD,  /* and the sizes are not told */
	PLAN_BROKE           /* sessions broke off at it */
};

/* As many as LINK_ROWS_MAX are held: 24 octets, indices in place of pointers, no text. */
struct plan_row {
	/* from the listing */
	uint64_t octets; /* or LINK_OCTETS_UNKNOWN */
	uint32_t number;
	uint32_t id_at;  /* private to the roster, with id_len and has_known_id: */
	uint16_t id_len; /* roster_id() */

	/* the plan */
	unsigned verdict : 4;   /* enum plan_verdict */
	unsigned reason : 4;    /* enum plan_reason */
	bool none : 1;          /* from the listing: the server gives no ids */
	bool has_known_id : 1;  /* from the listing: the state has the id */
	bool is_shared : 1;     /* COMPARE: with all entries of its id, or of none */
	bool delete_after : 1;  /* FETCH: once it is kept; COMPARE: when it is a known message */
	bool delete_if_new : 1; /* FETCH, COMPARE: once it is kept, when it is no known message */
	bool is_broken : 1; /* from the state: PLAN_BROKEN_MIN sessions in a row broke off at it, */
	bool is_next : 1;   /* and at no other such message fewer did */

	/*
	 * An entry's index, or UIDL_NO_ENTRY. Before plan(): the first one of its id. DELETE,
	 * LEAVE, COMPARE with one known message: that one. Once it is kept: its record.
	 */
	uint32_t entry;
};

struct plan_policy {
	struct account_keep keep;
	uint64_t max_size;
	uint32_t max_messages;
	uint32_t newest;
	bool only_deletes; /* fetch nothing this time: deletions wait */
	int64_t now;
};

struct plan_totals {
	uint32_t fetch; /* PLAN_FETCH and PLAN_COMPARE */
	uint64_t fetch_octets;
	uint32_t delete;
	uint32_t leave;
	uint32_t skip;
	uint32_t broken;           /* PLAN_SKIP_BROKEN */
	struct plan_group *groups; /* private: for plan_explain() */
};

/*
 * Whether policy wants a message that was delivered at entry->when deleted by
 * now. An entry of the future (the clock was set back) is not due by age.
 */
bool plan_is_due(const struct plan_policy *policy, const struct uidl_entry *entry);

/*
 * Fill the verdicts of `rows` (in the order of the listing, oldest first; at most
 * 2^31) and mark the state's entries that are listed. Once for an open state. Entries without mark
 * afterwards are no longer listed, unless a PLAN_COMPARE row of their id finds
 * them. max-messages bounds what is fetched, except that messages sharing one id
 * are fetched together or not at all. Time grows with the rows, whatever their ids.
 */
void plan(struct plan_row *rows, size_t count, struct uidl *uidl, const struct plan_policy *policy,
	struct plan_totals *totals);

/* What plan_explain() needs: as plan() had it. */
struct plan_grounds {
	struct uidl *uidl;
	const struct plan_policy *policy;
	const struct plan_totals *totals;
};

/* The reason of a row's verdict, for people, before anything is added to the state. */
void plan_explain(const struct plan_row *row, const struct plan_grounds *grounds,
	char out[static PLAN_REASON_SIZE]);

/* No explanation is asked for any more: free what they rest on. The numbers stay. */
void plan_forget_grounds(struct plan_totals *totals);

#endif
