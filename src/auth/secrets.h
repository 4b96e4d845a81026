/* The key file, and what is sealed with it: secrets in the catalog, tokens given out. ChaCha20-Poly1305, from nettle. */
#ifndef AUTH_SECRETS_H
#define AUTH_SECRETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

#define SECRETS_KEY_SIZE 32

struct secrets {
	uint8_t key[SECRETS_KEY_SIZE];
};

/* Reads the file; makes it (mode 0600, random) when it is missing and `may_make`. Others may not be able to read it: -EACCES. */
int secrets_open(struct secrets *secrets, const char *path, bool may_make, struct error *error);
void secrets_close(struct secrets *secrets);

/* Base64 of nonce, bytes and tag, on the heap. `context` is not kept, and must be the same to open it. NULL: no random bytes. */
char *secrets_seal(const struct secrets *secrets, const char *context, const void *bytes, size_t size);
/* Gives the bytes with a zero behind them, on the heap; NULL when it is not what was sealed, for that context, with this key. */
char *secrets_unseal(const struct secrets *secrets, const char *context, const char *sealed, size_t *out_size);

#endif
