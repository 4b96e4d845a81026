/* Bits in an array of 64-bit words that the caller owns (on the heap or in mapped memory). Indices and counts are in bits.
 * Every function borrows the words. Not thread safe. */
#ifndef BASE_BITMAP_H
#define BASE_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BITMAP_NONE UINT64_MAX /* "no such bit" */

/* Words (uint64_t) needed for `bits`. */
size_t bitmap_words(uint64_t bits);

static inline bool bitmap_test(const uint64_t *words, uint64_t bit) { return words[bit / 64] >> (bit % 64) & 1; }

void bitmap_set(uint64_t *words, uint64_t first, uint64_t count);
void bitmap_clear(uint64_t *words, uint64_t first, uint64_t count);

/* First set (clear) bit in [from, end), or BITMAP_NONE. */
uint64_t bitmap_next_set(const uint64_t *words, uint64_t from, uint64_t end);
uint64_t bitmap_next_clear(const uint64_t *words, uint64_t from, uint64_t end);

/* Set bits in [first, first + count). */
uint64_t bitmap_count(const uint64_t *words, uint64_t first, uint64_t count);

/* target |= source, over the words that hold `bits`. */
void bitmap_merge(uint64_t *target, const uint64_t *source, uint64_t bits);

#endif
