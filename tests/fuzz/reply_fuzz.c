/*
 * Lines of a server: whatever they say, what is understood is within its
 * bounds, and what a person sees of them is printable.
 */
#include <ctype.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/quote.h"
#include "fetch/listing.h"
#include "fetch/auth/oauth.h"
#include "fetch/pop3_parse.h"
#include "fuzz.h"
#include "link/link.h"

static void
check_quoted(const char *line, size_t len)
{
	char quoted[QUOTE_SIZE], small[8];

	REQUIRE(quote_bytes(quoted, line, len) == quoted);
	REQUIRE(strnlen(quoted, sizeof quoted) < sizeof quoted);
	for (const char *p = quoted; *p != '\0'; p++)
		REQUIRE(*p >= ' ' && *p <= '~');
	quote_bytes_into(small, sizeof small, line, len);
	REQUIRE(strnlen(small, sizeof small) < sizeof small);
}

/* A JSON string by RFC 8259 section 7. */
static void
check_json(const char *line, size_t len)
{
	char *text = feed_string((struct feed){(const uint8_t *)line, len});
	struct buf out = {0};
	const char *data;

	json_append_string(&out, text);
	data = buf_data(&out);
	REQUIRE(out.len >= 2 && data[0] == '"' && data[out.len - 1] == '"');
	for (size_t i = 1; i < out.len - 1; i++) {
		REQUIRE((unsigned char)data[i] >= ' ' && data[i] != '"' && data[i] != 0x7f);
		if (data[i] != '\\')
			continue;
		i++;
		REQUIRE(i < out.len - 1 && strchr("\"\\u", data[i]) != NULL);
		for (unsigned digits = 0; data[i] == 'u' && digits < 4; digits++)
			REQUIRE(isxdigit((unsigned char)data[i + 1 + digits]));
	}
	buf_release(&out);
	free(text);
}

/* What a server says of a token. */
static void
check_token_refusal(const char *line, size_t len)
{
	struct oauth_refusal refusal;
	char shown[OAUTH_SHOWN_SIZE];

	oauth_refusal_read(&refusal, line, len);
	REQUIRE(refusal.is_set);
	REQUIRE(strnlen(refusal.status, OAUTH_WORD_SIZE) < OAUTH_WORD_SIZE);
	REQUIRE(strnlen(refusal.scope, OAUTH_WORD_SIZE) < OAUTH_WORD_SIZE);
	REQUIRE(oauth_refusal_show(&refusal, shown) == shown);
	REQUIRE(strnlen(shown, sizeof shown) < sizeof shown);
	for (const char *p = shown; *p != '\0'; p++)
		REQUIRE(*p >= ' ' && *p <= '~');
	(void)oauth_refusal_may_pass(&refusal);
}

static void
check_status(const char *line, size_t len)
{
	struct pop3_reply reply;
	enum error_class class;

	if (!pop3_parse_reply(line, len, &reply))
		return;
	REQUIRE(reply.text_len <= POP3_TEXT_MAX && reply.text_len <= len);
	REQUIRE(!reply.ok || reply.code == POP3_CODE_NONE);
	class = pop3_refusal_class(&reply, ERROR_AUTH);
	REQUIRE(class == ERROR_AUTH || class == ERROR_SERVER_TEMP || class == ERROR_SERVER_PERM);
	class = pop3_login_refusal_class(&reply, false);
	REQUIRE(class == ERROR_AUTH || class == ERROR_SERVER_TEMP || class == ERROR_SERVER_PERM);
	/* Where the server names its reasons, silence is none. */
	if (reply.code == POP3_CODE_NONE)
		REQUIRE(pop3_login_refusal_class(&reply, true) != ERROR_AUTH);
}

static void
check_timestamp(const char *line, size_t len)
{
	char stamp[POP3_TIMESTAMP_MAX];
	size_t stamp_len;

	if (!pop3_parse_timestamp(line, len, stamp))
		return;
	stamp_len = strnlen(stamp, sizeof stamp);
	REQUIRE(stamp_len >= 5 && stamp_len < sizeof stamp);
	REQUIRE(memmem(line, len, stamp, stamp_len) != NULL);
	REQUIRE(stamp[0] == '<' && stamp[stamp_len - 1] == '>' && strchr(stamp, '@') != NULL);
	for (size_t i = 0; i < stamp_len; i++)
		REQUIRE(stamp[i] > ' ' && stamp[i] <= '~');
}

/* What is taken for base64 is what base64 makes of what it says. */
static void
check_challenge(const char *line, size_t len)
{
	const char *data;
	size_t data_len, decoded_len;
	char *decoded, *encoded;

	if (!pop3_parse_challenge(line, len, &data, &data_len))
		return;
	REQUIRE(data >= line && data + data_len <= line + len);
	if (!base64_decode(data, data_len, &decoded, &decoded_len))
		return;
	encoded = base64_encode(decoded, decoded_len);
	REQUIRE(strlen(encoded) == data_len && memcmp(encoded, data, data_len) == 0);
	base64_free(encoded);
	free(decoded);
}

static void
check_capabilities(const struct pop3_capabilities *caps)
{
	size_t len = strnlen(caps->mechanisms, sizeof caps->mechanisms);

	REQUIRE(caps->expire_days >= -1 && caps->expire_days <= POP3_EXPIRE_DAYS_MAX);
	REQUIRE(caps->login_delay >= 0 && caps->login_delay <= POP3_LOGIN_DELAY_MAX);
	REQUIRE(len < sizeof caps->mechanisms);
	REQUIRE(len == 0 || (caps->mechanisms[0] == ' ' && caps->mechanisms[len - 1] == ' '));
	for (size_t i = 0; i < len; i++)
		REQUIRE(!islower((unsigned char)caps->mechanisms[i]));
}

static int
take_row(struct listing *listing, const char *line, size_t len, bool is_uidl, struct error *err)
{
	uint32_t number = 0;
	uint64_t octets;
	const char *id;
	size_t id_len;

	if (!is_uidl) {
		if (!pop3_parse_list_row(line, len, &number, &octets))
			return 0;
		REQUIRE(number != 0);
		return listing_add_octets(listing, number, octets, err);
	}
	if (!pop3_parse_uidl_row(line, len, &number, &id, &id_len))
		return 0;
	REQUIRE(number != 0 && id >= line && id + id_len <= line + len);
	REQUIRE(id_len == 0 || (id[0] != ' ' && id[id_len - 1] != ' '));
	return listing_add_uidl(listing, number, id, id_len, err);
}

static void
check_listing(const struct listing *listing)
{
	for (size_t i = 0; i < listing->count; i++) {
		const struct listing_row *row = &listing->rows[i];

		REQUIRE(i == 0 || row->number > listing->rows[i - 1].number);
		REQUIRE(listing_find(listing, row->number) == row);
	}
	REQUIRE(!listing->has_uidl || listing->ids_count == listing->count);
}

/* Lines up to an empty one are UIDL's, the rest LIST's. */
struct reading {
	struct listing listing;
	struct pop3_capabilities caps;
	bool is_uidl;
	bool is_refused;
};

static void
take_line(struct reading *reading, const char *line, size_t len)
{
	struct error err;

	check_quoted(line, len);
	check_token_refusal(line, len);
	check_json(line, len);
	check_status(line, len);
	check_timestamp(line, len);
	check_challenge(line, len);
	pop3_capabilities_add(&reading->caps, line, len);
	check_capabilities(&reading->caps);
	if (reading->is_refused)
		return;
	if (reading->is_uidl && len == 0) {
		reading->is_uidl = false;
		reading->is_refused = listing_end_uidl(&reading->listing, &err) != 0;
	} else {
		reading->is_refused =
			take_row(&reading->listing, line, len, reading->is_uidl, &err) != 0;
	}
	if (reading->is_refused)
		REQUIRE(err.class == ERROR_PROTOCOL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed = {data, size};
	struct reading reading = {.is_uidl = feed_octet(&feed) & 1};
	struct error err;

	pop3_capabilities_init(&reading.caps);
	listing_init(&reading.listing, NULL, NULL);
	while (feed.len != 0) {
		const uint8_t *end = memchr(feed.data, '\n', feed.len);
		size_t len = end != NULL ? (size_t)(end - feed.data) : feed.len;
		struct feed line = feed_take(&feed, len);
		/* A copy as long as the line is: what is read beyond it is seen. */
		char *exact = malloc(line.len + (line.len == 0));

		REQUIRE(exact != NULL);
		memcpy(exact, line.data, line.len);
		take_line(&reading, exact, line.len);
		free(exact);
		feed_take(&feed, 1);
	}
	if (!reading.is_refused && !reading.is_uidl && listing_end(&reading.listing, &err) == 0)
		check_listing(&reading.listing);
	listing_release(&reading.listing);
	return 0;
}
