/*
 * POP3, one function a verb (RFC 1939, 2449, 2595, 5034, 6856): queue the command, read
 * the reply, say what it means. It decides nothing: which verbs, in which order, and what
 * a refusal leads to is session.c's, login.c's and transfer.c's.
 *
 * Lock step: pop3_VERB(). In flight: pop3_queue_*() for each command, then pop3_read_*()
 * for each reply, in the same order.
 *
 * A refusal (-ERR) is no failure here: the functions return 0 and the reply says so. -1
 * and the connection's error (conn.h), or ERROR_PROTOCOL, mean that the connection is of
 * no more use.
 */
#ifndef POPHAUL_FETCH_POP3_H
#define POPHAUL_FETCH_POP3_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/secret.h"
#include "fetch/auth/sasl.h"
#include "fetch/listing.h"
#include "fetch/pop3_parse.h"
#include "fetch/wire/conn.h"

/* The next status line. `command` names what it answers in error texts. */
int pop3_read_reply(struct conn *conn, const char *command, struct pop3_reply *reply,
	struct error *err) __attribute__((warn_unused_result));

/*
 * Fill `err` with "the server refused WHAT: "TEXT"" and a class: conn_mask() the text before, where
 * it may repeat a secret. Returns -1.
 */
int pop3_refused(struct error *err, enum error_class class, const char *what,
	const struct pop3_reply *reply);

/* The server's first line (RFC 1939 section 4). */
int pop3_read_greeting(struct conn *conn, struct pop3_reply *reply, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Whether that line lets us in, and its timestamp for APOP; "": it has none. Without a code that
 * says more a refusal is ERROR_SERVER_TEMP: most often a server is full or locked.
 */
int pop3_take_greeting(const struct pop3_reply *reply,
	char timestamp_out[static POP3_TIMESTAMP_MAX], struct error *err)
	__attribute__((warn_unused_result));

/* CAPA (RFC 2449 section 5). A refusal leaves `caps->known` false and the rest empty. */
void pop3_queue_capa(struct conn *conn);
int pop3_read_capa(struct conn *conn, struct pop3_capabilities *caps, struct error *err)
	__attribute__((warn_unused_result));

/* The same; the list's first lines, quoted, a line each, are appended to `lines`. */
int pop3_read_capa_lines(struct conn *conn, struct pop3_capabilities *caps, struct buf *lines,
	struct error *err) __attribute__((warn_unused_result));

/* STLS (RFC 2595 section 4): the command only; the handshake is conn_start_tls(). */
int pop3_stls(struct conn *conn, struct pop3_reply *reply, struct error *err)
	__attribute__((warn_unused_result));

/* UTF8 (RFC 6856 section 2), before the login. */
int pop3_utf8(struct conn *conn, struct pop3_reply *reply, struct error *err)
	__attribute__((warn_unused_result));

/*
 * USER and, when that is accepted, PASS (RFC 1939 section 7); the reply is the
 * last one. Neither argument holds CR, LF or NUL.
 */
int pop3_user_pass(struct conn *conn, const char *user, const struct secret *password,
	struct pop3_reply *reply, struct error *err) __attribute__((warn_unused_result));

/*
 * APOP with the greeting's timestamp (RFC 1939 section 7). ERROR_AUTH, and nothing sent,
 * where MD5 is forbidden.
 */
int pop3_apop(struct conn *conn, const char *user, const struct secret *password,
	const char *timestamp, struct pop3_reply *reply, struct error *err)
	__attribute__((warn_unused_result));

/* How an AUTH ended. */
enum pop3_auth_end {
	POP3_AUTH_OK,
	POP3_AUTH_REFUSED,     /* -ERR after something that proves who we are was sent */
	POP3_AUTH_UNSUPPORTED, /* -ERR before that: another mechanism may be tried */
	POP3_AUTH_CANNOT,      /* failed here, nothing was sent: another one may be tried */
	POP3_AUTH_BROKEN       /* the connection or the exchange broke */
};

/*
 * AUTH with one mechanism (RFC 5034). With `may_start` the initial response goes
 * into the command's line where that stays within 255 octets; else it waits for
 * the first challenge. 0: `end_out` is one of the first three, `reply` the last
 * status line. -1: CANNOT, or BROKEN; among the latter ERROR_AUTH for an exchange that
 * was cancelled, or a server that did not prove itself.
 */
int pop3_auth(struct conn *conn, const struct mech_settings *settings, bool may_start,
	enum pop3_auth_end *end_out, struct pop3_reply *reply, struct error *err)
	__attribute__((warn_unused_result));

/*
 * UIDL and LIST of the whole maildrop, into `listing` in this order. A refusal:
 * `reply->ok` is false and no row came.
 */
void pop3_queue_uidl(struct conn *conn);
int pop3_read_uidl(struct conn *conn, struct listing *listing, struct pop3_reply *reply,
	struct error *err) __attribute__((warn_unused_result));
void pop3_queue_list(struct conn *conn);
int pop3_read_list(struct conn *conn, struct listing *listing, struct pop3_reply *reply,
	struct error *err) __attribute__((warn_unused_result));

/* The verbs whose replies transfer.c reads in its own loop. TOP: the header alone. */
void pop3_queue_top(struct conn *conn, uint32_t number);
void pop3_queue_retr(struct conn *conn, uint32_t number);
void pop3_queue_dele(struct conn *conn, uint32_t number);
void pop3_queue_noop(struct conn *conn);
void pop3_queue_stat(struct conn *conn);

/* QUIT: the first reply counts, some servers send two. */
void pop3_queue_quit(struct conn *conn);
int pop3_quit(struct conn *conn, struct pop3_reply *reply, struct error *err)
	__attribute__((warn_unused_result));

#endif
