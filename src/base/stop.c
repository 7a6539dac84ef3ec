#include "base/stop.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t requested;

void
stop_set_handler(int number, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler}, old;

	if (sigaction(number, NULL, &old) == 0 && old.sa_handler == SIG_IGN)
		return;
	sigemptyset(&action.sa_mask);
	sigaction(number, &action, NULL);
}

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
