#include "config/select.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/quote.h"
#include "base/xalloc.h"
#include "config/option.h"
#include "config/popurl.h"
#include "config/runas.h"
#include "config/trust.h"
#include "config/value.h"

bool
select_needs_config(const struct cli *cli)
{
	if (cli->config_path != NULL || cli->mode == CLI_CHECK_CONFIG || cli->name_count == 0)
		return true;
	for (size_t i = 0; i < cli->name_count; i++) {
		if (!popurl_is_url(cli->names[i]))
			return true;
	}
	return false;
}

char *
select_config_path(const struct cli *cli, struct error *err)
{
	char *path, *create;

	if (cli->config_path != NULL)
		return xstrdup(cli->config_path);
	path = conf_find();
	if (path != NULL)
		return path;
	create = conf_user_path();
	error_set(err, ERROR_CONFIG,
		"there is no configuration: create '%s' as pophaul.conf(5) shows, or name a POP URL",
		create != NULL ? create : "/etc/pophaul/pophaul.conf");
	free(create);
	return NULL;
}

/* Whether mail is going to be delivered, or at least planned to be. */
static bool
delivers(const struct cli *cli)
{
	return cli->mode == CLI_RUN || cli->mode == CLI_DRY_RUN;
}

unsigned
select_conf_flags(const struct cli *cli)
{
	/* Checking a configuration is checking that it can be run. */
	unsigned flags =
		cli->deliver != NULL || cli->mode == CLI_LIST || cli->mode == CLI_SERVER_INFO
		? CONF_DELIVER_OPTIONAL
		: 0;

	/* What --tls says instead of it is looked at later. */
	if (cli->cleartext || cli->tls != NULL)
		flags |= CONF_CLEARTEXT;
	return flags;
}

static bool
is_taken(const struct account *accounts, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(accounts[i].name, name) == 0)
			return true;
	}
	return false;
}

/* Move the account of that name out of the configuration into `out`. */
static int
take_named(struct config *config, const char *name, struct account *out, struct error *err)
{
	struct value_guess guess = {.word = name};
	char quoted[QUOTE_SIZE];

	for (size_t i = 0; i < config->count; i++) {
		struct account *account = &config->accounts[i];

		if (account->name == NULL)
			continue;
		if (strcmp(account->name, name) == 0) {
			*out = *account;
			*account = (struct account){0};
			return 0;
		}
		value_guess_try(&guess, account->name);
	}
	quote_bytes(quoted, name, strlen(name));
	if (guess.best != NULL)
		return error_set(err, ERROR_USAGE, "there is no account '%s', did you mean '%s'?",
			quoted, guess.best);
	return error_set(err, ERROR_USAGE, "there is no account '%s'", quoted);
}

/* The accounts in the order of the command line. */
static int
take_names(const struct cli *cli, struct config *config, struct error *err)
{
	struct account *chosen = xcalloc(cli->name_count, sizeof(*chosen)), next;
	size_t count = 0;
	int result = 0;

	for (size_t i = 0; i < cli->name_count && result == 0; i++) {
		next = (struct account){0};
		if (popurl_is_url(cli->names[i]))
			result = popurl_parse(cli->names[i], cli->tls, &next, err);
		else if (!is_taken(chosen, count, cli->names[i]))
			result = take_named(config, cli->names[i], &next, err);
		if (result != 0 || next.name == NULL)
			continue;
		if (is_taken(chosen, count, next.name))
			account_release(&next);
		else
			chosen[count++] = next;
	}
	for (size_t i = 0; i < config->count; i++)
		account_release(&config->accounts[i]);
	free(config->accounts);
	config->accounts = chosen;
	config->count = count;
	return result;
}

static void
drop_skipped(struct config *config)
{
	size_t kept = 0;

	for (size_t i = 0; i < config->count; i++) {
		struct account *account = &config->accounts[i];

		if (account->skip)
			account_release(account);
		else
			config->accounts[kept++] = *account;
	}
	config->count = kept;
}

/* An option of the command line into `base`; `relative` paths are those of the working folder. */
static int
set_option(void *base, const char *name, const char *text, bool relative, struct error *err)
{
	char *folder = NULL, *full = NULL;
	int result;

	if (text == NULL)
		return 0;
	if (relative && text[0] != '/' && text[0] != '~' && text[0] != '\0') {
		folder = getcwd(NULL, 0);
		if (folder == NULL)
			return error_set_errno(err, ERROR_SYSTEM, "cannot find the working folder");
		full = xasprintf("%s/%s", folder, text);
	}
	result = option_set_text(name, base, full != NULL ? full : text, err);
	free(full);
	free(folder);
	if (result == 0)
		return 0;
	err->class = ERROR_USAGE;
	return error_prefix(err, "command line");
}

static int
override_account(const struct cli *cli, struct account *account, struct error *err)
{
	bool has_default_port = account->port == option_default_port(account->tls);
	int result;

	runas_set_home(account->run_as.name);
	result = set_option(account, "deliver", cli->deliver, false, err);
	runas_set_home(NULL);
	if (result != 0 || set_option(account, "keep", cli->keep, false, err) != 0 ||
		set_option(account, "tls-trust-file", cli->tls_trust_file, true, err) != 0 ||
		set_option(account, "tls", cli->tls, false, err) != 0)
		return -1;
	if (cli->cleartext)
		account->cleartext = true;
	if (trust_check_cleartext(account, err) != 0)
		return error_set(err, ERROR_USAGE,
			"command line: --tls none would send everything, the login too, to '%s' in "
			"clear; if it has to be, add --cleartext",
			account->host);
	if (has_default_port)
		account->port = option_default_port(account->tls);
	if (delivers(cli) && account_runs_as_root(account))
		return error_set(err, ERROR_CONFIG, "account '%s' " ACCOUNT_AS_ROOT, account->name);
	if (delivers(cli) && account->dest.kind == ACCOUNT_DEST_NONE)
		return error_set(err, ERROR_USAGE,
			"there is nowhere to deliver the mail of '%s' to: give --deliver DEST",
			account->name);
	return 0;
}

int
select_accounts(const struct cli *cli, struct config *config, struct error *err)
{
	if (cli->name_count != 0) {
		if (take_names(cli, config, err) != 0)
			return -1;
	} else if (cli->mode != CLI_CHECK_CONFIG) {
		drop_skipped(config);
	}
	if (cli->jobs != 0)
		config->jobs = cli->jobs;
	if (cli->per_host != 0)
		config->per_host = cli->per_host;
	if (set_option(config, "state-dir", cli->state_dir, true, err) != 0)
		return -1;
	for (size_t i = 0; i < config->count; i++) {
		if (override_account(cli, &config->accounts[i], err) != 0)
			return -1;
	}
	if (config->state_dir == NULL)
		return error_set(err, ERROR_CONFIG,
			"HOME is not set: say with --state-dir where to keep the state");
	return 0;
}
