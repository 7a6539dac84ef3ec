/*
 * The poller: one pass over the accounts. Starts a worker for each as the
 * limits allow, shows progress, sums up. It touches neither the network nor a
 * mailbox, and a worker that crashes is one account's failure.
 *
 * SIGINT, SIGTERM and SIGHUP: nothing new is started, the running workers
 * finish what is complete and leave; a second signal ends them at once. A worker
 * that is over its account's session limit is asked in the same way, and ended
 * at once when that does not help.
 */
#ifndef POPHAUL_POLL_POLLER_H
#define POPHAUL_POLL_POLLER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/log.h"
#include "config/account.h"
#include "poll/worker.h"

struct poller_settings {
	struct account *const *accounts; /* those to poll, in order */
	size_t count;
	unsigned jobs, per_host;
	enum worker_mode mode;
	const char *state_dir;
	bool verbose;
	bool ignore_back_off; /* the user named the accounts */
	bool shows_results;
	bool shows_json; /* with LOG_FORMAT_JSON: an object an account */
	bool shows_progress;
	enum log_format format;
	int no_mail_status; /* when all went well and nothing was fetched */
};

/*
 * The pass. Returns the exit status: the gravest of all accounts. Logs what went wrong. The
 * passwords that accounts have are wiped as soon as their workers have them; where until_empty may
 * ask for one more worker, once it does not.
 */
int poller_run(const struct poller_settings *settings);

#endif
