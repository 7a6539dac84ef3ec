/*
 * Where an account's state is when root runs pophaul, which has to serve users who trust neither
 * each other nor, with root's rights, themselves: an account with `run-as` has it in
 * STATE-DIR/USER/, a folder of that user's, the others have it in STATE-DIR itself, root's.
 *
 * Which of these an account's state is in stands in STATE-DIR/NAME.user, root's: what anybody puts
 * into his own folder under another's account's name is never looked at. When the configuration
 * says another user now, the state is moved; mail must not come a second time. A user's file is not
 * trusted: it has to be a regular file of that user's, it is copied into a new one, and never
 * followed, opened for writing or given away.
 *
 *	NAME.user says the new place, or there is no state: nothing to be done
 *	NAME.user says another, the file is there:
 *		1. rename it to STATE-DIR/NAME.uidl.moving
 *	NAME.uidl.moving is there:
 *		2. copy it to the new place, whatever is there
 *		3. write NAME.user
 *		4. remove NAME.uidl.moving
 *
 * As long as there is a NAME.uidl.moving, it is the state: each step may be the last of a process
 * and the next one begins at the second. No session begins before the fourth. The lock is the root
 * place's NAME.lock, and at the first step that of the old place too. What else is kept beside a
 * state (a TLS ticket) is removed, not moved. An empty NAME.taken is put beside the copy, before it
 * is there: what the one before was delivering, and where, is no longer looked at (welcome.h).
 *
 * A run with an older configuration may be about to open the state where it was. To find nothing
 * there would be to fetch all mail again, so between looking where it is and having the session's
 * lock on it nobody may take it over:
 *
 *	place_take()          a user's: root's NAME.lock, too, is held from here …
 *	close(claim)          … until the state is open
 *	place_check_roots()   root's: that lock is the session's; once it is held, look again
 */
#ifndef POPHAUL_POLL_PLACE_H
#define POPHAUL_POLL_PLACE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/privilege.h"

struct place_taken {
	char *dir; /* the folder of the state, absolute; the caller frees */
	int claim; /* to be closed when the state is open, or has failed to; -1: none */
};

/*
 * By root: make the folder of the account's state if it is missing, with the state in it if there
 * is any. `user` NULL: root itself. `only_look`: nothing is made or moved; a state that would have
 * to be is ERROR_BUSY. Also ERROR_BUSY: somebody works on the state; ERROR_CREATE, ERROR_WRITE: a
 * folder or file is not as it has to be. There is no claim on root's, when only looking, and, nor a
 * folder, on failure.
 */
int place_take(const char *state_dir, const char *name, const struct privilege_user *user,
	bool only_look, struct place_taken *out, struct error *err)
	__attribute__((warn_unused_result));

/* Whether the state that root has open under its lock is still the account's: else ERROR_BUSY. */
int place_check_roots(const char *state_dir, const char *name, struct error *err)
	__attribute__((warn_unused_result));

#endif
