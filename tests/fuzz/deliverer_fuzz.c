/*
 * The deliverer against a fetcher that has been taken over: frames of a case's
 * making, well-formed or not, sensible or not, in any order, over several sessions on one
 * state and one destination. Whatever comes, the session ends, nothing is
 * written but the state and the mailbox, and nothing is in them that did not
 * come whole.
 *
 * A case begins with the account, one octet, and the lengths of the pieces in which frames
 * arrive. The rest are operations: an octet (enum operation) and what it takes.
 */
#include <sys/socket.h>

#include "base/buf.h"
#include "base/log.h"
#include "deliver/deliverer.h"
#include "folder.h"
#include "fuzz.h"
#include "remains.h"
#include "world.h"

#define SESSIONS_MAX 4

/* Frames that wait in the socket: as many octets as it surely takes. */
#define SENT_AT_ONCE 4096

enum operation {
	OP_RAW, /* a length, octets */
	OP_PHASE,
	OP_SERVER,
	OP_ROW,        /* a number, an id's letter, a size */
	OP_LISTING,    /* everything up to LINK_LISTED, of so many rows */
	OP_LISTED,     /* the right count */
	OP_LISTED_ODD, /* any count */
	OP_BEGIN,      /* the next wanted message */
	OP_BEGIN_ANY,
	OP_DATA, /* a length, octets */
	OP_DATA_BIG,
	OP_END, /* the message that was begun */
	OP_END_ANY,
	OP_CUT,
	OP_REFUSED,
	OP_MESSAGES, /* every wanted message, whole */
	OP_DRAINED,
	OP_DELETED, /* the next message that may be deleted */
	OP_DELETED_ANY,
	OP_UNDELETED,
	OP_DELETIONS, /* all that may be deleted */
	OP_QUITTING,
	OP_GONE,
	OP_RESULT,
	OP_ALIVE,
	OP_HEAD,
	OP_PAUSE,   /* until the deliverer has answered what was sent */
	OP_HANG_UP, /* the session is over for the fetcher, the next one begins */
	OP_STOP,    /* a signal */
	OP_SILENCE, /* for as long as the deliverer waits */
	OP_COUNT
};

struct numbers {
	uint32_t *list;
	size_t count, next;
};

static struct feed script;
static struct cutter cutter;
static struct link *link_out; /* the fetcher's; NULL: it has hung up */
static struct link *poller;   /* the poller's end */
static volatile int stop_flag;
static struct numbers wanted, doomed;
static uint64_t rows;
static struct buf sizes; /* of the rows, as far as they are not told */
static struct link_server facts;
static bool has_facts; /* facts to be told at the end of the listing */
static bool in_message, says_gone, is_resting, is_pausing;
static uint32_t current;
static unsigned deletions;
static unsigned renewals; /* of the token, in a session */
static bool is_tokenless; /* and none is to be had */
static struct buf text;
static char *root;

static void
add_number(struct numbers *numbers, uint32_t number)
{
	numbers->list = xreallocarray(numbers->list, numbers->count + 1, sizeof number);
	numbers->list[numbers->count++] = number;
}

static uint32_t
next_number(struct numbers *numbers)
{
	return numbers->next < numbers->count ? numbers->list[numbers->next++] : 1;
}

static void
forget_numbers(struct numbers *numbers)
{
	free(numbers->list);
	*numbers = (struct numbers){0};
}

/* Small numbers mostly, so that they meet; absurd ones too. */
static uint32_t
any_number(void)
{
	uint8_t octet = feed_octet(&script);

	return octet < 250 ? octet % 16U : feed_u32(&script) | 1U;
}

static void
put_begin(uint32_t number)
{
	link_put_number(link_out, LINK_BEGIN, number);
	in_message = true;
	current = number;
	buf_clear(&text);
}

static void
put_text(const void *data, size_t len)
{
	link_put_data(link_out, LINK_DATA, data, len);
	buf_append(&text, data, len);
}

static void
put_end(uint32_t number)
{
	if (in_message && number == current)
		remains_note_whole(buf_data(&text), text.len);
	in_message = false;
	link_put_number(link_out, LINK_END, number);
}

static void
put_row(uint32_t number, uint8_t letter, uint64_t octets)
{
	char id[2] = {'a', (char)letter};
	const struct link_row row = {
		.number = number != 0 ? number : 1, .uidl = id, .uidl_len = letter % 3};

	link_put_row(link_out, &row);
	buf_append(&sizes, &octets, sizeof octets);
	rows++;
}

static void
put_beginning(bool has_uidl)
{
	link_put_value(link_out, LINK_LISTING, has_uidl);
	buf_clear(&sizes);
	rows = 0;
}

static void
put_sizes(void)
{
	link_put_data(link_out, LINK_SIZES, buf_data(&sizes), sizes.len);
	buf_clear(&sizes);
}

/* A listing begins; its facts are kept for its end, unless they are to come too early, or twice. */
static void
put_server(void)
{
	uint8_t octet = feed_octet(&script);

	facts = (struct link_server){
		.memory = {.expire_now = octet & 2, .has_capa = octet & 64, .utf8 = octet & 128},
		.login_delay = octet & 8 ? 30 : 0
        };
	if ((octet & 48) != 48)
		put_beginning((octet & 1) == 0);
	if ((octet & 32) != 0)
		put_sizes();
	if ((octet & 16) != 0)
		link_put_server(link_out, &facts);
	has_facts = (octet & 16) == 0;
}

static void
put_listed(void)
{
	put_sizes();
	if (has_facts)
		link_put_server(link_out, &facts);
	has_facts = false;
	link_put_value(link_out, LINK_LISTED, rows);
}

static void
put_listing(void)
{
	uint8_t count = feed_octet(&script) % 16, letter = feed_octet(&script);
	const uint64_t octets = 10;

	link_put_value(link_out, LINK_PHASE, LINK_PHASE_LOGGED_IN);
	facts = (struct link_server){0};
	has_facts = true;
	put_beginning(true);
	for (uint8_t i = 1; i <= count; i++) {
		char id[8];
		int len = snprintf(id, sizeof id, "%02x", (unsigned)(letter + i) & 0xff);

		link_put_row(link_out,
			&(struct link_row){.number = i, .uidl = id, .uidl_len = (size_t)len});
		buf_append(&sizes, &octets, sizeof octets);
		rows++;
	}
	put_listed();
}

static void
put_messages(void)
{
	uint8_t kind = feed_octet(&script);

	while (wanted.next < wanted.count) {
		uint32_t number = next_number(&wanted);
		char line[64];
		int len =
			snprintf(line, sizeof line, "From: a%u\nFrom %u\n\n.\n", kind, number % 4);

		put_begin(number);
		put_text(line, (size_t)len);
		put_end(number);
	}
}

static void
put_result(void)
{
	uint8_t octet = feed_octet(&script);
	const struct link_result result = {.ok = octet & 1,
		.class = (enum error_class)((octet >> 2) % ERROR_CLASS_COUNT),
		.no_pipelining = octet & 2,
		.out_of_step = octet & 128,
		.capa_broke = octet & 64,
		.doubtful = octet >> 7};

	link_put_result(link_out, &result, octet & 1 ? "" : "why\33[31m");
	/* What follows is most often for the next session. */
	is_pausing = true;
}

/* What raw octets, which begin where a frame does, come to if they are frames. */
static void
note_raw(struct feed octets)
{
	struct {
		uint32_t len, type;
	} head;

	while (octets.len >= sizeof head) {
		struct feed payload;

		memcpy(&head, feed_take(&octets, sizeof head).data, sizeof head);
		payload = feed_take(&octets, head.len);
		if (payload.len < head.len)
			return;
		if (head.type == LINK_BEGIN)
			buf_clear(&text);
		else if (head.type == LINK_DATA)
			buf_append(&text, payload.data, payload.len);
		else if (head.type == LINK_END)
			remains_note_whole(buf_data(&text), text.len);
		deletions += head.type == LINK_DELETED;
		says_gone |= head.type == LINK_GONE;
	}
}

static void
hang_up(void)
{
	link_free(link_out);
	link_out = NULL;
}

/* Raw octets are the last of a session. */
static void
put_raw(void)
{
	struct feed octets = feed_take(&script, feed_octet(&script));
	struct error err;

	/* In front of it goes what was put before it. */
	if (link_flush(link_out, &err) == 0 && link_pending(link_out) == 0 && octets.len != 0) {
		note_raw(octets);
		(void)!send(link_fd(link_out), octets.data, octets.len, MSG_NOSIGNAL);
	}
	hang_up();
}

/* The operations about one message. */
static void
put_of_message(enum operation op)
{
	static const char big[60000];
	struct feed octets;

	switch (op) {
	case OP_BEGIN:
		put_begin(next_number(&wanted));
		break;
	case OP_BEGIN_ANY:
		put_begin(any_number());
		break;
	case OP_DATA:
		octets = feed_take(&script, feed_octet(&script));
		put_text(octets.data, octets.len);
		break;
	case OP_DATA_BIG:
		put_text(big, sizeof big);
		break;
	case OP_END:
		put_end(current);
		break;
	case OP_END_ANY:
		put_end(any_number());
		break;
	case OP_CUT:
		link_put_number(
			link_out, LINK_CUT, feed_octet(&script) & 1 ? current : any_number());
		in_message = false;
		break;
	case OP_REFUSED:
		link_put_text(link_out, LINK_REFUSED,
			feed_octet(&script) & 1 ? next_number(&wanted) : any_number(), "no\33", 3);
		break;
	case OP_HEAD:
		link_put_text(link_out, LINK_HEAD, any_number(), "Subject: \33\n\n", 12);
		break;
	default:
		put_messages();
		break;
	}
}

/*
 * A phase, or the wish for a fresh token, which only an account with a token may have, once; or a
 * ticket, of which one may come, behind the plan.
 */
static void
put_phase(uint8_t octet)
{
	static const char ticket[LINK_TICKET_MAX + 1];

	if (octet >= 0xc0)
		link_put_data(link_out, LINK_TICKET, ticket,
			octet == 0xff ? sizeof ticket : (octet & 0x3fu));
	else if (octet >= 0x80)
		link_put(link_out, LINK_WANT_TOKEN);
	else
		link_put_value(link_out, LINK_PHASE, octet % 4);
}

static void
put_of_listing(enum operation op)
{
	uint32_t number;
	uint8_t letter;

	switch (op) {
	case OP_PHASE:
		put_phase(feed_octet(&script));
		break;
	case OP_SERVER:
		put_server();
		break;
	case OP_ROW:
		number = any_number();
		letter = feed_octet(&script) % 8;
		put_row(number, letter, feed_octet(&script));
		break;
	case OP_LISTING:
		put_listing();
		break;
	case OP_LISTED:
		put_listed();
		break;
	default:
		link_put_value(link_out, LINK_LISTED, any_number());
		break;
	}
}

static void
put_of_leaving(enum operation op)
{
	switch (op) {
	case OP_DELETED:
		link_put_number(link_out, LINK_DELETED, next_number(&doomed));
		deletions++;
		break;
	case OP_DELETED_ANY:
		link_put_number(link_out, LINK_DELETED, any_number());
		deletions++;
		break;
	case OP_UNDELETED:
		link_put_text(link_out, LINK_UNDELETED, next_number(&doomed), "no", 2);
		break;
	case OP_DELETIONS:
		for (; doomed.next < doomed.count; deletions++)
			link_put_number(link_out, LINK_DELETED, next_number(&doomed));
		break;
	case OP_QUITTING:
		link_put(link_out, LINK_QUITTING);
		break;
	case OP_GONE:
		link_put(link_out, LINK_GONE);
		says_gone = true;
		break;
	case OP_DRAINED:
		link_put(link_out, LINK_DRAINED);
		break;
	case OP_ALIVE:
		link_put(link_out, LINK_ALIVE);
		break;
	default:
		put_result();
		break;
	}
}

static void
operate(void)
{
	enum operation op = (enum operation)(feed_octet(&script) % OP_COUNT);

	switch (op) {
	case OP_RAW:
		put_raw();
		break;
	case OP_PAUSE:
		is_pausing = true;
		break;
	case OP_SILENCE:
		is_resting = true;
		break;
	case OP_STOP:
		stop_flag = 15;
		break;
	case OP_HANG_UP:
		hang_up();
		break;
	case OP_PHASE:
	case OP_SERVER:
	case OP_ROW:
	case OP_LISTING:
	case OP_LISTED:
	case OP_LISTED_ODD:
		put_of_listing(op);
		break;
	case OP_DRAINED:
	case OP_DELETED:
	case OP_DELETED_ANY:
	case OP_UNDELETED:
	case OP_DELETIONS:
	case OP_QUITTING:
	case OP_GONE:
	case OP_RESULT:
	case OP_ALIVE:
		put_of_leaving(op);
		break;
	default:
		put_of_message(op);
		break;
	}
}

static void
take_frame(const struct link_frame *frame)
{
	switch (frame->type) {
	case LINK_ACTION:
		if (frame->u.verb == LINK_VERB_FETCH)
			add_number(&wanted, frame->number);
		else if (frame->u.verb == LINK_VERB_DELETE)
			add_number(&doomed, frame->number);
		break;
	case LINK_SETTLED:
		if (frame->u.outcome == LINK_OUTCOME_DELETE)
			add_number(&doomed, frame->number);
		break;
	case LINK_PLANNED:
	case LINK_CREDIT:
	case LINK_STOP:
	case LINK_AGREED:
		break;
	case LINK_TOKEN:
		REQUIRE(renewals == 1);
		REQUIRE(frame->data_len == (is_tokenless ? 0 : 5));
		break;
	default:
		abort();
	}
}

static void
take_frames(struct link *link, bool is_fetchers)
{
	struct link_frame frame;
	struct error err;

	while (link_fill(link, &err) > 0)
		continue;
	while (link_next(link, &frame, &err) > 0) {
		if (is_fetchers)
			take_frame(&frame);
		else
			REQUIRE(frame.type == LINK_PROGRESS || frame.type == LINK_TEXT);
	}
}

/* The fetcher's turn, whenever the deliverer waits; whether it has done anything. */
static bool
pump(void)
{
	size_t script_len = script.len, pending;
	struct error err;

	take_frames(poller, false);
	if (is_resting || link_out == NULL) {
		is_resting = false;
		return false;
	}
	take_frames(link_out, true);
	is_pausing = false;
	pending = link_pending(link_out);
	if (script.len == 0 && pending == 0) {
		hang_up();
		return true;
	}
	for (int i = cutter.lengths[cutter.turn++ % 2]; i >= 0; i--) {
		if (link_out == NULL || is_resting || is_pausing || script.len == 0 ||
			link_pending(link_out) > SENT_AT_ONCE)
			break;
		operate();
	}
	/* A deliverer that has ended hears nothing more. */
	if (link_out == NULL || link_flush(link_out, &err) != 0) {
		hang_up();
		return true;
	}
	return script.len != script_len || link_pending(link_out) < pending;
}

static int
renew_token(const struct account *account, struct secret *token_out, struct error *err)
{
	REQUIRE(account_has_token(account));
	REQUIRE(renewals++ == 0);
	if (is_tokenless)
		return error_set(err, ERROR_AUTH, "no token");
	secret_set(token_out, "fresh", 5);
	return 0;
}

static void
run_session(const struct account *account, enum deliverer_mode mode, bool verbose)
{
	char *state = xasprintf("%s/state", root);
	const struct deliverer_settings settings = {.mode = mode,
		.state_dir = state,
		.verbose = verbose,
		.ignore_back_off = true,
		.stop = &stop_flag,
		.renew_token = renew_token};
	struct error err = {.text = ""};
	struct deliverer *deliverer = deliverer_open(account, &settings, &err);
	struct link *fetcher, *reports;
	struct link_report report;
	int ends[2], texts[2];

	/* Nothing here keeps an account from being opened. */
	REQUIRE(deliverer != NULL || err.class == ERROR_BUSY || err.class == ERROR_INTERRUPTED);
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, texts) == 0);
	fetcher = link_new(ends[0]);
	link_out = link_new(ends[1]);
	reports = link_new(texts[0]);
	poller = link_new(texts[1]);
	if (deliverer != NULL) {
		int result = deliverer_run(deliverer, fetcher, reports, &report, &err);

		REQUIRE(result == 0 || err.text[0] != '\0');
		for (const char *p = err.text; *p != '\0'; p++)
			REQUIRE((unsigned char)*p >= ' ' && *p != 0x7f);
		REQUIRE(report.ok == (result == 0));
		REQUIRE(report.deleted <= deletions && report.fetched <= remains_whole_count());
		REQUIRE(report.deleted == 0 || says_gone);
	} else if (script.len != 0) {
		feed_octet(&script);
	}
	link_free(fetcher);
	link_free(link_out);
	link_free(reports);
	link_free(poller);
	link_out = NULL;
	deliverer_free(deliverer);
	free(state);
}

static void
begin(void)
{
	static bool is_prepared;

	if (!is_prepared)
		log_init(&(struct log_settings){.level = LOG_LEVEL_ERROR});
	is_prepared = true;
	world_reset();
	world_pump = pump;
	root = folder_make();
	remains_begin();
	deletions = 0;
	says_gone = false;
}

static void
end(void)
{
	folder_remove(root);
	remains_end();
	buf_release(&text);
	buf_release(&sizes);
	forget_numbers(&wanted);
	forget_numbers(&doomed);
	world_reset();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct account account = {
		.name = (char *)"home",
		.user = (char *)"jane",
		.host = (char *)"pop.example.org",
		.timeout_ms = 2000,
		.connect_timeout_ms = 2000,
		.lock_timeout_ms = 2000,
	};
	enum deliverer_mode mode;
	uint8_t options;

	begin();
	script = (struct feed){data, size};
	options = feed_octet(&script);
	cutter = cutter_from(&script);
	account.keep.kind = options & 1 ? ACCOUNT_KEEP_FOREVER : ACCOUNT_KEEP_NEVER;
	account.dest.kind = options & 2 ? ACCOUNT_DEST_MBOX : ACCOUNT_DEST_MAILDIR;
	account.max_size = options & 4 ? 40 : ACCOUNT_NO_LIMIT;
	account.max_messages = options & 8 ? 3 : ACCOUNT_NO_LIMIT;
	mode = (options & 0x30) == 0x30    ? DELIVERER_LIST
		: (options & 0x30) == 0x10 ? DELIVERER_DRY_RUN
					   : DELIVERER_FETCH;
	account.token_file = options & 0x80 ? (char *)"/token" : NULL;
	is_tokenless = options & 1;
	account.dest.path = xasprintf("%s/mail", root);
	account.dest.text = xasprintf("%s:%s", options & 2 ? "mbox" : "maildir", account.dest.path);
	for (int i = 0; i < SESSIONS_MAX && script.len != 0; i++) {
		rows = 0;
		buf_clear(&sizes);
		has_facts = false;
		in_message = false;
		current = 0;
		stop_flag = 0;
		renewals = 0;
		is_resting = false;
		wanted.count = wanted.next = doomed.count = doomed.next = 0;
		/* The first session always has something to leave. */
		run_session(&account, i == 0 ? DELIVERER_FETCH : mode, options & 0x40);
		remains_check(root, &account, says_gone);
		world_pass(100000);
	}
	free(account.dest.path);
	free(account.dest.text);
	end();
	return 0;
}
