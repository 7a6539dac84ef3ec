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
void show_list_title(
	struct link *poller, const struct account *account, const struct roster *roster);

/* One message: number, octets, unique id, seen or new. */
void show_list_row(struct link *poller, const struct roster *roster, size_t index);

/* Its From, Subject and Date, in `header`. */
void show_list_header(struct link *poller, const char *header, size_t len);

/* One message: what would happen to it and why. */
void show_plan_row(struct link *poller, const struct roster *roster, size_t index,
	const struct plan_grounds *grounds);

/* What would happen in all. */
void show_plan_totals(
	struct link *poller, const struct account *account, const struct plan_totals *totals);

#endif
