/* The unit record: both slots, every byte of them damaged once, and what is out of range. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "repl/record.h"

static const struct record example = {
	.lineage = "sixteen bytes..", .term = 3, .condition = RECORD_FAILED_OVER, .content = COPY_DIVERGED, .copy = 4, .peer_copy = 5,
	.committed = 6, .committed_wall_ms = 7, .applied = 8, .stage = 1, .disk_count = 9, .staged_bytes = 10, .epoch_reserved = 11,
	.frames = 12, .floor = 13, .wall_ahead_ms = -14,
};
static uint8_t slot[RECORD_SLOT_SIZE];

static void test_round_trip(void **state)
{
	struct record seen = { 0 };

	(void)state;
	record_encode(&example, 42, slot);
	assert_int_equal(record_decode(slot, &seen), 42);
	assert_memory_equal(seen.lineage, example.lineage, sizeof seen.lineage);
	assert_int_equal(seen.term, 3);
	assert_int_equal(seen.condition, RECORD_FAILED_OVER);
	assert_int_equal(seen.content, COPY_DIVERGED);
	assert_int_equal(seen.copy, 4);
	assert_int_equal(seen.peer_copy, 5);
	assert_int_equal(seen.committed, 6);
	assert_int_equal(seen.committed_wall_ms, 7);
	assert_int_equal(seen.wall_ahead_ms, -14);
	assert_int_equal(seen.applied, 8);
	assert_int_equal(seen.stage, 1);
	assert_int_equal(seen.disk_count, 9);
	assert_int_equal(seen.staged_bytes, 10);
	assert_int_equal(seen.epoch_reserved, 11);
	assert_int_equal(seen.frames, 12);
	assert_int_equal(seen.floor, 13);
}

static void test_damage_is_noticed(void **state)
{
	struct record seen;

	(void)state;
	record_encode(&example, 42, slot);
	for (size_t i = 0; i < RECORD_SIZE; i++) {
		slot[i] ^= 1;
		assert_int_equal(record_decode(slot, &seen), 0);
		slot[i] ^= 1;
	}
	assert_int_equal(record_decode(slot, &seen), 42);
}

static void test_out_of_range(void **state)
{
	struct record wrong = example, seen;

	(void)state;
	wrong.condition = RECORD_CONDITIONS;
	record_encode(&wrong, 1, slot);
	assert_int_equal(record_decode(slot, &seen), 0);
	wrong = example;
	wrong.content = COPY_CONTENTS;
	record_encode(&wrong, 1, slot);
	assert_int_equal(record_decode(slot, &seen), 0);
	wrong = example;
	wrong.stage = 2;
	record_encode(&wrong, 1, slot);
	assert_int_equal(record_decode(slot, &seen), 0);
	memset(slot, 0, sizeof slot);
	assert_int_equal(record_decode(slot, &seen), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_damage_is_noticed), cmocka_unit_test(test_out_of_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
