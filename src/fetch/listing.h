/*
 * What the maildrop holds: UIDL's and LIST's rows put together. Each row goes to
 * the deliverer as it comes, with its id; what stays here is a number and a
 * size. It knows nothing of the connection: pop3.c feeds it.
 *
 *	listing_init()
 *	listing_add_uidl() for each row of UIDL, listing_end_uidl()
 *	listing_add_octets() for each row of LIST
 *	listing_end()
 *	listing_release()
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

#include "base/digest.h"
#include "base/error.h"
#include "base/siphash.h"
#include "link/link.h"

/*
 * An id of more than LINK_UIDL_MAX octets is known by this and its digest, so that one absurd
 * id does not keep a whole maildrop from being fetched, nor make two messages one.
 */
#define LISTING_DIGEST_UIDL_PREFIX "long-id-"
#define LISTING_DIGEST_UIDL_SIZE   (sizeof LISTING_DIGEST_UIDL_PREFIX - 1 + DIGEST_HEX_SIZE)

/* LINK_ROWS_MAX of them are held. */
struct listing_row {
	uint64_t octets; /* POP3_OCTETS_UNKNOWN when the server did not tell */
	uint32_t number;
	bool is_sized; /* LIST named it */
};

/* A zeroed struct is an empty listing that tells nobody. */
struct listing {
	struct link *link;         /* hears of the rows; NULL: nobody does */
	const struct listing *old; /* the one that this may continue; or NULL */
	struct listing_row *rows;
	size_t count;
	size_t size;
	bool has_begun;    /* the link has its LINK_LISTING */
	bool has_uidl;     /* the rows are UIDL's */
	size_t cursor;     /* where the next row of LIST is expected */
	size_t unmatched;  /* rows of LIST that UIDL did not have; */
	size_t without_id; /* of these, those before UIDL's last number: they are no new mail, */
	uint32_t first_without_id; /* and the first of them that was listed */
	size_t digested;           /* rows whose id is a digest */
	struct siphash_key key;    /* of: */
	uint64_t ids;              /* a sum over numbers and ids, of the rows that `old` has too */
	size_t ids_count;          /* how many rows are in it */
};

/*
 * `link` gets LINK_LISTING and then LINK_ROW by LINK_ROW; NULL: a second listing, of
 * which listing_is_continued() will be asked, with `old` for the first. Both are borrowed.
 */
void listing_init(struct listing *listing, struct link *link, const struct listing *old);

/*
 * ERROR_PROTOCOL: too many rows. ERROR_SYSTEM: the deliverer is gone; waits while it is slower
 * than the server.
 */
int listing_add_uidl(struct listing *listing, uint32_t number, const char *uidl, size_t len,
	struct error *err) __attribute__((warn_unused_result));

/*
 * UIDL is complete: from now on rows that it did not have are counted and left out.
 * ERROR_PROTOCOL: a number came twice.
 */
int listing_end_uidl(struct listing *listing, struct error *err)
	__attribute__((warn_unused_result));

/* ERROR_PROTOCOL: too many rows, or a number that LIST has named before; ERROR_SYSTEM as above. */
int listing_add_octets(struct listing *listing, uint32_t number, uint64_t octets, struct error *err)
	__attribute__((warn_unused_result));

/* LIST is complete too. ERROR_PROTOCOL: a number came twice. */
int listing_end(struct listing *listing, struct error *err) __attribute__((warn_unused_result));

/* Queue the sizes of all rows for the deliverer, after listing_end(). */
void listing_put_sizes(const struct listing *listing);

/* The row of a message number, NULL when there is none. Only after listing_end(). */
struct listing_row *listing_find(const struct listing *listing, uint32_t number);

/* Whether every row of `now`'s old listing is in it under the same number with the same id. */
bool listing_is_continued(const struct listing *now);

void listing_release(struct listing *listing);

#endif
