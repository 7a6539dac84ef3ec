/*
 * The certificate that an account shows to its server, and the key of it: from
 * PEM files, or from a PKCS#11 token by its URLs. Part of tls.c's room; no other
 * file includes this.
 */
#ifndef POPHAUL_FETCH_WIRE_TLSOWN_H
#define POPHAUL_FETCH_WIRE_TLSOWN_H

#include <gnutls/gnutls.h>

#include "base/error.h"
#include "config/account.h"

/*
 * Put them into `credentials`, if the account has any. ERROR_CONFIG: they cannot be read or used,
 * or other users can reach the key; no text has a PIN in it.
 */
int tlsown_load(const struct account *account, gnutls_certificate_credentials_t credentials,
	struct error *err) __attribute__((warn_unused_result));

#endif
