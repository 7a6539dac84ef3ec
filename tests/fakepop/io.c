#include "io.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util.h"

/* Output is sent once this much waits, whatever else the client has asked for. */
#define FLUSH_AT (256 * 1024)

/* Input is read in pieces of this size; also the longest command line. */
#define INPUT_SIZE (256 * 1024)

struct io {
	struct io_settings set;
	gnutls_session_t tls; /* NULL: in clear */
	char in[INPUT_SIZE + 1];
	size_t in_start, in_end;
	struct bytes out;
	bool is_cutting;
	uint64_t cut_left;
	size_t drip_octets; /* 0: no dripping */
	int64_t drip_ms;
	unsigned flights; /* how often the client was waited for */
};

struct io *
io_new(const struct io_settings *settings)
{
	struct io *io = grow(NULL, 1, sizeof *io);

	memset(io, 0, sizeof *io);
	io->set = *settings;
	return io;
}

static void
transcribe(struct io *io, char mark, const char *data, size_t len)
{
	struct bytes line = {NULL, 0, 0};
	char piece[32];

	if (io->set.transcript < 0)
		return;
	bytes_add(&line, piece,
		(size_t)snprintf(piece, sizeof piece, "%u%c ", io->set.session, mark));
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)data[i];

		if (c >= 0x20 && c <= 0x7e && c != '\\')
			bytes_add(&line, &c, 1);
		else
			bytes_add(&line, piece,
				(size_t)snprintf(
					piece, sizeof piece, c == '\\' ? "\\\\" : "\\x%02x", c));
	}
	bytes_add(&line, "\n", 1);
	/* One write on an O_APPEND descriptor: lines of concurrent sessions stay whole. */
	if (!write_whole(io->set.transcript, line.data, line.len))
		die("cannot write the transcript: %s", strerror(errno));
	bytes_release(&line);
}

void
io_note(struct io *io, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	transcribe(io, '*', text, strlen(text));
}

static _Noreturn void
leave(struct io *io, const char *why)
{
	io_note(io, "end %s flights=%u", why, io->flights);
	close(io->set.fd);
	exit(0);
}

static void
send_some(struct io *io, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t sent = io->tls != NULL ? gnutls_record_send(io->tls, data, len)
					       : send(io->set.fd, data, len, MSG_NOSIGNAL);

		if (sent == GNUTLS_E_AGAIN || sent == GNUTLS_E_INTERRUPTED)
			continue;
		if (sent < 0 && io->tls == NULL && errno == EINTR)
			continue;
		if (sent < 0)
			leave(io, "client-gone");
		data += sent;
		len -= (size_t)sent;
	}
}

void
io_flush(struct io *io)
{
	size_t at = 0;

	while (io->drip_octets != 0 && io->out.len - at > io->drip_octets) {
		send_some(io, io->out.data + at, io->drip_octets);
		at += io->drip_octets;
		sleep_ms(io->drip_ms);
	}
	send_some(io, io->out.data + at, io->out.len - at);
	io->out.len = 0;
}

void
io_end(struct io *io, enum io_ending ending, const char *why)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	io_flush(io);
	if (ending == IO_BYE && io->tls != NULL)
		gnutls_bye(io->tls, GNUTLS_SHUT_WR);
	if (ending == IO_RESET)
		setsockopt(io->set.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	else
		/* Unread input would turn our FIN into a RST that overtakes the last answer. */
		io_discard_input(io);
	leave(io, why);
}

char *
io_reserve(struct io *io, size_t room)
{
	return bytes_reserve(&io->out, room);
}

void
io_commit(struct io *io, size_t len)
{
	if (io->is_cutting && len >= io->cut_left) {
		io->out.len += (size_t)io->cut_left;
		io_end(io, IO_DROP, "cut");
	}
	if (io->is_cutting)
		io->cut_left -= len;
	io->out.len += len;
	if (io->out.len >= FLUSH_AT)
		io_flush(io);
}

void
io_write(struct io *io, const void *data, size_t len)
{
	if (len == 0)
		return;
	memcpy(io_reserve(io, len), data, len);
	io_commit(io, len);
}

void
io_flood(struct io *io, const char *data, size_t len, uint64_t octets)
{
	struct bytes block = {NULL, 0, 0};
	uint64_t left = octets;

	if (len == 0)
		die("a flood of nothing");
	while (block.len < FLUSH_AT)
		bytes_add(&block, data, len);
	while (octets == 0 || left != 0) {
		size_t now = octets != 0 && left < block.len ? (size_t)left : block.len;

		io_write(io, block.data, now);
		left -= now;
	}
	bytes_release(&block);
}

void
io_line(struct io *io, const char *format, ...)
{
	char text[4096];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof text - 2, format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof text - 2)
		die("a reply is too long");
	text[len] = '\r';
	text[len + 1] = '\n';
	io_write(io, text, (size_t)len + 2);
}

void
io_cut_after(struct io *io, uint64_t octets)
{
	/* What was asked for before is answered whole. */
	io_flush(io);
	io->is_cutting = true;
	io->cut_left = octets;
	if (octets == 0)
		io_end(io, IO_DROP, "cut");
}

void
io_drip(struct io *io, size_t octets, int64_t ms)
{
	io_flush(io);
	io->drip_octets = octets;
	io->drip_ms = ms;
}

/* What the client sends now, at most `room` octets; 0 at its end. */
static size_t
receive(struct io *io, char *out, size_t room)
{
	ssize_t got;

	do {
		got = io->tls != NULL ? gnutls_record_recv(io->tls, out, room)
				      : recv(io->set.fd, out, room, 0);
	} while (got == GNUTLS_E_AGAIN || got == GNUTLS_E_INTERRUPTED ||
		(got < 0 && io->tls == NULL && errno == EINTR));
	if (got < 0 && io->tls != NULL && got != GNUTLS_E_PREMATURE_TERMINATION)
		io_note(io, "receive: %s", gnutls_strerror((int)got));
	return got > 0 ? (size_t)got : 0;
}

static void
fill(struct io *io)
{
	size_t got;

	if (io->in_end - io->in_start >= INPUT_SIZE)
		io_end(io, IO_DROP, "line-too-long");
	memmove(io->in, io->in + io->in_start, io->in_end - io->in_start);
	io->in_end -= io->in_start;
	io->in_start = 0;
	io_flush(io);
	io->flights++;
	got = receive(io, io->in + io->in_end, INPUT_SIZE - io->in_end);
	if (got == 0)
		leave(io, "client-closed");
	io->in_end += got;
	if (io->set.latency_ms > 0)
		sleep_ms(io->set.latency_ms);
}

char *
io_read_line(struct io *io, size_t *len_out)
{
	char *line, *end;
	size_t len;

	while ((end = memchr(io->in + io->in_start, '\n', io->in_end - io->in_start)) == NULL)
		fill(io);
	line = io->in + io->in_start;
	len = (size_t)(end - line);
	io->in_start += len + 1;
	if (len > 0 && line[len - 1] == '\r')
		len--;
	else
		io_note(io, "bare LF");
	line[len] = '\0';
	transcribe(io, '>', line, len);
	*len_out = len;
	return line;
}

bool
io_has_input(struct io *io)
{
	struct pollfd fd = {.fd = io->set.fd, .events = POLLIN};

	if (io->in_end != io->in_start)
		return true;
	if (io->tls != NULL && gnutls_record_check_pending(io->tls) > 0)
		return true;
	return poll(&fd, 1, 0) > 0;
}

void
io_discard_input(struct io *io)
{
	char waste[4096];

	io->in_start = io->in_end = 0;
	while (recv(io->set.fd, waste, sizeof waste, MSG_DONTWAIT) > 0)
		continue;
}

void
io_stall(struct io *io)
{
	char waste[4096];

	io_flush(io);
	while (receive(io, waste, sizeof waste) > 0)
		continue;
	leave(io, "stalled");
}

bool
io_is_tls(const struct io *io)
{
	return io->tls != NULL;
}

/* The name that the client asked for (SNI). */
static void
note_name(struct io *io)
{
	char name[256];
	size_t size = sizeof name;
	unsigned type = 0;

	if (gnutls_server_name_get(io->tls, name, &size, &type, 0) == GNUTLS_E_SUCCESS)
		io_note(io, "name %s", name);
}

void
io_start_tls(struct io *io)
{
	int status;

	io_flush(io);
	io->in_start = io->in_end = 0;
	if (io->set.credentials == NULL)
		die("TLS is asked for: give --tls or --stls CERT KEY");
	gnutls_init(&io->tls, GNUTLS_SERVER | GNUTLS_NO_SIGNAL);
	if (io->set.priority != NULL)
		status = gnutls_priority_set_direct(io->tls, io->set.priority, NULL);
	else
		status = gnutls_set_default_priority(io->tls);
	if (status != GNUTLS_E_SUCCESS)
		die("TLS priority: %s", gnutls_strerror(status));
	gnutls_credentials_set(io->tls, GNUTLS_CRD_CERTIFICATE, io->set.credentials);
	if (io->set.ticket_key.size != 0 &&
		gnutls_session_ticket_enable_server(io->tls, &io->set.ticket_key) != 0)
		die("TLS tickets cannot be had");
	if (io->set.asks_for_certificate) {
		gnutls_certificate_server_set_request(io->tls, GNUTLS_CERT_REQUIRE);
		gnutls_session_set_verify_cert(io->tls, NULL, 0);
	}
	gnutls_transport_set_int(io->tls, io->set.fd);
	do {
		status = gnutls_handshake(io->tls);
	} while (status < 0 && !gnutls_error_is_fatal(status));
	if (status < 0) {
		io_note(io, "handshake: %s", gnutls_strerror(status));
		(void)gnutls_alert_send_appropriate(io->tls, status);
		leave(io, "handshake-failed");
	}
	note_name(io);
	io_note(io, "tls %s%s", gnutls_protocol_get_name(gnutls_protocol_get_version(io->tls)),
		gnutls_session_is_resumed(io->tls) != 0 ? " resumed" : "");
}
