/* UIDL and LIST put together (pop3 rules 7, 16, 17; hostile listings). */
#include "fetch/listing.h"

#include <stdlib.h>

#include "check.h"
#include "fetch/pop3_parse.h"
#include "link/link.h"

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
		struct listing listing = {0};
		struct error err;
		bool ok = fill(&listing, cases[i].has_uidl ? cases[i].uidl : NULL, cases[i].list,
				  &err) == 0;
		size_t count = 0;

		if (!CHECK(ok == cases[i].ok))
			fprintf(stderr, "\tin \"%s\"\n", cases[i].name);
		if (!ok)
			CHECK(err.class == ERROR_PROTOCOL);
		while (ok && cases[i].want[count] != 0) {
			uint32_t number = cases[i].want[count++];
			const struct listing_row *row = listing_find(&listing, number);

			if (!CHECK(row == &listing.rows[count - 1]))
				break;
			CHECK(row->octets ==
				(number == cases[i].unsized ? POP3_OCTETS_UNKNOWN : 10 * number));
			CHECK(row->uidl_len == (cases[i].has_uidl ? 2 : 0));
			if (cases[i].has_uidl)
				CHECK(listing_uidl(&listing, row)[1] == (char)('0' + number));
		}
		if (ok) {
			CHECK(listing.count == count);
			CHECK(listing.unmatched == cases[i].unmatched);
			CHECK(listing.has_uidl == cases[i].has_uidl);
			CHECK(listing_find(&listing, 4000000000) == NULL);
		}
		listing_release(&listing);
	}
}

static void
test_bounds(void)
{
	struct listing listing = {0};
	struct error err;
	char id[LINK_UIDL_MAX];

	memset(id, 'u', sizeof(id));
	CHECK(listing_add_uidl(&listing, 1, id, LINK_UIDL_MAX, &err) == 0);
	CHECK(listing_add_uidl(&listing, 2, id, 0, &err) == 0);
	CHECK(listing_add_uidl(&listing, UINT32_MAX, "a\0b", 3, &err) == 0);
	CHECK(listing_end_uidl(&listing, &err) == 0);
	CHECK(listing.count == 3 && listing.rows[1].uidl_len == 0);
	CHECK_BYTES(listing_uidl(&listing, &listing.rows[2]), listing.rows[2].uidl_len, "a\0b", 3);
	listing_release(&listing);
}

/* An id beyond the bound is one of its own, the same each time, and another one for other octets. */
static void
test_digested(void)
{
	static const char known[] = "long-id-b8e6c1327a3dc1b7a4ea8ad267aebc45";
	struct listing listing = {0};
	struct error err;
	char id[LINK_UIDL_MAX + 1];

	memset(id, 'u', sizeof(id));
	CHECK(listing_add_uidl(&listing, 1, id, sizeof id, &err) == 0);
	CHECK(listing_add_uidl(&listing, 2, id, sizeof id, &err) == 0);
	id[LINK_UIDL_MAX] = 'v';
	CHECK(listing_add_uidl(&listing, 3, id, sizeof id, &err) == 0);
	CHECK(listing_end_uidl(&listing, &err) == 0);
	CHECK(listing.count == 3 && listing.digested == 3);
	for (size_t i = 0; i < 2; i++)
		CHECK_BYTES(listing_uidl(&listing, &listing.rows[i]), listing.rows[i].uidl_len,
			known, sizeof known - 1);
	CHECK(listing.rows[2].uidl_len == sizeof known - 1);
	CHECK(memcmp(listing_uidl(&listing, &listing.rows[2]), known, sizeof known - 1) != 0);
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
		{{1, 2},    {1, 2, 3}, true },
		{{0},       {1, 2},    true },
		{{1, 2, 3}, {1, 2},    false},
		{{1, 3},    {1, 2},    false},
		{{1},       {0},       false},
	};
	struct listing old = {0}, now = {0};
	struct error err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK(fill(&old, cases[i].old, cases[i].old, &err) == 0);
		CHECK(fill(&now, cases[i].now, cases[i].now, &err) == 0);
		CHECK(listing_is_continued(&old, &now) == cases[i].continued);
		listing_release(&old);
		listing_release(&now);
	}
	/* The same number, another id. */
	CHECK(listing_add_uidl(&old, 1, "aa", 2, &err) == 0);
	CHECK(listing_add_uidl(&now, 1, "ab", 2, &err) == 0);
	CHECK(!listing_is_continued(&old, &now));
	listing_release(&old);
	listing_release(&now);
}

int
main(void)
{
	test_listings();
	test_bounds();
	test_digested();
	test_continued();
	return check_done();
}
