/*
 * saslpop: a POP3 server over TLS whose logins are those of Cyrus SASL's server side, for what
 * Dovecot 2.3 does not have: SCRAM-*-PLUS and NTLM. One user, one message, one session at a time.
 *
 *	saslpop CERTIFICATE KEY READY LOG NAME=VALUE...
 *
 * It listens on 127.0.0.1, on a port that it writes into READY, and ends with its parent. Settings:
 *
 *	priority    of GnuTLS (NORMAL)
 *	mechanisms  which of the library's it lists, parted by blanks (all)
 *	binding     what it binds to: tls-exporter, tls-unique, tls-server-end-point, or none; without it
 *	            as RFC 9266 says
 *	layer       yes: it would like a security layer of SASL's own
 *	tickets     yes: TLS sessions may go on
 *	user, password
 *
 * LOG gets "tls VERSION", with "resumed" behind it if it is that, "hello TEXT" (the client's first
 * response, but for what is no letter), "login USER MECHANISM", "layer BITS" and "refused
 * MECHANISM: WHY".
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <gnutls/gnutls.h>
#include <sasl/sasl.h>
#include <sasl/saslplug.h>
#include <sasl/saslutil.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Longer lines than any test sends. */
#define LINE_SIZE 16384

static const char message[] = "Subject: by SASL\r\n\r\nhello\r\n";

static struct {
	const char *priority, *mechanisms, *binding, *layer, *tickets, *user, *password;
} settings = {"NORMAL", NULL, NULL, "no", "no", "jane", "secret"};

static FILE *log_file;
static gnutls_datum_t ticket_key;

/*
 * What tls-server-end-point is of the one certificate. GnuTLS does not know it in a resumed
 * session.
 */
static gnutls_datum_t end_point;

struct session {
	gnutls_session_t tls;
	sasl_conn_t *sasl;
	sasl_channel_binding_t binding;
	gnutls_datum_t binding_data;
	char line[LINE_SIZE];
	bool is_over;
};

static _Noreturn void
fail(const char *what, const char *why)
{
	fprintf(stderr, "saslpop: %s: %s\n", what, why);
	exit(1);
}

static void __attribute__((format(printf, 1, 2))) note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(log_file, format, args);
	va_end(args);
	fputc('\n', log_file);
	fflush(log_file);
}

/* The library asks its options here, and the plug-in below the passwords. */

static int
get_option(
	void *context, const char *plugin, const char *option, const char **result, unsigned *len)
{
	(void)context;
	(void)plugin;
	*result = NULL;
	if (strcmp(option, "mech_list") == 0)
		*result = settings.mechanisms;
	else if (strcmp(option, "auxprop_plugin") == 0)
		*result = "one";
	else if (strcmp(option, "pwcheck_method") == 0)
		*result = "auxprop";
	if (*result == NULL)
		return SASL_FAIL;
	if (len != NULL)
		*len = (unsigned)strlen(*result);
	return SASL_OK;
}

static int
drop_log(void *context, int level, const char *text)
{
	(void)context;
	(void)level;
	(void)text;
	return SASL_OK;
}

static int
look_up(void *context, sasl_server_params_t *params, unsigned flags, const char *user, unsigned len)
{
	const struct propval *wanted = params->utils->prop_get(params->propctx);

	(void)context;
	(void)flags;
	/* What the library looks for has the realm behind the name. */
	if (len < strlen(settings.user) || strncmp(user, settings.user, strlen(settings.user)) != 0)
		return SASL_NOUSER;
	for (; wanted != NULL && wanted->name != NULL; wanted++) {
		if (strcmp(wanted->name, SASL_AUX_PASSWORD) == 0)
			params->utils->prop_set(
				params->propctx, wanted->name, settings.password, -1);
	}
	return SASL_OK;
}

static sasl_auxprop_plug_t plug = {.auxprop_lookup = look_up, .name = (char *)"one"};

static int
init_plug(const sasl_utils_t *utils, int max_version, int *version, sasl_auxprop_plug_t **out,
	const char *name)
{
	(void)utils;
	(void)max_version;
	(void)name;
	*version = SASL_AUXPROP_PLUG_VERSION;
	*out = &plug;
	return SASL_OK;
}

/* Lines */

static void __attribute__((format(printf, 2, 3)))
say(struct session *session, const char *format, ...)
{
	char line[LINE_SIZE + 2];
	va_list args;
	size_t len;

	va_start(args, format);
	vsnprintf(line, sizeof line - 2, format, args);
	va_end(args);
	len = strlen(line);
	memcpy(line + len, "\r\n", 2);
	if (gnutls_record_send(session->tls, line, len + 2) < 0)
		session->is_over = true;
}

/* The next line into session->line, without its end. */
static bool
hear(struct session *session)
{
	size_t len = 0;

	while (!session->is_over && len < LINE_SIZE - 1) {
		ssize_t got = gnutls_record_recv(session->tls, session->line + len, 1);

		if (got == GNUTLS_E_AGAIN || got == GNUTLS_E_INTERRUPTED)
			continue;
		if (got <= 0)
			break;
		if (session->line[len] == '\n') {
			if (len > 0 && session->line[len - 1] == '\r')
				len--;
			session->line[len] = '\0';
			return true;
		}
		len++;
	}
	session->is_over = true;
	return false;
}

/* SASL */

static bool
get_binding(struct session *session, gnutls_channel_binding_t kind)
{
	gnutls_datum_t *data = &session->binding_data;

	if (kind != GNUTLS_CB_TLS_SERVER_END_POINT)
		return gnutls_session_channel_binding(session->tls, kind, data) == 0;
	if (gnutls_session_is_resumed(session->tls) == 0) {
		gnutls_free(end_point.data);
		end_point.data = NULL;
		if (gnutls_session_channel_binding(session->tls, kind, &end_point) != 0)
			return false;
	}
	data->data = gnutls_malloc(end_point.size);
	if (end_point.data == NULL || data->data == NULL)
		return false;
	data->size = end_point.size;
	memcpy(data->data, end_point.data, end_point.size);
	return true;
}

static void
set_binding(struct session *session)
{
	static const struct {
		const char *name;
		gnutls_channel_binding_t kind;
	} kinds[] = {
		{"tls-exporter",         GNUTLS_CB_TLS_EXPORTER        },
		{"tls-unique",           GNUTLS_CB_TLS_UNIQUE          },
		{"tls-server-end-point", GNUTLS_CB_TLS_SERVER_END_POINT},
	};
	bool is_new = gnutls_protocol_get_version(session->tls) >= GNUTLS_TLS1_3;
	const char *wanted = settings.binding;

	if (wanted == NULL)
		wanted = is_new ? "tls-exporter" : "tls-unique";
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (strcmp(kinds[i].name, wanted) != 0)
			continue;
		if (!get_binding(session, kinds[i].kind))
			fail(wanted, "this connection has none");
		session->binding = (sasl_channel_binding_t){
			.name = wanted,
			.len = session->binding_data.size,
			.data = session->binding_data.data,
		};
		sasl_setprop(session->sasl, SASL_CHANNEL_BINDING, &session->binding);
		return;
	}
	if (strcmp(wanted, "none") != 0)
		fail(wanted, "no such binding");
}

static void
set_up_sasl(struct session *session)
{
	sasl_security_properties_t properties = {.security_flags = SASL_SEC_NOANONYMOUS};
	sasl_ssf_t strength = 256;

	if (sasl_server_new("pop", "localhost", "localhost", NULL, NULL, NULL, 0, &session->sasl) !=
		SASL_OK)
		fail("sasl_server_new", "failed");
	/* A layer is for connections that have no TLS. */
	if (strcmp(settings.layer, "yes") == 0) {
		properties.max_ssf = 256;
		properties.maxbufsize = 65536;
		strength = 0;
	}
	sasl_setprop(session->sasl, SASL_SEC_PROPS, &properties);
	sasl_setprop(session->sasl, SASL_SSF_EXTERNAL, &strength);
	set_binding(session);
}

static void
note_hello(const char *data, size_t len)
{
	char text[64];
	size_t i;

	for (i = 0; i < len && i < sizeof text - 1; i++)
		text[i] = isgraph((unsigned char)data[i]) ? data[i] : '.';
	text[i] = '\0';
	note("hello %s", text);
}

/* session->line from `text` on is base64, which becomes octets in its place; their number, -1. */
static int
decode(struct session *session, const char *text)
{
	unsigned len = 0;
	char data[LINE_SIZE];

	if (strcmp(text, "=") == 0)
		return 0;
	if (sasl_decode64(text, (unsigned)strlen(text), data, sizeof data, &len) != SASL_OK)
		return -1;
	memcpy(session->line, data, len);
	session->line[len] = '\0';
	return (int)len;
}

static int
ask(struct session *session, const char *data, unsigned len)
{
	char encoded[LINE_SIZE];

	if (sasl_encode64(data, len, encoded, sizeof encoded, NULL) != SASL_OK)
		return -1;
	say(session, "+ %s", encoded);
	if (!hear(session) || strcmp(session->line, "*") == 0)
		return -1;
	return decode(session, session->line);
}

static bool
log_in(struct session *session, char *arguments)
{
	char *initial = strchr(arguments, ' '), mechanism[64];
	const char *out = NULL;
	const void *user = NULL, *layer = NULL;
	unsigned out_len = 0;
	int len = -1, code;

	if (initial != NULL)
		*initial++ = '\0';
	snprintf(mechanism, sizeof mechanism, "%s", arguments);
	if (initial != NULL)
		len = decode(session, initial);
	if (len > 0)
		note_hello(session->line, (size_t)len);
	code = sasl_server_start(session->sasl, mechanism, len >= 0 ? session->line : NULL,
		len >= 0 ? (unsigned)len : 0, &out, &out_len);
	while (code == SASL_CONTINUE) {
		len = ask(session, out != NULL ? out : "", out_len);
		if (len < 0)
			break;
		code = sasl_server_step(
			session->sasl, session->line, (unsigned)len, &out, &out_len);
	}
	if (code != SASL_OK) {
		note("refused %s: %s", mechanism, sasl_errdetail(session->sasl));
		say(session, "-ERR [AUTH] %s", len < 0 ? "cancelled" : "authentication failed");
		sasl_dispose(&session->sasl);
		set_up_sasl(session);
		return false;
	}
	sasl_getprop(session->sasl, SASL_USERNAME, &user);
	sasl_getprop(session->sasl, SASL_SSF, &layer);
	note("layer %u", *(const sasl_ssf_t *)layer);
	note("login %s %s", (const char *)user, mechanism);
	say(session, "+OK");
	return true;
}

static void
tell_capabilities(struct session *session, bool is_logged_in)
{
	const char *list = NULL;

	say(session, "+OK");
	say(session, "UIDL");
	if (!is_logged_in &&
		sasl_listmech(session->sasl, NULL, "SASL ", " ", "", &list, NULL, NULL) == SASL_OK)
		say(session, "%s", list);
	say(session, ".");
}

static void
obey(struct session *session, bool *is_logged_in)
{
	char *line = session->line;

	if (strcmp(line, "CAPA") == 0) {
		tell_capabilities(session, *is_logged_in);
	} else if (strcmp(line, "QUIT") == 0) {
		say(session, "+OK");
		session->is_over = true;
	} else if (!*is_logged_in && strncmp(line, "AUTH ", 5) == 0) {
		*is_logged_in = log_in(session, line + 5);
	} else if (!*is_logged_in) {
		say(session, "-ERR log in first");
	} else if (strcmp(line, "UIDL") == 0) {
		say(session, "+OK\r\n1 one\r\n.");
	} else if (strcmp(line, "LIST") == 0) {
		say(session, "+OK\r\n1 %zu\r\n.", sizeof message - 1);
	} else if (strcmp(line, "RETR 1") == 0) {
		say(session, "+OK\r\n%s.", message);
	} else {
		say(session, strcmp(line, "STAT") == 0 ? "+OK 1 %zu" : "-ERR no such command",
			sizeof message - 1);
	}
}

static void
serve(int fd, gnutls_certificate_credentials_t credentials)
{
	struct session session = {0};
	bool is_logged_in = false;
	int code;

	gnutls_init(&session.tls, GNUTLS_SERVER | GNUTLS_NO_SIGNAL);
	if (gnutls_priority_set_direct(session.tls, settings.priority, NULL) != 0)
		fail(settings.priority, "not a priority of GnuTLS");
	gnutls_credentials_set(session.tls, GNUTLS_CRD_CERTIFICATE, credentials);
	gnutls_transport_set_int(session.tls, fd);
	if (strcmp(settings.tickets, "yes") == 0)
		gnutls_session_ticket_enable_server(session.tls, &ticket_key);
	gnutls_handshake_set_timeout(session.tls, 10000);
	do
		code = gnutls_handshake(session.tls);
	while (code < 0 && gnutls_error_is_fatal(code) == 0);
	if (code == 0) {
		note("tls %s%s", gnutls_protocol_get_name(gnutls_protocol_get_version(session.tls)),
			gnutls_session_is_resumed(session.tls) != 0 ? " resumed" : "");
		set_up_sasl(&session);
		say(&session, "+OK saslpop");
		while (hear(&session))
			obey(&session, &is_logged_in);
		gnutls_bye(session.tls, GNUTLS_SHUT_WR);
		sasl_dispose(&session.sasl);
	}
	gnutls_free(session.binding_data.data);
	gnutls_deinit(session.tls);
	close(fd);
}

static void
take_setting(char *text)
{
	static const struct {
		const char *name;
		const char **value;
	} known[] = {
		{"priority",   &settings.priority  },
		{"mechanisms", &settings.mechanisms},
		{"binding",    &settings.binding   },
		{"layer",      &settings.layer     },
		{"tickets",    &settings.tickets   },
		{"user",       &settings.user      },
		{"password",   &settings.password  },
	};
	char *value = strchr(text, '=');

	for (size_t i = 0; value != NULL && i < sizeof known / sizeof *known; i++) {
		if (strlen(known[i].name) != (size_t)(value - text) ||
			strncmp(known[i].name, text, (size_t)(value - text)) != 0)
			continue;
		*known[i].value = value + 1;
		return;
	}
	fail(text, "no such setting");
}

/* A socket on a port that the kernel chose; the port goes into the file `ready`, whole. */
static int
start_listening(const char *ready)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char temporary[4096];
	FILE *file;

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, 16) != 0 ||
		getsockname(fd, (struct sockaddr *)&address, &len) != 0)
		fail("socket", "cannot listen");
	snprintf(temporary, sizeof temporary, "%s.new", ready);
	file = fopen(temporary, "w");
	if (file == NULL || fprintf(file, "%d\n", ntohs(address.sin_port)) < 0 ||
		fclose(file) != 0 || rename(temporary, ready) != 0)
		fail(ready, "cannot be written");
	return fd;
}

int
main(int argc, char **argv)
{
	static const sasl_callback_t callbacks[] = {
		{SASL_CB_GETOPT,   (int (*)(void))(void (*)(void))get_option, NULL},
		{SASL_CB_LOG,      (int (*)(void))(void (*)(void))drop_log,   NULL},
		{SASL_CB_LIST_END, NULL,                                      NULL},
	};
	gnutls_certificate_credentials_t credentials;
	int listener, fd;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (argc < 5)
		fail("usage", "saslpop CERTIFICATE KEY READY LOG NAME=VALUE...");
	for (int i = 5; i < argc; i++)
		take_setting(argv[i]);
	log_file = fopen(argv[4], "a");
	if (log_file == NULL)
		fail(argv[4], "cannot be opened");
	if (gnutls_certificate_allocate_credentials(&credentials) != 0 ||
		gnutls_certificate_set_x509_key_file(
			credentials, argv[1], argv[2], GNUTLS_X509_FMT_PEM) != 0 ||
		gnutls_session_ticket_key_generate(&ticket_key) != 0)
		fail(argv[1], "no certificate and key");
	sasl_auxprop_add_plugin("one", init_plug);
	if (sasl_server_init(callbacks, "saslpop") != SASL_OK)
		fail("sasl_server_init", "failed");
	sasl_auxprop_add_plugin("one", init_plug);
	listener = start_listening(argv[3]);
	while ((fd = accept(listener, NULL, NULL)) >= 0)
		serve(fd, credentials);
	return 1;
}
