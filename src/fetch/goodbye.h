/*
 * QUIT where nothing is to be deleted, so that nothing depends on its answer: said
 * without waiting, or, after messages have come, with a look at what comes back. A whole
 * text in place of a goodbye is the reply to an earlier command, and everything since then was
 * taken for what it is not.
 */
#ifndef POPHAUL_FETCH_GOODBYE_H
#define POPHAUL_FETCH_GOODBYE_H

#include "base/error.h"
#include "fetch/wire/conn.h"

void goodbye_say(struct conn *conn);

/*
 * Say it and hear the server out, for some seconds at most. -1: ERROR_PROTOCOL, more came
 * than was asked for. No answer, a refusal and a connection that is gone are as good as any.
 */
int goodbye_hear(struct conn *conn, struct error *err) __attribute__((warn_unused_result));

#endif
