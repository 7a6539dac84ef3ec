#include "config/cli.h"

#include <assert.h>
#include <getopt.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/quote.h"
#include "base/xalloc.h"
#include "config/option.h"
#include "config/value.h"

/* Values of getopt_long() for what has no short form. */
enum long_only {
	OPT_DELIVER = 256,
	OPT_PER_HOST,
	OPT_SERVER_INFO,
	OPT_KEEP,
	OPT_STATE_DIR,
	OPT_LOG_FORMAT,
	OPT_PROGRESS,
	OPT_NO_MAIL_STATUS,
	OPT_TLS,
	OPT_TLS_TRUST_FILE,
	OPT_CLEARTEXT
};

struct cli_option {
	const char *name;
	int letter; /* below 256: also its short form */
	const char *argument;
	const char *help;
};

/* clang-format off */
static const struct cli_option OPTIONS[] = {
	{"config", 'c', "FILE", "read FILE instead of the standard configuration"},
	{"list", 'l', NULL, "show what is on the server; with -v subjects, too"},
	{"dry-run", 'n', NULL, "say what would be done, change nothing"},
	{"check-config", 't', NULL, "check the configuration and leave"},
	{"server-info", OPT_SERVER_INFO, NULL, "what the server tells before a login; its certificates"},
	{"jobs", 'j', "N", "poll at most N accounts at once"},
	{"per-host", OPT_PER_HOST, "N", "at most N of these on one host"},
	{"quiet", 'q', NULL, "only errors"},
	{"verbose", 'v', NULL, "say what is decided; -vv: the dialogue, secrets masked"},
	{"deliver", OPT_DELIVER, "DEST", "maildir:PATH, mbox:PATH or pipe:COMMAND"},
	{"keep", OPT_KEEP, "AGE", "forever, never, or a time such as 30d"},
	{"state-dir", OPT_STATE_DIR, "DIR", "what is remembered of each account"},
	{"tls", OPT_TLS, "KIND", "implicit, starttls or none"},
	{"tls-trust-file", OPT_TLS_TRUST_FILE, "FILE", "authorities to trust, PEM"},
	{"cleartext", OPT_CLEARTEXT, NULL, "allow --tls none beyond this machine"},
	{"log-format", OPT_LOG_FORMAT, "FORM", "text or json"},
	{"progress", OPT_PROGRESS, "WHEN", "auto, always or never"},
	{"no-mail-status", OPT_NO_MAIL_STATUS, "N", "exit status when there was no mail; default 0"},
	{"help", 'h', NULL, "print this"},
	{"version", 'V', NULL, "print the version"},
};
/* clang-format on */

#define OPTION_COUNT (sizeof(OPTIONS) / sizeof(OPTIONS[0]))

/* The table as getopt_long() wants it. */
static void
make_getopt(struct option longs[static OPTION_COUNT + 1], char shorts[static 2 * OPTION_COUNT + 2])
{
	char *p = shorts;

	/* A ':' in front: a missing argument is told apart from an unknown option. */
	*p++ = ':';
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct cli_option *o = &OPTIONS[i];

		longs[i] = (struct option){.name = o->name,
			.has_arg = o->argument != NULL ? required_argument : no_argument,
			.val = o->letter};
		if (o->letter >= 256)
			continue;
		*p++ = (char)o->letter;
		if (o->argument != NULL)
			*p++ = ':';
	}
	*p = '\0';
	longs[OPTION_COUNT] = (struct option){0};
}

/* Which of NULL-ended `words` the argument is. */
static int
parse_word(const char *option, const char *const *words, unsigned *out, struct error *err)
{
	char quoted[QUOTE_SIZE];

	for (unsigned i = 0; words[i] != NULL; i++) {
		if (strcmp(words[i], optarg) == 0) {
			*out = i;
			return 0;
		}
	}
	quote_bytes(quoted, optarg, strlen(optarg));
	if (words[2] != NULL)
		return error_set(err, ERROR_USAGE, "--%s: '%s' is neither %s, %s nor %s", option,
			quoted, words[0], words[1], words[2]);
	return error_set(err, ERROR_USAGE, "--%s: '%s' is neither %s nor %s", option, quoted,
		words[0], words[1]);
}

static int
parse_number(const char *option, uint64_t min, uint64_t max, uint64_t *out, struct error *err)
{
	if (value_parse_number(optarg, min, max, out, err) == 0)
		return 0;
	err->class = ERROR_USAGE;
	return error_prefix(err, "--%s", option);
}

static int
set_mode(struct cli *out, enum cli_mode mode, struct error *err)
{
	/* Help is help whatever else there is. */
	if (out->mode == CLI_HELP || out->mode == CLI_VERSION)
		return 0;
	if (mode != CLI_HELP && mode != CLI_VERSION && out->mode != CLI_RUN && out->mode != mode)
		return error_set(err, ERROR_USAGE,
			"--list, --dry-run, --check-config and --server-info exclude each other");
	out->mode = mode;
	return 0;
}

/* The options that are one of a few words or a number. */
static int
take_checked(int letter, struct cli *out, struct error *err)
{
	static const char *const FORMATS[] = {"text", "json", NULL};
	static const char *const TIMES[] = {"auto", "always", "never", NULL};
	const char *const *kinds = option_find("tls")->words;
	unsigned word = 0;
	uint64_t number = 0;
	int result;

	switch (letter) {
	case 'j':
		result = parse_number("jobs", 1, 1000, &number, err);
		out->jobs = (unsigned)number;
		return result;
	case OPT_PER_HOST:
		result = parse_number("per-host", 1, 1000, &number, err);
		out->per_host = (unsigned)number;
		return result;
	case OPT_NO_MAIL_STATUS:
		result = parse_number("no-mail-status", 0, 255, &number, err);
		out->no_mail_status = (int)number;
		return result;
	case OPT_LOG_FORMAT:
		result = parse_word("log-format", FORMATS, &word, err);
		out->log_format = word == 0 ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
		return result;
	case OPT_PROGRESS:
		result = parse_word("progress", TIMES, &word, err);
		out->progress = (enum cli_progress)word;
		return result;
	default:
		result = parse_word("tls", kinds, &word, err);
		out->tls = kinds[word];
		return result;
	}
}

static int
take_option(int letter, struct cli *out, struct error *err)
{
	switch (letter) {
	case 'c':
		out->config_path = optarg;
		return 0;
	case 'l':
		return set_mode(out, CLI_LIST, err);
	case 'n':
		return set_mode(out, CLI_DRY_RUN, err);
	case 't':
		return set_mode(out, CLI_CHECK_CONFIG, err);
	case OPT_SERVER_INFO:
		return set_mode(out, CLI_SERVER_INFO, err);
	case 'h':
		return set_mode(out, CLI_HELP, err);
	case 'V':
		return set_mode(out, CLI_VERSION, err);
	case 'q':
		out->quiet = true;
		return 0;
	case 'v':
		out->verbosity++;
		return 0;
	case OPT_DELIVER:
		out->deliver = optarg;
		return 0;
	case OPT_KEEP:
		out->keep = optarg;
		return 0;
	case OPT_STATE_DIR:
		out->state_dir = optarg;
		return 0;
	case OPT_CLEARTEXT:
		out->cleartext = true;
		return 0;
	case OPT_TLS_TRUST_FILE:
		out->tls_trust_file = optarg;
		return 0;
	default:
		return take_checked(letter, out, err);
	}
}

static const struct cli_option *
find_letter(int letter)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (OPTIONS[i].letter == letter)
			return &OPTIONS[i];
	}
	return NULL;
}

/* The long options that begin with `start`, as "--a, --b"; how many there are. */
static size_t
find_starts(const char *start, char *out, size_t size)
{
	size_t count = 0, used = 0;

	*out = '\0';
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (strncmp(OPTIONS[i].name, start, strlen(start)) != 0)
			continue;
		if (used < size)
			used += (size_t)snprintf(out + used, size - used, "%s--%s",
				count != 0 ? ", " : "", OPTIONS[i].name);
		count++;
	}
	return count;
}

/* A long option that getopt_long() does not know, or knows too many of. */
static int
refuse_long(const char *name, struct error *err)
{
	struct value_guess guess = {.word = name};
	char quoted[QUOTE_SIZE], starts[ERROR_TEXT_MAX / 2];

	quote_bytes(quoted, name, strlen(name));
	if (find_starts(name, starts, sizeof(starts)) > 1)
		return error_set(
			err, ERROR_USAGE, "option '--%s' is ambiguous: %s", quoted, starts);
	for (size_t i = 0; i < OPTION_COUNT; i++)
		value_guess_try(&guess, OPTIONS[i].name);
	if (guess.best != NULL)
		return error_set(err, ERROR_USAGE, "unknown option '--%s', did you mean '--%s'?",
			quoted, guess.best);
	return error_set(err, ERROR_USAGE, "unknown option '--%s'", quoted);
}

/* What getopt_long() answered with '?': unknown, ambiguous, or an argument too many. */
static int
refuse(const char *text, struct error *err)
{
	const struct cli_option *known = optopt != 0 ? find_letter(optopt) : NULL;
	char quoted[QUOTE_SIZE], *name;
	int result;

	if (known != NULL)
		return error_set(err, ERROR_USAGE, "--%s takes no argument", known->name);
	if (optopt != 0) {
		char letter = (char)optopt;

		/* `text` may be another word here: getopt stays on a cluster until its end. */
		return error_set(
			err, ERROR_USAGE, "unknown option '-%s'", quote_bytes(quoted, &letter, 1));
	}
	name = xmemdup0(text + 2, strcspn(text + 2, "="));
	result = refuse_long(name, err);
	free(name);
	return result;
}

int
cli_parse(int argc, char **argv, struct cli *out, struct error *err)
{
	struct option longs[OPTION_COUNT + 1];
	char shorts[2 * OPTION_COUNT + 2];
	int letter, result = 0;

	*out = (struct cli){0};
	make_getopt(longs, shorts);
	opterr = 0;
	while (result == 0 && (letter = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (letter == ':') {
			const struct cli_option *option = find_letter(optopt);

			/* getopt_long(3) finds only what the table gave it. */
			assert(option != NULL);
			result = error_set(err, ERROR_USAGE, "--%s needs its argument: %s",
				option->name, option->argument);
		} else if (letter == '?') {
			result = refuse(argv[optind - 1], err);
		} else {
			result = take_option(letter, out, err);
		}
	}
	out->names = argv + optind;
	out->name_count = optind < argc ? (size_t)(argc - optind) : 0;
	return result;
}

void
cli_print_help(FILE *out)
{
	char left[64];

	fputs("usage: pophaul [OPTION]... [ACCOUNT | POP-URL]...\n"
	      "\n"
	      "Fetches mail by POP3 into a Maildir, an mbox or a command: all accounts of the\n"
	      "configuration, or those named. A POP URL, pop://USER@HOST, needs none.\n"
	      "\n",
		out);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct cli_option *o = &OPTIONS[i];
		int n;

		n = o->letter < 256 ? snprintf(left, sizeof(left), "-%c, --%s", o->letter, o->name)
				    : snprintf(left, sizeof(left), "    --%s", o->name);
		if (o->argument != NULL)
			snprintf(left + n, sizeof(left) - (size_t)n, " %s", o->argument);
		fprintf(out, "%-26s%s\n", left, o->help);
	}
	fputs("\n"
	      "The configuration is looked for in $XDG_CONFIG_HOME/pophaul/pophaul.conf\n"
	      "(~/.config/pophaul/pophaul.conf), then in /etc/pophaul/pophaul.conf.\n"
	      "See pophaul(1) and pophaul.conf(5).\n",
		out);
}
