/*
 * What a session counts, and the failures of single messages that its story has
 * yet to tell: modules below the story fill it, tell.c logs from it.
 */
#ifndef POPHAUL_DELIVER_TALLY_H
#define POPHAUL_DELIVER_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "deliver/plan.h"

struct tally_failure {
	const struct plan_row *row;
	bool is_trouble; /* not about this message alone: the session's error tells it too */
	char *text;
};

/* A zeroed struct has counted nothing. */
struct tally {
	uint32_t fetched; /* delivered in this session */
	uint32_t done;    /* fetched, known after all, or failed: for the progress */
	uint32_t failed;
	uint32_t relisted; /* deleted in an earlier session, as the server said, and here again */
	uint64_t octets;   /* delivered */
	uint64_t octets_done; /* received, by LIST sizes: for the progress */

	/* The gravest failure that is not about one message alone: disk, locks, command, state. */
	bool has_trouble;
	struct error trouble;

	struct tally_failure *failures; /* not yet told */
	size_t failure_count;
	size_t failure_size;
};

/* Count `row` as failed for the reason in `err`, which may be trouble. */
void tally_fail(struct tally *tally, const struct plan_row *row, const struct error *err);

/* As tally_fail(), but for a message that was fetched and counted before. */
void tally_tell(struct tally *tally, const struct plan_row *row, const struct error *err);

/* The failures have been told. */
void tally_forget_failures(struct tally *tally);

void tally_release(struct tally *tally);

#endif
