/*
 * The end of a session: what the server says that it has deleted is recorded as
 * gone, and so is what is worth knowing next time.
 */
#ifndef POPHAUL_DELIVER_FAREWELL_H
#define POPHAUL_DELIVER_FAREWELL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "deliver/peer.h"
#include "deliver/roster.h"
#include "deliver/tally.h"
#include "deliver/state/uidl.h"
#include "link/link.h"

/* A zeroed struct: nothing is deleted yet. */
struct farewell {
	uint32_t deleted; /* +OK to DELE */
	bool is_gone;     /* and +OK to QUIT */
};

/* Take LINK_DELETED or UNDELETED, which counts as a failure. ERROR_BUG: not to be deleted. */
int farewell_take_deletion(struct farewell *farewell, struct roster *roster, struct tally *tally,
	const struct link_frame *frame, struct error *err) __attribute__((warn_unused_result));

/*
 * Take LINK_QUITTING: record that what is deleted may soon be gone, and agree. A session that dies
 * before LINK_GONE leaves it open whether the ids are still those of the same messages.
 */
int farewell_take_quitting(const struct farewell *farewell, struct uidl *uidl, struct link *fetcher,
	const struct link_frame *frame, struct error *err) __attribute__((warn_unused_result));

/*
 * Take LINK_GONE: record and commit that the messages are deleted, as the server says. They are
 * forgotten, and new mail should they come again, once a listing has shown it
 * (roster_forget_gone()). Those without ids are forgotten at once. ERROR_BUG: nothing was deleted;
 * ERROR_WRITE.
 */
int farewell_take_gone(struct farewell *farewell, struct roster *roster, struct uidl *uidl,
	const struct link_frame *frame, struct error *err) __attribute__((warn_unused_result));

/*
 * The fetcher says that all is well: then all that it was asked for has come or was refused, unless
 * it was told to stop. ERROR_BUG: something has not.
 */
int farewell_check_well(const struct roster *roster, const struct peer *peer, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Record what this listing has shown to be no longer there, once all that can be compared is.
 * ERROR_WRITE.
 */
int farewell_add_vanished(const struct farewell *farewell, struct roster *roster,
	const struct peer *peer, struct error *err) __attribute__((warn_unused_result));

/*
 * How long a server that broke on pipelining is asked in lock step: it may be mended, or was
 * cut by chance.
 */
#define FAREWELL_LOCK_STEP_SECONDS ((int64_t)30 * 24 * 60 * 60)

bool farewell_is_lock_step(const struct uidl_facts *facts, int64_t now);

/* What the session has found out. */
struct farewell_facts {
	const struct peer *peer; /* with the fetcher's result */
	bool has_logged_in;
	uint32_t relisted;           /* messages that were deleted before, and are not gone */
	const struct error *failure; /* NULL: all went well */
};

/*
 * Queue the facts that serve the next session (uidl.h). When the replies were not those to the
 * commands, the records of this session's messages become `off`: each of them is fetched again,
 * and its digest tells whether it is here.
 */
void farewell_add_facts(const struct farewell *farewell, const struct roster *roster,
	struct uidl *uidl, const struct farewell_facts *found);

#endif
