#include "deliver/header.h"

#include <errno.h>
#include <iconv.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/hex.h"

/* The longest encoded word; RFC 2047 section 2 says 75, mailers send more. */
#define WORD_MAX 1024

#define CHARSET_SIZE 24

/* U+FFFD, for octets that their charset does not have. */
#define REPLACEMENT "\xef\xbf\xbd"

/*
 * What is given to iconv(3). Not every charset that it has: the name comes from
 * a stranger, and the rarer converters of C libraries have a history of holes.
 */
static const char *const charsets[] = {
	"ISO-8859-1",
	"ISO-8859-2",
	"ISO-8859-3",
	"ISO-8859-4",
	"ISO-8859-5",
	"ISO-8859-6",
	"ISO-8859-7",
	"ISO-8859-8",
	"ISO-8859-9",
	"ISO-8859-10",
	"ISO-8859-13",
	"ISO-8859-14",
	"ISO-8859-15",
	"ISO-8859-16",
	"WINDOWS-1250",
	"WINDOWS-1251",
	"WINDOWS-1252",
	"WINDOWS-1253",
	"WINDOWS-1254",
	"WINDOWS-1255",
	"WINDOWS-1256",
	"WINDOWS-1257",
	"WINDOWS-1258",
	"KOI8-R",
	"KOI8-U",
	"GB2312",
	"GBK",
	"GB18030",
	"BIG5",
	"SHIFT_JIS",
	"EUC-JP",
	"ISO-2022-JP",
	"EUC-KR",
	"TIS-620",
};

struct line {
	const char *text;
	size_t len;
};

/* One line from the front of `rest`, without LF and a CR before it; false at the end. */
static bool
next_line(struct line *rest, struct line *line)
{
	const char *newline;

	if (rest->len == 0)
		return false;
	newline = memchr(rest->text, '\n', rest->len);
	line->text = rest->text;
	line->len = newline != NULL ? (size_t)(newline - rest->text) : rest->len;
	rest->text += line->len + (newline != NULL);
	rest->len -= line->len + (newline != NULL);
	if (line->len != 0 && line->text[line->len - 1] == '\r')
		line->len--;
	return true;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Where the value begins when the line is a field of that name, else 0. */
static size_t
match_name(const struct line *line, const char *name)
{
	size_t at = strlen(name);

	if (line->len <= at || strncasecmp(line->text, name, at) != 0)
		return 0;
	/* Space before the colon is obsolete but allowed (RFC 5322 section 4.5.8). */
	while (at < line->len && is_blank(line->text[at]))
		at++;
	return at < line->len && line->text[at] == ':' ? at + 1 : 0;
}

static void
append_bounded(struct buf *out, size_t limit, const char *text, size_t len)
{
	size_t room = out->len < limit ? limit - out->len : 0;

	buf_append(out, text, len < room ? len : room);
}

bool
header_find(const char *data, size_t len, const char *name, struct buf *out)
{
	struct line rest = {data, len}, line;
	size_t value = 0, begin = out->len, limit = out->len + HEADER_VALUE_MAX;

	while (value == 0) {
		if (!next_line(&rest, &line) || line.len == 0)
			return false;
		value = match_name(&line, name);
	}
	while (value < line.len && is_blank(line.text[value]))
		value++;
	append_bounded(out, limit, line.text + value, line.len - value);
	while (rest.len != 0 && is_blank(*rest.text) && next_line(&rest, &line)) {
		size_t skip = 0;

		/* A value that begins on the second line has no space in front either. */
		while (out->len == begin && skip < line.len && is_blank(line.text[skip]))
			skip++;
		append_bounded(out, limit, line.text + skip, line.len - skip);
	}
	while (out->len > begin && is_blank(buf_data(out)[out->len - 1]))
		out->len--;
	return true;
}

static bool
is_sender(const char *text, size_t len)
{
	if (len >= HEADER_SENDER_SIZE || (len != 0 && text[0] == '-'))
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c <= 0x20 || c == 0x7f || c == '<' || c == '>')
			return false;
	}
	return true;
}

bool
header_sender(const char *data, size_t len, char out[static HEADER_SENDER_SIZE])
{
	struct buf value = {0};
	const char *text, *close;
	bool is_found = false;
	size_t text_len;

	out[0] = '\0';
	if (header_find(data, len, "Return-Path", &value)) {
		text = buf_data(&value);
		text_len = value.len;
		if (text_len != 0 && *text == '<' &&
			(close = memchr(text, '>', text_len)) != NULL) {
			text++;
			text_len = (size_t)(close - text);
			is_found = is_sender(text, text_len);
		} else {
			/*
			 * Some servers leave the brackets out; without them nothing is no sender.
			 */
			is_found = text_len != 0 && is_sender(text, text_len);
		}
		if (is_found) {
			memcpy(out, text, text_len);
			out[text_len] = '\0';
		}
	}
	buf_release(&value);
	return is_found;
}

/* An encoded word: =?CHARSET?ENCODING?TEXT?= */
struct word {
	char charset[CHARSET_SIZE];
	char encoding; /* 'B' or 'Q' */
	const char *text;
	size_t text_len;
	size_t len; /* of the whole */
};

static const char *
find_octet(const char *from, const char *end, char c)
{
	return from < end ? memchr(from, c, (size_t)(end - from)) : NULL;
}

static bool
parse_word(const char *text, size_t len, struct word *word)
{
	const char *end = text + (len < WORD_MAX ? len : WORD_MAX);
	const char *charset = text + 2, *mark, *star, *close;
	size_t charset_len;

	if (len < 2 || memcmp(text, "=?", 2) != 0)
		return false;
	mark = find_octet(charset, end, '?');
	if (mark == NULL || end - mark < 3 || mark[2] != '?')
		return false;
	/* RFC 2231 section 5 adds a language: =?us-ascii*en?Q?hello?= */
	star = find_octet(charset, mark, '*');
	charset_len = (size_t)((star != NULL ? star : mark) - charset);
	word->encoding = (char)(mark[1] & ~0x20);
	if (charset_len == 0 || charset_len >= sizeof word->charset ||
		(word->encoding != 'B' && word->encoding != 'Q'))
		return false;
	memcpy(word->charset, charset, charset_len);
	word->charset[charset_len] = '\0';
	word->text = mark + 3;
	close = find_octet(word->text, end, '?');
	if (close == NULL || close + 1 == end || close[1] != '=')
		return false;
	word->text_len = (size_t)(close - word->text);
	word->len = (size_t)(close + 2 - text);
	return true;
}

static void
decode_q(const struct word *word, struct buf *out)
{
	for (size_t i = 0; i < word->text_len; i++) {
		char c = word->text[i] == '_' ? ' ' : word->text[i];
		int high, low;

		if (c == '=' && word->text_len - i > 2) {
			high = hex_value(word->text[i + 1]);
			low = hex_value(word->text[i + 2]);
			if (high >= 0 && low >= 0) {
				c = (char)(high << 4 | low);
				i += 2;
			}
		}
		buf_append(out, &c, 1);
	}
}

static void
decode_b(const struct word *word, struct buf *out)
{
	unsigned bits = 0, count = 0;

	for (size_t i = 0; i < word->text_len; i++) {
		int value = base64_value(word->text[i]);
		char octet;

		if (value < 0)
			continue;
		bits = (bits << 6 | (unsigned)value) & 0xffffff;
		count += 6;
		if (count < 8)
			continue;
		count -= 8;
		octet = (char)(bits >> count & 0xff);
		buf_append(out, &octet, 1);
	}
}

static bool
is_unicode(const char *charset)
{
	return strcasecmp(charset, "UTF-8") == 0 || strcasecmp(charset, "US-ASCII") == 0;
}

static const char *
known_charset(const char *charset)
{
	for (size_t i = 0; i < sizeof charsets / sizeof *charsets; i++)
		if (strcasecmp(charset, charsets[i]) == 0)
			return charsets[i];
	return NULL;
}

/* False: this C library has no such converter. */
static bool
convert(const char *charset, const char *octets, size_t len, struct buf *out)
{
	iconv_t converter = iconv_open("UTF-8", charset);
	char *in = (char *)octets;

	if (converter == (iconv_t)-1)
		return false;
	while (len != 0) {
		size_t room = 4 * len + 16, left = room;
		char *to = buf_reserve(out, room);
		size_t result = iconv(converter, &in, &len, &to, &left);

		buf_commit(out, room - left);
		if (result != (size_t)-1 || errno == E2BIG)
			continue;
		/* EILSEQ, or EINVAL at a character that is cut. */
		buf_append_string(out, REPLACEMENT);
		in++;
		len--;
	}
	iconv_close(converter);
	return true;
}

/*
 * Neighbouring words of one charset: mailers cut characters in two, so they are converted as one.
 */
struct run {
	char charset[CHARSET_SIZE];
	struct buf octets;
	const char *start, *end; /* in the text */
};

static void
end_run(struct run *run, struct buf *out)
{
	const char *charset;

	if (run->start == NULL)
		return;
	charset = known_charset(run->charset);
	if (is_unicode(run->charset))
		buf_append(out, buf_data(&run->octets), run->octets.len);
	else if (charset == NULL || !convert(charset, buf_data(&run->octets), run->octets.len, out))
		buf_append(out, run->start, (size_t)(run->end - run->start));
	buf_clear(&run->octets);
	run->start = NULL;
}

static void
add_to_run(struct run *run, const struct word *word, const char *at, struct buf *out)
{
	if (run->start != NULL && strcasecmp(run->charset, word->charset) != 0)
		end_run(run, out);
	if (run->start == NULL) {
		memcpy(run->charset, word->charset, sizeof run->charset);
		run->start = at;
	}
	run->end = at + word->len;
	if (word->encoding == 'B')
		decode_b(word, &run->octets);
	else
		decode_q(word, &run->octets);
}

void
header_decode(const char *text, size_t len, struct buf *out)
{
	struct run run = {.start = NULL};
	struct word word;

	for (size_t i = 0; i < len;) {
		size_t blanks = 0;

		if (parse_word(text + i, len - i, &word)) {
			add_to_run(&run, &word, text + i, out);
			i += word.len;
			continue;
		}
		/* Space between two words is not part of the text (RFC 2047 section 6.2). */
		while (run.start != NULL && i + blanks < len && is_blank(text[i + blanks]))
			blanks++;
		if (blanks == 0 || !parse_word(text + i + blanks, len - i - blanks, &word)) {
			end_run(&run, out);
			buf_append(out, text + i, blanks + (blanks == 0));
		}
		i += blanks + (blanks == 0);
	}
	end_run(&run, out);
	buf_release(&run.octets);
}

/* How many octets a character has that begins with this one; 0: none does. */
static size_t
utf8_width(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if ((first & 0xe0) == 0xc0)
		return 2;
	if ((first & 0xf0) == 0xe0)
		return 3;
	return (first & 0xf8) == 0xf0 ? 4 : 0;
}

/* The character at the front of UTF-8 text and its length, or 0: there is none (RFC 3629). */
static size_t
utf8_character(const unsigned char *text, size_t len, uint32_t *character_out)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t width = utf8_width(text[0]);
	uint32_t c;

	if (width == 0 || width > len)
		return 0;
	c = width == 1 ? text[0] : text[0] & (0x7fu >> width);
	for (size_t i = 1; i < width; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (text[i] & 0x3f);
	}
	if (c < least[width] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*character_out = c;
	return width;
}

/* Characters that a terminal obeys, or that turn or hide the text around them. */
static bool
is_dangerous(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{0,       0x1f   },
		{0x7f,    0x9f   },
		{0x61c,   0x61c  },
		{0x200b,  0x200b },
		{0x200e,  0x200f },
		{0x2028,  0x202e },
		{0x2060,  0x206f },
		{0xfeff,  0xfeff },
		{0xfff9,  0xfffb },
		{0xe0000, 0xe007f},
	};

	for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

/* One character, or octet that is none, as it may be shown; the octets taken. */
static size_t
show_one(const unsigned char *text, size_t len, char piece[static 16])
{
	uint32_t c = 0;
	size_t width = utf8_character(text, len, &c);

	if (width == 0 || (width == 1 && is_dangerous(c))) {
		snprintf(piece, 16, "\\x%02x", text[0]);
		return 1;
	}
	if (is_dangerous(c))
		snprintf(piece, 16, "\\u{%x}", (unsigned)c);
	else
		snprintf(piece, 16, "%.*s", (int)width, (const char *)text);
	return width;
}

static bool
is_space(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

const char *
header_show(const char *data, size_t len, const char *name, char out[static HEADER_SHOWN_SIZE])
{
	struct buf value = {0}, decoded = {0};
	const unsigned char *text;
	size_t used = 0, width;
	char piece[16];

	if (header_find(data, len, name, &value))
		header_decode(buf_data(&value), value.len, &decoded);
	text = (const unsigned char *)buf_data(&decoded);
	for (size_t i = 0; i < decoded.len; i += width) {
		bool is_blank_run = is_space(text[i]);

		width = is_blank_run ? 1 : show_one(text + i, decoded.len - i, piece);
		if (is_blank_run) {
			while (i + width < decoded.len && is_space(text[i + width]))
				width++;
			snprintf(piece, sizeof piece, "%s", used != 0 ? " " : "");
		}
		if (used + strlen(piece) > HEADER_SHOWN_MAX) {
			memcpy(out + used, "...", 3);
			used += 3;
			break;
		}
		memcpy(out + used, piece, strlen(piece));
		used += strlen(piece);
	}
	out[used] = '\0';
	buf_release(&value);
	buf_release(&decoded);
	return out;
}
