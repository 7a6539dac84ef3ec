#include "world.h"

#include <limits.h>
#include <poll.h>

#include "base/clock.h"
#include "fetch/cage/sandbox.h"
#include "fetch/wire/net.h"
#include "fuzz.h"

/* No case needs nearly as many: more is going round in circles. */
#define POLLS_MAX 1000000

#define MONOTONIC_BEGINNING 1000000

bool (*world_pump)(void);
int (*world_connect)(void);

static int64_t elapsed_ms;
static unsigned long polls;

/* The linker's names for poll(2) as the program calls it, and as the system has it. */
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout);

void
world_reset(void)
{
	world_pump = NULL;
	world_connect = NULL;
	elapsed_ms = 0;
	polls = 0;
}

void
world_pass(int64_t milliseconds)
{
	elapsed_ms += milliseconds;
}

int64_t
clock_monotonic_ms(void)
{
	return MONOTONIC_BEGINNING + elapsed_ms;
}

int64_t
clock_wall_seconds(void)
{
	return WORLD_BEGINNING + elapsed_ms / 1000;
}

int
clock_poll_timeout(int64_t deadline)
{
	int64_t left = deadline - clock_monotonic_ms();

	if (deadline == CLOCK_NEVER)
		return -1;
	if (left <= 0)
		return 0;
	return left < INT_MAX ? (int)left : INT_MAX;
}

int
__wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	int ready;

	if (world_pump == NULL)
		return __real_poll(fds, count, timeout);
	REQUIRE(polls++ < POLLS_MAX);
	do {
		ready = count == 0 ? 0 : __real_poll(fds, count, 0);
	} while (ready == 0 && world_pump());
	if (ready == 0 && count != 0)
		ready = __real_poll(fds, count, 0);
	if (ready != 0)
		return ready;
	/* Whoever waits here for ever would hang. */
	REQUIRE(timeout >= 0);
	world_pass(timeout);
	return 0;
}

int
net_connect(const struct net_target *target, struct error *err)
{
	int fd = world_connect != NULL ? world_connect() : -1;

	(void)target;
	if (fd < 0)
		return error_set(err, ERROR_NET, "nobody listens");
	return fd;
}

int
net_wait(int fd, short events, int64_t deadline, int watch_fd, struct error *err)
{
	struct pollfd fds[] = {
		{.fd = fd,       .events = events},
		{.fd = watch_fd, .events = POLLIN},
	};
	int ready = __wrap_poll(fds, 2, clock_poll_timeout(deadline));

	if (ready > 0 && fds[1].revents != 0)
		return net_set_interrupted(err);
	return ready > 0 ? 0 : error_set(err, ERROR_TIMEOUT, "timed out");
}

int
net_set_interrupted(struct error *err)
{
	return error_set(err, ERROR_INTERRUPTED, "interrupted");
}

void
net_name(int fd, bool remote, char out[static NET_NAME_SIZE])
{
	(void)fd;
	snprintf(out, NET_NAME_SIZE, "%s", remote ? "192.0.2.1;110" : "192.0.2.2;40000");
}

bool
net_is_address(const char *host)
{
	return host[0] >= '0' && host[0] <= '9';
}

void
sandbox_prepare(void)
{
}

int
sandbox_close_files(const struct account *account, struct sandbox_report *report, struct error *err)
{
	(void)account;
	(void)err;
	report->text[0] = '\0';
	return 0;
}

int
sandbox_close_all(const struct account *account, struct sandbox_report *report, struct error *err)
{
	return sandbox_close_files(account, report, err);
}
