#include "fetch/wire/tlskeys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/xalloc.h"

#define VARIABLE "SSLKEYLOGFILE"

static char *path;
static int file = -1;

void
tlskeys_prepare(void)
{
	const char *value = getenv(VARIABLE);

	if (value != NULL && *value != '\0' && log_is_on(LOG_LEVEL_WIRE) && path == NULL)
		path = xstrdup(value);
	unsetenv(VARIABLE);
}

/* Why keys must not go into this file, or NULL. */
static const char *
examine(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "it is not a regular file";
	if (st.st_uid != geteuid())
		return "it belongs to another user";
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return "other users have rights in it: chmod 600 it";
	return NULL;
}

void
tlskeys_open(void)
{
	const char *trouble;
	int fd;

	if (path == NULL || file >= 0)
		return;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	trouble = fd < 0 ? strerror(errno) : examine(fd);
	if (trouble == NULL) {
		file = fd;
		log_warn(VARIABLE ": the keys of this session go to '%s', and with them all that "
				  "is said in it, the password too",
			path);
		return;
	}
	log_warn(VARIABLE ": no keys are written, '%s' cannot be used: %s", path, trouble);
	if (fd >= 0)
		close(fd);
}

/* A line of NSS's format: the label, what the client has chosen for the session, the key. */
static int
write_key(gnutls_session_t session, const char *label, const gnutls_datum_t *key)
{
	gnutls_datum_t client = {0}, server;
	struct buf line = {0};
	size_t begin;
	ssize_t written;

	gnutls_session_get_random(session, &client, &server);
	/* At once: growing leaves keys behind. */
	(void)buf_reserve(&line, strlen(label) + 2 * ((size_t)client.size + key->size) + 16);
	buf_append_string(&line, label);
	buf_append_string(&line, " ");
	for (int part = 0; part < 2; part++) {
		const gnutls_datum_t *data = part == 0 ? &client : key;

		begin = 2 * (size_t)data->size + 1;
		hex_write(data->data, data->size, buf_reserve(&line, begin));
		buf_commit(&line, begin - 1);
		buf_append_string(&line, part == 0 ? " " : "\n");
	}
	written = write(file, buf_data(&line), line.len);
	secret_wipe(line.base, line.size);
	buf_release(&line);
	/* Whoever looks on can do without a key; the mail goes on. */
	if (written < 0)
		log_verbose(VARIABLE ": a key could not be written: %s", strerror(errno));
	return 0;
}

void
tlskeys_attach(gnutls_session_t session)
{
	if (file >= 0)
		gnutls_session_set_keylog_function(session, write_key);
}
