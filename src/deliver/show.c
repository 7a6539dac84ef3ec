#include "deliver/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/quote.h"
#include "deliver/header.h"

/* Number, octets and unique id in columns. */
static void
put_columns(struct buf *text, const struct roster *roster, const struct plan_row *row)
{
	struct uidl_id octets_of_id = roster_id(roster, row);
	char id[QUOTE_SIZE], octets[24] = "?";

	if (row->octets != LINK_OCTETS_UNKNOWN)
		snprintf(octets, sizeof octets, "%" PRIu64, row->octets);
	quote_bytes(id, octets_of_id.data, octets_of_id.len);
	buf_printf(text, "%6" PRIu32 " %10s  %s", row->number, octets, row->none ? "-" : id);
}

void
show_list_title(struct buf *text, const struct account *account, const struct roster *roster)
{
	uint64_t octets = 0;
	size_t unseen = 0;

	for (size_t i = 0; i < roster->count; i++) {
		const struct plan_row *row = &roster->rows[i];

		octets += row->octets != LINK_OCTETS_UNKNOWN ? row->octets : 0;
		unseen += row->has_known_id ? 0 : 1;
	}
	buf_printf(text, "%s: %zu message%s, %" PRIu64 " octets, %zu of them new\n", account->name,
		roster->count, plural(roster->count), octets, unseen);
}

void
show_list_row(struct buf *text, const struct roster *roster, size_t index)
{
	const struct plan_row *row = &roster->rows[index];

	put_columns(text, roster, row);
	buf_printf(text, "  %s\n", row->has_known_id ? "seen" : "new");
}

void
show_list_header(struct buf *text, const char *header, size_t len)
{
	static const char *const names[] = {"From", "Subject", "Date"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char shown[HEADER_SHOWN_SIZE];

		header_show(header, len, names[i], shown);
		if (shown[0] != '\0')
			buf_printf(text, "%20s%s: %s\n", "", names[i], shown);
	}
}

static const char *
describe(const struct plan_row *row)
{
	switch ((enum plan_verdict)row->verdict) {
	case PLAN_FETCH:
		return row->delete_after ? "fetch and delete" : "fetch";
	case PLAN_COMPARE:
		return "fetch and compare";
	case PLAN_DELETE:
		return "delete";
	case PLAN_LEAVE:
		return "leave";
	case PLAN_SKIP_BIG:
	case PLAN_SKIP_LIMIT:
	case PLAN_SKIP_OLD:
	case PLAN_SKIP_BROKEN:
		return "skip";
	}
	return "?";
}

void
show_plan_row(struct buf *text, const struct roster *roster, size_t index,
	const struct plan_grounds *grounds)
{
	const struct plan_row *row = &roster->rows[index];
	char reason[PLAN_REASON_SIZE];

	put_columns(text, roster, row);
	plan_explain(row, grounds, reason);
	buf_printf(text, "  %s: %s\n", describe(row), reason);
}

void
show_plan_totals(struct buf *text, const struct account *account, const struct plan_totals *totals)
{
	buf_printf(text,
		"%s: would fetch %" PRIu32 " message%s (%" PRIu64 " octets), delete %" PRIu32
		", leave %" PRIu32 ", skip %" PRIu32 "; nothing was changed\n",
		account->name, totals->fetch, plural(totals->fetch), totals->fetch_octets,
		totals->delete, totals->leave, totals->skip);
}
