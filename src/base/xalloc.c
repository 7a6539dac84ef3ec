#include "base/xalloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

static _Noreturn void
out_of_memory(void)
{
	static const char text[] = "pophaul: out of memory\n";

	/* Whether it can be told or not, this is the end. */
	(void)!write(STDERR_FILENO, text, sizeof text - 1);
	_exit(EX_OSERR);
}

void *
xcalloc(size_t count, size_t size)
{
	void *p = calloc(count != 0 ? count : 1, size != 0 ? size : 1);

	if (p == NULL)
		out_of_memory();
	return p;
}

void *
xreallocarray(void *old, size_t count, size_t size)
{
	void *p = reallocarray(old, count != 0 ? count : 1, size != 0 ? size : 1);

	if (p == NULL)
		out_of_memory();
	return p;
}

void *
xpages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		out_of_memory();
	/*
	 * A kernel that cannot do this gives a child more memory than it needs, and no more than
	 * that.
	 */
	(void)madvise(p, size, MADV_DONTFORK);
	return p;
}

void
xpages_free(void *pages, size_t size)
{
	if (pages != NULL)
		(void)munmap(pages, size);
}

char *
xstrdup(const char *text)
{
	return text != NULL ? xmemdup0(text, strlen(text)) : NULL;
}

char *
xmemdup0(const void *data, size_t len)
{
	char *copy = xcalloc(len + 1, 1);

	if (len != 0)
		memcpy(copy, data, len);
	return copy;
}

char *
xasprintf(const char *format, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	if (len < 0)
		out_of_memory();
	return text;
}
