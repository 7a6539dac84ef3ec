/*
 * The link: typed frames over a stream socketpair, between fetcher and
 * deliverer, and between a worker and the poller. It is a door in a wall: each
 * side treats the other as taken over, so every frame is checked for its type,
 * its length and its fields here; whether it makes sense NOW is the caller's
 * to check (the stories do).
 *
 * Sending: link_put_*() queues a frame in memory, link_flush() writes what the
 * socket takes. Nothing blocks except link_flush_all() and link_wait().
 * Receiving: link_fill() reads what is there, link_next() hands out whole frames
 * until it returns 0. A frame's pointers hold until the next call on
 * the same link.
 *
 * Integers travel in the machine's own order: both ends are one program.
 */
#ifndef POPHAUL_LINK_LINK_H
#define POPHAUL_LINK_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/secret.h"

/* Most octets behind a frame's head: one batch of message text, one UIDL, one header. */
#define LINK_PAYLOAD_MAX 65536

/* A size that the server did not tell. */
#define LINK_OCTETS_UNKNOWN UINT64_MAX

/* The longest UIDL that is accepted (RFC 1939 says 70; servers send more). */
#define LINK_UIDL_MAX 4096

/*
 * The most messages of a maildrop. A server's listing must not take more than 64 MiB in either
 * process, and a message takes 25 octets in the deliverer, beside its id.
 */
#define LINK_ROWS_MAX (1024u * 1024)

/*
 * The longest LOGIN-DELAY (RFC 2449 section 6.5) that is believed, in seconds: with more, a fetcher
 * that was taken over could lock the account out.
 */
#define LINK_LOGIN_DELAY_MAX 86400

/*
 * The biggest ticket of a TLS session that is kept. It has the server's certificates in it: 1.5 KB
 * with short ones, 8 KB with a chain of long ones.
 */
#define LINK_TICKET_MAX 32768

/* The most that is told of a server in LINK_INFO. */
#define LINK_INFO_MAX 262144

enum link_type {
	/* fetcher → deliverer, in this order */
	LINK_PHASE = 1, /* value: enum link_phase; before the listing */
	LINK_LISTING, /* value: 1, its rows carry ids, or 0; what came of another listing is void */
	LINK_ROW,     /* row: one message of the listing, as soon as the server has told it */
	LINK_SIZES,   /* data: 64 bits a row, the lowest number first; behind the last row */
	LINK_SERVER,  /* server: facts that decide policy */
	LINK_LISTED,  /* value: how many rows; the listing is complete */
	LINK_HEAD,  /* number, data: the header of a message (TOP n 0), for --list -v; may be cut */
	LINK_BEGIN, /* number: a message starts */
	LINK_DATA,  /* data: its next octets, lines ended by LF, dots unstuffed */
	LINK_END,   /* number: it is complete */
	LINK_CUT,   /* number: the session broke off at it, forget what came, if anything did */
	LINK_REFUSED,    /* number, data: -ERR to RETR or TOP, the server's text */
	LINK_DRAINED,    /* nothing is in flight: commit what you hold */
	LINK_DELETED,    /* number: +OK to DELE */
	LINK_UNDELETED,  /* number, data: -ERR to DELE, the server's text */
	LINK_QUITTING,   /* all DELEs are answered, QUIT waits for LINK_AGREED */
	LINK_GONE,       /* +OK to QUIT: what was DELETED is gone for good */
	LINK_RESULT,     /* result: the last frame */
	LINK_ALIVE,      /* at any time before that: the server is at work, nothing to tell yet */
	LINK_WANT_TOKEN, /* before the login: the token was refused, is there another one? Once */
	LINK_TICKET,     /* data: with what the next TLS session may begin; behind the plan, once */
	LINK_INFO, /* data: lines about the server, for --server-info, in place of all but RESULT */

	/* deliverer → fetcher */
	LINK_ACTION = 64, /* number, verb: what to do with a message, in the order of doing */
	LINK_PLANNED,     /* value: how many actions; the plan is complete */
	LINK_CREDIT,      /* credit: more may be in flight */
	LINK_SETTLED,     /* number, outcome: a fetched message's fate */
	LINK_STOP,        /* ask for nothing more, finish what is in flight, leave */
	LINK_AGREED,      /* QUIT may be sent */
	LINK_TOKEN,       /* data: the answer to LINK_WANT_TOKEN; empty: there is none */

	/* worker → poller */
	LINK_PROGRESS = 128, /* progress */
	LINK_TEXT,           /* data: lines for standard output */
	LINK_REPORT          /* report: the last frame */
};

enum link_phase { LINK_PHASE_CONNECTED, LINK_PHASE_SECURED, LINK_PHASE_LOGGED_IN };

enum link_verb { LINK_VERB_FETCH, LINK_VERB_DELETE, LINK_VERB_HEAD };

enum link_outcome {
	LINK_OUTCOME_LEAVE,  /* kept here, stays on the server */
	LINK_OUTCOME_DELETE, /* kept here, durable and recorded: DELE it */
	LINK_OUTCOME_FAILED  /* not kept: stays on the server */
};

/*
 * What is remembered of a server from session to session: what CAPA told must still hold when a
 * connection breaks before it tells it again. The deliverer keeps it in the state; the fetcher has
 * it from its birth, brings it up to date and gives it back in LINK_SERVER.
 */
struct link_memory {
	bool has_capa;   /* it has answered CAPA with a list */
	bool expire_now; /* EXPIRE 0: what was retrieved may be deleted at QUIT */
	bool utf8;       /* UTF8 stood in its list before the login */
};

struct link_server {
	struct link_memory memory;
	int64_t login_delay; /* seconds, at most LINK_LOGIN_DELAY_MAX; 0: none */
	uint32_t without_id; /* messages that LIST has and UIDL leaves out, not only the newest */
};

struct link_row {
	uint32_t number;
	const char *uidl;
	size_t uidl_len;
};

struct link_credit {
	uint32_t messages;
	uint64_t octets;
};

struct link_result {
	bool ok;
	enum error_class class; /* when not ok */
	bool no_pipelining;     /* the server broke on a pipelined batch: remember that */
	bool out_of_step;       /* its replies were not those to the commands */
	bool capa_broke;        /* it broke off at CAPA, again and again: forget that it has it */
	uint32_t doubtful;      /* doubt the messages from this number on; 0: none */
};

struct link_progress {
	uint32_t messages, messages_total;
	uint64_t octets, octets_total;
};

/* What became of an account's session. */
struct link_report {
	bool ok;
	enum error_class class; /* when not ok */
	uint32_t fetched;       /* delivered in this session */
	uint32_t deleted;       /* gone from the server, confirmed */
	uint32_t left;          /* still on the server */
	uint32_t skipped;       /* left by policy: too big, beyond a limit */
	uint32_t failed;        /* not fetched or not delivered */
	uint32_t login_delay;   /* seconds between logins that the server asks for; 0: none */
	uint64_t octets;        /* delivered */
	int64_t milliseconds;
};

/* One received frame; the fields that belong to `type` are set. */
struct link_frame {
	enum link_type type;
	uint32_t number;
	uint64_t value;
	const char *data; /* also the text of RESULT and REPORT */
	size_t data_len;
	union {
		struct link_server server;
		struct link_row row;
		struct link_credit credit;
		struct link_result result;
		struct link_progress progress;
		struct link_report report;
		enum link_verb verb;
		enum link_outcome outcome;
	} u;
};

struct link;

/* Take over `fd` (a connected stream socket, made non-blocking). Never fails. */
struct link *link_new(int fd);

/* Close and free. NULL is fine. Frames not yet flushed are lost. */
void link_free(struct link *link);

int link_fd(const struct link *link);

/* Queue a frame of no field, of a value, of a number, of a number and data. */
void link_put(struct link *link, enum link_type type);
void link_put_value(struct link *link, enum link_type type, uint64_t value);
void link_put_number(struct link *link, enum link_type type, uint32_t number);
void link_put_text(
	struct link *link, enum link_type type, uint32_t number, const void *data, size_t len);

/*
 * Queue message or output text (LINK_DATA, LINK_TEXT) or LINK_SIZES, in as many frames as needed.
 */
void link_put_data(struct link *link, enum link_type type, const void *data, size_t len);

/*
 * Room for `room` (at most LINK_PAYLOAD_MAX) octets of a LINK_DATA frame in the
 * queue itself, so that message text is written once; link_commit_data() with
 * what was filled (0 drops it) must be the next call.
 */
char *link_reserve_data(struct link *link, size_t room);
void link_commit_data(struct link *link, size_t len);

void link_put_server(struct link *link, const struct link_server *server);
void link_put_row(struct link *link, const struct link_row *row);
void link_put_action(struct link *link, uint32_t number, enum link_verb verb);
void link_put_credit(struct link *link, const struct link_credit *credit);
void link_put_settled(struct link *link, uint32_t number, enum link_outcome outcome);
void link_put_result(struct link *link, const struct link_result *result, const char *text);
void link_put_progress(struct link *link, const struct link_progress *progress);
void link_put_report(struct link *link, const struct link_report *report, const char *text);

/*
 * Send LINK_TOKEN at once, with whatever is queued before it, by `deadline`; `token` may be unset.
 * No copy of it stays in the queue, however this ends. Errors as link_flush_all().
 */
int link_send_token(struct link *link, const struct secret *token, int64_t deadline,
	struct error *err) __attribute__((warn_unused_result));

/* The same for LINK_TICKET, of at most LINK_TICKET_MAX octets. */
int link_send_ticket(struct link *link, const struct secret *ticket, int64_t deadline,
	struct error *err) __attribute__((warn_unused_result));

/*
 * Before and after a LINK_TOKEN is waited for: make room for it, so that what comes of it is not
 * moved about in memory; hand it out no more, and wipe all of the buffer that nobody waits for.
 */
void link_expect_token(struct link *link);
void link_forget_token(struct link *link);

/* The time between two signs of life; the other side's patience is a multiple of it. */
#define LINK_ALIVE_MS 1000

/*
 * Queue LINK_ALIVE, when nothing else was sent for LINK_ALIVE_MS: for a side that
 * works on what takes long. To be called as often as one likes.
 */
void link_put_alive(struct link *link);

/* Octets queued and not yet written. */
size_t link_pending(const struct link *link);

/* Write what the socket takes now. ERROR_SYSTEM when the other side is gone. */
int link_flush(struct link *link, struct error *err) __attribute__((warn_unused_result));

/* Write all, waiting until `deadline` (clock.h) at most. */
int link_flush_all(struct link *link, int64_t deadline, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Read what is there, up to a few hundred KiB. 1: something came, 0: nothing now, -1:
 * ERROR_SYSTEM, the other side is gone.
 */
int link_fill(struct link *link, struct error *err) __attribute__((warn_unused_result));

/* Octets received and not yet handed out: bounds what is read ahead. */
size_t link_buffered(const struct link *link);

/*
 * The next whole frame: 1 and `frame`, or 0: none yet, or -1: ERROR_BUG, the
 * other side sent nonsense (unknown type, wrong length, a field out of range).
 */
int link_next(struct link *link, struct link_frame *frame, struct error *err)
	__attribute__((warn_unused_result));

/*
 * link_next(), reading and waiting until `deadline` as needed. 1: a frame; 0: the
 * deadline came, or `*stop` (may be NULL) became non-zero; -1: as link_next() and link_fill().
 */
int link_wait(struct link *link, struct link_frame *frame, int64_t deadline,
	const volatile int *stop, struct error *err) __attribute__((warn_unused_result));

#endif
