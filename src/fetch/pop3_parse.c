#include "fetch/pop3_parse.h"

#include <string.h>
#include <strings.h>

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char
to_upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* Whether `data` starts with the upper-case `word`, in any case. */
static bool
starts_with(const char *data, size_t len, const char *word)
{
	size_t i;

	for (i = 0; word[i] != '\0'; i++) {
		if (i == len || to_upper(data[i]) != word[i])
			return false;
	}
	return true;
}

static size_t
skip_blanks(const char *data, size_t len)
{
	size_t i = 0;

	while (i < len && is_blank(data[i]))
		i++;
	return i;
}

/*
 * The word at the front of [*data, +*len), which is moved behind it and its blanks; its
 * length.
 */
static size_t
next_word(const char **data, size_t *len, const char **word_out)
{
	size_t blanks = skip_blanks(*data, *len), end;

	*word_out = *data + blanks;
	end = blanks;
	while (end < *len && !is_blank((*data)[end]))
		end++;
	*data += end;
	*len -= end;
	return end - blanks;
}

static bool
word_is(const char *word, size_t len, const char *name)
{
	return len == strlen(name) && starts_with(word, len, name);
}

/* Digits at the front as a number, UINT64_MAX when it is too big; the count of digits taken. */
static size_t
parse_number(const char *data, size_t len, uint64_t *out)
{
	uint64_t value = 0;
	size_t i;

	for (i = 0; i < len && is_digit(data[i]); i++) {
		unsigned digit = (unsigned)(data[i] - '0');

		if (value > (UINT64_MAX - digit) / 10)
			value = UINT64_MAX;
		else if (value != UINT64_MAX)
			value = value * 10 + digit;
	}
	*out = value;
	return i;
}

/* Codes are hierarchical: what is unknown below a known one counts as that one. */
static const struct {
	const char *name;
	enum pop3_code code;
} codes[] = {
	{"IN-USE",      POP3_CODE_IN_USE     },
	{"LOGIN-DELAY", POP3_CODE_LOGIN_DELAY},
	{"SYS/PERM",    POP3_CODE_SYS_PERM   },
	{"SYS",         POP3_CODE_SYS_TEMP   },
	{"AUTH",        POP3_CODE_AUTH       },
	{"UTF8",        POP3_CODE_UTF8       },
	{"REFERRAL",    POP3_CODE_REFERRAL   },
};

/* The code at the front of an -ERR's text; brackets anywhere else are just text. */
static enum pop3_code
parse_code(const char *text, size_t len)
{
	const char *end;

	if (len == 0 || text[0] != '[')
		return POP3_CODE_NONE;
	end = memchr(text, ']', len);
	if (end == NULL)
		return POP3_CODE_NONE;
	text++;
	len = (size_t)(end - text);
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		size_t name_len = strlen(codes[i].name);

		if (!starts_with(text, len, codes[i].name))
			continue;
		if (len == name_len || text[name_len] == '/' || is_blank(text[name_len]))
			return codes[i].code;
	}
	return POP3_CODE_NONE;
}

bool
pop3_parse_reply(const char *line, size_t len, struct pop3_reply *out)
{
	size_t status, blanks;

	if (starts_with(line, len, "+OK"))
		status = 3;
	else if (starts_with(line, len, "-ERR"))
		status = 4;
	else
		return false;

	out->ok = line[0] == '+';
	line += status;
	len -= status;
	blanks = skip_blanks(line, len);
	line += blanks;
	len -= blanks;
	out->code = out->ok ? POP3_CODE_NONE : parse_code(line, len);
	out->text_len = len < sizeof(out->text) ? len : sizeof(out->text);
	memcpy(out->text, line, out->text_len);
	return true;
}

bool
pop3_parse_challenge(const char *line, size_t len, const char **data_out, size_t *data_len_out)
{
	if (len == 0 || line[0] != '+' || (len > 1 && line[1] != ' '))
		return false;
	line++;
	len--;
	if (len != 0) {
		line++;
		len--;
	}
	*data_out = line;
	*data_len_out = len;
	return true;
}

enum error_class
pop3_refusal_class(const struct pop3_reply *reply, enum error_class otherwise)
{
	switch (reply->code) {
	case POP3_CODE_IN_USE:
	case POP3_CODE_LOGIN_DELAY:
	case POP3_CODE_SYS_TEMP:
		return ERROR_SERVER_TEMP;
	case POP3_CODE_SYS_PERM:
	case POP3_CODE_REFERRAL:
		return ERROR_SERVER_PERM;
	case POP3_CODE_AUTH:
		/* Only the answer to a login says anything of the password. */
	case POP3_CODE_UTF8:
	case POP3_CODE_NONE:
		break;
	}
	return otherwise;
}

/* Texts of passing troubles that real servers send without a code; each starts a word. */
static const char *const temporary_texts[] = {
	"LOCK",
	"WAIT",
	"SERVICE UNAVAILABLE",
	"SERVER UNAVAILABLE",
	"EXCEEDED THE LOGIN LIMIT",
	"LOGIN DELAY",
	"TOO MANY",
	"INTERNAL SERVER ERROR", /* of proxies whose back end or user data base is away */
	"TEMPORAR",
	"TRY AGAIN LATER",
};

/* Only at the start of a word: "blocked" and "unlocked" say nothing about a lock. */
static bool
has_word(const char *text, size_t len, const char *word)
{
	for (size_t i = 0; i < len; i++) {
		if (i != 0 && is_letter(text[i - 1]))
			continue;
		if (starts_with(text + i, len - i, word))
			return true;
	}
	return false;
}

enum error_class
pop3_login_refusal_class(const struct pop3_reply *reply, bool has_auth_resp_code)
{
	if (reply->code != POP3_CODE_NONE)
		return pop3_refusal_class(reply, ERROR_AUTH);
	if (has_auth_resp_code)
		return ERROR_SERVER_TEMP;
	for (size_t i = 0; i < sizeof(temporary_texts) / sizeof(temporary_texts[0]); i++) {
		if (has_word(reply->text, reply->text_len, temporary_texts[i]))
			return ERROR_SERVER_TEMP;
	}
	return ERROR_AUTH;
}

void
pop3_capabilities_init(struct pop3_capabilities *caps)
{
	memset(caps, 0, sizeof(*caps));
	caps->expire_days = -1;
}

/*
 * Names are at most 20 characters (RFC 4422 section 3.1); a space on both sides makes them
 * easy to find.
 */
static void
add_mechanisms(struct pop3_capabilities *caps, const char *data, size_t len)
{
	size_t used = strlen(caps->mechanisms), word_len;
	const char *word;

	if (used == 0)
		caps->mechanisms[used++] = ' ';
	while ((word_len = next_word(&data, &len, &word)) != 0) {
		if (memchr(word, '\0', word_len) != NULL)
			continue;
		if (used + word_len + 2 > sizeof(caps->mechanisms))
			break;
		for (size_t i = 0; i < word_len; i++)
			caps->mechanisms[used++] = to_upper(word[i]);
		caps->mechanisms[used++] = ' ';
	}
	caps->mechanisms[used] = '\0';
	caps->sasl = true;
}

static void
add_expire(struct pop3_capabilities *caps, const char *data, size_t len)
{
	const char *word;
	size_t word_len = next_word(&data, &len, &word);
	uint64_t days;

	if (word_is(word, word_len, "NEVER")) {
		caps->has_expire = true;
		caps->expire_days = -1;
	} else if (word_len != 0 && parse_number(word, word_len, &days) == word_len) {
		caps->has_expire = true;
		caps->expire_days =
			days > POP3_EXPIRE_DAYS_MAX ? POP3_EXPIRE_DAYS_MAX : (int64_t)days;
	}
}

static void
add_login_delay(struct pop3_capabilities *caps, const char *data, size_t len)
{
	const char *word;
	size_t word_len = next_word(&data, &len, &word);
	uint64_t seconds;

	if (word_len == 0 || parse_number(word, word_len, &seconds) != word_len)
		return;
	caps->has_login_delay = true;
	caps->login_delay =
		seconds > POP3_LOGIN_DELAY_MAX ? POP3_LOGIN_DELAY_MAX : (int64_t)seconds;
}

static void
add_utf8(struct pop3_capabilities *caps, const char *data, size_t len)
{
	const char *word;
	size_t word_len;

	caps->utf8 = true;
	while ((word_len = next_word(&data, &len, &word)) != 0) {
		if (word_is(word, word_len, "USER"))
			caps->utf8_user = true;
	}
}

static void
add_implementation(struct pop3_capabilities *caps, const char *line, size_t len)
{
	const char *name;
	size_t name_len = next_word(&line, &len, &name);

	caps->is_cyrus = word_is(name, name_len, "CYRUS");
}

void
pop3_capabilities_add(struct pop3_capabilities *caps, const char *line, size_t len)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{"TOP",            &caps->top           },
		{"UIDL",           &caps->uidl          },
		{"USER",           &caps->user          },
		{"STLS",           &caps->stls          },
		{"PIPELINING",     &caps->pipelining    },
		{"AUTH-RESP-CODE", &caps->auth_resp_code},
	};
	const char *tag;
	size_t tag_len = next_word(&line, &len, &tag);

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (word_is(tag, tag_len, flags[i].name))
			*flags[i].flag = true;
	}
	if (word_is(tag, tag_len, "SASL"))
		add_mechanisms(caps, line, len);
	else if (word_is(tag, tag_len, "EXPIRE"))
		add_expire(caps, line, len);
	else if (word_is(tag, tag_len, "LOGIN-DELAY"))
		add_login_delay(caps, line, len);
	else if (word_is(tag, tag_len, "UTF8"))
		add_utf8(caps, line, len);
	else if (word_is(tag, tag_len, "IMPLEMENTATION"))
		add_implementation(caps, line, len);
}

bool
pop3_capabilities_has_mechanism(const struct pop3_capabilities *caps, const char *mechanism)
{
	size_t len = strlen(mechanism);
	const char *at = caps->mechanisms;

	while ((at = strstr(at, mechanism)) != NULL) {
		if (at != caps->mechanisms && at[-1] == ' ' && at[len] == ' ')
			return true;
		at++;
	}
	return false;
}

/* The message number at the front of a row; moves behind it and its blanks. */
static bool
parse_row_number(const char **line, size_t *len, uint32_t *number_out)
{
	const char *data = *line, *word;
	size_t left = *len, word_len = next_word(&data, &left, &word);
	uint64_t number;

	if (word_is(word, word_len, "+OK"))
		word_len = next_word(&data, &left, &word);
	if (word_len == 0 || parse_number(word, word_len, &number) != word_len)
		return false;
	if (number == 0 || number > UINT32_MAX)
		return false;
	*number_out = (uint32_t)number;
	*line = data + skip_blanks(data, left);
	*len = left - skip_blanks(data, left);
	return true;
}

bool
pop3_parse_list_row(const char *line, size_t len, uint32_t *number_out, uint64_t *octets_out)
{
	uint64_t octets;

	if (!parse_row_number(&line, &len, number_out))
		return false;
	if (parse_number(line, len, &octets) == 0 || octets > UINT64_C(1) << 62)
		octets = POP3_OCTETS_UNKNOWN;
	*octets_out = octets;
	return true;
}

bool
pop3_parse_stat(const struct pop3_reply *reply, uint64_t *count_out)
{
	const char *text = reply->text, *word;
	size_t len = reply->text_len, word_len, sign;
	uint64_t octets;

	word_len = next_word(&text, &len, &word);
	if (!reply->ok || word_len == 0 || parse_number(word, word_len, count_out) != word_len)
		return false;
	word_len = next_word(&text, &len, &word);
	sign = word_len != 0 && word[0] == '-' ? 1 : 0;
	return word_len > sign &&
		parse_number(word + sign, word_len - sign, &octets) == word_len - sign;
}

bool
pop3_parse_uidl_row(const char *line, size_t len, uint32_t *number_out, const char **uidl_out,
	size_t *uidl_len_out)
{
	if (!parse_row_number(&line, &len, number_out))
		return false;
	while (len != 0 && is_blank(line[len - 1]))
		len--;
	*uidl_out = line;
	*uidl_len_out = len;
	return true;
}

static bool
is_atext(char c)
{
	return is_letter(c) || is_digit(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* dot-atom-text at the front: its length, 0 for none. */
static size_t
parse_dot_atom(const char *text, size_t len)
{
	size_t i = 0, start;

	for (;;) {
		start = i;
		while (i < len && is_atext(text[i]))
			i++;
		if (i == start)
			return 0;
		if (i == len || text[i] != '.')
			return i;
		i++;
	}
}

/* no-fold-literal: "[" *dtext "]"; its length, 0 for none. */
static size_t
parse_literal(const char *text, size_t len)
{
	size_t i = 1;

	if (len == 0 || text[0] != '[')
		return 0;
	while (i < len && text[i] >= 33 && text[i] <= 126 && strchr("[]\\", text[i]) == NULL)
		i++;
	return i < len && text[i] == ']' ? i + 1 : 0;
}

/* "<" id-left "@" id-right ">" at the front; its length, 0 for none. */
static size_t
parse_msg_id(const char *text, size_t len)
{
	size_t left, right, at = 1;

	if (len == 0 || text[0] != '<')
		return 0;
	left = parse_dot_atom(text + at, len - at);
	at += left;
	if (left == 0 || at == len || text[at] != '@')
		return 0;
	at++;
	right = parse_dot_atom(text + at, len - at);
	if (right == 0)
		right = parse_literal(text + at, len - at);
	at += right;
	if (right == 0 || at == len || text[at] != '>')
		return 0;
	return at + 1;
}

bool
pop3_parse_timestamp(const char *text, size_t len, char out[static POP3_TIMESTAMP_MAX])
{
	for (size_t i = 0; i < len; i++) {
		size_t id_len = parse_msg_id(text + i, len - i);

		if (id_len == 0 || id_len >= POP3_TIMESTAMP_MAX)
			continue;
		memcpy(out, text + i, id_len);
		out[id_len] = '\0';
		return true;
	}
	return false;
}
