/* Blocks out of one space: none overlaps another, all come together again, memory goes back by whole pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "nbd/arena.h"

#define SPACE (4 * ARENA_BLOCK_MAX)
#define BLOCKS 600u

static struct arena_space space;
static bool released[SPACE / ARENA_PIECE]; /* since it was used last */
static size_t releases;

static void on_release(void *memory, size_t size)
{
	size_t at = (size_t)((uint8_t *)memory - space.memory);

	assert_int_equal(at % ARENA_PIECE, 0);
	assert_int_equal(size, ARENA_PIECE);
	assert_false(released[at / ARENA_PIECE]);
	released[at / ARENA_PIECE] = true;
	memset(memory, 0xdd, size);
	releases++;
}

static int setup(void **state)
{
	struct arena *arena = malloc(sizeof *arena);

	space = (struct arena_space){ .memory = aligned_alloc(ARENA_PIECE, SPACE), .size = SPACE, .release = on_release };
	assert_non_null(arena);
	assert_non_null(space.memory);
	memset(released, 0, sizeof released);
	releases = 0;
	arena_init(arena, &space);
	*state = arena;
	return 0;
}

static int teardown(void **state)
{
	arena_fini(*state);
	free(*state);
	free(space.memory);
	return 0;
}

static uint8_t *take(struct arena *arena, size_t size)
{
	uint8_t *block = arena_take(arena, size);

	if (block != NULL) {
		size_t at = (size_t)(block - space.memory);

		assert_true(arena_owns(arena, block) && at + size <= SPACE);
		for (size_t piece = at / ARENA_PIECE; piece * ARENA_PIECE < at + size; piece++)
			released[piece] = false;
	}
	return block;
}

static void test_no_space(void **state)
{
	static const struct arena_space none;
	struct arena arena = { 0 };

	(void)state;
	assert_null(arena_take(&arena, ARENA_BLOCK_MIN));
	assert_false(arena_owns(&arena, (uint8_t *)&arena));
	arena_fini(&arena);
	arena_init(&arena, &none);
	assert_null(arena_take(&arena, 1));
	arena_fini(&arena);
}

static void test_sizes(void **state)
{
	struct arena *arena = *state;
	uint8_t *blocks[SPACE / ARENA_BLOCK_MAX];

	assert_null(take(arena, ARENA_BLOCK_MAX + 1));
	for (size_t i = 0; i < SPACE / ARENA_BLOCK_MAX; i++) {
		blocks[i] = take(arena, i == 1 ? ARENA_BLOCK_MAX / 2 + 1 : ARENA_BLOCK_MAX);
		assert_non_null(blocks[i]);
		assert_int_equal((size_t)(blocks[i] - space.memory) % ARENA_BLOCK_MAX, 0);
	}
	assert_null(take(arena, 1));
	assert_false(arena_owns(arena, space.memory + SPACE));
	arena_give(arena, blocks[2], ARENA_BLOCK_MAX);
	assert_ptr_equal(take(arena, ARENA_BLOCK_MAX), blocks[2]);
	for (size_t i = 0; i < SPACE / ARENA_BLOCK_MAX; i++)
		arena_give(arena, blocks[i], i == 1 ? ARENA_BLOCK_MAX / 2 + 1 : ARENA_BLOCK_MAX);
}

/* The same numbers in each run. */
static uint32_t next(void)
{
	static uint32_t state = 7;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

/* Each block holds its own number from end to end, whatever is taken and given around it. */
static void test_many(void **state)
{
	struct arena *arena = *state;
	struct {
		uint8_t *block;
		size_t size;
	} rows[BLOCKS] = { 0 };
	uint8_t *whole;

	for (unsigned step = 0; step < 20000; step++) {
		unsigned i = next() % BLOCKS;

		if (rows[i].block != NULL) {
			assert_int_equal(rows[i].block[0], (uint8_t)i);
			assert_int_equal(rows[i].block[rows[i].size - 1], (uint8_t)i);
			arena_give(arena, rows[i].block, rows[i].size);
			rows[i].block = NULL;
			continue;
		}
		rows[i].size = (size_t)1 + next() % (ARENA_BLOCK_MIN << next() % (step % 1000 < 500 ? 4 : 8));
		rows[i].block = take(arena, rows[i].size);
		if (rows[i].block != NULL)
			rows[i].block[0] = rows[i].block[rows[i].size - 1] = (uint8_t)i;
	}
	for (unsigned i = 0; i < BLOCKS; i++) {
		if (rows[i].block != NULL)
			arena_give(arena, rows[i].block, rows[i].size);
	}
	assert_int_equal(arena->used_bytes, 0);
	for (unsigned i = 0; i < SPACE / ARENA_BLOCK_MAX; i++) { /* they are whole again */
		whole = take(arena, ARENA_BLOCK_MAX);
		assert_non_null(whole);
		rows[i].block = whole;
	}
	for (unsigned i = 0; i < SPACE / ARENA_BLOCK_MAX; i++)
		arena_give(arena, rows[i].block, ARENA_BLOCK_MAX);
}

/* What was touched and is free stays below the limit; what was never used is never given back. */
static void test_memory_goes_back(void **state)
{
	struct arena *arena = *state;
	uint8_t *blocks[SPACE / ARENA_BLOCK_MIN];
	size_t kept = 0;

	for (unsigned i = 0; i < 3; i++)
		arena_give(arena, take(arena, ARENA_BLOCK_MIN), ARENA_BLOCK_MIN);
	assert_int_equal(arena->touched_bytes, ARENA_PIECE);
	for (size_t i = 0; i < SPACE / ARENA_BLOCK_MIN; i++) {
		blocks[i] = take(arena, ARENA_BLOCK_MIN);
		assert_non_null(blocks[i]);
	}
	assert_int_equal(arena->touched_bytes, SPACE);
	assert_int_equal(releases, 0);
	for (size_t i = 0; i < SPACE / ARENA_BLOCK_MIN; i++)
		arena_give(arena, blocks[i], ARENA_BLOCK_MIN);
	for (size_t i = 0; i < SPACE / ARENA_PIECE; i++)
		kept += released[i] ? 0 : ARENA_PIECE;
	assert_int_equal(kept, ARENA_KEPT_MAX);
	assert_int_equal(arena->touched_bytes, kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_space),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_goes_back, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
