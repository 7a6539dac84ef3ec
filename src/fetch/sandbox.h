/*
 * The fetcher's cage: what a process that a server has taken over can still
 * do. Two steps, neither can be taken back:
 *
 *	sandbox_close_files()    before the first octet of the network: no file is
 *	                         written, made or removed, nothing is executed, no
 *	                         other process is touched or started
 *	sandbox_close_all()      after the login: nothing but the descriptors it
 *	                         holds, memory, time and the end
 *
 * By Landlock where the kernel has it, and by seccomp. A kernel that has
 * neither is no reason to leave mail where it is: the caller says so with -v.
 */
#ifndef POPHAUL_FETCH_SANDBOX_H
#define POPHAUL_FETCH_SANDBOX_H

#include <stdbool.h>

#include "base/error.h"

/* What of a step is in force. */
struct sandbox_report {
	bool has_landlock;
	bool has_seccomp;
};

/* Never fail: they report what is in force. no_new_privs must be set already. */
struct sandbox_report sandbox_close_files(void);
struct sandbox_report sandbox_close_all(void);

#endif
