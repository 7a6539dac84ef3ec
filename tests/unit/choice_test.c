#include "fetch/auth/choice.h"

#include <string.h>

#include "check.h"
#include "mech_all.h"
#include "config/mechanism.h"
#include "fetch/auth/sasl.h"

#define EVERYTHING                                                                                 \
	"SASL NTLM LOGIN PLAIN DIGEST-MD5 CRAM-MD5 GSSAPI GS2-KRB5 GSS-SPNEGO ANONYMOUS OTP X "    \
	"SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-512 SCRAM-SHA-1-PLUS SCRAM-SHA-256-PLUS EXTERNAL"

/*
 * What the connection and the account have, in letters: Tls, Binding, Certificate, in clear by its
 * own word (N).
 */
static struct choice
make_choice(
	const char *has, struct account *account, struct pop3_capabilities *caps, const char *list)
{
	static const struct tls_binding binding = {.type = "tls-exporter", .len = 1};

	*account = (struct account){
		.tls = strchr(has, 'N') != NULL ? ACCOUNT_TLS_NONE : ACCOUNT_TLS_STARTTLS};
	pop3_capabilities_init(caps);
	caps->known = true;
	pop3_capabilities_add(caps, list, strlen(list));
	return (struct choice){
		.account = account,
		.caps = caps,
		.is_secure = strchr(has, 'T') != NULL,
		.binding = strchr(has, 'B') != NULL ? &binding : NULL,
		.has_certificate = strchr(has, 'C') != NULL,
	};
}

static void
test_automatic_order(void)
{
	static const struct {
		const char *has, *list, *want;
	} cases[] = {
		{"TBC", EVERYTHING,
                 "EXTERNAL SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-512 SCRAM-SHA-256 "
			"SCRAM-SHA-1 PLAIN LOGIN CRAM-MD5"									},
		{"TB",  EVERYTHING,
                 "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-512 SCRAM-SHA-256 "
			"SCRAM-SHA-1 PLAIN LOGIN CRAM-MD5"									},
		{"T",   EVERYTHING,                                 "SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN CRAM-MD5"},
		{"N",   EVERYTHING,                                 "SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN"},
 /* Clear text that nobody has agreed to: nothing that shows the password. */
		{"",    EVERYTHING,				 "SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5"            },
		{"",    "USER",				     ""							    },
		{"N",   "USER",				     "USER"							},
		{"T",   "USER",				     "USER"							},
		{"TB",  "SASL GSSAPI NTLM DIGEST-MD5 EXTERNAL OTP", ""                                                            },
		{"TB",  "SASL",				     ""							    },
		{"TB",  "UIDL",				     "USER"							},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *names[CHOICE_MAX], *first;
		struct pop3_capabilities caps;
		struct account account;
		struct choice choice = make_choice(cases[i].has, &account, &caps, cases[i].list);
		size_t count = choice_list(&choice, names);
		char got[512] = "";

		for (size_t k = 0; k < count; k++)
			snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s",
				k != 0 ? " " : "", names[k]);
		CHECK_STR(got, cases[i].want);
		first = choice_first(&choice);
		CHECK(count != 0 ? first == names[0] : first == NULL);
	}
}

/*
 * What a user names is taken in his order, listed or not; what this connection cannot do says why.
 */
static void
test_named(void)
{
	static const struct {
		const char *has, *name, *reason; /* NULL: it may */
	} cases[] = {
		{"T",   "PLAIN",              NULL				      },
		{"N",   "PLAIN",              NULL				      },
		{"",    "PLAIN",              "PLAIN would show the password"           },
		{"",    "LOGIN",              "LOGIN would show the password"           },
		{"",    "USER",               "USER would show the password"            },
		{"",    "SCRAM-SHA-1",        NULL                                      },
		{"",    "APOP",               NULL				      },
		{"TC",  "EXTERNAL",           NULL                                      },
		{"T",   "EXTERNAL",           "EXTERNAL needs a client certificate"     },
		{"NC",  "EXTERNAL",           "EXTERNAL needs TLS"                      },
		{"TB",  "SCRAM-SHA-256-PLUS", NULL                                      },
		{"T",   "SCRAM-SHA-256-PLUS", "this TLS connection has nothing to bind" },
		{"N",   "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256-PLUS needs TLS"            },
		{"T",   "NTLM",               NULL				      },
		{"T",   "GSSAPI",             NULL				      },
		{"TBC", "ANONYMOUS",          "ANONYMOUS: not a mechanism that is known"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char other[] = "CRAM-MD5", *named[] = {(char *)cases[i].name, other, NULL};
		const char *names[CHOICE_MAX];
		struct pop3_capabilities caps;
		struct account account;
		struct choice choice = make_choice(cases[i].has, &account, &caps, "SASL OTP");
		struct error err = {.class = ERROR_BUG};

		account.auth = named;
		if (!CHECK(choice_list(&choice, names) == 2 && names[0] == named[0]))
			continue;
		CHECK(choice_allows(&choice, cases[i].name, &err) ==
			(cases[i].reason == NULL ? 0 : -1));
		if (cases[i].reason != NULL) {
			CHECK(err.class == ERROR_AUTH);
			if (!CHECK(strstr(err.text, cases[i].reason) != NULL))
				fprintf(stderr, "\t%s: %s\n", cases[i].name, err.text);
			CHECK_STR(choice_first(&choice), "CRAM-MD5");
		}
	}
}

/* An account with a token (K), or on behalf of another user (A). */
static void
test_tokens_and_other_users(void)
{
	static const struct {
		const char *has, *list, *want;
	} cases[] = {
		{"TK",  EVERYTHING " OAUTHBEARER XOAUTH2",       "OAUTHBEARER XOAUTH2"},
		{"TK",  "SASL XOAUTH2 PLAIN",                    "XOAUTH2"            },
		{"TK",  "USER",				  ""                   },
		{"T",   "SASL XOAUTH2 OAUTHBEARER",              ""                   },
		{"TKA", "SASL XOAUTH2 OAUTHBEARER",              "OAUTHBEARER"        },
		{"K",   "SASL XOAUTH2 OAUTHBEARER",              ""                   },
		{"NK",  "SASL XOAUTH2 OAUTHBEARER",              ""                   },
		{"TA",  "SASL PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1", "SCRAM-SHA-1 PLAIN"  },
		{"TA",  "SASL LOGIN CRAM-MD5",                   ""                   },
		{"TA",  "USER",				  ""                   },
	};
	static const char *const cannot[] = {
		"LOGIN", "CRAM-MD5", "XOAUTH2", "NTLM", "USER", "APOP"};
	size_t count = 0;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *names[CHOICE_MAX];
		struct pop3_capabilities caps;
		struct account account;
		struct choice choice = make_choice(cases[i].has, &account, &caps, cases[i].list);
		char got[512] = "";

		account.token_file = strchr(cases[i].has, 'K') != NULL ? (char *)"/t" : NULL;
		account.authorize_as = strchr(cases[i].has, 'A') != NULL ? (char *)"joe" : NULL;
		count = choice_list(&choice, names);
		for (size_t k = 0; k < count; k++)
			snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s",
				k != 0 ? " " : "", names[k]);
		CHECK_STR(got, cases[i].want);
	}
	count = 0;
	for (size_t i = 0; mechanism_names[i] != NULL; i++)
		count += mechanism_find(mechanism_names[i])->authorizes ? 0 : 1;
	CHECK(count == sizeof cannot / sizeof *cannot);
	for (size_t i = 0; i < sizeof cannot / sizeof *cannot; i++)
		CHECK(!mechanism_find(cannot[i])->authorizes);
	CHECK(mechanism_takes_token("XOAUTH2") && mechanism_takes_token("OAUTHBEARER"));
	CHECK(!mechanism_takes_token("PLAIN") && !mechanism_takes_token("X"));
}

/*
 * RFC 5802 section 6: "y" is said where a server with -PLUS would have listed it, or somebody took
 * it out.
 */
static void
test_could_bind(void)
{
	static const struct {
		const char *has, *list;
		const char *auth[3];
		const char *name;
		bool want;
	} cases[] = {
		{"TB", "SASL SCRAM-SHA-1",                    {NULL},                              "SCRAM-SHA-1", true },
		{"T",  "SASL SCRAM-SHA-1",                    {NULL},                              "SCRAM-SHA-1", false},
		{"N",  "SASL SCRAM-SHA-1",                    {NULL},                              "SCRAM-SHA-1", false},
		{"TB", "SASL SCRAM-SHA-1 SCRAM-SHA-256-PLUS", {NULL},                              "SCRAM-SHA-1", false},
		{"TB", "UIDL",				{NULL},                              "SCRAM-SHA-1", false},
		{"TB", "SASL PLAIN",                          {NULL},                              "PLAIN",       false},
		{"TB", "SASL SCRAM-SHA-1",                    {"SCRAM-SHA-1"},                     "SCRAM-SHA-1", false},
		{"TB", "SASL SCRAM-SHA-1",                    {"SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"}, "SCRAM-SHA-1",
                 true												  },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct pop3_capabilities caps;
		struct account account;
		struct choice choice = make_choice(cases[i].has, &account, &caps, cases[i].list);

		if (cases[i].auth[0] != NULL)
			account.auth = (char **)(void *)cases[i].auth;
		if (!CHECK(choice_could_bind(&choice, cases[i].name) == cases[i].want))
			fprintf(stderr, "\tcase %zu\n", i);
	}
}

static void
test_what_accounts_need(void)
{
	static const struct {
		const char *auth[4];
		bool password, open;
	} cases[] = {
		{{"PLAIN"},                      true,  false},
		{{"EXTERNAL"},                   false, false},
		{{"GSSAPI"},                     false, true },
		{{"GSSAPI", "EXTERNAL"},         false, true },
		{{"GSS-SPNEGO", "GS2-KRB5"},     false, true },
		{{"GSSAPI", "SCRAM-SHA-1-PLUS"}, true,  true },
		{{"EXTERNAL", "USER"},           true,  false},
	};
	struct account account = {0};

	CHECK(account_needs_password(&account));
	CHECK(!account_needs_open_login(&account));
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		account.auth = (char **)(void *)cases[i].auth;
		CHECK(account_needs_password(&account) == cases[i].password);
		CHECK(account_needs_open_login(&account) == cases[i].open);
	}
	account.auth = NULL;
	account.token_file = (char *)"/t";
	CHECK(!account_needs_password(&account));
	for (size_t i = 0; mechanism_names[i] != NULL; i++)
		CHECK_STR(mechanism_find(mechanism_names[i])->name, mechanism_names[i]);
	CHECK(mechanism_find("plain") == NULL && mechanism_find("") == NULL);
}

/* What is loaded for an account is what its logins may come to, and no more. */
static void
test_what_may_be_tried(void)
{
	static const char *const never[] = {
		"APOP", "DIGEST-MD5", "NTLM", "GSSAPI", "GS2-KRB5", "GSS-SPNEGO"};
	static char *gssapi[] = {(char *)"GSSAPI", NULL};
	struct account account = {0};

	for (size_t i = 0; mechanism_names[i] != NULL; i++) {
		bool is_automatic = !mechanism_takes_token(mechanism_names[i]);

		for (size_t j = 0; j < sizeof never / sizeof *never; j++)
			is_automatic &= strcmp(never[j], mechanism_names[i]) != 0;
		CHECK(choice_may_try(&account, mechanism_names[i]) == is_automatic);
	}
	account.token_file = (char *)"/t";
	CHECK(choice_may_try(&account, "XOAUTH2") && !choice_may_try(&account, "PLAIN"));
	account.auth = gssapi;
	CHECK(choice_may_try(&account, "GSSAPI") && !choice_may_try(&account, "XOAUTH2"));
}

int
main(void)
{
	struct error err;

	if (!CHECK(mech_prepare(&mech_all, &err) == 0))
		return check_done();
	test_what_may_be_tried();
	test_automatic_order();
	test_named();
	test_tokens_and_other_users();
	test_could_bind();
	test_what_accounts_need();
	return check_done();
}
