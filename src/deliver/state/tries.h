/*
 * The `try` records of a state log that no `got` has settled, each with the
 * destination that held when it was written: what a dead session was about to
 * publish. Filled while the log is read, walked over by the recovery.
 *
 * A zeroed struct is empty. tries_release() frees.
 */
#ifndef POPHAUL_DELIVER_STATE_TRIES_H
#define POPHAUL_DELIVER_STATE_TRIES_H

#include <stdbool.h>
#include <stddef.h>

#include "deliver/state/record.h"
#include "deliver/state/uidl.h"

struct tries {
	struct uidl_try *list;
	size_t count, size;
	size_t open;   /* not settled */
	size_t cursor; /* where the next settled one is looked for */
	size_t block;  /* the first one of the block that is being read */
	char **dests;  /* every destination of the log; the last one holds */
	size_t dest_count;
};

/* The destination holds from here on; false when it did already. */
bool tries_set_dest(struct tries *tries, const char *text, size_t len);

/* The destination that holds, NULL for none. Borrowed until tries_release(). */
const char *tries_dest(const struct tries *tries);

/* Add a `try`, copied. */
void tries_add(struct tries *tries, const struct record *record);

/* A `got`: the oldest try of its id and digest is settled. */
void tries_settle(struct tries *tries, const struct record *got);

/* What is added from here on can be dropped again, but for what is settled. */
void tries_begin_block(struct tries *tries);
void tries_drop_block(struct tries *tries);

/*
 * The log is read: from now on the list holds what is not settled, and nothing else; all of it in
 * doubt or none.
 */
void tries_finish(struct tries *tries, bool in_doubt);

/* Forget the list; the destination stays. */
void tries_clear(struct tries *tries);

void tries_release(struct tries *tries);

#endif
