/*
 * seccomp: which system calls this process can still make. A list of those that
 * are allowed, one for each step; any other gets EPERM, and in the second step
 * leaves a line in the kernel's log.
 *
 * The programs of both are made once, by filter_prepare() before forking, since
 * making one takes longer than an idle session's own work; filter_close() then only
 * hands them to the kernel.
 */
#ifndef POPHAUL_FETCH_CAGE_FILTER_H
#define POPHAUL_FETCH_CAGE_FILTER_H

#include "base/error.h"

enum filter_step {
	FILTER_LOGIN,    /* reading files, looking up names, connecting */
	FILTER_TRANSFER, /* nothing but descriptors that are open, memory, time and the end */
	FILTER_STEPS
};

/* Make both programs. What fails here is told by filter_close(), which tries again. */
void filter_prepare(void);

/* Whether this kernel would take a filter. -1: ERROR_SYSTEM, the text says what is missing. */
int filter_probe(struct error *err) __attribute__((warn_unused_result));

/* Put a step in force. no_new_privs must be set. -1: ERROR_SYSTEM, nothing has changed. */
int filter_close(enum filter_step step, struct error *err) __attribute__((warn_unused_result));

#endif
