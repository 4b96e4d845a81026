/* What nbd_server.c (listeners, exports, the end) and nbd_client.c (connections) share; of these two alone.
 *
 * The server has exports and clients; a client that has chosen an export counts in it. An export that is closing ends with the
 * last of its clients, a server that is stopping with the last of all. */
#ifndef DAEMON_NBD_CLIENT_H
#define DAEMON_NBD_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/index.h"
#include "base/list.h"
#include "daemon/nbd_server.h"
#include "env/env.h"
#include "nbd/budget.h"

struct disk;
struct nbd_client;
struct tls_credentials;

#define NBD_LISTENERS_MAX 8u
#define NBD_LOOKS 4u /* at each client, within the time it has */

struct nbd_server {
	struct env *env;
	struct env_listener *listeners[NBD_LISTENERS_MAX];
	unsigned listener_count;
	struct list exports, clients;
	struct nbd_server_limits limits;
	struct nbd_budget budget;
	struct index exports_by_name;
	struct env_timer looks;
	unsigned client_count;
	uint64_t clients_ever;
	enum nbd_tls tls;
	struct tls_credentials *credentials; /* of clients that ask for TLS from now on; NULL when it is off */
	bool refusing; /* the limit is reached, and was logged */
	bool stopping;
	void (*on_stopped)(void *data);
	void *stopped_data;
	struct env_io stopped_io;
};

struct nbd_server_export {
	struct list entry;
	struct index_node by_name;
	struct nbd_server *server;
	struct disk *disk;
	char description[128];
	bool read_only;
	unsigned clients;
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

/* Takes the socket of a new connection. */
void nbd_client_new(struct nbd_server *server, struct env_socket *socket);
/* Ends a client that has let NBD_LOOKS looks go by, in the middle of a message or with replies to take. */
void nbd_client_look(struct nbd_client *client);
struct nbd_client *nbd_client_of(struct list *entry);
/* Ends those of one export (NULL: all) at once: nothing more of them reaches a disk. */
void nbd_client_drop_all(struct nbd_server *server, const struct nbd_server_export *export, const char *reason);

#endif
