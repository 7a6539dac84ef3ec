#include "poll/report.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"

const char *
report_octets(char out[static REPORT_OCTETS_SIZE], uint64_t octets)
{
	static const char *const units[] = {"KB", "MB", "GB", "TB", "PB"};
	double value = (double)octets / 1000;
	size_t unit = 0;

	if (octets < 1000) {
		snprintf(out, REPORT_OCTETS_SIZE, "%u octets", (unsigned)octets);
		return out;
	}
	while (value >= 999.95 && unit + 1 < sizeof units / sizeof *units) {
		value /= 1000;
		unit++;
	}
	snprintf(out, REPORT_OCTETS_SIZE, "%.1f %s", value, units[unit]);
	return out;
}

static int
status_of(const struct link_report *report)
{
	if (!report->ok)
		return error_exit_status(report->class);
	return report->failed != 0 ? error_exit_status(ERROR_DELIVERY_TEMP) : 0;
}

/* What will pass by itself makes no noise under cron (RFC 3206: retry, no alarm). */
static enum log_level level_of(enum error_class class)
{
	switch (class) {
	case ERROR_BUSY:
	case ERROR_SERVER_TEMP:
		return LOG_LEVEL_INFO;
	case ERROR_INTERRUPTED:
		return LOG_LEVEL_WARN;
	default:
		return LOG_LEVEL_ERROR;
	}
}

static void
put_text(struct buf *out, const char *name, const struct link_report *report)
{
	char size[REPORT_OCTETS_SIZE];

	if (report->fetched != 0)
		buf_printf(out, "%s: %" PRIu32 " message%s, %s", name, report->fetched,
			report->fetched == 1 ? "" : "s", report_octets(size, report->octets));
	else
		buf_printf(out, "%s: no new mail", name);
	if (report->deleted != 0)
		buf_printf(out, ", %" PRIu32 " deleted", report->deleted);
	buf_printf(out, ", %" PRIu32 " left, %" PRIu32 " skipped, %" PRIu32 " failed, %.1f s\n",
		report->left, report->skipped, report->failed, (double)report->milliseconds / 1000);
}

static void
put_json(struct buf *out, const char *name, const struct link_report *report, const char *text)
{
	buf_append_string(out, "{\"account\":");
	json_append_string(out, name);
	buf_printf(out,
		",\"result\":\"%s\",\"status\":%d,\"fetched\":%" PRIu32 ",\"octets\":%" PRIu64
		",\"deleted\":%" PRIu32 ",\"left\":%" PRIu32 ",\"skipped\":%" PRIu32
		",\"failed\":%" PRIu32 ",\"seconds\":%.3f",
		report->ok ? "ok" : error_class_name(report->class), status_of(report),
		report->fetched, report->octets, report->deleted, report->left, report->skipped,
		report->failed, (double)report->milliseconds / 1000);
	if (!report->ok) {
		buf_append_string(out, ",\"error\":");
		json_append_string(out, text);
	}
	buf_append_string(out, "}\n");
}

void
report_account(const struct report_settings *settings, struct report_totals *totals,
	const char *name, const struct link_report *report, const char *text, struct buf *out)
{
	int status = status_of(report);

	totals->accounts++;
	totals->accounts_failed += status != 0;
	totals->fetched += report->fetched;
	totals->failed += report->failed;
	totals->octets += report->octets;
	totals->status = error_graver_status(totals->status, status);
	if (!report->ok) {
		log_set_account(name);
		log_line(level_of(report->class), "%s", text);
		log_set_account(NULL);
	}
	if (settings->changes_nothing)
		return;
	if (settings->format == LOG_FORMAT_JSON && settings->shows_json)
		put_json(out, name, report, text);
	else if (settings->format == LOG_FORMAT_TEXT && settings->shows_results &&
		(report->ok || report->fetched != 0))
		put_text(out, name, report);
}

void
report_all(const struct report_settings *settings, const struct report_totals *totals,
	int64_t milliseconds, struct buf *out)
{
	char size[REPORT_OCTETS_SIZE];

	if (!settings->shows_results || settings->changes_nothing || totals->accounts < 2 ||
		settings->format == LOG_FORMAT_JSON)
		return;
	buf_printf(out,
		"%" PRIu32 " accounts: %" PRIu32 " message%s, %s, %" PRIu32 " failed; %" PRIu32
		" account%s with trouble, %.1f s\n",
		totals->accounts, totals->fetched, totals->fetched == 1 ? "" : "s",
		report_octets(size, totals->octets), totals->failed, totals->accounts_failed,
		totals->accounts_failed == 1 ? "" : "s", (double)milliseconds / 1000);
}
