/* A client that asks for TLS: an NBD session, a tls_session below it once it was asked for, and GnuTLS's client at the other end,
 * which says what the input wants it to say; or the input itself in its place, in the handshake and after it.
 *
 * The first byte chooses: bit 0, TLS is required; bit 1, the input speaks in the clear until it has asked for TLS (else that is
 * done for it); bit 2, the input makes the handshake (else the client does). Then pieces: one byte says what happens. */
#include <assert.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/span.h"
#include "nbd/budget.h"
#include "nbd/session.h"
#include "tls/credentials.h"
#include "tls/session.h"

#define EXPORT_SIZE (64u * 1024u)
#define WIRE_SIZE (1024u * 1024u)
#define KEY "00112233445566778899aabbccddeeff"
#define PRIORITY "NORMAL:-KX-ALL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+ECDHE-PSK:-GROUP-ALL:+GROUP-X25519"

struct wire {
	uint8_t bytes[WIRE_SIZE];
	size_t filled, taken;
};

struct fuzz {
	struct nbd_budget budget;
	struct nbd_session *nbd;
	struct tls_session *tls;
	gnutls_session_t client;
	bool admitted, in_the_clear;
	bool ready; /* the client has done its handshake: before, it has no keys */
	uint8_t *wanted; /* room of the NBD session's */
	size_t wanted_size;
	struct wire to_server, to_client;
};

static struct fuzz fuzz;
static struct tls_credentials *server_credentials;
static gnutls_psk_client_credentials_t client_credentials;

/* --- the host of the NBD session --- */

static enum nbd_found host_find(void *data, const char *name, struct nbd_export *out_export)
{
	(void)name;
	*out_export = (struct nbd_export){ .name = "d", .description = "a disk", .size = EXPORT_SIZE, .disk = data };
	return NBD_FOUND;
}

static bool host_list(void *data, uint32_t *place, struct nbd_export *out_export)
{
	return (*place)++ < 2 && host_find(data, "d", out_export) == NBD_FOUND;
}

static bool host_open(void *data, const struct nbd_export *chosen)
{
	struct fuzz *host = data;

	assert(chosen->disk == data);
	assert(!host->in_the_clear || host->tls == NULL); /* no disk for who has asked for TLS and was not admitted */
	return true;
}

static void host_submit(void *data, struct nbd_request *request)
{
	struct fuzz *host = data;

	if (request->command == NBD_READ)
		memset(request->buffer, 0x5a, request->length);
	if (request->spans != NULL) {
		request->spans[0] = (struct span){ .length = request->length, .hole = true };
		request->span_count = 1;
	}
	nbd_session_done(host->nbd, request, request->command == NBD_TRIM ? -EIO : 0);
}

static void host_wake(void *data)
{
	(void)data;
}

static const struct nbd_host ops = {
	.find = host_find, .list = host_list, .open = host_open, .submit = host_submit, .wake = host_wake,
};

/* --- the wires --- */

static void wire_put(struct wire *wire, const void *bytes, size_t size)
{
	size_t now = size < WIRE_SIZE - wire->filled ? size : WIRE_SIZE - wire->filled; /* what is too much is lost */

	memcpy(wire->bytes + wire->filled, bytes, now);
	wire->filled += now;
}

static size_t wire_take(struct wire *wire, void *bytes, size_t size)
{
	size_t left = wire->filled - wire->taken, now = size < left ? size : left;

	memcpy(bytes, wire->bytes + wire->taken, now);
	wire->taken += now;
	if (wire->taken == wire->filled)
		wire->taken = wire->filled = 0;
	return now;
}

static ssize_t client_push(gnutls_transport_ptr_t data, const void *bytes, size_t size)
{
	wire_put(data, bytes, size);
	return (ssize_t)size;
}

static ssize_t client_pull(gnutls_transport_ptr_t data, void *bytes, size_t size)
{
	size_t now;

	(void)data;
	now = wire_take(&fuzz.to_client, bytes, size);
	if (now > 0)
		return (ssize_t)now;
	gnutls_transport_set_errno(fuzz.client, EAGAIN);
	return -1;
}

static int client_pull_timeout(gnutls_transport_ptr_t data, unsigned limit_ms)
{
	(void)data;
	(void)limit_ms;
	return fuzz.to_client.filled > fuzz.to_client.taken;
}

/* --- the server, as the daemon puts it together --- */

static void server_say(void)
{
	struct iovec iov[6];
	size_t size, sent = 0;
	const uint8_t *bytes;
	int count = 0, taken;

	if (fuzz.tls != NULL && (!fuzz.admitted || tls_session_reason(fuzz.tls)[0] != '\0'))
		goto flush;
	count = nbd_session_output(fuzz.nbd, iov, 6);
	for (int i = 0; i < count && fuzz.tls == NULL; i++)
		sent += iov[i].iov_len;
	if (count > 0 && fuzz.tls != NULL) {
		taken = tls_session_write(fuzz.tls, iov, count);
		sent = taken > 0 ? (size_t)taken : 0;
	}
	if (count > 0)
		nbd_session_sent(fuzz.nbd, sent);
flush:
	while (fuzz.tls != NULL && (bytes = tls_session_output(fuzz.tls, &size)) != NULL && size > 0) {
		wire_put(&fuzz.to_client, bytes, size);
		tls_session_sent(fuzz.tls);
	}
}

static void server_hear_plaintext(void)
{
	int got = 1;

	while (got > 0) {
		if (fuzz.wanted == NULL)
			fuzz.wanted = nbd_session_want(fuzz.nbd, &fuzz.wanted_size);
		if (fuzz.wanted == NULL)
			return;
		got = tls_session_read(fuzz.tls, fuzz.wanted, fuzz.wanted_size);
		if (got > 0) {
			fuzz.wanted = NULL;
			nbd_session_input(fuzz.nbd, (size_t)got);
			server_say();
		}
	}
}

/* Up to `most` bytes of what is on the wire. */
static void server_hear(size_t most)
{
	size_t room;
	uint8_t *to;

	if (fuzz.tls == NULL)
		return;
	to = tls_session_want(fuzz.tls, &room);
	tls_session_input(fuzz.tls, wire_take(&fuzz.to_server, to, most < room ? most : room));
	if (!fuzz.admitted && tls_session_handshake(fuzz.tls) == 0) {
		fuzz.admitted = true;
		fuzz.in_the_clear = false;
		nbd_session_secured(fuzz.nbd);
	}
	if (fuzz.admitted)
		server_hear_plaintext();
	server_say();
}

static void hear_in_the_clear(const uint8_t *bytes, size_t size)
{
	size_t room, now;
	uint8_t *to;

	while (size > 0 && (to = nbd_session_want(fuzz.nbd, &room)) != NULL) {
		now = size < room ? size : room;
		memcpy(to, bytes, now);
		bytes += now;
		size -= now;
		nbd_session_input(fuzz.nbd, now);
		server_say();
	}
	if (nbd_session_upgrading(fuzz.nbd)) {
		assert(size == 0 || nbd_session_want(fuzz.nbd, &room) == NULL);
		fuzz.tls = tls_session_new(server_credentials);
		assert(fuzz.tls != NULL);
	}
}

/* --- the client --- */

static void client_make_handshake(void)
{
	for (int i = 0; i < 8 && !fuzz.admitted && fuzz.tls != NULL; i++) {
		gnutls_handshake(fuzz.client);
		server_hear(SIZE_MAX);
	}
	fuzz.ready = gnutls_handshake(fuzz.client) == 0;
}

static void client_hear(void)
{
	uint8_t bytes[4096];
	ssize_t got;

	do
		got = gnutls_record_recv(fuzz.client, bytes, sizeof bytes);
	while (got > 0);
}

static void act(uint8_t what, const uint8_t *bytes, size_t size)
{
	static const uint8_t zeros[20000];

	switch (fuzz.ready ? what % 8 : 0) {
	case 0:
		wire_put(&fuzz.to_server, bytes, size); /* no record of the client's */
		break;
	case 1:
		gnutls_session_key_update(fuzz.client, (what & 8) != 0 ? GNUTLS_KU_PEER : 0);
		break;
	case 2:
		gnutls_bye(fuzz.client, GNUTLS_SHUT_WR);
		break;
	case 3:
		if (fuzz.to_server.filled > fuzz.to_server.taken)
			fuzz.to_server.bytes[fuzz.to_server.filled - 1] ^= what;
		break;
	case 4:
		gnutls_record_send(fuzz.client, zeros, sizeof zeros / (what | 1u) * 16);
		break;
	case 5:
		client_hear();
		break;
	default:
		gnutls_record_send(fuzz.client, bytes, size);
		break;
	}
	server_hear((what & 0x80) != 0 ? SIZE_MAX : what);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *count, char ***arguments);

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
	static char keys[] = "c:" KEY "\n";
	const struct tls_texts texts = { .psk = { "keys", keys, sizeof keys - 1 } };
	const gnutls_datum_t key = { (void *)(uintptr_t)KEY, sizeof KEY - 1 };

	(void)count;
	(void)arguments;
	if (tls_credentials_new(&texts, &server_credentials, NULL) < 0 ||
	    gnutls_psk_allocate_client_credentials(&client_credentials) < 0 ||
	    gnutls_psk_set_client_credentials(client_credentials, "c", &key, GNUTLS_PSK_KEY_HEX) < 0)
		abort();
	return 0;
}

static void begin(uint8_t mode)
{
	fuzz.tls = NULL;
	fuzz.wanted = NULL;
	fuzz.admitted = fuzz.ready = false;
	fuzz.in_the_clear = true;
	fuzz.to_server.filled = fuzz.to_server.taken = fuzz.to_client.filled = fuzz.to_client.taken = 0;
	nbd_budget_init(&fuzz.budget, NBD_REQUEST_BYTES_MAX);
	fuzz.nbd = nbd_session_new(&ops, &fuzz, &fuzz.budget);
	nbd_session_offer_tls(fuzz.nbd, (mode & 1) != 0 ? NBD_TLS_REQUIRED : NBD_TLS_ALLOWED);
	gnutls_init(&fuzz.client, GNUTLS_CLIENT | GNUTLS_NONBLOCK);
	gnutls_priority_set_direct(fuzz.client, PRIORITY, NULL);
	gnutls_credentials_set(fuzz.client, GNUTLS_CRD_PSK, client_credentials);
	gnutls_transport_set_ptr(fuzz.client, &fuzz.to_server);
	gnutls_transport_set_push_function(fuzz.client, client_push);
	gnutls_transport_set_pull_function(fuzz.client, client_pull);
	gnutls_transport_set_pull_timeout_function(fuzz.client, client_pull_timeout);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t asking[] = "\0\0\0\3IHAVEOPT\0\0\0\5\0\0\0\0";
	uint8_t mode = size > 0 ? *data : 0;

	begin(mode);
	if ((mode & 2) == 0) {
		hear_in_the_clear(asking, sizeof asking - 1);
		if ((mode & 4) == 0)
			client_make_handshake();
	}
	for (size_t at = 1; at + 1 < size;) {
		uint8_t what = data[at++];
		size_t piece = data[at++];

		piece = piece < size - at ? piece : size - at;
		if (fuzz.tls == NULL) {
			hear_in_the_clear(data + at, piece);
			if (fuzz.tls != NULL && (mode & 4) == 0)
				client_make_handshake();
		} else {
			act(what, data + at, piece);
		}
		at += piece;
	}
	if (fuzz.wanted != NULL)
		nbd_session_input(fuzz.nbd, 0);
	nbd_session_abandon(fuzz.nbd, "gone");
	nbd_session_free(fuzz.nbd);
	nbd_budget_fini(&fuzz.budget);
	tls_session_free(fuzz.tls);
	gnutls_deinit(fuzz.client);
	return 0;
}
