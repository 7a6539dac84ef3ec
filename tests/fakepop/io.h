/*
 * One connection of the test server, in clear or under TLS: client lines in,
 * octets out, the transcript beside it. Each session is a process of its own,
 * so whatever ends the connection ends the process: io_end() does not return,
 * and neither do the others when the client has gone.
 *
 * Output is collected and sent when a line is asked for and none is there, or
 * when much is waiting: pipelined commands are answered in few, large writes.
 */
#ifndef POPHAUL_TESTS_FAKEPOP_IO_H
#define POPHAUL_TESTS_FAKEPOP_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <gnutls/gnutls.h>

struct io_settings {
	int fd;
	unsigned session;
	int transcript; /* -1: none */
	gnutls_certificate_credentials_t credentials;
	const char *priority;      /* of GnuTLS; NULL: the default */
	gnutls_datum_t ticket_key; /* empty: no tickets */
	int64_t latency_ms;        /* waited before input is looked at: an imitated round trip */
	bool asks_for_certificate; /* and lets in only who shows one that its authorities signed */
};

enum io_ending {
	IO_BYE,  /* close_notify where there is TLS, then FIN */
	IO_DROP, /* FIN alone */
	IO_RESET /* RST */
};

struct io *io_new(const struct io_settings *settings);

/* Shake hands; what was received in clear and not yet read is thrown away. */
void io_start_tls(struct io *io);
bool io_is_tls(const struct io *io);

/* The next line without its CRLF or LF, NUL-ended; holds until the next call. Ends at the client's EOF. */
char *io_read_line(struct io *io, size_t *len_out);

/* Whether the client has sent more than was read, so far as can be told without waiting. */
bool io_has_input(struct io *io);
void io_discard_input(struct io *io);

void io_write(struct io *io, const void *data, size_t len);

/* `data` again and again, `octets` in all, or, when that is 0, until the client has gone. */
void io_flood(struct io *io, const char *data, size_t len, uint64_t octets);

/* Text and CRLF. */
void io_line(struct io *io, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Room in the output itself for at most `room` octets; io_commit() says how many were filled. */
char *io_reserve(struct io *io, size_t room);
void io_commit(struct io *io, size_t len);

void io_flush(struct io *io);

/* Send `octets` more octets, then end with IO_DROP. */
void io_cut_after(struct io *io, uint64_t octets);

/* From now on at most `octets` at a time, with `ms` between. */
void io_drip(struct io *io, size_t octets, int64_t ms);

/* An event for the transcript: "SESSION* TEXT". */
void io_note(struct io *io, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Flush, note `why` in the transcript, close, exit. */
_Noreturn void io_end(struct io *io, enum io_ending ending, const char *why);

/* Flush, then read and ignore until the client goes. */
_Noreturn void io_stall(struct io *io);

#endif
