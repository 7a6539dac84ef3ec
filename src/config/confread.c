#include "config/confread.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/quote.h"
#include "base/secret.h"
#include "base/xalloc.h"
#include "config/value.h"

/* What ends an unquoted word, as in libconfuse's lexer. */
#define WORD_ENDS " \t\r\n#\"'={}()+,*"

/* What may stand directly behind an unquoted value; anything else would be cut off in silence. */
#define VALUE_ENDS " \t\r\n},"

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_STRING, TOKEN_SIGN };

struct token {
	enum token_kind kind;
	char sign;   /* TOKEN_SIGN */
	bool broken; /* TOKEN_STRING without its closing quote */
	size_t start, end;
	unsigned line;
};

struct scanner {
	struct confread *file;
	struct conf_problems *problems;
	const char *path;
	const char *text;
	size_t len;
	size_t pos;
	unsigned line;
};

void
conf_problems_add(
	struct conf_problems *problems, const char *file, unsigned line, const char *format, ...)
{
	char text[ERROR_TEXT_MAX], *place;
	va_list ap;

	if (problems->count > CONF_PROBLEMS_MAX)
		return;
	problems->lines =
		xreallocarray(problems->lines, problems->count + 1, sizeof(*problems->lines));
	if (problems->count == CONF_PROBLEMS_MAX) {
		problems->lines[problems->count++] =
			xasprintf("%s: more errors are not shown", file);
		return;
	}
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	place = line == 0 ? xstrdup(file) : xasprintf("%s:%u", file, line);
	problems->lines[problems->count++] = xasprintf("%s: %s", place, text);
	free(place);
}

void
conf_problems_release(struct conf_problems *problems)
{
	for (size_t i = 0; i < problems->count; i++)
		free(problems->lines[i]);
	free(problems->lines);
	*problems = (struct conf_problems){0};
}

static bool
is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static bool
is_word(char c)
{
	return !is_one_of(c, WORD_ENDS);
}

void
confread_blank(struct confread *file, size_t start, size_t end)
{
	char *text = buf_data(&file->text);

	for (size_t i = start; i < end; i++) {
		if (text[i] != '\n')
			text[i] = ' ';
	}
}

/* Behind the string that opens at `pos`; on the newline when it is not closed on its line. */
static size_t
skip_string(const char *text, size_t len, size_t pos, bool *closed_out)
{
	char quote = text[pos++];

	*closed_out = false;
	while (pos < len && text[pos] != '\n') {
		if (text[pos] == quote) {
			*closed_out = true;
			return pos + 1;
		}
		pos += text[pos] == '\\' && pos + 1 < len ? 2 : 1;
	}
	return pos;
}

/* Behind the comment that begins at `pos`, or `pos` when none does. */
static size_t
skip_comment(struct scanner *s, size_t pos)
{
	const char *end;

	if (s->text[pos] == '/' && pos + 1 < s->len && s->text[pos + 1] == '*') {
		end = memmem(s->text + pos + 2, s->len - pos - 2, "*/", 2);
		if (end != NULL)
			return (size_t)(end - s->text) + 2;
		conf_problems_add(
			s->problems, s->path, s->line, "comment opened here is never closed");
		return s->len;
	}
	if (s->text[pos] != '#' &&
		!(s->text[pos] == '/' && pos + 1 < s->len && s->text[pos + 1] == '/'))
		return pos;
	end = memchr(s->text + pos, '\n', s->len - pos);
	return end != NULL ? (size_t)(end - s->text) : s->len;
}

/* libconfuse miscounts lines at comments and refuses them in lists: it never sees one. */
static void
blank_comments(struct scanner *s)
{
	bool closed, in_word = false;
	size_t next;

	s->line = 1;
	for (size_t i = 0; i < s->len; i = next) {
		next = i + 1;
		if (s->text[i] == '"' || s->text[i] == '\'') {
			next = skip_string(s->text, s->len, i, &closed);
		} else if (s->text[i] == '#' || (s->text[i] == '/' && !in_word)) {
			if (in_word)
				conf_problems_add(s->problems, s->path, s->line,
					"'#' directly behind a word: put the value in quotes, or "
					"a blank before the comment");
			next = skip_comment(s, i);
			if (next == i)
				next = i + 1;
			else
				confread_blank(s->file, i, next);
		}
		in_word = next == i + 1 && is_word(s->text[i]);
		for (size_t k = i; k < next; k++)
			s->line += s->text[k] == '\n';
	}
}

static struct token
next_token(struct scanner *s)
{
	struct token t = {.kind = TOKEN_END};
	bool closed = true;

	while (s->pos < s->len && is_one_of(s->text[s->pos], " \t\r\n")) {
		s->line += s->text[s->pos] == '\n';
		s->pos++;
	}
	t.start = t.end = s->pos;
	t.line = s->line;
	if (s->pos == s->len)
		return t;
	t.sign = s->text[s->pos];
	if (t.sign == '"' || t.sign == '\'') {
		t.kind = TOKEN_STRING;
		s->pos = skip_string(s->text, s->len, s->pos, &closed);
		t.broken = !closed;
	} else if (is_word(t.sign)) {
		t.kind = TOKEN_WORD;
		while (s->pos < s->len && is_word(s->text[s->pos]))
			s->pos++;
	} else {
		t.kind = TOKEN_SIGN;
		s->pos++;
	}
	t.end = s->pos;
	for (size_t i = t.start; i < t.end; i++)
		s->line += s->text[i] == '\n';
	return t;
}

static struct token
peek_token(struct scanner *s)
{
	struct scanner ahead = *s;

	return next_token(&ahead);
}

static bool
is_sign(const struct token *t, char sign)
{
	return t->kind == TOKEN_SIGN && t->sign == sign;
}

static const char *
quote_token(const struct scanner *s, const struct token *t, char out[static QUOTE_SIZE])
{
	return quote_bytes(out, s->text + t->start, t->end - t->start);
}

static bool
is_named(const struct scanner *s, const struct token *t, const char *name)
{
	return t->kind == TOKEN_WORD && t->end - t->start == strlen(name) &&
		memcmp(s->text + t->start, name, t->end - t->start) == 0;
}

/* Give up on the rest of the line, or up to the brace that closes the section. */
static void
skip_line(struct scanner *s, size_t from)
{
	while (s->pos < s->len && !is_one_of(s->text[s->pos], "\n}"))
		s->pos++;
	confread_blank(s->file, from, s->pos);
}

static struct confread_section *
add_section(struct scanner *s, const struct token *name, bool is_assignment)
{
	struct confread *file = s->file;
	struct confread_section *section;

	file->sections =
		xreallocarray(file->sections, file->section_count + 1, sizeof(*file->sections));
	section = &file->sections[file->section_count++];
	*section = (struct confread_section){
		.name = is_assignment ? NULL
				      : xmemdup0(s->text + name->start, name->end - name->start),
		.start = name->start,
		.end = name->end,
		.line = name->line,
		.closed = true,
		.first_key = file->key_count,
	};
	return section;
}

static void
add_key(struct scanner *s, struct confread_section *section, const struct token *name,
	const struct token *value)
{
	struct confread *file = s->file;

	file->keys = xreallocarray(file->keys, file->key_count + 1, sizeof(*file->keys));
	file->keys[file->key_count++] = (struct confread_key){
		.name = xmemdup0(s->text + name->start, name->end - name->start),
		.start = name->start,
		.end = s->pos,
		.value = value->start,
		.value_end = s->pos,
		.line = name->line,
	};
	section->key_count++;
}

/* To behind the '}' of a list that has been given up, if that is on this line. */
static void
skip_list(struct scanner *s)
{
	size_t pos = s->pos;

	while (pos < s->len && !is_one_of(s->text[pos], "}\n"))
		pos++;
	if (pos < s->len && s->text[pos] == '}')
		s->pos = pos + 1;
}

/* The rest of a list, behind its '{'. False when it was reported. */
static bool
scan_list(struct scanner *s, const struct token *name, const struct token *open)
{
	char quoted[QUOTE_SIZE], of[QUOTE_SIZE];
	bool want_value = true;
	struct token t;

	for (;;) {
		t = next_token(s);
		if (is_sign(&t, '}'))
			return true;
		if (t.kind == TOKEN_END) {
			conf_problems_add(s->problems, s->path, open->line,
				"list opened here is never closed");
			return false;
		}
		if (t.broken || is_sign(&t, ',') == want_value ||
			(t.kind == TOKEN_SIGN && t.sign != ',')) {
			conf_problems_add(s->problems, s->path, t.line,
				"unexpected %s in the list of '%s'", quote_token(s, &t, quoted),
				quote_token(s, name, of));
			skip_list(s);
			return false;
		}
		want_value = !want_value;
	}
}

/* The value behind '='. False when it was reported. */
static bool
scan_value(struct scanner *s, const struct token *name, const struct token *value)
{
	char quoted[QUOTE_SIZE];
	struct token behind;

	quote_token(s, name, quoted);
	if (is_sign(value, '{'))
		return scan_list(s, name, value);
	if (value->kind == TOKEN_END || value->kind == TOKEN_SIGN) {
		conf_problems_add(s->problems, s->path, name->line,
			value->kind == TOKEN_END || value->sign == '}'
				? "'%s' has no value"
				: "the value of '%s' needs quotes",
			quoted);
		return false;
	}
	if (value->broken) {
		conf_problems_add(s->problems, s->path, value->line,
			"string opened here is not closed on its line");
		return false;
	}
	behind = peek_token(s);
	if (value->kind == TOKEN_WORD && value->line != name->line && is_sign(&behind, '=')) {
		conf_problems_add(s->problems, s->path, name->line, "'%s' has no value", quoted);
		s->pos = value->start;
		s->line = value->line;
		return false;
	}
	if (s->pos < s->len && !is_one_of(s->text[s->pos], VALUE_ENDS)) {
		conf_problems_add(s->problems, s->path, value->line,
			value->kind == TOKEN_WORD ? "the value of '%s' needs quotes"
						  : "text behind the closing quote of '%s'",
			quoted);
		/* All of the clump: a brace in it must not be taken for the section's. */
		while (s->pos < s->len && !is_one_of(s->text[s->pos], " \t\r\n"))
			s->pos++;
		return false;
	}
	return true;
}

/* NAME = VALUE, with the name read. */
static void
scan_assignment(struct scanner *s, struct confread_section *section, const struct token *name)
{
	struct token value;
	size_t resume;

	(void)next_token(s); /* the '=', which the caller has seen */
	value = peek_token(s);
	if (!is_sign(&value, '}'))
		(void)next_token(s);
	if (scan_value(s, name, &value)) {
		add_key(s, section, name, &value);
		return;
	}
	section->damaged = true;
	resume = s->pos;
	if (value.line == name->line || s->pos != value.start)
		skip_line(s, name->start);
	else
		confread_blank(s->file, name->start, resume);
}

/* Something that is no assignment. */
static void
refuse(struct scanner *s, const struct token *t)
{
	char quoted[QUOTE_SIZE];

	quote_token(s, t, quoted);
	if (is_named(s, t, "account") || is_named(s, t, "defaults")) {
		conf_problems_add(s->problems, s->path, t->line,
			"section '%s' lacks its opening brace", quoted);
		skip_line(s, t->start);
		return;
	}
	if (t->kind != TOKEN_SIGN) {
		conf_problems_add(s->problems, s->path, t->line,
			t->broken ? "string opened here is not closed on its line"
				: t->kind == TOKEN_WORD ? "'%s' is not followed by '='"
							: "unexpected %s",
			quoted);
		skip_line(s, t->start);
		return;
	}
	conf_problems_add(s->problems, s->path, t->line,
		t->sign == '}' ? "'%s' closes nothing" : "unexpected '%s'", quoted);
	confread_blank(s->file, t->start, t->end);
}

/* Whether the word `t`, just read, begins a section: NAME {, NAME TITLE {. */
static bool
begins_section(const struct scanner *s, const struct token *t)
{
	struct scanner ahead = *s;
	struct token next = next_token(&ahead);

	if (t->kind != TOKEN_WORD)
		return false;
	if (next.kind == TOKEN_STRING || next.kind == TOKEN_WORD)
		next = next_token(&ahead);
	return is_sign(&next, '{');
}

/* A section from its title on. */
static void
scan_section(struct scanner *s, const struct token *name)
{
	struct confread_section *section = add_section(s, name, false);
	struct token t, next;

	do {
		t = next_token(s);
	} while (!is_sign(&t, '{'));
	for (;;) {
		t = peek_token(s);
		if (is_sign(&t, '}'))
			break;
		section->closed = t.kind != TOKEN_END;
		if (!section->closed) {
			conf_problems_add(s->problems, s->path, name->line,
				"section opened here is never closed");
			break;
		}
		(void)next_token(s);
		next = peek_token(s);
		if (t.kind == TOKEN_WORD && is_sign(&next, '=')) {
			scan_assignment(s, section, &t);
		} else if ((is_named(s, &t, "account") || is_named(s, &t, "defaults")) &&
			begins_section(s, &t)) {
			conf_problems_add(s->problems, s->path, name->line,
				"section opened here is not closed before the next, in line %u",
				t.line);
			s->pos = t.start;
			s->line = t.line;
			section->closed = false;
			break;
		} else {
			section->damaged = true;
			refuse(s, &t);
		}
	}
	/* What else it lacks may stand where its end should have been. */
	section->damaged |= !section->closed;
	if (section->closed)
		(void)next_token(s);
	section->end = s->pos;
}

static void
scan_statements(struct scanner *s)
{
	struct confread_section *section;
	struct token t, next;

	s->pos = 0;
	s->line = 1;
	for (;;) {
		t = next_token(s);
		if (t.kind == TOKEN_END)
			return;
		next = peek_token(s);
		if (t.kind == TOKEN_WORD && is_sign(&next, '=')) {
			section = add_section(s, &t, true);
			scan_assignment(s, section, &t);
			section->end = s->pos;
		} else if (begins_section(s, &t)) {
			scan_section(s, &t);
		} else {
			refuse(s, &t);
		}
	}
}

static int
scan(const char *path, struct confread *file, struct conf_problems *problems)
{
	static const char BOM[] = "\xef\xbb\xbf";
	char *text = buf_data(&file->text), *nul;
	struct scanner s = {.file = file,
		.problems = problems,
		.path = path,
		.text = text,
		.len = file->text.len};

	nul = memchr(text, '\0', s.len);
	if (nul != NULL) {
		s.line = 1;
		for (char *p = text; p < nul; p++)
			s.line += *p == '\n';
		conf_problems_add(problems, path, s.line, "NUL octet: this is no text file");
		return -1;
	}
	if (s.len >= 3 && memcmp(text, BOM, 3) == 0)
		confread_blank(file, 0, 3);
	blank_comments(&s);
	scan_statements(&s);
	return 0;
}

int
confread_memory(const char *path, const void *data, size_t len, struct confread *out,
	struct conf_problems *problems)
{
	buf_append(&out->text, data, len);
	return scan(path, out, problems);
}

int
confread_file(const char *path, struct confread *out, struct conf_problems *problems)
{
	struct error err;
	size_t hint = 0;

	/* Enough room at once: a buffer that grows would leave passwords behind on the heap. */
	if (stat(path, &out->st) == 0 && S_ISREG(out->st.st_mode) && out->st.st_size > 0 &&
		(uint64_t)out->st.st_size <= CONFREAD_SIZE_MAX)
		hint = (size_t)out->st.st_size;
	(void)buf_reserve(&out->text, hint + (size_t)256 * 1024);
	if (file_read_whole(path, CONFREAD_SIZE_MAX, &out->text, &out->st, &err) != 0) {
		conf_problems_add(problems, path, 0, "%s", err.text);
		return -1;
	}
	return scan(path, out, problems);
}

int
confread_decode(const struct confread *file, const struct confread_key *key, struct buf *out,
	struct error *err)
{
	const char *text = buf_data(&file->text);
	size_t pos = key->value, end;
	bool closed;

	for (; pos < key->value_end; pos = end) {
		end = pos + 1;
		if (text[pos] == '"' || text[pos] == '\'')
			end = skip_string(text, key->value_end, pos, &closed);
		if (value_decode_string(text + pos, end - pos, out, err) != 0)
			return -1;
	}
	return 0;
}

void
confread_release(struct confread *file)
{
	for (size_t i = 0; i < file->section_count; i++)
		free(file->sections[i].name);
	for (size_t i = 0; i < file->key_count; i++)
		free(file->keys[i].name);
	free(file->sections);
	free(file->keys);
	if (file->text.base != NULL)
		secret_wipe(file->text.base, file->text.size);
	buf_release(&file->text);
	*file = (struct confread){0};
}
