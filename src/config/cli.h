/*
 * The command line: one table of options, the parser that it drives, and the
 * help made of it. What the options do to the accounts is select.h's business.
 */
#ifndef POPHAUL_CONFIG_CLI_H
#define POPHAUL_CONFIG_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"

enum cli_mode {
	CLI_RUN,
	CLI_LIST,         /* -l: show what is on the servers */
	CLI_DRY_RUN,      /* -n: say what would be done */
	CLI_CHECK_CONFIG, /* -t */
	CLI_SERVER_INFO,  /* say what the servers tell before a login */
	CLI_HELP,         /* -h */
	CLI_VERSION       /* -V */
};

enum cli_progress { CLI_PROGRESS_AUTO, CLI_PROGRESS_ALWAYS, CLI_PROGRESS_NEVER };

/* Texts are borrowed from argv; NULL or 0 where an option was not given. */
struct cli {
	enum cli_mode mode;
	const char *config_path;
	char *const *names; /* accounts and POP URLs */
	size_t name_count;
	unsigned jobs;
	unsigned per_host;
	bool quiet;
	int verbosity; /* number of -v */
	const char *deliver;
	const char *keep;
	const char *state_dir;
	const char *tls; /* checked word of the option `tls` */
	const char *tls_trust_file;
	bool cleartext;
	enum log_format log_format;
	enum cli_progress progress;
	int no_mail_status; /* exit status when all went well and no mail came; default 0 */
};

/*
 * Take argv apart; the names are moved to its end. ERROR_USAGE with a text that
 * names the option. Call it once in a process: getopt_long(3) keeps its place.
 */
int cli_parse(int argc, char **argv, struct cli *out, struct error *err)
	__attribute__((warn_unused_result));

/* What the program is, every option, where the configuration is looked for; at most 80 columns. */
void cli_print_help(FILE *out);

#endif
