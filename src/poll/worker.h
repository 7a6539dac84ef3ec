/*
 * A worker: the two processes of one account, put together here and nowhere
 * else. The forked worker is the deliverer; it forks the fetcher, runs the
 * session, reports to the poller over a link and ends.
 *
 *	worker_prepare()    once, before the first
 *	worker_start()      in the poller
 *	link_next(…)        LINK_PROGRESS, LINK_TEXT, at last LINK_REPORT
 *	worker_stop()       ask it to finish, or end it at once
 *	worker_finish()     reap it
 */
#ifndef POPHAUL_POLL_WORKER_H
#define POPHAUL_POLL_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "config/account.h"
#include "link/link.h"

enum worker_mode {
	WORKER_FETCH,
	WORKER_LIST,        /* show what is there; changes nothing */
	WORKER_SERVER_INFO, /* show what the server tells before a login; no state, no password */
	WORKER_DRY_RUN      /* show the plan and its reasons; changes nothing */
};

struct worker_settings {
	enum worker_mode mode;
	const char *state_dir;
	bool verbose;
	bool ignore_back_off;
	struct account *const
		*accounts; /* all of them: the others' secrets are wiped after the fork */
	size_t account_count;
};

struct worker {
	pid_t pid; /* 0: no process */
	struct link *link;
	int fetcher; /* root's handle of it (launch.h); -1: none */
};

/*
 * Load what the workers of these accounts, which must outlive them, share and inherit
 * (fetcher_prepare()). ERROR_TLS, ERROR_SYSTEM.
 */
int worker_prepare(struct account *const *accounts, size_t count, struct error *err)
	__attribute__((warn_unused_result));

/* Fork it. ERROR_SYSTEM when there is no descriptor or no process to be had. */
int worker_start(struct worker *worker, const struct account *account,
	const struct worker_settings *settings, struct error *err)
	__attribute__((warn_unused_result));

/*
 * SIGTERM (finish what is complete, record it, leave), or SIGKILL when `at_once`. May be repeated.
 */
void worker_stop(const struct worker *worker, bool at_once);

/*
 * Close its link and reap it. `has_reported`: its LINK_REPORT came, so it has nothing left to do;
 * it has two seconds to end by itself, for which this may block, and is ended then. Otherwise it
 * is ended at once: -1, and ERROR_BUG or, for a lack of memory, ERROR_SYSTEM that tells how.
 */
int worker_finish(struct worker *worker, bool has_reported, struct error *err)
	__attribute__((warn_unused_result));

#endif
