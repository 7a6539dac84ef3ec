#include "fetch/auth/login.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/quote.h"
#include "base/xalloc.h"
#include "config/mechanism.h"
#include "fetch/auth/choice.h"
#include "fetch/auth/oauth.h"
#include "fetch/auth/sasl.h"
#include "fetch/pop3.h"
#include "fetch/wire/tls.h"

/* One candidate's attempt. */
enum attempt {
	ATTEMPT_OK,
	ATTEMPT_NEXT, /* nothing of the password was sent; `err` says why it did not work */
	ATTEMPT_STOP  /* `err` is the login's result */
};

/*
 * CR and LF would end the command and begin another one of the user's making (or of his
 * address book's).
 */
static bool
is_sendable(const char *data, size_t len)
{
	return len == 0 ||
		(memchr(data, '\r', len) == NULL && memchr(data, '\n', len) == NULL &&
			memchr(data, '\0', len) == NULL);
}

static bool
is_ascii(const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)data[i] > 0x7e)
			return false;
	}
	return true;
}

static int
check_credentials(const struct login *login, struct error *err)
{
	if (login->account->user == NULL || login->account->user[0] == '\0')
		return error_set(err, ERROR_CONFIG, "no user name is configured");
	if (!is_sendable(login->account->user, strlen(login->account->user)))
		return error_set(err, ERROR_CONFIG, "the user name holds a line break");
	if (!is_sendable(login->password->data, login->password->len))
		return error_set(
			err, ERROR_CONFIG, "the password holds a line break or a NUL octet");
	return 0;
}

/* What the refusal means is seen before: a password may well be "AUTH" or "later". */
static enum attempt
refused(const struct conn *conn, const struct login *login, const char *name,
	const struct pop3_reply *reply, struct error *err)
{
	struct pop3_reply shown = *reply;
	char what[LOGIN_NAME_MAX + 32];

	shown.text_len = conn_mask(conn, shown.text, shown.text_len);
	snprintf(what, sizeof(what), "the login with %s", name);
	pop3_refused(
		err, pop3_login_refusal_class(reply, login->caps->auth_resp_code), what, &shown);
	return ATTEMPT_STOP;
}

static enum attempt
try_user_pass(struct conn *conn, const struct login *login, struct error *err)
{
	const char *user = login->account->user;
	const struct secret *password = login->password;
	struct pop3_reply reply;

	if (!login->caps->utf8_user &&
		!(is_ascii(user, strlen(user)) && is_ascii(password->data, password->len))) {
		error_set(err, ERROR_AUTH,
			"user or password is not ASCII, and the server does not list UTF8 USER");
		return ATTEMPT_NEXT;
	}
	if (!secret_is_set(password)) {
		error_set(err, ERROR_AUTH, "USER/PASS needs a password, and there is none");
		return ATTEMPT_NEXT;
	}
	if (pop3_user_pass(conn, user, password, &reply, err) != 0)
		return ATTEMPT_STOP;
	return reply.ok ? ATTEMPT_OK : refused(conn, login, "USER/PASS", &reply, err);
}

static enum attempt
try_apop(struct conn *conn, const struct login *login, struct error *err)
{
	struct pop3_reply reply;

	if (login->timestamp[0] == '\0') {
		error_set(err, ERROR_AUTH, "APOP: the greeting has no timestamp");
		return ATTEMPT_NEXT;
	}
	if (!secret_is_set(login->password)) {
		error_set(err, ERROR_AUTH, "APOP needs a password, and there is none");
		return ATTEMPT_NEXT;
	}
	if (pop3_apop(conn, login->account->user, login->password, login->timestamp, &reply, err) !=
		0)
		return ATTEMPT_STOP;
	return reply.ok ? ATTEMPT_OK : refused(conn, login, MECHANISM_APOP, &reply, err);
}

/* What a server said against a token, behind the refusal that it ended in. */
static void
add_refusal(const struct conn *conn, struct oauth_refusal *refusal, struct error *err)
{
	char shown[OAUTH_SHOWN_SIZE];
	size_t len = strlen(err->text);

	refusal->status[conn_mask(conn, refusal->status, strlen(refusal->status))] = '\0';
	refusal->scope[conn_mask(conn, refusal->scope, strlen(refusal->scope))] = '\0';
	if (oauth_refusal_show(refusal, shown)[0] != '\0')
		snprintf(err->text + len, sizeof(err->text) - len, " (of the token it says: %s)",
			shown);
}

static void
judge_token(const struct conn *conn, const struct login *login, struct oauth_refusal *refusal,
	struct error *err)
{
	if (login->wants_token != NULL)
		*login->wants_token = err->class == ERROR_AUTH && oauth_refusal_may_pass(refusal);
	add_refusal(conn, refusal, err);
}

/*
 * A right password is refused, too, where TLS does not end at the server, or is bound to otherwise.
 */
static void
explain_binding(struct error *err)
{
	size_t len = strlen(err->text);

	snprintf(err->text + len, sizeof err->text - len,
		" (the password is wrong, TLS ends at somebody who is not the server, or the "
		"server binds to TLS in another way)");
}

static enum attempt
try_mechanism(struct conn *conn, const struct login *login, const struct choice *choice,
	const char *name, struct error *err)
{
	bool binds = mechanism_binds(name) || choice_could_bind(choice, name);
	struct oauth_refusal refusal = {0};
	const struct mech_settings settings = {
		.mechanism = name,
		.host = login->account->host,
		.user = login->account->user,
		.authorize_as = login->account->authorize_as,
		.password = login->password,
		.binding = binds ? choice->binding : NULL,
		.key_bits = conn_key_bits(conn),
		.local_name = conn_local_name(conn),
		.remote_name = conn_remote_name(conn),
		.refusal = &refusal,
	};
	/*
	 * A mechanism that is forced and not listed gets no initial response (RFC 5034
	 * section 4); XOAUTH2 never: Exchange ends the connection at one.
	 */
	bool may_start =
		pop3_capabilities_has_mechanism(login->caps, name) && strcmp(name, "XOAUTH2") != 0;
	enum pop3_auth_end end;
	struct pop3_reply reply;

	if (pop3_auth(conn, &settings, may_start, &end, &reply, err) != 0)
		return end == POP3_AUTH_CANNOT ? ATTEMPT_NEXT : ATTEMPT_STOP;
	if (end == POP3_AUTH_OK)
		return ATTEMPT_OK;
	refused(conn, login, name, &reply, err);
	if (end == POP3_AUTH_UNSUPPORTED) {
		/*
		 * That no password was refused is known; the mechanism will not be there later
		 * either.
		 */
		err->class = pop3_login_refusal_class(&reply, false);
		return ATTEMPT_NEXT;
	}
	if (mechanism_takes_token(name))
		judge_token(conn, login, &refusal, err);
	else if (mechanism_binds(name) && err->class == ERROR_AUTH)
		explain_binding(err);
	return ATTEMPT_STOP;
}

static enum attempt
try_candidate(struct conn *conn, const struct login *login, const struct choice *choice,
	const char *name, struct error *err)
{
	if (choice_allows(choice, name, err) != 0)
		return ATTEMPT_NEXT;
	if (strcmp(name, MECHANISM_USER_PASS) == 0)
		return try_user_pass(conn, login, err);
	if (strcmp(name, MECHANISM_APOP) == 0)
		return try_apop(conn, login, err);
	return try_mechanism(conn, login, choice, name, err);
}

/* `binding` is room that the result points to. */
static struct choice
make_choice(const struct conn *conn, const struct login *login, struct tls_binding *binding)
{
	return (struct choice){
		.account = login->account,
		.caps = login->caps,
		.is_secure = conn_is_secure(conn),
		.has_certificate = login->account->tls_cert != NULL,
		.binding = conn_get_binding(conn, binding) ? binding : NULL,
	};
}

const char *
login_choose(const struct conn *conn, const struct login *login)
{
	struct tls_binding binding;
	const struct choice choice = make_choice(conn, login, &binding);

	return choice_first(&choice);
}

static int
no_candidate(const struct login *login, struct error *err)
{
	char quoted[QUOTE_SIZE];

	return error_set(err, ERROR_AUTH, "no way to log in that both sides know (it lists \"%s\")",
		quote_bytes(quoted, login->caps->mechanisms, strlen(login->caps->mechanisms)));
}

static int
try_all(struct conn *conn, const struct login *login, char used_out[static LOGIN_NAME_MAX],
	struct error *err)
{
	struct tls_binding binding;
	const struct choice choice = make_choice(conn, login, &binding);
	const char *candidates[CHOICE_MAX];
	size_t count = choice_list(&choice, candidates);
	struct error failure = {.class = ERROR_AUTH};

	if (count == 0)
		return no_candidate(login, err);
	for (size_t i = 0; i < count; i++) {
		snprintf(used_out, LOGIN_NAME_MAX, "%s", candidates[i]);
		switch (try_candidate(conn, login, &choice, candidates[i], &failure)) {
		case ATTEMPT_OK:
			return 0;
		case ATTEMPT_NEXT:
			break;
		case ATTEMPT_STOP:
			*err = failure;
			return -1;
		}
	}
	/*
	 * The last one's reason stands for all: the weakest candidate is the likeliest to
	 * be understood.
	 */
	*err = failure;
	return -1;
}

/* Octets of a secret that are worth hiding where they stand in the middle of base64. */
#define HIDDEN_MIN 8

/*
 * As base64 has it behind `before` other octets, without the characters that depend on what stands
 * around it.
 */
static void
hide_encoded(struct conn *conn, const struct secret *password, size_t before)
{
	static const size_t shared[] = {0, 2, 3};
	char *padded = xcalloc(before + password->len, 1), *encoded;
	size_t len = (before + password->len) * 8 / 6;

	memcpy(padded + before, password->data, password->len);
	encoded = base64_encode(padded, before + password->len);
	if (len > shared[before] + HIDDEN_MIN)
		conn_hide(conn, encoded + shared[before], len - shared[before]);
	base64_free(encoded);
	secret_wipe(padded, before + password->len);
	free(padded);
}

/* As LOGIN sends it, and as it stands in what other mechanisms send. */
static void
hide_password(struct conn *conn, const struct secret *password)
{
	char *encoded;

	if (!secret_is_set(password))
		return;
	conn_hide(conn, password->data, password->len);
	encoded = base64_encode(password->data, password->len);
	conn_hide(conn, encoded, strlen(encoded));
	base64_free(encoded);
	for (size_t before = 0; before < 3; before++)
		hide_encoded(conn, password, before);
}

int
login_run(struct conn *conn, const struct login *login, char used_out[static LOGIN_NAME_MAX],
	struct error *err)
{
	int result;

	used_out[0] = '\0';
	if (check_credentials(login, err) != 0)
		return -1;
	hide_password(conn, login->password);
	result = try_all(conn, login, used_out, err);
	conn_forget_secrets(conn);
	return result;
}
