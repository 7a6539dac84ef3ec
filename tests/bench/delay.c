/*
 * delay TO-PORT MILLISECONDS READY-FILE STATS-FILE: a TCP proxy on a free port of 127.0.0.1 in
 * front of another, that hands on each octet so many milliseconds after it came, in both
 * directions: a round trip takes twice that. Any number of connections, megabytes in flight: it
 * delays, and never throttles. READY-FILE gets the port.
 *
 * STATS-FILE gets a line "open" when a connection begins, and one when it ends: how often the
 * client spoke after it had heard something new (its turns), and the octets to and from the client.
 * A round trip for the connection itself comes on top of the turns; the proxy accepts at once, and
 * makes up for the time of it by holding back what is said first.
 *
 * It ends with the process that started it.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

/* What one read takes. */
#define CHUNK_SIZE 65536

/*
 * What is due within so many microseconds goes out at once, late rather than early: so the proxy
 * takes less of the processors that the programs share with it.
 */
#define GRAIN_US 1000

/* Events looked at in one turn of the loop. */
#define EVENT_COUNT 256

/* Octets with the time at which they are due; none: the end of the stream. */
struct chunk {
	struct chunk *next;
	int64_t due; /* microseconds */
	size_t len, sent;
	char data[];
};

struct pair;

/* One end of a connection, and what is on its way to it. */
struct end {
	int fd;
	struct pair *pair;
	struct end *other;
	struct chunk *first, *last;
	bool has_ended; /* nothing more comes from it */
	bool is_shut;   /* and nothing more goes to it */
	uint32_t events;
	uint64_t octets; /* received from it */
};

struct pair {
	struct end client, server;
	uint64_t turns;
	bool client_has_heard; /* something, since it spoke last */
	bool is_broken;        /* to be closed once no event can point to it */
	int64_t opened;
	struct pair *next, *before;
};

static int poller, listener, stats;
static struct pair *pairs;
static int64_t delay_us;
static uint16_t target_port;

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "delay: %s: %s\n", what, strerror(errno));
	exit(EX_OSERR);
}

static int64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static struct sockaddr_in
loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* Ask for what this end can do now: take the first chunk that is due, give more. */
static void
watch(struct end *end, int64_t now)
{
	bool has_due = end->first != NULL && end->first->due <= now;
	uint32_t events = (end->has_ended ? 0 : EPOLLIN) | (has_due ? EPOLLOUT : 0);
	struct epoll_event event = {.events = events, .data.ptr = end};

	if (events == end->events)
		return;
	end->events = events;
	if (epoll_ctl(poller, EPOLL_CTL_MOD, end->fd, &event) != 0)
		die("epoll_ctl");
}

static void
add_end(struct end *end, struct pair *pair, struct end *other, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = end};
	int on = 1;

	*end = (struct end){.fd = fd, .pair = pair, .other = other, .events = EPOLLIN};
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0)
		die("epoll_ctl");
}

static void
accept_client(void)
{
	struct sockaddr_in address = loopback(target_port);
	int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), server;
	struct pair *pair;

	if (client < 0)
		return;
	server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (server < 0)
		die("socket");
	/* On loopback it is there at once, or on its way. */
	if (connect(server, (struct sockaddr *)&address, sizeof address) != 0 &&
		errno != EINPROGRESS) {
		close(client);
		close(server);
		return;
	}
	pair = calloc(1, sizeof *pair);
	if (pair == NULL)
		die("calloc");
	pair->opened = now_us();
	add_end(&pair->client, pair, &pair->server, client);
	add_end(&pair->server, pair, &pair->client, server);
	dprintf(stats, "open\n");
	pair->next = pairs;
	if (pairs != NULL)
		pairs->before = pair;
	pairs = pair;
}

static void
close_pair(struct pair *pair)
{
	dprintf(stats, "turns %llu up %llu down %llu\n", (unsigned long long)pair->turns,
		(unsigned long long)pair->client.octets, (unsigned long long)pair->server.octets);
	for (struct end *end = &pair->client; end != NULL;
		end = end == &pair->client ? &pair->server : NULL) {
		while (end->first != NULL) {
			struct chunk *chunk = end->first;

			end->first = chunk->next;
			free(chunk);
		}
		close(end->fd);
	}
	if (pair->before != NULL)
		pair->before->next = pair->next;
	else
		pairs = pair->next;
	if (pair->next != NULL)
		pair->next->before = pair->before;
	free(pair);
}

/*
 * When what came now is due at the other end. Over a real network the client could not have said
 * anything before a round trip was over, nor the server before the client's answer to that.
 */
static int64_t
due_time(const struct end *from, int64_t now)
{
	const struct pair *pair = from->pair;
	int64_t established = pair->opened + (from == &pair->client ? 2 : 3) * delay_us;

	return ((now > established ? now : established) + delay_us + GRAIN_US - 1) / GRAIN_US *
		GRAIN_US;
}

static void
count_turn(struct end *from)
{
	struct pair *pair = from->pair;

	if (from != &pair->client)
		return;
	if (pair->client_has_heard || pair->turns == 0)
		pair->turns++;
	pair->client_has_heard = false;
}

/* Take what is there, for the other end. False: the connection is broken. */
static bool
receive(struct end *from, int64_t now)
{
	struct end *to = from->other;
	struct chunk *chunk = malloc(sizeof *chunk + CHUNK_SIZE);
	ssize_t got;

	if (chunk == NULL)
		die("malloc");
	got = recv(from->fd, chunk->data, CHUNK_SIZE, 0);
	if (got < 0) {
		free(chunk);
		return errno == EAGAIN || errno == EINTR;
	}
	if (got > 0)
		count_turn(from);
	from->octets += (uint64_t)got;
	from->has_ended = got == 0;
	chunk = realloc(chunk, sizeof *chunk + (size_t)got);
	if (chunk == NULL)
		die("realloc");
	*chunk = (struct chunk){.due = due_time(from, now), .len = (size_t)got};
	if (to->first == NULL)
		to->first = chunk;
	else
		to->last->next = chunk;
	to->last = chunk;
	return true;
}

/* Hand on what is due. False: the connection is broken. */
static bool
hand_on(struct end *to, int64_t now)
{
	struct chunk *chunk;

	while ((chunk = to->first) != NULL && chunk->due <= now) {
		ssize_t sent = 0;

		if (chunk->len == 0) {
			shutdown(to->fd, SHUT_WR);
			to->is_shut = true;
		} else {
			sent = send(to->fd, chunk->data + chunk->sent, chunk->len - chunk->sent,
				MSG_NOSIGNAL);
			if (sent < 0)
				return errno == EAGAIN || errno == EINTR || errno == ENOTCONN;
			if (to == &to->pair->client)
				to->pair->client_has_heard = true;
		}
		chunk->sent += (size_t)sent;
		if (chunk->sent < chunk->len)
			return true;
		to->first = chunk->next;
		free(chunk);
	}
	return true;
}

static void
handle(const struct epoll_event *event, int64_t now)
{
	struct end *end = event->data.ptr;
	struct pair *pair = end->pair;
	bool is_whole = true;

	if (pair->is_broken)
		return;
	if ((event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !end->has_ended)
		is_whole = receive(end, now);
	if (is_whole && (event->events & EPOLLOUT) != 0)
		is_whole = hand_on(end, now);
	if (is_whole && (event->events & (EPOLLHUP | EPOLLERR)) != 0 && end->has_ended)
		is_whole = end->other->first != NULL || !end->other->is_shut;
	pair->is_broken = !is_whole;
}

/* Whatever became due meanwhile; microseconds until the next does, -1: nothing waits. */
static int64_t
hand_on_all(int64_t now)
{
	int64_t next_due = -1;

	for (struct pair *pair = pairs, *next; pair != NULL; pair = next) {
		bool is_whole = !pair->is_broken && hand_on(&pair->client, now) &&
			hand_on(&pair->server, now);

		next = pair->next;
		if (!is_whole || (pair->client.is_shut && pair->server.is_shut)) {
			close_pair(pair);
			continue;
		}
		watch(&pair->client, now);
		watch(&pair->server, now);
		for (struct end *end = &pair->client; end != NULL;
			end = end == &pair->client ? &pair->server : NULL) {
			if (end->first != NULL && end->first->due > now &&
				(next_due < 0 || end->first->due < next_due))
				next_due = end->first->due;
		}
	}
	return next_due;
}

static void
listen_and_tell(const char *ready)
{
	struct sockaddr_in address = loopback(0);
	socklen_t size = sizeof address;
	char port[16];
	int fd;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
		listen(listener, 4096) != 0 ||
		getsockname(listener, (struct sockaddr *)&address, &size) != 0)
		die("listen");
	fd = open(ready, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	snprintf(port, sizeof port, "%u\n", ntohs(address.sin_port));
	if (fd < 0 || write(fd, port, strlen(port)) < 0 || close(fd) != 0)
		die(ready);
}

static void
set_timer(int timer, int64_t due)
{
	static int64_t last = -1;
	struct itimerspec when = {0};

	if (due == last)
		return;
	last = due;
	if (due >= 0)
		when.it_value = (struct timespec){due / 1000000, due % 1000000 * 1000 + 1};
	timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

int
main(int argc, char **argv)
{
	struct epoll_event events[EVENT_COUNT], event = {.events = EPOLLIN};
	int timer, count;
	char *rest;

	if (argc != 5) {
		fputs("usage: delay TO-PORT MILLISECONDS READY-FILE STATS-FILE\n", stderr);
		return EX_USAGE;
	}
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	target_port = (uint16_t)strtoul(argv[1], NULL, 10);
	delay_us = (int64_t)(strtod(argv[2], &rest) * 1000);
	stats = open(argv[4], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	poller = epoll_create1(EPOLL_CLOEXEC);
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (stats < 0 || poller < 0 || timer < 0)
		die("start");
	listen_and_tell(argv[3]);
	event.data.ptr = &listener;
	if (epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event) != 0)
		die("epoll_ctl");
	event.data.ptr = &timer;
	if (epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event) != 0)
		die("epoll_ctl");
	for (;;) {
		count = epoll_wait(poller, events, EVENT_COUNT, -1);
		if (count < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr == &listener)
				accept_client();
			else if (events[i].data.ptr == &timer)
				(void)!read(timer, &(uint64_t){0}, sizeof(uint64_t));
			else
				handle(&events[i], now_us());
		}
		set_timer(timer, hand_on_all(now_us()));
	}
}
