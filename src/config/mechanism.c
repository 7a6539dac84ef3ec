#include "config/mechanism.h"

#include <stddef.h>
#include <string.h>

/* name, proof, shows_proof, needs_tls, binds, authorizes */
#define MECHANISMS(X)                                                                              \
	X("SCRAM-SHA-512-PLUS", MECHANISM_PASSWORD, false, true, true, true)                       \
	X("SCRAM-SHA-384-PLUS", MECHANISM_PASSWORD, false, true, true, true)                       \
	X("SCRAM-SHA-256-PLUS", MECHANISM_PASSWORD, false, true, true, true)                       \
	X("SCRAM-SHA-224-PLUS", MECHANISM_PASSWORD, false, true, true, true)                       \
	X("SCRAM-SHA-1-PLUS", MECHANISM_PASSWORD, false, true, true, true)                         \
	X("SCRAM-SHA-512", MECHANISM_PASSWORD, false, false, false, true)                          \
	X("SCRAM-SHA-384", MECHANISM_PASSWORD, false, false, false, true)                          \
	X("SCRAM-SHA-256", MECHANISM_PASSWORD, false, false, false, true)                          \
	X("SCRAM-SHA-224", MECHANISM_PASSWORD, false, false, false, true)                          \
	X("SCRAM-SHA-1", MECHANISM_PASSWORD, false, false, false, true)                            \
	X("CRAM-MD5", MECHANISM_PASSWORD, false, false, false, false)                              \
	X("PLAIN", MECHANISM_PASSWORD, true, false, false, true)                                   \
	X("LOGIN", MECHANISM_PASSWORD, true, false, false, false)                                  \
	X(MECHANISM_USER_PASS, MECHANISM_PASSWORD, true, false, false, false)                      \
	X(MECHANISM_APOP, MECHANISM_PASSWORD, false, false, false, false)                          \
	X("EXTERNAL", MECHANISM_CERTIFICATE, false, true, false, true)                             \
	X("GSSAPI", MECHANISM_TICKET, false, false, false, true)                                   \
	X("GS2-KRB5", MECHANISM_TICKET, false, false, false, true)                                 \
	X("GSS-SPNEGO", MECHANISM_TICKET, false, false, false, true)                               \
	X("OAUTHBEARER", MECHANISM_TOKEN, true, true, false, true)                                 \
	X("XOAUTH2", MECHANISM_TOKEN, true, true, false, false)                                    \
	X("DIGEST-MD5", MECHANISM_PASSWORD, false, false, false, true)                             \
	X("NTLM", MECHANISM_PASSWORD, false, false, false, false)

#define ROW(name, proof, shows_proof, needs_tls, binds, authorizes)                                \
	{name, proof, shows_proof, needs_tls, binds, authorizes},
#define NAME(name, proof, shows_proof, needs_tls, binds, authorizes) name,

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

bool
mechanism_takes_token(const char *name)
{
	const struct mechanism *mechanism = mechanism_find(name);

	return mechanism != NULL && mechanism->proof == MECHANISM_TOKEN;
}

bool
mechanism_binds(const char *name)
{
	const struct mechanism *mechanism = mechanism_find(name);

	return mechanism != NULL && mechanism->binds;
}
