/*
 * Which mechanisms a login may use, and in which order: the policy alone, which sends nothing. The
 * order of `auth = "auto"`, where the server lists it and this side can do it:
 *
 *	- EXTERNAL, where the account has a client certificate;
 *	- SCRAM bound to the TLS connection (-PLUS), strong before weak, unless the server is known
 *	  to bind otherwise;
 *	- SCRAM, strong before weak;
 *	- PLAIN, LOGIN, CRAM-MD5, USER/PASS; in clear CRAM-MD5 comes before PLAIN.
 *
 * With a token, only OAUTHBEARER and XOAUTH2, in this order. On behalf of another user
 * (`authorize-as`), none that cannot say so: it would open the mailbox of who logs in.
 *
 * Never by itself: APOP, DIGEST-MD5 and NTLM, which are weak, and those of Kerberos, for which
 * somebody has to have got a ticket. With `auth`, exactly what it names, in its order, listed or
 * not.
 */
#ifndef POPHAUL_FETCH_AUTH_CHOICE_H
#define POPHAUL_FETCH_AUTH_CHOICE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "config/account.h"
#include "fetch/pop3_parse.h"
#include "fetch/wire/tls.h"

/* More than the automatic orders have, and than an account can sensibly name. */
#define CHOICE_MAX 32

struct choice {
	const struct account *account;
	const struct pop3_capabilities *caps;
	bool is_secure;                    /* TLS protects the connection */
	bool has_certificate;              /* the account has one to show in TLS */
	const struct tls_binding *binding; /* what SCRAM can be bound to; NULL: nothing */
};

/*
 * Whether a login of this account may ever come to this mechanism, whatever its server lists and
 * whether it has TLS.
 */
bool choice_may_try(const struct account *account, const char *name);

/* The candidates in their order, borrowed names; their count. */
size_t choice_list(const struct choice *choice, const char *out[static CHOICE_MAX]);

/*
 * Whether this one may be used over this connection: 0, or -1 and ERROR_AUTH that says what it
 * lacks. Those of the automatic order may.
 */
int choice_allows(const struct choice *choice, const char *name, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Whether SCRAM under this name, without -PLUS, is to say that this side could have bound it to the
 * TLS connection: where the account would have taken -PLUS and the server has listed none. One that
 * has it and did not get to say so then breaks off. An account that names only mechanisms without
 * -PLUS wants no binding: its server may stand behind a proxy that ends TLS and tells it nothing.
 */
bool choice_could_bind(const struct choice *choice, const char *name);

/* The first candidate that may be used and is installed; NULL: there is none. */
const char *choice_first(const struct choice *choice);

#endif
