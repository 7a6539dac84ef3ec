/*
 * Lines for standard output: the table of --list and the verdicts of --dry-run.
 * They are appended to `text`; everything of the server is quoted.
 */
#ifndef POPHAUL_DELIVER_SHOW_H
#define POPHAUL_DELIVER_SHOW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "config/account.h"
#include "deliver/plan.h"
#include "deliver/roster.h"

/* "home: 3 messages, 4711 octets, 2 of them new" */
void show_list_title(struct buf *text, const struct account *account, const struct roster *roster);

/* One message: number, octets, unique id, seen or new. */
void show_list_row(struct buf *text, const struct roster *roster, size_t index);

/* Its From, Subject and Date, in `header`. */
void show_list_header(struct buf *text, const char *header, size_t len);

/* One message: what would happen to it and why. */
void show_plan_row(struct buf *text, const struct roster *roster, size_t index,
	const struct plan_grounds *grounds);

/* What would happen in all. */
void show_plan_totals(
	struct buf *text, const struct account *account, const struct plan_totals *totals);

#endif
