/*
 * POP URLs (RFC 2384) in place of an account: pop://USER[;AUTH=MECHANISM]@HOST[:PORT].
 */
#ifndef POPHAUL_CONFIG_POPURL_H
#define POPHAUL_CONFIG_POPURL_H

#include <stdbool.h>

#include "base/error.h"
#include "config/account.h"

/* Whether an argument of the command line means a URL and not an account's name. */
bool popurl_is_url(const char *text);

/*
 * Fill a zeroed account with the options' defaults and what the URL says. TLS is
 * implicit, on port 995, unless the URL names port 110, which means STLS;
 * `tls` (one of the words of the option; may be NULL) overrides that and, where
 * the URL names none, the port. ";AUTH=+APOP" and ";AUTH=MECHANISM" are that
 * mechanism and no other, ";AUTH=*" is any. The name is USER@HOST, with other
 * letters replaced by '_' and "+PORT" behind it when the port is not the default of
 * the kind of TLS. A password, a path and the scheme "pops" are refused.
 * ERROR_USAGE; the account is empty then.
 */
int popurl_parse(const char *url, const char *tls, struct account *out, struct error *err)
	__attribute__((warn_unused_result));

#endif
