/*
 * Maildir: one file a message, written to tmp/, renamed to new/. The functions
 * are reached through dest.h; this header is their description.
 *
 * Unique names:
 *
 *	SECONDS.M<usec>P<pid>Q<number>R<random>A<owner>.HOST        in tmp/
 *	…,S=<octets>,W=<octets>                                      in new/, and the token
 *
 * <owner> is the number of the state (UIDL_ID): what one state has staged, no
 * other account, user or state folder that shares the Maildir touches. S is the size on disk, W the
 * size with CRLF for each LF; one behind a CR counts as it is, for so does Dovecot, which (as
 * Courier) reads both.
 *
 * Recovery of a token, which changes nothing:
 *
 *	in new/ or cur/                  delivered
 *	in tmp/ only                     not delivered
 *	nowhere, younger than 36 hours   a reader has moved or removed it since: delivered
 *	nowhere, the state was damaged   not delivered: the try may have been ended
 *	nowhere, older than tmp/ itself  not delivered: the Maildir was removed and made again
 *	nowhere, older                   not delivered: a cleaner of tmp/ may have taken it (they
 *	                                 spare what is younger), and two copies are better than none
 *	the Maildir itself is not there  not delivered
 *
 * Once the answers are durable in the state, and only then, dest_sweep() removes
 * from tmp/ what dead sessions of this state left there: a file that
 * is removed before could not be told from a delivered one if recovery died too.
 */
#ifndef POPHAUL_DELIVER_DEST_MAILDIR_H
#define POPHAUL_DELIVER_DEST_MAILDIR_H

#include "deliver/dest/dest.h"

/* Cleaners of tmp/ leave files alone for so long (https://cr.yp.to/proto/maildir.html). */
#define MAILDIR_TMP_SECONDS (36 * 60 * 60)

#endif
