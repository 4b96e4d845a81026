#include "tls/session.h"

#include <assert.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "tls/credentials.h"
#include "tls/internal.h"

#define RECORD_SIZE 16384u              /* plaintext of one record, RFC 8446, section 5.1 */
#define HELLO_SIZE_MAX (32u * 1024u)    /* one message of the handshake: a client's chain of certificates is the longest */
#define OUTPUT_ROOM_MAX (256u * 1024u)  /* a write stays far below it, even where the client wants short records */
#define READ_SIZE_MAX (1024u * 1024u)   /* at once, so that one client does not hold up the others */

/* Grows while the other is shown; no longer than a write makes it, with some room for alerts and new keys. */
struct output {
	uint8_t *bytes;
	size_t size, room;
};

struct tls_session {
	gnutls_session_t gnutls;
	struct tls_credentials *credentials;
	uint8_t input[TLS_INPUT_SIZE];
	size_t filled, taken;
	struct output growing, shown;
	bool admitted;
	int failed; /* 0, or the errno of the first failure */
	char kind[96];
	char reason[192];
};

/* --- the transport that GnuTLS sees --- */

static ssize_t on_pull(gnutls_transport_ptr_t data, void *buffer, size_t size)
{
	struct tls_session *session = data;
	size_t left = session->filled - session->taken, now = size < left ? size : left;

	if (left == 0) {
		gnutls_transport_set_errno(session->gnutls, EAGAIN);
		return -1;
	}
	memcpy(buffer, session->input + session->taken, now);
	session->taken += now;
	return (ssize_t)now;
}

static int on_pull_timeout(gnutls_transport_ptr_t data, unsigned limit_ms)
{
	const struct tls_session *session = data;

	(void)limit_ms;
	return session->filled > session->taken;
}

static void output_reserve(struct output *output, size_t room)
{
	if (room <= output->room)
		return;
	output->room = room < OUTPUT_ROOM_MAX / 2 ? 2 * room : OUTPUT_ROOM_MAX;
	output->bytes = memory_resize(output->bytes, output->room, 1);
}

static ssize_t on_push(gnutls_transport_ptr_t data, const void *buffer, size_t size)
{
	struct tls_session *session = data;
	struct output *output = &session->growing;

	if (output->size + size > OUTPUT_ROOM_MAX) { /* a client that makes us speak, and does not listen */
		gnutls_transport_set_errno(session->gnutls, EMSGSIZE);
		return -1;
	}
	output_reserve(output, output->size + size);
	memcpy(output->bytes + output->size, buffer, size);
	output->size += size;
	return (ssize_t)size;
}

/* --- life --- */

/* All that a client can be asked for; the purpose, so that a server's certificate does not open what a client's would. */
static void set_demands(struct tls_session *session)
{
	static unsigned char client[] = GNUTLS_KP_TLS_WWW_CLIENT;
	static gnutls_typed_vdata_st purpose = { GNUTLS_DT_KEY_PURPOSE_OID, client, 0 };

	if (!session->credentials->demands_certificate)
		return;
	gnutls_certificate_server_set_request(session->gnutls, GNUTLS_CERT_REQUIRE);
	gnutls_session_set_verify_cert2(session->gnutls, &purpose, 1, 0);
}

static int set_credentials(struct tls_session *session)
{
	const struct tls_credentials *credentials = session->credentials;
	int code = gnutls_priority_set(session->gnutls, credentials->priority);

	if (code == 0 && credentials->certificate != NULL)
		code = gnutls_credentials_set(session->gnutls, GNUTLS_CRD_CERTIFICATE, credentials->certificate);
	if (code == 0 && credentials->psk_server != NULL)
		code = gnutls_credentials_set(session->gnutls, GNUTLS_CRD_PSK, credentials->psk_server);
	set_demands(session);
	return code;
}

struct tls_session *tls_session_new(struct tls_credentials *credentials)
{
	struct tls_session *session = memory_new(1, sizeof(*session));

	session->credentials = tls_credentials_ref(credentials);
	if (gnutls_init(&session->gnutls, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS) < 0 || set_credentials(session) < 0) {
		tls_session_free(session);
		return NULL;
	}
	gnutls_session_set_ptr(session->gnutls, credentials); /* for on_psk */
	gnutls_handshake_set_max_packet_length(session->gnutls, HELLO_SIZE_MAX);
	gnutls_transport_set_ptr(session->gnutls, session);
	gnutls_transport_set_pull_function(session->gnutls, on_pull);
	gnutls_transport_set_pull_timeout_function(session->gnutls, on_pull_timeout);
	gnutls_transport_set_push_function(session->gnutls, on_push);
	return session;
}

void tls_session_free(struct tls_session *session)
{
	if (session == NULL)
		return;
	if (session->gnutls != NULL)
		gnutls_deinit(session->gnutls);
	tls_credentials_unref(session->credentials);
	free(session->growing.bytes);
	free(session->shown.bytes);
	free(session);
}

/* --- ciphertext --- */

uint8_t *tls_session_want(struct tls_session *session, size_t *out_room)
{
	size_t left = session->filled - session->taken;

	memmove(session->input, session->input + session->taken, left);
	session->filled = left;
	session->taken = 0;
	*out_room = TLS_INPUT_SIZE - left;
	return session->input + left;
}

void tls_session_input(struct tls_session *session, size_t size)
{
	session->filled += size;
	assert(session->filled <= TLS_INPUT_SIZE);
}

uint8_t *tls_session_output(struct tls_session *session, size_t *out_size)
{
	struct output growing = session->growing;

	if (session->shown.size == 0) {
		session->growing = session->shown;
		session->shown = growing;
	}
	*out_size = session->shown.size;
	return session->shown.bytes;
}

void tls_session_sent(struct tls_session *session)
{
	free(session->shown.bytes); /* an idle connection holds none */
	session->shown = (struct output){ 0 };
}

/* --- plaintext --- */

/* The one place of failure; what happened first is what counts. */
static int session_fail(struct tls_session *session, int code)
{
	if (session->failed != 0)
		return session->failed;
	session->failed = -EPROTO;
	if (code == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
		gnutls_datum_t text = { NULL, 0 };

		gnutls_certificate_verification_status_print(gnutls_session_get_verify_cert_status(session->gnutls),
							     GNUTLS_CRT_X509, &text, 0);
		snprintf(session->reason, sizeof(session->reason), "the client's certificate is refused: %s",
			 text.data == NULL ? "" : (const char *)text.data);
		gnutls_free(text.data);
	} else if (code == GNUTLS_E_FATAL_ALERT_RECEIVED) {
		snprintf(session->reason, sizeof(session->reason), "the client gave up: %s",
			 gnutls_alert_get_name(gnutls_alert_get(session->gnutls)));
	} else {
		snprintf(session->reason, sizeof(session->reason), "%s", gnutls_strerror(code));
	}
	if (code != GNUTLS_E_FATAL_ALERT_RECEIVED)
		gnutls_alert_send_appropriate(session->gnutls, code);
	return session->failed;
}

static void session_describe(struct tls_session *session)
{
	char *kind = gnutls_session_get_desc(session->gnutls);

	snprintf(session->kind, sizeof(session->kind), "%s", kind == NULL ? "" : kind);
	gnutls_free(kind);
}

/* Not an end: an interruption or a warning; there are no more of these than there is input. After new keys GnuTLS says that it
 * needs more input when it has some. */
static bool goes_on(const struct tls_session *session, ssize_t code, size_t taken_before)
{
	if (code == GNUTLS_E_AGAIN)
		return session->taken > taken_before && session->taken < session->filled;
	return code == GNUTLS_E_INTERRUPTED || code == GNUTLS_E_WARNING_ALERT_RECEIVED;
}

int tls_session_handshake(struct tls_session *session)
{
	size_t before;
	int code;

	if (session->failed != 0 || session->admitted)
		return session->failed;
	do {
		before = session->taken;
		code = gnutls_handshake(session->gnutls);
	} while (goes_on(session, code, before));
	if (code == GNUTLS_E_AGAIN)
		return -EAGAIN;
	if (code < 0)
		return session_fail(session, code);
	session->admitted = true;
	session_describe(session);
	return 0;
}

int tls_session_read(struct tls_session *session, void *buffer, size_t size)
{
	size_t most = size < READ_SIZE_MAX ? size : READ_SIZE_MAX, done = 0, before;
	ssize_t got;

	assert(session->admitted);
	if (session->failed != 0)
		return session->failed;
	do {
		before = session->taken;
		got = gnutls_record_recv(session->gnutls, (uint8_t *)buffer + done, most - done);
		if (got > 0)
			done += (size_t)got;
	} while ((got > 0 && done < most) || goes_on(session, got, before));
	if (got < 0 && got != GNUTLS_E_AGAIN)
		session_fail(session, (int)got); /* said at the next call, when something was read before it */
	if (done > 0)
		return (int)done;
	return got == GNUTLS_E_AGAIN ? -EAGAIN : session->failed;
}

/* One record's worth from the front of the vector: in place where it lies together, else gathered in `room`. */
static const uint8_t *record_next(const struct iovec **iov, int *count, size_t *offset, uint8_t *room, size_t *out_size)
{
	const uint8_t *place = (const uint8_t *)(*iov)->iov_base + *offset;
	size_t size = 0;

	while (*count > 0 && size < RECORD_SIZE) {
		size_t left = (*iov)->iov_len - *offset, now = left < RECORD_SIZE - size ? left : RECORD_SIZE - size;

		if (size > 0 || now < RECORD_SIZE) {
			memcpy(room + size, (const uint8_t *)(*iov)->iov_base + *offset, now);
			place = room;
		}
		size += now;
		*offset += now;
		if (*offset == (*iov)->iov_len) {
			(*iov)++;
			(*count)--;
			*offset = 0;
		}
	}
	*out_size = size;
	return place;
}

/* In pieces, where the client has asked for short records. */
static int record_write(struct tls_session *session, const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		ssize_t sent = gnutls_record_send(session->gnutls, bytes, size);

		if (sent <= 0)
			return session_fail(session, (int)sent);
		bytes += sent;
		size -= (size_t)sent;
	}
	return 0;
}

int tls_session_write(struct tls_session *session, const struct iovec *iov, int count)
{
	uint8_t room[RECORD_SIZE];
	size_t offset = 0, size, total = 0;

	assert(session->admitted);
	while (session->failed == 0 && count > 0 && session->growing.size < TLS_OUTPUT_SIZE) {
		const uint8_t *bytes = record_next(&iov, &count, &offset, room, &size);

		record_write(session, bytes, size);
		total += size;
	}
	return session->failed != 0 ? session->failed : (int)total;
}

void tls_session_end(struct tls_session *session)
{
	if (session->admitted && session->failed == 0)
		gnutls_bye(session->gnutls, GNUTLS_SHUT_WR);
}

const char *tls_session_kind(const struct tls_session *session)
{
	return session->kind;
}

const char *tls_session_reason(const struct tls_session *session)
{
	return session->reason;
}
