#include "base/base64.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/xalloc.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *
base64_encode(const void *data, size_t len)
{
	const unsigned char *in = data;
	char *text, *out;

	assert(len <= SIZE_MAX / 4);
	text = out = xcalloc((len + 2) / 3 * 4 + 1, 1);
	for (size_t i = 0; i < len; i += 3) {
		size_t left = len - i;
		uint32_t bits = (uint32_t)in[i] << 16;

		if (left > 1)
			bits |= (uint32_t)in[i + 1] << 8;
		if (left > 2)
			bits |= in[i + 2];
		*out++ = alphabet[bits >> 18];
		*out++ = alphabet[bits >> 12 & 63];
		*out++ = left > 1 ? alphabet[bits >> 6 & 63] : '=';
		*out++ = left > 2 ? alphabet[bits & 63] : '=';
	}
	return text;
}

void
base64_free(char *text)
{
	if (text != NULL)
		secret_wipe(text, strlen(text));
	free(text);
}

int
base64_value(char c)
{
	const char *at = c != '\0' ? strchr(alphabet, c) : NULL;

	return at != NULL ? (int)(at - alphabet) : -1;
}

/*
 * Four characters, the last `padding` of which are "=", to 3 - padding octets. False: a character
 * that does not belong there, or bits that the octets do not use and that are not zero.
 */
static bool
decode_group(const char group[static 4], size_t padding, char *out)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < 4; i++) {
		int value = i < 4 - padding ? base64_value(group[i]) : 0;

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
	}
	for (size_t i = 0; i < 3 - padding; i++)
		out[i] = (char)(bits >> (16 - 8 * i));
	return (bits & ((1U << 8 * padding) - 1)) == 0;
}

bool
base64_decode(const char *text, size_t len, char **data_out, size_t *len_out)
{
	char *data = xcalloc(len / 4 * 3 + 1, 1);
	size_t used = 0, padding = 0;
	bool ok = len % 4 == 0;

	while (ok && padding < 2 && padding < len && text[len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; ok && i < len; i += 4) {
		size_t here = i + 4 == len ? padding : 0;

		ok = decode_group(text + i, here, data + used);
		used += 3 - here;
	}
	if (!ok) {
		free(data);
		return false;
	}
	*data_out = data;
	*len_out = used;
	return true;
}
