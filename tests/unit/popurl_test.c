#include "config/popurl.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "check.h"

struct url_case {
	const char *url;
	const char *tls;
	const char *want; /* NAME USER HOST PORT TLS AUTH */
};

/* pop3 rule 64 */
/* clang-format off */
static const struct url_case GOOD[] = {
	{"pop://jane@pop.example.org", NULL,
		"jane@pop.example.org jane pop.example.org 995 0 auto"},
	{"POP://jane@pop.example.org/", NULL,
		"jane@pop.example.org jane pop.example.org 995 0 auto"},
	{"pop://jane@h:110", NULL, "jane@h jane h 110 1 auto"},
	{"pop://jane@h:1995", NULL, "jane@h+1995 jane h 1995 0 auto"},
	{"pop://jane@h:1110", "none", "jane@h+1110 jane h 1110 2 auto"},
	{"pop://jane@h", "starttls", "jane@h jane h 110 1 auto"},
	{"pop://jane@h:110", "implicit", "jane@h+110 jane h 110 0 auto"},
	{"pop://jane@[::1]", NULL, "jane@__1 jane ::1 995 0 auto"},
	{"pop://jane@[2001:db8::1]:1995", NULL,
		"jane@2001_db8__1+1995 jane 2001:db8::1 1995 0 auto"},
	{"pop://jane%40example.org@h", NULL, "jane@example.org@h jane@example.org h 995 0 auto"},
	{"pop://j%2Fa%3bn%3A@h", NULL, "j_a_n_@h j/a;n: h 995 0 auto"},
	{"pop://.x@h", NULL, "_x@h .x h 995 0 auto"},
	{"pop://jane;AUTH=*@h", NULL, "jane@h jane h 995 0 auto"},
	{"pop://jane;auth=+apop@h", NULL, "jane@h jane h 995 0 APOP"},
	{"pop://jane;AUTH=scram-sha-256@h", NULL, "jane@h jane h 995 0 SCRAM-SHA-256"},
};
/* clang-format on */

/* clang-format off */
static const struct url_case BAD[] = {
	{"pops://jane@h", NULL, "there is no scheme 'pops'"},
	{"http://jane@h", NULL, "it does not begin with pop://"},
	{"pop://h", NULL, "it names no user"},
	{"pop://@h", NULL, "it names no user"},
	{"pop://;AUTH=PLAIN@h", NULL, "it names no user"},
	{"pop://jane@", NULL, "it names no host"},
	{"pop://jane@:995", NULL, "it names no host"},
	{"pop://jane:secret@h", NULL, "a password has no place in a URL"},
	{"pop://a@b@h", NULL, "an '@' in the user's name is written %40"},
	{"pop://jane@h/inbox", NULL, "nothing can follow the host and port"},
	{"pop://jane@h?x", NULL, "nothing can follow the host and port"},
	{"pop://jane@h:0", NULL, "port: '0' is out of range (1 to 65535)"},
	{"pop://jane@h:70000", NULL, "port: '70000' is out of range (1 to 65535)"},
	{"pop://jane@h:", NULL, "port: '' is not a number"},
	{"pop://jane@::1", NULL, "an IPv6 address stands in brackets"},
	{"pop://jane@[::1", NULL, "the '[' of its host is not closed"},
	{"pop://jane@[::1]x", NULL, "only a port can follow the ']'"},
	{"pop://jane%0D%0ADELE@h", NULL, "the user has a line end or NUL in it"},
	{"pop://jane%00@h", NULL, "the user has a line end or NUL in it"},
	{"pop://jane@h%0a", NULL, "the host has a line end or NUL in it"},
	{"pop://jane%4@h", NULL, "the user has a % without two hex digits"},
	{"pop://jane%zz@h", NULL, "the user has a % without two hex digits"},
	{"pop://jane@h h", NULL, "host: 'h h' is no host name or address"},
	{"pop://jane;AUTH=@h", NULL, "only AUTH=MECHANISM can follow the ';'"},
	{"pop://jane;x=y@h", NULL, "only AUTH=MECHANISM can follow the ';'"},
	{"pop://jane;AUTH=+KPOP@h", NULL, "+APOP is the only mechanism with a '+'"},
	{"pop://jane;AUTH=SCRAM-SHA-257@h", NULL, "auth: 'SCRAM-SHA-257' is unknown, did you mean"},
};
/* clang-format on */

static void
test_good(const struct url_case *c)
{
	struct account account = {0};
	struct error err;
	char *got;

	if (!CHECK(popurl_parse(c->url, c->tls, &account, &err) == 0)) {
		fprintf(stderr, "\t%s\n", err.text);
		return;
	}
	got = xasprintf("%s %s %s %u %d %s", account.name, account.user, account.host, account.port,
		(int)account.tls, account.auth != NULL ? account.auth[0] : "auto");
	CHECK_STR(got, c->want);
	CHECK(account.auth == NULL || account.auth[1] == NULL);
	CHECK(account.keep.kind == ACCOUNT_KEEP_FOREVER && account.timeout_ms == 300000);
	CHECK(account.dest.kind == ACCOUNT_DEST_NONE && account.quit_after_failure);
	free(got);
	account_release(&account);
}

int
main(void)
{
	for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++)
		test_good(&GOOD[i]);
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		struct account account = {0};
		struct error err = {.text = ""};

		CHECK(popurl_parse(BAD[i].url, BAD[i].tls, &account, &err) == -1);
		CHECK(err.class == ERROR_USAGE);
		if (!CHECK(strstr(err.text, BAD[i].want) != NULL))
			fprintf(stderr, "\t%s: %s\n", BAD[i].url, err.text);
		CHECK(account.name == NULL && account.host == NULL);
	}
	CHECK(popurl_is_url("pop://x") && !popurl_is_url("jane@example.org"));
	return check_done();
}
