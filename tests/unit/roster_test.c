#include "deliver/roster.h"

#include <stdlib.h>

#include "check.h"

/* Rows of these numbers, each with the id "x". */
static int
fill(struct roster *roster, const uint32_t *numbers, size_t count, struct error *err)
{
	*roster = (struct roster){.has_uidl = true};
	for (size_t i = 0; i < count; i++) {
		const struct link_row row = {.number = numbers[i], .uidl = "x", .uidl_len = 1};

		if (!CHECK(roster_add(roster, &row, err) == 0))
			return -1;
	}
	return roster_complete(roster, count, err);
}

/* In order, as the fetcher sends them, or not: each is found under its number, no other is. */
static void
test_finds_by_number(void)
{
	static const uint32_t orders[][4] = {
		{1, 2, 3, 4         },
                {4, 3, 2, 1         },
                {2, 9, 4, 7         },
                {1, 5, 6, UINT32_MAX}
        };
	struct roster roster;
	struct error err;

	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
		CHECK(fill(&roster, orders[i], 4, &err) == 0);
		for (size_t k = 0; k < 4; k++)
			CHECK(roster_find(&roster, orders[i][k], &err) == (ssize_t)k);
		CHECK(roster_find(&roster, 8, &err) == -1 && err.class == ERROR_BUG);
		roster_release(&roster);
	}
	CHECK(fill(&roster, NULL, 0, &err) == 0);
	CHECK(roster_find(&roster, 1, &err) == -1);
	roster_release(&roster);
}

static void
test_refuses_a_number_twice(void)
{
	static const uint32_t orders[][4] = {
		{1, 1, 2, 3},
                {1, 2, 3, 3},
                {3, 1, 2, 3}
        };
	struct roster roster;
	struct error err;

	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
		CHECK(fill(&roster, orders[i], 4, &err) == -1 && err.class == ERROR_BUG);
		roster_release(&roster);
	}
}

/* Ids are bounded in all, however few the rows. */
static void
test_refuses_too_many_octets_of_ids(void)
{
	struct link_row row = {.uidl_len = LINK_UIDL_MAX};
	struct roster roster = {.has_uidl = true};
	struct error err;
	char *id = calloc(1, LINK_UIDL_MAX);

	row.uidl = id;
	while (row.number < LINK_UIDLS_TOTAL_MAX / LINK_UIDL_MAX) {
		row.number++;
		if (!CHECK(roster_add(&roster, &row, &err) == 0))
			break;
	}
	row.number++;
	CHECK(roster_add(&roster, &row, &err) == -1 && err.class == ERROR_BUG);
	roster_release(&roster);
	free(id);
}

int
main(void)
{
	test_finds_by_number();
	test_refuses_a_number_twice();
	test_refuses_too_many_octets_of_ids();
	return check_done();
}
