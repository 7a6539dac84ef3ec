/*
 * Whom TLS lets in: an account's credentials and the verification of the
 * server, by GnuTLS. Part of tls.c's room; no other file includes this.
 *
 *	tlstrust_prepare()   once per process tree, before forking
 *	tlstrust_load()      once per fetcher, while it can still read files
 *	tlstrust_set_up()    each session, before its handshake
 *	tlstrust_check()     behind each handshake, also of a session that was resumed
 *
 * Nothing else decides: what GnuTLS checks within a handshake, by the settings of
 * tlstrust_set_up(), only ends it earlier and tells the server why.
 */
#ifndef POPHAUL_FETCH_WIRE_TLSTRUST_H
#define POPHAUL_FETCH_WIRE_TLSTRUST_H

#include <gnutls/gnutls.h>
#include <stdbool.h>

#include "base/error.h"
#include "config/account.h"

/* Reference name and key purpose: what gnutls_certificate_verify_peers() takes. */
#define TLSTRUST_VERIFY_COUNT 2

/* What a session's server has to be; GnuTLS keeps a pointer to `verify`, so it must not move. */
struct tlstrust {
	const struct account *account; /* borrowed */
	char *name;                    /* that the certificate must bear */
	gnutls_typed_vdata_st verify[TLSTRUST_VERIFY_COUNT];
};

/* What GnuTLS calls an error, without its full stop: ERROR_TLS. Returns -1. */
int tlstrust_library_error(struct error *err, const char *what, int code);

/* Load the system's trust store, if it is needed. ERROR_TLS, ERROR_SYSTEM. */
int tlstrust_prepare(bool needs_system_trust, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Read the files that an account names, and its priority string. Nothing the second time. The
 * account must outlive the process's last session. ERROR_CONFIG, ERROR_TLS, ERROR_SYSTEM.
 */
int tlstrust_load(const struct account *account, struct error *err)
	__attribute__((warn_unused_result));

/* The flags that gnutls_init() needs for an account. */
unsigned tlstrust_init_flags(const struct account *account);

/*
 * Make a client session one of the account that was loaded; `trust`, zeroed or another session's,
 * is filled, and given back by tlstrust_release() when the session is gone. ERROR_TLS.
 */
int tlstrust_set_up(struct tlstrust *trust, const struct account *account, gnutls_session_t session,
	struct error *err) __attribute__((warn_unused_result));
void tlstrust_release(struct tlstrust *trust);

/* Whether the handshake's server is the account's. ERROR_TLS: no, and why. */
int tlstrust_check(const struct tlstrust *trust, gnutls_session_t session, struct error *err)
	__attribute__((warn_unused_result));

/* ERROR_TLS after a handshake that GnuTLS ended for the server's certificate. Returns -1. */
int tlstrust_refuse(const struct tlstrust *trust, gnutls_session_t session, struct error *err);

/* The server's pin as curl writes it, "sha256//" and Base64. False: it showed no certificate. */
#define TLSTRUST_PIN_SIZE (sizeof "sha256//" + 44)
bool tlstrust_get_pin(gnutls_session_t session, char out[static TLSTRUST_PIN_SIZE]);

#endif
