#include "deliver/state/statefile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "deliver/state/record.h"

/* How much is read and written at once. */
#define CHUNK_SIZE 262144

/* Names tried for a damaged file, should there be one of this second. */
#define ASIDE_TRIES 100

static int
open_regular(struct state_file *file, int flags, struct stat *st, struct error *err)
{
	/* O_NONBLOCK: a FIFO of that name must not hold us. */
	file->fd = open(file->path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	/*
	 * A link to what is not there, a disk that is not mounted perhaps, is no reason to begin
	 * from nothing.
	 */
	if (file->fd < 0 && errno == ENOENT && lstat(file->path, st) != 0)
		return 0;
	if (file->fd < 0 && errno == ENOENT)
		return error_set(err, ERROR_CREATE,
			"state file '%s' is a link to a file that is not there", file->path);
	if (file->fd < 0 && errno == EISDIR)
		return error_set(err, ERROR_CREATE,
			"state file '%s' is a folder: move it away, or set another state-dir",
			file->path);
	if (file->fd < 0)
		return error_set_errno(err, ERROR_CREATE,
			"cannot open state file '%s' (it must belong to the user who runs pophaul)",
			file->path);
	if (fstat(file->fd, st) != 0)
		return error_set_errno(
			err, ERROR_WRITE, "cannot examine state file '%s'", file->path);
	if (!S_ISREG(st->st_mode))
		return error_set(err, ERROR_CREATE,
			"state file '%s' is not a regular file: move it away, or set another state-dir",
			file->path);
	return 0;
}

int
state_file_open(struct state_file *file, const char *dir, const char *name, bool for_writing,
	off_t *size_out, struct error *err)
{
	struct stat st = {0};

	*file = (struct state_file){
		.dir = xstrdup(dir),
		.path = xasprintf("%s/%s.uidl", dir, name),
	};
	if (open_regular(file, for_writing ? O_RDWR | O_APPEND : O_RDONLY, &st, err) != 0)
		return -1;
	*size_out = st.st_size;
	return 0;
}

void
state_file_release(struct state_file *file)
{
	/* What counts was synced when it was written: closing has nothing to tell. */
	if (file->dir != NULL && file->fd >= 0)
		close(file->fd);
	buf_release(&file->text);
	free(file->dir);
	free(file->path);
	*file = (struct state_file){.fd = -1};
}

/* Read more. 1: something came; 0: the end of the file. */
static int
read_chunk(struct state_file *file, struct error *err)
{
	for (;;) {
		ssize_t n = read(file->fd, buf_reserve(&file->text, CHUNK_SIZE), CHUNK_SIZE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(
				err, ERROR_WRITE, "cannot read state file '%s'", file->path);
		buf_commit(&file->text, (size_t)n);
		return n != 0;
	}
}

static void
pass_line(struct state_file *file, size_t len)
{
	buf_consume(&file->text, len);
	file->end += (off_t)len;
}

int
state_file_next(struct state_file *file, char **line_out, size_t *len_out, struct error *err)
{
	bool is_long = false;
	size_t searched = 0;
	int more;

	pass_line(file, file->line_len);
	file->line_len = 0;
	for (;;) {
		char *text = buf_data(&file->text);
		char *newline = file->text.len != searched
			? memchr(text + searched, '\n', file->text.len - searched)
			: NULL;

		if (newline != NULL && !is_long) {
			*line_out = text;
			*len_out = (size_t)(newline - text);
			file->line_len = *len_out + 1;
			file->line++;
			return 1;
		}
		/* The rest of a line that is too long is passed by in pieces. */
		if (newline != NULL || file->text.len > RECORD_LINE_MAX) {
			file->has_long_line = true;
			file->line += newline != NULL;
			is_long = newline == NULL;
			pass_line(file,
				newline != NULL ? (size_t)(newline + 1 - text) : file->text.len);
			searched = 0;
			continue;
		}
		searched = file->text.len;
		more = read_chunk(file, err);
		if (more <= 0) {
			file->is_torn = file->text.len != 0;
			return more;
		}
	}
}

int
state_file_rewind(struct state_file *file, struct error *err)
{
	if (lseek(file->fd, 0, SEEK_SET) != 0)
		return error_set_errno(
			err, ERROR_WRITE, "cannot read state file '%s' again", file->path);
	buf_clear(&file->text);
	file->end = 0;
	file->line_len = file->line = 0;
	file->is_torn = file->has_long_line = false;
	return 0;
}

static char *
unfinished_name(const struct state_file *file)
{
	return xasprintf("%s.new", file->path);
}

int
state_file_cut(struct state_file *file, struct error *err)
{
	if (ftruncate(file->fd, file->end) != 0 || fdatasync(file->fd) != 0)
		return error_set_errno(err, ERROR_WRITE,
			"cannot cut off the torn end of state file '%s'", file->path);
	file->is_torn = false;
	return 0;
}

/*
 * What a failed sync leaves may be on the disk, and so be there again after a power cut that comes
 * before the cut is on the disk too: a `try` whose file in tmp/ was swept away meanwhile would
 * pass for delivered. So the cut is synced, or the next session, which sweeps, is told to
 * write the file anew first.
 */
static int
cut_back(struct state_file *file, struct error *err)
{
	char *mark;
	int fd;

	if (ftruncate(file->fd, file->end) == 0 && fdatasync(file->fd) == 0)
		return -1;
	error_prefix(err, "not even cut back");
	mark = unfinished_name(file);
	fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	free(mark);
	if (fd < 0)
		return error_prefix(err, "cannot even note it down");
	close(fd);
	return -1;
}

int
state_file_append(struct state_file *file, const struct buf *lines, struct error *err)
{
	if (file_write_all(file->fd, buf_data(lines), lines->len, file->path, err) == 0) {
		if (fdatasync(file->fd) == 0) {
			file->end += (off_t)lines->len;
			return 0;
		}
		error_set_errno(
			err, ERROR_WRITE, "cannot make state file '%s' durable", file->path);
	}
	/* Records that stay although they cannot be cut off are true: they tell what was done. */
	return cut_back(file, err);
}

static int
flush_writer(struct state_writer *writer, struct error *err)
{
	if (file_write_all(writer->file.fd, buf_data(&writer->text), writer->text.len,
		    writer->file.temporary, err) == 0) {
		buf_clear(&writer->text);
		return 0;
	}
	file_replace_abort(&writer->file);
	buf_release(&writer->text);
	return -1;
}

int
state_file_begin(struct state_file *file, struct state_writer *writer, struct error *err)
{
	*writer = (struct state_writer){.text = {0}};
	return file_replace_begin(&writer->file, file->path, 0600, err);
}

int
state_file_put(struct state_writer *writer, struct error *err)
{
	return writer->text.len < CHUNK_SIZE ? 0 : flush_writer(writer, err);
}

int
state_file_replace(struct state_file *file, struct state_writer *writer, struct error *err)
{
	off_t end;
	int fd;

	if (flush_writer(writer, err) != 0)
		return -1;
	buf_release(&writer->text);
	/*
	 * Our descriptor is made before the file has its name, so that nothing can fail behind the
	 * rename.
	 */
	fd = open(writer->file.temporary, O_RDWR | O_APPEND | O_CLOEXEC);
	end = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
	if (end < 0) {
		error_set_errno(err, ERROR_CREATE, "cannot open '%s'", writer->file.temporary);
		file_replace_abort(&writer->file);
	} else if (file_replace_commit(&writer->file, err) == 0) {
		if (file->fd >= 0)
			close(file->fd);
		file->fd = fd;
		file->end = end;
		file->is_torn = false;
		return 0;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

bool
state_file_is_doubtful(const struct state_file *file)
{
	char *unfinished = unfinished_name(file);
	bool is_there = access(unfinished, F_OK) == 0;

	free(unfinished);
	return is_there;
}

/* Where links are not to be had: a copy. */
static int
copy_aside(const struct state_file *file, const char *aside, struct error *err)
{
	int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct buf text = {0};
	int result = -1;
	off_t at = 0;

	if (fd < 0)
		return error_set_errno(err, ERROR_CREATE, "cannot create '%s'", aside);
	for (;;) {
		ssize_t n = pread(file->fd, buf_reserve(&text, CHUNK_SIZE), CHUNK_SIZE, at);

		if (n < 0)
			error_set_errno(err, ERROR_WRITE, "cannot read '%s'", file->path);
		if (n <= 0) {
			result = (int)n;
			break;
		}
		at += n;
		if (file_write_all(fd, buf_data(&text), (size_t)n, aside, err) != 0)
			break;
	}
	if (result == 0 && fsync(fd) != 0)
		result = error_set_errno(err, ERROR_WRITE, "cannot make '%s' durable", aside);
	buf_release(&text);
	if (result == 0)
		return file_close(fd, aside, err);
	close(fd);
	return -1;
}

int
state_file_keep_aside(struct state_file *file, char **aside_out, struct error *err)
{
	int64_t now = clock_wall_seconds();
	char *aside = xasprintf("%s.damaged-%" PRId64, file->path, now);

	for (int n = 1; n < ASIDE_TRIES && access(aside, F_OK) == 0; n++) {
		free(aside);
		aside = xasprintf("%s.damaged-%" PRId64 ".%d", file->path, now, n);
	}
	if ((link(file->path, aside) == 0 || copy_aside(file, aside, err) == 0) &&
		file_sync_dir(file->dir, err) == 0) {
		*aside_out = aside;
		return 0;
	}
	free(aside);
	return -1;
}
