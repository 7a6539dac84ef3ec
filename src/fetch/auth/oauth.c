#include "fetch/auth/oauth.h"

#include <sasl/sasl.h>
#include <sasl/saslplug.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/quote.h"

/* The separator of key-value pairs (RFC 7628 section 3.1); no value may have it in it. */
#define SEPARATOR '\001'

/* Room for what stands around user, host and token in a message. */
#define AROUND_SIZE 128

/* Depth of JSON in JSON that is read over: a server's words have one. */
#define JSON_DEPTH_MAX 16

/* ---- the plug-in ---- */

/* One exchange. */
struct exchange {
	bool is_bearer; /* OAUTHBEARER */
	bool has_sent;  /* the token */
	char *message;  /* the response, which the library reads until the next step */
	unsigned len;
};

/* What tells the two mechanisms apart, which is all that the library hands to a new exchange. */
static char is_xoauth2, is_bearer;

static int
begin(void *mechanism, sasl_client_params_t *params, void **context)
{
	struct exchange *exchange = params->utils->malloc(sizeof *exchange);

	if (exchange == NULL)
		return SASL_NOMEM;
	*exchange = (struct exchange){.is_bearer = mechanism == &is_bearer};
	*context = exchange;
	return SASL_OK;
}

static void
end(void *context, const sasl_utils_t *utils)
{
	struct exchange *exchange = context;

	if (exchange == NULL)
		return;
	/* The library's allocator wipes what it frees (sasl.c). */
	if (exchange->message != NULL)
		utils->free(exchange->message);
	utils->free(exchange);
}

/* A name by its callback; NULL and a code when there is none. */
static int
get_name(sasl_client_params_t *params, unsigned long id, const char **name_out)
{
	sasl_callback_ft get;
	void *context;
	int code = params->utils->getcallback(params->utils->conn, id, &get, &context);

	*name_out = NULL;
	if (code == SASL_OK)
		code = ((sasl_getsimple_t *)(void (*)(void))get)(context, (int)id, name_out, NULL);
	if (code == SASL_OK && *name_out == NULL)
		code = SASL_BADPARAM;
	return code;
}

static int
get_token(sasl_client_params_t *params, const sasl_secret_t **token_out)
{
	sasl_callback_ft get;
	sasl_secret_t *token = NULL;
	void *context;
	int code = params->utils->getcallback(params->utils->conn, SASL_CB_PASS, &get, &context);

	if (code == SASL_OK)
		code = ((sasl_getsecret_t *)(void (*)(void))get)(
			params->utils->conn, context, SASL_CB_PASS, &token);
	if (code == SASL_OK && token == NULL)
		code = SASL_BADPARAM;
	*token_out = token;
	return code;
}

/* "ADDRESS;PORT" of the server has the port behind its last semicolon. */
static const char *
port_of(const sasl_client_params_t *params)
{
	const char *semicolon = params->ipremoteport != NULL && params->ipremlen != 0
		? strrchr(params->ipremoteport, ';')
		: NULL;

	return semicolon != NULL ? semicolon + 1 : NULL;
}

/*
 * A name in the GS2 header (RFC 5801 section 4): "=" is =3D, "," is =2C. Returns the end of `out`.
 */
static char *
put_gs2_name(char *out, const char *name)
{
	for (; *name != '\0'; name++) {
		if (*name == '=' || *name == ',') {
			memcpy(out, *name == '=' ? "=3D" : "=2C", 3);
			out += 3;
		} else {
			*out++ = *name;
		}
	}
	return out;
}

static char *
put_text(char *out, const char *text)
{
	size_t len = strlen(text);

	memcpy(out, text, len);
	return out + len;
}

/* "n,a=USER,^Ahost=HOST^Aport=PORT^A" (RFC 7628 section 3.1), or XOAUTH2's "user=USER^A". */
static char *
put_head(char *out, const struct exchange *exchange, const sasl_client_params_t *params,
	const char *name)
{
	const char *port = port_of(params);

	if (!exchange->is_bearer) {
		out = put_text(put_text(out, "user="), name);
		*out++ = SEPARATOR;
		return out;
	}
	out = put_text(put_gs2_name(put_text(out, "n,a="), name), ",\001host=");
	out = put_text(out, params->serverFQDN);
	if (port != NULL)
		out = put_text(put_text(out, "\001port="), port);
	*out++ = SEPARATOR;
	return out;
}

static int
make_message(struct exchange *exchange, const sasl_client_params_t *params, const char *name,
	const sasl_secret_t *token)
{
	size_t host_len = params->serverFQDN != NULL ? strlen(params->serverFQDN) : 0;
	char *out;

	if (host_len == 0 || strchr(params->serverFQDN, SEPARATOR) != NULL ||
		strchr(name, SEPARATOR) != NULL ||
		memchr(token->data, SEPARATOR, token->len) != NULL) {
		params->utils->seterror(params->utils->conn, 0,
			"an octet of the user, host or token cannot be sent");
		return SASL_BADPARAM;
	}
	exchange->message =
		params->utils->malloc(3 * strlen(name) + host_len + token->len + AROUND_SIZE);
	if (exchange->message == NULL)
		return SASL_NOMEM;
	out = put_text(put_head(exchange->message, exchange, params, name), "auth=Bearer ");
	memcpy(out, token->data, token->len);
	out += token->len;
	*out++ = SEPARATOR;
	*out++ = SEPARATOR;
	exchange->len = (unsigned)(out - exchange->message);
	return SASL_OK;
}

/* The library will not go on before it was told both names. */
static int
tell_names(sasl_client_params_t *params, const char *user, const char *other,
	sasl_out_params_t *result)
{
	sasl_conn_t *conn = params->utils->conn;
	int code;

	if (*other == '\0')
		return params->canon_user(conn, user, 0, SASL_CU_AUTHID | SASL_CU_AUTHZID, result);
	code = params->canon_user(conn, user, 0, SASL_CU_AUTHID, result);
	if (code == SASL_OK)
		code = params->canon_user(conn, other, 0, SASL_CU_AUTHZID, result);
	return code;
}

/*
 * The first message. The library counts the exchange as done, but is not told so: a server that
 * refuses the token says why in a challenge.
 */
static int
start(struct exchange *exchange, sasl_client_params_t *params, sasl_out_params_t *result)
{
	const char *user, *other;
	const sasl_secret_t *token;
	int code;

	if (params->external_ssf == 0) {
		params->utils->seterror(
			params->utils->conn, 0, "a token is never sent without TLS");
		return SASL_ENCRYPT;
	}
	code = get_name(params, SASL_CB_AUTHNAME, &user);
	if (code == SASL_OK)
		code = get_name(params, SASL_CB_USER, &other);
	if (code == SASL_OK)
		code = get_token(params, &token);
	if (code == SASL_OK)
		code = tell_names(params, user, other, result);
	/* In OAUTHBEARER the token alone tells who logs in, and "a=" whom for. */
	if (code == SASL_OK)
		code = make_message(exchange, params,
			exchange->is_bearer && *other != '\0' ? other : user, token);
	exchange->has_sent = code == SASL_OK;
	return code;
}

/* So many arguments the library hands to a mechanism. */
static int
step(void *context, /* NOLINT(readability-function-size) */
	sasl_client_params_t *params, const char *challenge, unsigned challenge_len,
	sasl_interact_t **prompts, const char **out, unsigned *out_len, sasl_out_params_t *result)
{
	struct exchange *exchange = context;
	int code;

	(void)challenge;
	(void)challenge_len;
	(void)prompts;
	if (!exchange->has_sent) {
		code = start(exchange, params, result);
		*out = exchange->message;
		*out_len = exchange->len;
		return code;
	}
	/* The refusal is acknowledged, and -ERR follows (RFC 7628 section 3.2.3). */
	*out = exchange->is_bearer ? "\001" : "";
	*out_len = exchange->is_bearer ? 1 : 0;
	result->doneflag = 1;
	return SASL_CONTINUE;
}

/* The library keeps the pointer. */
static sasl_client_plug_t plugs[] = {
	{.mech_name = "OAUTHBEARER",
         .security_flags = SASL_SEC_NOANONYMOUS | SASL_SEC_PASS_CREDENTIALS,
         .features = SASL_FEAT_WANT_CLIENT_FIRST | SASL_FEAT_ALLOWS_PROXY,
         .glob_context = &is_bearer,
         .mech_new = begin,
         .mech_step = step,
         .mech_dispose = end},
	{.mech_name = "XOAUTH2",
         .security_flags = SASL_SEC_NOANONYMOUS | SASL_SEC_PASS_CREDENTIALS,
         .features = SASL_FEAT_WANT_CLIENT_FIRST,
         .glob_context = &is_xoauth2,
         .mech_new = begin,
         .mech_step = step,
         .mech_dispose = end},
};

static int
introduce(const sasl_utils_t *utils, int newest, int *version_out, sasl_client_plug_t **plugs_out,
	int *count_out)
{
	(void)utils;
	if (newest < SASL_CLIENT_PLUG_VERSION)
		return SASL_BADVERS;
	*version_out = SASL_CLIENT_PLUG_VERSION;
	*plugs_out = plugs;
	*count_out = sizeof plugs / sizeof *plugs;
	return SASL_OK;
}

int
oauth_register(void)
{
	return sasl_client_add_plugin("pophaul", introduce);
}

/* ---- a server's word on a token ---- */

/* JSON being read; `at` is NULL once it was none. */
struct reader {
	const char *at, *end;
};

/* The next octet that is no blank, not taken; NUL at the end or after an error. */
static char
peek(struct reader *reader)
{
	while (reader->at != NULL && reader->at < reader->end &&
		memchr(" \t\r\n", *reader->at, 4) != NULL)
		reader->at++;
	return reader->at != NULL && reader->at < reader->end ? *reader->at : '\0';
}

static bool
take(struct reader *reader, char wanted)
{
	if (peek(reader) != wanted) {
		reader->at = NULL;
		return false;
	}
	reader->at++;
	return true;
}

static void
put_octet(char out[static OAUTH_WORD_SIZE], size_t *len, char octet)
{
	if (*len < OAUTH_WORD_SIZE - 1)
		out[(*len)++] = octet;
}

/* What "\X" stands for; what is no ASCII becomes "?", and so does a control character. */
static char
read_escape(struct reader *reader)
{
	char kind = reader->at < reader->end ? *reader->at++ : '\0';
	unsigned code = 0;

	if (kind != 'u')
		return kind == '"' || kind == '\\' || kind == '/' ? kind : '?';
	for (int i = 0; i < 4; i++) {
		static const char digits[] = "0123456789abcdef";
		const char *digit = reader->at < reader->end && *reader->at != '\0'
			? strchr(digits, *reader->at | ' ')
			: NULL;

		if (digit == NULL)
			return '?';
		code = code * 16 + (unsigned)(digit - digits);
		reader->at++;
	}
	return code >= ' ' && code <= '~' ? (char)code : '?';
}

/* A string, cut to its room. */
static void
read_string(struct reader *reader, char out[static OAUTH_WORD_SIZE])
{
	size_t len = 0;

	if (take(reader, '"')) {
		while (reader->at < reader->end && *reader->at != '"') {
			char octet = *reader->at++;

			put_octet(out, &len, octet == '\\' ? read_escape(reader) : octet);
		}
		(void)take(reader, '"');
	}
	out[len] = '\0';
}

/* A number or a word. */
static void
read_word(struct reader *reader, char out[static OAUTH_WORD_SIZE])
{
	size_t len = 0;

	while (reader->at < reader->end && memchr(",]} \t\r\n", *reader->at, 7) == NULL)
		put_octet(out, &len, *reader->at++);
	out[len] = '\0';
	if (len == 0)
		reader->at = NULL;
}

/* Read over an array or an object, without a look at its grammar. */
static void
skip_nested(struct reader *reader)
{
	char ignored[OAUTH_WORD_SIZE];
	int depth = 0;

	do {
		char next = peek(reader);

		if (next == '"') {
			read_string(reader, ignored);
			continue;
		}
		depth += (next == '{' || next == '[') - (next == '}' || next == ']');
		if (next == '\0' || depth > JSON_DEPTH_MAX)
			reader->at = NULL;
		else
			reader->at++;
	} while (reader->at != NULL && depth > 0);
}

/* A value of any kind; an array or object leaves `out` empty. */
static void
read_value(struct reader *reader, char out[static OAUTH_WORD_SIZE])
{
	char next = peek(reader);

	out[0] = '\0';
	if (next == '"')
		read_string(reader, out);
	else if (next == '{' || next == '[')
		skip_nested(reader);
	else if (next != '\0')
		read_word(reader, out);
	else
		reader->at = NULL;
}

/* An object's members, as far as they are looked for. False when it is none. */
static bool
read_object(struct reader *reader, struct oauth_refusal *refusal)
{
	char key[OAUTH_WORD_SIZE], value[OAUTH_WORD_SIZE];

	if (!take(reader, '{'))
		return false;
	while (peek(reader) != '}') {
		read_string(reader, key);
		if (!take(reader, ':'))
			return false;
		read_value(reader, value);
		if (strcmp(key, "status") == 0)
			memcpy(refusal->status, value, sizeof value);
		else if (strcmp(key, "scope") == 0)
			memcpy(refusal->scope, value, sizeof value);
		if (peek(reader) == ',')
			reader->at++;
		else if (peek(reader) != '}')
			return false;
	}
	return true;
}

void
oauth_refusal_read(struct oauth_refusal *refusal, const char *text, size_t len)
{
	struct reader reader = {.at = text, .end = text + len};

	*refusal = (struct oauth_refusal){.is_set = true};
	if (read_object(&reader, refusal))
		return;
	*refusal = (struct oauth_refusal){.is_set = true};
	if (len > OAUTH_WORD_SIZE - 1)
		len = OAUTH_WORD_SIZE - 1;
	for (size_t i = 0; i < len; i++)
		refusal->status[i] = text[i] != '\0' ? text[i] : '?';
}

const char *
oauth_refusal_show(const struct oauth_refusal *refusal, char out[static OAUTH_SHOWN_SIZE])
{
	char status[OAUTH_WORD_SIZE + 4], scope[OAUTH_WORD_SIZE + 4];

	out[0] = '\0';
	quote_bytes_into(status, sizeof status, refusal->status, strlen(refusal->status));
	quote_bytes_into(scope, sizeof scope, refusal->scope, strlen(refusal->scope));
	if (*status != '\0' && *scope != '\0')
		snprintf(out, OAUTH_SHOWN_SIZE, "status \"%s\", scope \"%s\"", status, scope);
	else if (*status != '\0')
		snprintf(out, OAUTH_SHOWN_SIZE, "status \"%s\"", status);
	else if (*scope != '\0')
		snprintf(out, OAUTH_SHOWN_SIZE, "scope \"%s\"", scope);
	return out;
}

bool
oauth_refusal_may_pass(const struct oauth_refusal *refusal)
{
	return strcasecmp(refusal->status, "insufficient_scope") != 0 &&
		strcmp(refusal->status, "403") != 0;
}
