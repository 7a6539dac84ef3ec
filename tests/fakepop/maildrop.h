/*
 * The messages that the test server has: given in a script, generated, files,
 * or a whole folder; and which of them are deleted, for all sessions.
 *
 * The parent process adds them and calls maildrop_share(); each session's
 * process then sees the same deletions. Messages are numbered from 0 here, in
 * the order in which they were added; what a client calls message 3 is the
 * session's business.
 *
 * Lines of a message end in LF or CRLF here and in CRLF on the wire, lines that
 * begin with a dot get another one, a last line without end gets one.
 */
#ifndef POPHAUL_TESTS_FAKEPOP_MAILDROP_H
#define POPHAUL_TESTS_FAKEPOP_MAILDROP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "io.h"

enum message_kind { MESSAGE_TEXT, MESSAGE_FILE, MESSAGE_GENERATED };

struct message {
	enum message_kind kind;
	char *text; /* MESSAGE_FILE: the path */
	size_t len;
	uint64_t octets;   /* on the wire without stuffed dots; MESSAGE_GENERATED: of each */
	char *listed;      /* what LIST says instead, NULL: the truth */
	char *uid;         /* NULL: made from the number */
	bool is_absent;    /* not in this session */
	bool is_unlisted;  /* not in LIST */
	bool has_no_uidl;  /* not in UIDL */
	bool is_in_folder; /* deletion removes the file */
};

struct maildrop {
	struct message *items;
	size_t item_count;
	uint64_t synthetic_count; /* generated ones behind the items, which cost no memory */
	uint64_t synthetic_octets;
	uint8_t *deleted; /* shared memory, one octet a message */
	uint32_t *uses;   /* shared memory for the script's counters */
	char *folder;     /* NULL: none */
	char *uid_prefix;
	struct timespec folder_time; /* of its last change at the last scan */
	int64_t scanned_ms;
};

struct message *maildrop_add(struct maildrop *drop, enum message_kind kind);
void maildrop_set_text(struct message *message, const char *text, size_t len);

/* False when there is no such file. */
bool maildrop_set_file(struct message *message, const char *path);

/*
 * Take the folder's files, by name, for the messages; again, if it changed. UIDL: the
 * file's name. Dot files and README are no messages.
 */
void maildrop_scan(struct maildrop *drop, const char *folder);

uint64_t maildrop_count(const struct maildrop *drop);

/* Make room for the deletions, and for `rules` counters, in memory that forked processes share. */
void maildrop_share(struct maildrop *drop, size_t rules);

bool maildrop_is_there(const struct maildrop *drop, uint64_t index);

/* The item, or NULL for a synthetic message, about which there is nothing special. */
const struct message *maildrop_item(const struct maildrop *drop, uint64_t index);
uint64_t maildrop_octets(const struct maildrop *drop, uint64_t index);

/* The message's UIDL, in memory that holds until the next call. */
const char *maildrop_uid(const struct maildrop *drop, uint64_t index, size_t *len_out);

/*
 * Write +OK, the message and the end mark; with `lines` >= 0 the header and so many
 * body lines (TOP). False when its file is gone: nothing is written.
 */
bool maildrop_send(const struct maildrop *drop, uint64_t index, int64_t lines, struct io *io);

/* For good; false when a file cannot be removed. */
bool maildrop_delete(struct maildrop *drop, uint64_t index);

#endif
