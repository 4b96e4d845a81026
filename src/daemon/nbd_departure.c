/* An export that moves to another shard, from the first of its clients that is parked to the last that goes on.
 *
 *   PARKING   its clients finish what they began; ends with all of them parked, after DEPART_LIMIT_NS, with the export's end
 *             or the server's
 *   ENDING    that has happened, and the loop will tell
 *   READY     handed to the caller: export and clients are in no server
 *   SENT      on its way, the other thread's
 *
 * 1. While the export is with a server, export->departure says that it departs: no client can choose it.
 * 2. The table of all exports names the old shard until the departure is sent, then the new one, where everything that is posted
 *    later comes after it. So a client that is sent to look for the export finds it, or finds that it must wait there. */
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "daemon/nbd_client.h"
#include "disk/disk.h"

#define DEPART_LIMIT_NS UINT64_C(2000000000)

enum departure_state { DEPARTURE_PARKING, DEPARTURE_ENDING, DEPARTURE_READY, DEPARTURE_SENT };

struct nbd_departure {
	struct list entry; /* of server->departures, until it is sent */
	struct nbd_server *server; /* the old one */
	struct nbd_server_export *export; /* NULL: it was not open, or has ended */
	bool cancelled;
	enum departure_state state;
	unsigned to_shard;
	struct list clients; /* READY, SENT */
	struct env_timer limit;
	struct env_io end_io;
	void (*on_done)(void *data, struct nbd_departure *departure);
	void *data;
};

static bool departure_is_ready(const struct nbd_departure *departure)
{
	const struct nbd_server_export *export = departure->export;

	return !departure->cancelled && !departure->server->stopping && (export == NULL || export->parked == export->clients);
}

/* The caller has it no more: it goes its way, or ends. */
static void departure_forget(struct nbd_departure *departure)
{
	list_remove(&departure->entry);
	nbd_server_stop_when_empty(departure->server);
}

static void departure_give_up(struct nbd_departure *departure)
{
	struct nbd_server_export *export = departure->export;
	struct nbd_server *server = departure->server;

	if (export != NULL) {
		export->departure = NULL;
		log_event(LOG_WARNING, "nbd.stays", "export=%s reason=\"%s\" clients=%u busy=%u", export->name,
			  server->stopping ? NBD_STOPPING : "clients in the middle of a request", export->clients,
			  export->clients - export->parked);
		nbd_client_resume_all(server, export);
		nbd_client_ask_again(server);
	}
	departure->on_done(departure->data, NULL);
	departure_forget(departure);
	free(departure);
}

static void departure_hand_out(struct nbd_departure *departure)
{
	struct nbd_server_export *export = departure->export;

	departure->state = DEPARTURE_READY;
	if (export != NULL) {
		nbd_client_leave_all(departure->server, export, &departure->clients);
		nbd_server_take_export(export);
		export->departure = NULL;
		export->disk = NULL;
	}
	departure->on_done(departure->data, departure);
}

static void on_end(struct env_io *io, int result)
{
	struct nbd_departure *departure = io->data;

	(void)result;
	if (departure_is_ready(departure))
		departure_hand_out(departure);
	else
		departure_give_up(departure);
}

/* What is ready now may have changed when the loop tells: a client that is gone is no hindrance, a server that stops is. */
static void departure_end(struct nbd_departure *departure)
{
	env_timer_stop(departure->server->env, &departure->limit);
	departure->state = DEPARTURE_ENDING;
	departure->end_io = (struct env_io){ .on_done = on_end, .data = departure };
	env_defer(departure->server->env, &departure->end_io);
}

void nbd_departure_look(struct nbd_departure *departure)
{
	const struct nbd_server_export *export = departure->export;

	if (departure->state == DEPARTURE_PARKING && (export == NULL || export->parked == export->clients))
		departure_end(departure);
}

void nbd_departure_cancel(struct nbd_departure *departure)
{
	departure->export->departure = NULL;
	departure->export = NULL;
	departure->cancelled = true;
	if (departure->state == DEPARTURE_PARKING)
		departure_end(departure);
}

static void on_limit(struct env_timer *timer)
{
	departure_end(timer->data);
}

void nbd_server_depart(struct nbd_server *server, const char *disk_id, unsigned to_shard,
		       void (*on_done)(void *data, struct nbd_departure *departure), void *data)
{
	struct nbd_departure *departure = memory_new(1, sizeof *departure);
	struct nbd_server_export *export = nbd_server_find(server, disk_id);

	assert(export == NULL || (!export->closing && export->departure == NULL));
	*departure = (struct nbd_departure){
		.server = server, .export = export, .to_shard = to_shard, .on_done = on_done, .data = data,
		.limit = { .on_fire = on_limit, .data = departure },
	};
	list_init(&departure->clients);
	list_append(&server->departures, &departure->entry);
	env_timer_start(server->env, &departure->limit, env_now_ns(server->env) + DEPART_LIMIT_NS);
	if (export != NULL) {
		export->departure = departure;
		nbd_client_park_all(server, export);
	}
	nbd_departure_look(departure);
}

int nbd_departure_send(struct nbd_departure *departure, void (*fn)(void *data), void *data)
{
	struct nbd_server *server = departure->server;
	const char *name = departure->export == NULL ? "" : departure->export->name;
	int result;

	assert(departure->state == DEPARTURE_READY);
	departure->state = DEPARTURE_SENT;
	list_remove(&departure->entry);
	result = exports_move(server->exports_of_all, name, departure->to_shard, fn, data);
	if (result < 0) { /* else it is the other thread's */
		departure->state = DEPARTURE_READY;
		list_append(&server->departures, &departure->entry);
		return result;
	}
	nbd_client_ask_again(server);
	nbd_server_stop_when_empty(server);
	return 0;
}

/* Nothing of these clients is under way, so they are gone at once. */
static void export_end(struct nbd_server_export *export)
{
	exports_remove(export->server->exports_of_all, export->name);
	nbd_client_drop_all(export->server, export, "the disk could not be moved");
	assert(export->clients == 0);
	nbd_server_take_export(export);
	free(export);
}

static void export_go_on(struct nbd_server_export *export, struct disk *disk)
{
	export->disk = disk;
	log_event(LOG_INFO, "nbd.moved", "export=%s shard=%u clients=%u", export->name, export->server->shard, export->clients);
	if (export->server->stopping)
		nbd_client_drop_all(export->server, export, NBD_STOPPING);
	else
		nbd_client_resume_all(export->server, export);
}

void nbd_server_arrive(struct nbd_server *server, struct nbd_departure *departure, struct disk *disk)
{
	struct nbd_server_export *export = departure->export;

	if (departure->state == DEPARTURE_SENT)
		exports_arrived(server->exports_of_all, server->shard);
	list_remove(&departure->entry);
	if (export != NULL) {
		nbd_server_put_export(server, export);
		export->parked = 0;
		nbd_client_enter_all(server, &departure->clients);
		if (disk == NULL)
			export_end(export);
		else
			export_go_on(export, disk);
	}
	free(departure);
	nbd_client_ask_again(server);
	nbd_server_stop_when_empty(server);
}
