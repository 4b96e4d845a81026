/* The change map of a disk: one bit a block, for the open epoch and for the closed one.
 *
 * It lives in memory that outlives a killed process and is lost, unambiguously, with the power (env_memory_*). Layout, in
 * host order since it never leaves this boot of this machine:
 *     0    magic, version, the disk's size, lineage, flip      (struct change_map_header, one page)
 *  4096    two bitmaps; `flip` says which is the open one
 * At every instruction the union of both bitmaps holds every block that may differ from the secondary: a bit goes from one
 * to the other by being set there first. So a kill anywhere leaves a map that is right once both halves are merged. */
#ifndef DISK_CHANGE_MAP_H
#define DISK_CHANGE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHANGE_MAP_LINEAGE_SIZE 16

struct change_map_header;
struct env;

struct change_map {
	struct env *env;
	struct change_map_header *header;
	size_t size;        /* of the memory */
	uint64_t disk_size; /* bytes */
	uint64_t blocks;
	uint64_t *open, *closed;
	uint64_t open_count, closed_count; /* set bits */
};

/* Maps the memory kept for `name`, for a disk of `size` bytes. *out_valid: it is a map of this lineage and size, of an earlier
 * process; both halves have been merged into the open one. Otherwise it is empty and has to be filled, then
 * change_map_validate'd. */
int change_map_open(struct change_map *map, struct env *env, const char *name,
		    const uint8_t lineage[CHANGE_MAP_LINEAGE_SIZE], uint64_t size, bool *out_valid);
/* From now on a later process may trust the map. */
void change_map_validate(struct change_map *map, const uint8_t lineage[CHANGE_MAP_LINEAGE_SIZE]);
/* More blocks, unchanged ones, at the end; nothing may be closed. A kill in between leaves no map: the intents count then. */
int change_map_grow(struct change_map *map, const char *name, uint64_t size);
/* No later process may trust it: it will go by the intents, as after a power cut. */
void change_map_invalidate(struct change_map *map);
void change_map_close(struct change_map *map);

void change_map_set(struct change_map *map, uint64_t first, uint64_t count);
/* The open epoch's bits become the closed one's; the closed half must be empty. */
void change_map_cut(struct change_map *map);
/* Proof has come: the closed bits are dropped. */
void change_map_drop_closed(struct change_map *map);
/* No proof: the closed bits join the open epoch. */
void change_map_merge_closed(struct change_map *map);
/* Bits of a range that are open become closed (first full sync). */
void change_map_close_range(struct change_map *map, uint64_t first, uint64_t count);
void change_map_drop_range(struct change_map *map, uint64_t first, uint64_t count);

#endif
