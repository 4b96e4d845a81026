#include "nbd/arena.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

#define ARENA_NONE UINT32_MAX

/* Of a block, kept at the first of its ARENA_BLOCK_MIN. */
struct arena_node {
	uint32_t next, previous; /* while it is free: in the list of its order */
	uint8_t order;
	bool free;
};

/* ARENA_ORDERS: no block is so large. */
static unsigned order_of(size_t size)
{
	unsigned order = 0;

	while (order < ARENA_ORDERS && ARENA_BLOCK_MIN << order < size)
		order++;
	return order;
}

static void node_link(struct arena *arena, uint32_t index, unsigned order)
{
	struct arena_node *node = &arena->nodes[index];

	*node = (struct arena_node){ .next = arena->free[order], .previous = ARENA_NONE, .order = (uint8_t)order, .free = true };
	if (node->next != ARENA_NONE)
		arena->nodes[node->next].previous = index;
	arena->free[order] = index;
}

static void node_unlink(struct arena *arena, uint32_t index)
{
	struct arena_node *node = &arena->nodes[index];

	if (node->previous == ARENA_NONE)
		arena->free[node->order] = node->next;
	else
		arena->nodes[node->previous].next = node->next;
	if (node->next != ARENA_NONE)
		arena->nodes[node->next].previous = node->previous;
	node->free = false;
}

void arena_init(struct arena *arena, const struct arena_space *space)
{
	size_t blocks = space->size / ARENA_BLOCK_MIN, largest = ARENA_BLOCK_MAX / ARENA_BLOCK_MIN;

	*arena = (struct arena){ .space = *space };
	for (unsigned order = 0; order < ARENA_ORDERS; order++)
		arena->free[order] = ARENA_NONE;
	if (space->memory == NULL)
		return;
	assert((uintptr_t)space->memory % ARENA_PIECE == 0 && space->size % ARENA_BLOCK_MAX == 0);
	arena->nodes = memory_new(blocks, sizeof *arena->nodes);
	arena->touched = memory_new(space->size / ARENA_PIECE, sizeof *arena->touched);
	for (size_t index = blocks; index > 0; index -= largest)
		node_link(arena, (uint32_t)(index - largest), ARENA_ORDERS - 1);
}

void arena_fini(struct arena *arena)
{
	assert(arena->used_bytes == 0);
	free(arena->nodes);
	free(arena->touched);
	*arena = (struct arena){ 0 };
}

/* The pieces that [at, at + size) is in, or has. */
static void touch(struct arena *arena, size_t at, size_t size)
{
	for (size_t piece = at / ARENA_PIECE; piece * ARENA_PIECE < at + size; piece++) {
		arena->touched_bytes += arena->touched[piece] ? 0 : ARENA_PIECE;
		arena->touched[piece] = true;
	}
}

/* The pieces of a free block. */
static void release(struct arena *arena, size_t at, size_t size)
{
	for (; size >= ARENA_PIECE; at += ARENA_PIECE, size -= ARENA_PIECE) {
		size_t piece = at / ARENA_PIECE;

		if (!arena->touched[piece] || arena->touched_bytes - arena->used_bytes <= ARENA_KEPT_MAX)
			continue;
		arena->space.release(arena->space.memory + at, ARENA_PIECE);
		arena->touched[piece] = false;
		arena->touched_bytes -= ARENA_PIECE;
	}
}

uint8_t *arena_take(struct arena *arena, size_t size)
{
	unsigned order = order_of(size), found = order;
	uint32_t index;

	while (found < ARENA_ORDERS && (arena->nodes == NULL || arena->free[found] == ARENA_NONE))
		found++;
	if (found == ARENA_ORDERS)
		return NULL;
	index = arena->free[found];
	node_unlink(arena, index);
	for (; found > order; found--) /* the upper half stays free */
		node_link(arena, index + (1u << (found - 1)), found - 1);
	arena->nodes[index].order = (uint8_t)order;
	arena->used_bytes += ARENA_BLOCK_MIN << order;
	touch(arena, index * ARENA_BLOCK_MIN, ARENA_BLOCK_MIN << order);
	return arena->space.memory + index * ARENA_BLOCK_MIN;
}

void arena_give(struct arena *arena, uint8_t *block, size_t size)
{
	uint32_t index = (uint32_t)((size_t)(block - arena->space.memory) / ARENA_BLOCK_MIN);
	unsigned order = order_of(size);

	assert(arena_owns(arena, block) && !arena->nodes[index].free && arena->nodes[index].order == order);
	arena->used_bytes -= ARENA_BLOCK_MIN << order;
	for (; order + 1 < ARENA_ORDERS; order++) { /* with its other half, if that is free as a whole */
		uint32_t other = index ^ (1u << order);

		if (!arena->nodes[other].free || arena->nodes[other].order != order)
			break;
		node_unlink(arena, other);
		index &= ~(1u << order);
	}
	node_link(arena, index, order);
	release(arena, index * ARENA_BLOCK_MIN, ARENA_BLOCK_MIN << order);
}

bool arena_owns(const struct arena *arena, const uint8_t *block)
{
	uintptr_t begin = (uintptr_t)arena->space.memory;

	return arena->space.memory != NULL && (uintptr_t)block >= begin && (uintptr_t)block < begin + arena->space.size;
}
