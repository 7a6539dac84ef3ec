/*
 * Hexadecimal digits, both ways.
 */
#ifndef POPHAUL_BASE_HEX_H
#define POPHAUL_BASE_HEX_H

#include <stddef.h>

/* The value of a digit of either case; -1 for anything else. */
int hex_value(char c);

/* Two lower-case digits for each of `len` octets, and a NUL: `out` has room for 2 * len + 1. */
void hex_write(const void *data, size_t len, char *out);

#endif
