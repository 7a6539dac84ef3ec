/*
 * A growing run of octets with a cheap front: append at the end, consume at the
 * front. For lines, frames, replies; octets have lengths, NUL is one of them.
 *
 * A zeroed struct is an empty buffer. Pointers into it hold until the next
 * append, reserve or consume. buf_release() frees; the struct is then empty
 * again. Growth ends the process when memory is out (xalloc.h): bound what a
 * peer can make you append.
 */
#ifndef POPHAUL_BASE_BUF_H
#define POPHAUL_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>

struct buf {
	char *base;   /* the allocation */
	size_t start; /* octets consumed at its front */
	size_t len;   /* octets held, from base + start */
	size_t size;  /* octets allocated */
};

/* The octets held; never NULL, not NUL-terminated. */
char *buf_data(const struct buf *buf);

/* Room for `room` octets behind the end; fill it, then buf_commit() what was filled. */
char *buf_reserve(struct buf *buf, size_t room);
void buf_commit(struct buf *buf, size_t len);

void buf_append(struct buf *buf, const void *data, size_t len);
void buf_append_string(struct buf *buf, const char *text);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *buf, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

/* Drop `len` octets at the front; at most buf->len. */
void buf_consume(struct buf *buf, size_t len);

void buf_clear(struct buf *buf);
void buf_release(struct buf *buf);

/* NUL-terminate and hand the text over: the caller frees it, the buffer is empty. */
char *buf_take_string(struct buf *buf);

#endif
