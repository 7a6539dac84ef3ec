/*
 * What a server tells before a login, for --server-info: a session of its own that goes no further,
 * and ends with QUIT. It needs no password, and asks the server for nothing but CAPA and STLS.
 */
#ifndef POPHAUL_FETCH_SURVEY_H
#define POPHAUL_FETCH_SURVEY_H

#include "base/error.h"
#include "config/account.h"
#include "link/link.h"

/*
 * Look, and tell in LINK_INFO, which has what was found in any case, up to where it failed. Errors
 * as session_open()'s before the login: ERROR_TLS where the server would not be let in.
 */
int survey_run(const struct account *account, struct link *link, struct error *err)
	__attribute__((warn_unused_result));

#endif
