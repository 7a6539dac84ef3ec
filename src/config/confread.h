/*
 * Reads one configuration file and takes it apart far enough that every error
 * can be told with its line: comments are blanked in place, the sections and the
 * assignments in them are noted with their lines and extents, and what is not
 * even an assignment is reported and blanked. What a value means is not this
 * module's business (confparse.h, option.h).
 *
 * The grammar is libconfuse's, with three differences that save a user an
 * evening: comments may stand anywhere, a quoted string ends on the line it
 * began on (unless a backslash continues it), and what libconfuse would cut off
 * in silence (`password = ab#cd`) is an error.
 *
 *	struct confread file = {0};
 *	if (confread_file(path, &file, &problems) == 0)
 *		… file.sections, file.keys …
 *	confread_release(&file);
 *
 * The text may hold passwords: confread_release() wipes it.
 */
#ifndef POPHAUL_CONFIG_CONFREAD_H
#define POPHAUL_CONFIG_CONFREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/error.h"

/* A configuration of 100,000 accounts has 16 MiB; more is a mistake, such as a mailbox. */
#define CONFREAD_SIZE_MAX ((size_t)16 * 1024 * 1024)

/* What is wrong with a configuration, "FILE:LINE: text" each, in the order found. Zeroed: none. */
struct conf_problems {
	char **lines;
	size_t count;
};

/* More than this many are not collected: the first hundred keep anybody busy. */
#define CONF_PROBLEMS_MAX 100

/* Note one. `line` 0 is for the file as a whole: "FILE: text". */
void conf_problems_add(struct conf_problems *problems, const char *file, unsigned line,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

void conf_problems_release(struct conf_problems *problems);

/* One assignment, NAME = VALUE; offsets are into the text. */
struct confread_key {
	char *name;
	size_t start, end;       /* the whole of it */
	size_t value, value_end; /* the value with its quotes or braces */
	unsigned line;
};

/*
 * A section with its keys; an assignment outside of all sections is one with name NULL and one key.
 */
struct confread_section {
	char *name;
	size_t start, end; /* from its name to behind its closing brace */
	unsigned line;
	bool closed;  /* false: the closing brace is missing, which was reported */
	bool damaged; /* something in it was reported and blanked: what it lacks may be that */
	size_t first_key, key_count;
};

struct confread {
	struct buf text; /* comments and refused parts blanked, newlines kept */
	struct stat st;  /* confread_file() only */
	struct confread_section *sections;
	size_t section_count;
	struct confread_key *keys;
	size_t key_count;
};

/*
 * Read and take apart a regular file. 0, also when problems were noted; -1 when
 * there is nothing to go on with: the file is missing, no regular file, too big,
 * not readable or has a NUL (all noted as problems, too).
 */
int confread_file(const char *path, struct confread *out, struct conf_problems *problems)
	__attribute__((warn_unused_result));

/* As confread_file() for `len` octets in memory, which are copied; `path` is for the messages. */
int confread_memory(const char *path, const void *data, size_t len, struct confread *out,
	struct conf_problems *problems) __attribute__((warn_unused_result));

/* Blank the octets from `start` to `end`; newlines stay. */
void confread_blank(struct confread *file, size_t start, size_t end);

/*
 * The value of an assignment whose value is one word or string, as libconfuse
 * would give it, appended to `out`. ERROR_CONFIG: a variable that is not set, a
 * NUL. A list is only checked for these.
 */
int confread_decode(const struct confread *file, const struct confread_key *key, struct buf *out,
	struct error *err) __attribute__((warn_unused_result));

void confread_release(struct confread *file);

#endif
