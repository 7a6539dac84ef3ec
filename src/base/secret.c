#include "base/secret.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/xalloc.h"

/*
 * Thousands of passwords fit in a large one: a page for each would go beyond the usual
 * RLIMIT_MEMLOCK of 8 MiB. But most processes have one password, and what is locked is in memory.
 */
#define SLAB_SIZE_MIN ((size_t)8 * 1024)
#define SLAB_SIZE_MAX ((size_t)64 * 1024)

#define ALIGNMENT 16

/* Pages with secrets one behind the other. Room that was given back is not used again. */
struct secret_slab {
	char *base;
	size_t size, used;
	size_t count; /* secrets in it; with the last one it goes */
	pid_t owner;  /* the process that has made it, and locked it */
	bool is_heap;
};

/* Where the next one goes; NULL: into a new slab. */
static struct secret_slab *current;

void
secret_wipe(void *data, size_t len)
{
	if (len != 0)
		explicit_bzero(data, len);
}

static size_t
round_up(size_t len, size_t step)
{
	return (len + step - 1) / step * step;
}

/* A slab with room for `room` octets. */
static struct secret_slab *
make_slab(size_t room)
{
	struct secret_slab *slab = xcalloc(1, sizeof *slab);
	void *p;

	slab->owner = getpid();
	slab->size = round_up(room, (size_t)sysconf(_SC_PAGESIZE));
	p = mmap(NULL, slab->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		/* Without pages of its own the secret still must be kept: the heap it is. */
		slab->base = xcalloc(slab->size, 1);
		slab->is_heap = true;
		return slab;
	}
	slab->base = p;
	/* Both are hardening: a low RLIMIT_MEMLOCK must not keep anybody from their mail. */
	(void)mlock(p, slab->size);
	(void)madvise(p, slab->size, MADV_DONTDUMP);
	return slab;
}

/* Locks are not inherited: a process that was forked puts nothing into what it has inherited. */
static struct secret_slab *
find_slab(size_t room)
{
	bool is_ours = current != NULL && current->owner == getpid();
	size_t size = is_ours ? 2 * current->size : SLAB_SIZE_MIN;

	if (is_ours && current->size - current->used >= room)
		return current;
	if (size > SLAB_SIZE_MAX)
		size = SLAB_SIZE_MAX;
	current = make_slab(room > size ? room : size);
	return current;
}

static void
leave_slab(struct secret_slab *slab)
{
	if (--slab->count != 0)
		return;
	if (slab == current)
		current = NULL;
	if (slab->is_heap)
		free(slab->base);
	else
		munmap(slab->base, slab->size);
	free(slab);
}

void
secret_make(struct secret *secret, size_t len)
{
	size_t room = round_up(len + 1, ALIGNMENT);
	struct secret_slab *slab;

	secret_release(secret);
	slab = find_slab(room);
	*secret = (struct secret){.data = slab->base + slab->used, .len = len, .slab = slab};
	slab->used += room;
	slab->count++;
}

void
secret_set(struct secret *secret, const void *data, size_t len)
{
	secret_make(secret, len);
	memcpy(secret->data, data, len);
}

bool
secret_is_set(const struct secret *secret)
{
	return secret->data != NULL;
}

void
secret_release(struct secret *secret)
{
	if (secret->data == NULL)
		return;
	secret_wipe(secret->data, secret->len);
	leave_slab(secret->slab);
	*secret = (struct secret){0};
}
