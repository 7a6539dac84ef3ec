/*
 * The body of a multi-line reply as RFC 1939 section 3 has it by the letter:
 * the end mark is looked for first, then the lines are gone through. Slow, and
 * nothing like the program's own reading, which is what it is for.
 */
#ifndef POPHAUL_TESTS_FUZZ_LETTER_H
#define POPHAUL_TESTS_FUZZ_LETTER_H

#include <stdbool.h>

#include "base/buf.h"
#include "fuzz.h"

static inline const uint8_t *
letter_find(const uint8_t *at, const uint8_t *end, const char *what)
{
	return memmem(at, (size_t)(end - at), what, strlen(what));
}

/* Where the end mark ends; NULL: there is none. */
static inline const uint8_t *
letter_end(struct feed all)
{
	const uint8_t *mark;

	if (all.len >= 3 && memcmp(all.data, ".\r\n", 3) == 0)
		return all.data + 3;
	mark = all.len == 0 ? NULL : letter_find(all.data, all.data + all.len, "\r\n.\r\n");
	return mark != NULL ? mark + 5 : NULL;
}

/*
 * Append the text, lines ended by LF; whether it is complete, and the octets up to and
 * with its end mark.
 */
static inline bool
letter_read(struct feed all, struct buf *out, size_t *taken_out)
{
	const uint8_t *at = all.data, *mark_end = letter_end(all), *end;

	*taken_out = mark_end != NULL ? (size_t)(mark_end - all.data) : all.len;
	end = mark_end != NULL ? mark_end - 3 : all.data + all.len;
	while (at < end) {
		const uint8_t *line_end = letter_find(at, end, "\r\n");

		if (*at == '.')
			at++;
		buf_append(out, at, (size_t)((line_end != NULL ? line_end : end) - at));
		if (line_end != NULL)
			buf_append(out, "\n", 1);
		at = line_end != NULL ? line_end + 2 : end;
	}
	/* What may yet become a line end is not given out. */
	if (mark_end == NULL && all.len != 0 && end[-1] == '\r')
		out->len--;
	return mark_end != NULL;
}

#endif
