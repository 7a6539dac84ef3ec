#include "deliver/dest/mbox_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/stop.h"
#include "base/xalloc.h"

/* Pause between two tries for the fcntl lock, in milliseconds. */
#define RETRY_MS 100

#define READ_SIZE (256 * 1024)

/* Longer than any From_ line's address and day: what looks like a longer one is left alone. */
#define FROM_LINE_MAX 4096

static int
lock_whole(struct mbox_file *file, const char *path, int64_t deadline, struct error *err)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	while (fcntl(file->fd, F_SETLK, &whole) != 0) {
		if (errno == EINTR)
			continue;
		if (errno != EACCES && errno != EAGAIN)
			return error_set_errno(err, ERROR_CREATE, "cannot lock '%s'", path);
		if (clock_monotonic_ms() >= deadline || stop_is_requested())
			return error_set(
				err, ERROR_BUSY, "'%s' is locked by another program", path);
		dotlock_refresh(&file->dotlock);
		poll(NULL, 0, RETRY_MS);
	}
	return 0;
}

static int
open_existing(const char *path)
{
	/* O_NONBLOCK: a FIFO of that name must not hold us. */
	return open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static int
open_or_create(const char *path, bool create, struct error *err)
{
	int fd = open_existing(path);

	if (fd >= 0 || (errno == ENOENT && !create))
		return fd;
	if (errno == ENOENT) {
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd >= 0 && file_sync_parent(path, err) != 0) {
			close(fd);
			return -1;
		}
		if (fd < 0 && errno == EEXIST)
			fd = open_existing(path);
	}
	if (fd < 0)
		error_set_errno(err, ERROR_CREATE, "cannot open mbox '%s'", path);
	return fd;
}

/* Another program may have put a new file in place of the one that we waited for: ERROR_BUSY. */
static int
check_still_there(const struct mbox_file *file, struct stat *ours, struct error *err)
{
	struct stat there;
	bool is_there = stat(file->path, &there) == 0;

	if ((!is_there && errno != ENOENT) || fstat(file->fd, ours) != 0)
		return error_set_errno(err, ERROR_WRITE, "cannot examine mbox '%s'", file->path);
	if (!is_there || ours->st_ino != there.st_ino || ours->st_dev != there.st_dev)
		return error_set(
			err, ERROR_BUSY, "'%s' was replaced by another program", file->path);
	return 0;
}

int
mbox_file_open(struct mbox_file *file, const char *path, int64_t lock_timeout_ms, bool create,
	struct error *err)
{
	int64_t deadline = clock_monotonic_ms() + lock_timeout_ms;
	struct stat st;

	*file = (struct mbox_file){.fd = -1, .path = xstrdup(path)};
	if (!create && access(path, F_OK) != 0 && errno == ENOENT)
		return 0;
	if (dotlock_take(&file->dotlock, path, deadline, err) != 0)
		goto fail;
	file->fd = open_or_create(path, create, err);
	if (file->fd < 0 && !create && errno == ENOENT)
		return 0;
	if (file->fd < 0)
		goto fail;
	if (fstat(file->fd, &st) != 0) {
		error_set_errno(err, ERROR_WRITE, "cannot examine mbox '%s'", path);
		goto fail;
	}
	if (!S_ISREG(st.st_mode)) {
		error_set(err, ERROR_CREATE, "mbox '%s' is not a regular file", path);
		goto fail;
	}
	if (lock_whole(file, path, deadline, err) != 0)
		goto fail;
	if (check_still_there(file, &st, err) != 0)
		goto fail;
	file->size = (uint64_t)st.st_size;
	return 0;
fail:
	mbox_file_close(file);
	return -1;
}

void
mbox_file_close(struct mbox_file *file)
{
	/* What counts was flushed before; the close gives back the fcntl lock too. */
	if (file->fd >= 0)
		close(file->fd);
	dotlock_drop(&file->dotlock);
	free(file->path);
	*file = (struct mbox_file){.fd = -1};
}

/* As many of `len` octets from `offset` as the file has; -1: ERROR_WRITE. */
static ssize_t
read_at(const struct mbox_file *file, uint64_t offset, char *out, size_t len, struct error *err)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(file->fd, out + got, len - got, (off_t)(offset + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(
				err, ERROR_WRITE, "cannot read mbox '%s'", file->path);
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

int
mbox_file_missing_newlines(const struct mbox_file *file, size_t *count_out, struct error *err)
{
	size_t want = file->size < 2 ? (size_t)file->size : 2;
	char end[2] = "";

	if (read_at(file, file->size - want, end, want, err) < 0)
		return -1;
	*count_out = 0;
	if (want > 0 && end[want - 1] != '\n')
		*count_out = 2;
	else if (want == 2 && end[0] != '\n')
		*count_out = 1;
	return 0;
}

void
mbox_from_line(const char *sender, int64_t seconds, char out[static MBOX_FROM_SIZE])
{
	time_t when = (time_t)seconds;
	char date[32] = "Thu Jan  1 00:00:00 1970\n";
	struct tm tm;

	/* asctime_r() speaks English in every locale, and brings the line end. */
	if (gmtime_r(&when, &tm) != NULL && tm.tm_year < 8000)
		asctime_r(&tm, date);
	snprintf(out, MBOX_FROM_SIZE, "From %s %s", sender, date);
}

char *
mbox_place_token(const struct mbox_place *place)
{
	char hex[DIGEST_HEX_SIZE];

	digest_to_hex(&place->digest, hex);
	return xasprintf("%llu-%llu-%s-%lld-%s", (unsigned long long)place->offset,
		(unsigned long long)place->len, hex, (long long)place->seconds, place->sender);
}

static bool
parse_number(const char **text, uint64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)**text))
		return false;
	errno = 0;
	*out = strtoull(*text, &end, 10);
	if (errno != 0 || *end != '-' || *out > INT64_MAX)
		return false;
	*text = end + 1;
	return true;
}

bool
mbox_place_parse(const char *token, struct mbox_place *place)
{
	uint64_t seconds;
	size_t len;

	if (!parse_number(&token, &place->offset) || !parse_number(&token, &place->len))
		return false;
	len = strcspn(token, "-");
	if (token[len] != '-' || digest_from_hex(token, len, &place->digest) != 0)
		return false;
	token += len + 1;
	if (!parse_number(&token, &seconds))
		return false;
	place->seconds = (int64_t)seconds;
	len = strlen(token);
	if (len == 0 || len >= sizeof place->sender)
		return false;
	memcpy(place->sender, token, len + 1);
	return true;
}

static int
compare_digest(const struct mbox_file *file, const struct mbox_place *place, size_t from_len,
	bool *same_out, struct error *err)
{
	struct digest_state *state = digest_new();
	char *chunk = xcalloc(1, READ_SIZE);
	uint64_t at = place->offset + from_len, end = place->offset + place->len;
	struct digest digest;
	int result = 0;

	while (at < end) {
		size_t want = end - at < READ_SIZE ? (size_t)(end - at) : READ_SIZE;
		ssize_t n = read_at(file, at, chunk, want, err);

		if (n <= 0) {
			result = n < 0 ? -1 : 0;
			break;
		}
		digest_add(state, chunk, (size_t)n);
		at += (uint64_t)n;
	}
	digest_finish(state, &digest);
	*same_out = at == end && memcmp(&digest, &place->digest, sizeof digest) == 0;
	digest_free(state);
	free(chunk);
	return result;
}

/*
 * Whether "From " at `p` has the look of another From_ line: a word, then a weekday.
 * When there is less behind it than that takes: `when_cut`.
 */
static bool
looks_like_from_line(const char *p, const char *end, bool when_cut)
{
	static const char days[] = "Sun Mon Tue Wed Thu Fri Sat ";
	char day[5] = "";

	p += 5;
	while (p < end && !isspace((unsigned char)*p))
		p++;
	while (p < end && *p == ' ')
		p++;
	if (end - p < 4)
		return when_cut;
	memcpy(day, p, 4);
	return isalpha((unsigned char)day[0]) && strstr(days, day) != NULL;
}

/*
 * Whether one begins in the octets from `from` to `to` of a chunk of `len`, which has `from` octets
 * of before.
 */
static bool
begins_other_message(const char *chunk, size_t len, size_t from, size_t to)
{
	const char *p = chunk + from, *end = chunk + len;
	/* At the file's end nobody's message is cut off within its first line. */
	bool is_last = to == len;

	if (from >= to)
		return false;
	while ((p = memmem(p, (size_t)(end - p), "From ", 5)) != NULL && p < chunk + to) {
		bool is_quoted = p > chunk && p[-1] == '>';

		if (!is_quoted && looks_like_from_line(p, end, !is_last))
			return true;
		p += 5;
	}
	return false;
}

/*
 * Whether the octets from `at`, behind our From_ line, hold the start of another
 * message: a program that appended behind our torn end need not have begun a new
 * line. Our own lines of that look have a '>' before them.
 */
static int
find_other_message(const struct mbox_file *file, uint64_t at, bool *found_out, struct error *err)
{
	char *chunk = xcalloc(1, READ_SIZE);
	size_t len, from = 0, to;
	ssize_t n;

	*found_out = false;
	do {
		n = read_at(file, at, chunk, READ_SIZE, err);
		len = n > 0 ? (size_t)n : 0;
		to = len < READ_SIZE ? len : len - FROM_LINE_MAX;
		*found_out = begins_other_message(chunk, len, from, to);
		/* The next begins with the last octet that was searched, which may be a '>'. */
		from = 1;
		at += to - 1;
	} while (!*found_out && len == READ_SIZE);
	free(chunk);
	return n < 0 ? -1 : 0;
}

static int
cut_torn_end(struct mbox_file *file, const struct mbox_place *place, struct error *err)
{
	char from[MBOX_FROM_SIZE], there[MBOX_FROM_SIZE];
	uint64_t tail = file->size - place->offset;
	bool is_other = false;
	size_t len;
	ssize_t n;

	mbox_from_line(place->sender, place->seconds, from);
	len = strlen(from) < tail ? strlen(from) : (size_t)tail;
	n = read_at(file, place->offset, there, len, err);
	if (n < 0)
		return -1;
	if ((size_t)n != len || memcmp(there, from, len) != 0)
		return 0;
	if (find_other_message(file, place->offset + len, &is_other, err) != 0)
		return -1;
	if (is_other)
		return 0;
	if (ftruncate(file->fd, (off_t)place->offset) != 0 || fdatasync(file->fd) != 0)
		return error_set_errno(
			err, ERROR_WRITE, "cannot cut a torn end off mbox '%s'", file->path);
	file->size = place->offset;
	return 0;
}

int
mbox_file_recover(struct mbox_file *file, const struct mbox_place *place, bool *delivered_out,
	struct error *err)
{
	char from[MBOX_FROM_SIZE], there[MBOX_FROM_SIZE];
	size_t from_len;
	ssize_t n;

	*delivered_out = false;
	mbox_from_line(place->sender, place->seconds, from);
	from_len = strlen(from);
	if (file->fd < 0 || place->len < from_len || file->size <= place->offset)
		return 0;
	if (file->size - place->offset < place->len)
		return cut_torn_end(file, place, err);
	n = read_at(file, place->offset, there, from_len, err);
	if (n < 0)
		return -1;
	if ((size_t)n != from_len || memcmp(there, from, from_len) != 0)
		return 0;
	return compare_digest(file, place, from_len, delivered_out, err);
}
