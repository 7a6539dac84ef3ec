/*
 * The whole state as the lines of a new file: for a state that has none, a
 * damaged one, and one of which most is dead. The file itself is statefile.h's,
 * when it is due uidl.c's.
 */
#ifndef POPHAUL_DELIVER_STATE_REWRITE_H
#define POPHAUL_DELIVER_STATE_REWRITE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "deliver/state/broken.h"
#include "deliver/state/idtable.h"
#include "deliver/state/statefile.h"
#include "deliver/state/tries.h"
#include "deliver/state/uidl.h"

/* All that is in memory. Borrowed. */
struct rewrite_content {
	struct id_table *table;
	const struct uidl_facts *facts;
	const struct broken *broken;
	const struct tries *tries;
};

/* What was written. */
struct rewrite_result {
	size_t records; /* without first line and sums */
	uint32_t sum;   /* what the next sum goes on from */
};

/*
 * Put the first line, all records and their sums into a file that was begun, to be followed by
 * state_file_replace(). Tries in doubt come behind the last sum: so they are in doubt for the next
 * reader too, until a commit settles them. ERROR_WRITE: the writer is released.
 */
int rewrite_all(const struct rewrite_content *content, struct state_writer *file,
	struct rewrite_result *result_out, struct error *err) __attribute__((warn_unused_result));

#endif
