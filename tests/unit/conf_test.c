#include "config/conf.h"

#include <stdarg.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "config/cli.h"
#include "config/option.h"
#include "config/select.h"
#include "check.h"

/* The folder that the files of this test are in. */
static char *folder;

#define PIN_A      "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define PIN_B      "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
#define ACCOUNT_OK "host = h user = u deliver = \"maildir:/m\""

struct conf_case {
	const char *text;
	const char *problems; /* joined by '|'; "" for none; FILE is the path */
};

/* clang-format off */
static const struct conf_case CASES[] = {
	{"account \"a\" { " ACCOUNT_OK " }", ""},
	{"account a { " ACCOUNT_OK " }", ""},
	{"defaults { host = h deliver = 'mbox:/m' } account a { user = u }", ""},
	{"account a { user = u }\ndefaults { host = h deliver = 'mbox:/m' }", ""},
	{"account a { " ACCOUNT_OK " password-command = 'pass show x' auth = {SCRAM-SHA-256, "
		"\"plain\"} }", ""},
	{"account a { " ACCOUNT_OK " auth = apop keep = 1d12h max-size = 1M500K tls = none cleartext = yes }", ""},

	{"", "FILE: there is no account in it"},
	{"# nothing\n\n", "FILE: there is no account in it"},
	{"account \"a\" { " ACCOUNT_OK " }\naccount \"a\" { " ACCOUNT_OK " }",
		"FILE:2: there is another account 'a', in FILE:1"},
	{"account a {\n " ACCOUNT_OK "\n hots = x\n}",
		"FILE:3: unknown key 'hots', did you mean 'host'?"},
	{"account a { " ACCOUNT_OK "\n zzzzzz = x\n}", "FILE:2: unknown key 'zzzzzz'"},
	{"acount a { " ACCOUNT_OK " }",
		"FILE:1: unknown section 'acount', did you mean 'account'?"},
	{"account { " ACCOUNT_OK " }", "FILE:1: missing title for section 'account'"},
	{"account a { " ACCOUNT_OK " port = 0 }", "FILE:1: port: '0' is out of range (1 to 65535)"},
	{"account a { " ACCOUNT_OK " port = 70000 }",
		"FILE:1: port: '70000' is out of range (1 to 65535)"},
	{"account a { " ACCOUNT_OK "\nkeep = \"14x\" }",
		"FILE:2: keep: '14x' has an unknown unit 'x': s, m, h, d or w"},
	{"account a { " ACCOUNT_OK " keep = always }",
		"FILE:1: keep: 'always' is neither forever, never nor a time (such as 30d)"},
	{"account a { " ACCOUNT_OK " keep = 0d }", "FILE:1: keep: '0d' is no time: write never"},
	{"account a { host = h user = u deliver = \"maidir:/x\" }",
		"FILE:1: deliver: unknown kind of destination 'maidir', did you mean 'maildir'?"},
	{"account a { host = h user = u deliver = \"smtp:x\" }",
		"FILE:1: deliver: unknown kind of destination 'smtp': it is maildir, mbox or pipe"},
	{"account a { host = h user = u deliver = \"maildir:Mail\" }",
		"FILE:1: deliver: 'Mail' is a relative path: a maildir needs one that begins with "
		"/ or ~/"},
	{"account a { host = h user = u }",
		"FILE:1: account 'a' has no 'deliver': maildir:PATH, mbox:PATH or pipe:COMMAND"},
	{"account a { user = u deliver = \"mbox:/x\" }",
		"FILE:1: account 'a' has no 'host': the server's name or address"},
	{"account a { host = h deliver = \"mbox:/x\" }",
		"FILE:1: account 'a' has no 'user': the login name"},
	{"account \"a b\" { " ACCOUNT_OK " }",
		"FILE:1: 'a b' is no account name: it has 1 to 200 letters, digits and . _ @ + -, "
		"and does not begin with . or -"},
	{"account \"../x\" { " ACCOUNT_OK " }",
		"FILE:1: '../x' is no account name: it has 1 to 200 letters, digits and . _ @ + -, "
		"and does not begin with . or -"},
	{"account a { " ACCOUNT_OK " tls = none }",
		"FILE:1: account 'a': tls = \"none\" would send everything, the login too, to 'h' "
		"in clear: set 'tls' to implicit or starttls; if it has to be, set cleartext = "
		"\"yes\""},
	{"account a { host = LocalHost user = u deliver = 'mbox:/x' tls = none }", ""},
	{"account a { " ACCOUNT_OK " pin-only = yes }",
		"FILE:1: account 'a': pin-only trusts nothing but 'pin', and there is none"},
	{"account a { " ACCOUNT_OK " tls-key = /k }",
		"FILE:1: account 'a': tls-key is the key of 'tls-cert', and there is none"},
	{"account a { " ACCOUNT_OK " tls-cert = c }",
		"FILE:1: tls-cert: 'c' is a relative path: it must begin with / or ~/"},
	{"account a { " ACCOUNT_OK " pin = 12 }",
		"FILE:1: pin: '12' is no pin: write sha256// and 44 digits of Base64, or 64 hex "
		"digits"},
	{"account a { " ACCOUNT_OK " pin = {} }", "FILE:1: pin: the list is empty"},
	{"account a { " ACCOUNT_OK " tls = starttsl }",
		"FILE:1: tls: 'starttsl' is unknown, did you mean 'starttls'? (implicit, starttls, "
		"none)"},
	{"account a { " ACCOUNT_OK " tls = yes }",
		"FILE:1: tls: 'yes' is none of: implicit, starttls, none"},
	{"jobs = -1 account a { " ACCOUNT_OK " timeout = -5s max-size = -1 newest = -3 }",
		"FILE:1: jobs: '-1' is negative|FILE:1: timeout: '-5s' is negative|"
		"FILE:1: max-size: '-1' is negative|FILE:1: newest: '-3' is negative"},
	{"account a { " ACCOUNT_OK " min-rate = -1 session-limit = 366d }",
		"FILE:1: min-rate: '-1' is negative|"
		"FILE:1: session-limit: '366d' is out of range (0s to 365d)"},
	{"account a { " ACCOUNT_OK " timeout = 0s }",
		"FILE:1: timeout: '0s' is out of range (1s to 1d)"},
	{"account a { " ACCOUNT_OK " received = maybe }",
		"FILE:1: received: 'maybe' is neither yes nor no"},
	{"account a { " ACCOUNT_OK " auth = {PLAIN, AUTO} }", "FILE:1: auth: 'auto' stands alone"},
	{"account a { " ACCOUNT_OK " auth = {} }", "FILE:1: auth: the list is empty"},
	{"account a { " ACCOUNT_OK " keep = {1d, 2d} }",
		"FILE:1: 'keep' takes one value, not a list"},
	/* pop3 rule 1 */
	{"account a { host = h user = \"u\\r\\nDELE 1\" deliver = \"mbox:/x\" }",
		"FILE:1: user: 'u\\r\\nDELE 1' has a control character (such as a line end)"},
	{"account a { host = \"h\\n\" user = u deliver = \"mbox:/x\" }",
		"FILE:1: host: 'h\\n' has a control character (such as a line end)"},
	{"account a { host = h user = \"u\\0x\" deliver = \"mbox:/x\" }",
		"FILE:1: user: NUL in a string"},
	{"account a { " ACCOUNT_OK " password = \"a\\nb\" }",
		"FILE:1: password: has a line end in it"},
	{"account a { " ACCOUNT_OK " password = \"a\\0b\" }", "FILE:1: password: NUL in a string"},
	{"account a { host = \"h:995\" user = u deliver = \"mbox:/x\" }",
		"FILE:1: host: 'h:995' is no host name or address (a port goes into 'port')"},
	{"account a { " ACCOUNT_OK " password = x password-file = /x }",
		"FILE:1: account 'a' has both 'password' and 'password-file': a password or token "
		"has one source"},
	{"account a { " ACCOUNT_OK " password-command = x\n token-command = y }",
		"FILE:2: account 'a' has both 'password-command' and 'token-command': a password "
		"or token has one source"},
	{"defaults { token-command = x\n password-command = y } account a { " ACCOUNT_OK " }",
		"FILE:1: 'defaults' has both 'password-command' and 'token-command': a password or "
		"token has one source"},
	{"defaults { token-command = x } account a { " ACCOUNT_OK " password-file = /y }", ""},
	{"defaults { password-command = x } account a { " ACCOUNT_OK " token-file = /y }", ""},
	{"account a { " ACCOUNT_OK " token-file = /y auth = xoauth2 }", ""},
	{"account a { " ACCOUNT_OK " token-file = y }",
		"FILE:1: token-file: 'y' is a relative path: it must begin with / or ~/"},
	{"account a { " ACCOUNT_OK " token-command = '' }", "FILE:1: token-command: is empty"},
	{"defaults { token-file = /y }",
		"FILE:1: 'token-file' cannot stand in 'defaults': it belongs in an account"},
	{"account a { " ACCOUNT_OK " token-command = y tls = none }",
		"FILE:1: account 'a': a token needs TLS, for whoever reads it is the user: set "
		"'tls' to implicit or starttls"},
	{"account a { " ACCOUNT_OK " token-command = y auth = {XOAUTH2, PLAIN} }",
		"FILE:1: account 'a': auth: PLAIN takes no token, and there is one: use "
		"OAUTHBEARER or XOAUTH2, or leave 'auth' out"},
	{"account a { " ACCOUNT_OK " password = y auth = oauthbearer }",
		"FILE:1: account 'a': auth: OAUTHBEARER takes a token, not a password: set "
		"'token-command' or 'token-file'"},
	{"account a { " ACCOUNT_OK " authorize-as = \"a\\nb\" }",
		"FILE:1: authorize-as: 'a\\nb' has a control character (such as a line end)"},
	{"defaults { authorize-as = x } account a { " ACCOUNT_OK " }",
		"FILE:1: 'authorize-as' cannot stand in 'defaults': it belongs in an account"},
	{"account a { " ACCOUNT_OK " password-file = x }",
		"FILE:1: password-file: 'x' is a relative path: it must begin with / or ~/"},
	{"account a { " ACCOUNT_OK "\n user = v }",
		"FILE:2: 'user' is given twice, first in FILE:1"},
	{"account a { " ACCOUNT_OK " jobs = 3 }",
		"FILE:1: 'jobs' cannot stand in an account: it belongs outside of sections"},
	{"host = x account a { " ACCOUNT_OK " }",
		"FILE:1: 'host' cannot stand outside of sections: it belongs in an account"},
	{"defaults { user = x } account a { " ACCOUNT_OK " }",
		"FILE:1: 'user' cannot stand in 'defaults': it belongs in an account"},
	{"defaults { port = 0 }\naccount a { " ACCOUNT_OK " }\naccount b { " ACCOUNT_OK " }",
		"FILE:1: port: '0' is out of range (1 to 65535)"},
	{"account a { host = \"${CONF_NONE}\" user = u deliver = \"mbox:/x\" }",
		"FILE:1: host: variable 'CONF_NONE' is not set"},
	{"account a {\n " ACCOUNT_OK "\n", "FILE:1: section opened here is never closed"},
	{"account a { " ACCOUNT_OK "\n keep = \"30d\n}\n",
		"FILE:2: string opened here is not closed on its line"},
	{"account a { " ACCOUNT_OK " } /* \n", "FILE:1: comment opened here is never closed"},
	{"include = \"none.conf\" account a { " ACCOUNT_OK " }",
		"FILE:1: include: 'none.conf' does not exist"},
	{"include = \"none.d/*.conf\" account a { " ACCOUNT_OK " }",
		"FILE:1: include: cannot read the folder of 'none.d/*.conf': No such file or "
		"directory"},
	{"include = \"main.conf\" account a { " ACCOUNT_OK " }",
		"FILE:1: include: 'FILE' includes itself in the end"},
	/* All of it in one run. */
	{"jobs = 0\n"
		"# comment\n"
		"account \"a\" {\n"
		"  host = \"h\"   /* here, too */\n"
		"  usre = \"u\"\n"
		"  deliver = { \"mbox:/x\" # one\n"
		"  }\n"
		"}\n"
		"account \"b\" {\n"
		"  port 995\n"
		"  keep = 3y\n"
		"account \"c\" {\n"
		"  " ACCOUNT_OK "\n"
		"  tls = 1\n"
		"}\n",
		"FILE:10: 'port' is not followed by '='|"
		"FILE:9: section opened here is not closed before the next, in line 12|"
		"FILE:5: unknown key 'usre', did you mean 'user'?|"
		"FILE:6: 'deliver' takes one value, not a list|"
		"FILE:1: jobs: '0' is out of range (1 to 1000)|"
		"FILE:11: keep: '3y' has an unknown unit 'y': s, m, h, d or w|"
		"FILE:14: tls: '1' is none of: implicit, starttls, none"},
};
/* clang-format on */

/* Write a file of the test's folder; the caller frees the path. */
static char *
write_file(const char *name, const char *text, mode_t mode)
{
	char *path = xasprintf("%s/%s", folder, name);
	FILE *file;

	/* One that the last case left read-only is made anew. */
	unlink(path);
	file = fopen(path, "w");
	if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0 || chmod(path, mode) != 0) {
		perror(path);
		exit(1);
	}
	return path;
}

/* The problems joined by '|', with `path` as FILE in them. */
static char *
join(const struct conf_problems *problems, const char *path)
{
	struct buf out = {0};

	for (size_t i = 0; i < problems->count; i++) {
		const char *rest = problems->lines[i], *hit;

		if (i != 0)
			buf_append(&out, "|", 1);
		while ((hit = strstr(rest, path)) != NULL) {
			buf_append(&out, rest, (size_t)(hit - rest));
			buf_append_string(&out, "FILE");
			rest = hit + strlen(path);
		}
		buf_append_string(&out, rest);
	}
	return buf_take_string(&out);
}

static void
check_load(const char *path, unsigned flags, const char *want, struct config *out)
{
	struct conf_problems problems = {0};
	char *got;
	int result = conf_load(path, flags, out, &problems);

	got = join(&problems, path);
	CHECK_STR(got, want);
	CHECK(result == (*want == '\0' ? 0 : -1));
	if (result != 0)
		CHECK(out->accounts == NULL && out->count == 0 && out->state_dir == NULL);
	free(got);
	conf_problems_release(&problems);
}

static void
test_cases(void)
{
	unsetenv("CONF_NONE");
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		char *path = write_file("main.conf", CASES[i].text, 0600);
		struct config config;

		check_load(path, 0, CASES[i].problems, &config);
		conf_release(&config);
		free(path);
	}
}

static void
test_values(void)
{
	char *path = write_file("main.conf",
		"jobs = 20 per-host = 2 state-dir = \"~/state\"\n"
		"defaults { deliver = \"maildir:~/Mail\" password-command = \"pass show '${U} x'\"\n"
		"  keep = 14d  tls = starttls }\n"
		"account one { host = \"h.example.org.\" user = \"${U}@x\" }\n"
		"account two { host = \"[::1]\" port = 1110 user = u tls = none password = 'p\"w'\n"
		"  keep = never auth = {scram-sha-256, apop} skip = yes pipe-timeout = 2m\n"
		"  max-size = 10M max-messages = 5 newest = 100 received = on\n"
		"  quit-after-failure = no pipelining = off lock-timeout = 1s timeout = 90s\n"
		"  min-rate = 4K session-limit = 0s connect-timeout = 10s tls-trust-file = \"~/ca.pem\"\n"
		"  tls-crl-file = /crl tls-host = Pop.example. tls-priority = '%PROFILE_HIGH' tls-cert = "
		"'pkcs11:object=a' tls-key = /k pin = {'" PIN_A "', 'sha256:" PIN_B
		"'} pin-only = yes run-as = \"${ME}\" deliver = 'pipe:x %s' }\n",
		0600);
	struct config config;
	const struct account *one, *two;

	/* Any user may be who runs this; only root another, and only root has to say which. */
	setenv("ME", getpwuid(geteuid())->pw_name, 1);
	setenv("U", "jane", 1);
	setenv("HOME", "/h", 1);
	check_load(path, 0, "", &config);
	if (!CHECK(config.count == 2))
		return;
	one = &config.accounts[0];
	two = &config.accounts[1];
	CHECK(config.jobs == 20 && config.per_host == 2);
	CHECK_STR(config.state_dir, "/h/state");
	CHECK_STR(one->name, "one");
	CHECK_STR(one->host, "h.example.org");
	CHECK_STR(one->user, "jane@x");
	CHECK(one->port == 110 && one->tls == ACCOUNT_TLS_STARTTLS && one->auth == NULL);
	CHECK(one->keep.kind == ACCOUNT_KEEP_AGE && one->keep.seconds == 14 * 86400);
	CHECK_STR(one->dest.text, "maildir:/h/Mail");
	CHECK_STR(one->password_command[2], "jane x");
	CHECK(one->password_command[3] == NULL && !secret_is_set(&one->password));
	CHECK(one->timeout_ms == 300000 && one->connect_timeout_ms == 60000 &&
		one->pipe_timeout_ms == 300000 && one->lock_timeout_ms == 30000);
	CHECK(one->min_rate == 100 && one->session_limit_ms == 86400000);
	CHECK(one->max_size == ACCOUNT_NO_LIMIT && !one->received && one->quit_after_failure);
	CHECK_STR(two->host, "::1");
	CHECK(two->port == 1110 && two->tls == ACCOUNT_TLS_NONE && two->skip);
	CHECK_BYTES(two->password.data, two->password.len, "p\"w", 3);
	CHECK(two->password_command == NULL && two->keep.kind == ACCOUNT_KEEP_NEVER);
	CHECK_STR(two->auth[0], "SCRAM-SHA-256");
	CHECK_STR(two->auth[1], "APOP");
	CHECK(two->auth[2] == NULL && two->max_size == 10485760 && two->max_messages == 5);
	CHECK(two->newest == 100 && two->received && !two->quit_after_failure);
	CHECK(one->run_as.name == NULL && two->run_as.uid == geteuid());
	CHECK_STR(two->run_as.name, getenv("ME"));
	CHECK(two->pipelining == ACCOUNT_PIPELINING_OFF && two->pipe_timeout_ms == 120000);
	CHECK(two->lock_timeout_ms == 1000 && two->timeout_ms == 90000);
	CHECK(two->min_rate == 4096 && two->session_limit_ms == ACCOUNT_NO_LIMIT);
	CHECK(two->connect_timeout_ms == 10000 && two->dest.kind == ACCOUNT_DEST_PIPE);
	CHECK_STR(two->tls_trust_file, "/h/ca.pem");
	CHECK_STR(two->tls_crl_file, "/crl");
	CHECK_STR(two->tls_host, "Pop.example");
	CHECK_STR(two->tls_priority, "%PROFILE_HIGH");
	CHECK_STR(two->tls_cert, "pkcs11:object=a");
	CHECK_STR(two->tls_key, "/k");
	CHECK_STR(two->pin[0], PIN_A);
	CHECK_STR(two->pin[1], PIN_B);
	CHECK(two->pin[2] == NULL && two->pin_only && account_needs_open_login(two));
	CHECK(one->pin == NULL && !one->pin_only && !account_needs_open_login(one));
	conf_release(&config);
	free(path);
}

static void
test_modes(void)
{
	static const char SECRET[] = "account a { " ACCOUNT_OK "\n password = x }";
	static const char EMPTY[] = "account a { " ACCOUNT_OK "\n password = '' }";
	struct config config;
	char *path;

	path = write_file("main.conf", SECRET, 0644);
	check_load(path, 0,
		"FILE:2: a password stands here and other users can read the file: chmod 600 it",
		&config);
	free(path);
	path = write_file("main.conf", SECRET, 0400);
	check_load(path, 0, "", &config);
	CHECK(config.count == 1 && secret_is_set(&config.accounts[0].password));
	conf_release(&config);
	free(path);
	path = write_file("main.conf", EMPTY, 0644);
	check_load(path, 0, "", &config);
	CHECK(config.count == 1 && !secret_is_set(&config.accounts[0].password));
	conf_release(&config);
	free(path);
	path = write_file("main.conf", EMPTY, 0666);
	check_load(path, 0, "FILE: other users can write this file: chmod go-w it", &config);
	if (geteuid() == 0) {
		free(path);
		path = write_file("main.conf", SECRET, 0600);
		CHECK(chown(path, 12345, 12345) == 0);
		check_load(path, 0,
			"FILE:2: a password stands here and the file belongs to another user",
			&config);
	}
	CHECK(unlink(path) == 0);
	check_load(path, 0,
		"FILE: no such file: create it as pophaul.conf(5) shows, with an account in it",
		&config);
	free(path);
	check_load("/tmp", 0, "FILE: 'FILE' is a folder, not a file", &config);
}

static void
test_includes(void)
{
	char *inner = xasprintf("%s/conf.d", folder), *paths[4], *text;
	struct conf_problems problems = {0};
	struct config config;

	CHECK(mkdir(inner, 0700) == 0);
	paths[0] = write_file("main.conf",
		"include = \"conf.d/*.conf\"\naccount m { " ACCOUNT_OK
		" }\ninclude = \"deep.conf\"\n",
		0600);
	paths[1] = write_file("conf.d/b.conf", "account b { user = u }\n", 0600);
	paths[2] = write_file("conf.d/a.conf",
		"defaults { host = dh deliver = \"mbox:/d\" }\naccount a { user = u }\n", 0600);
	paths[3] = write_file("deep.conf", "include = \"conf.d/c.inc\"\n", 0600);
	free(write_file("conf.d/c.inc", "account c { user = u }\n", 0600));
	check_load(paths[0], 0, "", &config);
	if (CHECK(config.count == 4)) {
		CHECK_STR(config.accounts[0].name, "a");
		CHECK_STR(config.accounts[1].name, "b");
		CHECK_STR(config.accounts[1].host, "dh");
		CHECK_STR(config.accounts[2].name, "m");
		CHECK_STR(config.accounts[3].name, "c");
	}
	conf_release(&config);

	/* A loop over two files; an error in a file that is included names that file. */
	free(write_file("conf.d/c.inc", "\ninclude = \"../deep.conf\"\nbogus = 1\n", 0600));
	CHECK(conf_load(paths[0], 0, &config, &problems) == -1);
	text = join(&problems, folder);
	CHECK_STR(text,
		"FILE/conf.d/c.inc:2: include: 'FILE/conf.d/../deep.conf' includes itself in the "
		"end|FILE/conf.d/c.inc:3: unknown key 'bogus'");
	free(text);
	conf_problems_release(&problems);
	for (size_t i = 0; i < 4; i++)
		free(paths[i]);
	free(inner);
}

static void
test_depth(void)
{
	struct conf_problems problems = {0};
	struct config config;
	char *first;

	for (int i = 0; i < 12; i++) {
		char *name = xasprintf("d%d", i), *text = xasprintf("include = d%d\n", i + 1);

		free(write_file(name, text, 0600));
		free(text);
		free(name);
	}
	free(write_file("d12", "account a { " ACCOUNT_OK " }", 0600));
	first = xasprintf("%s/d0", folder);
	CHECK(conf_load(first, 0, &config, &problems) == -1);
	CHECK(problems.count == 1 && strstr(problems.lines[0], "/d8:1: include: ") != NULL &&
		strstr(problems.lines[0], "more than 8 files deep") != NULL);
	conf_problems_release(&problems);
	conf_release(&config);
	free(first);
	first = xasprintf("%s/d4", folder);
	check_load(first, 0, "", &config);
	CHECK(config.count == 1);
	conf_release(&config);
	free(first);
}

static void
test_find(void)
{
	char *config_home = xasprintf("%s/xdg", folder), *path, *want;
	char *inner = xasprintf("%s/pophaul", config_home);

	setenv("XDG_CONFIG_HOME", config_home, 1);
	want = xasprintf("%s/pophaul.conf", inner);
	path = conf_user_path();
	CHECK_STR(path, want);
	free(path);
	CHECK(mkdir(config_home, 0700) == 0 && mkdir(inner, 0700) == 0);
	free(write_file("xdg/pophaul/pophaul.conf", "", 0600));
	path = conf_find();
	CHECK_STR(path != NULL ? path : "", want);
	free(path);
	unsetenv("XDG_CONFIG_HOME");
	setenv("HOME", "/h", 1);
	path = conf_user_path();
	CHECK_STR(path, "/h/.config/pophaul/pophaul.conf");
	free(path);
	free(want);
	free(inner);
	free(config_home);
}

/*
 * select_accounts() over a configuration with the accounts home, work (tls none, own port), spare
 * (skip).
 */
static int
run_select(struct config *config, struct error *err, int argc, ...)
{
	char *path = write_file("main.conf",
		"account home { " ACCOUNT_OK " }\n"
		"account work { " ACCOUNT_OK " port = 2110 tls = none cleartext = yes }\n"
		"account spare { host = h user = u skip = yes }\n",
		0600);
	char *argv[8] = {(char *)"pophaul"};
	struct conf_problems problems = {0};
	struct cli cli;
	va_list ap;
	int result;

	va_start(ap, argc);
	for (int i = 1; i <= argc; i++)
		argv[i] = va_arg(ap, char *);
	va_end(ap);
	optind = 0; /* getopt(3) starts anew */
	CHECK(cli_parse(argc + 1, argv, &cli, err) == 0);
	if (select_needs_config(&cli))
		CHECK(conf_load(path, CONF_DELIVER_OPTIONAL, config, &problems) == 0);
	else
		conf_init(config);
	CHECK(problems.count == 0);
	result = select_accounts(&cli, config, err);
	free(path);
	return result;
}

static void
test_select(void)
{
	struct config config;
	struct error err;

	CHECK(run_select(&config, &err, 0) == 0 && config.count == 2);
	CHECK(config.jobs == 8 && config.per_host == 4);
	conf_release(&config);

	CHECK(run_select(&config, &err, 4, "work", "home", "work", "-j3") == 0);
	CHECK(config.count == 2 && config.jobs == 3);
	CHECK_STR(config.accounts[0].name, "work");
	CHECK_STR(config.accounts[1].name, "home");
	conf_release(&config);

	CHECK(run_select(&config, &err, 1, "hmoe") == -1 && err.class == ERROR_USAGE);
	CHECK_STR(err.text, "there is no account 'hmoe', did you mean 'home'?");
	conf_release(&config);

	CHECK(run_select(&config, &err, 1, "spare") == -1 && err.class == ERROR_USAGE);
	CHECK_STR(err.text,
		"there is nowhere to deliver the mail of 'spare' to: give --deliver DEST");
	conf_release(&config);

	CHECK(run_select(&config, &err, 2, "spare", "--list") == 0 && config.count == 1);
	conf_release(&config);

	CHECK(run_select(&config, &err, 5, "--deliver=mbox:/o", "--keep=never", "--tls=starttls",
		      "--state-dir=/st", "--tls-trust-file=ca.pem") == 0);
	CHECK(config.count == 2 && config.accounts[0].port == 110 &&
		config.accounts[1].port == 2110);
	CHECK(config.accounts[1].tls == ACCOUNT_TLS_STARTTLS);
	CHECK(config.accounts[0].keep.kind == ACCOUNT_KEEP_NEVER);
	CHECK_STR(config.accounts[0].dest.text, "mbox:/o");
	CHECK_STR(config.state_dir, "/st");
	CHECK(config.accounts[0].tls_trust_file[0] == '/');
	CHECK_STR(strrchr(config.accounts[0].tls_trust_file, '/'), "/ca.pem");
	conf_release(&config);

	CHECK(run_select(&config, &err, 2, "--deliver=maildir:/m", "pop://jane@h") == 0);
	CHECK(config.count == 1 && config.state_dir != NULL);
	CHECK_STR(config.accounts[0].name, "jane@h");
	conf_release(&config);

	CHECK(run_select(&config, &err, 3, "--tls=none", "-l", "pop://jane@[::1]") == 0);
	CHECK(config.count == 1 && config.accounts[0].port == 110);
	conf_release(&config);

	CHECK(run_select(&config, &err, 4, "--tls=none", "--cleartext", "-l", "pop://jane@h") == 0);
	CHECK(config.count == 1 && config.accounts[0].cleartext);
	conf_release(&config);

	CHECK(run_select(&config, &err, 3, "--tls=none", "-l", "pop://jane@h") == -1);
	CHECK(err.class == ERROR_USAGE);
	CHECK_STR(err.text,
		"command line: --tls none would send everything, the login too, to 'h' in clear; "
		"if it has to be, add --cleartext");
	conf_release(&config);

	CHECK(run_select(&config, &err, 1, "--keep=14x") == -1 && err.class == ERROR_USAGE);
	CHECK_STR(err.text, "command line: keep: '14x' has an unknown unit 'x': s, m, h, d or w");
	conf_release(&config);

	CHECK(run_select(&config, &err, 2, "--deliver=maildir:x", "home") == -1);
	CHECK(strstr(err.text, "'x' is a relative path") != NULL);
	conf_release(&config);
}

/* Every entry of the table has what the messages need. */
static void
test_table(void)
{
	const struct option_entry *entry;

	for (size_t i = 0; (entry = option_at(i)) != NULL; i++) {
		CHECK(entry->scopes != 0 && entry->help != NULL);
		CHECK(option_find(entry->name) == entry);
	}
}

int
main(void)
{
	char template[] = "/tmp/conf-test.XXXXXX";
	char *command[] = {(char *)"rm", (char *)"-rf", template, NULL};

	folder = mkdtemp(template);
	if (folder == NULL)
		return 1;
	test_cases();
	test_values();
	test_modes();
	test_includes();
	test_depth();
	test_find();
	test_select();
	test_table();
	if (check_done() != 0)
		return 1;
	fflush(stdout);
	execvp(command[0], command);
	return 1;
}
