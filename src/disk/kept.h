/* Old bytes of blocks of a closed epoch that were overwritten before they were shipped: a table block -> 4 KiB.
 *
 * The budget is shared by all disks of a unit: when it is used up the epoch is abandoned, the writer does not wait. */
#ifndef DISK_KEPT_H
#define DISK_KEPT_H

#include <stdbool.h>
#include <stdint.h>

struct kept_budget {
	uint64_t used, max; /* bytes */
	void (*on_exceeded)(void *data); /* must merge the closed epoch of every disk that shares the budget */
	void *data;
};

struct kept_entry;

struct kept {
	struct kept_budget *budget;
	struct kept_entry *entries; /* open addressing; a power of two, at most half full */
	uint64_t capacity, count;
};

/* Room for one block's old bytes, to be filled by the caller; owned by the table from now on. The block is not in it yet. */
uint8_t *kept_add(struct kept *kept, uint64_t block);
/* The bytes of a block, or NULL. */
uint8_t *kept_find(const struct kept *kept, uint64_t block);
/* Frees every entry. */
void kept_clear(struct kept *kept);

#endif
