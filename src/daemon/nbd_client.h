/* What nbd_server.c (listeners, exports, the end), nbd_client.c (connections) and nbd_departure.c (exports that move) share;
 * of these three alone.
 *
 * The server has exports and clients; a client that has chosen an export counts in it. An export that is closing ends with
 * the last of its clients, one that departs leaves when all of them are parked, a server that stops ends with the last of all. */
#ifndef DAEMON_NBD_CLIENT_H
#define DAEMON_NBD_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/index.h"
#include "base/list.h"
#include "daemon/exports.h"
#include "daemon/nbd_server.h"
#include "env/env.h"
#include "nbd/budget.h"

struct disk;
struct nbd_client;
struct tls_credentials;

#define NBD_LISTENERS_MAX 8u
#define NBD_STOPPING "this site is stopping" /* why a client is disconnected */
#define NBD_LOOKS 4u /* at each client, within the time it has */

struct nbd_server {
	struct env *env;
	struct exports *exports_of_all;
	unsigned shard;
	struct env_listener *listeners[NBD_LISTENERS_MAX];
	unsigned listener_count;
	struct list exports, clients, departures;
	struct nbd_server_limits limits;
	struct nbd_budget budget;
	struct arena_space space; /* of its large buffers */
	struct index exports_by_name;
	struct env_timer looks;
	unsigned client_count;
	enum nbd_tls tls;
	struct tls_credentials *credentials; /* of clients that ask for TLS from now on; NULL when it is off */
	bool stopping;
	bool stopped; /* on_stopped is on its way */
	void (*on_stopped)(void *data);
	void *stopped_data;
	struct env_io stopped_io;
};

struct nbd_server_export {
	struct list entry;
	struct index_node by_name;
	struct nbd_server *server;
	struct disk *disk; /* NULL between two shards */
	char name[INDEX_KEY_SIZE];
	char description[128];
	bool read_only;
	unsigned clients, parked; /* that have chosen it; of them, those ready to leave */
	struct nbd_departure *departure; /* until it has left */
	bool closing;
	void (*on_closed)(void *data);
	void *closed_data;
	struct env_io closed_io;
};

/* The open export called `name`, or NULL. */
struct nbd_server_export *nbd_server_find(struct nbd_server *server, const char *name);
/* A client has gone from the export; from the server. */
void nbd_server_export_left(struct nbd_server_export *export);
void nbd_server_left(struct nbd_server *server);
/* Puts an export where it is found, and takes it away from there. */
void nbd_server_put_export(struct nbd_server *server, struct nbd_server_export *export);
void nbd_server_take_export(struct nbd_server_export *export);
/* A server that is stopping ends when nothing of it is left. After whatever may have been the last. */
void nbd_server_stop_when_empty(struct nbd_server *server);

/* A client of the export is ready to leave, or is gone. */
void nbd_departure_look(struct nbd_departure *departure);
/* The export ends here; the departure's caller is told that it did not go. */
void nbd_departure_cancel(struct nbd_departure *departure);

/* Takes the socket of a new connection; `number` was given by exports_admit. */
void nbd_client_new(struct nbd_server *server, struct env_socket *socket, uint64_t number);
/* Ends a client that has let NBD_LOOKS looks go by, in the middle of a message or with replies to take. */
void nbd_client_look(struct nbd_client *client);
struct nbd_client *nbd_client_of(struct list *entry);
/* Ends those of one export (NULL: all) at once: nothing more of them reaches a disk. */
void nbd_client_drop_all(struct nbd_server *server, const struct nbd_server_export *export, const char *reason);

/* --- those of an export that departs --- */

/* They begin nothing any more; each calls nbd_departure_look when it is ready. */
void nbd_client_park_all(struct nbd_server *server, const struct nbd_server_export *export);
/* All of them are ready, and leave server and env; into the list, which is empty. */
void nbd_client_leave_all(struct nbd_server *server, const struct nbd_server_export *export, struct list *clients);
/* They join the server and its env; they are parked still. */
void nbd_client_enter_all(struct nbd_server *server, struct list *clients);
/* They go on, ready or not. */
void nbd_client_resume_all(struct nbd_server *server, const struct nbd_server_export *export);
/* An export has come, or stays, or is another's now: the clients whose options wait for one ask again. */
void nbd_client_ask_again(struct nbd_server *server);

#endif
