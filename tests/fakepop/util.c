#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void
die(const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	fprintf(stderr, "fakepop: %s\n", text);
	exit(2);
}

void *
grow(void *old, size_t count, size_t size)
{
	void *new;

	if (size != 0 && count > SIZE_MAX / size)
		die("out of memory");
	new = realloc(old, count * size != 0 ? count * size : 1);
	if (new == NULL)
		die("out of memory");
	return new;
}

char *
copy_text(const char *text, size_t len)
{
	char *copy = grow(NULL, len + 1, 1);

	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

char *
bytes_reserve(struct bytes *bytes, size_t room)
{
	if (bytes->size - bytes->len < room) {
		bytes->size = (bytes->len + room) * 3 / 2 + 64;
		bytes->data = grow(bytes->data, bytes->size, 1);
	}
	return bytes->data + bytes->len;
}

void
bytes_add(struct bytes *bytes, const void *data, size_t len)
{
	if (len == 0)
		return;
	memcpy(bytes_reserve(bytes, len), data, len);
	bytes->len += len;
}

void
bytes_release(struct bytes *bytes)
{
	free(bytes->data);
	*bytes = (struct bytes){NULL, 0, 0};
}

bool
read_whole(const char *path, struct bytes *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return false;
	do {
		got = read(fd, bytes_reserve(out, 65536), 65536);
		if (got < 0)
			die("cannot read '%s': %s", path, strerror(errno));
		out->len += (size_t)got;
	} while (got > 0);
	close(fd);
	return true;
}

bool
write_whole(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t sent = write(fd, at, len);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return false;
		at += sent;
		len -= (size_t)sent;
	}
	return true;
}

int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
sleep_ms(int64_t ms)
{
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		continue;
}

size_t
format_number(char out[static 20], uint64_t number)
{
	char digits[20];
	size_t len = 0;

	do {
		digits[len++] = (char)('0' + number % 10);
		number /= 10;
	} while (number != 0);
	for (size_t i = 0; i < len; i++)
		out[i] = digits[len - 1 - i];
	return len;
}

bool
parse_number(const char *text, uint64_t *number_out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*number_out = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0';
}
