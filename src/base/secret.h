/*
 * A password or token: in pages for secrets only that are locked into memory as far
 * as the limit allows, left out of core dumps, and wiped on release. A zeroed
 * struct is no secret. The octets may be anything but are followed by a NUL.
 * A forked process has them, too, until it releases them.
 */
#ifndef POPHAUL_BASE_SECRET_H
#define POPHAUL_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

struct secret {
	char *data;
	size_t len;
	struct secret_slab *slab; /* private */
};

/* Room for `len` octets, to be read into `data`; an old value is wiped first. */
void secret_make(struct secret *secret, size_t len);

/* Take a copy; an old value is wiped first. The caller wipes its own copy. */
void secret_set(struct secret *secret, const void *data, size_t len);

bool secret_is_set(const struct secret *secret);

/* Wipe and give back. */
void secret_release(struct secret *secret);

/* Wipe any memory in a way that the compiler does not drop. */
void secret_wipe(void *data, size_t len);

#endif
