#include "config/source/netrc.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/xalloc.h"

struct reader {
	const char *text;
	size_t len;
	size_t pos;
	char *word; /* the word read last; has room for all of the text, as a word may */
	size_t word_len;
};

/* What is known of the entry that is being read. */
struct entry {
	bool host_matches;
	bool user_differs;
	bool has_password;
	struct secret password;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',';
}

static bool
is_word(const struct reader *r, const char *text)
{
	return r->word_len == strlen(text) && memcmp(r->word, text, r->word_len) == 0;
}

static bool
is_host(const struct reader *r, const char *host)
{
	return r->word_len == strlen(host) && strncasecmp(r->word, host, r->word_len) == 0;
}

/* The next word into r->word; false at the end. A '#' that begins a word begins a comment. */
static bool
next_word(struct reader *r)
{
	bool quoted;

	for (;;) {
		while (r->pos < r->len && is_blank(r->text[r->pos]))
			r->pos++;
		if (r->pos == r->len)
			return false;
		if (r->text[r->pos] != '#')
			break;
		while (r->pos < r->len && r->text[r->pos] != '\n')
			r->pos++;
	}
	r->word_len = 0;
	quoted = r->text[r->pos] == '"';
	r->pos += quoted;
	for (; r->pos < r->len; r->pos++) {
		char c = r->text[r->pos];

		if (quoted ? c == '"' : is_blank(c))
			break;
		if (c == '\\' && r->pos + 1 < r->len)
			c = r->text[++r->pos];
		r->word[r->word_len++] = c;
	}
	if (r->pos < r->len)
		r->pos++;
	return true;
}

/* A value, where a '#' is a letter like others. */
static bool
next_value(struct reader *r)
{
	while (r->pos < r->len && is_blank(r->text[r->pos]))
		r->pos++;
	if (r->pos < r->len && r->text[r->pos] == '#') {
		r->word_len = 0;
		while (r->pos < r->len && !is_blank(r->text[r->pos]))
			r->word[r->word_len++] = r->text[r->pos++];
		return true;
	}
	return next_word(r);
}

/* A macro ends at an empty line. */
static void
skip_macro(struct reader *r)
{
	const char *end = memmem(r->text + r->pos, r->len - r->pos, "\n\n", 2);

	r->pos = end != NULL ? (size_t)(end - r->text) + 2 : r->len;
}

/* The entry is complete: whether it is the one. */
static bool
settle(struct entry *entry, struct secret *out)
{
	bool found = entry->host_matches && !entry->user_differs && entry->has_password;

	if (found && out != NULL)
		secret_set(out, entry->password.data, entry->password.len);
	secret_release(&entry->password);
	*entry = (struct entry){0};
	return found;
}

/* Take one keyword with its value; false when that was the last of the file. */
static bool
take_keyword(struct reader *r, struct entry *entry, const char *user)
{
	if (is_word(r, "macdef")) {
		skip_macro(r);
		return true;
	}
	if (is_word(r, "login")) {
		if (!next_value(r))
			return false;
		entry->user_differs = !is_word(r, user);
	} else if (is_word(r, "password")) {
		if (!next_value(r))
			return false;
		entry->has_password = true;
		secret_set(&entry->password, r->word, r->word_len);
	} else if (is_word(r, "account")) {
		return next_value(r);
	}
	return true;
}

bool
netrc_find(const char *text, size_t len, const char *host, const char *user, struct secret *out)
{
	struct reader r = {.text = text, .len = len, .word = xcalloc(len, 1)};
	struct entry entry = {0};
	bool found = false;

	while (!found && next_word(&r)) {
		bool is_machine = is_word(&r, "machine");

		if (is_machine || is_word(&r, "default")) {
			found = settle(&entry, out);
			if (!found && is_machine && !next_value(&r))
				break;
			entry.host_matches = !is_machine || is_host(&r, host);
		} else if (!take_keyword(&r, &entry, user)) {
			break;
		}
	}
	if (!found)
		found = settle(&entry, out);
	secret_wipe(r.word, len);
	free(r.word);
	return found;
}
