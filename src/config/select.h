/*
 * The command line meets the configuration: which accounts run, and what the
 * options change in them.
 *
 *	if (select_needs_config(&cli))
 *		… path = select_config_path(&cli, …), conf_load() …
 *	else
 *		conf_init(&config);
 *	select_accounts(&cli, &config, &err);
 */
#ifndef POPHAUL_CONFIG_SELECT_H
#define POPHAUL_CONFIG_SELECT_H

#include <stdbool.h>

#include "base/error.h"
#include "config/cli.h"
#include "config/conf.h"

/* False when every name is a POP URL and no file was asked for: then no configuration is read. */
bool select_needs_config(const struct cli *cli);

/*
 * The file to be read: -c, else the standard one. The caller frees. NULL and
 * ERROR_CONFIG when there is none, with the name of that to create.
 */
char *select_config_path(const struct cli *cli, struct error *err)
	__attribute__((warn_unused_result));

/* The flags for conf_load(). */
unsigned select_conf_flags(const struct cli *cli);

/*
 * Reduce config->accounts to those that were named, in that order, each once; POP
 * URLs become accounts. Without names: all without `skip`. Then --jobs, --per-host,
 * --state-dir, --deliver, --keep, --tls and --tls-trust-file are applied; with
 * --tls, a port that was the default of the account's kind of TLS becomes that of the
 * new one. Paths of --state-dir and --tls-trust-file may be relative. ERROR_USAGE: an
 * unknown name (with the nearest), a bad URL or value, an account without a
 * destination that would need one; ERROR_CONFIG: nowhere to keep the state. `config` stays the
 * caller's to release.
 */
int select_accounts(const struct cli *cli, struct config *config, struct error *err)
	__attribute__((warn_unused_result));

#endif
