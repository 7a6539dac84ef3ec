/*
 * One SASL attempt with one mechanism, by Cyrus SASL: makes responses out of
 * challenges, raw octets in both directions. It sends nothing and chooses
 * nothing: login.c does (one mechanism per attempt, an order of our own).
 *
 *	sasl_prepare() once per process tree, before forking
 *	sasl_start(), sasl_step()…, sasl_is_done(), sasl_free()
 */
#ifndef POPHAUL_FETCH_SASL_H
#define POPHAUL_FETCH_SASL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/secret.h"

/* Load the library with a wiping allocator and only the plug-ins we know. ERROR_SYSTEM. */
int sasl_prepare(struct error *err) __attribute__((warn_unused_result));

struct sasl_settings {
	const char *mechanism; /* one, upper case */
	const char *host;
	const char *user;
	const struct secret *password;
	unsigned key_bits;      /* of the TLS cipher, 0 in clear */
	const char *local_name; /* "ADDRESS;PORT" */
	const char *remote_name;
};

struct sasl_data {
	const char *data; /* borrowed until the next call; NULL: there is none (not even empty) */
	size_t len;
};

struct sasl;

/* Whether this installation has the mechanism at all. */
bool sasl_has_mechanism(const char *mechanism);

/*
 * Begin; `initial` gets the initial response, if the mechanism has one. NULL and ERROR_AUTH for a failure on
 * this side (nothing was sent: another mechanism may be tried). `settings` must outlive the result.
 */
struct sasl *sasl_start(const struct sasl_settings *settings, struct sasl_data *initial,
	struct error *err) __attribute__((warn_unused_result));

/* The answer to a decoded challenge. ERROR_AUTH: the exchange must be cancelled with "*". */
int sasl_step(struct sasl *sasl, const void *challenge, size_t len, struct sasl_data *response,
	struct error *err) __attribute__((warn_unused_result));

/* Whether +OK may be believed: false while a mechanism with mutual proof has not seen the server's (RFC 5802). */
bool sasl_is_done(const struct sasl *sasl);

/* NULL is fine. */
void sasl_free(struct sasl *sasl);

/* Base64 (RFC 4648 section 4). Encode: a new string that holds secrets, freed by sasl_free_encoded(). */
char *sasl_encode(const void *data, size_t len);
void sasl_free_encoded(char *text);

/* Strict decode into new memory (caller frees); -1, ERROR_PROTOCOL, for anything but canonical base64. */
int sasl_decode(const char *text, size_t len, char **data_out, size_t *len_out, struct error *err)
	__attribute__((warn_unused_result));

#endif
