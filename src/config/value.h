/*
 * The texts that options are made of: numbers, sizes, times, yes and no, words
 * split as a shell splits them, quoted strings, and the guess at what a misspelt
 * name was meant to be. Pure, apart from `~` and ${VAR}, which look into the environment.
 *
 * Errors are ERROR_CONFIG with a text that begins with the quoted value; the
 * caller puts the option's name before it.
 */
#ifndef POPHAUL_CONFIG_VALUE_H
#define POPHAUL_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

/* A decimal number from `min` to `max`. */
int value_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *out,
	struct error *err) __attribute__((warn_unused_result));

/* Octets: numbers with K, M or G (1024 each), added up, "1G512M"; without a letter, octets. */
int value_parse_size(const char *text, uint64_t *out, struct error *err)
	__attribute__((warn_unused_result));

/* Seconds: numbers with s, m, h, d or w, added up, "1d12h"; the letter is needed. */
int value_parse_time(const char *text, uint64_t *out, struct error *err)
	__attribute__((warn_unused_result));

/* yes, true, on; no, false, off. */
int value_parse_flag(const char *text, bool *out, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Words as a shell splits them: blanks part, '…' is literal, "…" and backslash
 * escape; a `~` that begins a word and is neither quoted nor part of `~name` is
 * the home. Nothing else is special and no shell is run. The result is
 * NULL-ended, possibly empty, and the caller's: value_free_words(). ERROR_CONFIG
 * for a quote that is not closed.
 */
int value_split_words(const char *text, char ***words_out, struct error *err)
	__attribute__((warn_unused_result));

/* NULL is fine. */
void value_free_words(char **words);

/*
 * A word or a quoted string as libconfuse would give it, appended to `out`: escapes
 * and ${VAR}, ${VAR:-DEFAULT} in "…", only \\ and \' in '…'. ERROR_CONFIG: a variable
 * that is not set, a NUL.
 */
int value_decode_string(const char *text, size_t len, struct buf *out, struct error *err)
	__attribute__((warn_unused_result));

/*
 * The candidate that is nearest to a word, if any is near at all. Zeroed but for `word` at first.
 */
struct value_guess {
	const char *word;
	const char *best; /* borrowed from the candidates; NULL: none is near */
	unsigned distance;
};

/* Consider one more candidate: insertions, deletions, replacements and swaps are counted. */
void value_guess_try(struct value_guess *guess, const char *candidate);

#endif
