/*
 * What has to be so in an account that logs in with an OAuth 2 access token, and in one that does
 * not. Only the whole of an account shows it.
 */
#ifndef POPHAUL_CONFIG_SOURCE_TOKEN_H
#define POPHAUL_CONFIG_SOURCE_TOKEN_H

#include "base/error.h"
#include "config/account.h"

/*
 * A token needs TLS (RFC 6750 section 5.3: whoever has it is the user) and the mechanisms for
 * tokens, and these need a token. ERROR_CONFIG.
 */
int token_check(const struct account *account, struct error *err)
	__attribute__((warn_unused_result));

#endif
