#include "fetch/wire/tlsown.h"

#include <gnutls/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/quote.h"
#include "base/secret.h"
#include "base/xalloc.h"
#include "fetch/wire/tlstrust.h"

/* A chain of long certificates, and as much again. */
#define FILE_SIZE_MAX ((size_t)1024 * 1024)

static bool
is_url(const char *location)
{
	return gnutls_url_is_supported(location) != 0;
}

/* The URL of a token without what may be its PIN. */
static const char *
show_location(const char *location, char out[static QUOTE_SIZE])
{
	return quote_bytes(out, location, strcspn(location, "?"));
}

/* GnuTLS tells of no file which it was that failed, nor why. */
static int
check_readable(const char *option, const char *path, struct error *err)
{
	char quoted[QUOTE_SIZE];

	if (is_url(path) || access(path, R_OK) == 0)
		return 0;
	return error_set_errno(err, ERROR_CONFIG, "%s '%s' cannot be read", option,
		quote_bytes(quoted, path, strlen(path)));
}

static int
check_private(const char *option, const char *path, struct error *err)
{
	char quoted[QUOTE_SIZE];
	struct stat st;

	if (is_url(path) || (stat(path, &st) == 0 && (st.st_mode & S_IRWXO) == 0))
		return 0;
	return error_set(err, ERROR_CONFIG,
		"%s '%s' has to hold the key, and other users can reach it: chmod o= it", option,
		quote_bytes(quoted, path, strlen(path)));
}

/*
 * A place in the form that p11-kit knows: it takes the file that holds a PIN for a path, where RFC
 * 7512 section 2.4 has an URL. The caller frees, and wipes: it may have a PIN in it.
 */
static char *
make_location(const char *location)
{
	static const char SOURCE[] = "pin-source=", SCHEME[] = "file:";
	char *out = xstrdup(location), *source, *rest;

	if (!is_url(location) || (source = strstr(out, SOURCE)) == NULL)
		return out;
	source += strlen(SOURCE);
	if (strncasecmp(source, SCHEME, strlen(SCHEME)) != 0)
		return out;
	rest = source + strlen(SCHEME);
	if (strncmp(rest, "///", 3) == 0)
		rest += 2;
	memmove(source, rest, strlen(rest) + 1);
	return out;
}

static void
free_location(char *location)
{
	secret_wipe(location, strlen(location));
	free(location);
}

static int
refuse_key(const struct account *account, const char *key, int code, struct error *err)
{
	char cert_shown[QUOTE_SIZE], key_shown[QUOTE_SIZE], what[ERROR_TEXT_MAX / 2];
	const char *option = account->tls_key != NULL ? "tls-key" : "tls-cert";

	show_location(account->tls_cert, cert_shown);
	show_location(key, key_shown);
	switch (code) {
	case GNUTLS_E_DECRYPTION_FAILED:
		return error_set(err, ERROR_CONFIG,
			"the key in %s '%s' is encrypted, and there is nobody to ask for its "
			"password: decrypt it with 'openssl pkey', and let nobody else read it",
			option, key_shown);
	case GNUTLS_E_PKCS11_REQUESTED_OBJECT_NOT_AVAILBLE:
		return error_set(err, ERROR_CONFIG,
			"no PKCS#11 token that is here has what tls-cert '%s', %s '%s' name: "
			"'p11tool --list-tokens' shows those that are",
			cert_shown, option, key_shown);
	case GNUTLS_E_PKCS11_PIN_ERROR:
		return error_set(err, ERROR_CONFIG,
			"tls-cert '%s', %s '%s': the token's PIN is neither in pin-value nor, by "
			"pin-source, in a file; or it is another",
			cert_shown, option, key_shown);
	case GNUTLS_E_CERTIFICATE_KEY_MISMATCH:
		return error_set(err, ERROR_CONFIG,
			"tls-cert '%s' is not the certificate of the key in %s '%s'", cert_shown,
			option, key_shown);
	case GNUTLS_E_BASE64_DECODING_ERROR:
	case GNUTLS_E_BASE64_UNEXPECTED_HEADER_ERROR:
	case GNUTLS_E_NO_CERTIFICATE_FOUND:
	case GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE:
		return error_set(err, ERROR_CONFIG,
			"there is no certificate in tls-cert '%s', or no key in %s '%s', in PEM "
			"format",
			cert_shown, option, key_shown);
	default:
		snprintf(what, sizeof what, "tls-cert '%.80s', %s '%.80s'", cert_shown, option,
			key_shown);
		tlstrust_library_error(err, what, code);
		err->class = ERROR_CONFIG;
		return -1;
	}
}

/* Root would show a server that it has a key which the user of run-as has only made a link to. */
static int
check_whose(
	const struct account *account, const char *path, const struct stat *st, struct error *err)
{
	uid_t uid = account->run_as.uid;

	if (account->run_as.name == NULL || uid == 0 || geteuid() != 0 || st->st_uid == uid ||
		(st->st_uid == 0 && file_is_in_roots_hands(path)))
		return 0;
	return error_set(err, ERROR_CONFIG,
		st->st_uid == 0 ? "'%s' is root's, on a path that others can change"
				: "'%s' belongs neither to the user of run-as nor to root",
		path);
}

/* Its room is reserved at once, for a growing buffer leaves copies of a key behind. */
static int
read_file(const struct account *account, const char *option, const char *path, struct buf *out,
	struct error *err)
{
	struct stat st;

	(void)buf_reserve(out, FILE_SIZE_MAX + (size_t)2 * 65536);
	if (file_read_whole(path, FILE_SIZE_MAX, out, &st, err) == 0 &&
		check_whose(account, path, &st, err) == 0)
		return 0;
	err->class = ERROR_CONFIG;
	return error_prefix(err, "%s", option);
}

static void
release_file(struct buf *text)
{
	if (text->base != NULL)
		secret_wipe(text->base, text->size);
	buf_release(text);
}

/* GnuTLS itself would read a device to its end. -1: `err`; else *code_out is the library's. */
static int
load_files(const struct account *account, const char *key, const char *option,
	gnutls_certificate_credentials_t credentials, int *code_out, struct error *err)
{
	struct buf cert_text = {0}, key_text = {0};
	gnutls_datum_t cert_data, key_data;
	int result = -1;

	if (read_file(account, "tls-cert", account->tls_cert, &cert_text, err) == 0 &&
		read_file(account, option, key, &key_text, err) == 0) {
		cert_data.data = (unsigned char *)buf_data(&cert_text);
		cert_data.size = (unsigned)cert_text.len;
		key_data.data = (unsigned char *)buf_data(&key_text);
		key_data.size = (unsigned)key_text.len;
		*code_out = gnutls_certificate_set_x509_key_mem2(credentials, &cert_data, &key_data,
			GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN);
		result = 0;
	}
	release_file(&cert_text);
	release_file(&key_text);
	return result;
}

/* At least one of them is an object of a token. */
static int
load_from_token(const char *cert, const char *key, gnutls_certificate_credentials_t credentials)
{
	char *cert_place = make_location(cert), *key_place = make_location(key);
	int code = gnutls_certificate_set_x509_key_file2(
		credentials, cert_place, key_place, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN);

	free_location(cert_place);
	free_location(key_place);
	return code;
}

int
tlsown_load(const struct account *account, gnutls_certificate_credentials_t credentials,
	struct error *err)
{
	const char *key = account->tls_key != NULL ? account->tls_key : account->tls_cert;
	const char *option = account->tls_key != NULL ? "tls-key" : "tls-cert";
	int code;

	if (account->tls_cert == NULL)
		return 0;
	if (check_readable("tls-cert", account->tls_cert, err) != 0 ||
		check_readable(option, key, err) != 0)
		return -1;
	if (is_url(account->tls_cert) || is_url(key))
		code = load_from_token(account->tls_cert, key, credentials);
	else if (load_files(account, key, option, credentials, &code, err) != 0)
		return -1;
	return code >= 0 ? check_private(option, key, err) : refuse_key(account, key, code, err);
}
