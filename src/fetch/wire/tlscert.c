#include "fetch/wire/tlscert.h"

#include <arpa/inet.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/quote.h"

/* A certificate may name any number of hosts; a text shows so many. */
#define NAMES_SHOWN_MAX 4

/* A certificate of the peer's chain in a form that can be asked; NULL when it cannot be read. */
static gnutls_x509_crt_t
import_certificate(const gnutls_datum_t *der)
{
	gnutls_x509_crt_t certificate;

	if (gnutls_x509_crt_init(&certificate) != 0)
		return NULL;
	if (gnutls_x509_crt_import(certificate, der, GNUTLS_X509_FMT_DER) == 0)
		return certificate;
	gnutls_x509_crt_deinit(certificate);
	return NULL;
}

static void
add_quoted(struct buf *text, const void *data, size_t len)
{
	char quoted[QUOTE_SIZE];

	buf_printf(text, "'%s'", quote_bytes(quoted, data, len));
}

/* The `i`th name of a certificate, quoted, to `text`. False: there is no such name. */
static bool
add_name(struct buf *text, gnutls_x509_crt_t certificate, unsigned i)
{
	char name[256], address[INET6_ADDRSTRLEN];
	size_t size = sizeof name;
	int type = gnutls_x509_crt_get_subject_alt_name(certificate, i, name, &size, NULL);

	if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
		return false;
	if (type < 0)
		return true; /* one that does not fit is no name that anybody meant */
	buf_append_string(text, i != 0 ? ", " : "");
	if (type == GNUTLS_SAN_IPADDRESS && (size == 4 || size == 16) &&
		inet_ntop(size == 4 ? AF_INET : AF_INET6, name, address, sizeof address) != NULL)
		add_quoted(text, address, strlen(address));
	else
		add_quoted(text, name, size);
	return true;
}

static void
add_wrong_name(
	struct buf *text, const struct tlscert_expected *expected, gnutls_x509_crt_t certificate)
{
	char name[256];
	size_t size = sizeof name;
	unsigned i = 0;

	buf_append_string(text, "it is for ");
	while (i < NAMES_SHOWN_MAX && add_name(text, certificate, i))
		i++;
	if (i == NAMES_SHOWN_MAX)
		buf_append_string(text, ", ...");
	if (i == 0)
		buf_append_string(text, "no host at all");
	if (i == 0 &&
		gnutls_x509_crt_get_dn_by_oid(
			certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &size) == 0) {
		buf_append_string(text, " (its common name ");
		add_quoted(text, name, size);
		buf_append_string(text, " counts for nothing, only subjectAltName does)");
	}
	buf_printf(text, ", not for '%s'", expected->host);
}

/* The issuer of the topmost certificate that the server showed is the one that nobody knows. */
static void
add_unknown_issuer(struct buf *text, const struct tlscert_expected *expected, gnutls_x509_crt_t top)
{
	char name[256];
	size_t size = sizeof name;

	if (gnutls_x509_crt_check_issuer(top, top))
		buf_append_string(text, "it is signed by itself");
	else
		buf_append_string(text, "its issuer is unknown");
	if (gnutls_x509_crt_get_issuer_dn(top, name, &size) == 0) {
		buf_append_string(text, ": ");
		add_quoted(text, name, size);
	}
	if (expected->trust_file != NULL)
		buf_printf(text, ", which is not in tls-trust-file '%s'", expected->trust_file);
	else
		buf_append_string(
			text, " (if it is to be trusted, name its file in tls-trust-file)");
}

static void
add_date(struct buf *text, const char *what, time_t when)
{
	char date[32];
	struct tm utc;

	if (gmtime_r(&when, &utc) == NULL || strftime(date, sizeof date, "%Y-%m-%d", &utc) == 0)
		snprintf(date, sizeof date, "an impossible date");
	buf_printf(text, "%s %s", what, date);
}

static void
add_expired(struct buf *text, gnutls_x509_crt_t certificate)
{
	time_t until = gnutls_x509_crt_get_expiration_time(certificate);

	if (until < time(NULL))
		add_date(text, "it expired on", until);
	else
		buf_append_string(text, "a certificate in its chain has expired");
}

static void
add_not_yet_valid(struct buf *text, gnutls_x509_crt_t certificate)
{
	time_t from = gnutls_x509_crt_get_activation_time(certificate);

	if (from > time(NULL))
		add_date(text, "it is valid only from", from);
	else
		buf_append_string(text, "a certificate in its chain is not valid yet");
	buf_append_string(text, " (is the clock of this machine right?)");
}

/* What GnuTLS says about the problems that have no text of ours. */
static void
add_other_problems(struct buf *text, unsigned status)
{
	gnutls_datum_t words = {0};

	if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &words, 0) != 0) {
		buf_printf(text, "verification status 0x%x", status);
		return;
	}
	while (words.size != 0 && strchr(" .", words.data[words.size - 1]) != NULL)
		words.size--;
	buf_append(text, words.data, words.size);
	gnutls_free(words.data);
}

/* The problems with words of ours, most telling first; without `text`, the certificate decides. */
static const struct {
	unsigned flag;
	const char *text;
} problems[] = {
	{GNUTLS_CERT_SIGNER_NOT_FOUND,           NULL						    },
	{GNUTLS_CERT_UNEXPECTED_OWNER,           NULL						    },
	{GNUTLS_CERT_EXPIRED,                    NULL						    },
	{GNUTLS_CERT_NOT_ACTIVATED,              NULL						    },
	{GNUTLS_CERT_REVOKED,                    "it has been revoked"                                   },
	{GNUTLS_CERT_MISSING_OCSP_STATUS,
         "it is good only with an answer by OCSP beside it, and the server sent none"                    },
	{GNUTLS_CERT_INVALID_OCSP_STATUS,        "the answer by OCSP beside it is not valid"             },
	{GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED, "the answer by OCSP beside it is too old"               },
	{GNUTLS_CERT_PURPOSE_MISMATCH,           "it is not made for a TLS server"                       },
	{GNUTLS_CERT_SIGNER_NOT_CA,              "it is signed by a certificate that may not sign others"},
	{GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, "its issuer may not sign such a certificate"            },
	{GNUTLS_CERT_SIGNATURE_FAILURE,          "its signature is wrong"                                },
	{GNUTLS_CERT_INSECURE_ALGORITHM,
         "it, or its issuer's, has a key or signature too weak to be safe"                               },
};

/* The certificate of the server and the topmost of the chain that it showed. */
struct shown {
	gnutls_x509_crt_t own;
	gnutls_x509_crt_t top;
};

static void
add_problem(struct buf *text, const struct tlscert_expected *expected, unsigned flag,
	const struct shown *shown)
{
	if (flag == GNUTLS_CERT_SIGNER_NOT_FOUND)
		add_unknown_issuer(text, expected, shown->top);
	else if (flag == GNUTLS_CERT_UNEXPECTED_OWNER)
		add_wrong_name(text, expected, shown->own);
	else if (flag == GNUTLS_CERT_EXPIRED)
		add_expired(text, shown->own);
	else
		add_not_yet_valid(text, shown->own);
}

/* Every problem that `status` names, joined by "; ". */
static void
describe_problems(struct buf *text, const struct tlscert_expected *expected, unsigned status,
	const struct shown *shown)
{
	for (size_t i = 0; i < sizeof problems / sizeof *problems; i++) {
		if ((status & problems[i].flag) == 0)
			continue;
		status &= ~problems[i].flag;
		if (text->len != 0)
			buf_append_string(text, "; ");
		if (problems[i].text != NULL)
			buf_append_string(text, problems[i].text);
		else
			add_problem(text, expected, problems[i].flag, shown);
	}
	status &= ~(unsigned)GNUTLS_CERT_INVALID;
	if (status != 0) {
		if (text->len != 0)
			buf_append_string(text, "; ");
		add_other_problems(text, status);
	}
}

/* What nothing on this machine can mend; the other problems have advice of their own. */
#define SERVER_MENDS                                                                               \
	((unsigned)(GNUTLS_CERT_EXPIRED | GNUTLS_CERT_REVOKED | GNUTLS_CERT_MISSING_OCSP_STATUS |  \
		GNUTLS_CERT_INVALID_OCSP_STATUS | GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED |         \
		GNUTLS_CERT_PURPOSE_MISMATCH | GNUTLS_CERT_SIGNER_NOT_CA |                         \
		GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE | GNUTLS_CERT_SIGNATURE_FAILURE |           \
		GNUTLS_CERT_INSECURE_ALGORITHM))

static void
add_advice(struct buf *text, unsigned status)
{
	if ((status & SERVER_MENDS) != 0)
		buf_append_string(text, ": tell the server's administrator");
	else if ((status & ~(unsigned)GNUTLS_CERT_INVALID) == GNUTLS_CERT_UNEXPECTED_OWNER)
		buf_append_string(text,
			" (if a name that it bears is the server's, set 'host' or 'tls-host')");
}

bool
tlscert_has_names(gnutls_session_t session)
{
	unsigned count = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
	gnutls_x509_crt_t own = chain != NULL && count != 0 ? import_certificate(&chain[0]) : NULL;
	char name[256];
	size_t size;
	int type = 0;

	if (own == NULL)
		return false;
	for (unsigned i = 0; type >= 0 || type == GNUTLS_E_SHORT_MEMORY_BUFFER; i++) {
		size = sizeof name;
		type = gnutls_x509_crt_get_subject_alt_name(own, i, name, &size, NULL);
		if (type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_IPADDRESS)
			break;
	}
	gnutls_x509_crt_deinit(own);
	return type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_IPADDRESS;
}

int
tlscert_refuse(gnutls_session_t session, const struct tlscert_expected *expected, unsigned status,
	struct error *err)
{
	unsigned count = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
	struct shown shown = {0};
	struct buf text = {0};

	if (chain != NULL && count != 0) {
		shown.own = import_certificate(&chain[0]);
		shown.top = import_certificate(&chain[count - 1]);
	}
	if (shown.own != NULL && shown.top != NULL)
		describe_problems(&text, expected, status, &shown);
	else
		add_other_problems(&text, status);
	add_advice(&text, status);
	error_set(err, ERROR_TLS, "the server's certificate is refused: %.*s", (int)text.len,
		buf_data(&text));

	buf_release(&text);
	if (shown.own != NULL)
		gnutls_x509_crt_deinit(shown.own);
	if (shown.top != NULL)
		gnutls_x509_crt_deinit(shown.top);
	return -1;
}

/* Why a list of revoked certificates cannot be relied on. */
static void
add_crl_problem(struct buf *text, gnutls_x509_crl_t crl, unsigned status)
{
	if ((status & GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED) != 0)
		add_date(text, "was to be replaced on", gnutls_x509_crl_get_next_update(crl));
	else if ((status & GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE) != 0)
		add_date(text, "is valid only from", gnutls_x509_crl_get_this_update(crl));
	else
		buf_append_string(text, "is not signed as it should be");
}

int
tlscert_refuse_crl(gnutls_x509_crl_t crl, const char *path, unsigned status, struct error *err)
{
	char name[256], issuer[QUOTE_SIZE];
	size_t size = sizeof name;
	struct buf why = {0};

	if (gnutls_x509_crl_get_issuer_dn(crl, name, &size) != 0)
		size = 0;
	quote_bytes(issuer, name, size);
	if ((status & GNUTLS_CERT_REVOKED) != 0)
		return error_set(err, ERROR_TLS,
			"the server's certificate is refused: it has been revoked by '%s', says "
			"tls-crl-file '%s': tell the server's administrator",
			issuer, path);
	add_crl_problem(&why, crl, status);
	error_set(err, ERROR_TLS,
		"the server's certificate is refused: the list of revoked certificates of '%s' in "
		"tls-crl-file '%s' %.*s: get its present one",
		issuer, path, (int)why.len, buf_data(&why));
	buf_release(&why);
	return -1;
}
