#include "fetch/listing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/xalloc.h"
#include "fetch/pop3_parse.h"
#include "link/link.h"

static struct listing_row *
append_row(struct listing *listing, uint32_t number, struct error *err)
{
	struct listing_row *row;

	if (listing->count == LINK_ROWS_MAX) {
		error_set(err, ERROR_PROTOCOL, "the server lists more than %u messages",
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

int
listing_add_uidl(
	struct listing *listing, uint32_t number, const char *uidl, size_t len, struct error *err)
{
	char digested[LISTING_DIGEST_UIDL_SIZE];
	struct listing_row *row;

	if (len > LINK_UIDL_MAX) {
		len = digest_uidl(uidl, len, digested);
		uidl = digested;
		listing->digested++;
	}
	if (listing->uidls.len + len > LINK_UIDLS_TOTAL_MAX)
		return error_set(err, ERROR_PROTOCOL, "the UIDLs are longer than %u octets in all",
			LINK_UIDLS_TOTAL_MAX);
	row = append_row(listing, number, err);
	if (row == NULL)
		return -1;
	row->uidl_at = (uint32_t)listing->uidls.len;
	row->uidl_len = (uint16_t)len;
	buf_append(&listing->uidls, uidl, len);
	return 0;
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
	return sort_rows(listing, err);
}

int
listing_add_octets(struct listing *listing, uint32_t number, uint64_t octets, struct error *err)
{
	struct listing_row *row;

	if (!listing->has_uidl) {
		row = append_row(listing, number, err);
		if (row == NULL)
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
	return sort_rows(listing, err);
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

const char *
listing_uidl(const struct listing *listing, const struct listing_row *row)
{
	return buf_data(&listing->uidls) + row->uidl_at;
}

bool
listing_is_continued(const struct listing *old, const struct listing *now)
{
	for (size_t i = 0; i < old->count; i++) {
		const struct listing_row *before = &old->rows[i];
		const struct listing_row *after = listing_find(now, before->number);

		if (after == NULL || after->uidl_len != before->uidl_len)
			return false;
		if (memcmp(listing_uidl(old, before), listing_uidl(now, after), before->uidl_len) !=
			0)
			return false;
	}
	return true;
}

void
listing_release(struct listing *listing)
{
	free(listing->rows);
	buf_release(&listing->uidls);
	memset(listing, 0, sizeof(*listing));
}
