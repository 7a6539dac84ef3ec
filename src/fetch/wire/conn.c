#include "fetch/wire/conn.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/quote.h"
#include "base/secret.h"
#include "base/xalloc.h"
#include "fetch/wire/mask.h"
#include "fetch/wire/net.h"
#include "fetch/wire/pace.h"
#include "fetch/wire/tls.h"
#include "link/link.h"

/* What one conn_fill() reads: much more adds nothing, and less costs system calls. */
#define FILL_SIZE 131072

/* A fill of fewer octets than this is a drop of a stream, worth waiting so long for more. */
#define DROP_MAX  (FILL_SIZE / 2)
#define GATHER_MS 1

/* Most octets of a line in the wire log; the log cuts a little beyond that. */
#define WIRE_SHOWN_MAX 1024

struct conn {
	const struct account *account;
	int fd;
	int watch_fd;
	struct link *link; /* hears signs of life; NULL: nobody does */
	struct tls *tls;   /* NULL: in clear */

	struct buf input;
	struct buf output;
	bool output_is_secret; /* its memory must be wiped */
	size_t last_fill;      /* octets that the last conn_fill() gave */
	int64_t last_progress; /* monotonic ms */
	struct pace pace;
	struct mask mask;

	/* Set when the stream broke behind octets that are still to be handed out. */
	bool is_broken;
	struct error broken;
	/* Set when nothing more can be sent, whatever can still be received. */
	bool is_mute;
	struct error mute;

	char local_name[NET_NAME_SIZE];
	char remote_name[NET_NAME_SIZE];
};

static int
start_tls(struct conn *conn, int64_t deadline, bool after_stls, struct error *err)
{
	struct tls_settings settings = {
		.account = conn->account,
		.after_stls = after_stls,
	};

	conn->tls = tls_new(conn->fd, &settings, err);
	if (conn->tls == NULL)
		return -1;
	if (tls_handshake(conn->tls, deadline, conn->watch_fd, err) != 0)
		return -1;
	conn->last_progress = clock_monotonic_ms();
	return 0;
}

struct conn *
conn_open(const struct account *account, int watch_fd, struct error *err)
{
	struct net_target target = {
		.host = account->host,
		.port = account->port,
		.deadline = clock_monotonic_ms() + account->connect_timeout_ms,
		.watch_fd = watch_fd,
	};
	struct conn *conn;
	int fd = net_connect(&target, err);

	if (fd < 0)
		return NULL;
	conn = xcalloc(1, sizeof *conn);
	conn->account = account;
	conn->fd = fd;
	conn->watch_fd = watch_fd;
	conn->last_progress = clock_monotonic_ms();
	pace_init(&conn->pace, account->min_rate, account->timeout_ms);
	net_name(fd, false, conn->local_name);
	net_name(fd, true, conn->remote_name);
	if (account->tls == ACCOUNT_TLS_IMPLICIT &&
		start_tls(conn, target.deadline, false, err) != 0) {
		conn_close(conn);
		return NULL;
	}
	return conn;
}

/* Forget what was to be sent, and wipe it when it held a secret. */
static void
drop_output(struct conn *conn)
{
	if (conn->output_is_secret)
		secret_wipe(conn->output.base, conn->output.size);
	conn->output_is_secret = false;
	buf_clear(&conn->output);
}

void
conn_close(struct conn *conn)
{
	if (conn == NULL)
		return;
	if (conn->tls != NULL)
		tls_say_goodbye(conn->tls);
	tls_free(conn->tls);
	close(conn->fd);
	drop_output(conn);
	mask_forget(&conn->mask);
	buf_release(&conn->output);
	buf_release(&conn->input);
	free(conn);
}

void
conn_unwatch(struct conn *conn)
{
	conn->watch_fd = -1;
}

void
conn_set_link(struct conn *conn, struct link *link)
{
	conn->link = link;
}

int
conn_start_tls(struct conn *conn, struct error *err)
{
	assert(conn->tls == NULL && conn->output.len == 0);
	if (conn->input.len != 0)
		return error_set(err, ERROR_TLS,
			"octets in clear came behind the answer to STLS: somebody may be tampering "
			"with the connection");
	return start_tls(conn, clock_monotonic_ms() + conn->account->connect_timeout_ms, true, err);
}

bool
conn_is_secure(const struct conn *conn)
{
	return conn->tls != NULL;
}

const char *
conn_security(const struct conn *conn)
{
	return conn->tls != NULL ? tls_description(conn->tls) : "no TLS";
}

unsigned
conn_key_bits(const struct conn *conn)
{
	return conn->tls != NULL ? tls_key_bits(conn->tls) : 0;
}

bool
conn_get_binding(const struct conn *conn, struct tls_binding *out)
{
	return conn->tls != NULL && tls_get_binding(conn->tls, out);
}

bool
conn_get_ticket(const struct conn *conn, struct secret *out)
{
	return conn->tls != NULL && tls_get_ticket(conn->tls, out);
}

const char *
conn_local_name(const struct conn *conn)
{
	return conn->local_name;
}

const char *
conn_remote_name(const struct conn *conn)
{
	return conn->remote_name;
}

static void
log_wire_line(char direction, const char *line, size_t len)
{
	char quoted[WIRE_SHOWN_MAX];

	if (log_is_on(LOG_LEVEL_WIRE))
		log_wire("%c %s", direction, quote_bytes_into(quoted, sizeof quoted, line, len));
}

/* A copy of what was received, without what a server repeats of our secrets. */
static void
log_received(const struct conn *conn, const char *line, size_t len)
{
	struct buf copy = {0};

	if (!log_is_on(LOG_LEVEL_WIRE))
		return;
	buf_append(&copy, line, len);
	log_wire_line('<', buf_data(&copy), mask_text(&conn->mask, buf_data(&copy), len));
	/* Its tail, moved up, may still stand behind it. */
	secret_wipe(copy.base, copy.size);
	buf_release(&copy);
}

/* Append a line and its CRLF. A growing buffer must not leave a secret behind in freed memory. */
static void
append_line(struct conn *conn, const char *line, size_t len)
{
	struct buf old = conn->output;

	assert(memchr(line, '\r', len) == NULL && memchr(line, '\n', len) == NULL &&
		memchr(line, '\0', len) == NULL);
	if (conn->output_is_secret && old.size - old.start - old.len < len + 2) {
		conn->output = (struct buf){0};
		buf_reserve(&conn->output, 2 * old.size + len + 2);
		buf_append(&conn->output, buf_data(&old), old.len);
		secret_wipe(old.base, old.size);
		buf_release(&old);
	}
	buf_append(&conn->output, line, len);
	buf_append(&conn->output, "\r\n", 2);
}

void
conn_queue(struct conn *conn, const char *command, size_t len)
{
	log_wire_line('>', command, len);
	append_line(conn, command, len);
}

void
conn_queuef(struct conn *conn, const char *format, ...)
{
	struct buf line = {0};
	va_list args;

	va_start(args, format);
	buf_vprintf(&line, format, args);
	va_end(args);
	conn_queue(conn, buf_data(&line), line.len);
	buf_release(&line);
}

void
conn_queue_secret(struct conn *conn, const char *line, size_t len, const char *shown)
{
	size_t open = strlen(shown) - strlen(MASK_SHOWN);

	assert(strcmp(shown + open, MASK_SHOWN) == 0 && open <= len);
	log_wire_line('>', shown, strlen(shown));
	conn->output_is_secret = true;
	conn_hide(conn, line + open, len - open);
	append_line(conn, line, len);
}

void
conn_hide(struct conn *conn, const void *secret, size_t len)
{
	mask_add(&conn->mask, secret, len);
}

size_t
conn_mask(const struct conn *conn, char *text, size_t len)
{
	return mask_text(&conn->mask, text, len);
}

void
conn_forget_secrets(struct conn *conn)
{
	mask_forget(&conn->mask);
}

size_t
conn_pending(const struct conn *conn)
{
	return conn->output.len;
}

/* As tls_send(), for either kind of connection. */
static int
send_some(struct conn *conn, size_t *len_out, struct error *err)
{
	const char *data = buf_data(&conn->output);
	ssize_t sent;

	if (conn->tls != NULL)
		return tls_send(conn->tls, data, conn->output.len, len_out, err);
	do
		sent = send(conn->fd, data, conn->output.len, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (sent < 0)
		return error_set(err, ERROR_NET, "connection lost: %s", strerror(errno));
	*len_out = (size_t)sent;
	return 1;
}

int
conn_flush(struct conn *conn, struct error *err)
{
	size_t sent = 0;
	int result = 1;

	/* TLS is one state for both directions: nothing goes out after a failure to receive. */
	if (conn->is_broken && conn->tls != NULL && conn->output.len != 0 && !conn->is_mute) {
		conn->is_mute = true;
		conn->mute = conn->broken;
	}
	while (!conn->is_mute && conn->output.len != 0 && result == 1) {
		result = send_some(conn, &sent, &conn->mute);
		if (result == 1) {
			conn->last_progress = clock_monotonic_ms();
			buf_consume(&conn->output, sent);
		}
		conn->is_mute = result < 0;
	}
	if (conn->output.len == 0 || conn->is_mute)
		drop_output(conn);
	if (conn->is_mute)
		*err = conn->mute;
	return conn->is_mute ? -1 : 0;
}

/* As tls_recv(), for either kind of connection, into the end of the input. */
static int
receive_some(struct conn *conn, struct error *err)
{
	size_t room = conn->tls != NULL ? TLS_RECORD_MAX : FILL_SIZE;
	char *data = buf_reserve(&conn->input, room);
	size_t len = 0;
	ssize_t got;
	int result;

	if (conn->tls != NULL) {
		result = tls_recv(conn->tls, data, room, &len, err);
		if (result == 1)
			buf_commit(&conn->input, len);
		return result;
	}
	do
		got = recv(conn->fd, data, room, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (got < 0)
		return error_set(err, ERROR_NET, "connection lost: %s", strerror(errno));
	if (got == 0)
		return error_set(err, ERROR_NET, "the server closed the connection");
	buf_commit(&conn->input, (size_t)got);
	return 1;
}

/* TLS hands out one record at a time: go on until a batch is full or no more is there. */
static int
receive_batch(struct conn *conn, struct error *err)
{
	size_t goal = conn->input.len + FILL_SIZE - TLS_RECORD_MAX;
	int first = receive_some(conn, err), more = first;

	while (conn->tls != NULL && more == 1 && conn->input.len < goal)
		more = receive_some(conn, &conn->broken);
	/* What came before the end of the stream is handed out first, then the end is told. */
	if (first < 0)
		conn->broken = *err;
	conn->is_broken = first < 0 || more < 0;
	return first;
}

/* All octets of the connection so far, TLS's own with them where there is TLS. */
static uint64_t
octets_received(const struct conn *conn)
{
	return conn->tls != NULL ? tls_octets_received(conn->tls) : conn->input.len;
}

int
conn_fill(struct conn *conn, struct error *err)
{
	uint64_t before = octets_received(conn), came;
	size_t held = conn->input.len;
	int result;

	if (conn->is_broken) {
		*err = conn->broken;
		return -1;
	}
	result = receive_batch(conn, err);
	conn->last_fill = conn->input.len - held;
	/* A long record that comes slowly is progress, although none of it can be read yet. */
	came = octets_received(conn) - before;
	if (result == 1 || came != 0)
		conn->last_progress = clock_monotonic_ms();
	pace_receive(&conn->pace, came);
	return result;
}

void
conn_expect_reply(struct conn *conn)
{
	pace_next_reply(&conn->pace, conn->input.len);
}

int
conn_next_line(struct conn *conn, struct conn_line *line, struct error *err)
{
	const char *data = buf_data(&conn->input);
	size_t seen = conn->input.len;
	const char *end;

	if (seen > CONN_LINE_MAX + 2)
		seen = CONN_LINE_MAX + 2;
	end = memchr(data, '\n', seen);
	if (end == NULL && seen < CONN_LINE_MAX + 2)
		return 0;
	if (end == NULL)
		return error_set(err, ERROR_PROTOCOL,
			"the server sent a line of more than %d octets", CONN_LINE_MAX);
	line->data = data;
	line->len = (size_t)(end - data);
	buf_consume(&conn->input, line->len + 1);
	if (line->len != 0 && data[line->len - 1] == '\r')
		line->len--;
	log_received(conn, line->data, line->len);
	return 1;
}

/*
 * Sending failed with `why`: the server may have said more ("-ERR too many connections") before it
 * hung up.
 */
static int
read_last_words(
	struct conn *conn, struct conn_line *line, const struct error *why, struct error *err)
{
	struct error ignored;
	int found;

	do
		found = conn_next_line(conn, line, &ignored);
	while (found == 0 && conn_fill(conn, &ignored) > 0);
	if (found > 0)
		return 0;
	/* An alert of TLS says why, which the failure to send does not. */
	*err = conn->is_broken && conn->broken.class == ERROR_TLS ? conn->broken : *why;
	return -1;
}

/* Something came, perhaps a part of a line only: the deliverer should know that we are at work. */
static int
fill_and_tell(struct conn *conn, struct error *err)
{
	if (conn_fill(conn, err) < 0)
		return -1;
	if (conn->link == NULL)
		return 0;
	link_put_alive(conn->link);
	return link_flush(conn->link, err);
}

int
conn_read_line(struct conn *conn, struct conn_line *line, struct error *err)
{
	struct conn_wait wait = {.other_events = POLLIN, .wants_input = true};
	struct error failure;
	int result;

	for (;;) {
		result = conn_next_line(conn, line, err);
		if (result != 0)
			return result < 0 ? -1 : 0;
		if (conn_flush(conn, &failure) != 0)
			return read_last_words(conn, line, &failure, err);
		wait.deadline = conn->last_progress + conn->account->timeout_ms;
		wait.other_fd = conn->watch_fd;
		if (conn_wait(conn, &wait, err) != 0)
			return -1;
		if (wait.other_revents != 0)
			return net_set_interrupted(err);
		if (wait.timed_out)
			return error_set(err, ERROR_TIMEOUT, "no answer for %lld second%s",
				(long long)conn->account->timeout_ms / 1000,
				plural((uint64_t)conn->account->timeout_ms / 1000));
		if (wait.has_input && fill_and_tell(conn, err) != 0)
			return -1;
	}
}

const char *
conn_peek(const struct conn *conn, size_t *len_out)
{
	*len_out = conn->input.len;
	return buf_data(&conn->input);
}

void
conn_consume(struct conn *conn, size_t len)
{
	buf_consume(&conn->input, len);
}

/*
 * Whether to let the server's octets gather for a while before they are looked at. Nothing of ours
 * may wait meanwhile, and an empty or a full fill is no drop.
 */
static bool
wants_gathering(const struct conn *conn, const struct conn_wait *wait)
{
	return wait->is_stream && wait->wants_input && conn->output.len == 0 &&
		conn->last_fill != 0 && conn->last_fill < DROP_MAX;
}

/*
 * poll(2) until the deadline, after a while of gathering that the other descriptor ends, too; what
 * was waited for the server's octets counts for its pace.
 */
static int
poll_both(struct conn *conn, struct pollfd fds[static 2], const struct conn_wait *wait)
{
	int64_t started = clock_monotonic_ms(), deadline = wait->deadline,
		left = wait->wants_input ? pace_left_ms(&conn->pace) : CLOCK_NEVER;
	int ready = 0;

	if (left < deadline - started)
		deadline = started + left;
	if (wants_gathering(conn, wait) && clock_poll_timeout(deadline) > GATHER_MS)
		ready = poll(&fds[1], 1, GATHER_MS);
	if (ready >= 0)
		ready = poll(fds, 2, clock_poll_timeout(deadline));
	if (wait->wants_input)
		pace_wait(&conn->pace, clock_monotonic_ms() - started);
	return ready;
}

int
conn_wait(struct conn *conn, struct conn_wait *wait, struct error *err)
{
	bool is_ready = wait->wants_input &&
		(conn->is_broken || (conn->tls != NULL && tls_has_buffered(conn->tls)));
	bool wants_output = conn->output.len != 0;
	struct pollfd fds[] = {
		{.fd = conn->fd,       .events = 0                 },
		{.fd = wait->other_fd, .events = wait->other_events},
	};
	int ready;

	if (wait->wants_input && !is_ready && pace_check(&conn->pace, err) != 0)
		return -1;
	if (wait->wants_input)
		fds[0].events |= POLLIN;
	if (wants_output)
		fds[0].events |= POLLOUT;
	/* Of a server that hung up poll(2) would tell without end, also when nobody asks. */
	if (fds[0].events == 0)
		fds[0].fd = -1;

	if (is_ready)
		ready = poll(fds, 2, 0);
	else
		ready = poll_both(conn, fds, wait);
	if (ready < 0 && errno != EINTR)
		return error_set_errno(err, ERROR_SYSTEM, "poll");
	if (ready < 0)
		fds[0].revents = fds[1].revents = 0;
	wait->has_input = is_ready || (wait->wants_input && (fds[0].revents & ~POLLOUT) != 0);
	wait->has_output = wants_output && (fds[0].revents & ~POLLIN) != 0;
	wait->other_revents = fds[1].revents;
	wait->timed_out = ready <= 0 && !is_ready && clock_monotonic_ms() >= wait->deadline;
	return 0;
}

int64_t
conn_last_progress(const struct conn *conn)
{
	return conn->last_progress;
}
