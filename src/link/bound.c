#include "link/bound.h"

/* No mail system that we know of takes a message as big as this. */
#define UNLISTED_MAX ((uint64_t)1 << 30)

/* A size beyond this is a mistake, or a lie: 1 TiB. */
#define LISTED_MAX ((uint64_t)1 << 40)

/* What a small message may be bigger than listed: a mail with attachments in place of a stub. */
#define SURPLUS_MAX ((uint64_t)256 << 20)

uint64_t
bound_message_octets(uint64_t listed)
{
	uint64_t surplus = listed > SURPLUS_MAX ? listed : SURPLUS_MAX;

	/* LINK_OCTETS_UNKNOWN is among them. */
	return listed > LISTED_MAX ? UNLISTED_MAX : listed + surplus;
}
