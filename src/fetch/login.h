/*
 * The login: which mechanisms are tried, in which order, and what a refusal
 * means. The policy, in one place:
 *
 *	- the password is tried once; only a mechanism that failed before anything
 *	  of it was sent makes room for the next one;
 *	- without `auth` in the account, strong before weak: SCRAM, PLAIN, LOGIN,
 *	  CRAM-MD5, USER/PASS, as far as the server lists them; in clear CRAM-MD5 comes before
 *	  PLAIN; never APOP, DIGEST-MD5 or NTLM;
 *	- with `auth`, exactly what it names, in its order, listed or not.
 *
 * STLS, CAPA and UTF8 are behind us when it begins (session.c).
 */
#ifndef POPHAUL_FETCH_LOGIN_H
#define POPHAUL_FETCH_LOGIN_H

#include "base/error.h"
#include "base/secret.h"
#include "config/account.h"
#include "fetch/wire/conn.h"
#include "fetch/pop3_parse.h"

/* Room for a mechanism's name in logs. */
#define LOGIN_NAME_MAX 32

struct login {
	const struct account *account;
	const struct secret *password; /* may be unset: mechanisms that need one then fail here */
	const struct pop3_capabilities *caps;
	const char *timestamp; /* of the greeting, "" for none */
};

/*
 * Log in; `used_out` names the mechanism that was tried last. Errors: ERROR_CONFIG (a user
 * name or password that no command can carry), ERROR_AUTH, ERROR_SERVER_TEMP,
 * ERROR_SERVER_PERM by the server's answer, else the connection's.
 */
int login_run(struct conn *conn, const struct login *login, char used_out[static LOGIN_NAME_MAX],
	struct error *err) __attribute__((warn_unused_result));

#endif
