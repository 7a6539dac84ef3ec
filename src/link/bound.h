/*
 * What both sides of the link hold one message to, so that neither a server nor
 * a fetcher that was taken over can fill a disk with a message that never ends.
 */
#ifndef POPHAUL_LINK_BOUND_H
#define POPHAUL_LINK_BOUND_H

#include <stdint.h>

/*
 * The most octets that are believed of a message that is listed with `listed` octets
 * (LINK_OCTETS_UNKNOWN, or absurdly many: not told). Listed sizes are wrong in life, by line ends,
 * by headers that are added, by messages that are rebuilt: by a factor and by some octets, not by
 * both.
 */
uint64_t bound_message_octets(uint64_t listed);

#endif
