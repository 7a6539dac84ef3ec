/*
 * mbox: all messages in one file, in the mboxrd form (lines of ">*From " get one
 * more ">"). Messages wait in a spool until their group is complete and are then
 * appended under a dot lock and an fcntl lock. Reached through dest.h.
 *
 * Tokens: OFFSET-LENGTH-DIGEST-SECONDS-SENDER: where the message begins in the
 * file, how many octets it has there from its From_ line to its closing blank line, the digest of
 * what follows the From_ line, and what the From_ line was made of.
 *
 * Recovery of a token:
 *
 *	at OFFSET stand LENGTH octets with that From_ line and digest    delivered
 *	the file ends within them, and what is there begins with that
 *	From_ line and holds no other program's message                  cut off, not delivered
 *	anything else: the file was not written to, or was changed       not delivered
 */
#ifndef POPHAUL_DELIVER_DEST_MBOX_H
#define POPHAUL_DELIVER_DEST_MBOX_H

#include "deliver/dest/dest.h"

#endif
