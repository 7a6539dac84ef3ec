#include "config/dest.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "config/value.h"
#include "check.h"

struct dest_case {
	const char *text;
	enum account_dest_kind kind; /* ACCOUNT_DEST_NONE: refused */
	const char *want;            /* path, or words joined by '|', or the error */
};

/* clang-format off */
static const struct dest_case CASES[] = {
	{"maildir:/home/jane/Mail", ACCOUNT_DEST_MAILDIR, "/home/jane/Mail"},
	{"maildir:/home/jane/Mail//", ACCOUNT_DEST_MAILDIR, "/home/jane/Mail"},
	{"maildir:~/Mail", ACCOUNT_DEST_MAILDIR, "/h/Mail"},
	{"maildir:~", ACCOUNT_DEST_MAILDIR, "/h"},
	{"maildir:/with blank:and colon", ACCOUNT_DEST_MAILDIR, "/with blank:and colon"},
	{"mbox:/var/mail/jane", ACCOUNT_DEST_MBOX, "/var/mail/jane"},
	{"pipe:procmail", ACCOUNT_DEST_PIPE, "procmail"},
	{"pipe: procmail  -d\tjane ", ACCOUNT_DEST_PIPE, "procmail|-d|jane"},
	{"pipe:sh -c 'cat > \"$HOME/x\"'", ACCOUNT_DEST_PIPE, "sh|-c|cat > \"$HOME/x\""},
	{"pipe:a \"b \\\" \\\\ \\n $x\" c\\ d '' e\"f\"'g'", ACCOUNT_DEST_PIPE,
		"a|b \" \\ \\n $x|c d||efg"},
	{"pipe:~/bin/x ~/y '~/z' ~ a~ ~joe", ACCOUNT_DEST_PIPE, "/h/bin/x|/h/y|~/z|/h|a~|~joe"},
	{"pipe:x -f %s -a %a %u@%h 100%%", ACCOUNT_DEST_PIPE, "x|-f|%s|-a|%a|%u@%h|100%%"},

	{"", ACCOUNT_DEST_NONE, "'' is not maildir:PATH, mbox:PATH or pipe:COMMAND"},
	{"/home/jane/Mail", ACCOUNT_DEST_NONE,
		"'/home/jane/Mail' is not maildir:PATH, mbox:PATH or pipe:COMMAND"},
	{"maidir:/x", ACCOUNT_DEST_NONE,
		"unknown kind of destination 'maidir', did you mean 'maildir'?"},
	{"smtp:localhost", ACCOUNT_DEST_NONE,
		"unknown kind of destination 'smtp': it is maildir, mbox or pipe"},
	{"maildir:", ACCOUNT_DEST_NONE, "'maildir:' has no path"},
	{"maildir:Mail", ACCOUNT_DEST_NONE,
		"'Mail' is a relative path: a maildir needs one that begins with / or ~/"},
	{"mbox:~joe/Mail", ACCOUNT_DEST_NONE,
		"'~joe/Mail' is a relative path: a mbox needs one that begins with / or ~/"},
	{"pipe:", ACCOUNT_DEST_NONE, "'pipe:' has no command"},
	{"pipe: ''", ACCOUNT_DEST_NONE, "'pipe:' has no command"},
	{"pipe:x 'y", ACCOUNT_DEST_NONE, "'x 'y' ends within a quote or behind a backslash"},
	{"pipe:x \"y\\\"", ACCOUNT_DEST_NONE,
		"'x \"y\\\\\"' ends within a quote or behind a backslash"},
	{"pipe:x y\\", ACCOUNT_DEST_NONE, "'x y\\\\' ends within a quote or behind a backslash"},
	{"pipe:x %f", ACCOUNT_DEST_NONE,
		"'%f' has an unknown placeholder: there are %a %u %h %s and %%"},
	{"pipe:x 50%", ACCOUNT_DEST_NONE,
		"'50%' has an unknown placeholder: there are %a %u %h %s and %%"},
	{"pipe:/bin/%s", ACCOUNT_DEST_NONE,
		"'/bin/%s': the command itself cannot have a placeholder"},
};
/* clang-format on */

static char *
join(char *const *words)
{
	struct buf out = {0};

	for (size_t i = 0; words[i] != NULL; i++)
		buf_printf(&out, "%s%s", i == 0 ? "" : "|", words[i]);
	return buf_take_string(&out);
}

static void
test_dest(const struct dest_case *c)
{
	struct account_dest dest = {0};
	struct error err = {.text = ""};
	char *words;

	if (c->kind == ACCOUNT_DEST_NONE) {
		CHECK(dest_parse(c->text, &dest, &err) == -1);
		CHECK(err.class == ERROR_CONFIG);
		CHECK_STR(err.text, c->want);
		CHECK(dest.kind == ACCOUNT_DEST_NONE && dest.text == NULL);
		return;
	}
	if (!CHECK(dest_parse(c->text, &dest, &err) == 0)) {
		fprintf(stderr, "\t%s: %s\n", c->text, err.text);
		return;
	}
	CHECK(dest.kind == c->kind);
	if (c->kind == ACCOUNT_DEST_PIPE) {
		words = join(dest.argv);
		CHECK_STR(words, c->want);
		free(words);
	} else {
		CHECK_STR(dest.path, c->want);
		CHECK_STR(strchr(dest.text, ':') + 1, c->want);
	}
	dest_release(&dest);
}

struct unit_case {
	const char *text;
	int64_t want; /* -1: refused */
	const char *error;
};

/* clang-format off */
static const struct unit_case TIMES[] = {
	{"30s", 30, NULL},
	{"5m", 300, NULL},
	{"1d12h", 129600, NULL},
	{"2w", 1209600, NULL},
	{"14x", -1, "'14x' has an unknown unit 'x': s, m, h, d or w"},
	{"14", -1, "'14' lacks its unit: s, m, h, d or w"},
	{"-5m", -1, "'-5m' is negative"},
	{"d", -1, "'d' is not a time (such as 30d)"},
	{"1dh", -1, "'1dh' lacks a number before 'h'"},
	{"1d\33", -1, "'1d\\x1b' lacks a number before '\\x1b'"},
	{"1\33", -1, "'1\\x1b' has an unknown unit '\\x1b': s, m, h, d or w"},
	{"", -1, "'' is not a time (such as 30d)"},
	{"99999999999999999999s", -1, "'99999999999999999999s' is too big"},
	{"99999999999999999w", -1, "'99999999999999999w' is too big"},
};
/* clang-format on */

/* clang-format off */
static const struct unit_case SIZES[] = {
	{"0", 0, NULL},
	{"100", 100, NULL},
	{"10K", 10240, NULL},
	{"1G512M", 1610612736, NULL},
	{"1M5", 1048581, NULL},
	{"10Q", -1, "'10Q' has an unknown unit 'Q': K, M or G"},
	{"-1M", -1, "'-1M' is negative"},
	{"18446744073709551615G", -1, "'18446744073709551615G' is too big"},
};
/* clang-format on */

static void
test_units(void)
{
	struct error err;
	uint64_t value;

	for (size_t i = 0; i < sizeof(TIMES) / sizeof(TIMES[0]); i++) {
		if (TIMES[i].want >= 0) {
			CHECK(value_parse_time(TIMES[i].text, &value, &err) == 0);
			CHECK(value == (uint64_t)TIMES[i].want);
		} else {
			CHECK(value_parse_time(TIMES[i].text, &value, &err) == -1);
			CHECK_STR(err.text, TIMES[i].error);
		}
	}
	for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
		if (SIZES[i].want >= 0) {
			CHECK(value_parse_size(SIZES[i].text, &value, &err) == 0);
			CHECK(value == (uint64_t)SIZES[i].want);
		} else {
			CHECK(value_parse_size(SIZES[i].text, &value, &err) == -1);
			CHECK_STR(err.text, SIZES[i].error);
		}
	}
	CHECK(value_parse_number("010", 1, 20, &value, &err) == 0 && value == 10);
	CHECK(value_parse_number("18446744073709551616", 1, 20, &value, &err) == -1);
	CHECK_STR(err.text, "'18446744073709551616' is out of range (1 to 20)");
	CHECK(value_parse_number("0x8", 1, 20, &value, &err) == -1);
	CHECK(value_parse_number("", 1, 20, &value, &err) == -1);
}

static void
test_guess(void)
{
	static const char *const NAMES[] = {"host", "port", "password", "password-file", "timeout"};
	static const struct {
		const char *word, *best;
	} GUESSES[] = {
		{"hots",					       "host"         },
                {"Host",					       "host"         },
                {"pasword",                                            "password"     },
		{"password_file",				      "password-file"},
                {"timeuot",                                            "timeout"      },
                {"pxrt",                                               "port"         },
		{"zzzz",					       NULL           },
                {"",						   NULL           },
                {"x",						  NULL           },
		{"a-very-long-word-that-nobody-can-have-meant-at-all", NULL           }
        };

	for (size_t i = 0; i < sizeof(GUESSES) / sizeof(GUESSES[0]); i++) {
		struct value_guess guess = {.word = GUESSES[i].word};

		for (size_t k = 0; k < sizeof(NAMES) / sizeof(NAMES[0]); k++)
			value_guess_try(&guess, NAMES[k]);
		CHECK((guess.best == NULL) == (GUESSES[i].best == NULL));
		if (guess.best != NULL && GUESSES[i].best != NULL)
			CHECK_STR(guess.best, GUESSES[i].best);
	}
}

int
main(void)
{
	setenv("HOME", "/h", 1);
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++)
		test_dest(&CASES[i]);
	test_units();
	test_guess();
	return check_done();
}
