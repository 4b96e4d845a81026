/* A client is a socket, a session, and the requests of it that a disk carries out. It goes when the session has ended (or the
 * socket broke) and nothing of it is in flight any more: then, in one place, everything is freed. */
#include "daemon/nbd_server.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/list.h"
#include "base/log.h"
#include "base/memory.h"
#include "disk/disk.h"
#include "env/env.h"
#include "nbd/session.h"

#define LISTENERS_MAX 8u
#define CLIENTS_MAX 4096u
#define SECOND_NS UINT64_C(1000000000)
#define HANDSHAKE_NS (30 * SECOND_NS) /* a client that has not chosen an export by then is silent, or not a client */
#define OUTPUT_IOV 128
#define IDLE_REQUESTS_MAX 64u

struct nbd_server {
	struct env *env;
	struct env_listener *listeners[LISTENERS_MAX];
	unsigned listener_count;
	struct list exports, clients;
	unsigned client_count;
	bool stopping;
	void (*on_stopped)(void *data);
	void *stopped_data;
	struct env_io stopped_io;
};

struct export {
	struct list entry;
	struct nbd_server *server;
	struct disk *disk;
	char description[128];
	unsigned clients;
	bool closing;
	void (*on_closed)(void *data);
	void *closed_data;
	struct env_io closed_io;
};

/* A disk request made for an NBD request. */
struct work {
	struct disk_request disk_request;
	struct nbd_request *request;
	struct client *client;
	struct list link;
};

struct client {
	struct list entry;
	struct nbd_server *server;
	struct env_socket *socket;
	struct nbd_session *session;
	struct export *export; /* once chosen */
	bool receiving, sending, gone, woken;
	unsigned calls; /* frames of this file that still use the client */
	const char *reason;
	struct env_io receive_io, send_io;
	struct iovec iov[OUTPUT_IOV];
	int iov_count;
	size_t sending_bytes;
	struct env_timer handshake_timer;
	struct list idle; /* of struct work, for reuse */
	unsigned idle_count;
};

static void client_pump(struct client *client);

/* --- exports --- */

static struct export *export_find(struct nbd_server *server, const char *name)
{
	list_for_each(entry, &server->exports) {
		struct export *export = container_of(entry, struct export, entry);

		if (strcmp(disk_id(export->disk), name) == 0)
			return export;
	}
	return NULL;
}

static void export_describe(struct export *export, struct nbd_export *out_export)
{
	*out_export = (struct nbd_export){ .size = disk_size(export->disk), .disk = export };
	snprintf(out_export->name, sizeof out_export->name, "%s", disk_id(export->disk));
	snprintf(out_export->description, sizeof out_export->description, "%s", export->description);
}

static void on_export_closed(struct env_io *io, int result)
{
	struct export *export = io->data;
	void (*on_closed)(void *) = export->on_closed;
	void *data = export->closed_data;

	(void)result;
	list_remove(&export->entry);
	free(export);
	on_closed(data);
}

static void export_close_when_empty(struct export *export)
{
	if (!export->closing || export->clients > 0 || export->on_closed == NULL)
		return;
	export->closed_io = (struct env_io){ .on_done = on_export_closed, .data = export };
	env_defer(export->server->env, &export->closed_io);
}

int nbd_server_export(struct nbd_server *server, struct disk *disk, const char *description, struct error *error)
{
	struct export *export = export_find(server, disk_id(disk));

	if (export != NULL)
		return export->closing ? error_set(error, -EBUSY, "disk %s is being detached", disk_id(disk)) : 0;
	export = memory_new(1, sizeof *export);
	export->server = server;
	export->disk = disk;
	snprintf(export->description, sizeof export->description, "%s", description);
	list_append(&server->exports, &export->entry);
	return 0;
}

/* --- clients --- */

static void on_stopped(struct env_io *io, int result)
{
	struct nbd_server *server = io->data;

	(void)result;
	server->on_stopped(server->stopped_data);
}

static void server_stop_when_empty(struct nbd_server *server)
{
	if (!server->stopping || server->client_count > 0)
		return;
	server->stopped_io = (struct env_io){ .on_done = on_stopped, .data = server };
	env_defer(server->env, &server->stopped_io);
}

/* The one place where a client ends. */
static void client_free_when_done(struct client *client)
{
	struct nbd_server *server = client->server;
	struct list *link;

	if (!client->gone || client->calls > 0 || client->receiving || client->sending ||
	    nbd_session_in_flight(client->session) > 0)
		return;
	env_timer_stop(server->env, &client->handshake_timer);
	log_event(LOG_INFO, "nbd.disconnected", "export=%s reason=\"%s\"",
		  client->export == NULL ? "-" : disk_id(client->export->disk), client->reason);
	if (client->export != NULL) {
		client->export->clients--;
		export_close_when_empty(client->export);
	}
	while ((link = list_pop(&client->idle)) != NULL)
		free(container_of(link, struct work, link));
	nbd_session_free(client->session);
	list_remove(&client->entry);
	free(client);
	server->client_count--;
	server_stop_when_empty(server);
}

static void client_drop(struct client *client, const char *reason)
{
	if (!client->gone) {
		client->gone = true;
		client->reason = reason;
		env_socket_close(client->socket);
	}
	client_free_when_done(client);
}

static void on_received(struct env_io *io, int result)
{
	struct client *client = io->data;

	client->receiving = false;
	if (client->gone) {
		client_free_when_done(client);
		return;
	}
	if (result <= 0) {
		client_drop(client, result == 0 ? "the client closed the connection" : "the connection broke");
		return;
	}
	client->calls++;
	nbd_session_input(client->session, (size_t)result);
	client->calls--;
	if (nbd_session_transmitting(client->session))
		env_timer_stop(client->server->env, &client->handshake_timer);
	client_pump(client);
}

static void on_sent(struct env_io *io, int result)
{
	struct client *client = io->data;

	client->sending = false;
	if (client->gone) {
		client_free_when_done(client);
		return;
	}
	if (result < 0) {
		client_drop(client, "the connection broke");
		return;
	}
	nbd_session_sent(client->session, client->sending_bytes);
	client_pump(client);
}

static void client_send(struct client *client)
{
	client->iov_count = nbd_session_output(client->session, client->iov, OUTPUT_IOV);
	if (client->iov_count == 0)
		return;
	client->sending_bytes = 0;
	for (int i = 0; i < client->iov_count; i++)
		client->sending_bytes += client->iov[i].iov_len;
	client->sending = true;
	client->send_io = (struct env_io){ .on_done = on_sent, .data = client };
	env_socket_send(client->socket, &client->send_io, client->iov, client->iov_count);
}

/* Starts what can be started: a send, a receive; or ends a client that has nothing left to say. */
static void client_pump(struct client *client)
{
	uint8_t *room;
	size_t size;

	if (client->gone || client->calls > 0)
		return;
	if (!client->sending)
		client_send(client);
	if (!client->receiving) {
		room = nbd_session_want(client->session, &size);
		if (room != NULL) {
			client->receiving = true;
			client->receive_io = (struct env_io){ .on_done = on_received, .data = client };
			env_socket_receive(client->socket, &client->receive_io, room, size);
		}
	}
	if (nbd_session_ended(client->session) && !client->sending && nbd_session_in_flight(client->session) == 0)
		client_drop(client, nbd_session_reason(client->session));
}

static void on_handshake_late(struct env_timer *timer)
{
	client_drop(timer->data, "no export chosen in time");
}

/* --- what a session asks for --- */

static bool host_find(void *host, const char *name, struct nbd_export *out_export)
{
	struct export *export = export_find(((struct client *)host)->server, name);

	if (export == NULL || export->closing)
		return false;
	export_describe(export, out_export);
	return true;
}

static bool host_list(void *host, uint32_t index, struct nbd_export *out_export)
{
	list_for_each(entry, &((struct client *)host)->server->exports) {
		struct export *export = container_of(entry, struct export, entry);

		if (export->closing || index-- > 0)
			continue;
		export_describe(export, out_export);
		return true;
	}
	return false;
}

static bool host_open(void *host, const struct nbd_export *chosen)
{
	struct client *client = host;
	struct export *export = chosen->disk;

	if (export->closing || client->server->stopping)
		return false;
	client->export = export;
	export->clients++;
	log_event(LOG_INFO, "nbd.connected", "export=%s clients=%u", disk_id(export->disk), export->clients);
	return true;
}

static void on_work_done(struct disk_request *disk_request, int result)
{
	struct work *work = disk_request->data;
	struct client *client = work->client;
	struct nbd_request *request = work->request;

	if (client->idle_count < IDLE_REQUESTS_MAX) {
		client->idle_count++;
		list_append(&client->idle, &work->link);
	} else {
		free(work);
	}
	client->calls++;
	nbd_session_done(client->session, request, result);
	client->calls--;
	if (client->gone)
		client_free_when_done(client);
	else
		client_pump(client);
}

static enum disk_operation operation_of(const struct nbd_request *request)
{
	switch (request->command) {
	case NBD_READ: return DISK_READ;
	case NBD_WRITE: return DISK_WRITE;
	case NBD_FLUSH: return DISK_FLUSH;
	case NBD_TRIM: return DISK_TRIM;
	case NBD_WRITE_ZEROES: return request->no_hole ? DISK_ZERO : DISK_TRIM;
	}
	return DISK_FLUSH;
}

static void host_submit(void *host, struct nbd_request *request)
{
	struct client *client = host;
	struct list *link = list_pop(&client->idle);
	struct work *work = link == NULL ? memory_new(1, sizeof *work) : container_of(link, struct work, link);

	if (link != NULL)
		client->idle_count--;
	list_init(&work->link);
	work->client = client;
	work->request = request;
	work->disk_request = (struct disk_request){
		.operation = operation_of(request), .force_unit_access = request->force_unit_access,
		.offset = request->offset, .length = request->length, .buffer = request->buffer,
		.on_done = on_work_done, .data = work,
	};
	disk_submit(client->export->disk, &work->disk_request);
}

static void host_wake(void *host)
{
	(void)host; /* every way into the session ends in client_pump */
}

static const struct nbd_host host = {
	.find = host_find, .list = host_list, .open = host_open, .submit = host_submit, .wake = host_wake,
};

/* --- the server --- */

static void on_accept(struct env_listener *listener, struct env_socket *socket, void *data)
{
	struct nbd_server *server = data;
	struct client *client;

	(void)listener;
	if (server->stopping || server->client_count >= CLIENTS_MAX) {
		log_event(LOG_WARNING, "nbd.refused", "reason=\"too many clients\" clients=%u", server->client_count);
		env_socket_close(socket);
		return;
	}
	client = memory_new(1, sizeof *client);
	client->server = server;
	client->socket = socket;
	client->reason = "";
	list_init(&client->idle);
	list_append(&server->clients, &client->entry);
	server->client_count++;
	client->session = nbd_session_new(&host, client);
	client->handshake_timer.on_fire = on_handshake_late;
	client->handshake_timer.data = client;
	env_timer_start(server->env, &client->handshake_timer, env_now_ns(server->env) + HANDSHAKE_NS);
	client_pump(client);
}

int nbd_server_new(struct env *env, struct nbd_server **out_server, struct error *error)
{
	struct nbd_server *server = memory_new(1, sizeof *server);

	(void)error;
	server->env = env;
	list_init(&server->exports);
	list_init(&server->clients);
	*out_server = server;
	return 0;
}

int nbd_server_listen(struct nbd_server *server, const char *address, struct error *error)
{
	int result;

	if (server->listener_count == LISTENERS_MAX)
		return error_set(error, -ENOSPC, "at most %u NBD addresses", LISTENERS_MAX);
	result = env_listen(server->env, address, on_accept, server, &server->listeners[server->listener_count], error);
	if (result == 0)
		server->listener_count++;
	return result;
}

const char *nbd_server_address(const struct nbd_server *server, unsigned index)
{
	return index < server->listener_count ? env_listener_address(server->listeners[index]) : "";
}

void nbd_server_unexport(struct nbd_server *server, const char *disk_id_, void (*on_done)(void *data), void *data)
{
	struct export *export = export_find(server, disk_id_);

	if (export == NULL) { /* not open: a husk that is closed at once, so that the answer comes from the loop too */
		export = memory_new(1, sizeof *export);
		export->server = server;
		list_init(&export->entry);
	}
	assert(!export->closing);
	export->closing = true;
	export->on_closed = on_done;
	export->closed_data = data;
	list_for_each(entry, &server->clients) {
		struct client *client = container_of(entry, struct client, entry);

		if (client->export == export && export->disk != NULL)
			client_drop(client, "the disk was detached");
	}
	if (export->clients == 0 && export->closed_io.on_done == NULL)
		export_close_when_empty(export);
}

void nbd_server_stop(struct nbd_server *server, void (*on_done)(void *data), void *data)
{
	server->stopping = true;
	server->on_stopped = on_done;
	server->stopped_data = data;
	for (unsigned i = 0; i < server->listener_count; i++)
		env_listener_close(server->listeners[i]);
	server->listener_count = 0;
	if (server->client_count == 0) {
		server_stop_when_empty(server);
		return;
	}
	list_for_each(entry, &server->clients)
		client_drop(container_of(entry, struct client, entry), "this site is stopping");
}

void nbd_server_free(struct nbd_server *server)
{
	struct list *entry;

	assert(server->client_count == 0);
	while ((entry = list_pop(&server->exports)) != NULL)
		free(container_of(entry, struct export, entry));
	free(server);
}
