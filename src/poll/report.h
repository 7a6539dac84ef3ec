/*
 * What became of the accounts, for people and for programs: one line an
 * account, a line of totals, the exit status.
 */
#ifndef POPHAUL_POLL_REPORT_H
#define POPHAUL_POLL_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/log.h"
#include "link/link.h"

struct report_settings {
	bool shows_results; /* lines of accounts that went well, and the totals */
	bool shows_json;    /* with LOG_FORMAT_JSON: an object an account */
	enum log_format format;
	bool changes_nothing; /* --list, --dry-run: nothing was fetched, no result lines */
};

struct report_totals {
	uint32_t accounts, accounts_failed;
	uint32_t fetched, failed;
	uint64_t octets;
	int status; /* the gravest */
};

/* Room for report_octets(). */
#define REPORT_OCTETS_SIZE 32

/* "48.2 KB": sizes for people, in powers of 1000. Returns `out`. */
const char *report_octets(char out[static REPORT_OCTETS_SIZE], uint64_t octets);

/*
 * Tell of one account's end and add it to the totals: its error (`text`, "" for none) goes to the
 * log, its line for standard output is appended to `out`.
 */
void report_account(const struct report_settings *settings, struct report_totals *totals,
	const char *name, const struct link_report *report, const char *text, struct buf *out);

/* Append the line of totals, when there was more than one account. */
void report_all(const struct report_settings *settings, const struct report_totals *totals,
	int64_t milliseconds, struct buf *out);

#endif
