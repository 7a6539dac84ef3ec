/*
 * The fetcher: one session with one POP3 server, in a process of its own. It
 * has no file to write and no command to run; it speaks to the network and to
 * the deliverer's link and decides nothing about mail.
 *
 * fetcher_prepare() once in the poller, before anything is forked; in the forked fetcher, which
 * ends with the result of the last of them:
 *
 *	fetcher_settle()                 as who has forked it; if that was root, nobody from then on
 *	fetcher_run(), fetcher_survey() or fetcher_fail()
 */
#ifndef POPHAUL_FETCH_FETCHER_H
#define POPHAUL_FETCH_FETCHER_H

#include <stdbool.h>

#include "base/error.h"
#include "config/account.h"
#include "link/link.h"

/*
 * Load what the fetchers of these accounts share and inherit, so that it costs each of them
 * nothing: the system's trust store, if any of them needs it, the SASL library with the plug-ins
 * that they may use, who they become. The accounts must outlive all of them. Once. ERROR_TLS,
 * ERROR_SYSTEM.
 */
int fetcher_prepare(struct account *const *accounts, size_t count, struct error *err)
	__attribute__((warn_unused_result));

/*
 * What only the user who runs pophaul can do for the session: read the files that its TLS needs.
 * Then, where that is root, become a user who owns nothing (privilege.h), or, for a login that
 * needs a user's own files (account_needs_open_login()), the user of run-as. ERROR_CONFIG,
 * ERROR_SYSTEM: no session must be run.
 */
int fetcher_settle(const struct account *account, struct error *err)
	__attribute__((warn_unused_result));

/* Instead of a session: tell over `link` that and why there is none. As fetcher_run(). */
int fetcher_fail(struct link *link, const struct error *err);

/*
 * The whole session, told over `link`, which ends with LINK_RESULT. The password (possibly
 * unset, for mechanisms that need none) is wiped after the login. `ticket`: what an earlier session
 * has sent as LINK_TICKET, unset if there is none; wiped at once. `lock_step`: the state
 * says that this server breaks on pipelining; `memory`: what else it knows. Returns the process's
 * exit status: 0 when the result was handed over.
 */
int fetcher_run(const struct account *account, struct secret *password, struct secret *ticket,
	struct link *link, bool lock_step, const struct link_memory *memory);

/*
 * In place of fetcher_run(), for --server-info: look at what the server tells before a login
 * (survey.h), tell it in LINK_INFO.
 */
int fetcher_survey(const struct account *account, struct link *link);

#endif
