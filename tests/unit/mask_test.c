/* What a server's text shows of the secrets that were sent to it. */
#include "fetch/wire/mask.h"

#include <stdio.h>
#include <string.h>

#include "check.h"

struct masked {
	const char *secret;
	const char *text;
	const char *shown;
};

static const struct masked CASES[] = {
	{"secret",             "unknown command: PASS secret",         "unknown command: PASS ****"},
	{"secret",             "secret",			       "****"                      },
	{"secret",             "xsecretysecretsecret!",                "x****y********!"           },
	{"secret",             "PASS SECRET",                          "PASS ****"                 },
	{"secret",             "secre",				"****"                      },
	{"secret",             "secr",				 "****"                      },
	{"secret",             "sec",				  "sec"                       },
	{"secret",             "secre t",			      "secre t"                   },
	{"secret",             "",				     ""			  },
	{"AGphbmUAc2VjcmV0",   "AUTH PLAIN AGphbmUAc2... is too long",
         "AUTH PLAIN ****... is too long"							  },
	{"aab",		"aab aabb baab -aab- aab",              "*** aabb baab -***- ***"   },
	{"a",		  "not a valid day",                      "not * valid day"           },
	{"word",               "wordwor",			      "****wor"                   },
	{"aaab",               "aaaab",				"a****"                     },
	{"\xc3\xa9t\xc3\xa9s", "PASS \xc3\xa9t\xc3\xa9s",              "PASS ****"                 },
};

static void
test_texts(void)
{
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		struct mask mask = {0};
		char text[128];
		size_t len = strlen(CASES[i].text);

		memcpy(text, CASES[i].text, len);
		mask_add(&mask, CASES[i].secret, strlen(CASES[i].secret));
		len = mask_text(&mask, text, len);
		if (!CHECK_BYTES(text, len, CASES[i].shown, strlen(CASES[i].shown)))
			fprintf(stderr, "\tcase %zu\n", i);
		mask_forget(&mask);
	}
}

static void
test_several_and_none(void)
{
	struct mask mask = {0};
	char text[] = "one\0three and twofold";

	CHECK(mask_text(&mask, text, sizeof text - 1) == sizeof text - 1);
	mask_add(&mask, "", 0);
	CHECK(mask.count == 0);
	mask_add(&mask, "two", 3);
	mask_add(&mask, "twofold", 7);
	mask_add(&mask, "e\0three", 7);
	CHECK_BYTES(text, mask_text(&mask, text, sizeof text - 1), "on**** and ****", 15);
	mask_forget(&mask);
	CHECK(mask.count == 0 && mask.secrets == NULL);
	mask_forget(&mask);
}

int
main(void)
{
	test_texts();
	test_several_and_none();
	return check_done();
}
