#include "deliver/dest/dotlock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
#include "base/stop.h"
#include "base/xalloc.h"

/* Pause between two tries, in milliseconds. */
#define RETRY_MS 100

/* A lock that we hold long looks alive to others when it is touched so often. */
#define REFRESH_MS (30 * 1000)

/* Room for "PID:HOST\n". */
#define OWNER_SIZE (HOST_NAME_MAX + 32)

/*
 * Whose lock it is, "PID:HOST" as Dovecot writes it: a number alone means nothing to another
 * machine.
 */
static void
name_owner(char out[static OWNER_SIZE])
{
	char host[HOST_NAME_MAX + 1] = "";

	/* Without a name the host stays empty, and a host of no name is nobody's. */
	if (gethostname(host, sizeof host - 1) != 0)
		host[0] = '\0';
	snprintf(out, OWNER_SIZE, "%d:%s\n", (int)getpid(), host);
}

/* -1 with errno: why it could not be created, 0 when it could not be written. */
static int
write_owner(const char *path, struct error *err)
{
	char owner[OWNER_SIZE];
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	int result;

	if (fd < 0) {
		int saved = errno;

		error_set_errno(err, ERROR_CREATE, "cannot create lock file '%s'", path);
		errno = saved;
		return -1;
	}
	name_owner(owner);
	result = file_write_all(fd, owner, strlen(owner), path, err);
	if (file_close(fd, path, err) != 0)
		result = -1;
	if (result != 0)
		unlink(path);
	errno = 0;
	return result;
}

/*
 * With a file that has no name until it is the lock: dying here leaves nothing behind. As
 * try_once(); -1 also where there are no such files (NFS): what else is wrong try_named() meets
 * again, and tells.
 */
static int
try_unnamed(const char *lock_path, time_t *now_out)
{
	char owner[OWNER_SIZE], self[sizeof "/proc/self/fd/" + 3 * sizeof(int)];
	const char *slash = strrchr(lock_path, '/');
	char *folder = xmemdup0(lock_path, slash != NULL ? (size_t)(slash + 1 - lock_path) : 0);
	int fd = open(*folder != '\0' ? folder : ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0644);
	struct error ignored;
	struct stat st;
	int result = -1;

	free(folder);
	if (fd < 0)
		return -1;
	name_owner(owner);
	snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
	if (file_write_all(fd, owner, strlen(owner), lock_path, &ignored) == 0 &&
		fstat(fd, &st) == 0) {
		*now_out = st.st_mtime;
		if (linkat(AT_FDCWD, self, AT_FDCWD, lock_path, AT_SYMLINK_FOLLOW) == 0)
			result = 1;
		else if (errno == EEXIST)
			result = 0;
	}
	if (file_close(fd, lock_path, &ignored) != 0 && result > 0) {
		unlink(lock_path);
		result = -1;
	}
	return result;
}

/* With a file of a name of our own, linked to the lock's. As try_once(). */
static int
try_named(const char *lock_path, time_t *now_out, struct error *err)
{
	char *own = xasprintf("%s.%d.%lld", lock_path, (int)getpid(), (long long)time(NULL));
	struct stat st = {.st_mtime = time(NULL)};
	int result = -1, reason;

	if (write_owner(own, err) != 0) {
		/* The same process number on another machine, in the same second. */
		reason = errno;
		result = reason == EEXIST ? 0 : -1;
		goto out;
	}
	reason = link(own, lock_path) == 0 ? 0 : errno;
	/* Over NFS the reply to link() may be lost: the link count tells the truth. */
	if ((stat(own, &st) == 0 && st.st_nlink == 2) || reason == 0)
		result = 1;
	else if (reason == EEXIST)
		result = 0;
	unlink(own);
	if (result >= 0)
		goto out;
	/* No hard links here, then there is no NFS either: O_EXCL is enough. */
	if (write_owner(lock_path, err) == 0)
		result = 1;
	else if (errno == EEXIST)
		result = 0;
	reason = errno;
out:
	*now_out = st.st_mtime;
	free(own);
	errno = reason;
	return result;
}

/*
 * 1: made; 0: somebody has it; -1 with errno as of write_owner(). *now_out is the
 * time by the clock of the file system, which on NFS is not ours.
 */
static int
try_once(const char *lock_path, time_t *now_out, struct error *err)
{
	int result = try_unnamed(lock_path, now_out);

	return result >= 0 ? result : try_named(lock_path, now_out, err);
}

/* Whether the text of a lock names a process of this machine that has ended. */
static bool
names_dead_process(const char *owner)
{
	char ours[OWNER_SIZE], *end;
	long pid;

	errno = 0;
	pid = strtol(owner, &end, 10);
	if (errno != 0 || pid <= 0 || pid > INT32_MAX || *end != ':')
		return false;
	name_owner(ours);
	/* A number of another machine, or of one that is not named, says nothing here. */
	owner = strchr(ours, ':');
	assert(owner != NULL);
	owner++;
	if (*owner == '\n' || strcspn(end + 1, "\n") != strcspn(owner, "\n") ||
		strncmp(end + 1, owner, strcspn(owner, "\n")) != 0)
		return false;
	return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

static bool
is_stale(const char *lock_path, time_t now, struct stat *st)
{
	char text[OWNER_SIZE] = "";
	int fd = open(lock_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	bool stale = false;

	if (fd < 0)
		return false;
	if (fstat(fd, st) == 0 && S_ISREG(st->st_mode))
		stale = now - st->st_mtime > DOTLOCK_STALE_SECONDS ||
			(read(fd, text, sizeof text - 1) > 0 && names_dead_process(text));
	close(fd);
	return stale;
}

static void
remove_stale(const char *lock_path, time_t now)
{
	struct stat seen, there;

	/* It may have been replaced by a living one since we read it. */
	if (is_stale(lock_path, now, &seen) && lstat(lock_path, &there) == 0 &&
		there.st_ino == seen.st_ino && there.st_dev == seen.st_dev &&
		there.st_mtim.tv_sec == seen.st_mtim.tv_sec &&
		there.st_mtim.tv_nsec == seen.st_mtim.tv_nsec)
		unlink(lock_path);
}

int
dotlock_take(struct dotlock *lock, const char *path, int64_t deadline, struct error *err)
{
	char *lock_path = xasprintf("%s.lock", path);
	struct error why;
	bool permitted;
	time_t now;
	int made;

	*lock = (struct dotlock){0};
	while ((made = try_once(lock_path, &now, &why)) == 0 && clock_monotonic_ms() < deadline &&
		!stop_is_requested()) {
		remove_stale(lock_path, now);
		poll(NULL, 0, RETRY_MS);
	}
	if (made > 0) {
		*lock = (struct dotlock){.path = lock_path, .touched_ms = clock_monotonic_ms()};
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
dotlock_refresh(struct dotlock *lock)
{
	int64_t now = clock_monotonic_ms();

	if (lock->path == NULL || now - lock->touched_ms < REFRESH_MS)
		return;
	/* The fcntl lock goes on to hold where this fails. */
	utimensat(AT_FDCWD, lock->path, NULL, AT_SYMLINK_NOFOLLOW);
	lock->touched_ms = now;
}

void
dotlock_drop(struct dotlock *lock)
{
	if (lock->path == NULL)
		return;
	/*
	 * Tried again: left behind, it would keep even our next group out for as long as we live.
	 */
	if (unlink(lock->path) != 0 && errno != ENOENT)
		unlink(lock->path);
	free(lock->path);
	*lock = (struct dotlock){0};
}

void
dotlock_sweep(const char *path)
{
	char *lock_path = xasprintf("%s.lock", path);

	/* By a clock at its beginning no lock is too old. */
	remove_stale(lock_path, 0);
	free(lock_path);
}
