/*
 * fakepop: the POP3 server of the tests, the demo and the benchmarks. README
 * beside this file says how to use it.
 *
 * The parent reads the options and scripts, listens, and forks a process for
 * each connection; what sessions share (deletions, counters of rules) is shared memory.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <gnutls/gnutls.h>

#include "io.h"
#include "maildrop.h"
#include "script.h"
#include "session.h"
#include "util.h"

#define BACKLOG             1024
#define DEFAULT_MAX_SECONDS 600

struct server {
	struct script_source *sources;
	size_t source_count;
	struct script script; /* of every session */
	struct maildrop drop;
	gnutls_certificate_credentials_t credentials;
	char *ocsp;      /* file of the answer that goes with the certificate; NULL */
	char *client_ca; /* file of who may sign the clients' certificates; NULL: none is asked for */
	bool is_implicit_tls;
	bool is_ipv6;
	uint16_t port;
	const char *ready;
	int transcript;
	uint64_t sessions; /* leave after so many; 0: never */
	uint64_t max_seconds;
	int listener;
};

static void
add_source(struct server *server, struct script_source source)
{
	server->sources = grow(server->sources, server->source_count + 1, sizeof *server->sources);
	server->sources[server->source_count++] = source;
}

static void
add_line(struct server *server, const char *line)
{
	add_source(server,
		(struct script_source){.name = "option", .text = copy_text(line, strlen(line))});
}

/* A directive with a text that may hold anything. */
static void
add_directive(struct server *server, const char *directive, const char *text)
{
	struct bytes line = {NULL, 0, 0};

	bytes_add(&line, directive, strlen(directive));
	bytes_add(&line, " \"", 2);
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			bytes_add(&line, "\\", 1);
		bytes_add(&line, text, 1);
	}
	bytes_add(&line, "\"", 2);
	add_source(server, (struct script_source){.name = "option", .text = line.data});
}

static uint64_t
option_number(const char *option, const char *value)
{
	uint64_t number;

	if (!parse_number(value, &number))
		die("%s needs a number, not '%s'", option, value);
	return number;
}

static void
load_credentials(struct server *server, char **values)
{
	int status;

	gnutls_certificate_allocate_credentials(&server->credentials);
	status = gnutls_certificate_set_x509_key_file(
		server->credentials, values[0], values[1], GNUTLS_X509_FMT_PEM);
	if (status != GNUTLS_E_SUCCESS)
		die("'%s', '%s': %s", values[0], values[1], gnutls_strerror(status));
}

/* GnuTLS itself would send no answer that a client has to refuse. */
static int
staple(gnutls_session_t session, void *file, gnutls_datum_t *answer)
{
	(void)session;
	return gnutls_load_file(file, answer);
}

/* What goes with the certificate, whichever option came first. */
static void
complete_credentials(struct server *server)
{
	if ((server->ocsp != NULL || server->client_ca != NULL) && server->credentials == NULL)
		die("--ocsp and --client-ca need --tls or --stls");
	if (server->ocsp != NULL)
		gnutls_certificate_set_ocsp_status_request_function(
			server->credentials, staple, server->ocsp);
	if (server->client_ca != NULL &&
		gnutls_certificate_set_x509_trust_file(
			server->credentials, server->client_ca, GNUTLS_X509_FMT_PEM) <= 0)
		die("--client-ca: no certificate in '%s'", server->client_ca);
}

enum option {
	OPTION_SCRIPT,
	OPTION_LINE,
	OPTION_DIRECTIVE,
	OPTION_SYNTHETIC,
	OPTION_NO_PIPELINING,
	OPTION_APOP,
	OPTION_TLS,
	OPTION_STLS,
	OPTION_OCSP,
	OPTION_CLIENT_CA,
	OPTION_TRANSCRIPT,
	OPTION_READY,
	OPTION_PORT,
	OPTION_LISTEN6,
	OPTION_SESSIONS,
	OPTION_MAX_SECONDS
};

static const struct {
	const char *name;
	enum option option;
	int values;
} options[] = {
	{"--script",        OPTION_SCRIPT,        1},
	{"-e",              OPTION_LINE,          1},
	{"--folder",        OPTION_DIRECTIVE,     1},
	{"--uidl-prefix",   OPTION_DIRECTIVE,     1},
	{"--user",          OPTION_DIRECTIVE,     1},
	{"--password",      OPTION_DIRECTIVE,     1},
	{"--latency",       OPTION_DIRECTIVE,     1},
	{"--synthetic",     OPTION_SYNTHETIC,     2},
	{"--no-pipelining", OPTION_NO_PIPELINING, 0},
	{"--apop",          OPTION_APOP,          0},
	{"--tls",           OPTION_TLS,           2},
	{"--stls",          OPTION_STLS,          2},
	{"--ocsp",          OPTION_OCSP,          1},
	{"--client-ca",     OPTION_CLIENT_CA,     1},
	{"--transcript",    OPTION_TRANSCRIPT,    1},
	{"--ready",         OPTION_READY,         1},
	{"--port",          OPTION_PORT,          1},
	{"--listen6",       OPTION_LISTEN6,       0},
	{"--sessions",      OPTION_SESSIONS,      1},
	{"--max-seconds",   OPTION_MAX_SECONDS,   1},
};

static void
use_source_option(struct server *server, enum option option, const char *name, char **values)
{
	char line[128];

	switch (option) {
	case OPTION_SCRIPT:
		add_source(server, script_open(values[0]));
		break;
	case OPTION_LINE:
		add_line(server, values[0]);
		break;
	case OPTION_SYNTHETIC:
		snprintf(line, sizeof line, "synthetic %.40s %.40s", values[0], values[1]);
		add_line(server, line);
		break;
	case OPTION_NO_PIPELINING:
		add_line(server, "capa -PIPELINING");
		break;
	case OPTION_APOP:
		add_line(server, "apop");
		break;
	default:
		add_directive(server, name + 2, values[0]);
		break;
	}
}

static void
use_option(struct server *server, enum option option, const char *name, char **values)
{
	switch (option) {
	case OPTION_TLS:
	case OPTION_STLS:
		load_credentials(server, values);
		server->is_implicit_tls = option == OPTION_TLS;
		break;
	case OPTION_OCSP:
		server->ocsp = values[0];
		break;
	case OPTION_CLIENT_CA:
		server->client_ca = values[0];
		break;
	case OPTION_TRANSCRIPT:
		server->transcript =
			open(values[0], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		if (server->transcript < 0)
			die("cannot open '%s': %s", values[0], strerror(errno));
		break;
	case OPTION_READY:
		server->ready = values[0];
		break;
	case OPTION_PORT:
		server->port = (uint16_t)option_number(name, values[0]);
		break;
	case OPTION_LISTEN6:
		server->is_ipv6 = true;
		break;
	case OPTION_SESSIONS:
		server->sessions = option_number(name, values[0]);
		break;
	case OPTION_MAX_SECONDS:
		server->max_seconds = option_number(name, values[0]);
		break;
	default:
		use_source_option(server, option, name, values);
		break;
	}
}

static void
read_options(struct server *server, char **args)
{
	const size_t count = sizeof options / sizeof *options;

	while (*args != NULL) {
		const char *name = *args++;
		char **values = args;
		size_t i = 0;

		while (i < count && strcmp(name, options[i].name) != 0)
			i++;
		if (i == count)
			die("unknown option '%s'", name);
		for (int v = 0; v < options[i].values; v++)
			if (*args++ == NULL)
				die("%s needs %d values", name, options[i].values);
		use_option(server, options[i].option, name, values);
	}
}

static void
start_listening(struct server *server)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET,
		.sin_port = htons(server->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
		.sin6_port = htons(server->port),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr *address =
		server->is_ipv6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
	socklen_t len = server->is_ipv6 ? sizeof v6 : sizeof v4;
	int one = 1;

	server->listener = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server->listener < 0)
		die("cannot make a socket: %s", strerror(errno));
	setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(server->listener, address, len) != 0 || listen(server->listener, BACKLOG) != 0 ||
		getsockname(server->listener, address, &len) != 0)
		die("cannot listen: %s", strerror(errno));
	server->port = ntohs(server->is_ipv6 ? v6.sin6_port : v4.sin_port);
}

/* The port into the ready file, which appears with its content. */
static void
tell_port(const struct server *server)
{
	char path[4096], text[16];
	int fd, len = snprintf(text, sizeof text, "%u\n", server->port);

	if (server->ready == NULL) {
		if (!write_whole(STDOUT_FILENO, text, (size_t)len))
			die("cannot write the port: %s", strerror(errno));
		return;
	}
	snprintf(path, sizeof path, "%s.new", server->ready);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || !write_whole(fd, text, (size_t)len) || close(fd) != 0 ||
		rename(path, server->ready) != 0)
		die("cannot write '%s': %s", server->ready, strerror(errno));
}

/* A test that is killed must not leave servers behind. */
static void
die_with_parent(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		die("cannot watch the parent: %s", strerror(errno));
	if (getppid() != parent)
		exit(3);
}

static _Noreturn void
serve(struct server *server, int fd, unsigned number, pid_t parent)
{
	struct script script;
	struct io_settings settings = {.fd = fd,
		.session = number,
		.transcript = server->transcript,
		.credentials = server->credentials,
		.asks_for_certificate = server->client_ca != NULL};
	struct io *io;
	int one = 1;

	die_with_parent(parent);
	close(server->listener);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	script_begin(&script, &server->drop, number);
	for (size_t i = 0; i < server->source_count; i++)
		script_add(&script, &server->sources[i]);
	settings.priority = script.tls_priority;
	settings.ticket_key = script.tls_tickets;
	settings.latency_ms = (int64_t)script.latency_ms;
	io = io_new(&settings);
	io_note(io, "connect");
	if (server->is_implicit_tls)
		io_start_tls(io);
	session_run(io, &script, &server->drop, server->credentials != NULL);
}

static void
accept_one(struct server *server, unsigned number)
{
	pid_t self = getpid(), child;
	int fd;

	do {
		fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0)
		die("cannot accept: %s", strerror(errno));
	if (server->drop.folder != NULL)
		maildrop_scan(&server->drop, server->drop.folder);
	child = fork();
	if (child < 0)
		die("cannot fork: %s", strerror(errno));
	if (child == 0)
		serve(server, fd, number, self);
	close(fd);
}

static void
run(struct server *server)
{
	unsigned number = 0;

	while (server->sessions == 0 || number < server->sessions)
		accept_one(server, ++number);
	/* Children are not kept as zombies: this waits for all of them. */
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		continue;
}

/* SIGALRM ends this process, and with it, by die_with_parent(), all sessions. */
static void
limit_life(uint64_t seconds)
{
	struct itimerval timer = {.it_value.tv_sec = (time_t)seconds};

	if (setitimer(ITIMER_REAL, &timer, NULL) != 0)
		die("cannot set a timer: %s", strerror(errno));
}

int
main(int argc, char **argv)
{
	struct server server = {.transcript = -1, .max_seconds = DEFAULT_MAX_SECONDS};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	(void)argc;
	die_with_parent(getppid());
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGCHLD, &ignore, NULL);
	read_options(&server, argv + 1);
	complete_credentials(&server);
	limit_life(server.max_seconds);
	script_begin(&server.script, &server.drop, SCRIPT_EVERY_SESSION);
	for (size_t i = 0; i < server.source_count; i++)
		script_add(&server.script, &server.sources[i]);
	maildrop_share(&server.drop, server.script.counters);
	start_listening(&server);
	tell_port(&server);
	run(&server);
	return 0;
}
