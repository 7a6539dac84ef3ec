/*
 * SipHash-1-3 (Aumasson and Bernstein): 64 bits of octets that somebody else
 * chose, such that who does not know the key can neither choose the hash nor
 * make two of them alike. For tables and comparisons in memory, never for files.
 */
#ifndef POPHAUL_BASE_SIPHASH_H
#define POPHAUL_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t words[2];
};

/* A random key. */
void siphash_make_key(struct siphash_key *key);

uint64_t siphash(const struct siphash_key *key, const void *data, size_t len);

#endif
