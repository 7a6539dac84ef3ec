/*
 * From files to settings: reads a configuration with everything that it
 * includes, lets libconfuse parse it section by section, and gives what was
 * written, each value with its place. Which values make sense together is
 * conf.h's business.
 *
 * An error spoils only its own assignment or section, so that all of them are
 * found in one run. Passwords never pass through libconfuse, whose buffers
 * cannot be wiped; they are decoded here and live in a struct secret.
 *
 * Not re-entrant: libconfuse keeps its state in globals.
 */
#ifndef POPHAUL_CONFIG_CONFPARSE_H
#define POPHAUL_CONFIG_CONFPARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/secret.h"
#include "config/confread.h"
#include "config/option.h"

struct confparse_setting {
	const struct option_entry *option;
	const char *file; /* borrowed from the confparse */
	unsigned line;
	char **texts; /* NULL-ended; NULL for a secret */
	struct secret secret;
};

/* What an account or all `defaults` or all of the top level say. */
struct confparse_section {
	char *title; /* accounts only */
	const char *file;
	unsigned line;
	bool damaged; /* something in it was refused: what it lacks may be that */
	struct confparse_setting *settings;
	size_t count;
};

struct confparse {
	struct confparse_section globals;
	struct confparse_section defaults;
	struct confparse_section *accounts;
	size_t account_count;
	char **files; /* the names of all files read */
	size_t file_count;
};

/* Files may include files, so deep. */
#define CONFPARSE_DEPTH_MAX 8

/* Read `path` and what it includes; what is wrong goes to `problems`. `out` is zeroed before. */
void confparse_run(const char *path, struct confparse *out, struct conf_problems *problems);

/* The setting of that option in a section; NULL. */
const struct confparse_setting *confparse_find(
	const struct confparse_section *section, const char *option);

void confparse_release(struct confparse *parse);

#endif
