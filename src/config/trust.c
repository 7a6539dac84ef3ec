#include "config/trust.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/hex.h"
#include "base/quote.h"
#include "base/xalloc.h"
#include "config/value.h"

#define PIN_SIZE 32 /* of a SHA-256 */

#define BASE64_PREFIX "sha256//"
#define HEX_PREFIX    "sha256:"

/* Hex digits, two an octet. Returns whether they are PIN_SIZE octets and nothing else. */
static bool
decode_hex(const char *text, uint8_t out[static PIN_SIZE])
{
	bool has_colons = strchr(text, ':') != NULL;
	size_t at = 0;

	for (size_t i = 0; i < PIN_SIZE; i++) {
		int high, low;

		if (i != 0 && has_colons && text[at++] != ':')
			return false;
		high = hex_value(text[at]);
		low = high >= 0 ? hex_value(text[at + 1]) : -1;
		if (low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
		at += 2;
	}
	return text[at] == '\0';
}

/* The same for base64. */
static bool
decode_base64(const char *text, uint8_t out[static PIN_SIZE])
{
	char *octets;
	size_t len;
	bool is_whole;

	if (!base64_decode(text, strlen(text), &octets, &len))
		return false;
	is_whole = len == PIN_SIZE;
	if (is_whole)
		memcpy(out, octets, PIN_SIZE);
	free(octets);
	return is_whole;
}

char *
trust_parse_pin(const char *text, struct error *err)
{
	char hex[2 * PIN_SIZE + 1], quoted[QUOTE_SIZE];
	uint8_t pin[PIN_SIZE];
	bool is_good;

	if (strncasecmp(text, BASE64_PREFIX, strlen(BASE64_PREFIX)) == 0)
		is_good = decode_base64(text + strlen(BASE64_PREFIX), pin);
	else if (strncasecmp(text, HEX_PREFIX, strlen(HEX_PREFIX)) == 0)
		is_good = decode_hex(text + strlen(HEX_PREFIX), pin);
	else
		is_good = decode_hex(text, pin);
	if (is_good) {
		hex_write(pin, PIN_SIZE, hex);
		return xstrdup(hex);
	}
	error_set(err, ERROR_CONFIG,
		"'%s' is no pin: write sha256// and 44 digits of Base64, or 64 hex digits",
		quote_bytes(quoted, text, strlen(text)));
	return NULL;
}

char **
trust_parse_pins(char *const *texts, size_t count, struct error *err)
{
	char **pins = xcalloc(count + 1, sizeof(*pins));

	for (size_t i = 0; i < count; i++) {
		pins[i] = trust_parse_pin(texts[i], err);
		if (pins[i] == NULL) {
			value_free_words(pins);
			return NULL;
		}
	}
	return pins;
}

bool
trust_is_token_url(const char *text)
{
	return strncasecmp(text, "pkcs11:", 7) == 0;
}

bool
trust_is_loopback(const char *host)
{
	struct in_addr four;
	struct in6_addr six;

	/* As getaddrinfo(3) reads it, for whom 127.1 is an address, too. */
	if (inet_aton(host, &four) != 0)
		return ntohl(four.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, host, &six) == 1)
		return IN6_IS_ADDR_LOOPBACK(&six);
	return strcasecmp(host, "localhost") == 0;
}

int
trust_check_cleartext(const struct account *account, struct error *err)
{
	if (account->tls != ACCOUNT_TLS_NONE || account->cleartext || account->host == NULL ||
		trust_is_loopback(account->host))
		return 0;
	return error_set(err, ERROR_CONFIG,
		"tls = \"none\" would send everything, the login too, to '%s' in clear: set 'tls' "
		"to implicit or starttls; if it has to be, set cleartext = \"yes\"",
		account->host);
}

int
trust_check(const struct account *account, struct error *err)
{
	if (account->pin_only && account->pin == NULL)
		return error_set(
			err, ERROR_CONFIG, "pin-only trusts nothing but 'pin', and there is none");
	if (account->tls_key != NULL && account->tls_cert == NULL)
		return error_set(
			err, ERROR_CONFIG, "tls-key is the key of 'tls-cert', and there is none");
	return 0;
}
