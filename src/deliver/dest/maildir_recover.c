#include "deliver/dest/maildir_recover.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "deliver/dest/maildir.h"

/* Seconds by which a clock may be set back without making a young name doubtful. */
#define CLOCK_STEP_MAX 3600

#define MICROSECONDS INT64_C(1000000) /* in a second */

int
maildir_open_folder(const char *path, const char *part, struct error *err)
{
	char *folder = xasprintf("%s/%s", path, part);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		error_set_errno(err, ERROR_CREATE, "cannot open folder '%s'", folder);
	free(folder);
	return fd;
}

DIR *
maildir_list_folder(int fd)
{
	/* A duplicate would share the place in the list with the descriptor that we keep. */
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = own >= 0 ? fdopendir(own) : NULL;

	if (dir == NULL && own >= 0)
		close(own);
	return dir;
}

/* renameat2(2) without overwriting; musl has had no function for it for long. */
static int
rename_no_replace(int from_fd, const char *from, int to_fd, const char *to)
{
	return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, RENAME_NOREPLACE);
}

int
maildir_move_to_new(int tmp_fd, int new_fd, const char *from, const char *to)
{
	if (rename_no_replace(tmp_fd, from, new_fd, to) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* A file system without RENAME_NOREPLACE: a link never overwrites either. */
	if (linkat(tmp_fd, from, new_fd, to, 0) != 0)
		return -1;
	unlinkat(tmp_fd, from, 0);
	return 0;
}

struct recovery {
	const char *path;
	int tmp_fd, new_fd, cur_fd;
	int64_t born; /* when tmp/ was made, in microseconds; 0: the file system does not tell */
	bool *in_cur; /* one a claim */
	bool has_looked_in_cur;
};

/* The octets of a token before its ','; 0 for a token that is not ours. */
static size_t
unique_length(const char *token)
{
	size_t len = strcspn(token, ",");

	if (token[len] != ',' || len == 0 || len >= MAILDIR_UNIQUE_SIZE || token[0] == '.' ||
		strchr(token, '/') != NULL)
		return 0;
	return len;
}

static int
compare_claims(const void *a, const void *b)
{
	const struct dest_claim *const *x = a, *const *y = b;

	return strcmp((*x)->token, (*y)->token);
}

/* Readers append flags (":2,S") to the name when they move it from new/ to cur/. */
static int
look_in_cur(struct recovery *r, struct dest_claim *claims, size_t count, struct error *err)
{
	struct dest_claim **sorted = xcalloc(count, sizeof *sorted);
	DIR *dir = maildir_list_folder(r->cur_fd);
	const struct dirent *entry;

	for (size_t i = 0; i < count; i++)
		sorted[i] = &claims[i];
	qsort(sorted, count, sizeof *sorted, compare_claims);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		char *name = xmemdup0(entry->d_name, strcspn(entry->d_name, ":"));
		struct dest_claim wanted = {.token = name}, *key = &wanted, **hit;

		hit = bsearch(&key, sorted, count, sizeof *sorted, compare_claims);
		if (hit != NULL)
			r->in_cur[*hit - claims] = true;
		free(name);
	}
	free(sorted);
	if (dir == NULL)
		return error_set_errno(err, ERROR_WRITE, "cannot read folder '%s/cur'", r->path);
	closedir(dir);
	r->has_looked_in_cur = true;
	return 0;
}

static bool
is_young(const char *token)
{
	long long made = strtoll(token, NULL, 10);
	long long age = clock_wall_seconds() - made;

	/* A clock that was set back far tells nothing about the age. */
	return age > -CLOCK_STEP_MAX && age < MAILDIR_TMP_SECONDS;
}

static int64_t
folder_born(int fd)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &st) != 0 || !(st.stx_mask & STATX_BTIME))
		return 0;
	return (int64_t)st.stx_btime.tv_sec * MICROSECONDS + st.stx_btime.tv_nsec / 1000;
}

/*
 * Whether tmp/ is another than the one that the name was made in: that it is not there says nothing
 * then.
 */
static bool
is_older_than_folder(const struct recovery *r, const char *token)
{
	char *end;
	long long seconds = strtoll(token, &end, 10), microseconds;

	/* A token of a damaged state may hold anything. */
	if (strncmp(end, ".M", 2) != 0 || seconds < 0 || seconds > UINT32_MAX)
		return false;
	microseconds = strtoll(end + 2, NULL, 10);
	return microseconds >= 0 && microseconds < MICROSECONDS &&
		r->born > seconds * MICROSECONDS + microseconds;
}

/* See the table in maildir.h. */
static int
recover_claim(
	struct recovery *r, struct dest_claim *claims, size_t count, size_t i, struct error *err)
{
	const char *token = claims[i].token;
	size_t unique_len = unique_length(token);
	char unique[MAILDIR_UNIQUE_SIZE];
	struct stat st;
	bool in_tmp;

	if (unique_len == 0)
		return 0;
	memcpy(unique, token, unique_len);
	unique[unique_len] = '\0';
	in_tmp = fstatat(r->tmp_fd, unique, &st, AT_SYMLINK_NOFOLLOW) == 0;
	/* "Cannot tell" must never pass for "not there", which may mean delivered. */
	if (!in_tmp && errno != ENOENT)
		return error_set_errno(
			err, ERROR_WRITE, "cannot examine '%s/tmp/%s'", r->path, unique);
	claims[i].delivered = fstatat(r->new_fd, token, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (!claims[i].delivered && !in_tmp && !claims[i].must_be_found && is_young(token) &&
		!is_older_than_folder(r, token)) {
		claims[i].delivered = true;
		return 0;
	}
	if (!claims[i].delivered) {
		if (!r->has_looked_in_cur && look_in_cur(r, claims, count, err) != 0)
			return -1;
		claims[i].delivered = r->in_cur[i];
	}
	return 0;
}

static bool
is_missing(const char *path)
{
	char *tmp = xasprintf("%s/tmp", path);
	struct stat st;
	bool missing = stat(tmp, &st) != 0 && (errno == ENOENT || errno == ENOTDIR);

	free(tmp);
	return missing;
}

int
maildir_recover(const struct account *account, const char *path, struct dest_claim *claims,
	size_t count, struct error *err)
{
	struct recovery r = {.path = path, .new_fd = -1, .cur_fd = -1};
	int result = -1;

	(void)account;
	if (is_missing(path))
		return 0;
	r.tmp_fd = maildir_open_folder(path, "tmp", err);
	if (r.tmp_fd < 0)
		return -1;
	r.born = folder_born(r.tmp_fd);
	r.in_cur = xcalloc(count, sizeof *r.in_cur);
	r.new_fd = maildir_open_folder(path, "new", err);
	if (r.new_fd < 0)
		goto out;
	r.cur_fd = maildir_open_folder(path, "cur", err);
	if (r.cur_fd < 0)
		goto out;
	for (size_t i = 0; i < count; i++) {
		if (recover_claim(&r, claims, count, i, err) != 0)
			goto out;
	}
	/* A rename of the dead session may not be on the disk yet, and `got` will be. */
	if (fsync(r.new_fd) != 0 || fsync(r.cur_fd) != 0) {
		error_set_errno(err, ERROR_WRITE, "cannot make '%s' durable", path);
		goto out;
	}
	result = 0;
out:
	if (r.cur_fd >= 0)
		close(r.cur_fd);
	if (r.new_fd >= 0)
		close(r.new_fd);
	close(r.tmp_fd);
	free(r.in_cur);
	return result;
}
