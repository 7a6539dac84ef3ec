/*
 * Makes text of strangers fit for a terminal, a log line or an error text: what
 * is not printable ASCII becomes an escape, and the result is bounded. The only
 * way for a server's octets to reach a person. And the grammar of what is counted.
 */
#ifndef POPHAUL_BASE_QUOTE_H
#define POPHAUL_BASE_QUOTE_H

#include <stddef.h>
#include <stdint.h>

/* Most octets of a quoted text; what is longer ends in "...". */
#define QUOTE_MAX  200
#define QUOTE_SIZE (QUOTE_MAX + 4)

/*
 * `len` octets with everything outside 0x20-0x7E as \r, \n, \t or \xHH and a
 * backslash doubled, in `out`, which is also the result.
 */
const char *quote_bytes(char out[static QUOTE_SIZE], const void *data, size_t len);

/* As quote_bytes() for `size` octets of room, for callers with more or less to show. */
const char *quote_bytes_into(char *out, size_t size, const void *data, size_t len);

/* "" for one, "s" for any other number: the end of a regular noun. */
const char *plural(uint64_t count);

#endif
