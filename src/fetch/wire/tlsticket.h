/*
 * The ticket with which a server lets a TLS session go on that another process of ours began.
 * Part of tls.c's room.
 *
 *	tlsticket_bind()     once per fetcher, while it can still read files
 *	tlsticket_offer()    what was kept, if anything
 *	tlsticket_use()      for the first session
 *	tlsticket_make()     from a session whose server was let in
 *
 * A ticket stands for a handshake that was verified then, and nothing more: tls.c verifies the
 * server of a resumed session again, as it does every other's. What is kept comes from a file, so
 * nothing of it is believed. It is used for an account of the very same settings only, and once.
 * How long is not for this process to say: who keeps it does.
 *
 * Kept is: DIGEST (of the settings), what GnuTLS packs.
 */
#ifndef POPHAUL_FETCH_WIRE_TLSTICKET_H
#define POPHAUL_FETCH_WIRE_TLSTICKET_H

#include <gnutls/gnutls.h>
#include <stdbool.h>

#include "base/secret.h"
#include "config/account.h"

/* Bind tickets to what decides on trust and identity: settings, and what is in their files. */
void tlsticket_bind(const struct account *account);

/* Take what was kept; it is wiped here if it is for other settings. */
void tlsticket_offer(struct secret *kept);

/*
 * Let a session, before its handshake, begin with what was offered, which is gone then. 1; 0: there
 * is nothing; -1: it is damaged, and the session with it.
 */
int tlsticket_use(gnutls_session_t session) __attribute__((warn_unused_result));

/* The ticket of a session, to be kept. Never waits. False: the server has sent none. */
bool tlsticket_make(gnutls_session_t session, struct secret *out);

/* A session that was begun with a ticket has failed. True once: it is worth trying without. */
void tlsticket_failed(void);
bool tlsticket_take_failure(void);

#endif
