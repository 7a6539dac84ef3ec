#include "base/stop.h"

#include <signal.h>

static volatile sig_atomic_t requested;

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
