/* The state tables against the documents, typed in here by hand: not one cell is taken from the code.
 *
 * Sources: the operations' own pages (StartDiskReplicaPair: "only created or stopped can be activated"; StopDiskReplicaGroup,
 * FailoverDiskReplicaGroup and ReprotectDiskReplicaGroup list their states literally), and for the rest the facts page's
 * summary, 2.4, with what it marks as inferred. Switching over is Offsite's own: while replication runs after a first copy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/state.h"

struct expectation {
	enum pair_verb verb;
	const char *accepts; /* states, in spaces */
};

static const struct expectation of_pairs[] = {
	{ PAIR_VERB_START, " created stopped " },
	{ PAIR_VERB_START_ONE_SHOT, " created stopped " },
	{ PAIR_VERB_STOP, " initial_syncing syncing manual_syncing normal stopping stop_failed " },
	/* The page lists all of these but invalid: a primary that has lost its disk is what one fails over for. */
	{ PAIR_VERB_FAILOVER, " manual_syncing syncing normal stopping stop_failed stopped failovering failover_failed failovered "
			      "invalid " },
	{ PAIR_VERB_REPROTECT, " failovered reprotect_failed " },
	{ PAIR_VERB_DELETE, " created create_failed stopped failovered invalid deleting delete_failed " },
	{ PAIR_VERB_MODIFY, " created stopped " },
	{ PAIR_VERB_ADD, " created stopped " },
	{ PAIR_VERB_REMOVE, " created stopped invalid " },
	{ PAIR_VERB_SWITCHOVER, " syncing normal " },
	{ PAIR_VERB_SCRUB, " syncing normal " },
};

static const struct expectation of_groups[] = {
	{ PAIR_VERB_START, " created syncing normal stopped " },
	{ PAIR_VERB_START_ONE_SHOT, " created manual_syncing stopped " },
	/* The page lists all but initial_syncing, which the enumeration of groups leaves out; it must be possible to stop it. */
	{ PAIR_VERB_STOP, " initial_syncing manual_syncing syncing normal stopping stop_failed stopped " },
	/* The page lists all of these but invalid: a primary that has lost its disk is what one fails over for. */
	{ PAIR_VERB_FAILOVER, " manual_syncing syncing normal stopping stop_failed stopped failovering failover_failed failovered "
			      "invalid " },
	{ PAIR_VERB_REPROTECT, " failovered reprotect_failed " },
	{ PAIR_VERB_DELETE, " created create_failed stopped failovered deleting delete_failed invalid " },
	{ PAIR_VERB_MODIFY, " created stopped " },
	{ PAIR_VERB_ADD, " created stopped " },
	/* The page lists created, stopped and invalid. When the other site is gone for good a failed over group could never be
	 * emptied, and so never be deleted: that one is accepted, too. */
	{ PAIR_VERB_REMOVE, " created stopped invalid failovered " },
	{ PAIR_VERB_SWITCHOVER, " syncing normal " },
	{ PAIR_VERB_SCRUB, " syncing normal " },
};

static bool is_listed(const char *accepts, const char *state)
{
	char word[64];

	snprintf(word, sizeof word, " %s ", state);
	return strstr(accepts, word) != NULL;
}

static void check_table(const char *name, const struct verdict table[PAIR_STATES][PAIR_VERBS],
			const struct expectation *expectations)
{
	int wrong = 0;

	for (int verb = 0; verb < PAIR_VERBS; verb++) {
		assert_int_equal(expectations[verb].verb, verb); /* one row for each */
		for (int state = 0; state < PAIR_STATES; state++) {
			bool expected = is_listed(expectations[verb].accepts, pair_state_name((enum pair_state)state));
			const struct verdict *verdict = &table[state][verb];

			if (verdict->kind != UNDECIDED && (verdict->kind == ACCEPT) == expected)
				continue;
			print_error("%s: %s in %s: the documents %s\n", name, pair_verb_name((enum pair_verb)verb),
				    pair_state_name((enum pair_state)state), expected ? "accept it" : "refuse it");
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
}

static void test_pairs(void **state)
{
	(void)state;
	check_table("pair", pair_table, of_pairs);
}

static void test_groups(void **state)
{
	(void)state;
	check_table("group", group_table, of_groups);
}

/* What an accepted operation shows while it runs, and why others are refused. */
static void test_results(void **state)
{
	(void)state;
	assert_int_equal(pair_table[PAIR_NORMAL][PAIR_VERB_STOP].then, PAIR_STOPPING);
	assert_int_equal(pair_table[PAIR_NORMAL][PAIR_VERB_FAILOVER].then, PAIR_FAILOVERING);
	assert_int_equal(pair_table[PAIR_FAILOVERED][PAIR_VERB_REPROTECT].then, PAIR_REPROTECTING);
	assert_int_equal(group_table[PAIR_STOPPED][PAIR_VERB_START_ONE_SHOT].then, PAIR_MANUAL_SYNCING);
	assert_int_equal(pair_table[PAIR_CREATED][PAIR_VERB_FAILOVER].because, REFUSE_NEVER_SYNCED);
	assert_int_equal(group_table[PAIR_INITIAL_SYNCING][PAIR_VERB_FAILOVER].because, REFUSE_NEVER_SYNCED);
	assert_int_equal(pair_table[PAIR_NORMAL][PAIR_VERB_START].because, REFUSE_INVALID_STATUS);
	assert_int_equal(group_table[PAIR_NORMAL][PAIR_VERB_ADD].because, REFUSE_GROUP_STATUS_ADD);
	assert_int_equal(group_table[PAIR_NORMAL][PAIR_VERB_REMOVE].because, REFUSE_GROUP_STATUS_REMOVE);
	assert_int_equal(pair_table[PAIR_SYNCING][PAIR_VERB_ADD].because, REFUSE_PAIR_STATUS_ADD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs), cmocka_unit_test(test_groups), cmocka_unit_test(test_results),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
