/* The line between the control thread and the shards: messages by value, in both directions, in order.
 *
 * control/ sends commands through the port that the daemon gives it; the daemon (daemon/shards.c) has them carried out on
 * the shard's thread with the engine, and hands each answer and each engine event back on the control thread by calling
 * control_on_answer, control_on_unit, ... (control/control.h). */
#ifndef CONTROL_PORT_H
#define CONTROL_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "repl/engine.h"

enum shard_command_kind {
	SHARD_DISK_CREATE, /* make the sparse file, then as OPEN */
	SHARD_DISK_OPEN,
	SHARD_DISK_CLOSE,  /* end its exports, then close */
	SHARD_DISK_DELETE, /* as CLOSE, then remove the file (kind file, not adopted) and the metadata */
	SHARD_DISK_RESIZE,
	SHARD_DISK_EXTEND, /* room for it, before the new size is remembered; then GROW */
	SHARD_DISK_GROW,   /* while it is used */
	SHARD_DISK_SUSPECT, /* from `size` on the two sides may differ */
	SHARD_DISK_EXPORT,   /* attached: the NBD export opens for writing */
	SHARD_DISK_UNEXPORT, /* detached: clients are disconnected, what they had in flight completes first */
	SHARD_DISK_MOVE,     /* to another shard, with its clients; the daemon's own */
	SHARD_UNIT_OPEN,
	SHARD_UNIT_START,
	SHARD_UNIT_STOP,
	SHARD_UNIT_FAILOVER,
	SHARD_UNIT_DEMOTE,
	SHARD_UNIT_PROMOTE,
	SHARD_UNIT_SCRUB,
	SHARD_UNIT_DISCARD, /* what is kept of its divergence */
	SHARD_UNIT_REMOVE,
	SHARD_PEER_LIMIT,
	SHARD_MESSAGE, /* to the peer's control */
	SHARD_COMMANDS,
};

/* Each command is answered exactly once (SHARD_MESSAGE too: when it is queued or refused). */
struct shard_command {
	enum shard_command_kind kind;
	uint64_t id; /* given back with the answer */
	union {
		struct {
			char id[ENGINE_ID_SIZE];
			char kind[16];   /* of the back end */
			char path[512];
			uint64_t size;
			bool adopted;
			bool direct;  /* EXPORT: past the kernel's cache */
			bool compare; /* GROW: the other site's has not grown by zeros */
			unsigned shard; /* MOVE */
			bool exported;  /* MOVE: filled in on the way */
			char description[128];
		} disk;
		struct {
			struct unit_spec *spec; /* UNIT_OPEN: on the heap, taken by the receiver */
			char id[ENGINE_ID_SIZE];
			bool one_shot;
			bool hand_over; /* UNIT_DEMOTE */
			uint64_t term;  /* UNIT_PROMOTE: at least */
		} unit;
		struct {
			char zone[ENGINE_ID_SIZE];
			uint64_t bytes_per_second;
		} peer;
		struct {
			char peer[ENGINE_ID_SIZE];
			bool is_answer;
			uint64_t id;
			char *bytes; /* on the heap, taken by the receiver */
			size_t size;
		} message;
	} u;
};

struct control_port {
	/* Any time on the control thread; never blocks. Copies the command. */
	void (*send)(void *data, const struct shard_command *command);
	void *data;
};

#endif
