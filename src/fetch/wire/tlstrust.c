#include "fetch/wire/tlstrust.h"

#include <assert.h>
#include <errno.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/quote.h"
#include "base/xalloc.h"
#include "fetch/wire/net.h"
#include "fetch/wire/tlscert.h"
#include "fetch/wire/tlsown.h"

/*
 * TLS 1.2 at least (RFC 8997), and no RSA-1024 and its like. The administrator's
 * /etc/gnutls/config stays in force. An account's own string stands between both halves: it may ask
 * for more than the profile, and for no version or cipher that is not safe.
 */
#define PRIORITY_FIRST "-VERS-TLS1.1:-VERS-TLS1.0:%PROFILE_MEDIUM"
#define PRIORITY_LAST  ":-VERS-TLS1.1:-VERS-TLS1.0:-VERS-SSL3.0:-NULL:-ARCFOUR-128:-MD5"

/* GnuTLS passes over what is behind the 128th word of a string, without a word about it. */
#define WORDS_MAX 64

/* Public authorities' lists have up to 10 MB and more. */
#define CRL_FILE_MAX ((size_t)256 * 1024 * 1024)

/* More than all authorities of the world together. */
#define TRUST_FILE_MAX ((size_t)16 * 1024 * 1024)

#define PIN_SIZE 32 /* of a SHA-256 */

static gnutls_certificate_credentials_t system_credentials;

/* What tlstrust_load() has read. */
static struct {
	const struct account *account;
	gnutls_certificate_credentials_t credentials;
	gnutls_priority_t priority;
	gnutls_x509_crl_t *crls;
	unsigned crl_count;
} loaded;

int
tlstrust_library_error(struct error *err, const char *what, int code)
{
	const char *reason = gnutls_strerror(code);
	size_t len = strlen(reason);

	if (len != 0 && reason[len - 1] == '.')
		len--;
	return error_set(err, ERROR_TLS, "%s: %.*s", what, (int)len, reason);
}

int
tlstrust_prepare(bool needs_system_trust, struct error *err)
{
	int count;

	if (!needs_system_trust || system_credentials != NULL)
		return 0;
	if (gnutls_certificate_allocate_credentials(&system_credentials) != 0)
		return error_set(err, ERROR_SYSTEM, "GnuTLS is out of memory");
	count = gnutls_certificate_set_x509_system_trust(system_credentials);
	if (count > 0)
		return 0;
	gnutls_certificate_free_credentials(system_credentials);
	system_credentials = NULL;
	if (count < 0)
		return tlstrust_library_error(
			err, "the system's trusted certificates cannot be loaded", count);
	return error_set(err, ERROR_TLS,
		"the system has no trusted certificates: install its ca-certificates package or "
		"set tls-trust-file");
}

/* ---- what an account names ---- */

static int
load_trust_file(const char *path, struct error *err)
{
	struct buf text = {0};
	gnutls_datum_t data;
	int count;

	if (access(path, R_OK) != 0)
		return error_set_errno(
			err, ERROR_CONFIG, "tls-trust-file '%s' cannot be read", path);
	/* GnuTLS would read a device to its end. */
	if (file_read_whole(path, TRUST_FILE_MAX, &text, NULL, err) != 0) {
		err->class = ERROR_CONFIG;
		buf_release(&text);
		return error_prefix(err, "tls-trust-file");
	}
	data.data = (unsigned char *)buf_data(&text);
	data.size = (unsigned)text.len;
	count = gnutls_certificate_set_x509_trust_mem(
		loaded.credentials, &data, GNUTLS_X509_FMT_PEM);
	buf_release(&text);
	if (count > 0)
		return 0;
	return error_set(
		err, ERROR_CONFIG, "tls-trust-file '%s' holds no certificate in PEM format", path);
}

/* In a fetcher, which has one account, the system's credentials are its own copy. */
static int
choose_credentials(const struct account *account, struct error *err)
{
	bool is_own = account->pin_only || account->tls_trust_file != NULL;

	if (!is_own) {
		assert(system_credentials != NULL);
		loaded.credentials = system_credentials;
		return 0;
	}
	if (gnutls_certificate_allocate_credentials(&loaded.credentials) != 0)
		return error_set(err, ERROR_SYSTEM, "GnuTLS is out of memory");
	return account->pin_only ? 0 : load_trust_file(account->tls_trust_file, err);
}

static int
load_crl_file(const char *path, struct error *err)
{
	struct buf text = {0};
	gnutls_datum_t data;
	int result;

	if (file_read_whole(path, CRL_FILE_MAX, &text, NULL, err) != 0) {
		err->class = ERROR_CONFIG;
		return error_prefix(err, "tls-crl-file");
	}
	data.data = (unsigned char *)buf_data(&text);
	data.size = (unsigned)text.len;
	result = gnutls_x509_crl_list_import2(
		&loaded.crls, &loaded.crl_count, &data, GNUTLS_X509_FMT_PEM, 0);
	buf_release(&text);
	if (result >= 0 && loaded.crl_count != 0)
		return 0;
	return error_set(err, ERROR_CONFIG,
		"tls-crl-file '%s' holds no list of revoked certificates in PEM format", path);
}

/* ---- the priority string ---- */

/* What would take away from what is checked, and not from what is agreed on. */
static bool
is_unsafe_word(const char *word, size_t len)
{
	static const char *const PROFILES[] = {"%PROFILE_MEDIUM", "%PROFILE_HIGH", "%PROFILE_ULTRA",
		"%PROFILE_FUTURE", "%PROFILE_SUITEB128", "%PROFILE_SUITEB192"};

	if (len >= 8 && strncasecmp(word, "%VERIFY_", 8) == 0)
		return true;
	if (len == 21 && strncasecmp(word, "%UNSAFE_RENEGOTIATION", len) == 0)
		return true;
	if (len < 9 || strncasecmp(word, "%PROFILE_", 9) != 0)
		return false;
	for (size_t i = 0; i < sizeof PROFILES / sizeof *PROFILES; i++) {
		if (strlen(PROFILES[i]) == len && strncasecmp(word, PROFILES[i], len) == 0)
			return false;
	}
	return true;
}

/*
 * It goes behind a string that is complete: GnuTLS would take a level among its words for another
 * start.
 */
static int
check_words(const char *text, struct error *err)
{
	char quoted[QUOTE_SIZE];
	size_t len, count = 0;

	for (const char *word = text; *word != '\0'; word += len + (word[len] == ':')) {
		if (++count > WORDS_MAX)
			return error_set(err, ERROR_CONFIG,
				"tls-priority: more than %d words are too many", WORDS_MAX);
		len = strcspn(word, ":");
		quote_bytes(quoted, word, len);
		if (strchr("+-!%", *word) == NULL)
			return error_set(err, ERROR_CONFIG,
				"tls-priority: '%s' does not begin with + - ! or %%: the string is "
				"appended to the system's",
				quoted);
		if (is_unsafe_word(word, len))
			return error_set(err, ERROR_CONFIG,
				"tls-priority: '%s' would weaken what is checked of a server",
				quoted);
	}
	return 0;
}

static int
load_priority(const char *text, struct error *err)
{
	char *whole, place[QUOTE_SIZE];
	const char *at = NULL;
	size_t before = strlen(PRIORITY_FIRST ":");
	int code;

	if (text != NULL && check_words(text, err) != 0)
		return -1;
	whole = text != NULL ? xasprintf("%s:%s%s", PRIORITY_FIRST, text, PRIORITY_LAST)
			     : xstrdup(PRIORITY_FIRST);
	code = gnutls_priority_init2(&loaded.priority, whole, &at, GNUTLS_PRIORITY_INIT_DEF_APPEND);
	if (code != 0) {
		loaded.priority = NULL;
		if (text == NULL)
			tlstrust_library_error(
				err, "TLS cannot be set up (see /etc/gnutls/config)", code);
		else if (code == GNUTLS_E_NO_PRIORITIES_WERE_SET || at == NULL ||
			at < whole + before || at >= whole + before + strlen(text))
			error_set(err, ERROR_CONFIG,
				"tls-priority: '%s' leaves no TLS 1.2 or later to agree on",
				quote_bytes(place, text, strlen(text)));
		else
			error_set(err, ERROR_CONFIG, "tls-priority: not understood from '%s' on",
				quote_bytes(place, text + (at - whole - before),
					strlen(text + (at - whole - before))));
	}
	free(whole);
	return code == 0 ? 0 : -1;
}

/* ---- loading ---- */

static void
unload(void)
{
	if (loaded.priority != NULL)
		gnutls_priority_deinit(loaded.priority);
	for (unsigned i = 0; i < loaded.crl_count; i++)
		gnutls_x509_crl_deinit(loaded.crls[i]);
	gnutls_free(loaded.crls);
	if (loaded.credentials == system_credentials && system_credentials != NULL)
		gnutls_certificate_free_keys(system_credentials);
	else if (loaded.credentials != NULL)
		gnutls_certificate_free_credentials(loaded.credentials);
	memset(&loaded, 0, sizeof loaded);
}

int
tlstrust_load(const struct account *account, struct error *err)
{
	if (loaded.account == account)
		return 0;
	unload();
	if (choose_credentials(account, err) == 0 &&
		tlsown_load(account, loaded.credentials, err) == 0 &&
		load_priority(account->tls_priority, err) == 0 &&
		(account->tls_crl_file == NULL || account->pin_only ||
			load_crl_file(account->tls_crl_file, err) == 0)) {
		loaded.account = account;
		return 0;
	}
	unload();
	return -1;
}

/* ---- a session ---- */

unsigned
tlstrust_init_flags(const struct account *account)
{
	/* Else it is shown only to servers whose list of authorities has its own. */
	return account->tls_cert != NULL ? GNUTLS_FORCE_CLIENT_CERT : 0;
}

static void
set_verification(struct tlstrust *trust, gnutls_session_t session)
{
	trust->verify[0].type = GNUTLS_DT_DNS_HOSTNAME;
	trust->verify[0].data = (unsigned char *)trust->name;
	trust->verify[0].size = (unsigned)strlen(trust->name);
	trust->verify[1].type = GNUTLS_DT_KEY_PURPOSE_OID;
	trust->verify[1].data = (unsigned char *)GNUTLS_KP_TLS_WWW_SERVER;
	trust->verify[1].size = sizeof GNUTLS_KP_TLS_WWW_SERVER - 1;
	if (!trust->account->pin_only)
		gnutls_session_set_verify_cert2(session, trust->verify, TLSTRUST_VERIFY_COUNT, 0);
}

int
tlstrust_set_up(struct tlstrust *trust, const struct account *account, gnutls_session_t session,
	struct error *err)
{
	int code;

	assert(loaded.account == account);
	tlstrust_release(trust);
	trust->account = account;
	trust->name = xstrdup(account->tls_host != NULL ? account->tls_host : account->host);
	if (net_is_address(trust->name))
		trust->name[strcspn(trust->name, "%")] = '\0'; /* no certificate knows our zones */
	code = gnutls_priority_set(session, loaded.priority);
	if (code == 0)
		code = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, loaded.credentials);
	if (code == 0 && !net_is_address(trust->name))
		code = gnutls_server_name_set(
			session, GNUTLS_NAME_DNS, trust->name, strlen(trust->name));
	if (code != 0)
		return tlstrust_library_error(err, "TLS cannot be set up", code);
	set_verification(trust, session);
	return 0;
}

void
tlstrust_release(struct tlstrust *trust)
{
	free(trust->name);
	*trust = (struct tlstrust){0};
}

/* ---- whether a server is let in ---- */

static int
refuse(const struct tlstrust *trust, gnutls_session_t session, unsigned status, struct error *err)
{
	struct tlscert_expected expected = {
		.host = trust->name, .trust_file = trust->account->tls_trust_file};

	return tlscert_refuse(session, &expected, status, err);
}

int
tlstrust_refuse(const struct tlstrust *trust, gnutls_session_t session, struct error *err)
{
	return refuse(trust, session, gnutls_session_get_verify_cert_status(session), err);
}

/* The certificates that the server showed, its own first; their number. */
struct chain {
	gnutls_x509_crt_t *certificates;
	unsigned count;
};

static void
release_chain(struct chain *chain)
{
	for (unsigned i = 0; i < chain->count; i++)
		gnutls_x509_crt_deinit(chain->certificates[i]);
	free(chain->certificates);
	*chain = (struct chain){0};
}

/* What cannot be read is left out: GnuTLS has verified all that it needs. */
static void
read_chain(gnutls_session_t session, struct chain *out)
{
	unsigned count = 0;
	const gnutls_datum_t *shown = gnutls_certificate_get_peers(session, &count);

	*out = (struct chain){
		.certificates = xcalloc((size_t)count + 1, sizeof(gnutls_x509_crt_t))};
	for (unsigned i = 0; shown != NULL && i < count; i++) {
		gnutls_x509_crt_t *next = &out->certificates[out->count];

		if (gnutls_x509_crt_init(next) != 0)
			return;
		if (gnutls_x509_crt_import(*next, &shown[i], GNUTLS_X509_FMT_DER) == 0)
			out->count++;
		else
			gnutls_x509_crt_deinit(*next);
	}
}

/*
 * The issuer of `certificate`, from the chain or from those who are trusted; false: nobody knows
 * it.
 */
static bool
find_issuer(const struct chain *chain, gnutls_x509_crt_t certificate, gnutls_x509_crt_t *out)
{
	gnutls_datum_t der = {0};
	bool is_good = false;

	*out = NULL;
	if (gnutls_certificate_get_issuer(
		    loaded.credentials, certificate, out, GNUTLS_TL_GET_COPY) == 0)
		return true;
	for (unsigned i = 0; i < chain->count && !is_good; i++) {
		if (!gnutls_x509_crt_check_issuer(certificate, chain->certificates[i]) ||
			gnutls_x509_crt_export2(
				chain->certificates[i], GNUTLS_X509_FMT_DER, &der) != 0)
			continue;
		is_good = gnutls_x509_crt_init(out) == 0 &&
			gnutls_x509_crt_import(*out, &der, GNUTLS_X509_FMT_DER) == 0;
		gnutls_free(der.data);
	}
	return is_good;
}

static bool
is_list_for(gnutls_x509_crl_t crl, gnutls_x509_crt_t certificate)
{
	gnutls_datum_t of_crl = {0}, of_certificate = {0};
	bool is_same = gnutls_x509_crl_get_raw_issuer_dn(crl, &of_crl) == 0 &&
		gnutls_x509_crt_get_raw_issuer_dn(certificate, &of_certificate) == 0 &&
		of_crl.size == of_certificate.size &&
		memcmp(of_crl.data, of_certificate.data, of_crl.size) == 0;

	gnutls_free(of_crl.data);
	gnutls_free(of_certificate.data);
	return is_same;
}

/* A list that cannot be relied on any more revokes as good as nothing: it is refused. */
static int
check_list(const struct tlstrust *trust, const struct chain *chain, gnutls_x509_crt_t certificate,
	gnutls_x509_crl_t crl, struct error *err)
{
	gnutls_x509_crt_t issuer;
	unsigned status = GNUTLS_CERT_SIGNER_NOT_FOUND;

	if (find_issuer(chain, certificate, &issuer) &&
		gnutls_x509_crl_verify(crl, &issuer, 1, 0, &status) < 0)
		status = GNUTLS_CERT_INVALID;
	if (issuer != NULL)
		gnutls_x509_crt_deinit(issuer);
	if (status != 0)
		return tlscert_refuse_crl(crl, trust->account->tls_crl_file, status, err);
	if (gnutls_x509_crt_check_revocation(certificate, &crl, 1) != 0)
		return tlscert_refuse_crl(
			crl, trust->account->tls_crl_file, GNUTLS_CERT_REVOKED, err);
	return 0;
}

static int
check_revocation(const struct tlstrust *trust, gnutls_session_t session, struct error *err)
{
	struct chain chain;
	int result = 0;

	read_chain(session, &chain);
	for (unsigned i = 0; i < chain.count; i++) {
		for (unsigned k = 0; k < loaded.crl_count && result == 0; k++) {
			if (is_list_for(loaded.crls[k], chain.certificates[i]))
				result = check_list(
					trust, &chain, chain.certificates[i], loaded.crls[k], err);
		}
	}
	release_chain(&chain);
	return result;
}

/* What the handshake checked, once more: on a resumed session GnuTLS checks nothing. */
static int
check_chain(const struct tlstrust *trust, gnutls_session_t session, struct error *err)
{
	gnutls_typed_vdata_st verify[TLSTRUST_VERIFY_COUNT];
	unsigned status = 0;
	int code;

	memcpy(verify, trust->verify, sizeof verify);
	code = gnutls_certificate_verify_peers(session, verify, TLSTRUST_VERIFY_COUNT, &status);
	if (code != 0)
		return tlstrust_library_error(
			err, "the server's certificate cannot be verified", code);
	/*
	 * Where there is no other name GnuTLS takes the common name, which anybody could have
	 * chosen.
	 */
	if (status == 0 && !tlscert_has_names(session))
		status = GNUTLS_CERT_INVALID | GNUTLS_CERT_UNEXPECTED_OWNER;
	if (status != 0)
		return refuse(trust, session, status, err);
	return loaded.crl_count != 0 ? check_revocation(trust, session, err) : 0;
}

/* The digest of the key in the server's own certificate (RFC 7469 section 2.4). */
static bool
read_pin(gnutls_session_t session, unsigned char out[static PIN_SIZE])
{
	struct chain chain;
	size_t size = PIN_SIZE;
	bool has_one;

	read_chain(session, &chain);
	has_one = chain.count != 0 &&
		gnutls_x509_crt_get_key_id(
			chain.certificates[0], GNUTLS_KEYID_USE_SHA256, out, &size) == 0 &&
		size == PIN_SIZE;
	release_chain(&chain);
	return has_one;
}

bool
tlstrust_get_pin(gnutls_session_t session, char out[static TLSTRUST_PIN_SIZE])
{
	unsigned char pin[PIN_SIZE];
	gnutls_datum_t data = {pin, sizeof pin}, text = {0};
	bool has_one = read_pin(session, pin) && gnutls_base64_encode2(&data, &text) == 0;

	if (has_one)
		snprintf(out, TLSTRUST_PIN_SIZE, "sha256//%s", (char *)text.data);
	gnutls_free(text.data);
	return has_one;
}

static int
check_pin(const struct tlstrust *trust, gnutls_session_t session, struct error *err)
{
	unsigned char pin[PIN_SIZE];
	char hex[2 * PIN_SIZE + 1], text[TLSTRUST_PIN_SIZE];

	if (!read_pin(session, pin) || !tlstrust_get_pin(session, text))
		return error_set(err, ERROR_TLS, "the server showed no certificate that has a pin");
	hex_write(pin, sizeof pin, hex);
	for (char **known = trust->account->pin; known != NULL && *known != NULL; known++) {
		if (strcmp(*known, hex) == 0)
			return 0;
	}
	return error_set(err, ERROR_TLS,
		"the server's key is none of those in 'pin': it has %s now. A changed key may be an "
		"attack: put this one into 'pin' only when the server's administrator confirms it",
		text);
}

int
tlstrust_check(const struct tlstrust *trust, gnutls_session_t session, struct error *err)
{
	if (!trust->account->pin_only && check_chain(trust, session, err) != 0)
		return -1;
	return trust->account->pin != NULL || trust->account->pin_only
		? check_pin(trust, session, err)
		: 0;
}
