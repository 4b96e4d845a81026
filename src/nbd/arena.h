/* Large buffers out of one piece of address space, so that each is contiguous in physical memory, too, where the kernel backs the
 * space with huge pages: a device then is given a transfer in few parts, not in one for each page.
 *
 * Blocks are powers of two from ARENA_BLOCK_MIN to ARENA_BLOCK_MAX, each at a multiple of its size (a buddy allocator). What is
 * known of them lies outside, so that free memory is never touched. Memory is given back to the kernel by pieces of ARENA_PIECE,
 * when more than ARENA_KEPT_MAX was touched and is free. One thread. */
#ifndef NBD_ARENA_H
#define NBD_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARENA_ORDERS 10u
#define ARENA_BLOCK_MIN ((size_t)64 * 1024)
#define ARENA_BLOCK_MAX (ARENA_BLOCK_MIN << (ARENA_ORDERS - 1)) /* 32 MiB */
#define ARENA_PIECE ((size_t)2 * 1024 * 1024)
#define ARENA_KEPT_MAX ((size_t)64 * 1024 * 1024)

/* Address space of the host's, ARENA_PIECE aligned, a multiple of ARENA_BLOCK_MAX; no memory NULL: none. */
struct arena_space {
	uint8_t *memory;
	size_t size;
	void (*release)(void *memory, size_t size); /* the kernel may have it back: it is not read before it is written again */
};

struct arena {
	struct arena_space space;
	struct arena_node *nodes; /* one for each ARENA_BLOCK_MIN */
	uint32_t free[ARENA_ORDERS]; /* the first free block of each order, or ARENA_NONE */
	bool *touched;            /* pieces */
	size_t touched_bytes, used_bytes;
};

/* Borrows the space until arena_fini. All zeros is an arena without any. */
void arena_init(struct arena *arena, const struct arena_space *space);
/* Nothing of it may be in use. */
void arena_fini(struct arena *arena);
/* NULL: there is no block left that is large enough, or size is too large for any. */
uint8_t *arena_take(struct arena *arena, size_t size);
/* `size` as it was taken. */
void arena_give(struct arena *arena, uint8_t *block, size_t size);
bool arena_owns(const struct arena *arena, const uint8_t *block);

#endif
