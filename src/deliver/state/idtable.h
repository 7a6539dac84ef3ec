/*
 * The messages of one account's state in memory: found by id, by id and
 * digest, by digest, each in constant time. Not the log (uidl.c) and not its
 * lines (record.c).
 *
 * Entries and their ids stay where they are until id_table_free(). Ids come
 * from servers and senders, so the hashes are keyed with a random key, and
 * nothing here takes longer when many messages share one id or one digest.
 * The indexes over digests are made when they are first asked.
 */
#ifndef POPHAUL_DELIVER_STATE_IDTABLE_H
#define POPHAUL_DELIVER_STATE_IDTABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "deliver/state/uidl.h"

struct id_table;

/* A table that will hold about `expected` entries. */
struct id_table *id_table_new(size_t expected);
void id_table_free(struct id_table *table);

/*
 * A new entry with the fields of `from` that are not private; `from->status` is
 * not UIDL_DEAD. Copies the id, which may be another entry's. Ends the
 * process when 2^32 entries or 4 GiB of ids are full, as xalloc.h does.
 */
struct uidl_entry *id_table_add(
	struct id_table *table, const struct uidl_id *id, const struct uidl_entry *from);

/* UIDL_GOT → UIDL_OFF, UIDL_GONE or UIDL_DEAD; UIDL_OFF and UIDL_GONE → UIDL_DEAD. */
void id_table_set_status(struct id_table *table, struct uidl_entry *entry, enum uidl_status status);

/* As the functions of the same name in uidl.h. */
struct uidl_entry *id_table_find(struct id_table *table, const struct uidl_id *id);
struct uidl_entry *id_table_find_next(struct id_table *table, const struct uidl_entry *entry);
struct uidl_entry *id_table_find_exact(
	struct id_table *table, const struct uidl_id *id, const struct digest *digest);
struct uidl_entry *id_table_find_digest(struct id_table *table, const struct digest *digest);
struct uidl_entry *id_table_find_gone(
	struct id_table *table, const struct uidl_id *id, const struct digest *digest);
struct uidl_id id_table_id(const struct id_table *table, const struct uidl_entry *entry);

/* The entry of this index, which must have been given to one. */
struct uidl_entry *id_table_at(const struct id_table *table, uint32_t index);

/* As id_table_find_digest(), but only UIDL_OFF entries. */
struct uidl_entry *id_table_find_off(struct id_table *table, const struct digest *digest);

/* Walk over all entries that are not dead, in the order in which they were added. */
struct uidl_entry *id_table_each(struct id_table *table, size_t *at);

/* As uidl_delivery_time(). */
int64_t id_table_delivery_time(const struct id_table *table, int64_t now);

#endif
