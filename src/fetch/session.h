/*
 * A session up to its listing: connect, greeting, CAPA, STLS, UTF8, login,
 * CAPA again, UIDL and LIST. What follows is transfer.c's; fetcher.c tells the
 * whole story, and logs.
 *
 *	session_init()
 *	session_open()     to the TRANSACTION state (RFC 1939 section 5)
 *	session_list()
 *	session_close()    drops the connection; QUIT is fetcher.c's decision
 *
 * After session_close() it may be opened anew, with what was learnt of the server kept.
 */
#ifndef POPHAUL_FETCH_SESSION_H
#define POPHAUL_FETCH_SESSION_H

#include <stdbool.h>

#include "base/error.h"
#include "base/secret.h"
#include "config/account.h"
#include "fetch/auth/login.h"
#include "fetch/listing.h"
#include "fetch/pop3_parse.h"
#include "fetch/wire/conn.h"
#include "link/link.h"

struct session {
	const struct account *account;
	const struct secret *password;
	struct link *link; /* hears of phases; anything it says before the plan ends the session */
	struct conn *conn; /* NULL while closed */
	struct pop3_capabilities caps;
	char timestamp[POP3_TIMESTAMP_MAX];

	bool in_lock_step;         /* in: never pipeline */
	bool is_listed;            /* in: the link has its listing: no phases, no watching */
	struct link_memory memory; /* in, and learnt: what must outlast a connection */
	bool without_capa;         /* learnt: CAPA made the server close or hang */
	bool capa_broke; /* learnt: it did so time and again, though it has answered CAPA before */
	bool flight_broke;    /* learnt: it broke on CAPA, UIDL and LIST in one flight */
	bool flight_answered; /* a reply of that flight was read */
	bool broke_in_reply;  /* the connection ended within UIDL's or LIST's listing */
	bool utf8_refused;
	bool wants_token; /* learnt: the token was refused in a way that a fresh one may not be */
	char mechanism[LOGIN_NAME_MAX]; /* the last one tried */
};

/*
 * `lock_step`: the state says that the server must be asked so.
 * `memory` is copied, the other arguments are borrowed.
 */
void session_init(struct session *session, const struct account *account,
	const struct secret *password, struct link *link, bool lock_step,
	const struct link_memory *memory);

/*
 * Connect and log in. Where the connection breaks at CAPA it may be the network's doing: it is
 * asked once more, and then done without it, or, with a server that has answered it before, given
 * up with `capa_broke` set: what UTF8 and EXPIRE say decides whether mail arrives whole.
 * Texts of what fails before the login name the host.
 * Errors: conn_open()'s, login_run()'s; ERROR_TLS when STLS is refused; ERROR_SERVER_TEMP
 * and ERROR_SERVER_PERM for a greeting that refuses us.
 */
int session_open(struct session *session, struct error *err) __attribute__((warn_unused_result));

/*
 * The whole listing, into an empty `listing`. Without UIDL on the server,
 * `listing->has_uidl` is false. An incomplete or senseless listing is an error and must
 * not be used: ERROR_NET, ERROR_TIMEOUT, ERROR_PROTOCOL, ERROR_SERVER_TEMP. Look at
 * `flight_broke`.
 */
int session_list(struct session *session, struct listing *listing, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Whether QUIT may delete what was only retrieved: EXPIRE 0, told now or remembered, or nobody
 * knows, since CAPA broke the connection. After session_list().
 */
bool session_may_expire(const struct session *session);

/* Whether commands may be sent before the replies to those before them have come. */
bool session_is_pipelining(const struct session *session);

void session_close(struct session *session);

#endif
