/*
 * Base64 (RFC 4648 section 4), both ways.
 */
#ifndef POPHAUL_BASE_BASE64_H
#define POPHAUL_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* The value of a character of the alphabet; -1 for anything else, "=" too. */
int base64_value(char c);

/* A new string that may hold secrets; base64_free() wipes it, and takes NULL. */
char *base64_encode(const void *data, size_t len);
void base64_free(char *text);

/*
 * Strict: into new memory, NUL-terminated beyond its length (caller frees). False for anything but
 * what base64_encode() makes.
 */
bool base64_decode(const char *text, size_t len, char **data_out, size_t *len_out)
	__attribute__((warn_unused_result));

#endif
