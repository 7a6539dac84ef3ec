#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "config/cli.h"
#include "config/conf.h"
#include "config/select.h"
#include "config/source/credential.h"
#include "poll/poller.h"

/* Secrets are in our memory: no core file, no other process of this user may look. */
static void
close_memory(void)
{
	static const struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
}

/*
 * Whoever closed 0, 1 or 2 before starting us must not find log lines in the file or socket that
 * would get that number.
 */
static int
fill_standard_descriptors(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	return fd >= 0 ? close(fd) : -1;
}

static void
start_log(const struct cli *cli, bool shows_progress)
{
	struct log_settings settings = {
		.level = isatty(STDERR_FILENO) ? LOG_LEVEL_INFO : LOG_LEVEL_WARN,
		.format = cli->log_format,
		.shares_terminal = shows_progress && cli->log_format == LOG_FORMAT_TEXT,
	};

	if (cli->quiet)
		settings.level = LOG_LEVEL_ERROR;
	else if (cli->verbosity > 1)
		settings.level = LOG_LEVEL_WIRE;
	else if (cli->verbosity == 1)
		settings.level = LOG_LEVEL_VERBOSE;
	log_init(&settings);
}

static bool
wants_progress(const struct cli *cli)
{
	if (cli->progress != CLI_PROGRESS_AUTO)
		return cli->progress == CLI_PROGRESS_ALWAYS;
	return cli->mode == CLI_RUN && !cli->quiet && cli->verbosity == 0 &&
		cli->log_format == LOG_FORMAT_TEXT && isatty(STDERR_FILENO);
}

/* FILE:LINE stands first, where editors look for it. */
static void
log_problems(const struct cli *cli, const struct conf_problems *problems)
{
	for (size_t i = 0; i < problems->count; i++) {
		if (cli->log_format == LOG_FORMAT_TEXT)
			fprintf(stderr, "%s\n", problems->lines[i]);
		else
			log_error("%s", problems->lines[i]);
	}
}

/* The accounts of this run. Problems are logged; the result is an exit status. */
static int
configure(const struct cli *cli, struct config *config)
{
	struct conf_problems problems = {0};
	struct error err;
	char *path;
	int result;

	if (!select_needs_config(cli)) {
		conf_init(config);
		return EX_OK;
	}
	path = select_config_path(cli, &err);
	if (path == NULL) {
		log_error("%s", err.text);
		return error_exit_status(err.class);
	}
	result = conf_load(path, select_conf_flags(cli), config, &problems);
	log_problems(cli, &problems);
	conf_problems_release(&problems);
	if (result == 0 && cli->mode == CLI_CHECK_CONFIG && !cli->quiet)
		printf("%s: %zu account%s, no errors\n", path, config->count,
			config->count == 1 ? "" : "s");
	free(path);
	return result == 0 ? EX_OK : error_exit_status(ERROR_CONFIG);
}

/* Passwords that only a person knows are asked for before anything runs. */
static int
ask_passwords(struct config *config, struct error *err)
{
	for (size_t i = 0; i < config->count; i++) {
		struct account *account = &config->accounts[i];

		if (credential_needs_prompt(account) &&
			credential_prompt(account, &account->password, err) != 0)
			return error_prefix(err, "%s", account->name);
	}
	return 0;
}

static int
poll_accounts(const struct cli *cli, struct config *config, bool shows_progress)
{
	struct account **accounts = xcalloc(config->count, sizeof *accounts);
	struct poller_settings settings = {
		.accounts = accounts,
		.count = config->count,
		.jobs = config->jobs,
		.per_host = config->per_host,
		.mode = cli->mode == CLI_LIST          ? WORKER_LIST
			: cli->mode == CLI_DRY_RUN     ? WORKER_DRY_RUN
			: cli->mode == CLI_SERVER_INFO ? WORKER_SERVER_INFO
						       : WORKER_FETCH,
		.state_dir = config->state_dir,
		.verbose = cli->verbosity > 0,
		.ignore_back_off = cli->name_count != 0,
		.shows_results = !cli->quiet && (cli->verbosity > 0 || isatty(STDOUT_FILENO)),
		.shows_json = !cli->quiet,
		.shows_progress = shows_progress,
		.format = cli->log_format,
		.no_mail_status = cli->no_mail_status,
	};
	int status;

	for (size_t i = 0; i < config->count; i++)
		accounts[i] = &config->accounts[i];
	status = poller_run(&settings);
	free(accounts);
	return status;
}

static int
run(const struct cli *cli)
{
	bool shows_progress = wants_progress(cli);
	struct config config = {0};
	struct error err;
	int status;

	start_log(cli, shows_progress);
	status = configure(cli, &config);
	if (status != EX_OK || (cli->mode == CLI_CHECK_CONFIG && cli->name_count == 0))
		goto out;
	if (select_accounts(cli, &config, &err) != 0 ||
		(cli->mode != CLI_CHECK_CONFIG && cli->mode != CLI_SERVER_INFO &&
			ask_passwords(&config, &err) != 0)) {
		log_error("%s", err.text);
		status = error_exit_status(err.class);
		goto out;
	}
	if (cli->mode != CLI_CHECK_CONFIG)
		status = poll_accounts(cli, &config, shows_progress);
out:
	conf_release(&config);
	return status;
}

int
main(int argc, char **argv)
{
	struct error err;
	struct cli cli;
	int status;

	close_memory();
	if (fill_standard_descriptors() != 0)
		return error_exit_status(ERROR_SYSTEM);
	if (cli_parse(argc, argv, &cli, &err) != 0) {
		fprintf(stderr, "pophaul: %s\npophaul: see 'pophaul --help'\n", err.text);
		return error_exit_status(err.class);
	}
	switch (cli.mode) {
	case CLI_HELP:
		cli_print_help(stdout);
		status = EX_OK;
		break;
	case CLI_VERSION:
		puts("pophaul " POPHAUL_VERSION);
		status = EX_OK;
		break;
	default:
		status = run(&cli);
		break;
	}
	/* A full disk behind standard output must not look like success. */
	if (fflush(stdout) != 0 && status == EX_OK)
		return error_exit_status(ERROR_WRITE);
	return status;
}
