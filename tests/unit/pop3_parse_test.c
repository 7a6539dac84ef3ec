/* The pure parsers of POP3 lines (pop3 rules 2, 9, 16, 18, 22-34, 44-47, 53). */
#include "fetch/pop3_parse.h"

#include <stdlib.h>

#include "base/xalloc.h"
#include "check.h"

/* Text with a length, so that NUL may be in it. */
#define BYTES(text) (text), sizeof(text) - 1
#define NO_BYTES    NULL, 0

/*
 * The parsers must not read beyond the length they are given: each line is
 * copied to memory of exactly its size, where valgrind and the sanitizers see it.
 */
static char *
exact_copy(const char *data, size_t len)
{
	char *copy = xcalloc(len == 0 ? 1 : len, 1);

	memcpy(copy, data, len);
	return copy;
}

static void
test_replies(void)
{
	static const struct {
		const char *line;
		size_t len;
		bool is_status;
		bool ok;
		enum pop3_code code;
		const char *text;
	} cases[] = {
		{BYTES("+OK"),                              true,  true,  POP3_CODE_NONE,        ""     },
		{BYTES("-ERR"),                             true,  false, POP3_CODE_NONE,        ""     },
		{BYTES("+ok fine"),                         true,  true,  POP3_CODE_NONE,        "fine" },
		{BYTES("-err bad"),                         true,  false, POP3_CODE_NONE,        "bad"  },
		{BYTES("+OKfine"),                          true,  true,  POP3_CODE_NONE,        "fine" },
		{BYTES("-ERR  two"),                        true,  false, POP3_CODE_NONE,        "two"  },
		{BYTES("-ERR\tx"),                          true,  false, POP3_CODE_NONE,        "x"    },
		{BYTES(""),				 false, false, POP3_CODE_NONE,        NULL   },
		{BYTES("+"),				false, false, POP3_CODE_NONE,        NULL   },
		{BYTES("+O"),			       false, false, POP3_CODE_NONE,        NULL   },
		{BYTES("-ER"),                              false, false, POP3_CODE_NONE,        NULL   },
		{BYTES(" +OK"),                             false, false, POP3_CODE_NONE,        NULL   },
		{BYTES("* OK IMAP"),                        false, false, POP3_CODE_NONE,        NULL   },
		{BYTES("220 smtp"),                         false, false, POP3_CODE_NONE,        NULL   },
		{BYTES("-ERR [IN-USE] x"),                  true,  false, POP3_CODE_IN_USE,      NULL   },
		{BYTES("-ERR [in-use] x"),                  true,  false, POP3_CODE_IN_USE,      NULL   },
		{BYTES("-ERR [IN-USE/AGAIN] x"),            true,  false, POP3_CODE_IN_USE,      NULL   },
		{BYTES("-ERR [IN-USED] x"),                 true,  false, POP3_CODE_NONE,        NULL   },
		{BYTES("-ERR [LOGIN-DELAY] x"),             true,  false, POP3_CODE_LOGIN_DELAY, NULL   },
		{BYTES("-ERR [SYS/TEMP] x"),                true,  false, POP3_CODE_SYS_TEMP,    NULL   },
		{BYTES("-ERR [SYS/TEMP/DISK] x"),           true,  false, POP3_CODE_SYS_TEMP,    NULL   },
		{BYTES("-ERR [SYS] x"),                     true,  false, POP3_CODE_SYS_TEMP,    NULL   },
		{BYTES("-ERR [SYS/ODD] x"),                 true,  false, POP3_CODE_SYS_TEMP,    NULL   },
		{BYTES("-ERR [SYS/PERM] x"),                true,  false, POP3_CODE_SYS_PERM,    NULL   },
		{BYTES("-ERR [SYS/PERMANENT] x"),           true,  false, POP3_CODE_SYS_TEMP,    NULL   },
		{BYTES("-ERR [SYSTEM] x"),                  true,  false, POP3_CODE_NONE,        NULL   },
		{BYTES("-ERR [AUTH] x"),                    true,  false, POP3_CODE_AUTH,        NULL   },
		{BYTES("-ERR [UTF8] x"),                    true,  false, POP3_CODE_UTF8,        NULL   },
		{BYTES("-ERR [REFERRAL/jane@host:110] x"),  true,  false, POP3_CODE_REFERRAL,    NULL   },
		{BYTES("-ERR [AUTH"),                       true,  false, POP3_CODE_NONE,        "[AUTH"},
		{BYTES("-ERR no [AUTH] here"),              true,  false, POP3_CODE_NONE,        NULL   },
		{BYTES("-ERR []"),                          true,  false, POP3_CODE_NONE,        "[]"   },
		{BYTES("+OK [IN-USE] not a code in an OK"), true,  true,  POP3_CODE_NONE,        NULL   },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *line = exact_copy(cases[i].line, cases[i].len);
		struct pop3_reply reply;
		bool is_status = pop3_parse_reply(line, cases[i].len, &reply);

		if (!CHECK(is_status == cases[i].is_status))
			fprintf(stderr, "\tin \"%s\"\n", cases[i].line);
		if (is_status) {
			if (!CHECK(reply.ok == cases[i].ok) || !CHECK(reply.code == cases[i].code))
				fprintf(stderr, "\tin \"%s\"\n", cases[i].line);
			if (cases[i].text != NULL)
				CHECK_BYTES(reply.text, reply.text_len, cases[i].text,
					strlen(cases[i].text));
		}
		free(line);
	}
}

/* A line that was cut anywhere is a status only from the whole word on. */
static void
test_cut_replies(void)
{
	static const char line[] = "-ERR [SYS/PERM] broken";

	for (size_t len = 0; len < sizeof(line); len++) {
		char *copy = exact_copy(line, len);
		struct pop3_reply reply;
		bool is_status = pop3_parse_reply(copy, len, &reply);

		CHECK(is_status == (len >= 4));
		if (is_status)
			CHECK(reply.code == (len >= 15 ? POP3_CODE_SYS_PERM : POP3_CODE_NONE));
		free(copy);
	}
}

static void
test_long_reply(void)
{
	char line[5000];
	struct pop3_reply reply;

	memset(line, 'x', sizeof(line));
	memcpy(line, "+OK ", 4);
	CHECK(pop3_parse_reply(line, sizeof(line), &reply));
	CHECK(reply.text_len == POP3_TEXT_MAX);
	CHECK_BYTES(reply.text, reply.text_len, line + 4, POP3_TEXT_MAX);
	CHECK(pop3_parse_reply(BYTES("+OK a\0b\377"), &reply));
	CHECK_BYTES(reply.text, reply.text_len, "a\0b\377", 4);
}

static void
test_refusals(void)
{
	static const struct {
		const char *line;
		enum error_class plain;     /* without AUTH-RESP-CODE */
		enum error_class with_code; /* with it */
	} cases[] = {
		{"-ERR",				       ERROR_AUTH,        ERROR_SERVER_TEMP},
		{"-ERR Login failed.",                         ERROR_AUTH,        ERROR_SERVER_TEMP},
		{"-ERR [AUTH] Authentication failed.",         ERROR_AUTH,        ERROR_AUTH       },
		{"-ERR [auth] wait a minute",                  ERROR_AUTH,        ERROR_AUTH       },
		{"-ERR [IN-USE] x",                            ERROR_SERVER_TEMP, ERROR_SERVER_TEMP},
		{"-ERR [LOGIN-DELAY] x",                       ERROR_SERVER_TEMP, ERROR_SERVER_TEMP},
		{"-ERR [SYS/TEMP] x",                          ERROR_SERVER_TEMP, ERROR_SERVER_TEMP},
		{"-ERR [SYS/PERM] x",                          ERROR_SERVER_PERM, ERROR_SERVER_PERM},
		{"-ERR [REFERRAL/a@b] x",                      ERROR_SERVER_PERM, ERROR_SERVER_PERM},
		{"-ERR maildrop already locked",               ERROR_SERVER_TEMP, ERROR_SERVER_TEMP},
		{"-ERR Can't get lock.  Mailbox in use",       ERROR_SERVER_TEMP, ERROR_SERVER_TEMP},
		{"-ERR please WAIT 5 minutes",                 ERROR_SERVER_TEMP, ERROR_SERVER_TEMP},
		{"-ERR Service unavailable",                   ERROR_SERVER_TEMP, ERROR_SERVER_TEMP},
		{"-ERR Server Unavailable. 21",                ERROR_SERVER_TEMP, ERROR_SERVER_TEMP},
		{"-ERR Exceeded the login limit for a 15 min", ERROR_SERVER_TEMP,
                 ERROR_SERVER_TEMP								 },
		{"-ERR login delay in effect",                 ERROR_SERVER_TEMP, ERROR_SERVER_TEMP},
		{"-ERR too many connections",                  ERROR_SERVER_TEMP, ERROR_SERVER_TEMP},
		{"-ERR internal server error",                 ERROR_SERVER_TEMP, ERROR_SERVER_TEMP},
		{"-ERR login temporarily disabled",            ERROR_SERVER_TEMP, ERROR_SERVER_TEMP},
		{"-ERR Please try again later.",               ERROR_SERVER_TEMP, ERROR_SERVER_TEMP},
		{"-ERR wrong password, try again",             ERROR_AUTH,        ERROR_SERVER_TEMP},
		{"-ERR your account is blocked",               ERROR_AUTH,        ERROR_SERVER_TEMP},
		{"-ERR bad password for clock",                ERROR_AUTH,        ERROR_SERVER_TEMP},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pop3_reply reply;

		CHECK(pop3_parse_reply(cases[i].line, strlen(cases[i].line), &reply));
		if (!CHECK(pop3_login_refusal_class(&reply, false) == cases[i].plain) ||
			!CHECK(pop3_login_refusal_class(&reply, true) == cases[i].with_code))
			fprintf(stderr, "\tin \"%s\"\n", cases[i].line);
	}
}

static void
test_refusal_otherwise(void)
{
	struct pop3_reply reply;

	CHECK(pop3_parse_reply(BYTES("-ERR too many"), &reply));
	CHECK(pop3_refusal_class(&reply, ERROR_PROTOCOL) == ERROR_PROTOCOL);
	CHECK(pop3_parse_reply(BYTES("-ERR [UTF8] x"), &reply));
	CHECK(pop3_refusal_class(&reply, ERROR_TLS) == ERROR_TLS);
	CHECK(pop3_parse_reply(BYTES("-ERR [AUTH] x"), &reply));
	CHECK(pop3_refusal_class(&reply, ERROR_NET) == ERROR_NET);
	CHECK(pop3_parse_reply(BYTES("-ERR [SYS/PERM] x"), &reply));
	CHECK(pop3_refusal_class(&reply, ERROR_TLS) == ERROR_SERVER_PERM);
}

static void
test_challenges(void)
{
	static const struct {
		const char *line;
		const char *data; /* NULL: no challenge */
	} cases[] = {
		{"+",          ""        },
		{"+ ",         ""        },
		{"+ PGVk",     "PGVk"    },
		{"+  x",       " x"      },
		{"+OK",        NULL      },
		{"+PGVk",      NULL      },
		{"-ERR",       NULL      },
		{"",           NULL      },
		{" + ",        NULL      },
		{"+ not b64!", "not b64!"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *line = exact_copy(cases[i].line, strlen(cases[i].line));
		const char *data;
		size_t len;

		if (!pop3_parse_challenge(line, strlen(cases[i].line), &data, &len))
			CHECK(cases[i].data == NULL);
		else if (CHECK(cases[i].data != NULL))
			CHECK_BYTES(data, len, cases[i].data, strlen(cases[i].data));
		free(line);
	}
}

/* Lines as one text, '\n' between them. */
static void
read_capabilities(struct pop3_capabilities *caps, const char *lines)
{
	pop3_capabilities_init(caps);
	while (*lines != '\0') {
		size_t len = strcspn(lines, "\n");
		char *line = exact_copy(lines, len);

		pop3_capabilities_add(caps, line, len);
		free(line);
		lines += len;
		lines += *lines == '\n';
	}
}

/* The lists of real servers. */
static void
test_capabilities(void)
{
	struct pop3_capabilities caps;

	read_capabilities(&caps,
		"CAPA\nTOP\nUIDL\nRESP-CODES\nPIPELINING\nAUTH-RESP-CODE\nSTLS\n"
		"USER\nSASL PLAIN LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1");
	CHECK(caps.top && caps.uidl && caps.pipelining && caps.auth_resp_code);
	CHECK(caps.stls && caps.user && caps.sasl && !caps.utf8 && !caps.has_expire);
	CHECK(pop3_capabilities_has_mechanism(&caps, "PLAIN"));
	CHECK(pop3_capabilities_has_mechanism(&caps, "SCRAM-SHA-1"));
	CHECK(pop3_capabilities_has_mechanism(&caps, "LOGIN"));
	CHECK(!pop3_capabilities_has_mechanism(&caps, "SCRAM-SHA-256"));
	CHECK(!pop3_capabilities_has_mechanism(&caps, "SCRAM-SHA"));
	CHECK(!pop3_capabilities_has_mechanism(&caps, "MD5"));
	CHECK(!pop3_capabilities_has_mechanism(&caps, "LAIN"));

	read_capabilities(&caps,
		"sasl plain  xoauth2\nLogin-Delay 300\nexpire 0\nuTf8 user\n"
		"IMPLEMENTATION PIPELINING TOP\npipelining ");
	CHECK(pop3_capabilities_has_mechanism(&caps, "XOAUTH2"));
	CHECK(caps.has_login_delay && caps.login_delay == 300);
	CHECK(caps.has_expire && caps.expire_days == 0);
	CHECK(caps.utf8 && caps.utf8_user && caps.pipelining && !caps.top && !caps.is_cyrus);

	read_capabilities(
		&caps, "SASL\nUTF8\nEXPIRE 30 USER\nLOGIN-DELAY 10 USER\nPIPELININGS\nTOPS");
	CHECK(caps.sasl && caps.utf8 && !caps.utf8_user && !caps.pipelining && !caps.top);
	CHECK(caps.expire_days == 30 && caps.login_delay == 10);
	CHECK(!pop3_capabilities_has_mechanism(&caps, "PLAIN"));

	/* GNU Mailutils leaves the space out. */
	read_capabilities(&caps, "EXPIRENEVER\nUSER\nSTLS");
	CHECK(!caps.has_expire && caps.expire_days == -1 && caps.user && caps.stls);
	read_capabilities(&caps, "EXPIRE NEVER");
	CHECK(caps.has_expire && caps.expire_days == -1);
	read_capabilities(&caps, "IMPLEMENTATION Cyrus POP3 3.6.1-4");
	CHECK(caps.is_cyrus);
	read_capabilities(&caps, "IMPLEMENTATION\nIMPLEMENTATION Cyrusish");
	CHECK(!caps.is_cyrus);
	read_capabilities(&caps, "");
	CHECK(!caps.sasl && !caps.user && caps.expire_days == -1 && caps.login_delay == 0);
}

/* Numbers and lists that are meant to do harm. */
static void
test_hostile_capabilities(void)
{
	struct pop3_capabilities caps;
	char line[8000] = "SASL";

	read_capabilities(
		&caps, "EXPIRE 99999999999999999999999\nLOGIN-DELAY 18446744073709551615");
	CHECK(caps.expire_days == POP3_EXPIRE_DAYS_MAX);
	CHECK(caps.login_delay == POP3_LOGIN_DELAY_MAX);
	read_capabilities(&caps, "EXPIRE -1\nLOGIN-DELAY -5\nEXPIRE\nLOGIN-DELAY\nEXPIRE 3x");
	CHECK(!caps.has_expire && !caps.has_login_delay);

	for (size_t i = 4; i + 6 < sizeof(line); i += 6)
		memcpy(line + i, " ABCDE", 7);
	read_capabilities(&caps, line);
	CHECK(strlen(caps.mechanisms) < sizeof(caps.mechanisms));
	CHECK(pop3_capabilities_has_mechanism(&caps, "ABCDE"));
	CHECK(caps.mechanisms[strlen(caps.mechanisms) - 1] == ' ');

	pop3_capabilities_init(&caps);
	pop3_capabilities_add(&caps, BYTES("SASL PL\0AIN LOGIN"));
	CHECK(pop3_capabilities_has_mechanism(&caps, "LOGIN"));
	CHECK(!pop3_capabilities_has_mechanism(&caps, "PL"));
}

static void
test_list_rows(void)
{
	static const struct {
		const char *line;
		uint32_t number; /* 0: refused */
		uint64_t octets;
	} cases[] = {
		{"1 120",                     1,          120                },
		{"1\t120",                    1,          120                },
		{"1   120",                   1,          120                },
		{" 1 120",                    1,          120                },
		{"1 120 more text",           1,          120                },
		{"1 120bytes",                1,          120                },
		{"+OK 1 120",                 1,          120                },
		{"007 0",                     7,          0                  },
		{"1",			 1,          POP3_OCTETS_UNKNOWN},
		{"1 ",			1,          POP3_OCTETS_UNKNOWN},
		{"1 -5",                      1,          POP3_OCTETS_UNKNOWN},
		{"1 many",                    1,          POP3_OCTETS_UNKNOWN},
		{"1 2147483648",              1,          2147483648         },
		{"1 9223372036854775808",     1,          POP3_OCTETS_UNKNOWN},
		{"1 18446744073709551615",    1,          POP3_OCTETS_UNKNOWN},
		{"1 99999999999999999999999", 1,          POP3_OCTETS_UNKNOWN},
		{"2147483648 5",              2147483648, 5                  },
		{"4294967295 5",              4294967295, 5                  },
		{"4294967296 5",              0,          0                  },
		{"9223372036854775808 5",     0,          0                  },
		{"18446744073709551617 5",    0,          0                  },
		{"0 5",                       0,          0                  },
		{"-1 5",                      0,          0                  },
		{"x 5",                       0,          0                  },
		{"1x 5",                      0,          0                  },
		{"",			  0,          0                  },
		{" ",			 0,          0                  },
		{"+OK",                       0,          0                  },
		{"-ERR 1 5",                  0,          0                  },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *line = exact_copy(cases[i].line, strlen(cases[i].line));
		uint32_t number = 0;
		uint64_t octets = 0;
		bool parsed = pop3_parse_list_row(line, strlen(cases[i].line), &number, &octets);

		if (!CHECK(parsed == (cases[i].number != 0)) ||
			(parsed &&
				(!CHECK(number == cases[i].number) ||
					!CHECK(octets == cases[i].octets))))
			fprintf(stderr, "\tin \"%s\"\n", cases[i].line);
		free(line);
	}
}

static void
test_uidl_rows(void)
{
	static const struct {
		const char *line;
		size_t len;
		uint32_t number; /* 0: refused */
		const char *uidl;
		size_t uidl_len;
	} cases[] = {
		{BYTES("1 abc"),           1, BYTES("abc")          },
		{BYTES("1    abc"),        1, BYTES("abc")          },
		{BYTES("1\tabc"),          1, BYTES("abc")          },
		{BYTES("1 abc  "),         1, BYTES("abc")          },
		{BYTES("1 a b"),           1, BYTES("a b")          },
		{BYTES("1 \"x\" @<%>,/:"), 1, BYTES("\"x\" @<%>,/:")},
		{BYTES("1 AbC"),           1, BYTES("AbC")          },
		{BYTES("+OK 1 abc"),       1, BYTES("abc")          },
		{BYTES("+ok\t2 abc"),      2, BYTES("abc")          },
		{BYTES("1 +OK"),           1, BYTES("+OK")          },
		{BYTES("1"),               1, BYTES("")             },
		{BYTES("1 "),              1, BYTES("")             },
		{BYTES("1 a\0b"),          1, BYTES("a\0b")         },
		{BYTES("1 \344\366\374"),  1, BYTES("\344\366\374") },
		{BYTES("1 1"),             1, BYTES("1")            },
		{BYTES("0 abc"),           0, NO_BYTES              },
		{BYTES("4294967296 abc"),  0, NO_BYTES              },
		{BYTES("abc 1"),           0, NO_BYTES              },
		{BYTES("-1 abc"),          0, NO_BYTES              },
		{BYTES(""),                0, NO_BYTES              },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *line = exact_copy(cases[i].line, cases[i].len);
		uint32_t number = 0;
		const char *uidl = NULL;
		size_t len = 0;
		bool parsed = pop3_parse_uidl_row(line, cases[i].len, &number, &uidl, &len);

		if (!CHECK(parsed == (cases[i].number != 0)))
			fprintf(stderr, "\tin \"%s\"\n", cases[i].line);
		if (parsed) {
			CHECK(number == cases[i].number);
			CHECK_BYTES(uidl, len, cases[i].uidl, cases[i].uidl_len);
		}
		free(line);
	}
}

static void
test_long_uidl(void)
{
	char line[10000];
	uint32_t number;
	const char *uidl;
	size_t len;

	memset(line, 'u', sizeof(line));
	memcpy(line, "12 ", 3);
	CHECK(pop3_parse_uidl_row(line, sizeof(line), &number, &uidl, &len));
	CHECK(number == 12 && len == sizeof(line) - 3);
}

static void
test_timestamps(void)
{
	static const struct {
		const char *text;
		size_t len;
		const char *id; /* NULL: none */
	} cases[] = {
		{BYTES("POP3 ready <1896.69@dbc.mtview.ca.us>"), "<1896.69@dbc.mtview.ca.us>"},
		{BYTES("<1.2@[127.0.0.1]> x"),                   "<1.2@[127.0.0.1]>"         },
		{BYTES("<a+b/c==.d@host> ready"),                "<a+b/c==.d@host>"          },
		{BYTES("ready <not> <1@b>"),                     "<1@b>"                     },
		{BYTES("ready <<1@b>"),                          "<1@b>"                     },
		{BYTES("ready"),				 NULL                        },
		{BYTES(""),				      NULL                        },
		{BYTES("<"),				     NULL                        },
		{BYTES("<>"),				    NULL                        },
		{BYTES("<a@b"),				  NULL                        },
		{BYTES("<@b>"),				  NULL                        },
		{BYTES("<a@>"),				  NULL                        },
		{BYTES("<a>"),				   NULL                        },
		{BYTES("<a b@c>"),                               NULL                        },
		{BYTES("<a@b@c>"),                               NULL                        },
		{BYTES("<.a@b>"),                                NULL                        },
		{BYTES("<a.@b>"),                                NULL                        },
		{BYTES("<a..b@c>"),                              NULL                        },
		{BYTES("<a@b.>"),                                NULL                        },
		{BYTES("<a\0b@c>"),                              NULL                        },
		{BYTES("<a\377b@c>"),                            NULL                        },
		{BYTES("<a@[x]y>"),                              NULL                        },
		{BYTES("<a@[x>"),                                NULL                        },
		{BYTES("<\"a b\"@c>"),                           NULL                        },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = exact_copy(cases[i].text, cases[i].len);
		char id[POP3_TIMESTAMP_MAX];
		bool found = pop3_parse_timestamp(text, cases[i].len, id);

		if (!CHECK(found == (cases[i].id != NULL)))
			fprintf(stderr, "\tin \"%s\"\n", cases[i].text);
		if (found && cases[i].id != NULL)
			CHECK_STR(id, cases[i].id);
		free(text);
	}
}

/* A timestamp is there from its last octet on, and not before. */
static void
test_cut_timestamp(void)
{
	static const char text[] = "ready <1896.697170952@dbc.mtview.ca.us> go";
	const size_t end = sizeof("ready <1896.697170952@dbc.mtview.ca.us>") - 1;
	char id[POP3_TIMESTAMP_MAX];

	for (size_t len = 0; len < sizeof(text); len++) {
		char *copy = exact_copy(text, len);

		CHECK(pop3_parse_timestamp(copy, len, id) == (len >= end));
		free(copy);
	}
}

static void
test_long_timestamp(void)
{
	char text[2000], id[POP3_TIMESTAMP_MAX];

	memset(text, 'a', sizeof(text));
	memcpy(text, "<a@", 3);
	text[sizeof(text) - 1] = '>';
	CHECK(!pop3_parse_timestamp(text, sizeof(text), id));
	text[POP3_TIMESTAMP_MAX - 2] = '>';
	CHECK(pop3_parse_timestamp(text, sizeof(text), id));
	CHECK(strlen(id) == POP3_TIMESTAMP_MAX - 1);
	text[POP3_TIMESTAMP_MAX - 2] = 'a';
	text[POP3_TIMESTAMP_MAX - 1] = '>';
	CHECK(!pop3_parse_timestamp(text, sizeof(text), id));
}

int
main(void)
{
	test_replies();
	test_cut_replies();
	test_long_reply();
	test_refusals();
	test_refusal_otherwise();
	test_challenges();
	test_capabilities();
	test_hostile_capabilities();
	test_list_rows();
	test_uidl_rows();
	test_long_uidl();
	test_timestamps();
	test_cut_timestamp();
	test_long_timestamp();
	return check_done();
}
