/* NBD clients of one shard: listeners, sockets and sessions on one side, disks on the other.
 *
 * An export is a disk that is attached; its name is the disk's id. Not exported, a disk cannot be reached. The servers of all
 * shards share one table (daemon/exports.h): a client that names an export of another shard is handed there as it is and goes on
 * there, and an export can move to another shard with all its clients. The shard's thread. */
#ifndef DAEMON_NBD_SERVER_H
#define DAEMON_NBD_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "nbd/session.h"

struct disk;
struct env;
struct error;
struct exports;
struct nbd_departure;
struct nbd_server;
struct tls_credentials;

struct nbd_server_limits {
	uint32_t clients; /* of all shards together: the maximum of struct exports */
	uint32_t wait_s;  /* for an export to be chosen; for the rest of a message; for replies to be taken */
	uint64_t memory;  /* bytes of payload of all clients of this server together; 64 MiB or more */
};

/* Gives the server, which is the one of that shard in `exports` from now on; keeps those until it is freed. */
struct nbd_server *nbd_server_new(struct env *env, const struct nbd_server_limits *limits, struct exports *exports,
				  unsigned shard);
/* For clients that connect from now on; keeps a reference to the credentials, which are NULL when TLS is off. Those that are
 * connected keep what they have. To be told to each shard's server: a client may ask for TLS after it was handed on. */
void nbd_server_set_tls(struct nbd_server *server, enum nbd_tls mode, struct tls_credentials *credentials);
/* Listens on one more address ("tcp:HOST:PORT", "unix:/path"). */
int nbd_server_listen(struct nbd_server *server, const char *address, struct error *error);
/* The address as bound of the listener of rank `index`; "" past the last. Borrows. */
const char *nbd_server_address(const struct nbd_server *server, unsigned index);

/* Opens the export; borrows the disk until the unexport has ended, or a departure is handed out. An export that is open
 * stays as it is; -EEXIST when another shard has it. */
int nbd_server_export(struct nbd_server *server, struct disk *disk, const char *description, bool read_only,
		      struct error *error);
/* Ends the export: nothing more of its clients reaches the disk, they are disconnected, and on_done is called, from the
 * loop, when what they had in flight has ended. Once per export; harmless when it is not open. One that departs stays, for
 * this end; one that was handed out has to arrive first. */
void nbd_server_unexport(struct nbd_server *server, const char *disk_id, void (*on_done)(void *data), void *data);

/* --- an export moves to another shard ---
 *
 *      old shard                                                new shard
 *      nbd_server_depart: its clients finish what they began
 *      on_done: the disk can be closed
 *      nbd_departure_send                        ------->       fn: the disk is opened
 *                                                               nbd_server_arrive: its clients go on
 */

/* Makes the export and its clients ready to move: they begin no further request and finish those that are begun. on_done is
 * called once, from the loop, with all of them in `departure`, which is the caller's then; the disk is not referred to any
 * more. NULL: a client was in the middle of something for 2 s, or the server stops, and all goes on here as before. Clients
 * that ask for the export meanwhile wait until it is there. An export that is not open gives a departure with nothing in it.
 * Not while the export departs already, or ends. */
void nbd_server_depart(struct nbd_server *server, const char *disk_id, unsigned to_shard,
		       void (*on_done)(void *data, struct nbd_departure *departure), void *data);
/* On the same thread: in one step the export becomes the other shard's and fn(data) is posted there, which must take the
 * departure to nbd_server_arrive, now or later. -ESHUTDOWN: nothing is taken there any more, and nothing has changed: the
 * caller takes it to nbd_server_arrive of this server. */
int nbd_departure_send(struct nbd_departure *departure, void (*fn)(void *data), void *data);
/* Takes the departure, sent to this server or not sent at all, and opens the export on `disk`, which has the same name, size
 * and bytes, as it was: its clients go on. NULL: there is no disk, the export is gone and its clients are disconnected. Each
 * departure exactly once: the stop of the server that it waits for does not end before. */
void nbd_server_arrive(struct nbd_server *server, struct nbd_departure *departure, struct disk *disk);

/* Ends listeners and clients, those that arrive, too, lets what is in flight end, then calls on_done from the loop. */
void nbd_server_stop(struct nbd_server *server, void (*on_done)(void *data), void *data);
/* After the stop has ended, or before the loop ran. */
void nbd_server_free(struct nbd_server *server);

#endif
