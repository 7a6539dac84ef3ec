#include <stdio.h>
#include <string.h>
#include <sysexits.h>

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("pophaul " POPHAUL_VERSION);
		return EX_OK;
	}
	fprintf(stderr, "usage: pophaul --version\n");
	return EX_USAGE;
}
