/*
 * probe PORT CA-FILE USER PASSWORD COUNT: read the first COUNT messages of a maildrop as fast as a
 * client can: TLS from the first octet, all RETRs and QUIT sent without waiting, every octet thrown
 * away. What a fetcher that also keeps the mail cannot go below, with the same TLS library.
 *
 * Prints how many octets came. Fails when that is less than a status line for each message: a
 * login that was refused must not look like a record.
 */
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#define RECORD_MAX 16384

static gnutls_session_t session;
static int server;

static _Noreturn void
die(const char *what, const char *why)
{
	fprintf(stderr, "probe: %s: %s\n", what, why);
	exit(EX_UNAVAILABLE);
}

static void
check(int code, const char *what)
{
	if (code < 0)
		die(what, gnutls_strerror(code));
}

static void
wait_for(short events)
{
	struct pollfd watch = {.fd = server, .events = events};

	if (poll(&watch, 1, 60000) <= 0)
		die("poll", "nothing for a minute");
}

static void
connect_to(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int on = 1;

	server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server < 0 || connect(server, (struct sockaddr *)&address, sizeof address) != 0)
		die("connect", strerror(errno));
	setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	fcntl(server, F_SETFL, O_NONBLOCK);
}

static void
start_tls(const char *ca_file)
{
	gnutls_certificate_credentials_t trust;
	int code;

	check(gnutls_certificate_allocate_credentials(&trust), "credentials");
	check(gnutls_certificate_set_x509_trust_file(trust, ca_file, GNUTLS_X509_FMT_PEM), ca_file);
	check(gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NONBLOCK), "session");
	check(gnutls_set_default_priority(session), "priority");
	check(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, trust), "credentials");
	gnutls_session_set_verify_cert(session, "127.0.0.1", 0);
	gnutls_transport_set_int(session, server);
	while ((code = gnutls_handshake(session)) != 0) {
		if (gnutls_error_is_fatal(code))
			check(code, "handshake");
		wait_for(gnutls_record_get_direction(session) != 0 ? POLLOUT : POLLIN);
	}
}

/* Send what goes now; how much of it did. */
static size_t
send_some(const char *data, size_t len)
{
	ssize_t sent = gnutls_record_send(session, data, len < RECORD_MAX ? len : RECORD_MAX);

	if (sent < 0 && gnutls_error_is_fatal((int)sent))
		check((int)sent, "send");
	return sent > 0 ? (size_t)sent : 0;
}

/* Receive what is there; false: the stream is over. */
static bool
receive_some(uint64_t *total)
{
	static char data[RECORD_MAX];
	ssize_t got;

	while ((got = gnutls_record_recv(session, data, sizeof data)) > 0)
		*total += (uint64_t)got;
	return got != 0 && !gnutls_error_is_fatal((int)got);
}

/* A line's answer, so that nothing is sent behind a password before it is accepted. */
static void
command(const char *line)
{
	size_t len = strlen(line), sent = 0;
	char answer[RECORD_MAX];
	ssize_t got;

	while (sent < len) {
		sent += send_some(line + sent, len - sent);
		if (sent < len)
			wait_for(POLLOUT);
	}
	while ((got = gnutls_record_recv(session, answer, sizeof answer)) <= 0) {
		if (got == 0 || gnutls_error_is_fatal((int)got))
			die("answer", "the server has closed the connection");
		if (gnutls_record_check_pending(session) == 0)
			wait_for(POLLIN);
	}
	if (answer[0] != '+')
		die("answer", "the server refused the login");
}

static uint64_t
read_all(unsigned count)
{
	size_t size = (size_t)count * 16 + 16, len = 0, sent = 0;
	char *commands = malloc(size);
	uint64_t total = 0;
	bool is_open = true;

	if (commands == NULL)
		die("memory", strerror(errno));
	for (unsigned i = 1; i <= count; i++)
		len += (size_t)snprintf(commands + len, size - len, "RETR %u\r\n", i);
	len += (size_t)snprintf(commands + len, size - len, "QUIT\r\n");
	while (is_open) {
		if (sent < len)
			sent += send_some(commands + sent, len - sent);
		is_open = receive_some(&total);
		if (is_open)
			wait_for(sent < len ? POLLIN | POLLOUT : POLLIN);
	}
	free(commands);
	return total;
}

int
main(int argc, char **argv)
{
	char line[512];
	unsigned count;
	uint64_t total;

	if (argc != 6) {
		fputs("usage: probe PORT CA-FILE USER PASSWORD COUNT\n", stderr);
		return EX_USAGE;
	}
	count = (unsigned)strtoul(argv[5], NULL, 10);
	connect_to((uint16_t)strtoul(argv[1], NULL, 10));
	start_tls(argv[2]);
	/* The greeting is the first answer. */
	command("");
	snprintf(line, sizeof line, "USER %s\r\n", argv[3]);
	command(line);
	snprintf(line, sizeof line, "PASS %s\r\n", argv[4]);
	command(line);
	total = read_all(count);
	if (total < (uint64_t)count * 5)
		die("messages", "fewer answers than messages");
	printf("%llu\n", (unsigned long long)total);
	return EX_OK;
}
