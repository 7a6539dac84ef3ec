/*
 * pipe: each message is the standard input of a command that is run without a
 * shell, in a process group of its own. Reached through dest.h; groups are of
 * one message, there are no tokens: a command cannot be asked afterwards whether it finished.
 *
 * Words of the command: %a account, %u user, %h host, %s envelope sender, %% a
 * percent sign; any other % stays as it is. Environment: ours, and POPHAUL_ACCOUNT.
 *
 * Its end: status 0 delivered; 75 (EX_TEMPFAIL), a signal or the time limit: later
 * (ERROR_DELIVERY_TEMP); 126, 127, 78 (EX_CONFIG): it cannot be run (ERROR_CONFIG); any other
 * status: refused (ERROR_DELIVERY_PERM). The first 4 KiB of what it prints are shown on failure
 * only.
 */
#ifndef POPHAUL_DELIVER_DEST_PIPE_H
#define POPHAUL_DELIVER_DEST_PIPE_H

#include "deliver/dest/dest.h"

/* Output of a failed command that is looked at. */
#define PIPE_OUTPUT_MAX 4096

#endif
