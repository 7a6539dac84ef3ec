/*
 * The check sum of the state's log: CRC-32 as zlib, gzip and Ethernet have it. It
 * finds what bad disks, editors and half written pages do to a file; it is no
 * proof against a person.
 */
#ifndef POPHAUL_DELIVER_STATE_SUM_H
#define POPHAUL_DELIVER_STATE_SUM_H

#include <stddef.h>
#include <stdint.h>

/* The sum of no octets. */
#define SUM_START UINT32_C(0)

/* The sum of what `sum` is the sum of, and these octets behind it. */
uint32_t sum_add(uint32_t sum, const void *data, size_t len);

#endif
