#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/xalloc.h"

#include "check.h"

static char folder[] = "/tmp/pophaul-base-XXXXXX";

static char *
inside(const char *name)
{
	return xasprintf("%s/%s", folder, name);
}

static void
errors_carry_class_text_and_reason(void)
{
	struct error err;
	char long_text[2 * ERROR_TEXT_MAX];

	CHECK(error_set(&err, ERROR_NET, "host '%s'", "h") == -1);
	CHECK(err.class == ERROR_NET);
	CHECK_STR(err.text, "host 'h'");
	errno = ENOSPC;
	error_set_errno(&err, ERROR_WRITE, "cannot write '%s'", "f");
	CHECK_STR(err.text, "cannot write 'f': No space left on device");
	CHECK(error_prefix(&err, "account %d", 3) == -1);
	CHECK_STR(err.text, "account 3: cannot write 'f': No space left on device");
	memset(long_text, 'x', sizeof long_text);
	long_text[sizeof long_text - 1] = '\0';
	error_set(&err, ERROR_BUG, "%s", long_text);
	CHECK(strlen(err.text) == ERROR_TEXT_MAX - 1);
	error_prefix(&err, "%s", long_text);
	CHECK(strlen(err.text) == ERROR_TEXT_MAX - 1);
}

static void
every_class_has_a_status_and_the_gravest_wins(void)
{
	for (int class = 0; class < ERROR_CLASS_COUNT; class ++) {
		CHECK(error_exit_status((enum error_class) class) != 0);
		CHECK(error_class_name((enum error_class) class) != NULL);
	}
	CHECK(error_graver_status(0, EX_TEMPFAIL) == EX_TEMPFAIL);
	CHECK(error_graver_status(1, EX_TEMPFAIL) == 1);
	CHECK(error_graver_status(EX_NOPERM, EX_UNAVAILABLE) == EX_NOPERM);
	CHECK(error_graver_status(EX_IOERR, EX_SOFTWARE) == EX_SOFTWARE);
	CHECK(error_graver_status(0, 0) == 0);
}

static void
buffers_grow_slide_and_hand_over(void)
{
	struct buf buf = {0};
	char *text;

	CHECK(buf.len == 0 && buf_data(&buf) != NULL);
	for (int i = 0; i < 1000; i++) {
		buf_append(&buf, "0123456789", 10);
		if (i % 3 == 0)
			buf_consume(&buf, 10);
	}
	CHECK(buf.len == 6660);
	CHECK_BYTES(buf_data(&buf), 10, "0123456789", 10);
	buf_clear(&buf);
	buf_append(&buf, "x", 1);
	buf_printf(&buf, "%s-%d", "abc", 42);
	buf_append(&buf, "\0", 1);
	CHECK_BYTES(buf_data(&buf), buf.len, "xabc-42\0", 8);
	buf_consume(&buf, 1);
	text = buf_take_string(&buf);
	CHECK_STR(text, "abc-42");
	CHECK(buf.base == NULL);
	free(text);
	memcpy(buf_reserve(&buf, 100000), "y", 1);
	buf_commit(&buf, 1);
	CHECK(buf.len == 1);
	buf_release(&buf);
}

static void
strangers_text_is_quoted(void)
{
	char out[QUOTE_SIZE], many[1000], small[16];

	CHECK_STR(quote_bytes(out, "a\033[31m\r\n\t\\\x80\0", 12),
		"a\\x1b[31m\\r\\n\\t\\\\\\x80\\x00");
	memset(many, 'a', sizeof many);
	quote_bytes(out, many, sizeof many);
	CHECK(strlen(out) == QUOTE_MAX + 3 && strcmp(out + QUOTE_MAX, "...") == 0);
	memset(many, '\033', sizeof many);
	CHECK(strlen(quote_bytes(out, many, sizeof many)) <= QUOTE_MAX + 3);
	CHECK_STR(quote_bytes_into(small, sizeof small, "0123456789abcdef", 16), "0123456789ab...");
	CHECK_STR(quote_bytes(out, "", 0), "");
}

static void
json_strings_are_escaped(void)
{
	static const struct {
		const char *text, *json;
	} cases[] = {
		{"",					      "\"\""			    },
		{"a\"b\\c\n\x7f",                                 "\"a\\\"b\\\\c\\u000a\\u007f\""   },
		{"Entw\xc3\xbcrfe \xe2\x82\xac \xf0\x9f\x93\xac",
                 "\"Entw\xc3\xbcrfe \xe2\x82\xac \xf0\x9f\x93\xac\""                                },
		{"\x80 \xc3",				     "\"\\ufffd \\ufffd\""             },
		{"\xc0\xaf",				      "\"\\ufffd\\ufffd\""              },
		{"\xed\xa0\x80",				  "\"\\ufffd\\ufffd\\ufffd\""       },
		{"\xf4\x90\x80\x80",                              "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
		{"\xe2\x82",				      "\"\\ufffd\\ufffd\""              },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf out = {0};

		json_append_string(&out, cases[i].text);
		CHECK_BYTES(buf_data(&out), out.len, cases[i].json, strlen(cases[i].json));
		buf_release(&out);
	}
}

static void
hex_digits_have_values(void)
{
	static const char lower[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
	char out[7];

	for (int c = -128; c < 256; c++) {
		const char *at = c > 0 && c < 128 ? strchr(lower, c) : NULL;

		if (at == NULL && c > 0 && c < 128 && strchr(upper, c) != NULL)
			CHECK(hex_value((char)c) == strchr(upper, c) - upper);
		else
			CHECK(hex_value((char)c) == (at != NULL ? at - lower : -1));
	}
	hex_write("\x00\x1f\xfa", 3, out);
	CHECK_STR(out, "001ffa");
	hex_write("", 0, out);
	CHECK_STR(out, "");
}

static void
files_are_read_whole_or_refused(void)
{
	char *path = inside("file"), *missing = inside("missing");
	struct buf buf = {0};
	struct error err;
	struct stat st;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && file_write_all(fd, "hello", 5, path, &err) == 0);
	CHECK(file_close(fd, path, &err) == 0);
	CHECK(file_read_whole(path, 5, &buf, &st, &err) == 0 && st.st_size == 5);
	CHECK_BYTES(buf_data(&buf), buf.len, "hello", 5);
	CHECK(file_read_whole(path, 4, &buf, NULL, &err) == -1);
	CHECK(strstr(err.text, "bigger than 4 octets") != NULL);
	CHECK(file_read_whole(folder, 100, &buf, NULL, &err) == -1);
	CHECK(strstr(err.text, "is a folder") != NULL);
	CHECK(file_read_whole("/dev/null", 100, &buf, NULL, &err) == -1);
	CHECK(file_read_whole(missing, 100, &buf, NULL, &err) == -1 && errno == ENOENT);
	CHECK(err.class == ERROR_CREATE);
	CHECK(file_write_all(-1, "x", 1, "nowhere", &err) == -1 && err.class == ERROR_WRITE);
	buf_release(&buf);
	free(path);
	free(missing);
}

static void
a_replaced_file_is_whole_or_old(void)
{
	char *path = inside("replaced"), *temporary = inside("replaced.new");
	struct file_replacement r;
	struct buf buf = {0};
	struct error err;

	CHECK(file_replace_begin(&r, path, 0600, &err) == 0);
	CHECK(file_write_all(r.fd, "one", 3, path, &err) == 0);
	CHECK(file_replace_commit(&r, &err) == 0);
	CHECK(file_replace_begin(&r, path, 0600, &err) == 0);
	CHECK(file_write_all(r.fd, "two", 3, path, &err) == 0);
	CHECK(access(temporary, F_OK) == 0);
	file_replace_abort(&r);
	CHECK(access(temporary, F_OK) != 0);
	CHECK(file_read_whole(path, 10, &buf, NULL, &err) == 0);
	CHECK_BYTES(buf_data(&buf), buf.len, "one", 3);
	CHECK(file_replace_begin(&r, "/nonexistent/x", 0600, &err) == -1 &&
		err.class == ERROR_CREATE);
	buf_release(&buf);
	free(path);
	free(temporary);
}

static void
folders_are_made_with_their_parents(void)
{
	char *path = inside("a/b/c/"), *file = inside("file/x");
	struct error err;
	struct stat st;

	CHECK(file_make_dirs(path, 0700, &err) == 0);
	CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0700);
	CHECK(file_make_dirs(path, 0700, &err) == 0);
	CHECK(file_make_dirs(file, 0700, &err) == -1 && err.class == ERROR_CREATE);
	CHECK(file_sync_dir(folder, &err) == 0);
	CHECK(file_sync_dir(file, &err) == -1);
	CHECK(file_sync_parent(folder, &err) == 0);
	CHECK(file_sync_parent("/nonexistent-name", &err) == 0);
	CHECK(file_sync_parent("name", &err) == 0 && file_sync_parent("", &err) == 0);
	CHECK(file_sync_parent("/nonexistent/name", &err) == -1);
	free(path);
	free(file);
}

static void
a_lock_is_held_by_one(void)
{
	char *path = inside("lock");
	struct error err;
	int fd = file_lock(path, &err);

	CHECK(fd >= 0);
	CHECK(file_lock(path, &err) == -1 && err.class == ERROR_BUSY);
	close(fd);
	fd = file_lock(path, &err);
	CHECK(fd >= 0);
	close(fd);
	CHECK(file_lock("/nonexistent/lock", &err) == -1 && err.class == ERROR_CREATE);
	free(path);
}

static void
homes_are_expanded(void)
{
	char *path;

	setenv("HOME", "/home/jane", 1);
	path = file_expand_home("~/Mail");
	CHECK_STR(path, "/home/jane/Mail");
	free(path);
	path = file_expand_home("~other/Mail");
	CHECK_STR(path, "~other/Mail");
	free(path);
	unsetenv("HOME");
	CHECK(file_home() != NULL);
}

/* Of a path below the test's folder. */
static bool
is_in_roots_hands(const char *name)
{
	char *path = xasprintf("%s/%s", folder, name);
	bool result = file_is_in_roots_hands(path);

	free(path);
	return result;
}

static void
make_link(const char *target, const char *name)
{
	char *path = xasprintf("%s/%s", folder, name);

	CHECK(symlink(target, path) == 0);
	free(path);
}

/* Links of root's that lead through what is another's are another's to change. */
static void
a_path_is_in_roots_hands_as_far_as_it_leads(void)
{
	static const char *const theirs[] = {"theirs", "theirs/file", "to-file", "to-folder/file",
		"relative", "to-link", "loop"};
	char *path, *file;

	CHECK(file_is_in_roots_hands("/"));
	CHECK(file_is_in_roots_hands("/etc/passwd"));
	CHECK(!file_is_in_roots_hands("etc/passwd"));
	CHECK(!file_is_in_roots_hands("/etc/there-is-no-such-file"));
	if (geteuid() != 0)
		return;
	path = xasprintf("%s/theirs", folder);
	file = xasprintf("%s/file", path);
	CHECK(mkdir(path, 0700) == 0 && close(creat(file, 0600)) == 0);
	make_link(file, "to-file");
	make_link(path, "to-folder");
	make_link("./theirs/../theirs/file", "relative");
	make_link("relative", "to-link");
	make_link("loop", "loop");
	for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++) {
		if (!CHECK(is_in_roots_hands(theirs[i]) == (strcmp(theirs[i], "loop") != 0)))
			fprintf(stderr, "\tnot root's: %s\n", theirs[i]);
	}
	if (!CHECK(chown(path, 1, 1) == 0))
		return;
	for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++) {
		if (!CHECK(!is_in_roots_hands(theirs[i])))
			fprintf(stderr, "\troot's: %s\n", theirs[i]);
	}
	free(file);
	free(path);
}

static void
secrets_are_kept_and_replaced(void)
{
	struct secret secret = {0};

	CHECK(!secret_is_set(&secret));
	secret_set(&secret, "pass\0word", 9);
	CHECK_BYTES(secret.data, secret.len + 1, "pass\0word\0", 10);
	secret_set(&secret, "", 0);
	CHECK(secret_is_set(&secret) && secret.len == 0);
	secret_release(&secret);
	CHECK(!secret_is_set(&secret));
	secret_release(&secret);
}

#if defined(__SANITIZE_ADDRESS__)
static const bool has_address_sanitizer = true;
#else
static const bool has_address_sanitizer = false;
#endif

/* Kilobytes that this process has locked, or -1. */
static long
locked_kb(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	long kb = -1;

	while (file != NULL && kb < 0 && fgets(line, sizeof line, file) != NULL) {
		if (strncmp(line, "VmLck:", 6) == 0)
			kb = strtol(line + 6, NULL, 10);
	}
	if (file != NULL)
		fclose(file);
	/* AddressSanitizer makes nothing of mlock(2). */
	return has_address_sanitizer ? -1 : kb;
}

static void
thousands_of_secrets_are_locked_in_little_memory(void)
{
	enum { COUNT = 5000 };
	struct secret *secrets = xcalloc(COUNT, sizeof *secrets), big = {0};
	char *long_text = xcalloc(100000, 1), text[32];
	long before = locked_kb();
	int status;
	pid_t pid;

	memset(long_text, 'x', 99999);
	for (int i = 0; i < COUNT; i++) {
		snprintf(text, sizeof text, "password-%d", i);
		secret_set(&secrets[i], text, strlen(text));
	}
	secret_set(&big, long_text, 99999);
	for (int i = 0; i < COUNT; i++) {
		snprintf(text, sizeof text, "password-%d", i);
		CHECK_BYTES(secrets[i].data, secrets[i].len + 1, text, strlen(text) + 1);
	}
	CHECK_BYTES(big.data, big.len + 1, long_text, 100000);
	if (before >= 0)
		CHECK(locked_kb() - before > 150 && locked_kb() - before < 1024);
	pid = fork();
	if (pid == 0) {
		struct secret own = {0};
		long inherited = locked_kb();

		/* What was locked is not, for the child: what it has of its own is. */
		secret_set(&own, "own", 3);
		_exit(before < 0 || (inherited == 0 && locked_kb() > 0) ? 0 : 1);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	for (int i = 0; i < COUNT; i++)
		secret_release(&secrets[i]);
	secret_release(&big);
	CHECK(locked_kb() == before);
	free(secrets);
	free(long_text);
}

static void
digests_are_those_of_sha256_and_md5(void)
{
	static const char apop[] = "<1896.697170952@dbc.mtview.ca.us>tanstaaf";
	struct digest_state *state = digest_new();
	char hex[DIGEST_HEX_SIZE], md5[DIGEST_MD5_HEX_SIZE];
	struct digest digest, back;

	digest_add(state, "te", 2);
	digest_add(state, "st", 2);
	digest_finish(state, &digest);
	digest_to_hex(&digest, hex);
	CHECK_STR(hex, "9f86d081884c7d659a2feaa0c55ad015");
	CHECK(digest_from_hex(hex, 32, &back) == 0);
	CHECK(memcmp(&digest, &back, sizeof digest) == 0);
	CHECK(digest_from_hex(hex, 31, &back) == -1);
	CHECK(digest_from_hex("9f86d081884c7d659a2feaa0c55ad01g", 32, &back) == -1);
	digest_finish(state, &digest);
	digest_to_hex(&digest, hex);
	CHECK_STR(hex, "e3b0c44298fc1c149afbf4c8996fb924");
	digest_free(state);
	/* RFC 1939 section 7 */
	CHECK(digest_md5_hex(apop, sizeof apop - 1, md5) == 0);
	CHECK_STR(md5, "c4c9334bac560ecc979e58001b3e22fb");
}

static int
run(const char *script, int input, char *output, size_t size)
{
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
	struct child_spec spec = {.argv = argv, .input = input};
	struct pollfd ended;
	struct child child;
	struct error err;
	int status = -1;
	ssize_t n;

	if (!CHECK(child_spawn(&spec, &child, &err) == 0))
		return -1;
	ended = (struct pollfd){.fd = child.pidfd, .events = POLLIN};
	CHECK(poll(&ended, 1, 10000) == 1);
	n = read(child.output, output, size - 1);
	output[n > 0 ? n : 0] = '\0';
	CHECK(child_reap(&child, &status, &err) == 0);
	return status;
}

static void
children_run_alone_and_are_described(void)
{
	char *path = inside("file"), output[512], text[128];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int status = run("cat; echo err >&2; exit 3", fd, output, sizeof output);

	CHECK_STR(output, "helloerr\n");
	child_describe_status(status, text, sizeof text);
	CHECK_STR(text, "exited with status 3");
	status = run("kill -9 $$", -1, output, sizeof output);
	child_describe_status(status, text, sizeof text);
	CHECK_STR(text, "was killed by signal 9 (Killed)");
	/* Nothing of ours is open in the child: only 0, 1, 2 and ls's own. */
	run("ls /proc/self/fd | tr '\\n' ' '", -1, output, sizeof output);
	CHECK_STR(output, "0 1 2 3 ");
	close(fd);
	free(path);
}

static void
a_missing_command_is_told_by_127(void)
{
	char *argv[] = {(char *)"/nonexistent/command", NULL};
	struct child_spec spec = {.argv = argv, .input = -1};
	struct child child;
	struct error err;
	int status;

	CHECK(child_spawn(&spec, &child, &err) == 0);
	CHECK(child_reap(&child, &status, &err) == 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 127);
}

static void
a_killed_child_takes_its_group_along(void)
{
	char *argv[] = {(char *)"sh", (char *)"-c",
		(char *)"trap '' TERM; sleep 1000 & echo $!; wait; wait", NULL};
	struct child_spec spec = {.argv = argv, .input = -1};
	int64_t deadline = clock_monotonic_ms() + 10000;
	struct pollfd ready;
	char output[64];
	struct child child;
	struct error err;
	long pid;
	ssize_t n;

	CHECK(child_spawn(&spec, &child, &err) == 0);
	ready = (struct pollfd){.fd = child.output, .events = POLLIN};
	CHECK(poll(&ready, 1, 10000) == 1);
	n = read(child.output, output, sizeof output - 1);
	if (!CHECK(n > 0))
		return;
	output[n] = '\0';
	pid = strtol(output, NULL, 10);
	child_kill(&child, 10);
	/* A grandchild becomes init's; it may stay a zombie there but runs no more. */
	while (pid > 0 && kill((pid_t)pid, 0) == 0 && clock_monotonic_ms() < deadline) {
		char path[64], state[64] = "";
		int fd;

		snprintf(path, sizeof path, "/proc/%ld/stat", pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			break;
		n = read(fd, state, sizeof state - 1);
		close(fd);
		if (n > 0 && strchr(state, 'Z') != NULL)
			break;
	}
	CHECK(clock_monotonic_ms() < deadline);
}

static void
base64_is_that_of_the_rfc(void)
{
	static const struct {
		const char *data;
		size_t len;
		const char *text;
	} cases[] = {
		{"",                 0, ""        },
		{"f",                1, "Zg=="    },
		{"fo",               2, "Zm8="    },
		{"foo",              3, "Zm9v"    },
		{"foob",             4, "Zm9vYg=="},
		{"fooba",            5, "Zm9vYmE="},
		{"foobar",           6, "Zm9vYmFy"},
		{"\0\0",             2, "AAA="    },
		{"\xff\xef\xfe\xfb", 4, "/+/++w=="},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *text = base64_encode(cases[i].data, cases[i].len);
		char *data;
		size_t len;

		CHECK_STR(text, cases[i].text);
		if (CHECK(base64_decode(text, strlen(text), &data, &len))) {
			CHECK_BYTES(data, len, cases[i].data, cases[i].len);
			free(data);
		}
		base64_free(text);
	}
	base64_free(NULL);
}

/* pop3 rule 47: what is not canonical base64 ends the exchange. */
static void
base64_is_strict(void)
{
	static const char *const wrong[] = {"Z", "Zg", "Zg=", "Zm9", "Zm9vY", "=",
		"==", "===", "====", "Z===", "A===", "AA=A", "Zg==Zg==", "Zm=v", "=m9v",
		"Zm9v====", "Zh==", "Zm9=", "Zm9vYm9=", "Zm9-", "Zm9_", " Zm9v", "Zm9v ",
		"Zm9v\r\n", "Zm\n9", "Zm9v=", "Zm9*", "Zm9\xff", "Zg==\n", "Z g="};
	char *data;
	size_t len;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		if (!CHECK(!base64_decode(wrong[i], strlen(wrong[i]), &data, &len)))
			fprintf(stderr, "\taccepted \"%s\"\n", wrong[i]);
	}
	CHECK(!base64_decode("Zm\0v", 4, &data, &len));
	CHECK(!base64_decode("Zg\0=", 4, &data, &len));
}

int
main(void)
{
	char *remove[] = {(char *)"rm", (char *)"-rf", folder, NULL};
	struct child_spec spec = {.argv = remove, .input = -1};
	struct child child;
	struct error err;
	int status;

	if (mkdtemp(folder) == NULL)
		return 1;
	errors_carry_class_text_and_reason();
	every_class_has_a_status_and_the_gravest_wins();
	buffers_grow_slide_and_hand_over();
	strangers_text_is_quoted();
	json_strings_are_escaped();
	hex_digits_have_values();
	base64_is_that_of_the_rfc();
	base64_is_strict();
	files_are_read_whole_or_refused();
	a_replaced_file_is_whole_or_old();
	folders_are_made_with_their_parents();
	a_lock_is_held_by_one();
	homes_are_expanded();
	a_path_is_in_roots_hands_as_far_as_it_leads();
	secrets_are_kept_and_replaced();
	thousands_of_secrets_are_locked_in_little_memory();
	digests_are_those_of_sha256_and_md5();
	children_run_alone_and_are_described();
	a_missing_command_is_told_by_127();
	a_killed_child_takes_its_group_along();
	CHECK(child_spawn(&spec, &child, &err) == 0 && child_reap(&child, &status, &err) == 0);
	return check_done();
}
