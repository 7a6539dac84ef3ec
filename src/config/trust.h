/*
 * What an account says about whom it trusts, as far as texts show it: the
 * forms of a pin, and which options make sense together. Whether a server is
 * trusted is decided in fetch/wire/tlstrust.h.
 */
#ifndef POPHAUL_CONFIG_TRUST_H
#define POPHAUL_CONFIG_TRUST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "config/account.h"

/*
 * A pin, the SHA-256 of a public key (RFC 7469 section 2.4), as 64 lower-case hex digits, from
 * "sha256//BASE64" as curl writes it, "sha256:HEX", or hex digits alone, with a colon between any
 * two octets or between none. NULL: ERROR_CONFIG. The caller frees.
 */
char *trust_parse_pin(const char *text, struct error *err) __attribute__((warn_unused_result));

/* Several of them, NULL-ended. */
char **trust_parse_pins(char *const *texts, size_t count, struct error *err)
	__attribute__((warn_unused_result));

/* Whether it is an URL of a PKCS#11 token (RFC 7512), not a path. */
bool trust_is_token_url(const char *text);

/* Whether a host is this machine for certain: 127.0.0.0/8, ::1 or localhost. */
bool trust_is_loopback(const char *host);

/*
 * Whether an account may go without TLS: it has it, or speaks to this machine, or says `cleartext`.
 * ERROR_CONFIG.
 */
int trust_check_cleartext(const struct account *account, struct error *err)
	__attribute__((warn_unused_result));

/* Whether the options that need another one have it. ERROR_CONFIG. */
int trust_check(const struct account *account, struct error *err)
	__attribute__((warn_unused_result));

#endif
