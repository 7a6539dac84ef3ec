#include "config/source/token.h"

#include <stddef.h>

#include "config/mechanism.h"

static int
check_mechanism(const char *name, bool has_token, struct error *err)
{
	if (mechanism_takes_token(name) == has_token)
		return 0;
	if (has_token)
		return error_set(err, ERROR_CONFIG,
			"auth: %s takes no token, and there is one: use OAUTHBEARER or "
			"XOAUTH2, or leave 'auth' out",
			name);
	return error_set(err, ERROR_CONFIG,
		"auth: %s takes a token, not a password: set 'token-command' or 'token-file'",
		name);
}

int
token_check(const struct account *account, struct error *err)
{
	bool has_token = account_has_token(account);
	char **auth = account->auth;

	if (has_token && account->tls == ACCOUNT_TLS_NONE)
		return error_set(err, ERROR_CONFIG,
			"a token needs TLS, for whoever reads it is the user: set 'tls' to implicit "
			"or starttls");
	for (; auth != NULL && *auth != NULL; auth++) {
		if (check_mechanism(*auth, has_token, err) != 0)
			return -1;
	}
	return 0;
}
