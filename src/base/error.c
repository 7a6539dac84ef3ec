#include "base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

/* Some messages could not be fetched or delivered; sysexits.h has no such status. */
#define EX_SOME_FAILED 1

static const struct {
	const char *name;
	int exit_status;
} classes[ERROR_CLASS_COUNT] = {
	[ERROR_USAGE] = {"usage",         EX_USAGE      },
	[ERROR_CONFIG] = {"config",        EX_CONFIG     },
	[ERROR_NET] = {"net",           EX_UNAVAILABLE},
	[ERROR_TIMEOUT] = {"timeout",       EX_UNAVAILABLE},
	[ERROR_TLS] = {"tls",           EX_PROTOCOL   },
	[ERROR_PROTOCOL] = {"protocol",      EX_PROTOCOL   },
	[ERROR_AUTH] = {"auth",          EX_NOPERM     },
	[ERROR_SERVER_TEMP] = {"server-temp",   EX_TEMPFAIL   },
	[ERROR_SERVER_PERM] = {"server-perm",   EX_UNAVAILABLE},
	[ERROR_BUSY] = {"busy",          EX_TEMPFAIL   },
	[ERROR_DELIVERY_TEMP] = {"delivery-temp", EX_SOME_FAILED},
	[ERROR_DELIVERY_PERM] = {"delivery-perm", EX_SOME_FAILED},
	[ERROR_CREATE] = {"create",        EX_CANTCREAT  },
	[ERROR_WRITE] = {"write",         EX_IOERR      },
	[ERROR_SYSTEM] = {"system",        EX_OSERR      },
	[ERROR_INTERRUPTED] = {"interrupted",   EX_TEMPFAIL   },
	[ERROR_BUG] = {"bug",           EX_SOFTWARE   },
};

/* Gravest first: what needs a programmer, then an administrator, then the user, then patience. */
static const int gravity[] = {
	EX_SOFTWARE,
	EX_OSERR,
	EX_CONFIG,
	EX_USAGE,
	EX_CANTCREAT,
	EX_IOERR,
	EX_NOPERM,
	EX_PROTOCOL,
	EX_UNAVAILABLE,
	EX_SOME_FAILED,
	EX_TEMPFAIL,
	EX_OK,
};

int
error_set(struct error *err, enum error_class class, const char *format, ...)
{
	va_list args;

	err->class = class;
	va_start(args, format);
	vsnprintf(err->text, sizeof err->text, format, args);
	va_end(args);
	return -1;
}

int
error_set_errno(struct error *err, enum error_class class, const char *format, ...)
{
	int saved = errno;
	va_list args;
	size_t len;

	err->class = class;
	va_start(args, format);
	vsnprintf(err->text, sizeof err->text, format, args);
	va_end(args);
	len = strlen(err->text);
	snprintf(err->text + len, sizeof err->text - len, ": %s", strerror(saved));
	return -1;
}

int
error_prefix(struct error *err, const char *format, ...)
{
	char old[ERROR_TEXT_MAX];
	va_list args;
	size_t len;

	memcpy(old, err->text, sizeof old);
	va_start(args, format);
	vsnprintf(err->text, sizeof err->text, format, args);
	va_end(args);
	len = strlen(err->text);
	snprintf(err->text + len, sizeof err->text - len, ": %s", old);
	return -1;
}

int error_exit_status(enum error_class class)
{
	assert(class < ERROR_CLASS_COUNT);
	return classes[class].exit_status;
}

const char *error_class_name(enum error_class class)
{
	assert(class < ERROR_CLASS_COUNT);
	return classes[class].name;
}

int
error_graver_status(int a, int b)
{
	for (size_t i = 0; i < sizeof gravity / sizeof *gravity; i++) {
		if (a == gravity[i] || b == gravity[i])
			return gravity[i];
	}
	return a;
}
