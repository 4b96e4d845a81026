/* Pre-shared keys, in the form of psktool: a line "NAME:KEY" a client, KEY in hexadecimal. Pure. */
#ifndef TLS_PSK_H
#define TLS_PSK_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct psk_keys;

#define PSK_KEYS_MAX 1024u
#define PSK_NAME_MAX 128u /* characters */
#define PSK_KEY_MIN 16u   /* bytes: what is shorter can be tried out by whoever records a handshake */
#define PSK_KEY_MAX 64u

/* Reads the text; empty lines and comments ("#") are passed over. Gives the keys; the error names the line. */
int psk_parse(const char *text, size_t size, struct psk_keys **out_keys, struct error *error);
/* Wipes them. NULL is allowed. */
void psk_free(struct psk_keys *keys);

/* The key of this name, or NULL. Borrows. */
const uint8_t *psk_find(const struct psk_keys *keys, const char *name, size_t *out_size);

#endif
