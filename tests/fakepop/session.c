#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth.h"
#include "util.h"

/* `uses` of the maildrop begins with the process that has an exclusive maildrop. */
#define HOLDER 0

#define AWAIT_STEP_MS 5

enum mark { MARK_DELETED = 1, MARK_RETRIEVED = 2 };

struct session {
	struct io *io;
	struct script *script;
	struct maildrop *drop;
	bool has_tls;
	bool is_logged_in;
	char user[1024]; /* of USER */
	uint64_t *index; /* the client's message N is index[N - 1] of the maildrop */
	uint8_t *marks;
	size_t count;
	char *line; /* the client's last one */
};

static void
read_line(struct session *s)
{
	size_t len;
	char *line = io_read_line(s->io, &len);

	free(s->line);
	s->line = copy_text(line, len);
}

/* +OK, or why the maildrop cannot be had. */
static void
log_in(struct session *s)
{
	uint64_t count = maildrop_count(s->drop);
	uint32_t *holder = &s->drop->uses[HOLDER];

	if (s->script->exclusive && *holder != 0 && kill((pid_t)*holder, 0) == 0) {
		io_line(s->io, "-ERR [IN-USE] maildrop is locked by another session");
		return;
	}
	if (s->script->exclusive)
		*holder = (uint32_t)getpid();
	s->index = grow(NULL, (size_t)count, sizeof *s->index);
	for (uint64_t i = 0; i < count; i++)
		if (maildrop_is_there(s->drop, i))
			s->index[s->count++] = i;
	s->marks = grow(NULL, s->count, 1);
	memset(s->marks, 0, s->count);
	s->is_logged_in = true;
}

static void
answer_login(struct session *s, bool is_right)
{
	if (!is_right) {
		io_line(s->io, "-ERR [AUTH] Authentication failed.");
		return;
	}
	log_in(s);
	if (s->is_logged_in)
		io_line(s->io, "+OK Logged in.");
}

static bool
capa_is_usual(const struct script *script)
{
	for (size_t i = 0; i < script->capa_count; i++)
		if (*script->capa[i].text != '+' && *script->capa[i].text != '-')
			return false;
	return true;
}

static bool
capa_holds(const struct session *s, const struct capa_line *line)
{
	return line->when == CAPA_ALWAYS || (line->when == CAPA_AFTER_LOGIN) == s->is_logged_in;
}

/* A "-TAG" takes the usual line out. */
static bool
capa_is_removed(const struct session *s, const char *usual)
{
	for (size_t i = 0; i < s->script->capa_count; i++) {
		const struct capa_line *line = &s->script->capa[i];
		size_t len = strlen(line->text + 1);

		if (*line->text == '-' && capa_holds(s, line) &&
			strncasecmp(usual, line->text + 1, len) == 0 &&
			(usual[len] == '\0' || usual[len] == ' '))
			return true;
	}
	return false;
}

static void
capa_usual(struct session *s)
{
	const struct {
		const char *text;
		bool holds;
	} lines[] = {
		{"CAPA",                      true					       },
		{"TOP",                       true					       },
		{"UIDL",                      true					       },
		{"RESP-CODES",                true					       },
		{"PIPELINING",                true					       },
		{"AUTH-RESP-CODE",            true					       },
		{"STLS",                      s->has_tls && !io_is_tls(s->io) && !s->is_logged_in},
		{"USER",                      !s->is_logged_in                                   },
		{"SASL PLAIN LOGIN CRAM-MD5", !s->is_logged_in                                   },
	};

	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		if (lines[i].holds && !capa_is_removed(s, lines[i].text))
			io_line(s->io, "%s", lines[i].text);
}

static void
do_capa(struct session *s, const char *args)
{
	(void)args;
	if (s->script->capa_none) {
		io_line(s->io, "-ERR unknown command");
		return;
	}
	io_line(s->io, "+OK");
	if (capa_is_usual(s->script))
		capa_usual(s);
	for (size_t i = 0; i < s->script->capa_count; i++) {
		const struct capa_line *line = &s->script->capa[i];

		if (*line->text != '-' && capa_holds(s, line))
			io_line(s->io, "%s", line->text + (*line->text == '+'));
	}
	io_line(s->io, ".");
}

static void
do_user(struct session *s, const char *args)
{
	snprintf(s->user, sizeof s->user, "%s", args);
	io_line(s->io, "+OK");
}

static void
do_pass(struct session *s, const char *args)
{
	answer_login(s, auth_password(s->script, s->user, args));
}

static void
do_apop(struct session *s, const char *args)
{
	const char *space = strrchr(args, ' ');
	char *user;

	if (s->script->apop == NULL || space == NULL) {
		io_line(s->io, "-ERR no APOP here");
		return;
	}
	user = copy_text(args, (size_t)(space - args));
	answer_login(s, auth_apop(s->script, user, space + 1));
	free(user);
}

static void
do_auth(struct session *s, const char *args)
{
	switch (auth_sasl(s->io, s->script, args)) {
	case AUTH_OK:
		answer_login(s, true);
		break;
	case AUTH_REFUSED:
		answer_login(s, false);
		break;
	case AUTH_CANCELLED:
		io_line(s->io, "-ERR cancelled");
		break;
	case AUTH_UNKNOWN:
		io_line(s->io, "-ERR unknown mechanism");
		break;
	case AUTH_BROKEN:
		io_line(s->io, "-ERR broken exchange");
		break;
	}
}

static void
do_stls(struct session *s, const char *args)
{
	(void)args;
	if (!s->has_tls || io_is_tls(s->io)) {
		io_line(s->io, "-ERR no STLS now");
		return;
	}
	io_line(s->io, "+OK begin TLS");
	io_start_tls(s->io);
}

static void
do_utf8(struct session *s, const char *args)
{
	(void)args;
	for (size_t i = 0; i < s->script->capa_count; i++)
		if (strstr(s->script->capa[i].text, "UTF8") != NULL) {
			io_line(s->io, "+OK UTF8 enabled");
			return;
		}
	io_line(s->io, "-ERR unknown command");
}

/* The number in `args`, as an index of s->index; answers -ERR itself when it is none. */
static bool
get_number(struct session *s, const char *args, size_t *at_out)
{
	char *end;
	unsigned long long number = strtoull(args, &end, 10);

	if (end == args || (*end != '\0' && *end != ' ') || number == 0 || number > s->count) {
		io_line(s->io, "-ERR there is no message '%.40s'", args);
		return false;
	}
	*at_out = (size_t)number - 1;
	if (s->marks[*at_out] & MARK_DELETED) {
		io_line(s->io, "-ERR message %llu is deleted", number);
		return false;
	}
	return true;
}

static void
do_stat(struct session *s, const char *args)
{
	uint64_t octets = 0, count = 0;

	(void)args;
	for (size_t i = 0; i < s->count; i++)
		if (!(s->marks[i] & MARK_DELETED)) {
			count++;
			octets += maildrop_octets(s->drop, s->index[i]);
		}
	io_line(s->io, "+OK %" PRIu64 " %" PRIu64, count, octets);
}

/* "N SIZE" or "N UID" and CRLF. Quick: a million of them is a benchmark. */
static void
write_row(struct session *s, size_t at, bool is_uidl)
{
	const struct message *message = maildrop_item(s->drop, s->index[at]);
	size_t uid_len = 0;
	const char *uid = NULL;
	char *out, *p;

	if (is_uidl)
		uid = maildrop_uid(s->drop, s->index[at], &uid_len);
	else if (message != NULL && message->listed != NULL)
		uid_len = strlen(uid = message->listed);
	out = p = io_reserve(s->io, uid_len + 48);
	p += format_number(p, at + 1);
	*p++ = ' ';
	if (uid != NULL) {
		memcpy(p, uid, uid_len);
		p += uid_len;
	} else {
		p += format_number(p, maildrop_octets(s->drop, s->index[at]));
	}
	*p++ = '\r';
	*p++ = '\n';
	io_commit(s->io, (size_t)(p - out));
}

static void
do_listing(struct session *s, const char *args, bool is_uidl)
{
	size_t at;

	if (*args != '\0') {
		if (!get_number(s, args, &at))
			return;
		io_write(s->io, "+OK ", 4);
		write_row(s, at, is_uidl);
		return;
	}
	io_line(s->io, "+OK %zu messages", s->count);
	for (at = 0; at < s->count; at++) {
		const struct message *message = maildrop_item(s->drop, s->index[at]);

		if (s->marks[at] & MARK_DELETED)
			continue;
		if (message != NULL && (is_uidl ? message->has_no_uidl : message->is_unlisted))
			continue;
		write_row(s, at, is_uidl);
	}
	io_line(s->io, ".");
}

static void
do_list(struct session *s, const char *args)
{
	do_listing(s, args, false);
}

static void
do_uidl(struct session *s, const char *args)
{
	do_listing(s, args, true);
}

static void
do_retr(struct session *s, const char *args)
{
	size_t at;

	if (!get_number(s, args, &at))
		return;
	if (!maildrop_send(s->drop, s->index[at], -1, s->io))
		io_line(s->io, "-ERR message %zu is gone", at + 1);
	else
		s->marks[at] |= MARK_RETRIEVED;
}

static void
do_top(struct session *s, const char *args)
{
	const char *lines = strchr(args, ' ');
	uint64_t count;
	size_t at;

	if (lines == NULL || !parse_number(lines + 1, &count))
		io_line(s->io, "-ERR TOP needs two numbers");
	else if (get_number(s, args, &at) &&
		!maildrop_send(s->drop, s->index[at], (int64_t)count, s->io))
		io_line(s->io, "-ERR message %zu is gone", at + 1);
}

static void
do_dele(struct session *s, const char *args)
{
	size_t at;

	if (!get_number(s, args, &at))
		return;
	s->marks[at] |= MARK_DELETED;
	io_line(s->io, "+OK message %zu deleted", at + 1);
}

static void
do_noop(struct session *s, const char *args)
{
	(void)args;
	io_line(s->io, "+OK");
}

static void
do_rset(struct session *s, const char *args)
{
	(void)args;
	for (size_t i = 0; i < s->count; i++)
		s->marks[i] &= (uint8_t)~MARK_DELETED;
	io_line(s->io, "+OK");
}

static bool
commit(struct session *s)
{
	uint8_t which = MARK_DELETED | (s->script->delete_retrieved ? MARK_RETRIEVED : 0);
	bool ok = true;

	for (size_t i = 0; i < s->count; i++) {
		const char *uid;
		size_t len;

		if (!(s->marks[i] & which))
			continue;
		uid = maildrop_uid(s->drop, s->index[i], &len);
		if (maildrop_delete(s->drop, s->index[i]))
			io_note(s->io, "deleted %zu %.*s", i + 1, (int)len, uid);
		else
			ok = false;
	}
	return ok;
}

static void
do_quit(struct session *s, const char *args)
{
	(void)args;
	if (s->is_logged_in && !commit(s))
		io_line(s->io, "-ERR some deleted messages not removed");
	else
		io_line(s->io, "+OK bye");
	io_end(s->io, IO_BYE, "quit");
}

enum states { BEFORE_LOGIN = 1, AFTER_LOGIN = 2, ANY_STATE = 3 };

static const struct {
	const char *name;
	enum states states;
	void (*run)(struct session *s, const char *args);
} commands[] = {
	{"CAPA", ANY_STATE,    do_capa},
	{"QUIT", ANY_STATE,    do_quit},
	{"USER", BEFORE_LOGIN, do_user},
	{"PASS", BEFORE_LOGIN, do_pass},
	{"APOP", BEFORE_LOGIN, do_apop},
	{"AUTH", BEFORE_LOGIN, do_auth},
	{"STLS", BEFORE_LOGIN, do_stls},
	{"UTF8", BEFORE_LOGIN, do_utf8},
	{"STAT", AFTER_LOGIN,  do_stat},
	{"LIST", AFTER_LOGIN,  do_list},
	{"UIDL", AFTER_LOGIN,  do_uidl},
	{"RETR", AFTER_LOGIN,  do_retr},
	{"TOP",  AFTER_LOGIN,  do_top },
	{"DELE", AFTER_LOGIN,  do_dele},
	{"NOOP", AFTER_LOGIN,  do_noop},
	{"RSET", AFTER_LOGIN,  do_rset},
};

/* What a correct server does with the client's last line. */
static void
do_normal(struct session *s)
{
	enum states state = s->is_logged_in ? AFTER_LOGIN : BEFORE_LOGIN;
	size_t len = strcspn(s->line, " ");
	const char *args = s->line + len + strspn(s->line + len, " ");

	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (strlen(commands[i].name) == len &&
			strncasecmp(commands[i].name, s->line, len) == 0 &&
			(commands[i].states & state)) {
			commands[i].run(s, args);
			return;
		}
	io_line(s->io, "-ERR unknown command");
}

static void
do_expect(struct session *s, const struct pattern *pattern)
{
	read_line(s);
	if (pattern_matches(pattern, s->line))
		return;
	io_note(s->io, "unexpected: wanted %.200s",
		pattern->words != NULL ? pattern->words
				       : "something that matches the script's regex");
	io_end(s->io, IO_DROP, "unexpected");
}

static void
do_touch(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || close(fd) != 0)
		die("cannot touch '%s': %s", path, strerror(errno));
}

static void
do_await(struct session *s, const char *path)
{
	io_flush(s->io);
	/* Bounded by the life of the server, --max-seconds. */
	while (access(path, F_OK) != 0)
		sleep_ms(AWAIT_STEP_MS);
}

static void
do_file(struct session *s, const char *path)
{
	struct bytes text = {NULL, 0, 0};

	if (!read_whole(path, &text))
		die("cannot read '%s': %s", path, strerror(errno));
	io_write(s->io, text.data, text.len);
	bytes_release(&text);
}

static void
run_ending(struct session *s, const struct action *action)
{
	switch (action->kind) {
	case ACTION_DROP:
		io_end(s->io, IO_DROP, "drop");
	case ACTION_BYE:
		io_end(s->io, IO_BYE, "bye");
	case ACTION_RESET:
		io_end(s->io, IO_RESET, "reset");
	case ACTION_STALL:
		io_stall(s->io);
	case ACTION_CUT:
		io_cut_after(s->io, action->a);
		do_normal(s);
		io_end(s->io, IO_DROP, "cut");
	default:
		die("unknown action");
	}
}

static void
run_action(struct session *s, const struct action *action)
{
	switch (action->kind) {
	case ACTION_SEND:
		io_write(s->io, action->text, action->len);
		io_write(s->io, "\r\n", 2);
		break;
	case ACTION_RAW:
		io_write(s->io, action->text, action->len);
		break;
	case ACTION_FLOOD:
		io_flood(s->io, action->text, action->len, action->a);
		break;
	case ACTION_FILE:
		do_file(s, action->text);
		break;
	case ACTION_NORMAL:
		do_normal(s);
		break;
	case ACTION_EXPECT:
		do_expect(s, &action->pattern);
		break;
	case ACTION_READ:
		read_line(s);
		break;
	case ACTION_WAIT:
		io_flush(s->io);
		sleep_ms((int64_t)action->a);
		break;
	case ACTION_DRIP:
		io_drip(s->io, (size_t)action->a, (int64_t)action->b);
		break;
	case ACTION_DISCARD:
		io_discard_input(s->io);
		break;
	case ACTION_STARTTLS:
		io_start_tls(s->io);
		break;
	case ACTION_LOGIN:
		log_in(s);
		break;
	case ACTION_COMMIT:
		commit(s);
		break;
	case ACTION_TOUCH:
		io_flush(s->io);
		do_touch(action->text);
		break;
	case ACTION_AWAIT:
		do_await(s, action->text);
		break;
	default:
		run_ending(s, action);
	}
}

static void
run_actions(struct session *s, const struct actions *actions)
{
	for (size_t i = 0; i < actions->count; i++)
		run_action(s, &actions->items[i]);
}

void
session_run(struct io *io, struct script *script, struct maildrop *drop, bool has_tls)
{
	struct session s = {.io = io, .script = script, .drop = drop, .has_tls = has_tls};

	s.line = copy_text("", 0);
	if (script->dialogue.count > 0)
		run_actions(&s, &script->dialogue);
	else if (script->apop != NULL)
		io_line(io, "%s %s", script->greeting, script->apop);
	else
		io_line(io, "%s", script->greeting);
	for (;;) {
		const struct rule *rule;

		read_line(&s);
		if (script->lock_step && io_has_input(io))
			io_end(io, IO_DROP, "pipelined");
		rule = script_find(script, s.line);
		if (rule != NULL)
			run_actions(&s, &rule->actions);
		else
			do_normal(&s);
	}
}
