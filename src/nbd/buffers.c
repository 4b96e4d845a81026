#include "nbd/buffers.h"

#include <stdlib.h>

#include "base/memory.h"

#define SMALLEST 4096u

/* Lies in the buffer itself. */
struct free_buffer {
	struct free_buffer *next;
};

/* BUFFER_CLASSES for a size that is not kept. */
static unsigned class_of(size_t size)
{
	unsigned class = 0;

	while (class < BUFFER_CLASSES && (size_t)SMALLEST << class < size)
		class++;
	return class;
}

static uint8_t *buffer_new(struct buffers *buffers, size_t size)
{
	uint8_t *block = size < ARENA_BLOCK_MIN ? NULL : arena_take(&buffers->arena, size);

	return block == NULL ? memory_try_buffer(size) : block;
}

static void buffer_free(struct buffers *buffers, uint8_t *buffer, size_t size)
{
	if (arena_owns(&buffers->arena, buffer))
		arena_give(&buffers->arena, buffer, size);
	else
		free(buffer);
}

uint8_t *buffers_take(struct buffers *buffers, size_t size)
{
	unsigned class = class_of(size);
	struct free_buffer *found;

	if (class == BUFFER_CLASSES)
		return buffer_new(buffers, size);
	found = buffers->free[class];
	if (found == NULL)
		return buffer_new(buffers, (size_t)SMALLEST << class);
	buffers->free[class] = found->next;
	buffers->kept -= (size_t)SMALLEST << class;
	return (uint8_t *)found;
}

void buffers_give(struct buffers *buffers, uint8_t *buffer, size_t size)
{
	unsigned class = class_of(size);
	struct free_buffer *given = (struct free_buffer *)(void *)buffer;

	if (buffer == NULL)
		return;
	if (class == BUFFER_CLASSES || buffers->kept + ((size_t)SMALLEST << class) > BUFFERS_KEPT_MAX) {
		buffer_free(buffers, buffer, class == BUFFER_CLASSES ? size : (size_t)SMALLEST << class);
		return;
	}
	given->next = buffers->free[class];
	buffers->free[class] = given;
	buffers->kept += (size_t)SMALLEST << class;
}

void buffers_fini(struct buffers *buffers)
{
	for (unsigned class = 0; class < BUFFER_CLASSES; class++) {
		struct free_buffer *next;

		for (struct free_buffer *each = buffers->free[class]; each != NULL; each = next) {
			next = each->next;
			buffer_free(buffers, (uint8_t *)each, (size_t)SMALLEST << class);
		}
		buffers->free[class] = NULL;
	}
	buffers->kept = 0;
	arena_fini(&buffers->arena);
}
