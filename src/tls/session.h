/* One TLS connection as states over bytes, server side: TLS 1.2 and 1.3 by GnuTLS, whose transport is memory.
 *
 *      socket --> tls_session_want, _input --> [ ] --> tls_session_read  --> plaintext
 *      socket <-- tls_session_output, _sent <-- [ ] <-- tls_session_write <-- plaintext
 *
 * After each input call tls_session_handshake until it is done, then tls_session_read; after each call of anything there may be
 * output. Data path: 0 or more, or a negative errno; the first failure is the last word, tls_session_reason says why. The thread
 * of its owner. */
#ifndef TLS_SESSION_H
#define TLS_SESSION_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct tls_credentials;
struct tls_session;

#define TLS_INPUT_SIZE (64u * 1024u)  /* ciphertext received and not read yet */
#define TLS_OUTPUT_SIZE (96u * 1024u) /* of output above which nothing is written: a client that does not read holds no more */

/* Gives a session; keeps a reference to the credentials. NULL when GnuTLS has no memory. */
struct tls_session *tls_session_new(struct tls_credentials *credentials);
void tls_session_free(struct tls_session *session); /* NULL is allowed */

/* Where the next ciphertext goes; at least one byte of room once all that there is was read. */
uint8_t *tls_session_want(struct tls_session *session, size_t *out_room);
/* `size` bytes have been placed there. */
void tls_session_input(struct tls_session *session, size_t size);

/* What is to be sent, or a size of 0; it stays as it is until tls_session_sent says that all of it was. */
uint8_t *tls_session_output(struct tls_session *session, size_t *out_size);
void tls_session_sent(struct tls_session *session);

/* 0 once the client is admitted, -EAGAIN while more input is needed, -EPROTO when it was refused (an alert is in the output). */
int tls_session_handshake(struct tls_session *session);

/* After the handshake. Plaintext into the buffer: the number of bytes, at least one; 0 when the client ended the stream; -EAGAIN
 * when more input is needed; -EPROTO when the stream is damaged. */
int tls_session_read(struct tls_session *session, void *buffer, size_t size);

/* After the handshake. Encrypts from the front of the vector until the output is full or the vector empty:
 * gives the bytes taken, or -EPROTO. */
int tls_session_write(struct tls_session *session, const struct iovec *iov, int count);

/* Ends our direction of the stream, so that the client knows that nothing was cut off. */
void tls_session_end(struct tls_session *session);

/* "(TLS1.3)-(ECDHE-SECP256R1)-(AES-256-GCM)", once the handshake is done. Borrows. */
const char *tls_session_kind(const struct tls_session *session);
/* Why it failed, or "". Borrows. */
const char *tls_session_reason(const struct tls_session *session);

#endif
