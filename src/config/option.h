/*
 * The one table of configuration keys: name, type, range, default, where it may
 * stand, help. It drives what libconfuse accepts, how a text becomes a field of
 * struct account or struct config, and the guess at misspelt names.
 */
#ifndef POPHAUL_CONFIG_OPTION_H
#define POPHAUL_CONFIG_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "config/account.h"

enum option_type {
	OPTION_HOST,     /* char *: DNS name or address */
	OPTION_TEXT,     /* char *: without control characters */
	OPTION_SECRET,   /* struct secret: anything without CR, LF, NUL */
	OPTION_PATH,     /* char *: absolute, ~ expands */
	OPTION_FILE,     /* char *: a name without a folder */
	OPTION_COMMAND,  /* char **: words */
	OPTION_LOCATION, /* char *: as a path, or the URL of a PKCS#11 token */
	OPTION_NAMES,    /* char **: some of .words, or "auto" */
	OPTION_PINS,     /* char **: digests of public keys */
	OPTION_USER,     /* struct account_user: one that pophaul can be */
	OPTION_DEST,     /* struct account_dest */
	OPTION_KEEP,     /* struct account_keep */
	OPTION_CHOICE,   /* an enum whose values are the places in .words */
	OPTION_FLAG,     /* bool */
	OPTION_PORT,     /* uint16_t */
	OPTION_NUMBER,   /* uint32_t */
	OPTION_SIZE,     /* uint64_t: octets */
	OPTION_TIME,     /* int64_t: milliseconds, range in seconds */
	OPTION_INCLUDE   /* no field: files to be read */
};

/* Where a key may stand. */
enum option_scope { OPTION_GLOBAL = 1, OPTION_DEFAULTS = 2, OPTION_ACCOUNT = 4 };

struct option_entry {
	const char *name;
	enum option_type type;
	unsigned scopes;
	size_t field; /* offset in struct config (OPTION_GLOBAL) or struct account */
	uint64_t min, max;
	const char *const *words; /* NULL-ended */
	const char *preset;       /* the default as a text; NULL: none */
	const char *help;
};

/* The entry at `index`; NULL behind the last. */
const struct option_entry *option_at(size_t index);

/* The entry of that name; NULL. */
const struct option_entry *option_find(const char *name);

/*
 * Turn `count` (at least 1) texts into the entry's field of `base`, a struct
 * account or struct config; an old value is released. Only option_takes_list() ones take more than
 * one text.
 * ERROR_CONFIG with a text that begins with the entry's name.
 */
int option_set(const struct option_entry *entry, void *base, char *const *texts, size_t count,
	struct error *err) __attribute__((warn_unused_result));

/* option_set() for one text and an entry by name, which must exist. */
int option_set_text(const char *name, void *base, const char *text, struct error *err)
	__attribute__((warn_unused_result));

/* Whether its value may be a list. */
bool option_takes_list(const struct option_entry *entry);

/* Every entry of `scope` with a default gets it. */
void option_set_presets(void *base, enum option_scope scope);

/* The port that goes with a kind of TLS: 995 or 110. */
uint16_t option_default_port(enum account_tls tls);

#endif
