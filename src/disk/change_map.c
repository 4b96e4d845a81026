#include "disk/change_map.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "base/bitmap.h"
#include "disk/disk.h"
#include "env/env.h"

#define MAGIC UINT64_C(0x50414d455349464f) /* "OFFSIMAP" backwards enough to be told apart */
#define VERSION 2u
#define BITS_AT 4096u

struct change_map_header {
	uint64_t magic; /* written last when the map becomes valid, cleared first when it is not */
	uint64_t version;
	uint64_t size; /* of the disk, bytes */
	uint8_t lineage[CHANGE_MAP_LINEAGE_SIZE];
	uint64_t flip; /* 0: the first bitmap is the open one */
};

/* A killed process stops between two instructions: the compiler must keep the order of the stores around this. */
static void keep_order(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

static void change_map_point(struct change_map *map)
{
	uint64_t *bits = (uint64_t *)(void *)((uint8_t *)map->header + BITS_AT);
	size_t words = bitmap_words(map->blocks);

	map->open = bits + (map->header->flip ? words : 0);
	map->closed = bits + (map->header->flip ? 0 : words);
}

int change_map_open(struct change_map *map, struct env *env, const char *name,
		    const uint8_t lineage[CHANGE_MAP_LINEAGE_SIZE], uint64_t size, bool *out_valid)
{
	uint64_t blocks = (size + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE;
	size_t words = bitmap_words(blocks);
	void *memory;
	bool kept;
	int result;

	*map = (struct change_map){ .env = env, .disk_size = size, .blocks = blocks, .size = BITS_AT + 2 * words * sizeof(uint64_t) };
	result = env_memory_open(env, name, map->size, &memory, &kept);
	if (result < 0)
		return result;
	map->header = memory;
	*out_valid = kept && map->header->magic == MAGIC && map->header->version == VERSION &&
		     map->header->size == size && map->header->flip <= 1 &&
		     memcmp(map->header->lineage, lineage, CHANGE_MAP_LINEAGE_SIZE) == 0;
	if (!*out_valid) {
		map->header->magic = 0;
		keep_order();
		memset((uint8_t *)memory + sizeof map->header->magic, 0, map->size - sizeof map->header->magic);
	}
	change_map_point(map);
	map->closed_count = bitmap_count(map->closed, 0, blocks);
	map->open_count = bitmap_count(map->open, 0, blocks);
	change_map_merge_closed(map);
	return 0;
}

void change_map_validate(struct change_map *map, const uint8_t lineage[CHANGE_MAP_LINEAGE_SIZE])
{
	map->header->version = VERSION;
	map->header->size = map->disk_size;
	memcpy(map->header->lineage, lineage, CHANGE_MAP_LINEAGE_SIZE);
	keep_order();
	map->header->magic = MAGIC;
	keep_order();
}

int change_map_grow(struct change_map *map, const char *name, uint64_t size)
{
	uint8_t lineage[CHANGE_MAP_LINEAGE_SIZE];
	struct change_map grown;
	bool kept;
	int result;

	assert(map->closed_count == 0 && size >= map->disk_size);
	memcpy(lineage, map->header->lineage, sizeof lineage);
	env_memory_remove(map->env, name); /* the old one lives on, unnamed, until it is closed */
	result = change_map_open(&grown, map->env, name, lineage, size, &kept);
	if (result < 0)
		return result;
	memcpy(grown.open, map->open, bitmap_words(map->blocks) * sizeof(uint64_t));
	grown.open_count = map->open_count;
	if (map->header->magic == MAGIC) /* one that nobody may trust stays so */
		change_map_validate(&grown, lineage);
	change_map_close(map);
	*map = grown;
	return 0;
}

void change_map_invalidate(struct change_map *map)
{
	map->header->magic = 0;
	keep_order();
}

void change_map_close(struct change_map *map)
{
	if (map->header != NULL)
		env_memory_close(map->env, map->header, map->size);
	map->header = NULL;
}

void change_map_set(struct change_map *map, uint64_t first, uint64_t count)
{
	map->open_count += count - bitmap_count(map->open, first, count);
	bitmap_set(map->open, first, count);
	keep_order();
}

void change_map_cut(struct change_map *map)
{
	assert(map->closed_count == 0);
	map->header->flip = !map->header->flip;
	keep_order();
	change_map_point(map);
	map->closed_count = map->open_count;
	map->open_count = 0;
}

void change_map_drop_closed(struct change_map *map)
{
	if (map->closed_count > 0)
		memset(map->closed, 0, bitmap_words(map->blocks) * sizeof(uint64_t));
	map->closed_count = 0;
}

void change_map_merge_closed(struct change_map *map)
{
	if (map->closed_count == 0)
		return;
	bitmap_merge(map->open, map->closed, map->blocks);
	keep_order();
	map->open_count = bitmap_count(map->open, 0, map->blocks);
	change_map_drop_closed(map);
}

void change_map_close_range(struct change_map *map, uint64_t first, uint64_t count)
{
	map->closed_count += count - bitmap_count(map->closed, first, count);
	bitmap_set(map->closed, first, count);
	keep_order();
	map->open_count -= bitmap_count(map->open, first, count);
	bitmap_clear(map->open, first, count);
	keep_order();
}

void change_map_drop_range(struct change_map *map, uint64_t first, uint64_t count)
{
	map->closed_count -= bitmap_count(map->closed, first, count);
	bitmap_clear(map->closed, first, count);
}
