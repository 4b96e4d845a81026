/* Bitmaps, against a plain array of bools: every range that matters around word borders, then random ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bitmap.h"

#define BITS 300u

/* Both forms of the same bits. */
struct model {
	bool plain[BITS];
	uint64_t words[8]; /* three more than needed: guards */
};

static const unsigned borders[] = { 0, 1, 31, 62, 63, 64, 65, 100, 127, 128, 129, 191, 192, 255, 256, 298, 299, 300 };
#define BORDERS (sizeof borders / sizeof borders[0])

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void model_init(struct model *model)
{
	memset(model, 0, sizeof *model);
	memset(&model->words[5], 0x5a, 3 * sizeof model->words[0]);
}

static void model_write(struct model *model, unsigned first, unsigned count, bool value)
{
	for (unsigned i = first; i < first + count; i++)
		model->plain[i] = value;
	if (value)
		bitmap_set(model->words, first, count);
	else
		bitmap_clear(model->words, first, count);
}

static uint64_t model_next(const struct model *model, unsigned from, unsigned end, bool value)
{
	for (unsigned i = from; i < end; i++)
		if (model->plain[i] == value)
			return i;
	return BITMAP_NONE;
}

static void model_check(const struct model *model)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < BITS; i++) {
		assert_int_equal(bitmap_test(model->words, i), model->plain[i]);
		total += model->plain[i];
	}
	assert_int_equal(bitmap_count(model->words, 0, BITS), total);
	for (unsigned i = 5; i < 8; i++)
		assert_true(model->words[i] == 0x5a5a5a5a5a5a5a5a);
}

static void words_are_rounded_up(void **state)
{
	(void)state;
	assert_int_equal(bitmap_words(0), 0);
	assert_int_equal(bitmap_words(1), 1);
	assert_int_equal(bitmap_words(64), 1);
	assert_int_equal(bitmap_words(65), 2);
	assert_int_equal(bitmap_words(UINT64_C(1) << 32), 1u << 26);
}

static void ranges_around_word_borders_are_exact(void **state)
{
	(void)state;
	for (size_t i = 0; i < BORDERS; i++) {
		for (size_t j = i; j < BORDERS; j++) {
			struct model model;

			model_init(&model);
			model_write(&model, borders[i], borders[j] - borders[i], true);
			model_check(&model);
			model_write(&model, 0, BITS, true);
			model_write(&model, borders[i], borders[j] - borders[i], false);
			model_check(&model);
		}
	}
}

static void random_writes_agree_with_a_plain_array(void **state)
{
	uint64_t seed = 7;
	struct model model;

	(void)state;
	model_init(&model);
	for (int round = 0; round < 2000; round++) {
		unsigned first = (unsigned)(next_random(&seed) % BITS);
		unsigned count = (unsigned)(next_random(&seed) % (BITS - first + 1));
		uint64_t counted = 0;

		model_write(&model, first, count, (next_random(&seed) & 1) != 0);
		model_check(&model);
		first = (unsigned)(next_random(&seed) % BITS);
		count = (unsigned)(next_random(&seed) % (BITS - first + 1));
		for (unsigned i = first; i < first + count; i++)
			counted += model.plain[i];
		assert_int_equal(bitmap_count(model.words, first, count), counted);
		assert_int_equal(bitmap_next_set(model.words, first, first + count),
				 model_next(&model, first, first + count, true));
		assert_int_equal(bitmap_next_clear(model.words, first, first + count),
				 model_next(&model, first, first + count, false));
	}
}

static void an_empty_range_has_no_next_bit(void **state)
{
	uint64_t words[2] = { UINT64_MAX, 0 };

	(void)state;
	assert_true(bitmap_next_set(words, 5, 5) == BITMAP_NONE);
	assert_true(bitmap_next_set(words, 6, 5) == BITMAP_NONE);
	assert_true(bitmap_next_clear(words, 0, 64) == BITMAP_NONE);
	assert_int_equal(bitmap_next_clear(words, 0, 65), 64);
	assert_true(bitmap_next_set(words, 64, 128) == BITMAP_NONE);
}

static void merge_keeps_the_bits_of_both(void **state)
{
	uint64_t target[3] = { 1, 0, 8 }, source[3] = { 2, UINT64_MAX, 4 };

	(void)state;
	bitmap_merge(target, source, 100); /* two words */
	assert_true(target[0] == 3 && target[1] == UINT64_MAX && target[2] == 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_rounded_up),
		cmocka_unit_test(ranges_around_word_borders_are_exact),
		cmocka_unit_test(random_writes_agree_with_a_plain_array),
		cmocka_unit_test(an_empty_range_has_no_next_bit),
		cmocka_unit_test(merge_keeps_the_bits_of_both),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
