/*
 * The error carrier: what went wrong, as a class (what happens next) and a
 * sentence (what a person reads).
 *
 * Calling sequence: the caller owns a `struct error` on its stack and passes
 * its address; a function that fails fills it and returns -1, a function that
 * succeeds leaves it alone. There is nothing to initialise and to release.
 *
 *	struct error err;
 *	if (file_sync_dir(path, &err) != 0)
 *		return error_prefix(&err, "maildir '%s'", path);
 *
 * Text: lower case, no full stop, what failed first, the subject quoted, the
 * reason behind a colon. Text from a server goes through quote.h first.
 */
#ifndef POPHAUL_BASE_ERROR_H
#define POPHAUL_BASE_ERROR_H

#include <stdbool.h>

#define ERROR_TEXT_MAX 512

/* Each class says what the caller does next; error.c's one table maps it to an exit status. */
enum error_class {
	ERROR_USAGE,         /* the command line is wrong */
	ERROR_CONFIG,        /* the configuration is wrong; nothing is polled */
	ERROR_NET,           /* the server cannot be reached, or the connection broke */
	ERROR_TIMEOUT,       /* the server did not answer in time */
	ERROR_TLS,           /* no trustworthy TLS with this server */
	ERROR_PROTOCOL,      /* the server broke the protocol */
	ERROR_AUTH,          /* the server refused the login */
	ERROR_SERVER_TEMP,   /* the server asks to come back later: IN-USE, LOGIN-DELAY, SYS/TEMP */
	ERROR_SERVER_PERM,   /* the server's administrator must act: SYS/PERM */
	ERROR_BUSY,          /* another pophaul works on this account, or it is too soon */
	ERROR_DELIVERY_TEMP, /* one message cannot be delivered now */
	ERROR_DELIVERY_PERM, /* one message is refused by its destination */
	ERROR_CREATE,        /* a file or folder cannot be created */
	ERROR_WRITE,         /* a file cannot be read or written */
	ERROR_SYSTEM,        /* the operating system refused something ordinary */
	ERROR_INTERRUPTED,   /* a signal asked us to stop */
	ERROR_BUG,           /* pophaul itself is wrong */
	ERROR_CLASS_COUNT
};

struct error {
	enum error_class class;
	char text[ERROR_TEXT_MAX];
};

/*
 * Fill `err`. Text beyond ERROR_TEXT_MAX - 1 octets is cut. Returns -1, for `return error_set(…)`.
 */
int error_set(struct error *err, enum error_class class, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* As error_set(), and appends ": " and the text of the present errno. */
int error_set_errno(struct error *err, enum error_class class, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Put "PREFIX: " before the text of a filled `err`. Returns -1. */
int error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The exit status (sysexits.h) of a class. */
int error_exit_status(enum error_class class);

/* The class as a word for logs that programs read, for instance "tls". Borrowed, static. */
const char *error_class_name(enum error_class class);

/* The graver of two exit statuses; the order is in pophaul(1), EXIT STATUS. */
int error_graver_status(int a, int b);

#endif
