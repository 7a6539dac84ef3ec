/*
 * The two clocks. Deadlines are absolute times of the monotonic clock in
 * milliseconds, so that a wall clock that jumps cannot cut a wait short or make
 * it endless; dates in state and file names are seconds of the wall clock.
 */
#ifndef POPHAUL_BASE_CLOCK_H
#define POPHAUL_BASE_CLOCK_H

#include <stdint.h>

/* A deadline that never comes. */
#define CLOCK_NEVER INT64_MAX

/* Milliseconds of the monotonic clock. */
int64_t clock_monotonic_ms(void);

/* Seconds since 1970, by the wall clock. */
int64_t clock_wall_seconds(void);

/* Milliseconds until `deadline` as poll(2) takes them: 0 when past, -1 for CLOCK_NEVER. */
int clock_poll_timeout(int64_t deadline);

#endif
