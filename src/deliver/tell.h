/*
 * Lines for the log that the deliverer's story has about messages: what the plan leaves out,
 * which of them failed, what the server did not delete. Everything of the server is quoted.
 */
#ifndef POPHAUL_DELIVER_TELL_H
#define POPHAUL_DELIVER_TELL_H

#include <stdbool.h>
#include <stdint.h>

#include "config/account.h"
#include "deliver/plan.h"
#include "deliver/roster.h"
#include "deliver/tally.h"

/* A zeroed struct has told nothing. */
struct tell {
	uint32_t failures_told, failures_untold;
};

/* What the limits leave out: nobody should wonder where a mail is. */
void tell_plan(const struct account *account, const struct roster *roster,
	const struct plan_grounds *grounds);

/* Failures since the last time, which the tally then forgets; the first ones by name. */
void tell_failures(struct tell *tell, const struct roster *roster, struct tally *tally);

/* How many failures were not told by name. */
void tell_untold(const struct tell *tell);

/*
 * The session's error among what went wrong, into `err` and as the result: the gravest of
 * `result`'s own and of the tally's trouble, and a signal's is its own. The other one is logged.
 */
int tell_verdict(const struct tally *tally, bool is_interrupted, int result, struct error *err);

/* So many messages were deleted before and are still listed, in so many sessions in a row. */
void tell_relisted(uint32_t messages, int64_t sessions);

#endif
