/*
 * The login: the candidates of auth/choice.h, one after the other, and what a refusal means. The
 * password is tried once; only a mechanism that failed before anything of it was sent makes room
 * for the next one.
 *
 * STLS, CAPA and UTF8 are behind us when it begins (session.c).
 */
#ifndef POPHAUL_FETCH_AUTH_LOGIN_H
#define POPHAUL_FETCH_AUTH_LOGIN_H

#include <stdbool.h>

#include "base/error.h"
#include "base/secret.h"
#include "config/account.h"
#include "fetch/pop3_parse.h"
#include "fetch/wire/conn.h"

/* Room for a mechanism's name in logs. */
#define LOGIN_NAME_MAX 32

struct login {
	const struct account *account;
	const struct secret *password; /* may be unset: mechanisms that need one then fail here */
	const struct pop3_capabilities *caps;
	const char *timestamp; /* of the greeting, "" for none */
	bool *wants_token;     /* out: a token was refused in a way that a fresh one may not be */
};

/*
 * The mechanism that login_run() would try first over this connection, which it leaves alone: that
 * of the policy, whatever else may be missing (a password, a ticket). NULL: there is none.
 * Borrowed.
 */
const char *login_choose(const struct conn *conn, const struct login *login);

/*
 * Log in; `used_out` names the mechanism that was tried last. Errors: ERROR_CONFIG (a user
 * name or password that no command can carry), ERROR_AUTH, ERROR_SERVER_TEMP,
 * ERROR_SERVER_PERM by the server's answer, else the connection's.
 */
int login_run(struct conn *conn, const struct login *login, char used_out[static LOGIN_NAME_MAX],
	struct error *err) __attribute__((warn_unused_result));

#endif
