#include "deliver/dest/maildir.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/writeout.h"
#include "base/xalloc.h"
#include "deliver/dest/maildir_recover.h"

/* Up to so many messages are made durable one by one; more by one syncfs(2). */
#define FSYNC_EACH_MAX 8

#define HOST_MAX  64
#define OWNER_HEX 16

struct staged {
	char *name;        /* in new/; up to its first ',' also in tmp/ */
	size_t unique_len; /* octets before the ',' */
	int fd;            /* open until durable or one of too many; else -1 */
	bool published;
};

struct maildir {
	char *path;
	int tmp_fd, new_fd;
	char host[4 * HOST_MAX + 1];
	char owner[OWNER_HEX + 1];
	uint64_t random;
	uint64_t number;
	struct staged *staged;
	size_t count, size;
	bool prepared, broken;
	bool syncs_each; /* syncfs(2) reaches nothing here */

	/* the message that is being written */
	char unique[MAILDIR_UNIQUE_SIZE];
	int fd;
	struct writeout writeout;
	uint64_t octets, lone_lf; /* LF without a CR before it */
	char last;
};

/* '/' and ':' as the Maildir page asks; ',' because it ends the unique part for us. */
static void
name_host(char out[static 4 * HOST_MAX + 1])
{
	char host[HOST_MAX + 1] = "";
	char *p = out;

	if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0')
		memcpy(host, "localhost", sizeof "localhost");
	for (const char *h = host; *h != '\0'; h++) {
		if (*h == '/' || *h == ':' || *h == ',' || !isgraph((unsigned char)*h))
			p += snprintf(p, 5, "\\%03o", (unsigned)(unsigned char)*h);
		else
			*p++ = *h;
	}
	*p = '\0';
}

static bool
is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static const char *const PARTS[] = {"cur", "new", "tmp"};

#define PART_COUNT (sizeof PARTS / sizeof *PARTS)

/* 1: it was missing and is there now, 0: it was there, -1: neither, and errno tells why. */
static int
make_part(const char *folder)
{
	struct stat st;
	int why;

	if (mkdir(folder, 0700) == 0)
		return 1;
	why = errno;
	if (stat(folder, &st) != 0)
		why = errno == ENOENT ? why : errno;
	else if (S_ISDIR(st.st_mode))
		return 0;
	errno = why;
	return -1;
}

/* Make those of the three that are missing, and tell which. */
static int
make_parts(const char *path, bool made[static PART_COUNT], struct error *err)
{
	for (size_t i = 0; i < PART_COUNT; i++) {
		char *folder = xasprintf("%s/%s", path, PARTS[i]);
		int result = make_part(folder);

		made[i] = result == 1;
		if (result < 0)
			error_set_errno(err, ERROR_CREATE, "cannot create folder '%s'", folder);
		free(folder);
		if (result < 0)
			return -1;
	}
	return 0;
}

/* Left there, they would pass for ones that were made durable. */
static void
remove_parts(const char *path, const bool made[static PART_COUNT])
{
	for (size_t i = 0; i < PART_COUNT; i++) {
		char *folder = xasprintf("%s/%s", path, PARTS[i]);

		if (made[i])
			rmdir(folder);
		free(folder);
	}
}

static int
make_folders(const char *path, struct error *err)
{
	bool made[PART_COUNT] = {false};

	if (!is_folder(path) && file_make_dirs(path, 0700, err) != 0)
		return -1;
	if (make_parts(path, made, err) == 0 &&
		((!made[0] && !made[1] && !made[2]) || file_sync_dir(path, err) == 0))
		return 0;
	remove_parts(path, made);
	return -1;
}

/* Maildir++: a folder inside a Maildir is told from the Maildir itself by this file. */
static int
mark_subfolder(const char *path, struct error *err)
{
	const char *slash = strrchr(path, '/');
	char *parent_cur, *mark;
	int fd, result = 0;

	if (slash == NULL || slash == path || slash[1] != '.')
		return 0;
	parent_cur = xasprintf("%.*s/cur", (int)(slash - path), path);
	mark = xasprintf("%s/maildirfolder", path);
	if (is_folder(parent_cur) && access(mark, F_OK) != 0) {
		fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0)
			result = error_set_errno(err, ERROR_CREATE, "cannot create '%s'", mark);
		else
			result = file_close(fd, mark, err);
	}
	free(mark);
	free(parent_cur);
	return result;
}

/*
 * Whether `name` is a unique name of this owner. Its session is dead: the lock of the state, whose
 * number the owner is, is ours. (Its process may not be: a killed one lets go of the lock first.)
 */
static bool
is_own_stray(const struct maildir *m, const char *name)
{
	char mark[OWNER_HEX + 3];
	const char *p = name + strspn(name, "0123456789");

	snprintf(mark, sizeof mark, "A%s.", m->owner);
	return p != name && strncmp(p, ".M", 2) == 0 && strstr(p, mark) != NULL;
}

/* Files in tmp/ of dead sessions that published nothing of them. Failing to is harmless. */
static void
maildir_sweep(void *self)
{
	const struct maildir *m = self;
	DIR *dir = maildir_list_folder(m->tmp_fd);
	const struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		if (is_own_stray(m, entry->d_name))
			unlinkat(m->tmp_fd, entry->d_name, 0);
	}
	closedir(dir);
}

/*
 * The kernel passes syncfs(2) on to no file system in user space but virtiofs, and says that all is
 * well.
 */
static bool
is_in_user_space(int fd)
{
	struct statfs st;

	return fstatfs(fd, &st) == 0 && st.f_type == FUSE_SUPER_MAGIC;
}

static void maildir_close(void *self);

static void *
maildir_open(const struct account *account, int64_t owner, struct error *err)
{
	struct maildir *m = xcalloc(1, sizeof *m);

	m->path = xstrdup(account->dest.path);
	m->tmp_fd = m->new_fd = m->fd = -1;
	name_host(m->host);
	snprintf(m->owner, sizeof m->owner, "%016llx", (unsigned long long)owner);
	if (getrandom(&m->random, sizeof m->random, 0) != (ssize_t)sizeof m->random) {
		error_set_errno(err, ERROR_SYSTEM, "no random numbers");
		goto fail;
	}
	if (make_folders(m->path, err) != 0 || mark_subfolder(m->path, err) != 0)
		goto fail;
	m->tmp_fd = maildir_open_folder(m->path, "tmp", err);
	if (m->tmp_fd < 0)
		goto fail;
	m->syncs_each = is_in_user_space(m->tmp_fd);
	m->new_fd = maildir_open_folder(m->path, "new", err);
	if (m->new_fd < 0)
		goto fail;
	return m;
fail:
	maildir_close(m);
	return NULL;
}

static void
forget_staged(struct maildir *m, bool remove)
{
	for (size_t i = 0; i < m->count; i++) {
		struct staged *s = &m->staged[i];

		if (s->fd >= 0)
			close(s->fd);
		s->name[s->unique_len] = '\0';
		if (remove)
			unlinkat(m->tmp_fd, s->name, 0);
		free(s->name);
	}
	m->count = 0;
}

static void
maildir_abandon(void *self)
{
	struct maildir *m = self;

	if (m->fd < 0)
		return;
	close(m->fd);
	m->fd = -1;
	unlinkat(m->tmp_fd, m->unique, 0);
}

static void
maildir_finish(void *self)
{
	struct maildir *m = self;

	/*
	 * Once prepared, the state may hold a `try` for each: then tmp/ is the proof of what was
	 * not published.
	 */
	forget_staged(m, !m->prepared);
	m->prepared = m->broken = false;
}

static void
maildir_close(void *self)
{
	struct maildir *m = self;

	maildir_abandon(m);
	maildir_finish(m);
	if (m->tmp_fd >= 0)
		close(m->tmp_fd);
	if (m->new_fd >= 0)
		close(m->new_fd);
	free(m->staged);
	free(m->path);
	free(m);
}

static int
maildir_begin(void *self, struct error *err)
{
	struct maildir *m = self;
	struct timeval now;

	assert(m->fd < 0 && !m->prepared);
	gettimeofday(&now, NULL);
	snprintf(m->unique, sizeof m->unique, "%lld.M%06ldP%dQ%lluR%016llxA%s.%s",
		(long long)now.tv_sec, (long)now.tv_usec, (int)getpid(),
		(unsigned long long)m->number++, (unsigned long long)m->random, m->owner, m->host);
	m->octets = m->lone_lf = 0;
	m->last = '\0';
	m->fd = openat(m->tmp_fd, m->unique, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (m->fd < 0)
		return error_set_errno(
			err, ERROR_CREATE, "cannot create '%s/tmp/%s'", m->path, m->unique);
	writeout_begin(&m->writeout, m->fd);
	return 0;
}

static int
maildir_write(void *self, const void *data, size_t len, struct error *err)
{
	struct maildir *m = self;
	const char *start = data, *p = start, *end = start + len;

	m->octets += len;
	while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		m->lone_lf += (p != start ? p[-1] : m->last) != '\r';
		p++;
	}
	if (len != 0)
		m->last = end[-1];
	if (file_write_all(m->fd, data, len, m->unique, err) != 0 ||
		writeout_advance(&m->writeout, len, m->unique, err) != 0)
		return error_prefix(err, "maildir '%s'", m->path);
	return 0;
}

/* The first few stay open for an fsync of their own; with more, syncfs serves all. */
static int
keep_or_close(struct maildir *m, struct staged *last, struct error *err)
{
	int result = 0;

	if (m->count <= FSYNC_EACH_MAX)
		return 0;
	if (m->count > FSYNC_EACH_MAX + 1) {
		int fd = last->fd;

		last->fd = -1;
		return file_close(fd, last->name, err);
	}
	for (size_t i = 0; i < m->count; i++) {
		struct staged *s = &m->staged[i];

		if (file_close(s->fd, s->name, err) != 0)
			result = -1;
		s->fd = -1;
	}
	return result;
}

static int
maildir_end(void *self, const char *sender, struct error *err)
{
	struct maildir *m = self;
	struct staged *s;

	(void)sender;
	if (m->syncs_each && fsync(m->fd) != 0) {
		error_set_errno(err, ERROR_WRITE, "cannot make '%s' durable", m->unique);
		maildir_abandon(m);
		return -1;
	}
	if (m->count == m->size) {
		m->size = m->size != 0 ? 2 * m->size : 64;
		m->staged = xreallocarray(m->staged, m->size, sizeof *m->staged);
	}
	s = &m->staged[m->count++];
	s->unique_len = strlen(m->unique);
	s->name = xasprintf("%s,S=%llu,W=%llu", m->unique, (unsigned long long)m->octets,
		(unsigned long long)(m->octets + m->lone_lf));
	s->fd = m->fd;
	s->published = false;
	m->fd = -1;
	if (keep_or_close(m, s, err) == 0)
		return 0;
	/* Whose octets were lost is not certain: none of the group may be published. */
	m->broken = true;
	m->count--;
	unlinkat(m->tmp_fd, m->unique, 0);
	free(s->name);
	return -1;
}

static int
sync_each(struct maildir *m, struct error *err)
{
	for (size_t i = 0; i < m->count; i++) {
		struct staged *s = &m->staged[i];
		int fd = s->fd;

		if (fsync(fd) != 0)
			return error_set_errno(
				err, ERROR_WRITE, "cannot make '%s' durable", s->name);
		s->fd = -1;
		if (file_close(fd, s->name, err) != 0)
			return -1;
	}
	return 0;
}

static int
maildir_prepare(void *self, struct error *err)
{
	struct maildir *m = self;

	if (m->broken)
		return error_set(err, ERROR_WRITE, "cannot write to '%s/tmp'", m->path);
	if (m->count <= FSYNC_EACH_MAX) {
		if (sync_each(m, err) != 0)
			return -1;
	} else if (syncfs(m->tmp_fd) != 0) {
		/*
		 * tmp_fd was opened before the writing, so it is told of every failed write since.
		 */
		return error_set_errno(err, ERROR_WRITE, "cannot make '%s/tmp' durable", m->path);
	}
	if (fsync(m->tmp_fd) != 0)
		return error_set_errno(err, ERROR_WRITE, "cannot make '%s/tmp' durable", m->path);
	m->prepared = true;
	return 0;
}

static const char *
maildir_token(void *self, size_t index)
{
	struct maildir *m = self;

	assert(index < m->count);
	return m->staged[index].name;
}

static int
maildir_publish(void *self, size_t index, struct error *err)
{
	struct maildir *m = self;
	struct staged *s = &m->staged[index];
	char unique[MAILDIR_UNIQUE_SIZE];

	assert(m->prepared && index < m->count && s->unique_len < sizeof unique);
	memcpy(unique, s->name, s->unique_len);
	unique[s->unique_len] = '\0';
	if (maildir_move_to_new(m->tmp_fd, m->new_fd, unique, s->name) != 0)
		return error_set_errno(err, errno == EEXIST ? ERROR_DELIVERY_TEMP : ERROR_WRITE,
			"cannot rename '%s/tmp/%s' to '%s/new/%s'", m->path, unique, m->path,
			s->name);
	s->published = true;
	return 0;
}

/*
 * A second fsync that succeeds would say nothing of names that the first one lost: they are
 * taken out of new/, so that the next start finds them in tmp/ and has them fetched again. One that
 * a reader has moved on in between is the reader's to make durable, and is found in cur/.
 */
static void
take_back(struct maildir *m, struct error *err)
{
	for (size_t i = 0; i < m->count; i++) {
		const struct staged *s = &m->staged[i];
		char unique[MAILDIR_UNIQUE_SIZE];

		memcpy(unique, s->name, s->unique_len);
		unique[s->unique_len] = '\0';
		if (s->published && renameat(m->new_fd, s->name, m->tmp_fd, unique) != 0 &&
			errno != ENOENT) {
			error_prefix(err, "cannot roll back");
			return;
		}
	}
}

static int
maildir_seal(void *self, struct error *err)
{
	struct maildir *m = self;

	if (fsync(m->new_fd) == 0)
		return 0;
	error_set_errno(err, ERROR_WRITE, "cannot make '%s/new' durable", m->path);
	take_back(m, err);
	return -1;
}

const struct dest_ops dest_maildir_ops = {
	.limits = {1000, 64 << 20, {2500, 256 << 20}},
	.open = maildir_open,
	.close = maildir_close,
	.begin = maildir_begin,
	.write = maildir_write,
	.end = maildir_end,
	.abandon = maildir_abandon,
	.prepare = maildir_prepare,
	.token = maildir_token,
	.publish = maildir_publish,
	.seal = maildir_seal,
	.finish = maildir_finish,
	.sweep = maildir_sweep,
	.recover = maildir_recover,
};
