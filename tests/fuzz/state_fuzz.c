/*
 * The state of an account, of any octets: what is read is the same when it is
 * read again, repaired, or written anew; nothing is known that no line says;
 * and what follows the good part, torn or damaged, takes nothing away from it.
 */
#include "deliver/state/uidl.h"

#include <strings.h>

#include "base/buf.h"
#include "deliver/state/record.h"
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
			.when = entry->when,
			.octets = entry->status == UIDL_OFF ? 0 : entry->octets,
			.digest = entry->digest,
			.id = uidl_entry_id(uidl, entry)};
		struct buf line = {0};

		REQUIRE(entry->status == UIDL_GOT || entry->status == UIDL_OFF);
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

/* Attempts of a damaged log are in doubt, and not kept when it is repaired. */
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

		if (try->in_doubt)
			continue;
		buf_printf(out, "%s ", try->dest != NULL ? try->dest : "nowhere");
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

/* The case with something behind it knows what the case knows. */
static void
check_tail(const char *folder, struct feed said, const char *tail, size_t tail_len)
{
	char *path = xasprintf("%s/" NAME ".uidl", folder);
	struct buf all = {0}, without = {0}, with = {0};
	bool is_damaged;

	while (said.len != 0 && said.data[said.len - 1] != '\n')
		said.len--;
	if (said.len != 0) {
		buf_append(&all, said.data, said.len);
		folder_write(path, buf_data(&all), all.len);
		if (open_and_dump(folder, UIDL_READ_ONLY, ENTRIES, said, &is_damaged, &without)) {
			buf_append(&all, tail, tail_len);
			folder_write(path, buf_data(&all), all.len);
			REQUIRE(open_and_dump(
				folder, UIDL_LOCKED, ENTRIES, said, &is_damaged, &with));
			require_same(&with, &without);
		}
	}
	buf_release(&all);
	buf_release(&with);
	buf_release(&without);
	free(path);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char damage[] = "got 1 \1 nonsense\n", torn[] = "got 1795287600 10 9f86d08188";
	const struct feed said = {data, size};
	char *folder = folder_make();
	char *path = xasprintf("%s/" NAME ".uidl", folder);
	struct buf reading = {0}, locked = {0}, again = {0};
	bool is_damaged;

	folder_write(path, data, size);
	if (open_and_dump(folder, UIDL_READ_ONLY, EVERYTHING, said, &is_damaged, &reading)) {
		REQUIRE(!is_damaged);
		REQUIRE(open_and_dump(folder, UIDL_LOCKED, EVERYTHING, said, &is_damaged, &locked));
		require_same(&locked, &reading);
		REQUIRE(open_and_dump(folder, UIDL_LOCKED, EVERYTHING, said, &is_damaged, &again));
		REQUIRE(!is_damaged);
		require_same(&again, &locked);
		check_rewriting(folder, said, &locked);
	}
	check_tail(folder, said, damage, strlen(damage));
	check_tail(folder, said, torn, strlen(torn));
	buf_release(&reading);
	buf_release(&locked);
	buf_release(&again);
	free(path);
	folder_remove(folder);
	return 0;
}
