/*
 * TLS over a connected non-blocking socket, by GnuTLS, which no other file of
 * the fetcher sees. The server is always checked (tlstrust.h): chain, host name
 * and key purpose of its certificate, lists of revoked ones, and pins, which can
 * take the place of the rest; there is no switch that turns it off.
 *
 *	tls_prepare()    once per process tree, before forking
 *	tls_new(), tls_handshake()
 *	tls_recv(), tls_send(), tls_has_buffered()
 *	tls_say_goodbye(), tls_free()
 *
 * The socket stays the caller's. After an error nothing but tls_say_goodbye(), which
 * then says nothing, and tls_free() makes sense; but after a failed tls_send() tls_recv()
 * may still get what the server sent before. Texts do not name the host: the caller puts
 * that in front.
 */
#ifndef POPHAUL_FETCH_WIRE_TLS_H
#define POPHAUL_FETCH_WIRE_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/secret.h"
#include "config/account.h"

/* The most that one TLS record holds (RFC 8446 section 5.1), and so that tls_recv() gives. */
#define TLS_RECORD_MAX 16384

/*
 * Take SSLKEYLOGFILE out of the environment, for GnuTLS would write every session's keys there, and
 * remember it under -vv. And when `needs_system_trust`, load the system's trust store, which all
 * children then share.
 * ERROR_TLS, ERROR_SYSTEM.
 */
int tls_prepare(bool needs_system_trust, struct error *err) __attribute__((warn_unused_result));

/*
 * Read the files of an account's TLS now, for a process that is about to lose the right to: every
 * later session with it then needs no file, but for a key in a PKCS#11 token. The account must
 * outlive them. ERROR_CONFIG, ERROR_TLS, ERROR_SYSTEM.
 */
int tls_preload(const struct account *account, struct error *err)
	__attribute__((warn_unused_result));

/*
 * In a process that is going to have TLS sessions, while it may still open files: where their keys
 * are to go, by SSLKEYLOGFILE and under -vv only, which the log then tells.
 */
void tls_open_key_log(void);

/*
 * Tickets, kept from process to process (tlsticket.h), of the account that is this process's:
 * tls_bind_tickets() while its files can be read, then what was kept, which may be anything, is
 * offered in the first session. tls_ticket_failed() tells once that it is worth
 * connecting again, without it: what fails then would have failed anyway.
 */
void tls_bind_tickets(const struct account *account);
void tls_offer_ticket(struct secret *kept);
bool tls_ticket_failed(void);

/*
 * From now on keep in words what the servers of handshakes show (tlsreport.h), those that are
 * refused, too; hand it over, at the end of `out`.
 */
void tls_keep_report(void);
void tls_take_report(struct buf *out);

struct tls_settings {
	const struct account *account; /* borrowed: whom to trust, and by what name */
	bool after_stls; /* the connection began in clear: changes advice in texts only */
};

struct tls;

/*
 * A client session for `fd`; sends nothing yet. NULL: ERROR_CONFIG (a file of the account cannot be
 * used), ERROR_TLS. `settings` is copied.
 */
struct tls *tls_new(int fd, const struct tls_settings *settings, struct error *err)
	__attribute__((warn_unused_result));

/* NULL is fine. Sends nothing. */
void tls_free(struct tls *tls);

/*
 * Shake hands and verify, until `deadline` (clock.h) at most or until `watch_fd` (-1: none) is
 * readable. ERROR_TLS (no trust, no common ground; the text says what to do), ERROR_NET,
 * ERROR_TIMEOUT, ERROR_INTERRUPTED.
 */
int tls_handshake(struct tls *tls, int64_t deadline, int watch_fd, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Receive what is there now into `data` (give it TLS_RECORD_MAX octets of room). 1 and `len_out`
 * > 0; 0: nothing now; -1: the connection is over: ERROR_NET (closed, with or without
 * close_notify, or lost), ERROR_TLS.
 */
int tls_recv(struct tls *tls, char *data, size_t room, size_t *len_out, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Send what the kernel takes now. 1 and how many octets went in `len_out`; 0: nothing now; -1:
 * ERROR_NET, ERROR_TLS. After 0 the next call must begin with the same octets, at any address: they
 * are encrypted already.
 */
int tls_send(struct tls *tls, const char *data, size_t len, size_t *len_out, struct error *err)
	__attribute__((warn_unused_result));

/* Whether tls_recv() may get something although poll(2) sees nothing: ask before each poll. */
bool tls_has_buffered(const struct tls *tls);

/* Octets that came from the socket since tls_new(): tells a slow record from silence. */
uint64_t tls_octets_received(const struct tls *tls);

/* Send close_notify as far as that goes without waiting; not after an error. */
void tls_say_goodbye(struct tls *tls);

/* What a login can be bound to, so that it is worth nothing on any other connection. */
struct tls_binding {
	const char *type; /* IANA's name of it; static */
	size_t len;
	unsigned char data[64];
};

/*
 * Of this connection, after the handshake: "tls-exporter" on TLS 1.3 (RFC 9266); on 1.2
 * "tls-unique" (RFC 5929), but without the extended master secret (RFC 7627), where that can be
 * forged, "tls-server-end-point". False: it has none.
 */
bool tls_get_binding(const struct tls *tls, struct tls_binding *out);

/*
 * A ticket for the next session, at most LINK_TICKET_MAX octets; a secret. Any time after the
 * handshake, the later the better; never waits. False: the server has sent none.
 */
bool tls_get_ticket(const struct tls *tls, struct secret *out);

/* The cipher's key in bits. */
unsigned tls_key_bits(const struct tls *tls);

/* "TLS1.3 AES-256-GCM", and ", resumed" behind it if it is. Borrowed. */
const char *tls_description(const struct tls *tls);

#endif
