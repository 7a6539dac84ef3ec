/*
 * SSLKEYLOGFILE: the keys of TLS sessions, for a person who looks at them with tcpdump and
 * Wireshark. With them the session is open to whoever reads the file, so they are written only
 * under -vv, and said to be. GnuTLS would obey the variable at any time, and open the file, for all
 * to read, when the cage of the fetcher is long shut. Part of tls.c's room; no other file includes
 * this.
 *
 *	tlskeys_prepare()   in the poller, before anything is forked
 *	tlskeys_open()      in the fetcher, while it may still open files
 *	tlskeys_attach()    each session
 */
#ifndef POPHAUL_FETCH_WIRE_TLSKEYS_H
#define POPHAUL_FETCH_WIRE_TLSKEYS_H

#include <gnutls/gnutls.h>

/* Take the variable out of the environment; what it names is remembered, if it is to be obeyed. */
void tlskeys_prepare(void);

/*
 * Open the file to append to: one of our own that nobody else can read, or a new one. If that
 * fails, the log says so and no keys are written.
 */
void tlskeys_open(void);

/* Have a session's keys written as they come to be. */
void tlskeys_attach(gnutls_session_t session);

#endif
