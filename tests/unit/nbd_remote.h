/* An NBD client on a socket that waits for what it asks for, in the clear or with TLS. Each call fails the test when the
 * server is silent for REMOTE_LIMIT_S, or says something else than is expected. */
#ifndef TESTS_NBD_REMOTE_H
#define TESTS_NBD_REMOTE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <gnutls/gnutls.h>
#include <stdbool.h>

#include "nbd/format.h"

#define REMOTE_LIMIT_S 30
#define REMOTE_PSK_NAME "alice"
#define REMOTE_PSK_KEY "00112233445566778899aabbccddeeff"

struct remote {
	int fd;
	bool secure;
	gnutls_session_t tls;
	gnutls_psk_client_credentials_t psk;
	uint64_t cookie; /* of the last request */
	uint8_t *ahead;  /* what remote_put has gathered */
	size_t ahead_size;
};

/* Connects to a unix socket and exchanges flags; with TLS when asked for. */
void remote_open(struct remote *remote, const char *path, bool secure);
/* Later than that. */
void remote_start_tls(struct remote *remote);
/* New keys in both directions: the server's TLS says something by itself. */
void remote_update_keys(struct remote *remote);
void remote_close(struct remote *remote);

/* Until the server has taken all that was sent off the socket; fails after some seconds. */
void remote_wait_taken(const struct remote *remote);
/* Gathers bytes, which remote_flush sends all at once; remote_send does both. */
void remote_put(struct remote *remote, const void *bytes, size_t size);
void remote_flush(struct remote *remote);
void remote_send(struct remote *remote, const void *bytes, size_t size);
void remote_receive(struct remote *remote, void *bytes, size_t size);
/* The server ends the connection, and says nothing before it. */
void remote_expect_end(struct remote *remote);

void remote_put_option(struct remote *remote, uint32_t option, const void *data, size_t size);
/* INFO or GO for that export; no further information asked for. */
void remote_put_info(struct remote *remote, uint32_t option, const char *name);
/* One reply to an option, which must be of that type; its data, up to `room`, goes to `data`, which may be NULL. Gives its
 * size. */
size_t remote_expect_reply(struct remote *remote, uint32_t option, uint32_t type, void *data, size_t room);
/* Both replies to INFO and GO. */
void remote_expect_info(struct remote *remote, uint32_t option);
/* Chooses the export and waits for the answer. */
void remote_go(struct remote *remote, const char *name);

/* Gives the cookie; the payload of a write is put by the caller. */
uint64_t remote_put_request(struct remote *remote, uint16_t type, uint64_t offset, uint32_t length);
/* The next reply, which must be a success; gives its cookie. */
uint64_t remote_next_reply(struct remote *remote);
void remote_write(struct remote *remote, uint64_t offset, const void *bytes, uint32_t size);
void remote_read(struct remote *remote, uint64_t offset, void *bytes, uint32_t size);

#endif
