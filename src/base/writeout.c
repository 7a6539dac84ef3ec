#include "base/writeout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>

void
writeout_begin(struct writeout *writeout, int fd)
{
	*writeout = (struct writeout){.fd = fd};
}

/* What cannot write a part of a file out is no disk that fails: it is left to fsync(2). */
static bool
is_unsupported(int error)
{
	return error == EINVAL || error == ESPIPE || error == ENOSYS || error == EPERM;
}

/* This call tells of itself only: the fate of octets stays with the descriptor. */
static int
begin_window(const struct writeout *writeout)
{
	int result;

	do
		result = sync_file_range(writeout->fd, (off_t)writeout->begun,
			(off_t)WRITEOUT_WINDOW, SYNC_FILE_RANGE_WRITE);
	while (result != 0 && errno == EINTR);
	return result;
}

/*
 * Whatever this one says is the fate of octets, also what looks like a call that is not supported:
 * it is the file system's own word, and no fsync(2) need repeat it.
 */
static int
end_window(const struct writeout *writeout, uint64_t from)
{
	if (sync_file_range(writeout->fd, (off_t)from, (off_t)WRITEOUT_WINDOW,
		    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
			    SYNC_FILE_RANGE_WAIT_AFTER) != 0)
		return -1;
	/* Only advice: it fails where there is no page cache. */
	(void)posix_fadvise(writeout->fd, (off_t)from, (off_t)WRITEOUT_WINDOW, POSIX_FADV_DONTNEED);
	return 0;
}

int
writeout_advance(struct writeout *writeout, size_t len, const char *what, struct error *err)
{
	writeout->end += len;
	for (; writeout->fd >= 0 && writeout->end - writeout->begun >= WRITEOUT_WINDOW;
		writeout->begun += WRITEOUT_WINDOW) {
		if (begin_window(writeout) != 0) {
			if (!is_unsupported(errno))
				goto fail;
			writeout->fd = -1;
		} else if (writeout->begun != 0 &&
			end_window(writeout, writeout->begun - WRITEOUT_WINDOW) != 0) {
			goto fail;
		}
	}
	return 0;
fail:
	return error_set_errno(err, ERROR_WRITE, "cannot write '%s' to the disk", what);
}
