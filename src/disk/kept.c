#include "disk/kept.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/memory.h"
#include "disk/disk.h"

#define CAPACITY_FIRST 64u

struct kept_entry {
	uint64_t block;
	uint8_t *bytes; /* NULL: free */
};

static struct kept_entry *kept_slot(const struct kept *kept, uint64_t block)
{
	uint64_t at = (block * UINT64_C(0x9E3779B97F4A7C15)) >> 20 & (kept->capacity - 1);

	while (kept->entries[at].bytes != NULL && kept->entries[at].block != block)
		at = (at + 1) & (kept->capacity - 1);
	return &kept->entries[at];
}

static void kept_grow(struct kept *kept)
{
	struct kept old = *kept;

	kept->capacity = old.capacity == 0 ? CAPACITY_FIRST : old.capacity * 2;
	kept->entries = memory_new(kept->capacity, sizeof *kept->entries);
	for (uint64_t i = 0; i < old.capacity; i++) {
		if (old.entries[i].bytes != NULL)
			*kept_slot(kept, old.entries[i].block) = old.entries[i];
	}
	free(old.entries);
}

uint8_t *kept_add(struct kept *kept, uint64_t block)
{
	struct kept_entry *entry;

	if (2 * (kept->count + 1) > kept->capacity)
		kept_grow(kept);
	entry = kept_slot(kept, block);
	assert(entry->bytes == NULL);
	entry->block = block;
	entry->bytes = memory_new(1, DISK_BLOCK_SIZE);
	kept->count++;
	kept->budget->used += DISK_BLOCK_SIZE;
	return entry->bytes;
}

uint8_t *kept_find(const struct kept *kept, uint64_t block)
{
	return kept->capacity == 0 ? NULL : kept_slot(kept, block)->bytes;
}

void kept_clear(struct kept *kept)
{
	for (uint64_t i = 0; i < kept->capacity; i++)
		free(kept->entries[i].bytes);
	free(kept->entries);
	if (kept->count > 0)
		kept->budget->used -= kept->count * DISK_BLOCK_SIZE;
	kept->entries = NULL;
	kept->capacity = kept->count = 0;
}
