/* A stream with TLS in it: a socket of env and a tls_session, which together are used as the socket alone would be.
 *
 * The same rules hold as for env's sockets (env/env.h): at most one receive and one send in flight, each completes exactly once,
 * from the loop; the vector of a send is kept and changed until then. The shard's thread. */
#ifndef DAEMON_SECURE_SOCKET_H
#define DAEMON_SECURE_SOCKET_H

#include <stddef.h>
#include <sys/uio.h>

struct env;
struct env_io;
struct env_socket;
struct secure_socket;
struct tls_credentials;

/* Takes the socket, on which nothing may be in flight; keeps a reference to the credentials. NULL (and the socket is the caller's
 * still) when there is no memory. */
struct secure_socket *secure_socket_new(struct env *env, struct env_socket *socket, struct tls_credentials *credentials);

/* First of all, and alone. Completes with 0 when the client was admitted, else with a negative errno. */
void secure_socket_handshake(struct secure_socket *secure, struct env_io *io);

void secure_socket_receive(struct secure_socket *secure, struct env_io *io, void *buffer, size_t length);
void secure_socket_send(struct secure_socket *secure, struct env_io *io, struct iovec *iov, int count);
/* Tells the client that nothing follows; completes as a send, and none may be under way or come after it. */
void secure_socket_end(struct secure_socket *secure, struct env_io *io);
void secure_socket_close(struct secure_socket *secure);

/* --- to another env; after the handshake --- */

/* The receive asked for ends soon: with what there is, or with -ECANCELED and nothing lost. Harmless when there is none. */
void secure_socket_interrupt(struct secure_socket *secure);
/* Completes with 0 once nothing is under way below, where TLS may have something to say by itself, or with what broke the
 * stream. No receive may be asked for until then. */
void secure_socket_settle(struct secure_socket *secure, struct env_io *io);
/* Leaves its env, when it has settled and nothing was asked for since (from within that completion, too); goes on in that
 * one, with all that was received and not read yet. Each on the thread of its env; between the two nothing may be asked. */
void secure_socket_leave(struct secure_socket *secure);
void secure_socket_join(struct secure_socket *secure, struct env *env);

/* What was agreed on in the handshake, for the log. Borrows. */
const char *secure_socket_kind(const struct secure_socket *secure);
/* Why the handshake or the stream failed where TLS knows it, else "". Borrows. */
const char *secure_socket_reason(const struct secure_socket *secure);

#endif
