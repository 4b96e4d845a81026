/* Which shard gets which disk and unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "daemon/placement.h"

static struct unit_spec unit(const char *id, uint32_t count, const char *const *disks)
{
	struct unit_spec spec = { .disk_count = count };

	snprintf(spec.id, sizeof spec.id, "%s", id);
	for (uint32_t i = 0; i < count; i++)
		snprintf(spec.disks[i].local_disk, sizeof spec.disks[i].local_disk, "%s", disks[i]);
	return spec;
}

static void test_disks_spread(void **state)
{
	static const char *const ids[] = { "a", "b", "c", "d", "e" };
	struct placement placement;

	(void)state;
	placement_init(&placement, 3);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(placement_add_disk(&placement, ids[i]), i % 3);
	assert_int_equal(placement_add_disk(&placement, "b"), 1);
	placement_forget_disk(&placement, "b");
	placement_forget_disk(&placement, "b");
	assert_int_equal(placement_of_disk(&placement, "b"), 0);
	placement_forget_disk(&placement, "e");
	assert_int_equal(placement_add_disk(&placement, "f"), 1);
	assert_int_equal(placement_of_disk(&placement, "a"), 0);
	assert_int_equal(placement_of_disk(&placement, "c"), 2);
	placement_fini(&placement);
}

static void test_a_disk_that_moved_counts_there(void **state)
{
	struct placement placement;

	(void)state;
	placement_init(&placement, 2);
	assert_int_equal(placement_add_disk(&placement, "a"), 0);
	assert_int_equal(placement_add_disk(&placement, "b"), 1);
	placement_move_disk(&placement, "a", 1);
	placement_move_disk(&placement, "nobody", 1);
	assert_int_equal(placement_of_disk(&placement, "a"), 1);
	assert_int_equal(placement_add_disk(&placement, "c"), 0);
	assert_int_equal(placement_add_disk(&placement, "d"), 0);
	placement_fini(&placement);
}

static void test_a_unit_goes_where_most_are(void **state)
{
	static const char *const disks[] = { "a", "b", "d", "e" };
	struct placement placement;
	struct unit_spec spec = unit("u", 3, disks);

	(void)state;
	placement_init(&placement, 3);
	placement_add_disk(&placement, "a");
	placement_add_disk(&placement, "b");
	placement_add_disk(&placement, "c");
	placement_add_disk(&placement, "d"); /* in 0, as a */
	placement_move_disk(&placement, "d", 1);
	assert_false(placement_knows_unit(&placement, "u"));
	assert_int_equal(placement_add_unit(&placement, &spec), 1);
	assert_true(placement_knows_unit(&placement, "u"));
	placement_move_disk(&placement, "b", 2);
	placement_move_disk(&placement, "d", 2);
	assert_int_equal(placement_add_unit(&placement, &spec), 1); /* it stays */
	assert_int_equal(placement_of_unit(&placement, "u"), 1);
	placement_forget_unit(&placement, "u");
	placement_forget_unit(&placement, "u");
	assert_int_equal(placement_add_unit(&placement, &spec), 2);
	placement_fini(&placement);
}

/* A unit and a disk may have the same name. */
static void test_names_of_two_kinds(void **state)
{
	static const char *const disks[] = { "x" };
	struct placement placement;
	struct unit_spec spec = unit("x", 1, disks);

	(void)state;
	placement_init(&placement, 2);
	placement_add_disk(&placement, "w");
	assert_int_equal(placement_add_disk(&placement, "x"), 1);
	assert_int_equal(placement_add_unit(&placement, &spec), 1);
	placement_forget_disk(&placement, "x");
	assert_int_equal(placement_of_unit(&placement, "x"), 1);
	placement_fini(&placement);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disks_spread),
		cmocka_unit_test(test_a_disk_that_moved_counts_there),
		cmocka_unit_test(test_a_unit_goes_where_most_are),
		cmocka_unit_test(test_names_of_two_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
