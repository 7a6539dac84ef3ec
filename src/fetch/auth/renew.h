/*
 * A fresh OAuth 2 token in place of one that the server has refused. This process may run no
 * command and open no file: the deliverer is asked, once in a session.
 */
#ifndef POPHAUL_FETCH_AUTH_RENEW_H
#define POPHAUL_FETCH_AUTH_RENEW_H

#include "base/error.h"
#include "base/secret.h"
#include "link/link.h"

/*
 * 1: `token` is another one; 0: it is the same again, or there is none, and it stays; -1: the
 * deliverer says something else (ERROR_INTERRUPTED: to stop) or is gone. Waits for as long as that
 * takes, which has an end: a command has its time limit.
 */
int renew_token(struct link *link, struct secret *token, struct error *err)
	__attribute__((warn_unused_result));

#endif
