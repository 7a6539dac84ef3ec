#include "config/confread.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

struct scan_case {
	const char *text;
	const char *problem; /* all of them, joined by '|'; "" for none */
	const char *keys;    /* SECTION.NAME@LINE=VALUE, joined by blanks; '.' alone at the top */
};

/* clang-format off */
static const struct scan_case SCANS[] = {
	{"", "", ""},
	{"# only a comment", "", ""},
	{"\xef\xbb\xbfjobs = 3\n", "", ".jobs@1=3"},
	{"jobs=3", "", ".jobs@1=3"},
	{"# a\n// b\n/* c\n d */ jobs = 3 # e\n", "", ".jobs@4=3"},
	{"a {\r\n k = v\r\n}\r\n", "", "a.k@2=v"},
	{"a \"t\" { k = \"#no\" # yes\n l = '/*' }", "", "a.k@1=\"#no\" a.l@2='/*'"},
	{"a \"t\" { k = {x, # one\n \"y\"} l = 1 }", "", "a.k@1={x,      \n \"y\"} a.l@2=1"},
	{"k = maildir:/a//b\n", "", ".k@1=maildir:/a//b"},
	{"k = \"a\\\nb\"\nl = 1", "", ".k@1=\"a\\\nb\" .l@3=1"},
	{"k = \"a\\\"#b\"", "", ".k@1=\"a\\\"#b\""},
	/* Each of these was once swallowed in silence, or sent the reader to a wrong line. */
	{"a {\n k = 1\n", "f:1: section opened here is never closed", "a.k@2=1"},
	{"account \"x\" {\n k = 1\naccount \"y\" {\n k = 2\n}\n",
		"f:1: section opened here is not closed before the next, in line 3", "account.k@2=1 account.k@4=2"},
	{"k = \"abc\nl = 2\n", "f:1: string opened here is not closed on its line", ".l@2=2"},
	{"a {\n k = 'abc\n l = 2\n}\n", "f:2: string opened here is not closed on its line",
		"a.l@3=2"},
	{"k = \"abc", "f:1: string opened here is not closed on its line", ""},
	{"k = \"abc\\", "f:1: string opened here is not closed on its line", ""},
	{"j = 1\n/* no\nend", "f:2: comment opened here is never closed", ".j@1=1"},
	{"k = {a,\nb", "f:1: list opened here is never closed", ""},
	{"k = {a b}\nl = 1", "f:1: unexpected b in the list of 'k'", ".l@2=1"},
	{"}\nk = 1", "f:1: '}' closes nothing", ".k@2=1"},
	{"k = ab#cd\nl = 1",
		"f:1: '#' directly behind a word: put the value in quotes, or a blank before the "
		"comment", ".k@1=ab .l@2=1"},
	{"k = a=b\nl = 1", "f:1: the value of 'k' needs quotes", ".l@2=1"},
	{"k = conf.d/*.conf\nl = 1", "f:1: the value of 'k' needs quotes", ".l@2=1"},
	{"a {\nk = ${X}\nl = 1\n}", "f:2: the value of 'k' needs quotes", "a.l@3=1"},
	{"k = x'y'", "f:1: the value of 'k' needs quotes", ""},
	{"k = \"a\"b", "f:1: text behind the closing quote of 'k'", ""},
	{"k = \"a\";\nl = 1", "f:1: text behind the closing quote of 'k'", ".l@2=1"},
	{"k =\nl = 1\n", "f:1: 'k' has no value", ".l@2=1"},
	{"a { k = }\nl = 1\n", "f:1: 'k' has no value", ".l@2=1"},
	{"k =", "f:1: 'k' has no value", ""},
	{"host pop.example.org\nl = 1", "f:1: 'host' is not followed by '='", ".l@2=1"},
	{"account \"x\"\nl = 1", "f:1: section 'account' lacks its opening brace", ".l@2=1"},
	{"a { k = 1, l = 2 }", "f:1: unexpected ','", "a.k@1=1 a.l@1=2"},
	{"a { k += 1\n l = 2 }", "f:1: 'k' is not followed by '='", "a.l@2=2"},
	{"a {\n k = \"x\n}\nb {\n m n\n p = 1\n",
		"f:2: string opened here is not closed on its line|f:5: 'm' is not followed by '='|"
		"f:4: section opened here is never closed", "b.p@6=1"},
};
/* clang-format on */

/* The keys in the notation of the table. */
static char *
describe(const struct confread *file)
{
	struct buf out = {0};

	for (size_t s = 0; s < file->section_count; s++) {
		const struct confread_section *section = &file->sections[s];

		for (size_t k = 0; k < section->key_count; k++) {
			const struct confread_key *key = &file->keys[section->first_key + k];

			if (out.len != 0)
				buf_append(&out, " ", 1);
			buf_printf(&out, "%s.%s@%u=%.*s",
				section->name != NULL ? section->name : "", key->name, key->line,
				(int)(key->value_end - key->value),
				buf_data(&file->text) + key->value);
		}
	}
	return buf_take_string(&out);
}

static char *
join(const struct conf_problems *problems)
{
	struct buf out = {0};

	for (size_t i = 0; i < problems->count; i++)
		buf_printf(&out, "%s%s", i == 0 ? "" : "|", problems->lines[i]);
	return buf_take_string(&out);
}

static void
test_scan(void)
{
	for (size_t i = 0; i < sizeof(SCANS) / sizeof(SCANS[0]); i++) {
		struct confread file = {0};
		struct conf_problems problems = {0};
		char *keys, *found;
		bool same;

		CHECK(confread_memory(
			      "f", SCANS[i].text, strlen(SCANS[i].text), &file, &problems) == 0);
		keys = describe(&file);
		found = join(&problems);
		same = CHECK_STR(found, SCANS[i].problem);
		same = CHECK_STR(keys, SCANS[i].keys) && same;
		if (!same)
			fprintf(stderr, "\tin case %zu: %s\n", i, SCANS[i].text);
		free(keys);
		free(found);
		conf_problems_release(&problems);
		confread_release(&file);
	}
}

/*
 * Whatever is cut off or replaced: it ends, keeps the line count and the length, and stays in
 * bounds.
 */
static void
test_every_cut(void)
{
	static const char TEXT[] = "jobs = 3 # c\naccount \"x\" { /* c */ a = {b, \"c\"}\n"
				   " d = 'e' f = \"g\\\"${H}\"\n}\ndefaults { i = j }\n";
	static const char SIGNS[] = "\"'{}=#/*,\n\\x ";

	for (size_t cut = 0; cut < sizeof(TEXT) * (sizeof(SIGNS) + 1); cut++) {
		size_t place = cut % sizeof(TEXT), sign = cut / sizeof(TEXT), len = strlen(TEXT);
		struct confread file = {0};
		struct conf_problems problems = {0};
		char text[sizeof(TEXT)];

		memcpy(text, TEXT, sizeof(TEXT));
		if (sign == 0)
			len = place;
		else if (sign < sizeof(SIGNS) && place < len)
			text[place] = SIGNS[sign - 1];
		CHECK(confread_memory("f", text, len, &file, &problems) == 0);
		CHECK(file.text.len == len);
		for (size_t k = 0; k < len; k++)
			CHECK((buf_data(&file.text)[k] == '\n') == (text[k] == '\n'));
		for (size_t k = 0; k < file.key_count; k++)
			CHECK(file.keys[k].value < file.keys[k].value_end &&
				file.keys[k].value_end <= len);
		conf_problems_release(&problems);
		confread_release(&file);
	}
}

struct decode_case {
	const char *text;
	const char *value; /* NULL: refused */
	const char *error;
};

/* clang-format off */
static const struct decode_case DECODES[] = {
	{"k = plain", "plain", NULL},
	{"k = 'it''s'", NULL, NULL},
	{"k = 'a\\'b\\\\c\\d${E}'", "a'b\\c\\d${E}", NULL},
	{"k = \"a\\tb\\x41\\101\\q\\e\"", "a\tbAAq\033", NULL},
	{"k = \"a\\\nb\"", "ab", NULL},
	{"k = 'a\\\nb'", "ab", NULL},
	{"k = \"<${CONF_TEST}>\"", "<va\"l}>", NULL},
	{"k = \"${CONF_NONE:-dd}\"", "dd", NULL},
	{"k = \"\\${CONF_NONE}\"", "${CONF_NONE}", NULL},
	{"k = \"$CONF_NONE\"", "$CONF_NONE", NULL},
	{"k = \"${CONF_NONE}\"", NULL, "variable 'CONF_NONE' is not set"},
	{"k = \"a\\0b\"", NULL, "NUL in a string"},
	{"k = \"a\\x00b\"", NULL, "NUL in a string"},
	{"k = \"a${b\"", NULL, "'${' is never closed"},
	{"k = \"\"", "", NULL},
};
/* clang-format on */

static void
test_decode(void)
{
	setenv("CONF_TEST", "va\"l}", 1);
	unsetenv("CONF_NONE");
	for (size_t i = 0; i < sizeof(DECODES) / sizeof(DECODES[0]); i++) {
		const struct decode_case *c = &DECODES[i];
		struct confread file = {0};
		struct conf_problems problems = {0};
		struct error err = {.text = ""};
		struct buf out = {0};
		int result;

		CHECK(confread_memory("f", c->text, strlen(c->text), &file, &problems) == 0);
		if (c->value == NULL && c->error == NULL) {
			/* 'it''s' is no single string: refused before it is decoded. */
			CHECK(problems.count == 1 && file.key_count == 0);
		} else if (CHECK(file.key_count == 1)) {
			result = confread_decode(&file, &file.keys[0], &out, &err);
			CHECK(result == (c->value != NULL ? 0 : -1));
			if (c->value != NULL)
				CHECK_BYTES(buf_data(&out), out.len, c->value, strlen(c->value));
			else
				CHECK_STR(err.text, c->error);
		}
		buf_release(&out);
		conf_problems_release(&problems);
		confread_release(&file);
	}
}

static void
check_file(const char *path, const char *problem)
{
	struct confread file = {0};
	struct conf_problems problems = {0};
	char *found;

	CHECK(confread_file(path, &file, &problems) == -1);
	found = join(&problems);
	CHECK(strstr(found, problem) != NULL);
	free(found);
	conf_problems_release(&problems);
	confread_release(&file);
}

static void
test_files(void)
{
	char path[] = "/tmp/confread-test.XXXXXX";
	int fd = mkstemp(path);
	struct confread file = {0};
	struct conf_problems problems = {0};

	CHECK(fd >= 0 && write(fd, "a = 1\nb\0c = 2\n", 14) == 14);
	check_file(path, ":2: NUL octet: this is no text file");
	CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, "a = 1\n", 6, 0) == 6);
	CHECK(confread_file(path, &file, &problems) == 0 && file.key_count == 1);
	CHECK((file.st.st_mode & 0777) == 0600);
	confread_release(&file);
	CHECK(ftruncate(fd, (off_t)CONFREAD_SIZE_MAX + 1) == 0);
	check_file(path, "is bigger than 16777216 octets");
	close(fd);
	unlink(path);
	check_file(path, "No such file or directory");
	check_file("/tmp", "'/tmp' is a folder, not a file");
	check_file("/dev/null", "is not a regular file");
	CHECK(problems.count == 0);
}

static void
test_problem_limit(void)
{
	struct conf_problems problems = {0};

	for (unsigned i = 0; i < 2 * CONF_PROBLEMS_MAX; i++)
		conf_problems_add(&problems, "f", i, "x");
	CHECK(problems.count == CONF_PROBLEMS_MAX + 1);
	CHECK_STR(problems.lines[0], "f: x");
	CHECK_STR(problems.lines[1], "f:1: x");
	CHECK_STR(problems.lines[CONF_PROBLEMS_MAX], "f: more errors are not shown");
	conf_problems_release(&problems);
}

int
main(void)
{
	test_scan();
	test_every_cut();
	test_decode();
	test_files();
	test_problem_limit();
	return check_done();
}
