#include "link/payload.h"

#include <string.h>

static const unsigned char payload_of[LINK_TYPE_COUNT] = {
	[LINK_QUITTING] = PAYLOAD_NONE,
	[LINK_AGREED] = PAYLOAD_NONE,
	[LINK_PHASE] = PAYLOAD_VALUE,
	[LINK_SERVER] = PAYLOAD_SERVER,
	[LINK_LISTING] = PAYLOAD_VALUE,
	[LINK_SIZES] = PAYLOAD_DATA,
	[LINK_ROW] = PAYLOAD_ROW,
	[LINK_LISTED] = PAYLOAD_VALUE,
	[LINK_HEAD] = PAYLOAD_TEXT,
	[LINK_BEGIN] = PAYLOAD_NUMBER,
	[LINK_DATA] = PAYLOAD_DATA,
	[LINK_END] = PAYLOAD_NUMBER,
	[LINK_CUT] = PAYLOAD_NUMBER,
	[LINK_REFUSED] = PAYLOAD_TEXT,
	[LINK_DRAINED] = PAYLOAD_NONE,
	[LINK_DELETED] = PAYLOAD_NUMBER,
	[LINK_UNDELETED] = PAYLOAD_TEXT,
	[LINK_GONE] = PAYLOAD_NONE,
	[LINK_RESULT] = PAYLOAD_RESULT,
	[LINK_ALIVE] = PAYLOAD_NONE,
	[LINK_WANT_TOKEN] = PAYLOAD_NONE,
	[LINK_TICKET] = PAYLOAD_DATA,
	[LINK_INFO] = PAYLOAD_DATA,
	[LINK_ACTION] = PAYLOAD_ACTION,
	[LINK_PLANNED] = PAYLOAD_VALUE,
	[LINK_CREDIT] = PAYLOAD_CREDIT,
	[LINK_SETTLED] = PAYLOAD_SETTLED,
	[LINK_STOP] = PAYLOAD_NONE,
	[LINK_TOKEN] = PAYLOAD_DATA,
	[LINK_PROGRESS] = PAYLOAD_PROGRESS,
	[LINK_TEXT] = PAYLOAD_DATA,
	[LINK_REPORT] = PAYLOAD_REPORT,
};

enum payload
link_payload_of(uint32_t type)
{
	return (enum payload)payload_of[type];
}

/* A payload being taken apart; `bad` once it was too short or a field was out of range. */
struct reader {
	const char *at;
	size_t left;
	bool bad;
};

static void
get(struct reader *reader, void *out, size_t len)
{
	if (reader->left < len) {
		reader->bad = true;
		memset(out, 0, len);
		return;
	}
	memcpy(out, reader->at, len);
	reader->at += len;
	reader->left -= len;
}

static unsigned
get_u8(struct reader *reader, unsigned limit)
{
	unsigned char octet;

	get(reader, &octet, sizeof octet);
	if (octet >= limit)
		reader->bad = true;
	return reader->bad ? 0 : octet;
}

static uint32_t
get_u32(struct reader *reader)
{
	uint32_t value;

	get(reader, &value, sizeof value);
	return value;
}

static uint64_t
get_u64(struct reader *reader)
{
	uint64_t value;

	get(reader, &value, sizeof value);
	return value;
}

static void
get_rest(struct reader *reader, const char **data, size_t *len)
{
	*data = reader->at;
	*len = reader->left;
	reader->left = 0;
}

static void
get_server(struct reader *reader, struct link_server *server)
{
	server->memory.has_capa = get_u8(reader, 2);
	server->memory.expire_now = get_u8(reader, 2);
	server->memory.utf8 = get_u8(reader, 2);
	server->login_delay = (int64_t)get_u64(reader);
	server->without_id = get_u32(reader);
	if (server->login_delay < 0 || server->login_delay > LINK_LOGIN_DELAY_MAX ||
		server->without_id > LINK_ROWS_MAX)
		reader->bad = true;
}

static void
get_row(struct reader *reader, struct link_row *row)
{
	row->number = get_u32(reader);
	get_rest(reader, &row->uidl, &row->uidl_len);
	if (row->number == 0 || row->uidl_len > LINK_UIDL_MAX)
		reader->bad = true;
}

static void
get_report(struct reader *reader, struct link_report *report)
{
	report->ok = get_u8(reader, 2);
	report->class = (enum error_class)get_u8(reader, ERROR_CLASS_COUNT);
	report->fetched = get_u32(reader);
	report->deleted = get_u32(reader);
	report->left = get_u32(reader);
	report->skipped = get_u32(reader);
	report->failed = get_u32(reader);
	report->login_delay = get_u32(reader);
	report->octets = get_u64(reader);
	report->milliseconds = (int64_t)get_u64(reader);
	if (report->login_delay > LINK_LOGIN_DELAY_MAX)
		reader->bad = true;
}

static void
get_small(struct reader *reader, enum payload payload, struct link_frame *frame)
{
	switch (payload) {
	case PAYLOAD_VALUE:
		frame->value = get_u64(reader);
		break;
	case PAYLOAD_ACTION:
		frame->number = get_u32(reader);
		frame->u.verb = (enum link_verb)get_u8(reader, LINK_VERB_HEAD + 1);
		break;
	case PAYLOAD_SETTLED:
		frame->number = get_u32(reader);
		frame->u.outcome = (enum link_outcome)get_u8(reader, LINK_OUTCOME_FAILED + 1);
		break;
	case PAYLOAD_CREDIT:
		frame->u.credit.messages = get_u32(reader);
		frame->u.credit.octets = get_u64(reader);
		break;
	case PAYLOAD_PROGRESS:
		frame->u.progress.messages = get_u32(reader);
		frame->u.progress.messages_total = get_u32(reader);
		frame->u.progress.octets = get_u64(reader);
		frame->u.progress.octets_total = get_u64(reader);
		break;
	default:
		break;
	}
}

static void
get_payload(struct reader *reader, enum payload payload, struct link_frame *frame)
{
	switch (payload) {
	case PAYLOAD_NONE:
		break;
	case PAYLOAD_NUMBER:
		frame->number = get_u32(reader);
		break;
	case PAYLOAD_TEXT:
		frame->number = get_u32(reader);
		get_rest(reader, &frame->data, &frame->data_len);
		break;
	case PAYLOAD_DATA:
		get_rest(reader, &frame->data, &frame->data_len);
		break;
	case PAYLOAD_SERVER:
		get_server(reader, &frame->u.server);
		break;
	case PAYLOAD_ROW:
		get_row(reader, &frame->u.row);
		break;
	case PAYLOAD_RESULT:
		frame->u.result.ok = get_u8(reader, 2);
		frame->u.result.class = (enum error_class)get_u8(reader, ERROR_CLASS_COUNT);
		frame->u.result.no_pipelining = get_u8(reader, 2);
		frame->u.result.out_of_step = get_u8(reader, 2);
		frame->u.result.capa_broke = get_u8(reader, 2);
		frame->u.result.doubtful = get_u32(reader);
		get_rest(reader, &frame->data, &frame->data_len);
		break;
	case PAYLOAD_REPORT:
		get_report(reader, &frame->u.report);
		get_rest(reader, &frame->data, &frame->data_len);
		break;
	case PAYLOAD_UNKNOWN:
		reader->bad = true;
		break;
	default:
		get_small(reader, payload, frame);
		break;
	}
	if (reader->left != 0)
		reader->bad = true;
}

bool
link_parse_payload(const char *data, size_t len, struct link_frame *frame)
{
	struct reader reader = {.at = data, .left = len};

	get_payload(&reader, link_payload_of(frame->type), frame);
	return !reader.bad;
}
