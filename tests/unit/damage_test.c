/*
 * A damaged state and what is made of it, in bulk: cut at every octet, every octet changed in several
 * ways, lines doubled, removed and swapped. Each time the state is read and the mailbox of then is planned, with
 * messages that came since, and with keep = never: what is taken for known is deleted unseen. No
 * new message may be, and no more known ones are forgotten than lines were hit.
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
#include "deliver/state/uidl.h"

#define KNOWN 12
#define NEW   4
#define LINES 64

/* With so many reads, one is followed by the repair of the file, which waits for the disk. */
#define REPAIR_EVERY 997

static char folder[] = "/tmp/damage_test.XXXXXX", *state_path;
static struct buf good;
static size_t starts[LINES + 1], line_count;
static unsigned seed = 20261122;

/* What the server lists: messages that the state knows, then messages that it cannot know. */
static char ids[KNOWN + NEW][16];
static struct digest digests[KNOWN + NEW];

static void
put_line(const char *text)
{
	starts[line_count++] = good.len;
	buf_append_string(&good, text);
	buf_append(&good, "\n", 1);
	starts[line_count] = good.len;
}

static void
put_message(const char *word, const char *middle, int i)
{
	char hex[DIGEST_HEX_SIZE], line[256];

	digest_to_hex(&digests[i], hex);
	snprintf(line, sizeof line, "%s %s %d %s %s", word, middle, 1000 + i, hex, ids[i]);
	put_line(line);
}

/* A log of several sessions, with every kind of record. */
static void
make_state(void)
{
	for (int i = 0; i < KNOWN + NEW; i++) {
		snprintf(ids[i], sizeof ids[i], "uid-%d", i + 1);
		for (size_t b = 0; b < sizeof digests[i].bytes; b++)
			digests[i].bytes[b] = (unsigned char)rand_r(&seed);
	}
	put_line("pophaul-uidl 1");
	put_line("fact id 4711");
	put_line("dest maildir:/home/jane/Mail%20dir");
	for (int i = 0; i < KNOWN / 2; i++)
		put_message("try", "1795287600.M1P2Q3R4A5.h,S=1,W=2", i);
	for (int i = 0; i < KNOWN / 2; i++)
		put_message("got", "1795287600", i);
	put_line("fact login 1795287600 300");
	/* Some that are gone, in all ways. */
	put_line("got 1795287600 5 0123456789abcdef0123456789abcdef gone-1");
	put_line("got 1795287600 5 1123456789abcdef0123456789abcdef gone%202");
	put_line("got 1795287600 - 2123456789abcdef0123456789abcdef %");
	put_line("bye gone-1");
	put_line("off 1795374000 gone%202");
	put_line("bye % 2123456789abcdef0123456789abcdef");
	put_line("drop 1123456789abcdef0123456789abcdef");
	put_line("off 1795374000 older 3123456789abcdef0123456789abcdef");
	for (int i = KNOWN / 2; i < KNOWN; i++)
		put_message("got", "1795374000", i);
	put_line("fact failures 2 1795374000 auth");
	put_line("fact emptied 1795374000");
	put_line("fact emptied 0");
	/* An attempt that failed, and one that was not settled. */
	put_message("try", "1795374001.M1P2Q3R4A5.h,S=1,W=2", KNOWN);
	put_line("end");
	put_message("try", "1795374002.M1P2Q3R4A5.h,S=1,W=2", KNOWN + 1);
}

static void
write_state(const char *text, size_t len)
{
	FILE *file = fopen(state_path, "w");

	CHECK(file != NULL && (len == 0 || fwrite(text, len, 1, file) == 1) && fclose(file) == 0);
}

static struct uidl_id
id_of(int i)
{
	return (struct uidl_id){ids[i], strlen(ids[i]), false};
}

/* How many of the known messages are not known, none of the new ones being. */
static size_t
count_forgotten(struct uidl *uidl)
{
	struct plan_policy policy = {
		.keep = {ACCOUNT_KEEP_NEVER, 0},
                  .now = 1795400000
        };
	struct plan_row rows[KNOWN + NEW];
	struct uidl_id ids_of_rows[KNOWN + NEW];
	const struct uidl_entry *entry;
	struct plan_totals totals;
	size_t forgotten = 0;

	memset(rows, 0, sizeof rows);
	for (int i = 0; i < KNOWN + NEW; i++) {
		rows[i].number = (uint32_t)i + 1;
		rows[i].octets = 1000 + (uint64_t)i;
		ids_of_rows[i] = id_of(i);
		entry = uidl_find(uidl, &ids_of_rows[i]);
		rows[i].entry = entry != NULL ? entry->index : UIDL_NO_ENTRY;
		forgotten += i < KNOWN && entry == NULL;
	}
	plan(rows, KNOWN + NEW, uidl, &policy, &totals);
	plan_forget_grounds(&totals);
	for (int i = KNOWN; i < KNOWN + NEW; i++) {
		CHECK(rows[i].verdict == PLAN_FETCH || rows[i].verdict == PLAN_COMPARE);
		CHECK(uidl_find_digest(uidl, &digests[i]) == NULL);
		CHECK(uidl_find_exact(uidl, &ids_of_rows[i], &digests[i]) == NULL);
	}
	return forgotten;
}

/* The same by the reader that repairs: what was unreadable is told, and the new file says as much as the old one. */
static void
check_repaired(size_t forgotten)
{
	char *damaged = NULL;
	struct error err;
	struct uidl *uidl = uidl_open(folder, "state", UIDL_LOCKED, &damaged, &err);

	if (!CHECK(uidl != NULL))
		return;
	if (damaged != NULL) {
		for (size_t i = 0; i < uidl_try_count(uidl); i++)
			CHECK(uidl_try_at(uidl, i)->in_doubt);
		CHECK(unlink(damaged) == 0);
	}
	free(damaged);
	CHECK(count_forgotten(uidl) == forgotten);
	uidl_close(uidl);
	uidl = uidl_open(folder, "state", UIDL_LOCKED, &damaged, &err);
	if (!CHECK(uidl != NULL && damaged == NULL))
		return;
	CHECK(count_forgotten(uidl) == forgotten);
	uidl_close(uidl);
}

static void
check_damage(const char *text, size_t len, size_t lines_hit, const char *what, size_t at)
{
	static unsigned reads;
	int failures = check_failures;
	size_t forgotten = 0;
	struct error err;
	struct uidl *uidl;

	write_state(text, len);
	uidl = uidl_open(folder, "state", UIDL_READ_ONLY, NULL, &err);
	if (uidl != NULL) {
		forgotten = count_forgotten(uidl);
		CHECK(forgotten <= lines_hit);
		uidl_close(uidl);
		if (++reads % REPAIR_EVERY == 0)
			check_repaired(forgotten);
	} else {
		/* All that may be refused is what calls itself another version's. */
		CHECK(err.class == ERROR_CONFIG && memcmp(text, "pophaul-uidl 1\n", 15) != 0);
	}
	if (check_failures != failures)
		fprintf(stderr, "\t%s at %zu, %zu forgotten, seed %u\n", what, at, forgotten, seed);
}

static void
test_cuts(void)
{
	for (size_t len = 0; len < good.len; len++) {
		size_t whole = 0;

		while (starts[whole + 1] <= len)
			whole++;
		check_damage(buf_data(&good), len, line_count - whole, "cut", len);
		/* The beginning is gone instead. */
		check_damage(buf_data(&good) + len, good.len - len, whole + 1, "beheaded", len);
	}
}

static void
test_changed_octets(void)
{
	char *text = xmemdup0(buf_data(&good), good.len);

	for (size_t at = 0; at < good.len; at++) {
		const char octets[] = {'\0', '\n', ' ', '%', '-', '9', (char)(text[at] ^ 1),
			(char)(text[at] ^ 0x80), (char)rand_r(&seed)};
		char before = text[at];

		for (size_t i = 0; i < sizeof octets; i++) {
			if (octets[i] == before)
				continue;
			text[at] = octets[i];
			/* The end of a line is the next one's beginning. */
			check_damage(text, good.len, before == '\n' ? 2 : 1, "changed", at);
		}
		text[at] = before;
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
		check_damage(text, good.len, hit, "bad block", at);
		memcpy(text + at, buf_data(&good) + at, len);
	}
	free(text);
}

static void
append_line(struct buf *text, size_t line)
{
	buf_append(text, buf_data(&good) + starts[line], starts[line + 1] - starts[line]);
}

static void
test_lines(void)
{
	struct buf text = {0};

	for (size_t n = 0; n < line_count; n++) {
		for (int kind = 0; kind < 3; kind++) {
			buf_clear(&text);
			for (size_t i = 0; i < line_count; i++) {
				size_t from = i;

				if (kind == 2 && n + 1 < line_count && (i == n || i == n + 1))
					from = i == n ? n + 1 : n;
				if (kind != 1 || i != n)
					append_line(&text, from);
				if (kind == 0 && i == n)
					append_line(&text, i);
			}
			check_damage(buf_data(&text), text.len, kind == 0 ? 0 : 1,
				kind == 0           ? "line doubled"
					: kind == 1 ? "line removed"
						    : "lines swapped",
				n);
		}
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
	make_state();
	check_damage(buf_data(&good), good.len, 0, "nothing", 0);
	test_cuts();
	test_changed_octets();
	test_bad_blocks();
	test_lines();
	CHECK(unlink(state_path) == 0 && unlink(lock_path) == 0 && rmdir(folder) == 0);
	free(lock_path);
	free(state_path);
	buf_release(&good);
	return check_done();
}
