/*
 * A large file is written out while it still grows, a window behind its end, and leaves the page
 * cache again: what the last fsync has to wait for stays small, and mail that nobody reads now
 * takes no memory from what is in use. Durable it is by that fsync alone.
 *
 *	writeout_begin(), writeout_advance()…, fsync(2)
 *
 * A file of less than two windows costs nothing but the counting, and stays in the page cache.
 */
#ifndef POPHAUL_BASE_WRITEOUT_H
#define POPHAUL_BASE_WRITEOUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Octets that are begun to be written out at once. */
#define WRITEOUT_WINDOW ((uint64_t)8 << 20)

struct writeout {
	int fd;
	uint64_t end;   /* of what was written */
	uint64_t begun; /* what is before is being written out, or was */
	uint64_t first; /* windows before are none of ours */
};

/* The next octets go to `offset` of `fd`, which stays the caller's. */
void writeout_begin(struct writeout *writeout, int fd, uint64_t offset);

/*
 * `len` octets more have been written. Waits for the disk where it is more than a window behind.
 * ERROR_WRITE when octets written before could not be put on the disk, `what` names the file: no
 * later fsync(2) of this descriptor need tell of that again (sync_file_range(2) takes the error).
 */
int writeout_advance(struct writeout *writeout, size_t len, const char *what, struct error *err)
	__attribute__((warn_unused_result));

#endif
