/*
 * What a POP3 server's lines mean: status lines and response codes, CAPA, LIST
 * and UIDL rows, the greeting's timestamp. Pure: octets with a length in, plain
 * data out, no I/O and no allocation. A line comes without its line end; NUL
 * and 8-bit octets are legal anywhere.
 *
 * Everything that a server can choose is bounded here: numbers, the text kept
 * of a reply, the list of mechanisms.
 */
#ifndef POPHAUL_FETCH_POP3_PARSE_H
#define POPHAUL_FETCH_POP3_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Octets kept of a reply's text: a reply line is at most this long (RFC 2449 section 4). */
#define POP3_TEXT_MAX 512

/* Room for the names of a SASL line; those that do not fit are as good as not listed. */
#define POP3_SASL_MAX 1024

/* Room for an APOP timestamp, which is part of one reply line. */
#define POP3_TIMESTAMP_MAX POP3_TEXT_MAX

/*
 * The longest LOGIN-DELAY that is believed, in seconds: a day. More would be a way to lock
 * a client out.
 */
#define POP3_LOGIN_DELAY_MAX 86400

/* The most days of an EXPIRE: a hundred years, which is as good as never. */
#define POP3_EXPIRE_DAYS_MAX 36525

/* A LIST size that is negative, senseless or beyond 2^62. */
#define POP3_OCTETS_UNKNOWN UINT64_MAX

/*
 * The response codes that decide something (RFC 2449, RFC 3206, RFC 6856, Dovecot's
 * REFERRAL).
 */
enum pop3_code {
	POP3_CODE_NONE,
	POP3_CODE_IN_USE,
	POP3_CODE_LOGIN_DELAY,
	POP3_CODE_SYS_TEMP, /* also an unknown kind of SYS */
	POP3_CODE_SYS_PERM,
	POP3_CODE_AUTH,
	POP3_CODE_UTF8,
	POP3_CODE_REFERRAL
};

/* A status line; a copy, so that it outlives the connection's buffer. */
struct pop3_reply {
	bool ok;
	enum pop3_code code;      /* of an -ERR only */
	char text[POP3_TEXT_MAX]; /* behind the status, code included, cut; raw octets */
	size_t text_len;
};

/*
 * A status line (RFC 1939 section 3): +OK or -ERR in any case, with or without
 * anything behind it. False: it is neither, `out` is untouched.
 */
bool pop3_parse_reply(const char *line, size_t len, struct pop3_reply *out);

/*
 * A SASL challenge (RFC 5034 section 4): "+" alone or "+ " and base64. False for
 * anything else; `data_out` points into the line.
 */
bool pop3_parse_challenge(
	const char *line, size_t len, const char **data_out, size_t *data_len_out);

/*
 * What the caller of a refused command does next: by response code, `otherwise` without one, or
 * with one that means nothing there ([AUTH]: what counts as a refused login may lock the account
 * out).
 */
enum error_class pop3_refusal_class(const struct pop3_reply *reply, enum error_class otherwise);

/*
 * The same for a refused login, where an -ERR without a code may mean anything.
 * `has_auth_resp_code`: the server lists AUTH-RESP-CODE, so that only [AUTH]
 * means the password (RFC 3206 section 6). Else a few texts are known to be
 * passing troubles; the rest is ERROR_AUTH.
 */
enum error_class pop3_login_refusal_class(const struct pop3_reply *reply, bool has_auth_resp_code);

/*
 * What the server can do (RFC 2449). A zeroed struct knows nothing:
 * pop3_capabilities_init() first.
 */
struct pop3_capabilities {
	bool known; /* the server has answered CAPA with a list */
	bool top;
	bool uidl;
	bool user;
	bool stls;
	bool pipelining;
	bool auth_resp_code;
	bool utf8;
	bool utf8_user; /* UTF-8 in user name and password too */
	bool is_cyrus;  /* IMPLEMENTATION names Cyrus IMAP */
	bool sasl;      /* there was a SASL line, perhaps of no name */
	bool has_expire;
	int64_t expire_days; /* -1: never, or not told; 0: may not leave mail */
	bool has_login_delay;
	int64_t login_delay;            /* seconds, 0: none, or not told */
	char mechanisms[POP3_SASL_MAX]; /* upper case, a space before and behind each name */
};

void pop3_capabilities_init(struct pop3_capabilities *caps);

/*
 * Take in one line of the list; unknown tags are ignored, tags and parameters are of any
 * case.
 */
void pop3_capabilities_add(struct pop3_capabilities *caps, const char *line, size_t len);

/* Whether the SASL line named this mechanism (upper case). */
bool pop3_capabilities_has_mechanism(const struct pop3_capabilities *caps, const char *mechanism);

/*
 * "NUMBER OCTETS", with any blanks, and any text behind. False when the number
 * is not 1..2^32-1. Octets that make no sense are POP3_OCTETS_UNKNOWN.
 */
bool pop3_parse_list_row(const char *line, size_t len, uint32_t *number_out, uint64_t *octets_out);

/*
 * STAT's answer (RFC 1939 section 5): +OK, how many messages there are, and a number of octets,
 * which may be negative and is of no use; any text may follow. False: it has another form.
 */
bool pop3_parse_stat(const struct pop3_reply *reply, uint64_t *count_out);

/*
 * "NUMBER UID": the id is the rest of the line without the blanks around it, perhaps
 * empty, whatever octets it has; the caller bounds its length. Points into the line. A
 * "+OK" before the number is passed over, in LIST rows too: some servers put one before
 * each.
 */
bool pop3_parse_uidl_row(const char *line, size_t len, uint32_t *number_out, const char **uidl_out,
	size_t *uidl_len_out);

/*
 * The first strict msg-id (RFC 5322 section 3.6.4, no obsolete forms) in a
 * greeting, with its angle brackets, NUL-terminated; false when there is none. A
 * laxer one would let an attacker choose what is hashed with the password (CVE-2007-1558).
 */
bool pop3_parse_timestamp(const char *text, size_t len, char out[static POP3_TIMESTAMP_MAX]);

#endif
