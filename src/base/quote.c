#include "base/quote.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static size_t
escape_byte(char out[static 5], unsigned char c)
{
	switch (c) {
	case '\r':
		return (size_t)snprintf(out, 5, "\\r");
	case '\n':
		return (size_t)snprintf(out, 5, "\\n");
	case '\t':
		return (size_t)snprintf(out, 5, "\\t");
	case '\\':
		return (size_t)snprintf(out, 5, "\\\\");
	default:
		break;
	}
	if (c >= 0x20 && c <= 0x7e) {
		out[0] = (char)c;
		out[1] = '\0';
		return 1;
	}
	return (size_t)snprintf(out, 5, "\\x%02x", c);
}

const char *
quote_bytes(char out[static QUOTE_SIZE], const void *data, size_t len)
{
	return quote_bytes_into(out, QUOTE_SIZE, data, len);
}

const char *
quote_bytes_into(char *out, size_t size, const void *data, size_t len)
{
	const unsigned char *bytes = data;
	size_t used = 0, room;
	char one[5];

	assert(size >= 8);
	room = size - 4; /* for "..." and the NUL */
	for (size_t i = 0; i < len; i++) {
		size_t width = escape_byte(one, bytes[i]);

		if (used + width > room) {
			memcpy(out + used, "...", 3);
			used += 3;
			break;
		}
		memcpy(out + used, one, width);
		used += width;
	}
	out[used] = '\0';
	return out;
}

const char *
plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}
