/*
 * The payloads of the link's frames: which type of frame has which, and how a received
 * one is taken apart. Only link.c has a use for it.
 */
#ifndef POPHAUL_LINK_PAYLOAD_H
#define POPHAUL_LINK_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link/link.h"

/* Types of frames are less than this. */
#define LINK_TYPE_COUNT 256

/* What a frame's payload is made of. */
enum payload {
	PAYLOAD_UNKNOWN,
	PAYLOAD_NONE,
	PAYLOAD_VALUE,  /* u64 */
	PAYLOAD_NUMBER, /* u32 */
	PAYLOAD_TEXT,   /* u32, octets */
	PAYLOAD_DATA,   /* octets */
	PAYLOAD_SERVER, /* u8 u8 u8 u64 u32 */
	PAYLOAD_ROW,    /* u32 octets */
	PAYLOAD_ACTION, /* u32 u8 */
	PAYLOAD_CREDIT, /* u32 u64 */
	PAYLOAD_SETTLED,
	PAYLOAD_RESULT, /* u8 u8 u8 u8 u8 u32 octets */
	PAYLOAD_PROGRESS,
	PAYLOAD_REPORT
};

/* The payload of a frame of `type`, which is less than LINK_TYPE_COUNT. */
enum payload link_payload_of(uint32_t type);

/*
 * Take a payload of `frame->type` apart into the rest of the frame, which is zeroed. False when it
 * is too short or too long, or a field is out of range.
 */
bool link_parse_payload(const char *data, size_t len, struct link_frame *frame);

#endif
