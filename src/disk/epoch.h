/* What the engine asks of a disk: tracking, cuts, and the bytes of the closed epoch.
 *
 * A block of the closed epoch is, until the epoch ends, in one of these: unread (its bytes stand in the back end, a write must
 * wait or keep them first), busy (being read), kept (old bytes in memory), read. The first full sync sweeps instead: its
 * blocks are closed without keeping anything, since a block written meanwhile is open again and goes with the next cycle. */
#ifndef DISK_EPOCH_H
#define DISK_EPOCH_H

#include <stdbool.h>
#include <stdint.h>

#include "disk/change_map.h"
#include "disk/kept.h"
#include "env/env.h"

struct disk;

enum disk_track {
	DISK_TRACK_RESUME, /* what the map knows; without it, what the intents know; without them, everything */
	DISK_TRACK_ALL,    /* every block counts as changed */
	DISK_TRACK_NONE,   /* no block does */
};

/* Starts tracking; writes wait until on_ready, which is called once, from the loop, with 0 or a negative errno. The budget is
 * kept. A disk that is tracked already is answered from the loop too, and changed in nothing. */
void disk_track(struct disk *disk, const uint8_t lineage[CHANGE_MAP_LINEAGE_SIZE], enum disk_track how,
		struct kept_budget *budget, void (*on_ready)(void *data, int result), void *data);
/* Ends tracking, and removes the map and the intents; no epoch may be closed. Waiting writes go on. */
void disk_untrack(struct disk *disk);
bool disk_is_tracked(const struct disk *disk);
/* False while the disk's own metadata is being read or written: try again soon. */
bool disk_can_untrack(const struct disk *disk);
/* Requests, reads for shipping and metadata writes in flight: zero before disk_close. */
bool disk_is_idle(const struct disk *disk);

/* Blocks changed and not proven at the secondary. */
uint64_t disk_dirty_blocks(const struct disk *disk);
/* Blocks written since the last cut. */
uint64_t disk_open_blocks(const struct disk *disk);
uint64_t disk_closed_blocks(const struct disk *disk);

/* Copies `count` words of the map (a bit a block, from block 64 * word on): what is dirty. False when all are zero. */
/* suspect: only those that may not have changed; else only the others. */
bool disk_dirty_words(const struct disk *disk, uint64_t word, uint32_t count, bool suspect, uint64_t *out_words);
uint64_t disk_dirty_word_count(const struct disk *disk);
/* Counts blocks as changed because the other side may have changed them; bits past the end are left out. Not durable here:
 * who says so says it again until it is proven. */
void disk_add_dirty(struct disk *disk, uint64_t word, uint32_t count, bool suspect, const uint64_t *words);

/* --- scrub: right before a cut --- */

/* From the beginning again. */
void disk_scrub_begin(struct disk *disk);
/* Adds the next `max` blocks that have not changed to the open epoch, to be compared; false past the end of the disk. */
bool disk_scrub_next(struct disk *disk, uint64_t max);
uint64_t disk_scrubbed_blocks(const struct disk *disk);
/* Whether a block is of a scrub's slice, and has not been written since. */
bool disk_is_scrubbed(const struct disk *disk, uint64_t block);

/* Told at the first write after a time with no block in the open epoch. */
void disk_on_dirty(struct disk *disk, void (*on_dirty)(void *data), void *data);

/* --- a cycle --- */

/* Closes the open epoch. on_drained is called once every write admitted to it has ended, perhaps at once. */
void disk_cut(struct disk *disk, void (*on_drained)(void *data), void *data);

struct disk_run {
	uint64_t first, count; /* blocks */
	enum { DISK_RUN_READ, DISK_RUN_KEPT, DISK_RUN_HOLE } kind;
	bool suspect; /* of every block: to be compared first */
};

/* The next run of blocks to ship, at most `max` of them; false when none can be had now (all shipped, or the rest is busy:
 * disk_ship_done tells which). After the drain only. */
bool disk_ship_next(struct disk *disk, uint64_t max, struct disk_run *out_run);
/* Takes back the run given last, unread: another frame will have it. */
void disk_ship_unget(struct disk *disk, const struct disk_run *run);
bool disk_ship_done(const struct disk *disk);

struct disk_reader {
	struct env_io io; /* of disk/ */
	struct disk *disk;
	struct disk_run run;
	uint64_t generation;
	void (*on_read)(struct disk_reader *reader, int result);
	void *data;
};
/* Reads a DISK_RUN_READ run; once read, its blocks may be overwritten. The buffer has room for whole blocks; what lies past
 * the end of the disk is not touched. */
void disk_ship_read(struct disk *disk, struct disk_reader *reader, const struct disk_run *run, uint8_t *buffer);
/* Copies a DISK_RUN_KEPT run. */
void disk_ship_kept(struct disk *disk, const struct disk_run *run, uint8_t *buffer);
/* Told when blocks that were busy can be had. */
void disk_on_shippable(struct disk *disk, void (*on_shippable)(void *data), void *data);

/* The epoch is committed at the secondary, durably: its bits are dropped. */
void disk_epoch_commit(struct disk *disk);
/* The epoch is given up: its bits join the open one. Also ends a sweep. Allowed at any time. */
void disk_epoch_abandon(struct disk *disk);

/* --- first full sync --- */

/* The next run of changed blocks at or after `from`, closed by this call; holes are told apart where the back end can. */
bool disk_sweep_next(struct disk *disk, uint64_t from, uint64_t max, struct disk_run *out_run);
void disk_sweep_read(struct disk *disk, struct disk_reader *reader, const struct disk_run *run, uint8_t *buffer);
/* The run is stable at the secondary. */
void disk_sweep_proven(struct disk *disk, const struct disk_run *run);

#ifdef OFFSITE_PLANTED
void disk_forget_dirty(struct disk *disk); /* what a handshake must never do: base/planted.h */
#endif

/* --- growing --- */

/* Room for `size` bytes, which nobody sees before disk_grow: so that a caller can remember the new size in between, and no write
 * beyond the old one is ever forgotten. -ENOTSUP when there is none. */
int disk_extend(struct disk *disk, uint64_t size);
/* The disk grows to `size` bytes, while requests go on. New zeros count as unchanged, as they do at the other side; what may be
 * something else, there (`compare`) or here, is to be compared. No epoch may be closed. -EAGAIN when its own metadata is being
 * written: try again soon; else what the disk failed with. */
int disk_grow(struct disk *disk, uint64_t size, bool compare);
/* From that byte on the two sides may differ: to be compared. 0 when that is durable; -EAGAIN: ask again soon. */
int disk_suspect_from(struct disk *disk, uint64_t from);

/* --- marks --- */

/* Removes the marks of extents that have been quiet: those not written since the last call, stable here (this call flushes the
 * disk) and committed at the secondary. One at a time; harmless when one runs. */
void disk_cool(struct disk *disk);
uint64_t disk_marked_extents(const struct disk *disk);

/* Bytes of a run, clipped at the end of the disk. */
uint64_t disk_run_bytes(const struct disk *disk, const struct disk_run *run);

#endif
