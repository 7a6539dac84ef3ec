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

/* Whether it was taken, and none has come since. */
static bool
is_wiped(const struct head *head, const struct secret *ticket)
{
	const unsigned char *octets = (const unsigned char *)head;
	unsigned found = 0;

	for (size_t i = 0; i < sizeof *head; i++)
		found |= octets[i];
	for (size_t i = 0; i < ticket->len; i++)
		found |= (unsigned char)ticket->data[i];
	return found == 0;
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
		if (is_wiped(&head, out)) {
			secret_release(out);
			return 0;
		}
		memcpy(born_out, head.born, sizeof head.born);
		make_head(&wanted, out, *born_out);
		if (memcmp(&head, &wanted, sizeof head) == 0)
			return 0;
	}
	secret_release(out);
	return error_set(err, ERROR_WRITE, "'%s' is damaged: not used", path);
}

/*
 * A ticket is good once. Its file stays, full of zeros: to make another one for each run costs more
 * than all the rest here.
 */
static int
wipe(int fd, const char *path)
{
	static const char zeros[sizeof(struct head) + LINK_TICKET_MAX];
	struct error ignored;
	struct stat st;

	if (fstat(fd, &st) != 0 || suspicion(&st) != NULL || lseek(fd, 0, SEEK_SET) != 0)
		return -1;
	return file_write_all(fd, zeros, (size_t)st.st_size, path, &ignored);
}

int
ticket_take(
	const char *dir, const char *name, struct secret *out, int64_t *born_out, struct error *err)
{
	char *path = xasprintf("%s/%s.ticket", dir, name);
	/* O_NONBLOCK: a FIFO of that name must not hold us. */
	int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	bool is_missing = fd < 0 && errno == ENOENT;
	int result = 0;

	if (fd >= 0)
		result = read_ticket(fd, path, out, born_out, err);
	else if (!is_missing)
		result = error_set_errno(err, ERROR_CREATE, "cannot open '%s'", path);
	/* What can be neither wiped nor removed would be offered for ever. */
	if (!is_missing && (fd < 0 || result != 0 || (secret_is_set(out) && wipe(fd, path) != 0)) &&
		unlink(path) != 0 && errno != ENOENT) {
		secret_release(out);
		result = error_set_errno(err, ERROR_WRITE, "cannot remove '%s'", path);
	}
	if (fd >= 0)
		close(fd);
	free(path);
	return result;
}

/* The file that ticket_take() has left, if it is one; else a new one. */
static int
open_own(const char *path, struct error *err)
{
	const int flags = O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
	int fd = open(path, flags);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && suspicion(&st) == NULL)
		return fd;
	if (fd >= 0)
		close(fd);
	if (unlink(path) != 0 && errno != ENOENT)
		return error_set_errno(err, ERROR_CREATE, "cannot remove '%s'", path);
	fd = open(path, flags | O_CREAT | O_EXCL, 0600);
	return fd >= 0 ? fd : error_set_errno(err, ERROR_CREATE, "cannot create '%s'", path);
}

int
ticket_keep(const char *dir, const char *name, const struct secret *ticket, int64_t born,
	struct error *err)
{
	char *path = xasprintf("%s/%s.ticket", dir, name);
	int fd = open_own(path, err), result = -1;
	struct secret whole = {0};
	struct error ignored;
	struct head head;

	if (fd >= 0) {
		make_head(&head, ticket, born);
		secret_make(&whole, sizeof head + ticket->len);
		memcpy(whole.data, &head, sizeof head);
		memcpy(whole.data + sizeof head, ticket->data, ticket->len);
		/* One call, so that a signal hardly ever leaves half of it. */
		result = file_write_all(fd, whole.data, whole.len, path, err);
		if (result == 0 && ftruncate(fd, (off_t)whole.len) != 0)
			result = error_set_errno(err, ERROR_WRITE, "cannot cut '%s'", path);
		secret_release(&whole);
		if (file_close(fd, path, result == 0 ? err : &ignored) != 0)
			result = -1;
		if (result != 0)
			(void)unlink(path);
	}
	free(path);
	return result;
}
