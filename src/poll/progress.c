#include "poll/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "poll/report.h"

/* Before this much time a rate is noise. */
#define RATE_AFTER_MS 500

void
progress_init(struct progress *progress, bool is_on)
{
	*progress = (struct progress){.is_on = is_on, .started = clock_monotonic_ms()};
}

static void
format_seconds(char *out, size_t size, uint64_t seconds)
{
	if (seconds >= 3600)
		snprintf(out, size, "%" PRIu64 " h %02" PRIu64 " min", seconds / 3600,
			seconds / 60 % 60);
	else if (seconds >= 60)
		snprintf(out, size, "%" PRIu64 " min %02" PRIu64 " s", seconds / 60, seconds % 60);
	else
		snprintf(out, size, "%" PRIu64 " s", seconds);
}

void
progress_format(char *out, size_t size, const struct progress_state *state, int64_t elapsed_ms)
{
	char have[REPORT_OCTETS_SIZE], total[REPORT_OCTETS_SIZE], rate[REPORT_OCTETS_SIZE];
	char left[48];
	uint64_t per_second;
	size_t used = 0;

	out[0] = '\0';
	if (state->accounts_total > 1)
		snprintf(out, size, "%zu/%zu accounts, ", state->accounts, state->accounts_total);
	used = strlen(out);
	snprintf(out + used, size - used, "%" PRIu64 "/%" PRIu64 " messages, %s of %s",
		state->messages, state->messages_total, report_octets(have, state->octets),
		report_octets(total, state->octets_total));
	if (elapsed_ms < RATE_AFTER_MS || state->octets == 0)
		return;
	per_second = state->octets * 1000 / (uint64_t)elapsed_ms;
	used = strlen(out);
	snprintf(out + used, size - used, ", %s/s", report_octets(rate, per_second));
	/* Sizes are the server's estimate: there may be more than announced. */
	if (per_second == 0 || state->octets >= state->octets_total)
		return;
	format_seconds(left, sizeof left, (state->octets_total - state->octets) / per_second);
	used = strlen(out);
	snprintf(out + used, size - used, ", %s left", left);
}

static void
write_terminal(const char *text)
{
	/* A terminal that is gone needs no progress. */
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		return;
}

void
progress_draw(struct progress *progress, const struct progress_state *state)
{
	int64_t now = clock_monotonic_ms();
	char text[256], line[280];

	if (!progress->is_on || now - progress->drawn_at < PROGRESS_INTERVAL_MS)
		return;
	progress->drawn_at = now;
	progress->is_drawn = true;
	progress_format(text, sizeof text, state, now - progress->started);
	snprintf(line, sizeof line, "\r\033[K%s", text);
	write_terminal(line);
}

void
progress_clear(struct progress *progress)
{
	if (!progress->is_drawn)
		return;
	progress->is_drawn = false;
	write_terminal("\r\033[K");
}
