/*
 * The secrets of a login that is under way, so that a server that repeats what it was sent
 * ("-ERR unknown command: PASS ...") puts no password into a log or into cron's mail.
 *
 *	mask_add()      before the secret is sent
 *	mask_text()     whatever a server's text is shown in
 *	mask_forget()   the login is over
 *
 * A zeroed struct knows no secret. Texts are masked and not received lines: what a line means must
 * not depend on a password that is "+OK" or "AUTH".
 */
#ifndef POPHAUL_FETCH_WIRE_MASK_H
#define POPHAUL_FETCH_WIRE_MASK_H

#include <stddef.h>

#include "base/secret.h"

/* What stands in place of a secret. */
#define MASK_SHOWN "****"

struct mask {
	struct secret *secrets;
	size_t count;
};

/* Take a copy. An empty secret is none. */
void mask_add(struct mask *mask, const void *data, size_t len);

/*
 * Put asterisks in place of each secret in the `len` octets of `text`, in any case of letters; also
 * of the first octets of one, when that many are no chance or when the text ends behind them:
 * echoes get cut. A secret of less than 4 octets counts as a whole word only. Returns the new
 * length, which is no greater.
 */
size_t mask_text(const struct mask *mask, char *text, size_t len);

/* Wipe all. */
void mask_forget(struct mask *mask);

#endif
