#include "poll/drain.h"

static uint32_t
add_up(uint32_t a, uint32_t b)
{
	return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

void
drain_add(struct drain *drain, const struct link_report *report)
{
	struct link_report sum = *report;

	sum.fetched = add_up(sum.fetched, drain->sum.fetched);
	sum.deleted = add_up(sum.deleted, drain->sum.deleted);
	sum.octets += drain->sum.octets;
	sum.milliseconds += drain->sum.milliseconds;
	drain->sum = sum;
	drain->sessions++;
}

int
drain_next(const struct drain *drain, const struct account *account,
	const struct link_report *report, int64_t *wait_out, struct error *err)
{
	/* What could not be delivered would be tried again at once, and again. */
	if (!account->until_empty || !report->ok || report->fetched == 0 || report->failed != 0)
		return 0;
	if (report->login_delay > DRAIN_WAIT_MAX)
		return error_set(err, ERROR_BUSY,
			"until-empty: the server asks for %u s between logins, so the next run "
			"goes on",
			report->login_delay);
	if (drain->sessions >= DRAIN_SESSIONS_MAX)
		return error_set(err, ERROR_BUSY,
			"until-empty: not empty after %u sessions, so the next run goes on",
			drain->sessions);
	*wait_out = report->login_delay;
	return 1;
}
