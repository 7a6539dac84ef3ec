/*
 * The body of a multi-line reply (RFC 1939 section 3): finds the end mark,
 * takes the stuffed dots out and turns CRLF into LF, in one pass, however the
 * octets are cut into pieces. Pure: no I/O, no allocation.
 *
 * The end mark is exactly CRLF "." CRLF (at the very start: "." CRLF). A line
 * is what CRLF ends: after a bare LF a dot is text. Bare CR, bare LF, NUL and
 * 8-bit octets pass as they are.
 *
 * Start with dot_init(), then dot_feed() until it says done.
 */
#ifndef POPHAUL_FETCH_DOT_H
#define POPHAUL_FETCH_DOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dot_state {
	DOT_LINE_START, /* after CRLF, or at the start */
	DOT_TEXT,       /* inside a line */
	DOT_CR,         /* text, then CR */
	DOT_DOT,        /* line start, then "." */
	DOT_DOT_CR,     /* line start, then "." CR */
	DOT_DONE
};

struct dot {
	enum dot_state state;
	/* as LIST counts them: CRLF as two, no stuffed dots, no end mark; right once done */
	uint64_t octets;
};

/* What may come out of a feed beyond the octets put in: a held-back CR. */
#define DOT_OUT_EXTRA 1

void dot_init(struct dot *dot);

/*
 * Feed `len` octets; writes the text to `out`, which has room for len +
 * DOT_OUT_EXTRA octets, and its length to `out_len`. Returns how many octets of
 * `in` were taken: all, or, when the end mark was met (dot_is_done()), those up to and with it.
 */
size_t dot_feed(struct dot *dot, const char *in, size_t len, char *out, size_t *out_len);

bool dot_is_done(const struct dot *dot);

#endif
