/*
 * The connection to one server: octets and lines in both directions, in clear
 * or through TLS, with deadlines, and the wire log. It knows nothing of POP3
 * but the CRLF.
 *
 *	conn_open()          every address in turn; the TLS handshake when implicit
 *	conn_queue…()        commands into memory
 *	conn_flush(), conn_fill(), conn_wait()   the non-blocking trio for pipelining
 *	conn_read_line()     flush and wait for a line: lock step
 *	conn_expect_reply()  after each reply: the pace is measured within replies only
 *	conn_start_tls()     after +OK to STLS
 *	conn_close()
 *
 * Errors: ERROR_NET (refused, reset, closed), ERROR_TIMEOUT, ERROR_TLS,
 * ERROR_PROTOCOL (a line too long), ERROR_INTERRUPTED (the watched descriptor),
 * ERROR_CONFIG (tls-trust-file), ERROR_SYSTEM. Their texts do not name the host:
 * the caller puts that in front.
 */
#ifndef POPHAUL_FETCH_WIRE_CONN_H
#define POPHAUL_FETCH_WIRE_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "config/account.h"

/* The longest reply line: SASL challenges have no limit of their own (RFC 5034), this is ours. */
#define CONN_LINE_MAX 65536

struct conn;
struct link;
struct secret;
struct tls_binding;

/* A received line without its end (CRLF or LF); the pointer holds until the next conn call. */
struct conn_line {
	const char *data;
	size_t len;
};

/*
 * Resolve, connect (each address in turn, within connect_timeout_ms in all) and, for implicit
 * TLS, shake hands and verify. NULL on failure. While it and later conn_read_line() wait, they
 * also watch `watch_fd` (-1: nothing): when that is readable or closed, the wait ends with
 * ERROR_INTERRUPTED. `account` must outlive the connection.
 */
struct conn *conn_open(const struct account *account, int watch_fd, struct error *err)
	__attribute__((warn_unused_result));

/* Say close_notify without waiting, close, free. NULL is fine. */
void conn_close(struct conn *conn);

/* Watch no other descriptor from now on. */
void conn_unwatch(struct conn *conn);

/*
 * The deliverer's link, borrowed: while octets come, however slowly, conn_read_line() sends it
 * signs of life (link_put_alive()), so that only a silent server is taken for a dead one.
 */
void conn_set_link(struct conn *conn, struct link *link);

/*
 * TLS handshake after +OK to STLS, within connect_timeout_ms. Octets already received behind that
 * reply are an ERROR_TLS (response injection).
 */
int conn_start_tls(struct conn *conn, struct error *err) __attribute__((warn_unused_result));

bool conn_is_secure(const struct conn *conn);

/* What protects the connection, for the log: "TLS1.3 AES-256-GCM", or "no TLS". Borrowed. */
const char *conn_security(const struct conn *conn);

/* The strength of the TLS cipher in bits, 0 in clear: SASL's external security factor. */
unsigned conn_key_bits(const struct conn *conn);

/* What a login over this connection can be bound to (tls.h); false: nothing, as in clear. */
bool conn_get_binding(const struct conn *conn, struct tls_binding *out);

/* A ticket for the next connection's TLS (tls.h), where this one's server has sent one. */
bool conn_get_ticket(const struct conn *conn, struct secret *out);

/* "ADDRESS;PORT" of either end, as SASL wants them. Borrowed. */
const char *conn_local_name(const struct conn *conn);
const char *conn_remote_name(const struct conn *conn);

/* Queue a command of `len` octets; CRLF is added. It holds no CR, LF or NUL: asserted. */
void conn_queue(struct conn *conn, const char *command, size_t len);
void conn_queuef(struct conn *conn, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * As conn_queue(), for lines that end with a secret: the wire log shows `shown` instead, which has
 * MASK_SHOWN in the secret's place; the queue's copy is wiped once sent. The secret is hidden
 * from then on, as by conn_hide().
 */
void conn_queue_secret(struct conn *conn, const char *line, size_t len, const char *shown);

/*
 * Show a secret nowhere, should the server repeat it: not in the wire log, nor in what went through
 * conn_mask(), which every text of the server has to before it gets into an error (mask.h).
 */
void conn_hide(struct conn *conn, const void *secret, size_t len);

/* mask_text() with the secrets of this connection. Returns the new length. */
size_t conn_mask(const struct conn *conn, char *text, size_t len);

/* The login is over: wipe them. */
void conn_forget_secrets(struct conn *conn);

/* Octets queued and not yet handed to the kernel. */
size_t conn_pending(const struct conn *conn);

/*
 * Send what the kernel takes now. After a failure each later call fails alike; conn_fill() may
 * still get what the server said before it hung up.
 */
int conn_flush(struct conn *conn, struct error *err) __attribute__((warn_unused_result));

/* Receive what is there now. 1: something came, 0: nothing yet; end of stream is ERROR_NET. */
int conn_fill(struct conn *conn, struct error *err) __attribute__((warn_unused_result));

/*
 * The next whole line of what was received. 1: `line`; 0: none yet; -1: longer than CONN_LINE_MAX.
 * Logged to the wire log.
 */
int conn_next_line(struct conn *conn, struct conn_line *line, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Flush and wait for a line, until nothing has moved in either direction (conn_last_progress())
 * for the account's timeout, or as conn_wait() says. Where sending fails, what the server said last
 * is the result, if that is a whole line.
 */
int conn_read_line(struct conn *conn, struct conn_line *line, struct error *err)
	__attribute__((warn_unused_result));

/*
 * The reply before is complete and taken: the server may think about the next one for as long as
 * its idle limit allows. Without this call all waiting counts as waiting within a reply.
 */
void conn_expect_reply(struct conn *conn);

/* All that was received and not yet taken; for bodies. */
const char *conn_peek(const struct conn *conn, size_t *len_out);
void conn_consume(struct conn *conn, size_t len);

/* What conn_wait() is to wait for, and what it found. */
struct conn_wait {
	int64_t deadline;   /* absolute, clock.h */
	int other_fd;       /* a second descriptor to wait for; -1: none */
	short other_events; /* as poll(2) */
	bool wants_input;   /* in: wait for octets of the server */
	bool is_stream;     /* in: much more of them is on its way, whatever we do */
	bool has_input;     /* out: conn_fill() will get something */
	bool has_output; /* out: conn_flush() will get on (waited for when something is queued) */
	short other_revents; /* out */
	bool timed_out;      /* out */
};

/*
 * poll() both ends; knows what TLS holds back. In a stream that comes in drops, it lets a
 * millisecond's worth gather: each wake-up costs both this process and those behind it.
 * A signal, or the need to look at the server's pace, ends it early, with nothing found.
 * ERROR_TIMEOUT: within a reply (conn_expect_reply()) the server sends more slowly than the
 * account's min_rate (pace.h). ERROR_SYSTEM: poll(2) failed.
 */
int conn_wait(struct conn *conn, struct conn_wait *wait, struct error *err)
	__attribute__((warn_unused_result));

/*
 * When the connection last got on (monotonic ms): an octet came from the server, or the kernel took
 * one of ours. The base of idle deadlines.
 */
int64_t conn_last_progress(const struct conn *conn);

#endif
