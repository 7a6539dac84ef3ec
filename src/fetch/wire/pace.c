#include "fetch/wire/pace.h"

#include "base/clock.h"
#include "base/quote.h"

void
pace_init(struct pace *pace, uint64_t rate, int64_t window_ms)
{
	*pace = (struct pace){.rate = rate, .window_ms = window_ms};
}

static void
begin_window(struct pace *pace)
{
	pace->waited_ms = 0;
	pace->octets = 0;
}

void
pace_next_reply(struct pace *pace, uint64_t octets)
{
	begin_window(pace);
	pace->is_under_way = false;
	pace_receive(pace, octets);
}

void
pace_receive(struct pace *pace, uint64_t octets)
{
	pace->octets += octets;
	pace->is_under_way = pace->is_under_way || octets != 0;
}

void
pace_wait(struct pace *pace, int64_t milliseconds)
{
	if (pace->is_under_way)
		pace->waited_ms += milliseconds;
}

int64_t
pace_left_ms(const struct pace *pace)
{
	if (pace->rate == 0 || !pace->is_under_way)
		return CLOCK_NEVER;
	return pace->waited_ms < pace->window_ms ? pace->window_ms - pace->waited_ms : 0;
}

int
pace_check(struct pace *pace, struct error *err)
{
	uint64_t seconds = (uint64_t)pace->window_ms / 1000, octets = pace->octets;

	if (pace_left_ms(pace) != 0)
		return 0;
	begin_window(pace);
	/*
	 * Against the window and not against what was really waited: a process that was stopped
	 * for an hour finds no more than a buffer full.
	 */
	if (octets / seconds >= pace->rate)
		return 0;
	return error_set(err, ERROR_TIMEOUT,
		"the server sends too slowly: %llu octet%s in %llu second%s (min-rate)",
		(unsigned long long)octets, plural(octets), (unsigned long long)seconds,
		plural(seconds));
}
