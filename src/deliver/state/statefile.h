/*
 * The file under the UIDL state: opened, read line by line, appended to
 * durably, replaced whole, set aside. It knows lines; their first one and their
 * meaning are ledger.c's.
 *
 *	state_file_open()
 *	state_file_next() …          until 0; then is_torn and has_long_line hold
 *	state_file_rewind()          to read it once more
 *	state_file_cut()             when is_torn
 *	state_file_append() …        or state_file_begin(), state_file_put() …, state_file_replace()
 *	state_file_release()
 */
#ifndef POPHAUL_DELIVER_STATE_STATEFILE_H
#define POPHAUL_DELIVER_STATE_STATEFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/file.h"

struct state_file {
	char *dir, *path;
	int fd;             /* -1: there is no file */
	off_t end;          /* behind the last line; while reading: its beginning */
	struct buf text;    /* read and not yet handed out; what is left at the end is torn */
	size_t line_len;    /* octets of `text` that the last line took */
	size_t line;        /* its number, from 1 */
	bool is_torn;       /* something stands behind the last LF */
	bool has_long_line; /* a line longer than a record can be: damage, passed by */
};

/* A new file that is being written. */
struct state_writer {
	struct file_replacement file;
	struct buf text;
};

/*
 * Open DIR/NAME.uidl. A missing file is no error: fd is -1 then. `size_out` gets
 * its length. ERROR_CREATE: it cannot be opened or is no regular file; ERROR_WRITE.
 * To be released in any case.
 */
int state_file_open(struct state_file *file, const char *dir, const char *name, bool for_writing,
	off_t *size_out, struct error *err) __attribute__((warn_unused_result));
void state_file_release(struct state_file *file);

/*
 * The next whole line, without its LF, writable until the next call: 1; the end: 0;
 * ERROR_WRITE: -1.
 */
int state_file_next(struct state_file *file, char **line_out, size_t *len_out, struct error *err)
	__attribute__((warn_unused_result));

/* Read from the beginning again. ERROR_WRITE. */
int state_file_rewind(struct state_file *file, struct error *err)
	__attribute__((warn_unused_result));

/* Cut off what stands behind the last line. ERROR_WRITE. */
int state_file_cut(struct state_file *file, struct error *err) __attribute__((warn_unused_result));

/*
 * Append whole lines, one write and one fdatasync. ERROR_WRITE: the file is cut back to its last
 * good end, durably; where that fails too it is doubtful from then on.
 */
int state_file_append(struct state_file *file, const struct buf *lines, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Write a new file: begin, lines appended to writer->text with a put after each,
 * replace. ERROR_CREATE, ERROR_WRITE. A failed put or replace has released the
 * writer; the old file is there still, but behind a failed replace it is not
 * certain which of both has the name: append nothing then.
 */
int state_file_begin(struct state_file *file, struct state_writer *writer, struct error *err)
	__attribute__((warn_unused_result));
int state_file_put(struct state_writer *writer, struct error *err)
	__attribute__((warn_unused_result));
int state_file_replace(struct state_file *file, struct state_writer *writer, struct error *err)
	__attribute__((warn_unused_result));

/*
 * An earlier session could not come to an end with the file: which octets a power cut leaves
 * under the name is not certain until it is replaced (again), which is to be done before anything
 * else. Told by PATH.new: what a replacement leaves, or an append that could not be cut back.
 */
bool state_file_is_doubtful(const struct state_file *file);

/*
 * Keep the octets of the file under another name, NAME.uidl.damaged-TIME, too; the
 * caller frees `*aside_out`. ERROR_CREATE, ERROR_WRITE.
 */
int state_file_keep_aside(struct state_file *file, char **aside_out, struct error *err)
	__attribute__((warn_unused_result));

#endif
