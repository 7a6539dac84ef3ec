#include "fetch/auth/oauth.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "check.h"
#include "mech_all.h"
#include "fetch/auth/sasl.h"

static struct secret token;
static struct oauth_refusal refusal;
static struct mech_settings settings = {
	.host = "pop.example.org",
	.user = "jane@example.org",
	.password = &token,
	.key_bits = 256,
	.local_name = "127.0.0.1;40000",
	.remote_name = "127.0.0.1;995",
	.refusal = &refusal,
};

static struct mech *
start(const char *mechanism, struct mech_data *initial)
{
	struct error err;
	struct mech *mech;

	settings.mechanism = mechanism;
	refusal = (struct oauth_refusal){0};
	mech = mech_start(&settings, initial, &err);
	if (!CHECK(mech != NULL)) {
		fprintf(stderr, "\t%s: %s\n", mechanism, err.text);
		exit(1);
	}
	return mech;
}

static void
check_initial(const char *mechanism, const char *want, size_t len)
{
	struct mech_data initial;
	struct mech *mech = start(mechanism, &initial);

	CHECK_BYTES(initial.data, initial.len, want, len);
	CHECK(mech_is_done(mech));
	mech_free(mech);
}

/* RFC 7628 section 3.1, and Google's and Microsoft's description of XOAUTH2. */
static void
test_first_messages(void)
{
	static const char bearer[] = "n,a=jane@example.org,\001host=pop.example.org\001port=995\001"
				     "auth=Bearer ya29.tok-en\001\001";
	static const char without_port[] = "n,a=jane@example.org,\001host=pop.example.org\001"
					   "auth=Bearer ya29.tok-en\001\001";
	static const char odd[] = "n,a=a=3Db=2Cc,\001host=pop.example.org\001port=995\001"
				  "auth=Bearer ya29.tok-en\001\001";
	static const char xoauth2[] = "user=jane@example.org\001auth=Bearer ya29.tok-en\001\001";
	static const char odd_xoauth2[] = "user=a=b,c\001auth=Bearer ya29.tok-en\001\001";

	secret_set(&token, "ya29.tok-en", 11);
	check_initial("OAUTHBEARER", bearer, sizeof bearer - 1);
	check_initial("XOAUTH2", xoauth2, sizeof xoauth2 - 1);
	settings.remote_name = NULL;
	check_initial("OAUTHBEARER", without_port, sizeof without_port - 1);
	settings.remote_name = "fe80::1%eth0;995";
	check_initial("OAUTHBEARER", bearer, sizeof bearer - 1);
	settings.user = "a=b,c";
	check_initial("OAUTHBEARER", odd, sizeof odd - 1);
	check_initial("XOAUTH2", odd_xoauth2, sizeof odd_xoauth2 - 1);
	settings.user = "jane@example.org";
	settings.remote_name = "127.0.0.1;995";
}

/* The token tells who logs in, so "a=" can tell whom for. */
static void
test_authorization(void)
{
	static const char want[] = "n,a=joe,\001host=pop.example.org\001port=995\001"
				   "auth=Bearer ya29.tok-en\001\001";

	settings.authorize_as = "joe";
	check_initial("OAUTHBEARER", want, sizeof want - 1);
	settings.authorize_as = NULL;
}

static void
test_long_token(void)
{
	size_t len = 65536;
	char *text = xcalloc(len, 1);
	struct mech_data initial;
	struct mech *mech;

	memset(text, 'x', len);
	secret_set(&token, text, len);
	mech = start("XOAUTH2", &initial);
	CHECK(initial.len ==
		strlen("user=jane@example.org") + 1 + strlen("auth=Bearer ") + len + 2);
	mech_free(mech);
	free(text);
	secret_set(&token, "ya29.tok-en", 11);
}

static void
check_refused_here(const char *mechanism, const char *text)
{
	struct mech_data initial;
	struct error err = {.text = ""};

	settings.mechanism = mechanism;
	CHECK(mech_start(&settings, &initial, &err) == NULL);
	CHECK(err.class == ERROR_AUTH);
	CHECK_STR(err.text, text);
}

static void
test_failures_on_this_side(void)
{
	static const char *const names[] = {"OAUTHBEARER", "XOAUTH2"};
	struct secret none = {0};
	char text[160];

	for (size_t i = 0; i < 2; i++) {
		settings.key_bits = 0;
		snprintf(text, sizeof text,
			"%s: encryption needed to use mechanism: a token is never sent without TLS",
			names[i]);
		check_refused_here(names[i], text);
		settings.key_bits = 256;
		snprintf(text, sizeof text, "%s: no password is known", names[i]);
		settings.password = &none;
		check_refused_here(names[i], text);
		settings.password = &token;
		snprintf(text, sizeof text,
			"%s: invalid parameter supplied: an octet of the user, host or token cannot be sent",
			names[i]);
		settings.user = "jane\001auth=Bearer other";
		check_refused_here(names[i], text);
		settings.user = "jane@example.org";
		secret_set(&token, "a\001b", 3);
		check_refused_here(names[i], text);
		secret_set(&token, "ya29.tok-en", 11);
	}
}

/* pop3 rules 56 and 57: ^A, or an empty line, and -ERR follows; +OK would be a lie. */
static void
test_refusal(void)
{
	static const char challenge[] =
		"{\"status\":\"401\",\"schemes\":\"Bearer\",\"scope\":\"https://mail.google.com/\"}";
	static const struct {
		const char *mechanism, *answer;
	} cases[] = {
		{"OAUTHBEARER", "\001"},
                {"XOAUTH2",     ""    }
        };
	char shown[OAUTH_SHOWN_SIZE];

	for (size_t i = 0; i < 2; i++) {
		struct mech_data data;
		struct error err;
		struct mech *mech = start(cases[i].mechanism, &data);

		CHECK(!refusal.is_set);
		CHECK(mech_step(mech, challenge, sizeof challenge - 1, &data, &err) == 0);
		CHECK_BYTES(data.data, data.len, cases[i].answer, strlen(cases[i].answer));
		CHECK(!mech_is_done(mech));
		CHECK(refusal.is_set);
		CHECK_STR(oauth_refusal_show(&refusal, shown),
			"status \"401\", scope \"https://mail.google.com/\"");
		CHECK(mech_step(mech, challenge, sizeof challenge - 1, &data, &err) == -1);
		mech_free(mech);
	}
}

/* clang-format off */
static const struct {
	const char *text, *shown;
	bool may_pass;
} refusals[] = {
	{"{\"status\":\"invalid_token\",\"scope\":\"mail\"}", "status \"invalid_token\", scope \"mail\"", true},
	{" {\n\"scope\" : \"a b\" , \"status\"\t:401 } ", "status \"401\", scope \"a b\"", true},
	{"{\"schemes\":[\"b\",{\"x\":\"]}\"}],\"status\":\"400\",\"more\":{\"status\":\"inner\"}}", "status \"400\"", true},
	{"{\"scope\":\"x\"}", "scope \"x\"", true},
	{"{\"status\":\"insufficient_scope\"}", "status \"insufficient_scope\"", false},
	{"{\"status\":\"403\"}", "status \"403\"", false},
	{"{\"status\":\"Insufficient_Scope\",\"status2\":null}", "status \"Insufficient_Scope\"", false},
	{"{\"status\":\"\\u0034\\u00301\\n\\t\\\"\\\\\\/\\u00e9\\u000a\"}", "status \"401\?\?\"\\\\/\?\?\"", true},
	{"{\"status\":\"\x1b[31mred\xff\"}", "status \"\\x1b[31mred\\xff\"", true},
	{"{\"status\":true,\"scope\":null}", "status \"true\", scope \"null\"", true},
	{"{\"status\":{},\"scope\":[]}", "", true},
	{"{}", "", true},
	{"", "", true},
	{"invalid token", "status \"invalid token\"", true},
	{"{\"status\":\"401\"", "status \"{\"status\":\"401\"\"", true},
	{"{\"status\":\"401", "status \"{\"status\":\"401\"", true},
	{"{\"status\" \"401\"}", "status \"{\"status\" \"401\"}\"", true},
	{"{\"status\":}", "status \"{\"status\":}\"", true},
	{"{\"a\":1 \"b\":2}", "status \"{\"a\":1 \"b\":2}\"", true},
	{"[\"status\",\"401\"]", "status \"[\"status\",\"401\"]\"", true},
	{"{\"a\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}", "status \"{\"a\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}\"", true},
	{"{\"status\":\"\\u12\"}", "status \"?\"", true},
	{"{\"status\":\"\\", "status \"{\"status\":\"\\\\\"", true},
};
/* clang-format on */

static void
test_reading(void)
{
	for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
		char shown[OAUTH_SHOWN_SIZE];
		size_t len = strlen(refusals[i].text);
		/* Memory of its own, so that a sanitizer sees a look behind its end. */
		char *text = xmemdup0(refusals[i].text, len);

		text = xreallocarray(text, len != 0 ? len : 1, 1);
		oauth_refusal_read(&refusal, text, len);
		CHECK(refusal.is_set);
		CHECK_STR(oauth_refusal_show(&refusal, shown), refusals[i].shown);
		CHECK(oauth_refusal_may_pass(&refusal) == refusals[i].may_pass);
		/* Cut anywhere it is still something bounded. */
		for (size_t cut = 0; cut < len; cut++) {
			oauth_refusal_read(&refusal, text, cut);
			CHECK(strlen(refusal.status) < OAUTH_WORD_SIZE);
		}
		free(text);
	}
}

static void
test_reading_is_bounded(void)
{
	size_t len = 65536;
	char *text = xcalloc(len, 1), shown[OAUTH_SHOWN_SIZE];

	memset(text, '\x01', len);
	memcpy(text, "{\"scope\":\"", 10);
	memcpy(text + len - 2, "\"}", 2);
	oauth_refusal_read(&refusal, text, len);
	CHECK(strlen(refusal.scope) == OAUTH_WORD_SIZE - 1);
	CHECK(strlen(oauth_refusal_show(&refusal, shown)) < OAUTH_SHOWN_SIZE);
	memset(text, '[', len);
	oauth_refusal_read(&refusal, text, len);
	CHECK(strlen(refusal.status) == OAUTH_WORD_SIZE - 1);
	memcpy(text, "{\"a\":", 5);
	oauth_refusal_read(&refusal, text, len);
	CHECK(strlen(refusal.status) == OAUTH_WORD_SIZE - 1);
	memcpy(text, "\0{}", 3);
	oauth_refusal_read(&refusal, text, 3);
	CHECK_STR(oauth_refusal_show(&refusal, shown), "status \"?{}\"");
	free(text);
}

int
main(void)
{
	struct error err;

	if (!CHECK(mech_prepare(&mech_all, &err) == 0)) {
		fprintf(stderr, "\t%s\n", err.text);
		return check_done();
	}
	CHECK(mech_is_available("OAUTHBEARER") && mech_is_available("xoauth2"));
	test_first_messages();
	test_authorization();
	test_long_token();
	test_failures_on_this_side();
	test_refusal();
	test_reading();
	test_reading_is_bounded();
	secret_release(&token);
	return check_done();
}
