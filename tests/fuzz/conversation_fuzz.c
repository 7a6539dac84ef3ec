/*
 * The fetcher's whole session, from the greeting to the result: the server's
 * octets are the case's, the deliverer is a small model that makes a plan of
 * the case's choice. Both are played between two polls of the fetcher's.
 *
 * A case begins with six octets: account, mechanisms, plan, outcomes, and the
 * lengths of the pieces in which octets arrive. The rest is what the server
 * says. 0xff and one more octet are no text (enum mark). A polite server says one reply to
 * each command; an impolite one says all that it has at once.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "fetch/fetcher.h"
#include "fetch/pop3_parse.h"
#include "fuzz.h"
#include "letter.h"
#include "world.h"

#define PASSWORD "s3cret-Passw0rd"

/* One for CAPA, one for pipelining, and each of the two may need the other. */
#define CONNECTIONS_MAX 4

/* Messages that the model has in hand before it settles them unasked. */
#define GROUP 3

enum mark { MARK_HOLD, MARK_CLOSE, MARK_TIME, MARK_STOP, MARK_HANG_UP, MARK_SILENCE, MARK_COUNT };

enum fate { FATE_NONE, FATE_HEAD, FATE_FETCH, FATE_ASKED, FATE_DELETE, FATE_DELETED };

struct row {
	uint32_t number;
	size_t uidl_len;
	enum fate fate;
};

static struct {
	struct feed says; /* what is left */
	struct cutter cutter;
	bool is_polite;
	bool is_silent;

	/* the connection */
	int fd; /* -1: there is none */
	unsigned connections;
	struct buf heard;   /* of the client, not yet a line */
	struct buf out;     /* said, and not yet sent */
	bool closes;        /* once that is sent */
	bool is_held;       /* until the client says something */
	bool in_exchange;   /* the next line is a response to a challenge */
	unsigned passwords; /* sent over this connection */
	bool asks_password; /* the next reply is the answer to one */
	bool is_refused;    /* and was -ERR */
	bool quit_is_ok;    /* the answer to QUIT */
	struct buf bodies;  /* struct body and its text, each */
	struct buf uidl;    /* the last reply to UIDL */
	bool uidl_is_whole, list_is_whole;
} server;

struct body {
	uint32_t number;
	bool is_whole;
	size_t len; /* of the decoded text behind it */
};

static struct {
	struct link *link; /* NULL: it has hung up */
	bool has_died;     /* and nobody knows what it had read */
	uint8_t plan, outcomes;
	struct row *rows;
	size_t count, sized;
	struct buf ids;
	bool has_begun, has_server, has_uidl, is_listed, is_told;
	bool in_message;
	uint32_t number;
	struct buf text;
	uint32_t *unsettled;
	size_t unsettled_count;
	bool has_agreed, says_gone;
	unsigned deleted;
} model;

static struct row *
find_row(uint32_t number)
{
	for (size_t i = 0; i < model.count; i++) {
		if (model.rows[i].number == number)
			return &model.rows[i];
	}
	return NULL;
}

/* Whether the line proves who we are, in clear or in any of the mechanisms' forms. */
static bool
holds_password(const char *line, size_t len)
{
	const char *word = memrchr(line, ' ', len);
	char *decoded = NULL;
	size_t decoded_len = 0;
	bool found;

	if (memmem(line, len, PASSWORD, strlen(PASSWORD)) != NULL || strncmp(line, "APOP ", 5) == 0)
		return true;
	word = word != NULL ? word + 1 : line;
	if (!base64_decode(word, len - (size_t)(word - line), &decoded, &decoded_len))
		return false;
	/* CRAM-MD5 gives the user and 32 digits, SCRAM a proof. */
	found = memmem(decoded, decoded_len, PASSWORD, strlen(PASSWORD)) != NULL ||
		memmem(decoded, decoded_len, ",p=", 3) != NULL ||
		(decoded_len > 33 && decoded[decoded_len - 33] == ' ' &&
			strspn(decoded + decoded_len - 32, "0123456789abcdef") == 32);
	free(decoded);
	return found;
}

/* The number behind the verb, which must be a planned message. */
static struct row *
row_of(const char *line)
{
	const char *digits = strchr(line, ' ');
	struct row *row;

	REQUIRE(digits != NULL && digits[1] >= '1' && digits[1] <= '9');
	row = find_row((uint32_t)strtoul(digits + 1, NULL, 10));
	REQUIRE(row != NULL);
	return row;
}

static void
check_command(const char *line, size_t len)
{
	static const char *const verbs[] = {"CAPA", "UTF8", "USER ", "PASS ", "APOP ", "AUTH ",
		"UIDL", "LIST", "RETR ", "TOP ", "DELE ", "NOOP", "STAT", "QUIT"};
	bool is_known = false;

	for (size_t i = 0; i < len; i++)
		REQUIRE((unsigned char)line[i] >= ' ');
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		is_known |= strncmp(line, verbs[i], strlen(verbs[i])) == 0;
	/* What answers a challenge is base64, a star, or nothing. */
	REQUIRE(is_known ||
		strspn(line,
			"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			"0123456789+/=*") == len);
	if (strncmp(line, "TOP ", 4) == 0) {
		REQUIRE(row_of(line)->fate == FATE_HEAD);
	} else if (strncmp(line, "RETR ", 5) == 0) {
		struct row *row = row_of(line);

		/* The same again only after a server that broke on a batch. */
		REQUIRE(row->fate == FATE_FETCH ||
			(row->fate == FATE_ASKED && server.connections > 1));
		row->fate = FATE_ASKED;
	} else if (strncmp(line, "DELE ", 5) == 0) {
		struct row *row = row_of(line);

		REQUIRE(row->fate == FATE_DELETE);
		row->fate = FATE_DELETED;
	}
}

static void
check_password(const char *line, size_t len)
{
	if (!holds_password(line, len))
		return;
	REQUIRE(!server.is_refused);
	REQUIRE(server.passwords++ == 0);
	/*
	 * Nothing goes behind it before its answer, which an impolite server may have given early.
	 */
	REQUIRE(!server.is_polite || server.heard.len == len + 2);
	server.asks_password = true;
}

static bool
is_listing(const char *line)
{
	return strcmp(line, "CAPA") == 0 || strcmp(line, "UIDL") == 0 || strcmp(line, "LIST") == 0;
}

static void
note_body(const char *line, struct feed text)
{
	struct body body = {.number = (uint32_t)strtoul(line + 5, NULL, 10)};
	struct buf decoded = {0};
	size_t ignored;

	body.is_whole = letter_read(text, &decoded, &ignored);
	body.len = decoded.len;
	buf_append(&server.bodies, &body, sizeof body);
	buf_append(&server.bodies, buf_data(&decoded), decoded.len);
	buf_release(&decoded);
}

/*
 * Where the end mark of a listing ends, NULL for none: its lines may end as they like, and the mark
 * is a line of one dot.
 */
static const uint8_t *
listing_end(struct feed text)
{
	while (text.len != 0) {
		const uint8_t *end = memchr(text.data, '\n', text.len);
		struct feed line =
			feed_take(&text, end != NULL ? (size_t)(end - text.data) + 1 : text.len);

		if (end != NULL && (line.len == 2 || line.len == 3) && line.data[0] == '.' &&
			(line.len == 2 || line.data[1] == '\r'))
			return end + 1;
	}
	return NULL;
}

static void
note_reply(const char *line, struct feed text, bool is_ok)
{
	if (is_ok && strncmp(line, "RETR ", 5) == 0)
		note_body(line, text);
	if (strcmp(line, "LIST") == 0)
		server.list_is_whole = is_ok && listing_end(text) != NULL;
	if (strcmp(line, "QUIT") == 0)
		server.quit_is_ok = is_ok;
	if (strcmp(line, "UIDL") != 0)
		return;
	server.uidl_is_whole = is_ok && listing_end(text) != NULL;
	buf_clear(&server.uidl);
	buf_append(&server.uidl, text.data, text.len);
}

static void
hang_up(void)
{
	link_free(model.link);
	model.link = NULL;
}

static void
obey(enum mark mark)
{
	switch (mark) {
	case MARK_HOLD:
		server.is_held = true;
		break;
	case MARK_CLOSE:
		server.closes = true;
		break;
	case MARK_TIME:
		world_pass(40000);
		break;
	case MARK_STOP:
		if (model.link != NULL && model.is_listed)
			link_put(model.link, LINK_STOP);
		break;
	case MARK_HANG_UP:
		hang_up();
		model.has_died = true;
		break;
	case MARK_SILENCE:
		server.is_silent = true;
		break;
	default:
		break;
	}
}

/* The marks at the front of what is left. */
static void
obey_marks(void)
{
	while (server.says.len >= 2 && server.says.data[0] == 0xff &&
		server.says.data[1] < MARK_COUNT && !server.closes && !server.is_held) {
		obey((enum mark)server.says.data[1]);
		feed_take(&server.says, 2);
	}
}

static size_t
line_end(struct feed text)
{
	const uint8_t *end = text.len != 0 ? memchr(text.data, '\n', text.len) : NULL;

	return end != NULL ? (size_t)(end - text.data) + 1 : text.len;
}

/* One reply to a command, as long as the command lets it be. */
static void
reply_to(const char *line)
{
	struct feed status, body = {0};
	struct pop3_reply reply;
	bool is_ok, is_long;

	obey_marks();
	server.is_held = false;
	if (server.closes)
		return;
	if (server.says.len == 0) {
		server.closes = !server.is_silent;
		return;
	}
	status = feed_take(&server.says, line_end(server.says));
	is_ok = pop3_parse_reply((const char *)status.data, status.len, &reply) && reply.ok;
	is_long =
		is_listing(line) || strncmp(line, "RETR ", 5) == 0 || strncmp(line, "TOP ", 4) == 0;
	if (is_ok && is_long) {
		const uint8_t *end =
			is_listing(line) ? listing_end(server.says) : letter_end(server.says);

		body = feed_take(&server.says,
			end != NULL ? (size_t)(end - server.says.data) : server.says.len);
		/* What is cut off here is cut off for good. */
		server.closes = end == NULL && !server.is_silent;
	}
	note_reply(line, body, is_ok);
	server.is_refused |= server.asks_password && !is_ok && status.data[0] == '-';
	server.asks_password &= !is_ok && status.data[0] == '+';
	buf_append(&server.out, status.data, status.len);
	buf_append(&server.out, body.data, body.len);
}

/* The lines that have come whole; whether there was one. */
static bool
answer(void)
{
	bool any = false;

	for (;;) {
		const char *data = buf_data(&server.heard);
		const char *end = memmem(data, server.heard.len, "\r\n", 2);
		char *line;

		if (end == NULL)
			return any;
		line = xmemdup0(data, (size_t)(end - data));
		check_password(line, (size_t)(end - data));
		check_command(line, (size_t)(end - data));
		buf_consume(&server.heard, (size_t)(end - data) + 2);
		if (server.is_polite)
			reply_to(line);
		server.is_held = false;
		free(line);
		any = true;
	}
}

static bool
hear(void)
{
	char octets[4096];
	ssize_t got;
	bool any = false;

	if (server.fd < 0)
		return false;
	while ((got = recv(server.fd, octets, sizeof octets, 0)) > 0)
		buf_append(&server.heard, octets, (size_t)got);
	any = answer();
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return any;
	close(server.fd);
	server.fd = -1;
	return true;
}

static void
queue_impolitely(void)
{
	const uint8_t *mark;

	obey_marks();
	if (server.is_held || server.closes)
		return;
	if (server.says.len == 0) {
		server.closes = !server.is_silent;
		return;
	}
	mark = memchr(server.says.data + 1, 0xff, server.says.len - 1);
	{
		size_t most = mark != NULL ? (size_t)(mark - server.says.data) : server.says.len;
		struct feed piece = feed_take(&server.says, most);

		buf_append(&server.out, piece.data, piece.len);
	}
}

static bool
say(void)
{
	struct feed all, piece;
	ssize_t sent;

	if (server.fd < 0)
		return false;
	if (!server.is_polite && server.out.len == 0 && !server.closes)
		queue_impolitely();
	if (server.out.len == 0 && server.closes) {
		close(server.fd);
		server.fd = -1;
		return true;
	}
	if (server.out.len == 0)
		return false;
	all = (struct feed){(const uint8_t *)buf_data(&server.out), server.out.len};
	piece = cutter_next(&server.cutter, &all);
	sent = send(server.fd, piece.data, piece.len, MSG_NOSIGNAL);
	if (sent > 0)
		buf_consume(&server.out, (size_t)sent);
	return sent > 0;
}

/* A connection that broke before any answer has deleted nothing: the same DELEs again are right. */
static void
forget_deletions(void)
{
	for (size_t i = 0; i < model.count && model.deleted == 0; i++) {
		if (model.rows[i].fate == FATE_DELETED)
			model.rows[i].fate = FATE_DELETE;
	}
}

static int
connect_to_server(void)
{
	int ends[2];

	forget_deletions();
	if (server.fd >= 0)
		close(server.fd);
	server.fd = -1;
	REQUIRE(server.connections++ < CONNECTIONS_MAX);
	if (server.says.len == 0)
		return -1;
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	server.fd = ends[0];
	server.closes = server.is_held = server.asks_password = false;
	server.passwords = 0;
	buf_clear(&server.heard);
	buf_clear(&server.out);
	if (server.is_polite)
		reply_to("");
	return ends[1];
}

static enum fate
fate_of(size_t index)
{
	return (enum fate[]){
		FATE_FETCH, FATE_DELETE, FATE_HEAD, FATE_FETCH}[model.plan >> 2 * (index % 4) & 3];
}

static void
send_plan(void)
{
	static const enum link_verb verbs[] = {[FATE_HEAD] = LINK_VERB_HEAD,
		[FATE_FETCH] = LINK_VERB_FETCH,
		[FATE_DELETE] = LINK_VERB_DELETE};
	size_t planned = 0;

	for (size_t i = 0; i < model.count; i++) {
		if (model.plan % 7 == 6 && i % 2 == 1)
			continue;
		model.rows[i].fate = fate_of(i);
		link_put_action(model.link, model.rows[i].number, verbs[model.rows[i].fate]);
		planned++;
	}
	link_put_credit(model.link,
		&(struct link_credit){.messages = 1 + model.plan % 8, .octets = 100000});
	link_put_value(model.link, LINK_PLANNED, planned);
}

/*
 * Rows follow from complete replies only, in the order of their numbers, with ids that were said.
 */
static void
take_row(const struct link_row *row)
{
	REQUIRE(model.has_begun && model.sized == 0 && !model.is_listed);
	REQUIRE(row->number != 0 && model.count < LINK_ROWS_MAX);
	REQUIRE(model.has_uidl || row->uidl_len == 0);
	buf_append(&model.ids, row->uidl, row->uidl_len);
	model.rows = xreallocarray(model.rows, model.count + 1, sizeof *model.rows);
	model.rows[model.count++] = (struct row){.number = row->number, .uidl_len = row->uidl_len};
}

/* What was fetched is what the server sent, to its end mark. */
static void
check_message(uint32_t number)
{
	const char *at = buf_data(&server.bodies), *end = at + server.bodies.len;
	bool found = false;

	while (server.is_polite && at < end) {
		struct body body;

		memcpy(&body, at, sizeof body);
		at += sizeof body;
		found |= body.number == number && body.is_whole && body.len == model.text.len &&
			memcmp(at, buf_data(&model.text), body.len) == 0;
		at += body.len;
	}
	REQUIRE(found || !server.is_polite);
}

static void
settle(void)
{
	for (size_t i = 0; i < model.unsettled_count; i++) {
		uint32_t number = model.unsettled[i];
		unsigned choice = model.outcomes >> 2 * (number % 4) & 3;

		if (choice == 1 || choice == 3)
			find_row(number)->fate = FATE_DELETE;
		link_put_settled(model.link, number,
			choice == 0           ? LINK_OUTCOME_LEAVE
				: choice == 2 ? LINK_OUTCOME_FAILED
					      : LINK_OUTCOME_DELETE);
		link_put_credit(model.link, &(struct link_credit){.messages = 1, .octets = 5000});
	}
	model.unsettled_count = 0;
}

static void
take_message_frame(const struct link_frame *frame)
{
	const struct row *row = frame->type != LINK_DATA ? find_row(frame->number) : NULL;

	switch (frame->type) {
	case LINK_BEGIN:
		REQUIRE(!model.in_message && row != NULL && row->fate == FATE_ASKED);
		model.in_message = true;
		model.number = frame->number;
		buf_clear(&model.text);
		break;
	case LINK_DATA:
		REQUIRE(model.in_message);
		buf_append(&model.text, frame->data, frame->data_len);
		break;
	case LINK_CUT:
		/* Nothing may have come of it yet: then it was the next to come. */
		REQUIRE(model.in_message ? model.number == frame->number
					 : row != NULL && row->fate == FATE_ASKED);
		model.in_message = false;
		break;
	case LINK_END:
		REQUIRE(model.in_message && model.number == frame->number);
		model.in_message = false;
		check_message(frame->number);
		model.unsettled =
			xreallocarray(model.unsettled, model.unsettled_count + 1, sizeof(uint32_t));
		model.unsettled[model.unsettled_count++] = frame->number;
		if (model.unsettled_count == GROUP)
			settle();
		break;
	case LINK_REFUSED:
		REQUIRE(row != NULL && (row->fate == FATE_ASKED || row->fate == FATE_HEAD));
		break;
	default:
		abort();
	}
}

static void
take_result(const struct link_frame *frame)
{
	REQUIRE(!model.is_told);
	model.is_told = true;
	for (size_t i = 0; i < frame->data_len; i++)
		REQUIRE(frame->data[i] >= ' ' && frame->data[i] <= '~');
	REQUIRE(frame->u.result.ok == (frame->data_len == 0));
	REQUIRE(!frame->u.result.ok || model.is_listed);
	REQUIRE(!model.in_message);
}

static void
take_leave_frame(const struct link_frame *frame)
{
	const struct row *row;

	switch (frame->type) {
	case LINK_DELETED:
	case LINK_UNDELETED:
		row = find_row(frame->number);
		REQUIRE(row != NULL && row->fate == FATE_DELETED && !model.has_agreed);
		model.deleted += frame->type == LINK_DELETED;
		break;
	case LINK_QUITTING:
		REQUIRE(model.deleted != 0 && !model.has_agreed);
		model.has_agreed = true;
		link_put(model.link, LINK_AGREED);
		break;
	case LINK_GONE:
		REQUIRE(model.has_agreed && !model.says_gone);
		REQUIRE(!server.is_polite || server.quit_is_ok);
		model.says_gone = true;
		break;
	default:
		abort();
	}
}

static int
compare_rows(const void *a, const void *b)
{
	uint32_t x = ((const struct row *)a)->number, y = ((const struct row *)b)->number;

	return x < y ? -1 : x > y;
}

/* Each message once, and nothing of a listing that the server has not ended. */
static void
take_whole_listing(void)
{
	const char *uidl = buf_data(&model.ids);

	REQUIRE(model.has_server && model.sized == model.count);
	for (size_t i = 0; i < model.count && server.is_polite; i++) {
		REQUIRE(memmem(buf_data(&server.uidl), server.uidl.len, uidl,
				model.rows[i].uidl_len) != NULL);
		uidl += model.rows[i].uidl_len;
	}
	if (server.is_polite)
		REQUIRE(server.list_is_whole && (!model.has_uidl || server.uidl_is_whole));
	if (model.count != 0)
		qsort(model.rows, model.count, sizeof *model.rows, compare_rows);
	for (size_t i = 1; i < model.count; i++)
		REQUIRE(model.rows[i - 1].number < model.rows[i].number);
	model.is_listed = true;
	send_plan();
}

static void
take_listing_frame(const struct link_frame *frame)
{
	REQUIRE(!model.is_listed);
	switch (frame->type) {
	case LINK_LISTING:
		REQUIRE(!model.has_server && frame->value <= 1);
		model.has_begun = true;
		model.has_uidl = frame->value == 1;
		model.count = model.sized = 0;
		buf_clear(&model.ids);
		break;
	case LINK_ROW:
		take_row(&frame->u.row);
		break;
	case LINK_SIZES:
		model.sized += frame->data_len / sizeof(uint64_t);
		REQUIRE(model.sized <= model.count && frame->data_len % sizeof(uint64_t) == 0);
		break;
	case LINK_SERVER:
		REQUIRE(model.has_begun && !model.has_server);
		model.has_server = true;
		break;
	default:
		REQUIRE(frame->value == model.count);
		take_whole_listing();
		break;
	}
}

static void
take_frame(const struct link_frame *frame)
{
	REQUIRE(!model.is_told);
	switch (frame->type) {
	case LINK_PHASE:
		REQUIRE(!model.has_server);
		break;
	case LINK_LISTING:
	case LINK_ROW:
	case LINK_SIZES:
	case LINK_SERVER:
	case LINK_LISTED:
		take_listing_frame(frame);
		break;
	case LINK_HEAD:
		REQUIRE(find_row(frame->number) != NULL &&
			find_row(frame->number)->fate == FATE_HEAD);
		break;
	case LINK_DRAINED:
		REQUIRE(!model.in_message && model.is_listed);
		settle();
		break;
	case LINK_RESULT:
		take_result(frame);
		break;
	case LINK_ALIVE:
		break;
	case LINK_DELETED:
	case LINK_UNDELETED:
	case LINK_QUITTING:
	case LINK_GONE:
		take_leave_frame(frame);
		break;
	default:
		take_message_frame(frame);
		break;
	}
}

/* The deliverer's turn; whether anything happened. */
static bool
deliver(void)
{
	struct link_frame frame;
	struct error err;
	bool any = false;
	int found = 0;

	if (model.link == NULL)
		return false;
	/* The fetcher's end stays open until it has returned. */
	REQUIRE(link_fill(model.link, &err) >= 0);
	while (!model.is_told && (found = link_next(model.link, &frame, &err)) > 0) {
		take_frame(&frame);
		any = true;
	}
	REQUIRE(found >= 0);
	REQUIRE(link_flush(model.link, &err) == 0);
	if (model.is_told)
		hang_up();
	return any;
}

static bool
pump(void)
{
	bool heard = hear(), delivered = deliver();

	return heard || delivered || say();
}

static void
choose_account(struct feed *feed, struct account *account, bool *lock_step_out)
{
	/* Lists that overlap: each choice begins somewhere and ends at the next NULL. */
	static char *names[] = {(char *)"PLAIN", NULL, (char *)"LOGIN", NULL, (char *)"CRAM-MD5",
		NULL, (char *)"SCRAM-SHA-256", NULL, (char *)"SCRAM-SHA-1", (char *)"APOP",
		(char *)"USER", NULL};
	static const uint8_t beginnings[] = {0, 0, 2, 4, 6, 9, 10, 8};
	uint8_t options = feed_octet(feed), choice = feed_octet(feed) % 8;

	*account = (struct account){
		.name = (char *)"home",
		.host = (char *)"pop.example.org",
		.port = 110,
		.tls = ACCOUNT_TLS_NONE,
		.user = options & 64 ? (char *)"j\xc3\xa4ne" : (char *)"jane",
		.auth = choice != 0 ? names + beginnings[choice] : NULL,
		.pipelining = (enum account_pipelining)(options % 3),
		.quit_after_failure = options & 4,
		.timeout_ms = 60000,
		.connect_timeout_ms = 30000,
	};
	account->keep.kind = options & 128 ? ACCOUNT_KEEP_FOREVER : ACCOUNT_KEEP_NEVER;
	*lock_step_out = options & 8;
	server.is_polite = (options & 16) == 0;
}

static void
begin(void)
{
	static struct account anybody;
	static struct account *const clients[] = {&anybody};
	static bool is_prepared;
	struct error err;

	if (!is_prepared) {
		log_init(&(struct log_settings){.level = LOG_LEVEL_ERROR});
		REQUIRE(fetcher_prepare(clients, 1, &err) == 0);
	}
	is_prepared = true;
	world_reset();
	memset(&server, 0, sizeof server);
	memset(&model, 0, sizeof model);
	server.fd = -1;
	world_pump = pump;
	world_connect = connect_to_server;
}

static void
end(void)
{
	if (server.fd >= 0)
		close(server.fd);
	hang_up();
	buf_release(&server.heard);
	buf_release(&server.out);
	buf_release(&server.bodies);
	buf_release(&server.uidl);
	buf_release(&model.text);
	free(model.rows);
	buf_release(&model.ids);
	free(model.unsettled);
	world_reset();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed = {data, size};
	struct secret password = {0}, ticket = {0};
	struct account account;
	struct link *link;
	bool lock_step;
	struct link_memory memory;
	int ends[2], status;

	begin();
	choose_account(&feed, &account, &lock_step);
	model.plan = feed_octet(&feed);
	model.outcomes = feed_octet(&feed);
	/* The corpora were made with the octet of the outcomes alone. */
	memory = (struct link_memory){.has_capa = model.outcomes & 16,
		.expire_now = model.outcomes & 32,
		.utf8 = model.outcomes & 64};
	server.cutter = cutter_from(&feed);
	server.says = feed;
	secret_set(&password, PASSWORD, strlen(PASSWORD));
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	model.link = link_new(ends[0]);
	link = link_new(ends[1]);
	status = fetcher_run(&account, &password, &ticket, link, lock_step, &memory);
	/* A deliverer that dies may leave in its socket what was handed over. */
	REQUIRE(status == 0 ? model.is_told || model.has_died : !model.is_told);
	REQUIRE(!secret_is_set(&password));
	link_free(link);
	secret_release(&password);
	end();
	return 0;
}
