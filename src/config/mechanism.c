#include "config/mechanism.h"

#include <stddef.h>
#include <string.h>

/* name, proof, shows_proof, needs_tls, binds */
#define MECHANISMS(X)                                                                              \
	X("SCRAM-SHA-512-PLUS", MECHANISM_PASSWORD, false, true, true)                             \
	X("SCRAM-SHA-384-PLUS", MECHANISM_PASSWORD, false, true, true)                             \
	X("SCRAM-SHA-256-PLUS", MECHANISM_PASSWORD, false, true, true)                             \
	X("SCRAM-SHA-224-PLUS", MECHANISM_PASSWORD, false, true, true)                             \
	X("SCRAM-SHA-1-PLUS", MECHANISM_PASSWORD, false, true, true)                               \
	X("SCRAM-SHA-512", MECHANISM_PASSWORD, false, false, false)                                \
	X("SCRAM-SHA-384", MECHANISM_PASSWORD, false, false, false)                                \
	X("SCRAM-SHA-256", MECHANISM_PASSWORD, false, false, false)                                \
	X("SCRAM-SHA-224", MECHANISM_PASSWORD, false, false, false)                                \
	X("SCRAM-SHA-1", MECHANISM_PASSWORD, false, false, false)                                  \
	X("CRAM-MD5", MECHANISM_PASSWORD, false, false, false)                                     \
	X("PLAIN", MECHANISM_PASSWORD, true, false, false)                                         \
	X("LOGIN", MECHANISM_PASSWORD, true, false, false)                                         \
	X(MECHANISM_USER_PASS, MECHANISM_PASSWORD, true, false, false)                             \
	X(MECHANISM_APOP, MECHANISM_PASSWORD, false, false, false)                                 \
	X("EXTERNAL", MECHANISM_CERTIFICATE, false, true, false)                                   \
	X("GSSAPI", MECHANISM_TICKET, false, false, false)                                         \
	X("GS2-KRB5", MECHANISM_TICKET, false, false, false)                                       \
	X("GSS-SPNEGO", MECHANISM_TICKET, false, false, false)                                     \
	X("DIGEST-MD5", MECHANISM_PASSWORD, false, false, false)                                   \
	X("NTLM", MECHANISM_PASSWORD, false, false, false)

#define ROW(name, proof, shows_proof, needs_tls, binds)                                            \
	{name, proof, shows_proof, needs_tls, binds},
#define NAME(name, proof, shows_proof, needs_tls, binds) name,

static const struct mechanism mechanisms[] = {MECHANISMS(ROW)};

const char *const mechanism_names[] = {MECHANISMS(NAME) NULL};

const struct mechanism *
mechanism_find(const char *name)
{
	for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++) {
		if (strcmp(mechanisms[i].name, name) == 0)
			return &mechanisms[i];
	}
	return NULL;
}
