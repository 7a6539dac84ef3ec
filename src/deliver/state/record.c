#include "deliver/state/record.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/hex.h"
#include "link/link.h"

/* The first line without its last field, the version of the grammar. */
#define FIRST_WORD "pophaul-uidl "

/* Of a sum, in hex. */
#define SUM_DIGITS 8

/* What is left of a line. */
struct cursor {
	char *at, *end;
};

/* The next field: what stands before the next space or the end. Empty fields are no fields. */
static int
next_field(struct cursor *line, struct cursor *field)
{
	char *space;

	if (line->at == NULL || line->at == line->end)
		return -1;
	space = memchr(line->at, ' ', (size_t)(line->end - line->at));
	field->at = line->at;
	field->end = space != NULL ? space : line->end;
	/* A space announces one more field: "bye x " is cut, not short. */
	line->at = space != NULL ? space + 1 : NULL;
	return field->at == field->end ? -1 : 0;
}

static bool
is_at_end(const struct cursor *line)
{
	return line->at == NULL;
}

static bool
is_word(const struct cursor *field, const char *word)
{
	size_t len = (size_t)(field->end - field->at);

	return strlen(word) == len && memcmp(field->at, word, len) == 0;
}

static int
parse_unsigned(struct cursor *line, uint64_t max, uint64_t *value_out)
{
	struct cursor field;
	uint64_t value = 0;

	if (next_field(line, &field) != 0)
		return -1;
	for (const char *p = field.at; p < field.end; p++) {
		unsigned digit = (unsigned)(*p - '0');

		if (digit > 9 || value > (max - digit) / 10)
			return -1;
		value = value * 10 + digit;
	}
	*value_out = value;
	return 0;
}

static int
parse_seconds(struct cursor *line, int64_t *seconds_out)
{
	uint64_t value;

	if (parse_unsigned(line, INT64_MAX, &value) != 0)
		return -1;
	*seconds_out = (int64_t)value;
	return 0;
}

static int
parse_octets(struct cursor *line, uint64_t *octets_out)
{
	if (line->at != NULL && line->end - line->at > 1 && line->at[0] == '-' &&
		line->at[1] == ' ') {
		line->at += 2;
		*octets_out = LINK_OCTETS_UNKNOWN;
		return 0;
	}
	return parse_unsigned(line, UINT64_MAX - 1, octets_out);
}

static int
parse_digest(struct cursor *line, struct digest *digest_out)
{
	struct cursor field;

	if (next_field(line, &field) != 0)
		return -1;
	return digest_from_hex(field.at, (size_t)(field.end - field.at), digest_out);
}

/* Undo %XX in place. */
static int
decode_field(struct cursor *field)
{
	char *to = field->at;

	for (const char *p = field->at; p < field->end; p++) {
		unsigned char c = (unsigned char)*p;
		int high, low;

		if (c <= 0x20 || c >= 0x7f)
			return -1;
		if (c != '%') {
			*to++ = (char)c;
			continue;
		}
		if (field->end - p < 3)
			return -1;
		high = hex_value(p[1]);
		low = hex_value(p[2]);
		if (high < 0 || low < 0)
			return -1;
		*to++ = (char)(high << 4 | low);
		p += 2;
	}
	field->end = to;
	return 0;
}

static int
parse_text(struct cursor *line, size_t max, struct record *record)
{
	struct cursor field;

	if (next_field(line, &field) != 0)
		return -1;
	if (is_word(&field, "%"))
		field.end = field.at;
	if (decode_field(&field) != 0)
		return -1;
	record->text = field.at;
	record->text_len = (size_t)(field.end - field.at);
	return record->text_len <= max ? 0 : -1;
}

static int
parse_id(struct cursor *line, struct uidl_id *id)
{
	struct cursor field;

	if (next_field(line, &field) != 0)
		return -1;
	id->none = is_word(&field, "%-");
	if (id->none || is_word(&field, "%"))
		field.end = field.at;
	if (decode_field(&field) != 0)
		return -1;
	id->data = field.at;
	id->len = (size_t)(field.end - field.at);
	return id->len <= LINK_UIDL_MAX ? 0 : -1;
}

/* The UID and, perhaps, the digest behind it. */
static int
parse_which(struct cursor *line, struct record *record)
{
	if (parse_id(line, &record->id) != 0)
		return -1;
	record->has_digest = !is_at_end(line);
	return record->has_digest ? parse_digest(line, &record->digest) : 0;
}

static int
parse_class(struct cursor *line, enum error_class *class_out)
{
	struct cursor field;

	if (next_field(line, &field) != 0)
		return -1;
	/* The class is for a message only: one that is not known is no damage. */
	*class_out = ERROR_SYSTEM;
	for (int class = 0; class < ERROR_CLASS_COUNT; class ++)
		if (is_word(&field, error_class_name((enum error_class) class)))
			*class_out = (enum error_class) class;
	return 0;
}

static const char *const numbers[UIDL_NUMBER_COUNT] = {
	[UIDL_LOCK_STEP_WHEN] = "lockstep",
	[UIDL_UNQUIT_WHEN] = "unquit",
	[UIDL_DELETING_WHEN] = "deleting",
	[UIDL_EMPTIED_WHEN] = "emptied",
	[UIDL_RELISTED] = "relisted",
	[UIDL_ID] = "id",
	[UIDL_CAPA_WHEN] = "capa",
	[UIDL_EXPIRE_NOW_WHEN] = "expire0",
	[UIDL_UTF8_WHEN] = "utf8",
};

static int
parse_fact(struct cursor *line, struct record *record)
{
	struct cursor field;
	uint64_t count;

	if (next_field(line, &field) != 0)
		return -1;
	if (is_word(&field, "login")) {
		record->kind = RECORD_LOGIN;
		if (parse_seconds(line, &record->when) != 0)
			return -1;
		return parse_seconds(line, &record->delay);
	}
	for (size_t i = 0; i < UIDL_NUMBER_COUNT; i++) {
		if (is_word(&field, numbers[i])) {
			record->kind = RECORD_NUMBER;
			record->which = (enum uidl_number)i;
			return parse_seconds(line, &record->when);
		}
	}
	if (is_word(&field, "failures")) {
		record->kind = RECORD_FAILURES;
		if (parse_unsigned(line, UINT32_MAX, &count) != 0 ||
			parse_seconds(line, &record->when) != 0)
			return -1;
		record->count = (uint32_t)count;
		return parse_class(line, &record->class);
	}
	if (is_word(&field, "broke")) {
		record->kind = RECORD_BROKE;
		if (parse_unsigned(line, UINT32_MAX, &count) != 0)
			return -1;
		record->count = (uint32_t)count;
		return parse_id(line, &record->id);
	}
	record->kind = RECORD_UNKNOWN_FACT;
	line->at = NULL;
	return decode_field(&field);
}

static int
parse_try(struct cursor *line, struct record *record)
{
	if (parse_text(line, UIDL_TOKEN_MAX, record) != 0 ||
		parse_octets(line, &record->octets) != 0 ||
		parse_digest(line, &record->digest) != 0)
		return -1;
	record->has_digest = true;
	return parse_id(line, &record->id);
}

static int
parse_got(struct cursor *line, struct record *record)
{
	if (parse_seconds(line, &record->when) != 0 || parse_octets(line, &record->octets) != 0 ||
		parse_digest(line, &record->digest) != 0)
		return -1;
	record->has_digest = true;
	return parse_id(line, &record->id);
}

/* Eight digits as they are written: one that reads the same is another line all the same. */
static int
parse_sum(struct cursor *line, uint32_t *sum_out)
{
	struct cursor field;

	if (next_field(line, &field) != 0 || field.end - field.at != SUM_DIGITS)
		return -1;
	*sum_out = 0;
	for (const char *p = field.at; p < field.end; p++) {
		int digit = *p >= 'A' && *p <= 'F' ? -1 : hex_value(*p);

		if (digit < 0)
			return -1;
		*sum_out = *sum_out << 4 | (uint32_t)digit;
	}
	return 0;
}

static int
parse_drop(struct cursor *line, struct record *record)
{
	record->has_digest = true;
	if (parse_digest(line, &record->digest) != 0)
		return -1;
	record->has_id = !is_at_end(line);
	return record->has_id ? parse_id(line, &record->id) : 0;
}

static int
parse_fields(const struct cursor *word, struct cursor *line, struct record *record)
{
	if (is_word(word, "got")) {
		record->kind = RECORD_GOT;
		return parse_got(line, record);
	}
	if (is_word(word, "try")) {
		record->kind = RECORD_TRY;
		return parse_try(line, record);
	}
	if (is_word(word, "off")) {
		record->kind = RECORD_OFF;
		return parse_seconds(line, &record->when) == 0 ? parse_which(line, record) : -1;
	}
	if (is_word(word, "gone")) {
		record->kind = RECORD_GONE;
		return parse_seconds(line, &record->when) == 0 ? parse_which(line, record) : -1;
	}
	if (is_word(word, "bye")) {
		record->kind = RECORD_BYE;
		return parse_which(line, record);
	}
	if (is_word(word, "drop")) {
		record->kind = RECORD_DROP;
		return parse_drop(line, record);
	}
	if (is_word(word, "dest")) {
		record->kind = RECORD_DEST;
		return parse_text(line, RECORD_TEXT_MAX, record);
	}
	if (is_word(word, "sum")) {
		record->kind = RECORD_SUM;
		return parse_sum(line, &record->sum);
	}
	if (is_word(word, "end")) {
		record->kind = RECORD_END;
		return 0;
	}
	return is_word(word, "fact") ? parse_fact(line, record) : -1;
}

enum record_first
record_check_first(const char *line, size_t len, bool is_torn)
{
	size_t full = strlen(RECORD_FIRST_LINE), word = strlen(FIRST_WORD);

	if (len == full && memcmp(line, RECORD_FIRST_LINE, len) == 0)
		return is_torn ? RECORD_FIRST_MISSING : RECORD_FIRST_OURS;
	if (len < word || memcmp(line, FIRST_WORD, word) != 0)
		return RECORD_FIRST_MISSING;
	return is_torn && len == word ? RECORD_FIRST_MISSING : RECORD_FIRST_OTHER_VERSION;
}

int
record_parse(char *line, size_t len, struct record *record)
{
	struct cursor rest = {line, line + len}, word;

	memset(record, 0, sizeof *record);
	if (next_field(&rest, &word) != 0 || parse_fields(&word, &rest, record) != 0)
		return -1;
	return is_at_end(&rest) ? 0 : -1;
}

static void
put_coded(struct buf *out, const char *data, size_t len)
{
	static const char digits[] = "0123456789ABCDEF";
	char *start, *to;

	if (len == 0) {
		buf_append(out, "%", 1);
		return;
	}
	start = to = buf_reserve(out, 3 * len);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)data[i];

		if (c > 0x20 && c < 0x7f && c != '%') {
			*to++ = (char)c;
			continue;
		}
		*to++ = '%';
		*to++ = digits[c >> 4];
		*to++ = digits[c & 0xf];
	}
	buf_commit(out, (size_t)(to - start));
}

static void
put_id(struct buf *out, const struct uidl_id *id)
{
	if (id->none)
		buf_append(out, "%-", 2);
	else
		put_coded(out, id->data, id->len);
}

static void
put_unsigned(struct buf *out, uint64_t value)
{
	char digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	buf_append(out, digits + at, sizeof digits - at);
	buf_append(out, " ", 1);
}

static void
put_octets(struct buf *out, uint64_t octets)
{
	if (octets == LINK_OCTETS_UNKNOWN)
		buf_append(out, "- ", 2);
	else
		put_unsigned(out, octets);
}

static void
put_digest(struct buf *out, const struct digest *digest)
{
	char hex[DIGEST_HEX_SIZE];

	digest_to_hex(digest, hex);
	buf_append(out, hex, sizeof hex - 1);
}

static void
put_which(struct buf *out, const struct record *record)
{
	put_id(out, &record->id);
	if (!record->has_digest)
		return;
	buf_append(out, " ", 1);
	put_digest(out, &record->digest);
}

/* A clock before 1970 has no place in the grammar. */
static uint64_t
not_negative(int64_t seconds)
{
	return seconds > 0 ? (uint64_t)seconds : 0;
}

void
record_format(struct buf *out, const struct record *record)
{
	uint64_t when = not_negative(record->when);

	switch (record->kind) {
	case RECORD_DEST:
		buf_append(out, "dest ", 5);
		put_coded(out, record->text, record->text_len);
		break;
	case RECORD_TRY:
		buf_append(out, "try ", 4);
		put_coded(out, record->text, record->text_len);
		buf_append(out, " ", 1);
		put_octets(out, record->octets);
		put_digest(out, &record->digest);
		buf_append(out, " ", 1);
		put_id(out, &record->id);
		break;
	case RECORD_GOT:
		buf_append(out, "got ", 4);
		put_unsigned(out, when);
		put_octets(out, record->octets);
		put_digest(out, &record->digest);
		buf_append(out, " ", 1);
		put_id(out, &record->id);
		break;
	case RECORD_OFF:
	case RECORD_GONE:
		buf_append_string(out, record->kind == RECORD_OFF ? "off " : "gone ");
		put_unsigned(out, when);
		put_which(out, record);
		break;
	case RECORD_BYE:
		buf_append(out, "bye ", 4);
		put_which(out, record);
		break;
	case RECORD_DROP:
		buf_append(out, "drop ", 5);
		put_digest(out, &record->digest);
		if (record->has_id) {
			buf_append(out, " ", 1);
			put_id(out, &record->id);
		}
		break;
	case RECORD_END:
		buf_append(out, "end", 3);
		break;
	case RECORD_LOGIN:
		buf_printf(out, "fact login %llu %llu", (unsigned long long)when,
			(unsigned long long)not_negative(record->delay));
		break;
	case RECORD_NUMBER:
		buf_printf(out, "fact %s %llu", numbers[record->which], (unsigned long long)when);
		break;
	case RECORD_FAILURES:
		buf_printf(out, "fact failures %u %llu %s", (unsigned)record->count,
			(unsigned long long)when, error_class_name(record->class));
		break;
	case RECORD_BROKE:
		buf_printf(out, "fact broke %u ", (unsigned)record->count);
		put_id(out, &record->id);
		break;
	case RECORD_SUM:
		buf_printf(out, "sum %0*" PRIx32, SUM_DIGITS, record->sum);
		break;
	case RECORD_UNKNOWN_FACT:
		assert(!"only read");
		break;
	}
	buf_append(out, "\n", 1);
}

void
record_apply_fact(const struct record *record, struct uidl_facts *facts)
{
	if (record->kind == RECORD_LOGIN) {
		facts->login_when = record->when;
		facts->login_delay = record->delay;
	} else if (record->kind == RECORD_NUMBER) {
		facts->numbers[record->which] = record->when;
	} else {
		facts->failures = record->count;
		facts->failures_when = record->when;
		facts->failures_class = record->class;
	}
}

size_t
record_list_facts(const struct uidl_facts *facts, struct record out[static RECORD_FACTS_MAX])
{
	struct record *next = out;

	if (facts->login_when != 0)
		*next++ = (struct record){.kind = RECORD_LOGIN,
			.when = facts->login_when,
			.delay = facts->login_delay};
	for (size_t i = 0; i < UIDL_NUMBER_COUNT; i++) {
		if (facts->numbers[i] != 0)
			*next++ = (struct record){.kind = RECORD_NUMBER,
				.which = (enum uidl_number)i,
				.when = facts->numbers[i]};
	}
	if (facts->failures != 0)
		*next++ = (struct record){.kind = RECORD_FAILURES,
			.count = facts->failures,
			.when = facts->failures_when,
			.class = facts->failures_class};
	return (size_t)(next - out);
}
