#include "deliver/dest/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/xalloc.h"

/* What errors call it: it has no name. */
#define SPOOL_NAME "spool"

/* Small writes are gathered up to here. */
#define QUEUE_MAX (64 * 1024)

#define COPY_SIZE (256 * 1024)

static int
open_memory(struct error *err)
{
	int fd = memfd_create("pophaul-spool", MFD_CLOEXEC);

	if (fd < 0)
		return error_set_errno(err, ERROR_SYSTEM, "cannot make a spool in memory");
	return fd;
}

static int
open_in(const char *folder)
{
	char *name;
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	/* A file system without nameless files: one with a name for a moment. */
	name = xasprintf("%s/pophaul-spool-XXXXXX", folder);
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		unlink(name);
	free(name);
	return fd;
}

static int
open_on_disk(struct error *err)
{
	const char *folders[] = {getenv("TMPDIR"), "/var/tmp", "/tmp"};
	int fd = -1;

	for (size_t i = 0; fd < 0 && i < sizeof folders / sizeof *folders; i++) {
		if (folders[i] != NULL && folders[i][0] == '/')
			fd = open_in(folders[i]);
	}
	if (fd < 0)
		return error_set_errno(err, ERROR_CREATE, "cannot make a spool file");
	return fd;
}

int
spool_open(struct spool *spool, struct error *err)
{
	*spool = (struct spool){.fd = open_memory(err)};
	return spool->fd < 0 ? -1 : 0;
}

/* At its offset, wherever a write that failed has left the descriptor. */
static int
write_at(int fd, uint64_t offset, const char *data, size_t len, struct error *err)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, data, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, ERROR_WRITE, "cannot write '%s'", SPOOL_NAME);
		data += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int
copy_to(const struct spool *spool, uint64_t len, int fd, struct error *err)
{
	char *chunk = xcalloc(1, COPY_SIZE);
	int result = 0;

	for (uint64_t done = 0; result == 0 && done < len;) {
		size_t n = len - done < COPY_SIZE ? (size_t)(len - done) : COPY_SIZE;

		result = spool_read_at(spool, done, chunk, n, err);
		if (result == 0)
			result = write_at(fd, done, chunk, n, err);
		done += n;
	}
	free(chunk);
	return result;
}

static int
move_to_disk(struct spool *spool, uint64_t written, struct error *err)
{
	int fd = open_on_disk(err);

	if (fd < 0)
		return -1;
	if (copy_to(spool, written, fd, err) != 0) {
		close(fd);
		return -1;
	}
	close(spool->fd);
	spool->fd = fd;
	spool->on_disk = true;
	return 0;
}

int
spool_flush(struct spool *spool, struct error *err)
{
	size_t len = spool->queued.len;

	if (len == 0)
		return 0;
	if (!spool->on_disk && spool->len > SPOOL_MEMORY_MAX &&
		move_to_disk(spool, spool->len - len, err) != 0)
		return -1;
	if (write_at(spool->fd, spool->len - len, buf_data(&spool->queued), len, err) != 0)
		return -1;
	buf_clear(&spool->queued);
	return 0;
}

int
spool_write(struct spool *spool, const void *data, size_t len, struct error *err)
{
	buf_append(&spool->queued, data, len);
	spool->len += len;
	return spool->queued.len < QUEUE_MAX ? 0 : spool_flush(spool, err);
}

int
spool_read_at(const struct spool *spool, uint64_t offset, void *out, size_t len, struct error *err)
{
	char *p = out;

	while (len > 0) {
		ssize_t n = pread(spool->fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, ERROR_WRITE, "cannot read the spool");
		if (n == 0)
			return error_set(err, ERROR_WRITE, "the spool is shorter than written");
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int
spool_truncate(struct spool *spool, uint64_t len, struct error *err)
{
	/* What was not written yet is dropped without ever being written. */
	uint64_t written = spool->len - spool->queued.len;

	if (len >= written) {
		spool->queued.len = (size_t)(len - written);
		spool->len = len;
		return 0;
	}
	buf_clear(&spool->queued);
	/* Until they are gone, the octets are there, and what follows stands behind them. */
	spool->len = written;
	if (len == 0 && spool->on_disk) {
		int fd = open_memory(err);

		if (fd < 0)
			return -1;
		close(spool->fd);
		spool->fd = fd;
		spool->on_disk = false;
	} else if (ftruncate(spool->fd, (off_t)len) != 0) {
		return error_set_errno(err, ERROR_WRITE, "cannot cut the spool");
	}
	spool->len = len;
	return 0;
}

int
spool_rewind(struct spool *spool, struct error *err)
{
	if (lseek(spool->fd, 0, SEEK_SET) < 0)
		return error_set_errno(err, ERROR_WRITE, "cannot rewind the spool");
	return 0;
}

void
spool_close(struct spool *spool)
{
	/* Nothing of it is to survive, so its close has nothing to tell. */
	if (spool->fd >= 0)
		close(spool->fd);
	buf_release(&spool->queued);
	*spool = (struct spool){.fd = -1};
}
