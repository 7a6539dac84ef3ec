/*
 * The plan, case by case: policy, limits, and the four uses of the digest; pop3
 * rules 16 and 17 (ids may be alike in one listing, and are all messages).
 *
 * A case is a state (one `got` a line: AGE-IN-DAYS OCTETS ID), a listing (OCTETS ID a line; before
 * the octets `!`: it breaks sessions, `?`: and others broke fewer), a policy and the expected
 * verdicts (one word a row).
 */
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/xalloc.h"
#include "check.h"
#include "deliver/plan.h"
#include "link/link.h"

#define NOW ((int64_t)1795287600)
#define DAY ((int64_t)86400)

static char folder[] = "/tmp/plan_test.XXXXXX";

/* The ids of the rows, as a roster has them. */
static struct uidl_id row_ids[8];

/* The policies of the table below: the beginning of an initializer. */
#define FOREVER   .keep = {ACCOUNT_KEEP_FOREVER, 0}
#define NEVER     .keep = {ACCOUNT_KEEP_NEVER, 0}
#define AGE(days) .keep = {ACCOUNT_KEEP_AGE, (days)*DAY}

/* The columns would stand hundreds apart. */
/* clang-format off */
static const struct {
	const char *name;
	const char *state, *listing;
	struct plan_policy policy;
	/*
	 * F fetch, C compare, D delete, L leave, B big, M limit, O old, X breaks; + deletes after,
	 * * deletes if new
	 */
	const char *verdicts;
	const char *unmarked; /* ids of entries that are not seen, in the order of the state */
	const char *reason;   /* of the first row; NULL: any */
} cases[] = {
	{"nothing", "", "", {FOREVER}, "", "", NULL},
	{"an empty listing", "1 10 a\n", "", {FOREVER}, "", "a", NULL},
	{"new mail", "", "10 a\n20 b\n", {FOREVER}, "F F", "", "new"},
	{"new mail, not kept", "", "10 a\n20 b\n", {NEVER}, "F+* F+*", "", "new"},
	{"new mail, kept for a time", "", "10 a\n", {AGE(14)}, "F", "", "new"},
	{"new mail, kept for no time", "", "10 a\n", {AGE(0)}, "F+*", "", "new"},
	{"known and new", "1 10 a\n1 20 b\n", "10 a\n20 b\n30 c\n", {FOREVER}, "L L F", "",
		"known since 2026-11-20"},
	{"the id alone says that it is known", "1 10 a\n", "11 a\n", {FOREVER}, "L", "", NULL},
	{"ids are case-sensitive", "1 10 a\n", "10 A\n", {FOREVER}, "F", "a", NULL},
	{"an empty id is an id", "1 10 \n", "10 \n20 b\n", {FOREVER}, "L F", "", NULL},
	{"one is gone", "1 10 a\n1 20 b\n1 30 c\n", "10 a\n30 c\n", {FOREVER}, "L L", "b", NULL},

	{"known, not kept", "1 10 a\n", "10 a\n", {NEVER}, "D", "",
		"known since 2026-11-20, not to be kept"},
	{"not kept, just delivered", "0 10 a\n", "10 a\n", {NEVER}, "D", "", NULL},
	{"not old enough", "13 10 a\n", "10 a\n", {AGE(14)}, "L", "", "known since 2026-11-08"},
	{"old enough", "14 10 a\n", "10 a\n", {AGE(14)}, "D", "",
		"known since 2026-11-07, older than 14 days"},
	{"delivered in the future", "-3 10 a\n", "10 a\n", {AGE(1)}, "L", "", NULL},
	{"delivered in the future, kept for no time", "-3 10 a\n", "10 a\n", {AGE(0)}, "L", "",
		NULL},

	/* (a) to be deleted, but is it still that message? */
	{"size changed, not kept", "1 10 a\n", "11 a\n", {NEVER}, "C+*", "",
		"known since 2026-11-20, size 11, was 10"},
	{"size changed, old enough", "15 10 a\n", "11 a\n", {AGE(14)}, "C+", "", NULL},
	{"size not told now", "1 10 a\n", "- a\n", {NEVER}, "C+*", "",
		"known since 2026-11-20, size not told, was 10"},
	{"size not told then", "1 - a\n", "10 a\n", {NEVER}, "C+*", "", NULL},
	{"size never told", "1 - a\n", "- a\n", {NEVER}, "C+*", "", NULL},
	{"size changed, too big to compare", "1 10 a\n", "99 a\n", {NEVER, .max_size = 50}, "L",
		"", "known since 2026-11-20, size 99, was 10, too big"},
	{"size changed, beyond the limit", "1 10 a\n", "5 n\n11 a\n", {NEVER, .max_messages = 1},
		"F+* L", "", NULL},
	{"comparing counts", "1 10 a\n", "11 a\n5 n\n", {NEVER, .max_messages = 1}, "C+* M", "",
		NULL},

	/* (b) renumbered: nothing is known by id; the digest decides when it is fetched */
	{"renumbered", "1 10 a\n1 20 b\n", "10 x\n20 y\n", {FOREVER}, "F F", "a b", NULL},

	/* (c) without UIDL */
	{"no ids", "", "10 %-\n20 %-\n", {NEVER}, "F+* F+*", "", "new"},
	{"no ids, a session died", "0 10 %-\n", "10 %-\n20 %-\n", {NEVER}, "C+* C+*", "%-",
		"new or delivered before: the server gives no ids"},
	{"no ids, limits hold", "0 10 %-\n", "10 %-\n99 %-\n5 %-\n5 %-\n", {NEVER,
		.max_messages = 1, .newest = 3, .max_size = 50}, "O B C+* M", "%-",
		"not among the newest 3"},
	{"ids since then", "0 10 %-\n", "10 a\n", {FOREVER}, "F", "%-", NULL},

	/* (d) one id for several messages */
	{"one id twice, new", "", "10 a\n20 a\n", {FOREVER}, "F F", "", "new"},
	{"one id twice, known", "1 10 a\n1 20 a\n", "20 a\n10 a\n", {FOREVER}, "L L", "",
		"known, id shared by 2 messages"},
	{"one more", "1 10 a\n", "10 a\n20 a\n", {FOREVER}, "C C", "a",
		"id listed 2 times, known 1 time"},
	{"one more, not kept", "1 10 a\n", "10 a\n20 a\n", {NEVER}, "C+* C+*", "a", NULL},
	{"one more, old enough", "15 10 a\n", "10 a\n20 a\n", {AGE(14)}, "C+ C+", "a", NULL},
	{"one less", "1 10 a\n1 20 a\n", "10 a\n", {FOREVER}, "C", "a a",
		"id listed 1 time, known 2 times"},
	{"three of three", "1 10 a\n1 10 a\n1 20 a\n", "10 a\n20 a\n10 a\n", {NEVER}, "D D D", "",
		NULL},
	{"sizes are a multiset", "1 10 a\n1 10 a\n1 20 a\n", "10 a\n20 a\n20 a\n", {NEVER},
		"C+* C+* C+*", "a a a", "known, id shared by 3 messages, sizes changed"},
	{"another came for the one that went", "1 10 a\n1 20 a\n", "10 a\n30 a\n", {FOREVER},
		"C C", "a a", NULL},
	{"one of two is old enough", "15 10 a\n1 20 a\n", "10 a\n20 a\n", {AGE(14)}, "L L", "",
		NULL},
	{"both are old enough", "15 10 a\n14 20 a\n", "10 a\n20 a\n", {AGE(14)}, "D D", "", NULL},
	{"sizes not told, kept", "1 10 a\n1 - a\n", "10 a\n- a\n", {FOREVER}, "L L", "",
		"known, id shared by 2 messages, sizes not told"},
	{"sizes not told, not kept", "1 10 a\n1 - a\n", "10 a\n- a\n", {NEVER}, "C+* C+*", "a a",
		NULL},
	{"together or not at all: all", "1 10 a\n", "10 a\n20 a\n30 a\n5 n\n", {FOREVER,
		.max_messages = 1}, "C C C M", "a", NULL},
	{"together, and what is left of the limit", "1 10 a\n", "10 a\n20 a\n5 n\n6 n\n",
		{FOREVER, .max_messages = 3}, "C C F M", "a", NULL},
	{"together or not at all: none", "1 10 a\n", "5 n\n10 a\n20 a\n30 a\n", {FOREVER,
		.max_messages = 1}, "F M M M", "", NULL},
	{"one of them is too big", "1 10 a\n", "10 a\n99 a\n5 n\n6 n\n", {FOREVER,
		.max_messages = 2, .max_size = 50}, "C B F M", "a", NULL},
	{"all of them are too big", "1 10 a\n", "98 a\n99 a\n", {FOREVER, .max_size = 50}, "B B",
		"", "bigger than max-size (98 > 50)"},
	{"two ids of several, mixed", "1 10 a\n1 10 b\n1 20 b\n", "10 a\n20 b\n11 a\n10 b\n7 c\n",
		{FOREVER}, "C L C L F", "a", NULL},

	/* limits */
	{"bigger than max-size", "", "50 a\n51 b\n- c\n", {FOREVER, .max_size = 50}, "F B F", "",
		NULL},
	{"max-size is for new mail", "1 99 a\n2 99 b\n", "99 a\n99 b\n", {NEVER, .max_size = 50},
		"D D", "", NULL},
	{"max-messages, the oldest first", "", "1 a\n1 b\n1 c\n", {FOREVER, .max_messages = 2},
		"F F M", "", NULL},
	{"max-messages does not count what is known", "1 1 a\n", "1 a\n1 b\n1 c\n", {FOREVER,
		.max_messages = 1}, "L F M", "", NULL},
	{"max-messages does not count what is too big", "", "99 a\n1 b\n1 c\n", {FOREVER,
		.max_messages = 1, .max_size = 50}, "B F M", "", NULL},
	{"the newest", "", "1 a\n1 b\n1 c\n", {FOREVER, .newest = 2}, "O F F", "",
		"not among the newest 2"},
	{"the newest of few", "", "1 a\n", {FOREVER, .newest = 2}, "F", "", NULL},
	{"the newest, known ones among them", "1 1 b\n", "1 a\n1 b\n1 c\n", {FOREVER, .newest = 2},
		"O L F", "", NULL},
	{"the newest, known ones before them", "1 1 a\n", "1 a\n1 b\n", {NEVER, .newest = 1},
		"D F+*", "", NULL},
	{"the oldest of the newest", "", "1 a\n1 b\n1 c\n", {FOREVER, .newest = 2,
		.max_messages = 1}, "O F M", "", NULL},

	/* what breaks sessions */
	{"it waits while there is new mail", "", "!1 a\n1 b\n", {FOREVER}, "X F", "",
		"the last sessions broke off at it: only when there is nothing else to do"},
	{"it waits while there is something to delete", "1 1 b\n", "!1 a\n1 b\n", {NEVER}, "X D",
		"", NULL},
	{"nothing else to do", "1 1 b\n", "!1 a\n1 b\n", {FOREVER}, "F L", "", "new"},
	{"nothing else, not kept", "", "!1 a\n", {NEVER}, "F+*", "", NULL},
	{"those that broke fewest first", "", "?1 a\n!1 b\n!1 c\n", {FOREVER}, "X F F", "", NULL},
	{"it has no part in the limit", "", "!1 a\n1 b\n1 c\n", {FOREVER, .max_messages = 1},
		"X F M", "", NULL},
	{"the limit holds for it", "", "!1 a\n!1 b\n", {FOREVER, .max_messages = 1}, "F M", "",
		NULL},
	{"not in a session that only deletes", "", "!1 a\n", {FOREVER, .only_deletes = true}, "X",
		"", NULL},
	{"too big or too old it is not tried", "", "!1 a\n!99 b\n", {FOREVER, .newest = 1,
		.max_size = 50}, "O B", "", NULL},
	{"what is known need not be fetched", "1 1 a\n", "!1 a\n1 b\n", {NEVER}, "D F+*",
		"", NULL},
	{"size changed", "1 1 a\n", "!2 a\n1 b\n", {NEVER}, "X F+*", "", NULL},
	{"size changed, nothing else to do", "1 1 a\n", "!2 a\n", {NEVER}, "C+*", "",
		"known since 2026-11-20, size 2, was 1"},
	{"one more of an id", "1 1 a\n", "!1 a\n!2 a\n1 b\n", {FOREVER}, "X X F", "", NULL},
	{"one more of an id, nothing else to do", "1 1 a\n1 1 b\n", "!1 a\n!2 a\n1 b\n", {FOREVER},
		"C C L", "a", "id listed 2 times, known 1 time"},
	{"one more of an id, others first", "1 1 a\n", "?1 a\n?2 a\n!1 b\n", {FOREVER}, "X X F",
		"", NULL},
};
/* clang-format on */

static struct uidl_id
id_of(const char *text, size_t len)
{
	bool none = len == 2 && memcmp(text, "%-", 2) == 0;

	return (struct uidl_id){text, none ? 0 : len, none};
}

static struct uidl *
open_state(const char *name)
{
	struct error err = {.text = ""};
	struct uidl *uidl = uidl_open(folder, name, UIDL_LOCKED, NULL, &err);

	if (!CHECK(uidl != NULL)) {
		fprintf(stderr, "\t%s\n", err.text);
		exit(1);
	}
	return uidl;
}

/* The number (or "-") at the front of a text, which moves behind it and one space. */
static uint64_t
take_number(const char **text)
{
	char *end;
	uint64_t value;

	if (**text == '-' && (*text)[1] == ' ') {
		*text += 2;
		return LINK_OCTETS_UNKNOWN;
	}
	value = (uint64_t)strtoll(*text, &end, 10);
	*text = end + 1;
	return value;
}

static void
fill_state(struct uidl *uidl, const char *text)
{
	for (unsigned n = 0; *text != '\0'; n++) {
		int64_t days = (int64_t)take_number(&text);
		uint64_t octets = take_number(&text);
		size_t len = strcspn(text, "\n");
		struct uidl_id id = id_of(text, len);
		struct digest digest = {.bytes = {0}};

		memcpy(digest.bytes, &n, sizeof n);
		uidl_add_got(uidl, NOW - days * DAY, octets, &digest, &id);
		text += len + 1;
	}
}

static size_t
fill_rows(struct plan_row *rows, const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; n++) {
		char mark = *text == '!' || *text == '?' ? *text++ : ' ';
		uint64_t octets = take_number(&text);
		size_t len = strcspn(text, "\n");

		/* What was in a row before must not matter. */
		memset(&rows[n], 0x5a, sizeof rows[n]);
		rows[n].number = (uint32_t)n + 1;
		rows[n].octets = octets;
		rows[n].is_broken = mark != ' ';
		rows[n].is_next = mark == '!';
		row_ids[n] = id_of(text, len);
		rows[n].none = row_ids[n].none;
		text += len + 1;
	}
	return n;
}

/* As a roster does it, with a state that was just opened. */
static void
make_plan(struct plan_row *rows, const struct uidl_id *ids, size_t count,
	struct plan_grounds *grounds, struct plan_totals *totals)
{
	struct uidl_entry *entry;
	size_t at = 0;

	while ((entry = uidl_each(grounds->uidl, &at)) != NULL)
		entry->plan = 0;
	for (size_t i = 0; i < count; i++) {
		entry = ids[i].none ? NULL : uidl_find(grounds->uidl, &ids[i]);
		rows[i].entry = entry != NULL ? entry->index : UIDL_NO_ENTRY;
	}
	plan(rows, count, grounds->uidl, grounds->policy, totals);
	grounds->totals = totals;
}

static void
put_verdict(struct buf *out, const struct plan_row *row)
{
	static const char letters[] = {
		[PLAN_FETCH] = 'F',
		[PLAN_COMPARE] = 'C',
		[PLAN_DELETE] = 'D',
		[PLAN_LEAVE] = 'L',
		[PLAN_SKIP_BIG] = 'B',
		[PLAN_SKIP_LIMIT] = 'M',
		[PLAN_SKIP_OLD] = 'O',
		[PLAN_SKIP_BROKEN] = 'X',
	};

	if (out->len != 0)
		buf_append(out, " ", 1);
	buf_append(out, &letters[row->verdict], 1);
	if (row->delete_after)
		buf_append(out, "+", 1);
	if (row->delete_if_new)
		buf_append(out, "*", 1);
}

static bool
has_one_entry(const struct plan_row *row)
{
	return row->verdict == PLAN_LEAVE || row->verdict == PLAN_DELETE ||
		(row->verdict == PLAN_COMPARE && !row->is_shared);
}

static size_t
count_known(struct uidl *uidl, const struct uidl_id *id)
{
	size_t n = 0;

	for (struct uidl_entry *entry = uidl_find(uidl, id); entry != NULL;
		entry = uidl_find_next(uidl, entry))
		n++;
	return n;
}

/* Holds until the next call. */
static const char *
explain(const struct plan_row *row, const struct plan_grounds *grounds)
{
	static char reason[PLAN_REASON_SIZE];

	plan_explain(row, grounds, reason);
	return reason;
}

/* What holds for every plan. */
static void
check_rows(const struct plan_row *rows, size_t count, const struct plan_grounds *grounds)
{
	const struct plan_totals *totals = grounds->totals;
	struct plan_totals own = {0};
	char reason[PLAN_REASON_SIZE];

	for (size_t i = 0; i < count; i++) {
		const struct plan_row *row = &rows[i];
		const struct uidl_id *id = &row_ids[i];
		const struct uidl_entry *entry = uidl_entry_at(grounds->uidl, row->entry);
		size_t known = id->none ? 0 : count_known(grounds->uidl, id), listed = 0;
		bool is_fetched = row->verdict == PLAN_FETCH || row->verdict == PLAN_COMPARE;

		for (size_t k = 0; k < count; k++)
			listed += row_ids[k].len == id->len &&
				memcmp(row_ids[k].data, id->data, id->len) == 0;
		if (row->verdict == PLAN_COMPARE)
			CHECK(row->is_shared == (id->none || listed > 1 || known > 1));
		else
			CHECK(!row->is_shared);
		if (has_one_entry(row))
			CHECK(entry != NULL && entry->mark);
		for (size_t k = 0; has_one_entry(row) && k < i; k++)
			CHECK(rows[k].entry != row->entry || !has_one_entry(&rows[k]));
		plan_explain(row, grounds, reason);
		CHECK(reason[0] != '\0' && strlen(reason) < sizeof reason - 1);
		CHECK(is_fetched || (!row->delete_after && !row->delete_if_new));
		own.fetch += is_fetched;
		if (is_fetched && row->octets != LINK_OCTETS_UNKNOWN)
			own.fetch_octets += row->octets;
		own.delete += row->verdict == PLAN_DELETE;
		own.leave += row->verdict == PLAN_LEAVE;
	}
	for (size_t i = 0; i < count; i++)
		own.broken += rows[i].verdict == PLAN_SKIP_BROKEN;
	own.skip = (uint32_t)count - own.fetch - own.delete - own.leave - own.broken;
	CHECK(own.fetch == totals->fetch && own.fetch_octets == totals->fetch_octets);
	CHECK(own.delete == totals->delete &&own.leave == totals->leave);
	CHECK(own.skip == totals->skip && own.broken == totals->broken);
}

static void
check_marks(struct uidl *uidl, const char *unmarked)
{
	struct uidl_entry *entry;
	struct buf out = {0};
	char *text;
	size_t at = 0;

	while ((entry = uidl_each(uidl, &at)) != NULL) {
		struct uidl_id id = uidl_entry_id(uidl, entry);

		if (entry->mark)
			continue;
		if (out.len != 0)
			buf_append(&out, " ", 1);
		if (id.none)
			buf_append(&out, "%-", 2);
		buf_append(&out, id.data, id.len);
	}
	text = buf_take_string(&out);
	CHECK_STR(text, unmarked);
	free(text);
}

static void
test_cases(void)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int before = check_failures;
		struct plan_policy policy = cases[i].policy;
		char *name = xasprintf("case%zu", i), *text;
		struct uidl *uidl = open_state(name);
		struct plan_grounds grounds = {uidl, &policy, NULL};
		struct plan_totals totals;
		struct plan_row rows[8];
		struct buf verdicts = {0};
		size_t count;

		policy.now = NOW;
		fill_state(uidl, cases[i].state);
		count = fill_rows(rows, cases[i].listing);
		make_plan(rows, row_ids, count, &grounds, &totals);
		for (size_t k = 0; k < count; k++)
			put_verdict(&verdicts, &rows[k]);
		text = buf_take_string(&verdicts);
		CHECK_STR(text, cases[i].verdicts);
		check_rows(rows, count, &grounds);
		check_marks(uidl, cases[i].unmarked);
		if (cases[i].reason != NULL)
			CHECK_STR(explain(&rows[0], &grounds), cases[i].reason);
		plan_forget_grounds(&totals);
		free(text);
		free(name);
		uidl_close(uidl);
		if (check_failures != before)
			fprintf(stderr, "\tin the case \"%s\"\n", cases[i].name);
	}
}

/* Pairs of one id: each row gets the entry of its own size. */
static void
test_pairs(void)
{
	struct uidl *uidl = open_state("pairs");
	struct plan_policy policy = {
		.keep = {ACCOUNT_KEEP_NEVER, 0},
                  .now = NOW
        };
	struct plan_grounds grounds = {uidl, &policy, NULL};
	struct plan_totals totals;
	struct plan_row rows[4];
	size_t count;

	fill_state(uidl, "1 30 a\n2 10 a\n3 20 a\n4 10 a\n");
	count = fill_rows(rows, "10 a\n20 a\n30 a\n10 a\n");
	make_plan(rows, row_ids, count, &grounds, &totals);
	for (size_t i = 0; i < count; i++) {
		CHECK(rows[i].verdict == PLAN_DELETE);
		CHECK(uidl_entry_at(uidl, rows[i].entry)->octets == rows[i].octets);
	}
	CHECK(totals.delete == 4);
	plan_forget_grounds(&totals);
	uidl_close(uidl);
}

static void
test_extremes(void)
{
	struct uidl *uidl = open_state("extremes");
	struct plan_policy policy = {.max_size = UINT64_MAX - 1, .now = INT64_MAX};
	struct digest digest = {.bytes = {0}};
	struct uidl_id a = {"a", 1, false}, b = {"b", 1, false};
	struct plan_grounds grounds = {uidl, &policy, NULL};
	struct plan_totals totals;
	struct plan_row rows[4];
	size_t count;

	policy.keep = (struct account_keep){ACCOUNT_KEEP_AGE, 36 * 3600};
	/* Sizes that add up to more than there is, times beyond every calendar. */
	uidl_add_got(uidl, INT64_MAX, UINT64_MAX - 1, &digest, &a);
	uidl_add_got(uidl, 0, 1, &digest, &b);
	count = fill_rows(rows, "1 a\n1 b\n1 x\n1 y\n");
	rows[2].octets = rows[3].octets = UINT64_MAX - 1;
	make_plan(rows, row_ids, count, &grounds, &totals);
	CHECK(rows[0].verdict == PLAN_LEAVE);
	CHECK_STR(explain(&rows[0], &grounds), "known since a day far away");
	CHECK(rows[1].verdict == PLAN_DELETE);
	CHECK_STR(explain(&rows[1], &grounds), "known since 1970-01-01, older than 36 hours");
	CHECK(totals.fetch == 2 && totals.fetch_octets == UINT64_MAX);
	policy.now = 90;
	policy.keep.seconds = 90;
	make_plan(rows, row_ids, count, &grounds, &totals);
	CHECK_STR(explain(&rows[1], &grounds), "known since 1970-01-01, older than 90 seconds");
	policy.keep.kind = ACCOUNT_KEEP_NEVER;
	rows[0].octets = UINT64_MAX - 2;
	make_plan(rows, row_ids, count, &grounds, &totals);
	CHECK_STR(explain(&rows[0], &grounds),
		"known since a day far away, size 18446744073709551613, was 18446744073709551614");
	uidl_close(uidl);
}

/* Time grows with the rows: all alike, all known, all renumbered. Nothing else would end here. */
static void
test_many(void)
{
	enum { MANY = 200000 };
	struct uidl *uidl = open_state("many");
	struct plan_policy policy = {
		.keep = {ACCOUNT_KEEP_NEVER, 0},
                  .now = NOW
        };
	struct plan_row *rows = xcalloc(MANY, sizeof *rows);
	char(*uids)[16] = xcalloc(MANY, sizeof *uids);
	struct uidl_id *ids = xcalloc(MANY, sizeof *ids);
	struct plan_grounds grounds = {uidl, &policy, NULL};
	struct plan_totals totals;

	for (unsigned i = 0; i < MANY; i++) {
		struct digest digest = {.bytes = {(uint8_t)i}};

		int len = snprintf(uids[i], sizeof uids[i], "uid%u", i);

		rows[i].number = i + 1;
		rows[i].octets = i;
		ids[i] = (struct uidl_id){"same", 4, false};
		uidl_add_got(uidl, NOW - DAY, MANY - 1 - i, &digest, &ids[i]);
		uidl_add_got(uidl, NOW - DAY, i, &digest,
			&(struct uidl_id){uids[i], (size_t)len, false});
	}
	make_plan(rows, ids, MANY, &grounds, &totals);
	CHECK(totals.delete == MANY);
	plan_forget_grounds(&totals);
	rows[0].octets = MANY;
	make_plan(rows, ids, MANY, &grounds, &totals);
	CHECK(totals.fetch == MANY && rows[MANY - 1].verdict == PLAN_COMPARE);
	plan_forget_grounds(&totals);
	for (unsigned i = 0; i < MANY; i++)
		ids[i] = (struct uidl_id){uids[i], strlen(uids[i]), false};
	rows[0].octets = 0;
	make_plan(rows, ids, MANY, &grounds, &totals);
	CHECK(totals.delete == MANY);
	plan_forget_grounds(&totals);
	for (unsigned i = 0; i < MANY; i++)
		uids[i][0] = 'U';
	make_plan(rows, ids, MANY, &grounds, &totals);
	CHECK(totals.fetch == MANY && rows[MANY - 1].verdict == PLAN_FETCH);
	plan_forget_grounds(&totals);
	free(rows);
	free(ids);
	free(uids);
	uidl_close(uidl);
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
	if (mkdtemp(folder) == NULL || setenv("TZ", "UTC", 1) != 0)
		return 1;
	test_cases();
	test_pairs();
	test_extremes();
	test_many();
	remove_folder();
	return check_done();
}
