#include "config/conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/quote.h"
#include "base/xalloc.h"
#include "config/confparse.h"
#include "config/option.h"
#include "config/runas.h"
#include "config/source/token.h"
#include "config/trust.h"
#include "config/value.h"

#define SYSTEM_PATH      "/etc/pophaul/pophaul.conf"
#define SYSTEM_STATE_DIR "/var/lib/pophaul"

/* The folder `variable` names, else `below` the home, and `name` in it. */
static char *
user_path(const char *variable, const char *below, const char *name)
{
	const char *folder = getenv(variable), *home = file_home();

	if (folder != NULL && *folder == '/')
		return xasprintf("%s/%s", folder, name);
	return home != NULL ? xasprintf("%s/%s/%s", home, below, name) : NULL;
}

char *
conf_user_path(void)
{
	return user_path("XDG_CONFIG_HOME", ".config", "pophaul/pophaul.conf");
}

char *
conf_find(void)
{
	char *path = conf_user_path();

	/* A file that is there but cannot be read is found, too: reading it tells why. */
	if (path != NULL && (access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR)))
		return path;
	free(path);
	return access(SYSTEM_PATH, F_OK) == 0 ? xstrdup(SYSTEM_PATH) : NULL;
}

char *
conf_default_state_dir(void)
{
	if (geteuid() == 0)
		return xstrdup(SYSTEM_STATE_DIR);
	return user_path("XDG_STATE_HOME", ".local/state", "pophaul");
}

void
conf_init(struct config *out)
{
	*out = (struct config){0};
	option_set_presets(out, OPTION_GLOBAL);
	out->state_dir = conf_default_state_dir();
}

/* Put a section's settings into `base`; what is wrong is noted. */
static bool
apply(const struct confparse_section *section, void *base, struct conf_problems *problems)
{
	struct error err;
	bool good = true;

	for (size_t i = 0; i < section->count; i++) {
		const struct confparse_setting *setting = &section->settings[i];
		char *secret[] = {setting->secret.data != NULL ? setting->secret.data : (char *)""};
		char *const *texts = setting->texts != NULL ? setting->texts : secret;
		size_t count = 0;

		while (setting->texts != NULL && texts[count] != NULL)
			count++;
		if (setting->texts == NULL)
			count = 1;
		else if (count == 0) {
			conf_problems_add(problems, setting->file, setting->line,
				"%s: the list is empty", setting->option->name);
			good = false;
			continue;
		}
		if (option_set(setting->option, base, texts, count, &err) == 0)
			continue;
		conf_problems_add(problems, setting->file, setting->line, "%s", err.text);
		good = false;
	}
	return good;
}

/* Where what proves who the user is may come from: an account has one of them. */
static const char *const SOURCES[] = {"password", "password-file", "password-command", "credential",
	"token-file", "token-command"};

#define SOURCE_COUNT (sizeof(SOURCES) / sizeof(SOURCES[0]))

/* The sources that a section names, the first two of them in `out`; their number. */
static size_t
find_sources(const struct confparse_section *section, const struct confparse_setting *out[static 2])
{
	size_t count = 0;

	for (size_t i = 0; i < SOURCE_COUNT; i++) {
		const struct confparse_setting *setting = confparse_find(section, SOURCES[i]);

		if (setting == NULL ||
			(setting->option->type == OPTION_SECRET &&
				!secret_is_set(&setting->secret)))
			continue;
		if (count < 2)
			out[count] = setting;
		count++;
	}
	return count;
}

/* `where` names the section: "account 'a'". */
static void
check_sources(
	const char *where, const struct confparse_section *section, struct conf_problems *problems)
{
	const struct confparse_setting *found[2];

	if (find_sources(section, found) < 2)
		return;
	conf_problems_add(problems, found[1]->file, found[1]->line,
		"%s has both '%s' and '%s': a password or token has one source", where,
		found[0]->option->name, found[1]->option->name);
}

/* An account's own source takes the place of that in `defaults`. */
static void
drop_default_source(struct account *account)
{
	value_free_words(account->password_command);
	account->password_command = NULL;
	value_free_words(account->token_command);
	account->token_command = NULL;
}

static void
require(const char *key, const struct confparse *parse, const struct confparse_section *section,
	struct conf_problems *problems)
{
	char name[QUOTE_SIZE];

	if (confparse_find(section, key) != NULL || confparse_find(&parse->defaults, key) != NULL)
		return;
	conf_problems_add(problems, section->file, section->line, "account '%s' has no '%s': %s",
		quote_bytes(name, section->title, strlen(section->title)), key,
		option_find(key)->help);
}

/* What only the whole of an account shows. */
static void
check_account(const struct account *account, const struct confparse *parse,
	const struct confparse_section *section, unsigned flags, struct conf_problems *problems)
{
	char name[QUOTE_SIZE], where[QUOTE_SIZE + 16];

	quote_bytes(name, section->title, strlen(section->title));
	snprintf(where, sizeof(where), "account '%s'", name);
	check_sources(where, section, problems);
	if (!account_is_name(section->title))
		conf_problems_add(problems, section->file, section->line,
			"'%s' is no account name: it has 1 to %d letters, digits and . _ @ + -, "
			"and does not begin with . or -",
			name, ACCOUNT_NAME_MAX);
	if (section->damaged)
		return;
	if (account_runs_as_root(account))
		conf_problems_add(
			problems, section->file, section->line, "%s " ACCOUNT_AS_ROOT, where);
	require("host", parse, section, problems);
	require("user", parse, section, problems);
	if ((flags & CONF_DELIVER_OPTIONAL) == 0)
		require("deliver", parse, section, problems);
}

static void
fill_account(struct account *account, const struct confparse *parse,
	const struct confparse_section *section, unsigned flags, struct conf_problems *problems)
{
	const struct confparse_setting *found[2];
	struct conf_problems known = {0};
	struct error err;
	bool good;

	*account = (struct account){.name = xstrdup(section->title)};
	option_set_presets(account, OPTION_ACCOUNT);
	/* Their errors have been noted, once for all accounts. */
	good = apply(&parse->defaults, account, &known);
	conf_problems_release(&known);
	if (find_sources(section, found) != 0)
		drop_default_source(account);
	good = apply(section, account, problems) && good && !section->damaged;
	if (good &&
		(token_check(account, &err) != 0 || trust_check(account, &err) != 0 ||
			((flags & CONF_CLEARTEXT) == 0 &&
				trust_check_cleartext(account, &err) != 0)))
		conf_problems_add(problems, section->file, section->line, "account '%s': %s",
			account_is_name(section->title) ? section->title : "?", err.text);
	if (account->port == 0)
		account->port = option_default_port(account->tls);
	check_account(account, parse, section, flags, problems);
}

/* Whose home `~` is does not depend on the order of the keys. */
static void
choose_home(const struct confparse *parse, const struct confparse_section *section)
{
	const struct confparse_setting *setting = confparse_find(section, "run-as");

	if (setting == NULL)
		setting = confparse_find(&parse->defaults, "run-as");
	runas_set_home(setting != NULL && setting->texts != NULL ? *setting->texts : NULL);
}

static int
compare_sections(const void *a, const void *b)
{
	const struct confparse_section *const *one = a, *const *two = b;
	int order = strcmp((*one)->title, (*two)->title);

	/* Both are elements of one array, whose order is that of the file. */
	return order != 0 ? order : (*one > *two) - (*one < *two);
}

static void
check_duplicates(const struct confparse *parse, struct conf_problems *problems)
{
	const struct confparse_section **sorted = xcalloc(parse->account_count, sizeof(*sorted));
	char quoted[QUOTE_SIZE];

	for (size_t i = 0; i < parse->account_count; i++)
		sorted[i] = &parse->accounts[i];
	qsort(sorted, parse->account_count, sizeof(*sorted), compare_sections);
	for (size_t i = 1; i < parse->account_count; i++) {
		if (strcmp(sorted[i - 1]->title, sorted[i]->title) != 0)
			continue;
		conf_problems_add(problems, sorted[i]->file, sorted[i]->line,
			"there is another account '%s', in %s:%u",
			quote_bytes(quoted, sorted[i]->title, strlen(sorted[i]->title)),
			sorted[i - 1]->file, sorted[i - 1]->line);
	}
	free(sorted);
}

static void
fill_config(const struct confparse *parse, unsigned flags, struct config *out,
	struct conf_problems *problems)
{
	struct account scratch = {0};

	(void)apply(&parse->globals, out, problems);
	(void)apply(&parse->defaults, &scratch, problems);
	check_sources("'defaults'", &parse->defaults, problems);
	account_release(&scratch);
	out->accounts = xcalloc(parse->account_count, sizeof(*out->accounts));
	for (size_t i = 0; i < parse->account_count; i++) {
		choose_home(parse, &parse->accounts[i]);
		fill_account(&out->accounts[i], parse, &parse->accounts[i], flags, problems);
		out->count++;
	}
	runas_set_home(NULL);
	check_duplicates(parse, problems);
}

int
conf_load(const char *path, unsigned flags, struct config *out, struct conf_problems *problems)
{
	struct confparse parse = {0};
	size_t before = problems->count;

	conf_init(out);
	if (access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
		conf_problems_add(problems, path, 0,
			"no such file: create it as pophaul.conf(5) shows, with an account in it");
		conf_release(out);
		return -1;
	}
	confparse_run(path, &parse, problems);
	fill_config(&parse, flags, out, problems);
	if (problems->count == before && parse.account_count == 0)
		conf_problems_add(problems, path, 0, "there is no account in it");
	if (problems->count == before && out->state_dir == NULL)
		conf_problems_add(problems, path, 0,
			"there is no home for a 'state-dir': HOME is not set and you are not in "
			"the list of users");
	confparse_release(&parse);
	if (problems->count == before)
		return 0;
	conf_release(out);
	return -1;
}

void
conf_release(struct config *config)
{
	for (size_t i = 0; i < config->count; i++)
		account_release(&config->accounts[i]);
	free(config->accounts);
	free(config->state_dir);
	*config = (struct config){0};
}
