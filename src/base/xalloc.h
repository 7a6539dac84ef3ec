/*
 * Allocation that does not fail: when memory is out, one line goes to standard
 * error and the process ends with EX_OSERR. A worker that ends so takes its own
 * account down and nobody else's, and loses no mail, which is deleted only after it is
 * durable and recorded. Every size that a server chose is bounded before it comes here.
 */
#ifndef POPHAUL_BASE_XALLOC_H
#define POPHAUL_BASE_XALLOC_H

#include <stddef.h>

/* Zeroed memory for `count` elements of `size` octets. Free with free(). */
void *xcalloc(size_t count, size_t size);

/* Resize to `count` elements of `size` octets; an overflow of the product ends the process. */
void *xreallocarray(void *old, size_t count, size_t size);

/*
 * Zeroed pages of their own, which a child of fork(2) does not have: neither what is in them nor
 * the memory that copies of them would take.
 */
void *xpages(size_t size);

/* Give back what xpages() gave for this size. NULL is fine. */
void xpages_free(void *pages, size_t size);

/* Copies; the caller owns the result. xstrdup(NULL) is NULL. */
char *xstrdup(const char *text);
char *xmemdup0(const void *data, size_t len);

/* printf into a new string that the caller owns. */
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
