#include "config/netrc.h"

#include <string.h>
#include <strings.h>

/* A longer word is cut: no host, user or password comes near it. */
#define WORD_SIZE 4096

struct reader {
	const char *text;
	size_t len;
	size_t pos;
	char word[WORD_SIZE]; /* the word read last, wiped at the end */
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

static void
append(struct reader *r, size_t *used, char c)
{
	if (*used < sizeof(r->word) - 1)
		r->word[(*used)++] = c;
}

/* The next word into r->word; false at the end. A '#' that begins a word begins a comment. */
static bool
next_word(struct reader *r)
{
	size_t used = 0;
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
	quoted = r->text[r->pos] == '"';
	r->pos += quoted;
	for (; r->pos < r->len; r->pos++) {
		char c = r->text[r->pos];

		if (quoted ? c == '"' : is_blank(c))
			break;
		if (c == '\\' && r->pos + 1 < r->len)
			c = r->text[++r->pos];
		append(r, &used, c);
	}
	if (r->pos < r->len)
		r->pos++;
	r->word[used] = '\0';
	return true;
}

/* A value, where a '#' is a letter like others. */
static bool
next_value(struct reader *r)
{
	while (r->pos < r->len && is_blank(r->text[r->pos]))
		r->pos++;
	if (r->pos < r->len && r->text[r->pos] == '#') {
		size_t used = 0;

		while (r->pos < r->len && !is_blank(r->text[r->pos]))
			append(r, &used, r->text[r->pos++]);
		r->word[used] = '\0';
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
	if (strcmp(r->word, "macdef") == 0) {
		skip_macro(r);
		return true;
	}
	if (strcmp(r->word, "login") == 0) {
		if (!next_value(r))
			return false;
		entry->user_differs = strcmp(r->word, user) != 0;
	} else if (strcmp(r->word, "password") == 0) {
		if (!next_value(r))
			return false;
		entry->has_password = true;
		secret_set(&entry->password, r->word, strlen(r->word));
	} else if (strcmp(r->word, "account") == 0) {
		return next_value(r);
	}
	return true;
}

bool
netrc_find(const char *text, size_t len, const char *host, const char *user, struct secret *out)
{
	struct reader r = {.text = text, .len = len};
	struct entry entry = {0};
	bool found = false;

	while (!found && next_word(&r)) {
		bool is_machine = strcmp(r.word, "machine") == 0;

		if (is_machine || strcmp(r.word, "default") == 0) {
			found = settle(&entry, out);
			if (!found && is_machine && !next_value(&r))
				break;
			entry.host_matches = !is_machine || strcasecmp(r.word, host) == 0;
		} else if (!take_keyword(&r, &entry, user)) {
			break;
		}
	}
	if (!found)
		found = settle(&entry, out);
	secret_wipe(r.word, sizeof(r.word));
	return found;
}
