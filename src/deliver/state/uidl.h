/*
 * The UIDL state of one account: a text log, STATE-DIR/NAME.uidl, that says
 * which messages of the server are delivered. What is in it survives kill -9
 * and power cuts; what is not in it did not happen.
 *
 *	uidl_open()               lock NAME.lock, read, repair a torn end
 *	uidl_try_count() …        what a dead session was publishing: ask the destination
 *	uidl_add_…()              queue records and apply them in memory
 *	uidl_commit()             one write, one fdatasync: only now did they happen
 *	uidl_compact()            after a complete listing: rewrite once more than half is dead
 *	uidl_close()
 *
 * The file, one record a line:
 *
 *	pophaul-uidl 1
 *	dest TEXT                           where what follows goes
 *	try TOKEN OCTETS DIGEST UID         about to be published under TOKEN
 *	got WHEN OCTETS DIGEST UID          delivered and durable
 *	off WHEN UID [DIGEST]               no longer listed; its digest is kept 30 days
 *	gone WHEN UID [DIGEST]              deleted by us, confirmed; no listing has proven it yet
 *	bye UID [DIGEST]                    forgotten
 *	drop DIGEST                         one `off` of this digest is forgotten
 *	drop DIGEST UID                     the same of a `gone`
 *	end                                 all tries before are settled
 *	fact login WHEN DELAY               last login, LOGIN-DELAY in seconds
 *	fact lockstep WHEN                  the server breaks on pipelining
 *	fact unquit WHEN                    the last session could not QUIT, and deletions wait
 *	fact deleting WHEN                  deletions began, and were not confirmed
 *	fact emptied WHEN                   the last listing was empty
 *	fact relisted COUNT                 sessions in a row that found a `gone` still listed
 *	fact id NUMBER                      which state this is, among all of one account
 *	fact broke COUNT UID                sessions in a row broke off at this message; 0: no more
 *	fact capa WHEN                      the server has answered CAPA since then,
 *	fact expire0 WHEN                   deletes at QUIT what it has sent (EXPIRE 0),
 *	fact utf8 WHEN                      and lists UTF8
 *	fact failures COUNT WHEN CLASS      sessions failed in a row; COUNT 0 ends the row
 *	sum CRC                             vouches for the lines before
 *
 * Octets outside 0x21-0x7E and '%' are written %XX. A UID field "%" is the
 * empty id, "%-" a message of a server without UIDL; OCTETS "-" is a size that
 * the server did not tell. UIDs are opaque octets, and a multiset. DIGEST after
 * bye, off or gone says which of several entries of one id is meant; an `off` or `gone` with a
 * DIGEST that no `got` matches stands for itself (so compaction writes them). A
 * `got` settles the oldest `try` of its id and digest. A `bye` or `drop` that
 * matches nothing, and a fact of an unknown kind, mean nothing.
 *
 * Each commit ends with a `sum`: the CRC-32 of the lines since the last `sum`, the
 * first line included, going on from the value that stands there (from 0 at the first): so it
 * tells too when whole commits are missing, doubled or in another order. Eight digits in hex.
 *
 * Ended by LF; an unended last line is cut off. A line that cannot be read, a sum that is wrong
 * (or an empty file): the file is set aside as NAME.uidl.damaged-TIME, a warning is due, and
 * nothing but the digests is believed: what was delivered is `off`. Records behind the last
 * sum were never confirmed (their write was torn, or somebody made the file by hand): `off` the
 * same, but no warning. A first line of another version is refused.
 */
#ifndef POPHAUL_DELIVER_STATE_UIDL_H
#define POPHAUL_DELIVER_STATE_UIDL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/error.h"

/* How long the digest of a vanished message is kept: servers renumber whole mailboxes at once. */
#define UIDL_OFF_SECONDS (30 * 24 * 60 * 60)

/* The longest token of a try: file names, offsets. */
#define UIDL_TOKEN_MAX 1024

struct uidl;

enum uidl_access {
	UIDL_READ_ONLY, /* no lock, no repair, no file made: for --list and --dry-run */
	UIDL_LOCKED
};

/* A message id: octets, or that the server gives none. */
struct uidl_id {
	const char *data;
	size_t len;
	bool none; /* a server without UIDL */
};

enum uidl_status {
	UIDL_GOT,
	UIDL_OFF,
	UIDL_GONE,
	UIDL_DEAD /* forgotten; never handed out */
};

/* Private: neighbours in a chain of one of the indexes. */
struct uidl_link {
	uint32_t next, prev;
};

/* One delivered message. Entries never move: pointers hold until uidl_close(). */
struct uidl_entry {
	int64_t when;    /* delivered; UIDL_OFF: vanished; UIDL_GONE: deleted */
	uint64_t octets; /* as listed at that time, or LINK_OCTETS_UNKNOWN */
	struct digest digest;
	uint32_t index;    /* uidl_entry_at() */
	uint32_t id_place; /* private */
	struct uidl_link by_id, by_digest;
	uint32_t plan; /* private to plan(); 0 after open */
	uint16_t id_len;
	uint8_t id_tag;     /* private */
	uint8_t status : 2; /* enum uidl_status */
	bool none : 1;      /* of a server without UIDL */
	bool mark : 1; /* the caller's: seen in this listing; false after open, never taken back */
	bool due : 1;  /* the caller's: to be deleted, were its id not in doubt; false after open */
};

/* In place of an entry's index: none. */
#define UIDL_NO_ENTRY UINT32_MAX

struct uidl_try {
	const char *dest; /* the destination's text then; NULL when the log has none */
	const char *token;
	uint64_t octets;
	struct digest digest;
	struct uidl_id id;
	bool in_doubt; /* the log was damaged, or its end torn */
};

/* Facts of one number, mostly a time; 0: not so. */
enum uidl_number {
	UIDL_LOCK_STEP_WHEN,
	UIDL_UNQUIT_WHEN,
	UIDL_DELETING_WHEN,
	UIDL_EMPTIED_WHEN,
	UIDL_RELISTED,
	UIDL_ID,
	UIDL_CAPA_WHEN,
	UIDL_EXPIRE_NOW_WHEN,
	UIDL_UTF8_WHEN,
	UIDL_NUMBER_COUNT
};

/* The lines of the file that were not believed; first_line 0: all were. */
struct uidl_doubt {
	size_t first_line, last_line;
	bool is_damaged; /* not only a write that was torn, or a file without sums */
};

struct uidl_facts {
	int64_t login_when; /* 0: never */
	int64_t login_delay;
	int64_t numbers[UIDL_NUMBER_COUNT];
	uint32_t failures;
	int64_t failures_when;
	enum error_class failures_class;
};

/*
 * `name` is the account's. ERROR_BUSY: locked by another process. ERROR_CREATE,
 * ERROR_WRITE; ERROR_CONFIG: written by a newer pophaul, left alone. A missing
 * file is an empty state; folder (0700) and file (0600) are made when UIDL_LOCKED.
 * `damaged_out` (may be NULL) gets the name under which a damaged file was set
 * aside, or NULL (always NULL when UIDL_READ_ONLY); the caller frees it and warns.
 */
struct uidl *uidl_open(const char *state_dir, const char *name, enum uidl_access access,
	char **damaged_out, struct error *err) __attribute__((warn_unused_result));

/* Release memory, file, lock. Queued records that were not committed are dropped. NULL is fine. */
void uidl_close(struct uidl *uidl);

/* As uidl_open() found the file. */
const struct uidl_doubt *uidl_doubt(const struct uidl *uidl);

const struct uidl_facts *uidl_facts(const struct uidl *uidl);

/* The messages at which sessions broke off (broken.h). */
struct broken;
const struct broken *uidl_broken(const struct uidl *uidl);

/* The first UIDL_GOT entry of an id, and the next one of the same id; NULL: none (more). */
struct uidl_entry *uidl_find(struct uidl *uidl, const struct uidl_id *id);
struct uidl_entry *uidl_find_next(struct uidl *uidl, const struct uidl_entry *entry);

/*
 * A UIDL_GOT entry of this id with this digest that is not marked; NULL: none.
 * For an id that several messages share: constant time however many they are.
 */
struct uidl_entry *uidl_find_exact(
	struct uidl *uidl, const struct uidl_id *id, const struct digest *digest);

/*
 * An UIDL_OFF entry, or a UIDL_GOT entry of no id, with this digest that is not marked; NULL:
 * none.
 */
struct uidl_entry *uidl_find_digest(struct uidl *uidl, const struct digest *digest);

/* The entry of an index; NULL for UIDL_NO_ENTRY. */
struct uidl_entry *uidl_entry_at(struct uidl *uidl, uint32_t index);

/*
 * A UIDL_GONE entry of this id with this digest that is not marked; NULL: none. A message of
 * another id is another one, though it be the same: it was sent again.
 */
struct uidl_entry *uidl_find_gone(
	struct uidl *uidl, const struct uidl_id *id, const struct digest *digest);

/* Walk over all entries that are not dead: start with *at = 0; NULL at the end. */
struct uidl_entry *uidl_each(struct uidl *uidl, size_t *at);

/* The id of an entry; its octets hold until uidl_close(). */
struct uidl_id uidl_entry_id(const struct uidl *uidl, const struct uidl_entry *entry);

/*
 * What a dead session left half done, in the order of the log: `try` records
 * without a `got` behind them, as found by uidl_open(). Of a damaged or torn log they are in doubt:
 * what is missing may be their `end` or `dest`, so that only what is found was delivered. The list
 * stays as it is until uidl_clear_tries(); uidl_add_got() may be called while walking over it.
 */
size_t uidl_try_count(const struct uidl *uidl);
const struct uidl_try *uidl_try_at(const struct uidl *uidl, size_t index);

/*
 * All tries so far are settled, each by uidl_add_got() or found undone: queues
 * `end` when there are any, those of this session included. To be committed with
 * the last of the `got`. A try of this session whose publishing failed must be ended and committed
 * BEFORE its file in tmp/ is removed: the next start would take it for delivered.
 */
void uidl_clear_tries(struct uidl *uidl);

/*
 * The `when` of a delivery that is made `now`: the latest delivery that is recorded when that is
 * later, for then the clock was set back; a message must not look old when the clock is right
 * again, and be deleted too early. Unless it is later by more than 90 days: then
 * the clock was ahead at that time, and is right now.
 */
int64_t uidl_delivery_time(const struct uidl *uidl, int64_t now);

/*
 * Queue records; of a state that is UIDL_READ_ONLY they change what is in memory alone.
 * uidl_add_got() makes a new entry and returns it. uidl_add_off() does nothing to an entry that is
 * off or gone; uidl_add_gone() is for one that is got and has an id; uidl_add_bye() forgets any.
 * Ids are at most LINK_UIDL_MAX octets, tokens UIDL_TOKEN_MAX.
 */
void uidl_add_dest(
	struct uidl *uidl, const char *text); /* queued only when it differs from the last one */
void uidl_add_try(struct uidl *uidl, const char *token, uint64_t octets,
	const struct digest *digest, const struct uidl_id *id);
struct uidl_entry *uidl_add_got(struct uidl *uidl, int64_t when, uint64_t octets,
	const struct digest *digest, const struct uidl_id *id);
void uidl_add_off(struct uidl *uidl, struct uidl_entry *entry, int64_t when);
void uidl_add_gone(struct uidl *uidl, struct uidl_entry *entry, int64_t when);
void uidl_add_bye(struct uidl *uidl, struct uidl_entry *entry);

/* Queue that the size of a UIDL_GOT entry, the only one of its id, is not told. */
void uidl_add_unsized(struct uidl *uidl, struct uidl_entry *entry, int64_t now);
void uidl_add_login(struct uidl *uidl, int64_t when, int64_t delay);
void uidl_add_number(struct uidl *uidl, enum uidl_number which,
	int64_t number); /* queued only when it differs */
void uidl_add_failures(struct uidl *uidl, uint32_t count, int64_t when, enum error_class class);

/* So many sessions in a row broke off at this id; 0: it is well. Queued only when it differs. */
void uidl_add_broken(struct uidl *uidl, const struct uidl_id *id, uint32_t count);

/*
 * Write what is queued, fdatasync. Nothing queued: nothing is done. ERROR_WRITE:
 * the log is cut back to its last good end, what is in memory is ahead of it, every
 * later commit fails too, for the same reason: end the session.
 */
int uidl_commit(struct uidl *uidl, struct error *err) __attribute__((warn_unused_result));

/*
 * Drop expired UIDL_OFF and UIDL_GONE entries and, when more than half of the records (and
 * more than a handful) are dead, write the file anew. To be called with nothing queued and no
 * tries of this session open. ERROR_CREATE, ERROR_WRITE: the old file is still good.
 */
int uidl_compact(struct uidl *uidl, int64_t now, struct error *err)
	__attribute__((warn_unused_result));

#endif
