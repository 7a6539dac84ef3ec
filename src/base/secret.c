#include "base/secret.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/xalloc.h"

void
secret_wipe(void *data, size_t len)
{
	if (len != 0)
		explicit_bzero(data, len);
}

void
secret_make(struct secret *secret, size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t pages = (len + 1 + page - 1) / page * page;
	char *p;

	secret_release(secret);
	p = mmap(NULL, pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		/* Without pages of its own the secret still must be kept: the heap it is. */
		p = xcalloc(len + 1, 1);
		pages = 0;
	} else {
		/* Both are hardening: a low RLIMIT_MEMLOCK must not keep anybody from their mail. */
		(void)mlock(p, pages);
		(void)madvise(p, pages, MADV_DONTDUMP);
	}
	*secret = (struct secret){.data = p, .len = len, .pages = pages};
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
	if (secret->pages != 0)
		munmap(secret->data, secret->pages);
	else
		free(secret->data);
	*secret = (struct secret){0};
}
