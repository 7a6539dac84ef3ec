#include "fetch/listing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "fetch/pop3_parse.h"

/* Rows queued before the link is flushed: a listing of millions must not be held twice. */
#define ROWS_PENDING_MAX (256 * 1024)

/* Sizes that are queued at a time. */
#define SIZES_BATCH 1024

void
listing_init(struct listing *listing, struct link *link, const struct listing *old)
{
	memset(listing, 0, sizeof(*listing));
	listing->link = link;
	listing->old = old;
	if (old != NULL)
		listing->key = old->key;
	else
		siphash_make_key(&listing->key);
}

/* Before the first row, or in place of it. */
static void
begin(struct listing *listing)
{
	if (!listing->has_begun && listing->link != NULL)
		link_put_value(listing->link, LINK_LISTING, listing->has_uidl);
	listing->has_begun = true;
}

static int
tell_row(struct listing *listing, uint32_t number, const char *uidl, size_t len, struct error *err)
{
	const struct link_row row = {.number = number, .uidl = uidl, .uidl_len = len};

	if (listing->link == NULL)
		return 0;
	link_put_row(listing->link, &row);
	if (link_pending(listing->link) <= ROWS_PENDING_MAX)
		return 0;
	return link_flush_all(listing->link, CLOCK_NEVER, err);
}

static struct listing_row *
append_row(struct listing *listing, uint32_t number, struct error *err)
{
	struct listing_row *row;

	begin(listing);
	if (listing->count == LINK_ROWS_MAX) {
		error_set(err, ERROR_PROTOCOL,
			"the server lists more than %u messages, which is the limit",
			LINK_ROWS_MAX);
		return NULL;
	}
	if (listing->count == listing->size) {
		listing->size = listing->size == 0 ? 1024 : 2 * listing->size;
		listing->rows =
			xreallocarray(listing->rows, listing->size, sizeof(listing->rows[0]));
	}
	row = &listing->rows[listing->count++];
	memset(row, 0, sizeof(*row));
	row->number = number;
	row->octets = POP3_OCTETS_UNKNOWN;
	return row;
}

/* What stands in place of an id that is too long; its length. */
static size_t
digest_uidl(const char *uidl, size_t len, char out[static LISTING_DIGEST_UIDL_SIZE])
{
	struct digest_state *state = digest_new();
	char hex[DIGEST_HEX_SIZE];
	struct digest digest;

	digest_add(state, uidl, len);
	digest_finish(state, &digest);
	digest_free(state);
	digest_to_hex(&digest, hex);
	return (size_t)snprintf(
		out, LISTING_DIGEST_UIDL_SIZE, "%s%s", LISTING_DIGEST_UIDL_PREFIX, hex);
}

/*
 * A sum, so that the order of the rows does not matter. Its key keeps servers from choosing ids
 * that change and leave it the same.
 */
static void
add_to_ids(struct listing *listing, uint32_t number, const char *uidl, size_t len)
{
	struct siphash_key key = listing->key;

	if (listing->old != NULL && listing_find(listing->old, number) == NULL)
		return;
	key.words[0] += number;
	listing->ids += siphash(&key, uidl, len);
	listing->ids_count++;
}

int
listing_add_uidl(
	struct listing *listing, uint32_t number, const char *uidl, size_t len, struct error *err)
{
	char digested[LISTING_DIGEST_UIDL_SIZE];

	listing->has_uidl = true;
	if (len > LINK_UIDL_MAX) {
		len = digest_uidl(uidl, len, digested);
		uidl = digested;
		listing->digested++;
	}
	if (append_row(listing, number, err) == NULL)
		return -1;
	add_to_ids(listing, number, uidl, len);
	return tell_row(listing, number, uidl, len, err);
}

static int
compare_rows(const void *a, const void *b)
{
	const struct listing_row *left = a, *right = b;

	return (left->number > right->number) - (left->number < right->number);
}

/* Nearly every server lists in order: look before sorting. */
static int
sort_rows(struct listing *listing, struct error *err)
{
	size_t i;

	for (i = 1; i < listing->count; i++) {
		if (listing->rows[i].number < listing->rows[i - 1].number)
			break;
	}
	if (i < listing->count)
		qsort(listing->rows, listing->count, sizeof(listing->rows[0]), compare_rows);
	for (i = 1; i < listing->count; i++) {
		if (listing->rows[i].number == listing->rows[i - 1].number)
			return error_set(err, ERROR_PROTOCOL, "the server lists message %u twice",
				listing->rows[i].number);
	}
	return 0;
}

int
listing_end_uidl(struct listing *listing, struct error *err)
{
	listing->has_uidl = true;
	begin(listing);
	return sort_rows(listing, err);
}

/* What arrives between UIDL and LIST has a number behind all others. */
static void
note_unmatched(struct listing *listing, uint32_t number)
{
	if (listing->count == 0 || number > listing->rows[listing->count - 1].number)
		return;
	if (listing->without_id++ == 0)
		listing->first_without_id = number;
}

int
listing_add_octets(struct listing *listing, uint32_t number, uint64_t octets, struct error *err)
{
	struct listing_row *row;

	if (!listing->has_uidl) {
		row = append_row(listing, number, err);
		if (row == NULL || tell_row(listing, number, NULL, 0, err) != 0)
			return -1;
	} else if (listing->cursor < listing->count &&
		listing->rows[listing->cursor].number == number) {
		row = &listing->rows[listing->cursor];
	} else {
		row = listing_find(listing, number);
	}
	if (row == NULL) {
		if (++listing->unmatched > LINK_ROWS_MAX)
			return error_set(err, ERROR_PROTOCOL,
				"the server's LIST is longer than %u lines", LINK_ROWS_MAX);
		note_unmatched(listing, number);
		return 0;
	}
	if (row->is_sized)
		return error_set(err, ERROR_PROTOCOL, "the server lists message %u twice", number);
	row->is_sized = true;
	row->octets = octets;
	listing->cursor = (size_t)(row - listing->rows) + 1;
	return 0;
}

int
listing_end(struct listing *listing, struct error *err)
{
	begin(listing);
	return sort_rows(listing, err);
}

void
listing_put_sizes(const struct listing *listing)
{
	uint64_t octets[SIZES_BATCH];
	size_t count = 0;

	for (size_t i = 0; i < listing->count; i++) {
		octets[count++] = listing->rows[i].octets;
		if (count < SIZES_BATCH && i + 1 < listing->count)
			continue;
		link_put_data(listing->link, LINK_SIZES, octets, count * sizeof(octets[0]));
		count = 0;
	}
}

struct listing_row *
listing_find(const struct listing *listing, uint32_t number)
{
	struct listing_row key = {.number = number};

	/* bsearch(3) must not see the NULL of an empty listing. */
	if (listing->count == 0)
		return NULL;
	return bsearch(&key, listing->rows, listing->count, sizeof(listing->rows[0]), compare_rows);
}

bool
listing_is_continued(const struct listing *now)
{
	return now->ids_count == now->old->count && now->ids == now->old->ids;
}

void
listing_release(struct listing *listing)
{
	free(listing->rows);
	memset(listing, 0, sizeof(*listing));
}
