#include "deliver/receive.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/quote.h"
#include "base/xalloc.h"
#include "deliver/header.h"
#include "link/bound.h"

struct receive {
	struct receive_settings settings;
	char *received_head; /* of a Received: line, up to its date; NULL: none is added */
	struct digest_state *digest;

	/* the message on its way */
	bool is_open;
	size_t row;
	uint64_t octets;
	bool wants_header; /* the destination asks for the sender, and the header goes on */
	struct buf header;
	bool has_failed;      /* its octets are dropped; */
	struct error failure; /* the reason */

	ssize_t broke_at; /* -1: the session did not break off at any */
};

static char *
make_received_head(const struct account *account)
{
	char host[256] = "";

	if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0')
		memcpy(host, "localhost", sizeof "localhost");
	return xasprintf("Received: from %s (POP3 server)\n\tby %s with POP3 for %s;\n\t",
		account->host != NULL ? account->host : "unknown", host, account->name);
}

struct receive *
receive_new(const struct receive_settings *settings)
{
	struct receive *receive = xcalloc(1, sizeof *receive);

	receive->settings = *settings;
	receive->broke_at = -1;
	receive->digest = digest_new();
	if (settings->account->received)
		receive->received_head = make_received_head(settings->account);
	return receive;
}

void
receive_free(struct receive *receive)
{
	if (receive == NULL)
		return;
	receive_abandon(receive);
	digest_free(receive->digest);
	buf_release(&receive->header);
	free(receive->received_head);
	free(receive);
}

bool
receive_is_open(const struct receive *receive)
{
	return receive->is_open;
}

uint64_t
receive_octets(const struct receive *receive)
{
	return receive->settings.tally->octets_done + (receive->is_open ? receive->octets : 0);
}

/* RFC 5322 section 3.3, in English whatever the locale. */
static void
format_date(char *out, size_t size)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t now = (time_t)clock_wall_seconds();
	struct tm tm;
	char zone[8] = "+0000";

	if (localtime_r(&now, &tm) == NULL)
		gmtime_r(&now, &tm);
	strftime(zone, sizeof zone, "%z", &tm);
	snprintf(out, size, "%s, %d %s %d %02d:%02d:%02d %s\n", days[tm.tm_wday], tm.tm_mday,
		months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec, zone);
}

static int
write_received(struct receive *receive, struct error *err)
{
	struct dest *dest = receive->settings.dest;
	char date[64];

	if (receive->received_head == NULL)
		return 0;
	format_date(date, sizeof date);
	if (dest_write(dest, receive->received_head, strlen(receive->received_head), err) != 0)
		return -1;
	return dest_write(dest, date, strlen(date), err);
}

static int
begin(struct receive *receive, size_t row, struct error *err)
{
	unsigned char *state = &receive->settings.roster->states[row];
	struct digest unused;

	if (receive->is_open || *state != MESSAGE_AWAITED)
		return error_set(err, ERROR_BUG, "the fetcher began message %u out of turn",
			receive->settings.roster->rows[row].number);
	*state = MESSAGE_OPEN;
	receive->is_open = true;
	receive->row = row;
	receive->octets = 0;
	receive->wants_header = receive->settings.account->dest.kind != ACCOUNT_DEST_MAILDIR;
	buf_clear(&receive->header);
	digest_finish(receive->digest, &unused);
	receive->has_failed = dest_begin(receive->settings.dest, &receive->failure) != 0;
	if (!receive->has_failed && write_received(receive, &receive->failure) != 0) {
		dest_abandon(receive->settings.dest);
		receive->has_failed = true;
	}
	return 0;
}

static void
collect_header(struct receive *receive, const char *data, size_t len)
{
	size_t room = RECEIVE_HEADER_MAX - receive->header.len;

	buf_append(&receive->header, data, len < room ? len : room);
	receive->wants_header = receive->header.len < RECEIVE_HEADER_MAX &&
		memmem(buf_data(&receive->header), receive->header.len, "\n\n", 2) == NULL;
}

static int
take_data(struct receive *receive, const struct link_frame *frame, struct error *err)
{
	const struct plan_row *row;

	if (!receive->is_open)
		return error_set(err, ERROR_BUG, "the fetcher sent text of no message");
	row = &receive->settings.roster->rows[receive->row];
	receive->octets += frame->data_len;
	/* The fetcher cuts what has no end, but for the frame that tells it so. */
	if (receive->octets > bound_message_octets(row->octets) + LINK_PAYLOAD_MAX)
		return error_set(
			err, ERROR_BUG, "the fetcher sends message %u without an end", row->number);
	if (receive->has_failed)
		return 0;
	digest_add(receive->digest, frame->data, frame->data_len);
	if (receive->wants_header)
		collect_header(receive, frame->data, frame->data_len);
	if (dest_write(receive->settings.dest, frame->data, frame->data_len, &receive->failure) !=
		0) {
		dest_abandon(receive->settings.dest);
		receive->has_failed = true;
	}
	return 0;
}

/*
 * Delivered before, and deleted as the server said, which it has not done (Cyrus says +OK to QUIT
 * although it could not).
 */
static bool
is_relisted(struct receive *receive, const struct uidl_id *id, struct commit_item *item)
{
	struct uidl_entry *entry;

	if (id->none)
		return false;
	entry = uidl_find_gone(receive->settings.uidl, id, &item->digest);
	if (entry == NULL)
		return false;
	entry->mark = true;
	item->fate = COMMIT_RECORD;
	item->source = entry;
	/* It was old enough when it was deleted. */
	item->deletes = receive->settings.account->keep.kind != ACCOUNT_KEEP_FOREVER;
	receive->settings.tally->relisted++;
	return true;
}

/*
 * Delivered before under another id, or, where there are no ids, in a session that died before
 * QUIT.
 */
static void
look_for_digest(struct receive *receive, const struct plan_row *row, struct commit_item *item)
{
	struct uidl_entry *entry = uidl_find_digest(receive->settings.uidl, &item->digest);

	item->fate = COMMIT_DELIVER;
	if (entry == NULL)
		return;
	entry->mark = true;
	item->deletes |= entry->due;
	if (row->none && entry->status == UIDL_GOT) {
		item->fate = COMMIT_KNOWN;
		item->entry = entry;
	} else {
		item->fate = COMMIT_RECORD;
		item->source = entry;
	}
}

static bool
is_same(const struct digest *a, const struct digest *b)
{
	return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* What the id could not settle, the digest does. */
static void
decide(struct receive *receive, const struct plan_row *row, struct commit_item *item)
{
	struct uidl_entry *known = NULL, *of_id = NULL;
	struct uidl_id id = roster_id(receive->settings.roster, row);

	item->deletes = row->delete_after;
	if (row->verdict == PLAN_COMPARE) {
		if (!row->is_shared)
			of_id = uidl_entry_at(receive->settings.uidl, row->entry);
		if (row->is_shared)
			known = uidl_find_exact(receive->settings.uidl, &id, &item->digest);
		else if (is_same(&of_id->digest, &item->digest))
			known = of_id;
		if (known != NULL) {
			known->mark = true;
			item->fate = COMMIT_KNOWN;
			item->entry = known;
			return;
		}
		item->deletes = row->delete_if_new;
		item->retired = of_id;
	}
	if (!is_relisted(receive, &id, item))
		look_for_digest(receive, row, item);
}

static int
stage(struct receive *receive, struct error *err)
{
	char noted[HEADER_SENDER_SIZE], sender[DEST_SENDER_MAX] = DEST_SENDER_UNKNOWN;
	const struct buf *header = &receive->header;

	if (header_sender(buf_data(header), header->len, noted))
		dest_clean_sender(noted, strlen(noted), sender);
	return dest_end(receive->settings.dest, sender, err);
}

static void
close_message(struct receive *receive)
{
	const struct plan_row *row = &receive->settings.roster->rows[receive->row];
	uint64_t octets = row->octets != LINK_OCTETS_UNKNOWN ? row->octets : receive->octets;

	receive->settings.tally->octets_done += octets;
	receive->is_open = false;
}

/*
 * Messages read ahead of a command that takes minutes are not worth making a person wait for, who
 * has asked us to stop. Where a group is one commit, it is made.
 */
static bool
is_too_late(const struct receive *receive)
{
	const volatile int *stop = receive->settings.stop;

	return stop != NULL && *stop != 0 &&
		dest_limits(receive->settings.dest)->group_messages == 1;
}

static void
end(struct receive *receive)
{
	const struct plan_row *row = &receive->settings.roster->rows[receive->row];
	struct commit_item item = {.row = receive->row, .octets = receive->octets};

	close_message(receive);
	if (!receive->has_failed) {
		digest_finish(receive->digest, &item.digest);
		decide(receive, row, &item);
		if (item.fate != COMMIT_DELIVER) {
			dest_abandon(receive->settings.dest);
		} else if (is_too_late(receive)) {
			dest_abandon(receive->settings.dest);
			error_set(&receive->failure, ERROR_INTERRUPTED, "asked to stop");
			receive->has_failed = true;
		} else if (stage(receive, &receive->failure) != 0) {
			receive->has_failed = true;
		}
	}
	if (receive->has_failed)
		commit_fail(receive->settings.commit, receive->row, &receive->failure);
	else
		commit_add(receive->settings.commit, &item);
}

void
receive_abandon(struct receive *receive)
{
	if (!receive->is_open)
		return;
	if (!receive->has_failed)
		dest_abandon(receive->settings.dest);
	receive->settings.roster->states[receive->row] = MESSAGE_FAILED;
	receive->is_open = false;
	receive->broke_at = (ssize_t)receive->row;
}

ssize_t
receive_broke_at(const struct receive *receive)
{
	return receive->broke_at;
}

static int
cut(struct receive *receive, size_t row, struct error *err)
{
	enum message_state state = receive->settings.roster->states[row];
	struct error reason;

	/* Nothing of it came: it is as if it had not been asked for, but for what is noted. */
	if (state == MESSAGE_AWAITED && !receive->is_open) {
		receive->broke_at = (ssize_t)row;
		return 0;
	}
	if (!receive->is_open || receive->row != row)
		return error_set(err, ERROR_BUG, "the fetcher cut message %u out of turn",
			receive->settings.roster->rows[row].number);
	receive_abandon(receive);
	error_set(&reason, ERROR_DELIVERY_TEMP, "it did not come to its end");
	tally_fail(receive->settings.tally, &receive->settings.roster->rows[row], &reason);
	return 0;
}

/* The fetcher keeps the credit of what was refused, and awaits no settlement. */
static int
refuse(struct receive *receive, size_t row, const struct link_frame *frame, struct error *err)
{
	unsigned char *state = &receive->settings.roster->states[row];
	char quoted[QUOTE_SIZE];
	struct error reason;

	if (*state != MESSAGE_AWAITED)
		return error_set(err, ERROR_BUG,
			"the fetcher says that message %u was refused, out of turn", frame->number);
	*state = MESSAGE_FAILED;
	error_set(&reason, ERROR_DELIVERY_TEMP, "the server refuses it: \"%s\"",
		quote_bytes(quoted, frame->data, frame->data_len));
	tally_fail(receive->settings.tally, &receive->settings.roster->rows[row], &reason);
	return 0;
}

int
receive_take(struct receive *receive, const struct link_frame *frame, struct error *err)
{
	ssize_t row;

	if (frame->type == LINK_DATA)
		return take_data(receive, frame, err);
	row = roster_find(receive->settings.roster, frame->number, err);
	if (row < 0)
		return -1;
	switch (frame->type) {
	case LINK_BEGIN:
		return begin(receive, (size_t)row, err);
	case LINK_END:
		if (!receive->is_open || receive->row != (size_t)row)
			return error_set(err, ERROR_BUG,
				"the fetcher ended message %u, which is not on its way",
				frame->number);
		end(receive);
		return 0;
	case LINK_CUT:
		return cut(receive, (size_t)row, err);
	default:
		assert(frame->type == LINK_REFUSED);
		return refuse(receive, (size_t)row, frame, err);
	}
}
