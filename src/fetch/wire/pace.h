/*
 * How fast a server sends, so that none can hold an account for ever by sending
 * an octet now and then. Pure: conn.c tells it what came and how long was waited.
 *
 * What counts is the time spent waiting for octets of a reply that has begun: not
 * the wait for its first octet, which the idle limit bounds, nor the time in which
 * nobody wants octets. Each time that this waiting has come to a whole window, the
 * octets that came in it are held against the rate, and the next window begins.
 *
 *	pace_init()
 *	pace_next_reply()  the reply is complete
 *	pace_receive(), pace_wait()
 *	pace_check()       before each wait
 */
#ifndef POPHAUL_FETCH_WIRE_PACE_H
#define POPHAUL_FETCH_WIRE_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct pace {
	uint64_t rate; /* octets a second that are enough; 0: any will do */
	int64_t window_ms;
	bool is_under_way; /* octets of the present reply have come */
	int64_t waited_ms; /* in the present window */
	uint64_t octets;
};

void pace_init(struct pace *pace, uint64_t rate, int64_t window_ms);

/* Another reply is awaited, of which `octets` are here already. */
void pace_next_reply(struct pace *pace, uint64_t octets);

/* So many octets came; 0 is fine. */
void pace_receive(struct pace *pace, uint64_t octets);

/* So long was waited for octets. */
void pace_wait(struct pace *pace, int64_t milliseconds);

/* Milliseconds of waiting until the window is over; CLOCK_NEVER where nothing counts. */
int64_t pace_left_ms(const struct pace *pace);

/* ERROR_TIMEOUT: a window is over, and too little came in it. */
int pace_check(struct pace *pace, struct error *err) __attribute__((warn_unused_result));

#endif
