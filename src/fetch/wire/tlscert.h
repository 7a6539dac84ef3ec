/*
 * What is wrong with a server's certificate, in words that say what can be
 * done about it. It decides nothing: tlstrust.c verifies, and comes here with the
 * verdict. Part of tls.c's room; no other file includes this.
 */
#ifndef POPHAUL_FETCH_WIRE_TLSCERT_H
#define POPHAUL_FETCH_WIRE_TLSCERT_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdbool.h>

#include "base/error.h"

struct tlscert_expected {
	const char *host;       /* the name that the certificate should bear */
	const char *trust_file; /* NULL: the system's store */
};

/*
 * Whether the server's certificate names hosts or addresses where names belong (subjectAltName, RFC
 * 9525 section 2); a common name is none.
 */
bool tlscert_has_names(gnutls_session_t session);

/*
 * Fill in ERROR_TLS for a verification `status` (gnutls_certificate_status_t, not 0): who issued
 * the certificate, whom it names, when it expired. Returns -1.
 */
int tlscert_refuse(gnutls_session_t session, const struct tlscert_expected *expected,
	unsigned status, struct error *err);

/*
 * The same for a list of revoked certificates out of `path` that has the certificate
 * (GNUTLS_CERT_REVOKED), or that cannot be relied on. Returns -1.
 */
int tlscert_refuse_crl(gnutls_x509_crl_t crl, const char *path, unsigned status, struct error *err);

#endif
