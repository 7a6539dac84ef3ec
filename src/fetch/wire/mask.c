#include "fetch/wire/mask.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

/* Shorter secrets are found in too many words. */
#define WORD_MAX 3

/* So many first octets of a secret in a row are no chance. */
#define BEGINNING_MIN 8

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool
is_word_octet(char c)
{
	return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z');
}

void
mask_add(struct mask *mask, const void *data, size_t len)
{
	if (len == 0)
		return;
	mask->secrets = xreallocarray(mask->secrets, mask->count + 1, sizeof *mask->secrets);
	mask->secrets[mask->count] = (struct secret){0};
	secret_set(&mask->secrets[mask->count++], data, len);
}

/* How many octets of the text at `at` are to be hidden for this secret. */
static size_t
match(const struct secret *secret, const char *text, size_t len, size_t at)
{
	size_t same = 0;

	while (same < secret->len && at + same < len &&
		lower(text[at + same]) == lower(secret->data[same]))
		same++;
	if (secret->len > WORD_MAX) {
		bool is_beginning = same >= BEGINNING_MIN || (same > WORD_MAX && at + same == len);

		return same == secret->len || is_beginning ? same : 0;
	}
	if (same < secret->len || (at != 0 && is_word_octet(text[at - 1])) ||
		(at + same < len && is_word_octet(text[at + same])))
		return 0;
	return same;
}

static size_t
longest_match(const struct mask *mask, const char *text, size_t len, size_t at)
{
	size_t longest = 0;

	for (size_t i = 0; i < mask->count; i++) {
		size_t found = match(&mask->secrets[i], text, len, at);

		if (found > longest)
			longest = found;
	}
	return longest;
}

size_t
mask_text(const struct mask *mask, char *text, size_t len)
{
	size_t at = 0;

	while (mask->count != 0 && at < len) {
		size_t found = longest_match(mask, text, len, at), shown = found;

		if (found == 0) {
			at++;
			continue;
		}
		if (shown > sizeof MASK_SHOWN - 1)
			shown = sizeof MASK_SHOWN - 1;
		memset(text + at, '*', shown);
		memmove(text + at + shown, text + at + found, len - at - found);
		len -= found - shown;
		at += shown;
	}
	return len;
}

void
mask_forget(struct mask *mask)
{
	for (size_t i = 0; i < mask->count; i++)
		secret_release(&mask->secrets[i]);
	free(mask->secrets);
	*mask = (struct mask){0};
}
