#include "base/writeout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>

void
writeout_begin(struct writeout *writeout, int fd, uint64_t offset)
{
	*writeout = (struct writeout){.fd = fd, .end = offset, .begun = offset, .first = offset};
}

/* What cannot write a part of a file out is no disk that fails: it is left to fsync(2). */
static bool
is_unsupported(int error)
{
	return error == EINVAL || error == ESPIPE || error == ENOSYS || error == EPERM;
}

static int
write_out(const struct writeout *writeout, uint64_t from, unsigned flags)
{
	int result;

	do
		result = sync_file_range(writeout->fd, (off_t)from, (off_t)WRITEOUT_WINDOW, flags);
	while (result != 0 && errno == EINTR);
	return result == 0 || is_unsupported(errno) ? 0 : -1;
}

int
writeout_advance(struct writeout *writeout, size_t len, const char *what, struct error *err)
{
	writeout->end += len;
	for (; writeout->end - writeout->begun >= WRITEOUT_WINDOW;
		writeout->begun += WRITEOUT_WINDOW) {
		uint64_t before = writeout->begun - WRITEOUT_WINDOW;

		if (write_out(writeout, writeout->begun, SYNC_FILE_RANGE_WRITE) != 0)
			goto fail;
		if (writeout->begun - writeout->first < WRITEOUT_WINDOW)
			continue;
		if (write_out(writeout, before,
			    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
				    SYNC_FILE_RANGE_WAIT_AFTER) != 0)
			goto fail;
		/* Only advice: it fails where there is no page cache. */
		(void)posix_fadvise(
			writeout->fd, (off_t)before, (off_t)WRITEOUT_WINDOW, POSIX_FADV_DONTNEED);
	}
	return 0;
fail:
	return error_set_errno(err, ERROR_WRITE, "cannot write '%s' to the disk", what);
}
