/* When the next cycle begins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "repl/pace.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_next_cycle_rests_as_long_as_it_may) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
