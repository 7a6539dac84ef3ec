/*
 * One record of the UIDL state's log, between its line (the grammar is in
 * uidl.h) and its fields. Pure: octets in, octets out; what a record means is
 * uidl.c's.
 */
#ifndef POPHAUL_DELIVER_STATE_RECORD_H
#define POPHAUL_DELIVER_STATE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/error.h"
#include "deliver/state/uidl.h"

/* The first line of a log, without its LF; the last field is the version of the grammar. */
#define RECORD_FIRST_LINE "pophaul-uidl 1"

/* The longest line that is read: three times RECORD_TEXT_MAX and some fields. */
#define RECORD_LINE_MAX ((size_t)1 << 18)

/* The longest destination or token: a pipe command of a whole page of text, and more. */
#define RECORD_TEXT_MAX 65536

enum record_kind {
	RECORD_DEST,
	RECORD_TRY,
	RECORD_GOT,
	RECORD_OFF,
	RECORD_GONE,
	RECORD_BYE,
	RECORD_DROP,
	RECORD_END,
	RECORD_LOGIN,
	RECORD_NUMBER,
	RECORD_FAILURES,
	RECORD_BROKE,
	RECORD_SUM,
	RECORD_UNKNOWN_FACT
};

/* The fields that belong to `kind` are set, the others are zero. */
struct record {
	enum record_kind kind;
	bool has_digest;  /* OFF, GONE, BYE: may be false */
	bool has_id;      /* DROP: may be false */
	const char *text; /* DEST, TRY */
	size_t text_len;
	int64_t when;
	int64_t delay;          /* LOGIN */
	uint64_t octets;        /* TRY, GOT */
	enum uidl_number which; /* NUMBER */
	uint32_t count;         /* FAILURES, BROKE */
	enum error_class class; /* FAILURES */
	uint32_t sum;           /* SUM */
	struct digest digest;
	struct uidl_id id;
};

/* What a log's first line tells. */
enum record_first {
	RECORD_FIRST_OURS,
	RECORD_FIRST_MISSING,      /* it is something else: damage */
	RECORD_FIRST_OTHER_VERSION /* a log with another grammar: not to be touched */
};

/* `is_torn`: the line has no end, it may be the beginning of a longer one. */
enum record_first record_check_first(const char *line, size_t len, bool is_torn);

/*
 * Read one line without its LF. Decodes in place: `record` points into `line`.
 * -1 (no error text) when the line is not a record.
 */
int record_parse(char *line, size_t len, struct record *record) __attribute__((warn_unused_result));

/* Append the record's line, LF included. */
void record_format(struct buf *out, const struct record *record);

/* RECORD_LOGIN, RECORD_NUMBER, RECORD_FAILURES: what `facts` says from here on. */
void record_apply_fact(const struct record *record, struct uidl_facts *facts);

/* Most records that facts are made of. */
#define RECORD_FACTS_MAX (2 + UIDL_NUMBER_COUNT)

/* The records that say `facts`, for a file written anew. Returns how many. */
size_t record_list_facts(
	const struct uidl_facts *facts, struct record out[static RECORD_FACTS_MAX]);

#endif
