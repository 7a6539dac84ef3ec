/*
 * The ways to log in that `auth` may name, and what each of them rests on: plain data, for who
 * reads the option, who asks for a password and who logs in. Which of them are tried, and in which
 * order, is fetch/auth/choice.c's.
 */
#ifndef POPHAUL_CONFIG_MECHANISM_H
#define POPHAUL_CONFIG_MECHANISM_H

#include <stdbool.h>

/* POP3's own ways to log in stand among the mechanisms of SASL under these names. */
#define MECHANISM_USER_PASS "USER"
#define MECHANISM_APOP      "APOP"

/* What proves who the user is. */
enum mechanism_proof {
	MECHANISM_PASSWORD,
	MECHANISM_TOKEN,       /* an OAuth 2 access token */
	MECHANISM_CERTIFICATE, /* the client's certificate in TLS */
	MECHANISM_TICKET       /* of Kerberos */
};

struct mechanism {
	const char *name;
	enum mechanism_proof proof;
	bool shows_proof; /* who listens has the password or token itself */
	bool needs_tls;   /* has no meaning without it, or must not be used */
	bool binds;       /* to the TLS connection (RFC 5802 section 6): its name ends in -PLUS */
	bool authorizes;  /* can say for whom the login is, if not for who logs in */
};

/* NULL when `name` (upper case) is none that we know. */
const struct mechanism *mechanism_find(const char *name);

/* Whether `name` is one whose proof is a token. */
bool mechanism_takes_token(const char *name);

/* Whether this one binds; false for those that we do not know, too. */
bool mechanism_binds(const char *name);

/* All their names, NULL-ended. */
extern const char *const mechanism_names[];

#endif
