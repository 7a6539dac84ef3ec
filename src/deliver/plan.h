/*
 * The plan: listing × state × policy × now → one verdict a message. Policy
 * lives here and nowhere else. Pure: reads the state, changes nothing but the
 * rows and the entries' marks.
 */
#ifndef POPHAUL_DELIVER_PLAN_H
#define POPHAUL_DELIVER_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/account.h"
#include "deliver/uidl.h"

enum plan_verdict {
	PLAN_FETCH,      /* new: fetch and deliver */
	PLAN_COMPARE,    /* fetch; its digest decides whether it is delivered */
	PLAN_DELETE,     /* known: delete without fetching */
	PLAN_LEAVE,      /* known: leave it */
	PLAN_SKIP_BIG,   /* new, bigger than max-size */
	PLAN_SKIP_LIMIT, /* new, beyond max-messages: next session */
	PLAN_SKIP_OLD    /* new, not among the `newest` */
};

struct plan_row {
	/* from the listing */
	uint32_t number;
	uint64_t octets; /* or LINK_OCTETS_UNKNOWN */
	struct uidl_id id;

	/* the plan */
	enum plan_verdict verdict;
	bool delete_after; /* PLAN_FETCH, PLAN_COMPARE: delete once it is kept */
	struct uidl_entry *
		entry; /* PLAN_DELETE, PLAN_LEAVE, PLAN_COMPARE of one known id: what is known of it; else NULL */
	char reason[96]; /* for people: why */
};

struct plan_policy {
	struct account_keep keep;
	uint64_t max_size;
	uint32_t max_messages;
	uint32_t newest;
	int64_t now;
};

struct plan_totals {
	uint32_t fetch; /* PLAN_FETCH and PLAN_COMPARE */
	uint64_t fetch_octets;
	uint32_t delete;
	uint32_t leave;
	uint32_t skip;
};

/*
 * Fill the verdicts of `rows` (in the order of the listing, oldest first) and mark the
 * state's entries that are listed. Entries without mark afterwards are no longer listed.
 */
void plan(struct plan_row *rows, size_t count, struct uidl *uidl, const struct plan_policy *policy,
	struct plan_totals *totals);

#endif
