/*
 * The commands in flight: sent, and not yet answered in full. Replies come in
 * the order of the commands (RFC 2449 section 6.6), so this is a queue; it also
 * says how much more may be sent. It queues the commands on the connection and
 * reads nothing: transfer.c does.
 *
 * A zeroed struct with its connection set is an empty flight.
 */
#ifndef POPHAUL_FETCH_FLIGHT_H
#define POPHAUL_FETCH_FLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fetch/wire/conn.h"

/* The most commands in flight: enough for small messages over a long way. */
#define FLIGHT_COMMANDS_MAX 512

/*
 * About the most octets asked for, by LIST: enough for a long fat pipe, little for a
 * server that buffers.
 */
#define FLIGHT_OCTETS_MAX (4 * 1024 * 1024)

enum flight_verb { FLIGHT_TOP, FLIGHT_RETR, FLIGHT_DELE, FLIGHT_NOOP, FLIGHT_STAT };

struct flight_command {
	uint32_t row; /* of the listing */
	enum flight_verb verb;
	uint64_t octets; /* what its reply is said to be long */
};

struct flight {
	struct conn *conn;
	bool is_pipelining; /* false: one command at a time */
	struct flight_command commands[FLIGHT_COMMANDS_MAX];
	size_t first;
	size_t count;
	uint64_t octets;
};

/*
 * Whether it is time to top up: the window is half empty, by commands and by
 * octets. So commands go out many in a packet, and replies come all the while.
 */
bool flight_is_low(const struct flight *flight);

/* Whether a command with a reply of `octets` fits in the window; the first always does. */
bool flight_has_room(const struct flight *flight, uint64_t octets);

/*
 * Queue a command about message `number`; there must be room by commands. `number` is
 * unused for NOOP and STAT.
 */
void flight_send(struct flight *flight, const struct flight_command *command, uint32_t number);

/* The command whose reply comes next; NULL when none is in flight. */
const struct flight_command *flight_first(const struct flight *flight);

/* The command whose reply comes when so many others have: less than `flight->count`. */
const struct flight_command *flight_at(const struct flight *flight, size_t ahead);

/* The second command; NULL when there is none. */
const struct flight_command *flight_second(const struct flight *flight);

/* The reply to the first command is complete. */
void flight_land(struct flight *flight);

#endif
