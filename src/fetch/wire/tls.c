#include "fetch/wire/tls.h"

#include <assert.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "fetch/wire/net.h"
#include "fetch/wire/tlskeys.h"
#include "fetch/wire/tlsreport.h"
#include "fetch/wire/tlsticket.h"
#include "fetch/wire/tlstrust.h"

/* GnuTLS alone calls recv(2) twice a record; servers that make a record of each line show that. */
#define RAW_SIZE 131072

/* What a person wants to know of the handshakes of this process. */
static bool keeps_report;
static struct buf report;

struct tls {
	int fd;
	const struct account *account;
	bool after_stls;

	gnutls_session_t session;
	struct tlstrust trust;

	int socket_errno; /* of the last failed send or recv */
	bool began_with_ticket;
	bool is_broken;            /* a send or recv has failed for good */
	size_t unsent;             /* octets of a send that GnuTLS has encrypted and not sent */
	uint64_t received;         /* octets from the socket */
	char first_octets[4];      /* the very first of them: tells POP3 in clear from TLS */
	char description[64];      /* TLS version and cipher; "" before the handshake */
	size_t raw_start, raw_len; /* what of `raw` GnuTLS has not yet taken */
	char *raw;                 /* RAW_SIZE octets, not zeroed: few sessions touch them all */
};

int
tls_prepare(bool needs_system_trust, struct error *err)
{
	tlskeys_prepare();
	return tlstrust_prepare(needs_system_trust, err);
}

int
tls_preload(const struct account *account, struct error *err)
{
	return tlstrust_load(account, err);
}

void
tls_open_key_log(void)
{
	tlskeys_open();
}

/* The transport functions that GnuTLS calls: errno is its way to hear of EAGAIN. */

/* Refill `raw`; 1, or what recv(2) gave: 0 at the end of the stream, -1 and errno. */
static int
receive_raw(struct tls *tls)
{
	ssize_t got;

	do
		got = recv(tls->fd, tls->raw, RAW_SIZE, 0);
	while (got < 0 && errno == EINTR);
	if (got <= 0) {
		tls->socket_errno = got < 0 ? errno : 0;
		return (int)got;
	}
	for (size_t i = 0; i < (size_t)got && tls->received + i < sizeof tls->first_octets; i++)
		tls->first_octets[tls->received + i] = tls->raw[i];
	tls->received += (size_t)got;
	tls->raw_start = 0;
	tls->raw_len = (size_t)got;
	return 1;
}

static ssize_t
pull(gnutls_transport_ptr_t transport, void *data, size_t len)
{
	struct tls *tls = transport;
	int result = tls->raw_len != 0 ? 1 : receive_raw(tls);

	if (result != 1)
		return result;
	if (len > tls->raw_len)
		len = tls->raw_len;
	memcpy(data, tls->raw + tls->raw_start, len);
	tls->raw_start += len;
	tls->raw_len -= len;
	return (ssize_t)len;
}

static int
pull_timeout(gnutls_transport_ptr_t transport, unsigned ms)
{
	struct tls *tls = transport;
	struct pollfd fd = {.fd = tls->fd, .events = POLLIN};

	return tls->raw_len != 0 ? 1 : poll(&fd, 1, (int)ms);
}

static ssize_t
push(gnutls_transport_ptr_t transport, const giovec_t *pieces, int count)
{
	struct tls *tls = transport;
	struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = (size_t)count};
	ssize_t sent;

	do
		sent = sendmsg(tls->fd, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		tls->socket_errno = errno;
	return sent;
}

static int
set_up_session(struct tls *tls, struct error *err)
{
	gnutls_datum_t alpn = {.data = (unsigned char *)"pop3", .size = 4};
	unsigned flags = GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL |
		tlstrust_init_flags(tls->account);
	int code = gnutls_init(&tls->session, flags);

	if (code != 0)
		return tlstrust_library_error(err, "TLS cannot be set up", code);
	if (tlstrust_set_up(&tls->trust, tls->account, tls->session, err) != 0)
		return -1;
	code = gnutls_alpn_set_protocols(tls->session, &alpn, 1, 0);
	if (code != 0)
		return tlstrust_library_error(err, "TLS cannot be set up", code);
	gnutls_transport_set_ptr(tls->session, tls);
	gnutls_transport_set_pull_function(tls->session, pull);
	gnutls_transport_set_pull_timeout_function(tls->session, pull_timeout);
	gnutls_transport_set_vec_push_function(tls->session, push);
	tlskeys_attach(tls->session);
	return 0;
}

/* A damaged ticket damages the session that it was meant for: it begins anew without one. */
static int
use_ticket(struct tls *tls, struct error *err)
{
	int used = tlsticket_use(tls->session);

	tls->began_with_ticket = used > 0;
	if (used >= 0)
		return 0;
	gnutls_deinit(tls->session);
	tls->session = NULL;
	return set_up_session(tls, err);
}

struct tls *
tls_new(int fd, const struct tls_settings *settings, struct error *err)
{
	struct tls *tls;

	if (tlstrust_load(settings->account, err) != 0)
		return NULL;
	tls = xcalloc(1, sizeof *tls);
	tls->raw = xreallocarray(NULL, RAW_SIZE, 1);
	tls->fd = fd;
	tls->account = settings->account;
	tls->after_stls = settings->after_stls;
	if (set_up_session(tls, err) != 0 || use_ticket(tls, err) != 0) {
		tls_free(tls);
		return NULL;
	}
	return tls;
}

void
tls_free(struct tls *tls)
{
	if (tls == NULL)
		return;
	if (tls->session != NULL)
		gnutls_deinit(tls->session);
	tlstrust_release(&tls->trust);
	free(tls->raw);
	free(tls);
}

/* What a POP3 server says first when no TLS was expected. */
static bool
is_speaking_clear(const struct tls *tls)
{
	return memcmp(tls->first_octets, "+OK", 3) == 0 ||
		memcmp(tls->first_octets, "-ERR", 4) == 0;
}

static int
clear_text_error(const struct tls *tls, struct error *err)
{
	if (tls->after_stls)
		return error_set(
			err, ERROR_TLS, "the server sent POP3 in clear after it agreed to STLS");
	return error_set(err, ERROR_TLS,
		"the server speaks POP3 in clear on this port: use tls = \"starttls\", or its "
		"port for TLS (995)");
}

/* Whether an alert is about the certificate that we showed, or did not show. */
static bool
is_about_ours(gnutls_alert_description_t alert)
{
	switch (alert) {
	case GNUTLS_A_BAD_CERTIFICATE:
	case GNUTLS_A_UNSUPPORTED_CERTIFICATE:
	case GNUTLS_A_CERTIFICATE_REVOKED:
	case GNUTLS_A_CERTIFICATE_EXPIRED:
	case GNUTLS_A_CERTIFICATE_UNKNOWN:
	case GNUTLS_A_UNKNOWN_CA:
	case GNUTLS_A_ACCESS_DENIED:
	case GNUTLS_A_DECRYPT_ERROR:
	case GNUTLS_A_CERTIFICATE_REQUIRED:
		return true;
	default:
		return false;
	}
}

static int
alert_error(const struct tls *tls, struct error *err)
{
	gnutls_alert_description_t alert = gnutls_alert_get(tls->session);
	bool has_ours = tls->account->tls_cert != NULL;
	const char *name = gnutls_alert_get_name(alert);

	if (name == NULL)
		name = "alert of an unknown kind";
	if (alert == GNUTLS_A_PROTOCOL_VERSION)
		return error_set(err, ERROR_TLS,
			"the server has neither TLS 1.2 nor TLS 1.3; older versions are not safe");
	if (has_ours && is_about_ours(alert))
		return error_set(
			err, ERROR_TLS, "the server refused the certificate of tls-cert: %s", name);
	/* Before TLS 1.3 the lack of one has no alert of its own. */
	if (!has_ours &&
		(is_about_ours(alert) ||
			gnutls_certificate_client_get_request_status(tls->session) == 1))
		return error_set(err, ERROR_TLS,
			"the server broke TLS off: %s: it may want a certificate of ours, which "
			"tls-cert would name",
			name);
	return error_set(err, ERROR_TLS, "the server broke TLS off: %s", name);
}

/* A fatal code of GnuTLS; `where` says when it came, for codes without words of ours. */
static int
session_error(const struct tls *tls, const char *where, int code, struct error *err)
{
	switch (code) {
	case GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR:
		return tlstrust_refuse(&tls->trust, tls->session, err);
	case GNUTLS_E_PREMATURE_TERMINATION:
		return error_set(err, ERROR_NET,
			"the server closed the connection without TLS close_notify");
	case GNUTLS_E_PULL_ERROR:
	case GNUTLS_E_PUSH_ERROR:
		return error_set(
			err, ERROR_NET, "connection lost: %s", strerror(tls->socket_errno));
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		return alert_error(tls, err);
	case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
		return error_set(err, ERROR_TLS,
			"the server has neither TLS 1.2 nor TLS 1.3; older versions are not safe");
	default:
		return tlstrust_library_error(err, where, code);
	}
}

static int
handshake_error(const struct tls *tls, int code, struct error *err)
{
	if (is_speaking_clear(tls))
		return clear_text_error(tls, err);
	if (code == GNUTLS_E_PREMATURE_TERMINATION)
		return error_set(err, ERROR_NET,
			"the server closed the connection during the TLS handshake");
	session_error(tls,
		account_has_token_key(tls->account) ? "TLS handshake with a key of a PKCS#11 token"
						    : "TLS handshake",
		code, err);
	/* The server's administrator should read in a log why; nobody here waits for that. */
	(void)gnutls_alert_send_appropriate(tls->session, code);
	return -1;
}

/* What tlstrust_load() should have left: no string, of whatever length, decides about this. */
static int
check_agreement(gnutls_session_t session, struct error *err)
{
	gnutls_cipher_algorithm_t cipher = gnutls_cipher_get(session);

	if (gnutls_protocol_get_version(session) < GNUTLS_TLS1_2 || cipher == GNUTLS_CIPHER_NULL ||
		cipher == GNUTLS_CIPHER_ARCFOUR_128)
		return error_set(err, ERROR_TLS,
			"%s with %s is what the server agreed on, and that is not safe: look at "
			"'tls-priority'",
			gnutls_protocol_get_name(gnutls_protocol_get_version(session)),
			gnutls_cipher_get_name(cipher));
	return 0;
}

static int
shake_hands(struct tls *tls, int64_t deadline, int watch_fd, struct error *err)
{
	int code;

	while ((code = gnutls_handshake(tls->session)) != 0) {
		short events = gnutls_record_get_direction(tls->session) != 0 ? POLLOUT : POLLIN;

		if (gnutls_error_is_fatal(code))
			return handshake_error(tls, code, err);
		/* A server that always has one more octet must not outlive the deadline. */
		if (clock_monotonic_ms() >= deadline)
			return error_set(err, ERROR_TIMEOUT, "TLS handshake: timed out");
		if ((code == GNUTLS_E_AGAIN || tls->raw_len == 0) &&
			net_wait(tls->fd, events, deadline, watch_fd, err) != 0)
			return error_prefix(err, "TLS handshake");
	}
	snprintf(tls->description, sizeof tls->description, "%s %s%s",
		gnutls_protocol_get_name(gnutls_protocol_get_version(tls->session)),
		gnutls_cipher_get_name(gnutls_cipher_get(tls->session)),
		gnutls_session_is_resumed(tls->session) != 0 ? ", resumed" : "");
	if (check_agreement(tls->session, err) != 0)
		return -1;
	return tlstrust_check(&tls->trust, tls->session, err);
}

int
tls_handshake(struct tls *tls, int64_t deadline, int watch_fd, struct error *err)
{
	int result = shake_hands(tls, deadline, watch_fd, err);

	if (keeps_report)
		tlsreport_write(tls->session, tls->description, &report);
	if (result == 0)
		return 0;
	/* A server that is slow or away, and a user who wants to leave, are so without it too. */
	if (tls->began_with_ticket && err->class != ERROR_TIMEOUT &&
		err->class != ERROR_INTERRUPTED)
		tlsticket_failed();
	return -1;
}

void
tls_keep_report(void)
{
	keeps_report = true;
}

void
tls_take_report(struct buf *out)
{
	buf_append(out, buf_data(&report), report.len);
	buf_release(&report);
}

void
tls_bind_tickets(const struct account *account)
{
	tlsticket_bind(account);
}

void
tls_offer_ticket(struct secret *kept)
{
	tlsticket_offer(kept);
}

bool
tls_ticket_failed(void)
{
	return tlsticket_take_failure();
}

bool
tls_get_ticket(const struct tls *tls, struct secret *out)
{
	return tlsticket_make(tls->session, out);
}

int
tls_recv(struct tls *tls, char *data, size_t room, size_t *len_out, struct error *err)
{
	ssize_t got = gnutls_record_recv(tls->session, data, room);

	if (got > 0) {
		*len_out = (size_t)got;
		return 1;
	}
	if (got == 0)
		return error_set(err, ERROR_NET, "the server closed the connection");
	/* Also tickets, and offers to renegotiate, which are passed over. */
	if (!gnutls_error_is_fatal((int)got))
		return 0;
	tls->is_broken = true;
	return session_error(tls, "TLS", (int)got, err);
}

int
tls_send(struct tls *tls, const char *data, size_t len, size_t *len_out, struct error *err)
{
	ssize_t sent;

	if (tls->unsent != 0) {
		assert(len >= tls->unsent);
		len = tls->unsent;
	} else if (len > TLS_RECORD_MAX) {
		len = TLS_RECORD_MAX;
	}
	sent = gnutls_record_send(tls->session, data, len);
	if (sent >= 0) {
		tls->unsent = 0;
		*len_out = (size_t)sent;
		return 1;
	}
	if (gnutls_error_is_fatal((int)sent)) {
		tls->is_broken = true;
		return session_error(tls, "TLS", (int)sent, err);
	}
	tls->unsent = len;
	return 0;
}

bool
tls_has_buffered(const struct tls *tls)
{
	return tls->raw_len != 0 || gnutls_record_check_pending(tls->session) != 0;
}

uint64_t
tls_octets_received(const struct tls *tls)
{
	return tls->received;
}

void
tls_say_goodbye(struct tls *tls)
{
	if (tls->description[0] == '\0' || tls->is_broken)
		return; /* there is no session to end */
	/* Whether it arrives changes nothing for us: all that matters was answered before. */
	(void)gnutls_bye(tls->session, GNUTLS_SHUT_WR);
}

static gnutls_channel_binding_t
best_binding(const struct tls *tls, const char **type_out)
{
	if (gnutls_protocol_get_version(tls->session) >= GNUTLS_TLS1_3) {
		*type_out = "tls-exporter";
		return GNUTLS_CB_TLS_EXPORTER;
	}
	if (gnutls_session_ext_master_secret_status(tls->session) != 0) {
		*type_out = "tls-unique";
		return GNUTLS_CB_TLS_UNIQUE;
	}
	*type_out = "tls-server-end-point";
	return GNUTLS_CB_TLS_SERVER_END_POINT;
}

bool
tls_get_binding(const struct tls *tls, struct tls_binding *out)
{
	gnutls_channel_binding_t kind = best_binding(tls, &out->type);
	gnutls_datum_t data = {0};
	bool has_one = gnutls_session_channel_binding(tls->session, kind, &data) == 0 &&
		data.size != 0 && data.size <= sizeof out->data;

	out->len = has_one ? data.size : 0;
	if (has_one)
		memcpy(out->data, data.data, data.size);
	gnutls_free(data.data);
	return has_one;
}

unsigned
tls_key_bits(const struct tls *tls)
{
	return (unsigned)gnutls_cipher_get_key_size(gnutls_cipher_get(tls->session)) * 8;
}

const char *
tls_description(const struct tls *tls)
{
	return tls->description;
}
