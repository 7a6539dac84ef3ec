/*
 * The body of a multi-line reply: any octets, whole and cut, give what a
 * reading of RFC 1939 section 3 by the letter gives.
 */
#include "base/buf.h"
#include "fetch/dot.h"
#include "fuzz.h"

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

static const uint8_t *
find(const uint8_t *at, const uint8_t *end, const char *what)
{
	return memmem(at, (size_t)(end - at), what, strlen(what));
}

/* The letter: the end mark is looked for first, then the lines are gone through. */
static struct outcome
read_by_the_letter(struct feed all)
{
	const uint8_t *at = all.data, *end = all.data + all.len, *mark;
	struct outcome outcome = {.taken = all.len};

	if (all.len >= 3 && memcmp(at, ".\r\n", 3) == 0) {
		outcome.is_done = true;
		outcome.taken = 3;
		return outcome;
	}
	mark = find(at, end, "\r\n.\r\n");
	if (mark != NULL) {
		outcome.is_done = true;
		outcome.taken = (size_t)(mark + 5 - at);
		end = mark + 2;
	}
	while (at < end) {
		const uint8_t *line_end = find(at, end, "\r\n");

		if (*at == '.')
			at++;
		buf_append(&outcome.text, at, (size_t)((line_end != NULL ? line_end : end) - at));
		if (line_end != NULL)
			buf_append(&outcome.text, "\n", 1);
		at = line_end != NULL ? line_end + 2 : end;
	}
	/* What may yet become a line end is not given out. */
	if (!outcome.is_done && all.len != 0 && end[-1] == '\r')
		outcome.text.len--;
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
	struct outcome whole, cut, letter;

	if (feed.len == 0)
		return 0;
	whole = feed_whole(feed);
	cut = feed_cut(feed, cutter);
	letter = read_by_the_letter(feed);
	require_same(&whole, &letter);
	require_same(&cut, &letter);
	buf_release(&whole.text);
	buf_release(&cut.text);
	buf_release(&letter.text);
	return 0;
}
