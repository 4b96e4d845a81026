#include "tls/credentials.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "tls/internal.h"

#define UNKNOWN_KEY_SIZE 32u

/* GnuTLS's NORMAL less the versions that RFC 8996 buries and the ciphers of old; ours come first, or clients of GnuTLS with a
 * pre-shared key would choose ChaCha20, which takes it 16 times as long. Of the pre-shared kinds only those with forward
 * secrecy: whoever gets hold of a key later cannot read what was recorded. */
#define PRIORITY \
	"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-CIPHER-ALL:+AES-256-GCM:+AES-128-GCM:+CHACHA20-POLY1305:%SERVER_PRECEDENCE"
#define PRIORITY_PSK PRIORITY ":+ECDHE-PSK:+DHE-PSK"

static gnutls_datum_t datum_of(const struct tls_text *text)
{
	return (gnutls_datum_t){ (unsigned char *)text->bytes, (unsigned)text->size };
}

static int fail(struct error *error, const struct tls_text *text, int code)
{
	return error_set(error, -EINVAL, "%.120s: %.100s", text->name, gnutls_strerror(code));
}

/* --- certificates --- */

/* Alone, so that what is wrong is said of the right file. */
static int certificate_check(struct tls_credentials *credentials, const struct tls_text *text, struct error *error)
{
	gnutls_datum_t datum = datum_of(text);
	gnutls_x509_crt_t *chain;
	unsigned count;
	int code = gnutls_x509_crt_list_import2(&chain, &count, &datum, GNUTLS_X509_FMT_PEM, 0);

	if (code < 0)
		return fail(error, text, code);
	credentials->expiry = gnutls_x509_crt_get_expiration_time(chain[0]);
	for (unsigned i = 0; i < count; i++)
		gnutls_x509_crt_deinit(chain[i]);
	gnutls_free(chain);
	return 0;
}

static int key_check(const struct tls_text *text, struct error *error)
{
	gnutls_datum_t datum = datum_of(text);
	gnutls_privkey_t key;
	int code = gnutls_privkey_init(&key);

	if (code < 0)
		return fail(error, text, code);
	code = gnutls_privkey_import_x509_raw(key, &datum, GNUTLS_X509_FMT_PEM, NULL, 0);
	gnutls_privkey_deinit(key);
	return code < 0 ? fail(error, text, code) : 0;
}

static int take_certificate(struct tls_credentials *credentials, const struct tls_texts *texts, struct error *error)
{
	gnutls_datum_t certificate = datum_of(&texts->certificate), key = datum_of(&texts->key);
	int code;

	if (certificate_check(credentials, &texts->certificate, error) < 0 || key_check(&texts->key, error) < 0)
		return error->code;
	code = gnutls_certificate_allocate_credentials(&credentials->certificate);
	if (code == 0)
		code = gnutls_certificate_set_x509_key_mem(credentials->certificate, &certificate, &key, GNUTLS_X509_FMT_PEM);
	return code < 0 ? fail(error, &texts->key, code) : 0;
}

static int take_authority(struct tls_credentials *credentials, const struct tls_text *text, struct error *error)
{
	gnutls_datum_t datum = datum_of(text);
	int code = gnutls_certificate_set_x509_trust_mem(credentials->certificate, &datum, GNUTLS_X509_FMT_PEM);

	if (code < 0)
		return fail(error, text, code);
	if (code == 0)
		return error_set(error, -EINVAL, "%.120s: it holds no certificate", text->name);
	credentials->demands_certificate = true;
	return 0;
}

/* --- pre-shared keys --- */

/* A name that is not known gets a key that nobody has: it fails as a wrong key does, so names cannot be guessed. */
static int on_psk(gnutls_session_t session, const char *name, gnutls_datum_t *out_key)
{
	struct tls_credentials *credentials = gnutls_session_get_ptr(session);
	size_t size = UNKNOWN_KEY_SIZE;
	const uint8_t *key = psk_find(credentials->keys, name, &size);

	out_key->data = gnutls_malloc(size);
	if (out_key->data == NULL)
		return -1;
	out_key->size = (unsigned)size;
	if (key == NULL)
		return gnutls_rnd(GNUTLS_RND_NONCE, out_key->data, size) < 0 ? -1 : 0;
	memcpy(out_key->data, key, size);
	return 0;
}

static int take_psk(struct tls_credentials *credentials, const struct tls_text *text, struct error *error)
{
	int code;

	if (psk_parse(text->bytes, text->size, &credentials->keys, error) < 0)
		return error_wrap(error, "%.120s", text->name);
	code = gnutls_psk_allocate_server_credentials(&credentials->psk_server);
	if (code < 0)
		return fail(error, text, code);
	gnutls_psk_set_server_credentials_function(credentials->psk_server, on_psk);
	return 0;
}

/* --- the whole --- */

int tls_credentials_new(const struct tls_texts *texts, struct tls_credentials **out_credentials, struct error *error)
{
	struct tls_credentials *credentials = memory_new(1, sizeof(*credentials));
	int code = 0;

	atomic_init(&credentials->references, 1);
	credentials->expiry = INT64_MAX;
	if (texts->certificate.size > 0)
		code = take_certificate(credentials, texts, error);
	if (code == 0 && texts->authority.size > 0)
		code = take_authority(credentials, &texts->authority, error);
	if (code == 0 && texts->psk.size > 0)
		code = take_psk(credentials, &texts->psk, error);
	if (code == 0) {
		int result = gnutls_priority_init2(&credentials->priority, texts->psk.size > 0 ? PRIORITY_PSK : PRIORITY, NULL, 0);

		if (result < 0)
			code = error_set(error, -EINVAL, "TLS cannot be set up: %s", gnutls_strerror(result));
	}
	if (code < 0)
		tls_credentials_unref(credentials);
	else
		*out_credentials = credentials;
	return code;
}

struct tls_credentials *tls_credentials_ref(struct tls_credentials *credentials)
{
	atomic_fetch_add_explicit(&credentials->references, 1, memory_order_relaxed);
	return credentials;
}

void tls_credentials_unref(struct tls_credentials *credentials)
{
	if (credentials == NULL || atomic_fetch_sub(&credentials->references, 1) > 1)
		return;
	if (credentials->certificate != NULL)
		gnutls_certificate_free_credentials(credentials->certificate);
	if (credentials->psk_server != NULL)
		gnutls_psk_free_server_credentials(credentials->psk_server);
	if (credentials->priority != NULL)
		gnutls_priority_deinit(credentials->priority);
	psk_free(credentials->keys);
	free(credentials);
}

int64_t tls_credentials_expiry(const struct tls_credentials *credentials)
{
	return credentials->expiry;
}
