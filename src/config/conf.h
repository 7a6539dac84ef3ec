/*
 * The configuration: a file with what it includes, checked completely and turned
 * into accounts. All errors of a run are collected, so that a user mends the
 * file once: conf_load() fills `problems`, the caller prints them and leaves
 * with the status of ERROR_CONFIG.
 *
 *	path = conf_find();
 *	if (conf_load(path, 0, &config, &problems) != 0)
 *		… print problems.lines …
 *	select_accounts(…);                    (select.h: names, URLs, command line)
 *	conf_release(&config);
 */
#ifndef POPHAUL_CONFIG_CONF_H
#define POPHAUL_CONFIG_CONF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "config/account.h"
#include "config/confread.h"

struct config {
	struct account *accounts; /* in the order of the file */
	size_t count;
	unsigned jobs;     /* accounts at once */
	unsigned per_host; /* of these, to one host */
	char *state_dir;   /* absolute */
};

enum conf_flags {
	CONF_DELIVER_OPTIONAL =
		1,         /* an account needs no `deliver`: --list, or --deliver is given */
	CONF_CLEARTEXT = 2 /* an account needs no `cleartext`: the command line says it */
};

/*
 * Read `path` with what it includes. 0, or -1 with at least one problem noted
 * (ERROR_CONFIG is their class) and `out` empty. A configuration without an
 * account is a problem.
 */
int conf_load(const char *path, unsigned flags, struct config *out, struct conf_problems *problems)
	__attribute__((warn_unused_result));

/* No accounts and every global option at its default: for a run on POP URLs alone. */
void conf_init(struct config *out);

/* The first standard configuration file that exists; NULL when none does. The caller frees. */
char *conf_find(void);

/*
 * The file that a user would create: $XDG_CONFIG_HOME or ~/.config. The caller frees; NULL without
 * a home.
 */
char *conf_user_path(void);

/* Where state goes when nothing says otherwise. The caller frees; NULL without a home. */
char *conf_default_state_dir(void);

void conf_release(struct config *config);

#endif
