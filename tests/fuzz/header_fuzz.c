/*
 * The first octets of a message: what is made of any octets for an envelope
 * and for a terminal is harmless, and depends on the header alone.
 */
#include "deliver/header.h"
#include "base/buf.h"
#include "fuzz.h"

static const char *const names[] = {"Return-Path", "From", "Subject", "Date", "X"};

/* Behind the first empty line nothing counts; without one, everything does. */
static size_t
header_len(const char *text, size_t len)
{
	const char *end;

	if (len != 0 && text[0] == '\n')
		return 1;
	end = memmem(text, len, "\n\n", 2);
	return end != NULL ? (size_t)(end - text) + 2 : len;
}

static void
check_sender(const char *text, size_t len)
{
	char sender[HEADER_SENDER_SIZE], again[HEADER_SENDER_SIZE];
	size_t sender_len;
	bool told = header_sender(text, len, sender);

	REQUIRE(header_sender(text, header_len(text, len), again) == told);
	if (!told)
		return;
	sender_len = strnlen(sender, sizeof sender);
	REQUIRE(sender_len < sizeof sender);
	REQUIRE(strcmp(sender, again) == 0);
	REQUIRE(sender[0] != '-');
	for (size_t i = 0; i < sender_len; i++)
		REQUIRE((unsigned char)sender[i] > ' ' && sender[i] != 0x7f);
}

/* The code point of the UTF-8 sequence at `text`, strictly by RFC 3629; 0 for none. */
static uint32_t
take_character(const char *text, size_t *len_out)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least;
	} kinds[] = {
		{0x80, 0x00, 0      },
		{0xe0, 0xc0, 0x80   },
		{0xf0, 0xe0, 0x800  },
		{0xf8, 0xf0, 0x10000},
	};
	const unsigned char *at = (const unsigned char *)text;

	for (size_t kind = 0; kind < 4; kind++) {
		uint32_t code = at[0] & (unsigned char)~kinds[kind].mask;

		if ((at[0] & kinds[kind].mask) != kinds[kind].lead)
			continue;
		for (size_t i = 1; i <= kind; i++) {
			if ((at[i] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | (at[i] & 0x3f);
		}
		if (code < kinds[kind].least || code > 0x10ffff ||
			(code >= 0xd800 && code <= 0xdfff))
			return 0;
		*len_out = kind + 1;
		return code;
	}
	return 0;
}

static void
check_shown(const char *text, size_t len, const char *name)
{
	char shown[HEADER_SHOWN_SIZE], again[HEADER_SHOWN_SIZE];
	size_t at = 0, step = 0;

	REQUIRE(header_show(text, len, name, shown) == shown);
	header_show(text, header_len(text, len), name, again);
	REQUIRE(strnlen(shown, sizeof shown) < sizeof shown);
	REQUIRE(strcmp(shown, again) == 0);
	while (shown[at] != '\0') {
		uint32_t code = take_character(shown + at, &step);

		/* No control, no C1, nothing that turns or hides text. */
		REQUIRE(code >= 0x20 && code != 0x7f && !(code >= 0x80 && code < 0xa0));
		REQUIRE(!(code >= 0x202a && code <= 0x202e) && !(code >= 0x2066 && code <= 0x2069));
		REQUIRE(code != 0x200e && code != 0x200f && code != 0xfeff && code != 0x2028 &&
			code != 0x2029);
		at += step;
	}
}

static void
check_found(const char *text, size_t len, const char *name)
{
	struct buf value = {0}, again = {0};
	bool found = header_find(text, len, name, &value);

	REQUIRE(value.len <= HEADER_VALUE_MAX);
	REQUIRE(found || value.len == 0);
	REQUIRE(header_find(text, header_len(text, len), name, &again) == found);
	REQUIRE(value.len == again.len);
	REQUIRE(memcmp(buf_data(&value), buf_data(&again), value.len) == 0);
	if (value.len != 0)
		REQUIRE(memchr(" \t", buf_data(&value)[0], 2) == NULL);
	buf_release(&value);
	buf_release(&again);
}

/* However a header is cut, it gives no error, and no name that is not there. */
static void
check_beginning(const char *text, size_t len, size_t cut)
{
	struct buf value = {0};
	char *part;

	if (cut > len)
		return;
	part = malloc(cut + 1);
	REQUIRE(part != NULL);
	memcpy(part, text, cut);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		bool in_part = header_find(part, cut, names[i], &value);

		buf_clear(&value);
		REQUIRE(!in_part || header_find(text, len, names[i], &value));
		check_shown(part, cut, names[i]);
		buf_clear(&value);
	}
	check_sender(part, cut);
	free(part);
	buf_release(&value);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed = {data, size};
	size_t cut = feed_u32(&feed) % 4096;
	const char *text = (const char *)feed.data;
	struct buf decoded = {0};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		check_found(text, feed.len, names[i]);
		check_shown(text, feed.len, names[i]);
	}
	check_sender(text, feed.len);
	check_beginning(text, feed.len, cut);
	header_decode(text, feed.len, &decoded);
	buf_release(&decoded);
	return 0;
}
