#include "deliver/tell.h"

#include "base/log.h"
#include "base/quote.h"

/*
 * Failed messages that are told one by one; more are only counted, but for -v: a full disk fails
 * them by hundreds.
 */
#define FAILURES_TOLD 20

void
tell_plan(const struct account *account, const struct roster *roster,
	const struct plan_grounds *grounds)
{
	uint32_t big = 0, beyond = 0;

	for (size_t i = 0; i < roster->count; i++) {
		const struct plan_row *row = &roster->rows[i];
		char quoted[QUOTE_SIZE], reason[PLAN_REASON_SIZE];
		struct uidl_id id;

		big += row->verdict == PLAN_SKIP_BIG;
		beyond += row->verdict == PLAN_SKIP_LIMIT;
		if (row->verdict == PLAN_LEAVE || !log_is_on(LOG_LEVEL_VERBOSE))
			continue;
		id = roster_id(roster, row);
		plan_explain(row, grounds, reason);
		log_verbose("message %u (%s): %s", row->number,
			quote_bytes(quoted, id.data, id.len), reason);
	}
	if (big != 0)
		log_info("left on the server: %u message%s bigger than max-size (%llu octets)", big,
			plural(big), (unsigned long long)account->max_size);
	if (grounds->policy->only_deletes)
		log_info("the last session could not end with QUIT: this one deletes what waits, "
			 "%u message%s left for the next",
			beyond, plural(beyond));
	else if (beyond != 0)
		log_info("left for the next session: %u message%s, max-messages is %u", beyond,
			plural(beyond), account->max_messages);
}

void
tell_failures(struct tell *tell, const struct roster *roster, struct tally *tally)
{
	for (size_t i = 0; i < tally->failure_count; i++) {
		const struct tally_failure *failure = &tally->failures[i];
		/* The session's error tells of trouble. */
		bool is_told = !failure->is_trouble && tell->failures_told < FAILURES_TOLD;
		enum log_level level = is_told ? LOG_LEVEL_WARN : LOG_LEVEL_VERBOSE;
		struct uidl_id id = roster_id(roster, failure->row);
		char quoted[QUOTE_SIZE];

		tell->failures_told += is_told;
		tell->failures_untold += !is_told && !failure->is_trouble;
		log_line(level, "message %u (%s): %s", failure->row->number,
			quote_bytes(quoted, id.data, id.len), failure->text);
	}
	tally_forget_failures(tally);
}

void
tell_untold(const struct tell *tell)
{
	if (tell->failures_untold != 0)
		log_warn("%u more message%s failed", tell->failures_untold,
			plural(tell->failures_untold));
}

void
tell_relisted(uint32_t messages, int64_t sessions)
{
	/* Once may be a passing trouble; from the third time on everybody knows. */
	enum log_level level = sessions == 2 ? LOG_LEVEL_WARN : LOG_LEVEL_INFO;

	if (messages != 0)
		log_line(level,
			"the server still lists %u message%s that it said it had deleted%s: "
			"recognised, not delivered again",
			messages, plural(messages),
			sessions > 1 ? ", as in the session before" : "");
}

int
tell_verdict(const struct tally *tally, bool is_interrupted, int result, struct error *err)
{
	int own = result != 0 ? error_exit_status(err->class) : 0;
	int trouble = error_exit_status(tally->trouble.class);

	if (!tally->has_trouble && result == 0 && is_interrupted)
		return error_set(err, ERROR_INTERRUPTED, "interrupted: the rest comes next time");
	if (!tally->has_trouble)
		return result;
	if (result == 0 || err->class == ERROR_INTERRUPTED ||
		error_graver_status(trouble, own) == trouble)
		*err = tally->trouble;
	else
		log_warn("%s", tally->trouble.text);
	return -1;
}
