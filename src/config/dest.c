#include "config/dest.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/quote.h"
#include "base/xalloc.h"
#include "config/value.h"

struct dest_kind {
	const char *name;
	enum account_dest_kind kind;
};

static const struct dest_kind KINDS[] = {
	{"maildir", ACCOUNT_DEST_MAILDIR},
	{"mbox",    ACCOUNT_DEST_MBOX   },
	{"pipe",    ACCOUNT_DEST_PIPE   },
};

#define KIND_COUNT (sizeof(KINDS) / sizeof(KINDS[0]))

/* The kind that `text` begins with; *rest_out is what follows its colon. */
static const struct dest_kind *
find_kind(const char *text, const char **rest_out, struct error *err)
{
	const char *colon = strchr(text, ':');
	struct value_guess guess = {0};
	char quoted[QUOTE_SIZE], *name;

	if (colon == NULL) {
		error_set(err, ERROR_CONFIG, "'%s' is not maildir:PATH, mbox:PATH or pipe:COMMAND",
			quote_bytes(quoted, text, strlen(text)));
		return NULL;
	}
	name = xmemdup0(text, (size_t)(colon - text));
	guess.word = name;
	*rest_out = colon + 1;
	for (size_t i = 0; i < KIND_COUNT; i++) {
		if (strcmp(KINDS[i].name, name) == 0) {
			free(name);
			return &KINDS[i];
		}
		value_guess_try(&guess, KINDS[i].name);
	}
	quote_bytes(quoted, name, strlen(name));
	if (guess.best != NULL)
		error_set(err, ERROR_CONFIG, "unknown kind of destination '%s', did you mean '%s'?",
			quoted, guess.best);
	else
		error_set(err, ERROR_CONFIG,
			"unknown kind of destination '%s': it is maildir, mbox or pipe", quoted);
	free(name);
	return NULL;
}

static int
parse_path(
	const struct dest_kind *kind, const char *text, struct account_dest *out, struct error *err)
{
	char *path, quoted[QUOTE_SIZE];
	size_t len;

	if (*text == '\0')
		return error_set(err, ERROR_CONFIG, "'%s:' has no path", kind->name);
	path = file_expand_home(text);
	if (*path != '/') {
		free(path);
		return error_set(err, ERROR_CONFIG,
			"'%s' is a relative path: a %s needs one that begins with / or ~/",
			quote_bytes(quoted, text, strlen(text)), kind->name);
	}
	/* One spelling for one place: the state remembers it. */
	for (len = strlen(path); len > 1 && path[len - 1] == '/';)
		path[--len] = '\0';
	out->path = path;
	out->text = xasprintf("%s:%s", kind->name, path);
	return 0;
}

static int
check_placeholders(const char *word, const char *allowed, struct error *err)
{
	char quoted[QUOTE_SIZE];

	for (const char *p = strchr(word, '%'); p != NULL; p = strchr(p + 2, '%')) {
		if (p[1] != '\0' && strchr(allowed, p[1]) != NULL)
			continue;
		quote_bytes(quoted, word, strlen(word));
		if (p[1] != '\0' && strchr("auhs", p[1]) != NULL)
			return error_set(err, ERROR_CONFIG,
				"'%s': the command itself cannot have a placeholder", quoted);
		return error_set(err, ERROR_CONFIG,
			"'%s' has an unknown placeholder: there are %%a %%u %%h %%s and %%%%",
			quoted);
	}
	return 0;
}

static int
parse_command(const char *text, struct account_dest *out, struct error *err)
{
	char **words;

	if (value_split_words(text, &words, err) != 0)
		return -1;
	if (words[0] == NULL || words[0][0] == '\0') {
		value_free_words(words);
		return error_set(err, ERROR_CONFIG, "'pipe:' has no command");
	}
	for (size_t i = 0; words[i] != NULL; i++) {
		/* What runs is the user's choice, never that of a message's sender. */
		if (check_placeholders(words[i], i == 0 ? "%" : "auhs%", err) == 0)
			continue;
		value_free_words(words);
		return -1;
	}
	out->argv = words;
	out->text = xasprintf("pipe:%s", text + strspn(text, " \t"));
	return 0;
}

int
dest_parse(const char *text, struct account_dest *out, struct error *err)
{
	const struct dest_kind *kind;
	struct account_dest dest = {0};
	const char *rest;
	int result;

	kind = find_kind(text, &rest, err);
	if (kind == NULL)
		return -1;
	dest.kind = kind->kind;
	if (kind->kind == ACCOUNT_DEST_PIPE)
		result = parse_command(rest, &dest, err);
	else
		result = parse_path(kind, rest, &dest, err);
	if (result == 0)
		*out = dest;
	return result;
}

void
dest_release(struct account_dest *dest)
{
	free(dest->text);
	free(dest->path);
	value_free_words(dest->argv);
	*dest = (struct account_dest){0};
}
