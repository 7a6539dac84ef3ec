#include "fetch/dot.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

/* Input octets, the text they are, how many of them belong to the body, and whether it ended. */
static const struct dot_case {
	const char *name;
	const char *in;
	size_t in_len;
	const char *text;
	size_t text_len;
	size_t taken;
	bool is_done;
} cases[] = {
#define CASE(name, body, rest, text)                                                               \
	{                                                                                          \
		name, body rest, sizeof(body rest) - 1, text, sizeof(text) - 1, sizeof(body) - 1,  \
			true                                                                       \
	}
#define OPEN(name, body, text)                                                                     \
	{                                                                                          \
		name, body, sizeof(body) - 1, text, sizeof(text) - 1, sizeof(body) - 1, false      \
	}
	CASE("an empty body is a dot at once", ".\r\n", "", ""),
	CASE("an empty line", "\r\n.\r\n", "", "\n"),
	CASE("one line", "a\r\n.\r\n", "", "a\n"),
	CASE("what follows the end mark is left", "a\r\n.\r\n", "+OK\r\n.\r\n", "a\n"),
	CASE("what follows an empty body is left", ".\r\n", ".\r\n", ""),
	CASE("a stuffed dot", "..\r\n.\r\n", "", ".\n"),
	CASE("two dots and text", "..a\r\n.\r\n", "", ".a\n"),
	CASE("three dots", "...\r\n.\r\n", "", "..\n"),
	CASE("a dot that was not stuffed is taken out all the same", ".a\r\n.\r\n", "", "a\n"),
	CASE("a stuffed line that holds the end mark's text", "..\r\n..\r\n.\r\n", "", ".\n.\n"),
	CASE("a dot inside a line stays", "a.\r\na..b\r\n.\r\n", "", "a.\na..b\n"),
	CASE("a dot behind a bare LF stays", "a\n.b\r\n.\r\n", "", "a\n.b\n"),
	CASE("a dot line between bare LFs is text", "a\n.\nb\r\n.\r\n", "", "a\n.\nb\n"),
	CASE("LF . CRLF is text", "a\n.\r\nb\r\n.\r\n", "", "a\n.\nb\n"),
	CASE("CRLF . LF is no end", "a\r\n.\nb\r\n.\r\n", "", "a\n\nb\n"),
	CASE("CRLF . CR text is no end", "a\r\n.\rb\r\n.\r\n", "", "a\n\rb\n"),
	CASE("CRLF . CR CR LF is no end", "a\r\n.\r\r\nb\r\n.\r\n", "", "a\n\r\nb\n"),
	CASE("CRLF . CR . CRLF is no end", "a\r\n.\r.\r\n.\r\n", "", "a\n\r.\n"),
	CASE("CRLF .. CRLF . CRLF", "\r\n..\r\n.\r\n", "", "\n.\n"),
	CASE("a bare CR stays", "a\rb\r\n.\r\n", "", "a\rb\n"),
	CASE("CR CR LF keeps one CR", "a\r\r\n.\r\n", "", "a\r\n"),
	CASE("CR CR CR text", "\r\r\ra\r\n.\r\n", "", "\r\r\ra\n"),
	CASE("CR at a line's start", "\ra\r\n.\r\n", "", "\ra\n"),
	CASE("CR . CRLF is text", "a\r.\r\n.\r\n", "", "a\r.\n"),
	CASE("bare LFs alone", "\n\n\r\n.\r\n", "", "\n\n\n"),
	CASE("NUL is an octet", "a\0b\0\r\n\0.\r\n.\r\n", "", "a\0b\0\n\0.\n"),
	CASE("8-bit octets", "\xff\x80\xe4\r\n.\r\n", "", "\xff\x80\xe4\n"),
	OPEN("no octets", "", ""),
	OPEN("a line without its end", "abc", "abc"),
	OPEN("a CR is held back", "abc\r", "abc"),
	OPEN("a dot is held back", "a\r\n.", "a\n"),
	OPEN("a dot and a CR are held back", "a\r\n.\r", "a\n"),
};

#define CASE_COUNT (sizeof cases / sizeof *cases)

/* Feed `in` in pieces: first `first` octets, then `step` at a time. */
/* What LIST would tell of the message: its text with CRLF for each line end that was one. */
static uint64_t
listed_octets(const struct dot_case *c)
{
	uint64_t octets = c->text_len;

	for (size_t i = 0; i + 3 < c->taken; i++)
		octets += memcmp(c->in + i, "\r\n", 2) == 0;
	return octets;
}

static void
feed(const struct dot_case *c, size_t first, size_t step)
{
	struct dot dot;
	size_t out_len, total = 0, at = 0, piece = first, got;
	char *out = malloc(c->in_len + DOT_OUT_EXTRA);

	dot_init(&dot);
	while (at < c->in_len && !dot_is_done(&dot)) {
		/* A copy of just that size, so that a sanitizer sees what goes beyond. */
		char *exact, *room;

		if (piece > c->in_len - at)
			piece = c->in_len - at;
		exact = malloc(piece + 1);
		room = malloc(piece + DOT_OUT_EXTRA);
		memcpy(exact, c->in + at, piece);
		got = dot_feed(&dot, exact, piece, room, &out_len);
		CHECK(out_len <= piece + DOT_OUT_EXTRA);
		CHECK(got == piece || dot_is_done(&dot));
		memcpy(out + total, room, out_len);
		total += out_len;
		at += got;
		free(exact);
		free(room);
		piece = step;
	}
	if (!CHECK_BYTES(out, total, c->text, c->text_len) || !CHECK(at == c->taken) ||
		!CHECK(dot_is_done(&dot) == c->is_done))
		fprintf(stderr, "\tin \"%s\", first %zu, then %zu\n", c->name, first, step);
	if (c->is_done && !CHECK(dot.octets == listed_octets(c)))
		fprintf(stderr, "\tin \"%s\", first %zu, then %zu\n", c->name, first, step);
	free(out);
}

static void
test_table(void)
{
	for (size_t i = 0; i < CASE_COUNT; i++) {
		feed(&cases[i], cases[i].in_len, 1);
		feed(&cases[i], 1, 1);
		for (size_t split = 0; split <= cases[i].in_len; split++)
			feed(&cases[i], split, cases[i].in_len);
		for (size_t step = 2; step < 6; step++)
			feed(&cases[i], step, step);
	}
}

/* The state after each octet, so that none can be left out or confused with another. */
static void
test_states(void)
{
	static const struct {
		const char *in;
		enum dot_state state;
	} steps[] = {
		{"",                 DOT_LINE_START},
		{"a",                DOT_TEXT      },
		{"\r",               DOT_CR        },
		{"\n",               DOT_TEXT      },
		{".",                DOT_DOT       },
		{"a\r",              DOT_CR        },
		{"a\r\r",            DOT_CR        },
		{"a\rb",             DOT_TEXT      },
		{"a\r\n",            DOT_LINE_START},
		{"a\r\n.",           DOT_DOT       },
		{"a\r\n..",          DOT_TEXT      },
		{"a\r\n.\n",         DOT_TEXT      },
		{"a\r\n.\r",         DOT_DOT_CR    },
		{"a\r\n.\rb",        DOT_TEXT      },
		{"a\r\n.\r\r",       DOT_CR        },
		{"a\r\n.\r\r\n",     DOT_LINE_START},
		{"a\r\n.\r\n",       DOT_DONE      },
		{".\r\n",            DOT_DONE      },
		{".\r\nmore\r\n.\r", DOT_DONE      },
	};
	char out[64];
	size_t out_len;

	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		struct dot dot;

		dot_init(&dot);
		dot_feed(&dot, steps[i].in, strlen(steps[i].in), out, &out_len);
		if (!CHECK(dot.state == steps[i].state))
			fprintf(stderr, "\tstep %zu\n", i);
	}
}

static void
test_nothing_is_taken_after_the_end(void)
{
	struct dot dot;
	char out[16];
	size_t out_len = 99;

	dot_init(&dot);
	CHECK(dot_feed(&dot, ".\r\n", 3, out, &out_len) == 3);
	CHECK(dot_feed(&dot, "x", 1, out, &out_len) == 0);
	CHECK(out_len == 0);
	dot_init(&dot);
	CHECK(!dot_is_done(&dot));
	CHECK(dot_feed(&dot, "x", 1, out, &out_len) == 1);
	CHECK_BYTES(out, out_len, "x", 1);
}

/* A line far longer than any buffer, with a CR, a dot or both at each edge of the pieces. */
static void
test_long_lines(void)
{
	enum { LINE = 70000 };
	struct dot_case c = {.name = "a long line", .is_done = true};
	char *in = malloc(2 * LINE + 16), *text = malloc(2 * LINE + 16);
	size_t in_len = 0, text_len = 0;

	for (size_t i = 0; i < LINE; i++)
		in[in_len++] = text[text_len++] = i % 1000 == 999 ? '\r' : i % 7 == 0 ? '.' : 'x';
	memcpy(text + text_len, "\n", 1);
	memcpy(in + in_len, "\r\n.", 3);
	text_len++;
	in_len += 3;
	in[in_len++] = text[text_len++] = '.';
	memset(in + in_len, 'y', LINE);
	memset(text + text_len, 'y', LINE);
	in_len += LINE;
	text_len += LINE;
	memcpy(in + in_len, "\r\n.\r\n", 5);
	in_len += 5;
	text[text_len++] = '\n';

	/* The first octet is a dot at a line's start: it is stuffing here. */
	c.in = in;
	c.in_len = c.taken = in_len;
	c.text = text + 1;
	c.text_len = text_len - 1;
	feed(&c, in_len, 1);
	feed(&c, 1, 1);
	for (size_t step = 997; step < 1003; step++)
		feed(&c, step, step);
	feed(&c, LINE, 1);
	feed(&c, LINE + 1, 1);
	feed(&c, LINE + 2, 1);
	free(in);
	free(text);
}

int
main(void)
{
	test_table();
	test_states();
	test_nothing_is_taken_after_the_end();
	test_long_lines();
	return check_done();
}
