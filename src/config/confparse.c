#include "config/confparse.h"

#include <confuse.h>
#include <errno.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/file.h"
#include "base/quote.h"
#include "base/xalloc.h"
#include "config/source/credential.h"
#include "config/value.h"

/* More keys than the option table will ever have; it is checked. */
#define KEYS_MAX 64

/* One file on its way through; `parent` is the one that includes it. */
struct source {
	const struct source *parent;
	unsigned depth;
	const char *path; /* owned by the confparse */
	struct confread text;
	struct confparse *out;
	struct conf_problems *problems;
};

/* libconfuse's error function gets no pointer of ours. */
static struct {
	const struct source *source;
	unsigned first_line; /* of the part that is being parsed */
} current;

static void read_source(const char *path, const struct source *includer, unsigned line,
	struct confparse *out, struct conf_problems *problems);

static void __attribute__((format(printf, 2, 0)))
note_syntax_error(cfg_t *cfg, const char *format, va_list ap)
{
	char text[ERROR_TEXT_MAX], quoted[ERROR_TEXT_MAX];

	vsnprintf(text, sizeof(text), format, ap);
	conf_problems_add(current.source->problems, current.source->path,
		current.first_line + (unsigned)cfg->line - 1, "%s",
		quote_bytes_into(quoted, sizeof(quoted), text, strlen(text)));
}

const struct confparse_setting *
confparse_find(const struct confparse_section *section, const char *option)
{
	for (size_t i = 0; i < section->count; i++) {
		if (strcmp(section->settings[i].option->name, option) == 0)
			return &section->settings[i];
	}
	return NULL;
}

static struct confparse_setting *
add_setting(struct confparse_section *section, const struct source *source,
	const struct option_entry *option, unsigned line)
{
	struct confparse_setting *setting;

	section->settings =
		xreallocarray(section->settings, section->count + 1, sizeof(*section->settings));
	setting = &section->settings[section->count++];
	*setting = (struct confparse_setting){.option = option, .file = source->path, .line = line};
	return setting;
}

/* A key that is not one, or not here. */
static void
refuse_key(const struct source *source, const struct confread_key *key, enum option_scope scope)
{
	static const char *const PLACES[] = {[OPTION_GLOBAL] = "outside of sections",
		[OPTION_DEFAULTS] = "in 'defaults'",
		[OPTION_ACCOUNT] = "in an account"};
	const struct option_entry *option = option_find(key->name);
	struct value_guess guess = {.word = key->name};
	char quoted[QUOTE_SIZE];

	if (option != NULL) {
		conf_problems_add(source->problems, source->path, key->line,
			"'%s' cannot stand %s: it belongs %s", key->name, PLACES[scope],
			PLACES[(option->scopes & OPTION_ACCOUNT) != 0 ? OPTION_ACCOUNT
								      : OPTION_GLOBAL]);
		return;
	}
	for (size_t i = 0; (option = option_at(i)) != NULL; i++) {
		if ((option->scopes & scope) != 0)
			value_guess_try(&guess, option->name);
	}
	quote_bytes(quoted, key->name, strlen(key->name));
	if (guess.best != NULL)
		conf_problems_add(source->problems, source->path, key->line,
			"unknown key '%s', did you mean '%s'?", quoted, guess.best);
	else
		conf_problems_add(
			source->problems, source->path, key->line, "unknown key '%s'", quoted);
}

/* Whether a key may be taken; if not, the reason is noted. */
static bool
check_key(const struct source *source, const struct confread_key *key, enum option_scope scope,
	const struct confparse_section *section)
{
	const struct option_entry *option = option_find(key->name);
	const struct confparse_setting *before = confparse_find(section, key->name);

	if (option == NULL || (option->scopes & scope) == 0) {
		refuse_key(source, key, scope);
		return false;
	}
	if (before != NULL && option->type != OPTION_INCLUDE) {
		conf_problems_add(source->problems, source->path, key->line,
			"'%s' is given twice, first in %s:%u", key->name, before->file,
			before->line);
		return false;
	}
	if (buf_data(&source->text.text)[key->value] == '{' && !option_takes_list(option)) {
		conf_problems_add(source->problems, source->path, key->line,
			"'%s' takes one value, not a list", key->name);
		return false;
	}
	return true;
}

static bool
is_private(const struct source *source, const struct confread_key *key, const char *what)
{
	const char *exposure = credential_exposure(&source->text.st);

	if (exposure == NULL)
		return true;
	conf_problems_add(source->problems, source->path, key->line, "a %s stands here and %s",
		what, exposure);
	return false;
}

/* Whether the URL of a token has its PIN in it (RFC 7512 section 2.4). */
static bool
has_pin(const struct buf *url)
{
	return memmem(buf_data(url), url->len, "pin-value=", 10) != NULL;
}

/*
 * Check a key and take what must not reach libconfuse out of the text; false: the key is spent or
 * refused.
 */
static bool
prepare_key(struct source *source, const struct confread_key *key, enum option_scope scope,
	struct confparse_section *section)
{
	struct confparse_setting *setting;
	struct buf value = {0};
	struct error err;
	bool wanted = false, good = check_key(source, key, scope, section);

	/* Room for the longest value at once: no growing, no copies left behind. */
	(void)buf_reserve(&value, 2 * (key->value_end - key->value) + 65536);
	if (good && confread_decode(&source->text, key, &value, &err) != 0) {
		conf_problems_add(
			source->problems, source->path, key->line, "%s: %s", key->name, err.text);
		good = false;
	}
	if (good && option_find(key->name)->type != OPTION_SECRET)
		wanted = true;
	else if (good && value.len != 0)
		good = is_private(source, key, "password");
	if (wanted && option_find(key->name)->type == OPTION_LOCATION && has_pin(&value))
		good = wanted = is_private(source, key, "PIN");
	if (good) {
		setting = add_setting(section, source, option_find(key->name), key->line);
		if (!wanted)
			secret_set(&setting->secret, buf_data(&value), value.len);
	} else {
		section->damaged = true;
	}
	secret_wipe(value.base, value.size);
	buf_release(&value);
	if (!wanted)
		confread_blank(&source->text, key->start, key->end);
	return wanted;
}

static void
fill_options(cfg_opt_t *options, unsigned scope)
{
	const struct option_entry *entry;
	size_t used = 0;

	for (size_t i = 0; (entry = option_at(i)) != NULL; i++) {
		cfg_opt_t single = CFG_STR(NULL, NULL, CFGF_NODEFAULT);
		cfg_opt_t list = CFG_STR_LIST(NULL, NULL, CFGF_NODEFAULT);

		if ((entry->scopes & scope) == 0)
			continue;
		options[used] = option_takes_list(entry) ? list : single;
		options[used].name = entry->name;
		if (++used == KEYS_MAX)
			abort(); /* the table has outgrown the array: seen by the first test run */
	}
	options[used] = (cfg_opt_t)CFG_END();
}

/* Let libconfuse parse one part of the file; NULL when that failed, which it has noted. */
static cfg_t *
parse_part(const struct source *source, const struct confread_section *part)
{
	static cfg_opt_t account[KEYS_MAX], defaults[KEYS_MAX], all[KEYS_MAX + 2];
	struct buf text = {0};
	size_t used = 0;
	cfg_t *cfg;
	FILE *file;
	int result;

	fill_options(account, OPTION_ACCOUNT);
	fill_options(defaults, OPTION_DEFAULTS);
	fill_options(all, OPTION_GLOBAL);
	while (all[used].name != NULL)
		used++;
	all[used] = (cfg_opt_t)CFG_SEC("account", account, CFGF_MULTI | CFGF_TITLE);
	all[used + 1] = (cfg_opt_t)CFG_SEC("defaults", defaults, CFGF_MULTI);
	all[used + 2] = (cfg_opt_t)CFG_END();

	buf_append(&text, buf_data(&source->text.text) + part->start, part->end - part->start);
	if (!part->closed)
		buf_append_string(&text, "\n}");
	buf_append_string(&text, "\n");
	cfg = cfg_init(all, CFGF_NONE);
	file = fmemopen(buf_data(&text), text.len, "r");
	if (cfg == NULL || file == NULL) {
		fputs("pophaul: out of memory\n", stderr);
		exit(EX_OSERR); /* as xalloc.h does */
	}
	current.source = source;
	current.first_line = part->line;
	cfg_set_error_function(cfg, note_syntax_error);
	result = cfg_parse_fp(cfg, file);
	fclose(file);
	buf_release(&text);
	if (result == CFG_SUCCESS)
		return cfg;
	cfg_free(cfg);
	return NULL;
}

/* Copy the values of the settings from `first` on out of libconfuse's hands. */
static void
take_values(cfg_t *cfg, struct confparse_section *section, size_t first)
{
	for (size_t i = first; i < section->count; i++) {
		struct confparse_setting *setting = &section->settings[i];
		cfg_opt_t *option = cfg_getopt(cfg, setting->option->name);
		unsigned count = cfg_opt_size(option);

		if (setting->option->type == OPTION_SECRET)
			continue;
		setting->texts = xcalloc((size_t)count + 1, sizeof(*setting->texts));
		for (unsigned k = 0; k < count; k++)
			setting->texts[k] = xstrdup(cfg_opt_getnstr(option, k));
	}
}

static void
release_setting(struct confparse_setting *setting)
{
	value_free_words(setting->texts);
	secret_release(&setting->secret);
}

/* A value of `include`: a pattern, relative to the folder of the file that it stands in. */
static void
read_included(const struct source *source, const struct confparse_setting *setting)
{
	char *pattern = file_expand_home(setting->texts[0]), *full, quoted[QUOTE_SIZE];
	const char *slash = strrchr(source->path, '/');
	glob_t found = {0};
	int result;

	if (*pattern == '/' || slash == NULL)
		full = xstrdup(pattern);
	else
		full = xasprintf("%.*s/%s", (int)(slash - source->path), source->path, pattern);
	quote_bytes(quoted, setting->texts[0], strlen(setting->texts[0]));
	result = *pattern == '\0' ? GLOB_NOMATCH : glob(full, GLOB_ERR, NULL, &found);
	/*
	 * A folder may well be empty, but it is there; a name without wildcards is meant to be
	 * there.
	 */
	if (result == GLOB_NOMATCH && (*pattern == '\0' || strpbrk(pattern, "*?[") == NULL))
		conf_problems_add(source->problems, source->path, setting->line,
			"include: '%s' does not exist", quoted);
	else if (result != 0 && result != GLOB_NOMATCH)
		conf_problems_add(source->problems, source->path, setting->line,
			"include: cannot read the folder of '%s': %s", quoted, strerror(errno));
	for (size_t i = 0; result == 0 && i < found.gl_pathc; i++)
		read_source(
			found.gl_pathv[i], source, setting->line, source->out, source->problems);
	globfree(&found);
	free(full);
	free(pattern);
}

/* An assignment outside of all sections. */
static void
read_global(struct source *source, const struct confread_section *part)
{
	struct confparse_section *globals = &source->out->globals;
	struct confparse_setting include;
	size_t first = globals->count;
	cfg_t *cfg;

	if (part->key_count == 0 ||
		!prepare_key(source, &source->text.keys[part->first_key], OPTION_GLOBAL, globals))
		return;
	cfg = parse_part(source, part);
	if (cfg == NULL) {
		globals->count = first;
		return;
	}
	take_values(cfg, globals, first);
	cfg_free(cfg);
	if (globals->settings[first].option->type != OPTION_INCLUDE)
		return;
	include = globals->settings[--globals->count];
	read_included(source, &include);
	release_setting(&include);
}

/* All keys of a section, which is parsed then; NULL when libconfuse refused it. */
static cfg_t *
read_keys(struct source *source, const struct confread_section *part, enum option_scope scope,
	struct confparse_section *section)
{
	size_t first = section->count;
	cfg_t *cfg, *inner;

	for (size_t i = 0; i < part->key_count; i++)
		(void)prepare_key(source, &source->text.keys[part->first_key + i], scope, section);
	section->damaged |= part->damaged;
	cfg = parse_part(source, part);
	if (cfg == NULL) {
		for (size_t i = first; i < section->count; i++)
			release_setting(&section->settings[i]);
		section->count = first;
		section->damaged = true;
		return NULL;
	}
	inner = cfg_getnsec(cfg, scope == OPTION_ACCOUNT ? "account" : "defaults", 0);
	take_values(inner, section, first);
	return cfg;
}

static void
read_account(struct source *source, const struct confread_section *part)
{
	struct confparse *out = source->out;
	struct confparse_section section = {.file = source->path, .line = part->line};
	cfg_t *cfg = read_keys(source, part, OPTION_ACCOUNT, &section);

	if (cfg == NULL) {
		free(section.settings);
		return;
	}
	section.title = xstrdup(cfg_title(cfg_getnsec(cfg, "account", 0)));
	cfg_free(cfg);
	out->accounts =
		xreallocarray(out->accounts, out->account_count + 1, sizeof(*out->accounts));
	out->accounts[out->account_count++] = section;
}

static void
read_part(struct source *source, const struct confread_section *part)
{
	struct value_guess guess = {.word = part->name};
	char quoted[QUOTE_SIZE];
	cfg_t *cfg;

	if (part->name == NULL) {
		read_global(source, part);
	} else if (strcmp(part->name, "account") == 0) {
		read_account(source, part);
	} else if (strcmp(part->name, "defaults") == 0) {
		cfg = read_keys(source, part, OPTION_DEFAULTS, &source->out->defaults);
		if (cfg != NULL)
			cfg_free(cfg);
	} else {
		value_guess_try(&guess, "account");
		value_guess_try(&guess, "defaults");
		quote_bytes(quoted, part->name, strlen(part->name));
		conf_problems_add(source->problems, source->path, part->line,
			guess.best != NULL ? "unknown section '%s', did you mean '%s'?"
					   : "unknown section '%s'",
			quoted, guess.best);
	}
}

/* Whether `source` is being read already, further up the chain of includes. */
static bool
is_loop(const struct source *source)
{
	for (const struct source *s = source->parent; s != NULL; s = s->parent) {
		if (s->text.st.st_dev == source->text.st.st_dev &&
			s->text.st.st_ino == source->text.st.st_ino)
			return true;
	}
	return false;
}

/*
 * Whether `source`, which line `line` of `includer` names, may be read. Asked before it is taken
 * apart: what a file says twice would be said twice of its errors.
 */
static bool
may_include(struct source *source, const struct source *includer, unsigned line)
{
	if (source->depth > CONFPARSE_DEPTH_MAX) {
		conf_problems_add(source->problems, includer->path, line,
			"include: '%s' would be included more than %d files deep", source->path,
			CONFPARSE_DEPTH_MAX);
		return false;
	}
	if (stat(source->path, &source->text.st) == 0 && is_loop(source)) {
		conf_problems_add(source->problems, includer->path, line,
			"include: '%s' includes itself in the end", source->path);
		return false;
	}
	return true;
}

static void
read_source(const char *path, const struct source *includer, unsigned line, struct confparse *out,
	struct conf_problems *problems)
{
	struct source source = {.parent = includer,
		.depth = includer != NULL ? includer->depth + 1 : 0,
		.out = out,
		.problems = problems};

	out->files = xreallocarray(out->files, out->file_count + 1, sizeof(*out->files));
	source.path = out->files[out->file_count++] = xstrdup(path);
	if (includer != NULL && !may_include(&source, includer, line))
		return;
	if (confread_file(path, &source.text, problems) == 0) {
		if ((source.text.st.st_mode & S_IWOTH) != 0)
			conf_problems_add(problems, path, 0,
				"other users can write this file: chmod go-w it");
		for (size_t i = 0; i < source.text.section_count; i++)
			read_part(&source, &source.text.sections[i]);
	}
	confread_release(&source.text);
}

void
confparse_run(const char *path, struct confparse *out, struct conf_problems *problems)
{
	read_source(path, NULL, 0, out, problems);
}

static void
release_section(struct confparse_section *section)
{
	for (size_t i = 0; i < section->count; i++)
		release_setting(&section->settings[i]);
	free(section->settings);
	free(section->title);
}

void
confparse_release(struct confparse *parse)
{
	release_section(&parse->globals);
	release_section(&parse->defaults);
	for (size_t i = 0; i < parse->account_count; i++)
		release_section(&parse->accounts[i]);
	for (size_t i = 0; i < parse->file_count; i++)
		free(parse->files[i]);
	free(parse->accounts);
	free(parse->files);
	*parse = (struct confparse){0};
}
