/*
 * The one progress line on a terminal: accounts, messages, octets, rate, time
 * left. Drawn on standard error over itself; log lines clear it first (log.h).
 */
#ifndef POPHAUL_POLL_PROGRESS_H
#define POPHAUL_POLL_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How often the line is drawn. */
#define PROGRESS_INTERVAL_MS 200

struct progress {
	bool is_on;
	bool is_drawn;
	int64_t started;  /* monotonic ms */
	int64_t drawn_at; /* monotonic ms */
};

/* What is to be shown. */
struct progress_state {
	size_t accounts, accounts_total;
	uint64_t messages, messages_total;
	uint64_t octets, octets_total;
};

void progress_init(struct progress *progress, bool is_on);

/* Draw it if PROGRESS_INTERVAL_MS have gone by since the last time. */
void progress_draw(struct progress *progress, const struct progress_state *state);

/* Take the line away, before other output and at the end. */
void progress_clear(struct progress *progress);

/*
 * The text of the line, NUL-terminated, for `elapsed_ms` since the start; pure. Time
 * left is told once there is a rate to tell it from.
 */
void progress_format(
	char *out, size_t size, const struct progress_state *state, int64_t elapsed_ms);

#endif
