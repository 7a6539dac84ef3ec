/*
 * The UIDL state: what is committed is there again after a restart, whatever
 * happened to the end of the file; pop3 rules 16-18 (ids are opaque octets and a
 * multiset), 20 (state is never dropped in silence).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/xalloc.h"
#include "check.h"
#include "deliver/state/broken.h"
#include "deliver/state/record.h"
#include "deliver/state/sum.h"
#include "deliver/state/uidl.h"
#include "link/link.h"

#define HEADER "pophaul-uidl 1\n"
#define D1     "11111111111111111111111111111111"
#define D2     "22222222222222222222222222222222"
#define D3     "33333333333333333333333333333333"

static char folder[] = "/tmp/uidl_test.XXXXXX";

static struct uidl_id
id_of(const char *text)
{
	return (struct uidl_id){text, strlen(text), false};
}

static struct digest
digest_of(unsigned n)
{
	struct digest digest;

	memset(&digest, 0, sizeof digest);
	memcpy(digest.bytes, &n, sizeof n);
	return digest;
}

static char *
path_of(const char *name, const char *suffix)
{
	return xasprintf("%s/%s.%s", folder, name, suffix);
}

static void
write_state(const char *name, const void *text, size_t len)
{
	char *path = path_of(name, "uidl");
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct error err;

	CHECK(fd >= 0 && file_write_all(fd, text, len, path, &err) == 0);
	CHECK(file_close(fd, path, &err) == 0);
	free(path);
}

static struct buf
read_file(const char *path)
{
	struct buf text = {0};
	struct error err;

	CHECK(file_read_whole(path, SIZE_MAX / 2, &text, NULL, &err) == 0);
	return text;
}

static struct uidl *
open_state(const char *name, enum uidl_access access, char **damaged_out)
{
	struct error err = {.text = ""};
	struct uidl *uidl = uidl_open(folder, name, access, damaged_out, &err);

	if (!CHECK(uidl != NULL)) {
		fprintf(stderr, "\t%s\n", err.text);
		exit(1);
	}
	return uidl;
}

static void
commit(struct uidl *uidl)
{
	struct error err = {.text = ""};

	if (!CHECK(uidl_commit(uidl, &err) == 0))
		fprintf(stderr, "\t%s\n", err.text);
}

static int
compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Messages known as delivered and still listed when last seen. */
static size_t
count_got(struct uidl *uidl)
{
	size_t count = 0, at = 0;
	struct uidl_entry *entry;

	while ((entry = uidl_each(uidl, &at)) != NULL)
		count += entry->status == UIDL_GOT;
	return count;
}

/* All that a caller can see of the state, sorted; the caller frees. */
static char *
dump(struct uidl *uidl)
{
	const struct uidl_facts *facts = uidl_facts(uidl);
	struct uidl_entry *entry;
	struct buf out = {0};
	char **lines = NULL;
	size_t count = 0, at = 0;

	while ((entry = uidl_each(uidl, &at)) != NULL) {
		struct record record = {.kind = RECORD_GOT,
			.when = entry->when,
			.octets = entry->status != UIDL_GOT ? 0 : entry->octets,
			.digest = entry->digest,
			.id = uidl_entry_id(uidl, entry)};
		struct buf line = {0};

		/* A doubt of just now, and not of the second before. */
		if (entry->status == UIDL_OFF && llabs(entry->when - clock_wall_seconds()) < 60)
			record.when = 0;
		buf_printf(&line, "%d ", entry->status);
		record_format(&line, &record);
		lines = xreallocarray(lines, count + 1, sizeof *lines);
		lines[count++] = buf_take_string(&line);
	}
	if (count != 0)
		qsort(lines, count, sizeof *lines, compare_lines);
	for (size_t i = 0; i < count; i++) {
		buf_append_string(&out, lines[i]);
		free(lines[i]);
	}
	free(lines);
	buf_printf(&out, "count %zu login %lld %lld failures %u %lld %d numbers", count_got(uidl),
		(long long)facts->login_when, (long long)facts->login_delay, facts->failures,
		(long long)facts->failures_when, (int)facts->failures_class);
	for (int i = 0; i < UIDL_NUMBER_COUNT; i++)
		buf_printf(&out, " %lld", (long long)facts->numbers[i]);
	buf_append_string(&out, "\n");
	for (size_t i = 0; i < uidl_broken(uidl)->count; i++) {
		const struct broken_item *item = &uidl_broken(uidl)->list[i];
		struct record record = {.kind = RECORD_BROKE, .count = item->count, .id = item->id};

		record_format(&out, &record);
	}
	for (size_t i = 0; i < uidl_try_count(uidl); i++) {
		const struct uidl_try *try = uidl_try_at(uidl, i);
		struct record record = {.kind = RECORD_TRY,
			.text = try->token,
			.text_len = strlen(try->token),
			.octets = try->octets,
			.digest = try->digest,
			.id = try->id};

		buf_printf(&out, "%s ", try->dest != NULL ? try->dest : "nowhere");
		record_format(&out, &record);
	}
	return buf_take_string(&out);
}

/* Commit, close, open again: nothing may have changed. */
static struct uidl *
reopen(struct uidl *uidl, const char *name)
{
	char *before, *after, *damaged = NULL;

	commit(uidl);
	before = dump(uidl);
	uidl_close(uidl);
	uidl = open_state(name, UIDL_LOCKED, &damaged);
	CHECK(damaged == NULL);
	after = dump(uidl);
	CHECK_STR(after, before);
	free(before);
	free(after);
	return uidl;
}

static size_t
count_of(struct uidl *uidl, const struct uidl_id *id)
{
	size_t n = 0;

	for (struct uidl_entry *entry = uidl_find(uidl, id); entry != NULL;
		entry = uidl_find_next(uidl, entry))
		n++;
	return n;
}

static void
test_ids_are_opaque_octets(void)
{
	char octets[256], longest[LINK_UIDL_MAX];
	struct uidl_id ids[] = {
		{"",                    0,              false},
		{NULL,                  0,              true },
		{"%",                   1,              false},
		{"%-",                  2,              false},
		{"-",                   1,              false},
		{"a b",                 3,              false},
		{"a\nb",                3,              false},
		{"a\0b",                3,              false},
		{"A",                   1,              false},
		{"a",                   1,              false},
		{"a ",                  2,              false},
		{"UID1234-5/6:7@8<9>,", 19,             false},
		{octets,                sizeof octets,  false},
		{longest,               sizeof longest, false},
	};
	struct uidl *uidl = open_state("opaque", UIDL_LOCKED, NULL);
	size_t count = sizeof ids / sizeof *ids;
	struct uidl_id other = id_of("b");

	for (size_t i = 0; i < sizeof octets; i++)
		octets[i] = (char)i;
	memset(longest, '\xff', sizeof longest);
	for (size_t i = 0; i < count; i++) {
		struct digest digest = digest_of((unsigned)i);

		CHECK(uidl_find(uidl, &ids[i]) == NULL);
		uidl_add_got(uidl, 1000 + (int64_t)i,
			i == 3 ? LINK_OCTETS_UNKNOWN : UINT64_MAX - 2 - i, &digest, &ids[i]);
	}
	uidl = reopen(uidl, "opaque");
	for (size_t i = 0; i < count; i++) {
		struct uidl_entry *entry = uidl_find(uidl, &ids[i]);
		struct digest digest = digest_of((unsigned)i);
		struct uidl_id id;

		if (!CHECK(entry != NULL))
			continue;
		id = uidl_entry_id(uidl, entry);
		CHECK(id.none == ids[i].none);
		CHECK_BYTES(id.data, id.len, ids[i].data, ids[i].len);
		CHECK_BYTES(entry->digest.bytes, DIGEST_SIZE, digest.bytes, DIGEST_SIZE);
		CHECK(entry->when == 1000 + (int64_t)i && !entry->mark);
		CHECK(entry->octets == (i == 3 ? LINK_OCTETS_UNKNOWN : UINT64_MAX - 2 - i));
		CHECK(uidl_find_next(uidl, entry) == NULL);
	}
	CHECK(uidl_find(uidl, &other) == NULL);
	CHECK(count_got(uidl) == count);
	uidl_close(uidl);
}

/* Ids lie in blocks of 64 KiB: one that is full to its end, and then an empty id. */
static void
test_ids_fill_a_block(void)
{
	struct uidl *uidl = open_state("blocks", UIDL_LOCKED, NULL);
	char longest[LINK_UIDL_MAX];
	struct uidl_id id = {longest, sizeof longest, false};
	struct digest digest = digest_of(1);

	memset(longest, 'x', sizeof longest);
	for (size_t i = 0; i < 65536 / sizeof longest; i++)
		uidl_add_got(uidl, 1, 1, &digest, &id);
	uidl_add_got(uidl, 2, 2, &digest, &(struct uidl_id){"", 0, false});
	uidl_add_got(uidl, 3, 3, &digest, &(struct uidl_id){"y", 1, false});
	uidl = reopen(uidl, "blocks");
	CHECK(count_of(uidl, &id) == 16 && count_got(uidl) == 18);
	uidl_close(uidl);
}

static void
test_ids_are_a_multiset(void)
{
	struct uidl *uidl = open_state("multiset", UIDL_LOCKED, NULL);
	struct uidl_id a = id_of("a"), b = id_of("b");
	struct digest d1 = digest_of(1), d2 = digest_of(2), d3 = digest_of(3);
	struct uidl_entry *entry;

	uidl_add_got(uidl, 10, 100, &d1, &a);
	uidl_add_got(uidl, 11, 101, &d2, &a);
	uidl_add_got(uidl, 12, 102, &d3, &a);
	uidl_add_got(uidl, 13, 103, &d1, &b);
	CHECK(count_of(uidl, &a) == 3 && count_of(uidl, &b) == 1);
	uidl = reopen(uidl, "multiset");
	CHECK(count_of(uidl, &a) == 3 && count_of(uidl, &b) == 1);

	/* The digest says which one is gone, in memory and after a restart. */
	entry = uidl_find_exact(uidl, &a, &d2);
	CHECK(entry != NULL && entry->when == 11);
	uidl_add_bye(uidl, entry);
	CHECK(uidl_find_exact(uidl, &a, &d2) == NULL);
	entry = uidl_find_exact(uidl, &a, &d1);
	CHECK(entry != NULL && entry->when == 10);
	uidl_add_off(uidl, entry, 5000);
	CHECK(count_of(uidl, &a) == 1 && uidl_find(uidl, &a)->when == 12);
	uidl_add_off(uidl, entry, 6000);
	CHECK(entry->when == 5000);
	uidl = reopen(uidl, "multiset");
	CHECK(count_of(uidl, &a) == 1 && uidl_find(uidl, &a)->when == 12);
	CHECK(count_got(uidl) == 2);

	/* A marked one is not found twice. */
	entry = uidl_find_digest(uidl, &d1);
	CHECK(entry != NULL && entry->status == UIDL_OFF && entry->when == 5000);
	entry->mark = true;
	CHECK(uidl_find_digest(uidl, &d1) == NULL);
	entry = uidl_find_exact(uidl, &b, &d1);
	CHECK(entry != NULL);
	entry->mark = true;
	CHECK(uidl_find_exact(uidl, &b, &d1) == NULL);
	CHECK(uidl_find(uidl, &b) == entry);
	uidl_close(uidl);
}

static void
test_digest_finds_the_vanished(void)
{
	struct uidl *uidl = open_state("vanished", UIDL_LOCKED, NULL);
	struct uidl_id a = id_of("a"), b = id_of("b"), none = {NULL, 0, true};
	struct digest d1 = digest_of(1), d2 = digest_of(2);
	struct uidl_entry *entry;

	/* The index is made when it is first asked, and kept up from then on. */
	uidl_add_got(uidl, 1, 1, &d1, &a);
	CHECK(uidl_find_digest(uidl, &d1) == NULL);
	uidl_add_off(uidl, uidl_find(uidl, &a), 2);
	CHECK(uidl_find(uidl, &a) == NULL);
	CHECK(uidl_find_digest(uidl, &d1) != NULL && uidl_find_digest(uidl, &d2) == NULL);
	uidl_add_got(uidl, 3, 1, &d2, &none);
	entry = uidl_find_digest(uidl, &d2);
	CHECK(entry != NULL && entry->none && entry->status == UIDL_GOT);
	CHECK(uidl_find_exact(uidl, &none, &d2) == entry);
	CHECK(uidl_find_exact(uidl, &none, &d1) == NULL);

	/* Renumbered: the old entry goes, the new one stays, on disk too. */
	uidl_add_got(uidl, 4, 1, &d1, &b);
	uidl_add_bye(uidl, uidl_find_digest(uidl, &d1));
	CHECK(uidl_find_digest(uidl, &d1) == NULL && uidl_find(uidl, &b) != NULL);
	uidl = reopen(uidl, "vanished");
	CHECK(uidl_find_digest(uidl, &d1) == NULL && uidl_find(uidl, &b) != NULL);

	/* The same id and digest, once off and once listed: `drop` takes the one that is off. */
	uidl_add_off(uidl, uidl_find(uidl, &b), 5);
	uidl_add_got(uidl, 6, 1, &d1, &b);
	uidl = reopen(uidl, "vanished");
	uidl_add_bye(uidl, uidl_find_digest(uidl, &d1));
	uidl = reopen(uidl, "vanished");
	CHECK(uidl_find_digest(uidl, &d1) == NULL);
	CHECK(uidl_find(uidl, &b) != NULL && uidl_find(uidl, &b)->when == 6);

	/* Without an id and off, both of one digest. */
	uidl_add_got(uidl, 7, 1, &d2, &none);
	uidl_add_off(uidl, uidl_find_exact(uidl, &none, &d2), 8);
	uidl = reopen(uidl, "vanished");
	CHECK(count_of(uidl, &none) == 1);
	uidl_add_bye(uidl, uidl_find_exact(uidl, &none, &d2));
	uidl = reopen(uidl, "vanished");
	CHECK(count_of(uidl, &none) == 0);
	CHECK(uidl_find_digest(uidl, &d2) != NULL);
	uidl_close(uidl);
}

/* Deleted, as the server says: known by id and digest together, until it is shown to be gone. */
static void
test_gone(void)
{
	struct uidl *uidl = open_state("gone", UIDL_LOCKED, NULL);
	struct uidl_id a = id_of("a"), b = id_of("b c");
	struct digest d1 = digest_of(1), d2 = digest_of(2);
	struct error err;

	uidl_add_got(uidl, 1, 1, &d1, &a);
	uidl_add_got(uidl, 1, 1, &d2, &a);
	uidl_add_got(uidl, 1, 1, &d1, &b);
	CHECK(uidl_find_gone(uidl, &a, &d1) == NULL);
	uidl_add_gone(uidl, uidl_find_exact(uidl, &a, &d1), 5);
	uidl_add_gone(uidl, uidl_find(uidl, &b), 6);
	for (int round = 0; round < 3; round++) {
		uidl = reopen(uidl, "gone");
		CHECK(count_of(uidl, &a) == 1 && count_of(uidl, &b) == 0);
		CHECK(uidl_find_gone(uidl, &a, &d1)->when == 5);
		CHECK(uidl_find_gone(uidl, &b, &d1)->when == 6);
		CHECK(uidl_find_gone(uidl, &b, &d2) == NULL);
		CHECK(uidl_find_gone(uidl, &a, &d2) == NULL);
		/* Under another id it is another message. */
		CHECK(uidl_find_digest(uidl, &d1) == NULL);
		/* The same in a file that is written anew. */
		for (int i = 0; i < 300; i++)
			uidl_add_login(uidl, i, 0);
		commit(uidl);
		CHECK(uidl_compact(uidl, 7, &err) == 0);
	}
	/* It comes again: recorded, and only the one is forgotten. */
	uidl_add_got(uidl, 7, 1, &d1, &a);
	uidl_add_bye(uidl, uidl_find_gone(uidl, &a, &d1));
	uidl = reopen(uidl, "gone");
	CHECK(count_of(uidl, &a) == 2 && uidl_find_gone(uidl, &a, &d1) == NULL);
	CHECK(uidl_find_gone(uidl, &b, &d1) != NULL);
	uidl_find_gone(uidl, &b, &d1)->mark = true;
	CHECK(uidl_find_gone(uidl, &b, &d1) == NULL);
	/* 30 days are enough. */
	for (int i = 0; i < 300; i++)
		uidl_add_login(uidl, i, 0);
	commit(uidl);
	CHECK(uidl_compact(uidl, 7 + UIDL_OFF_SECONDS, &err) == 0);
	uidl = reopen(uidl, "gone");
	CHECK(uidl_find_gone(uidl, &b, &d1) == NULL && count_of(uidl, &a) == 2);
	uidl_close(uidl);
}

/* Where the log is damaged its id may be another: the digest alone must do. */
static void
test_gone_in_doubt(void)
{
	static const char text[] =
		HEADER "got 5 6 " D1 " x\ngone 7 x\ngone 7 y " D2 "\ndrop " D2 " y\nsum 00000000\n";
	struct uidl_id x = id_of("x"), y = id_of("y");
	struct digest d1, d2;
	struct uidl *uidl;

	CHECK(digest_from_hex(D1, strlen(D1), &d1) == 0);
	CHECK(digest_from_hex(D2, strlen(D2), &d2) == 0);
	write_state("gonedoubt", text, sizeof text - 1);
	uidl = open_state("gonedoubt", UIDL_READ_ONLY, NULL);
	CHECK(uidl_find_digest(uidl, &d1) != NULL && uidl_find_digest(uidl, &d2) != NULL);
	CHECK(uidl_find_gone(uidl, &x, &d1) == NULL && uidl_find_gone(uidl, &y, &d2) == NULL);
	uidl_close(uidl);
}

/* Messages that break sessions. */
static void
test_broken(void)
{
	struct uidl *uidl = open_state("broken", UIDL_LOCKED, NULL);
	struct uidl_id a = id_of("a"), b = id_of("b c"), empty = id_of(""), none = {NULL, 0, true};
	char uid[16];

	uidl_add_broken(uidl, &b, 1);
	uidl_add_broken(uidl, &a, 1);
	uidl_add_broken(uidl, &a, 2);
	uidl_add_broken(uidl, &empty, 3);
	uidl_add_broken(uidl, &none, 4);
	uidl = reopen(uidl, "broken");
	CHECK(uidl_broken(uidl)->count == 3);
	CHECK(broken_count(uidl_broken(uidl), &a) == 2 && broken_count(uidl_broken(uidl), &b) == 1);
	CHECK(broken_count(uidl_broken(uidl), &empty) == 3);
	CHECK(broken_count(uidl_broken(uidl), &none) == 0);
	uidl_add_broken(uidl, &uidl_broken(uidl)->list[1].id, 0);
	uidl = reopen(uidl, "broken");
	CHECK(uidl_broken(uidl)->count == 2 && broken_count(uidl_broken(uidl), &a) == 0);
	/* There is an end to it, and what is known goes on being counted. */
	for (unsigned i = 0; i < 2 * BROKEN_MAX; i++) {
		struct uidl_id id = {uid, 0, false};

		id.len = (size_t)snprintf(uid, sizeof uid, "%u", i * 7919);
		uidl_add_broken(uidl, &id, 1);
	}
	uidl_add_broken(uidl, &b, 9);
	uidl = reopen(uidl, "broken");
	CHECK(uidl_broken(uidl)->count == BROKEN_MAX);
	CHECK(broken_count(uidl_broken(uidl), &b) == 9);
	uidl_close(uidl);
}

static void
test_facts(void)
{
	struct uidl *uidl = open_state("facts", UIDL_LOCKED, NULL);
	const struct uidl_facts *facts = uidl_facts(uidl);

	CHECK(facts->login_when == 0 && facts->numbers[UIDL_LOCK_STEP_WHEN] == 0 &&
		facts->failures == 0);
	uidl_add_login(uidl, 1000, 0);
	uidl_add_login(uidl, 2000, 300);
	for (int i = 0; i < UIDL_NUMBER_COUNT; i++)
		uidl_add_number(uidl, (enum uidl_number)i, 2001 + i);
	uidl_add_failures(uidl, 3, 2002, ERROR_TLS);
	uidl_add_dest(uidl, "pipe:procmail -d jane 100%\n");
	uidl_add_dest(uidl, "pipe:procmail -d jane 100%\n");
	uidl = reopen(uidl, "facts");
	facts = uidl_facts(uidl);
	CHECK(facts->login_when == 2000 && facts->login_delay == 300);
	for (int i = 0; i < UIDL_NUMBER_COUNT; i++)
		CHECK(facts->numbers[i] == 2001 + i);
	CHECK(facts->failures == 3 && facts->failures_when == 2002);
	CHECK(facts->failures_class == ERROR_TLS);
	uidl_add_failures(uidl, 0, 0, ERROR_NET);
	uidl = reopen(uidl, "facts");
	CHECK(uidl_facts(uidl)->failures == 0);
	uidl_close(uidl);
}

static void
test_tries(void)
{
	struct uidl *uidl = open_state("tries", UIDL_LOCKED, NULL);
	struct uidl_id a = id_of("a"), b = id_of("b c"), c = id_of("c");
	struct digest d1 = digest_of(1), d2 = digest_of(2), d3 = digest_of(3);

	uidl_add_try(uidl, "before", 0, &d3, &c);
	uidl_add_dest(uidl, "maildir:/tmp/x y");
	uidl_add_try(uidl, "first", 100, &d1, &a);
	uidl_add_try(uidl, "second:2,%", LINK_OCTETS_UNKNOWN, &d2, &b);
	CHECK(uidl_try_count(uidl) == 0);
	commit(uidl);
	uidl_add_got(uidl, 5, 100, &d1, &a);
	commit(uidl);
	uidl_close(uidl);

	/* What has no `got` is told; told again when the recovery was not committed. */
	for (int round = 0; round < 3; round++) {
		const struct uidl_try *try;

		uidl = open_state("tries", UIDL_LOCKED, NULL);
		if (!CHECK(uidl_try_count(uidl) == 2))
			return;
		CHECK(uidl_try_at(uidl, 0)->dest == NULL);
		try = uidl_try_at(uidl, 1);
		CHECK_STR(try->dest, "maildir:/tmp/x y");
		CHECK_STR(try->token, "second:2,%");
		CHECK(try->octets == LINK_OCTETS_UNKNOWN);
		CHECK_BYTES(try->id.data, try->id.len, "b c", 3);
		CHECK(count_got(uidl) == 1);
		uidl_add_got(uidl, 6, try->octets, &try->digest, &try->id);
		CHECK(uidl_try_count(uidl) == 2);
		uidl_clear_tries(uidl);
		CHECK(uidl_try_count(uidl) == 0 && count_got(uidl) == 2);
		if (round == 2)
			commit(uidl);
		uidl_close(uidl);
	}
	uidl = open_state("tries", UIDL_LOCKED, NULL);
	CHECK(uidl_try_count(uidl) == 0 && count_got(uidl) == 2);

	/* Of two tries of one message only one was published. */
	uidl_add_try(uidl, "one", 1, &d3, &c);
	uidl_add_try(uidl, "two", 1, &d3, &c);
	uidl_add_got(uidl, 7, 1, &d3, &c);
	commit(uidl);
	uidl_close(uidl);
	uidl = open_state("tries", UIDL_READ_ONLY, NULL);
	CHECK(uidl_try_count(uidl) == 1 && strcmp(uidl_try_at(uidl, 0)->token, "two") == 0);
	uidl_close(uidl);

	/* A try of this session that failed is ended by it. */
	uidl = open_state("tries", UIDL_LOCKED, NULL);
	uidl_clear_tries(uidl);
	uidl_add_try(uidl, "failed", 1, &d3, &c);
	uidl_clear_tries(uidl);
	uidl_clear_tries(uidl);
	uidl = reopen(uidl, "tries");
	CHECK(uidl_try_count(uidl) == 0);
	uidl_close(uidl);
}

/* What becomes of a file's text with a right sum behind its whole lines. */
/* clang-format off */
static const struct {
	const char *name;
	const char *text;
	size_t count; /* messages that are got; when it is damaged: that are off */
	bool is_damaged;
} files[] = {
	{"header only", HEADER, 0, false},
	{"empty", "", 0, true},
	{"cut in the header", "pophaul-ui", 0, true},
	{"header without its end", "pophaul-uidl 1", 0, true},
	{"one", HEADER "got 5 6 " D1 " x\n", 1, false},
	{"torn", HEADER "got 5 6 " D1 " x\ngot 5 6 " D2 " y", 1, false},
	{"torn after a space", HEADER "got 5 6 " D1 " x\nbye ", 1, false},
	{"torn NULs", HEADER "got 5 6 " D1 " x\n\1\2", 1, false},
	{"doubled lines", HEADER "got 5 6 " D1 " x\ngot 5 6 " D1 " x\n", 2, false},
	{"doubled bye", HEADER "got 5 6 " D1 " x\nbye x\nbye x\nbye y " D1 "\n", 0, false},
	{"bye of one of two", HEADER "got 5 6 " D1 " x\ngot 5 6 " D2 " x\nbye x " D1 "\n", 1, false},
	{"off", HEADER "got 5 6 " D1 " x\noff 9 x\noff 9 x\n", 0, false},
	{"off for itself", HEADER "off 9 x " D1 "\n", 0, false},
	{"drop of nothing", HEADER "drop " D1 "\nend\n", 0, false},
	{"facts of later versions", HEADER "fact moon 5 full\nfact failures 2 7 lunar\n", 0, false},
	{"damage in the middle", HEADER "got 5 6 " D1 " x\nrubbish\ngot 5 6 " D2 " y\n", 2, true},
	{"damage, torn", HEADER "rubbish\ngot 5 6 " D2 " y\ngot 5", 1, true},
	{"damage, bye", HEADER "got 5 6 " D1 " x\nbye x\nrubbish\n", 1, true},
	{"damage, off", HEADER "got 5 6 " D1 " x\noff 9 x\nrubbish\n", 1, true},
	{"damage, off of one of two",
		HEADER "got 5 6 " D1 " x\ngot 5 6 " D2 " x\noff 9 x " D1 "\nrubbish\n", 2, true},
	{"damage, drop", HEADER "off 9 x " D1 "\ndrop " D1 "\nrubbish\n", 1, true},
	{"damage, facts that keep from the mail",
		HEADER "fact login 5 6\nfact unquit 7\nfact lockstep 7\nfact failures 2 7 auth\nrubbish\n", 0, true},
	{"damage, facts that doubt", HEADER "fact deleting 5\nfact emptied 0\nfact id 7\nrubbish\n", 0, true},
	{"no header", "got 5 6 " D1 " x\n", 1, true},
	{"another file", "#!/bin/sh\n", 0, true},
	{"empty line", HEADER "\n", 0, true},
	{"CR", HEADER "bye x\r\n", 0, true},
	{"space at the end", HEADER "bye x \n", 0, true},
	{"two spaces", HEADER "bye  x\n", 0, true},
	{"a field too many", HEADER "got 5 6 " D1 " x y\n", 0, true},
	{"a field too few", HEADER "got 5 6 " D1 "\n", 0, true},
	{"end of what", HEADER "end x\n", 0, true},
	{"8-bit", HEADER "bye \xc3\xa4\n", 0, true},
	{"bad code", HEADER "bye %4\nbye %G0\nbye %-x\n", 0, true},
	{"short digest", HEADER "got 5 6 1111 x\n", 0, true},
	{"negative", HEADER "got -5 6 " D1 " x\n", 0, true},
	{"too great", HEADER "got 9223372036854775808 6 " D1 " x\n", 0, true},
	{"great", HEADER "got 9223372036854775807 18446744073709551614 " D1 " x\n", 1, false},
	{"octets too great", HEADER "got 5 18446744073709551616 " D1 " x\n", 0, true},
	{"not told, empty, none", HEADER "got 5 - " D1 " %\ngot 5 - " D1 " %-\n", 2, false},
	{"short sum", HEADER "got 5 6 " D1 " x\nsum 1234567\n", 1, true},
	{"long sum", HEADER "got 5 6 " D1 " x\nsum 123456789\n", 1, true},
	{"sum of no digits", HEADER "got 5 6 " D1 " x\nsum 0x123456\n", 1, true},
	{"sum in capitals", HEADER "got 5 6 " D1 " x\nsum ABCDEFAB\n", 1, true},
	{"wrong sum", HEADER "got 5 6 " D1 " x\nsum 12345678\n", 1, true},
};
/* clang-format on */

/* As zlib has it, bit by bit. */
static uint32_t
slow_sum(uint32_t sum, const char *text, size_t len)
{
	sum = ~sum;
	for (size_t i = 0; i < len; i++) {
		sum ^= (unsigned char)text[i];
		for (int bit = 0; bit < 8; bit++)
			sum = sum >> 1 ^ ((sum & 1) != 0 ? UINT32_C(0xedb88320) : 0);
	}
	return ~sum;
}

/* `text` with a right sum behind its last whole line; `sum` is that of what stands before it. */
static struct buf
with_sum(uint32_t *sum, const char *text)
{
	const char *end = strrchr(text, '\n');
	size_t whole = end != NULL ? (size_t)(end + 1 - text) : 0;
	struct buf out = {0};

	buf_append(&out, text, whole);
	*sum = slow_sum(*sum, text, whole);
	if (whole != 0)
		buf_printf(&out, "sum %08x\n", *sum);
	buf_append_string(&out, text + whole);
	return out;
}

static size_t
count_status(struct uidl *uidl, enum uidl_status status)
{
	size_t count = 0, at = 0;
	struct uidl_entry *entry;

	while ((entry = uidl_each(uidl, &at)) != NULL)
		count += entry->status == status;
	return count;
}

static void
test_sums(void)
{
	static const char check[] = "123456789";
	char text[100];

	CHECK(sum_add(SUM_START, check, 9) == 0xcbf43926);
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)(i * 37);
	for (size_t len = 0; len <= sizeof text; len++)
		for (size_t split = 0; split <= len; split++)
			CHECK(sum_add(sum_add(SUM_START, text, split), text + split, len - split) ==
				slow_sum(SUM_START, text, len));
}

struct tries_case {
	const char *blocks[3]; /* each with its sum, but one that begins with '!' */
	size_t count;
	bool in_doubt, is_damaged;
};

/*
 * Behind damage a try is in doubt, for its `end` may be what was damaged; that of a damaged block
 * is not one. The doubt stays in the new file until it is settled.
 */
static void
test_doubtful_tries(void)
{
	static const struct tries_case cases[] = {
		{{HEADER "try T 5 " D3 " z\n"},                         1, false, false},
		{{"!" HEADER "try T 5 " D3 " z\n"},                     1, true,  false},
		{{"!" HEADER "try T 5 " D3 " z\nend\n"},                1, true,  false},
		{{HEADER "try T 5 " D3 " z\n", "!got 5 5 " D1 " a\n"},  1, true,  false},
		{{HEADER "try T 5 " D3 " z\n", "!end\n"},               1, true,  false},
		{{HEADER "try T 5 " D3 " z\n", "end\n"},                0, false, false},
		{{HEADER "try T 5 " D3 " z\n", "!rubbish\n"},           1, true,  true },
		{{HEADER "try T 5 " D3 " z\n", "!end\nsum 00000000\n"}, 1, true,  true },
		{{HEADER "try T 5 " D3 " z\nrubbish\n", "end\n"},       0, false, true },
		{{"!" HEADER "try T 5 " D3 " z\nrubbish\n"},            0, false, true },
		{{HEADER "rubbish\n", "try T 5 " D3 " z\n"},            1, true,  true },
		{{HEADER "rubbish\n", "!try T 5 " D3 " z\n"},           1, true,  true },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf text = {0};
		struct uidl *uidl;
		char *damaged = NULL;
		uint32_t sum = SUM_START;
		int before = check_failures;

		for (int n = 0; n < 3 && cases[i].blocks[n] != NULL; n++) {
			const char *block = cases[i].blocks[n];
			struct buf summed = with_sum(&sum, block);

			if (*block == '!')
				buf_append_string(&text, block + 1);
			else
				buf_append(&text, buf_data(&summed), summed.len);
			buf_release(&summed);
		}
		write_state("doubt", buf_data(&text), text.len);
		for (int round = 0; round < 2; round++) {
			uidl = open_state("doubt", UIDL_LOCKED, &damaged);
			CHECK((damaged != NULL) == (cases[i].is_damaged && round == 0));
			CHECK(uidl_try_count(uidl) == cases[i].count);
			CHECK(cases[i].count == 0 ||
				uidl_try_at(uidl, 0)->in_doubt == cases[i].in_doubt);
			uidl_close(uidl);
			CHECK(damaged == NULL || unlink(damaged) == 0);
			free(damaged);
		}
		/* Settled, it is no longer there, and nothing else is in doubt. */
		uidl = open_state("doubt", UIDL_LOCKED, NULL);
		uidl_clear_tries(uidl);
		commit(uidl);
		uidl_close(uidl);
		uidl = open_state("doubt", UIDL_LOCKED, NULL);
		CHECK(uidl_try_count(uidl) == 0 && uidl_doubt(uidl)->first_line == 0);
		uidl_close(uidl);
		buf_release(&text);
		if (check_failures != before)
			fprintf(stderr, "\tin case %zu\n", i);
	}
}

/* Open it, twice, as a user does: the second time there is nothing to repair any more. */
static void
check_file(size_t i, const char *path, const struct buf *text)
{
	enum uidl_status status = files[i].is_damaged ? UIDL_OFF : UIDL_GOT;
	char *damaged = NULL, *seen, *seen_again;
	struct uidl *uidl = open_state("file", UIDL_LOCKED, &damaged);
	struct buf after;

	CHECK(count_status(uidl, status) == files[i].count);
	CHECK(!files[i].is_damaged || count_got(uidl) == 0);
	CHECK((damaged != NULL) == files[i].is_damaged);
	CHECK(uidl_doubt(uidl)->is_damaged == files[i].is_damaged);
	seen = dump(uidl);
	uidl_close(uidl);
	if (damaged != NULL) {
		after = read_file(damaged);
		CHECK_BYTES(buf_data(&after), after.len, buf_data(text), text->len);
		CHECK(unlink(damaged) == 0);
	} else {
		const char *torn = memrchr(buf_data(text), '\n', text->len);

		after = read_file(path);
		CHECK_BYTES(buf_data(&after), after.len, buf_data(text),
			(size_t)(torn + 1 - buf_data(text)));
	}
	buf_release(&after);
	free(damaged);

	uidl = open_state("file", UIDL_LOCKED, &damaged);
	CHECK(damaged == NULL && uidl_doubt(uidl)->first_line == 0);
	seen_again = dump(uidl);
	CHECK_STR(seen_again, seen);
	uidl_close(uidl);
	free(seen);
	free(seen_again);
}

static void
test_files(void)
{
	char *path = path_of("file", "uidl"), *damaged = NULL;

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		int before_failures = check_failures;
		uint32_t sum = SUM_START;
		struct buf text = with_sum(&sum, files[i].text), after;
		struct uidl *uidl;

		/* Reading alone sees the same and changes nothing. */
		write_state("file", buf_data(&text), text.len);
		uidl = open_state("file", UIDL_READ_ONLY, &damaged);
		CHECK(count_status(uidl, files[i].is_damaged ? UIDL_OFF : UIDL_GOT) ==
			files[i].count);
		CHECK(damaged == NULL);
		uidl_close(uidl);
		after = read_file(path);
		CHECK_BYTES(buf_data(&after), after.len, buf_data(&text), text.len);
		buf_release(&after);

		check_file(i, path, &text);
		buf_release(&text);
		if (check_failures != before_failures)
			fprintf(stderr, "\tin the file \"%s\"\n", files[i].name);
	}
	free(path);
}

/* What a damaged log says of itself is believed only where that costs a download at most. */
static void
test_doubtful_facts(void)
{
	static const char text[] =
		HEADER "fact login 5 6\nfact unquit 7\nfact lockstep 7\nfact failures 2 7 auth\n"
		       "fact deleting 8\nfact deleting 0\nfact emptied 9\nfact id 10\n"
		       "sum 00000000\n";
	static const int64_t wanted[UIDL_NUMBER_COUNT] = {
		[UIDL_DELETING_WHEN] = 8, [UIDL_EMPTIED_WHEN] = 9, [UIDL_ID] = 10};
	const struct uidl_facts *facts;
	struct uidl *uidl;

	write_state("doubtfacts", text, sizeof text - 1);
	uidl = open_state("doubtfacts", UIDL_READ_ONLY, NULL);
	facts = uidl_facts(uidl);
	CHECK(facts->login_when == 0 && facts->login_delay == 0 && facts->failures == 0);
	CHECK_BYTES(facts->numbers, sizeof facts->numbers, wanted, sizeof wanted);
	CHECK(uidl_doubt(uidl)->first_line == 1 && uidl_doubt(uidl)->last_line == 10);
	uidl_close(uidl);
}

/*
 * Three commits, of which whole ones are missing, doubled, or swapped: each with a sum that is its
 * own.
 */
static void
test_whole_commits(void)
{
	static const struct {
		const char *order;
		bool is_damaged;
	} cases[] = {
		{"abc",  false},
		{"ab",   false},
		{"a",    false},
		{"ac",   true },
		{"bc",   true },
		{"acb",  true },
		{"abbc", true },
		{"aabc", true },
		{"abcc", true },
		{"abca", true },
	};
	static const char *const texts[] = {
		HEADER "got 5 6 " D1 " x\n", "bye x\n", "got 5 6 " D2 " x\n"};
	struct buf blocks[3];
	uint32_t sum = SUM_START;

	for (int i = 0; i < 3; i++)
		blocks[i] = with_sum(&sum, texts[i]);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf text = {0};
		struct uidl *uidl;

		for (const char *p = cases[i].order; *p != '\0'; p++)
			buf_append(&text, buf_data(&blocks[*p - 'a']), blocks[*p - 'a'].len);
		write_state("commits", buf_data(&text), text.len);
		buf_release(&text);
		uidl = open_state("commits", UIDL_READ_ONLY, NULL);
		if (!CHECK(uidl_doubt(uidl)->is_damaged == cases[i].is_damaged))
			fprintf(stderr, "\tcommits %s\n", cases[i].order);
		CHECK(!cases[i].is_damaged || count_got(uidl) == 0);
		uidl_close(uidl);
	}
	for (int i = 0; i < 3; i++)
		buf_release(&blocks[i]);
}

/* One sum a commit, behind its lines, as any other program reckons it. */
static void
test_commits_have_sums(void)
{
	struct uidl *uidl = open_state("summed", UIDL_LOCKED, NULL);
	char *path = path_of("summed", "uidl");
	struct digest digest = digest_of(1);
	struct uidl_id id = id_of("x");
	struct buf text, want = {0}, block;
	uint32_t sum = SUM_START;
	static const char *const blocks[] = {HEADER, "got 1 2 01000000000000000000000000000000 x\n",
		"got 3 4 01000000000000000000000000000000 x\nfact unquit 5\n"};

	uidl_add_got(uidl, 1, 2, &digest, &id);
	commit(uidl);
	commit(uidl);
	uidl_close(uidl);
	uidl = open_state("summed", UIDL_LOCKED, NULL);
	uidl_add_got(uidl, 3, 4, &digest, &id);
	uidl_add_number(uidl, UIDL_UNQUIT_WHEN, 5);
	commit(uidl);
	uidl_close(uidl);
	for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
		block = with_sum(&sum, blocks[i]);
		buf_append(&want, buf_data(&block), block.len);
		buf_release(&block);
	}
	text = read_file(path);
	CHECK_BYTES(buf_data(&text), text.len, buf_data(&want), want.len);
	buf_release(&text);
	buf_release(&want);
	free(path);
}

/*
 * A file by hand, and what somebody wrote behind the last sum: nothing is lost, nothing is known by
 * its id alone.
 */
static void
test_without_sums(void)
{
	static const char text[] = HEADER "got 5 6 " D1 " x\ngot 5 6 " D2 " y\nbye x\n";
	uint32_t sum = SUM_START;
	struct buf mixed = with_sum(&sum, HEADER "got 5 6 " D1 " x\ngot 5 6 " D3 " z\n");
	struct uidl_id x = id_of("x"), y = id_of("y"), z = id_of("z");
	char *damaged = NULL;
	struct uidl *uidl;

	write_state("unsummed", text, sizeof text - 1);
	uidl = open_state("unsummed", UIDL_LOCKED, &damaged);
	CHECK(damaged == NULL && !uidl_doubt(uidl)->is_damaged);
	CHECK(uidl_doubt(uidl)->first_line == 1 && uidl_doubt(uidl)->last_line == 4);
	CHECK(count_got(uidl) == 0 && count_status(uidl, UIDL_OFF) == 2);
	uidl = reopen(uidl, "unsummed");
	CHECK(uidl_doubt(uidl)->first_line == 0);
	uidl_close(uidl);

	buf_append_string(&mixed, "got 5 6 " D2 " y\nbye x\n");
	write_state("unsummed", buf_data(&mixed), mixed.len);
	uidl = open_state("unsummed", UIDL_LOCKED, &damaged);
	CHECK(damaged == NULL && uidl_doubt(uidl)->first_line == 5);
	CHECK(uidl_find(uidl, &z) != NULL && uidl_find(uidl, &x) == NULL);
	CHECK(uidl_find(uidl, &y) == NULL && count_status(uidl, UIDL_OFF) == 2);
	uidl = reopen(uidl, "unsummed");
	uidl_close(uidl);
	buf_release(&mixed);
}

static void
test_refusals(void)
{
	static const char *const texts[] = {
		"pophaul-uidl 2\ngot 5 6 " D1 " x\n",
		"pophaul-uidl 2",
		"pophaul-uidl 12\n",
		"pophaul-uidl 1 new\n",
	};
	char *path = path_of("refused", "uidl"), *damaged = NULL;
	struct error err = {.text = ""};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct buf text;

		write_state("refused", texts[i], strlen(texts[i]));
		CHECK(uidl_open(folder, "refused", UIDL_LOCKED, &damaged, &err) == NULL);
		CHECK(err.class == ERROR_CONFIG && strstr(err.text, path) != NULL);
		CHECK(damaged == NULL);
		text = read_file(path);
		CHECK_BYTES(buf_data(&text), text.len, texts[i], strlen(texts[i]));
		buf_release(&text);
	}
	CHECK(unlink(path) == 0 && mkdir(path, 0700) == 0);
	CHECK(uidl_open(folder, "refused", UIDL_LOCKED, NULL, &err) == NULL);
	CHECK(err.class == ERROR_CREATE && strstr(err.text, "is a folder") != NULL);
	CHECK(uidl_open(folder, "refused", UIDL_READ_ONLY, NULL, &err) == NULL);
	CHECK(rmdir(path) == 0 && mkfifo(path, 0600) == 0);
	CHECK(uidl_open(folder, "refused", UIDL_LOCKED, NULL, &err) == NULL);
	CHECK(strstr(err.text, "not a regular file") != NULL);
	CHECK(uidl_open(folder, "refused", UIDL_READ_ONLY, NULL, &err) == NULL);
	CHECK(unlink(path) == 0);
	free(path);
}

static void
test_locks_and_modes(void)
{
	char *deep = xasprintf("%s/a/b", folder), *file = xasprintf("%s/a/b/me.uidl", folder);
	struct uidl *uidl, *reader;
	struct error err;
	struct stat st;

	/* Looking makes nothing. */
	uidl = uidl_open(deep, "me", UIDL_READ_ONLY, NULL, &err);
	CHECK(uidl != NULL && count_got(uidl) == 0);
	uidl_close(uidl);
	CHECK(stat(deep, &st) != 0 && errno == ENOENT);

	uidl = uidl_open(deep, "me", UIDL_LOCKED, NULL, &err);
	CHECK(uidl != NULL);
	CHECK(stat(deep, &st) == 0 && (st.st_mode & 07777) == 0700);
	CHECK(stat(file, &st) == 0 && (st.st_mode & 07777) == 0600);
	CHECK(uidl_open(deep, "me", UIDL_LOCKED, NULL, &err) == NULL);
	CHECK(err.class == ERROR_BUSY);
	reader = uidl_open(deep, "me", UIDL_READ_ONLY, NULL, &err);
	CHECK(reader != NULL);
	uidl_close(reader);
	uidl_close(uidl);
	uidl = uidl_open(deep, "me", UIDL_LOCKED, NULL, &err);
	CHECK(uidl != NULL);
	uidl_close(uidl);
	uidl_close(NULL);
	free(deep);
	free(file);
}

/*
 * Cut at any octet: what has its sum is there, what has not is in doubt, and the log goes on behind
 * it.
 */
static void
test_every_cut(void)
{
	static const char *const blocks[] = {HEADER "dest maildir:/home/jane/Mail%20dir\n"
						    "try T1 100 " D1 " one\n"
						    "try T2 200 " D2 " two%00\n",
		"got 1795287600 100 " D1 " one\n"
		"got 1795287600 200 " D2 " two%00\n",
		"got 1795287601 - " D3 " %-\n"
		"got 1795287601 300 " D3 " one\n"
		"off 1795374000 one " D1 "\n",
		"bye two%00\n"
		"fact login 1795374000 10\n",
		"fact failures 2 1795374000 net\n"
		"drop " D1 "\n"
		"try T3 5 " D2 " three\n",
		"end\n"};
	size_t ends[sizeof blocks / sizeof *blocks], good = 0;
	char *path = path_of("cut", "uidl"), *seen, *now;
	struct uidl_id id = id_of("after");
	struct digest digest = digest_of(77);
	struct buf text = {0};
	uint32_t sum = SUM_START;

	for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
		struct buf block = with_sum(&sum, blocks[i]);

		buf_append(&text, buf_data(&block), block.len);
		ends[i] = text.len;
		buf_release(&block);
	}
	for (size_t len = strlen(HEADER); len <= text.len; len++) {
		struct uidl *uidl;
		struct stat st;
		size_t got;

		write_state("cut", buf_data(&text), len);
		uidl = open_state("cut", UIDL_READ_ONLY, NULL);
		seen = dump(uidl);
		got = count_got(uidl);
		CHECK((uidl_doubt(uidl)->first_line == 0) ==
				(good != 0 &&
					memrchr(buf_data(&text) + ends[good - 1], '\n',
						len - ends[good - 1]) == NULL) ||
			len == ends[good]);
		uidl_close(uidl);
		uidl = open_state("cut", UIDL_LOCKED, &now);
		CHECK(now == NULL);
		now = dump(uidl);
		CHECK_STR(now, seen);
		free(now);
		free(seen);
		if (len == ends[good]) {
			CHECK(stat(path, &st) == 0 && st.st_size == (off_t)len);
			good++;
		}
		uidl_clear_tries(uidl);
		uidl_add_got(uidl, 1, 2, &digest, &id);
		uidl = reopen(uidl, "cut");
		CHECK(uidl_find(uidl, &id) != NULL && count_got(uidl) == got + 1);
		uidl_close(uidl);
	}
	CHECK(good == sizeof blocks / sizeof *blocks);
	buf_release(&text);
	free(path);
}

/*
 * Whatever is overwritten: no crash, nothing is known by its id alone, and the digests of lines
 * that were not hit are there.
 */
static void
test_random_damage(void)
{
	enum { LINES = 40, ROUNDS = 400 };
	struct buf good = {0};
	size_t starts[LINES + 1];
	unsigned seed = 20261121;

	buf_append_string(&good, HEADER);
	for (int i = 0; i < LINES; i++) {
		starts[i] = good.len;
		buf_printf(&good, "got 1795287600 %d %032x uid-%d\n", i, i, i);
	}
	starts[LINES] = good.len;
	buf_printf(&good, "sum %08x\n", slow_sum(SUM_START, buf_data(&good), good.len));
	for (int round = 0; round < ROUNDS; round++) {
		struct buf bad = {0};
		bool is_hit[LINES] = {false};
		char *damaged = NULL;
		struct error err;
		struct uidl *uidl;

		buf_append(&bad, buf_data(&good), good.len);
		for (int n = rand_r(&seed) % 8; n >= 0; n--) {
			size_t at = (size_t)rand_r(&seed) % bad.len;

			buf_data(&bad)[at] = (char)rand_r(&seed);
			/* The end of a line belongs to the next one too. */
			for (int i = 0; i < LINES; i++)
				is_hit[i] |= at + 1 >= starts[i] && at < starts[i + 1];
		}
		write_state("random", buf_data(&bad), bad.len);
		uidl = uidl_open(folder, "random", UIDL_LOCKED, &damaged, &err);
		if (uidl == NULL)
			CHECK(err.class == ERROR_CONFIG);
		else
			CHECK(count_got(uidl) == 0);
		for (int i = 0; uidl != NULL && i < LINES; i++) {
			struct digest digest = {{0}};

			digest.bytes[DIGEST_SIZE - 1] = (unsigned char)i;
			if (!is_hit[i])
				CHECK(uidl_find_digest(uidl, &digest) != NULL);
		}
		uidl_close(uidl);
		if (damaged != NULL)
			CHECK(unlink(damaged) == 0);
		free(damaged);
		buf_release(&bad);
	}
	buf_release(&good);
}

static void
test_long_lines(void)
{
	struct buf text = {0};
	struct uidl *uidl;
	char *damaged = NULL;

	/* One that is longer than what is read at once, with records at both sides. */
	buf_append_string(&text, HEADER "got 5 6 " D1 " x\n");
	memset(buf_reserve(&text, 3 * RECORD_LINE_MAX), 'a', 3 * RECORD_LINE_MAX);
	buf_commit(&text, 3 * RECORD_LINE_MAX);
	buf_append_string(&text, "\ngot 5 6 " D2 " y\n");
	write_state("long", buf_data(&text), text.len);
	uidl = open_state("long", UIDL_LOCKED, &damaged);
	CHECK(damaged != NULL && count_status(uidl, UIDL_OFF) == 2 && count_got(uidl) == 0);
	CHECK(uidl_doubt(uidl)->last_line == 4);
	uidl_close(uidl);
	CHECK(damaged != NULL && unlink(damaged) == 0);
	free(damaged);
	buf_release(&text);

	/* The longest destination that there is comes back, and is the same as itself. */
	memset(buf_reserve(&text, RECORD_TEXT_MAX + 9), 1, RECORD_TEXT_MAX + 9);
	buf_commit(&text, RECORD_TEXT_MAX + 9);
	buf_append(&text, "", 1);
	uidl = open_state("long", UIDL_LOCKED, NULL);
	uidl_add_dest(uidl, buf_data(&text));
	uidl = reopen(uidl, "long");
	uidl_add_dest(uidl, buf_data(&text));
	commit(uidl);
	uidl_close(uidl);
	buf_release(&text);
}

static void
test_disk_full(void)
{
	struct uidl *uidl = open_state("full", UIDL_LOCKED, NULL);
	char *path = path_of("full", "uidl"), *before, *after;
	struct digest digest = digest_of(1);
	struct rlimit old, small;
	struct error err, why;
	struct stat st;
	off_t size;

	uidl_add_dest(uidl, "maildir:/x");
	for (int i = 0; i < 5; i++)
		uidl_add_got(uidl, i, 1, &digest, &(struct uidl_id){"x", 1, false});
	commit(uidl);
	before = dump(uidl);
	CHECK(stat(path, &st) == 0);
	size = st.st_size;

	CHECK(sigaction(SIGXFSZ, &(struct sigaction){.sa_handler = SIG_IGN}, NULL) == 0);
	CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
	small = old;
	small.rlim_cur = (rlim_t)size + 20;
	CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
	for (int i = 0; i < 5; i++)
		uidl_add_got(uidl, i, 1, &digest, &(struct uidl_id){"y", 1, false});
	CHECK(uidl_commit(uidl, &why) != 0 && why.class == ERROR_WRITE);
	CHECK(strstr(why.text, "File too large") != NULL);
	CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
	CHECK(stat(path, &st) == 0 && st.st_size == size);

	/*
	 * What is in memory is ahead of the file: nothing more may be recorded, and why is not
	 * forgotten.
	 */
	CHECK(uidl_commit(uidl, &err) != 0 && err.class == ERROR_WRITE);
	CHECK_STR(err.text, why.text);
	CHECK(stat(path, &st) == 0 && st.st_size == size);
	uidl_close(uidl);
	uidl = open_state("full", UIDL_LOCKED, NULL);
	after = dump(uidl);
	CHECK_STR(after, before);

	/* No room for the new file: the old one stays good. */
	for (int i = 0; i < 400; i++)
		uidl_add_bye(
			uidl, uidl_add_got(uidl, i, 1, &digest, &(struct uidl_id){"z", 1, false}));
	commit(uidl);
	small.rlim_cur = 20;
	CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
	CHECK(uidl_compact(uidl, 1000, &err) != 0 && err.class == ERROR_WRITE);
	CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
	uidl_close(uidl);
	free(after);
	uidl = open_state("full", UIDL_LOCKED, NULL);
	after = dump(uidl);
	CHECK_STR(after, before);
	uidl_close(uidl);
	free(before);
	free(after);
	free(path);
}

static size_t
count_lines(const char *path)
{
	struct buf text = read_file(path);
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++)
		n += buf_data(&text)[i] == '\n';
	buf_release(&text);
	return n;
}

/*
 * The size is told no more, and wherever the log is cut the message is known: by its id, or by its
 * digest.
 */
static void
test_unsized(void)
{
	static const char text[] = HEADER "got 1795287600 100 " D1 " one\n"
					  "got 1795287600 200 " D2 " two\n";
	uint32_t sum = SUM_START;
	struct buf before = with_sum(&sum, text);
	struct uidl *uidl;
	struct uidl_id id = id_of("one");
	struct uidl_entry *entry;
	struct digest digest;
	char *path = path_of("unsized", "uidl");
	struct buf log;

	CHECK(digest_from_hex(D1, 32, &digest) == 0);
	write_state("unsized", buf_data(&before), before.len);
	uidl = open_state("unsized", UIDL_LOCKED, NULL);
	uidl_add_unsized(uidl, uidl_find(uidl, &id), 1795300000);
	uidl = reopen(uidl, "unsized");
	entry = uidl_find(uidl, &id);
	CHECK(entry->octets == LINK_OCTETS_UNKNOWN && entry->when == 1795287600);
	CHECK(uidl_find_next(uidl, entry) == NULL && uidl_find_digest(uidl, &digest) == NULL);
	uidl_close(uidl);
	log = read_file(path);
	for (size_t len = before.len; len <= log.len; len++) {
		write_state("unsized", buf_data(&log), len);
		uidl = open_state("unsized", UIDL_READ_ONLY, NULL);
		CHECK(uidl_find(uidl, &id) != NULL || uidl_find_digest(uidl, &digest) != NULL);
		uidl_close(uidl);
	}
	buf_release(&log);
	buf_release(&before);
	free(path);
}

static void
test_compaction(void)
{
	enum { MANY = 1000, NOW = 100 * 24 * 60 * 60 };
	struct uidl *uidl = open_state("compact", UIDL_LOCKED, NULL);
	char *path = path_of("compact", "uidl"), *before, *after, uid[16];
	struct uidl_id id = {uid, 0, false};
	struct digest digest;
	struct error err;

	uidl_add_dest(uidl, "maildir:/y");
	uidl_add_dest(uidl, "maildir:/x");
	uidl_add_login(uidl, 5, 6);
	for (unsigned i = 0; i < MANY; i++) {
		id.len = (size_t)snprintf(uid, sizeof uid, "%u", i / 2);
		digest = digest_of(i);
		uidl_add_try(uidl, "token", 5, &digest, &id);
		uidl_add_got(uidl, 5, 5, &digest, &id);
	}
	commit(uidl);
	CHECK(count_lines(path) == 4 + 2 * MANY + 2);
	for (unsigned i = 0; i < MANY; i += 2) {
		struct uidl_entry *entry;

		id.len = (size_t)snprintf(uid, sizeof uid, "%u", i / 2);
		digest = digest_of(i);
		entry = uidl_find_exact(uidl, &id, &digest);
		if (!CHECK(entry != NULL))
			break;
		if (i % 4 == 0)
			uidl_add_bye(uidl, entry);
		else
			uidl_add_off(uidl, entry, i % 8 == 2 ? NOW : NOW - UIDL_OFF_SECONDS - 1);
	}
	uidl_clear_tries(uidl);
	uidl_add_login(uidl, NOW, 6);
	commit(uidl);

	CHECK(uidl_compact(uidl, NOW, &err) == 0);
	before = dump(uidl);
	/* Half is there still, and of the other half a quarter is off and not expired. */
	CHECK(count_got(uidl) == MANY / 2);
	CHECK(count_lines(path) == 1 + MANY / 2 + MANY / 8 + 2 + 1);
	digest = digest_of(2);
	CHECK(uidl_find_digest(uidl, &digest) != NULL);
	digest = digest_of(6);
	CHECK(uidl_find_digest(uidl, &digest) == NULL);
	uidl = reopen(uidl, "compact");
	after = dump(uidl);
	CHECK_STR(after, before);
	free(after);

	/* Not again for nothing; and it goes on behind it. */
	CHECK(uidl_compact(uidl, NOW, &err) == 0);
	uidl_add_got(uidl, 9, 9, &digest, &(struct uidl_id){"new", 3, false});
	uidl = reopen(uidl, "compact");
	CHECK(count_got(uidl) == MANY / 2 + 1);
	uidl_close(uidl);
	free(before);

	/* A dead session's new file is no state. */
	free(path);
	path = path_of("compact", "uidl.new");
	CHECK(symlink("/nowhere", path) == 0);
	uidl = open_state("compact", UIDL_LOCKED, NULL);
	for (int i = 0; i < 2 * MANY; i++)
		uidl_add_login(uidl, i, 0);
	commit(uidl);
	CHECK(uidl_compact(uidl, NOW, &err) == 0);
	uidl = reopen(uidl, "compact");
	CHECK(count_got(uidl) == MANY / 2 + 1 && uidl_facts(uidl)->login_when == 2 * MANY - 1);
	CHECK(access(path, F_OK) != 0);
	uidl_close(uidl);
	free(path);
}

static void
test_many(void)
{
	enum { MANY = 50000 };
	struct uidl *uidl = open_state("many", UIDL_LOCKED, NULL);
	char uid[32];
	struct uidl_id id = {uid, 0, false};
	struct digest digest;
	bool all = true;

	for (unsigned i = 0; i < MANY; i++) {
		id.len = (size_t)snprintf(uid, sizeof uid, "%08x%08x", i, 0x5f3c1b2d);
		digest = digest_of(i);
		uidl_add_got(uidl, i, i, &digest, &id);
		if (i % 1000 == 999)
			commit(uidl);
	}
	uidl_close(uidl);
	uidl = open_state("many", UIDL_LOCKED, NULL);
	CHECK(count_got(uidl) == MANY);
	for (unsigned i = 0; i < MANY; i++) {
		const struct uidl_entry *entry;

		id.len = (size_t)snprintf(uid, sizeof uid, "%08x%08x", i, 0x5f3c1b2d);
		entry = uidl_find(uidl, &id);
		all &= entry != NULL && entry->octets == i;
	}
	CHECK(all);
	uidl_close(uidl);
}

/*
 * A server that gives every message one id, and a sender that sends one message a thousand times.
 */
static void
test_hostile(void)
{
	enum { MANY = 100000 };
	struct uidl *uidl = open_state("hostile", UIDL_LOCKED, NULL);
	struct uidl_id id = id_of("same");
	struct digest same = digest_of(1), digest;
	struct uidl_entry *entry;
	bool all = true;

	for (unsigned i = 0; i < MANY; i++) {
		digest = digest_of(i);
		uidl_add_got(uidl, i, i, &digest, &id);
	}
	for (unsigned i = 0; i < MANY; i += 2) {
		digest = digest_of(i);
		entry = uidl_find_exact(uidl, &id, &digest);
		all &= entry != NULL;
		if (entry != NULL && i % 4 == 0)
			uidl_add_bye(uidl, entry);
		else if (entry != NULL)
			uidl_add_off(uidl, entry, 5);
	}
	CHECK(all);
	commit(uidl);
	uidl_close(uidl);
	uidl = open_state("hostile", UIDL_LOCKED, NULL);
	CHECK(count_got(uidl) == MANY / 2);

	/* All with one digest, all vanished, all found again. */
	for (unsigned i = 0; i < MANY; i++)
		uidl_add_off(
			uidl, uidl_add_got(uidl, 1, 1, &same, &(struct uidl_id){"o", 1, false}), 5);
	for (unsigned i = 0; i < MANY; i++) {
		entry = uidl_find_digest(uidl, &same);
		all &= entry != NULL;
		if (entry != NULL)
			entry->mark = true;
	}
	CHECK(all && uidl_find_digest(uidl, &same) == NULL);
	uidl_close(uidl);
}

/* The folder and what is in it; a folder within is entered. */
static void
remove_folder(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		char *inner = xasprintf("%s/%s", path, entry->d_name);

		if (entry->d_name[0] != '.' && unlink(inner) != 0)
			remove_folder(inner);
		free(inner);
	}
	if (dir != NULL)
		closedir(dir);
	CHECK(rmdir(path) == 0);
}

int
main(void)
{
	if (mkdtemp(folder) == NULL)
		return 1;
	test_ids_are_opaque_octets();
	test_ids_fill_a_block();
	test_ids_are_a_multiset();
	test_digest_finds_the_vanished();
	test_gone();
	test_gone_in_doubt();
	test_broken();
	test_facts();
	test_tries();
	test_sums();
	test_files();
	test_doubtful_tries();
	test_doubtful_facts();
	test_whole_commits();
	test_commits_have_sums();
	test_without_sums();
	test_refusals();
	test_locks_and_modes();
	test_every_cut();
	test_random_damage();
	test_long_lines();
	test_disk_full();
	test_unsized();
	test_compaction();
	test_many();
	test_hostile();
	remove_folder(folder);
	return check_done();
}
