#include "deliver/state/ticket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/xalloc.h"
#include "link/link.h"

#define MAGIC "pophaul-ticket 2\n"

/* Octets only: no room between them. */
struct head {
	char magic[sizeof MAGIC - 1];
	uint8_t digest[DIGEST_SIZE]; /* of what follows */
	uint8_t born[sizeof(int64_t)];
};

static void
make_head(struct head *head, const struct secret *ticket, int64_t born)
{
	struct digest_state *state = digest_new();
	struct digest digest;

	memcpy(head->magic, MAGIC, sizeof head->magic);
	memcpy(head->born, &born, sizeof head->born);
	digest_add(state, head->born, sizeof head->born);
	digest_add(state, ticket->data, ticket->len);
	digest_finish(state, &digest);
	digest_free(state);
	memcpy(head->digest, digest.bytes, sizeof head->digest);
}

/* Why a file of this kind cannot be a ticket that we have written; NULL: it can. */
static const char *
suspicion(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "is not a regular file";
	if (st->st_uid != geteuid())
		return "belongs to another user";
	if ((st->st_mode & (S_IRWXG | S_IRWXO)) != 0 || st->st_nlink != 1)
		return "could be read by others";
	if (st->st_size <= (off_t)sizeof(struct head) ||
		st->st_size > (off_t)(sizeof(struct head) + LINK_TICKET_MAX))
		return "has a size that no ticket has";
	return NULL;
}

static int
read_ticket(int fd, const char *path, struct secret *out, int64_t *born_out, struct error *err)
{
	struct head head, wanted;
	const char *why;
	struct stat st;

	if (fstat(fd, &st) != 0)
		return error_set_errno(err, ERROR_WRITE, "cannot examine '%s'", path);
	why = suspicion(&st);
	if (why != NULL)
		return error_set(err, ERROR_WRITE, "'%s' %s: not used", path, why);
	secret_make(out, (size_t)st.st_size - sizeof head);
	if (file_read_exactly(fd, &head, sizeof head, path, err) == 0 &&
		file_read_exactly(fd, out->data, out->len, path, err) == 0) {
		memcpy(born_out, head.born, sizeof head.born);
		make_head(&wanted, out, *born_out);
		if (memcmp(&head, &wanted, sizeof head) == 0)
			return 0;
	}
	secret_release(out);
	return error_set(err, ERROR_WRITE, "'%s' is damaged: not used", path);
}

int
ticket_take(
	const char *dir, const char *name, struct secret *out, int64_t *born_out, struct error *err)
{
	char *path = xasprintf("%s/%s.ticket", dir, name);
	/* O_NONBLOCK: a FIFO of that name must not hold us. */
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int result = 0;

	if (fd >= 0)
		result = read_ticket(fd, path, out, born_out, err);
	else if (errno != ENOENT)
		result = error_set_errno(err, ERROR_CREATE, "cannot open '%s'", path);
	if (fd >= 0)
		close(fd);
	/* Good once; and what cannot be removed would be offered for ever. */
	if ((fd >= 0 || result != 0) && unlink(path) != 0 && errno != ENOENT) {
		secret_release(out);
		result = error_set_errno(err, ERROR_WRITE, "cannot remove '%s'", path);
	}
	free(path);
	return result;
}

static int
write_ticket(const char *path, const struct secret *ticket, int64_t born, struct error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct head head;

	if (fd < 0)
		return error_set_errno(err, ERROR_CREATE, "cannot create '%s'", path);
	make_head(&head, ticket, born);
	if (file_write_all(fd, &head, sizeof head, path, err) != 0 ||
		file_write_all(fd, ticket->data, ticket->len, path, err) != 0) {
		close(fd);
		return -1;
	}
	return file_close(fd, path, err);
}

int
ticket_keep(const char *dir, const char *name, const struct secret *ticket, int64_t born,
	struct error *err)
{
	char *path = xasprintf("%s/%s.ticket", dir, name);
	char *temporary = xasprintf("%s.new", path);
	int result = -1;

	/* A dead session's. */
	if (unlink(temporary) != 0 && errno != ENOENT)
		error_set_errno(err, ERROR_CREATE, "cannot remove '%s'", temporary);
	else
		result = write_ticket(temporary, ticket, born, err);
	if (result == 0 && rename(temporary, path) != 0)
		result = error_set_errno(
			err, ERROR_WRITE, "cannot rename '%s' to '%s'", temporary, path);
	if (result != 0)
		(void)unlink(temporary);
	free(temporary);
	free(path);
	return result;
}
