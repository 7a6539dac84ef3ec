/*
 * A place for octets that are not delivered yet: memory (memfd) up to 1 MiB, then
 * an unlinked file in $TMPDIR, else /var/tmp, else /tmp. It has no name, so that a
 * dead process leaves nothing behind, and a descriptor that a command can read.
 *
 *	spool_open(), spool_write()…, spool_flush(), spool_read_at()…, spool_truncate()
 *	spool_close()
 */
#ifndef POPHAUL_DELIVER_DEST_SPOOL_H
#define POPHAUL_DELIVER_DEST_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

/* Most octets kept in memory. */
#define SPOOL_MEMORY_MAX (1024 * 1024)

struct spool {
	int fd;            /* at its end after spool_flush() */
	uint64_t len;      /* octets taken, flushed or not */
	struct buf queued; /* octets not yet written to fd */
	bool on_disk;
};

/* ERROR_SYSTEM when there is no memory file. */
int spool_open(struct spool *spool, struct error *err) __attribute__((warn_unused_result));

/* Append. ERROR_CREATE, ERROR_WRITE. */
int spool_write(struct spool *spool, const void *data, size_t len, struct error *err)
	__attribute__((warn_unused_result));

/* All octets are behind the descriptor now. ERROR_CREATE, ERROR_WRITE. */
int spool_flush(struct spool *spool, struct error *err) __attribute__((warn_unused_result));

/* Exactly `len` octets from `offset`, after spool_flush(). ERROR_WRITE. */
int spool_read_at(const struct spool *spool, uint64_t offset, void *out, size_t len,
	struct error *err) __attribute__((warn_unused_result));

/*
 * Drop everything behind `len`; at 0 a spool on disk becomes one in memory again. ERROR_WRITE,
 * ERROR_SYSTEM.
 */
int spool_truncate(struct spool *spool, uint64_t len, struct error *err)
	__attribute__((warn_unused_result));

/* Set the descriptor to its start, for a command that reads it. ERROR_WRITE. */
int spool_rewind(struct spool *spool, struct error *err) __attribute__((warn_unused_result));

void spool_close(struct spool *spool);

#endif
