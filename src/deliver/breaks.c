#include "deliver/breaks.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "deliver/state/broken.h"
#include "deliver/state/uidl.h"

/* A process that dies closes its end of the link a moment before its death can be seen. */
#define DEATH_MS      2000
#define DEATH_LOOK_MS 5

static uint32_t
count_of(const struct roster *roster, const struct plan_row *row)
{
	struct uidl_id id = roster_id(roster, row);

	return broken_count(uidl_broken(roster->uidl), &id);
}

void
breaks_mark(struct roster *roster)
{
	uint32_t least = UINT32_MAX;

	if (uidl_broken(roster->uidl)->count == 0)
		return;
	for (size_t i = 0; i < roster->count; i++) {
		uint32_t count = count_of(roster, &roster->rows[i]);

		roster->rows[i].is_broken = count >= PLAN_BROKEN_MIN;
		if (count >= PLAN_BROKEN_MIN && count < least)
			least = count;
	}
	for (size_t i = 0; i < roster->count; i++) {
		struct plan_row *row = &roster->rows[i];

		row->is_next = row->is_broken && count_of(roster, row) == least;
	}
}

void
breaks_tell(const struct roster *roster, struct tally *tally)
{
	struct error reason;

	for (size_t i = 0; i < roster->count; i++) {
		const struct plan_row *row = &roster->rows[i];

		if (row->verdict != PLAN_SKIP_BROKEN)
			continue;
		error_set(&reason, ERROR_DELIVERY_TEMP,
			"left alone while there is anything else to do: "
			"%u sessions in a row broke off at it",
			count_of(roster, row));
		tally_tell(tally, row, &reason);
	}
}

/* It may be as bad as it was: nothing has come of it. */
static bool
is_open(const struct roster *roster, size_t i)
{
	switch ((enum message_state)roster->states[i]) {
	case MESSAGE_AWAITED:
	case MESSAGE_OPEN:
		return true;
	case MESSAGE_IDLE:
		return roster->rows[i].verdict != PLAN_LEAVE;
	default:
		return false;
	}
}

/* Only looked at: whose child it is will reap it. */
static bool
has_died_of_signal(pid_t pid)
{
	int64_t deadline = clock_monotonic_ms() + DEATH_MS;
	siginfo_t info;

	while (pid > 0 && clock_poll_timeout(deadline) != 0) {
		info = (siginfo_t){.si_pid = 0};
		if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 &&
			errno != EINTR)
			return false;
		if (info.si_pid != 0)
			return info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED;
		poll(NULL, 0, DEATH_LOOK_MS);
	}
	return false;
}

bool
breaks_is_to_blame(const struct error *failure, pid_t fetcher)
{
	switch (failure->class) {
	case ERROR_NET:
	case ERROR_TIMEOUT:
	case ERROR_TLS:
	case ERROR_PROTOCOL:
		return true;
	case ERROR_SYSTEM:
		return has_died_of_signal(fetcher);
	default:
		return false;
	}
}

void
breaks_settle(const struct roster *roster, ssize_t broke_at, bool is_to_blame)
{
	const struct broken *broken = uidl_broken(roster->uidl);
	bool *is_kept = xcalloc(broken->count + 1, sizeof *is_kept);
	struct uidl_id id;
	uint32_t count;

	for (size_t i = 0; i < roster->count && broken->count != 0; i++) {
		const struct broken_item *item;

		id = roster_id(roster, &roster->rows[i]);
		item = broken_find(broken, &id);
		if (item != NULL && ((ssize_t)i == broke_at || is_open(roster, i)))
			is_kept[item - broken->list] = true;
	}
	/* From the end: what is taken out moves those behind it. */
	for (size_t i = broken->count; i-- > 0;) {
		if (!is_kept[i])
			uidl_add_broken(roster->uidl, &broken->list[i].id, 0);
	}
	free(is_kept);
	if (broke_at < 0 || !is_to_blame)
		return;
	id = roster_id(roster, &roster->rows[broke_at]);
	count = broken_count(broken, &id);
	uidl_add_broken(roster->uidl, &id, count < UINT32_MAX ? count + 1 : count);
}
