/*
 * An mbox file, open and locked: the part of mbox delivery and of recovery that
 * touches the file itself.
 *
 *	mbox_file_open(), …, mbox_file_close()
 */
#ifndef POPHAUL_DELIVER_DEST_MBOX_FILE_H
#define POPHAUL_DELIVER_DEST_MBOX_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/error.h"
#include "deliver/dest/dest.h"
#include "deliver/dest/dotlock.h"

/* Room for "From SENDER Thu Jan  1 00:00:00 1970\n" and a NUL. */
#define MBOX_FROM_SIZE (DEST_SENDER_MAX + 64)

struct mbox_file {
	int fd;
	char *path;
	uint64_t size; /* when it was locked */
	struct dotlock dotlock;
};

/* What a token says. */
struct mbox_place {
	uint64_t offset, len; /* of the whole, From_ line included */
	struct digest digest; /* of what follows the From_ line */
	int64_t seconds;
	char sender[DEST_SENDER_MAX];
};

/*
 * Lock, open and examine. `create`: made (0600, durable in its folder) when missing; else
 * a missing file gives fd -1 and success. ERROR_BUSY (locks), ERROR_CREATE (also: no regular file).
 */
int mbox_file_open(struct mbox_file *file, const char *path, int64_t lock_timeout_ms, bool create,
	struct error *err) __attribute__((warn_unused_result));

/* Unlock and close. */
void mbox_file_close(struct mbox_file *file);

/* How many line ends it takes until the file ends in a blank line: 0, 1 or 2. ERROR_WRITE. */
int mbox_file_missing_newlines(const struct mbox_file *file, size_t *count_out, struct error *err)
	__attribute__((warn_unused_result));

/* The From_ line, with its LF. */
void mbox_from_line(const char *sender, int64_t seconds, char out[static MBOX_FROM_SIZE]);

/* The token of a place; the caller frees. And back: false for anything else. */
char *mbox_place_token(const struct mbox_place *place);
bool mbox_place_parse(const char *token, struct mbox_place *place);

/* See the table in mbox.h. ERROR_WRITE. */
int mbox_file_recover(struct mbox_file *file, const struct mbox_place *place, bool *delivered_out,
	struct error *err) __attribute__((warn_unused_result));

#endif
