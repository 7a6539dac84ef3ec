#include "deliver/state/idtable.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/siphash.h"
#include "base/xalloc.h"

/*
 * Entries and ids lie in blocks, so that they never move, and in pages of their own: the fetcher, a
 * child, has no use for them.
 */
#define BLOCK_ENTRIES 4096
#define BLOCK_SIZE    (BLOCK_ENTRIES * sizeof(struct uidl_entry))
#define ARENA_BLOCK   65536
#define ARENA_BLOCKS  (UINT32_MAX / ARENA_BLOCK)

/* Links: the end of a chain; a `prev` of it is the head; not in any chain. */
#define CHAIN_END UINT32_MAX
#define UNLINKED  (UINT32_MAX - 1)

#define INDEX_MIN 1024

/* Chains that are made before there is an entry: a big file may be full of something else. */
#define INDEX_EXPECTED_MAX ((size_t)1 << 20)

/* No right clock shows a time before 2026, when this was written. */
#define CLOCK_EARLIEST ((int64_t)1767225600)

/*
 * What is behind by more than this is no clock that was set back: one that was ahead was set right.
 */
#define CLOCK_BEHIND_MAX ((int64_t)90 * 24 * 60 * 60)

enum index_kind {
	INDEX_ID,     /* UIDL_GOT, by id */
	INDEX_EXACT,  /* UIDL_GOT with an id, by id and digest */
	INDEX_DIGEST, /* UIDL_OFF, and UIDL_GOT without an id, by digest */
	INDEX_GONE,   /* UIDL_GONE, by id and digest */
	INDEX_COUNT
};

/* Chains through the entries; size 0: not made yet. */
struct index {
	uint32_t *heads;
	size_t size, used;
};

struct id_table {
	struct uidl_entry **blocks;
	size_t block_count;
	uint32_t count; /* entries, dead ones too */
	char **arena;
	size_t arena_count, arena_used; /* blocks; octets of the last one */
	struct index indexes[INDEX_COUNT];
	struct siphash_key key;
	int64_t newest; /* the latest delivery ever added */
};

/* All chains are empty. */
static void
make_heads(struct index *index)
{
	index->heads = xpages(index->size * sizeof *index->heads);
	memset(index->heads, 0xff, index->size * sizeof *index->heads);
}

static void
free_heads(struct index *index)
{
	xpages_free(index->heads, index->size * sizeof *index->heads);
}

struct id_table *
id_table_new(size_t expected)
{
	struct id_table *table = xcalloc(1, sizeof *table);
	struct index *ids = &table->indexes[INDEX_ID];

	siphash_make_key(&table->key);
	ids->size = INDEX_MIN;
	while (ids->size < expected && ids->size < INDEX_EXPECTED_MAX)
		ids->size *= 2;
	make_heads(ids);
	return table;
}

void
id_table_free(struct id_table *table)
{
	if (table == NULL)
		return;
	for (size_t i = 0; i < table->block_count; i++)
		xpages_free(table->blocks[i], BLOCK_SIZE);
	for (size_t i = 0; i < table->arena_count; i++)
		xpages_free(table->arena[i], ARENA_BLOCK);
	for (int kind = 0; kind < INDEX_COUNT; kind++)
		free_heads(&table->indexes[kind]);
	free(table->blocks);
	free(table->arena);
	free(table);
}

static inline struct uidl_entry *
entry_at(const struct id_table *table, uint32_t index)
{
	return &table->blocks[index / BLOCK_ENTRIES][index % BLOCK_ENTRIES];
}

static inline const char *
id_octets(const struct id_table *table, const struct uidl_entry *entry)
{
	return table->arena[entry->id_place / ARENA_BLOCK] + entry->id_place % ARENA_BLOCK;
}

struct uidl_entry *
id_table_at(const struct id_table *table, uint32_t index)
{
	assert(index < table->count);
	return entry_at(table, index);
}

struct uidl_id
id_table_id(const struct id_table *table, const struct uidl_entry *entry)
{
	return (struct uidl_id){id_octets(table, entry), entry->id_len, entry->none};
}

static inline struct uidl_link *
link_of(struct uidl_entry *entry, enum index_kind kind)
{
	return kind == INDEX_ID ? &entry->by_id : &entry->by_digest;
}

static uint64_t
hash_of(const struct id_table *table, enum index_kind kind, const struct uidl_id *id,
	const struct digest *digest)
{
	uint64_t hash = 0;

	if (kind != INDEX_DIGEST)
		hash = id->none ? table->key.words[0] : siphash(&table->key, id->data, id->len);
	if (kind != INDEX_ID)
		hash += siphash(&table->key, digest->bytes, sizeof digest->bytes);
	return hash;
}

static uint32_t *
chain_of(const struct id_table *table, enum index_kind kind, uint64_t hash)
{
	const struct index *index = &table->indexes[kind];

	return &index->heads[hash & (index->size - 1)];
}

/* Bits that decide no chain: an id of a chain that is another one is seldom looked at for it. */
static uint8_t
tag_of(uint64_t hash)
{
	return hash >> 56;
}

static void
link_entry(struct id_table *table, enum index_kind kind, struct uidl_entry *entry)
{
	struct uidl_id id = id_table_id(table, entry);
	uint64_t hash = hash_of(table, kind, &id, &entry->digest);
	uint32_t *head = chain_of(table, kind, hash);
	struct uidl_link *link = link_of(entry, kind);

	if (kind == INDEX_ID)
		entry->id_tag = tag_of(hash);
	link->prev = CHAIN_END;
	link->next = *head;
	if (*head != CHAIN_END)
		link_of(entry_at(table, *head), kind)->prev = entry->index;
	*head = entry->index;
	table->indexes[kind].used++;
}

static void
unlink_entry(struct id_table *table, enum index_kind kind, struct uidl_entry *entry)
{
	struct uidl_link *link = link_of(entry, kind);
	struct uidl_id id = id_table_id(table, entry);

	if (link->prev == UNLINKED)
		return;
	if (link->prev == CHAIN_END)
		*chain_of(table, kind, hash_of(table, kind, &id, &entry->digest)) = link->next;
	else
		link_of(entry_at(table, link->prev), kind)->next = link->next;
	if (link->next != CHAIN_END)
		link_of(entry_at(table, link->next), kind)->prev = link->prev;
	link->prev = UNLINKED;
	table->indexes[kind].used--;
}

static enum index_kind
digest_index_of(const struct uidl_entry *entry)
{
	if (entry->status == UIDL_GONE)
		return INDEX_GONE;
	return entry->status == UIDL_OFF || entry->none ? INDEX_DIGEST : INDEX_EXACT;
}

static bool
belongs(const struct uidl_entry *entry, enum index_kind kind)
{
	if (entry->status == UIDL_DEAD)
		return false;
	return kind == INDEX_ID ? entry->status == UIDL_GOT : kind == digest_index_of(entry);
}

/* Make an index of `size` chains over the entries that belong to it. */
static void
make_index(struct id_table *table, enum index_kind kind, size_t size)
{
	struct index *index = &table->indexes[kind];

	free_heads(index);
	index->size = size;
	make_heads(index);
	index->used = 0;
	for (uint32_t i = 0; i < table->count; i++) {
		struct uidl_entry *entry = entry_at(table, i);

		if (belongs(entry, kind))
			link_entry(table, kind, entry);
	}
}

static void
enter(struct id_table *table, enum index_kind kind, struct uidl_entry *entry)
{
	struct index *index = &table->indexes[kind];

	if (index->size == 0)
		return;
	if (index->used >= index->size)
		make_index(table, kind, 2 * index->size);
	else
		link_entry(table, kind, entry);
}

/* A lazy index, made for what is there now. */
static void
need_index(struct id_table *table, enum index_kind kind)
{
	size_t size = INDEX_MIN, members = 0;

	if (table->indexes[kind].size != 0)
		return;
	for (uint32_t i = 0; i < table->count; i++)
		members += belongs(entry_at(table, i), kind);
	while (size < members)
		size *= 2;
	make_index(table, kind, size);
}

static void
end_full(const char *what)
{
	fprintf(stderr, "pophaul: the UIDL state is full: too many %s\n", what);
	_Exit(EX_OSERR);
}

static uint32_t
store_id(struct id_table *table, const struct uidl_id *id)
{
	char *to;

	/* One octet stays free, so that the place of an empty id is in its block too. */
	if (table->arena_count == 0 || ARENA_BLOCK - table->arena_used <= id->len) {
		if (table->arena_count == ARENA_BLOCKS)
			end_full("octets of ids");
		table->arena =
			xreallocarray(table->arena, table->arena_count + 1, sizeof *table->arena);
		table->arena[table->arena_count++] = xpages(ARENA_BLOCK);
		table->arena_used = 0;
	}
	to = table->arena[table->arena_count - 1] + table->arena_used;
	if (id->len != 0)
		memcpy(to, id->data, id->len);
	table->arena_used += id->len;
	return (uint32_t)((table->arena_count - 1) * ARENA_BLOCK + (table->arena_used - id->len));
}

struct uidl_entry *
id_table_add(struct id_table *table, const struct uidl_id *id, const struct uidl_entry *from)
{
	struct uidl_entry *entry;

	assert(id->len <= UINT16_MAX && from->status != UIDL_DEAD);
	if (table->count == UNLINKED)
		end_full("messages");
	if (table->count / BLOCK_ENTRIES == table->block_count) {
		table->blocks =
			xreallocarray(table->blocks, table->block_count + 1, sizeof *table->blocks);
		table->blocks[table->block_count++] = xpages(BLOCK_SIZE);
	}
	entry = entry_at(table, table->count);
	*entry = (struct uidl_entry){
		.when = from->when,
		.octets = from->octets,
		.digest = from->digest,
		.index = table->count++,
		.id_place = store_id(table, id),
		.by_id = {CHAIN_END, UNLINKED},
		.by_digest = {CHAIN_END, UNLINKED},
		.id_len = (uint16_t)id->len,
		.status = from->status,
		.none = id->none,
		.mark = from->mark,
	};
	if (entry->status == UIDL_GOT) {
		enter(table, INDEX_ID, entry);
		if (entry->when > table->newest)
			table->newest = entry->when;
	}
	enter(table, digest_index_of(entry), entry);
	return entry;
}

void
id_table_set_status(struct id_table *table, struct uidl_entry *entry, enum uidl_status status)
{
	assert(entry->status < status);
	unlink_entry(table, digest_index_of(entry), entry);
	if (entry->status == UIDL_GOT)
		unlink_entry(table, INDEX_ID, entry);
	entry->status = (uint8_t)status;
	if (status != UIDL_DEAD)
		enter(table, digest_index_of(entry), entry);
}

static bool
has_id(const struct id_table *table, const struct uidl_entry *entry, const struct uidl_id *id)
{
	if (entry->none || id->none)
		return entry->none && id->none;
	return entry->id_len == id->len &&
		(id->len == 0 || memcmp(id_octets(table, entry), id->data, id->len) == 0);
}

static struct uidl_entry *
search_id(const struct id_table *table, uint32_t from, const struct uidl_id *id, uint8_t tag)
{
	for (uint32_t i = from; i != CHAIN_END;) {
		struct uidl_entry *entry = entry_at(table, i);

		if (entry->id_tag == tag && has_id(table, entry, id))
			return entry;
		i = entry->by_id.next;
	}
	return NULL;
}

struct uidl_entry *
id_table_find(struct id_table *table, const struct uidl_id *id)
{
	uint64_t hash = hash_of(table, INDEX_ID, id, NULL);

	return search_id(table, *chain_of(table, INDEX_ID, hash), id, tag_of(hash));
}

struct uidl_entry *
id_table_find_next(struct id_table *table, const struct uidl_entry *entry)
{
	struct uidl_id id = id_table_id(table, entry);

	assert(entry->status == UIDL_GOT);
	return search_id(table, entry->by_id.next, &id, entry->id_tag);
}

/*
 * The first unmarked entry of a digest (and id, unless NULL) in an index. Marks
 * are never taken back, so marked entries leave the index when they are met: a
 * thousand messages with one digest would otherwise cost a million steps.
 */
static struct uidl_entry *
search_digest(struct id_table *table, enum index_kind kind, const struct uidl_id *id,
	const struct digest *digest)
{
	uint32_t next;

	need_index(table, kind);
	for (uint32_t i = *chain_of(table, kind, hash_of(table, kind, id, digest)); i != CHAIN_END;
		i = next) {
		struct uidl_entry *entry = entry_at(table, i);

		next = entry->by_digest.next;
		if (memcmp(&entry->digest, digest, sizeof *digest) != 0 ||
			(id != NULL && !has_id(table, entry, id)))
			continue;
		if (!entry->mark)
			return entry;
		unlink_entry(table, kind, entry);
	}
	return NULL;
}

struct uidl_entry *
id_table_find_digest(struct id_table *table, const struct digest *digest)
{
	return search_digest(table, INDEX_DIGEST, NULL, digest);
}

/* Entries of the wrong status behind `entry` are passed by; there are few of both kinds. */
static struct uidl_entry *
pass_by(struct id_table *table, struct uidl_entry *entry, enum uidl_status status)
{
	struct digest digest;

	if (entry == NULL || entry->status == status)
		return entry;
	digest = entry->digest;
	for (uint32_t i = entry->by_digest.next; i != CHAIN_END; i = entry->by_digest.next) {
		entry = entry_at(table, i);
		if (entry->status == status && !entry->mark &&
			memcmp(&entry->digest, &digest, sizeof digest) == 0)
			return entry;
	}
	return NULL;
}

struct uidl_entry *
id_table_find_off(struct id_table *table, const struct digest *digest)
{
	return pass_by(table, id_table_find_digest(table, digest), UIDL_OFF);
}

struct uidl_entry *
id_table_find_exact(struct id_table *table, const struct uidl_id *id, const struct digest *digest)
{
	if (id->none)
		return pass_by(table, id_table_find_digest(table, digest), UIDL_GOT);
	return search_digest(table, INDEX_EXACT, id, digest);
}

struct uidl_entry *
id_table_find_gone(struct id_table *table, const struct uidl_id *id, const struct digest *digest)
{
	return search_digest(table, INDEX_GONE, id, digest);
}

struct uidl_entry *
id_table_each(struct id_table *table, size_t *at)
{
	while (*at < table->count) {
		struct uidl_entry *entry = entry_at(table, (uint32_t)(*at)++);

		if (entry->status != UIDL_DEAD)
			return entry;
	}
	return NULL;
}

int64_t
id_table_delivery_time(const struct id_table *table, int64_t now)
{
	bool is_impossible = now < CLOCK_EARLIEST;

	if (table->newest <= now || (!is_impossible && table->newest - now > CLOCK_BEHIND_MAX))
		return now;
	return table->newest;
}
