/* A disk: admits requests, keeps the change maps and the durable intents, and knows which bytes belong to which epoch.
 *
 * Untracked, a disk passes requests to its back end. Tracked (it is in a pair), every write first has its extents marked on
 * stable storage (disk/intent.h), then sets its blocks in the change map (disk/change_map.h), and keeps the old bytes of a
 * block that a closed epoch still needs. No system call; one shard's thread. */
#ifndef DISK_DISK_H
#define DISK_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "env/env.h"

struct backend;
struct disk;
struct error;

#define DISK_BLOCK_SIZE 4096u            /* a bit of the change map */
#define DISK_EXTENT_SIZE (1024u * 1024u) /* a durable intent mark */

enum disk_operation {
	DISK_READ,
	DISK_WRITE,
	DISK_ZERO,  /* reads as zeros after; space is kept */
	DISK_TRIM,  /* reads as zeros after, in Offsite; space is given back */
	DISK_FLUSH, /* every write completed before it was submitted is on stable storage when it completes */
	DISK_READ_AHEAD, /* advice: the range is likely to be read soon */
	DISK_MAP,   /* tells where data and holes are */
	DISK_OPERATIONS,
};

/* Owned by the caller, who keeps it and the buffer until on_done, which is called exactly once, possibly before
 * disk_submit returns. Result 0 or a negative errno: -EIO the disk failed (for good), -ENOSPC, -EROFS. */
struct disk_request {
	enum disk_operation operation;
	bool force_unit_access; /* WRITE, ZERO, TRIM: on stable storage before on_done */
	bool fast;              /* ZERO, TRIM: -EOPNOTSUPP where it would mean to write zeros */
	uint32_t span_count;    /* MAP: room in `buffer`, and then how many are there: at least one */
	uint64_t offset;        /* bytes; offset + length within the disk: checked by the caller */
	uint64_t length;        /* bytes; up to 32 MiB, but for FLUSH (0) and MAP (any, more than 0) */
	void *buffer;           /* READ: filled; WRITE: not changed; MAP: struct span, from `offset` on, not beyond the range */
	void (*on_done)(struct disk_request *request, int result);
	void *data;
	/* --- of disk/ alone --- */
	struct list link;
	struct env_io io;
	uint64_t first_block, last_block;
	bool admitted;
	uint64_t cuts; /* of the disk when it was admitted */
	struct disk *disk;
};

/* Opens a disk on a back end, which it takes (also on error). `metadata_path` is the prefix of the files kept beside it
 * ("<dir>/disks/d-1": d-1.intent). */
int disk_open(struct env *env, const char *id, const char *metadata_path, struct backend *backend, struct disk **out_disk,
	      struct error *error);
/* Right after a disk was opened that another process may have used before: what a sync lost that failed there may still be read
 * from the cache, until it is dropped; then the disk would have changed by itself. */
void disk_forget_cache(struct disk *disk);

/* Waits for nothing: no request may be in flight. */
void disk_close(struct disk *disk);

uint64_t disk_size(const struct disk *disk); /* bytes */
const char *disk_id(const struct disk *disk);
struct backend *disk_backend(struct disk *disk); /* borrows */

void disk_submit(struct disk *disk, struct disk_request *request);

/* 0, or the errno that ended this disk: a failed sync, or a failed write of its metadata. Every later write, flush and read
 * of a failed disk answers -EIO; it is never retried into success. */
int disk_failure(const struct disk *disk);
/* Somebody else's sync of its back end has failed. */
void disk_declare_failed(struct disk *disk, int code);

/* A refused disk answers writes with -EROFS (it is a secondary, or superseded). Reads pass. */
void disk_set_writable(struct disk *disk, bool writable);
bool disk_is_writable(const struct disk *disk);
/* A held disk lets new writes wait: those admitted before go on. For the last short epoch of a switchover. */
void disk_hold(struct disk *disk, bool held);
/* Writes admitted and not answered. */
uint64_t disk_writes_in_flight(const struct disk *disk);

#endif
