/* A listing as the deliverer takes it in, row by row; and when it is none. */
#include "deliver/roster.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "check.h"

static char folder[] = "/tmp/roster_test.XXXXXX";

/* A state that knows the id "known", and one "none at all". */
static struct uidl *
open_state(void)
{
	const struct digest digest = {.bytes = {1}};
	struct error err = {.text = ""};
	struct uidl *uidl = uidl_open(folder, "state", UIDL_LOCKED, NULL, &err);

	if (!CHECK(uidl != NULL)) {
		fprintf(stderr, "\t%s\n", err.text);
		exit(1);
	}
	uidl_add_got(uidl, 1, 10, &digest, &(struct uidl_id){"known", 5, false});
	uidl_add_got(uidl, 1, 10, &digest, &(struct uidl_id){NULL, 0, true});
	return uidl;
}

static int
add(struct roster *roster, uint32_t number, const char *id, struct error *err)
{
	const struct link_row row = {.number = number, .uidl = id, .uidl_len = strlen(id)};

	return roster_add(roster, &row, err);
}

/* Rows of these numbers, each with its number for an id; sizes 10, 20 … */
static int
fill(struct roster *roster, const uint32_t *numbers, size_t count, struct error *err)
{
	uint64_t sizes[4] = {10, 20, 30, 40};
	char id[16];

	roster_begin(roster, true);
	for (size_t i = 0; i < count; i++) {
		snprintf(id, sizeof id, "%u", numbers[i]);
		if (!CHECK(add(roster, numbers[i], id, err) == 0))
			return -1;
	}
	if (count != 0 &&
		roster_add_sizes(roster, (const char *)sizes, count * sizeof *sizes, err) != 0)
		return -1;
	return roster_complete(roster, count, err);
}

static void
check_id(const struct roster *roster, size_t row, const char *wanted)
{
	struct uidl_id id = roster_id(roster, &roster->rows[row]);

	CHECK_BYTES(id.data, id.len, wanted, strlen(wanted));
}

/* However they come, they are in order afterwards: the first size is that of the lowest number. */
static void
test_sorts_by_number(struct uidl *uidl)
{
	static const uint32_t orders[][4] = {
		{1, 2, 3, 4         },
                {4, 3, 2, 1         },
                {2, 9, 4, 7         },
                {1, 5, 6, UINT32_MAX},
                {5, 1, 6, 3         }
        };
	struct roster roster;
	struct error err;
	char id[16];

	roster_init(&roster, uidl);
	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
		CHECK(fill(&roster, orders[i], 4, &err) == 0 && roster.count == 4);
		for (size_t k = 0; k < 4; k++) {
			ssize_t row = roster_find(&roster, orders[i][k], &err);

			if (!CHECK(row >= 0 && row < 4))
				continue;
			snprintf(id, sizeof id, "%u", orders[i][k]);
			check_id(&roster, (size_t)row, id);
			CHECK(roster.rows[row].octets == 10 * ((uint64_t)row + 1));
			CHECK(row == 0 || roster.rows[row].number > roster.rows[row - 1].number);
		}
		CHECK(roster_find(&roster, 8, &err) == -1 && err.class == ERROR_BUG);
	}
	CHECK(fill(&roster, NULL, 0, &err) == 0);
	CHECK(roster_find(&roster, 1, &err) == -1);
	roster_release(&roster);
}

/* A thousand numbers, shuffled by a step that goes through all of them. */
static void
test_sorts_many(struct uidl *uidl)
{
	enum { MANY = 1009, STEP = 613 };
	struct roster roster;
	struct error err;
	uint64_t sizes[MANY];

	roster_init(&roster, uidl);
	roster_begin(&roster, true);
	for (uint32_t i = 0; i < MANY; i++) {
		CHECK(add(&roster, 1 + i * STEP % MANY, "x", &err) == 0);
		sizes[i] = i;
	}
	CHECK(roster_add_sizes(&roster, (const char *)sizes, sizeof sizes / MANY, &err) == 0);
	CHECK(roster_add_sizes(
		      &roster, (const char *)&sizes[1], sizeof sizes - sizeof *sizes, &err) == 0);
	CHECK(roster_complete(&roster, MANY, &err) == 0);
	for (uint32_t i = 0; i < MANY; i++)
		CHECK(roster.rows[i].number == i + 1 && roster.rows[i].octets == i);
	roster_release(&roster);
}

static void
test_refuses_a_number_twice(struct uidl *uidl)
{
	static const uint32_t orders[][4] = {
		{1, 1, 2, 3},
                {1, 2, 3, 3},
                {3, 1, 2, 3}
        };
	struct roster roster;
	struct error err;

	roster_init(&roster, uidl);
	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
		CHECK(fill(&roster, orders[i], 4, &err) == -1 && err.class == ERROR_BUG);
	roster_release(&roster);
}

/* Rows, then as many sizes, then the end, and nothing else. */
static void
test_refuses_what_is_out_of_turn(struct uidl *uidl)
{
	const char sizes[24] = "";
	struct roster roster;
	struct error err;

	roster_init(&roster, uidl);
	CHECK(add(&roster, 1, "a", &err) == -1 && err.class == ERROR_BUG);
	CHECK(roster_complete(&roster, 0, &err) == -1 && err.class == ERROR_BUG);
	roster_begin(&roster, true);
	CHECK(add(&roster, 1, "a", &err) == 0 && add(&roster, 2, "b", &err) == 0);
	CHECK(roster_complete(&roster, 2, &err) == -1 && err.class == ERROR_BUG);
	CHECK(roster_add_sizes(&roster, sizes, 24, &err) == -1 && err.class == ERROR_BUG);
	CHECK(roster_add_sizes(&roster, sizes, 12, &err) == -1 && err.class == ERROR_BUG);
	CHECK(roster_add_sizes(&roster, sizes, 0, &err) == -1 && err.class == ERROR_BUG);
	CHECK(roster_add_sizes(&roster, sizes, 8, &err) == 0);
	CHECK(add(&roster, 3, "c", &err) == -1 && err.class == ERROR_BUG);
	CHECK(roster_complete(&roster, 2, &err) == -1 && err.class == ERROR_BUG);
	CHECK(roster_add_sizes(&roster, sizes, 8, &err) == 0);
	CHECK(roster_complete(&roster, 3, &err) == -1 && err.class == ERROR_BUG);
	CHECK(roster_complete(&roster, 2, &err) == 0);
	CHECK(roster_complete(&roster, 2, &err) == -1 && err.class == ERROR_BUG);
	CHECK(add(&roster, 3, "c", &err) == -1 && err.class == ERROR_BUG);
	roster_begin(&roster, false);
	CHECK(roster.count == 0 && !roster.is_complete);
	CHECK(add(&roster, 1, "a", &err) == -1 && err.class == ERROR_BUG);
	CHECK(add(&roster, 1, "", &err) == 0 && roster.rows[0].none);
	CHECK(roster.rows[0].entry == UIDL_NO_ENTRY);
	roster_release(&roster);
}

/* New ids are bounded in all, however few the rows; those that the state knows cost nothing. */
static void
test_bounds_new_ids(struct uidl *uidl)
{
	char *id = xcalloc(LINK_UIDL_MAX, 1);
	struct link_row row = {.number = 1, .uidl = id, .uidl_len = LINK_UIDL_MAX};
	struct roster roster;
	struct error err;

	roster_init(&roster, uidl);
	roster_begin(&roster, true);
	CHECK(add(&roster, row.number++, "known", &err) == 0);
	for (uint32_t n = 0; n < ROSTER_IDS_MAX / LINK_UIDL_MAX; n++, row.number++) {
		if (!CHECK(roster_add(&roster, &row, &err) == 0))
			break;
	}
	CHECK(roster_add(&roster, &row, &err) == -1 && err.class == ERROR_PROTOCOL);
	CHECK_STR(err.text,
		"the server's ids of new messages are longer than 29360128 octets in all, which is "
		"the limit");
	CHECK(add(&roster, row.number++, "known", &err) == 0);
	CHECK(add(&roster, row.number++, "", &err) == 0);
	CHECK(roster.rows[0].has_known_id && !roster.rows[1].has_known_id);
	CHECK(uidl_entry_at(uidl, roster.rows[0].entry)->octets == 10);
	CHECK(roster.rows[1].entry == UIDL_NO_ENTRY);
	check_id(&roster, 0, "known");
	check_id(&roster, roster.count - 2, "known");
	roster_begin(&roster, true);
	CHECK(roster_add(&roster, &row, &err) == 0);
	roster_release(&roster);
	free(id);
}

static void
test_bounds_rows(struct uidl *uidl)
{
	struct roster roster;
	struct error err;
	uint32_t n = 1;

	roster_init(&roster, uidl);
	roster_begin(&roster, true);
	while (n <= LINK_ROWS_MAX && add(&roster, n, "x", &err) == 0)
		n++;
	CHECK(n == LINK_ROWS_MAX + 1);
	CHECK(add(&roster, n, "x", &err) == -1 && err.class == ERROR_BUG);
	roster_release(&roster);
}

static void
remove_folder(void)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			CHECK(unlinkat(dirfd(dir), entry->d_name, 0) == 0);
	if (dir != NULL)
		closedir(dir);
	CHECK(rmdir(folder) == 0);
}

int
main(void)
{
	struct uidl *uidl;

	if (mkdtemp(folder) == NULL)
		return 1;
	uidl = open_state();
	test_sorts_by_number(uidl);
	test_sorts_many(uidl);
	test_refuses_a_number_twice(uidl);
	test_refuses_what_is_out_of_turn(uidl);
	test_bounds_new_ids(uidl);
	test_bounds_rows(uidl);
	uidl_close(uidl);
	remove_folder();
	return check_done();
}
