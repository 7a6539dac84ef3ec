#include "auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <gnutls/crypto.h>

#include "util.h"

#define MD5_SIZE       16
#define MD5_HEX_SIZE   33
#define CRAM_CHALLENGE "<1896.697170952@postoffice.reston.mci.net>"

bool
auth_password(const struct script *script, const char *user, const char *password)
{
	return (script->any_user || strcmp(user, script->user) == 0) &&
		strcmp(password, script->password) == 0;
}

static void
to_hex(const unsigned char md5[static MD5_SIZE], char hex[static MD5_HEX_SIZE])
{
	for (size_t i = 0; i < MD5_SIZE; i++)
		snprintf(hex + 2 * i, 3, "%02x", md5[i]);
}

bool
auth_apop(const struct script *script, const char *user, const char *digest)
{
	struct bytes text = {NULL, 0, 0};
	unsigned char md5[MD5_SIZE];
	char hex[MD5_HEX_SIZE];

	bytes_add(&text, script->apop, strlen(script->apop));
	bytes_add(&text, script->password, strlen(script->password));
	if (gnutls_hash_fast(GNUTLS_DIG_MD5, text.data, text.len, md5) != 0)
		die("GnuTLS has no MD5");
	bytes_release(&text);
	to_hex(md5, hex);
	return (script->any_user || strcmp(user, script->user) == 0) && strcmp(digest, hex) == 0;
}

/* The decoded text, NUL-ended, NULL when it is no base64; freed by the caller. */
static char *
decode(const char *text, size_t *len_out)
{
	gnutls_datum_t in = {(unsigned char *)(uintptr_t)text, (unsigned)strlen(text)}, out;
	char *copy;

	if (strcmp(text, "=") == 0 || in.size == 0) {
		*len_out = 0;
		return copy_text("", 0);
	}
	if (gnutls_base64_decode2(&in, &out) != 0)
		return NULL;
	copy = copy_text((const char *)out.data, out.size);
	*len_out = out.size;
	gnutls_free(out.data);
	return copy;
}

/* Send a challenge, read the answer: AUTH_OK and its decoded text. */
static enum auth_result
ask(struct io *io, const char *challenge, char **answer_out, size_t *len_out)
{
	gnutls_datum_t in = {(unsigned char *)(uintptr_t)challenge, (unsigned)strlen(challenge)};
	gnutls_datum_t out = {NULL, 0};
	size_t len;
	char *line;

	if (in.size > 0 && gnutls_base64_encode2(&in, &out) != 0)
		die("GnuTLS cannot encode base64");
	io_line(io, "+ %.*s", (int)out.size, out.data != NULL ? (char *)out.data : "");
	gnutls_free(out.data);
	line = io_read_line(io, &len);
	if (strcmp(line, "*") == 0)
		return AUTH_CANCELLED;
	*answer_out = decode(line, len_out);
	return *answer_out != NULL ? AUTH_OK : AUTH_BROKEN;
}

static enum auth_result
run_plain(struct io *io, const struct script *script, const char *initial)
{
	enum auth_result result;
	const char *user, *password;
	char *message = NULL;
	size_t len = 0;

	if (initial == NULL) {
		result = ask(io, "", &message, &len);
	} else {
		message = decode(initial, &len);
		result = message != NULL ? AUTH_OK : AUTH_BROKEN;
	}
	if (result != AUTH_OK || message == NULL)
		return result;
	user = memchr(message, '\0', len);
	password = user != NULL ? memchr(user + 1, '\0', len - (size_t)(user + 1 - message)) : NULL;
	if (password == NULL)
		result = AUTH_BROKEN;
	else if (!auth_password(script, user + 1, password + 1))
		result = AUTH_REFUSED;
	free(message);
	return result;
}

static enum auth_result
run_login(struct io *io, const struct script *script, const char *initial)
{
	char *user = NULL, *password = NULL;
	enum auth_result result;
	size_t len;

	if (initial != NULL)
		result = (user = decode(initial, &len)) != NULL ? AUTH_OK : AUTH_BROKEN;
	else
		result = ask(io, "Username:", &user, &len);
	if (result == AUTH_OK)
		result = ask(io, "Password:", &password, &len);
	if (result == AUTH_OK && !auth_password(script, user, password))
		result = AUTH_REFUSED;
	free(user);
	free(password);
	return result;
}

static enum auth_result
run_cram_md5(struct io *io, const struct script *script, const char *initial)
{
	unsigned char md5[MD5_SIZE];
	char hex[MD5_HEX_SIZE], *answer, *space;
	enum auth_result result;
	size_t len;

	if (initial != NULL)
		return AUTH_BROKEN;
	result = ask(io, CRAM_CHALLENGE, &answer, &len);
	if (result != AUTH_OK)
		return result;
	if (gnutls_hmac_fast(GNUTLS_MAC_MD5, script->password, strlen(script->password),
		    CRAM_CHALLENGE, strlen(CRAM_CHALLENGE), md5) != 0)
		die("GnuTLS has no HMAC-MD5");
	to_hex(md5, hex);
	space = strrchr(answer, ' ');
	if (space == NULL) {
		result = AUTH_BROKEN;
	} else {
		*space = '\0';
		if ((!script->any_user && strcmp(answer, script->user) != 0) ||
			strcmp(space + 1, hex) != 0)
			result = AUTH_REFUSED;
	}
	free(answer);
	return result;
}

static const struct {
	const char *name;
	enum auth_result (*run)(struct io *io, const struct script *script, const char *initial);
} mechanisms[] = {
	{"PLAIN",    run_plain   },
	{"LOGIN",    run_login   },
	{"CRAM-MD5", run_cram_md5},
};

enum auth_result
auth_sasl(struct io *io, const struct script *script, const char *args)
{
	size_t len = strcspn(args, " ");
	/* The line is gone once the answer to a challenge is read. */
	char *initial = args[len] == ' ' ? copy_text(args + len + 1, strlen(args + len + 1)) : NULL;
	enum auth_result result = AUTH_UNKNOWN;

	for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++)
		if (strlen(mechanisms[i].name) == len &&
			strncasecmp(mechanisms[i].name, args, len) == 0)
			result = mechanisms[i].run(io, script, initial);
	free(initial);
	return result;
}
