#include "link/link.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "link/payload.h"

/* Octets asked of the socket at once. */
#define FILL_SIZE (256 * 1024)

struct head {
	uint32_t len; /* octets of payload */
	uint32_t type;
};

struct link {
	int fd;
	struct buf out;
	struct buf in;
	size_t handed_out; /* octets of `in` that the last frame occupies */
	size_t touched;    /* octets of `in`'s memory that may ever have held something */
	int64_t sent_at;   /* when octets last went to the other side, monotonic ms */
};

struct link *
link_new(int fd)
{
	struct link *link = xcalloc(1, sizeof *link);
	int flags = fcntl(fd, F_GETFL);

	assert(flags >= 0);
	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	link->fd = fd;
	link->sent_at = clock_monotonic_ms();
	return link;
}

void
link_free(struct link *link)
{
	if (link == NULL)
		return;
	close(link->fd);
	buf_release(&link->out);
	buf_release(&link->in);
	free(link);
}

int
link_fd(const struct link *link)
{
	return link->fd;
}

static void
put_head(struct link *link, enum link_type type, size_t len)
{
	struct head head = {.len = (uint32_t)len, .type = type};

	assert(len <= LINK_PAYLOAD_MAX);
	buf_append(&link->out, &head, sizeof head);
}

static void
put_u8(struct link *link, unsigned value)
{
	unsigned char octet = (unsigned char)value;

	buf_append(&link->out, &octet, sizeof octet);
}

static void
put_u32(struct link *link, uint32_t value)
{
	buf_append(&link->out, &value, sizeof value);
}

static void
put_u64(struct link *link, uint64_t value)
{
	buf_append(&link->out, &value, sizeof value);
}

void
link_put(struct link *link, enum link_type type)
{
	assert(link_payload_of(type) == PAYLOAD_NONE);
	put_head(link, type, 0);
}

void
link_put_value(struct link *link, enum link_type type, uint64_t value)
{
	assert(link_payload_of(type) == PAYLOAD_VALUE);
	put_head(link, type, 8);
	put_u64(link, value);
}

void
link_put_number(struct link *link, enum link_type type, uint32_t number)
{
	assert(link_payload_of(type) == PAYLOAD_NUMBER);
	put_head(link, type, 4);
	put_u32(link, number);
}

void
link_put_text(struct link *link, enum link_type type, uint32_t number, const void *data, size_t len)
{
	assert(link_payload_of(type) == PAYLOAD_TEXT);
	if (len > LINK_PAYLOAD_MAX - 4)
		len = LINK_PAYLOAD_MAX - 4;
	put_head(link, type, 4 + len);
	put_u32(link, number);
	buf_append(&link->out, data, len);
}

void
link_put_data(struct link *link, enum link_type type, const void *data, size_t len)
{
	const char *p = data;

	assert(link_payload_of(type) == PAYLOAD_DATA);
	while (len != 0) {
		size_t part = len < LINK_PAYLOAD_MAX ? len : LINK_PAYLOAD_MAX;

		put_head(link, type, part);
		buf_append(&link->out, p, part);
		p += part;
		len -= part;
	}
}

char *
link_reserve_data(struct link *link, size_t room)
{
	assert(room <= LINK_PAYLOAD_MAX);
	return buf_reserve(&link->out, sizeof(struct head) + room) + sizeof(struct head);
}

void
link_commit_data(struct link *link, size_t len)
{
	struct head head = {.len = (uint32_t)len, .type = LINK_DATA};

	assert(len <= LINK_PAYLOAD_MAX);
	if (len == 0)
		return;
	memcpy(buf_data(&link->out) + link->out.len, &head, sizeof head);
	buf_commit(&link->out, sizeof head + len);
}

void
link_put_server(struct link *link, const struct link_server *server)
{
	put_head(link, LINK_SERVER, 15);
	put_u8(link, server->memory.has_capa);
	put_u8(link, server->memory.expire_now);
	put_u8(link, server->memory.utf8);
	put_u64(link, (uint64_t)server->login_delay);
	put_u32(link, server->without_id);
}

void
link_put_row(struct link *link, const struct link_row *row)
{
	assert(row->uidl_len <= LINK_UIDL_MAX);
	put_head(link, LINK_ROW, 4 + row->uidl_len);
	put_u32(link, row->number);
	buf_append(&link->out, row->uidl, row->uidl_len);
}

void
link_put_action(struct link *link, uint32_t number, enum link_verb verb)
{
	put_head(link, LINK_ACTION, 5);
	put_u32(link, number);
	put_u8(link, verb);
}

void
link_put_credit(struct link *link, const struct link_credit *credit)
{
	put_head(link, LINK_CREDIT, 12);
	put_u32(link, credit->messages);
	put_u64(link, credit->octets);
}

void
link_put_settled(struct link *link, uint32_t number, enum link_outcome outcome)
{
	put_head(link, LINK_SETTLED, 5);
	put_u32(link, number);
	put_u8(link, outcome);
}

void
link_put_result(struct link *link, const struct link_result *result, const char *text)
{
	size_t len = strnlen(text, ERROR_TEXT_MAX - 1);

	put_head(link, LINK_RESULT, 9 + len);
	put_u8(link, result->ok);
	put_u8(link, result->class);
	put_u8(link, result->no_pipelining);
	put_u8(link, result->out_of_step);
	put_u8(link, result->capa_broke);
	put_u32(link, result->doubtful);
	buf_append(&link->out, text, len);
}

void
link_put_progress(struct link *link, const struct link_progress *progress)
{
	put_head(link, LINK_PROGRESS, 24);
	put_u32(link, progress->messages);
	put_u32(link, progress->messages_total);
	put_u64(link, progress->octets);
	put_u64(link, progress->octets_total);
}

void
link_put_report(struct link *link, const struct link_report *report, const char *text)
{
	size_t len = strnlen(text, ERROR_TEXT_MAX - 1);

	put_head(link, LINK_REPORT, 42 + len);
	put_u8(link, report->ok);
	put_u8(link, report->class);
	put_u32(link, report->fetched);
	put_u32(link, report->deleted);
	put_u32(link, report->left);
	put_u32(link, report->skipped);
	put_u32(link, report->failed);
	put_u32(link, report->login_delay);
	put_u64(link, report->octets);
	put_u64(link, (uint64_t)report->milliseconds);
	buf_append(&link->out, text, len);
}

static int
send_secret(struct link *link, enum link_type type, const struct secret *secret, int64_t deadline,
	struct error *err)
{
	int result;

	assert(secret->len <= LINK_PAYLOAD_MAX);
	/* What grows leaves a copy behind. */
	(void)buf_reserve(&link->out, sizeof(struct head) + secret->len);
	put_head(link, type, secret->len);
	buf_append(&link->out, secret->data, secret->len);
	result = link_flush_all(link, deadline, err);
	secret_wipe(link->out.base, link->out.size);
	/* Half a frame cannot be taken back: the link is of no more use. */
	buf_clear(&link->out);
	return result;
}

int
link_send_token(struct link *link, const struct secret *token, int64_t deadline, struct error *err)
{
	return send_secret(link, LINK_TOKEN, token, deadline, err);
}

int
link_send_ticket(
	struct link *link, const struct secret *ticket, int64_t deadline, struct error *err)
{
	assert(ticket->len <= LINK_TICKET_MAX);
	return send_secret(link, LINK_TICKET, ticket, deadline, err);
}

void
link_expect_token(struct link *link)
{
	(void)buf_reserve(&link->in, (size_t)2 * FILL_SIZE);
}

void
link_forget_token(struct link *link)
{
	struct buf *in = &link->in;
	size_t end;

	buf_consume(in, link->handed_out);
	link->handed_out = 0;
	end = in->start + in->len;
	secret_wipe(in->base, in->start);
	secret_wipe(in->base + end, link->touched - end);
	link->touched = end;
}

void
link_put_alive(struct link *link)
{
	if (link->out.len == 0 && clock_monotonic_ms() - link->sent_at >= LINK_ALIVE_MS)
		link_put(link, LINK_ALIVE);
}

size_t
link_pending(const struct link *link)
{
	return link->out.len;
}

int
link_flush(struct link *link, struct error *err)
{
	while (link->out.len != 0) {
		ssize_t n = send(link->fd, buf_data(&link->out), link->out.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (n < 0)
			return error_set_errno(err, ERROR_SYSTEM, "the other process is gone");
		buf_consume(&link->out, (size_t)n);
		link->sent_at = clock_monotonic_ms();
	}
	return 0;
}

/* 1: ready, 0: the deadline came or a signal did, -1: poll(2) failed. */
static int
wait_for(int fd, short events, int64_t deadline, struct error *err)
{
	struct pollfd watch = {.fd = fd, .events = events};
	int n = poll(&watch, 1, clock_poll_timeout(deadline));

	if (n < 0 && errno != EINTR)
		return error_set_errno(err, ERROR_SYSTEM, "cannot wait for the other process");
	return n > 0;
}

int
link_flush_all(struct link *link, int64_t deadline, struct error *err)
{
	for (;;) {
		if (link_flush(link, err) != 0)
			return -1;
		if (link->out.len == 0)
			return 0;
		if (clock_poll_timeout(deadline) == 0)
			return error_set(err, ERROR_SYSTEM, "the other process does not read");
		if (wait_for(link->fd, POLLOUT, deadline, err) < 0)
			return -1;
	}
}

int
link_fill(struct link *link, struct error *err)
{
	ssize_t n;

	buf_consume(&link->in, link->handed_out);
	link->handed_out = 0;
	do {
		n = recv(link->fd, buf_reserve(&link->in, FILL_SIZE), FILL_SIZE, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (n < 0)
		return error_set_errno(err, ERROR_SYSTEM, "the other process is gone");
	if (n == 0)
		return error_set(err, ERROR_SYSTEM, "the other process ended without a word");
	buf_commit(&link->in, (size_t)n);
	if (link->touched < link->in.start + link->in.len)
		link->touched = link->in.start + link->in.len;
	return 1;
}

size_t
link_buffered(const struct link *link)
{
	return link->in.len - link->handed_out;
}

int
link_next(struct link *link, struct link_frame *frame, struct error *err)
{
	struct head head;

	buf_consume(&link->in, link->handed_out);
	link->handed_out = 0;
	if (link->in.len < sizeof head)
		return 0;
	memcpy(&head, buf_data(&link->in), sizeof head);
	if (head.len > LINK_PAYLOAD_MAX || head.type >= LINK_TYPE_COUNT)
		return error_set(err, ERROR_BUG,
			"the other process sent a frame of type %u with %u octets", head.type,
			head.len);
	if (link->in.len < sizeof head + head.len)
		return 0;
	*frame = (struct link_frame){.type = (enum link_type)head.type};
	if (!link_parse_payload(buf_data(&link->in) + sizeof head, head.len, frame))
		return error_set(err, ERROR_BUG,
			"the other process sent a malformed frame of type %u", head.type);
	link->handed_out = sizeof head + head.len;
	return 1;
}

int
link_wait(struct link *link, struct link_frame *frame, int64_t deadline, const volatile int *stop,
	struct error *err)
{
	for (;;) {
		int result = link_next(link, frame, err);

		if (result != 0)
			return result;
		if (stop != NULL && *stop != 0)
			return 0;
		result = wait_for(link->fd, POLLIN, deadline, err);
		if (result < 0)
			return -1;
		if (result == 0 && clock_poll_timeout(deadline) == 0)
			return 0;
		if (result > 0 && link_fill(link, err) < 0)
			return -1;
	}
}
