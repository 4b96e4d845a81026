#include "base/memory.h"

#include <stdint.h>
#include <string.h>

#include "base/log.h"

#define PAGE_SIZE 4096u

static void *memory_demand(void *memory, size_t count, size_t size)
{
	if (memory == NULL) {
		log_event(LOG_ERROR, "memory.exhausted", "count=%zu size=%zu", count, size);
		abort();
	}
	return memory;
}

void *memory_new(size_t count, size_t size)
{
	return memory_demand(calloc(count > 0 ? count : 1, size > 0 ? size : 1), count, size);
}

void *memory_resize(void *old, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes))
		return memory_demand(NULL, count, size);
	return memory_demand(realloc(old, bytes > 0 ? bytes : 1), count, size);
}

char *memory_copy_text(const char *text)
{
	size_t size = strlen(text) + 1;

	return memcpy(memory_new(1, size), text, size);
}

void *memory_try_buffer(size_t size)
{
	size_t whole = (size + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;

	return aligned_alloc(PAGE_SIZE, whole > 0 ? whole : PAGE_SIZE);
}

void memory_wipe(void *secret, size_t size)
{
	explicit_bzero(secret, size);
}

void memory_free_pointer(void *pointer_to_pointer)
{
	void *pointer;

	memcpy(&pointer, pointer_to_pointer, sizeof pointer);
	free(pointer);
}
