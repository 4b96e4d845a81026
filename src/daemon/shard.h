/* A shard: one thread with one event loop, an engine and an NBD server.
 *
 * The control thread sends it commands (control/port.h); each is answered exactly once, and every engine event told,
 * through the mailbox. What all shards of a daemon share, and which has what, is in shards.h. */
#ifndef DAEMON_SHARD_H
#define DAEMON_SHARD_H

#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "nbd/session.h"

struct config;
struct exports;
struct mailbox;
struct pace_line;
struct shard;
struct shard_command;
struct shard_core;
struct tls_credentials;

struct shard_options {
	const struct config *config;  /* borrowed until shard_start returns */
	const char *directory;        /* the data folder; borrowed until shard_start returns, as is the next */
	const char *run_directory;    /* on tmpfs */
	struct tls_credentials *tls;  /* for NBD, NULL when TLS is off; used by the shard's thread alone until it has stopped */
	struct mailbox *mailbox;      /* borrowed until the shard has stopped */
	unsigned given_sockets;       /* for NBD, of systemd (daemon/activation.h): instead of those of the configuration */
	unsigned index, count;        /* of this shard; of all: the first listens */
	struct shard_core **cores;    /* of all shards; borrowed until the shard is freed, as are the next two */
	struct exports *exports;
	struct pace_line *lines;      /* to the peers, in the configuration's order */
};

/* Starts the thread and returns when all of it is there, or it has failed: then no thread is left. */
int shard_start(const struct shard_options *options, struct shard **out_shard, struct error *error);

/* Any thread; never blocks. Copies the command. Not after the end has begun. */
void shard_send(struct shard *shard, const struct shard_command *command);

/* For NBD clients that connect from now on. Any thread; takes the credentials. Not after the end has begun. */
void shard_set_tls(struct shard *shard, enum nbd_tls mode, struct tls_credentials *credentials);

/* Addresses as bound, "" when not listening there. Borrows. */
const char *shard_nbd_address(const struct shard *shard);
const char *shard_nbd_unix(const struct shard *shard); /* a path */
const char *shard_link_address(const struct shard *shard);

/* The end is a step after the other, each of all shards before the next of any: what one hands to another always finds it
 * running. */
enum shard_stop_step {
	SHARD_STOP_CLIENTS, /* NBD clients are disconnected; what they have in flight is finished */
	SHARD_STOP_ENGINE,  /* links end, units and disks are closed cleanly */
	SHARD_STOP_LOOP,    /* the thread ends */
	SHARD_STOP_STEPS,
};
void shard_stop_begin(struct shard *shard, enum shard_stop_step step);
/* Until the step has ended; -ETIMEDOUT at that time (CLOCK_MONOTONIC). */
int shard_stop_wait(struct shard *shard, const struct timespec *until);
/* After the last step. */
void shard_free(struct shard *shard);

#endif
