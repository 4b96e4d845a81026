/* The shard: one thread with one event loop, the engine and the NBD server.
 *
 * The control thread sends it commands (control/port.h); each is answered exactly once, and every engine event told,
 * through the mailbox. */
#ifndef DAEMON_SHARD_H
#define DAEMON_SHARD_H

#include <stdint.h>

#include "base/error.h"
#include "nbd/session.h"

struct config;
struct mailbox;
struct shard;
struct shard_command;
struct tls_credentials;

struct shard_options {
	const struct config *config;  /* borrowed until shard_start returns */
	const char *directory;        /* the data folder; borrowed until shard_start returns, as is the next */
	const char *run_directory;    /* on tmpfs */
	struct tls_credentials *tls;  /* for NBD, NULL when TLS is off; used by the shard's thread alone until it has stopped */
	struct mailbox *mailbox;      /* borrowed until the shard has stopped */
	unsigned given_sockets;       /* for NBD, of systemd (daemon/activation.h): instead of those of the configuration */
};

/* Starts the thread and returns when it listens, or has failed: then no thread is left. */
int shard_start(const struct shard_options *options, struct shard **out_shard, struct error *error);

/* Any thread; never blocks. Copies the command. Not after shard_stop. */
void shard_send(struct shard *shard, const struct shard_command *command);

/* For NBD clients that connect from now on. Any thread; takes the credentials. Not after shard_stop. */
void shard_set_tls(struct shard *shard, enum nbd_tls mode, struct tls_credentials *credentials);

/* Addresses as bound, "" when not listening there. Borrows. */
const char *shard_nbd_address(const struct shard *shard);
const char *shard_nbd_unix(const struct shard *shard); /* a path */
const char *shard_link_address(const struct shard *shard);

/* Disconnects NBD clients (what they have in flight is finished), closes units and disks cleanly, ends the thread and frees
 * the shard. -ETIMEDOUT when that takes longer: then the thread still runs, nothing is freed, and the process must end, which
 * is as safe as a kill. */
int shard_stop(struct shard *shard, uint32_t limit_ms);

#endif
