/*
 * The digest that settles what a UIDL cannot (man page, STATE): SHA-256 of a
 * message's octets as they are delivered, without anything that we add, cut to
 * its first 128 bits. By GnuTLS.
 */
#ifndef POPHAUL_BASE_DIGEST_H
#define POPHAUL_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define DIGEST_SIZE     16
#define DIGEST_HEX_SIZE (2 * DIGEST_SIZE + 1)

struct digest {
	uint8_t bytes[DIGEST_SIZE];
};

/* A running digest; opaque. digest_new() ends the process when GnuTLS has no SHA-256. */
struct digest_state;
struct digest_state *digest_new(void);
void digest_free(struct digest_state *state);

void digest_add(struct digest_state *state, const void *data, size_t len);

/* The digest of all that was added; the state then starts anew. */
void digest_finish(struct digest_state *state, struct digest *out);

/* 32 lower-case hex digits and a NUL. */
void digest_to_hex(const struct digest *digest, char out[static DIGEST_HEX_SIZE]);

/* The opposite, of exactly 32 hex digits; -1 (no error text) for anything else. */
int digest_from_hex(const char *hex, size_t len, struct digest *out)
	__attribute__((warn_unused_result));

/* Room for the 32 hex digits of an MD5 and a NUL. */
#define DIGEST_MD5_HEX_SIZE 33

/*
 * MD5 in lower-case hex, for APOP (RFC 1939 section 7) and nothing else. -1 (no
 * error text) where the system's policy forbids MD5.
 */
int digest_md5_hex(const void *data, size_t len, char out[static DIGEST_MD5_HEX_SIZE])
	__attribute__((warn_unused_result));

#endif
