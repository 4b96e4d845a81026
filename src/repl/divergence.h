/* Divergence: what a side held when it gave up the lead and its changes had not reached the other, kept as it was.
 *
 * The epochs of the new primary overwrite it. Before each of them is applied, the old bytes of every block that it is the first
 * to overwrite are appended to a file, and synced; what has been saved, else the disk itself, is the disk as it was: a view
 * that can be read while replication goes on. Bounded by engine_limits.divergence_bytes_max; kept until it is discarded, it
 * outgrows its bound, or this side takes the lead again (then clients write in place).
 *
 * File "<directory>/units/<id>.diverged": pages of 4 KiB.
 *   page 0   offset size field
 *                 0    4 magic "OFSD"
 *                 4    4 version 1
 *                 8   16 lineage
 *                24    8 salt       random; goes into every checksum, so that no page of data can pass for a record
 *                32    8 wall clock when the lead was given up, milliseconds
 *                40    4 disk count
 *                44    4 zero
 *                48   8n sizes of the disks, bytes
 *              4088    8 checksum   XXH3 of bytes 0 to 4087
 *   then records, one after the other, each of a page and its blocks:
 *                 0    8 epoch      before which it was saved
 *                 8    4 disk       index in the unit
 *                12    4 count      of entries, at most DIVERGENCE_ENTRIES_MAX
 *                16    8 position   of this page in the file
 *                24    8 checksum   XXH3 of the salt and this page, this field being zero
 *                32  16n entries    block number (8), low half of the XXH3 of its bytes (4), 1 if it is all zeros (4)
 *     and the blocks that are not all zeros, a page each.
 * A record of an epoch that was not applied may be torn: it ends the file, and is saved again. One shard's thread. */
#ifndef REPL_DIVERGENCE_H
#define REPL_DIVERGENCE_H

#include <stdbool.h>
#include <stdint.h>

struct backend;
struct divergence;
struct unit;

#define DIVERGENCE_ENTRIES_MAX 240u

typedef void divergence_done(struct unit *unit, int result);

/* Begins to keep what the unit's disks hold now: they are synced, and nothing is written to them. Sets unit->divergence; done
 * once its file is on stable storage. */
void divergence_create(struct unit *unit, divergence_done *on_done);
/* Reads what was kept before a restart; -ENOENT when it has been discarded. */
void divergence_load(struct unit *unit, divergence_done *on_done);
/* Saves what this data frame of `epoch` will overwrite for the first time. Borrows the frame until on_done: 0, also when the
 * divergence was discarded meanwhile; -EFBIG at the bound; another negative errno. */
void divergence_save(struct unit *unit, uint64_t epoch, const uint8_t *frame, divergence_done *on_done);
/* What has been saved is on stable storage when on_done is called with 0. */
void divergence_sync(struct unit *unit, divergence_done *on_done);
/* Ends it, if there is one: views answer -EIO from now on; the file is removed, or kept for the next start. */
void divergence_end(struct unit *unit, bool remove);
/* Removes the file of one that was ended by a record that no longer knows it. */
void divergence_remove(struct unit *unit);

uint64_t divergence_bytes(const struct unit *unit);   /* that its file holds; 0: there is none */
uint64_t divergence_wall_ms(const struct unit *unit); /* when it was begun */
/* A disk of the unit as it was: a read-only back end, closed by its owner; NULL when nothing is kept. */
struct backend *divergence_view(struct unit *unit, uint32_t disk);

#endif
