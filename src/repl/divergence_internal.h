/* Private to divergence.c and divergence_view.c. */
#ifndef REPL_DIVERGENCE_INTERNAL_H
#define REPL_DIVERGENCE_INTERNAL_H

#include "repl/divergence.h"
#include "repl/internal.h"

#define DIVERGENCE_PAGE DISK_BLOCK_SIZE
#define DIVERGENCE_ZEROS 1u /* in saved_block.page: no page of the file, the block was zeros (page 1 is always a record's) */

struct saved_block {
	uint32_t page; /* of the file, 0: not saved */
	uint32_t check;
};

struct saved_disk {
	uint64_t size, blocks;
	struct saved_block **leaves; /* NULL where nothing is saved */
};

/* One at a time: the applier saves frame by frame. */
struct saving {
	uint64_t epoch;
	struct frame_data content;
	uint32_t range, disk, count, pending;
	uint64_t block;  /* next to look at in the range; UINT64_MAX: the range is new */
	uint64_t blocks[DIVERGENCE_ENTRIES_MAX];
	int result;
	struct env_io ios[DIVERGENCE_ENTRIES_MAX];
};

struct divergence {
	struct unit *unit; /* for as long as something is in flight, also when it has ended */
	bool ended;
	uint32_t references; /* the unit's, each view's, and of what is in flight */
	struct env_file *file;
	uint64_t salt, wall_ms;
	uint64_t end; /* bytes: where the next record goes */
	uint32_t disk_count;
	struct saved_disk *disks;
	struct saving saving;
	uint8_t *buffer; /* a record's page and its blocks */
	uint64_t record_size, file_size;
	struct env_io io;
	divergence_done *on_done;
};

/* Something of its own goes out: neither it nor its unit may go before it is back. */
void divergence_take(struct divergence *divergence);
void divergence_release(struct divergence *divergence);
/* NULL when it has not been saved: it has not been overwritten. */
const struct saved_block *divergence_find(const struct divergence *divergence, uint32_t disk, uint64_t block);

#endif
