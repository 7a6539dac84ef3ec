#include "base/digest.h"

#include <assert.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/hex.h"
#include "base/xalloc.h"

#define SHA256_SIZE 32

struct digest_state {
	gnutls_hash_hd_t hash;
};

struct digest_state *
digest_new(void)
{
	struct digest_state *state = xcalloc(1, sizeof *state);

	if (gnutls_hash_init(&state->hash, GNUTLS_DIG_SHA256) != 0) {
		fprintf(stderr, "pophaul: this GnuTLS offers no SHA-256\n");
		_Exit(EX_OSERR);
	}
	return state;
}

void
digest_free(struct digest_state *state)
{
	if (state == NULL)
		return;
	gnutls_hash_deinit(state->hash, NULL);
	free(state);
}

void
digest_add(struct digest_state *state, const void *data, size_t len)
{
	int result = len != 0 ? gnutls_hash(state->hash, data, len) : 0;

	assert(result == 0);
	(void)result;
}

void
digest_finish(struct digest_state *state, struct digest *out)
{
	uint8_t full[SHA256_SIZE];

	gnutls_hash_output(state->hash, full);
	memcpy(out->bytes, full, sizeof out->bytes);
}

void
digest_to_hex(const struct digest *digest, char out[static DIGEST_HEX_SIZE])
{
	hex_write(digest->bytes, DIGEST_SIZE, out);
}

int
digest_md5_hex(const void *data, size_t len, char out[static DIGEST_MD5_HEX_SIZE])
{
	uint8_t md5[16];

	if (gnutls_hash_fast(GNUTLS_DIG_MD5, data, len, md5) != 0)
		return -1;
	hex_write(md5, sizeof md5, out);
	return 0;
}

int
digest_from_hex(const char *hex, size_t len, struct digest *out)
{
	if (len != 2 * DIGEST_SIZE)
		return -1;
	for (size_t i = 0; i < DIGEST_SIZE; i++) {
		int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return -1;
		out->bytes[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}
