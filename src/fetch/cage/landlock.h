/*
 * Landlock: which files this process can still reach, and which TCP ports. What is
 * not granted is denied, for good, and to whatever this process would start. Each
 * call of landlock_close() takes away; none gives back.
 *
 * Kernels know more or less of it (their ABI, a number): what the running one does
 * not know is left out, and needs seccomp.
 */
#ifndef POPHAUL_FETCH_CAGE_LANDLOCK_H
#define POPHAUL_FETCH_CAGE_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* The most files beside the table's own that can be granted. */
#define LANDLOCK_FILES_MAX 8

struct landlock_grants {
	const char *const *folders; /* NULL-ended: readable with all below, files too; NULL: none */
	const char *files[LANDLOCK_FILES_MAX]; /* readable each; NULLs are skipped */
	const uint16_t *ports;                 /* may be connected to, from ABI 4 on */
	size_t port_count;
	bool may_connect_anywhere; /* whatever the ports */
};

/*
 * The ABI of the running kernel, 1 or more; 0 and `err` (ERROR_SYSTEM, in whose text stands what is
 * missing): it has none.
 */
int landlock_abi(struct error *err);

/*
 * Deny all but `grants`: changing, making, removing and executing files, reading them, listing
 * folders, TCP, and from ABI 6 on signals and abstract sockets of processes that are not in this
 * cage. Files that are open stay usable. What is granted and does not exist is skipped.
 * no_new_privs must be set. As landlock_abi(), and 0 with `err` when it cannot be put in force.
 */
int landlock_close(const struct landlock_grants *grants, struct error *err);

#endif
