#include "script.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "action.h"
#include "words.h"

static _Noreturn void
complain(const struct script *script, const char *what)
{
	die("%s:%u: %s", script->where, script->line, what);
}

static char *
need_word(struct script *script, struct words *words, size_t *len_out)
{
	char *word = words_next(words, len_out);

	if (word == NULL)
		complain(script, "a word is missing");
	return word;
}

static uint64_t
need_number(struct script *script, struct words *words)
{
	char *word = need_word(script, words, NULL);
	uint64_t number;

	if (!parse_number(word, &number))
		complain(script, "a number is missing");
	free(word);
	return number;
}

static void
set_string(char **string, struct script *script, struct words *words)
{
	free(*string);
	*string = words_text(words, NULL);
	if (!words_at_end(words))
		complain(script, "too many words");
}

static struct message *
need_message(struct script *script, struct words *words)
{
	uint64_t number = need_number(script, words);

	if (number == 0 || number > script->drop->item_count)
		complain(script,
			"there is no such message (give messages before what holds for them)");
	return &script->drop->items[number - 1];
}

/* The parent adds messages; the sessions' processes, which have them, only count along. */
static struct message *
next_message(struct script *script, enum message_kind kind)
{
	script->message_count++;
	if (script->session != SCRIPT_EVERY_SESSION)
		return &script->drop->items[script->message_count - 1];
	if (script->drop->folder != NULL)
		complain(script, "beside a folder there are no other messages");
	return maildrop_add(script->drop, kind);
}

static void
read_message(struct script *script, struct words *words)
{
	struct message *message = next_message(script, MESSAGE_TEXT);
	size_t len;
	char *text = words_text(words, &len);

	if (script->session == SCRIPT_EVERY_SESSION)
		maildrop_set_text(message, text, len);
	free(text);
}

static void
read_messages(struct script *script, struct words *words)
{
	uint64_t count = need_number(script, words);
	uint64_t octets = words_at_end(words) ? 1000 : need_number(script, words);

	for (uint64_t i = 0; i < count; i++) {
		struct message *message = next_message(script, MESSAGE_GENERATED);

		message->octets = octets;
	}
}

static void
read_file(struct script *script, struct words *words)
{
	struct message *message = next_message(script, MESSAGE_FILE);
	char *word = need_word(script, words, NULL), *path = path_below(script->dir, word);

	if (script->session == SCRIPT_EVERY_SESSION && !maildrop_set_file(message, path))
		complain(script, "there is no such file");
	free(path);
	free(word);
}

static void
read_folder(struct script *script, struct words *words)
{
	char *word = need_word(script, words, NULL), *path = path_below(script->dir, word);

	if (script->session == SCRIPT_EVERY_SESSION)
		maildrop_scan(script->drop, path);
	free(path);
	free(word);
}

static void
read_synthetic(struct script *script, struct words *words)
{
	script->drop->synthetic_count = need_number(script, words);
	script->drop->synthetic_octets = words_at_end(words) ? 1000 : need_number(script, words);
}

static void
read_uidl(struct script *script, struct words *words)
{
	struct message *message = need_message(script, words);

	set_string(&message->uid, script, words);
}

static void
read_size(struct script *script, struct words *words)
{
	struct message *message = need_message(script, words);

	set_string(&message->listed, script, words);
}

static void
read_replace(struct script *script, struct words *words)
{
	struct message *message = need_message(script, words);
	size_t len;
	char *text = words_text(words, &len);

	/* The parent's copy is what the next sessions start from. */
	if (script->session != SCRIPT_EVERY_SESSION)
		maildrop_set_text(message, text, len);
	free(text);
}

static void
read_hide(struct script *script, struct words *words)
{
	struct message *message = need_message(script, words);

	if (words_skip(words, "LIST"))
		message->is_unlisted = true;
	else if (words_skip(words, "UIDL"))
		message->has_no_uidl = true;
	else
		message->is_absent = true;
}

static void
read_capa(struct script *script, struct words *words)
{
	struct capa_line line = {.when = CAPA_ALWAYS};

	if (words_skip(words, "before"))
		line.when = CAPA_BEFORE_LOGIN;
	else if (words_skip(words, "after"))
		line.when = CAPA_AFTER_LOGIN;
	line.text = words_text(words, NULL);
	if (strcmp(line.text, "none") == 0)
		script->capa_none = true;
	script->capa = grow(script->capa, script->capa_count + 1, sizeof *script->capa);
	script->capa[script->capa_count++] = line;
}

static void
read_delete_retrieved(struct script *script, struct words *words)
{
	(void)words;
	script->delete_retrieved = true;
}

static void
read_user(struct script *script, struct words *words)
{
	set_string(&script->user, script, words);
}

static void
read_password(struct script *script, struct words *words)
{
	set_string(&script->password, script, words);
}

static void
read_any_user(struct script *script, struct words *words)
{
	(void)words;
	script->any_user = true;
}

static void
read_apop(struct script *script, struct words *words)
{
	if (words_at_end(words))
		script->apop = copy_text("<1896.697170952@dbc.mtview.ca.us>", 33);
	else
		set_string(&script->apop, script, words);
}

static void
read_greeting(struct script *script, struct words *words)
{
	set_string(&script->greeting, script, words);
}

static void
read_lock_step(struct script *script, struct words *words)
{
	(void)words;
	script->lock_step = true;
}

static void
read_exclusive(struct script *script, struct words *words)
{
	(void)words;
	script->exclusive = true;
}

static void
read_uidl_prefix(struct script *script, struct words *words)
{
	set_string(&script->drop->uid_prefix, script, words);
}

static void
read_latency(struct script *script, struct words *words)
{
	script->latency_ms = need_number(script, words);
}

static void
read_tls_priority(struct script *script, struct words *words)
{
	set_string(&script->tls_priority, script, words);
}

/* GnuTLS wants a key of 64 octets: the word, again and again. */
static void
read_tls_tickets(struct script *script, struct words *words)
{
	char *word = need_word(script, words, NULL);
	static unsigned char key[64];

	for (size_t i = 0; i < sizeof key; i++)
		key[i] = (unsigned char)word[i % strlen(word)];
	free(word);
	script->tls_tickets = (gnutls_datum_t){key, sizeof key};
}

static void
read_rule(struct script *script, struct words *words, uint64_t times)
{
	struct rule *rule;

	script->rules = grow(script->rules, script->rule_count + 1, sizeof *script->rules);
	rule = &script->rules[script->rule_count++];
	*rule = (struct rule){.times = times, .counter = script->counters};
	pattern_read(&rule->pattern, words);
	actions_read(&rule->actions, words, script->dir);
}

static void
read_on(struct script *script, struct words *words)
{
	read_rule(script, words, 0);
}

static void
read_once(struct script *script, struct words *words)
{
	if (!words_skip(words, "on"))
		complain(script, "'on' is missing");
	read_rule(script, words, 1);
}

static void
read_times(struct script *script, struct words *words)
{
	uint64_t times = need_number(script, words);

	if (times == 0 || !words_skip(words, "on"))
		complain(script, "'times N on' it must be");
	read_rule(script, words, times);
}

/* What a directive changes, which decides what becomes of it in sessions where it does not hold. */
enum scope {
	SCOPE_NUMBERING, /* adds messages: carried out, so that all sessions number them alike */
	SCOPE_MAILDROP,  /* changes what all sessions share: left out */
	SCOPE_SCRIPT     /* read for its errors, into a script that is thrown away */
};

static const struct {
	const char *name;
	void (*read)(struct script *script, struct words *words);
	enum scope scope;
} directives[] = {
	{"message",          read_message,          SCOPE_NUMBERING},
	{"messages",         read_messages,         SCOPE_NUMBERING},
	{"file",             read_file,             SCOPE_NUMBERING},
	{"folder",           read_folder,           SCOPE_MAILDROP },
	{"synthetic",        read_synthetic,        SCOPE_MAILDROP },
	{"uidl",             read_uidl,             SCOPE_MAILDROP },
	{"uidl-prefix",      read_uidl_prefix,      SCOPE_MAILDROP },
	{"size",             read_size,             SCOPE_MAILDROP },
	{"replace",          read_replace,          SCOPE_MAILDROP },
	{"hide",             read_hide,             SCOPE_MAILDROP },
	{"capa",             read_capa,             SCOPE_SCRIPT   },
	{"user",             read_user,             SCOPE_SCRIPT   },
	{"password",         read_password,         SCOPE_SCRIPT   },
	{"any-user",         read_any_user,         SCOPE_SCRIPT   },
	{"apop",             read_apop,             SCOPE_SCRIPT   },
	{"greeting",         read_greeting,         SCOPE_SCRIPT   },
	{"delete-retrieved", read_delete_retrieved, SCOPE_SCRIPT   },
	{"lock-step",        read_lock_step,        SCOPE_SCRIPT   },
	{"exclusive",        read_exclusive,        SCOPE_SCRIPT   },
	{"latency",          read_latency,          SCOPE_SCRIPT   },
	{"tls-priority",     read_tls_priority,     SCOPE_SCRIPT   },
	{"tls-tickets",      read_tls_tickets,      SCOPE_SCRIPT   },
	{"on",	       read_on,               SCOPE_SCRIPT   },
	{"once",             read_once,             SCOPE_SCRIPT   },
	{"times",            read_times,            SCOPE_SCRIPT   },
};

#define DIRECTIVE_COUNT (sizeof directives / sizeof *directives)

/* "session 3", "session 2-4", "session 2+" in front of a line: whether it holds now. */
static bool
read_sessions(struct script *script, struct words *words)
{
	char *word, *end;
	uint64_t first, last;

	if (!words_skip(words, "session"))
		return true;
	word = need_word(script, words, NULL);
	first = last = strtoull(word, &end, 10);
	if (*end == '-')
		last = strtoull(end + 1, &end, 10);
	else if (*end == '+' && *++end == '\0')
		last = UINT64_MAX;
	if (*end != '\0' || first == 0)
		complain(script, "'session N', 'session N-M' or 'session N+' it must be");
	free(word);
	return script->session >= first && script->session <= last;
}

static size_t
find_directive(struct script *script, struct words *words)
{
	for (size_t i = 0; i < DIRECTIVE_COUNT; i++)
		if (words_skip(words, directives[i].name))
			return i;
	complain(script, "unknown directive");
}

static void
read_line(struct script *script, const char *text)
{
	struct words words = {text};
	bool holds = read_sessions(script, &words);
	struct script elsewhere = *script;
	struct script *target = script;
	size_t before = script->message_count, i;

	if (!holds) {
		elsewhere.rules = NULL;
		elsewhere.rule_count = 0;
		elsewhere.dialogue = (struct actions){.items = NULL};
		elsewhere.user = elsewhere.password = elsewhere.apop = elsewhere.greeting = NULL;
		elsewhere.capa = NULL;
		elsewhere.capa_count = 0;
		elsewhere.tls_priority = NULL;
		target = &elsewhere;
	}
	if (action_is_next(&words)) {
		actions_read(&target->dialogue, &words, script->dir);
		return;
	}
	i = find_directive(script, &words);
	/* Counted in every session, so that a rule has the same counter in all of them. */
	script->counters++;
	target->counters = script->counters;
	if (directives[i].scope == SCOPE_NUMBERING)
		target = script;
	if (holds || directives[i].scope != SCOPE_MAILDROP)
		directives[i].read(target, &words);
	for (size_t m = before; m < script->message_count; m++)
		script->drop->items[m].is_absent = !holds;
}

struct script_source
script_open(const char *path)
{
	struct script_source source = {.name = path};
	struct bytes text = {NULL, 0, 0};
	char *copy = copy_text(path, strlen(path));

	if (!read_whole(path, &text))
		die("cannot read the script '%s': %s", path, strerror(errno));
	bytes_add(&text, "", 1);
	source.text = text.data;
	source.dir = copy_text(dirname(copy), strlen(dirname(copy)));
	free(copy);
	return source;
}

void
script_begin(struct script *script, struct maildrop *drop, uint64_t session)
{
	memset(script, 0, sizeof *script);
	script->drop = drop;
	script->session = session;
	script->user = copy_text("jane", 4);
	script->password = copy_text("secret", 6);
	script->greeting = copy_text("+OK fakepop ready", 17);
}

void
script_add(struct script *script, const struct script_source *source)
{
	char *rest = source->text, *copy = copy_text(rest, strlen(rest)), *line;

	script->where = source->name;
	script->dir = source->dir;
	script->line = 0;
	rest = copy;
	while ((line = strsep(&rest, "\n")) != NULL) {
		script->line++;
		line += strspn(line, " \t");
		if (*line != '\0' && *line != '#')
			read_line(script, line);
	}
	free(copy);
}

const struct rule *
script_find(struct script *script, const char *line)
{
	for (size_t i = 0; i < script->rule_count; i++) {
		struct rule *rule = &script->rules[i];
		uint32_t *uses = &script->drop->uses[rule->counter];

		if (!pattern_matches(&rule->pattern, line))
			continue;
		if (rule->times == 0)
			return rule;
		/* The counter is shared by all sessions. */
		if (__atomic_fetch_add(uses, 1, __ATOMIC_SEQ_CST) < rule->times)
			return rule;
	}
	return NULL;
}
