/*
 * The world as a fuzz target makes it: in place of the clock, of poll(2), of
 * the network and of the fetcher's cage (base/clock.h, fetch/wire/net.h,
 * fetch/cage/sandbox.h) a target gets what stands here, by the linker: world.o comes
 * before the library, and poll(2) is wrapped. The program's own code is what
 * it always is, and runs in one thread beside the target that plays its peers.
 *
 * Nothing waits. Where the program polls and nothing is ready, the target is
 * asked to go on (world_pump); where that can do nothing more, the clock jumps
 * to the end of the wait. A wait without end is then a hang, and a find.
 *
 * As long as world_pump is NULL, poll(2) and everything else is the system's
 * but for the clock, which stands still.
 */
#ifndef POPHAUL_TESTS_FUZZ_WORLD_H
#define POPHAUL_TESTS_FUZZ_WORLD_H

#include <stdbool.h>
#include <stdint.h>

/* When every world begins: seconds of the wall clock. */
#define WORLD_BEGINNING 1795287600

/* The target's peers do a little more; false: nothing is left to be done without the program. */
extern bool (*world_pump)(void);

/* The other end of a new connection; -1: nobody listens. Non-blocking, and the program's to close. */
extern int (*world_connect)(void);

/* The clock back to the beginning, no pump, no network. */
void world_reset(void);

/* Time passes that nobody waited for. */
void world_pass(int64_t milliseconds);

#endif
