#include "poll/limits.h"

#include <assert.h>
#include <stdlib.h>
#include <strings.h>

#include "base/xalloc.h"

struct named {
	const char *host;
	size_t account;
};

static int
compare_hosts(const void *a, const void *b)
{
	const struct named *left = a, *right = b;

	return strcasecmp(left->host, right->host);
}

void
limits_init(struct limits *limits, struct account *const *accounts, size_t count, unsigned jobs,
	unsigned per_host)
{
	struct named *named = xcalloc(count, sizeof *named);
	size_t host = 0;

	*limits = (struct limits){.jobs = jobs, .per_host = per_host, .count = count};
	limits->host_of = xcalloc(count, sizeof *limits->host_of);
	limits->on_host = xcalloc(count, sizeof *limits->on_host);
	limits->is_waiting = xcalloc(count, sizeof *limits->is_waiting);
	limits->due = xcalloc(count, sizeof *limits->due);
	for (size_t i = 0; i < count; i++) {
		named[i] = (struct named){.host = accounts[i]->host, .account = i};
		limits->is_waiting[i] = true;
	}
	/*
	 * Sorted, equal hosts stand together: ten thousand accounts are numbered without a table.
	 */
	qsort(named, count, sizeof *named, compare_hosts);
	for (size_t i = 0; i < count; i++) {
		if (i != 0 && strcasecmp(named[i].host, named[i - 1].host) != 0)
			host++;
		limits->host_of[named[i].account] = host;
	}
	free(named);
}

void
limits_release(struct limits *limits)
{
	free(limits->host_of);
	free(limits->on_host);
	free(limits->is_waiting);
	free(limits->due);
	*limits = (struct limits){0};
}

static bool
has_room(const struct limits *limits, size_t account)
{
	return limits->on_host[limits->host_of[account]] < limits->per_host;
}

size_t
limits_next(const struct limits *limits, int64_t now)
{
	if (limits->running >= limits->jobs)
		return limits->count;
	for (size_t i = limits->first; i < limits->count; i++) {
		if (limits->is_waiting[i] && limits->due[i] == 0 && has_room(limits, i))
			return i;
	}
	for (size_t i = 0; limits->again != 0 && i < limits->count; i++) {
		if (limits->is_waiting[i] && limits->due[i] != 0 && limits->due[i] <= now &&
			has_room(limits, i))
			return i;
	}
	return limits->count;
}

void
limits_start(struct limits *limits, size_t account)
{
	limits->is_waiting[account] = false;
	limits->again -= limits->due[account] != 0;
	limits->running++;
	limits->on_host[limits->host_of[account]]++;
	while (limits->first < limits->count &&
		(!limits->is_waiting[limits->first] || limits->due[limits->first] != 0))
		limits->first++;
}

void
limits_end(struct limits *limits, size_t account)
{
	limits->running--;
	limits->on_host[limits->host_of[account]]--;
}

void
limits_again(struct limits *limits, size_t account, int64_t due)
{
	assert(due != 0 && !limits->is_waiting[account]);
	limits->is_waiting[account] = true;
	limits->due[account] = due;
	limits->again++;
}
