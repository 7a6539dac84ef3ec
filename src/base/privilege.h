/*
 * Giving up root. Run by root, pophaul keeps root in the poller alone: the process that meets the
 * network becomes a user who owns nothing, the one that writes mail becomes the account's user.
 * Neither can go back; that is tried and checked. Without root nothing of this is ever called.
 *
 *	privilege_find_user()       in the configuration, and before a change
 *	privilege_become_user()     in the deliverer, before it opens state or mailbox
 *	privilege_become_nobody()   in the fetcher, before the first octet of the network …
 *	privilege_empty_root()      … and once it is logged in
 *
 * Why the root becomes empty as late as that: up to the login libraries still open files, and one
 * that cannot goes on with less. Names are looked up (resolv.conf, hosts, NSS libraries), for a
 * second connection too; Cyrus SASL opens /dev/urandom for each login and takes the clock for
 * chance where it cannot, without a word; Kerberos and PKCS#11 have files and sockets of their own.
 * Until then the process has CAP_SYS_CHROOT and no other capability; without a command that it may
 * execute, or a file that it may write, that is worth nothing to a server which has taken it over.
 *
 * Who can end whom: nobody's process cannot be signalled by the account's user, nor by a parent's
 * death. It ends when its link does; the poller, still root, ends one that does not (worker.h).
 */
#ifndef POPHAUL_BASE_PRIVILEGE_H
#define POPHAUL_BASE_PRIVILEGE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct privilege_user {
	char *name, *home, *shell;
	uid_t uid;
	gid_t gid;
};

/*
 * The user of that name in the system's list. ERROR_CONFIG: there is none, or one whose home is no
 * absolute path or whose name cannot be that of a folder. To be released when found.
 */
int privilege_find_user(const char *name, struct privilege_user *out, struct error *err)
	__attribute__((warn_unused_result));
void privilege_release_user(struct privilege_user *user);

/*
 * Whether this process is root's, so that there is something to give up: one without the
 * capabilities to become another user, as in a container, is a user like others.
 */
bool privilege_is_root(void);

/*
 * Be that user (not root) and nobody else, for ever: user, group, all of the user's groups; HOME,
 * USER, LOGNAME, SHELL and a PATH of the system's, and besides them only what tells language, time
 * zone and Kerberos' realms (KRB5_CONFIG); the home as working folder (else /); files for the user
 * alone unless a mode says otherwise; not to be looked into by that user's other processes; in a
 * session without a terminal, so that the caller must lead no process group. Clears
 * PR_SET_PDEATHSIG, as the kernel does. ERROR_SYSTEM: the process is half changed and has to end.
 */
int privilege_become_user(const struct privilege_user *user, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Look up who privilege_become_nobody() is to be, so that it need not: to ask the system for a user
 * may load libraries. The answer is kept for the life of the process and those that it forks; it
 * looks by itself when this was not called.
 */
void privilege_find_nobody(void);

/*
 * Be the user `pophaul`, or where there is none `nobody`: no groups, no capability but
 * CAP_SYS_CHROOT if there was that, and a descriptor of a folder without entries, name or
 * permissions for privilege_empty_root(). Without a terminal, too. Clears PR_SET_PDEATHSIG.
 * ERROR_SYSTEM: the process has to end.
 */
int privilege_become_nobody(struct error *err) __attribute__((warn_unused_result));

/*
 * Make that folder the root, and lose the last capability. False, which is no error, where
 * privilege_become_nobody() was not called or could not prepare it. The second call does nothing.
 */
bool privilege_empty_root(void);

#endif
