#include "fetch/wire/conn.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "check.h"
#include "fetch/wire/net.h"

/* Long enough for a loaded machine; only broken code waits for it. */
#define PATIENCE_MS 10000

/* For waits that must end by their deadline. */
#define SHORT_MS 50

static struct account account = {
	.host = (char *)"127.0.0.1",
	.tls = ACCOUNT_TLS_NONE,
	.timeout_ms = PATIENCE_MS,
	.connect_timeout_ms = PATIENCE_MS,
};

/* A listening socket on a free port of 127.0.0.1, which the account then points to. */
static int
listen_here(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!CHECK(fd >= 0) || !CHECK(bind(fd, (struct sockaddr *)&address, sizeof address) == 0) ||
		!CHECK(listen(fd, 4) == 0) ||
		!CHECK(getsockname(fd, (struct sockaddr *)&address, &len) == 0))
		exit(1);
	account.port = ntohs(address.sin_port);
	return fd;
}

/* Both ends in this process: what the peer does is done before the test goes on. */
struct pair {
	struct conn *conn;
	int peer;
};

static struct pair
open_pair(int watch_fd)
{
	struct pair pair;
	struct error err;
	int listener = listen_here();

	pair.conn = conn_open(&account, watch_fd, &err);
	if (!CHECK(pair.conn != NULL)) {
		fprintf(stderr, "\t%s\n", err.text);
		exit(1);
	}
	pair.peer = accept(listener, NULL, NULL);
	CHECK(pair.peer >= 0);
	close(listener);
	return pair;
}

static void
close_pair(struct pair *pair)
{
	conn_close(pair->conn);
	if (pair->peer >= 0)
		close(pair->peer);
}

static void
peer_sends(struct pair *pair, const void *data, size_t len)
{
	CHECK(send(pair->peer, data, len, MSG_NOSIGNAL) == (ssize_t)len);
}

static void
peer_closes(struct pair *pair)
{
	close(pair->peer);
	pair->peer = -1;
}

/* Fill until `len` octets are there to peek at: loopback may take its time. */
static bool
fill_until(struct conn *conn, size_t len)
{
	int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	struct conn_wait wait = {.deadline = deadline, .other_fd = -1, .wants_input = true};
	struct error err;
	size_t have;

	while (conn_peek(conn, &have), have < len) {
		int result = conn_fill(conn, &err);

		if (result < 0)
			return false;
		if (result == 0 && (conn_wait(conn, &wait, &err) != 0 || wait.timed_out))
			return false;
	}
	return true;
}

static size_t
peer_reads(struct pair *pair, char *out, size_t len)
{
	size_t used = 0;
	ssize_t got;

	while (used < len && (got = recv(pair->peer, out + used, len - used, 0)) > 0)
		used += (size_t)got;
	return used;
}

static void
test_lines(void)
{
	static const struct {
		const char *in;
		size_t in_len;
		const char *lines[3];
		size_t lens[3];
	} cases[] = {
		{"+OK\r\n",          5,  {"+OK"},          {3}      },
		{"+OK\n",            4,  {"+OK"},          {3}      },
		{"a\r\nb\r\nc\r\n",  9,  {"a", "b", "c"},  {1, 1, 1}},
		{"\r\n\n\r\n",       5,  {"", "", ""},     {0, 0, 0}},
		{"a\rb\r\r\nc\r\n",  9,  {"a\rb\r", "c"},  {4, 1}   },
		{"a\0b\r\n\xff\r\n", 8,  {"a\0b", "\xff"}, {3, 1}   },
		{"+OK x\r\nrest",    11, {"+OK x"},        {5}      },
	};
	struct conn_line line;
	struct error err;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		for (size_t split = 0; split <= cases[i].in_len; split++) {
			struct pair pair = open_pair(-1);

			peer_sends(&pair, cases[i].in, split);
			CHECK(fill_until(pair.conn, split));
			peer_sends(&pair, cases[i].in + split, cases[i].in_len - split);
			for (size_t k = 0; k < 3 && cases[i].lines[k] != NULL; k++) {
				CHECK(conn_read_line(pair.conn, &line, &err) == 0);
				CHECK_BYTES(
					line.data, line.len, cases[i].lines[k], cases[i].lens[k]);
			}
			CHECK(conn_next_line(pair.conn, &line, &err) == 0);
			close_pair(&pair);
		}
	}
}

/* pop3 rule 4: lines much longer than 512 octets pass, endless ones do not. */
static void
test_longest_line(void)
{
	static char text[CONN_LINE_MAX + 3];
	struct conn_line line;
	struct error err;

	memset(text, 'x', sizeof text);
	for (size_t len = CONN_LINE_MAX - 1; len <= CONN_LINE_MAX + 1; len++) {
		struct pair pair = open_pair(-1);

		/* The socket may not take all at once while nobody reads: fill in between. */
		peer_sends(&pair, text, len / 2);
		CHECK(fill_until(pair.conn, len / 2));
		peer_sends(&pair, text, len - len / 2);
		CHECK(fill_until(pair.conn, len));
		peer_sends(&pair, "\r\n", 2);
		if (len <= CONN_LINE_MAX) {
			CHECK(conn_read_line(pair.conn, &line, &err) == 0);
			CHECK_BYTES(line.data, line.len, text, len);
		} else {
			CHECK(conn_read_line(pair.conn, &line, &err) == -1);
			CHECK(err.class == ERROR_PROTOCOL);
		}
		close_pair(&pair);
	}
}

static void
test_queue_and_names(void)
{
	static const char want[] = "STAT\r\nRETR 12\r\nc2VjcmV0\r\nQUIT\r\n";
	struct pair pair = open_pair(-1);
	char got[sizeof want - 1], remote[NET_NAME_SIZE];
	struct error err;

	CHECK(conn_pending(pair.conn) == 0);
	conn_queue(pair.conn, "STAT", 4);
	CHECK(conn_pending(pair.conn) == 6);
	conn_queuef(pair.conn, "RETR %d", 12);
	conn_queue_secret(pair.conn, "c2VjcmV0", 8, "****");
	conn_queue(pair.conn, "QUIT", 4);
	CHECK(conn_flush(pair.conn, &err) == 0);
	CHECK(conn_pending(pair.conn) == 0);
	CHECK(peer_reads(&pair, got, sizeof got) == sizeof got);
	CHECK_BYTES(got, sizeof got, want, sizeof want - 1);

	CHECK(!conn_is_secure(pair.conn));
	CHECK(conn_key_bits(pair.conn) == 0);
	CHECK_STR(conn_security(pair.conn), "no TLS");
	snprintf(remote, sizeof remote, "127.0.0.1;%u", account.port);
	CHECK_STR(conn_remote_name(pair.conn), remote);
	net_name(pair.peer, true, remote);
	CHECK_STR(conn_local_name(pair.conn), remote);
	close_pair(&pair);
}

/* The buffer grows around a secret again and again; every octet still comes in its order. */
static void
test_queue_grows_around_secrets(void)
{
	struct pair pair = open_pair(-1);
	char line[101], got[102];
	struct error err;

	memset(line, 's', sizeof line);
	for (size_t len = 0; len <= 100; len++)
		conn_queue_secret(pair.conn, line, len, "****");
	CHECK(conn_flush(pair.conn, &err) == 0);
	CHECK(conn_pending(pair.conn) == 0);
	for (size_t len = 0; len <= 100; len++) {
		CHECK(peer_reads(&pair, got, len + 2) == len + 2);
		CHECK_BYTES(got, len, line, len);
		CHECK_BYTES(got + len, 2, "\r\n", 2);
	}
	close_pair(&pair);
}

/* Neither direction may wait for the other: a peer that does not read still can be read from. */
static void
test_sending_never_blocks_receiving(void)
{
	struct pair pair = open_pair(-1);
	struct conn_wait wait = {
		.deadline = clock_monotonic_ms() + PATIENCE_MS,
		.other_fd = -1,
		.wants_input = true,
	};
	size_t queued = 0, len, drained = 0;
	static char sink[65536];
	struct error err;

	while (conn_pending(pair.conn) == 0) {
		for (size_t i = 0; i < 10000; i++, queued += 7)
			conn_queue(pair.conn, "DELE1", 5);
		CHECK(conn_flush(pair.conn, &err) == 0);
	}
	peer_sends(&pair, "+OK\r\n", 5);
	CHECK(fill_until(pair.conn, 5));
	conn_peek(pair.conn, &len);
	CHECK(len == 5);
	CHECK(conn_pending(pair.conn) != 0);

	wait.wants_input = false;
	wait.other_fd = pair.peer;
	wait.other_events = POLLIN;
	while (drained < queued) {
		ssize_t got = recv(pair.peer, sink, sizeof sink, MSG_DONTWAIT);

		if (got > 0)
			drained += (size_t)got;
		else if (!CHECK(conn_wait(pair.conn, &wait, &err) == 0) || !CHECK(!wait.timed_out))
			break;
		if (!CHECK(conn_flush(pair.conn, &err) == 0))
			break;
	}
	CHECK(drained == queued);
	close_pair(&pair);
}

static void
test_peek_and_consume(void)
{
	struct pair pair = open_pair(-1);
	struct conn_line line;
	struct error err;
	const char *data;
	size_t len;

	peer_sends(&pair, "+OK\r\nbody\0text", 14);
	CHECK(fill_until(pair.conn, 14));
	CHECK(conn_next_line(pair.conn, &line, &err) == 1);
	data = conn_peek(pair.conn, &len);
	CHECK_BYTES(data, len, "body\0text", 9);
	conn_consume(pair.conn, 5);
	data = conn_peek(pair.conn, &len);
	CHECK_BYTES(data, len, "text", 4);
	conn_consume(pair.conn, 4);
	CHECK(conn_fill(pair.conn, &err) == 0);
	close_pair(&pair);
}

/* What came before the end of the stream is read first. */
static void
test_end_of_stream(void)
{
	struct pair pair = open_pair(-1);
	struct conn_line line;
	struct error err;

	peer_sends(&pair, "+OK bye\r\n-ERR cut", 17);
	peer_closes(&pair);
	CHECK(conn_read_line(pair.conn, &line, &err) == 0);
	CHECK_BYTES(line.data, line.len, "+OK bye", 7);
	for (int i = 0; i < 2; i++) {
		CHECK(conn_read_line(pair.conn, &line, &err) == -1);
		CHECK(err.class == ERROR_NET);
		CHECK_STR(err.text, "the server closed the connection");
	}
	close_pair(&pair);
}

/* A server that is full says so and hangs up, unread command or not: its reason is what counts. */
static void
test_last_words_are_read(void)
{
	struct pair pair = open_pair(-1);
	struct conn_line line;
	struct error err;

	conn_queue(pair.conn, "CAPA", 4);
	CHECK(conn_flush(pair.conn, &err) == 0);
	peer_sends(&pair, "-ERR too many connections\r\n", 27);
	peer_closes(&pair);
	conn_queue_secret(pair.conn, "PASS s3cret", 11, "PASS ****");
	error_set(&err, ERROR_BUG, "left alone");
	CHECK(conn_read_line(pair.conn, &line, &err) == 0);
	CHECK_BYTES(line.data, line.len, "-ERR too many connections", 25);
	CHECK_STR(err.text, "left alone");
	/* From now on nothing can be sent, nor does it seem so when there is nothing to send. */
	CHECK(conn_pending(pair.conn) == 0);
	CHECK(conn_flush(pair.conn, &err) == -1);
	CHECK(err.class == ERROR_NET);
	conn_queue(pair.conn, "QUIT", 4);
	CHECK(conn_read_line(pair.conn, &line, &err) == -1);
	CHECK(err.class == ERROR_NET);
	close_pair(&pair);
}

static void
test_silence_times_out(void)
{
	struct pair pair;
	struct conn_line line;
	struct error err;
	int64_t before;

	account.timeout_ms = SHORT_MS;
	pair = open_pair(-1);
	before = clock_monotonic_ms();
	conn_queue(pair.conn, "NOOP", 4);
	peer_sends(&pair, "+OK but no end", 14);
	CHECK(conn_read_line(pair.conn, &line, &err) == -1);
	CHECK(err.class == ERROR_TIMEOUT);
	CHECK(clock_monotonic_ms() - before >= SHORT_MS);
	CHECK(clock_monotonic_ms() - before < PATIENCE_MS);
	account.timeout_ms = PATIENCE_MS;
	close_pair(&pair);
}

static void
test_watched_descriptor_ends_waits(void)
{
	int watched[2];
	struct pair pair;
	struct conn_line line;
	struct error err;

	CHECK(pipe(watched) == 0);
	pair = open_pair(watched[0]);
	peer_sends(&pair, "+OK\r\n", 5);
	CHECK(conn_read_line(pair.conn, &line, &err) == 0);
	close(watched[1]);
	CHECK(conn_read_line(pair.conn, &line, &err) == -1);
	CHECK(err.class == ERROR_INTERRUPTED);
	CHECK(conn_open(&account, watched[0], &err) == NULL);

	conn_unwatch(pair.conn);
	peer_sends(&pair, "+OK 2\r\n", 7);
	CHECK(conn_read_line(pair.conn, &line, &err) == 0);
	CHECK_BYTES(line.data, line.len, "+OK 2", 5);
	close(watched[0]);
	close_pair(&pair);
}

static void
test_wait(void)
{
	struct pair pair = open_pair(-1);
	struct conn_wait wait = {.other_events = POLLIN, .wants_input = true};
	struct error err;
	int other[2];

	CHECK(pipe(other) == 0);
	wait.other_fd = other[0];
	wait.deadline = clock_monotonic_ms() + SHORT_MS;
	CHECK(conn_wait(pair.conn, &wait, &err) == 0);
	CHECK(wait.timed_out && !wait.has_input && !wait.has_output && wait.other_revents == 0);

	wait.deadline = clock_monotonic_ms() + PATIENCE_MS;
	CHECK(write(other[1], "x", 1) == 1);
	CHECK(conn_wait(pair.conn, &wait, &err) == 0);
	CHECK(!wait.timed_out && !wait.has_input && (wait.other_revents & POLLIN) != 0);

	wait.other_fd = -1;
	peer_sends(&pair, "x", 1);
	CHECK(conn_wait(pair.conn, &wait, &err) == 0);
	CHECK(!wait.timed_out && wait.has_input && wait.other_revents == 0);

	conn_queue(pair.conn, "NOOP", 4);
	CHECK(conn_wait(pair.conn, &wait, &err) == 0);
	CHECK(wait.has_input && wait.has_output);
	CHECK(conn_flush(pair.conn, &err) == 0);

	/* Nobody wants the server's octets now, and it hangs up: that is no reason to spin. */
	peer_closes(&pair);
	wait.wants_input = false;
	wait.deadline = clock_monotonic_ms() + SHORT_MS;
	CHECK(conn_wait(pair.conn, &wait, &err) == 0);
	CHECK(wait.timed_out && !wait.has_input);
	close(other[0]);
	close(other[1]);
	close_pair(&pair);
}

/* In place of the C library's: whether the module under test has let octets gather. */
static int gatherings;

int
poll(struct pollfd *fds, nfds_t count, int timeout)
{
	struct timespec limit = {timeout / 1000, timeout % 1000 * 1000000L};

	gatherings += count == 1;
	return ppoll(fds, count, timeout >= 0 ? &limit : NULL, NULL);
}

/* A wait for octets that are there already; how often it let more of them gather. */
static int
gather(struct pair *pair, struct conn_wait wait)
{
	struct error err;

	gatherings = 0;
	wait.deadline = clock_monotonic_ms() + PATIENCE_MS;
	CHECK(conn_wait(pair->conn, &wait, &err) == 0 && !wait.timed_out);
	return gatherings;
}

/* A stream that comes in drops is let gather; whoever waits for each drop waits for no more. */
static void
test_drops_gather(void)
{
	static char much[128 * 1024];
	struct pair pair = open_pair(-1);
	struct conn_wait wait = {.other_fd = -1, .wants_input = true, .is_stream = true};
	struct error err;

	/* Nothing has come yet. */
	peer_sends(&pair, "drop", 4);
	CHECK(gather(&pair, wait) == 0);
	CHECK(fill_until(pair.conn, 4));
	peer_sends(&pair, "drop", 4);
	CHECK(gather(&pair, wait) == 1);

	wait.is_stream = false;
	CHECK(gather(&pair, wait) == 0);
	wait.is_stream = true;
	conn_queue(pair.conn, "NOOP", 4);
	CHECK(gather(&pair, wait) == 0);
	CHECK(conn_flush(pair.conn, &err) == 0 && gather(&pair, wait) == 1);

	/* A full fill is no drop: there is more already. */
	CHECK(fill_until(pair.conn, 8));
	conn_consume(pair.conn, 8);
	peer_sends(&pair, much, sizeof much);
	CHECK(fill_until(pair.conn, sizeof much));
	peer_sends(&pair, "drop", 4);
	CHECK(gather(&pair, wait) == 0);
	close_pair(&pair);
}

/* The pace: what nobody waits for does not count, nor does the time before a reply has begun. */
static void
test_pace(void)
{
	struct conn_wait wait = {.other_fd = -1};
	int64_t timeout_ms = account.timeout_ms;
	struct conn_line line;
	struct error err;
	struct pair pair;

	account.timeout_ms = 1000;
	account.min_rate = 1000;
	pair = open_pair(-1);
	peer_sends(&pair, "+OK", 3);
	CHECK(conn_fill(pair.conn, &err) >= 0);
	wait.deadline = clock_monotonic_ms() + 1100;
	CHECK(conn_wait(pair.conn, &wait, &err) == 0 && wait.timed_out);
	wait.wants_input = true;
	wait.deadline = clock_monotonic_ms() + SHORT_MS;
	CHECK(conn_wait(pair.conn, &wait, &err) == 0 && wait.timed_out);

	peer_sends(&pair, "\r\n", 2);
	CHECK(conn_read_line(pair.conn, &line, &err) == 0);
	conn_expect_reply(pair.conn);
	wait.deadline = clock_monotonic_ms() + 1100;
	CHECK(conn_wait(pair.conn, &wait, &err) == 0 && wait.timed_out);

	peer_sends(&pair, "+", 1);
	CHECK(conn_fill(pair.conn, &err) >= 0);
	wait.deadline = clock_monotonic_ms() + 1100;
	CHECK(conn_wait(pair.conn, &wait, &err) == 0 && !wait.timed_out);
	CHECK(conn_wait(pair.conn, &wait, &err) == -1 && err.class == ERROR_TIMEOUT);
	CHECK_STR(err.text, "the server sends too slowly: 1 octet in 1 second (min-rate)");
	close_pair(&pair);
	account.timeout_ms = timeout_ms;
	account.min_rate = 0;
}

/* Nor does who sends a drop whenever we have waited for one get past the rate. */
static void
test_gathering_counts(void)
{
	struct conn_wait wait = {.other_fd = -1, .wants_input = true, .is_stream = true};
	int64_t timeout_ms = account.timeout_ms;
	struct error err;
	struct pair pair;
	int result = 0;

	account.timeout_ms = 1000;
	account.min_rate = 1000000;
	pair = open_pair(-1);
	/* So many gatherings are seconds, more than the window has. */
	for (int i = 0; i < 5000 && result == 0; i++) {
		peer_sends(&pair, "x", 1);
		if (!CHECK(conn_fill(pair.conn, &err) >= 0))
			break;
		peer_sends(&pair, "x", 1);
		wait.deadline = clock_monotonic_ms() + PATIENCE_MS;
		result = conn_wait(pair.conn, &wait, &err);
	}
	CHECK(result == -1 && err.class == ERROR_TIMEOUT);
	close_pair(&pair);
	account.timeout_ms = timeout_ms;
	account.min_rate = 0;
}

/* pop3 rule 37: what came behind the +OK to STLS must not be taken for the server's own words. */
static void
test_injection_behind_stls(void)
{
	struct pair pair = open_pair(-1);
	struct conn_line line;
	struct error err;

	peer_sends(&pair, "+OK begin\r\n+OK injected\r\n", 25);
	CHECK(fill_until(pair.conn, 25));
	CHECK(conn_read_line(pair.conn, &line, &err) == 0);
	CHECK(conn_start_tls(pair.conn, &err) == -1);
	CHECK(err.class == ERROR_TLS);
	CHECK(!conn_is_secure(pair.conn));
	close_pair(&pair);
}

static void
test_nobody_listens(void)
{
	struct error err;
	char want[64];

	close(listen_here());
	CHECK(conn_open(&account, -1, &err) == NULL);
	CHECK(err.class == ERROR_NET);
	snprintf(want, sizeof want, "cannot connect to port %u: '127.0.0.1': Connection refused",
		account.port);
	CHECK_STR(err.text, want);
}

/* A literal needs no name server, and a name that is none says so. */
static void
test_hosts(void)
{
	struct error err;

	CHECK(net_is_address("127.0.0.1"));
	CHECK(net_is_address("::1"));
	CHECK(net_is_address("fe80::1%eth0"));
	CHECK(!net_is_address("pop.example.org"));
	CHECK(!net_is_address("1.2.3"));
	CHECK(!net_is_address("localhost"));

	account.host = (char *)"no such host";
	CHECK(conn_open(&account, -1, &err) == NULL);
	CHECK(err.class == ERROR_NET);
	CHECK(strstr(err.text, "host name") != NULL);
	account.host = (char *)"127.0.0.1";
}

/* -vv shows the dialogue, quoted, without secrets. */
static void
test_wire_log(void)
{
	static const char want[] = "pophaul: > USER jane\npophaul: > PASS ****\n"
				   "pophaul: < +OK \\x1b[2J\n";
	struct log_settings loud = {.level = LOG_LEVEL_WIRE};
	struct log_settings quiet = {.level = LOG_LEVEL_WARN};
	struct pair pair = open_pair(-1);
	int log[2], saved = dup(STDERR_FILENO);
	struct conn_line line;
	struct error err;
	char got[256];
	ssize_t len;

	CHECK(pipe(log) == 0);
	fflush(stderr);
	dup2(log[1], STDERR_FILENO);
	log_init(&loud);
	conn_queue(pair.conn, "USER jane", 9);
	conn_queue_secret(pair.conn, "PASS s3cret", 11, "PASS ****");
	peer_sends(&pair, "+OK \x1b[2J\r\n", 10);
	CHECK(conn_read_line(pair.conn, &line, &err) == 0);
	log_init(&quiet);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(log[1]);
	len = read(log[0], got, sizeof got);
	CHECK_BYTES(got, len > 0 ? (size_t)len : 0, want, sizeof want - 1);
	close(log[0]);
	close_pair(&pair);
}

int
main(void)
{
	conn_close(NULL);
	test_lines();
	test_longest_line();
	test_queue_and_names();
	test_queue_grows_around_secrets();
	test_sending_never_blocks_receiving();
	test_peek_and_consume();
	test_end_of_stream();
	test_last_words_are_read();
	test_silence_times_out();
	test_watched_descriptor_ends_waits();
	test_wait();
	test_drops_gather();
	test_pace();
	test_gathering_counts();
	test_injection_behind_stls();
	test_nobody_listens();
	test_hosts();
	test_wire_log();
	return check_done();
}
