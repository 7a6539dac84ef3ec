/*
 * Finds a login in the text of a ~/.netrc, as ftp(1) defined it: machine, default,
 * login, password, account, macdef; values may be quoted. Pure.
 */
#ifndef POPHAUL_CONFIG_SOURCE_NETRC_H
#define POPHAUL_CONFIG_SOURCE_NETRC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/secret.h"

/*
 * The password of the first entry for `host` (ASCII case does not count) whose
 * login is `user` or that has no login; `default` entries count for any host. False,
 * and `out` untouched, when there is none. It is what the file says, of any length,
 * perhaps empty or with line ends and NUL in it: to be checked. `out` NULL: only ask.
 */
bool netrc_find(
	const char *text, size_t len, const char *host, const char *user, struct secret *out);

#endif
