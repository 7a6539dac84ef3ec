/*
 * Whether a signal has asked this process to stop. A signal belongs to the whole process, so its
 * flag does too. What waits for long on its own (a lock, a command that gives a password) looks
 * here; a session is handed the flag, so that it can be run, and tested, without a signal.
 */
#ifndef POPHAUL_BASE_STOP_H
#define POPHAUL_BASE_STOP_H

#include <stdbool.h>

/* Longest wait between two looks: a signal may fall between a look and its wait. */
#define STOP_LOOK_MS 250

/* Handle a signal so from now on, or ignore it; what nohup(1) or a shell ignores stays ignored. */
void stop_set_handler(int number, void (*handler)(int));

/* For a signal handler; there is no way back. */
void stop_request(int signal_number);

bool stop_is_requested(void);

/* The flag itself, for the session; non-zero once a stop is requested. */
const volatile int *stop_flag(void);

#endif
