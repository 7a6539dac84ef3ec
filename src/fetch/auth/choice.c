#include "fetch/auth/choice.h"

#include <string.h>

#include "config/mechanism.h"
#include "fetch/auth/sasl.h"

/*
 * Under TLS a password is as safe in PLAIN as in CRAM-MD5, and the server need not store
 * it in clear.
 */
static const char *const order_secure[] = {"EXTERNAL", "SCRAM-SHA-512-PLUS", "SCRAM-SHA-384-PLUS",
	"SCRAM-SHA-256-PLUS", "SCRAM-SHA-224-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-512",
	"SCRAM-SHA-384", "SCRAM-SHA-256", "SCRAM-SHA-224", "SCRAM-SHA-1", "PLAIN", "LOGIN",
	"CRAM-MD5", MECHANISM_USER_PASS, NULL};

static const char *const order_clear[] = {"SCRAM-SHA-512", "SCRAM-SHA-384", "SCRAM-SHA-256",
	"SCRAM-SHA-224", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN", MECHANISM_USER_PASS, NULL};

/* No password is in it that another mechanism could use. */
static const char *const order_token[] = {"OAUTHBEARER", "XOAUTH2", NULL};

int
choice_allows(const struct choice *choice, const char *name, struct error *err)
{
	const struct mechanism *mechanism = mechanism_find(name);

	if (mechanism == NULL)
		return error_set(err, ERROR_AUTH, "%s: not a mechanism that is known here", name);
	/* In clear is only who says so; that TLS was agreed on is not for this side to forget. */
	if (mechanism->shows_proof && !choice->is_secure &&
		choice->account->tls != ACCOUNT_TLS_NONE)
		return error_set(err, ERROR_AUTH, "%s would show the password: it needs TLS", name);
	if (mechanism->needs_tls && !choice->is_secure)
		return error_set(
			err, ERROR_AUTH, "%s needs TLS, and the connection has none", name);
	if (mechanism->proof == MECHANISM_CERTIFICATE && !choice->has_certificate)
		return error_set(err, ERROR_AUTH,
			"%s needs a client certificate, and the account has none", name);
	if (!mechanism->authorizes && choice->account->authorize_as != NULL)
		return error_set(err, ERROR_AUTH,
			"%s cannot log in on behalf of another user (authorize-as); PLAIN and "
			"SCRAM can",
			name);
	if (mechanism->binds && choice->binding == NULL)
		return error_set(err, ERROR_AUTH,
			"%s: this TLS connection has nothing to bind the login to", name);
	return 0;
}

/*
 * Cyrus IMAP binds to tls-unique on whatever it speaks, TLS 1.3 too, where GnuTLS has none, and
 * says so only when it refuses the password.
 */
static bool
binds_otherwise(const struct choice *choice)
{
	return choice->caps->is_cyrus && strcmp(choice->binding->type, "tls-unique") != 0;
}

/* Whether the automatic order may use it with this server. */
static bool
is_offered(const struct choice *choice, const char *name)
{
	const struct pop3_capabilities *caps = choice->caps;
	struct error ignored;

	if (choice_allows(choice, name, &ignored) != 0 ||
		(mechanism_binds(name) && binds_otherwise(choice)))
		return false;
	if (strcmp(name, MECHANISM_USER_PASS) == 0)
		return caps->user || !caps->known || !caps->sasl;
	return pop3_capabilities_has_mechanism(caps, name) && mech_is_available(name);
}

static bool
has_name(const char *const *names, const char *name)
{
	while (*names != NULL && strcmp(*names, name) != 0)
		names++;
	return *names != NULL;
}

bool
choice_may_try(const struct account *account, const char *name)
{
	if (account->auth != NULL)
		return has_name((const char *const *)account->auth, name);
	if (account_has_token(account))
		return has_name(order_token, name);
	return has_name(order_secure, name) || has_name(order_clear, name);
}

size_t
choice_list(const struct choice *choice, const char *out[static CHOICE_MAX])
{
	const char *const *order = account_has_token(choice->account) ? order_token
		: choice->is_secure                                   ? order_secure
								      : order_clear;
	char *const *named = choice->account->auth;
	size_t count = 0;

	if (named != NULL) {
		for (size_t i = 0; named[i] != NULL && count < CHOICE_MAX; i++)
			out[count++] = named[i];
		return count;
	}
	for (size_t i = 0; order[i] != NULL; i++) {
		if (is_offered(choice, order[i]))
			out[count++] = order[i];
	}
	return count;
}

static bool
names_binding(char *const *names)
{
	for (; *names != NULL; names++) {
		if (mechanism_binds(*names))
			return true;
	}
	return false;
}

bool
choice_could_bind(const struct choice *choice, const char *name)
{
	char *const *named = choice->account->auth;

	if (choice->binding == NULL || !choice->caps->sasl || strncmp(name, "SCRAM-", 6) != 0 ||
		(named != NULL && !names_binding(named)))
		return false;
	for (const char *const *other = mechanism_names; *other != NULL; other++) {
		if (mechanism_binds(*other) &&
			pop3_capabilities_has_mechanism(choice->caps, *other))
			return false;
	}
	return true;
}

const char *
choice_first(const struct choice *choice)
{
	const char *candidates[CHOICE_MAX];
	size_t count = choice_list(choice, candidates);
	struct error ignored;

	for (size_t i = 0; i < count; i++) {
		bool is_own = strcmp(candidates[i], MECHANISM_USER_PASS) == 0 ||
			strcmp(candidates[i], MECHANISM_APOP) == 0;

		if (choice_allows(choice, candidates[i], &ignored) == 0 &&
			(is_own || mech_is_available(candidates[i])))
			return candidates[i];
	}
	return NULL;
}
