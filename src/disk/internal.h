/* The disk's own state, shared by the files of this folder. One shard's thread. */
#ifndef DISK_INTERNAL_H
#define DISK_INTERNAL_H

#include "base/list.h"
#include "disk/change_map.h"
#include "disk/disk.h"
#include "disk/epoch.h"
#include "disk/intent.h"
#include "disk/kept.h"

enum disk_tracking {
	TRACKING_OFF,
	TRACKING_EXPECTED, /* there are intents: writes wait until somebody says what this disk is */
	TRACKING_LOADING,
	TRACKING_ON,
};

enum disk_closed { CLOSED_NONE, CLOSED_CUT, CLOSED_SWEEP };

struct disk {
	struct env *env;
	struct backend *backend;
	char id[64];
	char metadata_path[512];
	uint64_t blocks, extents;
	int failure;
	bool writable, held;

	struct list writes;   /* admitted and not ended: WRITE, ZERO, TRIM */
	struct list waiting;  /* not admitted yet, in order */
	struct env_io retry_io; /* a look at what waits, from the loop */
	bool retry_pending;
	uint64_t requests;    /* of any kind, not answered */

	enum disk_tracking tracking;
	struct change_map map;
	struct intent intent;
	struct kept kept;
	/* Blocks that count as changed and may not be: after a power cut those of marked extents, and a scrub's slice. They
	 * are compared by hash. In `scrub`: the slice, which is known to be the same on both sides, or something is wrong. */
	uint64_t *suspect, *scrub;
	uint64_t suspect_count, scrub_count, scrub_at;
	uint64_t *touched; /* extents written since the last cooling began */
	void (*on_ready)(void *data, int result);
	void *ready_data;
	enum disk_track track_how;
	struct env_io track_io;
	bool map_valid;

	/* Bytes that the back end has called data: within them a sweep need not ask again, which can cost a walk over the file. */
	uint64_t sweep_data_start, sweep_data_end;
	enum disk_closed closed;
	uint64_t generation; /* of the closed epoch: readers of an abandoned one are told apart */
	uint64_t cuts;         /* so far; a write remembers the count at its admission */
	uint64_t write_count;  /* in flight */
	uint64_t before_count; /* of them, admitted before the last cut */
	bool drained;
	void (*on_drained)(void *data);
	void *drained_data;
	void (*on_dirty)(void *data);
	void *dirty_data;
	void (*on_shippable)(void *data);
	void *shippable_data;
	uint64_t *unread, *busy, *unshipped; /* blocks of the closed epoch */
	uint64_t unshipped_count, ship_cursor;

	bool cooling;
	struct env_io cool_io;
};

/* disk.c */
void disk_fail(struct disk *disk, int code, const char *what);
void disk_retry(struct disk *disk); /* tries again to admit what waits */

/* map.c: fills the spans of a DISK_MAP. */
void map_spans(const struct disk *disk, struct disk_request *request);

/* track.c: no later process may trust the change map. What a failed sync has lost shows when the kernel's cache is gone; the
 * next process drops it, and compares what is marked. */
void track_distrust(struct disk *disk);

/* epoch.c: may this write be admitted now, as far as the closed epoch is concerned? Starts keeping old bytes if need be. */
bool epoch_admits(struct disk *disk, uint64_t first, uint64_t last);
void epoch_write_ended(struct disk *disk, uint64_t admitted);
void disk_suspect(struct disk *disk, uint64_t first, uint64_t count);
void disk_unsuspect(struct disk *disk, uint64_t first, uint64_t count);

#endif
