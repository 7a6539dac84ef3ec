/*
 * What the deliverer leaves on the disk, looked at as a stranger would who
 * knows nothing but which texts have come whole: the folders hold what may be in
 * them, each message in the mailbox is one of those texts, octet for octet, and so is
 * all that the state calls delivered.
 *
 * remains_begin(), remains_note_whole() as they come, remains_check() after a
 * session, remains_end().
 */
#ifndef POPHAUL_TESTS_FUZZ_REMAINS_H
#define POPHAUL_TESTS_FUZZ_REMAINS_H

#include <stdbool.h>
#include <stddef.h>

#include "config/account.h"

void remains_begin(void);
void remains_end(void);

/* A text that a fetcher has sent from its begin to its end. */
void remains_note_whole(const void *text, size_t len);

size_t remains_whole_count(void);

/*
 * Nobody is at work in `root`, which has the account's state in state/ and its mailbox in mail.
 * `may_forget`: a fetcher has said that deletions are done.
 */
void remains_check(const char *root, const struct account *account, bool may_forget);

#endif
