/*
 * The first octets of a message, lines ended by LF, read for two purposes: the
 * envelope sender that a server noted in Return-Path (RFC 5321 section 4.4), and
 * From, Subject and Date for people. Pure; no parser of addresses or MIME, and
 * nothing here decides what is delivered.
 *
 * The octets are a stranger's: every length is bounded, a header that is cut or
 * broken gives less text, never an error.
 */
#ifndef POPHAUL_DELIVER_HEADER_H
#define POPHAUL_DELIVER_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* Octets of one field's value that are looked at; Return-Path and Subject need some hundreds. */
#define HEADER_VALUE_MAX 8192

/* Room for an envelope sender and a NUL; RFC 5321 section 4.5.3.1.3 allows 254 octets. */
#define HEADER_SENDER_SIZE 512

/* Most octets of a shown field; what is longer ends in "...". */
#define HEADER_SHOWN_MAX  300
#define HEADER_SHOWN_SIZE (HEADER_SHOWN_MAX + 4)

/*
 * Append the value of the first field `name` (no colon, any case), unfolded (RFC
 * 5322 section 2.2.3), without the space at both ends, at most HEADER_VALUE_MAX
 * octets of it. The search ends at the first empty line. False: there is no such field.
 */
bool header_find(const char *data, size_t len, const char *name, struct buf *out);

/*
 * The envelope sender, as Return-Path tells it. True with an empty text is the
 * null sender of bounces; false: nothing is told, or nothing that may be put
 * into a From_ line or an argument of a command (spaces, controls, a '-' in front).
 */
bool header_sender(const char *data, size_t len, char out[static HEADER_SENDER_SIZE]);

/*
 * Append `text` with its encoded words (RFC 2047) decoded into UTF-8. Words in a charset
 * that is not known, or broken ones, stay as they are; what stands outside of words does too.
 */
void header_decode(const char *text, size_t len, struct buf *out);

/*
 * The value of a field for a terminal: found, decoded, spaces run together. It is UTF-8
 * whatever the locale; octets that are none, controls (C0, DEL, C1) and characters that turn or
 * hide text are written \xHH or \u{HEX}. An absent field is the empty text. Returns `out`.
 */
const char *header_show(
	const char *data, size_t len, const char *name, char out[static HEADER_SHOWN_SIZE]);

#endif
