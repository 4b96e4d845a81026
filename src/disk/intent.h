/* Intents: extents of a disk that may have been written, marked on stable storage before any write to them is issued.
 *
 * The problem: after a power cut the change map is gone. What must be compared, or sent again, is then exactly the marked
 * extents, so a mark may never come after the write it covers, and may go only when the writes are stable at the primary and
 * committed at the secondary.
 *
 * File "<disk>.intent": pages of 4 KiB, each in two slots written in turn; page p has its slots at (2p) and (2p+1) * 4096.
 *   offset size field
 *        0    4 magic "OFSI"
 *        4    4 version 1
 *        8    8 page number
 *       16    8 sequence        the valid slot with the higher one counts
 *       24   16 lineage
 *       40    8 checksum        XXH3 of the slot with this field zero
 *       48    8 size            of the disk when it was written, bytes; 0: as it is
 *       56    8 zero
 *       64 4032 bits            little endian; an extent each
 *
 * Invariants
 *  I1 A bit is set in `durable` only when a slot that holds it has been written and synced, and no write of a slot
 *     without it has been started since.
 *  I2 One write of a page is in flight at a time, into the slot that does not hold the newest stable contents: a torn write
 *     leaves the other slot valid.
 *  I3 A page with no valid slot counts as all marked; so does all that the disk had not when the slot was written. */
#ifndef DISK_INTENT_H
#define DISK_INTENT_H

#include <stdbool.h>
#include <stdint.h>

#include "env/env.h"

#define INTENT_LINEAGE_SIZE 16
#define INTENT_PAGE_SIZE 4096u
#define INTENT_PAGE_BITS ((INTENT_PAGE_SIZE - 64u) * 8u)

struct intent_page;

struct intent {
	struct env *env;
	struct env_file *file;
	uint8_t lineage[INTENT_LINEAGE_SIZE];
	uint64_t size; /* of the disk, bytes */
	uint64_t extents;
	uint64_t page_count;
	struct intent_page *pages;
	uint64_t *marked;  /* wanted */
	uint64_t *durable; /* I1 */
	uint64_t marked_count;
	uint64_t writes_in_flight;
	uint64_t rewrites; /* of slots while loading, in flight */
	int rewrite_result;
	uint8_t *buffer; /* the whole file while loading or making it */
	struct env_io io;
	void (*on_ready)(void *data, int result);
	void (*on_durable)(void *data, int result); /* more is durable, or the file failed: nothing more can be marked */
	void *data;
};

enum intent_start {
	INTENT_LOAD, /* what the file says; everything, when it is missing, of another lineage, or damaged */
	INTENT_ALL,  /* a new file with every extent marked */
	INTENT_NONE, /* a new file with none */
};

/* Callbacks are kept; on_ready is called once, from the loop, with 0 or a negative errno. */
void intent_start(struct intent *intent, struct env *env, const char *path, const uint8_t lineage[INTENT_LINEAGE_SIZE],
		  uint64_t size, enum intent_start how, void (*on_ready)(void *, int), void (*on_durable)(void *, int),
		  void *data);
/* Nothing may be in flight (writes_in_flight == 0, ready). */
void intent_stop(struct intent *intent);

bool intent_is_durable(const struct intent *intent, uint64_t first, uint64_t last);
/* Marks and starts writing what is not yet on its way; on_durable tells when to look again. */
void intent_mark(struct intent *intent, uint64_t first, uint64_t last);
/* The disk has more bytes; what is new counts as marked until it cools, as I3 says of the file. -EAGAIN while a page is being
 * written. */
int intent_grow(struct intent *intent, uint64_t size);
/* Takes a mark away, in memory; intent_write_changed brings it to the file. */
void intent_unmark(struct intent *intent, uint64_t extent);
void intent_write_changed(struct intent *intent);

#endif
