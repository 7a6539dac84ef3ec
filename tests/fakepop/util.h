/*
 * Small things that every part of the test server needs: growing byte strings,
 * files, time. Failures end the process with a line on standard error: for a
 * test server there is nothing better to do.
 *
 * Deliberately not the program's own src/base: a fault there must not hide
 * itself by being on both ends of the wire.
 */
#ifndef POPHAUL_TESTS_FAKEPOP_UTIL_H
#define POPHAUL_TESTS_FAKEPOP_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Octets with a length; zeroed is empty. */
struct bytes {
	char *data;
	size_t len, size;
};

/* A line on standard error, exit status 2. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* realloc() that does not fail; count * size is checked. */
void *grow(void *old, size_t count, size_t size);

/* A copy with a NUL behind it; the caller frees. */
char *copy_text(const char *text, size_t len);

/* Room for `room` octets behind the end: fill, then add to `len`. */
char *bytes_reserve(struct bytes *bytes, size_t room);
void bytes_add(struct bytes *bytes, const void *data, size_t len);
void bytes_release(struct bytes *bytes);

/* Append the whole file; false and errno when it cannot be opened, dies when it cannot be read. */
bool read_whole(const char *path, struct bytes *out);

/* Write all to a descriptor; false and errno when that fails. */
bool write_whole(int fd, const void *data, size_t len);

int64_t now_ms(void);
void sleep_ms(int64_t ms);

/* Decimal digits of `number`, no NUL; how many. */
size_t format_number(char out[static 20], uint64_t number);

/* A whole decimal number, nothing else in `text`. */
bool parse_number(const char *text, uint64_t *number_out);

#endif
