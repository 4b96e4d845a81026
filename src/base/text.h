/* Short texts in fixed room: copied whole, or cut off at the end; always with their final zero. Pure. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stddef.h>

/* `size` is the room of `out`, the final zero included; at least 1. */
void text_copy(char *out, size_t size, const char *text);

#endif
