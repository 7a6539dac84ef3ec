#include "deliver/state/broken.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

static int
compare_ids(const struct uidl_id *a, const struct uidl_id *b)
{
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return a->len != 0 ? memcmp(a->data, b->data, a->len) : 0;
}

/* Where the id is, or would be. */
static size_t
place_of(const struct broken *broken, const struct uidl_id *id, bool *is_there_out)
{
	size_t low = 0, high = broken->count;

	*is_there_out = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare_ids(id, &broken->list[middle].id);

		if (order == 0) {
			*is_there_out = true;
			return middle;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void
take_out(struct broken *broken, size_t at)
{
	free((char *)broken->list[at].id.data);
	broken->count--;
	memmove(&broken->list[at], &broken->list[at + 1],
		(broken->count - at) * sizeof *broken->list);
}

static void
put_in(struct broken *broken, size_t at, const struct uidl_id *id, uint32_t count)
{
	char *own = xcalloc(1, id->len + 1);

	if (id->len != 0)
		memcpy(own, id->data, id->len);
	if (broken->count == broken->size) {
		broken->size = broken->size != 0 ? 2 * broken->size : 8;
		broken->list = xreallocarray(broken->list, broken->size, sizeof *broken->list);
	}
	memmove(&broken->list[at + 1], &broken->list[at],
		(broken->count - at) * sizeof *broken->list);
	broken->list[at] = (struct broken_item){
		.id = {.data = own, .len = id->len},
                  .count = count
        };
	broken->count++;
}

bool
broken_would_change(const struct broken *broken, const struct uidl_id *id, uint32_t count)
{
	uint32_t before = broken_count(broken, id);

	/* A server that gives no ids has nothing to know a message by. */
	if (id->none || count == before)
		return false;
	return before != 0 || broken->count < BROKEN_MAX;
}

void
broken_set(struct broken *broken, const struct uidl_id *id, uint32_t count)
{
	bool is_there;
	size_t at;

	if (!broken_would_change(broken, id, count))
		return;
	at = place_of(broken, id, &is_there);
	if (!is_there)
		put_in(broken, at, id, count);
	else if (count == 0)
		take_out(broken, at);
	else
		broken->list[at].count = count;
}

const struct broken_item *
broken_find(const struct broken *broken, const struct uidl_id *id)
{
	bool is_there;
	size_t at;

	if (id->none)
		return NULL;
	at = place_of(broken, id, &is_there);
	return is_there ? &broken->list[at] : NULL;
}

uint32_t
broken_count(const struct broken *broken, const struct uidl_id *id)
{
	const struct broken_item *item = broken_find(broken, id);

	return item != NULL ? item->count : 0;
}

void
broken_release(struct broken *broken)
{
	for (size_t i = 0; i < broken->count; i++)
		free((char *)broken->list[i].id.data);
	free(broken->list);
	*broken = (struct broken){0};
}
