/*
 * An account's sessions of one run, of which `until-empty` may ask for more than one: Gmail lists a
 * few hundred of its oldest messages, and the next ones once these were fetched and the session has
 * ended; max-messages does the same on our side. Pure: sums of reports, and whether one more
 * session is to follow.
 *
 *	drain_add()     at the end of each session
 *	drain_next()    then: what is next, and when
 *	drain->sum      at the end: the account's report
 */
#ifndef POPHAUL_POLL_DRAIN_H
#define POPHAUL_POLL_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "config/account.h"
#include "link/link.h"

/* Gmail asks for 300 seconds between logins. What asks for more is for the next run. */
#define DRAIN_WAIT_MAX 600

/*
 * 250 at a time, these are 2,500,000 messages: a mailbox that has still more is filled by somebody.
 */
#define DRAIN_SESSIONS_MAX 10000

/* A zeroed struct is an account without a session so far. */
struct drain {
	uint32_t sessions;
	/* What they did together; of what is left, skipped and failed, the last one tells. */
	struct link_report sum;
};

/* A session has ended so. */
void drain_add(struct drain *drain, const struct link_report *report);

/*
 * Whether another session is to follow the last one, `report`: it went well, delivered something
 * and left nothing undelivered. 1, and in *wait_out the seconds until then; 0: that was the last
 * one; -1 and ERROR_BUSY: there may be more, and the next run is to fetch it.
 */
int drain_next(const struct drain *drain, const struct account *account,
	const struct link_report *report, int64_t *wait_out, struct error *err)
	__attribute__((warn_unused_result));

#endif
