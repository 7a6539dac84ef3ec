#include "base/json.h"

#include <stdint.h>

/* The octets of the UTF-8 character at `text` (RFC 3629 section 4), 0 when it is none. */
static size_t
utf8_length(const unsigned char *text)
{
	static const struct {
		size_t len;
		uint32_t least;
		unsigned char mask, lead;
	} forms[] = {
		{1, 0x0,     0x80, 0x00},
		{2, 0x80,    0xe0, 0xc0},
		{3, 0x800,   0xf0, 0xe0},
		{4, 0x10000, 0xf8, 0xf0},
	};

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		uint32_t point = text[0] & (unsigned char)~forms[i].mask;
		size_t at = 1;

		if ((text[0] & forms[i].mask) != forms[i].lead)
			continue;
		for (; at < forms[i].len && (text[at] & 0xc0) == 0x80; at++)
			point = point << 6 | (text[at] & 0x3f);
		if (at < forms[i].len || point < forms[i].least || point > 0x10ffff ||
			(point >= 0xd800 && point <= 0xdfff))
			return 0;
		return at;
	}
	return 0;
}

void
json_append_string(struct buf *out, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	buf_append_string(out, "\"");
	while (*p != '\0') {
		size_t len = utf8_length(p);

		if (len == 0)
			buf_append_string(out, "\\ufffd");
		else if (*p == '"' || *p == '\\')
			buf_printf(out, "\\%c", *p);
		else if (*p < 0x20 || *p == 0x7f)
			buf_printf(out, "\\u%04x", *p);
		else
			buf_append(out, p, len);
		p += len != 0 ? len : 1;
	}
	buf_append_string(out, "\"");
}
