#include "fetch/flight.h"

#include <assert.h>

#include "fetch/pop3.h"

static size_t
limit_of(const struct flight *flight)
{
	return flight->is_pipelining ? FLIGHT_COMMANDS_MAX : 1;
}

bool
flight_is_low(const struct flight *flight)
{
	return flight->count <= limit_of(flight) / 2 && flight->octets <= FLIGHT_OCTETS_MAX / 2;
}

bool
flight_has_room(const struct flight *flight, uint64_t octets)
{
	if (flight->count >= limit_of(flight))
		return false;
	return flight->octets == 0 || flight->octets + octets <= FLIGHT_OCTETS_MAX;
}

void
flight_send(struct flight *flight, const struct flight_command *command, uint32_t number)
{
	assert(flight->count < FLIGHT_COMMANDS_MAX);
	flight->commands[(flight->first + flight->count) % FLIGHT_COMMANDS_MAX] = *command;
	flight->count++;
	flight->octets += command->octets;
	switch (command->verb) {
	case FLIGHT_TOP:
		pop3_queue_top(flight->conn, number);
		break;
	case FLIGHT_RETR:
		pop3_queue_retr(flight->conn, number);
		break;
	case FLIGHT_DELE:
		pop3_queue_dele(flight->conn, number);
		break;
	case FLIGHT_NOOP:
		pop3_queue_noop(flight->conn);
		break;
	case FLIGHT_STAT:
		pop3_queue_stat(flight->conn);
		break;
	}
}

const struct flight_command *
flight_at(const struct flight *flight, size_t ahead)
{
	assert(ahead < flight->count);
	return &flight->commands[(flight->first + ahead) % FLIGHT_COMMANDS_MAX];
}

const struct flight_command *
flight_first(const struct flight *flight)
{
	return flight->count == 0 ? NULL : flight_at(flight, 0);
}

const struct flight_command *
flight_second(const struct flight *flight)
{
	return flight->count < 2 ? NULL : flight_at(flight, 1);
}

void
flight_land(struct flight *flight)
{
	assert(flight->count != 0);
	flight->octets -= flight->commands[flight->first].octets;
	flight->first = (flight->first + 1) % FLIGHT_COMMANDS_MAX;
	flight->count--;
}
