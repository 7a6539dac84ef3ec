#include "config/account.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/mechanism.h"
#include "config/trust.h"

static void
free_words(char **words)
{
	for (char **word = words; word != NULL && *word != NULL; word++)
		free(*word);
	free(words);
}

/* The URL of a token may have its PIN in it. */
static void
free_location(char *location)
{
	if (location != NULL)
		secret_wipe(location, strlen(location));
	free(location);
}

bool
account_name_allows(char c, bool is_first)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@+.-";

	return c != '\0' && strchr(letters, c) != NULL && !(is_first && (c == '.' || c == '-'));
}

bool
account_is_name(const char *name)
{
	size_t len = 0;

	while (account_name_allows(name[len], len == 0))
		len++;
	return len != 0 && len <= ACCOUNT_NAME_MAX && name[len] == '\0';
}

/* Whether a mechanism that rests on `proof` is named. */
static bool
names_proof(const struct account *account, enum mechanism_proof proof)
{
	for (char **name = account->auth; name != NULL && *name != NULL; name++) {
		const struct mechanism *mechanism = mechanism_find(*name);

		if (mechanism != NULL && mechanism->proof == proof)
			return true;
	}
	return false;
}

bool
account_needs_password(const struct account *account)
{
	if (account_has_token(account))
		return false;
	return account->auth == NULL || names_proof(account, MECHANISM_PASSWORD);
}

bool
account_needs_open_login(const struct account *account)
{
	return names_proof(account, MECHANISM_TICKET) || account_has_token_key(account);
}

bool
account_has_token_key(const struct account *account)
{
	return (account->tls_key != NULL && trust_is_token_url(account->tls_key)) ||
		(account->tls_cert != NULL && trust_is_token_url(account->tls_cert));
}

bool
account_has_token(const struct account *account)
{
	return account->token_file != NULL || account->token_command != NULL;
}

int64_t
account_stop_ms(const struct account *account)
{
	return account->timeout_ms < ACCOUNT_STOP_MS ? account->timeout_ms : ACCOUNT_STOP_MS;
}

bool
account_runs_as_root(const struct account *account)
{
	return account->dest.kind == ACCOUNT_DEST_PIPE && account->run_as.name == NULL &&
		geteuid() == 0;
}

void
account_release(struct account *account)
{
	free(account->name);
	free(account->host);
	free(account->tls_trust_file);
	free(account->tls_crl_file);
	free(account->tls_host);
	free(account->tls_priority);
	free_location(account->tls_cert);
	free_location(account->tls_key);
	free_words(account->pin);
	free(account->user);
	secret_release(&account->password);
	free(account->password_file);
	free_words(account->password_command);
	free(account->credential);
	free(account->token_file);
	free_words(account->token_command);
	free(account->authorize_as);
	free_words(account->auth);
	free(account->run_as.name);
	free(account->run_as.home);
	free(account->dest.text);
	free(account->dest.path);
	free_words(account->dest.argv);
	*account = (struct account){0};
}
