#include "config/trust.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define HEX    "b7ad82794dad422aa47b153be06c5ad9e83b7d16c48280a14e872231e7bdc27a"
#define BASE64 "t62CeU2tQiqkexU74Gxa2eg7fRbEgoChTociMee9wno="
#define COLONS                                                                                     \
	"B7:AD:82:79:4D:AD:42:2A:A4:7B:15:3B:E0:6C:5A:D9:E8:3B:7D:16:C4:82:80:A1:4E:87:22:31:E7:"  \
	"BD:C2:7A"

static void
test_pins(void)
{
	static const char *const GOOD[] = {
		HEX, COLONS, "sha256:" HEX, "SHA256:" COLONS, "sha256//" BASE64, "Sha256//" BASE64};
	static const char *const BAD[] = {"", "sha256//", "sha256:", BASE64, "sha256:" BASE64,
		"sha256//" HEX, HEX "0", HEX "00", HEX ":", ":" HEX, "sha1:" HEX,
		"b7:ad82794dad422aa47b153be06c5ad9e83b7d16c48280a14e872231e7bdc27a",
		"b7ad82794dad422aa47b153be06c5ad9e83b7d16c48280a14e872231e7bdc2",
		"g7ad82794dad422aa47b153be06c5ad9e83b7d16c48280a14e872231e7bdc27a",
		"sha256//t62CeU2tQiqkexU74Gxa2eg7fRbEgoChTociMee9wnp=",
		"sha256//t62CeU2tQiqkexU74Gxa2eg7fRbEgoChTociMee9wno",
		"sha256//t62CeU2tQiqkexU74Gxa2eg7fRbEgoChTociMee9wn==",
		"sha256//t62CeU2tQiqkexU74Gxa2eg7fRbEgoCh-ociMee9wno=",
		"sha256//t62CeU2tQiqkexU74Gxa2eg7fRbEgoChTociMee9wno= ",
		"sha256//t62CeU2tQiqkexU74Gxa2eg7fRbEgoChTociMee9wno=="};
	struct error err;
	char *pin;

	for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
		pin = trust_parse_pin(GOOD[i], &err);
		CHECK_STR(pin, HEX);
		free(pin);
	}
	for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
		err = (struct error){0};
		if (!CHECK(trust_parse_pin(BAD[i], &err) == NULL))
			fprintf(stderr, "\ttaken: %s\n", BAD[i]);
		CHECK(err.class == ERROR_CONFIG && strstr(err.text, "is no pin") != NULL);
	}
}

static void
test_loopback(void)
{
	static const char *const HERE[] = {"127.0.0.1", "127.255.255.254", "::1", "0:0:0:0:0:0:0:1",
		"localhost", "LOCALHOST", "127.1", "0x7f.1"};
	static const char *const ELSEWHERE[] = {"128.0.0.1", "126.255.255.255", "0.0.0.0",
		"::", "::2", "fe80::1", "128.1", "1", "127.0.0.1.example.org",
		"localhost.example.org", "my-localhost", "pop.example.org", "::ffff:192.0.2.1", ""};

	for (size_t i = 0; i < sizeof HERE / sizeof *HERE; i++)
		CHECK(trust_is_loopback(HERE[i]));
	for (size_t i = 0; i < sizeof ELSEWHERE / sizeof *ELSEWHERE; i++)
		CHECK(!trust_is_loopback(ELSEWHERE[i]));
}

int
main(void)
{
	test_pins();
	test_loopback();
	return check_done();
}
