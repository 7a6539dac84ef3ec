/*
 * One SASL attempt with one mechanism, by Cyrus SASL: makes responses out of
 * challenges, raw octets in both directions. It sends nothing and chooses
 * nothing: login.c does (one mechanism per attempt, an order of our own).
 *
 *	mech_prepare() once per process tree, before forking
 *	mech_start(), mech_step()…, mech_is_done(), mech_free()
 *
 * The names begin with mech_ because the library itself owns sasl_encode(),
 * sasl_decode() and their kin.
 */
#ifndef POPHAUL_FETCH_AUTH_SASL_H
#define POPHAUL_FETCH_AUTH_SASL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/secret.h"

/* Which mechanisms are ever to be used: a plug-in that has none of them is not loaded. */
struct mech_wants {
	bool (*wants)(const char *mechanism, const void *context);
	const void *context;
};

/*
 * Load the library with a wiping allocator and only plug-ins that we know. Nothing the second time:
 * the mechanisms of the first call are what there is. ERROR_SYSTEM.
 */
int mech_prepare(const struct mech_wants *wants, struct error *err)
	__attribute__((warn_unused_result));

struct oauth_refusal;

struct mech_settings {
	const char *mechanism; /* one, upper case, as AUTH names it */
	const char *host;
	const char *user;
	const char *authorize_as;      /* the user to act for; NULL: `user` */
	const struct secret *password; /* or token */
	/*
	 * What the connection has to bind to, for a -PLUS mechanism. For SCRAM without -PLUS it
	 * makes the client say that it could have bound, so that a server whose offer of -PLUS got
	 * lost on the way notices (RFC 5802 section 6). NULL: nothing, or nobody shall know.
	 */
	const struct tls_binding *binding;
	unsigned key_bits;      /* of the TLS cipher, 0 in clear */
	const char *local_name; /* "ADDRESS;PORT" */
	const char *remote_name;
	struct oauth_refusal *refusal; /* filled when the server refuses a token; NULL: drop it */
};

struct mech_data {
	const char *data; /* borrowed until the next call; NULL: there is none (not even empty) */
	size_t len;
};

struct mech;

/* Whether this installation has the mechanism at all. */
bool mech_is_available(const char *mechanism);

/*
 * Begin; `initial` gets the initial response, if the mechanism has one. NULL and ERROR_AUTH for a
 * failure on this side (nothing was sent: another mechanism may be tried). `settings` must outlive
 * the result.
 */
struct mech *mech_start(const struct mech_settings *settings, struct mech_data *initial,
	struct error *err) __attribute__((warn_unused_result));

/* The answer to a decoded challenge. ERROR_AUTH: the exchange must be cancelled with "*". */
int mech_step(struct mech *mech, const void *challenge, size_t len, struct mech_data *response,
	struct error *err) __attribute__((warn_unused_result));

/*
 * Whether +OK may be believed: false while a mechanism with mutual proof has not seen the server's
 * (RFC 5802).
 */
bool mech_is_done(const struct mech *mech);

/* NULL is fine. */
void mech_free(struct mech *mech);

#endif
