/*
 * Both ends of a fresh token's way: what the fetcher makes of the answer, and that
 * nothing of a token is left in the memory of either process once it was released.
 */
#include "fetch/auth/renew.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "check.h"

/* So many octets in a row are no chance. */
#define FOUND_MIN 24

/* No piece of this process's memory is nearly so big. */
#define SEARCHED_MAX (1ULL << 30)

struct pair {
	struct link *fetcher, *deliverer;
};

static struct error err;

static struct pair
make_pair(void)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
		abort();
	return (struct pair){.fetcher = link_new(fds[0]), .deliverer = link_new(fds[1])};
}

static void
free_pair(struct pair *pair)
{
	link_free(pair->fetcher);
	link_free(pair->deliverer);
}

static void
answer(struct pair *pair, const char *text, size_t len)
{
	struct secret token = {0};

	if (len != 0)
		secret_set(&token, text, len);
	CHECK(link_send_token(pair->deliverer, &token, clock_monotonic_ms() + 5000, &err) == 0);
	secret_release(&token);
}

static void
what_comes_of_an_answer(void)
{
	static const struct {
		const char *answer;
		bool stop_before, stop_behind;
		int result;
		const char *token;
	} cases[] = {
		{"fresh", false, false, 1,  "fresh"},
		{"stale", false, false, 0,  "stale"},
		{"stal",  false, false, 1,  "stal" },
		{"",      false, false, 0,  "stale"},
		{"fresh", true,  false, -1, "stale"},
		{"fresh", false, true,  -1, NULL   },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct pair pair = make_pair();
		struct link_frame frame;
		struct secret token = {0};

		secret_set(&token, "stale", 5);
		if (cases[i].stop_before) {
			link_put(pair.deliverer, LINK_STOP);
			CHECK(link_flush(pair.deliverer, &err) == 0);
		}
		answer(&pair, cases[i].answer, strlen(cases[i].answer));
		if (cases[i].stop_behind) {
			link_put(pair.deliverer, LINK_STOP);
			CHECK(link_flush(pair.deliverer, &err) == 0);
		}
		err.class = ERROR_BUG;
		CHECK(renew_token(pair.fetcher, &token, &err) == cases[i].result);
		CHECK(cases[i].result >= 0 || err.class == ERROR_INTERRUPTED);
		if (cases[i].token != NULL)
			CHECK_STR(token.data, cases[i].token);
		CHECK(link_wait(pair.deliverer, &frame, clock_monotonic_ms() + 5000, NULL, &err) ==
			1);
		CHECK(frame.type == LINK_WANT_TOKEN);
		secret_release(&token);
		free_pair(&pair);
	}
}

static void
a_deliverer_that_is_gone_is_an_error(void)
{
	struct pair pair = make_pair();
	struct secret token = {0};

	link_free(pair.deliverer);
	pair.deliverer = NULL;
	CHECK(renew_token(pair.fetcher, &token, &err) == -1 && err.class == ERROR_SYSTEM);
	free_pair(&pair);
}

/* An octet of the token that is looked for, which stands nowhere as a whole. */
static char
octet_of(size_t i)
{
	return (char)('!' + (i * 7919 + (i >> 3) * 104729) % 90);
}

static bool
is_of_token(const char *at)
{
	size_t i = 0;

	/* From its 100th octet on: what else begins so is no chance. */
	while (i < FOUND_MIN && at[i] == octet_of(100 + i))
		i++;
	return i == FOUND_MIN;
}

/* How often the token stands in the memory that this process can write. */
static size_t
count_in_memory(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	static char chunk[65536];
	unsigned long long from, to;
	char line[512], mode[8];
	size_t count = 0;

	CHECK(maps != NULL && fd >= 0);
	while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
		if (sscanf(line, "%llx-%llx %7s", &from, &to, mode) != 3 || mode[1] != 'w')
			continue;
		/* A sanitizer's shadow has no text, and terabytes of it. */
		if (to - from > SEARCHED_MAX)
			continue;
		for (; from < to; from += sizeof chunk - FOUND_MIN) {
			ssize_t n = pread(fd, chunk, sizeof chunk, (off_t)from);

			if (n <= 0)
				break;
			for (ssize_t i = 0; i + FOUND_MIN <= n; i++)
				count += is_of_token(chunk + i) ? 1 : 0;
			memset(chunk, 0, sizeof chunk);
		}
	}
	if (maps != NULL)
		fclose(maps);
	close(fd);
	return count;
}

/* The whole 64 KiB, which come in pieces. */
static void
nothing_is_left_in_memory(void)
{
	size_t len = LINK_PAYLOAD_MAX;
	struct pair pair = make_pair();
	struct secret token = {0}, sent = {0};
	char *text = xcalloc(len, 1);

	for (size_t i = 0; i < len; i++)
		text[i] = octet_of(i);
	secret_set(&sent, text, len);
	secret_wipe(text, len);
	free(text);
	CHECK(count_in_memory() != 0);
	CHECK(link_send_token(pair.deliverer, &sent, clock_monotonic_ms() + 5000, &err) == 0);
	secret_release(&sent);
	CHECK(count_in_memory() == 0);
	CHECK(renew_token(pair.fetcher, &token, &err) == 1 && token.len == len);
	CHECK(count_in_memory() != 0);
	secret_release(&token);
	CHECK(count_in_memory() == 0);
	free_pair(&pair);
}

int
main(void)
{
	what_comes_of_an_answer();
	a_deliverer_that_is_gone_is_an_error();
	nothing_is_left_in_memory();
	return check_done();
}
