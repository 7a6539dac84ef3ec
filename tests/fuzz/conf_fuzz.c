/*
 * The configuration file, of any octets, but for what it includes: it is taken, and
 * then its accounts make sense, or it is refused, and then each problem has
 * its file and its line.
 */
#include "config/conf.h"

#include "config/confread.h"
#include "folder.h"
#include "fuzz.h"

static void
check_problem(const char *path, const char *line)
{
	size_t len = strlen(path);

	REQUIRE(strncmp(line, path, len) == 0 && line[len] == ':');
	REQUIRE(line[len + 1] == ' ' || (line[len + 1] >= '1' && line[len + 1] <= '9'));
	for (const char *p = line; *p != '\0'; p++)
		REQUIRE(*p >= ' ' && *p <= '~');
}

static void
check_account(const struct account *account, unsigned flags)
{
	REQUIRE(account->name != NULL && account_is_name(account->name));
	REQUIRE(strlen(account->name) <= ACCOUNT_NAME_MAX);
	REQUIRE(account->host != NULL && account->host[0] != '\0' && account->port != 0);
	REQUIRE(account->user != NULL);
	REQUIRE(account->timeout_ms > 0 && account->connect_timeout_ms > 0);
	REQUIRE(account->pipe_timeout_ms > 0 && account->lock_timeout_ms >= 0);
	REQUIRE(account->dest.kind != ACCOUNT_DEST_NONE || (flags & CONF_DELIVER_OPTIONAL) != 0);
	REQUIRE(account->dest.path == NULL || account->dest.path[0] == '/');
	REQUIRE(account->keep.kind != ACCOUNT_KEEP_AGE || account->keep.seconds >= 0);
	REQUIRE(account->tls_trust_file == NULL || account->tls_trust_file[0] == '/');
	REQUIRE(account->password_file == NULL || account->password_file[0] == '/');
	for (size_t i = 0; account->auth != NULL && account->auth[i] != NULL; i++)
		REQUIRE(account->auth[i][0] != '\0');
}

static void
check_config(const struct config *config, unsigned flags)
{
	REQUIRE(config->count != 0 && config->jobs != 0 && config->per_host != 0);
	for (size_t i = 0; i < config->count; i++) {
		check_account(&config->accounts[i], flags);
		for (size_t j = 0; j < i; j++)
			REQUIRE(strcmp(config->accounts[i].name, config->accounts[j].name) != 0);
	}
}

/* The extents that the reader notes lie within the text and within each other. */
static void
check_reading(struct feed text)
{
	struct conf_problems problems = {0};
	struct confread file = {0};

	if (confread_memory("memory", text.data, text.len, &file, &problems) != 0)
		REQUIRE(problems.count != 0);
	for (size_t i = 0; i < file.section_count; i++) {
		const struct confread_section *section = &file.sections[i];

		REQUIRE(section->start <= section->end && section->end <= file.text.len);
		REQUIRE(section->first_key + section->key_count <= file.key_count);
		REQUIRE(section->line != 0);
	}
	for (size_t i = 0; i < file.key_count; i++) {
		const struct confread_key *key = &file.keys[i];

		REQUIRE(key->start <= key->value && key->value <= key->value_end);
		REQUIRE(key->value_end <= key->end && key->end <= file.text.len);
	}
	for (size_t i = 0; i < problems.count; i++)
		check_problem("memory", problems.lines[i]);
	conf_problems_release(&problems);
	confread_release(&file);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed = {data, size};
	unsigned flags = feed_octet(&feed) & 1 ? CONF_DELIVER_OPTIONAL : 0;
	struct conf_problems problems = {0};
	struct config config;
	char *folder, *path;

	/* What is included is another file, of which a case says nothing. */
	if (memmem(feed.data, feed.len, "include", 7) != NULL)
		return 0;
	setenv("HOME", "/home/jane", 1);
	setenv("WORD", "a b'c\"d", 1);
	check_reading(feed);
	folder = folder_make();
	path = xasprintf("%s/conf", folder);
	folder_write(path, feed.data, feed.len);
	if (conf_load(path, flags, &config, &problems) == 0) {
		check_config(&config, flags);
		REQUIRE(problems.count == 0);
	} else {
		REQUIRE(problems.count != 0 && problems.count <= CONF_PROBLEMS_MAX + 1);
	}
	for (size_t i = 0; i < problems.count; i++)
		check_problem(path, problems.lines[i]);
	conf_problems_release(&problems);
	conf_release(&config);
	free(path);
	folder_remove(folder);
	return 0;
}
