/*
 * TCP to a host name: looks it up, tries its addresses in turn, waits with
 * deadlines. It knows sockets and nothing of what goes over them.
 *
 * The lookup is getaddrinfo(3), the one wait here that no poll(2) can end: the
 * resolver's own limits apply to it (resolv.conf(5), about 5 s a name server),
 * and what it took is gone from the deadline.
 *
 * Texts name addresses but not the host: the caller puts that in front.
 */
#ifndef POPHAUL_FETCH_WIRE_NET_H
#define POPHAUL_FETCH_WIRE_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Addresses of one name that are tried; a name server may list any number. */
#define NET_ADDRESSES_MAX 16

/* Room for "ADDRESS;PORT" and a NUL, of an IPv6 address with a zone. */
#define NET_NAME_SIZE 80

struct net_target {
	const char *host; /* DNS name, IPv4 or IPv6 literal without brackets */
	uint16_t port;
	int64_t deadline; /* clock.h: for all addresses together; each gets a fair share of it */
	int watch_fd;     /* readable or closed: give up with ERROR_INTERRUPTED; -1: none */
};

/*
 * A connected socket: non-blocking, close-on-exec, without Nagle's delay, with keep-alive. -1:
 * ERROR_NET (the text lists what failed at which address), ERROR_TIMEOUT, ERROR_INTERRUPTED.
 */
int net_connect(const struct net_target *target, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Wait until `fd` is ready for `events` (poll(2); a hang-up or error counts). 0, or -1:
 * ERROR_TIMEOUT ("timed out"), ERROR_INTERRUPTED, ERROR_SYSTEM.
 */
int net_wait(int fd, short events, int64_t deadline, int watch_fd, struct error *err)
	__attribute__((warn_unused_result));

/* Fill in that the watched descriptor ended a wait. Returns -1. */
int net_set_interrupted(struct error *err);

/* "ADDRESS;PORT" of this or the other end, as SASL wants it; "" when the socket has none. */
void net_name(int fd, bool remote, char out[static NET_NAME_SIZE]);

/* Whether `host` is an address and no name: such hosts are not told by SNI (RFC 6066 section 3). */
bool net_is_address(const char *host);

#endif
