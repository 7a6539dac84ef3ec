/*
 * What a dead session left in a Maildir: the rules stand in maildir.h. And the
 * few steps on a Maildir's folders that delivery and recovery share.
 */
#ifndef POPHAUL_DELIVER_DEST_MAILDIR_RECOVER_H
#define POPHAUL_DELIVER_DEST_MAILDIR_RECOVER_H

#include <dirent.h>
#include <stddef.h>

#include "base/error.h"
#include "config/account.h"
#include "deliver/dest/dest.h"

/* Room for the unique part of a name, as in tmp/. */
#define MAILDIR_UNIQUE_SIZE 320

/* Open PATH/PART ("tmp", "new", "cur"). The descriptor, or -1 and ERROR_CREATE. */
int maildir_open_folder(const char *path, const char *part, struct error *err)
	__attribute__((warn_unused_result));

/* The entries of an open folder, from the first; the caller closes. NULL and errno. */
DIR *maildir_list_folder(int fd);

/* tmp/FROM to new/TO, never overwriting. 0, or -1 and errno. */
int maildir_move_to_new(int tmp_fd, int new_fd, const char *from, const char *to)
	__attribute__((warn_unused_result));

/* dest_recover() of a Maildir. */
int maildir_recover(const struct account *account, const char *path, struct dest_claim *claims,
	size_t count, struct error *err) __attribute__((warn_unused_result));

#endif
