/* Streams between processes: bytes arrive in order after a delay; a broken link ends them, or leaves them hanging. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "sim/internal.h"

struct env_listener {
	struct list entry;
	struct env *env;
	char address[128];
	void (*on_accept)(struct env_listener *listener, struct env_socket *socket, void *data);
	void *data;
};

struct segment {
	struct list entry;
	size_t size, taken;
	uint8_t bytes[];
};

struct env_socket {
	struct list entry; /* of sim->sockets */
	struct env *env;
	struct env_socket *peer; /* NULL once that end is gone */
	struct list arrived;     /* of struct segment */
	uint64_t last_arrival_ns;
	bool broken;             /* the stream has ended: told when what arrived before is read */
	bool deaf;               /* half-open: nothing arrives any more, and nobody says so */
	bool closed;
	struct env_io *receive_io, *send_io;
	uint8_t *receive_buffer;
	size_t receive_room;
};

static uint64_t hop(struct sim *sim)
{
	return 100 * US + sim_below(sim, 2 * MS);
}

static struct env_socket *socket_new(struct env *env)
{
	struct env_socket *made = memory_new(1, sizeof *made);

	made->env = env;
	list_init(&made->arrived);
	list_append(&env->sim->sockets, &made->entry);
	return made;
}

/* --- events: each names a socket, which lives as long as the world --- */

static void on_receive(struct sim *sim, struct sim_event *event)
{
	struct env_socket *socket = event->object;
	struct env_io *io = socket->receive_io;
	struct segment *segment;
	size_t size;

	(void)sim;
	if (io == NULL)
		return;
	if (socket->closed) {
		socket->receive_io = NULL;
		io->on_done(io, -ECANCELED);
		return;
	}
	if (list_is_empty(&socket->arrived)) {
		if (!socket->broken)
			return;
		socket->receive_io = NULL;
		io->on_done(io, 0);
		return;
	}
	segment = container_of(socket->arrived.next, struct segment, entry);
	size = segment->size - segment->taken;
	if (size > socket->receive_room)
		size = socket->receive_room;
	memcpy(socket->receive_buffer, segment->bytes + segment->taken, size);
	segment->taken += size;
	if (segment->taken == segment->size) {
		list_remove(&segment->entry);
		free(segment);
	}
	socket->receive_io = NULL;
	io->on_done(io, (int)size);
}

static void receive_soon(struct env_socket *socket)
{
	if (socket->receive_io != NULL)
		sim_schedule(socket->env->sim, socket->env, 0, on_receive)->object = socket;
}

static void on_arrival(struct sim *sim, struct sim_event *event)
{
	struct env_socket *socket = event->object;
	struct segment *segment;

	(void)sim;
	if (socket->deaf || socket->broken || socket->closed)
		return;
	segment = memory_new(1, sizeof *segment + event->length);
	segment->size = event->length;
	memcpy(segment->bytes, event->bytes, event->length);
	list_append(&socket->arrived, &segment->entry);
	receive_soon(socket);
}

static void on_sent(struct sim *sim, struct sim_event *event)
{
	struct env_socket *socket = event->object;
	struct env_io *io = socket->send_io;

	(void)sim;
	socket->send_io = NULL;
	if (io != NULL)
		io->on_done(io, socket->closed ? -ECANCELED : socket->broken ? -EPIPE : 0);
}

static void on_break(struct sim *sim, struct sim_event *event)
{
	struct env_socket *socket = event->object;

	(void)sim;
	socket->broken = true;
	receive_soon(socket);
}

static void break_end(struct env_socket *socket, uint64_t delay_ns)
{
	sim_schedule(socket->env->sim, socket->env, delay_ns, on_break)->object = socket;
}

/* --- env.h --- */

void env_socket_receive(struct env_socket *socket, struct env_io *io, void *buffer, size_t length)
{
	assert(socket->receive_io == NULL && !socket->closed);
	socket->receive_io = io;
	socket->receive_buffer = buffer;
	socket->receive_room = length;
	receive_soon(socket);
}

void env_socket_send(struct env_socket *socket, struct env_io *io, struct iovec *iov, int count)
{
	struct sim *sim = socket->env->sim;
	uint64_t arrival = sim->now_ns + hop(sim);
	size_t size = 0, at = 0;
	struct sim_event *event;

	assert(socket->send_io == NULL && !socket->closed);
	socket->send_io = io;
	for (int i = 0; i < count; i++)
		size += iov[i].iov_len;
	if (arrival < socket->last_arrival_ns)
		arrival = socket->last_arrival_ns;
	socket->last_arrival_ns = arrival;
	if (socket->peer != NULL && !socket->deaf && !socket->peer->env->gone) {
		event = sim_schedule(sim, socket->peer->env, arrival - sim->now_ns, on_arrival);
		event->object = socket->peer;
		event->length = size;
		event->bytes = memory_new(1, size);
		for (int i = 0; i < count; i++) {
			memcpy(event->bytes + at, iov[i].iov_base, iov[i].iov_len);
			at += iov[i].iov_len;
		}
	}
	sim_schedule(sim, socket->env, 10 * US + sim_below(sim, 200 * US), on_sent)->object = socket;
	sim_boundary(socket->env);
}

void env_socket_close(struct env_socket *socket)
{
	assert(!socket->closed);
	socket->closed = true;
	if (socket->peer != NULL && !socket->deaf && !socket->peer->env->gone)
		break_end(socket->peer, hop(socket->env->sim));
	if (socket->peer != NULL)
		socket->peer->peer = NULL;
	socket->peer = NULL;
	receive_soon(socket);
}

/* --- connecting --- */

struct connect {
	char address[128];
	struct env_socket **out_socket;
};

static struct env_listener *listener_find(struct sim *sim, const char *address)
{
	list_for_each(entry, &sim->listeners) {
		struct env_listener *listener = container_of(entry, struct env_listener, entry);

		if (!listener->env->gone && strcmp(listener->address, address) == 0)
			return listener;
	}
	return NULL;
}

static void on_accepted(struct sim *sim, struct sim_event *event)
{
	struct env_socket *socket = event->object;
	struct env_listener *listener = listener_find(sim, (const char *)event->bytes);

	if (listener != NULL)
		listener->on_accept(listener, socket, listener->data);
}

static void on_connect(struct sim *sim, struct sim_event *event)
{
	struct connect connect;
	struct env_listener *listener;
	struct env_socket *here, *there;
	struct sim_event *accepted;

	memcpy(&connect, event->bytes, sizeof connect);
	listener = listener_find(sim, connect.address);
	if (sim->link_down || listener == NULL) {
		event->io->on_done(event->io, -ECONNREFUSED);
		return;
	}
	here = socket_new(event->env);
	there = socket_new(listener->env);
	here->peer = there;
	there->peer = here;
	*connect.out_socket = here;
	accepted = sim_schedule(sim, listener->env, 0, on_accepted);
	accepted->object = there;
	accepted->bytes = memory_new(1, sizeof connect.address);
	memcpy(accepted->bytes, connect.address, sizeof connect.address);
	event->io->on_done(event->io, 0);
}

void env_connect(struct env *env, const char *address, struct env_io *io, struct env_socket **out_socket)
{
	struct sim_event *event = sim_schedule(env->sim, env, hop(env->sim), on_connect);
	struct connect connect = { .out_socket = out_socket };

	snprintf(connect.address, sizeof connect.address, "%s", address);
	event->io = io;
	event->bytes = memory_new(1, sizeof connect);
	memcpy(event->bytes, &connect, sizeof connect);
}

int env_listen(struct env *env, const char *address, void (*on_accept)(struct env_listener *listener,
	       struct env_socket *socket, void *data), void *data, struct env_listener **out_listener, struct error *error)
{
	struct env_listener *listener;

	if (listener_find(env->sim, address) != NULL)
		return error_set(error, -EADDRINUSE, "%s is in use", address);
	listener = memory_new(1, sizeof *listener);
	listener->env = env;
	listener->on_accept = on_accept;
	listener->data = data;
	snprintf(listener->address, sizeof listener->address, "%s", address);
	list_append(&env->sim->listeners, &listener->entry);
	*out_listener = listener;
	return 0;
}

const char *env_listener_address(const struct env_listener *listener)
{
	return listener->address;
}

void env_listener_close(struct env_listener *listener)
{
	list_remove(&listener->entry);
	free(listener);
}

/* --- faults --- */

void sim_sockets_of_dead(struct env *env)
{
	list_for_each(entry, &env->sim->sockets) {
		struct env_socket *socket = container_of(entry, struct env_socket, entry);

		if (socket->env != env || socket->peer == NULL)
			continue;
		if (sim_chance(env->sim, 700) && !socket->deaf && !socket->peer->env->gone)
			break_end(socket->peer, hop(env->sim));
		socket->peer->deaf = true; /* a dead machine says nothing */
		socket->peer->peer = NULL;
		socket->peer = NULL;
	}
}

static bool is_joined(const struct env_socket *socket)
{
	return !socket->env->gone && !socket->closed && socket->peer != NULL;
}

static void cut_end(struct env_socket *socket, bool told)
{
	socket->deaf = true;
	if (told)
		break_end(socket, hop(socket->env->sim));
}

void sim_link_break(struct sim *sim)
{
	bool told = sim_chance(sim, 700);

	sim->link_down = true;
	list_for_each(entry, &sim->sockets) {
		struct env_socket *socket = container_of(entry, struct env_socket, entry);

		if (is_joined(socket))
			cut_end(socket, told);
	}
}

void sim_connection_break(struct sim *sim)
{
	struct env_socket *chosen = NULL;
	uint64_t count = 0;

	list_for_each(entry, &sim->sockets) {
		struct env_socket *socket = container_of(entry, struct env_socket, entry);

		if (is_joined(socket) && sim_below(sim, ++count) == 0)
			chosen = socket;
	}
	if (chosen == NULL)
		return;
	cut_end(chosen->peer, sim_chance(sim, 700));
	cut_end(chosen, sim_chance(sim, 700));
}

void sim_link_mend(struct sim *sim)
{
	sim->link_down = false;
}
