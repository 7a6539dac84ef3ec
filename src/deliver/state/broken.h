/*
 * The messages at which sessions broke off, by id, each with how many sessions in a row did.
 * There are few: a mailbox with one is rare, and each costs two sessions to be found out.
 *
 * A zeroed struct is empty. broken_release() frees.
 */
#ifndef POPHAUL_DELIVER_STATE_BROKEN_H
#define POPHAUL_DELIVER_STATE_BROKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "deliver/state/uidl.h"

/*
 * More are not noted: each may be LINK_UIDL_MAX octets, and a server that breaks so often is broken
 * itself.
 */
#define BROKEN_MAX 1000

struct broken_item {
	struct uidl_id id; /* its octets are owned */
	uint32_t count;
};

struct broken {
	struct broken_item *list; /* sorted by id */
	size_t count, size;
};

/* False: broken_set() would do nothing, for it is so already, there is no id or no room. */
bool broken_would_change(const struct broken *broken, const struct uidl_id *id, uint32_t count);

/* So many sessions broke off at this id; 0: forget it. */
void broken_set(struct broken *broken, const struct uidl_id *id, uint32_t count);

/* NULL: none; until the next broken_set(). */
const struct broken_item *broken_find(const struct broken *broken, const struct uidl_id *id);

/* How many sessions broke off at this id. */
uint32_t broken_count(const struct broken *broken, const struct uidl_id *id);

void broken_release(struct broken *broken);

#endif
