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

uint8_t *buffers_take(struct buffers *buffers, size_t size)
{
	unsigned class = class_of(size);
	struct free_buffer *found;

	if (class == BUFFER_CLASSES)
		return memory_try_buffer(size);
	found = buffers->free[class];
	if (found == NULL)
		return memory_try_buffer((size_t)SMALLEST << class);
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
		free(buffer);
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
			free(each);
		}
		buffers->free[class] = NULL;
	}
	buffers->kept = 0;
}
