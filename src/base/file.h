/*
 * Files made durable, replaced and locked: the few operations on which the
 * promise rests, each with its errors checked. Paths in texts are quoted.
 */
#ifndef POPHAUL_BASE_FILE_H
#define POPHAUL_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

/*
 * Write all of `data`, resuming after short writes and EINTR. `what` names the
 * file in the error (ERROR_WRITE).
 */
int file_write_all(int fd, const void *data, size_t len, const char *what, struct error *err)
	__attribute__((warn_unused_result));

/* The same for reading. That there is less is an error, too, and errno is 0 then. */
int file_read_exactly(int fd, void *data, size_t len, const char *what, struct error *err)
	__attribute__((warn_unused_result));

/* close(2) of a written file: its failure is a failed write. -1 is closed already. */
int file_close(int fd, const char *what, struct error *err) __attribute__((warn_unused_result));

/*
 * The whole of a regular file of at most `max` octets, appended to `out`; `st`
 * (may be NULL) gets its attributes, taken from the open descriptor. Errors:
 * ERROR_CREATE when it cannot be opened (errno is kept: ENOENT tells a missing
 * file), ERROR_WRITE when it is no regular file, too big or cannot be read.
 */
int file_read_whole(const char *path, size_t max, struct buf *out, struct stat *st,
	struct error *err) __attribute__((warn_unused_result));

/* Make a folder's entries durable: open, fsync, close. ERROR_WRITE. */
int file_sync_dir(const char *path, struct error *err) __attribute__((warn_unused_result));

/* The same for the folder that the entry `path` stands in. */
int file_sync_parent(const char *path, struct error *err) __attribute__((warn_unused_result));

/*
 * mkdir -p: each missing folder of `path` with `mode`, each made durable in its parent.
 * ERROR_CREATE.
 */
int file_make_dirs(const char *path, mode_t mode, struct error *err)
	__attribute__((warn_unused_result));

/*
 * A file that takes the place of another at once: write to r.fd, then commit
 * (fsync, close, rename, fsync of the folder) or abort (the old one stays). The
 * temporary name is PATH.new; an old one of that name is a dead session's and
 * is overwritten, so the caller must hold the lock that covers PATH.
 *
 * When the last fsync fails, PATH.new stays as a second name of the new file: which of
 * both PATH means on the disk is not certain, and no later fsync that succeeds makes it
 * so, only another replacement does.
 */
struct file_replacement {
	int fd;
	char *path;
	char *temporary;
};

int file_replace_begin(struct file_replacement *r, const char *path, mode_t mode, struct error *err)
	__attribute__((warn_unused_result));
int file_replace_commit(struct file_replacement *r, struct error *err)
	__attribute__((warn_unused_result));
void file_replace_abort(struct file_replacement *r);

/*
 * Close every descriptor from 3 on but `keep` (-1: none): nothing of this process is to be held by
 * the one that it becomes.
 */
void file_close_others(int keep);

/*
 * Standard error, where it is a terminal, becomes a way to the same terminal for writing only: such
 * a descriptor is most often open for reading, too, and what is typed there, maybe into another
 * program later on, is not for every process of ours. False: that could not be had, and it is as
 * before.
 */
bool file_stop_hearing_terminal(void);

/*
 * Open (created 0600) and flock(2) the lock file at `path` without waiting. The
 * descriptor is the lock: it ends with the last process that holds it. Result:
 * the descriptor, or -1: ERROR_BUSY when another process has it, ERROR_CREATE.
 * Lock files are never renamed nor removed: a waiter would hold a dead inode.
 */
int file_lock(const char *path, struct error *err) __attribute__((warn_unused_result));

/*
 * Whose home `~` is until the next call, for a configuration that root reads for others; NULL: our
 * own again. Copied.
 */
void file_set_home(const char *home);

/*
 * Whether nobody but root can change what an absolute path leads to: all that it passes is root's
 * and written by no other, symbolic links and what they lead through too.
 */
bool file_is_in_roots_hands(const char *path);

/* That home, else the user's: $HOME, else the passwd entry; NULL when neither says. Borrowed. */
const char *file_home(void);

/* "~" or "~/…" replaced by the home; everything else is copied. The caller frees. */
char *file_expand_home(const char *path);

#endif
