/*
 * A large file is written out while it still grows, a window behind its end, and leaves the page
 * cache again: what the last fsync has to wait for stays small, and mail that nobody reads now
 * takes no memory from what is in use. Durable it is by that fsync alone.
 *
 * For a file that stands or falls as a whole: the kernel keeps errors by the file and not by the
 * octet, and tells each once, so that one message would take another one's.
 *
 *	writeout_begin(), writeout_advance()…, fsync(2)
 *
 * What is less than a window costs nothing but the counting; less than two stay in the page cache.
 */
#ifndef POPHAUL_BASE_WRITEOUT_H
#define POPHAUL_BASE_WRITEOUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Octets that are begun to be written out at once. */
#define WRITEOUT_WINDOW ((uint64_t)8 << 20)

struct writeout {
	int fd;         /* -1: its file system cannot do that; the last fsync(2) does it all */
	uint64_t end;   /* of what was written */
	uint64_t begun; /* windows before are being written out, or were */
};

/* The octets to come are the first of `fd`, which stays the caller's. */
void writeout_begin(struct writeout *writeout, int fd);

/*
 * `len` octets more have been written. Waits for the disk where it is more than a window behind.
 * ERROR_WRITE when octets written before could not be put on the disk, with `what` as the file's
 * name: no later fsync(2) of this descriptor need tell of that again, for sync_file_range(2) takes
 * the error.
 */
int writeout_advance(struct writeout *writeout, size_t len, const char *what, struct error *err)
	__attribute__((warn_unused_result));

#endif
