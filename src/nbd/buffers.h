/* Payload buffers of all sessions of a server, page aligned, kept for reuse by size: a busy client allocates nothing per
 * request, and the one given back last, which the processor's cache still holds, is taken first. Large ones are of the arena
 * while that has room. One thread. */
#ifndef NBD_BUFFERS_H
#define NBD_BUFFERS_H

#include <stddef.h>
#include <stdint.h>

#include "nbd/arena.h"

#define BUFFER_CLASSES 10u                     /* 4 KiB, 8 KiB, ... 2 MiB; larger ones are not kept */
#define BUFFERS_KEPT_MAX (32u * 1024u * 1024u) /* bytes kept */

struct free_buffer;

struct buffers {
	struct free_buffer *free[BUFFER_CLASSES];
	size_t kept;
	struct arena arena;
};

/* A buffer of at least `size` bytes, not zeroed; NULL when there is no memory. The size is the client's choice: the caller
 * has checked it. */
uint8_t *buffers_take(struct buffers *buffers, size_t size);
/* Gives it back; `size` as it was taken. NULL is allowed. */
void buffers_give(struct buffers *buffers, uint8_t *buffer, size_t size);
void buffers_fini(struct buffers *buffers);

#endif
