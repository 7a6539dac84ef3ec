/*
 * What a state's log says, in memory: its records applied one after the other,
 * and how far they can be believed. Not when the file is written (uidl.c) and
 * not the file (statefile.c).
 *
 *	ledger_init()
 *	ledger_read()            from an open file
 *	ledger_release()
 *
 * The log is believed as far as its check sums are right. Where one is not, or a
 * line is no record, nobody knows what else is not as it was written, or is
 * missing: then every message that the log knows of counts as `off`, so that it
 * is fetched again and its digest tells whether it is here, and nothing counts
 * as forgotten. Records behind the last sum, of a write that was torn, or all of
 * a file without sums, are taken in the same way, and those before are believed.
 */
#ifndef POPHAUL_DELIVER_STATE_LEDGER_H
#define POPHAUL_DELIVER_STATE_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "deliver/state/broken.h"
#include "deliver/state/idtable.h"
#include "deliver/state/statefile.h"
#include "deliver/state/tries.h"
#include "deliver/state/uidl.h"

struct ledger {
	struct id_table *table;
	struct tries tries;
	struct uidl_facts facts;
	struct broken broken;
	size_t records; /* of the log, without its first line and its sums */
	bool has_try;   /* the log has a `try` that no `end` follows */
	uint32_t sum;   /* up to the end of the log: what the next sum goes on from */
	struct uidl_doubt doubt;
};

/* Empty; `size` is the length of the log that will be read. */
void ledger_init(struct ledger *ledger, off_t size);
void ledger_release(struct ledger *ledger);

/*
 * Read a file that state_file_open() has opened, with `now` for what counts as vanished from
 * here on. ERROR_CONFIG: another version wrote it; ERROR_WRITE.
 */
int ledger_read(struct ledger *ledger, struct state_file *file, int64_t now, struct error *err)
	__attribute__((warn_unused_result));

/* An entry of the record's fields. */
struct uidl_entry *ledger_add_entry(
	struct ledger *ledger, const struct record *record, enum uidl_status status);

#endif
