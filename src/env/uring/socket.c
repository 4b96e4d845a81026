/* Streams of bytes. A socket lives until its last operation in flight has completed, however early it was closed. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/vector.h"
#include "env/uring/address.h"
#include "env/uring/internal.h"
#include "env/uring/loop.h"

#define BACKLOG 4096 /* after a restart all clients come at once; the kernel takes what it allows */
#define BIND_TRIES 40
#define BIND_RETRY_MS 25
#define CONNECT_SECONDS 5
#define UNIX_BUFFER (512 * 1024) /* bytes, which the kernel doubles; where it may not be so much, as much as may be */
#define ACCEPT_RETRY_NS UINT64_C(100000000)

struct env_socket {
	struct env *env;
	int fd;
	uint32_t in_flight;
	bool closed;
	struct op receive_op, send_op;
	struct env_io *receive_io, *send_io;
	struct msghdr message; /* of the send in flight */
};

struct env_listener {
	struct env *env;
	int fd;
	bool closed;
	bool armed;
	bool lent;       /* somebody else's, too: neither shut down nor removed */
	bool cancelling;
	sa_family_t family;
	struct env_timer retry;
	char address[256];
	char path[108]; /* of a unix socket, removed at the end */
	struct op op, cancel_op;
	void (*on_accept)(struct env_listener *listener, struct env_socket *socket, void *data);
	void *data;
};

/* In env_io.private while connecting. */
struct connecting {
	struct op op;
	struct op timeout_op;
	struct env_io *io;
	struct env_socket *socket;
	struct env_socket **out_socket;
	struct address *address;
	struct __kernel_timespec timeout;
	int result;
	int pending; /* completions to come: of the connect and of its time limit */
};
static_assert(sizeof(struct connecting) <= sizeof(((struct env_io *)0)->private), "a connect fits into env_io");

struct env_socket *loop_socket_join(struct env *env, int fd)
{
	struct env_socket *made = memory_new(1, sizeof *made);

	made->env = env;
	made->fd = fd;
	return made;
}

static struct env_socket *socket_new(struct env *env, int fd, sa_family_t family)
{
	int one = 1, idle = 10, interval = 5, count = 3, unheard_ms = 30000, unix_buffer = UNIX_BUFFER;

	if (family != AF_UNIX) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
		/* The keepalive is for silence. Bytes that nobody acknowledges are sent again for a quarter of an hour. */
		setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard_ms, sizeof unheard_ms);
	}
	/* TCP finds its own sizes; a unix socket has the same for all, and both ends wait for each other all the time. */
	if (family == AF_UNIX && setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &unix_buffer, sizeof unix_buffer) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &unix_buffer, sizeof unix_buffer);
	return loop_socket_join(env, fd);
}

static void socket_release(struct env_socket *socket)
{
	if (!socket->closed || socket->in_flight > 0)
		return;
	close(socket->fd);
	free(socket);
}

void env_socket_close(struct env_socket *socket)
{
	assert(!socket->closed);
	socket->closed = true;
	shutdown(socket->fd, SHUT_RDWR); /* what is in flight completes */
	socket_release(socket);
}

/* --- receiving --- */

static void on_received(struct env *env, struct op *op, int result)
{
	struct env_socket *socket = container_of(op, struct env_socket, receive_op);
	struct env_io *io = socket->receive_io;

	(void)env;
	socket->receive_io = NULL;
	socket->in_flight--;
	if (socket->closed) {
		socket_release(socket);
		result = -ECANCELED;
	}
	io_end(io, result);
}

static void receive_submit(struct env_socket *socket, void *buffer, size_t length)
{
	io_uring_prep_recv(loop_entry(socket->env, &socket->receive_op), socket->fd, buffer, length, 0);
}

void env_socket_receive(struct env_socket *socket, struct env_io *io, void *buffer, size_t length)
{
	assert(socket->receive_io == NULL && !socket->closed);
	socket->receive_io = io;
	socket->receive_op.on_complete = on_received;
	socket->in_flight++;
	receive_submit(socket, buffer, length);
}

/* The entry names the receive by its address alone. Should that be over when the kernel looks, nothing is found there: a receive
 * that has the same address later is handed over later, too. */
void loop_socket_interrupt(struct env_socket *socket)
{
	assert(!socket->closed);
	if (socket->receive_io != NULL)
		io_uring_prep_cancel(loop_entry(socket->env, NULL), &socket->receive_op, 0);
}

int loop_socket_leave(struct env_socket *socket)
{
	int fd = socket->fd;

	assert(!socket->closed && socket->in_flight == 0);
	free(socket);
	return fd;
}

/* --- sending --- */

static void send_submit(struct env_socket *socket)
{
	io_uring_prep_sendmsg(loop_entry(socket->env, &socket->send_op), socket->fd, &socket->message, MSG_NOSIGNAL);
}

static void on_sent(struct env *env, struct op *op, int result)
{
	struct env_socket *socket = container_of(op, struct env_socket, send_op);
	struct msghdr *message = &socket->message;
	struct env_io *io = socket->send_io;

	(void)env;
	if (!socket->closed && (result == -EINTR || result == -EAGAIN || result >= 0)) {
		message->msg_iovlen = vector_advance(&message->msg_iov, message->msg_iovlen, result > 0 ? (size_t)result : 0);
		if (message->msg_iovlen > 0) {
			send_submit(socket);
			return;
		}
		result = 0;
	}
	socket->send_io = NULL;
	socket->in_flight--;
	if (socket->closed) {
		socket_release(socket);
		result = -ECANCELED;
	}
	io_end(io, result);
}

void env_socket_send(struct env_socket *socket, struct env_io *io, struct iovec *iov, int count)
{
	assert(socket->send_io == NULL && !socket->closed && count > 0);
	socket->send_io = io;
	socket->send_op.on_complete = on_sent;
	socket->message = (struct msghdr){ .msg_iov = iov, .msg_iovlen = (size_t)count };
	socket->in_flight++;
	send_submit(socket);
}

/* --- connecting --- */

static void connecting_end(struct connecting *connecting)
{
	struct env_io *io = connecting->io;
	int result = connecting->result;

	if (--connecting->pending > 0)
		return;
	free(connecting->address);
	if (result == -ECANCELED)
		result = -ETIMEDOUT;
	if (result < 0)
		env_socket_close(connecting->socket);
	else
		*connecting->out_socket = connecting->socket;
	io_end(io, result);
}

static void on_connected(struct env *env, struct op *op, int result)
{
	struct connecting *connecting = container_of(op, struct connecting, op);

	(void)env;
	connecting->result = result;
	connecting_end(connecting);
}

static void on_connect_timeout(struct env *env, struct op *op, int result)
{
	(void)env;
	(void)result;
	connecting_end(container_of(op, struct connecting, timeout_op));
}

static void on_connect_refused(struct env *env, struct op *op, int result)
{
	struct connecting *connecting = container_of(op, struct connecting, op);

	(void)env;
	(void)result;
	free(connecting->address);
	io_end(connecting->io, connecting->result);
}

void env_connect(struct env *env, const char *address, struct env_io *io, struct env_socket **out_socket)
{
	struct connecting *connecting = (struct connecting *)(void *)io->private.words;
	struct address *target = memory_new(1, sizeof *target);
	struct io_uring_sqe *entry;
	int fd = -1, result;

	*connecting = (struct connecting){ .io = io, .out_socket = out_socket, .address = target, .pending = 2 };
	result = address_parse(address, target, NULL);
	if (result == 0) {
		fd = socket(target->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		result = fd < 0 ? -errno : 0;
	}
	if (result < 0) { /* told from the loop, as all results */
		connecting->result = result;
		connecting->op.on_complete = on_connect_refused;
		io_uring_prep_nop(loop_entry(env, &connecting->op));
		return;
	}
	connecting->socket = socket_new(env, fd, target->storage.ss_family);
	connecting->op.on_complete = on_connected;
	connecting->timeout_op.on_complete = on_connect_timeout;
	connecting->timeout.tv_sec = CONNECT_SECONDS;
	if (io_uring_sq_space_left(&env->ring) < 2)
		io_uring_submit(&env->ring); /* linked entries go in one submission */
	entry = loop_entry(env, &connecting->op);
	io_uring_prep_connect(entry, fd, (struct sockaddr *)(void *)&target->storage, target->size);
	entry->flags |= IOSQE_IO_LINK;
	io_uring_prep_link_timeout(loop_entry(env, &connecting->timeout_op), &connecting->timeout, 0);
}

/* --- listening --- */

static void listener_arm(struct env_listener *listener);

static void listener_release(struct env_listener *listener)
{
	if (!listener->closed || listener->armed || listener->cancelling)
		return;
	close(listener->fd);
	free(listener);
}

static void on_accepted(struct env *env, struct op *op, int result)
{
	struct env_listener *listener = container_of(op, struct env_listener, op);

	listener->armed = false;
	if (listener->closed) {
		if (result >= 0)
			close(result);
		listener_release(listener);
		return;
	}
	if (result >= 0) {
		listener_arm(listener);
		listener->on_accept(listener, socket_new(env, result, listener->family), listener->data);
		return;
	}
	log_event(LOG_ERROR, "socket.accept_failed", "address=%s reason=\"%s\"", listener->address, error_meaning(result));
	/* Out of descriptors, as a rule: asking again at once would spin. */
	env_timer_start(env, &listener->retry, env_now_ns(env) + ACCEPT_RETRY_NS);
}

static void on_accept_retry(struct env_timer *timer)
{
	listener_arm(timer->data);
}

static void listener_arm(struct env_listener *listener)
{
	listener->armed = true;
	listener->op.on_complete = on_accepted;
	io_uring_prep_accept(loop_entry(listener->env, &listener->op), listener->fd, NULL, NULL, SOCK_CLOEXEC);
}

/* A unix socket that nobody answers on is what a killed process left. */
static void remove_stale(const struct address *address)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&address->storage;
	struct stat status;
	int fd;

	if (address->storage.ss_family != AF_UNIX || lstat(un->sun_path, &status) < 0 || !S_ISSOCK(status.st_mode))
		return; /* whatever else is there is not ours to remove */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)(const void *)un, address->size) < 0 && errno == ECONNREFUSED)
		unlink(un->sun_path);
	if (fd >= 0)
		close(fd);
}

/* The ring of a process that was just killed holds its listening socket for some milliseconds after the process is gone (and
 * a unix socket answers for as long): the next process, started at once, waits for that. */
static int bind_patiently(int fd, const struct address *address)
{
	int result = 0;

	for (int tries = 0; tries < BIND_TRIES; tries++) {
		remove_stale(address);
		if (bind(fd, (const struct sockaddr *)(const void *)&address->storage, address->size) == 0 &&
		    listen(fd, BACKLOG) == 0)
			return 0;
		result = -errno;
		if (result != -EADDRINUSE)
			break;
		poll(NULL, 0, BIND_RETRY_MS);
	}
	return result;
}

static int listener_bind(const struct address *address, const char *text, struct error *error)
{
	int one = 1, result;
	int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return error_set_errno(error, -errno, "no socket for %s", text);
	if (address->storage.ss_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	result = bind_patiently(fd, address);
	if (result == 0)
		return fd;
	close(fd);
	if (result == -EADDRINUSE)
		return error_set(error, result, "%s is in use by another program: stop it, or choose another address", text);
	return error_set_errno(error, result, "cannot listen on %s", text);
}

/* The descriptor of a listening socket that was given to this process, made such as ours are. */
static int listener_borrow(const char *text, struct error *error)
{
	int listens = 0, type = 0, fd = (int)strtoul(text + strlen("fd:"), NULL, 10), flags;
	socklen_t size = sizeof listens;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || listens == 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM)
		return error_set(error, -EINVAL, "descriptor %d is not a stream socket that listens", fd);
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return error_set_errno(error, -errno, "cannot use descriptor %d", fd);
	return fd;
}

/* 0 and an open socket. *out_target: its address as bound. */
static int listener_open(struct env_listener *listener, const char *text, struct address *out_target, struct error *error)
{
	int result = 0;

	listener->lent = strncmp(text, "fd:", strlen("fd:")) == 0;
	if (!listener->lent)
		result = address_parse(text, out_target, error);
	if (result == 0)
		result = listener->lent ? listener_borrow(text, error) : listener_bind(out_target, text, error);
	if (result < 0)
		return result;
	listener->fd = result;
	out_target->size = sizeof out_target->storage;
	getsockname(listener->fd, (struct sockaddr *)(void *)&out_target->storage, &out_target->size);
	return 0;
}

int env_listen(struct env *env, const char *address, void (*on_accept)(struct env_listener *listener,
	       struct env_socket *socket, void *data), void *data, struct env_listener **out_listener, struct error *error)
{
	struct env_listener *listener = memory_new(1, sizeof *listener);
	struct address target = { 0 };
	int result = listener_open(listener, address, &target, error);

	if (result < 0) {
		free(listener);
		return result;
	}
	listener->env = env;
	listener->family = target.storage.ss_family;
	listener->on_accept = on_accept;
	listener->data = data;
	listener->retry.on_fire = on_accept_retry;
	listener->retry.data = listener;
	if (listener->family == AF_UNIX && !listener->lent)
		snprintf(listener->path, sizeof listener->path, "%s", address + strlen("unix:"));
	address_print(&target, listener->address);
	listener_arm(listener);
	*out_listener = listener;
	return 0;
}

const char *env_listener_address(const struct env_listener *listener)
{
	return listener->address;
}

static void on_cancelled(struct env *env, struct op *op, int result)
{
	struct env_listener *listener = container_of(op, struct env_listener, cancel_op);

	(void)env;
	(void)result;
	listener->cancelling = false;
	listener_release(listener);
}

void env_listener_close(struct env_listener *listener)
{
	listener->closed = true;
	env_timer_stop(listener->env, &listener->retry);
	if (listener->path[0] != 0)
		unlink(listener->path);
	if (!listener->lent) {
		shutdown(listener->fd, SHUT_RDWR);
	} else if (listener->armed) {
		listener->cancelling = true;
		listener->cancel_op.on_complete = on_cancelled;
		io_uring_prep_cancel(loop_entry(listener->env, &listener->cancel_op), &listener->op, 0);
	}
	listener_release(listener);
}
