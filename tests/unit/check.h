/*
 * The few assertions that the unit tests share: each failure prints its place
 * and goes on, check_done() gives main()'s result.
 */
#ifndef POPHAUL_TESTS_UNIT_CHECK_H
#define POPHAUL_TESTS_UNIT_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/quote.h"

static int check_count, check_failures;

static inline bool
check_that(bool ok, const char *file, int line, const char *what)
{
	check_count++;
	if (!ok) {
		check_failures++;
		fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
	}
	return ok;
}

static inline bool
check_bytes(const void *got, size_t got_len, const void *want, size_t want_len, const char *file,
	int line)
{
	bool same = got_len == want_len && (want_len == 0 || memcmp(got, want, want_len) == 0);
	char got_text[QUOTE_SIZE], want_text[QUOTE_SIZE];

	if (!check_that(same, file, line, "octets differ"))
		fprintf(stderr, "\tgot  %zu \"%s\"\n\twant %zu \"%s\"\n", got_len,
			quote_bytes(got_text, got, got_len), want_len,
			quote_bytes(want_text, want, want_len));
	return same;
}

#define CHECK(condition) check_that((condition), __FILE__, __LINE__, #condition)
#define CHECK_BYTES(got, got_len, want, want_len)                                                  \
	check_bytes((got), (got_len), (want), (want_len), __FILE__, __LINE__)
#define CHECK_STR(got, want)                                                                       \
	check_bytes((got), strlen(got), (want), strlen(want), __FILE__, __LINE__)

/* main()'s return value; a test that checked nothing has failed. */
static inline int
check_done(void)
{
	printf("%d checks, %d failures\n", check_count, check_failures);
	return check_failures == 0 && check_count != 0 ? 0 : 1;
}

#endif
