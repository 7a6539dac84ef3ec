/*
 * Lines for standard output: the table of --list and the verdicts of --dry-run.
 * They go to the poller as LINK_TEXT; everything of the server is quoted.
 */
#ifndef POPHAUL_DELIVER_SHOW_H
#define POPHAUL_DELIVER_SHOW_H

#include <stdbool.h>
#include <stddef.h>

#include "config/account.h"
#include "deliver/plan.h"
#include "deliver/roster.h"
#include "link/link.h"

/* "home: 3 messages, 4711 octets, 2 of them new" */
void show_list_title(struct link *poller, const struct account *account,
	const struct roster *roster, struct uidl *uidl);

/* One message: number, octets, unique id, seen or new. */
void show_list_row(struct link *poller, const struct plan_row *row, struct uidl *uidl);

/* Its From, Subject and Date, in `header`. */
void show_list_header(struct link *poller, const char *header, size_t len);

/* Every row: what would happen and why by `policy`; then the totals. */
void show_plan(struct link *poller, const struct account *account, const struct roster *roster,
	const struct plan_policy *policy, const struct plan_totals *totals);

#endif
