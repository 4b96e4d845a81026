/* NBD clients of one shard: listeners, sockets and sessions on one side, disks on the other.
 *
 * An export is a disk that is attached; its name is the disk's id. Not exported, a disk cannot be reached. The shard's
 * thread. */
#ifndef DAEMON_NBD_SERVER_H
#define DAEMON_NBD_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "nbd/session.h"

struct disk;
struct env;
struct error;
struct nbd_server;
struct tls_credentials;

struct nbd_server_limits {
	uint32_t clients;
	uint32_t wait_s;  /* for an export to be chosen; for the rest of a message; for replies to be taken */
	uint64_t memory;  /* bytes of payload of all clients together; 64 MiB or more */
};

/* Gives the server. */
struct nbd_server *nbd_server_new(struct env *env, const struct nbd_server_limits *limits);
/* For clients that connect from now on; keeps a reference to the credentials, which are NULL when TLS is off. Those that are
 * connected keep what they have. */
void nbd_server_set_tls(struct nbd_server *server, enum nbd_tls mode, struct tls_credentials *credentials);
/* Listens on one more address ("tcp:HOST:PORT", "unix:/path"). */
int nbd_server_listen(struct nbd_server *server, const char *address, struct error *error);
/* The address as bound of the listener of rank `index`; "" past the last. Borrows. */
const char *nbd_server_address(const struct nbd_server *server, unsigned index);

/* Opens the export; borrows the disk until the unexport has ended. An export that is open stays as it is. */
int nbd_server_export(struct nbd_server *server, struct disk *disk, const char *description, bool read_only,
		      struct error *error);
/* Ends the export: nothing more of its clients reaches the disk, they are disconnected, and on_done is called, from the
 * loop, when what they had in flight has ended. Once per export; harmless when it is not open. */
void nbd_server_unexport(struct nbd_server *server, const char *disk_id, void (*on_done)(void *data), void *data);

/* Ends listeners and clients, lets what is in flight end, then calls on_done from the loop. */
void nbd_server_stop(struct nbd_server *server, void (*on_done)(void *data), void *data);
/* After the stop has ended, or before the loop ran. */
void nbd_server_free(struct nbd_server *server);

#endif
