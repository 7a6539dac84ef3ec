#include "poll/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/xalloc.h"

/* A user's name in NAME.user, with its line end; longer ones no system has. */
#define RECORD_MAX 300

#define COPY_SIZE 262144

/*
 * A million messages take a tenth of it. More may be a hole that somebody wants root to fill the
 * disk with.
 */
#define STATE_SIZE_MAX ((off_t)1 << 30)

#define OPEN_FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct place {
	const char *state_dir;
	const char *name;
	const struct privilege_user *user;           /* NULL: root */
	char *file, *moving, *copy, *ticket, *taken; /* names in folders */
	char *lock, *record;                         /* paths */
	int top;                                     /* state_dir */
	int claim; /* the root place's lock, for a user's; else -1 */
};

static const char *
name_of(const struct privilege_user *user)
{
	return user != NULL ? user->name : "";
}

static void
init(struct place *p, const char *state_dir, const char *name, const struct privilege_user *user)
{
	*p = (struct place){
		.state_dir = state_dir,
		.name = name,
		.user = user,
		.file = xasprintf("%s.uidl", name),
		.moving = xasprintf("%s.uidl.moving", name),
		.copy = xasprintf("%s.uidl.copy", name),
		.ticket = xasprintf("%s.ticket", name),
		.taken = xasprintf("%s.taken", name),
		.lock = xasprintf("%s/%s.lock", state_dir, name),
		.record = xasprintf("%s/%s.user", state_dir, name),
		.top = -1,
		.claim = -1,
	};
}

static void
release(struct place *p)
{
	if (p->top >= 0)
		close(p->top);
	free(p->file);
	free(p->moving);
	free(p->copy);
	free(p->ticket);
	free(p->taken);
	free(p->lock);
	free(p->record);
}

static bool
is_there(int folder, const char *name)
{
	struct stat st;

	return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/*
 * What root trusts in has to be root's alone, and where others have folders, others have to pass.
 */
static int
open_top(struct place *p, bool only_look, struct error *err)
{
	struct stat st;
	mode_t pass = p->user != NULL ? S_IXGRP | S_IXOTH : 0;

	if (!only_look && file_make_dirs(p->state_dir, S_IRWXU | pass, err) != 0)
		return error_prefix(err, "state-dir '%s'", p->state_dir);
	p->top = open(p->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->top < 0 && errno == ENOENT && only_look)
		return 0;
	if (p->top < 0 || fstat(p->top, &st) != 0)
		return error_set_errno(
			err, ERROR_CREATE, "cannot open state folder '%s'", p->state_dir);
	if (p->user == NULL)
		return 0;
	if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return error_set(err, ERROR_CREATE,
			"state folder '%s' must be root's, and nobody else's to write in, when "
			"accounts have run-as",
			p->state_dir);
	if (!only_look && (st.st_mode & pass) != pass && fchmod(p->top, st.st_mode | pass) != 0)
		return error_set_errno(
			err, ERROR_CREATE, "cannot open state folder '%s' to others", p->state_dir);
	return 0;
}

/* The user's own folder, made if it is missing; the descriptor. */
static int
open_folder(const struct place *p, struct error *err)
{
	const struct privilege_user *user = p->user;
	struct stat st;
	int fd;

	if (mkdirat(p->top, user->name, S_IRWXU) != 0 && errno != EEXIST)
		return error_set_errno(err, ERROR_CREATE, "cannot create folder '%s/%s'",
			p->state_dir, user->name);
	fd = openat(p->top, user->name, OPEN_FOLDER);
	if (fd < 0 || fstat(fd, &st) != 0) {
		error_set_errno(
			err, ERROR_CREATE, "cannot open folder '%s/%s'", p->state_dir, user->name);
		goto fail;
	}
	/* Root's is one that was made just now, here or by one who died of it. */
	if (st.st_uid == 0 && fchown(fd, user->uid, user->gid) == 0 && fstat(fd, &st) == 0 &&
		fsync(p->top) != 0) {
		error_set_errno(err, ERROR_WRITE, "cannot make folder '%s' durable", p->state_dir);
		goto fail;
	}
	if (st.st_uid != user->uid) {
		error_set(err, ERROR_CREATE, "folder '%s/%s' does not belong to its user",
			p->state_dir, user->name);
		goto fail;
	}
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) == 0 || fchmod(fd, S_IRWXU) == 0)
		return fd;
	error_set_errno(err, ERROR_CREATE, "cannot close folder '%s/%s'", p->state_dir, user->name);
fail:
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Whose the state is, "" for root; the caller frees. */
static char *
read_record(const struct place *p, struct error *err)
{
	struct buf text = {0};
	struct error why;
	char *name = NULL;

	if (file_read_whole(p->record, RECORD_MAX, &text, NULL, &why) != 0) {
		if (errno == ENOENT)
			name = xstrdup("");
		else
			*err = why;
	} else if (text.len < 2 || buf_data(&text)[text.len - 1] != '\n' ||
		memchr(buf_data(&text), '/', text.len) != NULL || *buf_data(&text) == '.') {
		error_set(err, ERROR_WRITE, "'%s' does not name a user", p->record);
	} else {
		name = xmemdup0(buf_data(&text), text.len - 1);
	}
	buf_release(&text);
	return name;
}

static int
write_record(const struct place *p, struct error *err)
{
	struct file_replacement file;
	const char *name = name_of(p->user);

	if (*name == '\0') {
		if (unlink(p->record) == 0 || errno == ENOENT)
			return file_sync_dir(p->state_dir, err);
		return error_set_errno(err, ERROR_WRITE, "cannot remove '%s'", p->record);
	}
	if (file_replace_begin(&file, p->record, S_IRUSR | S_IWUSR, err) != 0)
		return -1;
	if (file_write_all(file.fd, name, strlen(name), file.temporary, err) == 0 &&
		file_write_all(file.fd, "\n", 1, file.temporary, err) == 0)
		return file_replace_commit(&file, err);
	file_replace_abort(&file);
	return -1;
}

/* The old place's lock, if it ever had one: *fd_out is -1 then. */
static int
lock_old(const struct place *p, int folder, const char *owner, int *fd_out, struct error *err)
{
	char *lock = xasprintf("%s.lock", p->name);

	*fd_out = openat(folder, lock, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	free(lock);
	if (*fd_out < 0 || flock(*fd_out, LOCK_EX | LOCK_NB) == 0)
		return 0;
	close(*fd_out);
	*fd_out = -1;
	return error_set(err, ERROR_BUSY,
		"another pophaul is working on this account, with its state at user '%s'", owner);
}

static int
refuse_file(const struct place *p, const char *owner, struct error *err)
{
	return error_set(err, ERROR_CREATE,
		"state file '%s/%s/%s' cannot be taken over: it is no regular file of that user's",
		p->state_dir, owner, p->file);
}

/* Step 1. Nothing to move is fine. `owner` is who had the state. */
static int
set_moving(const struct place *p, const char *owner, struct error *err)
{
	bool is_roots = *owner == '\0';
	int folder = openat(p->top, is_roots ? "." : owner, OPEN_FOLDER), lock = -1, result = -1;
	struct stat st, file;

	if (folder < 0 && errno == ENOENT)
		return 0;
	if (folder < 0 || fstat(folder, &st) != 0) {
		error_set_errno(err, ERROR_CREATE, "cannot open folder '%s/%s'", p->state_dir,
			is_roots ? "." : owner);
		goto out;
	}
	if (fstatat(folder, p->file, &file, AT_SYMLINK_NOFOLLOW) != 0) {
		if (errno == ENOENT)
			result = 0;
		else
			error_set_errno(err, ERROR_CREATE, "cannot examine '%s' in '%s/%s'",
				p->file, p->state_dir, is_roots ? "." : owner);
		goto out;
	}
	if (!S_ISREG(file.st_mode) || file.st_uid != st.st_uid) {
		refuse_file(p, is_roots ? "." : owner, err);
		goto out;
	}
	/* A session of the account's can be resumed with it: it is not that user's any more. */
	(void)unlinkat(folder, p->ticket, 0);
	/* Root's own lock is held already. */
	if (!is_roots && lock_old(p, folder, owner, &lock, err) != 0)
		goto out;
	if (renameat(folder, p->file, p->top, p->moving) != 0 || fsync(p->top) != 0 ||
		fsync(folder) != 0)
		error_set_errno(err, ERROR_WRITE, "cannot move state file '%s' out of '%s/%s'",
			p->file, p->state_dir, is_roots ? "." : owner);
	else
		result = 0;
out:
	if (lock >= 0)
		close(lock);
	if (folder >= 0)
		close(folder);
	return result;
}

static int
copy_octets(int from, int to, const char *what, struct error *err)
{
	struct buf text = {0};
	int result = -1;
	ssize_t n;

	for (;;) {
		n = read(from, buf_reserve(&text, COPY_SIZE), COPY_SIZE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || file_write_all(to, buf_data(&text), (size_t)n, what, err) != 0)
			break;
	}
	if (n < 0)
		error_set_errno(err, ERROR_WRITE, "cannot read '%s'", what);
	else if (n == 0)
		result = 0;
	buf_release(&text);
	return result;
}

/* A new file in root's folder, the user's own; the descriptor. */
static int
create_own(const struct place *p, const char *name, struct error *err)
{
	int fd = -1;

	if (unlinkat(p->top, name, 0) == 0 || errno == ENOENT)
		fd = openat(
			p->top, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (fd >= 0 && (p->user == NULL || fchown(fd, p->user->uid, p->user->gid) == 0))
		return fd;
	error_set_errno(err, ERROR_CREATE, "cannot create '%s/%s'", p->state_dir, name);
	if (fd >= 0)
		close(fd);
	return -1;
}

/* That what the next session finds in `folder` was another's: see deliver/welcome.h. */
static int
mark_taken(const struct place *p, int folder, struct error *err)
{
	int fd = create_own(p, p->taken, err);

	if (fd < 0)
		return -1;
	close(fd);
	if (renameat(p->top, p->taken, folder, p->taken) == 0 && fsync(folder) == 0)
		return 0;
	return error_set_errno(err, ERROR_WRITE, "cannot move '%s' into '%s/%s'", p->taken,
		p->state_dir, name_of(p->user));
}

/*
 * Step 2, into `folder`; the copy is made in root's, and moved there when it is whole. `is_users`:
 * a user had the state, who between the look at it and step 1 may have put a link to a file of
 * root's, or of a third user's, in its place.
 */
static int
copy_moving(const struct place *p, int folder, bool is_users, struct error *err)
{
	int from, to = -1, result = -1;
	struct stat st;

	from = openat(p->top, p->moving, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (from < 0 || fstat(from, &st) != 0 || !S_ISREG(st.st_mode) ||
		(is_users && st.st_nlink != 1)) {
		error_set(err, ERROR_CREATE,
			"'%s/%s' is no regular file of its user's: that user has put something "
			"else in place of the state; remove it, and all mail comes again",
			p->state_dir, p->moving);
		goto out;
	}
	if (is_users && st.st_size > STATE_SIZE_MAX) {
		error_set(err, ERROR_CREATE,
			"'%s/%s' is too big for a state: look at it, and put what is right into "
			"its place yourself",
			p->state_dir, p->moving);
		goto out;
	}
	to = create_own(p, p->copy, err);
	if (to < 0 || copy_octets(from, to, p->moving, err) != 0 || mark_taken(p, folder, err) != 0)
		goto out;
	if (fsync(to) != 0 || renameat(p->top, p->copy, folder, p->file) != 0 || fsync(folder) != 0)
		error_set_errno(err, ERROR_WRITE, "cannot move state file '%s' into '%s/%s'",
			p->file, p->state_dir, name_of(p->user));
	else
		result = 0;
out:
	if (to >= 0)
		close(to);
	if (from >= 0)
		close(from);
	return result;
}

/* All steps, as far as they are needed, under the lock. */
static int
move(const struct place *p, int folder, struct error *err)
{
	char *owner = read_record(p, err);
	bool is_same;
	int result = -1;

	if (owner == NULL)
		return -1;
	is_same = strcmp(owner, name_of(p->user)) == 0;
	if (!is_same && !is_there(p->top, p->moving) && set_moving(p, owner, err) != 0)
		goto out;
	if (is_there(p->top, p->moving)) {
		log_info("the state was that of user '%s' and is taken over",
			*owner != '\0' ? owner : "root");
		/* Once NAME.user says the new place, the file has been looked at. */
		if (copy_moving(p, folder, !is_same && *owner != '\0', err) != 0)
			goto out;
	}
	if (!is_same && write_record(p, err) != 0)
		goto out;
	if (unlinkat(p->top, p->moving, 0) != 0 && errno != ENOENT)
		error_set_errno(err, ERROR_WRITE, "cannot remove '%s/%s'", p->state_dir, p->moving);
	else
		result = file_sync_dir(p->state_dir, err);
out:
	free(owner);
	return result;
}

/* Whether the state is where it has to be; a look without a lock. */
static int
is_in_place(const struct place *p, bool *in_place_out, struct error *err)
{
	char *owner = read_record(p, err);

	if (owner == NULL)
		return -1;
	*in_place_out = strcmp(owner, name_of(p->user)) == 0 && !is_there(p->top, p->moving);
	free(owner);
	return 0;
}

/* Nothing may be moved: then nothing may have to be. */
static int
look(const struct place *p, struct error *err)
{
	char *owner = read_record(p, err), *old;
	bool is_elsewhere;

	if (owner == NULL)
		return -1;
	old = xasprintf("%s%s%s", owner, *owner != '\0' ? "/" : "", p->file);
	is_elsewhere = is_there(p->top, p->moving) || is_there(p->top, old);
	if (is_elsewhere)
		error_set(err, ERROR_BUSY,
			"its state is still that of user '%s': the next run that fetches takes it "
			"over",
			*owner != '\0' ? owner : "root");
	free(old);
	free(owner);
	return is_elsewhere ? -1 : 0;
}

static int
take(struct place *p, bool only_look, struct error *err)
{
	bool in_place = true;
	int folder = -1, lock = -1, result = -1;

	if (open_top(p, only_look, err) != 0)
		return -1;
	if (p->top < 0)
		return 0;
	if (!only_look && p->user != NULL && (folder = open_folder(p, err)) < 0)
		return -1;
	if (is_in_place(p, &in_place, err) != 0)
		goto out;
	if (only_look || (in_place && p->user == NULL)) {
		result = in_place ? 0 : look(p, err);
		goto out;
	}
	lock = file_lock(p->lock, err);
	if (lock < 0 || is_in_place(p, &in_place, err) != 0)
		goto out;
	result = in_place ? 0 : move(p, p->user != NULL ? folder : p->top, err);
out:
	if (result == 0 && p->user != NULL)
		p->claim = lock;
	else if (lock >= 0)
		close(lock);
	if (folder >= 0)
		close(folder);
	return result;
}

int
place_take(const char *state_dir, const char *name, const struct privilege_user *user,
	bool only_look, struct place_taken *out, struct error *err)
{
	struct place place;
	int result;

	init(&place, state_dir, name, user);
	result = take(&place, only_look, err);
	*out = (struct place_taken){.claim = place.claim};
	if (result == 0)
		out->dir = user != NULL ? xasprintf("%s/%s", state_dir, user->name)
					: xstrdup(state_dir);
	release(&place);
	return result;
}

int
place_check_roots(const char *state_dir, const char *name, struct error *err)
{
	struct place place;
	bool in_place = false;
	int result;

	init(&place, state_dir, name, NULL);
	result = open_top(&place, true, err);
	if (result == 0)
		result = is_in_place(&place, &in_place, err);
	if (result == 0 && !in_place)
		result = error_set(err, ERROR_BUSY,
			"another pophaul, with another run-as for this account, has just taken its "
			"state over");
	release(&place);
	return result;
}
