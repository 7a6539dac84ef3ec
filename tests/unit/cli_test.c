#include "config/cli.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* Parse a command line of words joined by blanks. */
static int
parse(const char *line, struct cli *out, struct error *err)
{
	static char text[512];
	static char *argv[32];
	int argc = 0;

	snprintf(text, sizeof(text), "pophaul %s", line);
	for (char *p = text; p != NULL;) {
		argv[argc++] = p;
		p = strchr(p, ' ');
		if (p != NULL)
			*p++ = '\0';
	}
	if (*argv[argc - 1] == '\0')
		argc--;
	argv[argc] = NULL;
	optind = 0; /* getopt(3) starts anew */
	return cli_parse(argc, argv, out, err);
}

static void
test_good(void)
{
	struct error err = {.text = ""};
	struct cli cli;

	CHECK(parse("", &cli, &err) == 0 && cli.mode == CLI_RUN && cli.name_count == 0);
	CHECK(cli.config_path == NULL && cli.jobs == 0 && cli.per_host == 0 && cli.tls == NULL &&
		!cli.quiet);
	CHECK(parse("-c f.conf a -vv -j 20 b --keep 30d", &cli, &err) == 0);
	CHECK_STR(cli.config_path, "f.conf");
	CHECK_STR(cli.keep, "30d");
	CHECK(cli.verbosity == 2 && cli.jobs == 20 && cli.name_count == 2);
	CHECK_STR(cli.names[0], "a");
	CHECK_STR(cli.names[1], "b");
	CHECK(parse("--config=x --quiet --verbose --jobs=1 --per-host=3 --deliver=mbox:/x --state-dir=s "
		    "--log-format=json --progress=never --no-mail-status=9 --tls=starttls "
		    "--tls-trust-file=ca --cleartext -- --list",
		      &cli, &err) == 0);
	CHECK(cli.jobs == 1 && cli.per_host == 3);
	CHECK(cli.quiet && cli.verbosity == 1 && cli.log_format == LOG_FORMAT_JSON);
	CHECK(cli.progress == CLI_PROGRESS_NEVER && cli.no_mail_status == 9);
	CHECK_STR(cli.tls, "starttls");
	CHECK_STR(cli.tls_trust_file, "ca");
	CHECK_STR(cli.state_dir, "s");
	CHECK_STR(cli.deliver, "mbox:/x");
	CHECK(cli.mode == CLI_RUN && cli.name_count == 1 && cli.cleartext);
	CHECK_STR(cli.names[0], "--list");
	CHECK(parse("-l", &cli, &err) == 0 && cli.mode == CLI_LIST);
	CHECK(parse("--dry-run -n", &cli, &err) == 0 && cli.mode == CLI_DRY_RUN);
	CHECK(parse("-t", &cli, &err) == 0 && cli.mode == CLI_CHECK_CONFIG);
	CHECK(parse("-l -h -n", &cli, &err) == 0 && cli.mode == CLI_HELP);
	CHECK(parse("-V", &cli, &err) == 0 && cli.mode == CLI_VERSION);
	CHECK(parse("--tls none --tls-t x", &cli, &err) == 0);
	CHECK_STR(cli.tls, "none");
	CHECK_STR(cli.tls_trust_file, "x");
	CHECK(parse("--progress always", &cli, &err) == 0 && cli.progress == CLI_PROGRESS_ALWAYS);
}

static void
test_bad(void)
{
	static const struct {
		const char *line, *error;
		/* clang-format off */
	} BAD[] = {
		{"-x", "unknown option '-x'"},
		{"--list -vx", "unknown option '-x'"},
		{"--lsit", "unknown option '--lsit', did you mean '--list'?"},
		{"--zzzzz=3", "unknown option '--zzzzz'"},
		{"--t", "option '--t' is ambiguous: --tls, --tls-trust-file"},
		{"--p=3", "option '--p' is ambiguous: --per-host, --progress"},
		{"--list=3", "--list takes no argument"},
		{"-c", "--config needs its argument: FILE"},
		{"--keep", "--keep needs its argument: AGE"},
		{"-j 0", "--jobs: '0' is out of range (1 to 1000)"},
		{"--per-host 0", "--per-host: '0' is out of range (1 to 1000)"},
		{"-j -1", "--jobs: '-1' is negative"},
		{"-j many", "--jobs: 'many' is not a number"},
		{"--no-mail-status 256", "--no-mail-status: '256' is out of range (0 to 255)"},
		{"--log-format xml", "--log-format: 'xml' is neither text nor json"},
		{"--progress on", "--progress: 'on' is neither auto, always nor never"},
		{"--tls yes", "--tls: 'yes' is neither implicit, starttls nor none"},
		{"-l -n", "--list, --dry-run, --check-config and --server-info exclude each other"},
	};
	/* clang-format on */

	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		struct error err = {.text = ""};
		struct cli cli;

		CHECK(parse(BAD[i].line, &cli, &err) == -1);
		CHECK(err.class == ERROR_USAGE && error_exit_status(err.class) == 64);
		CHECK_STR(err.text, BAD[i].error);
	}
}

/* Every line fits a terminal; every option of the manual is there. */
static void
test_help(void)
{
	static const char *const OPTIONS[] = {"-c, --config FILE", "-l, --list", "-n, --dry-run",
		"-t, --check-config", "-j, --jobs N", "-q, --quiet", "-v, --verbose",
		"--deliver DEST", "--keep AGE", "--state-dir DIR", "--log-format FORM",
		"--progress WHEN", "--per-host N", "--no-mail-status N", "--tls KIND",
		"--tls-trust-file FILE", "--cleartext", "-h, --help", "-V, --version",
		"/etc/pophaul/pophaul.conf"};
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!CHECK(out != NULL))
		return;
	cli_print_help(out);
	CHECK(fclose(out) == 0);
	for (size_t i = 0; i < sizeof(OPTIONS) / sizeof(OPTIONS[0]); i++)
		CHECK(strstr(text, OPTIONS[i]) != NULL);
	for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
		CHECK(strcspn(line, "\n") <= 80);
	free(text);
}

int
main(void)
{
	test_good();
	test_bad();
	test_help();
	return check_done();
}
