/*
 * Header fields of a stranger's message: found, unfolded, decoded, made fit for
 * a terminal; and senders that may stand in a From_ line or an argument.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/xalloc.h"
#include "check.h"
#include "deliver/header.h"

static const struct {
	const char *text, *name;
	const char *value; /* NULL: there is none */
} found[] = {
	{"Subject: hello\n\nbody\n",				     "Subject", "hello"         },
	{"SUBJECT:hello\n",					      "Subject", "hello"         },
	{"subject \t: hello \t\n",				       "Subject", "hello"         },
	{"Subject: hello\r\nTo: x\r\n\r\n",                              "Subject", "hello"         },
	{"From x Sat Nov 21\nSubject: hello\n",                          "Subject", "hello"         },
	{"X-Subject: no\nSubjects: no\nSubject: yes\nSubject: second\n", "Subject", "yes"           },
	{"Subject no colon\n",					   "Subject", NULL            },
	{"Subject",						      "Subject", NULL            },
	{"",							     "Subject", NULL            },
	{"\nSubject: in the body\n",				     "Subject", NULL            },
	{"\r\nSubject: in the body\n",                                   "Subject", NULL            },
	{"To: x\n\nSubject: in the body\n",                              "Subject", NULL            },
	{"Subject: one\n two\n\tthree\nTo: x\n",                         "Subject", "one two\tthree"},
	{"Subject:\n one\n",					     "Subject", "one"           },
	{"Subject:\n \n\t one\n \nTo: x\n",                              "Subject", "one"           },
	{"Subject: one\r\n two\r\nTo: x\r\n",                            "Subject", "one two"       },
	{"X: y\n Subject: folded into X\nSubject: z\n",                  "Subject", "z"             },
	{"Subject:\nTo: x\n",					    "Subject", ""              },
	{"Subject:",						     "Subject", ""              },
	{"Subject: cut he",					      "Subject", "cut he"        },
	{"Subject: cut\n he",					    "Subject", "cut he"        },
};

static void
test_find(void)
{
	for (size_t i = 0; i < sizeof found / sizeof *found; i++) {
		/* A block of its own: valgrind and the sanitizers see a step beyond it. */
		size_t len = strlen(found[i].text);
		char *text = xmemdup0(found[i].text, len), *exact = malloc(len + !len);
		struct buf value = {0};

		memcpy(exact, text, len);
		buf_append_string(&value, "kept:");
		CHECK(header_find(exact, len, found[i].name, &value) == (found[i].value != NULL));
		CHECK(value.len >= 5 && memcmp(buf_data(&value), "kept:", 5) == 0);
		if (found[i].value != NULL)
			CHECK_BYTES(buf_data(&value) + 5, value.len - 5, found[i].value,
				strlen(found[i].value));
		buf_release(&value);
		free(text);
		free(exact);
	}
}

static void
test_find_is_bounded(void)
{
	struct buf text = {0}, value = {0};

	buf_append_string(&text, "Subject: x");
	for (int i = 0; i < 10000; i++)
		buf_append_string(&text, "\n yyyyyyyyy");
	CHECK(header_find(buf_data(&text), text.len, "Subject", &value));
	CHECK(value.len <= HEADER_VALUE_MAX && value.len > HEADER_VALUE_MAX - 20);
	buf_release(&value);

	/* Octets are octets. */
	buf_clear(&text);
	buf_append(&text, "A: \0\nSubject: a\0b\xff\n", 20);
	CHECK(header_find(buf_data(&text), text.len, "Subject", &value));
	CHECK_BYTES(buf_data(&value), value.len, "a\0b\xff", 4);
	buf_release(&value);
	buf_release(&text);
}

static const struct {
	const char *text;
	const char *sender; /* NULL: none */
} senders[] = {
	{"Return-Path: <jane@example.org>\nFrom: x\n",        "jane@example.org"       },
	{"return-path:<jane@example.org>\n",                  "jane@example.org"       },
	{"Return-Path:\n <jane@example.org>\n",               "jane@example.org"       },
	{"Return-Path: <jane@example.org> (comment)\n",       "jane@example.org"       },
	{"Return-Path: jane@example.org\n",                   "jane@example.org"       },
	{"Return-Path: <j\xc3\xa4ne@example.org>\n",          "j\xc3\xa4ne@example.org"},
	{"Return-Path: <>\n",				 ""                       },
	{"Return-Path:\n",				    NULL                     },
	{"From: jane@example.org\n",                          NULL                     },
	{"From: x\n\nReturn-Path: <in@the.body>\n",           NULL                     },
	{"Return-Path: <jane@exam",                           NULL                     },
	{"Return-Path: <a b@example.org>\n",                  NULL                     },
	{"Return-Path: jane doe\n",                           NULL                     },
	{"Return-Path: <a\tb>\n",                             NULL                     },
	{"Return-Path: <a\x1b[2Jb>\n",                        NULL                     },
	{"Return-Path: <a<b>\n",                              NULL                     },
	{"Return-Path: <-oQ/tmp/x@example.org>\n",            NULL                     },
	{"Return-Path: -x\n",				 NULL                     },
	{"Return-Path: <first@x>\nReturn-Path: <second@x>\n", "first@x"                },
};

static void
test_sender(void)
{
	char sender[HEADER_SENDER_SIZE];
	struct buf text = {0};

	for (size_t i = 0; i < sizeof senders / sizeof *senders; i++) {
		bool is_found = header_sender(senders[i].text, strlen(senders[i].text), sender);

		CHECK(is_found == (senders[i].sender != NULL));
		CHECK_STR(sender, senders[i].sender != NULL ? senders[i].sender : "");
	}
	for (int len = HEADER_SENDER_SIZE - 2; len <= HEADER_SENDER_SIZE; len++) {
		buf_clear(&text);
		buf_printf(&text, "Return-Path: <%0*d>\n", len, 1);
		CHECK(header_sender(buf_data(&text), text.len, sender) ==
			(len < HEADER_SENDER_SIZE));
	}
	CHECK(!header_sender("Return-Path: <a\0b>\n", 19, sender));
	buf_release(&text);
}

static const struct {
	const char *text, *decoded;
} words[] = {
	{"plain text",				  "plain text"				      },
	{"",					    ""						},
	{"=?UTF-8?Q?gr=C3=BC=C3=9Fe?=",
         "gr\xc3\xbc\xc3\x9f"
		"e"										       },
	{"=?utf-8?q?a_b=5Fc?=",                         "a b_c"					   },
	{"=?UTF-8?B?Z3LDvMOfZQ==?=",
         "gr\xc3\xbc\xc3\x9f"
		"e"										       },
	{"=?ISO-8859-1?Q?gr=FC=DFe?= an alle",
         "gr\xc3\xbc\xc3\x9f"
		"e an alle"									       },
	{"=?iso-8859-15*de?Q?=A4?=",                    "\xe2\x82\xac"                                    },
	{"=?windows-1252?Q?=80?=",                      "\xe2\x82\xac"                                    },
	{"=?koi8-r?B?8NLJ18XU?=",                       "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82"},
	{"=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=",          "\xe6\x97\xa5\xe6\x9c\xac"                        },
	{"=?us-ascii?Q?a?=",                            "a"					       },
 /* RFC 2047 section 8 */
	{"(=?ISO-8859-1?Q?a?=)",                        "(a)"					     },
	{"(=?ISO-8859-1?Q?a?= b)",                      "(a b)"					   },
	{"(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)",     "(ab)"                                            },
	{"(=?ISO-8859-1?Q?a?=  \t =?ISO-8859-1?Q?b?=)", "(ab)"                                            },
	{"(=?ISO-8859-1?Q?a_b?=)",                      "(a b)"					   },
	{"(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)",    "(a b)"                                           },
 /* each in its own charset */
	{"=?ISO-8859-1?Q?=FC?= =?ISO-8859-7?Q?=E1?=",   "\xc3\xbc\xce\xb1"                                },
 /* a character cut in two */
	{"=?UTF-8?Q?x=C3?= =?utf-8?Q?=BC?=",            "x\xc3\xbc"                                       },
	{"=?UTF-8?B?w7w=?= =?UTF-8?Q?=C3=BC?=",         "\xc3\xbc\xc3\xbc"                                },
 /* what is none stays */
	{"=?UTF-8?X?abc?=",			     "=?UTF-8?X?abc?="                                 },
	{"=?UTF-8?Q?abc",			       "=?UTF-8?Q?abc"                                   },
	{"=?UTF-8?Q?abc?",			      "=?UTF-8?Q?abc?"                                  },
	{"=?UTF-8?Q",				   "=?UTF-8?Q"				       },
	{"=?UTF-8",				     "=?UTF-8"					 },
	{"=?",					  "=?"					      },
	{"=",					   "="					       },
	{"=??Q?abc?=",				  "=??Q?abc?="				      },
	{"=?x-unknown?Q?a=41?= b",                      "=?x-unknown?Q?a=41?= b"                          },
	{"=?IBM1364?Q?a=41?=",                          "=?IBM1364?Q?a=41?="                              },
	{"=?UTF-8//TRANSLIT?Q?a=41?=",                  "=?UTF-8//TRANSLIT?Q?a=41?="                      },
	{"=?UTF-8?Q?a=4?=",			     "a=4"					     },
	{"=?UTF-8?Q?a=?=",			      "a="					      },
	{"=?UTF-8?Q?a=zz?=",                            "a=zz"					    },
	{"=?UTF-8?B?Z!3 LD?=",                          "gr\xc3"					  },
	{"=?UTF-8?Q?\?=",			       ""						},
 /* octets that the charset does not have */
	{"=?EUC-JP?Q?a=FFb?=",
         "a\xef\xbf\xbd"
		"b"										       },
	{"=?SHIFT_JIS?Q?a=81?=",                        "a\xef\xbf\xbd"                                   },
};

static void
test_decode(void)
{
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		struct buf out = {0};

		header_decode(words[i].text, strlen(words[i].text), &out);
		CHECK_BYTES(buf_data(&out), out.len, words[i].decoded, strlen(words[i].decoded));
		buf_release(&out);
	}
}

/* Every beginning of every header above: nothing is read beyond it. */
static void
test_every_cut(void)
{
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		size_t len = strlen(words[i].text);

		for (size_t cut = 0; cut <= len; cut++) {
			char *part = malloc(cut + !cut);
			struct buf out = {0};

			memcpy(part, words[i].text, cut);
			header_decode(part, cut, &out);
			CHECK(out.len <= 3 * len + 3);
			buf_release(&out);
			free(part);
		}
	}
}

static const struct {
	const char *text, *shown;
} shown[] = {
	{"Subject: hello\n",                        "hello"                    },
	{"To: x\n",				 ""			 },
	{"Subject: one\n \t  two\n",                "one two"                  },
	{"Subject: back\\slash\n",                  "back\\slash"              },
	{"Subject: gr\xc3\xbc\xc3\x9f"
	 "e \xf0\x9f\x90\xb3\n",           "gr\xc3\xbc\xc3\x9f"
		"e \xf0\x9f\x90\xb3"  },
	{"Subject: a\xfc"
	 "b\n",			    "a\\xfcb"                  },
	{"Subject: a\x1b]0;title\x07"
	 "b\x7f\n",			"a\\x1b]0;title\\x07b\\x7f"},
	{"Subject: =?UTF-8?Q?a=1B[2J=0D=0Ab?=\n",   "a\\x1b[2J b"              },
	{"Subject: =?UTF-8?Q?=C2=9B2J?=\n",         "\\u{9b}2J"                },
	{"Subject: =?ISO-8859-1?Q?=9B2J?=\n",       "\\u{9b}2J"                },
	{"Subject: =?UTF-8?Q?=E2=80=AEgpj.exe?=\n", "\\u{202e}gpj.exe"         },
	{"Subject: \xed\xa0\x80\n",                 "\\xed\\xa0\\x80"          },
	{"Subject: \xc0\xaf\n",                     "\\xc0\\xaf"               },
	{"Subject: \xe2\x82\n",                     "\\xe2\\x82"               },
	{"Subject: \xf4\x90\x80\x80\n",             "\\xf4\\x90\\x80\\x80"     },
	{"Subject: a\rb\n",                         "a b"                      },
};

static void
test_show(void)
{
	char out[HEADER_SHOWN_SIZE];
	struct buf text = {0};

	for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
		CHECK_STR(header_show(shown[i].text, strlen(shown[i].text), "Subject", out),
			shown[i].shown);
	CHECK_STR(header_show("Subject: a\0b\n", 13, "Subject", out), "a\\x00b");

	/* Never more than there is room for, never a part of a character. */
	for (int len = HEADER_SHOWN_MAX - 6; len < HEADER_SHOWN_MAX + 6; len++) {
		buf_clear(&text);
		buf_printf(&text, "Subject: %0*d\xc3\xbc\x1b\n", len, 1);
		header_show(buf_data(&text), text.len, "Subject", out);
		CHECK(strlen(out) <= HEADER_SHOWN_MAX + 3);
		if (len + 6 <= HEADER_SHOWN_MAX)
			CHECK_STR(out + len, "\xc3\xbc\\x1b");
		else if (len + 2 <= HEADER_SHOWN_MAX)
			CHECK_STR(out + len, "\xc3\xbc...");
		else if (len <= HEADER_SHOWN_MAX)
			CHECK_STR(out + len, "...");
		else
			CHECK_STR(out + HEADER_SHOWN_MAX, "...");
	}
	buf_release(&text);
}

int
main(void)
{
	test_find();
	test_find_is_bounded();
	test_sender();
	test_decode();
	test_every_cut();
	test_show();
	return check_done();
}
