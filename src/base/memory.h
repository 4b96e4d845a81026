/* Memory, and cleanup bound to a scope.
 *
 * Small internal allocations that fail end the process with a sentence: every promise holds through kill -9, so this is
 * safe, and it removes the least tested paths of all. Sizes that an outsider chooses are checked against a limit first. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stddef.h>
#include <stdlib.h>

/* Zeroed; never NULL. The caller frees with free(). */
void *memory_new(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *memory_resize(void *old, size_t count, size_t size) __attribute__((returns_nonnull));
char *memory_copy_text(const char *text) __attribute__((returns_nonnull));

/* Page-aligned, not zeroed, NULL when there is none: for data buffers. */
void *memory_try_buffer(size_t size);

/* Overwrites secrets in a way the compiler keeps. */
void memory_wipe(void *secret, size_t size);

void memory_free_pointer(void *pointer_to_pointer);
#define AUTO_FREE __attribute__((cleanup(memory_free_pointer)))

/* Gives the pointer away from an AUTO_FREE variable. */
#define steal(pointer) \
	__extension__({ __typeof__(pointer) stolen_ = (pointer); (pointer) = NULL; stolen_; })

#endif
