/*
 * Frames of the link: any octets, whole and cut, give the same frames and the
 * same end, each frame within its bounds; and what one side puts the other gets.
 */
#include "link/link.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "fuzz.h"

/* The sockets' memory is bounded; what a case has beyond that teaches nothing new. */
#define CASE_MAX 65536

struct ends {
	struct link *link;
	int peer;
};

static struct ends
open_ends(void)
{
	struct ends ends;
	int fds[2];

	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	ends.link = link_new(fds[0]);
	ends.peer = fds[1];
	return ends;
}

static void
close_ends(struct ends *ends)
{
	link_free(ends->link);
	close(ends->peer);
}

static void
note_number(struct buf *out, uint64_t number)
{
	buf_append(out, &number, sizeof number);
}

static void
note_report(struct buf *out, const struct link_report *report)
{
	note_number(out, report->ok);
	note_number(out, report->class);
	note_number(out, report->fetched);
	note_number(out, report->deleted);
	note_number(out, report->left);
	note_number(out, report->skipped);
	note_number(out, report->failed);
	note_number(out, report->login_delay);
	note_number(out, report->octets);
	note_number(out, (uint64_t)report->milliseconds);
}

static void
note_fields(struct buf *out, const struct link_frame *frame)
{
	switch (frame->type) {
	case LINK_SERVER:
		REQUIRE(frame->u.server.login_delay >= 0);
		REQUIRE(frame->u.server.login_delay <= LINK_LOGIN_DELAY_MAX);
		note_number(out, frame->u.server.memory.expire_now);
		note_number(out, (uint64_t)frame->u.server.login_delay);
		break;
	case LINK_ROW:
		REQUIRE(frame->u.row.number != 0 && frame->u.row.uidl_len <= LINK_UIDL_MAX);
		note_number(out, frame->u.row.number);
		buf_append(out, frame->u.row.uidl, frame->u.row.uidl_len);
		break;
	case LINK_ACTION:
		REQUIRE(frame->u.verb <= LINK_VERB_HEAD);
		note_number(out, frame->u.verb);
		break;
	case LINK_SETTLED:
		REQUIRE(frame->u.outcome <= LINK_OUTCOME_FAILED);
		note_number(out, frame->u.outcome);
		break;
	case LINK_CREDIT:
		note_number(out, frame->u.credit.messages);
		note_number(out, frame->u.credit.octets);
		break;
	case LINK_RESULT:
		REQUIRE(frame->u.result.class < ERROR_CLASS_COUNT);
		note_number(out, frame->u.result.ok);
		note_number(out, frame->u.result.class);
		note_number(out, frame->u.result.no_pipelining);
		break;
	case LINK_PROGRESS:
		note_number(out, frame->u.progress.messages);
		note_number(out, frame->u.progress.messages_total);
		note_number(out, frame->u.progress.octets);
		note_number(out, frame->u.progress.octets_total);
		break;
	case LINK_REPORT:
		REQUIRE(frame->u.report.class < ERROR_CLASS_COUNT);
		note_report(out, &frame->u.report);
		break;
	default:
		break;
	}
}

static void
note_frame(struct buf *out, const struct link_frame *frame)
{
	REQUIRE(frame->data_len <= LINK_PAYLOAD_MAX);
	note_number(out, frame->type);
	note_number(out, frame->number);
	note_number(out, frame->value);
	note_number(out, frame->data_len);
	if (frame->data_len != 0)
		buf_append(out, frame->data, frame->data_len);
	note_fields(out, frame);
}

/* All frames that are there: 0, or -1 after nonsense, of which the text is then noted. */
static int
take_frames(struct link *link, struct buf *out)
{
	struct link_frame frame;
	struct error err;
	int found;

	while ((found = link_next(link, &frame, &err)) > 0)
		note_frame(out, &frame);
	if (found < 0) {
		REQUIRE(err.class == ERROR_BUG);
		buf_append_string(out, err.text);
	}
	return found;
}

static void
receive_cut(struct feed feed, struct cutter *cutter, struct buf *out)
{
	struct ends ends = open_ends();
	struct error err;
	int result = 0;

	while (feed.len != 0 && result == 0) {
		struct feed piece =
			cutter != NULL ? cutter_next(cutter, &feed) : feed_take(&feed, CASE_MAX);

		REQUIRE(write(ends.peer, piece.data, piece.len) == (ssize_t)piece.len);
		REQUIRE(link_fill(ends.link, &err) == 1);
		result = take_frames(ends.link, out);
	}
	close_ends(&ends);
}

/* A frame of a kind and with fields that the case chooses. */
static void
put_frame(struct link *link, struct feed *feed)
{
	uint8_t kind = feed_octet(feed);
	uint32_t number = feed_u32(feed);
	struct feed text = feed_take(feed, feed_octet(feed));
	const struct link_row row = {
		.number = number | 1, .uidl = (const char *)text.data, .uidl_len = text.len};
	const struct link_server server = {.memory.expire_now = kind & 128,
		.login_delay = number % (LINK_LOGIN_DELAY_MAX + 1)};
	const struct link_credit credit = {.messages = number, .octets = number};
	const struct link_result result = {.ok = kind & 64,
		.class = (enum error_class)(number % ERROR_CLASS_COUNT),
		.no_pipelining = kind & 128};
	char *string = feed_string(text);

	switch (kind % 10) {
	case 0:
		link_put(link, kind & 128 ? LINK_WANT_TOKEN : LINK_DRAINED);
		break;
	case 1:
		link_put_value(link, LINK_LISTED, number);
		break;
	case 2:
		link_put_number(link, LINK_BEGIN, number);
		break;
	case 3:
		link_put_text(link, LINK_REFUSED, number, text.data, text.len);
		break;
	case 4:
		link_put_data(link, kind & 128 ? kind & 64 ? LINK_TICKET : LINK_TOKEN : LINK_DATA,
			text.data, text.len);
		break;
	case 5:
		link_put_row(link, &row);
		break;
	case 6:
		link_put_server(link, &server);
		break;
	case 7:
		link_put_credit(link, &credit);
		break;
	case 8:
		link_put_result(link, &result, string);
		break;
	default:
		link_put_action(link, number, (enum link_verb)(kind / 10 % 3));
		break;
	}
	free(string);
}

/* What was put well-formed is taken for that. */
static void
check_putting(struct feed feed)
{
	struct ends ends = open_ends();
	struct link *other = link_new(ends.peer);
	struct buf noted = {0};
	struct error err;

	while (feed.len != 0)
		put_frame(ends.link, &feed);
	if (link_pending(ends.link) <= CASE_MAX && link_pending(ends.link) != 0) {
		REQUIRE(link_flush(ends.link, &err) == 0);
		REQUIRE(link_pending(ends.link) == 0);
		REQUIRE(link_fill(other, &err) == 1);
		REQUIRE(take_frames(other, &noted) == 0);
		REQUIRE(link_buffered(other) == 0);
	}
	buf_release(&noted);
	link_free(ends.link);
	link_free(other);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed = {data, size};
	struct cutter cutter = cutter_from(&feed);
	struct buf whole = {0}, cut = {0};

	if (feed.len > CASE_MAX)
		return 0;
	receive_cut(feed, NULL, &whole);
	receive_cut(feed, &cutter, &cut);
	REQUIRE(whole.len == cut.len);
	REQUIRE(memcmp(buf_data(&whole), buf_data(&cut), whole.len) == 0);
	check_putting(feed);
	buf_release(&whole);
	buf_release(&cut);
	return 0;
}
