/*
 * The body of a multi-line reply: any octets, whole and cut, give what a
 * reading of RFC 1939 section 3 by the letter gives.
 */
#include "base/buf.h"
#include "fetch/dot.h"
#include "fuzz.h"
#include "letter.h"

/* What a feeding of the same octets came to. */
struct outcome {
	struct buf text;
	size_t taken;
	bool is_done;
};

static void
feed_piece(struct dot *dot, struct feed piece, struct outcome *outcome)
{
	/* Exactly the room that the contract asks for. */
	char *out = malloc(piece.len + DOT_OUT_EXTRA);
	size_t len = 0;

	REQUIRE(out != NULL);
	outcome->taken += dot_feed(dot, (const char *)piece.data, piece.len, out, &len);
	REQUIRE(len <= piece.len + DOT_OUT_EXTRA);
	buf_append(&outcome->text, out, len);
	free(out);
}

static struct outcome
feed_cut(struct feed all, struct cutter cutter)
{
	struct outcome outcome = {0};
	struct dot dot;

	dot_init(&dot);
	while (all.len != 0 && !dot_is_done(&dot))
		feed_piece(&dot, cutter_next(&cutter, &all), &outcome);
	outcome.is_done = dot_is_done(&dot);
	return outcome;
}

static struct outcome
feed_whole(struct feed all)
{
	struct outcome outcome = {0};
	struct dot dot;

	dot_init(&dot);
	feed_piece(&dot, all, &outcome);
	outcome.is_done = dot_is_done(&dot);
	return outcome;
}

static void
require_same(const struct outcome *got, const struct outcome *want)
{
	REQUIRE(got->is_done == want->is_done);
	REQUIRE(got->taken == want->taken);
	REQUIRE(got->text.len == want->text.len);
	REQUIRE(memcmp(buf_data(&got->text), buf_data(&want->text), got->text.len) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed = {data, size};
	struct cutter cutter = cutter_from(&feed);
	struct outcome whole, cut, letter = {0};

	if (feed.len == 0)
		return 0;
	whole = feed_whole(feed);
	cut = feed_cut(feed, cutter);
	letter.is_done = letter_read(feed, &letter.text, &letter.taken);
	require_same(&whole, &letter);
	require_same(&cut, &letter);
	buf_release(&whole.text);
	buf_release(&cut.text);
	buf_release(&letter.text);
	return 0;
}
