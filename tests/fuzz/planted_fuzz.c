/*
 * A target that fails when it is asked to: it shows that replays and
 * tests/fuzz/run notice. It is fuzzed only by name.
 */
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char word[] = "fail";
	size_t same = 0;

	/* Octet by octet, so that an engine can find its way. */
	while (same < size && same < strlen(word) && data[same] == (uint8_t)word[same])
		same++;
	REQUIRE(same < strlen(word));
	return 0;
}
