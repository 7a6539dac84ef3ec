/*
 * JSON strings (RFC 8259 section 7), for log lines and results that programs
 * read. Everything else of JSON is small enough to be printed where it is needed.
 */
#ifndef POPHAUL_BASE_JSON_H
#define POPHAUL_BASE_JSON_H

#include "base/buf.h"

/*
 * Append `text` as a string with its quotes: valid UTF-8 as it is, control
 * characters escaped, and U+FFFD for each octet that is no UTF-8.
 */
void json_append_string(struct buf *out, const char *text);

#endif
