/* What the shard's thread owns, and the commands carried out on it. Shard thread only. */
#ifndef DAEMON_SHARD_CORE_H
#define DAEMON_SHARD_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/index.h"
#include "base/list.h"
#include "control/port.h"
#include "daemon/config.h"

struct engine;
struct env;
struct mailbox;
struct nbd_server;

struct shard_core {
	struct env *env;
	struct engine *engine;
	struct nbd_server *nbd;
	struct mailbox *mailbox;
	struct shard_core **siblings;     /* of all shards, this one among them; lives longer than any */
	char directory[CONFIG_PATH_SIZE]; /* the data folder */
	struct list disks;                /* struct shard_disk */
	struct index disks_by_id;
	struct list views;                /* struct shard_view */
	struct list growing;              /* struct shard_work that will be tried again */
};

/* Copies the command to the heap, to be handed to shard_core_run. */
struct shard_work *shard_work_new(struct shard_core *core, const struct shard_command *command);

/* Takes the work and carries it out: its answer goes to the mailbox now or later. */
void shard_core_run(struct shard_work *work);

/* What a unit keeps of its divergence is exported, read-only, for as long as it is kept. After whatever may have changed that. */
void shard_core_export_diverged(struct shard_core *core);

/* A disk can be used no more: says so in the log and to the control thread. */
void shard_core_tell_failed(struct shard_core *core, const char *disk, int code);

/* Frees the disks' records and the commands that still wait. After the engine is gone. */
void shard_core_fini(struct shard_core *core);

#endif
