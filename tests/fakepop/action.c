#include "action.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

enum argument {
	ARGUMENT_NONE,
	ARGUMENT_TEXT,    /* the rest, or quoted */
	ARGUMENT_PATH,    /* one word */
	ARGUMENT_NUMBER,  /* a */
	ARGUMENT_NUMBERS, /* a, b */
	ARGUMENT_AMOUNT,  /* a, then as ARGUMENT_TEXT */
	ARGUMENT_PATTERN  /* a whole line or /regex/ */
};

static const struct {
	const char *name;
	enum action_kind kind;
	enum argument argument;
} table[] = {
	{"send",     ACTION_SEND,     ARGUMENT_TEXT   },
	{"raw",      ACTION_RAW,      ARGUMENT_TEXT   },
	{"flood",    ACTION_FLOOD,    ARGUMENT_AMOUNT },
	{"content",  ACTION_FILE,     ARGUMENT_PATH   },
	{"normal",   ACTION_NORMAL,   ARGUMENT_NONE   },
	{"cut",      ACTION_CUT,      ARGUMENT_NUMBER },
	{"expect",   ACTION_EXPECT,   ARGUMENT_PATTERN},
	{"read",     ACTION_READ,     ARGUMENT_NONE   },
	{"drop",     ACTION_DROP,     ARGUMENT_NONE   },
	{"bye",      ACTION_BYE,      ARGUMENT_NONE   },
	{"reset",    ACTION_RESET,    ARGUMENT_NONE   },
	{"stall",    ACTION_STALL,    ARGUMENT_NONE   },
	{"wait",     ACTION_WAIT,     ARGUMENT_NUMBER },
	{"drip",     ACTION_DRIP,     ARGUMENT_NUMBERS},
	{"discard",  ACTION_DISCARD,  ARGUMENT_NONE   },
	{"starttls", ACTION_STARTTLS, ARGUMENT_NONE   },
	{"login",    ACTION_LOGIN,    ARGUMENT_NONE   },
	{"commit",   ACTION_COMMIT,   ARGUMENT_NONE   },
	{"touch",    ACTION_TOUCH,    ARGUMENT_PATH   },
	{"await",    ACTION_AWAIT,    ARGUMENT_PATH   },
};

#define TABLE_SIZE (sizeof table / sizeof *table)

char *
path_below(const char *dir, const char *path)
{
	struct bytes joined = {NULL, 0, 0};

	if (dir != NULL && *path != '/') {
		bytes_add(&joined, dir, strlen(dir));
		bytes_add(&joined, "/", 1);
	}
	bytes_add(&joined, path, strlen(path) + 1);
	return joined.data;
}

static void
compile(struct pattern *pattern, struct words *words)
{
	const char *start = words->at + 1, *end = start;
	char *source, reason[256];
	int status;

	while (*end != '/' || end[-1] == '\\') {
		if (*end == '\0')
			die("a /regex/ in a script has no end");
		end++;
	}
	source = copy_text(start, (size_t)(end - start));
	/* "\/" is a slash; to a regular expression it would be nothing defined. */
	for (char *slash; (slash = strstr(source, "\\/")) != NULL;)
		memmove(slash, slash + 1, strlen(slash));
	status = regcomp(&pattern->regex, source, REG_EXTENDED | REG_NOSUB);
	if (status != 0) {
		regerror(status, &pattern->regex, reason, sizeof reason);
		die("/%s/: %s", source, reason);
	}
	free(source);
	pattern->words = NULL;
	words->at = end + 1;
}

bool
action_is_next(const struct words *words)
{
	struct words here = *words;

	for (size_t i = 0; i < TABLE_SIZE; i++)
		if (words_skip(&here, table[i].name))
			return true;
	return false;
}

void
pattern_read(struct pattern *pattern, struct words *words)
{
	struct bytes text = {NULL, 0, 0};

	*pattern = (struct pattern){.words = NULL};
	words->at += strspn(words->at, " \t");
	if (*words->at == '/') {
		compile(pattern, words);
		return;
	}
	while (!action_is_next(words)) {
		size_t len;
		char *word = words_next(words, &len);

		if (word == NULL)
			die("no action behind a pattern in a script");
		if (text.len > 0)
			bytes_add(&text, " ", 1);
		bytes_add(&text, word, len);
		free(word);
	}
	bytes_add(&text, "", 1);
	pattern->words = text.data;
}

static void
read_line_pattern(struct pattern *pattern, struct words *words)
{
	words->at += strspn(words->at, " \t");
	if (*words->at == '/')
		compile(pattern, words);
	else
		*pattern = (struct pattern){.words = words_text(words, NULL), .is_whole = true};
}

static uint64_t
read_number(struct words *words, const char *name)
{
	char *word = words_next(words, NULL);
	uint64_t number;

	if (word == NULL || !parse_number(word, &number))
		die("'%s' in a script needs a number", name);
	free(word);
	return number;
}

static void
read_path(struct action *action, struct words *words, const char *name, const char *dir)
{
	char *word = words_next(words, NULL);

	if (word == NULL)
		die("'%s' in a script needs a path", name);
	action->text = path_below(dir, word);
	free(word);
}

static void
action_read(struct action *action, struct words *words, const char *dir)
{
	size_t i = 0;

	*action = (struct action){.text = NULL};
	while (i < TABLE_SIZE && !words_skip(words, table[i].name))
		i++;
	if (i == TABLE_SIZE)
		die("no action in a script: '%s'", words->at);
	action->kind = table[i].kind;
	switch (table[i].argument) {
	case ARGUMENT_NONE:
		break;
	case ARGUMENT_TEXT:
		action->text = words_text(words, &action->len);
		break;
	case ARGUMENT_PATH:
		read_path(action, words, table[i].name, dir);
		break;
	case ARGUMENT_NUMBER:
		action->a = read_number(words, table[i].name);
		break;
	case ARGUMENT_NUMBERS:
		action->a = read_number(words, table[i].name);
		action->b = read_number(words, table[i].name);
		break;
	case ARGUMENT_AMOUNT:
		action->a = read_number(words, table[i].name);
		action->text = words_text(words, &action->len);
		break;
	case ARGUMENT_PATTERN:
		read_line_pattern(&action->pattern, words);
		break;
	}
}

void
actions_read(struct actions *actions, struct words *words, const char *dir)
{
	do {
		actions->items = grow(actions->items, actions->count + 1, sizeof *actions->items);
		action_read(&actions->items[actions->count], words, dir);
		actions->count++;
	} while (words_separator(words));
	if (!words_at_end(words))
		die("what is this, in a script: '%s'", words->at);
}

bool
pattern_matches(const struct pattern *pattern, const char *line)
{
	size_t len;

	if (pattern->words == NULL)
		return regexec(&pattern->regex, line, 0, NULL, 0) == 0;
	if (pattern->is_whole)
		return strcmp(line, pattern->words) == 0;
	len = strlen(pattern->words);
	return strncasecmp(line, pattern->words, len) == 0 &&
		(line[len] == '\0' || line[len] == ' ');
}
