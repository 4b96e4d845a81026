/* What a server proves itself with and admits its clients by: a certificate with its key, an authority whose signature clients'
 * certificates must bear, pre-shared keys; certificates, keys or both.
 *
 * Made from the text of files, which is not needed afterwards. Counted, as sessions outlive a change of the files: whoever holds
 * one has a reference. Once made they do not change: sessions of several threads may have the same, and any thread may ref, unref
 * and read. */
#ifndef TLS_CREDENTIALS_H
#define TLS_CREDENTIALS_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct tls_credentials;

/* A file's text, and its name for messages; size 0: there is none. */
struct tls_text {
	const char *name;
	char *bytes; /* borrowed, and not changed: GnuTLS just does not say so */
	size_t size;
};

struct tls_texts {
	struct tls_text certificate; /* PEM: the server's own first, then those between it and the authority that clients know */
	struct tls_text key;         /* PEM, not encrypted */
	struct tls_text authority;   /* PEM; when given, a client without a certificate signed by it is refused */
	struct tls_text psk;         /* psktool's form */
};

/* Checks the texts and gives credentials with one reference. The error says which text is bad, and why. */
int tls_credentials_new(const struct tls_texts *texts, struct tls_credentials **out_credentials, struct error *error);
struct tls_credentials *tls_credentials_ref(struct tls_credentials *credentials);
void tls_credentials_unref(struct tls_credentials *credentials); /* NULL is allowed */

/* When the certificate expires, in seconds since 1970; INT64_MAX without one. */
int64_t tls_credentials_expiry(const struct tls_credentials *credentials);

#endif
