/*
 * Before the session: may this account be polled already, and with this server, and what
 * did a dead session leave half done?
 */
#ifndef POPHAUL_DELIVER_WELCOME_H
#define POPHAUL_DELIVER_WELCOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "config/account.h"
#include "deliver/state/uidl.h"
#include "link/link.h"

/* LOGIN-DELAY: so much is waited for; more is for the next run. */
#define WELCOME_WAIT_MAX 30

/*
 * Logins refused in a row before the account is left alone for a while, in seconds, doubled
 * each time.
 */
#define WELCOME_REFUSALS    3
#define WELCOME_BACKOFF     (15 * 60)
#define WELCOME_BACKOFF_MAX (24 * 60 * 60)

/*
 * What is to be said of a state that was not believed in all; NULL: nothing. `aside` is where a
 * damaged one was put; NULL: it was not, for it was only read. The caller frees the text.
 */
char *welcome_describe_doubt(const struct uidl_doubt *doubt, const char *aside);

/* What the state says of the server, beside that it is asked in lock step. */
struct link_memory welcome_memory(const struct uidl_facts *facts);

/* ERROR_BUSY: logins were refused too often, and too little time has passed since. */
int welcome_check_back_off(const struct account *account, const struct uidl_facts *facts,
	int64_t now, struct error *err) __attribute__((warn_unused_result));

/*
 * Wait until the server's LOGIN-DELAY (RFC 2449 section 6.5) is over, or until `*stop`.
 * ERROR_BUSY when more than WELCOME_WAIT_MAX seconds remain, ERROR_INTERRUPTED.
 */
int welcome_wait_login_delay(const struct uidl_facts *facts, const volatile int *stop,
	struct error *err) __attribute__((warn_unused_result));

/* ERROR_CONFIG: mail of this account is to be kept, on a server without ids to know it by. */
int welcome_check_server(const struct account *account, bool has_uidl, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Settle the `try` records of a dead session with their destinations, and commit.
 * `settled_out` gets how many there were, `delivered_out` how many of them are delivered.
 * ERROR_WRITE, ERROR_CREATE, ERROR_BUSY (locks).
 */
int welcome_settle_tries(const struct account *account, struct uidl *uidl, size_t *settled_out,
	size_t *delivered_out, struct error *err) __attribute__((warn_unused_result));

/*
 * Where the state was another user's (STATE-DIR/NAME.taken says so), end its `try` records as if
 * nothing had come of them, and commit: that user could have written any, and to settle one is to
 * open what it names and to cut an mbox there. At worst what a dead session of that user's had
 * delivered comes once more. `count_out` gets how many there were. ERROR_WRITE.
 */
int welcome_drop_others_tries(const char *state_dir, const char *name, struct uidl *uidl,
	size_t *count_out, struct error *err) __attribute__((warn_unused_result));

/*
 * The number of this state among all that an account ever has (another state-dir, another user, a
 * lost one). Random, made and committed at the first use. ERROR_SYSTEM, ERROR_WRITE.
 */
int welcome_own_id(struct uidl *uidl, int64_t *id_out, struct error *err)
	__attribute__((warn_unused_result));

#endif
