/*
 * The deliverer's part of --server-info: what the fetcher has found, to the poller, with neither
 * state nor destination. The fetcher may have been taken over: the text is bounded, and made fit
 * for a terminal once more.
 */
#ifndef POPHAUL_DELIVER_RELAY_H
#define POPHAUL_DELIVER_RELAY_H

#include "base/error.h"
#include "config/account.h"
#include "link/link.h"

/* Until the fetcher's LINK_RESULT, which is the result. `stop` as deliverer_run()'s. */
int relay_run(const struct account *account, const volatile int *stop, struct link *fetcher,
	struct link *poller, struct error *err) __attribute__((warn_unused_result));

#endif
