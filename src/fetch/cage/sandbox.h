/*
 * The fetcher's cage: what a process that a server has taken over can still
 * do. Two steps, neither can be taken back:
 *
 *	sandbox_prepare()        before forking: what both steps have in common
 *	sandbox_close_files()    before the first octet of the network: no file is
 *	                         written, made or removed, and read only what names,
 *	                         TLS and logins need; nothing is executed, no
 *	                         process is started or touched; TCP goes to the
 *	                         account's port and to name servers
 *	sandbox_close_all()      after the login: nothing but the descriptors it
 *	                         holds, memory, time and the end
 *
 * By Landlock (cage/landlock.h) where the kernel has it, and by seccomp
 * (cage/filter.h). What lacks is passed over, unless the account says
 * `sandbox = "require"`. A login that needs files and sockets of its own
 * (account_needs_open_login()) leaves out the first step.
 */
#ifndef POPHAUL_FETCH_CAGE_SANDBOX_H
#define POPHAUL_FETCH_CAGE_SANDBOX_H

#include "base/error.h"
#include "config/account.h"

/* What of a step is in force, for the log. */
struct sandbox_report {
	char text[2 * ERROR_TEXT_MAX + 32]; /* the reasons of both halves */
};

/* What fails here is told by the steps. */
void sandbox_prepare(void);

/*
 * Put a step in force; no_new_privs must be set already. -1: ERROR_SYSTEM, the account demands what
 * cannot be had; the first step then looks whether the second one can be, too.
 */
int sandbox_close_files(const struct account *account, struct sandbox_report *report,
	struct error *err) __attribute__((warn_unused_result));
int sandbox_close_all(const struct account *account, struct sandbox_report *report,
	struct error *err) __attribute__((warn_unused_result));

#endif
