/*
 * The logins of the test server: USER/PASS, APOP, and AUTH with PLAIN, LOGIN and
 * CRAM-MD5. For SCRAM there is Dovecot.
 */
#ifndef POPHAUL_TESTS_FAKEPOP_AUTH_H
#define POPHAUL_TESTS_FAKEPOP_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include "io.h"
#include "script.h"

enum auth_result { AUTH_OK, AUTH_REFUSED, AUTH_CANCELLED, AUTH_UNKNOWN, AUTH_BROKEN };

bool auth_password(const struct script *script, const char *user, const char *password);

/* `digest` is hex, of the script's timestamp and password (RFC 1939 section 7). */
bool auth_apop(const struct script *script, const char *user, const char *digest);

/* The exchange after "AUTH " and `args`, without its final reply. */
enum auth_result auth_sasl(struct io *io, const struct script *script, const char *args);

#endif
