#include "deliver/dotlock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/xalloc.h"

/* Pause between two tries, in milliseconds. */
#define RETRY_MS 100

static int
write_pid(const char *path, struct error *err)
{
	char text[32];
	int len = snprintf(text, sizeof text, "%d\n", (int)getpid());
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	int result;

	if (fd < 0) {
		int saved = errno;

		error_set_errno(err, ERROR_CREATE, "cannot create lock file '%s'", path);
		errno = saved;
		return -1;
	}
	result = file_write_all(fd, text, (size_t)len, path, err);
	if (file_close(fd, path, err) != 0)
		result = -1;
	if (result != 0)
		unlink(path);
	errno = 0;
	return result;
}

/* 1: made; 0: somebody has it; -1 and errno (0 when the disk is full or the like). */
static int
try_once(const char *lock_path, struct error *err)
{
	char *own = xasprintf("%s.%d.%lld", lock_path, (int)getpid(), (long long)time(NULL));
	struct stat st;
	int result = -1, saved;

	if (write_pid(own, err) != 0)
		goto out;
	/* Over NFS the reply to link() may be lost: the link count tells the truth. */
	if (link(own, lock_path) == 0 || (stat(own, &st) == 0 && st.st_nlink == 2))
		result = 1;
	else if (access(lock_path, F_OK) == 0)
		result = 0;
	saved = errno;
	unlink(own);
	/* No hard links here, then there is no NFS either: O_EXCL is enough. */
	if (result < 0 && write_pid(lock_path, err) == 0)
		result = 1;
	else if (result < 0)
		result = errno == EEXIST || saved == EEXIST ? 0 : -1;
out:
	saved = errno;
	free(own);
	errno = saved;
	return result;
}

static bool
is_stale(const char *lock_path, struct stat *st)
{
	char text[32] = "";
	int fd = open(lock_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	ssize_t n = -1;
	bool stale = false;
	long pid;

	if (fd < 0)
		return false;
	if (fstat(fd, st) == 0 && S_ISREG(st->st_mode)) {
		n = read(fd, text, sizeof text - 1);
		stale = time(NULL) - st->st_mtime > DOTLOCK_STALE_SECONDS;
	}
	close(fd);
	/* Some programs write no number, or 0: then the age alone decides. */
	pid = n > 0 ? strtol(text, NULL, 10) : 0;
	if (pid > 0 && pid < INT32_MAX && kill((pid_t)pid, 0) != 0 && errno == ESRCH)
		stale = true;
	return stale;
}

static void
remove_stale(const char *lock_path)
{
	struct stat seen, now;

	/* It may have been replaced by a living one since we read it. */
	if (is_stale(lock_path, &seen) && lstat(lock_path, &now) == 0 &&
		now.st_ino == seen.st_ino && now.st_dev == seen.st_dev &&
		now.st_mtim.tv_sec == seen.st_mtim.tv_sec &&
		now.st_mtim.tv_nsec == seen.st_mtim.tv_nsec)
		unlink(lock_path);
}

int
dotlock_take(struct dotlock *lock, const char *path, int64_t deadline, struct error *err)
{
	char *lock_path = xasprintf("%s.lock", path);
	struct error why;
	bool permitted;
	int made;

	lock->path = NULL;
	while ((made = try_once(lock_path, &why)) == 0 && clock_monotonic_ms() < deadline) {
		remove_stale(lock_path);
		poll(NULL, 0, RETRY_MS);
	}
	if (made > 0) {
		lock->path = lock_path;
		return 0;
	}
	permitted = made == 0 || (errno != EACCES && errno != EPERM && errno != EROFS);
	if (made == 0)
		error_set(err, ERROR_BUSY, "'%s' is locked by another program ('%s')", path,
			lock_path);
	else if (permitted)
		*err = why;
	free(lock_path);
	return permitted ? -1 : 0;
}

void
dotlock_drop(struct dotlock *lock)
{
	if (lock->path == NULL)
		return;
	unlink(lock->path);
	free(lock->path);
	lock->path = NULL;
}
