#include "fetch/auth/sasl.h"

#include <malloc.h>
#include <netinet/in.h>
#include <resolv.h>
#include <sasl/sasl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/quote.h"
#include "base/xalloc.h"
#include "config/mechanism.h"
#include "fetch/auth/oauth.h"
#include "fetch/wire/tls.h"

/* The service name of POP3 (RFC 5034 section 4): Kerberos principals are pop/HOST@REALM. */
#define SERVICE "pop"

/*
 * RFC 5802 section 5.1 asks for 4096 at least: with fewer, whoever plays the server finds the
 * password out of the answer. Cyrus SASL takes any number up to 65536.
 */
#define SCRAM_ITERATIONS_MIN 4096
#define SCRAM_ITERATIONS_MAX 65536

/* libsasl2 takes unsigned lengths, and no exchange needs more than a line. */
#define CHALLENGE_MAX 65536

/* The library's own bound is 20. */
#define NAME_MAX_LEN 32

/* The callbacks of one exchange: user, authname, realm, password, end. */
#define CALLBACK_COUNT 5

struct mech {
	const struct mech_settings *settings;
	sasl_conn_t *conn;
	sasl_secret_t *password;
	size_t password_size;
	sasl_callback_t callbacks[CALLBACK_COUNT];
	sasl_channel_binding_t binding;
	unsigned steps; /* challenges answered */
	bool is_done;
};

/*
 * The library's allocator: what it frees may hold a password (PLAIN leaves one behind), so all of
 * it is wiped.
 */

static void
wiping_free(void *p)
{
	if (p != NULL)
		secret_wipe(p, malloc_usable_size(p));
	free(p);
}

static void *
wiping_realloc(void *old, size_t size)
{
	size_t old_size = old != NULL ? malloc_usable_size(old) : 0;
	void *p = malloc(size != 0 ? size : 1);

	if (p == NULL || old == NULL)
		return p;
	memcpy(p, old, old_size < size ? old_size : size);
	wiping_free(old);
	return p;
}

/* Without this the library writes to syslog; at its higher levels, passwords. */
static int
drop_log(void *context, int level, const char *message)
{
	(void)context;
	(void)level;
	(void)message;
	return SASL_OK;
}

static const struct plugin {
	const char *name;       /* of its file, without "lib" */
	const char *mechanisms; /* what their names begin with */
} known_plugins[] = {
	{"plain",     "PLAIN"     },
	{"login",     "LOGIN"     },
	{"crammd5",   "CRAM-MD5"  },
	{"scram",     "SCRAM-"    },
	{"digestmd5", "DIGEST-MD5"},
	{"ntlm",      "NTLM"      },
	{"gssapiv2",  "GSS"       },
	{"gs2",       "GS2-"      },
};

/* Kerberos alone draws in seven libraries, which each fork of a process pays for. */
static bool
is_wanted(const struct plugin *plugin, const struct mech_wants *wants)
{
	size_t len = strlen(plugin->mechanisms);

	for (const char *const *name = mechanism_names; *name != NULL; name++) {
		if (strncmp(*name, plugin->mechanisms, len) == 0 &&
			wants->wants(*name, wants->context))
			return true;
	}
	return false;
}

/*
 * Only plug-ins that we know are loaded: others in the same folder ask for callbacks that do not
 * exist here (KDE's XOAUTH2 crashes its caller) or draw in a data base library.
 */
static int
verify_file(void *context, const char *path, sasl_verify_type_t type)
{
	const struct mech_wants *wants = context;
	const char *name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;

	if (type != SASL_VRFY_PLUGIN)
		return SASL_OK;
	if (strncmp(name, "lib", 3) == 0)
		name += 3;
	for (size_t i = 0; i < sizeof known_plugins / sizeof *known_plugins; i++) {
		const struct plugin *plugin = &known_plugins[i];
		size_t len = strlen(plugin->name);

		if (strncmp(name, plugin->name, len) == 0 && name[len] == '.')
			return is_wanted(plugin, wants) ? SASL_OK : SASL_CONTINUE;
	}
	return SASL_CONTINUE;
}

/* The library declares all callbacks as int (*)(void) and casts them back by their ids. */
#define CALLBACK(function) ((int (*)(void))(void (*)(void))(function))

int
mech_prepare(const struct mech_wants *wants, struct error *err)
{
	/* The library keeps both pointers, and looks for plug-ins at its start alone. */
	static struct mech_wants kept;
	static const sasl_callback_t callbacks[] = {
		{SASL_CB_LOG,        CALLBACK(drop_log),    NULL },
		{SASL_CB_VERIFYFILE, CALLBACK(verify_file), &kept},
		{SASL_CB_LIST_END,   NULL,                  NULL },
	};
	static bool is_prepared;
	int code;

	if (is_prepared)
		return 0;
	kept = *wants;
	sasl_set_alloc(malloc, calloc, wiping_realloc, wiping_free);
	code = sasl_client_init(callbacks);
	if (code == SASL_OK)
		code = oauth_register();
	if (code != SASL_OK)
		return error_set(err, ERROR_SYSTEM, "the SASL library cannot be set up: %s",
			sasl_errstring(code, NULL, NULL));
	is_prepared = true;
	return 0;
}

/* The length of a name without its -PLUS, which only names a way to use the same mechanism. */
static size_t
base_name_len(const char *mechanism)
{
	size_t len = strlen(mechanism);

	return len > 5 && strcasecmp(mechanism + len - 5, "-PLUS") == 0 ? len - 5 : len;
}

bool
mech_is_available(const char *mechanism)
{
	const char **list = sasl_global_listmech();
	size_t len = base_name_len(mechanism);

	for (; list != NULL && *list != NULL; list++) {
		if (strlen(*list) == len && strncasecmp(*list, mechanism, len) == 0)
			return true;
	}
	/* The library's list is that of its start, before it was given ours. */
	return strcasecmp(mechanism, "OAUTHBEARER") == 0 || strcasecmp(mechanism, "XOAUTH2") == 0;
}

/* SASL_CB_USER, whom to act for, "" for nobody else; SASL_CB_AUTHNAME, who we are. */
static int
get_name(void *context, int id, const char **result, unsigned *len)
{
	const struct mech *mech = context;
	const char *name = mech->settings->user;

	if (id == SASL_CB_USER)
		name = mech->settings->authorize_as != NULL ? mech->settings->authorize_as : "";
	*result = name;
	if (len != NULL)
		*len = (unsigned)strlen(name);
	return SASL_OK;
}

static int
get_password(sasl_conn_t *conn, void *context, int id, sasl_secret_t **secret)
{
	struct mech *mech = context;

	(void)conn;
	(void)id;
	*secret = mech->password;
	return SASL_OK;
}

/* DIGEST-MD5 asks when the server lists several realms; the first is the server's own choice. */
static int
get_realm(void *context, int id, const char **available, const char **result)
{
	(void)context;
	(void)id;
	if (available == NULL || *available == NULL)
		return SASL_FAIL;
	*result = *available;
	return SASL_OK;
}

static void
set_callbacks(struct mech *mech)
{
	const struct secret *password = mech->settings->password;
	size_t i = 0;

	mech->callbacks[i++] = (sasl_callback_t){SASL_CB_USER, CALLBACK(get_name), mech};
	mech->callbacks[i++] = (sasl_callback_t){SASL_CB_AUTHNAME, CALLBACK(get_name), mech};
	mech->callbacks[i++] = (sasl_callback_t){SASL_CB_GETREALM, CALLBACK(get_realm), mech};
	if (password != NULL && secret_is_set(password)) {
		mech->password_size = sizeof *mech->password + password->len;
		mech->password = xcalloc(1, mech->password_size);
		mech->password->len = password->len;
		memcpy(mech->password->data, password->data, password->len);
		mech->callbacks[i++] =
			(sasl_callback_t){SASL_CB_PASS, CALLBACK(get_password), mech};
	}
	mech->callbacks[i] = (sasl_callback_t){SASL_CB_LIST_END, NULL, NULL};
}

/*
 * "MECHANISM: the library's reason", whose own text begins "SASL(-13): ". It may hold words of the
 * server. Only valid right after a failure: the library keeps old texts.
 */
static int
library_error(const struct mech *mech, int code, struct error *err)
{
	const char *reason = mech->conn != NULL ? sasl_errdetail(mech->conn) : NULL;
	char quoted[QUOTE_SIZE];

	if (reason == NULL || *reason == '\0')
		reason = sasl_errstring(code, NULL, NULL);
	if (strncmp(reason, "SASL(", 5) == 0 && strstr(reason, "): ") != NULL)
		reason = strstr(reason, "): ") + 3;
	return error_set(err, ERROR_AUTH, "%s: %s", mech->settings->mechanism,
		quote_bytes(quoted, reason, strlen(reason)));
}

/*
 * What went wrong in Kerberos stands behind what went wrong in GSSAPI, in parentheses: "…: GSSAPI
 * Error: Unspecified failure (Ticket expired)".
 */
static int
kerberos_error(const struct mech *mech, const char *what, struct error *err)
{
	const char *reason = sasl_errdetail(mech->conn), *inner = strstr(reason, " (");
	size_t len = strlen(reason);
	char quoted[QUOTE_SIZE];

	if (inner != NULL && reason[len - 1] == ')') {
		reason = inner + 2;
		len = strlen(reason) - 1;
	}
	return error_set(err, ERROR_AUTH, "%s: %s: %s", mech->settings->mechanism, what,
		quote_bytes(quoted, reason, len));
}

/*
 * The library leaves the texts of failures that came to nothing where those of real ones are
 * looked for.
 */
static void
forget_errors(struct mech *mech)
{
	sasl_seterror(mech->conn, SASL_NOLOG, "");
}

/* No security layer: TLS is ours to bring, and a layer would wrap every octet after the login. */
static int
set_properties(struct mech *mech, struct error *err)
{
	sasl_security_properties_t properties = {.security_flags = SASL_SEC_NOANONYMOUS};
	const struct tls_binding *binding = mech->settings->binding;
	sasl_ssf_t strength = mech->settings->key_bits;
	int code = sasl_setprop(mech->conn, SASL_SEC_PROPS, &properties);

	if (code == SASL_OK && strength != 0)
		code = sasl_setprop(mech->conn, SASL_SSF_EXTERNAL, &strength);
	/*
	 * EXTERNAL is there only for a connection that has proved somebody; who that is is not
	 * sent.
	 */
	if (code == SASL_OK && strcmp(mech->settings->mechanism, "EXTERNAL") == 0)
		code = sasl_setprop(mech->conn, SASL_AUTH_EXTERNAL, mech->settings->user);
	if (code == SASL_OK && binding != NULL) {
		mech->binding = (sasl_channel_binding_t){
			.name = binding->type, .len = binding->len, .data = binding->data};
		code = sasl_setprop(mech->conn, SASL_CHANNEL_BINDING, &mech->binding);
	}
	return code == SASL_OK ? 0 : library_error(mech, code, err);
}

/*
 * The library takes a single name for one without an alternative and then says that the client
 * cannot bind. The same name twice is no choice either, but is told as "could have, if you could".
 */
static int
start_library(struct mech *mech, const char **data, unsigned *len)
{
	const struct mech_settings *settings = mech->settings;
	char list[2 * NAME_MAX_LEN + 2];
	const char *chosen;

	snprintf(list, sizeof list, "%s", settings->mechanism);
	if (settings->binding != NULL && !mechanism_binds(settings->mechanism))
		snprintf(list, sizeof list, "%s %s", settings->mechanism, settings->mechanism);
	return sasl_client_start(mech->conn, list, NULL, data, len, &chosen);
}

static bool
rests_on_ticket(const char *mechanism)
{
	const struct mechanism *known = mechanism_find(mechanism);

	return known != NULL && known->proof == MECHANISM_TICKET;
}

/* Where a plug-in is to be had that is missing here. */
static const char *
package_of(const char *mechanism)
{
	return rests_on_ticket(mechanism) ? "libsasl2-modules-gssapi-mit" : "libsasl2-modules";
}

/* Take what a library call gave; its code becomes 0 or -1. */
static int
take_result(struct mech *mech, int code, const char *data, unsigned len, struct mech_data *out,
	struct error *err)
{
	if (code != SASL_OK && code != SASL_CONTINUE)
		return library_error(mech, code, err);
	mech->is_done = code == SASL_OK;
	out->data = data;
	out->len = data != NULL ? len : 0;
	return 0;
}

/*
 * The library looks up this machine's own name, where that has no dot, for nothing that we use. On
 * many machines only name servers that nobody has told of it could answer, or be silent for
 * seconds: they are not asked.
 */
static int
new_connection(struct mech *mech)
{
	const struct mech_settings *settings = mech->settings;
	int servers, code;

	if ((_res.options & RES_INIT) == 0)
		(void)res_init();
	servers = _res.nscount;
	_res.nscount = 0;
	code = sasl_client_new(SERVICE, settings->host, settings->local_name, settings->remote_name,
		mech->callbacks, 0, &mech->conn);
	_res.nscount = servers;
	return code;
}

static int
begin(struct mech *mech, struct mech_data *initial, struct error *err)
{
	const struct mech_settings *settings = mech->settings;
	const char *data = NULL;
	unsigned len = 0;
	int code;

	if (!mech_is_available(settings->mechanism))
		return error_set(err, ERROR_AUTH,
			"this installation of Cyrus SASL has no %s (on Debian it is in %s)",
			settings->mechanism, package_of(settings->mechanism));
	if (mechanism_binds(settings->mechanism) && settings->binding == NULL)
		return error_set(
			err, ERROR_AUTH, "%s: there is nothing to bind to", settings->mechanism);
	set_callbacks(mech);
	code = new_connection(mech);
	if (code != SASL_OK)
		return library_error(mech, code, err);
	if (set_properties(mech, err) != 0)
		return -1;
	forget_errors(mech);
	code = start_library(mech, &data, &len);
	if (code != SASL_OK && code != SASL_CONTINUE && rests_on_ticket(settings->mechanism))
		return kerberos_error(mech,
			"no Kerberos ticket (kinit gets one, or a keytab in KRB5_CLIENT_KTNAME)",
			err);
	if (code == SASL_NOMECH && mech->password == NULL)
		return error_set(err, ERROR_AUTH, "%s: no password is known", settings->mechanism);
	return take_result(mech, code, data, len, initial, err);
}

struct mech *
mech_start(const struct mech_settings *settings, struct mech_data *initial, struct error *err)
{
	struct mech *mech = xcalloc(1, sizeof *mech);

	mech->settings = settings;
	if (begin(mech, initial, err) == 0)
		return mech;
	mech_free(mech);
	return NULL;
}

/* "i=" with nothing but digits behind it; true and the number in `out`, which is capped. */
static bool
parse_iterations(const char *text, size_t len, uint64_t *out)
{
	*out = 0;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		if (*out <= SCRAM_ITERATIONS_MAX)
			*out = *out * 10 + (uint64_t)(text[i] - '0');
	}
	return len != 0;
}

/*
 * The server's first message, "r=…,s=…,i=4096" (RFC 5802 section 7). The library checks the nonce
 * and the order of the attributes, but would take any low number of iterations.
 */
static int
check_scram_challenge(const struct mech *mech, const char *text, size_t len, struct error *err)
{
	const char *name = mech->settings->mechanism;
	const char *end = text + len, *next;
	uint64_t count;

	for (; text < end; text = next + 1) {
		next = memchr(text, ',', (size_t)(end - text));
		if (next == NULL)
			next = end;
		if (next - text < 2 || memcmp(text, "i=", 2) != 0)
			continue;
		if (!parse_iterations(text + 2, (size_t)(next - text) - 2, &count))
			return error_set(err, ERROR_AUTH,
				"%s: the server's iteration count is no number", name);
		if (count < SCRAM_ITERATIONS_MIN)
			return error_set(err, ERROR_AUTH,
				"%s: the server asks for %llu iterations, which is too few to "
				"protect the password (RFC 5802: %d)",
				name, (unsigned long long)count, SCRAM_ITERATIONS_MIN);
		if (count > SCRAM_ITERATIONS_MAX)
			return error_set(err, ERROR_AUTH,
				"%s: the server asks for more iterations than Cyrus SASL can do "
				"(%d): set auth to PLAIN, over TLS",
				name, SCRAM_ITERATIONS_MAX);
	}
	return 0;
}

int
mech_step(struct mech *mech, const void *challenge, size_t len, struct mech_data *response,
	struct error *err)
{
	const char *data = NULL;
	unsigned out_len = 0;
	int code;

	if (len > CHALLENGE_MAX)
		return error_set(err, ERROR_AUTH, "%s: the server's challenge is too long",
			mech->settings->mechanism);
	if (mech->steps++ == 0 && strncmp(mech->settings->mechanism, "SCRAM-", 6) == 0 &&
		check_scram_challenge(mech, challenge, len, err) != 0)
		return -1;
	if (mechanism_takes_token(mech->settings->mechanism)) {
		if (mech->steps > 1)
			return error_set(err, ERROR_AUTH,
				"%s: the server goes on after it refused the token",
				mech->settings->mechanism);
		if (mech->settings->refusal != NULL)
			oauth_refusal_read(mech->settings->refusal, challenge, len);
	}
	mech->is_done = false;
	forget_errors(mech);
	code = sasl_client_step(mech->conn, challenge, (unsigned)len, NULL, &data, &out_len);
	if (code != SASL_OK && code != SASL_CONTINUE && rests_on_ticket(mech->settings->mechanism))
		return kerberos_error(mech, "not what Kerberos expects of a server", err);
	return take_result(mech, code, data, out_len, response, err);
}

bool
mech_is_done(const struct mech *mech)
{
	return mech->is_done;
}

void
mech_free(struct mech *mech)
{
	if (mech == NULL)
		return;
	if (mech->conn != NULL)
		sasl_dispose(&mech->conn);
	if (mech->password != NULL)
		secret_wipe(mech->password, mech->password_size);
	free(mech->password);
	free(mech);
}
