# Surroundings of a test's choice, for programs that are preloaded with them: `load shim` behind `load helper`.
#
#	SHIM_HOST=NAME                  the host's name
#	SHIM_CLOCK=FILE                 a clock that is off (set_clock), also in the middle of a run;
#	                                the monotonic one goes on as ever, as the kernel's does
#	SHIM_ROOM=OCTETS                how much each process can write to files below SHIM_FULL (several,
#	                                by colons): the last write is short, the next ones fail with
#	                                SHIM_ERROR: ENOSPC, EDQUOT

# make_shim: what with_shim needs.
make_shim() {
	cat >"$BATS_FILE_TMPDIR/shim.c" <<-'EOT'
		#define _GNU_SOURCE
		#include <dlfcn.h>
		#include <errno.h>
		#include <fcntl.h>
		#include <stdio.h>
		#include <stdlib.h>
		#include <string.h>
		#include <sys/mman.h>
		#include <sys/time.h>
		#include <time.h>
		#include <unistd.h>

		#define CLOCK_TEXT 32

		static int (*real_clock)(clockid_t, struct timespec *);
		static int (*real_host)(char *, size_t);
		static ssize_t (*real_write)(int, const void *, size_t);
		static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
		static const char *clock_text;
		static long long written;

		/* All that needs a system call is done before the program forbids itself any. */
		__attribute__((constructor)) static void
		shim_open(void)
		{
			const char *path = getenv("SHIM_CLOCK");
			int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
			void *map = MAP_FAILED;

			*(void **)&real_clock = dlsym(RTLD_NEXT, "clock_gettime");
			*(void **)&real_host = dlsym(RTLD_NEXT, "gethostname");
			*(void **)&real_write = dlsym(RTLD_NEXT, "write");
			*(void **)&real_pwrite = dlsym(RTLD_NEXT, "pwrite");
			if (fd >= 0) {
				map = mmap(NULL, CLOCK_TEXT, PROT_READ, MAP_SHARED, fd, 0);
				close(fd);
			}
			if (map != MAP_FAILED)
				clock_text = map;
		}

		int
		clock_gettime(clockid_t id, struct timespec *now)
		{
			int result = real_clock(id, now);

			if (clock_text == NULL || id != CLOCK_REALTIME)
				return result;
			if (*clock_text == '=')
				*now = (struct timespec){.tv_sec = strtoll(clock_text + 1, NULL, 10)};
			else
				now->tv_sec += strtoll(clock_text, NULL, 10);
			return result;
		}

		time_t
		time(time_t *out)
		{
			struct timespec now;

			clock_gettime(CLOCK_REALTIME, &now);
			if (out != NULL)
				*out = now.tv_sec;
			return now.tv_sec;
		}

		int
		gettimeofday(struct timeval *restrict out, void *restrict zone)
		{
			struct timespec now;

			(void)zone;
			clock_gettime(CLOCK_REALTIME, &now);
			*out = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
			return 0;
		}

		int
		gethostname(char *out, size_t size)
		{
			const char *host = getenv("SHIM_HOST");

			if (host == NULL)
				return real_host(out, size);
			snprintf(out, size, "%s", host);
			return 0;
		}

		static int
		is_on_full_disk(int fd)
		{
			const char *place = getenv("SHIM_FULL");
			char link[64], path[4096];
			ssize_t len;

			snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
			len = place != NULL ? readlink(link, path, sizeof path) : -1;
			while (len > 0 && *place != '\0') {
				size_t n = strcspn(place, ":");

				if ((size_t)len >= n && memcmp(path, place, n) == 0)
					return 1;
				place += n + (place[n] == ':');
			}
			return 0;
		}

		/* How much of `len` there is room for; 0, with errno, for none. */
		static size_t
		room_for(int fd, size_t len)
		{
			const char *room = getenv("SHIM_ROOM"), *error = getenv("SHIM_ERROR");
			long long left;

			if (room == NULL || len == 0 || !is_on_full_disk(fd))
				return len;
			left = atoll(room) - written;
			if (left > (long long)len)
				left = (long long)len;
			if (left <= 0) {
				errno = error != NULL && strcmp(error, "EDQUOT") == 0 ? EDQUOT : ENOSPC;
				return 0;
			}
			written += left;
			return (size_t)left;
		}

		ssize_t
		write(int fd, const void *data, size_t len)
		{
			size_t n = room_for(fd, len);

			return n == 0 && len != 0 ? -1 : real_write(fd, data, n);
		}

		ssize_t
		pwrite(int fd, const void *data, size_t len, off_t at)
		{
			size_t n = room_for(fd, len);

			return n == 0 && len != 0 ? -1 : real_pwrite(fd, data, n, at);
		}

		ssize_t
		pwrite64(int fd, const void *data, size_t len, off_t at)
		{
			return pwrite(fd, data, len, at);
		}
	EOT
	"${CC:-cc}" -shared -fPIC -o "$BATS_FILE_TMPDIR/shim.so" "$BATS_FILE_TMPDIR/shim.c" -ldl
}

# SHIM_…=… with_shim COMMAND…
with_shim() {
	LD_PRELOAD=$BATS_FILE_TMPDIR/shim.so ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 "$@"
}

# set_clock +SECONDS | -SECONDS | =SECONDS: how far the clock is off, or where it stands still; in HOME/clock.
set_clock() {
	# Never truncated: programs have it mapped.
	printf '%-31s\n' "$1" 1<>"$HOME/clock"
}
