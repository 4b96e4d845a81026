/* Four things may be asked for (handshake, receive or settle, send), two of them at once; each is served by what the socket does
 * below:
 *
 *      asked            needs                         is done when
 *      handshake        ciphertext in, and out        the client is admitted or refused, and all ciphertext is out
 *      receive          ciphertext in                 there is plaintext, or the end
 *      send             ciphertext out                the vector is empty, and all ciphertext is out
 *      settle           an end of both                nothing is under way
 *
 * secure_go_on is called after whatever happened and starts what can be started. What TLS says by itself (alerts, new keys) goes
 * out with the rest; the client of this module need not know. As a socket does, this outlives its close until the last operation
 * below has ended. */
#include "daemon/secure_socket.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/vector.h"
#include "env/env.h"
#include "env/uring/loop.h"
#include "tls/session.h"

struct secure_socket {
	struct env *env;
	struct env_socket *socket; /* NULL between two envs */
	int fd;                    /* then */
	struct tls_session *tls;
	bool closed;
	int broken; /* 0, or the negative errno that ended the stream below; -ENODATA: its end */

	/* what is asked for; NULL when nothing is */
	struct env_io *handshake_io, *receive_io, *send_io, *settle_io;
	bool interrupted; /* the receive */
	void *buffer;
	size_t length;
	struct iovec *iov;
	int iov_count;

	/* what is under way below */
	bool receiving, sending, deferred, working;
	struct env_io below_receive_io, below_send_io, defer_io;
	struct iovec below_iov;
};

static void secure_go_on(struct secure_socket *secure);

struct secure_socket *secure_socket_new(struct env *env, struct env_socket *socket, struct tls_credentials *credentials)
{
	struct tls_session *tls = tls_session_new(credentials);
	struct secure_socket *secure;

	if (tls == NULL)
		return NULL;
	secure = memory_new(1, sizeof(*secure));
	secure->env = env;
	secure->socket = socket;
	secure->tls = tls;
	return secure;
}

static void secure_release(struct secure_socket *secure)
{
	if (!secure->closed || secure->receiving || secure->sending || secure->deferred || secure->working)
		return;
	tls_session_free(secure->tls);
	free(secure);
}

/* Ends what `io` points to; the owner may ask for the next, or close, from within. */
static void complete(struct env_io **io, int result)
{
	struct env_io *done = *io;

	*io = NULL;
	if (done != NULL)
		done->on_done(done, result);
}

/* --- below --- */

static void on_below_received(struct env_io *io, int result)
{
	struct secure_socket *secure = io->data;

	secure->receiving = false;
	if (result > 0)
		tls_session_input(secure->tls, (size_t)result);
	else if (secure->broken == 0 && !(secure->interrupted && result == -ECANCELED))
		secure->broken = result == 0 ? -ENODATA : result;
	secure_go_on(secure);
}

static void below_receive(struct secure_socket *secure)
{
	size_t room;
	uint8_t *place;

	if (secure->receiving)
		return;
	place = tls_session_want(secure->tls, &room);
	secure->receiving = true;
	secure->below_receive_io = (struct env_io){ .on_done = on_below_received, .data = secure };
	env_socket_receive(secure->socket, &secure->below_receive_io, place, room);
}

static void on_below_sent(struct env_io *io, int result)
{
	struct secure_socket *secure = io->data;

	secure->sending = false;
	tls_session_sent(secure->tls);
	if (result < 0 && secure->broken == 0)
		secure->broken = result;
	secure_go_on(secure);
}

/* Sends what TLS has to say. */
static void below_send(struct secure_socket *secure)
{
	uint8_t *bytes;
	size_t size;

	if (secure->sending || secure->broken != 0)
		return;
	bytes = tls_session_output(secure->tls, &size);
	if (size == 0)
		return;
	secure->sending = true;
	secure->below_iov = (struct iovec){ bytes, size };
	secure->below_send_io = (struct env_io){ .on_done = on_below_sent, .data = secure };
	env_socket_send(secure->socket, &secure->below_send_io, &secure->below_iov, 1);
}

/* --- what is asked for, one function each: goes on with it, and completes it when it is done --- */

static void go_on_handshake(struct secure_socket *secure)
{
	int result = secure->broken != 0 ? secure->broken : tls_session_handshake(secure->tls);

	below_send(secure);
	if (secure->sending)
		return; /* also when it has failed: the client is told why */
	if (result == -EAGAIN)
		below_receive(secure);
	else
		complete(&secure->handshake_io, result);
}

static void go_on_receive(struct secure_socket *secure)
{
	int result;

	if (secure->receiving)
		return; /* the input is the socket's */
	result = tls_session_read(secure->tls, secure->buffer, secure->length);
	if (result == -EAGAIN && secure->broken == 0 && secure->interrupted)
		complete(&secure->receive_io, -ECANCELED);
	else if (result == -EAGAIN && secure->broken == 0)
		below_receive(secure);
	else if (result == -EAGAIN)
		complete(&secure->receive_io, secure->broken == -ENODATA ? 0 : secure->broken);
	else
		complete(&secure->receive_io, result);
}

static void go_on_send(struct secure_socket *secure)
{
	int result = secure->broken;

	if (secure->sending)
		return;
	if (result == 0 && secure->iov_count > 0) {
		result = tls_session_write(secure->tls, secure->iov, secure->iov_count);
		if (result > 0)
			secure->iov_count = (int)vector_advance(&secure->iov, (size_t)secure->iov_count, (size_t)result);
	}
	below_send(secure);
	if (!secure->sending)
		complete(&secure->send_io, result < 0 ? result : 0);
}

/* What is asked for ends now: nothing below refers to it. */
static void secure_cancel(struct secure_socket *secure)
{
	complete(&secure->handshake_io, -ECANCELED);
	complete(&secure->receive_io, -ECANCELED);
	complete(&secure->send_io, -ECANCELED);
	complete(&secure->settle_io, -ECANCELED);
}

static bool has_settled(const struct secure_socket *secure)
{
	bool busy = secure->receiving || secure->sending || secure->deferred || secure->send_io != NULL;

	return !secure->closed && secure->settle_io != NULL && !busy;
}

static void secure_go_on(struct secure_socket *secure)
{
	secure->working = true; /* the owner, who is called, may close it */
	if (secure->handshake_io != NULL) {
		if (!secure->closed)
			go_on_handshake(secure);
	} else {
		if (!secure->closed && secure->receive_io != NULL)
			go_on_receive(secure);
		if (!secure->closed && secure->send_io != NULL)
			go_on_send(secure);
	}
	if (secure->closed)
		secure_cancel(secure);
	else
		below_send(secure);
	secure->working = false;
	if (has_settled(secure))
		complete(&secure->settle_io, secure->broken); /* last of all: from within it leaves for another thread */
	else
		secure_release(secure);
}

/* --- asking --- */

static void on_deferred(struct env_io *io, int result)
{
	struct secure_socket *secure = io->data;

	(void)result;
	secure->deferred = false;
	secure_go_on(secure);
}

static void secure_go_on_from_loop(struct secure_socket *secure)
{
	if (secure->deferred)
		return;
	secure->deferred = true;
	secure->defer_io = (struct env_io){ .on_done = on_deferred, .data = secure };
	env_defer(secure->env, &secure->defer_io);
}

void secure_socket_handshake(struct secure_socket *secure, struct env_io *io)
{
	assert(!secure->closed && secure->handshake_io == NULL && secure->receive_io == NULL && secure->send_io == NULL);
	secure->handshake_io = io;
	secure_go_on_from_loop(secure);
}

void secure_socket_receive(struct secure_socket *secure, struct env_io *io, void *buffer, size_t length)
{
	assert(!secure->closed && secure->handshake_io == NULL && secure->receive_io == NULL && secure->settle_io == NULL);
	secure->receive_io = io;
	secure->interrupted = false;
	secure->buffer = buffer;
	secure->length = length;
	secure_go_on_from_loop(secure);
}

void secure_socket_send(struct secure_socket *secure, struct env_io *io, struct iovec *iov, int count)
{
	assert(!secure->closed && secure->handshake_io == NULL && secure->send_io == NULL);
	secure->send_io = io;
	secure->iov = iov;
	secure->iov_count = count;
	secure_go_on_from_loop(secure);
}

void secure_socket_end(struct secure_socket *secure, struct env_io *io)
{
	tls_session_end(secure->tls);
	secure_socket_send(secure, io, NULL, 0);
}

void secure_socket_close(struct secure_socket *secure)
{
	assert(!secure->closed);
	secure->closed = true;
	env_socket_close(secure->socket);
	secure_go_on_from_loop(secure);
}

/* --- to another env --- */

void secure_socket_interrupt(struct secure_socket *secure)
{
	secure->interrupted = true; /* seen where it would receive again */
	if (secure->receiving)
		loop_socket_interrupt(secure->socket);
}

void secure_socket_settle(struct secure_socket *secure, struct env_io *io)
{
	assert(!secure->closed && secure->handshake_io == NULL && secure->receive_io == NULL && secure->settle_io == NULL);
	secure->settle_io = io;
	secure_go_on_from_loop(secure);
}

void secure_socket_leave(struct secure_socket *secure)
{
	assert(!secure->closed && !secure->receiving && !secure->sending && !secure->deferred);
	secure->fd = loop_socket_leave(secure->socket);
	secure->socket = NULL;
	secure->env = NULL;
}

void secure_socket_join(struct secure_socket *secure, struct env *env)
{
	assert(secure->socket == NULL);
	secure->env = env;
	secure->socket = loop_socket_join(env, secure->fd);
}

const char *secure_socket_kind(const struct secure_socket *secure)
{
	return tls_session_kind(secure->tls);
}

const char *secure_socket_reason(const struct secure_socket *secure)
{
	return tls_session_reason(secure->tls);
}
