/*
 * What this machine's name service needs beside DNS, by the "hosts" line of
 * nsswitch.conf(5): the cage must leave a user's host names as they are, and
 * nothing open that nobody needs.
 */
#ifndef POPHAUL_FETCH_CAGE_NSS_H
#define POPHAUL_FETCH_CAGE_NSS_H

#include <stddef.h>

enum nss_reach {
	NSS_DNS,     /* files, and name servers on port 53 */
	NSS_SOCKETS, /* and local sockets: nscd, systemd-resolved, Avahi, sssd … */
	NSS_ANYWHERE /* and ports that we do not know: NIS, WINS, a module of another's */
};

/* By the text of a nsswitch.conf, which need not end in NUL. */
enum nss_reach nss_reach_of(const char *text, size_t len);

/* Of this machine: the file is read, and nscd looked for, at each call. */
enum nss_reach nss_reach(void);

#endif
