/*
 * Parses a destination, "maildir:PATH", "mbox:PATH" or "pipe:COMMAND ARG…", into
 * plain data. Whether it can be delivered to is seen when it is opened.
 */
#ifndef POPHAUL_CONFIG_DEST_H
#define POPHAUL_CONFIG_DEST_H

#include "base/error.h"
#include "config/account.h"

/*
 * Fill `out` from `text`; `~` expands at the front of a path and of each
 * unquoted word of a command. A path must be absolute then. A command is split
 * by value_split_words(); in its words, except for the first, %a %u %h %s and %%
 * are known, any other % is an error. ERROR_CONFIG.
 */
int dest_parse(const char *text, struct account_dest *out, struct error *err)
	__attribute__((warn_unused_result));

void dest_release(struct account_dest *dest);

#endif
