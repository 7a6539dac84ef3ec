/*
 * One POP3 session of the test server: a correct server over the maildrop, where
 * the script does not say otherwise.
 */
#ifndef POPHAUL_TESTS_FAKEPOP_SESSION_H
#define POPHAUL_TESTS_FAKEPOP_SESSION_H

#include "io.h"
#include "maildrop.h"
#include "script.h"

/* From the greeting to the end of the process. `has_tls`: STLS is possible. */
_Noreturn void session_run(
	struct io *io, struct script *script, struct maildrop *drop, bool has_tls);

#endif
