#include "config/option.h"

#include <assert.h>
#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/quote.h"
#include "base/xalloc.h"
#include "config/conf.h"
#include "config/dest.h"
#include "config/mechanism.h"
#include "config/runas.h"
#include "config/trust.h"
#include "config/value.h"

#define PORT_IMPLICIT_TLS 995
#define PORT_PLAIN        110

/* RFC 1035 section 3.1, without the final dot. */
#define HOST_LENGTH_MAX 253

/*
 * Sections: an account may have anything of its own; a user and its secret belong to one account.
 */
#define ANY_ACCOUNT (OPTION_DEFAULTS | OPTION_ACCOUNT)

#define IN_CONFIG(field)  offsetof(struct config, field)
#define IN_ACCOUNT(field) offsetof(struct account, field)

#define MINUTE ((uint64_t)60)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static const char *const TLS_WORDS[] = {"implicit", "starttls", "none", NULL};
static const char *const SANDBOX_WORDS[] = {"auto", "require", "off", NULL};
static const char *const PIPELINING_WORDS[] = {"auto", "on", "off", NULL};

_Static_assert(ACCOUNT_TLS_IMPLICIT == 0 && ACCOUNT_TLS_STARTTLS == 1 && ACCOUNT_TLS_NONE == 2 &&
		sizeof(enum account_tls) == sizeof(unsigned),
	"TLS_WORDS stand in the order of the enum");
_Static_assert(ACCOUNT_PIPELINING_AUTO == 0 && ACCOUNT_PIPELINING_ON == 1 &&
		ACCOUNT_PIPELINING_OFF == 2 && sizeof(enum account_pipelining) == sizeof(unsigned),
	"PIPELINING_WORDS stand in the order of the enum");
_Static_assert(ACCOUNT_SANDBOX_AUTO == 0 && ACCOUNT_SANDBOX_REQUIRE == 1 &&
		ACCOUNT_SANDBOX_OFF == 2 && sizeof(enum account_sandbox) == sizeof(unsigned),
	"SANDBOX_WORDS stand in the order of the enum");

/* clang-format off */
static const struct option_entry OPTIONS[] = {
	{"jobs", OPTION_NUMBER, OPTION_GLOBAL, IN_CONFIG(jobs), 1, 1000, NULL, "8",
		"accounts polled at once"},
	{"per-host", OPTION_NUMBER, OPTION_GLOBAL, IN_CONFIG(per_host), 1, 1000, NULL, "4",
		"accounts polled at once on one host"},
	{"state-dir", OPTION_PATH, OPTION_GLOBAL, IN_CONFIG(state_dir), 0, 0, NULL, NULL,
		"folder of what is remembered of each account"},
	{"include", OPTION_INCLUDE, OPTION_GLOBAL, 0, 0, 0, NULL, NULL,
		"more files, a pattern relative to this one"},

	{"host", OPTION_HOST, ANY_ACCOUNT, IN_ACCOUNT(host), 0, 0, NULL, NULL,
		"the server's name or address"},
	{"port", OPTION_PORT, ANY_ACCOUNT, IN_ACCOUNT(port), 1, 65535, NULL, NULL,
		"its port; 995, or 110 without implicit TLS"},
	{"tls", OPTION_CHOICE, ANY_ACCOUNT, IN_ACCOUNT(tls), 0, 0, TLS_WORDS, "implicit",
		"implicit, starttls or none"},
	{"tls-trust-file", OPTION_PATH, ANY_ACCOUNT, IN_ACCOUNT(tls_trust_file), 0, 0, NULL, NULL,
		"PEM file of the authorities to trust instead of the system's"},
	{"tls-crl-file", OPTION_PATH, ANY_ACCOUNT, IN_ACCOUNT(tls_crl_file), 0, 0, NULL, NULL,
		"PEM file of lists of revoked certificates"},
	{"tls-host", OPTION_HOST, ANY_ACCOUNT, IN_ACCOUNT(tls_host), 0, 0, NULL, NULL,
		"the name that the server's certificate must bear, if not 'host'"},
	{"pin", OPTION_PINS, ANY_ACCOUNT, IN_ACCOUNT(pin), 0, 0, NULL, NULL,
		"SHA-256 of the public key that the server must have, or of several"},
	{"pin-only", OPTION_FLAG, ANY_ACCOUNT, IN_ACCOUNT(pin_only), 0, 0, NULL, "no",
		"let 'pin' take the place of chain and name"},
	{"tls-priority", OPTION_TEXT, ANY_ACCOUNT, IN_ACCOUNT(tls_priority), 0, 0, NULL, NULL,
		"versions and ciphers of TLS, as GnuTLS writes them"},
	{"tls-cert", OPTION_LOCATION, ANY_ACCOUNT, IN_ACCOUNT(tls_cert), 0, 0, NULL, NULL,
		"our own certificate, PEM file or URL of a PKCS#11 token"},
	{"tls-key", OPTION_LOCATION, ANY_ACCOUNT, IN_ACCOUNT(tls_key), 0, 0, NULL, NULL,
		"its key, if that is not in the same place"},
	{"cleartext", OPTION_FLAG, ANY_ACCOUNT, IN_ACCOUNT(cleartext), 0, 0, NULL, "no",
		"allow tls = \"none\" beyond this machine"},
	{"user", OPTION_TEXT, OPTION_ACCOUNT, IN_ACCOUNT(user), 0, 0, NULL, NULL,
		"the login name"},
	{"password", OPTION_SECRET, OPTION_ACCOUNT, IN_ACCOUNT(password), 0, 0, NULL, NULL,
		"the password itself"},
	{"password-file", OPTION_PATH, OPTION_ACCOUNT, IN_ACCOUNT(password_file), 0, 0, NULL, NULL,
		"file whose first line is the password"},
	{"password-command", OPTION_COMMAND, ANY_ACCOUNT, IN_ACCOUNT(password_command), 0, 0, NULL,
		NULL, "command whose first line of output is the password"},
	{"credential", OPTION_FILE, OPTION_ACCOUNT, IN_ACCOUNT(credential), 0, 0, NULL, NULL,
		"systemd credential whose first line is the password"},
	{"token-file", OPTION_PATH, OPTION_ACCOUNT, IN_ACCOUNT(token_file), 0, 0, NULL, NULL,
		"file whose first line is an OAuth 2 access token"},
	{"token-command", OPTION_COMMAND, ANY_ACCOUNT, IN_ACCOUNT(token_command), 0, 0, NULL, NULL,
		"command whose first line of output is an OAuth 2 access token"},
	{"authorize-as", OPTION_TEXT, OPTION_ACCOUNT, IN_ACCOUNT(authorize_as), 0, 0, NULL, NULL,
		"the user whose mail it is, where 'user' logs in for another"},
	{"auth", OPTION_NAMES, ANY_ACCOUNT, IN_ACCOUNT(auth), 0, 0, mechanism_names,
		"auto", "login mechanisms in the order of their use"},

	{"run-as", OPTION_USER, ANY_ACCOUNT, IN_ACCOUNT(run_as), 0, 0, NULL, NULL,
		"user whose the mail is, where root runs pophaul"},
	{"deliver", OPTION_DEST, ANY_ACCOUNT, IN_ACCOUNT(dest), 0, 0, NULL, NULL,
		"maildir:PATH, mbox:PATH or pipe:COMMAND"},
	{"keep", OPTION_KEEP, ANY_ACCOUNT, IN_ACCOUNT(keep), 1, 36500 * DAY, NULL, "forever",
		"how long mail stays on the server after its delivery"},
	{"max-size", OPTION_SIZE, ANY_ACCOUNT, IN_ACCOUNT(max_size), 0, UINT64_MAX, NULL, "0",
		"bigger messages are left on the server; 0: none is too big"},
	{"max-messages", OPTION_NUMBER, ANY_ACCOUNT, IN_ACCOUNT(max_messages), 0, UINT32_MAX, NULL,
		"0", "messages fetched in one session; 0: all"},
	{"until-empty", OPTION_FLAG, ANY_ACCOUNT, IN_ACCOUNT(until_empty), 0, 0, NULL, "no",
		"one session after the other until there is nothing new"},
	{"newest", OPTION_NUMBER, ANY_ACCOUNT, IN_ACCOUNT(newest), 0, UINT32_MAX, NULL, "0",
		"only the last so many messages of the mailbox; 0: all"},
	{"received", OPTION_FLAG, ANY_ACCOUNT, IN_ACCOUNT(received), 0, 0, NULL, "no",
		"add a Received: line"},
	{"quit-after-failure", OPTION_FLAG, ANY_ACCOUNT, IN_ACCOUNT(quit_after_failure), 0, 0, NULL,
		"yes", "end the session with QUIT when a message could not be delivered"},
	{"skip", OPTION_FLAG, ANY_ACCOUNT, IN_ACCOUNT(skip), 0, 0, NULL, "no",
		"poll this account only when it is named"},

	{"sandbox", OPTION_CHOICE, ANY_ACCOUNT, IN_ACCOUNT(sandbox), 0, 0, SANDBOX_WORDS, "auto",
		"what the process that speaks to the server may do: auto, require or off"},
	{"pipelining", OPTION_CHOICE, ANY_ACCOUNT, IN_ACCOUNT(pipelining), 0, 0, PIPELINING_WORDS,
		"auto", "several commands at once: auto, on or off"},
	{"timeout", OPTION_TIME, ANY_ACCOUNT, IN_ACCOUNT(timeout_ms), 1, DAY, NULL, "5m",
		"longest silence of the server"},
	{"min-rate", OPTION_SIZE, ANY_ACCOUNT, IN_ACCOUNT(min_rate), 0, UINT64_MAX, NULL, "100",
		"octets a second that the server has to send within a reply; 0: any will do"},
	{"session-limit", OPTION_TIME, ANY_ACCOUNT, IN_ACCOUNT(session_limit_ms), 0, 365 * DAY,
		NULL, "1d", "longest session; 0s: no limit"},
	{"connect-timeout", OPTION_TIME, ANY_ACCOUNT, IN_ACCOUNT(connect_timeout_ms), 1, DAY, NULL,
		"60s", "time to connect, TLS included"},
	{"pipe-timeout", OPTION_TIME, ANY_ACCOUNT, IN_ACCOUNT(pipe_timeout_ms), 1, 7 * DAY, NULL,
		"5m", "time for a pipe command to take one message"},
	{"lock-timeout", OPTION_TIME, ANY_ACCOUNT, IN_ACCOUNT(lock_timeout_ms), 1, DAY, NULL, "30s",
		"time to wait for an mbox's locks"},
};
/* clang-format on */

#define OPTION_COUNT (sizeof(OPTIONS) / sizeof(OPTIONS[0]))

const struct option_entry *
option_at(size_t index)
{
	return index < OPTION_COUNT ? &OPTIONS[index] : NULL;
}

const struct option_entry *
option_find(const char *name)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (strcmp(OPTIONS[i].name, name) == 0)
			return &OPTIONS[i];
	}
	return NULL;
}

uint16_t
option_default_port(enum account_tls tls)
{
	return tls == ACCOUNT_TLS_IMPLICIT ? PORT_IMPLICIT_TLS : PORT_PLAIN;
}

static void
replace_string(void *field, char *value)
{
	char *old;

	memcpy(&old, field, sizeof(old));
	free(old);
	memcpy(field, &value, sizeof(value));
}

static void
replace_words(void *field, char **words)
{
	char **old;

	memcpy(&old, field, sizeof(old));
	value_free_words(old);
	memcpy(field, &words, sizeof(words));
}

static bool
has_control(const char *text)
{
	for (; *text != '\0'; text++) {
		if (iscntrl((unsigned char)*text))
			return true;
	}
	return false;
}

/* A server takes the rest of a line with CR LF in it for a command of its own. */
static int
check_line(const char *text, struct error *err)
{
	char quoted[QUOTE_SIZE];

	if (*text == '\0')
		return error_set(err, ERROR_CONFIG, "is empty");
	if (has_control(text))
		return error_set(err, ERROR_CONFIG,
			"'%s' has a control character (such as a line end)",
			quote_bytes(quoted, text, strlen(text)));
	return 0;
}

static int
set_host(void *field, const char *text, struct error *err)
{
	static const char NAME[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
	size_t len = strlen(text);
	bool is_address = strchr(text, ':') != NULL;
	char quoted[QUOTE_SIZE];

	if (check_line(text, err) != 0)
		return -1;
	quote_bytes(quoted, text, len);
	if (text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
		is_address = true;
	} else if (!is_address && text[len - 1] == '.') {
		len--;
	}
	/* A zone ("fe80::1%eth0") names an interface, and may be any name. */
	if (len == 0 || len > HOST_LENGTH_MAX || text[0] == '.' || text[0] == '-' ||
		(is_address ? strspn(text, "0123456789abcdefABCDEF:.") < len &&
					memchr(text, '%', len) == NULL
			    : strspn(text, NAME) < len))
		return error_set(err, ERROR_CONFIG, "'%s' is no host name or address (%s)", quoted,
			strspn(quoted, NAME) != strlen(quoted) && strstr(quoted, "\\x") != NULL
				? "write the xn-- form of international names"
				: "a port goes into 'port'");
	replace_string(field, xmemdup0(text, len));
	return 0;
}

static int
set_text(void *field, const char *text, struct error *err)
{
	if (check_line(text, err) != 0)
		return -1;
	replace_string(field, xstrdup(text));
	return 0;
}

static int
set_secret(struct secret *field, const char *text, struct error *err)
{
	if (strpbrk(text, "\r\n") != NULL)
		return error_set(err, ERROR_CONFIG, "has a line end in it");
	secret_release(field);
	if (*text != '\0')
		secret_set(field, text, strlen(text));
	return 0;
}

static int
set_path(void *field, const char *text, struct error *err)
{
	char *path, quoted[QUOTE_SIZE];

	if (*text == '\0')
		return error_set(err, ERROR_CONFIG, "is empty");
	path = file_expand_home(text);
	if (*path != '/') {
		free(path);
		return error_set(err, ERROR_CONFIG,
			"'%s' is a relative path: it must begin with / or ~/",
			quote_bytes(quoted, text, strlen(text)));
	}
	replace_string(field, path);
	return 0;
}

static int
set_file(void *field, const char *text, struct error *err)
{
	char quoted[QUOTE_SIZE];

	if (check_line(text, err) != 0)
		return -1;
	if (strchr(text, '/') != NULL || strcmp(text, ".") == 0 || strcmp(text, "..") == 0 ||
		strlen(text) > NAME_MAX)
		return error_set(err, ERROR_CONFIG, "'%s' is no name of a file in a folder",
			quote_bytes(quoted, text, strlen(text)));
	replace_string(field, xstrdup(text));
	return 0;
}

static int
set_command(void *field, const char *text, struct error *err)
{
	char **words;

	if (value_split_words(text, &words, err) != 0)
		return -1;
	if (words[0] == NULL || words[0][0] == '\0') {
		value_free_words(words);
		return error_set(err, ERROR_CONFIG, "is empty");
	}
	replace_words(field, words);
	return 0;
}

/* ": did you mean 'x'?", or the words there are. */
static int
refuse_word(const struct option_entry *entry, const char *text, struct error *err)
{
	struct value_guess guess = {.word = text};
	char quoted[QUOTE_SIZE], all[ERROR_TEXT_MAX * 3 / 4] = "";
	size_t used = 0;

	for (const char *const *word = entry->words; *word != NULL; word++) {
		size_t len = strlen(*word);

		value_guess_try(&guess, *word);
		if (used + len + 3 > sizeof(all))
			break;
		memcpy(all + used, ", ", 2);
		memcpy(all + used + 2, *word, len + 1);
		used += len + 2;
	}
	quote_bytes(quoted, text, strlen(text));
	if (guess.best != NULL)
		return error_set(err, ERROR_CONFIG, "'%s' is unknown, did you mean '%s'? (%s)",
			quoted, guess.best, all + 2);
	return error_set(err, ERROR_CONFIG, "'%s' is none of: %s", quoted, all + 2);
}

static int
set_choice(const struct option_entry *entry, void *field, const char *text, struct error *err)
{
	for (unsigned i = 0; entry->words[i] != NULL; i++) {
		if (strcasecmp(entry->words[i], text) != 0)
			continue;
		memcpy(field, &i, sizeof(i));
		return 0;
	}
	return refuse_word(entry, text, err);
}

static char *
upper_case(const char *text)
{
	char *upper = xstrdup(text);

	for (char *p = upper; *p != '\0'; p++)
		*p = (char)toupper((unsigned char)*p);
	return upper;
}

static int
set_names(const struct option_entry *entry, void *field, char *const *texts, size_t count,
	struct error *err)
{
	char **names;
	size_t i, k;

	if (count == 1 && strcasecmp(texts[0], "auto") == 0) {
		replace_words(field, NULL);
		return 0;
	}
	names = xcalloc(count + 1, sizeof(*names));
	for (i = 0; i < count; i++) {
		names[i] = upper_case(texts[i]);
		for (k = 0; entry->words[k] != NULL && strcmp(entry->words[k], names[i]) != 0;)
			k++;
		if (entry->words[k] != NULL)
			continue;
		if (strcmp(names[i], "AUTO") == 0)
			error_set(err, ERROR_CONFIG, "'auto' stands alone");
		else
			refuse_word(entry, names[i], err);
		value_free_words(names);
		return -1;
	}
	replace_words(field, names);
	return 0;
}

static int
set_pins(void *field, char *const *texts, size_t count, struct error *err)
{
	char **pins = trust_parse_pins(texts, count, err);

	if (pins != NULL)
		replace_words(field, pins);
	return pins != NULL ? 0 : -1;
}

static int
set_keep(const struct option_entry *entry, struct account_keep *field, const char *text,
	struct error *err)
{
	char quoted[QUOTE_SIZE];
	uint64_t seconds;

	if (strcasecmp(text, "forever") == 0 || strcasecmp(text, "never") == 0) {
		*field = (struct account_keep){.kind = tolower((unsigned char)*text) == 'f'
				? ACCOUNT_KEEP_FOREVER
				: ACCOUNT_KEEP_NEVER};
		return 0;
	}
	quote_bytes(quoted, text, strlen(text));
	if (!isdigit((unsigned char)*text) && *text != '-')
		return error_set(err, ERROR_CONFIG,
			"'%s' is neither forever, never nor a time (such as 30d)", quoted);
	if (value_parse_time(text, &seconds, err) != 0)
		return -1;
	if (seconds == 0)
		return error_set(err, ERROR_CONFIG, "'%s' is no time: write never", quoted);
	if (seconds > entry->max)
		return error_set(err, ERROR_CONFIG, "'%s' is too long: write forever", quoted);
	*field = (struct account_keep){.kind = ACCOUNT_KEEP_AGE, .seconds = (int64_t)seconds};
	return 0;
}

static int
set_time(const struct option_entry *entry, int64_t *field, const char *text, struct error *err)
{
	char quoted[QUOTE_SIZE];
	uint64_t seconds;

	if (value_parse_time(text, &seconds, err) != 0)
		return -1;
	if (seconds < entry->min || seconds > entry->max)
		return error_set(err, ERROR_CONFIG, "'%s' is out of range (%llus to %llud)",
			quote_bytes(quoted, text, strlen(text)), (unsigned long long)entry->min,
			(unsigned long long)(entry->max / DAY));
	*field = (int64_t)seconds * 1000;
	return 0;
}

static int
set_number(const struct option_entry *entry, void *field, const char *text, struct error *err)
{
	uint64_t value = 0;
	uint16_t port;
	uint32_t number;

	if (value_parse_number(text, entry->min, entry->max, &value, err) != 0)
		return -1;
	port = (uint16_t)value;
	number = (uint32_t)value;
	if (entry->type == OPTION_PORT)
		memcpy(field, &port, sizeof(port));
	else
		memcpy(field, &number, sizeof(number));
	return 0;
}

static int
set_dest(struct account_dest *field, const char *text, struct error *err)
{
	struct account_dest dest;

	if (dest_parse(text, &dest, err) != 0)
		return -1;
	dest_release(field);
	*field = dest;
	return 0;
}

static int
set_value(const struct option_entry *entry, void *field, char *const *texts, size_t count,
	struct error *err)
{
	switch (entry->type) {
	case OPTION_HOST:
		return set_host(field, *texts, err);
	case OPTION_TEXT:
		return set_text(field, *texts, err);
	case OPTION_SECRET:
		return set_secret(field, *texts, err);
	case OPTION_PATH:
		return set_path(field, *texts, err);
	case OPTION_FILE:
		return set_file(field, *texts, err);
	case OPTION_COMMAND:
		return set_command(field, *texts, err);
	case OPTION_LOCATION:
		return (trust_is_token_url(*texts) ? set_text : set_path)(field, *texts, err);
	case OPTION_NAMES:
		return set_names(entry, field, texts, count, err);
	case OPTION_USER:
		if (check_line(*texts, err) != 0)
			return -1;
		return runas_parse(*texts, field, err);
	case OPTION_PINS:
		return set_pins(field, texts, count, err);
	case OPTION_DEST:
		return set_dest(field, *texts, err);
	case OPTION_KEEP:
		return set_keep(entry, field, *texts, err);
	case OPTION_CHOICE:
		return set_choice(entry, field, *texts, err);
	case OPTION_FLAG:
		return value_parse_flag(*texts, field, err);
	case OPTION_PORT:
	case OPTION_NUMBER:
		return set_number(entry, field, *texts, err);
	case OPTION_SIZE:
		return value_parse_size(*texts, field, err);
	case OPTION_TIME:
		return set_time(entry, field, *texts, err);
	case OPTION_INCLUDE:
		break;
	}
	assert(!"an include has no field");
	return -1;
}

bool
option_takes_list(const struct option_entry *entry)
{
	return entry->type == OPTION_NAMES || entry->type == OPTION_PINS;
}

int
option_set(const struct option_entry *entry, void *base, char *const *texts, size_t count,
	struct error *err)
{
	assert(count >= 1);
	if (set_value(entry, (char *)base + entry->field, texts, count, err) != 0)
		return error_prefix(err, "%s", entry->name);
	return 0;
}

int
option_set_text(const char *name, void *base, const char *text, struct error *err)
{
	const struct option_entry *entry = option_find(name);
	char *const texts[] = {(char *)text};

	assert(entry != NULL);
	return option_set(entry, base, texts, 1, err);
}

void
option_set_presets(void *base, enum option_scope scope)
{
	struct error err;

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option_entry *entry = &OPTIONS[i];

		if ((entry->scopes & scope) == 0 || entry->preset == NULL)
			continue;
		if (option_set_text(entry->name, base, entry->preset, &err) != 0)
			assert(!"the table's own defaults are right");
	}
}
