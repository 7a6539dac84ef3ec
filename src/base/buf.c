#include "base/buf.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

#define BUF_MIN 256

char *
buf_data(const struct buf *buf)
{
	static char empty[1];

	return buf->base != NULL ? buf->base + buf->start : empty;
}

char *
buf_reserve(struct buf *buf, size_t room)
{
	size_t size = buf->size != 0 ? buf->size : BUF_MIN;

	assert(room <= SIZE_MAX / 4);
	if (buf->base != NULL && buf->size - buf->start - buf->len >= room)
		return buf->base + buf->start + buf->len;

	/* Slide down before growing, but only when that moves little for what it gains. */
	if (buf->start != 0 && (buf->start >= buf->len || buf->size - buf->len >= room)) {
		memmove(buf->base, buf->base + buf->start, buf->len);
		buf->start = 0;
	}
	while (size - buf->start - buf->len < room)
		size *= 2;
	if (size != buf->size) {
		buf->base = xreallocarray(buf->base, size, 1);
		buf->size = size;
	}
	return buf->base + buf->start + buf->len;
}

void
buf_commit(struct buf *buf, size_t len)
{
	assert(len <= buf->size - buf->start - buf->len);
	buf->len += len;
}

void
buf_append(struct buf *buf, const void *data, size_t len)
{
	if (len == 0)
		return;
	memcpy(buf_reserve(buf, len), data, len);
	buf->len += len;
}

void
buf_append_string(struct buf *buf, const char *text)
{
	buf_append(buf, text, strlen(text));
}

void
buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	buf_vprintf(buf, format, args);
	va_end(args);
}

void
buf_vprintf(struct buf *buf, const char *format, va_list args)
{
	va_list again;
	int len;

	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	assert(len >= 0);
	vsnprintf(buf_reserve(buf, (size_t)len + 1), (size_t)len + 1, format, again);
	va_end(again);
	buf->len += (size_t)len;
}

void
buf_consume(struct buf *buf, size_t len)
{
	assert(len <= buf->len);
	buf->start += len;
	buf->len -= len;
	if (buf->len == 0)
		buf->start = 0;
}

void
buf_clear(struct buf *buf)
{
	buf->start = 0;
	buf->len = 0;
}

void
buf_release(struct buf *buf)
{
	free(buf->base);
	*buf = (struct buf){0};
}

char *
buf_take_string(struct buf *buf)
{
	char *text;

	buf_append(buf, "", 1);
	if (buf->start != 0)
		memmove(buf->base, buf->base + buf->start, buf->len);
	text = buf->base;
	*buf = (struct buf){0};
	return text;
}
