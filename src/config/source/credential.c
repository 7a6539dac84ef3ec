#include "config/source/credential.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/quote.h"
#include "base/stop.h"
#include "base/xalloc.h"
#include "config/source/netrc.h"

/* Tokens of some providers have 8 KB; more than this is not a password. */
#define PASSWORD_MAX 65536

#define NETRC_MAX ((size_t)1024 * 1024)

/* Where systemd puts the credentials of a service (systemd.exec(5)). */
#define FOLDER_VARIABLE "CREDENTIALS_DIRECTORY"

/* What a command gets between SIGTERM and SIGKILL. */
#define COMMAND_GRACE_MS 1000

/* A file with secrets; its room is reserved at once, for a growing buffer leaves copies behind. */
static int
read_secret_file(const char *path, size_t max, struct buf *out, struct stat *st, struct error *err)
{
	int result;

	(void)buf_reserve(out, max + (size_t)2 * 65536);
	result = file_read_whole(path, max, out, st, err);
	if (result != 0)
		err->class = ERROR_CONFIG;
	return result;
}

static void
release_secret_file(struct buf *text)
{
	if (text->base != NULL)
		secret_wipe(text->base, text->size);
	buf_release(text);
}

/* `owner` may have it, too. */
static const char *
find_exposure(const struct stat *st, uid_t owner)
{
	if ((st->st_mode & (S_IRGRP | S_IROTH)) != 0)
		return "other users can read the file: chmod 600 it";
	if (st->st_uid != geteuid() && st->st_uid != 0 && st->st_uid != owner)
		return "the file belongs to another user";
	return NULL;
}

const char *
credential_exposure(const struct stat *st)
{
	return find_exposure(st, geteuid());
}

/* What is being read. */
enum kind { KIND_PASSWORD, KIND_TOKEN };

static const char *const NOUNS[] = {[KIND_PASSWORD] = "password", [KIND_TOKEN] = "token"};

/* Whether systemd has made the file, for its service and nobody else. */
static bool
is_of_systemd(const char *path)
{
	const char *folder = getenv(FOLDER_VARIABLE);
	size_t len = folder != NULL ? strlen(folder) : 0;

	return len != 0 && strncmp(path, folder, len) == 0 && path[len] == '/';
}

/*
 * In all that follows `reads_for` is whose secret root reads as if it were its own, by a path of
 * that user's; one's own id, or root's: nobody's.
 */

static int
check_private(
	enum kind kind, const char *path, const struct stat *st, uid_t reads_for, struct error *err)
{
	struct stat seen = *st;
	const char *exposure;

	/*
	 * Its user has it by an access control list, whose mask stands where the group's rights do.
	 */
	if (is_of_systemd(path))
		seen.st_mode &= ~(mode_t)S_IRGRP;
	exposure = find_exposure(&seen, reads_for);
	/* Else a user could have root send any file of root's to a server, by a symbolic link. */
	if (exposure == NULL && reads_for != geteuid() && st->st_uid == 0 &&
		!file_is_in_roots_hands(path))
		exposure = "the file is root's, on a path that others can change";
	if (exposure == NULL)
		return 0;
	return error_set(err, ERROR_CONFIG, "'%s' has a %s and %s", path, NOUNS[kind], exposure);
}

/*
 * Whether it may be an access token: octets of RFC 6750 section 2.1 and what else providers put
 * into theirs. No JSON, no "Bearer ...", no sentence of a command that failed.
 */
static bool
is_token(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] <= ' ' || text[i] > '~' || text[i] == '"')
			return false;
	}
	return true;
}

/* What no secret can be: a server would see an end of the line in it, or nothing. */
static int
check_secret(enum kind kind, const char *text, size_t len, struct error *err)
{
	if (len == 0)
		return error_set(err, ERROR_CONFIG, "the %s is empty", NOUNS[kind]);
	if (len > PASSWORD_MAX)
		return error_set(err, ERROR_CONFIG, "the %s is longer than %d octets", NOUNS[kind],
			PASSWORD_MAX);
	if (memchr(text, '\r', len) != NULL || memchr(text, '\n', len) != NULL ||
		memchr(text, '\0', len) != NULL)
		return error_set(
			err, ERROR_CONFIG, "the %s has a line end or NUL in it", NOUNS[kind]);
	if (kind == KIND_TOKEN && !is_token(text, len))
		return error_set(err, ERROR_CONFIG,
			"what stands in the first line is no access token: it has blanks, quotes "
			"or other octets that no token has");
	return 0;
}

/* The first line of `text`, without its end, becomes the secret. */
static int
take_first_line(enum kind kind, const char *text, size_t len, struct secret *out, struct error *err)
{
	const char *end = memchr(text, '\n', len);

	if (end != NULL)
		len = (size_t)(end - text);
	if (len != 0 && text[len - 1] == '\r')
		len--;
	if (check_secret(kind, text, len, err) != 0)
		return -1;
	secret_set(out, text, len);
	return 0;
}

static int
resolve_file(
	enum kind kind, const char *path, uid_t reads_for, struct secret *out, struct error *err)
{
	struct buf text = {0};
	struct stat st;
	int result = -1;

	if (read_secret_file(path, PASSWORD_MAX, &text, &st, err) == 0 &&
		check_private(kind, path, &st, reads_for, err) == 0) {
		result = take_first_line(kind, buf_data(&text), text.len, out, err);
		if (result != 0)
			error_prefix(err, "'%s'", path);
	}
	release_secret_file(&text);
	return result;
}

static int
resolve_credential(const char *name, uid_t reads_for, struct secret *out, struct error *err)
{
	const char *folder = getenv(FOLDER_VARIABLE);
	char *path;
	int result;

	if (folder == NULL || *folder == '\0')
		return error_set(err, ERROR_CONFIG,
			"credential '%s': there are none, " FOLDER_VARIABLE " is not set: a "
			"systemd unit sets it, with LoadCredential=%s:FILE",
			name, name);
	if (*folder != '/')
		return error_set(err, ERROR_CONFIG,
			"credential '%s': " FOLDER_VARIABLE " is no absolute path", name);
	path = xasprintf("%s/%s", folder, name);
	result = resolve_file(KIND_PASSWORD, path, reads_for, out, err);
	if (result != 0)
		error_prefix(err, "credential '%s'", name);
	free(path);
	return result;
}

/* Read what there is: 1 for more to come, 0 at the end, -1. Beyond the room, octets are dropped. */
static int
read_some(const struct child *child, struct buf *text, struct error *err)
{
	char chunk[4096];
	size_t room = PASSWORD_MAX + 2 - text->len;
	ssize_t n = read(child->output, chunk, sizeof(chunk));

	if (n > 0)
		buf_append(text, chunk, (size_t)n < room ? (size_t)n : room);
	secret_wipe(chunk, sizeof(chunk));
	if (n < 0 && errno != EINTR && errno != EAGAIN)
		return error_set_errno(err, ERROR_SYSTEM, "cannot read its output");
	return n != 0;
}

/* The deadline, or the time to look whether we are to stop. */
static int64_t
next_look(int64_t deadline)
{
	int64_t look = clock_monotonic_ms() + STOP_LOOK_MS;

	return look < deadline ? look : deadline;
}

/* Read the output until the command has ended, or its output has. */
static int
read_output(const struct child *child, int64_t deadline, struct buf *text, struct error *err)
{
	struct pollfd watch[] = {
		{.fd = child->output, .events = POLLIN},
                {.fd = child->pidfd,  .events = POLLIN}
        };
	int n, more = 1;

	while (more > 0) {
		n = poll(watch, 2, clock_poll_timeout(next_look(deadline)));
		if (n < 0 && errno != EINTR)
			return error_set_errno(err, ERROR_SYSTEM, "cannot wait for it");
		/* Also when there is always more to read. */
		if (clock_monotonic_ms() >= deadline)
			return error_set(err, ERROR_AUTH, "did not end in time");
		if (stop_is_requested())
			return error_set(err, ERROR_INTERRUPTED, "asked to stop");
		if (n <= 0)
			continue;
		if (watch[0].revents != 0)
			more = read_some(child, text, err);
		else if (watch[1].revents != 0)
			more = 0; /* a process it left behind may hold the pipe for ever */
	}
	return more;
}

/* The output has ended; so must the command. */
static int
end_command(struct child *child, int64_t deadline, struct error *err)
{
	struct pollfd watch = {.fd = child->pidfd, .events = POLLIN};
	char how[128];
	int status, n;

	do {
		n = poll(&watch, 1, clock_poll_timeout(next_look(deadline)));
	} while (n <= 0 && !stop_is_requested() && clock_monotonic_ms() < deadline);
	if (n <= 0) {
		child_kill(child, COMMAND_GRACE_MS);
		if (stop_is_requested())
			return error_set(err, ERROR_INTERRUPTED, "asked to stop");
		return error_set(err, ERROR_AUTH, "closed its output but did not end in time");
	}
	if (child_reap(child, &status, err) != 0)
		return -1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	child_describe_status(status, how, sizeof(how));
	return error_set(err, ERROR_AUTH, "%s", how);
}

/* `refused`: what its last run gave was of no use. */
static int
run_command(const struct account *account, bool refused, int64_t limit_ms, struct secret *out,
	struct error *err)
{
	char *name = xasprintf("POPHAUL_ACCOUNT=%s", account->name);
	char *host = xasprintf("POPHAUL_HOST=%s", account->host);
	char *user = xasprintf("POPHAUL_USER=%s", account->user);
	const char *const extra[] = {
		name, host, user, refused ? "POPHAUL_TOKEN=refused" : NULL, NULL};
	enum kind kind = account->token_command != NULL ? KIND_TOKEN : KIND_PASSWORD;
	struct child_spec spec = {
		.argv = kind == KIND_TOKEN ? account->token_command : account->password_command,
		.input = -1,
		.separate_errors = true,
		.extra = extra};
	int64_t deadline = clock_monotonic_ms() + limit_ms;
	struct buf text = {0};
	struct child child;
	char quoted[QUOTE_SIZE];
	int result = -1;

	(void)buf_reserve(&text, PASSWORD_MAX + 2);
	if (child_spawn(&spec, &child, err) != 0)
		goto out;
	if (read_output(&child, deadline, &text, err) != 0)
		child_kill(&child, COMMAND_GRACE_MS);
	else if (end_command(&child, deadline, err) == 0)
		result = take_first_line(kind, buf_data(&text), text.len, out, err);
	if (result != 0)
		error_prefix(err, "%s-command '%s'", NOUNS[kind],
			quote_bytes(quoted, spec.argv[0], strlen(spec.argv[0])));
out:
	release_secret_file(&text);
	free(user);
	free(host);
	free(name);
	return result;
}

int
credential_run_command(
	const struct account *account, int64_t limit_ms, struct secret *out, struct error *err)
{
	return run_command(account, false, limit_ms, out, err);
}

/* `out` NULL: only see whether there is an entry. A missing file has none. */
static int
resolve_netrc(const struct account *account, struct secret *out, bool *found_out, struct error *err)
{
	char *path = file_expand_home("~/.netrc");
	struct buf text = {0};
	struct stat st;
	int result = 0;

	*found_out = false;
	if (*path != '/' || (access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR)))
		goto out;
	result = read_secret_file(path, NETRC_MAX, &text, &st, err);
	if (result != 0)
		goto out;
	*found_out = netrc_find(buf_data(&text), text.len, account->host, account->user, out);
	if (!*found_out || out == NULL)
		goto out;
	/* Only an entry that is to be used makes the file's mode our business. */
	result = check_private(KIND_PASSWORD, path, &st, geteuid(), err);
	if (result == 0 && check_secret(KIND_PASSWORD, out->data, out->len, err) != 0)
		result = error_prefix(err, "'%s'", path);
	if (result != 0)
		secret_release(out);
out:
	release_secret_file(&text);
	free(path);
	return result;
}

static int
resolve_token(const struct account *account, bool refused, uid_t reads_for, struct secret *out,
	struct error *err)
{
	if (account->token_file != NULL)
		return resolve_file(KIND_TOKEN, account->token_file, reads_for, out, err);
	return run_command(account, refused, CREDENTIAL_COMMAND_MS, out, err);
}

int
credential_renew_token(const struct account *account, struct secret *out, struct error *err)
{
	return resolve_token(account, true, geteuid(), out, err);
}

static int
resolve(const struct account *account, uid_t reads_for, struct secret *out, bool *found_out,
	struct error *err)
{
	*found_out = true;
	if (account_has_token(account))
		return resolve_token(account, false, reads_for, out, err);
	if (secret_is_set(&account->password)) {
		secret_set(out, account->password.data, account->password.len);
		return 0;
	}
	if (account->password_file != NULL)
		return resolve_file(KIND_PASSWORD, account->password_file, reads_for, out, err);
	if (account->password_command != NULL)
		return credential_run_command(account, CREDENTIAL_COMMAND_MS, out, err);
	if (account->credential != NULL)
		return resolve_credential(account->credential, reads_for, out, err);
	return resolve_netrc(account, out, found_out, err);
}

int
credential_resolve(
	const struct account *account, struct secret *out, bool *found_out, struct error *err)
{
	return resolve(account, geteuid(), out, found_out, err);
}

bool
credential_is_roots_to_read(const struct account *account)
{
	return secret_is_set(&account->password) || account->token_file != NULL ||
		account->password_file != NULL || account->credential != NULL;
}

int
credential_resolve_as_root(
	const struct account *account, struct secret *out, bool *found_out, struct error *err)
{
	return resolve(account, account->run_as.uid, out, found_out, err);
}

bool
credential_needs_prompt(const struct account *account)
{
	struct error ignored;
	bool found;

	if (!account_needs_password(account) || secret_is_set(&account->password) ||
		account->password_file != NULL || account->password_command != NULL ||
		account->credential != NULL || account_has_token(account))
		return false;
	/*
	 * Their own .netrc is theirs to read, later; and who sits here may not know their
	 * passwords.
	 */
	if (account->run_as.name != NULL && account->run_as.uid != geteuid())
		return false;
	/* A .netrc that cannot be used is an error to be told, by credential_resolve(). */
	return resolve_netrc(account, NULL, &found, &ignored) == 0 && !found;
}

static volatile sig_atomic_t interrupted;

static void
note_signal(int number)
{
	interrupted = number;
}

/* Signals that would leave the terminal without its echo. */
static const int SIGNALS[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

#define SIGNAL_COUNT (sizeof(SIGNALS) / sizeof(SIGNALS[0]))

/*
 * One line from the terminal, `size` octets at most. The signals are blocked
 * except while we wait, so that none slips in between the look and the wait.
 */
static int
read_line(int fd, const sigset_t *unblocked, char *line, size_t size, size_t *len_out,
	struct error *err)
{
	struct pollfd watch = {.fd = fd, .events = POLLIN};
	ssize_t n;

	*len_out = 0;
	for (;;) {
		if (ppoll(&watch, 1, NULL, unblocked) < 0 && errno != EINTR)
			return error_set_errno(err, ERROR_SYSTEM, "cannot wait for the terminal");
		if (interrupted != 0)
			return error_set(err, ERROR_INTERRUPTED, "interrupted");
		if ((watch.revents & (POLLIN | POLLHUP | POLLERR)) == 0)
			continue;
		n = read(fd, line + *len_out, size - *len_out);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, ERROR_SYSTEM, "cannot read the terminal");
		*len_out += (size_t)n;
		if (n == 0 || line[*len_out - 1] == '\n' || *len_out == size)
			return 0;
	}
}

static int
ask(int fd, const struct account *account, const sigset_t *unblocked, struct secret *out,
	struct error *err)
{
	char line[4096], user[QUOTE_SIZE], *question;
	struct termios old, quiet;
	size_t len = 0;
	int result;

	if (tcgetattr(fd, &old) != 0)
		return error_set_errno(err, ERROR_SYSTEM, "cannot ask the terminal");
	quiet = old;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	quiet.c_lflag |= ECHONL | ICANON;
	if (tcsetattr(fd, TCSAFLUSH, &quiet) != 0)
		return error_set_errno(err, ERROR_SYSTEM, "cannot turn the terminal's echo off");
	question = xasprintf("Password for %s at %s: ",
		quote_bytes(user, account->user, strlen(account->user)), account->host);
	result = file_write_all(fd, question, strlen(question), "/dev/tty", err);
	free(question);
	if (result == 0)
		result = read_line(fd, unblocked, line, sizeof(line), &len, err);
	if (tcsetattr(fd, TCSAFLUSH, &old) != 0 && result == 0)
		result = error_set_errno(err, ERROR_SYSTEM, "cannot turn the echo on again");
	if (result == 0)
		result = take_first_line(KIND_PASSWORD, line, len, out, err);
	secret_wipe(line, sizeof(line));
	return result;
}

int
credential_prompt(const struct account *account, struct secret *out, struct error *err)
{
	struct sigaction action = {.sa_handler = note_signal}, old[SIGNAL_COUNT];
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	sigset_t blocked, before;
	char user[QUOTE_SIZE];
	int result;

	quote_bytes(user, account->user, strlen(account->user));
	if (fd < 0)
		return error_set(err, ERROR_CONFIG,
			"there is no password for %s at %s, and no terminal to ask for it", user,
			account->host);
	interrupted = 0;
	sigemptyset(&blocked);
	/* Stopped with ^Z, the shell would get the terminal without its echo. */
	sigaddset(&blocked, SIGTSTP);
	for (size_t i = 0; i < SIGNAL_COUNT; i++)
		sigaddset(&blocked, SIGNALS[i]);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	for (size_t i = 0; i < SIGNAL_COUNT; i++)
		sigaction(SIGNALS[i], &action, &old[i]);
	sigaddset(&before, SIGTSTP);
	result = ask(fd, account, &before, out, err);
	sigdelset(&before, SIGTSTP);
	for (size_t i = 0; i < SIGNAL_COUNT; i++)
		sigaction(SIGNALS[i], &old[i], NULL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(fd);
	return result;
}
