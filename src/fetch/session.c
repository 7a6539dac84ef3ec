#include "fetch/session.h"

#include <string.h>

#include "fetch/pop3.h"
#include "fetch/wire/tls.h"

void
session_init(struct session *session, const struct account *account, const struct secret *password,
	struct link *link, bool lock_step, const struct link_memory *memory)
{
	memset(session, 0, sizeof(*session));
	session->account = account;
	session->password = password;
	session->link = link;
	session->memory = *memory;
	session->in_lock_step = account->pipelining == ACCOUNT_PIPELINING_OFF || lock_step;
	pop3_capabilities_init(&session->caps);
}

bool
session_is_pipelining(const struct session *session)
{
	if (session->in_lock_step)
		return false;
	return session->account->pipelining == ACCOUNT_PIPELINING_ON || session->caps.pipelining;
}

bool
session_may_expire(const struct session *session)
{
	return session->memory.expire_now || session->without_capa;
}

void
session_close(struct session *session)
{
	conn_close(session->conn);
	session->conn = NULL;
}

static int
tell_phase(struct session *session, enum link_phase phase, struct error *err)
{
	if (session->is_listed)
		return 0;
	link_put_value(session->link, LINK_PHASE, phase);
	return link_flush(session->link, err);
}

static int
connect_to_server(struct session *session, struct error *err)
{
	int watch_fd = session->is_listed ? -1 : link_fd(session->link);

	session->conn = conn_open(session->account, watch_fd, err);
	if (session->conn == NULL)
		return -1;
	conn_set_link(session->conn, session->link);
	if (tell_phase(session, LINK_PHASE_CONNECTED, err) != 0)
		return -1;
	if (conn_is_secure(session->conn))
		return tell_phase(session, LINK_PHASE_SECURED, err);
	return 0;
}

static int
greet(struct session *session, struct error *err)
{
	struct pop3_reply reply;
	size_t received;

	if (pop3_read_greeting(session->conn, &reply, err) != 0) {
		conn_peek(session->conn, &received);
		if (err->class != ERROR_TIMEOUT || received != 0 || conn_is_secure(session->conn))
			return -1;
		/* A server that waits for the client's first octets of TLS says nothing either. */
		return error_set(err, ERROR_TIMEOUT,
			"waiting for the greeting: the server says nothing (if this is its port "
			"for TLS, use tls = \"implicit\")");
	}
	return pop3_take_greeting(&reply, session->timestamp, err);
}

static bool
is_broken_connection(const struct error *err)
{
	return err->class == ERROR_NET || err->class == ERROR_TIMEOUT ||
		err->class == ERROR_PROTOCOL;
}

/* CAPA before the login: the list so far is forgotten (RFC 2595 section 4). */
static int
ask_capabilities(struct session *session, bool *capa_broke, struct error *err)
{
	pop3_capabilities_init(&session->caps);
	if (session->without_capa)
		return 0;
	pop3_queue_capa(session->conn);
	if (pop3_read_capa(session->conn, &session->caps, err) == 0) {
		session->memory.expire_now |= session->caps.expire_days == 0;
		return 0;
	}
	*capa_broke = is_broken_connection(err);
	return -1;
}

/*
 * CAPA need not list STLS: some servers have it and do not say so, and an attacker would
 * leave it out.
 */
static int
start_tls(struct session *session, struct error *err)
{
	struct pop3_reply reply;

	if (pop3_stls(session->conn, &reply, err) != 0)
		return -1;
	if (!reply.ok)
		return pop3_refused(err, pop3_refusal_class(&reply, ERROR_TLS), "STLS", &reply);
	if (conn_start_tls(session->conn, err) != 0)
		return -1;
	return tell_phase(session, LINK_PHASE_SECURED, err);
}

/*
 * Without it Courier sends a wrapper in place of every message with 8-bit headers (RFC
 * 6856 section 2).
 */
static int
choose_utf8(struct session *session, struct error *err)
{
	struct pop3_reply reply;

	if (session->caps.known)
		session->memory.utf8 = session->caps.utf8;
	if (!session->memory.utf8)
		return 0;
	if (pop3_utf8(session->conn, &reply, err) != 0)
		return -1;
	session->utf8_refused = !reply.ok;
	session->caps.utf8_user = session->caps.utf8_user && reply.ok;
	return 0;
}

/* Before the login nothing else says which server it is that cannot be reached or trusted. */
static int
name_host(const struct session *session, struct error *err)
{
	switch (err->class) {
	case ERROR_NET:
	case ERROR_TIMEOUT:
	case ERROR_TLS:
	case ERROR_PROTOCOL:
	case ERROR_SERVER_TEMP:
	case ERROR_SERVER_PERM:
		return error_prefix(err, "'%s'", session->account->host);
	default:
		return -1;
	}
}

static int
reach_login(struct session *session, bool *capa_broke, struct error *err)
{
	if (connect_to_server(session, err) != 0 || greet(session, err) != 0)
		return name_host(session, err);
	if (ask_capabilities(session, capa_broke, err) != 0)
		return -1;
	if (session->account->tls == ACCOUNT_TLS_STARTTLS) {
		if (start_tls(session, err) != 0)
			return name_host(session, err);
		if (ask_capabilities(session, capa_broke, err) != 0)
			return -1;
	}
	return choose_utf8(session, err);
}

static int
log_in(struct session *session, struct error *err)
{
	const struct login login = {
		.account = session->account,
		.password = session->password,
		.caps = &session->caps,
		.timestamp = session->timestamp,
		.wants_token = &session->wants_token,
	};

	if (login_run(session->conn, &login, session->mechanism, err) != 0)
		return -1;
	return tell_phase(session, LINK_PHASE_LOGGED_IN, err);
}

/* As reach_login(), over another connection. */
static int
reach_login_again(struct session *session, bool *capa_broke, struct error *err)
{
	session_close(session);
	*capa_broke = false;
	return reach_login(session, capa_broke, err);
}

int
session_open(struct session *session, struct error *err)
{
	bool capa_broke = false;
	int reached = reach_login(session, &capa_broke, err);

	/*
	 * What came of a ticket says nothing: the certificate of then may have ended its life, and
	 * the server have a new one.
	 */
	if (reached != 0 && tls_ticket_failed())
		reached = reach_login_again(session, &capa_broke, err);
	/* One that hangs on CAPA would cost the time of its silence each time. */
	if (capa_broke && (err->class != ERROR_TIMEOUT || session->memory.has_capa))
		reached = reach_login_again(session, &capa_broke, err);
	session->capa_broke = capa_broke && session->memory.has_capa;
	if (capa_broke && !session->capa_broke) {
		session->without_capa = true;
		reached = reach_login_again(session, &capa_broke, err);
	}
	if (reached != 0 || log_in(session, err) != 0) {
		session_close(session);
		return -1;
	}
	return 0;
}

/*
 * The list after the login replaces the one before it, but what only that one said about
 * keeping mail and about polling still holds: a proxy's own list and its
 * back end's differ.
 */
static int
read_capabilities(struct session *session, struct error *err)
{
	struct pop3_capabilities now;

	if (pop3_read_capa(session->conn, &now, err) != 0)
		return -1;
	session->memory.has_capa |= now.known || session->caps.known;
	if (!now.known)
		return 0;
	if (!now.has_expire) {
		now.has_expire = session->caps.has_expire;
		now.expire_days = session->caps.expire_days;
	}
	if (!now.has_login_delay) {
		now.has_login_delay = session->caps.has_login_delay;
		now.login_delay = session->caps.login_delay;
	}
	session->caps = now;
	session->memory.expire_now = now.expire_days == 0;
	return 0;
}

static int
read_uidl(struct session *session, struct listing *listing, struct error *err)
{
	struct pop3_reply reply = {.ok = false};

	if (pop3_read_uidl(session->conn, listing, &reply, err) != 0) {
		session->broke_in_reply = reply.ok;
		return -1;
	}
	/* Taking a passing trouble for "no UIDL" would fetch everything again. */
	if (!reply.ok && (session->caps.uidl || reply.code != POP3_CODE_NONE))
		return pop3_refused(
			err, pop3_refusal_class(&reply, ERROR_SERVER_TEMP), "UIDL", &reply);
	return 0;
}

static int
read_list(struct session *session, struct listing *listing, struct error *err)
{
	struct pop3_reply reply = {.ok = false};

	if (pop3_read_list(session->conn, listing, &reply, err) != 0) {
		session->broke_in_reply = reply.ok;
		return -1;
	}
	if (!reply.ok)
		return pop3_refused(
			err, pop3_refusal_class(&reply, ERROR_SERVER_TEMP), "LIST", &reply);
	return 0;
}

static int
list_in_lock_step(struct session *session, struct listing *listing, struct error *err)
{
	pop3_queue_uidl(session->conn);
	if (read_uidl(session, listing, err) != 0)
		return -1;
	pop3_queue_list(session->conn);
	return read_list(session, listing, err);
}

static int
list_in_flight(struct session *session, struct listing *listing, bool with_capa, struct error *err)
{
	if (with_capa)
		pop3_queue_capa(session->conn);
	pop3_queue_uidl(session->conn);
	pop3_queue_list(session->conn);
	if (with_capa && read_capabilities(session, err) != 0)
		return -1;
	session->flight_answered = with_capa;
	if (read_uidl(session, listing, err) != 0)
		return -1;
	session->flight_answered = true;
	return read_list(session, listing, err);
}

/*
 * It hangs up, or has thrown away what stood behind the first command. In the middle of a
 * reply it is the connection that breaks.
 */
static bool
is_broken_by_flight(const struct session *session, const struct error *err)
{
	if (session->broke_in_reply)
		return false;
	return err->class == ERROR_NET || (err->class == ERROR_TIMEOUT && session->flight_answered);
}

int
session_list(struct session *session, struct listing *listing, struct error *err)
{
	bool needs_capa = !session->without_capa;
	int result;

	if (needs_capa && !session_is_pipelining(session)) {
		pop3_queue_capa(session->conn);
		if (read_capabilities(session, err) != 0)
			return -1;
		needs_capa = false;
	}
	if (!session_is_pipelining(session))
		return list_in_lock_step(session, listing, err);
	result = list_in_flight(session, listing, needs_capa, err);
	session->flight_broke = result != 0 && is_broken_by_flight(session, err);
	return result;
}
