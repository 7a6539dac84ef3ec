#include "config/popurl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/hex.h"
#include "base/quote.h"
#include "base/xalloc.h"
#include "config/option.h"
#include "config/source/token.h"

#define SCHEME "pop://"

bool
popurl_is_url(const char *text)
{
	return strstr(text, "://") != NULL;
}

/* A part of the URL without its %XX; NULL for a wrong escape or an octet that no line may have. */
static char *
decode(const char *text, size_t len, const char *what, struct error *err)
{
	struct buf out = {0};
	char c;

	for (size_t i = 0; i < len; i++) {
		c = text[i];
		if (c == '%') {
			if (i + 2 >= len || hex_value(text[i + 1]) < 0 ||
				hex_value(text[i + 2]) < 0) {
				error_set(err, ERROR_USAGE,
					"the %s has a %% without two hex digits", what);
				goto fail;
			}
			c = (char)(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
			i += 2;
		}
		if (c == '\r' || c == '\n' || c == '\0') {
			error_set(err, ERROR_USAGE, "the %s has a line end or NUL in it", what);
			goto fail;
		}
		buf_append(&out, &c, 1);
	}
	return buf_take_string(&out);
fail:
	buf_release(&out);
	return NULL;
}

/* The part as it stands, decoded, becomes the option's value. */
static int
set_part(struct account *out, const char *option, const char *text, size_t len, struct error *err)
{
	char *value = decode(text, len, option, err);
	int result;

	if (value == NULL)
		return -1;
	result = option_set_text(option, out, value, err);
	free(value);
	return result;
}

/* USER[;AUTH=MECHANISM] of `len` octets. */
static int
parse_user(const char *text, size_t len, struct account *out, struct error *err)
{
	const char *semicolon = memchr(text, ';', len), *auth;
	size_t user_len = semicolon != NULL ? (size_t)(semicolon - text) : len;

	if (memchr(text, ':', user_len) != NULL)
		return error_set(err, ERROR_USAGE,
			"a password has no place in a URL, where others can see it: leave it out "
			"and be asked (a ':' in a user's name is %%3A)");
	if (user_len == 0)
		return error_set(err, ERROR_USAGE, "it names no user");
	if (set_part(out, "user", text, user_len, err) != 0)
		return -1;
	if (semicolon == NULL)
		return 0;
	auth = semicolon + 1;
	len -= user_len + 1;
	if (len <= 5 || strncasecmp(auth, "AUTH=", 5) != 0)
		return error_set(err, ERROR_USAGE, "only AUTH=MECHANISM can follow the ';'");
	auth += 5;
	len -= 5;
	if (len == 1 && *auth == '*')
		return option_set_text("auth", out, "auto", err);
	/*
	 * RFC 2384 section 4: a '+' marks what is no SASL mechanism, of which APOP is the only one.
	 */
	if (*auth == '+' && (len != 5 || strncasecmp(auth, "+APOP", 5) != 0))
		return error_set(err, ERROR_USAGE, "+APOP is the only mechanism with a '+'");
	return set_part(out, "auth", auth + (*auth == '+'), len - (*auth == '+'), err);
}

/* HOST[:PORT]; an address of IPv6 stands in brackets. */
static int
parse_place(const char *text, struct account *out, struct error *err)
{
	const char *bracket = *text == '[' ? strchr(text, ']') : NULL;
	const char *colon = strchr(bracket != NULL ? bracket : text, ':');
	size_t len = colon != NULL ? (size_t)(colon - text) : strlen(text);

	if (*text == '[' && bracket == NULL)
		return error_set(err, ERROR_USAGE, "the '[' of its host is not closed");
	if (colon != NULL && strchr(colon + 1, ':') != NULL)
		return error_set(err, ERROR_USAGE, "an IPv6 address stands in brackets: [::1]");
	if (bracket != NULL && bracket + 1 != text + len)
		return error_set(err, ERROR_USAGE, "only a port can follow the ']'");
	if (len == 0)
		return error_set(err, ERROR_USAGE, "it names no host");
	if (set_part(out, "host", text, len, err) != 0)
		return -1;
	if (colon != NULL)
		return set_part(out, "port", colon + 1, strlen(colon + 1), err);
	return 0;
}

static int
parse(const char *url, const char *tls, struct account *out, struct error *err)
{
	const char *rest = url + strlen(SCHEME), *at;
	size_t len;
	char *place;
	int result;

	if (strncasecmp(url, "pops://", 7) == 0)
		return error_set(err, ERROR_USAGE,
			"there is no scheme 'pops': pop:// is TLS from the first octet, unless it "
			"names port 110");
	if (strncasecmp(url, SCHEME, strlen(SCHEME)) != 0)
		return error_set(err, ERROR_USAGE, "it does not begin with " SCHEME);
	len = strlen(rest);
	if (len > 0 && rest[len - 1] == '/')
		len--;
	if (memchr(rest, '/', len) != NULL || memchr(rest, '?', len) != NULL ||
		memchr(rest, '#', len) != NULL)
		return error_set(err, ERROR_USAGE, "nothing can follow the host and port");
	at = memrchr(rest, '@', len);
	if (at == NULL)
		return error_set(err, ERROR_USAGE, "it names no user: " SCHEME "USER@HOST");
	if (memchr(rest, '@', (size_t)(at - rest)) != NULL)
		return error_set(err, ERROR_USAGE, "an '@' in the user's name is written %%40");
	if (parse_user(rest, (size_t)(at - rest), out, err) != 0)
		return -1;
	place = xmemdup0(at + 1, len - (size_t)(at + 1 - rest));
	result = parse_place(place, out, err);
	free(place);
	if (result != 0)
		return -1;
	if (tls != NULL && option_set_text("tls", out, tls, err) != 0)
		return -1;
	if (tls == NULL && out->port == option_default_port(ACCOUNT_TLS_STARTTLS))
		out->tls = ACCOUNT_TLS_STARTTLS;
	if (out->port == 0)
		out->port = option_default_port(out->tls);
	return 0;
}

static char *
make_name(const struct account *account)
{
	char *name;

	if (account->port != option_default_port(account->tls))
		name = xasprintf("%s@%s+%u", account->user, account->host, account->port);
	else
		name = xasprintf("%s@%s", account->user, account->host);
	for (char *p = name; *p != '\0'; p++) {
		if (!account_name_allows(*p, p == name))
			*p = '_';
	}
	return name;
}

int
popurl_parse(const char *url, const char *tls, struct account *out, struct error *err)
{
	char quoted[QUOTE_SIZE];

	option_set_presets(out, OPTION_ACCOUNT);
	if (parse(url, tls, out, err) != 0 || token_check(out, err) != 0)
		goto fail;
	out->name = make_name(out);
	if (account_is_name(out->name))
		return 0;
	error_set(err, ERROR_USAGE, "its user and host are too long");
fail:
	account_release(out);
	err->class = ERROR_USAGE;
	return error_prefix(err, "'%s'", quote_bytes(quoted, url, strlen(url)));
}
