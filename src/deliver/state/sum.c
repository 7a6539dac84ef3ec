#include "deliver/state/sum.h"

#include <stdbool.h>

#define POLYNOMIAL UINT32_C(0xedb88320)

/* Octets taken at once: a state of a million lines is read at every poll. */
#define STRIDE 8

/* tables[n][c]: what the octet c, with n zeros behind it, does to the sum. */
static uint32_t tables[STRIDE][256];
static bool has_tables;

static void
make_tables(void)
{
	for (uint32_t c = 0; c < 256; c++) {
		uint32_t value = c;

		for (int bit = 0; bit < 8; bit++)
			value = value >> 1 ^ ((value & 1) != 0 ? POLYNOMIAL : 0);
		tables[0][c] = value;
	}
	for (int n = 1; n < STRIDE; n++)
		for (int c = 0; c < 256; c++)
			tables[n][c] = tables[n - 1][c] >> 8 ^ tables[0][tables[n - 1][c] & 0xff];
	has_tables = true;
}

uint32_t
sum_add(uint32_t sum, const void *data, size_t len)
{
	const unsigned char *p = data;

	if (!has_tables)
		make_tables();
	sum = ~sum;
	for (; len >= STRIDE; p += STRIDE, len -= STRIDE)
		sum = tables[7][p[0] ^ (sum & 0xff)] ^ tables[6][p[1] ^ (sum >> 8 & 0xff)] ^
			tables[5][p[2] ^ (sum >> 16 & 0xff)] ^ tables[4][p[3] ^ sum >> 24] ^
			tables[3][p[4]] ^ tables[2][p[5]] ^ tables[1][p[6]] ^ tables[0][p[7]];
	for (; len != 0; p++, len--)
		sum = sum >> 8 ^ tables[0][*p ^ (sum & 0xff)];
	return ~sum;
}
