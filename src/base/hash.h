/* Checksums and keyed hashes, all from libraries (xxHash, nettle). Pure.
 *
 * XXH3 guards against damage; SHA-256 is used wherever a match means "do not send" or "let in". */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA1_SIZE 20
#define SHA256_SIZE 32
#define SHA256_HEX_SIZE (2 * SHA256_SIZE + 1)

uint64_t hash_xxh3(const void *data, size_t size);
/* XXH3 of the two pieces one after the other. */
uint64_t hash_xxh3_pair(const void *first, size_t first_size, const void *second, size_t second_size);
void hash_sha256(const void *data, size_t size, uint8_t out[SHA256_SIZE]);
/* The same as lower-case hex with its final zero. */
void hash_sha256_hex(const void *data, size_t size, char out[SHA256_HEX_SIZE]);
void hash_hmac_sha256(const void *key, size_t key_size, const void *data, size_t size, uint8_t out[SHA256_SIZE]);
void hash_hmac_sha1(const void *key, size_t key_size, const void *data, size_t size, uint8_t out[SHA1_SIZE]);

/* Takes the same time wherever the first difference is. */
bool hash_equal(const void *left, const void *right, size_t size);

/* Lower-case hex; out has room for 2 * size + 1. */
void hash_to_hex(const void *data, size_t size, char *out);
/* 2 * size hex digits, whatever follows them; false when they are not. */
bool hash_read_hex(const char *hex, uint8_t *out, size_t size);
/* Exactly 2 * size hex digits; false when it is not. */
bool hash_from_hex(const char *hex, uint8_t *out, size_t size);

#endif
