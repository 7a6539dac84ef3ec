/* UIDL and LIST put together (pop3 rules 7, 16, 17; hostile listings). */
#include "fetch/listing.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "check.h"
#include "fetch/pop3_parse.h"
#include "link/link.h"

/* A listing, and the deliverer's end of its link. */
struct told {
	struct listing listing;
	struct link *near, *far;
};

static void
told_init(struct told *told)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
		abort();
	told->near = link_new(ends[0]);
	told->far = link_new(ends[1]);
	listing_init(&told->listing, told->near, NULL);
}

static void
told_release(struct told *told)
{
	listing_release(&told->listing);
	link_free(told->near);
	link_free(told->far);
}

/* The next frame that the deliverer gets; its type is 0 when there is none. */
static struct link_frame
next_frame(struct told *told)
{
	struct link_frame frame = {0};
	struct error err;

	CHECK(link_flush(told->near, &err) == 0);
	CHECK(link_wait(told->far, &frame, clock_monotonic_ms(), NULL, &err) >= 0);
	return frame;
}

static void
check_row(struct told *told, uint32_t number, const char *uidl, size_t len)
{
	struct link_frame frame = next_frame(told);

	if (!CHECK(frame.type == LINK_ROW && frame.u.row.number == number))
		return;
	CHECK_BYTES(frame.u.row.uidl, frame.u.row.uidl_len, uidl, len);
}

/* The rows of UIDL and LIST as numbers, 0-ended; ids are "uN", sizes 10 N. */
static int
fill(struct listing *listing, const uint32_t *uidl, const uint32_t *list, struct error *err)
{
	char id[32];

	for (; uidl != NULL && *uidl != 0; uidl++) {
		snprintf(id, sizeof(id), "u%u", *uidl);
		if (listing_add_uidl(listing, *uidl, id, strlen(id), err) != 0)
			return -1;
	}
	if (uidl != NULL && listing_end_uidl(listing, err) != 0)
		return -1;
	for (; *list != 0; list++) {
		if (listing_add_octets(listing, *list, 10 * (uint64_t)*list, err) != 0)
			return -1;
	}
	return listing_end(listing, err);
}

/*
 * The deliverer has heard that a listing begins, then of its rows as they came, then of the sizes
 * in order.
 */
static void
check_told(struct told *told, const uint32_t *rows)
{
	const struct listing *listing = &told->listing;
	struct link_frame frame = next_frame(told);
	uint64_t octets;
	char id[32];

	CHECK(frame.type == LINK_LISTING && frame.value == listing->has_uidl);
	for (; *rows != 0; rows++) {
		snprintf(id, sizeof(id), "u%u", *rows);
		check_row(told, *rows, id, listing->has_uidl ? strlen(id) : 0);
	}
	listing_put_sizes(listing);
	frame = next_frame(told);
	if (listing->count == 0) {
		CHECK(frame.type == 0);
		return;
	}
	if (!CHECK(frame.type == LINK_SIZES && frame.data_len == 8 * listing->count))
		return;
	for (size_t i = 0; i < listing->count; i++) {
		memcpy(&octets, frame.data + 8 * i, 8);
		CHECK(octets == listing->rows[i].octets);
	}
}

static void
test_listings(void)
{
	static const struct {
		const char *name;
		bool has_uidl;
		uint32_t uidl[6];
		uint32_t list[6];
		bool ok;
		uint32_t want[6]; /* rows in order */
		uint32_t unsized; /* a row without a size, 0: none */
		size_t unmatched;
	} cases[] = {
		{"alike",             true,  {1, 2, 3},    {1, 2, 3},    true,  {1, 2, 3}, 0, 0},
		{"empty",             true,  {0},          {0},          true,  {0},       0, 0},
		{"gaps",              true,  {2, 5, 9},    {2, 5, 9},    true,  {2, 5, 9}, 0, 0},
		{"unsorted",          true,  {3, 1, 2},    {2, 3, 1},    true,  {1, 2, 3}, 0, 0},
		{"not in LIST",       true,  {1, 2, 3},    {1, 3},       true,  {1, 2, 3}, 2, 0},
		{"not in UIDL",       true,  {1, 3},       {1, 2, 3, 4}, true,  {1, 3},    0, 2},
		{"twice in UIDL",     true,  {1, 2, 2},    {1, 2},       false, {0},       0, 0},
		{"twice, far apart",  true,  {2, 1, 3, 2}, {1, 2, 3},    false, {0},       0, 0},
		{"twice in LIST",     true,  {1, 2},       {1, 2, 2},    false, {0},       0, 0},
		{"no UIDL",           false, {0},          {1, 2, 3},    true,  {1, 2, 3}, 0, 0},
		{"no UIDL, unsorted", false, {0},          {3, 1},       true,  {1, 3},    0, 0},
		{"no UIDL, twice",    false, {0},          {1, 2, 1},    false, {0},       0, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct told told;
		struct listing *listing = &told.listing;
		struct error err;
		bool ok;
		size_t count = 0;

		told_init(&told);
		ok = fill(listing, cases[i].has_uidl ? cases[i].uidl : NULL, cases[i].list, &err) ==
			0;
		if (!CHECK(ok == cases[i].ok))
			fprintf(stderr, "\tin \"%s\"\n", cases[i].name);
		if (!ok)
			CHECK(err.class == ERROR_PROTOCOL);
		while (ok && cases[i].want[count] != 0) {
			uint32_t number = cases[i].want[count++];
			const struct listing_row *row = listing_find(listing, number);

			if (!CHECK(row == &listing->rows[count - 1]))
				break;
			CHECK(row->octets ==
				(number == cases[i].unsized ? POP3_OCTETS_UNKNOWN : 10 * number));
		}
		if (ok) {
			CHECK(listing->count == count);
			CHECK(listing->unmatched == cases[i].unmatched);
			CHECK(listing->has_uidl == cases[i].has_uidl);
			CHECK(listing_find(listing, 4000000000) == NULL);
			check_told(&told, cases[i].has_uidl ? cases[i].uidl : cases[i].list);
		}
		told_release(&told);
	}
}

static void
test_ids(void)
{
	struct told told;
	struct error err;
	char id[LINK_UIDL_MAX];

	told_init(&told);
	memset(id, 'u', sizeof(id));
	CHECK(listing_add_uidl(&told.listing, 1, id, LINK_UIDL_MAX, &err) == 0);
	CHECK(listing_add_uidl(&told.listing, 2, id, 0, &err) == 0);
	CHECK(listing_add_uidl(&told.listing, UINT32_MAX, "a\0b", 3, &err) == 0);
	CHECK(listing_end_uidl(&told.listing, &err) == 0);
	CHECK(told.listing.count == 3 && told.listing.digested == 0);
	CHECK(next_frame(&told).type == LINK_LISTING);
	check_row(&told, 1, id, LINK_UIDL_MAX);
	check_row(&told, 2, "", 0);
	check_row(&told, UINT32_MAX, "a\0b", 3);
	told_release(&told);
}

/*
 * An id beyond the bound is one of its own, the same each time, and another one for other octets.
 */
static void
test_digested(void)
{
	static const char known[] = "long-id-b8e6c1327a3dc1b7a4ea8ad267aebc45";
	struct link_frame frame;
	struct told told;
	struct error err;
	char id[LINK_UIDL_MAX + 1];

	told_init(&told);
	memset(id, 'u', sizeof(id));
	CHECK(listing_add_uidl(&told.listing, 1, id, sizeof id, &err) == 0);
	CHECK(listing_add_uidl(&told.listing, 2, id, sizeof id, &err) == 0);
	id[LINK_UIDL_MAX] = 'v';
	CHECK(listing_add_uidl(&told.listing, 3, id, sizeof id, &err) == 0);
	CHECK(listing_end_uidl(&told.listing, &err) == 0);
	CHECK(told.listing.count == 3 && told.listing.digested == 3);
	CHECK(next_frame(&told).type == LINK_LISTING);
	check_row(&told, 1, known, sizeof known - 1);
	check_row(&told, 2, known, sizeof known - 1);
	frame = next_frame(&told);
	CHECK(frame.u.row.uidl_len == sizeof known - 1);
	CHECK(memcmp(frame.u.row.uidl, known, sizeof known - 1) != 0);
	told_release(&told);
}

/* As many rows as the bound allows, and one more. */
static void
test_too_many(void)
{
	struct listing listing;
	struct error err;
	uint32_t n = 1;

	listing_init(&listing, NULL, NULL);
	while (n <= LINK_ROWS_MAX && listing_add_uidl(&listing, n, "u", 1, &err) == 0)
		n++;
	CHECK(n == LINK_ROWS_MAX + 1);
	CHECK(listing_add_uidl(&listing, n, "u", 1, &err) == -1 && err.class == ERROR_PROTOCOL);
	CHECK_STR(err.text, "the server lists more than 1048576 messages, which is the limit");
	listing_release(&listing);
	/* Rows that only LIST has are bounded too. */
	listing_init(&listing, NULL, NULL);
	CHECK(listing_end_uidl(&listing, &err) == 0);
	for (n = 1; n <= LINK_ROWS_MAX && listing_add_octets(&listing, n, 1, &err) == 0;)
		n++;
	CHECK(n == LINK_ROWS_MAX + 1);
	CHECK(listing_add_octets(&listing, n, 1, &err) == -1 && err.class == ERROR_PROTOCOL);
	listing_release(&listing);
}

/* After a lost connection the plan's numbers hold only while every id is where it was. */
static void
test_continued(void)
{
	static const struct {
		uint32_t old[4], now[4];
		bool continued;
	} cases[] = {
		{{1, 2, 3}, {1, 2, 3}, true },
		{{1, 2, 3}, {3, 1, 2}, true },
		{{1, 2},    {1, 2, 3}, true },
		{{2, 3},    {1, 2, 3}, true },
		{{0},       {1, 2},    true },
		{{1, 2, 3}, {1, 2},    false},
		{{1, 3},    {1, 2},    false},
		{{1},       {0},       false},
	};
	struct listing old, now;
	struct error err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		listing_init(&old, NULL, NULL);
		CHECK(fill(&old, cases[i].old, cases[i].old, &err) == 0);
		listing_init(&now, NULL, &old);
		CHECK(fill(&now, cases[i].now, cases[i].now, &err) == 0);
		if (!CHECK(listing_is_continued(&now) == cases[i].continued))
			fprintf(stderr, "\tcase %zu\n", i);
		listing_release(&old);
		listing_release(&now);
	}
}

/* Two messages; the second listing has these ids. */
static bool
continues(const char *first, const char *second)
{
	struct listing old, now;
	struct error err;
	bool result;

	listing_init(&old, NULL, NULL);
	CHECK(listing_add_uidl(&old, 1, "a", 1, &err) == 0);
	CHECK(listing_add_uidl(&old, 2, "b", 1, &err) == 0);
	CHECK(listing_end_uidl(&old, &err) == 0 && listing_end(&old, &err) == 0);
	listing_init(&now, NULL, &old);
	CHECK(listing_add_uidl(&now, 1, first, strlen(first), &err) == 0);
	CHECK(listing_add_uidl(&now, 2, second, strlen(second), &err) == 0);
	CHECK(listing_end_uidl(&now, &err) == 0 && listing_end(&now, &err) == 0);
	result = listing_is_continued(&now);
	listing_release(&old);
	listing_release(&now);
	return result;
}

static void
test_continued_ids(void)
{
	CHECK(continues("a", "b"));
	CHECK(!continues("b", "a"));
	CHECK(!continues("a", "c"));
	CHECK(!continues("ab", ""));
	CHECK(!continues("a", "a"));
	CHECK(!continues("", ""));
}

int
main(void)
{
	test_listings();
	test_ids();
	test_digested();
	test_too_many();
	test_continued();
	test_continued_ids();
	return check_done();
}
