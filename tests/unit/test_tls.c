/* A server's tls_session and GnuTLS's own client, joined by two arrays, in slices of any size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#include "base/error.h"
#include "base/memory.h"
#include "tls/credentials.h"
#include "tls/psk.h"
#include "tls/session.h"

#define BYTES (1u << 20)
#define KEYS_TEXT "# made by psktool\nalice:00112233445566778899aabbccddeeff\r\n\nbob:" \
	"ffEEddccbbaa99887766554433221100ffEEddccbbaa99887766554433221100\n"

struct wire {
	uint8_t bytes[2 * BYTES];
	size_t filled, taken;
};

struct pair {
	struct tls_session *server;
	gnutls_session_t client;
	gnutls_certificate_credentials_t client_certificate;
	gnutls_psk_client_credentials_t client_psk;
	struct wire to_server, to_client;
	size_t slice;
};

/* --- certificates, made here --- */

struct identity {
	gnutls_x509_crt_t certificate;
	gnutls_x509_privkey_t key;
	gnutls_datum_t certificate_text, key_text;
};

static struct identity authority, server, client, impostor, stranger, expired; /* two of one name sign */

#define KEY_BITS GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1)

static void make_identity(struct identity *made, const char *name, const struct identity *signer, const char *purpose,
			  time_t until)
{
	assert_int_equal(gnutls_x509_privkey_init(&made->key), 0);
	assert_int_equal(gnutls_x509_privkey_generate(made->key, GNUTLS_PK_ECDSA, KEY_BITS, 0), 0);
	assert_int_equal(gnutls_x509_crt_init(&made->certificate), 0);
	gnutls_x509_crt_set_version(made->certificate, 3);
	gnutls_x509_crt_set_serial(made->certificate, name, strlen(name));
	gnutls_x509_crt_set_dn_by_oid(made->certificate, GNUTLS_OID_X520_COMMON_NAME, 0, name, (unsigned)strlen(name));
	gnutls_x509_crt_set_activation_time(made->certificate, 1000000);
	gnutls_x509_crt_set_expiration_time(made->certificate, until);
	gnutls_x509_crt_set_key(made->certificate, made->key);
	if (purpose == NULL) {
		gnutls_x509_crt_set_basic_constraints(made->certificate, 1, -1);
		gnutls_x509_crt_set_key_usage(made->certificate, GNUTLS_KEY_KEY_CERT_SIGN);
	} else {
		gnutls_x509_crt_set_key_purpose_oid(made->certificate, purpose, 0);
		gnutls_x509_crt_set_key_usage(made->certificate, GNUTLS_KEY_DIGITAL_SIGNATURE);
	}
	assert_int_equal(gnutls_x509_crt_sign2(made->certificate, signer->certificate, signer->key, GNUTLS_DIG_SHA256, 0), 0);
	assert_int_equal(gnutls_x509_crt_export2(made->certificate, GNUTLS_X509_FMT_PEM, &made->certificate_text), 0);
	assert_int_equal(gnutls_x509_privkey_export2(made->key, GNUTLS_X509_FMT_PEM, &made->key_text), 0);
}

static void free_identity(struct identity *identity)
{
	gnutls_x509_crt_deinit(identity->certificate);
	gnutls_x509_privkey_deinit(identity->key);
	gnutls_free(identity->certificate_text.data);
	gnutls_free(identity->key_text.data);
}

static int set_up(void **state)
{
	time_t later = time(NULL) + 100000;

	(void)state;
	make_identity(&authority, "authority", &authority, NULL, later);
	make_identity(&server, "server", &authority, GNUTLS_KP_TLS_WWW_SERVER, later);
	make_identity(&client, "client", &authority, GNUTLS_KP_TLS_WWW_CLIENT, later);
	make_identity(&expired, "expired", &authority, GNUTLS_KP_TLS_WWW_CLIENT, 2000000);
	make_identity(&impostor, "authority", &impostor, NULL, later);
	make_identity(&stranger, "client", &impostor, GNUTLS_KP_TLS_WWW_CLIENT, later);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free_identity(&authority);
	free_identity(&server);
	free_identity(&client);
	free_identity(&expired);
	free_identity(&impostor);
	free_identity(&stranger);
	return 0;
}

static struct tls_text text_of(const char *name, gnutls_datum_t datum)
{
	return (struct tls_text){ name, (char *)datum.data, datum.size };
}

static struct tls_texts texts_x509(void)
{
	return (struct tls_texts){
		.certificate = text_of("cert.pem", server.certificate_text), .key = text_of("key.pem", server.key_text),
	};
}

static struct tls_credentials *make_credentials(const struct tls_texts *texts)
{
	struct tls_credentials *credentials;
	struct error error = { 0 };

	if (tls_credentials_new(texts, &credentials, &error) < 0)
		fail_msg("%s", error.text);
	return credentials;
}

/* --- the client and the wires --- */

static ssize_t client_push(gnutls_transport_ptr_t data, const void *bytes, size_t size)
{
	struct wire *wire = &((struct pair *)data)->to_server;

	assert_true(wire->filled + size <= sizeof wire->bytes);
	memcpy(wire->bytes + wire->filled, bytes, size);
	wire->filled += size;
	return (ssize_t)size;
}

static ssize_t client_pull(gnutls_transport_ptr_t data, void *bytes, size_t size)
{
	struct pair *pair = data;
	struct wire *wire = &pair->to_client;
	size_t left = wire->filled - wire->taken, now = size < left ? size : left;

	if (left == 0) {
		gnutls_transport_set_errno(pair->client, EAGAIN);
		return -1;
	}
	memcpy(bytes, wire->bytes + wire->taken, now);
	wire->taken += now;
	return (ssize_t)now;
}

static int client_pull_timeout(gnutls_transport_ptr_t data, unsigned limit_ms)
{
	(void)limit_ms;
	return ((struct pair *)data)->to_client.filled > ((struct pair *)data)->to_client.taken;
}

static void pair_init(struct pair *pair, const struct tls_texts *texts, const char *priority, size_t slice)
{
	struct tls_credentials *credentials = make_credentials(texts);

	memset(pair, 0, sizeof *pair);
	pair->slice = slice;
	pair->server = tls_session_new(credentials);
	tls_credentials_unref(credentials); /* the session holds on */
	assert_non_null(pair->server);
	assert_int_equal(gnutls_init(&pair->client, GNUTLS_CLIENT | GNUTLS_NONBLOCK), 0);
	assert_int_equal(gnutls_priority_set_direct(pair->client, priority, NULL), 0);
	gnutls_certificate_allocate_credentials(&pair->client_certificate);
	gnutls_certificate_set_x509_trust_mem(pair->client_certificate, &authority.certificate_text, GNUTLS_X509_FMT_PEM);
	gnutls_credentials_set(pair->client, GNUTLS_CRD_CERTIFICATE, pair->client_certificate);
	gnutls_session_set_verify_cert(pair->client, NULL, 0);
	gnutls_transport_set_ptr(pair->client, pair);
	gnutls_transport_set_push_function(pair->client, client_push);
	gnutls_transport_set_pull_function(pair->client, client_pull);
	gnutls_transport_set_pull_timeout_function(pair->client, client_pull_timeout);
}

static void pair_use_certificate(struct pair *pair, const struct identity *identity)
{
	assert_int_equal(gnutls_certificate_set_x509_key_mem(pair->client_certificate, &identity->certificate_text,
							     &identity->key_text, GNUTLS_X509_FMT_PEM), 0);
}

static void pair_use_psk(struct pair *pair, const char *name, const char *key)
{
	gnutls_datum_t datum = { (unsigned char *)(uintptr_t)key, (unsigned)strlen(key) };

	gnutls_psk_allocate_client_credentials(&pair->client_psk);
	assert_int_equal(gnutls_psk_set_client_credentials(pair->client_psk, name, &datum, GNUTLS_PSK_KEY_HEX), 0);
	gnutls_credentials_set(pair->client, GNUTLS_CRD_PSK, pair->client_psk);
}

static void pair_fini(struct pair *pair)
{
	tls_session_free(pair->server);
	gnutls_deinit(pair->client);
	gnutls_certificate_free_credentials(pair->client_certificate);
	if (pair->client_psk != NULL)
		gnutls_psk_free_client_credentials(pair->client_psk);
}

/* What the server says goes to the client. */
static void take_output(struct pair *pair)
{
	size_t size;

	for (;;) {
		const uint8_t *bytes = tls_session_output(pair->server, &size);

		if (size == 0)
			return;
		assert_true(pair->to_client.filled + size <= sizeof pair->to_client.bytes);
		memcpy(pair->to_client.bytes + pair->to_client.filled, bytes, size);
		pair->to_client.filled += size;
		tls_session_sent(pair->server);
	}
}

/* A slice of what the client says goes to the server; false when there is none. */
static bool give_input(struct pair *pair)
{
	size_t left = pair->to_server.filled - pair->to_server.taken, room, now;
	uint8_t *to;

	if (left == 0)
		return false;
	to = tls_session_want(pair->server, &room);
	now = left < pair->slice ? left : pair->slice;
	now = now < room ? now : room;
	memcpy(to, pair->to_server.bytes + pair->to_server.taken, now);
	pair->to_server.taken += now;
	tls_session_input(pair->server, now);
	return true;
}

/* Both as far as they come; gives the server's answer, and the client's in out_client. */
static int handshake(struct pair *pair, int *out_client)
{
	int result = -EAGAIN;
	bool moved = true;

	*out_client = GNUTLS_E_AGAIN;
	while (moved) {
		size_t before = pair->to_client.filled;

		if (*out_client == GNUTLS_E_AGAIN)
			*out_client = gnutls_handshake(pair->client);
		moved = give_input(pair);
		if (result == -EAGAIN)
			result = tls_session_handshake(pair->server);
		take_output(pair);
		moved = moved || pair->to_client.filled > before;
	}
	return result;
}

static void assert_admitted(struct pair *pair)
{
	int client_result, result = handshake(pair, &client_result);

	if (result != 0)
		fail_msg("%s", tls_session_reason(pair->server));
	assert_int_equal(client_result, 0);
	assert_string_not_equal(tls_session_kind(pair->server), "");
}

static void assert_refused(struct pair *pair, const char *why)
{
	int client_result, result = handshake(pair, &client_result);

	assert_int_equal(result, -EPROTO);
	if (strstr(tls_session_reason(pair->server), why) == NULL)
		fail_msg("%s", tls_session_reason(pair->server));
	assert_int_equal(tls_session_handshake(pair->server), -EPROTO);
}

/* --- tests --- */

static void say_both_ways(struct pair *pair)
{
	static uint8_t sent[300000], got[sizeof sent];
	size_t given = 0, done = 0;

	for (size_t i = 0; i < sizeof sent; i++)
		sent[i] = (uint8_t)(i * 31 >> 3);
	while (given < sizeof sent)
		given += (size_t)gnutls_record_send(pair->client, sent + given, sizeof sent - given);
	while (done < sizeof got) {
		int result = tls_session_read(pair->server, got + done, 7000 < sizeof got - done ? 7000 : sizeof got - done);

		if (result == -EAGAIN)
			assert_true(give_input(pair));
		else
			assert_in_range(result, 1, 7000);
		done += result > 0 ? (size_t)result : 0;
	}
	assert_int_equal(tls_session_read(pair->server, got, 1), -EAGAIN);
	assert_memory_equal(sent, got, sizeof sent);

	memset(got, 0, sizeof got);
	for (size_t at = 0; at < sizeof sent;) {
		struct iovec iov[4] = { { sent + at, 1 }, { sent + at + 1, 20000 }, { sent + at + 20001, 4096 },
					{ sent + at + 24097, 50903 } };
		size_t size = 0;

		for (int i = 0; i < 4; i++)
			size += iov[i].iov_len;
		assert_int_equal(size, 75000);
		assert_int_equal(tls_session_write(pair->server, iov, 4), 75000);
		take_output(pair);
		at += size;
	}
	for (done = 0; done < sizeof got;) {
		ssize_t now = gnutls_record_recv(pair->client, got + done, sizeof got - done);

		assert_true(now > 0 || (now == GNUTLS_E_AGAIN && pair->to_client.taken < pair->to_client.filled)); /* new keys */
		done += now > 0 ? (size_t)now : 0;
	}
	assert_memory_equal(sent, got, sizeof sent);
}

static void test_x509(void **state)
{
	static const size_t slices[] = { 1, 7, 100, 1u << 20 };
	static const char *const priorities[] = {
		"NORMAL", "NORMAL:-VERS-ALL:+VERS-TLS1.2", "NORMAL:-CIPHER-ALL:+CHACHA20-POLY1305",
	};
	struct tls_texts texts = texts_x509();
	static struct pair pair;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		for (size_t j = 0; j < 3; j++) {
			pair_init(&pair, &texts, priorities[j], slices[i]);
			assert_admitted(&pair);
			say_both_ways(&pair);
			pair_fini(&pair);
		}
	}
}

static void test_psk(void **state)
{
	static char keys[] = KEYS_TEXT;
	static const char *const priorities[] = { "NORMAL:+ECDHE-PSK:+DHE-PSK",
						  "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-PSK" };
	const struct tls_texts only = { .psk = { "keys", keys, sizeof keys - 1 } };
	struct tls_texts both = texts_x509();
	static struct pair pair;

	(void)state;
	both.psk = only.psk;
	both.authority = text_of("ca.pem", authority.certificate_text); /* the key is enough */
	for (int i = 0; i < 4; i++) {
		pair_init(&pair, i % 2 == 0 ? &only : &both, priorities[i / 2], 1u << 20);
		pair_use_psk(&pair, "bob", "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100");
		assert_admitted(&pair);
		if (i / 2 == 0) /* though the client would rather have ChaCha20; before TLS 1.3 there is nothing else */
			assert_non_null(strstr(tls_session_kind(pair.server), "AES-"));
		say_both_ways(&pair);
		pair_fini(&pair);
		for (int j = 0; j < 2; j++) {
			int ignored;

			pair_init(&pair, i % 2 == 0 ? &only : &both, priorities[i / 2], 1u << 20);
			pair_use_psk(&pair, j == 0 ? "alice" : "nobody", "ffeeddccbbaa99887766554433221100");
			assert_int_equal(handshake(&pair, &ignored), -EPROTO);
			pair_fini(&pair);
		}
	}
}

static void test_clients_certificates(void **state)
{
	const struct { const struct identity *identity; const char *why; } refused[] = {
		{ NULL, "ertificate" }, { &expired, "expired" }, { &server, "purpose" },
		{ &stranger, "the client's certificate is refused" },
	};
	static const char *const priorities[] = { "NORMAL", "NORMAL:-VERS-ALL:+VERS-TLS1.2" };
	struct tls_texts texts = texts_x509();
	static struct pair pair;

	(void)state;
	texts.authority = text_of("ca.pem", authority.certificate_text);
	for (size_t j = 0; j < 2; j++) {
		pair_init(&pair, &texts, priorities[j], 1u << 20);
		pair_use_certificate(&pair, &client);
		assert_admitted(&pair);
		pair_fini(&pair);
		for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
			pair_init(&pair, &texts, priorities[j], 1u << 20);
			if (refused[i].identity != NULL)
				pair_use_certificate(&pair, refused[i].identity);
			assert_refused(&pair, refused[i].why);
			pair_fini(&pair);
		}
	}
}

static void test_old_versions_are_refused(void **state)
{
	struct tls_texts texts = texts_x509();
	static struct pair pair;
	int ignored;

	(void)state;
	pair_init(&pair, &texts, "NORMAL:-VERS-ALL:+VERS-TLS1.1:%COMPAT", 1u << 20);
	assert_int_equal(handshake(&pair, &ignored), -EPROTO);
	pair_fini(&pair);
}

/* Every byte of the client's first flight changed, and bytes that are no TLS at all: refused, or waited for; nothing else. */
static void test_damaged_hello(void **state)
{
	struct tls_texts texts = texts_x509();
	static struct pair pair;
	static uint8_t hello[4096];
	size_t size;

	(void)state;
	pair_init(&pair, &texts, "NORMAL", 1u << 20);
	gnutls_handshake(pair.client);
	size = pair.to_server.filled;
	assert_in_range(size, 100, sizeof hello);
	memcpy(hello, pair.to_server.bytes, size);
	pair_fini(&pair);
	for (size_t at = 0; at < size; at++) {
		int result;

		pair_init(&pair, &texts, "NORMAL", 1u << 20);
		memcpy(pair.to_server.bytes, hello, size);
		pair.to_server.filled = size;
		pair.to_server.bytes[at] ^= 0x41;
		give_input(&pair);
		result = tls_session_handshake(pair.server);
		assert_true(result == -EAGAIN || result == -EPROTO);
		take_output(&pair);
		pair_fini(&pair);
	}
}

static void test_damaged_record(void **state)
{
	struct tls_texts texts = texts_x509();
	static struct pair pair;
	uint8_t got[64];

	(void)state;
	pair_init(&pair, &texts, "NORMAL", 1u << 20);
	assert_admitted(&pair);
	gnutls_record_send(pair.client, "good", 4);
	gnutls_record_send(pair.client, "spoilt", 6);
	pair.to_server.bytes[pair.to_server.filled - 1] ^= 1;
	give_input(&pair);
	assert_int_equal(tls_session_read(pair.server, got, sizeof got), 4);
	assert_memory_equal(got, "good", 4);
	assert_int_equal(tls_session_read(pair.server, got, sizeof got), -EPROTO);
	assert_string_not_equal(tls_session_reason(pair.server), "");
	assert_int_equal(tls_session_write(pair.server, &(struct iovec){ got, 4 }, 1), -EPROTO);
	pair_fini(&pair);
}

static void test_the_end(void **state)
{
	struct tls_texts texts = texts_x509();
	static struct pair pair;
	uint8_t got[64];

	(void)state;
	pair_init(&pair, &texts, "NORMAL", 1u << 20);
	assert_admitted(&pair);
	gnutls_record_send(pair.client, "last", 4);
	gnutls_bye(pair.client, GNUTLS_SHUT_WR);
	give_input(&pair);
	assert_int_equal(tls_session_read(pair.server, got, sizeof got), 4);
	assert_int_equal(tls_session_read(pair.server, got, sizeof got), 0);
	tls_session_end(pair.server);
	take_output(&pair);
	assert_int_equal(gnutls_record_recv(pair.client, got, sizeof got), 0);
	pair_fini(&pair);
}

/* Clients change their keys after many records, as the ciphers demand; with an answer wanted, or without. */
static void test_new_keys(void **state)
{
	struct tls_texts texts = texts_x509();
	static struct pair pair;
	uint8_t got[64];

	(void)state;
	pair_init(&pair, &texts, "NORMAL:-VERS-ALL:+VERS-TLS1.3", 1u << 20);
	assert_admitted(&pair);
	assert_int_equal(gnutls_session_key_update(pair.client, 0), 0);
	gnutls_record_send(pair.client, "at once", 7);
	give_input(&pair);
	assert_int_equal(tls_session_read(pair.server, got, sizeof got), 7); /* the data is in, so it is not waited for */
	say_both_ways(&pair);
	assert_int_equal(gnutls_session_key_update(pair.client, GNUTLS_KU_PEER), 0);
	say_both_ways(&pair);
	pair_fini(&pair);
}

/* No more is encrypted than the limit allows, however much there is. */
static void test_output_is_bounded(void **state)
{
	struct tls_texts texts = texts_x509();
	static uint8_t bytes[BYTES];
	static struct pair pair;
	size_t size;

	(void)state;
	pair_init(&pair, &texts, "NORMAL", 1u << 20);
	assert_admitted(&pair);
	assert_in_range(tls_session_write(pair.server, &(struct iovec){ bytes, sizeof bytes }, 1), 1, TLS_OUTPUT_SIZE + 16384);
	assert_int_equal(tls_session_write(pair.server, &(struct iovec){ bytes, sizeof bytes }, 1), 0);
	tls_session_output(pair.server, &size);
	assert_in_range(size, 1, TLS_OUTPUT_SIZE + 17000);
	pair_fini(&pair);
}

static void test_bad_credentials(void **state)
{
	static const struct { const char *text, *why; } keys[] = {
		{ "", "it holds no key: make one with psktool --username NAME --pskfile FILE" },
		{ "# nothing\n\n", "it holds no key: make one with psktool --username NAME --pskfile FILE" },
		{ "alice\n", "line 1: it is not NAME:KEY" },
		{ "\n:00112233445566778899aabbccddeeff\n", "line 2: it is not NAME:KEY" },
		{ "alice:0011\n", "line 1: a key has 32 to 128 hexadecimal digits" },
		{ "alice:00112233445566778899aabbccddeefg", "line 1: a key has 32 to 128 hexadecimal digits" },
		{ "alice:00112233445566778899aabbccddeeff0", "line 1: a key has 32 to 128 hexadecimal digits" },
		{ "a:00112233445566778899aabbccddeeff\na:00112233445566778899aabbccddeeff\n", "line 2: this name has a key already" },
	};
	static char bad[] = "alice";
	struct tls_texts texts = texts_x509();
	struct tls_credentials *credentials;
	struct psk_keys *parsed;
	struct error error;

	(void)state;
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		assert_int_equal(psk_parse(keys[i].text, strlen(keys[i].text), &parsed, &error), -EINVAL);
		assert_string_equal(error.text, keys[i].why);
	}
	texts.key = text_of("key.pem", client.key_text);
	assert_int_equal(tls_credentials_new(&texts, &credentials, &error), -EINVAL);
	assert_string_equal(error.text, "key.pem: The certificate and the given key do not match.");
	texts = texts_x509();
	texts.authority = text_of("ca.pem", server.key_text);
	assert_int_equal(tls_credentials_new(&texts, &credentials, &error), -EINVAL);
	texts = texts_x509();
	texts.psk = (struct tls_text){ "keys", bad, sizeof bad - 1 };
	assert_int_equal(tls_credentials_new(&texts, &credentials, &error), -EINVAL);
	assert_string_equal(error.text, "keys: line 1: it is not NAME:KEY");
	texts.psk = (struct tls_text){ 0 };
	credentials = make_credentials(&texts);
	assert_int_equal(tls_credentials_expiry(credentials), gnutls_x509_crt_get_expiration_time(server.certificate));
	tls_credentials_unref(credentials);
}

/* Every prefix and every byte of a file of keys changed: read or refused, never more. */
static void test_damaged_keys(void **state)
{
	(void)state;
	for (size_t at = 0; at < sizeof KEYS_TEXT; at++) {
		for (int byte = 0; byte < 256; byte += 3) {
			char *text = memory_new(at + 1, 1);
			struct psk_keys *keys;

			memcpy(text, KEYS_TEXT, at);
			text[at] = (char)byte;
			if (psk_parse(text, at + 1, &keys, NULL) == 0)
				psk_free(keys);
			free(text);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_x509),
		cmocka_unit_test(test_psk),
		cmocka_unit_test(test_clients_certificates),
		cmocka_unit_test(test_old_versions_are_refused),
		cmocka_unit_test(test_damaged_hello),
		cmocka_unit_test(test_damaged_record),
		cmocka_unit_test(test_the_end),
		cmocka_unit_test(test_new_keys),
		cmocka_unit_test(test_output_is_bounded),
		cmocka_unit_test(test_bad_credentials),
		cmocka_unit_test(test_damaged_keys),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
