#include "deliver/dest/mbox.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/xalloc.h"
#include "deliver/dest/mbox_file.h"
#include "deliver/dest/spool.h"

#define COPY_SIZE (256 * 1024)

static const char from_word[] = "From ";

struct staged {
	uint64_t start, len; /* in the spool: what follows the From_ line */
	struct mbox_place place;
	char *token;
};

struct mbox {
	const struct account *account;
	struct spool spool;
	struct staged *staged;
	size_t count, size;

	/* the message that is being written */
	uint64_t start;
	struct digest_state *digest;
	size_t matched; /* octets of "From " matched and held back */
	bool may_match; /* only '>' stand between here and the line's start */
	char last;      /* its last octet so far; '\n' when empty */

	/* the group that is being published */
	struct mbox_file file;
	uint64_t end;         /* where the file ends now */
	size_t missing;       /* line ends to put before the first message */
	bool broken;          /* an append failed: all that follow had other offsets */
	struct error failure; /* its reason */
};

static void mbox_close(void *self);

/* A slip of the pen in the configuration must not put mail behind somebody's notes. */
static int
check_content(int fd, const char *path, struct error *err)
{
	char start[sizeof from_word - 1];
	ssize_t n;

	do {
		n = pread(fd, start, sizeof start, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_set_errno(err, ERROR_WRITE, "cannot read mbox '%s'", path);
	if (n != 0 && (n != sizeof start || memcmp(start, from_word, sizeof start) != 0))
		return error_set(err, ERROR_CREATE,
			"'%s' is not an mbox: it does not begin with \"From \"", path);
	return 0;
}

/* Before any lock of ours: closing a file gives back all fcntl locks that its process has on it. */
static int
check_unlocked(const char *path, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int result;

	if (fd < 0)
		return error_set_errno(err, ERROR_CREATE, "cannot open mbox '%s'", path);
	result = check_content(fd, path, err);
	close(fd);
	return result;
}

static int
check_path(const char *path, struct error *err)
{
	const char *slash = strrchr(path, '/');
	struct stat st;
	char *folder;
	int result;

	if (stat(path, &st) == 0) {
		if (!S_ISREG(st.st_mode))
			return error_set(
				err, ERROR_CREATE, "mbox '%s' is not a regular file", path);
		return check_unlocked(path, err);
	}
	if (slash == NULL || slash == path)
		return 0;
	folder = xmemdup0(path, (size_t)(slash - path));
	if (stat(folder, &st) != 0)
		result = file_make_dirs(folder, 0700, err);
	else if (S_ISDIR(st.st_mode))
		result = 0;
	else
		result = error_set(err, ERROR_CREATE, "'%s' is not a folder", folder);
	free(folder);
	return result;
}

static void *
mbox_open(const struct account *account, int64_t owner, struct error *err)
{
	struct mbox *m;

	(void)owner;
	if (check_path(account->dest.path, err) != 0)
		return NULL;
	m = xcalloc(1, sizeof *m);
	m->account = account;
	m->file.fd = -1;
	m->digest = digest_new();
	if (spool_open(&m->spool, err) == 0)
		return m;
	mbox_close(m);
	return NULL;
}

static int
mbox_begin(void *self, struct error *err)
{
	struct mbox *m = self;

	(void)err;
	m->start = m->spool.len;
	m->matched = 0;
	m->may_match = true;
	m->last = '\n';
	return 0;
}

static int
put(struct mbox *m, const void *data, size_t len, struct error *err)
{
	digest_add(m->digest, data, len);
	return spool_write(&m->spool, data, len, err);
}

/* Let go of the held back start of "From ", which was not to be quoted. */
static int
put_matched(struct mbox *m, struct error *err)
{
	size_t matched = m->matched;

	m->matched = 0;
	return matched != 0 ? put(m, from_word, matched, err) : 0;
}

/* One octet at a line's start, behind '>'s or within "From ". */
static int
put_start(struct mbox *m, char octet, struct error *err)
{
	if (octet == '>' && m->matched == 0)
		return put(m, ">", 1, err);
	if (octet == from_word[m->matched]) {
		m->matched++;
		if (m->matched < sizeof from_word - 1)
			return 0;
		/* All '>' look the same, so the new one may as well stand behind the others. */
		m->may_match = false;
		return put(m, ">", 1, err) != 0 ? -1 : put_matched(m, err);
	}
	m->may_match = octet == '\n';
	return put_matched(m, err) != 0 ? -1 : put(m, &octet, 1, err);
}

static int
mbox_write(void *self, const void *data, size_t len, struct error *err)
{
	struct mbox *m = self;
	const char *p = data, *end = p + len;

	while (p < end) {
		const char *newline;
		size_t n;

		if (m->may_match) {
			if (put_start(m, *p++, err) != 0)
				return -1;
			continue;
		}
		newline = memchr(p, '\n', (size_t)(end - p));
		n = newline != NULL ? (size_t)(newline + 1 - p) : (size_t)(end - p);
		if (put(m, p, n, err) != 0)
			return -1;
		m->may_match = newline != NULL;
		p += n;
	}
	if (len > 0)
		m->last = end[-1];
	return 0;
}

static void
mbox_abandon(void *self)
{
	struct mbox *m = self;
	struct digest unused;
	struct error ignored;

	digest_finish(m->digest, &unused);
	/* Octets that cannot be cut stay as a gap in the spool that nobody reads. */
	if (spool_truncate(&m->spool, m->start, &ignored) != 0)
		m->start = m->spool.len;
}

static int
mbox_end(void *self, const char *sender, struct error *err)
{
	struct mbox *m = self;
	struct staged *s;

	if (put_matched(m, err) != 0 || (m->last != '\n' && put(m, "\n", 1, err) != 0) ||
		put(m, "\n", 1, err) != 0) {
		mbox_abandon(m);
		return -1;
	}
	if (m->count == m->size) {
		m->size = m->size != 0 ? 2 * m->size : 64;
		m->staged = xreallocarray(m->staged, m->size, sizeof *m->staged);
	}
	s = &m->staged[m->count++];
	*s = (struct staged){.start = m->start, .len = m->spool.len - m->start};
	digest_finish(m->digest, &s->place.digest);
	s->place.seconds = clock_wall_seconds();
	memcpy(s->place.sender, sender, strlen(sender) + 1);
	return 0;
}

static int
mbox_prepare(void *self, struct error *err)
{
	struct mbox *m = self;
	uint64_t offset;

	if (spool_flush(&m->spool, err) != 0)
		return -1;
	if (mbox_file_open(
		    &m->file, m->account->dest.path, m->account->lock_timeout_ms, true, err) != 0)
		return -1;
	/* It may be another file by now than the one that the session began with. */
	if (check_content(m->file.fd, m->file.path, err) != 0)
		return -1;
	if (mbox_file_missing_newlines(&m->file, &m->missing, err) != 0)
		return -1;
	m->end = m->file.size;
	m->broken = false;
	offset = m->end + m->missing;
	for (size_t i = 0; i < m->count; i++) {
		struct staged *s = &m->staged[i];
		char from[MBOX_FROM_SIZE];

		mbox_from_line(s->place.sender, s->place.seconds, from);
		s->place.offset = offset;
		s->place.len = strlen(from) + s->len;
		s->token = mbox_place_token(&s->place);
		offset += s->place.len;
	}
	return 0;
}

static const char *
mbox_token(void *self, size_t index)
{
	struct mbox *m = self;

	assert(index < m->count);
	return m->staged[index].token;
}

static int
append(struct mbox *m, const struct staged *s, struct error *err)
{
	const char *path = m->file.path;
	char from[MBOX_FROM_SIZE], *chunk;
	int result = 0;

	mbox_from_line(s->place.sender, s->place.seconds, from);
	if (lseek(m->file.fd, (off_t)m->end, SEEK_SET) < 0)
		return error_set_errno(err, ERROR_WRITE, "cannot append to mbox '%s'", path);
	if (file_write_all(m->file.fd, "\n\n", m->missing, path, err) != 0 ||
		file_write_all(m->file.fd, from, strlen(from), path, err) != 0)
		return -1;
	chunk = xcalloc(1, COPY_SIZE);
	for (uint64_t done = 0; result == 0 && done < s->len;) {
		size_t n = s->len - done < COPY_SIZE ? (size_t)(s->len - done) : COPY_SIZE;

		result = spool_read_at(&m->spool, s->start + done, chunk, n, err);
		if (result == 0)
			result = file_write_all(m->file.fd, chunk, n, path, err);
		done += n;
	}
	free(chunk);
	return result;
}

static int
mbox_publish(void *self, size_t index, struct error *err)
{
	struct mbox *m = self;
	const struct staged *s = &m->staged[index];

	assert(index < m->count && m->file.fd >= 0);
	dotlock_refresh(&m->file.dotlock);
	if (!m->broken && append(m, s, &m->failure) == 0) {
		m->end = s->place.offset + s->place.len;
		m->missing = 0;
		return 0;
	}
	/* Under the lock nobody else has written: what is behind `end` is ours alone. */
	if (!m->broken && ftruncate(m->file.fd, (off_t)m->end) != 0)
		error_prefix(&m->failure, "cannot roll back");
	m->broken = true;
	*err = m->failure;
	return -1;
}

static int
mbox_seal(void *self, struct error *err)
{
	struct mbox *m = self;

	if (fdatasync(m->file.fd) == 0)
		return 0;
	error_set_errno(err, ERROR_WRITE, "cannot make mbox '%s' durable", m->file.path);
	/* All of the group counts as failed and will come again. */
	if (ftruncate(m->file.fd, (off_t)m->file.size) != 0)
		error_prefix(err, "cannot roll back");
	return -1;
}

static void
mbox_finish(void *self)
{
	struct mbox *m = self;
	struct error ignored;

	mbox_file_close(&m->file);
	for (size_t i = 0; i < m->count; i++)
		free(m->staged[i].token);
	m->count = 0;
	/* Failing leaves old octets in the spool that nobody reads. */
	if (spool_truncate(&m->spool, 0, &ignored) != 0)
		m->start = m->spool.len;
}

static void
mbox_close(void *self)
{
	struct mbox *m = self;

	mbox_finish(m);
	spool_close(&m->spool);
	digest_free(m->digest);
	free(m->staged);
	free(m);
}

/* A session that died behind its last `got` has left nothing to recover but its lock. */
static void
mbox_sweep(void *self)
{
	const struct mbox *m = self;

	dotlock_sweep(m->account->dest.path);
}

static int
mbox_recover(const struct account *account, const char *path, struct dest_claim *claims,
	size_t count, struct error *err)
{
	struct mbox_file file;
	struct mbox_place place;
	int result = 0;

	if (mbox_file_open(&file, path, account->lock_timeout_ms, false, err) != 0)
		return -1;
	for (size_t i = 0; result == 0 && i < count; i++) {
		dotlock_refresh(&file.dotlock);
		if (mbox_place_parse(claims[i].token, &place))
			result = mbox_file_recover(&file, &place, &claims[i].delivered, err);
	}
	/* An append of the dead session may not be on the disk yet, and `got` will be. */
	if (result == 0 && file.fd >= 0 && fdatasync(file.fd) != 0)
		result = error_set_errno(err, ERROR_WRITE, "cannot make mbox '%s' durable", path);
	mbox_file_close(&file);
	return result;
}

const struct dest_ops dest_mbox_ops = {
	.limits = {1000, 64 << 20, {2500, 256 << 20}},
	.open = mbox_open,
	.close = mbox_close,
	.begin = mbox_begin,
	.write = mbox_write,
	.end = mbox_end,
	.abandon = mbox_abandon,
	.prepare = mbox_prepare,
	.token = mbox_token,
	.publish = mbox_publish,
	.seal = mbox_seal,
	.finish = mbox_finish,
	.sweep = mbox_sweep,
	.recover = mbox_recover,
};
