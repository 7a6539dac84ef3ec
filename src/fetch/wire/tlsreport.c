#include "fetch/wire/tlsreport.h"

#include <arpa/inet.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/quote.h"
#include "fetch/wire/tlstrust.h"

/* A chain has no limit of its own; what is longer helps nobody. */
#define CERTIFICATES_MAX 10

/* A certificate may name any number of hosts. */
#define NAMES_MAX 20

static void
put_quoted(struct buf *out, const char *title, const void *data, size_t len)
{
	char quoted[QUOTE_SIZE];

	buf_printf(out, "    %-8s %s\n", title, quote_bytes(quoted, data, len));
}

static void
put_dn(struct buf *out, const char *title, int code, gnutls_datum_t *name)
{
	if (code == 0)
		put_quoted(out, title, name->data, name->size);
	else
		buf_printf(out, "    %-8s none\n", title);
	gnutls_free(name->data);
	*name = (gnutls_datum_t){0};
}

static void
put_names(struct buf *out, gnutls_x509_crt_t certificate)
{
	char name[256], address[INET6_ADDRSTRLEN], quoted[QUOTE_SIZE];
	unsigned shown = 0;

	for (unsigned i = 0;; i++) {
		size_t size = sizeof name;
		int type = gnutls_x509_crt_get_subject_alt_name(certificate, i, name, &size, NULL);

		if (type == GNUTLS_E_SHORT_MEMORY_BUFFER)
			continue; /* one that does not fit is no name that anybody meant */
		/*
		 * At the end, and where the rest cannot be read: that is so for each further
		 * number.
		 */
		if (type < 0 || shown == NAMES_MAX)
			break;
		if (type == GNUTLS_SAN_IPADDRESS && (size == 4 || size == 16) &&
			inet_ntop(size == 4 ? AF_INET : AF_INET6, name, address, sizeof address) !=
				NULL)
			quote_bytes(quoted, address, strlen(address));
		else
			quote_bytes(quoted, name, size);
		buf_printf(out, "%s%s", shown++ == 0 ? "    names    " : ", ", quoted);
	}
	buf_append_string(out, shown == 0 ? "" : shown == NAMES_MAX ? ", ...\n" : "\n");
}

static void
format_date(char out[static 32], time_t when)
{
	struct tm utc;

	if (gmtime_r(&when, &utc) == NULL || strftime(out, 32, "%Y-%m-%d %H:%M", &utc) == 0)
		snprintf(out, 32, "an impossible date");
}

static void
put_certificate(struct buf *out, gnutls_x509_crt_t certificate)
{
	gnutls_datum_t name = {0};
	char from[32], until[32];
	unsigned bits = 0;
	int algorithm;

	put_dn(out, "subject", gnutls_x509_crt_get_dn3(certificate, &name, 0), &name);
	put_dn(out, "issuer", gnutls_x509_crt_get_issuer_dn3(certificate, &name, 0), &name);
	put_names(out, certificate);
	format_date(from, gnutls_x509_crt_get_activation_time(certificate));
	format_date(until, gnutls_x509_crt_get_expiration_time(certificate));
	buf_printf(out, "    valid    %s to %s UTC\n", from, until);
	algorithm = gnutls_x509_crt_get_pk_algorithm(certificate, &bits);
	buf_printf(out, "    key      %s, %u bits\n",
		algorithm >= 0 ? gnutls_pk_get_name((gnutls_pk_algorithm_t)algorithm) : "unknown",
		bits);
}

static void
put_chain(struct buf *out, const gnutls_datum_t *chain, unsigned count)
{
	for (unsigned i = 0; i < count && i < CERTIFICATES_MAX; i++) {
		gnutls_x509_crt_t certificate;

		buf_printf(out, "  certificate %u of %u\n", i + 1, count);
		if (gnutls_x509_crt_init(&certificate) != 0)
			return;
		if (gnutls_x509_crt_import(certificate, &chain[i], GNUTLS_X509_FMT_DER) == 0)
			put_certificate(out, certificate);
		else
			buf_append_string(out, "    cannot be read\n");
		gnutls_x509_crt_deinit(certificate);
	}
}

void
tlsreport_write(gnutls_session_t session, const char *description, struct buf *out)
{
	unsigned count = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
	char pin[TLSTRUST_PIN_SIZE];

	if (*description != '\0')
		buf_printf(out, "  TLS        %s\n", description);
	if (chain == NULL)
		return;
	put_chain(out, chain, count);
	if (tlstrust_get_pin(session, pin))
		buf_printf(out, "  pin = \"%s\"\n", pin);
}
