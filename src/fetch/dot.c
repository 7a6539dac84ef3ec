#include "fetch/dot.h"

#include <assert.h>
#include <string.h>

/* Dot, CR and LF: the CRLF before them is the text's. */
#define END_MARK_LEN 3

void
dot_init(struct dot *dot)
{
	dot->state = DOT_LINE_START;
	dot->octets = 0;
}

bool
dot_is_done(const struct dot *dot)
{
	return dot->state == DOT_DONE;
}

/*
 * Copy the text at `in` up to its first CR, which is taken but held back until the next octet tells
 * what it is. Nearly all octets of a message go through here, by memchr() and memcpy().
 */
static size_t
copy_text(struct dot *dot, const char *in, size_t len, char **out)
{
	const char *cr = memchr(in, '\r', len);
	size_t run = cr != NULL ? (size_t)(cr - in) : len;

	memcpy(*out, in, run);
	*out += run;
	dot->state = cr != NULL ? DOT_CR : DOT_TEXT;
	return cr != NULL ? run + 1 : run;
}

/* The octet behind a held-back CR, which is text unless this is LF. True: the octet is taken. */
static bool
after_cr(struct dot *dot, char c, char **out)
{
	if (c == '\n') {
		*(*out)++ = '\n';
		dot->state = DOT_LINE_START;
		return true;
	}
	*(*out)++ = '\r';
	dot->state = c == '\r' ? DOT_CR : DOT_TEXT;
	return c == '\r';
}

/* The octet behind ".", or behind "." CR: the dot was stuffing unless the end mark is complete. */
static bool
after_dot(struct dot *dot, char c, char **out)
{
	if (dot->state == DOT_DOT_CR && c == '\n') {
		dot->state = DOT_DONE;
		dot->octets -= END_MARK_LEN;
		return true;
	}
	/* Not yet known to be stuffing. */
	if (dot->state == DOT_DOT && c == '\r') {
		dot->state = DOT_DOT_CR;
		return true;
	}
	dot->octets--;
	if (dot->state == DOT_DOT_CR)
		return after_cr(dot, c, out);
	dot->state = DOT_TEXT;
	return false;
}

size_t
dot_feed(struct dot *dot, const char *in, size_t len, char *out, size_t *out_len)
{
	char *const out_start = out;
	size_t taken = 0;

	while (taken < len && dot->state != DOT_DONE) {
		switch (dot->state) {
		case DOT_LINE_START:
			if (in[taken] == '.') {
				dot->state = DOT_DOT;
				taken++;
				break;
			}
			/* fallthrough */
		case DOT_TEXT:
			taken += copy_text(dot, in + taken, len - taken, &out);
			break;
		case DOT_CR:
			taken += after_cr(dot, in[taken], &out);
			break;
		case DOT_DOT:
		case DOT_DOT_CR:
			taken += after_dot(dot, in[taken], &out);
			break;
		case DOT_DONE:
			break;
		}
	}
	dot->octets += taken;
	*out_len = (size_t)(out - out_start);
	assert(*out_len <= taken + DOT_OUT_EXTRA);
	return taken;
}
