/* Exports, listeners, and the end of both. A client's own life is in nbd_client.c. */
#include "daemon/nbd_server.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/nbd_client.h"
#include "disk/disk.h"
#include "env/uring/loop.h"
#include "tls/credentials.h"

#define SECOND_NS UINT64_C(1000000000)

/* --- exports --- */

struct nbd_server_export *nbd_server_find(struct nbd_server *server, const char *name)
{
	const struct list *found = index_find(&server->exports_by_name, name);

	return found == NULL ? NULL : container_of(found->next, struct nbd_server_export, by_name.entry);
}

void nbd_server_put_export(struct nbd_server *server, struct nbd_server_export *export)
{
	export->server = server;
	list_append(&server->exports, &export->entry);
	index_put(&server->exports_by_name, &export->by_name, export->name);
}

void nbd_server_take_export(struct nbd_server_export *export)
{
	list_remove(&export->entry);
	index_put(&export->server->exports_by_name, &export->by_name, "");
}

static void on_export_closed(struct env_io *io, int result)
{
	struct nbd_server_export *export = io->data;
	void (*on_closed)(void *) = export->on_closed;
	void *data = export->closed_data;

	(void)result;
	nbd_server_take_export(export);
	free(export);
	on_closed(data);
}

static void export_close_when_empty(struct nbd_server_export *export)
{
	if (!export->closing || export->clients > 0 || export->on_closed == NULL)
		return;
	export->closed_io = (struct env_io){ .on_done = on_export_closed, .data = export };
	env_defer(export->server->env, &export->closed_io);
}

void nbd_server_export_left(struct nbd_server_export *export)
{
	export->clients--;
	export_close_when_empty(export);
	if (export->departure != NULL)
		nbd_departure_look(export->departure);
}

int nbd_server_export(struct nbd_server *server, struct disk *disk, const char *description, bool read_only,
		      struct error *error)
{
	struct nbd_server_export *export = nbd_server_find(server, disk_id(disk));

	if (export != NULL)
		return export->closing ? error_set(error, -EBUSY, "disk %s is being detached", disk_id(disk)) : 0;
	if (exports_add(server->exports_of_all, disk_id(disk), description, server->shard) < 0)
		return error_set(error, -EEXIST, "disk %s is attached in another shard", disk_id(disk));
	export = memory_new(1, sizeof *export);
	export->disk = disk;
	export->read_only = read_only;
	snprintf(export->name, sizeof export->name, "%s", disk_id(disk));
	snprintf(export->description, sizeof export->description, "%s", description);
	nbd_server_put_export(server, export);
	return 0;
}

/* Stands for an export that is not open, and is in no list: so that the answer comes from the loop as any other. */
static struct nbd_server_export *export_new_closed(struct nbd_server *server)
{
	struct nbd_server_export *export = memory_new(1, sizeof *export);

	export->server = server;
	list_init(&export->entry);
	return export;
}

void nbd_server_unexport(struct nbd_server *server, const char *name, void (*on_done)(void *data), void *data)
{
	struct nbd_server_export *export = nbd_server_find(server, name);

	if (export == NULL)
		export = export_new_closed(server);
	else
		exports_remove(server->exports_of_all, name);
	assert(!export->closing);
	if (export->departure != NULL)
		nbd_departure_cancel(export->departure);
	export->closing = true;
	export->on_closed = on_done;
	export->closed_data = data;
	export->clients++; /* so that it does not close twice */
	nbd_client_drop_all(server, export, "the disk was detached");
	nbd_server_export_left(export);
}

/* --- the server --- */

static void on_stopped(struct env_io *io, int result)
{
	struct nbd_server *server = io->data;

	(void)result;
	server->on_stopped(server->stopped_data);
}

void nbd_server_stop_when_empty(struct nbd_server *server)
{
	bool empty = server->client_count == 0 && list_is_empty(&server->departures);

	if (!server->stopping || server->stopped || !empty || exports_awaits(server->exports_of_all, server->shard))
		return;
	server->stopped = true;
	server->stopped_io = (struct env_io){ .on_done = on_stopped, .data = server };
	env_defer(server->env, &server->stopped_io);
}

void nbd_server_left(struct nbd_server *server)
{
	server->client_count--;
	nbd_server_stop_when_empty(server);
}

static void on_accept(struct env_listener *listener, struct env_socket *socket, void *data)
{
	struct nbd_server *server = data;
	uint64_t number = server->stopping ? 0 : exports_admit(server->exports_of_all);

	(void)listener;
	if (number == 0)
		env_socket_close(socket);
	else
		nbd_client_new(server, socket, number);
}

static void on_look(struct env_timer *timer)
{
	struct nbd_server *server = timer->data;

	env_timer_start(server->env, timer, env_now_ns(server->env) + server->limits.wait_s * SECOND_NS / NBD_LOOKS);
	list_for_each(entry, &server->clients)
		nbd_client_look(nbd_client_of(entry));
}

static_assert(ARENA_PIECE % LOOP_PIECE == 0, "what the arena releases is whole pieces of the loop");

/* For all large buffers that the limit allows. */
static void server_reserve(struct nbd_server *server)
{
	struct arena_space *space = &server->space;

	space->size = (size_t)(server->limits.memory / ARENA_BLOCK_MAX) * ARENA_BLOCK_MAX;
	space->memory = loop_space_new(space->size);
	space->release = loop_space_release;
	nbd_budget_use(&server->budget, space);
}

struct nbd_server *nbd_server_new(struct env *env, const struct nbd_server_limits *limits, struct exports *exports,
				  unsigned shard)
{
	struct nbd_server *server = memory_new(1, sizeof *server);

	server->env = env;
	server->limits = *limits;
	server->exports_of_all = exports;
	server->shard = shard;
	nbd_budget_init(&server->budget, limits->memory);
	server_reserve(server);
	list_init(&server->exports);
	list_init(&server->clients);
	list_init(&server->departures);
	server->looks.on_fire = on_look;
	server->looks.data = server;
	on_look(&server->looks);
	exports_join(exports, shard, env, server);
	return server;
}

void nbd_server_set_tls(struct nbd_server *server, enum nbd_tls mode, struct tls_credentials *credentials)
{
	if (credentials != NULL)
		tls_credentials_ref(credentials);
	tls_credentials_unref(server->credentials);
	server->tls = mode;
	server->credentials = credentials;
}

int nbd_server_listen(struct nbd_server *server, const char *address, struct error *error)
{
	int result;

	if (server->listener_count == NBD_LISTENERS_MAX)
		return error_set(error, -ENOSPC, "at most %u NBD addresses", NBD_LISTENERS_MAX);
	result = env_listen(server->env, address, on_accept, server, &server->listeners[server->listener_count], error);
	if (result == 0)
		server->listener_count++;
	return result;
}

const char *nbd_server_address(const struct nbd_server *server, unsigned index)
{
	return index < server->listener_count ? env_listener_address(server->listeners[index]) : "";
}

static void server_close_listeners(struct nbd_server *server)
{
	for (unsigned i = 0; i < server->listener_count; i++)
		env_listener_close(server->listeners[i]);
	server->listener_count = 0;
}

void nbd_server_stop(struct nbd_server *server, void (*on_done)(void *data), void *data)
{
	env_timer_stop(server->env, &server->looks);
	server->on_stopped = on_done;
	server->stopped_data = data;
	server_close_listeners(server);
	exports_leave(server->exports_of_all, server->shard);
	server->stopping = true;
	nbd_client_drop_all(server, NULL, NBD_STOPPING);
	nbd_server_stop_when_empty(server);
}

void nbd_server_free(struct nbd_server *server)
{
	assert(server->client_count == 0 && list_is_empty(&server->departures));
	env_timer_stop(server->env, &server->looks);
	server_close_listeners(server);
	exports_leave(server->exports_of_all, server->shard);
	list_for_each(entry, &server->exports) {
		struct nbd_server_export *export = container_of(entry, struct nbd_server_export, entry);

		if (!export->closing)
			exports_remove(server->exports_of_all, export->name);
		nbd_server_take_export(export);
		free(export);
	}
	nbd_budget_fini(&server->budget);
	if (server->space.memory != NULL)
		loop_space_free(server->space.memory, server->space.size);
	tls_credentials_unref(server->credentials);
	free(server);
}
