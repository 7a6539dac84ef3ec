#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/xalloc.h"

/* As many symbolic links as the kernel follows in one path. */
#define LINKS_MAX 40

int
file_write_all(int fd, const void *data, size_t len, const char *what, struct error *err)
{
	const char *p = data;

	while (len != 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, ERROR_WRITE, "cannot write '%s'", what);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int
file_read_exactly(int fd, void *data, size_t len, const char *what, struct error *err)
{
	char *p = data;

	while (len != 0) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int why = n < 0 ? errno : 0;

			if (n < 0)
				error_set_errno(err, ERROR_WRITE, "cannot read '%s'", what);
			else
				error_set(err, ERROR_WRITE, "'%s' has ended too early", what);
			errno = why;
			return -1;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int
file_close(int fd, const char *what, struct error *err)
{
	/* On Linux the descriptor is gone after EINTR too; the data's fate is fsync's to tell. */
	if (fd >= 0 && close(fd) != 0 && errno != EINTR)
		return error_set_errno(err, ERROR_WRITE, "cannot close '%s'", what);
	return 0;
}

/* What one read(2) takes of a file. */
#define READ_SIZE 65536

static int
read_all(int fd, size_t max, struct buf *out, const char *path, struct error *err)
{
	size_t total = 0;
	ssize_t n;

	for (;;) {
		n = read(fd, buf_reserve(out, READ_SIZE), READ_SIZE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, ERROR_WRITE, "cannot read '%s'", path);
		if (n == 0)
			return 0;
		buf_commit(out, (size_t)n);
		total += (size_t)n;
		if (total > max)
			return error_set(
				err, ERROR_WRITE, "'%s' is bigger than %zu octets", path, max);
	}
}

int
file_read_whole(const char *path, size_t max, struct buf *out, struct stat *st, struct error *err)
{
	struct stat own;
	int fd, result = -1;

	if (st == NULL)
		st = &own;
	/* O_NONBLOCK: a FIFO of that name must not hold us. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		int saved = errno;

		error_set_errno(err, ERROR_CREATE, "cannot open '%s'", path);
		errno = saved;
		return -1;
	}
	if (fstat(fd, st) != 0)
		error_set_errno(err, ERROR_WRITE, "cannot examine '%s'", path);
	else if (S_ISDIR(st->st_mode))
		error_set(err, ERROR_WRITE, "'%s' is a folder, not a file", path);
	else if (!S_ISREG(st->st_mode))
		error_set(err, ERROR_WRITE, "'%s' is not a regular file", path);
	else {
		/* At once: a buffer that grows leaves a copy behind, perhaps of a private key. */
		if ((size_t)st->st_size <= max)
			(void)buf_reserve(out, (size_t)st->st_size + READ_SIZE);
		result = read_all(fd, max, out, path, err);
	}
	close(fd);
	errno = 0;
	return result;
}

int
file_sync_dir(const char *path, struct error *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = 0;

	if (fd < 0)
		return error_set_errno(err, ERROR_WRITE, "cannot open folder '%s'", path);
	if (fsync(fd) != 0)
		result = error_set_errno(err, ERROR_WRITE, "cannot make folder '%s' durable", path);
	close(fd);
	return result;
}

int
file_sync_parent(const char *path, struct error *err)
{
	char *parent = xstrdup(path), *slash = strrchr(parent, '/');
	int result;

	if (slash == NULL) {
		result = file_sync_dir(".", err);
	} else {
		slash[slash == parent ? 1 : 0] = '\0';
		result = file_sync_dir(parent, err);
	}
	free(parent);
	return result;
}

int
file_make_dirs(const char *path, mode_t mode, struct error *err)
{
	char *part = xstrdup(path);
	size_t len = strlen(part);
	int result = 0;

	while (len > 1 && part[len - 1] == '/')
		part[--len] = '\0';
	for (char *p = part + 1; result == 0; p++) {
		char saved = *p;

		if (saved != '/' && saved != '\0')
			continue;
		*p = '\0';
		if (mkdir(part, mode) == 0) {
			result = file_sync_parent(part, err);
			/* Left there, it would pass for one that was made durable. */
			if (result != 0)
				rmdir(part);
		} else if (errno != EEXIST) {
			result = error_set_errno(
				err, ERROR_CREATE, "cannot create folder '%s'", part);
		}
		*p = saved;
		if (saved == '\0')
			break;
	}
	free(part);
	return result;
}

int
file_replace_begin(struct file_replacement *r, const char *path, mode_t mode, struct error *err)
{
	r->path = xstrdup(path);
	r->temporary = xasprintf("%s.new", path);
	r->fd = -1;
	if (unlink(r->temporary) != 0 && errno != ENOENT)
		error_set_errno(err, ERROR_CREATE, "cannot remove '%s'", r->temporary);
	else if ((r->fd = open(r->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)) < 0)
		error_set_errno(err, ERROR_CREATE, "cannot create '%s'", r->temporary);
	if (r->fd >= 0)
		return 0;
	file_replace_abort(r);
	return -1;
}

int
file_replace_commit(struct file_replacement *r, struct error *err)
{
	int fd = r->fd, result = -1;

	if (fsync(fd) != 0) {
		error_set_errno(err, ERROR_WRITE, "cannot make '%s' durable", r->temporary);
		goto out;
	}
	r->fd = -1;
	if (file_close(fd, r->temporary, err) != 0)
		goto out;
	if (rename(r->temporary, r->path) != 0) {
		error_set_errno(
			err, ERROR_WRITE, "cannot rename '%s' to '%s'", r->temporary, r->path);
		goto out;
	}
	/* Renamed: nothing of the temporary name is left to remove. */
	result = file_sync_parent(r->path, err);
	if (result != 0 && link(r->path, r->temporary) != 0)
		error_prefix(err, "cannot even note it down");
	free(r->temporary);
	r->temporary = NULL;
out:
	file_replace_abort(r);
	return result;
}

void
file_replace_abort(struct file_replacement *r)
{
	if (r->fd >= 0)
		close(r->fd);
	if (r->temporary != NULL)
		unlink(r->temporary);
	free(r->temporary);
	free(r->path);
	*r = (struct file_replacement){.fd = -1};
}

static void
close_range_of(unsigned first, unsigned last)
{
	long limit = sysconf(_SC_OPEN_MAX);

	if (first > last || syscall(SYS_close_range, first, last, 0U) == 0)
		return;
	/* A kernel before 5.9. */
	for (unsigned fd = first; fd <= last && (long)fd < limit; fd++)
		close((int)fd);
}

void
file_close_others(int keep)
{
	unsigned first = STDERR_FILENO + 1;

	if (keep > STDERR_FILENO) {
		close_range_of(first, (unsigned)keep - 1);
		first = (unsigned)keep + 1;
	}
	close_range_of(first, ~0U);
}

bool
file_stop_hearing_terminal(void)
{
	unsigned before, now;
	bool is_done = false;
	int fd;

	if (isatty(STDERR_FILENO) == 0 || ioctl(STDERR_FILENO, TIOCGDEV, &before) != 0)
		return isatty(STDERR_FILENO) == 0;
	/* A line that waits for its carrier must not hold us. */
	fd = open("/proc/self/fd/2", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return false;
	/* The other end of a pseudo-terminal would be that of a new one. */
	if (ioctl(fd, TIOCGDEV, &now) == 0 && now == before && fcntl(fd, F_SETFL, 0) == 0)
		is_done = dup2(fd, STDERR_FILENO) >= 0;
	close(fd);
	return is_done;
}

int
file_lock(const char *path, struct error *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return error_set_errno(err, ERROR_CREATE, "cannot open lock file '%s'", path);
	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EINTR)
			continue;
		if (errno == EWOULDBLOCK)
			error_set(err, ERROR_BUSY,
				"another pophaul is working on this account ('%s')", path);
		else
			error_set_errno(err, ERROR_CREATE, "cannot lock '%s'", path);
		close(fd);
		return -1;
	}
	return fd;
}

/* Of file_set_home(). */
static char *others_home;

void
file_set_home(const char *home)
{
	free(others_home);
	others_home = home != NULL ? xstrdup(home) : NULL;
}

/*
 * In a folder like /tmp nobody can rename or remove what is root's; a link's own mode says nothing.
 */
static bool
is_roots_alone(const struct stat *st)
{
	if (st->st_uid != 0)
		return false;
	return S_ISLNK(st->st_mode) || (st->st_mode & (S_IWGRP | S_IWOTH)) == 0 ||
		(S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX) != 0);
}

/*
 * Whether all that the path passes is root's, as far as the first symbolic link: *link_out is the
 * length of the path up to its end, 0 when there is none.
 */
static bool
walk_in_roots_hands(char *path, size_t *link_out)
{
	struct stat st;

	*link_out = 0;
	for (char *end = path + 1;; end++) {
		char saved = *end;
		bool is_good;

		if (saved != '/' && saved != '\0')
			continue;
		*end = '\0';
		is_good = lstat(path, &st) == 0 && is_roots_alone(&st);
		*end = saved;
		if (!is_good)
			return false;
		if (S_ISLNK(st.st_mode))
			*link_out = (size_t)(end - path);
		if (saved == '\0' || *link_out != 0)
			return true;
	}
}

/*
 * The path with the link that ends at `len` replaced by what stands in it; NULL: it cannot be read.
 */
static char *
follow_link(const char *path, size_t len)
{
	char *link = xasprintf("%.*s", (int)len, path), *followed = NULL;
	char target[PATH_MAX];
	ssize_t n = readlink(link, target, sizeof target);
	int folder_len = (int)(strrchr(link, '/') - link);

	if (n > 0 && (size_t)n < sizeof target)
		followed = *target == '/'
			? xasprintf("%.*s%s", (int)n, target, path + len)
			: xasprintf("%.*s/%.*s%s", folder_len, link, (int)n, target, path + len);
	free(link);
	return followed;
}

bool
file_is_in_roots_hands(const char *path)
{
	bool is_roots = *path == '/';
	char *at = xstrdup(path);
	size_t link = 0;

	for (int links = 0; is_roots && (is_roots = walk_in_roots_hands(at, &link)) && link != 0;
		links++) {
		char *next = links < LINKS_MAX ? follow_link(at, link) : NULL;

		free(at);
		at = next;
		is_roots = next != NULL;
	}
	free(at);
	return is_roots;
}

const char *
file_home(void)
{
	const char *home = getenv("HOME");
	const struct passwd *entry;

	if (others_home != NULL)
		return others_home;
	if (home != NULL && *home == '/')
		return home;
	entry = getpwuid(geteuid());
	return entry != NULL ? entry->pw_dir : NULL;
}

char *
file_expand_home(const char *path)
{
	const char *home;

	if (path[0] != '~' || (path[1] != '\0' && path[1] != '/'))
		return xstrdup(path);
	home = file_home();
	return home != NULL ? xasprintf("%s%s", home, path + 1) : xstrdup(path);
}
