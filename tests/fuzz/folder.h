/*
 * A folder of a case's own, in memory where that can be: a sync of a disk takes
 * longer than the whole case. Gone with all that is in it at folder_remove().
 */
#ifndef POPHAUL_TESTS_FUZZ_FOLDER_H
#define POPHAUL_TESTS_FUZZ_FOLDER_H

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/xalloc.h"
#include "fuzz.h"

static inline char *
folder_make(void)
{
	const char *parent = getenv("TMPDIR");
	char *path;

	if (access("/dev/shm", W_OK) == 0)
		parent = "/dev/shm";
	path = xasprintf("%s/pophaul-fuzz-XXXXXX", parent != NULL ? parent : "/tmp");
	REQUIRE(mkdtemp(path) != NULL);
	return path;
}

static inline int
folder_remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

/* Frees the path, too. */
static inline void
folder_remove(char *path)
{
	REQUIRE(nftw(path, folder_remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
	free(path);
}

/* A file of these octets that only its owner can read. */
static inline void
folder_write(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct error err;

	REQUIRE(fd >= 0 && file_write_all(fd, data, len, path, &err) == 0);
	REQUIRE(file_close(fd, path, &err) == 0);
}

#endif
