#include "deliver/state/tries.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

const char *
tries_dest(const struct tries *tries)
{
	return tries->dest_count != 0 ? tries->dests[tries->dest_count - 1] : NULL;
}

bool
tries_set_dest(struct tries *tries, const char *text, size_t len)
{
	const char *now = tries_dest(tries);

	if (now != NULL && strlen(now) == len && memcmp(now, text, len) == 0)
		return false;
	tries->dests = xreallocarray(tries->dests, tries->dest_count + 1, sizeof *tries->dests);
	tries->dests[tries->dest_count++] = xmemdup0(text, len);
	return true;
}

void
tries_clear(struct tries *tries)
{
	for (size_t i = 0; i < tries->count; i++) {
		free((char *)tries->list[i].token);
		free((char *)tries->list[i].id.data);
	}
	tries->count = tries->open = tries->cursor = tries->block = 0;
}

void
tries_release(struct tries *tries)
{
	tries_clear(tries);
	free(tries->list);
	for (size_t i = 0; i < tries->dest_count; i++)
		free(tries->dests[i]);
	free(tries->dests);
	*tries = (struct tries){.list = NULL};
}

void
tries_add(struct tries *tries, const struct record *record)
{
	if (tries->count == tries->size) {
		tries->size = tries->size != 0 ? 2 * tries->size : 64;
		tries->list = xreallocarray(tries->list, tries->size, sizeof *tries->list);
	}
	tries->list[tries->count++] = (struct uidl_try){
		.dest = tries_dest(tries),
		.token = xmemdup0(record->text, record->text_len),
		.octets = record->octets,
		.digest = record->digest,
		.id = {xmemdup0(record->id.data, record->id.len), record->id.len, record->id.none},
	};
	tries->open++;
}

static bool
is_try_of(const struct uidl_try *try, const struct record *got)
{
	return try->token != NULL && memcmp(&try->digest, &got->digest, sizeof got->digest) == 0 &&
		try->id.none == got->id.none && try->id.len == got->id.len &&
		memcmp(try->id.data, got->id.data, got->id.len) == 0;
}

/* A settled try loses its token. They are settled in their order as a rule: hence the cursor. */
void
tries_settle(struct tries *tries, const struct record *got)
{
	if (tries->open == 0)
		return;
	for (size_t n = 0; n < tries->count; n++) {
		size_t i = (tries->cursor + n) % tries->count;
		struct uidl_try *try = &tries->list[i];

		if (!is_try_of(try, got))
			continue;
		free((char *)try->token);
		try->token = NULL;
		tries->cursor = i + 1;
		if (--tries->open == 0)
			tries_clear(tries);
		return;
	}
}

void
tries_begin_block(struct tries *tries)
{
	tries->block = tries->count;
}

void
tries_drop_block(struct tries *tries)
{
	for (size_t i = tries->block; i < tries->count; i++) {
		if (tries->list[i].token != NULL)
			tries->open--;
		free((char *)tries->list[i].token);
		free((char *)tries->list[i].id.data);
	}
	tries->count = tries->block;
	if (tries->open == 0)
		tries_clear(tries);
}

void
tries_finish(struct tries *tries, bool in_doubt)
{
	size_t kept = 0;

	for (size_t i = 0; i < tries->count; i++) {
		tries->list[i].in_doubt = in_doubt;
		if (tries->list[i].token != NULL)
			tries->list[kept++] = tries->list[i];
		else
			free((char *)tries->list[i].id.data);
	}
	tries->count = kept;
}
