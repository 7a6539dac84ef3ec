/*
 * For LD_PRELOAD: counts what is forced to the disk, and makes each of these calls take longer, as
 * on a disk that turns. BENCH_SYNC_FILE is a file of one 64-bit counter that all processes of a
 * run share; BENCH_SYNC_US the microseconds that each call sleeps beforehand.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static _Atomic uint64_t *counter;
static struct timespec pause_time;

__attribute__((constructor)) static void
read_environment(void)
{
	const char *path = getenv("BENCH_SYNC_FILE"), *delay = getenv("BENCH_SYNC_US");
	long us = delay != NULL ? strtol(delay, NULL, 10) : 0;
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *page;

	pause_time = (struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
	if (fd < 0)
		return;
	page = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (page != MAP_FAILED)
		counter = page;
}

static int
forced(const char *name, int fd)
{
	int (*call)(int);

	/* POSIX has it that a function's address fits; ISO C does not know it. */
	*(void **)&call = dlsym(RTLD_NEXT, name);
	if (counter != NULL)
		++*counter;
	if (pause_time.tv_sec != 0 || pause_time.tv_nsec != 0)
		nanosleep(&pause_time, NULL);
	return call(fd);
}

int
fsync(int fd)
{
	return forced("fsync", fd);
}

int
fdatasync(int fd)
{
	return forced("fdatasync", fd);
}

int
syncfs(int fd)
{
	return forced("syncfs", fd);
}
