#include "words.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

static void
skip_blanks(struct words *words)
{
	words->at += strspn(words->at, " \t");
}

static unsigned char
escaped(struct words *words)
{
	static const char names[] = "rnt0\"\\", values[] = "\r\n\t\0\"\\";
	const char *name = *words->at != '\0' ? strchr(names, *words->at) : NULL;
	char hex[3] = "", *end;
	unsigned long value;

	if (name != NULL) {
		words->at++;
		return (unsigned char)values[name - names];
	}
	if (*words->at != 'x')
		die("unknown escape '\\%c' in a script", *words->at);
	for (size_t i = 0; i < 2 && words->at[1 + i] != '\0'; i++)
		hex[i] = words->at[1 + i];
	value = strtoul(hex, &end, 16);
	if (end != hex + 2)
		die("\\x needs two hex digits in a script");
	words->at += 3;
	return (unsigned char)value;
}

static char *
quoted(struct words *words, size_t *len_out)
{
	struct bytes text = {NULL, 0, 0};

	words->at++;
	while (*words->at != '"') {
		unsigned char c = (unsigned char)*words->at;

		if (c == '\0')
			die("a quoted text in a script has no end");
		words->at++;
		if (c == '\\')
			c = escaped(words);
		bytes_add(&text, &c, 1);
	}
	words->at++;
	if (len_out != NULL)
		*len_out = text.len;
	bytes_add(&text, "", 1);
	return text.data;
}

char *
words_next(struct words *words, size_t *len_out)
{
	const char *start;
	size_t len;

	skip_blanks(words);
	if (*words->at == '"')
		return quoted(words, len_out);
	start = words->at;
	len = strcspn(start, " \t;");
	if (len == 0)
		return NULL;
	words->at += len;
	if (len_out != NULL)
		*len_out = len;
	return copy_text(start, len);
}

char *
words_text(struct words *words, size_t *len_out)
{
	const char *start, *end;
	size_t len;

	skip_blanks(words);
	if (*words->at == '"')
		return quoted(words, len_out);
	start = words->at;
	/* "; " ends the text, a semicolon inside it ("<1;2@x>") does not. */
	end = strstr(start, "; ");
	len = end != NULL ? (size_t)(end - start) : strlen(start);
	words->at += len;
	if (len_out != NULL)
		*len_out = len;
	return copy_text(start, len);
}

bool
words_skip(struct words *words, const char *word)
{
	size_t len = strlen(word);

	skip_blanks(words);
	if (strncmp(words->at, word, len) != 0 || strchr(" \t;", words->at[len]) == NULL)
		return false;
	words->at += len;
	return true;
}

bool
words_separator(struct words *words)
{
	skip_blanks(words);
	if (*words->at != ';')
		return false;
	words->at++;
	return true;
}

bool
words_at_end(struct words *words)
{
	skip_blanks(words);
	return *words->at == '\0';
}
