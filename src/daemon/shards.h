/* The shards of a daemon as one: sends each command to the shard that it is for, and moves disks between them.
 *
 * A unit and all its disks live in one shard. When a unit is opened with disks of several, those that are elsewhere are moved
 * first, with their NBD clients; commands that come meanwhile wait, in their order. Shard 0 listens, and speaks with the
 * peers' controls. The control thread, unless said otherwise. */
#ifndef DAEMON_SHARDS_H
#define DAEMON_SHARDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "nbd/session.h"

struct config;
struct mailbox;
struct shard_command;
struct shards;
struct tls_credentials;

struct shards_options {
	const struct config *config; /* borrowed until shards_start returns, as are the next two */
	const char *directory;       /* the data folder */
	const char *run_directory;   /* on tmpfs */
	struct tls_credentials *tls; /* for NBD, NULL when TLS is off */
	struct mailbox *mailbox;     /* borrowed until the shards have stopped */
	unsigned given_sockets;      /* for NBD, of systemd (daemon/activation.h): instead of those of the configuration */
};

/* Starts config->shards threads and returns when all are ready and the first listens; on an error none is left. */
int shards_start(const struct shards_options *options, struct shards **out_shards, struct error *error);

/* Never blocks; copies the command, and takes what it holds. It is answered once, through the mailbox. */
void shards_send(struct shards *shards, const struct shard_command *command);
/* Each answer that the mailbox gives has to be shown here first. True: it was for the shards alone. Else *command_id is made what
 * it was when it was sent. */
bool shards_on_answer(struct shards *shards, uint64_t *command_id, const struct error *error);

/* For NBD clients that connect from now on; takes the credentials. */
void shards_set_tls(struct shards *shards, enum nbd_tls mode, struct tls_credentials *credentials);

/* Addresses as bound, "" when not listening there. Borrows. */
const char *shards_nbd_address(const struct shards *shards);
const char *shards_nbd_unix(const struct shards *shards); /* a path */
const char *shards_link_address(const struct shards *shards);

/* Disconnects NBD clients (what they have in flight is finished), closes units and disks cleanly, ends the threads and frees
 * all. -ETIMEDOUT when that takes longer: then a thread still runs, nothing is freed, and the process must end, which is as
 * safe as a kill. */
int shards_stop(struct shards *shards, uint32_t limit_ms);

#endif
