/*
 * The log of one process: whole lines to standard error, one write(2) a line, so
 * that the lines of several workers never mix. Only the stories (main, poller,
 * fetcher, deliverer) log; modules below them return errors.
 *
 * log_init() once in the poller before it forks; a worker calls
 * log_set_account(). Text of strangers goes through quote.h before it comes
 * here. Everything else may be called at any time.
 */
#ifndef POPHAUL_BASE_LOG_H
#define POPHAUL_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level {
	LOG_LEVEL_ERROR,   /* the user must know: printed always */
	LOG_LEVEL_WARN,    /* something went wrong; printed unless -q */
	LOG_LEVEL_INFO,    /* results; on a terminal, or with -v */
	LOG_LEVEL_VERBOSE, /* decisions: -v */
	LOG_LEVEL_WIRE     /* the dialogue, secrets masked: -vv */
};

enum log_format {
	LOG_FORMAT_TEXT, /* pophaul: ACCOUNT: text */
	LOG_FORMAT_JSON  /* one object a line: time, level, account, process, text */
};

struct log_settings {
	enum log_level level;
	enum log_format format;
	bool shares_terminal; /* a progress line is on it: clear that before each line */
};

void log_init(const struct log_settings *settings);

/* The account named in every later line of this process; borrowed, NULL for none. */
void log_set_account(const char *name);

/* What this process is, for JSON: "poller", "deliverer" or "fetcher"; borrowed. */
void log_set_process(const char *name);

/* Whether lines of `level` are printed: spares the making of text that nobody sees. */
bool log_is_on(enum log_level level);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)    log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_verbose(...) log_line(LOG_LEVEL_VERBOSE, __VA_ARGS__)
#define log_wire(...)    log_line(LOG_LEVEL_WIRE, __VA_ARGS__)

#endif
