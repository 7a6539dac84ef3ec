#include "base/stop.h"

static volatile int requested;

void
stop_request(int signal_number)
{
	(void)signal_number;
	requested = 1;
}

bool
stop_is_requested(void)
{
	return requested != 0;
}

const volatile int *
stop_flag(void)
{
	return &requested;
}
