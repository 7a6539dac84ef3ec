/*
 * A damaged state and what is made of it, in bulk: cut at every octet, every octet changed in
 * several ways, lines doubled, removed and swapped. Each time the next session is played: what died
 * is settled, the mailbox is planned, what is fetched is compared by its digest. The server lists
 * what the state knows and messages that came since, of the same sizes, with ids that are one bit
 * away from known ones or were theirs once. No new message may be left unfetched, be taken for one
 * that is here, or be deleted; and no more known ones are delivered again than lines were hit. A
 * log that lacks its end is that of an earlier day, when an id that was used again since was known:
 * this is not asked of it.
 *
 *	damage_test [SEED]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/xalloc.h"
#include "check.h"
#include "deliver/plan.h"
#include "deliver/state/sum.h"
#include "deliver/state/uidl.h"

#define KNOWN  12
#define NEW    12
#define REUSED 3 /* new ones whose ids have been known */
#define LISTED (KNOWN + NEW)
#define LINES  64

/* All that is listed has one size: it tells nothing. */
#define OCTETS 1000

/* With so many reads, one is followed by the repair of the file, which waits for the disk. */
#define REPAIR_EVERY 997

/* Attempts: of known messages, of one that failed, and of one that was never published. */
#define TRIED  (KNOWN / 2)
#define FAILED (KNOWN + REUSED)
#define OPEN   (KNOWN + REUSED + 1)

/* A name in tmp/ or new/. The last digit tells them apart, so that one bit makes one of another. */
#define TOKEN_SIZE 48

static char folder[] = "/tmp/damage_test.XXXXXX", *state_path;
static struct buf good;
static size_t starts[LINES + 1], line_count;
static uint32_t sum = SUM_START;
static unsigned seed = 20261122;
static bool is_cut; /* what is read lacks its end */

/* What the server lists: messages that the state knows, then messages that it cannot know. */
static char ids[LISTED][16];
static struct digest digests[LISTED];

static void
end_line(size_t start)
{
	buf_append(&good, "\n", 1);
	starts[line_count++] = start;
	starts[line_count] = good.len;
}

static void
put_line(const char *text)
{
	size_t start = good.len;

	buf_append_string(&good, text);
	end_line(start);
	sum = sum_add(sum, buf_data(&good) + start, good.len - start);
}

/* The end of a commit. */
static void
put_sum(void)
{
	size_t start = good.len;

	buf_printf(&good, "sum %08x", sum);
	end_line(start);
}

static void
put_message(const char *word, const char *middle, int i)
{
	char hex[DIGEST_HEX_SIZE], line[256];

	digest_to_hex(&digests[i], hex);
	snprintf(line, sizeof line, "%s %s %d %s %s", word, middle, OCTETS, hex, ids[i]);
	put_line(line);
}

static void
make_token(char token[static TOKEN_SIZE], int i)
{
	snprintf(token, TOKEN_SIZE, "1795287600.M1P2Q%c.h,S=1,W=2", 'A' + i);
}

static void
put_try(int i)
{
	char token[TOKEN_SIZE];

	make_token(token, i);
	put_message("try", token, i);
}

static void
make_messages(void)
{
	for (int i = 0; i < LISTED; i++) {
		/* Known ones have even numbers, new ones odd ones. */
		snprintf(ids[i], sizeof ids[i], "uid-%c",
			'@' + (i < KNOWN ? 2 * i : 2 * (i - KNOWN) + 1));
		for (size_t b = 0; b < sizeof digests[i].bytes; b++)
			digests[i].bytes[b] = (unsigned char)rand_r(&seed);
	}
}

/* A log of several sessions, with every kind of record. */
static void
make_state(void)
{
	put_line("pophaul-uidl 1");
	put_line("fact id 4711");
	put_sum();
	put_line("dest maildir:/home/jane/Mail%20dir");
	for (int i = 0; i < TRIED; i++)
		put_try(i);
	put_sum();
	for (int i = 0; i < TRIED; i++)
		put_message("got", "1795287600", i);
	put_sum();
	put_line("fact login 1795287600 300");
	/* Some that are gone, in all ways; their ids are those of messages that came since. */
	put_line("got 1795287600 1000 0123456789abcdef0123456789abcdef uid-A");
	put_line("got 1795287600 1000 1123456789abcdef0123456789abcdef uid-C");
	put_line("got 1795287600 - 2123456789abcdef0123456789abcdef %");
	put_sum();
	put_line("fact deleting 1795287600");
	put_sum();
	put_line("bye uid-A");
	put_line("fact deleting 0");
	put_sum();
	put_line("off 1795374000 uid-C");
	put_line("bye % 2123456789abcdef0123456789abcdef");
	put_line("drop 1123456789abcdef0123456789abcdef");
	put_line("off 1795374000 uid-E 3123456789abcdef0123456789abcdef");
	for (int i = KNOWN / 2; i < KNOWN; i++)
		put_message("got", "1795374000", i);
	put_line("fact failures 2 1795374000 auth");
	put_sum();
	put_line("fact emptied 1795374000");
	put_sum();
	put_line("fact emptied 0");
	/* An attempt that failed, and one that was not settled. */
	put_try(FAILED);
	put_sum();
	put_line("end");
	put_sum();
	put_try(OPEN);
	put_sum();
}

static void
write_state(const char *text, size_t len)
{
	FILE *file = fopen(state_path, "w");

	CHECK(file != NULL && (len == 0 || fwrite(text, len, 1, file) == 1) && fclose(file) == 0);
}

static bool
has_name(const char *token, int i)
{
	char name[TOKEN_SIZE];

	make_token(name, i);
	return strcmp(token, name) == 0;
}

/*
 * As a Maildir answers: what is in new/ is there, and what is not in tmp/ either was taken by a
 * reader.
 */
static bool
was_published(const struct uidl_try *try)
{
	bool is_there = false;

	for (int i = 0; i < TRIED; i++)
		is_there |= has_name(try->token, i);
	return is_there || (!try->in_doubt && !has_name(try->token, OPEN));
}

static void
settle_tries(struct uidl *uidl)
{
	for (size_t i = 0; i < uidl_try_count(uidl); i++) {
		const struct uidl_try *try = uidl_try_at(uidl, i);
		struct uidl_entry *entry;

		if (!was_published(try))
			continue;
		entry = uidl_add_got(uidl, 1795400000, try->octets, &try->digest, &try->id);
		if (try->in_doubt)
			uidl_add_off(uidl, entry, 1795400000);
	}
	uidl_clear_tries(uidl);
}

/* Whether a message that is fetched is found to be here. */
static bool
is_recognized(struct uidl *uidl, const struct plan_row *row, int i)
{
	struct uidl_id id = {ids[i], strlen(ids[i]), false};
	struct uidl_entry *entry = uidl_entry_at(uidl, row->entry);

	if (row->verdict == PLAN_COMPARE && entry != NULL)
		return memcmp(&entry->digest, &digests[i], sizeof digests[i]) == 0 ||
			uidl_find_digest(uidl, &digests[i]) != NULL;
	if (row->verdict == PLAN_COMPARE && uidl_find_exact(uidl, &id, &digests[i]) != NULL)
		return true;
	return uidl_find_digest(uidl, &digests[i]) != NULL;
}

/*
 * The next session: how many known messages are delivered again, none of the new ones being passed
 * by.
 */
static size_t
play_session(struct uidl *uidl, enum account_keep_kind keep)
{
	struct plan_policy policy = {
		.keep = {keep, 0},
		.max_size = ACCOUNT_NO_LIMIT,
		.max_messages = ACCOUNT_NO_LIMIT,
		.newest = ACCOUNT_NO_LIMIT,
		.now = 1795400000,
	};
	struct plan_row rows[LISTED];
	struct plan_totals totals;
	size_t again = 0;

	settle_tries(uidl);
	memset(rows, 0, sizeof rows);
	for (int i = 0; i < LISTED; i++) {
		struct uidl_id id = {ids[i], strlen(ids[i]), false};
		const struct uidl_entry *entry = uidl_find(uidl, &id);

		rows[i].number = (uint32_t)i + 1;
		rows[i].octets = OCTETS;
		rows[i].entry = entry != NULL ? entry->index : UIDL_NO_ENTRY;
	}
	plan(rows, LISTED, uidl, &policy, &totals);
	plan_forget_grounds(&totals);
	for (int i = 0; i < LISTED; i++) {
		bool is_fetched = rows[i].verdict == PLAN_FETCH || rows[i].verdict == PLAN_COMPARE;

		if (i >= KNOWN)
			CHECK((is_cut && i < KNOWN + REUSED) ||
				(is_fetched && !is_recognized(uidl, &rows[i], i)));
		else
			again += is_fetched && !is_recognized(uidl, &rows[i], i);
	}
	return again;
}

/* Once with either policy; -1: it is another version's, and not to be opened. */
static ssize_t
play(enum uidl_access access, char **damaged_out)
{
	static const enum account_keep_kind keeps[] = {ACCOUNT_KEEP_FOREVER, ACCOUNT_KEEP_NEVER};
	size_t again[2];

	for (int i = 0; i < 2; i++) {
		struct error err;
		struct uidl *uidl =
			uidl_open(folder, "state", access, i == 0 ? damaged_out : NULL, &err);

		if (uidl == NULL) {
			CHECK(err.class == ERROR_CONFIG);
			return -1;
		}
		again[i] = play_session(uidl, keeps[i]);
		uidl_close(uidl);
	}
	CHECK(again[0] == again[1]);
	return (ssize_t)again[0];
}

static void
check_damage(const char *text, size_t len, size_t lines_hit, const char *what, size_t at)
{
	static unsigned reads;
	int failures = check_failures;
	char *damaged = NULL;
	ssize_t again;

	write_state(text, len);
	again = play(UIDL_READ_ONLY, NULL);
	CHECK(again <= (ssize_t)lines_hit);
	/* All that may be refused is what calls itself another version's. */
	CHECK(again >= 0 || memcmp(text, "pophaul-uidl 1\n", 15) != 0);
	/* The reader that repairs comes to the same, and so does who reads what it leaves. */
	if (again >= 0 && ++reads % REPAIR_EVERY == 0) {
		CHECK(play(UIDL_LOCKED, &damaged) == again);
		CHECK(damaged == NULL || unlink(damaged) == 0);
		free(damaged);
		CHECK(play(UIDL_LOCKED, &damaged) == again && damaged == NULL);
	}
	if (check_failures != failures)
		fprintf(stderr, "\t%s at %zu, %zd again, seed %u\n", what, at, again, seed);
}

/* A cut right behind a sum is the state of before: nothing can tell. */
static bool
is_older_state(size_t whole)
{
	return whole != 0 && memcmp(buf_data(&good) + starts[whole - 1], "sum ", 4) == 0;
}

static void
test_cuts(void)
{
	for (size_t len = 0; len < good.len; len++) {
		size_t whole = 0;

		while (starts[whole + 1] <= len)
			whole++;
		/* Between an attempt and its `end` it is undecided in the state of then, too. */
		is_cut = true;
		if (!is_older_state(whole) || starts[whole] != len)
			check_damage(buf_data(&good), len, line_count - whole, "cut", len);
		is_cut = false;
		/* The beginning is gone instead. */
		check_damage(buf_data(&good) + len, good.len - len, whole + 1, "beheaded", len);
	}
}

static void
test_changed_octets(void)
{
	static const char replacements[] = {'\0', '\n', ' ', '%', '-', '9', 'f'};
	char *text = xmemdup0(buf_data(&good), good.len);

	for (size_t at = 0; at < good.len; at++) {
		char before = text[at];

		for (size_t i = 0; i < sizeof replacements + 8 + 1; i++) {
			text[at] = i < sizeof replacements ? replacements[i]
				: i < sizeof replacements + 8
				? (char)(before ^ 1 << (i - sizeof replacements))
				: (char)rand_r(&seed);
			/* The end of a line is the next one's beginning. */
			if (text[at] != before)
				check_damage(text, good.len, before == '\n' ? 2 : 1, "changed", at);
		}
		text[at] = before;
	}
	free(text);
}

/* Two octets far from each other, and so two ids, tokens or kinds of a record. */
static void
test_two_octets(void)
{
	char *text = xmemdup0(buf_data(&good), good.len);

	for (int round = 0; round < 4000; round++) {
		size_t a = (size_t)rand_r(&seed) % good.len, b = (size_t)rand_r(&seed) % good.len;

		text[a] = (char)(text[a] ^ 1 << rand_r(&seed) % 8);
		text[b] = (char)(text[b] ^ 1 << rand_r(&seed) % 8);
		check_damage(text, good.len, 4, "two octets", a);
		text[a] = buf_data(&good)[a];
		text[b] = buf_data(&good)[b];
	}
	free(text);
}

/* A run of octets of any kind over several lines, as of a bad block. */
static void
test_bad_blocks(void)
{
	char *text = xmemdup0(buf_data(&good), good.len);

	for (int round = 0; round < 1000; round++) {
		size_t at = (size_t)rand_r(&seed) % good.len, len = (size_t)rand_r(&seed) % 512,
		       hit = 0;
		bool is_zero = round % 2 == 0;

		if (len > good.len - at)
			len = good.len - at;
		for (size_t i = at; i < at + len; i++)
			text[i] = is_zero ? '\0' : (char)rand_r(&seed);
		for (size_t i = 0; i < line_count; i++)
			hit += at <= starts[i + 1] && at + len >= starts[i];
		is_cut = at + len == good.len;
		check_damage(text, good.len, hit, "bad block", at);
		is_cut = false;
		memcpy(text + at, buf_data(&good) + at, len);
	}
	free(text);
}

static void
append_lines(struct buf *text, size_t first, size_t end)
{
	buf_append(text, buf_data(&good) + starts[first], starts[end] - starts[first]);
}

/* Lines first to first + count: doubled, removed, or behind the one that follows. */
static void
check_lines(size_t first, size_t count)
{
	static const char *const names[] = {"lines doubled", "lines removed", "lines swapped"};
	size_t end = first + count, next = end + (end < line_count);
	struct buf text = {0};

	for (int kind = 0; kind < 3; kind++) {
		/* Without its end it is an older state. */
		if (kind == 1 && end == line_count && is_older_state(first))
			continue;
		buf_clear(&text);
		append_lines(&text, 0, first);
		if (kind == 0)
			append_lines(&text, first, end);
		if (kind == 2)
			append_lines(&text, end, next);
		if (kind != 1)
			append_lines(&text, first, end);
		append_lines(&text, kind == 2 ? next : end, line_count);
		is_cut = kind == 1 && end == line_count;
		check_damage(buf_data(&text), text.len, kind == 1 ? count : 0, names[kind], first);
		is_cut = false;
	}
	buf_release(&text);
}

int
main(int argc, char **argv)
{
	char *lock_path;

	if (argc > 1)
		seed = (unsigned)strtoul(argv[1], NULL, 10);
	if (mkdtemp(folder) == NULL)
		return 1;
	state_path = xasprintf("%s/state.uidl", folder);
	lock_path = xasprintf("%s/state.lock", folder);
	make_messages();
	make_state();
	check_damage(buf_data(&good), good.len, 0, "nothing", 0);
	test_cuts();
	test_changed_octets();
	test_two_octets();
	test_bad_blocks();
	for (size_t first = 0; first < line_count; first++)
		for (size_t count = 1; first + count <= line_count; count++)
			check_lines(first, count);
	CHECK(unlink(state_path) == 0 && unlink(lock_path) == 0 && rmdir(folder) == 0);
	free(lock_path);
	free(state_path);
	buf_release(&good);
	return check_done();
}
