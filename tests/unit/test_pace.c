/* When the next cycle begins, and how long a line with a limit is spoken for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "repl/pace.h"
#include "repl/pace_line.h"

#define MS UINT64_C(1000000)
#define CUT_MS UINT64_C(100000)

static void the_next_cycle_rests_as_long_as_it_may(void **state)
{
	static const struct {
		uint64_t shipped_ms, committed_ms, cycle_ms_min, rpo_ms; /* the first two after the cut */
		uint64_t length_ms;                                      /* from cut to cut; less than committed_ms: begins at once */
	} cases[] = {
		{ 0, 0, 500, 900000, 500 },        /* nothing to ship */
		{ 20, 30, 500, 900000, 500 },      /* little: as often as is allowed */
		{ 125, 130, 500, 900000, 500 },
		{ 200, 210, 500, 900000, 800 },    /* a quarter of the time is for shipping */
		{ 600, 700, 500, 900000, 2400 },
		{ 700, 800, 500, 900000, 2500 },   /* no longer than five of the shortest */
		{ 30000, 30500, 500, 900000, 2500 },
		{ 10, 2000, 500, 900000, 500 },    /* what waits for the other site alone costs nothing here */
		{ 400, 500, 500, 5000, 1600 },     /* half the RPO, less what the next one takes */
		{ 600, 700, 500, 5000, 1800 },
		{ 1200, 1300, 500, 5000, 1200 },
		{ 2600, 2700, 500, 5000, 500 },
		{ 200, 300, 500, 1000, 500 },
		{ 60, 70, 20, 1000, 100 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct pace_cycle cycle = { CUT_MS * MS, (CUT_MS + cases[i].shipped_ms) * MS,
						  (CUT_MS + cases[i].committed_ms) * MS };

		assert_int_equal(pace_next_cut_ns(&cycle, cases[i].cycle_ms_min * MS, cases[i].rpo_ms * MS),
				 (CUT_MS + cases[i].length_ms) * MS);
	}
}

static void a_line_without_a_limit_is_free(void **state)
{
	struct pace_line line = { 0 };

	(void)state;
	pace_line_take(&line, UINT64_C(1) << 30, 5 * MS);
	assert_int_equal(pace_line_free_ns(&line, 5 * MS), 0);
}

static void a_line_is_spoken_for_by_what_was_sent(void **state)
{
	struct pace_line line = { 0 };
	uint64_t now = 1000 * MS;

	(void)state;
	pace_line_limit(&line, 1000000, now);
	assert_in_range(pace_line_free_ns(&line, now), now + 1, now + MS); /* it begins with nothing saved */
	now += MS;
	assert_int_equal(pace_line_free_ns(&line, now), 0);
	pace_line_take(&line, 50000, now); /* 50 ms, one of them saved */
	assert_in_range(pace_line_free_ns(&line, now), now + 49 * MS, now + 49 * MS + 1);
	pace_line_take(&line, 10000, now); /* by another shard, which had looked at the same time */
	now += 59 * MS;
	assert_in_range(pace_line_free_ns(&line, now), now + 1, now + 1);
	pace_line_limit(&line, 1000000, now); /* told by the next shard: nothing changes */
	assert_int_equal(pace_line_free_ns(&line, now + 1), 0);
	pace_line_limit(&line, 0, now);
	assert_int_equal(pace_line_free_ns(&line, now), 0);
}

static void an_idle_line_saves_a_burst_and_no_more(void **state)
{
	struct pace_line line = { 0 };
	uint64_t now = 1000 * MS, sent = 0;

	(void)state;
	pace_line_limit(&line, 1000000, now);
	now += 3600 * 1000 * MS;
	for (; pace_line_free_ns(&line, now) == 0; sent += 1000)
		pace_line_take(&line, 1000, now);
	assert_in_range(sent, 100000, 101000); /* 100 ms */
}

/* Frames of a megabyte at a kilobyte a second, and the slowest limit there is: no number runs over. */
static void a_slow_line_is_overdrawn_for_long(void **state)
{
	struct pace_line line = { 0 };

	(void)state;
	pace_line_limit(&line, 1, 1000 * MS);
	for (unsigned i = 0; i < 64; i++)
		pace_line_take(&line, 1u << 20, 1001 * MS);
	assert_int_equal(pace_line_free_ns(&line, 1001 * MS), 1000 * MS + 64 * (UINT64_C(1) << 20) * 1000 * MS + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_cycle_rests_as_long_as_it_may),
		cmocka_unit_test(a_line_without_a_limit_is_free),
		cmocka_unit_test(a_line_is_spoken_for_by_what_was_sent),
		cmocka_unit_test(an_idle_line_saves_a_burst_and_no_more),
		cmocka_unit_test(a_slow_line_is_overdrawn_for_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
