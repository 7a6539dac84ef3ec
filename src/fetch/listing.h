/*
 * What the maildrop holds: UIDL's and LIST's rows put together, compact enough
 * for millions. It knows nothing of the connection: pop3.c feeds it.
 *
 *	listing_add_uidl() for each row of UIDL, listing_end_uidl()
 *	listing_add_octets() for each row of LIST
 *	listing_end()
 *
 * Without UIDL, listing_add_octets() and listing_end() alone. Afterwards the
 * rows are in the order of their numbers, each number once. A server that
 * sends a number twice, or 0, or more than the link's bounds, has broken the
 * protocol, and its listing must not be used at all.
 */
#ifndef POPHAUL_FETCH_LISTING_H
#define POPHAUL_FETCH_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/error.h"

/*
 * An id of more than LINK_UIDL_MAX octets is known by this and its digest, so that one absurd
 * id does not keep a whole maildrop from being fetched, nor make two messages one.
 */
#define LISTING_DIGEST_UIDL_PREFIX "long-id-"
#define LISTING_DIGEST_UIDL_SIZE   (sizeof LISTING_DIGEST_UIDL_PREFIX - 1 + DIGEST_HEX_SIZE)

/*
 * 24 octets for each of LINK_ROWS_MAX rows, and LINK_UIDLS_TOTAL_MAX octets of ids: 400 MB are
 * all that a server can make us hold.
 */
struct listing_row {
	uint64_t octets; /* POP3_OCTETS_UNKNOWN when the server did not tell */
	uint32_t number;
	uint32_t uidl_at; /* in listing.uidls */
	uint16_t uidl_len;
	bool is_sized; /* LIST named it */
};

/* A zeroed struct is an empty listing. */
struct listing {
	struct listing_row *rows;
	size_t count;
	size_t size;
	struct buf uidls;
	bool has_uidl;    /* the rows are UIDL's */
	size_t cursor;    /* where the next row of LIST is expected */
	size_t unmatched; /* rows of LIST that UIDL did not have */
	size_t digested;  /* rows whose id is a digest */
};

/* ERROR_PROTOCOL: too many rows, or too many octets of ids. */
int listing_add_uidl(struct listing *listing, uint32_t number, const char *uidl, size_t len,
	struct error *err) __attribute__((warn_unused_result));

/*
 * UIDL is complete: from now on rows that it did not have are counted and left out.
 * ERROR_PROTOCOL: a number came twice.
 */
int listing_end_uidl(struct listing *listing, struct error *err)
	__attribute__((warn_unused_result));

/* ERROR_PROTOCOL: too many rows, or a number that LIST has named before. */
int listing_add_octets(struct listing *listing, uint32_t number, uint64_t octets, struct error *err)
	__attribute__((warn_unused_result));

/* LIST is complete too. ERROR_PROTOCOL: a number came twice. */
int listing_end(struct listing *listing, struct error *err) __attribute__((warn_unused_result));

/* The row of a message number, NULL when there is none. Only after listing_end(). */
struct listing_row *listing_find(const struct listing *listing, uint32_t number);

/* The id of a row, listing_row.uidl_len octets. Borrowed. */
const char *listing_uidl(const struct listing *listing, const struct listing_row *row);

/* Whether every row of `old` is in `now` under the same number with the same id. */
bool listing_is_continued(const struct listing *old, const struct listing *now);

void listing_release(struct listing *listing);

#endif
