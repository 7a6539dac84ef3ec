/*
 * Words and texts of a script's line: bare, or in double quotes with the
 * escapes \r \n \t \0 \" \\ and \xHH.
 */
#ifndef POPHAUL_TESTS_FAKEPOP_WORDS_H
#define POPHAUL_TESTS_FAKEPOP_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* A place in a line; each function moves it on. */
struct words {
	const char *at;
};

/* The caller frees. NUL-ended; `len_out` may be NULL. NULL: there is no more word. */
char *words_next(struct words *words, size_t *len_out);

/* A quoted text, or the rest of the line up to "; " as it is; for texts at the end of an action. */
char *words_text(struct words *words, size_t *len_out);

/* Whether the next word is this one; it is then taken. */
bool words_skip(struct words *words, const char *word);

/* Step over ';' to the next action; false at the end of the line. */
bool words_separator(struct words *words);

bool words_at_end(struct words *words);

#endif
