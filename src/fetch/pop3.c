#include "fetch/pop3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/digest.h"
#include "base/quote.h"
#include "config/mechanism.h"

/* A command's line with its CRLF (RFC 2449 section 4). */
#define COMMAND_MAX 255

/* Lines of a CAPA list: real ones have a dozen. */
#define CAPA_LINES_MAX 1000

/* Most lines that a person is shown of it. */
#define CAPA_SHOWN_MAX 100

/* Room for "reply to" and a command's name. */
#define WANTED_SIZE 32

/* Challenges of one exchange: no mechanism has more than a handful. */
#define CHALLENGES_MAX 16

static int
unexpected(struct conn *conn, const char *command, const struct conn_line *line, struct error *err)
{
	char quoted[QUOTE_SIZE];
	struct buf shown = {0};

	buf_append(&shown, line->data, line->len);
	quote_bytes(quoted, buf_data(&shown), conn_mask(conn, buf_data(&shown), line->len));
	secret_wipe(shown.base, shown.size);
	buf_release(&shown);
	return error_set(err, ERROR_PROTOCOL, "unexpected reply to %s: \"%s\"", command, quoted);
}

/* A status line; `wanted` is what is waited for, `command` what an odd line is no reply to. */
static int
read_status(struct conn *conn, const char *wanted, const char *command, struct pop3_reply *reply,
	struct error *err)
{
	struct conn_line line;

	conn_expect_reply(conn);
	if (conn_read_line(conn, &line, err) != 0) {
		error_prefix(err, "waiting for the %s", wanted);
		return -1;
	}
	if (!pop3_parse_reply(line.data, line.len, reply))
		return unexpected(conn, command, &line, err);
	return 0;
}

int
pop3_read_reply(struct conn *conn, const char *command, struct pop3_reply *reply, struct error *err)
{
	char wanted[WANTED_SIZE];

	snprintf(wanted, sizeof wanted, "reply to %s", command);
	return read_status(conn, wanted, command, reply, err);
}

int
pop3_read_greeting(struct conn *conn, struct pop3_reply *reply, struct error *err)
{
	return read_status(conn, "greeting", "the connection", reply, err);
}

int
pop3_refused(
	struct error *err, enum error_class class, const char *what, const struct pop3_reply *reply)
{
	char quoted[QUOTE_SIZE];

	return error_set(err, class, "the server refused %s: \"%s\"", what,
		quote_bytes(quoted, reply->text, reply->text_len));
}

int
pop3_take_greeting(const struct pop3_reply *reply, char timestamp_out[static POP3_TIMESTAMP_MAX],
	struct error *err)
{
	if (!reply->ok)
		return pop3_refused(
			err, pop3_refusal_class(reply, ERROR_SERVER_TEMP), "the connection", reply);
	if (!pop3_parse_timestamp(reply->text, reply->text_len, timestamp_out))
		timestamp_out[0] = '\0';
	return 0;
}

/*
 * A line of a multi-line reply, its stuffed dot taken out. 1: `line`, 0: the
 * end mark, -1: an error.
 */
static int
read_row(struct conn *conn, const char *command, struct conn_line *line, struct error *err)
{
	if (conn_read_line(conn, line, err) != 0)
		return error_prefix(err, "in the middle of the reply to %s", command);
	if (line->len == 0 || line->data[0] != '.')
		return 1;
	line->data++;
	line->len--;
	return line->len != 0;
}

void
pop3_queue_capa(struct conn *conn)
{
	conn_queue(conn, "CAPA", 4);
}

int
pop3_read_capa_lines(
	struct conn *conn, struct pop3_capabilities *caps, struct buf *lines, struct error *err)
{
	struct pop3_reply reply;
	struct conn_line line;
	char quoted[QUOTE_SIZE];
	size_t count = 0;
	int more;

	pop3_capabilities_init(caps);
	if (pop3_read_reply(conn, "CAPA", &reply, err) != 0)
		return -1;
	if (!reply.ok)
		return 0;
	while ((more = read_row(conn, "CAPA", &line, err)) > 0) {
		if (++count > CAPA_LINES_MAX)
			return error_set(err, ERROR_PROTOCOL,
				"the reply to CAPA has more than %d lines", CAPA_LINES_MAX);
		pop3_capabilities_add(caps, line.data, line.len);
		if (lines != NULL && count <= CAPA_SHOWN_MAX)
			buf_printf(lines, "    %s\n", quote_bytes(quoted, line.data, line.len));
	}
	caps->known = more == 0;
	return more;
}

int
pop3_read_capa(struct conn *conn, struct pop3_capabilities *caps, struct error *err)
{
	return pop3_read_capa_lines(conn, caps, NULL, err);
}

int
pop3_stls(struct conn *conn, struct pop3_reply *reply, struct error *err)
{
	conn_queue(conn, "STLS", 4);
	return pop3_read_reply(conn, "STLS", reply, err);
}

int
pop3_utf8(struct conn *conn, struct pop3_reply *reply, struct error *err)
{
	conn_queue(conn, "UTF8", 4);
	return pop3_read_reply(conn, "UTF8", reply, err);
}

int
pop3_user_pass(struct conn *conn, const char *user, const struct secret *password,
	struct pop3_reply *reply, struct error *err)
{
	struct buf command = {0};

	conn_queuef(conn, "USER %s", user);
	if (pop3_read_reply(conn, "USER", reply, err) != 0)
		return -1;
	if (!reply->ok)
		return 0;
	/*
	 * Room for all of it at once, so that no grown-out-of copy of the password is left
	 * behind.
	 */
	buf_reserve(&command, 5 + password->len);
	buf_append(&command, "PASS ", 5);
	buf_append(&command, password->data, password->len);
	conn_queue_secret(conn, buf_data(&command), command.len, "PASS ****");
	secret_wipe(buf_data(&command), command.len);
	buf_release(&command);
	return pop3_read_reply(conn, "PASS", reply, err);
}

int
pop3_apop(struct conn *conn, const char *user, const struct secret *password, const char *timestamp,
	struct pop3_reply *reply, struct error *err)
{
	char hex[DIGEST_MD5_HEX_SIZE];
	struct buf text = {0};
	int made;

	buf_reserve(&text, strlen(timestamp) + password->len);
	buf_append_string(&text, timestamp);
	buf_append(&text, password->data, password->len);
	made = digest_md5_hex(buf_data(&text), text.len, hex);
	secret_wipe(buf_data(&text), text.len);
	buf_release(&text);
	if (made != 0)
		return error_set(
			err, ERROR_AUTH, "APOP needs MD5, which this system's policy forbids");

	buf_reserve(&text, strlen(user) + sizeof(hex) + 8);
	buf_printf(&text, "APOP %s %s", user, hex);
	conn_queue_secret(conn, buf_data(&text), text.len, "APOP ****");
	secret_wipe(buf_data(&text), text.len);
	secret_wipe(hex, sizeof(hex));
	buf_release(&text);
	return pop3_read_reply(conn, "APOP", reply, err);
}

/* One SASL exchange. */
struct exchange {
	struct conn *conn;
	const char *name;
	struct mech *mech;
	struct mech_data initial;
	bool holds_initial; /* the initial response waits for the first challenge */
	bool sent_any;      /* a response of ours, whatever it holds */
	bool sent_proof;    /* from now on an -ERR is an answer to a password */
};

/* A client's first message of SCRAM is a name and a nonce: no password was tried with it. */
static bool
is_proof(const struct exchange *exchange, bool is_initial)
{
	return !is_initial || strncmp(exchange->name, "SCRAM-", 6) != 0;
}

static void
queue_start(struct exchange *exchange, bool may_start)
{
	struct buf command = {0};
	const char *name = exchange->name;
	const struct mech_data *initial = &exchange->initial;
	char *encoded;
	char shown[64];

	exchange->holds_initial = initial->data != NULL;
	if (initial->data != NULL && may_start) {
		encoded = base64_encode(initial->data, initial->len);
		buf_reserve(&command, strlen(name) + strlen(encoded) + 16);
		/*
		 * An empty initial response is "=", to tell it from none (RFC 5034 section
		 * 4).
		 */
		buf_printf(&command, "AUTH %s %s", name, initial->len == 0 ? "=" : encoded);
		base64_free(encoded);
	}
	if (command.len != 0 && command.len + 2 <= COMMAND_MAX) {
		snprintf(shown, sizeof(shown), "AUTH %s ****", name);
		conn_queue_secret(exchange->conn, buf_data(&command), command.len, shown);
		exchange->holds_initial = false;
		exchange->sent_any = true;
		exchange->sent_proof = is_proof(exchange, true);
	} else {
		conn_queuef(exchange->conn, "AUTH %s", name);
	}
	if (command.len != 0)
		secret_wipe(buf_data(&command), command.len);
	buf_release(&command);
}

static void
queue_response(struct exchange *exchange, const struct mech_data *response, bool is_initial)
{
	char *encoded = base64_encode(response->len == 0 ? "" : response->data, response->len);

	conn_queue_secret(exchange->conn, encoded, strlen(encoded), "****");
	base64_free(encoded);
	exchange->sent_any = true;
	if (is_proof(exchange, is_initial))
		exchange->sent_proof = true;
}

/*
 * Break the exchange off (RFC 5034 section 4), for the reason that `err` has. The reply
 * is read for the sake of order; whatever it says, the reason stays.
 */
static int
cancel(struct exchange *exchange)
{
	struct conn_line line;
	struct error ignored;

	conn_queue(exchange->conn, "*", 1);
	conn_expect_reply(exchange->conn);
	(void)!conn_read_line(exchange->conn, &line, &ignored);
	return -1;
}

static int
answer_challenge(struct exchange *exchange, const char *text, size_t len, struct error *err)
{
	struct mech_data response = {0};
	char *challenge = NULL;
	size_t challenge_len;
	int result;

	if (!base64_decode(text, len, &challenge, &challenge_len)) {
		error_set(err, ERROR_PROTOCOL,
			"challenge of %s: the server's challenge is not valid base64",
			exchange->name);
		return cancel(exchange);
	}
	if (exchange->holds_initial) {
		/* The challenge that asks for it is empty; one that is not is for nobody. */
		exchange->holds_initial = false;
		queue_response(exchange, &exchange->initial, true);
		free(challenge);
		return 0;
	}
	result = mech_step(exchange->mech, challenge, challenge_len, &response, err);
	free(challenge);
	if (result != 0) {
		/* It may quote what the server says. */
		err->text[conn_mask(exchange->conn, err->text, strlen(err->text))] = '\0';
		return cancel(exchange);
	}
	queue_response(exchange, &response, false);
	return 0;
}

/*
 * Dovecot says [AUTH] to a mechanism that it does not have: before we said anything that
 * is no verdict on us. Nor is what a server says that binds to TLS in another way than this side.
 */
static bool
is_unsupported(const struct exchange *exchange, const struct pop3_reply *reply)
{
	if (exchange->sent_proof)
		return false;
	return reply->code == POP3_CODE_NONE ||
		(reply->code == POP3_CODE_AUTH &&
			(!exchange->sent_any || mechanism_binds(exchange->name)));
}

static int
end_exchange(struct exchange *exchange, const struct pop3_reply *reply, enum pop3_auth_end *end_out,
	struct error *err)
{
	if (reply->ok && (exchange->holds_initial || !mech_is_done(exchange->mech)))
		return error_set(err, ERROR_AUTH,
			"the server accepted the login before %s was complete: it did not prove "
			"who it is",
			exchange->name);
	if (reply->ok)
		*end_out = POP3_AUTH_OK;
	else
		*end_out =
			is_unsupported(exchange, reply) ? POP3_AUTH_UNSUPPORTED : POP3_AUTH_REFUSED;
	return 0;
}

static int
run_exchange(struct exchange *exchange, enum pop3_auth_end *end_out, struct pop3_reply *reply,
	struct error *err)
{
	const char *challenge;
	size_t challenge_len;
	struct conn_line line;

	for (int i = 0; i <= CHALLENGES_MAX; i++) {
		conn_expect_reply(exchange->conn);
		if (conn_read_line(exchange->conn, &line, err) != 0)
			return error_prefix(
				err, "waiting for the reply to AUTH %s", exchange->name);
		if (pop3_parse_reply(line.data, line.len, reply))
			return end_exchange(exchange, reply, end_out, err);
		if (!pop3_parse_challenge(line.data, line.len, &challenge, &challenge_len))
			return unexpected(exchange->conn, "AUTH", &line, err);
		if (answer_challenge(exchange, challenge, challenge_len, err) != 0)
			return -1;
	}
	error_set(err, ERROR_PROTOCOL, "the server's challenges of %s do not end", exchange->name);
	return cancel(exchange);
}

int
pop3_auth(struct conn *conn, const struct mech_settings *settings, bool may_start,
	enum pop3_auth_end *end_out, struct pop3_reply *reply, struct error *err)
{
	struct exchange exchange = {.conn = conn, .name = settings->mechanism};
	int result;

	exchange.mech = mech_start(settings, &exchange.initial, err);
	if (exchange.mech == NULL) {
		*end_out = POP3_AUTH_CANNOT;
		return -1;
	}
	*end_out = POP3_AUTH_BROKEN;
	queue_start(&exchange, may_start);
	result = run_exchange(&exchange, end_out, reply, err);
	mech_free(exchange.mech);
	return result;
}

void
pop3_queue_uidl(struct conn *conn)
{
	conn_queue(conn, "UIDL", 4);
}

int
pop3_read_uidl(
	struct conn *conn, struct listing *listing, struct pop3_reply *reply, struct error *err)
{
	struct conn_line line;
	const char *uidl;
	size_t uidl_len;
	uint32_t number;
	int more;

	if (pop3_read_reply(conn, "UIDL", reply, err) != 0)
		return -1;
	if (!reply->ok)
		return 0;
	while ((more = read_row(conn, "UIDL", &line, err)) > 0) {
		if (!pop3_parse_uidl_row(line.data, line.len, &number, &uidl, &uidl_len))
			return unexpected(conn, "UIDL", &line, err);
		if (listing_add_uidl(listing, number, uidl, uidl_len, err) != 0)
			return -1;
	}
	return more == 0 ? listing_end_uidl(listing, err) : -1;
}

void
pop3_queue_list(struct conn *conn)
{
	conn_queue(conn, "LIST", 4);
}

int
pop3_read_list(
	struct conn *conn, struct listing *listing, struct pop3_reply *reply, struct error *err)
{
	struct conn_line line;
	uint64_t octets;
	uint32_t number;
	int more;

	if (pop3_read_reply(conn, "LIST", reply, err) != 0)
		return -1;
	if (!reply->ok)
		return 0;
	while ((more = read_row(conn, "LIST", &line, err)) > 0) {
		if (!pop3_parse_list_row(line.data, line.len, &number, &octets))
			return unexpected(conn, "LIST", &line, err);
		if (listing_add_octets(listing, number, octets, err) != 0)
			return -1;
	}
	return more == 0 ? listing_end(listing, err) : -1;
}

void
pop3_queue_top(struct conn *conn, uint32_t number)
{
	conn_queuef(conn, "TOP %u 0", number);
}

void
pop3_queue_retr(struct conn *conn, uint32_t number)
{
	conn_queuef(conn, "RETR %u", number);
}

void
pop3_queue_dele(struct conn *conn, uint32_t number)
{
	conn_queuef(conn, "DELE %u", number);
}

void
pop3_queue_noop(struct conn *conn)
{
	conn_queue(conn, "NOOP", 4);
}

void
pop3_queue_stat(struct conn *conn)
{
	conn_queue(conn, "STAT", 4);
}

void
pop3_queue_quit(struct conn *conn)
{
	conn_queue(conn, "QUIT", 4);
}

int
pop3_quit(struct conn *conn, struct pop3_reply *reply, struct error *err)
{
	pop3_queue_quit(conn);
	return pop3_read_reply(conn, "QUIT", reply, err);
}
