/*
 * What a server shows in a TLS handshake, in words for a person: version and cipher, each
 * certificate of its chain, the pin of its own. It judges nothing. Part of tls.c's room.
 */
#ifndef POPHAUL_FETCH_WIRE_TLSREPORT_H
#define POPHAUL_FETCH_WIRE_TLSREPORT_H

#include <gnutls/gnutls.h>

#include "base/buf.h"

/* Lines for a handshake that is over, however it ended. All text of the server's is quoted. */
void tlsreport_write(gnutls_session_t session, const char *description, struct buf *out);

#endif
