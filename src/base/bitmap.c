#include "base/bitmap.h"

#define WORD_BITS 64u

size_t bitmap_words(uint64_t bits)
{
	return (size_t)((bits + WORD_BITS - 1) / WORD_BITS);
}

/* Bits [from, WORD_BITS) and [0, to) of a word; `to` is 1 to WORD_BITS. */
static uint64_t mask_from(uint64_t from)
{
	return UINT64_MAX << from;
}

static uint64_t mask_to(uint64_t to)
{
	return UINT64_MAX >> (WORD_BITS - to);
}

/* The part of word `index` that lies in [first, end). */
static uint64_t mask_of(uint64_t index, uint64_t first, uint64_t end)
{
	uint64_t mask = UINT64_MAX;

	if (index == first / WORD_BITS)
		mask &= mask_from(first % WORD_BITS);
	if (index == (end - 1) / WORD_BITS)
		mask &= mask_to((end - 1) % WORD_BITS + 1);
	return mask;
}

void bitmap_set(uint64_t *words, uint64_t first, uint64_t count)
{
	if (count == 0)
		return;
	for (uint64_t i = first / WORD_BITS; i <= (first + count - 1) / WORD_BITS; i++)
		words[i] |= mask_of(i, first, first + count);
}

void bitmap_clear(uint64_t *words, uint64_t first, uint64_t count)
{
	if (count == 0)
		return;
	for (uint64_t i = first / WORD_BITS; i <= (first + count - 1) / WORD_BITS; i++)
		words[i] &= ~mask_of(i, first, first + count);
}

static uint64_t bitmap_next(const uint64_t *words, uint64_t from, uint64_t end, uint64_t flip)
{
	if (from >= end)
		return BITMAP_NONE;
	for (uint64_t i = from / WORD_BITS; i <= (end - 1) / WORD_BITS; i++) {
		uint64_t word = (words[i] ^ flip) & mask_of(i, from, end);

		if (word != 0)
			return i * WORD_BITS + (uint64_t)__builtin_ctzll(word);
	}
	return BITMAP_NONE;
}

uint64_t bitmap_next_set(const uint64_t *words, uint64_t from, uint64_t end)
{
	return bitmap_next(words, from, end, 0);
}

uint64_t bitmap_next_clear(const uint64_t *words, uint64_t from, uint64_t end)
{
	return bitmap_next(words, from, end, UINT64_MAX);
}

uint64_t bitmap_count(const uint64_t *words, uint64_t first, uint64_t count)
{
	uint64_t total = 0;

	if (count == 0)
		return 0;
	for (uint64_t i = first / WORD_BITS; i <= (first + count - 1) / WORD_BITS; i++)
		total += (uint64_t)__builtin_popcountll(words[i] & mask_of(i, first, first + count));
	return total;
}

void bitmap_merge(uint64_t *target, const uint64_t *source, uint64_t bits)
{
	for (size_t i = 0; i < bitmap_words(bits); i++)
		target[i] |= source[i];
}
