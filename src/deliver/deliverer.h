/*
 * The deliverer: owns one account's UIDL state and its destination. It decides
 * what is fetched (plan.h), makes messages durable, records them, and only then
 * lets the fetcher delete. It never sees a byte of POP3 or TLS.
 *
 *	deliverer_open()    lock, state, recovery, "too soon?"; before the fetcher is forked
 *	deliverer_run()     the session over the link, to its end
 *	deliverer_free()
 *
 * SIGINT and SIGTERM set *stop (the caller's handler): the deliverer then sends
 * LINK_STOP, finishes and records what is complete, and returns ERROR_INTERRUPTED.
 */
#ifndef POPHAUL_DELIVER_DELIVERER_H
#define POPHAUL_DELIVER_DELIVERER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/secret.h"
#include "config/account.h"
#include "link/link.h"

enum deliverer_mode {
	DELIVERER_FETCH,
	DELIVERER_LIST,   /* --list: show what is there; changes nothing */
	DELIVERER_DRY_RUN /* --dry-run: show the plan and its reasons; changes nothing */
};

struct deliverer_settings {
	enum deliverer_mode mode;
	const char *state_dir;    /* absolute */
	bool verbose;             /* --list -v: with From, Subject and Date */
	bool ignore_back_off;     /* the user named this account: poll it whatever failed before */
	const volatile int *stop; /* non-zero once a signal came */
	/*
	 * Where a fresh token comes from when the server has refused the account's; may block as
	 * long as a command may run. NULL: nowhere.
	 */
	int (*renew_token)(
		const struct account *account, struct secret *token_out, struct error *err);
};

struct deliverer;

/*
 * Lock the account, read its state, finish what a dead session left. Modes that
 * change nothing take no lock and create nothing. `account` and `settings` must outlive the result.
 * NULL and ERROR_BUSY (another pophaul, too soon), ERROR_CREATE, ERROR_WRITE, ERROR_CONFIG.
 */
struct deliverer *deliverer_open(
	const struct account *account, const struct deliverer_settings *settings, struct error *err)
	__attribute__((warn_unused_result));

void deliverer_free(struct deliverer *deliverer);

/* The state says that this server breaks on pipelined commands. */
bool deliverer_wants_lock_step(const struct deliverer *deliverer);

/* What else the state says of the server. */
struct link_memory deliverer_memory(const struct deliverer *deliverer);

/*
 * The ticket that the last session has left, for the fetcher; gone from the state then. Unset:
 * none, or one older than a day, as in modes that change nothing.
 */
void deliverer_take_ticket(struct deliverer *deliverer, struct secret *out);

/*
 * Before the session: the fetcher's process, a child of this one. A message at which it is killed
 * by a signal, as by a crash, may be left alone later. It is not reaped.
 */
void deliverer_set_fetcher(struct deliverer *deliverer, pid_t pid);

/*
 * The session: frames from `fetcher` until its LINK_RESULT or its death, progress
 * and lines of text to `poller` (the final LINK_REPORT is the caller's). Fills
 * `report` whatever happens. 0, or -1 and the error of the session; failed
 * messages alone are no error of the session but counted in the report.
 */
int deliverer_run(struct deliverer *deliverer, struct link *fetcher, struct link *poller,
	struct link_report *report, struct error *err) __attribute__((warn_unused_result));

#endif
