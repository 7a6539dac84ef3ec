/*
 * The group commit, which is the promise of this program: durable, then
 * recorded, then deleted.
 *
 *	1. dest_prepare()     the group's messages are complete and durable, no reader sees them
 *	2. `try` for each     fdatasync of the log
 *	3. dest_publish()     each in its place; one that fails stops no other
 *	4. dest_seal()        and durable there
 *	5. `got` for each     fdatasync of the log
 *	6. LINK_SETTLED       the fetcher may now delete; its credit is given back
 *
 * What a death between two steps leaves behind is settled at the next start by
 * dest_recover() from the `try` records.
 */
#ifndef POPHAUL_DELIVER_COMMIT_H
#define POPHAUL_DELIVER_COMMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/error.h"
#include "deliver/dest/dest.h"
#include "deliver/roster.h"
#include "deliver/tally.h"
#include "deliver/state/uidl.h"
#include "link/link.h"

enum commit_fate {
	COMMIT_DELIVER, /* staged at the destination: publish and record */
	COMMIT_RECORD,  /* delivered before under another id: record under this one */
	COMMIT_KNOWN    /* delivered and recorded before */
};

/* A complete message of the group. */
struct commit_item {
	size_t row; /* index in the roster */
	enum commit_fate fate;
	struct digest digest;
	uint64_t octets;          /* delivered */
	bool deletes;             /* settle it as LINK_OUTCOME_DELETE */
	struct uidl_entry *entry; /* COMMIT_KNOWN: its record; else filled by the commit */
	struct uidl_entry
		*source; /* COMMIT_RECORD: the record under the other id, to be forgotten */
	struct uidl_entry *
		retired; /* the record of another message under this id, to become `off`; or NULL */
	size_t index;    /* private: in the destination's group */
	bool is_published; /* private */
};

struct commit_settings {
	struct roster *roster;
	struct uidl *uidl;
	struct dest *dest;
	struct link *fetcher;
	struct tally *tally;
};

struct commit;

/* What `settings` names must outlive the result. */
struct commit *commit_new(const struct commit_settings *settings);

/* What was not flushed is forgotten: it is fetched again. NULL is fine. */
void commit_free(struct commit *commit);

/* Add a message; COMMIT_DELIVER: right after its dest_end(). */
void commit_add(struct commit *commit, const struct commit_item *item);

bool commit_is_empty(const struct commit *commit);

/* The group has reached the destination's limits. */
bool commit_is_full(const struct commit *commit);

/*
 * Commit the group; nothing in it is fine. Messages that fail are settled as LINK_OUTCOME_FAILED
 * and counted. -1, ERROR_WRITE: the state cannot be written, nothing more may be delivered.
 */
int commit_flush(struct commit *commit, struct error *err) __attribute__((warn_unused_result));

/* Settle a message that never came into the group as failed, for the reason in `err`. */
void commit_fail(struct commit *commit, size_t row, const struct error *err);

/* A publishing failed and its `try` could not be ended: the state must not be compacted. */
bool commit_has_open_tries(const struct commit *commit);

#endif
