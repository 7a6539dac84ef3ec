/*
 * The state of an account, of any octets: what is read is the same when it is
 * read again, repaired, or written anew; nothing is known that no line says;
 * and what follows the good part, torn or damaged, takes no digest away from it.
 * Each case is tried as it is and, since hardly one has a right sum, with one.
 */
#include "deliver/state/uidl.h"

#include <strings.h>

#include "base/buf.h"
#include "deliver/state/record.h"
#include "deliver/state/sum.h"
#include "folder.h"
#include "fuzz.h"

/* Before any record: then nothing is old enough to be dropped. */
#define LONG_AGO 0

#define NAME "home"

static int
compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Whether the digest stands there, in hex digits of either case. */
static bool
is_said(struct feed said, const struct digest *digest)
{
	char hex[DIGEST_HEX_SIZE];

	digest_to_hex(digest, hex);
	for (size_t i = 0; i + strlen(hex) <= said.len; i++) {
		if (strncasecmp((const char *)said.data + i, hex, strlen(hex)) == 0)
			return true;
	}
	return false;
}

/* The entries, sorted, a line each; what no line of `said` has the digest of is made up. */
static void
dump_entries(struct uidl *uidl, struct feed said, struct buf *out)
{
	struct uidl_entry *entry;
	char **lines = NULL;
	size_t count = 0, at = 0;

	while ((entry = uidl_each(uidl, &at)) != NULL) {
		struct record record = {.kind = RECORD_GOT,
			/* A doubt's time is that of the reading. */
			.when = entry->status == UIDL_OFF ? 0 : entry->when,
			.octets = entry->status == UIDL_GOT ? entry->octets : 0,
			.digest = entry->digest,
			.id = uidl_entry_id(uidl, entry)};
		struct buf line = {0};

		REQUIRE(entry->status != UIDL_DEAD);
		REQUIRE(is_said(said, &entry->digest));
		buf_printf(&line, "%d ", entry->status);
		record_format(&line, &record);
		lines = xreallocarray(lines, count + 1, sizeof *lines);
		lines[count++] = buf_take_string(&line);
	}
	if (count != 0)
		qsort(lines, count, sizeof *lines, compare_lines);
	for (size_t i = 0; i < count; i++) {
		buf_append_string(out, lines[i]);
		free(lines[i]);
	}
	free(lines);
}

static void
dump_facts(struct uidl *uidl, struct buf *out)
{
	struct record records[RECORD_FACTS_MAX];
	size_t count = record_list_facts(uidl_facts(uidl), records);

	for (size_t i = 0; i < count; i++)
		record_format(out, &records[i]);
}

static void
dump_tries(struct uidl *uidl, struct buf *out)
{
	for (size_t i = 0; i < uidl_try_count(uidl); i++) {
		const struct uidl_try *try = uidl_try_at(uidl, i);
		struct record record = {.kind = RECORD_TRY,
			.text = try->token,
			.text_len = strlen(try->token),
			.octets = try->octets,
			.digest = try->digest,
			.id = try->id};

		buf_printf(out, "%d %s ", try->in_doubt, try->dest != NULL ? try->dest : "nowhere");
		record_format(out, &record);
	}
}

enum depth { ENTRIES, EVERYTHING };

/* Open and dump; false when it is not to be opened, of another version. */
static bool
open_and_dump(const char *folder, enum uidl_access access, enum depth depth, struct feed said,
	bool *damaged_out, struct buf *out)
{
	char *damaged = NULL;
	struct error err;
	struct uidl *uidl = uidl_open(folder, NAME, access, &damaged, &err);

	if (uidl == NULL) {
		REQUIRE(err.class == ERROR_CONFIG);
		return false;
	}
	*damaged_out = damaged != NULL;
	free(damaged);
	dump_entries(uidl, said, out);
	if (depth == EVERYTHING) {
		dump_facts(uidl, out);
		dump_tries(uidl, out);
	}
	uidl_close(uidl);
	return true;
}

static void
require_same(const struct buf *got, const struct buf *want)
{
	REQUIRE(got->len == want->len);
	REQUIRE(memcmp(buf_data(got), buf_data(want), got->len) == 0);
}

static void
check_rewriting(const char *folder, struct feed said, const struct buf *want)
{
	struct error err;
	struct uidl *uidl = uidl_open(folder, NAME, UIDL_LOCKED, NULL, &err);
	struct buf again = {0};
	bool is_damaged;

	REQUIRE(uidl != NULL);
	REQUIRE(uidl_compact(uidl, LONG_AGO, &err) == 0);
	uidl_close(uidl);
	REQUIRE(open_and_dump(folder, UIDL_LOCKED, EVERYTHING, said, &is_damaged, &again));
	REQUIRE(!is_damaged);
	require_same(&again, want);
	buf_release(&again);
}

/*
 * Without its sums, and with a right one behind its last whole line: then all that can be read is
 * believed.
 */
static struct buf
with_sum(struct feed said)
{
	struct buf out = {0};
	size_t at = 0;

	while (at < said.len) {
		const unsigned char *line = said.data + at;
		const unsigned char *end = memchr(line, '\n', said.len - at);
		size_t len = end != NULL ? (size_t)(end + 1 - line) : said.len - at;

		if (end == NULL && out.len != 0)
			buf_printf(&out, "sum %08x\n", sum_add(SUM_START, buf_data(&out), out.len));
		if (len < 4 || memcmp(line, "sum ", 4) != 0)
			buf_append(&out, line, len);
		at += len;
	}
	if (out.len != 0 && buf_data(&out)[out.len - 1] == '\n')
		buf_printf(&out, "sum %08x\n", sum_add(SUM_START, buf_data(&out), out.len));
	return out;
}

/* Behind damage nothing is known by its id, but every digest is there that was. */
static void
require_digests(struct uidl *without, const char *folder)
{
	struct error err;
	struct uidl *with = uidl_open(folder, NAME, UIDL_READ_ONLY, NULL, &err);
	const struct uidl_entry *entry;
	size_t at = 0;

	REQUIRE(with != NULL);
	while ((entry = uidl_each(with, &at)) != NULL)
		REQUIRE(entry->status == UIDL_OFF);
	at = 0;
	while ((entry = uidl_each(without, &at)) != NULL)
		REQUIRE(uidl_find_digest(with, &entry->digest) != NULL);
	uidl_close(with);
}

/* What follows the good part: torn, it changes nothing; damaged, it makes all of it be compared. */
static void
check_tail(const char *folder, const char *path, struct feed said)
{
	static const char damage[] = "got 1 \1 nonsense\n", torn[] = "got 1795287600 10 9f86d08188";
	struct buf all = {0}, without = {0}, with = {0};
	struct error err;
	struct uidl *uidl;
	bool is_damaged;

	while (said.len != 0 && said.data[said.len - 1] != '\n')
		said.len--;
	if (said.len == 0)
		return;
	buf_append(&all, said.data, said.len);
	folder_write(path, buf_data(&all), all.len);
	uidl = uidl_open(folder, NAME, UIDL_READ_ONLY, NULL, &err);
	if (uidl != NULL) {
		dump_entries(uidl, said, &without);
		buf_append_string(&all, damage);
		folder_write(path, buf_data(&all), all.len);
		require_digests(uidl, folder);
		uidl_close(uidl);
		all.len -= strlen(damage);
		buf_append_string(&all, torn);
		folder_write(path, buf_data(&all), all.len);
		REQUIRE(open_and_dump(folder, UIDL_LOCKED, ENTRIES, said, &is_damaged, &with));
		require_same(&with, &without);
	}
	buf_release(&all);
	buf_release(&with);
	buf_release(&without);
}

static void
check_case(const char *folder, const char *path, struct feed said)
{
	struct buf reading = {0}, locked = {0}, again = {0};
	bool is_damaged;

	folder_write(path, said.data, said.len);
	if (open_and_dump(folder, UIDL_READ_ONLY, EVERYTHING, said, &is_damaged, &reading)) {
		REQUIRE(!is_damaged);
		REQUIRE(open_and_dump(folder, UIDL_LOCKED, EVERYTHING, said, &is_damaged, &locked));
		require_same(&locked, &reading);
		REQUIRE(open_and_dump(folder, UIDL_LOCKED, EVERYTHING, said, &is_damaged, &again));
		REQUIRE(!is_damaged);
		require_same(&again, &locked);
		check_rewriting(folder, said, &locked);
	}
	check_tail(folder, path, said);
	buf_release(&reading);
	buf_release(&locked);
	buf_release(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct feed said = {data, size};
	struct buf summed = with_sum(said);
	char *folder = folder_make();
	char *path = xasprintf("%s/" NAME ".uidl", folder);

	check_case(folder, path, said);
	check_case(
		folder, path, (struct feed){(const unsigned char *)buf_data(&summed), summed.len});
	buf_release(&summed);
	free(path);
	folder_remove(folder);
	return 0;
}
