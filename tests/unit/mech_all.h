/* For who tests logins: the SASL library with every plug-in that we know. */
#ifndef POPHAUL_TESTS_UNIT_MECH_ALL_H
#define POPHAUL_TESTS_UNIT_MECH_ALL_H

#include <stdbool.h>

#include "fetch/auth/sasl.h"

static inline bool
mech_wants_all(const char *mechanism, const void *context)
{
	(void)mechanism;
	(void)context;
	return true;
}

static const struct mech_wants mech_all = {.wants = mech_wants_all};

#endif
