#include "config/value.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/quote.h"
#include "base/xalloc.h"

/* Names longer than this are nobody's slip of the finger. */
#define GUESS_LENGTH_MAX 40

struct unit {
	char letter;
	uint64_t factor;
};

/* clang-format off */
static const struct unit SIZE_UNITS[] = {
	{'K', (uint64_t)1 << 10},
	{'M', (uint64_t)1 << 20},
	{'G', (uint64_t)1 << 30},
	{'k', (uint64_t)1 << 10},
	{0, 0},
};
/* clang-format on */

/* clang-format off */
static const struct unit TIME_UNITS[] = {
	{'s', 1},
	{'m', 60},
	{'h', 3600},
	{'d', 86400},
	{'w', (uint64_t)7 * 86400},
	{0, 0},
};
/* clang-format on */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits at *text, which is moved behind them; false when there are none or too many. */
static bool
take_digits(const char **text, uint64_t *out)
{
	uint64_t value = 0;
	const char *p = *text;

	for (; is_digit(*p); p++) {
		if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return false;
	}
	if (p == *text)
		return false;
	*text = p;
	*out = value;
	return true;
}

/* What is wrong with a text that is no number. */
static int
refuse_number(const char *text, const char *what, struct error *err)
{
	char quoted[QUOTE_SIZE];

	quote_bytes(quoted, text, strlen(text));
	if (*text == '-' && is_digit(text[1]))
		return error_set(err, ERROR_CONFIG, "'%s' is negative", quoted);
	return error_set(err, ERROR_CONFIG, "'%s' is not %s", quoted, what);
}

int
value_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct error *err)
{
	const char *p = text;
	uint64_t value = 0;

	if (!is_digit(*p) || strspn(p, "0123456789") != strlen(p))
		return refuse_number(text, "a number", err);
	if (!take_digits(&p, &value) || value < min || value > max) {
		char quoted[QUOTE_SIZE];

		return error_set(err, ERROR_CONFIG, "'%s' is out of range (%llu to %llu)",
			quote_bytes(quoted, text, strlen(text)), (unsigned long long)min,
			(unsigned long long)max);
	}
	*out = value;
	return 0;
}

/* Numbers with units, added up; `bare` allows a last number without one. */
static int
parse_units(const char *text, const struct unit *units, bool bare, uint64_t *out, struct error *err)
{
	const char *p = text, *letters = bare ? "K, M or G" : "s, m, h, d or w";
	const struct unit *unit;
	uint64_t total = 0, part;
	char quoted[QUOTE_SIZE], letter[QUOTE_SIZE];

	quote_bytes(quoted, text, strlen(text));
	if (!is_digit(*p))
		return refuse_number(
			text, bare ? "a size (such as 10M)" : "a time (such as 30d)", err);
	while (*p != '\0') {
		if (!is_digit(*p))
			return error_set(err, ERROR_CONFIG, "'%s' lacks a number before '%s'",
				quoted, quote_bytes(letter, p, 1));
		if (!take_digits(&p, &part))
			return error_set(err, ERROR_CONFIG, "'%s' is too big", quoted);
		for (unit = units; unit->letter != 0 && unit->letter != *p;)
			unit++;
		if (*p == '\0' && !bare)
			return error_set(
				err, ERROR_CONFIG, "'%s' lacks its unit: %s", quoted, letters);
		if (*p != '\0' && unit->letter == 0)
			return error_set(err, ERROR_CONFIG, "'%s' has an unknown unit '%s': %s",
				quoted, quote_bytes(letter, p, 1), letters);
		if (*p != '\0' && __builtin_mul_overflow(part, unit->factor, &part))
			return error_set(err, ERROR_CONFIG, "'%s' is too big", quoted);
		if (__builtin_add_overflow(total, part, &total))
			return error_set(err, ERROR_CONFIG, "'%s' is too big", quoted);
		p += *p != '\0';
	}
	*out = total;
	return 0;
}

int
value_parse_size(const char *text, uint64_t *out, struct error *err)
{
	return parse_units(text, SIZE_UNITS, true, out, err);
}

int
value_parse_time(const char *text, uint64_t *out, struct error *err)
{
	return parse_units(text, TIME_UNITS, false, out, err);
}

int
value_parse_flag(const char *text, bool *out, struct error *err)
{
	static const char *const WORDS[] = {"no", "yes", "false", "true", "off", "on"};
	char quoted[QUOTE_SIZE];

	for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
		if (strcasecmp(text, WORDS[i]) == 0) {
			*out = i % 2 == 1;
			return 0;
		}
	}
	return error_set(err, ERROR_CONFIG, "'%s' is neither yes nor no",
		quote_bytes(quoted, text, strlen(text)));
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/*
 * A quoted part of a word, from its opening quote at *text, which is moved behind the closing one.
 */
static bool
take_quoted(const char **text, struct buf *word)
{
	const char *p = *text;
	char quote = *p++;

	for (; *p != quote; p++) {
		if (quote == '"' && *p == '\\' && (p[1] == '"' || p[1] == '\\'))
			p++;
		if (*p == '\0')
			return false;
		buf_append(word, p, 1);
	}
	*text = p + 1;
	return true;
}

static bool
take_word(const char **text, struct buf *word)
{
	const char *p = *text, *home = file_home();

	if (*p == '~' && home != NULL && (p[1] == '/' || p[1] == '\0' || is_blank(p[1]))) {
		buf_append_string(word, home);
		p++;
	}
	while (*p != '\0' && !is_blank(*p)) {
		if (*p == '\'' || *p == '"') {
			if (!take_quoted(&p, word))
				return false;
			continue;
		}
		if (*p == '\\' && *++p == '\0')
			return false;
		buf_append(word, p++, 1);
	}
	*text = p;
	return true;
}

int
value_split_words(const char *text, char ***words_out, struct error *err)
{
	char **words = xcalloc(1, sizeof(*words)), quoted[QUOTE_SIZE];
	struct buf word = {0};
	const char *p = text;
	size_t count = 0;

	for (;;) {
		while (is_blank(*p))
			p++;
		if (*p == '\0')
			break;
		if (!take_word(&p, &word)) {
			buf_release(&word);
			value_free_words(words);
			return error_set(err, ERROR_CONFIG,
				"'%s' ends within a quote or behind a backslash",
				quote_bytes(quoted, text, strlen(text)));
		}
		words = xreallocarray(words, count + 2, sizeof(*words));
		words[count++] = buf_take_string(&word);
		words[count] = NULL;
	}
	*words_out = words;
	return 0;
}

void
value_free_words(char **words)
{
	for (char **word = words; word != NULL && *word != NULL; word++)
		free(*word);
	free(words);
}

static bool
is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* The variable at `text`, "NAME}" or "NAME:-DEFAULT}"; *used_out is the length with its brace. */
static int
expand_variable(const char *text, size_t len, size_t *used_out, struct buf *out, struct error *err)
{
	const char *close = memchr(text, '}', len), *fallback, *value;
	char *name, quoted[QUOTE_SIZE];
	int result = 0;

	if (close == NULL)
		return error_set(err, ERROR_CONFIG, "'${' is never closed");
	*used_out = (size_t)(close - text) + 1;
	name = xmemdup0(text, (size_t)(close - text));
	fallback = strstr(name, ":-");
	if (fallback != NULL)
		name[fallback - name] = '\0';
	value = getenv(name);
	if (value != NULL)
		buf_append_string(out, value);
	else if (fallback != NULL)
		buf_append_string(out, fallback + 2);
	else
		result = error_set(err, ERROR_CONFIG, "variable '%s' is not set",
			quote_bytes(quoted, name, strlen(name)));
	free(name);
	return result;
}

static size_t
count_digits(const char *text, size_t len, size_t max, const char *digits)
{
	size_t n = 0;

	while (n < len && n < max && is_one_of(text[n], digits))
		n++;
	return n;
}

/* An escape in "…" behind its backslash; the octets used, 0 for a NUL. */
static size_t
decode_escape(const char *text, size_t len, char *out)
{
	static const char NAMES[] = "nbftraev", OCTETS[] = "\n\b\f\t\r\a\033\v";
	const char *found = is_one_of(*text, NAMES) ? strchr(NAMES, *text) : NULL;
	char digits[4] = "";
	size_t n = count_digits(text, len, 3, "01234567"), skip = 0;

	if (found != NULL) {
		*out = OCTETS[found - NAMES];
		return 1;
	}
	if (n == 0 && *text == 'x') {
		skip = 1;
		n = count_digits(text + 1, len - 1, 2, "0123456789abcdefABCDEF");
	}
	if (n == 0) {
		*out = *text;
		return 1;
	}
	memcpy(digits, text + skip, n);
	*out = (char)strtoul(digits, NULL, skip != 0 ? 16 : 8);
	return *out == '\0' ? 0 : skip + n;
}

static int
decode_double(const char *text, size_t len, struct buf *out, struct error *err)
{
	size_t used;
	char c;

	for (size_t i = 0; i < len; i += used) {
		used = 1;
		c = text[i];
		if (c == '$' && i + 1 < len && text[i + 1] == '{') {
			if (expand_variable(text + i + 2, len - i - 2, &used, out, err) != 0)
				return -1;
			used += 2;
			continue;
		}
		if (c == '\\' && i + 1 < len && text[i + 1] == '\n') {
			used = 2;
			continue;
		}
		if (c == '\\' && i + 1 < len) {
			used = decode_escape(text + i + 1, len - i - 1, &c);
			if (used == 0)
				return error_set(err, ERROR_CONFIG, "NUL in a string");
			used++;
		}
		buf_append(out, &c, 1);
	}
	return 0;
}

static void
decode_single(const char *text, size_t len, struct buf *out)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\\' && i + 1 < len && is_one_of(text[i + 1], "\\'\n"))
			i++;
		if (text[i] != '\n')
			buf_append(out, text + i, 1);
	}
}

int
value_decode_string(const char *text, size_t len, struct buf *out, struct error *err)
{
	if (len >= 2 && *text == '"')
		return decode_double(text + 1, len - 2, out, err);
	if (len >= 2 && *text == '\'')
		decode_single(text + 1, len - 2, out);
	else
		buf_append(out, text, len);
	return 0;
}

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/*
 * Optimal string alignment distance, by three rows; both texts are at most GUESS_LENGTH_MAX long.
 */
static unsigned
distance(const char *a, const char *b)
{
	unsigned rows[3][GUESS_LENGTH_MAX + 1], *two = rows[0], *one = rows[1], *now = rows[2],
						*spare;
	size_t width = strlen(b), height = strlen(a);

	for (size_t x = 0; x <= width; x++)
		one[x] = (unsigned)x;
	for (size_t y = 1; y <= height; y++) {
		now[0] = (unsigned)y;
		for (size_t x = 1; x <= width; x++) {
			now[x] = least(
				least(one[x], now[x - 1]) + 1, one[x - 1] + (a[y - 1] != b[x - 1]));
			if (x > 1 && y > 1 && a[y - 1] == b[x - 2] && a[y - 2] == b[x - 1])
				now[x] = least(now[x], two[x - 2] + 1);
		}
		spare = two;
		two = one;
		one = now;
		now = spare;
	}
	return one[width];
}

void
value_guess_try(struct value_guess *guess, const char *candidate)
{
	size_t length = strlen(guess->word);
	unsigned found;

	if (length == 0 || length > GUESS_LENGTH_MAX || strlen(candidate) > GUESS_LENGTH_MAX)
		return;
	found = distance(guess->word, candidate);
	/* One slip, and one more for every four letters; more than that is another word. */
	if (found > 1 + length / 4 || found >= length ||
		(guess->best != NULL && found >= guess->distance))
		return;
	guess->best = candidate;
	guess->distance = found;
}
