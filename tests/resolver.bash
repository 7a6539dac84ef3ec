# Names with addresses of a test's choice: `load resolver` behind `load helper`.

# make_resolver: what with_resolver needs.
make_resolver() {
	cat >"$BATS_TEST_TMPDIR/resolver.c" <<-'EOT'
		#define _GNU_SOURCE
		#include <dlfcn.h>
		#include <netdb.h>
		#include <stdio.h>
		#include <stdlib.h>
		#include <string.h>
		#include <unistd.h>

		int
		getaddrinfo(const char *name, const char *port, const struct addrinfo *hints, struct addrinfo **out)
		{
			int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
			const char *suffix = ".example.org", *list = getenv("RESOLVER");
			size_t len = strlen(name);
			char address[64];
			int used;

			*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
			if (list == NULL || len < strlen(suffix) || strcmp(name + len - strlen(suffix), suffix) != 0)
				return real(name, port, hints, out);
			if (strcmp(list, "hang") == 0) {
				dprintf(2, "the lookup hangs\n");
				for (;;)
					pause();
			}
			for (; sscanf(list, "%63[^,]%n", address, &used) == 1; out = &(*out)->ai_next) {
				if (real(address, port, hints, out) != 0)
					return EAI_FAIL;
				list += used + (list[used] == ',');
			}
			return 0;
		}
	EOT
	"${CC:-cc}" -shared -fPIC -o "$BATS_TEST_TMPDIR/resolver.so" "$BATS_TEST_TMPDIR/resolver.c" -ldl
}

# RESOLVER=ADDRESS,… with_resolver COMMAND…: for it, all names in example.org have these addresses, in this order;
# RESOLVER=hang: looking one up says so on standard error, and never ends.
with_resolver() {
	LD_PRELOAD=$BATS_TEST_TMPDIR/resolver.so ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 "$@"
}
