/*
 * What a person writes on one line: numbers, sizes, times, words, strings,
 * destinations, POP URLs, ~/.netrc, files with a password. What is taken makes
 * sense and comes back the same when it is written again; what is refused is
 * refused with a sentence.
 */
#include "config/value.h"

#include "base/buf.h"
#include "config/account.h"
#include "config/source/credential.h"
#include "config/dest.h"
#include "config/source/netrc.h"
#include "config/option.h"
#include "config/popurl.h"
#include "folder.h"
#include "fuzz.h"

static void
require_sentence(const struct error *err, enum error_class class)
{
	size_t len = strnlen(err->text, sizeof err->text);

	REQUIRE(err->class == class);
	REQUIRE(len != 0 && len < sizeof err->text);
	for (size_t i = 0; i < len; i++)
		REQUIRE(err->text[i] >= ' ' && err->text[i] <= '~');
}

static void
try_number(const char *text)
{
	uint64_t value = 0, again;
	struct error err;
	char *written;

	if (value_parse_number(text, 3, 1000000, &value, &err) != 0) {
		require_sentence(&err, ERROR_CONFIG);
		return;
	}
	REQUIRE(value >= 3 && value <= 1000000);
	written = xasprintf("%llu", (unsigned long long)value);
	REQUIRE(value_parse_number(written, 3, 1000000, &again, &err) == 0 && again == value);
	free(written);
}

static void
try_units(const char *text)
{
	uint64_t value = 0, again;
	struct error err;
	char *written;

	if (value_parse_size(text, &value, &err) == 0) {
		written = xasprintf("%llu", (unsigned long long)value);
		REQUIRE(value_parse_size(written, &again, &err) == 0 && again == value);
		free(written);
	} else {
		require_sentence(&err, ERROR_CONFIG);
	}
	if (value_parse_time(text, &value, &err) == 0) {
		written = xasprintf("%llus", (unsigned long long)value);
		REQUIRE(value_parse_time(written, &again, &err) == 0 && again == value);
		free(written);
	} else {
		require_sentence(&err, ERROR_CONFIG);
	}
}

static char *
quote_words(char *const *words)
{
	struct buf out = {0};

	for (size_t i = 0; words[i] != NULL; i++) {
		buf_append_string(&out, i == 0 ? "'" : " '");
		for (const char *p = words[i]; *p != '\0'; p++)
			buf_append_string(&out, *p == '\'' ? "'\\''" : (char[]){*p, '\0'});
		buf_append_string(&out, "'");
	}
	return buf_take_string(&out);
}

static void
try_words(const char *text)
{
	char **words, **again, *quoted;
	struct error err;
	size_t i = 0;

	if (value_split_words(text, &words, &err) != 0) {
		require_sentence(&err, ERROR_CONFIG);
		return;
	}
	quoted = quote_words(words);
	REQUIRE(value_split_words(quoted, &again, &err) == 0);
	for (; words[i] != NULL; i++)
		REQUIRE(again[i] != NULL && strcmp(words[i], again[i]) == 0);
	REQUIRE(again[i] == NULL);
	free(quoted);
	value_free_words(words);
	value_free_words(again);
}

static void
try_string(const char *text)
{
	struct buf out = {0};
	struct error err;

	buf_append_string(&out, "before");
	if (value_decode_string(text, strlen(text), &out, &err) != 0)
		require_sentence(&err, ERROR_CONFIG);
	else
		REQUIRE(memchr(buf_data(&out), '\0', out.len) == NULL);
	REQUIRE(out.len >= 6 && memcmp(buf_data(&out), "before", 6) == 0);
	buf_release(&out);
}

static void
try_destination(const char *text)
{
	struct account_dest dest = {0}, again = {0};
	struct error err;

	if (dest_parse(text, &dest, &err) != 0) {
		require_sentence(&err, ERROR_CONFIG);
		dest_release(&dest);
		return;
	}
	REQUIRE(dest.kind != ACCOUNT_DEST_NONE && dest.text != NULL);
	REQUIRE((dest.kind == ACCOUNT_DEST_PIPE) == (dest.argv != NULL));
	REQUIRE((dest.kind == ACCOUNT_DEST_PIPE) == (dest.path == NULL));
	REQUIRE(dest.argv == NULL || (dest.argv[0] != NULL && dest.argv[0][0] != '\0'));
	REQUIRE(dest.path == NULL || dest.path[0] == '/');
	REQUIRE(dest_parse(dest.text, &again, &err) == 0 && again.kind == dest.kind);
	REQUIRE(dest.path == NULL || strcmp(again.path, dest.path) == 0);
	dest_release(&again);
	dest_release(&dest);
}

static void
try_url(const char *text)
{
	static const char *const kinds[] = {NULL, "implicit", "starttls", "none"};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		struct account account = {0};
		struct error err;

		if (popurl_parse(text, kinds[i], &account, &err) != 0) {
			require_sentence(&err, ERROR_USAGE);
			REQUIRE(account.name == NULL && account.host == NULL);
			continue;
		}
		REQUIRE(popurl_is_url(text));
		REQUIRE(account_is_name(account.name) && strlen(account.name) <= ACCOUNT_NAME_MAX);
		REQUIRE(account.host[0] != '\0' && account.port != 0);
		REQUIRE(account.user[0] != '\0');
		REQUIRE(!secret_is_set(&account.password));
		account_release(&account);
	}
}

static void
try_netrc(struct feed text)
{
	struct secret found = {0};
	bool is_there =
		netrc_find((const char *)text.data, text.len, "pop.example.org", "jane", &found);

	REQUIRE(netrc_find((const char *)text.data, text.len, "POP.EXAMPLE.ORG", "jane", NULL) ==
		is_there);
	REQUIRE(is_there || !secret_is_set(&found));
	REQUIRE(found.len <= text.len);
	secret_release(&found);
}

/* The first line of a file is the password, or there is none. */
static void
try_password_file(struct feed text)
{
	char *folder = folder_make();
	struct account account = {.name = (char *)"home",
		.host = (char *)"pop.example.org",
		.user = (char *)"jane",
		.password_file = xasprintf("%s/password", folder)};
	size_t line_len = 0;
	struct secret found = {0};
	struct error err;
	bool is_found = false;

	while (line_len < text.len && text.data[line_len] != '\n' && text.data[line_len] != '\r')
		line_len++;
	folder_write(account.password_file, text.data, text.len);
	if (credential_resolve(&account, &found, &is_found, &err) != 0) {
		require_sentence(&err, ERROR_CONFIG);
		REQUIRE(!secret_is_set(&found));
	} else {
		REQUIRE(is_found && found.len != 0 && found.len <= text.len);
		REQUIRE(found.len >= line_len && memcmp(found.data, text.data, found.len) == 0);
		REQUIRE(memchr(found.data, '\0', found.len) == NULL);
		REQUIRE(memchr(found.data, '\n', found.len) == NULL);
		REQUIRE(found.data[found.len] == '\0');
	}
	secret_release(&found);
	free(account.password_file);
	folder_remove(folder);
}

static void
try_guess(const char *text)
{
	static const char *const candidates[] = {
		"maildir", "mbox", "password-file", "host", "keep"};
	struct value_guess guess = {.word = text};
	bool is_ours = false;

	for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++)
		value_guess_try(&guess, candidates[i]);
	for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
		is_ours |= guess.best == candidates[i];
		/* Nothing is nearer than the word itself. */
		REQUIRE(strcmp(text, candidates[i]) != 0 || guess.best == candidates[i]);
	}
	REQUIRE(guess.best == NULL || is_ours);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed = {data, size};
	uint8_t kind = feed_octet(&feed);
	char *text = feed_string(feed);

	/* Of what the environment says, always the same. */
	setenv("HOME", "/home/jane", 1);
	setenv("WORD", "a b'c\"d", 1);
	switch (kind % 9) {
	case 0:
		try_number(text);
		break;
	case 1:
		try_units(text);
		break;
	case 2:
		try_words(text);
		break;
	case 3:
		try_string(text);
		break;
	case 4:
		try_destination(text);
		break;
	case 5:
		try_url(text);
		break;
	case 6:
		try_netrc(feed);
		break;
	case 7:
		try_password_file(feed);
		break;
	default:
		try_guess(text);
		break;
	}
	free(text);
	return 0;
}
