#include "config/source/credential.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "config/source/netrc.h"
#include "check.h"

static char *folder;

struct netrc_case {
	const char *text, *host, *user;
	const char *want; /* NULL: none */
};

/* clang-format off */
static const struct netrc_case NETRCS[] = {
	{"", "h", "u", NULL},
	{"machine h login u password p", "h", "u", "p"},
	{"machine H.EXAMPLE.org\n\tlogin u\n\tpassword p\n", "h.example.ORG", "u", "p"},
	{"machine x login u password q\nmachine h login v password r\n"
		"machine h login u password p\n", "h", "u", "p"},
	{"machine h login U password p", "h", "u", NULL},
	{"machine h password p", "h", "u", "p"},
	{"machine h password p login v machine i password q", "h", "u", NULL},
	{"default login u password d", "h", "u", "d"},
	{"machine h login v password p default password d", "h", "u", "d"},
	{"machine h login u\nmachine i password p", "h", "u", NULL},
	{"machine h login u password \"a b\\\"c\\\\#\"", "h", "u", "a b\"c\\#"},
	{"machine h login u password #x", "h", "u", "#x"},
	{"# machine h login u password no\nmachine h login u password p # end", "h", "u", "p"},
	{"machine h login u account a password p", "h", "u", "p"},
	{"machine x macdef init\nmachine h login u password no\n\nmachine h login u password p",
		"h", "u", "p"},
	{"macdef init\nmachine h login u password no", "h", "u", NULL},
	{"machine h login u password", "h", "u", NULL},
	{"machine", "h", "u", NULL},
	{"login u password p", "h", "u", NULL},
};
/* clang-format on */

static void
test_netrc(void)
{
	for (size_t i = 0; i < sizeof(NETRCS) / sizeof(NETRCS[0]); i++) {
		const struct netrc_case *c = &NETRCS[i];
		size_t len = strlen(c->text);
		char *exact = xmemdup0(c->text, len);
		struct secret out = {0};
		bool found = netrc_find(exact, len, c->host, c->user, &out);

		CHECK(found == (c->want != NULL));
		CHECK(netrc_find(exact, len, c->host, c->user, NULL) == found);
		if (found && c->want != NULL)
			CHECK_BYTES(out.data, out.len, c->want, strlen(c->want));
		secret_release(&out);
		/* Cut anywhere, it must only stay within its bounds. */
		for (size_t cut = 0; cut < len; cut++) {
			char *part = xcalloc(cut + 1, 1);

			memcpy(part, exact, cut);
			if (netrc_find(part, cut, c->host, c->user, &out))
				CHECK(secret_is_set(&out));
			secret_release(&out);
			free(part);
		}
		free(exact);
	}
}

static char *
write_file(const char *name, const void *text, size_t len, mode_t mode)
{
	char *path = xasprintf("%s/%s", folder, name);
	FILE *file;

	/* One that the last case left read-only is made anew. */
	unlink(path);
	file = fopen(path, "w");
	if (file == NULL || fwrite(text, 1, len, file) != len || fclose(file) != 0 ||
		chmod(path, mode) != 0) {
		perror(path);
		exit(1);
	}
	return path;
}

static struct account
make_account(void)
{
	return (struct account){.name = (char *)"home", .host = (char *)"h", .user = (char *)"u"};
}

static void
check_resolve(
	const struct account *account, const char *want, const char *error, enum error_class class)
{
	struct error err = {.text = ""};
	struct secret out = {0};
	bool found = false;
	int result = credential_resolve(account, &out, &found, &err);

	CHECK(result == (error == NULL ? 0 : -1));
	if (error != NULL) {
		CHECK(err.class == class);
		if (!CHECK(strstr(err.text, error) != NULL))
			fprintf(stderr, "\t%s\n", err.text);
		CHECK(!secret_is_set(&out));
	} else if (want == NULL) {
		CHECK(!found && !secret_is_set(&out));
	} else {
		CHECK(found);
		CHECK_BYTES(out.data != NULL ? out.data : "", out.len, want, strlen(want));
	}
	secret_release(&out);
}

static void
test_file(void)
{
	static const struct {
		const char *text;
		size_t len;
		mode_t mode;
		const char *want, *error;
	} FILES[] = {
		{"secret\n",             7,  0600, "secret",      NULL                         },
		{"se cret \r\nsecond\n", 17, 0400, "se cret ",    NULL                         },
		{"no line end",          11, 0600, "no line end", NULL                         },
		{"",		     0,  0600, NULL,          "the password is empty"      },
		{"\nx\n",                3,  0600, NULL,          "the password is empty"      },
		{"a\rb\n",               4,  0600, NULL,          "has a line end or NUL in it"},
		{"a\0b\n",               4,  0600, NULL,          "has a line end or NUL in it"},
		{"secret\n",             7,  0640, NULL,          "other users can read"       },
		{"secret\n",             7,  0604, NULL,          "other users can read"       },
	};
	struct account account = make_account();

	for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
		account.password_file =
			write_file("pw", FILES[i].text, FILES[i].len, FILES[i].mode);
		check_resolve(&account, FILES[i].want, FILES[i].error, ERROR_CONFIG);
		free(account.password_file);
	}
	account.password_file = (char *)"/nonexistent/pw";
	check_resolve(&account, NULL, "No such file or directory", ERROR_CONFIG);
	account.password_file = folder;
	check_resolve(&account, NULL, "is a folder", ERROR_CONFIG);
}

static void
check_command(const char *script, const char *want, const char *error, enum error_class class)
{
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
	struct account account = make_account();

	account.password_command = argv;
	check_resolve(&account, want, error, class);
}

static void
test_command(void)
{
	char *missing[] = {(char *)"/nonexistent/command", NULL};
	struct account account = make_account();

	check_command("echo secret; echo second", "secret", NULL, 0);
	check_command("printf 'no end'", "no end", NULL, 0);
	check_command("printf 'crlf\\r\\n'", "crlf", NULL, 0);
	check_command("echo $POPHAUL_ACCOUNT.$POPHAUL_HOST.$POPHAUL_USER", "home.h.u", NULL, 0);
	check_command("echo secret; exit 3", NULL, "password-command 'sh': exited with status 3",
		ERROR_AUTH);
	check_command("echo secret; kill -9 $$", NULL, "was killed by signal 9", ERROR_AUTH);
	check_command("true", NULL, "the password is empty", ERROR_CONFIG);
	check_command("head -c 300000 /dev/zero | tr '\\0' x", NULL, "longer than 65536 octets",
		ERROR_CONFIG);
	check_command("echo secret; head -c 300000 /dev/zero", "secret", NULL, 0);
	/* What stays behind with the pipe open does not hold us. */
	check_command("sleep 60 2>&1 & echo secret", "secret", NULL, 0);
	account.password_command = missing;
	check_resolve(&account, NULL, "exited with status 127", ERROR_AUTH);
}

/* The limit is one, and not one for the output and another for the end. */
static void
test_command_limit(void)
{
	static const struct {
		const char *script, *error;
	} SCRIPTS[] = {
		{"yes",			   "password-command 'sh': did not end in time"},
		{"sleep 60",                      "password-command 'sh': did not end in time"},
		{"sleep 0.8; exec >&-; sleep 60",
                 "password-command 'sh': closed its output but did not end in time"           },
	};

	for (size_t i = 0; i < sizeof(SCRIPTS) / sizeof(SCRIPTS[0]); i++) {
		char *argv[] = {(char *)"sh", (char *)"-c", (char *)SCRIPTS[i].script, NULL};
		struct account account = make_account();
		struct error err = {.text = ""};
		struct secret out = {0};
		int64_t begin = clock_monotonic_ms(), took;

		account.password_command = argv;
		CHECK(credential_run_command(&account, 1000, &out, &err) == -1);
		took = clock_monotonic_ms() - begin;
		CHECK_STR(err.text, SCRIPTS[i].error);
		CHECK(err.class == ERROR_AUTH);
		/* Two limits would be 1.8 s at least. */
		CHECK(took >= 1000 && took < 1800);
	}
}

/* Values of ~/.netrc that no line to a server could have, and one as long as tokens are. */
static void
test_netrc_values(void)
{
	static const struct {
		const char *value, *error;
	} BAD[] = {
		{"\"\"",     ".netrc': the password is empty"                   },
		{"\"a\rb\"", ".netrc': the password has a line end or NUL in it"},
		{"\"a\nb\"", ".netrc': the password has a line end or NUL in it"},
		{"a\\\nb",   ".netrc': the password has a line end or NUL in it"},
	};
	static const size_t LENGTHS[] = {4095, 4096, 8192, 65536, 65537};
	struct account account = make_account();

	setenv("HOME", folder, 1);
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		char *text = xasprintf("machine h login u password %s\n", BAD[i].value);

		free(write_file(".netrc", text, strlen(text), 0600));
		check_resolve(&account, NULL, BAD[i].error, ERROR_CONFIG);
		CHECK(!credential_needs_prompt(&account));
		free(text);
	}
	free(write_file(".netrc", "machine h password a\0b", 22, 0600));
	check_resolve(&account, NULL, "has a line end or NUL in it", ERROR_CONFIG);
	for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
		char *token = xcalloc(LENGTHS[i] + 1, 1), *text;

		memset(token, 't', LENGTHS[i]);
		text = xasprintf("machine h login u password %s\n", token);
		free(write_file(".netrc", text, strlen(text), 0600));
		check_resolve(&account, token,
			LENGTHS[i] <= 65536 ? NULL : "the password is longer than 65536 octets",
			ERROR_CONFIG);
		free(text);
		free(token);
	}
	free(write_file(".netrc", "", 0, 0600));
}

static void
test_order(void)
{
	struct account account = make_account();
	char *path = write_file("pw", "from file\n", 10, 0600), *netrc;
	char *command[] = {(char *)"echo", (char *)"from command", NULL};

	setenv("HOME", folder, 1);
	check_resolve(&account, NULL, NULL, 0);
	CHECK(credential_needs_prompt(&account));
	netrc = write_file(".netrc", "machine h login u password from-netrc\n", 38, 0600);
	check_resolve(&account, "from-netrc", NULL, 0);
	CHECK(!credential_needs_prompt(&account));
	CHECK(chmod(netrc, 0644) == 0);
	check_resolve(&account, NULL, "other users can read", ERROR_CONFIG);
	CHECK(!credential_needs_prompt(&account));
	account.user = (char *)"other";
	check_resolve(&account, NULL, NULL, 0);
	CHECK(credential_needs_prompt(&account));
	account.password_command = command;
	check_resolve(&account, "from command", NULL, 0);
	account.password_file = path;
	check_resolve(&account, "from file", NULL, 0);
	secret_set(&account.password, "set", 3);
	check_resolve(&account, "set", NULL, 0);
	CHECK(!credential_needs_prompt(&account));
	secret_release(&account.password);
	free(netrc);
	free(path);
}

/* In the child: the terminal is ours; the exit status tells what came of it. */
static _Noreturn void
run_prompt(const char *terminal)
{
	struct account account = make_account();
	struct secret out = {0};
	struct error err;
	int fd;

	setsid();
	fd = open(terminal, O_RDWR);
	if (fd < 0 || ioctl(fd, TIOCSCTTY, 0) != 0)
		_exit(9);
	if (credential_prompt(&account, &out, &err) != 0)
		_exit(err.class == ERROR_INTERRUPTED ? 2 : err.class == ERROR_CONFIG ? 3 : 4);
	_exit(out.len == 6 && memcmp(out.data, "secret", 6) == 0 ? 0 : 5);
}

static bool
has_echo(int master)
{
	struct termios state;

	return tcgetattr(master, &state) == 0 && (state.c_lflag & ECHO) != 0;
}

/*
 * Wait for the question, answer, and give the exit status; what the terminal showed goes to
 * `shown`.
 */
static int
answer_prompt(const char *answer, struct buf *shown, bool *echo_after)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave, status = -1;
	struct pollfd watch = {.fd = master, .events = POLLIN};
	int64_t deadline = clock_monotonic_ms() + 10000;
	bool answered = false;
	pid_t pid;

	if (!CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0))
		return -1;
	/* Held open, so that the master sees no hang-up when the child ends. */
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	CHECK(slave >= 0 && has_echo(master));
	pid = fork();
	if (pid == 0)
		run_prompt(ptsname(master));
	while (clock_monotonic_ms() < deadline) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			break;
		if (poll(&watch, 1, 20) <= 0)
			continue;
		buf_commit(shown, (size_t)read(master, buf_reserve(shown, 512), 512));
		if (answered || memmem(buf_data(shown), shown->len, ": ", 2) == NULL)
			continue;
		answered = true;
		CHECK(!has_echo(master));
		CHECK(write(master, answer, strlen(answer)) == (ssize_t)strlen(answer));
	}
	CHECK(answered);
	*echo_after = has_echo(master);
	close(slave);
	close(master);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
test_prompt(void)
{
	static const struct {
		const char *answer;
		int status;
	} ANSWERS[] = {
		{"secret\n", 0},
                {"\n",       3},
                {"\003",     2},
                {"\034",     2},
                {"\004",     3}
        };

	for (size_t i = 0; i < sizeof(ANSWERS) / sizeof(ANSWERS[0]); i++) {
		struct buf shown = {0};
		bool echo_after = false;

		CHECK(answer_prompt(ANSWERS[i].answer, &shown, &echo_after) == ANSWERS[i].status);
		CHECK(echo_after);
		CHECK(memmem(buf_data(&shown), shown.len, "Password for u at h: ", 21) != NULL);
		CHECK(memmem(buf_data(&shown), shown.len, "secret", 6) == NULL);
		buf_release(&shown);
	}
}

int
main(void)
{
	char template[] = "/tmp/credential-test.XXXXXX";
	char *command[] = {(char *)"rm", (char *)"-rf", template, NULL};

	folder = mkdtemp(template);
	if (folder == NULL)
		return 1;
	test_netrc();
	test_file();
	test_command();
	test_command_limit();
	test_netrc_values();
	test_order();
	test_prompt();
	if (check_done() != 0)
		return 1;
	fflush(stdout);
	execvp(command[0], command);
	return 1;
}
