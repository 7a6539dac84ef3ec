/*
 * For LD_PRELOAD: writes that take fewer octets than they were given, as disks that fill up,
 * signals and sockets make them do. Every SHORT_WRITE_NTH-th write, pwrite or send of a process is
 * cut to SHORT_WRITE_OCTETS octets, or to half of what it was given when that is 0. The file
 * SHORT_WRITE_SEEN is made once one was cut.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

static long
setting(const char *name)
{
	const char *text = getenv(name);

	return text != NULL ? strtol(text, NULL, 10) : 0;
}

static void
tell(void)
{
	const char *path = getenv("SHORT_WRITE_SEEN");
	int fd = path != NULL ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;

	if (fd >= 0)
		close(fd);
}

/* How many of `len` octets this call takes. */
static size_t
cut(size_t len)
{
	static long calls;
	long nth = setting("SHORT_WRITE_NTH"), octets = setting("SHORT_WRITE_OCTETS");
	size_t taken = octets > 0 ? (size_t)octets : len / 2;

	if (nth <= 0 || ++calls % nth != 0 || taken == 0 || taken >= len)
		return len;
	tell();
	return taken;
}

ssize_t
write(int fd, const void *data, size_t len)
{
	ssize_t (*next)(int, const void *, size_t);

	*(void **)&next = dlsym(RTLD_NEXT, "write");
	return next(fd, data, cut(len));
}

ssize_t
pwrite(int fd, const void *data, size_t len, off_t offset)
{
	ssize_t (*next)(int, const void *, size_t, off_t);

	*(void **)&next = dlsym(RTLD_NEXT, "pwrite");
	return next(fd, data, cut(len), offset);
}

ssize_t
pwrite64(int fd, const void *data, size_t len, off64_t offset)
{
	ssize_t (*next)(int, const void *, size_t, off64_t);

	*(void **)&next = dlsym(RTLD_NEXT, "pwrite64");
	return next(fd, data, cut(len), offset);
}

ssize_t
send(int fd, const void *data, size_t len, int flags)
{
	ssize_t (*next)(int, const void *, size_t, int);

	*(void **)&next = dlsym(RTLD_NEXT, "send");
	return next(fd, data, cut(len), flags);
}
