/*
 * What the fuzz targets share. A target is one file, NAME_fuzz.c, with the
 * entry point below; linked with libFuzzer's or AFL's driver it is fuzzed,
 * linked with replay.c it repeats cases that are known.
 *
 * A target is deterministic, frees what it takes, and states what must hold
 * with REQUIRE: that nothing crashes is the least of it.
 */
#ifndef POPHAUL_TESTS_FUZZ_FUZZ_H
#define POPHAUL_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The name is the drivers'. Always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold whatever the octets are. abort() is what every driver takes for a find. */
#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,          \
				#condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* The case's octets, taken from the front; at the end there are zeros. */
struct feed {
	const uint8_t *data;
	size_t len;
};

static inline uint8_t
feed_octet(struct feed *feed)
{
	if (feed->len == 0)
		return 0;
	feed->len--;
	return *feed->data++;
}

static inline uint32_t
feed_u32(struct feed *feed)
{
	uint32_t value = 0;

	for (int i = 0; i < 4; i++)
		value = value << 8 | feed_octet(feed);
	return value;
}

/* At most `most` octets, fewer at the end. */
static inline struct feed
feed_take(struct feed *feed, size_t most)
{
	struct feed taken = {.data = feed->data, .len = feed->len < most ? feed->len : most};

	feed->data += taken.len;
	feed->len -= taken.len;
	return taken;
}

/*
 * The next piece of octets that arrive cut: pieces of two lengths in turn, which
 * the case's first two octets have chosen.
 */
struct cutter {
	uint8_t lengths[2];
	unsigned turn;
};

static inline struct cutter
cutter_from(struct feed *feed)
{
	struct cutter cutter = {.turn = 0};

	/* One after the other: initializers may be evaluated in any order. */
	cutter.lengths[0] = feed_octet(feed);
	cutter.lengths[1] = feed_octet(feed);
	return cutter;
}

static inline struct feed
cutter_next(struct cutter *cutter, struct feed *rest)
{
	return feed_take(rest, (size_t)cutter->lengths[cutter->turn++ % 2] + 1);
}

/* The octets as a string that ends at the first NUL; the caller frees. */
static inline char *
feed_string(struct feed from)
{
	char *text = malloc(from.len + 1);

	REQUIRE(text != NULL);
	if (from.len != 0)
		memcpy(text, from.data, from.len);
	text[from.len] = '\0';
	return text;
}

#endif
