#include "deliver/welcome.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/xalloc.h"
#include "deliver/dest/dest.h"
#include "link/link.h"

char *
welcome_describe_doubt(const struct uidl_doubt *doubt, const char *aside)
{
	if (aside != NULL)
		return xasprintf("the state was damaged: set aside as '%s' (lines %zu to %zu); "
				 "all mail is fetched once more, to be compared with what is here",
			aside, doubt->first_line, doubt->last_line);
	if (doubt->first_line == 0)
		return NULL;
	if (doubt->is_damaged)
		return xasprintf(
			"the state is damaged (lines %zu to %zu): the next run that fetches "
			"sets it aside and compares all mail",
			doubt->first_line, doubt->last_line);
	return xasprintf("the state was not written to its end: what its lines %zu to %zu tell of "
			 "is fetched once more, to be compared with what is here",
		doubt->first_line, doubt->last_line);
}

/* How long the account is left alone after so many in a row: 0, or seconds. */
static int64_t
back_off(uint32_t refusals)
{
	int64_t seconds = WELCOME_BACKOFF;

	if (refusals < WELCOME_REFUSALS)
		return 0;
	for (uint32_t n = WELCOME_REFUSALS; n < refusals && seconds < WELCOME_BACKOFF_MAX; n++)
		seconds *= 2;
	return seconds < WELCOME_BACKOFF_MAX ? seconds : WELCOME_BACKOFF_MAX;
}

int
welcome_check_back_off(const struct account *account, const struct uidl_facts *facts, int64_t now,
	struct error *err)
{
	int64_t left;

	if (facts->failures == 0 || facts->failures_class != ERROR_AUTH)
		return 0;
	left = facts->failures_when + back_off(facts->failures) - now;
	/* A failure of the future is one of a wrong clock. */
	if (left <= 0 || facts->failures_when > now)
		return 0;
	return error_set(err, ERROR_BUSY,
		"the login was refused %u times in a row: not tried for another %lld min; "
		"'pophaul %s' tries at once",
		facts->failures, (long long)((left + 59) / 60), account->name);
}

int
welcome_wait_login_delay(
	const struct uidl_facts *facts, const volatile int *stop, struct error *err)
{
	/* The state may be of a time when more was believed, or edited. */
	int64_t delay = facts->login_delay < LINK_LOGIN_DELAY_MAX ? facts->login_delay
								  : LINK_LOGIN_DELAY_MAX;
	int64_t left = 0, now = clock_wall_seconds(), deadline, second;

	if (delay > 0 && facts->login_when > 0 && facts->login_when <= now &&
		now - facts->login_when < delay)
		left = delay - (now - facts->login_when);
	if (left > WELCOME_WAIT_MAX)
		return error_set(err, ERROR_BUSY,
			"the server asks for %lld s between logins, %lld s to go", (long long)delay,
			(long long)left);
	deadline = clock_monotonic_ms() + left * 1000;
	while (clock_poll_timeout(deadline) != 0) {
		if (stop != NULL && *stop != 0)
			return error_set(err, ERROR_INTERRUPTED,
				"interrupted while waiting for the server's login delay");
		/* A signal ends the wait; one that comes just before it is seen within a second. */
		second = clock_monotonic_ms() + 1000;
		poll(NULL, 0, clock_poll_timeout(second < deadline ? second : deadline));
	}
	return 0;
}

int
welcome_own_id(struct uidl *uidl, int64_t *id_out, struct error *err)
{
	int64_t id = uidl_facts(uidl)->numbers[UIDL_ID];

	while (id == 0) {
		if (getrandom(&id, sizeof id, 0) != (ssize_t)sizeof id)
			return error_set_errno(err, ERROR_SYSTEM, "no random numbers");
		id &= INT64_MAX;
	}
	*id_out = id;
	if (uidl_facts(uidl)->numbers[UIDL_ID] == id)
		return 0;
	/* Before anything is staged under it: a session that dies must find its own. */
	uidl_add_number(uidl, UIDL_ID, id);
	return uidl_commit(uidl, err);
}

/* Ids are what keeping rests on. */
int
welcome_check_server(const struct account *account, bool has_uidl, struct error *err)
{
	if (has_uidl || account->keep.kind == ACCOUNT_KEEP_NEVER)
		return 0;
	return error_set(err, ERROR_CONFIG,
		"the server gives no unique ids (UIDL): only keep = \"never\" works with it");
}

static bool
is_same_dest(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* The tries from `first` that went to one destination; returns how many. */
static size_t
settle_run(const struct account *account, struct uidl *uidl, size_t first, size_t *delivered_out,
	struct error *err)
{
	size_t count = uidl_try_count(uidl) - first, run = 0;
	const char *dest = uidl_try_at(uidl, first)->dest;
	struct dest_claim *claims = xcalloc(count, sizeof *claims);
	int64_t now = uidl_delivery_time(uidl, clock_wall_seconds());

	while (run < count && is_same_dest(uidl_try_at(uidl, first + run)->dest, dest)) {
		claims[run].token = uidl_try_at(uidl, first + run)->token;
		claims[run].must_be_found = uidl_try_at(uidl, first + run)->in_doubt;
		run++;
	}
	if (dest_recover(account, dest, claims, run, err) != 0)
		run = 0;
	for (size_t i = 0; i < run; i++) {
		const struct uidl_try *try = uidl_try_at(uidl, first + i);
		struct uidl_entry *entry;

		if (!claims[i].delivered)
			continue;
		entry = uidl_add_got(uidl, now, try->octets, &try->digest, &try->id);
		/* What nobody vouches for may have another message's id: its digest tells. */
		if (try->in_doubt)
			uidl_add_off(uidl, entry, now);
		(*delivered_out)++;
	}
	free(claims);
	return run;
}

int
welcome_settle_tries(const struct account *account, struct uidl *uidl, size_t *settled_out,
	size_t *delivered_out, struct error *err)
{
	size_t count = uidl_try_count(uidl), run;

	*settled_out = *delivered_out = 0;
	if (count == 0)
		return 0;
	for (size_t at = 0; at < count; at += run) {
		run = settle_run(account, uidl, at, delivered_out, err);
		if (run == 0)
			return -1;
	}
	*settled_out = count;
	uidl_clear_tries(uidl);
	return uidl_commit(uidl, err);
}

int
welcome_drop_others_tries(const char *state_dir, const char *name, struct uidl *uidl,
	size_t *count_out, struct error *err)
{
	char *path = xasprintf("%s/%s.taken", state_dir, name);
	struct stat st;
	int result = 0;

	*count_out = 0;
	if (lstat(path, &st) == 0) {
		*count_out = uidl_try_count(uidl);
		uidl_clear_tries(uidl);
		result = uidl_commit(uidl, err);
		if (result == 0 && unlink(path) != 0)
			result = error_set_errno(err, ERROR_WRITE, "cannot remove '%s'", path);
		/* Back after a power cut, it would be about this session's. */
		if (result == 0)
			result = file_sync_dir(state_dir, err);
	} else if (errno != ENOENT) {
		result = error_set_errno(err, ERROR_WRITE, "cannot examine '%s'", path);
	}
	free(path);
	return result;
}

struct link_memory
welcome_memory(const struct uidl_facts *facts)
{
	return (struct link_memory){.has_capa = facts->numbers[UIDL_CAPA_WHEN] != 0,
		.expire_now = facts->numbers[UIDL_EXPIRE_NOW_WHEN] != 0,
		.utf8 = facts->numbers[UIDL_UTF8_WHEN] != 0};
}
