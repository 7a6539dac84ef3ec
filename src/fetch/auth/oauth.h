/*
 * OAUTHBEARER (RFC 7628) and XOAUTH2 (Google's, Microsoft's and Yahoo's forerunner of it) as a
 * SASL plug-in of our own, for Cyrus SASL has neither; and what a server says against a token.
 *
 *	oauth_register()        once, behind sasl_client_init()
 *	sasl.c                  as with any other mechanism; the password is the token
 *	oauth_refusal_read()    the challenge in which a server refuses it
 *	oauth_refusal_show(), oauth_refusal_may_pass()
 *
 * A token is a secret that proves all by itself: neither mechanism begins without TLS.
 */
#ifndef POPHAUL_FETCH_AUTH_OAUTH_H
#define POPHAUL_FETCH_AUTH_OAUTH_H

#include <stdbool.h>
#include <stddef.h>

/* Most octets of either word of a server's that are kept. */
#define OAUTH_WORD_SIZE 128

/* Room for what oauth_refusal_show() says: two words, each octet quoted. */
#define OAUTH_SHOWN_SIZE 320

/* What a server has said about a token; zeroed, it has said nothing. */
struct oauth_refusal {
	bool is_set;                  /* there was such a challenge */
	char status[OAUTH_WORD_SIZE]; /* "invalid_token", "401", ""; octets of the server's */
	char scope[OAUTH_WORD_SIZE];  /* that the token should have had; the same */
};

/* Give the library both mechanisms; the result is one of its codes. */
int oauth_register(void);

/* The challenge, decoded: JSON (RFC 7628 section 3.2.2), or anything. */
void oauth_refusal_read(struct oauth_refusal *refusal, const char *text, size_t len);

/*
 * `status "401", scope "https://..."`, fit for a terminal, into `out`; "" when there is nothing to
 * show.
 */
const char *oauth_refusal_show(
	const struct oauth_refusal *refusal, char out[static OAUTH_SHOWN_SIZE]);

/*
 * Whether a fresh token may be accepted where this one was refused: not when the token is good and
 * its rights do not reach.
 */
bool oauth_refusal_may_pass(const struct oauth_refusal *refusal);

#endif
