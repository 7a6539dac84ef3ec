#include "fetch/wire/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

/* glibc tells "no such name" from "a name without addresses"; others do not. */
#ifndef EAI_NODATA
#define EAI_NODATA EAI_NONAME
#endif

/* Room for an IPv6 address with a zone. */
#define ADDRESS_SIZE (NET_NAME_SIZE - sizeof ";65535")

bool
net_is_address(const char *host)
{
	struct in6_addr address;

	/* Only IPv6 addresses have colons, with or without a zone ("fe80::1%eth0"). */
	return strchr(host, ':') != NULL || inet_pton(AF_INET, host, &address) == 1;
}

int
net_set_interrupted(struct error *err)
{
	return error_set(err, ERROR_INTERRUPTED, "told to stop");
}

int
net_wait(int fd, short events, int64_t deadline, int watch_fd, struct error *err)
{
	struct pollfd fds[] = {
		{.fd = fd,       .events = events},
		{.fd = watch_fd, .events = POLLIN},
	};
	int ready;

	for (;;) {
		ready = poll(fds, 2, clock_poll_timeout(deadline));
		if (ready < 0 && errno != EINTR)
			return error_set_errno(err, ERROR_SYSTEM, "poll");
		if (ready > 0 && fds[1].revents != 0)
			return net_set_interrupted(err);
		if (ready > 0)
			return 0;
		if (clock_monotonic_ms() >= deadline)
			return error_set(err, ERROR_TIMEOUT, "timed out");
	}
}

/* What getaddrinfo(3) says, and what a person can do about it. */
static int
lookup_error(int code, struct error *err)
{
	if (code == EAI_NONAME || code == EAI_NODATA)
		return error_set(err, ERROR_NET,
			"the host name has no address: check its spelling in the configuration");
	if (code == EAI_AGAIN)
		return error_set(err, ERROR_NET,
			"the host name cannot be looked up now: no answer from a name server "
			"(check the network and /etc/resolv.conf)");
	if (code == EAI_SYSTEM)
		return error_set_errno(err, ERROR_NET, "the host name cannot be looked up");
	return error_set(
		err, ERROR_NET, "the host name cannot be looked up: %s", gai_strerror(code));
}

static int
look_up(const struct net_target *target, struct addrinfo **list_out, struct error *err)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_protocol = IPPROTO_TCP,
		.ai_flags = AI_NUMERICSERV,
	};
	char port[8];
	int code;

	snprintf(port, sizeof port, "%u", target->port);
	code = getaddrinfo(target->host, port, &hints, list_out);
	if (code != 0)
		return lookup_error(code, err);
	return 0;
}

/* Both save time or find a dead peer sooner; a kernel that refuses them must not cost the mail. */
static void
set_options(int fd)
{
	int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

/* Wait for the connection's end, good or bad; -1 and ERROR_NET: the kernel's reason. */
static int
finish_connect(int fd, int64_t deadline, int watch_fd, struct error *err)
{
	int reason = 0;
	socklen_t len = sizeof reason;

	if (net_wait(fd, POLLOUT, deadline, watch_fd, err) != 0)
		return -1;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &reason, &len) != 0)
		return error_set_errno(err, ERROR_SYSTEM, "getsockopt");
	if (reason != 0)
		return error_set(err, ERROR_NET, "%s", strerror(reason));
	return 0;
}

/* One address. The error's text is the bare reason. */
static int
connect_one(const struct addrinfo *address, int64_t deadline, int watch_fd, struct error *err)
{
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		address->ai_protocol);

	if (fd < 0)
		return error_set(err, ERROR_NET, "%s", strerror(errno));
	set_options(fd);
	if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
		return fd;
	/* EINTR leaves the connection under way, as EINPROGRESS does. */
	if (errno != EINPROGRESS && errno != EINTR)
		error_set(err, ERROR_NET, "%s", strerror(errno));
	else if (finish_connect(fd, deadline, watch_fd, err) == 0)
		return fd;
	close(fd);
	return -1;
}

/* One more "'ADDRESS': reason" for the text that is shown when all have failed. */
static void
add_reason(struct buf *reasons, const struct addrinfo *address, const char *reason)
{
	char text[ADDRESS_SIZE];

	if (getnameinfo(address->ai_addr, address->ai_addrlen, text, sizeof text, NULL, 0,
		    NI_NUMERICHOST) != 0)
		snprintf(text, sizeof text, "unknown");
	buf_printf(reasons, "%s'%s': %s", reasons->len != 0 ? "; " : "", text, reason);
}

static size_t
count_addresses(const struct addrinfo *list)
{
	size_t count = 0;

	for (; list != NULL && count < NET_ADDRESSES_MAX; list = list->ai_next)
		count++;
	return count;
}

/*
 * Try each address; each may use an equal share of the time left, so that a dead one leaves some
 * for the next. What failed where is collected in `reasons`.
 */
static int
connect_any(const struct net_target *target, const struct addrinfo *list, struct buf *reasons,
	struct error *err)
{
	bool all_timed_out = true;
	struct error one;

	for (size_t left = count_addresses(list); left != 0; left--, list = list->ai_next) {
		int64_t now = clock_monotonic_ms();
		int64_t share =
			target->deadline > now ? (target->deadline - now) / (int64_t)left : 0;
		int fd = connect_one(list, now + share, target->watch_fd, &one);

		if (fd >= 0)
			return fd;
		if (one.class == ERROR_INTERRUPTED || one.class == ERROR_SYSTEM) {
			*err = one;
			return -1;
		}
		all_timed_out = all_timed_out && one.class == ERROR_TIMEOUT;
		add_reason(reasons, list, one.text);
	}
	return error_set(err, all_timed_out ? ERROR_TIMEOUT : ERROR_NET,
		"cannot connect to port %u: %.*s", target->port, (int)reasons->len,
		buf_data(reasons));
}

int
net_connect(const struct net_target *target, struct error *err)
{
	struct addrinfo *list = NULL;
	struct buf reasons = {0};
	int fd;

	if (look_up(target, &list, err) != 0)
		return -1;
	fd = connect_any(target, list, &reasons, err);
	buf_release(&reasons);
	freeaddrinfo(list);
	return fd;
}

void
net_name(int fd, bool remote, char out[static NET_NAME_SIZE])
{
	struct sockaddr_storage address;
	socklen_t len = sizeof address;
	char host[ADDRESS_SIZE], port[sizeof "65535"];
	int failed;

	out[0] = '\0';
	failed = remote ? getpeername(fd, (struct sockaddr *)&address, &len)
			: getsockname(fd, (struct sockaddr *)&address, &len);
	if (failed != 0 ||
		getnameinfo((struct sockaddr *)&address, len, host, sizeof host, port, sizeof port,
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return;
	snprintf(out, NET_NAME_SIZE, "%s;%s", host, port);
}
