/* offsite-sim: runs schedules from seeds. Each batch of seeds runs in a child process: a killed simulated process leaves its
 * memory behind, and a crash of the engine itself is caught with its seed. */
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/planted.h"
#include "sim/schedule.h"

#define BATCH 32u
#define BATCH_PLANTED 4u /* the first failure ends it */
#define TRACE_LINES 60u
#define HISTORY 1000000u
#define TRACE_WIDTH 240u

static char trace[TRACE_LINES][TRACE_WIDTH];
static uint64_t trace_count, trace_hash;
static bool verbose, quiet;
static bool enumerating; /* a number is not a seed, but HISTORY * seed + 2 * boundary, and one more for a power cut */

static void on_log(void *data, enum log_level level, const char *line)
{
	(void)data;
	snprintf(trace[trace_count++ % TRACE_LINES], TRACE_WIDTH, "%s %s", log_level_name(level), line);
	trace_hash = hash_xxh3_pair(&trace_hash, sizeof trace_hash, line, strlen(line));
	if (verbose)
		printf("%s %s\n", log_level_name(level), line);
}

static void print_trace(void)
{
	uint64_t first = trace_count > TRACE_LINES ? trace_count - TRACE_LINES : 0;

	for (uint64_t i = first; i < trace_count; i++)
		printf("  %s\n", trace[i % TRACE_LINES]);
}

/* Runs one seed; true when it passed. */
static bool run_seed(uint64_t seed, struct schedule_result *result)
{
	trace_count = trace_hash = 0;
	log_set_sink(on_log, NULL, LOG_DEBUG);
	if (enumerating)
		schedule_run_boundary(seed / HISTORY, seed % HISTORY / 2, seed % 2 == 1, result);
	else
		schedule_run(seed, result);
	if (result->passed || quiet)
		return result->passed;
	printf("seed %" PRIu64 " FAILED %s\n  the last of the trace:\n", seed, result->why);
	print_trace();
	printf("  replay: offsite-sim%s --seed %" PRIu64 " --verbose\n", enumerating ? " --every-boundary" : "", seed);
	return false;
}

struct totals {
	uint64_t seeds, failures;
	uint64_t first_failed;
	char why[400];
	struct schedule_result sums;
};

static void add_failure(struct totals *totals, uint64_t seed, const char *why)
{
	if (totals->failures++ > 0)
		return;
	totals->first_failed = seed;
	snprintf(totals->why, sizeof totals->why, "%s", why);
}

static void add(struct totals *totals, uint64_t seed, const struct schedule_result *result)
{
	totals->seeds++;
	if (!result->passed)
		add_failure(totals, seed, result->why);
	totals->sums.events += result->events;
	totals->sums.writes += result->writes;
	totals->sums.checks += result->checks;
	totals->sums.kills += result->kills;
	totals->sums.power_losses += result->power_losses;
	totals->sums.link_breaks += result->link_breaks;
	totals->sums.operations += result->operations;
	totals->sums.failovers += result->failovers;
	totals->sums.switchovers += result->switchovers;
	totals->sums.scrubs += result->scrubs;
	totals->sums.looks += result->looks;
	totals->sums.renewals += result->renewals;
	totals->sums.growths += result->growths;
	totals->sums.faults += result->faults;
}

/* In the child: seeds one after the other; before each its number goes into the pipe, after it its result. */
static void run_batch(int out, uint64_t from, uint64_t count)
{
	for (uint64_t seed = from; seed < from + count; seed++) {
		struct schedule_result result;

		run_seed(seed, &result);
		fflush(stdout);
		if (write(out, &result, sizeof result) != (ssize_t)sizeof result)
			_exit(1);
	}
	_exit(0);
}

static void batch(struct totals *totals, uint64_t from, uint64_t count)
{
	struct schedule_result result;
	int ends[2], status;
	uint64_t done = 0;
	pid_t child;

	fflush(stdout);
	if (pipe(ends) < 0 || (child = fork()) < 0) {
		perror("offsite-sim");
		exit(2);
	}
	if (child == 0) {
		close(ends[0]);
		run_batch(ends[1], from, count);
	}
	close(ends[1]);
	while (read(ends[0], &result, sizeof result) == (ssize_t)sizeof result) {
		add(totals, from + done++, &result);
	}
	close(ends[0]);
	waitpid(child, &status, 0);
	if (done == count)
		return;
	if (!quiet)
		printf("seed %" PRIu64 " FAILED the program crashed\n  replay: offsite-sim --seed %" PRIu64 " --verbose\n", from + done,
		       from + done);
	totals->seeds++;
	add_failure(totals, from + done, "the program stopped itself (an assertion)");
	if (done + 1 < count)
		batch(totals, from + done + 1, count - done - 1);
}

static int run_many(uint64_t from, uint64_t count)
{
	struct totals totals = { 0 };
	time_t began = time(NULL), seconds;

	for (uint64_t at = 0; at < count; at += BATCH)
		batch(&totals, from + at, count - at < BATCH ? count - at : BATCH);
	seconds = time(NULL) - began;
	printf("%" PRIu64 " seeds from %" PRIu64 " in %lld s: %" PRIu64 " failed; ", totals.seeds, from, (long long)seconds,
	       totals.failures);
	printf("%" PRIu64 " events, %" PRIu64 " writes, %" PRIu64 " kills, %" PRIu64 " power losses, %" PRIu64 " link breaks, ",
	       totals.sums.events, totals.sums.writes, totals.sums.kills, totals.sums.power_losses, totals.sums.link_breaks);
	printf("%" PRIu64 " failing files, ", totals.sums.faults);
	printf("%" PRIu64 " operations (%" PRIu64 " failovers, %" PRIu64 " switchovers), ", totals.sums.operations,
	       totals.sums.failovers, totals.sums.switchovers);
	printf("%" PRIu64 " scrubs, %" PRIu64 " changes of members, %" PRIu64 " disks grown, ", totals.sums.scrubs,
	       totals.sums.renewals, totals.sums.growths);
	printf("%" PRIu64 " images judged, %" PRIu64 " looks at divergences\n", totals.sums.checks, totals.sums.looks);
	return totals.failures == 0 ? 0 : 1;
}

/* A crash at every boundary of each history, as a kill and as a power cut. */
static int run_every_boundary(uint64_t from, uint64_t count)
{
	struct totals totals = { 0 };
	struct schedule_result result;
	uint64_t boundaries = 0;

	for (uint64_t seed = from; seed < from + count; seed++) {
		uint64_t here, first = seed * HISTORY + 2, end;

		log_set_sink(on_log, NULL, LOG_DEBUG);
		here = schedule_run_boundary(seed, 0, false, &result);
		end = first + 2 * here;
		for (uint64_t at = first; at < end; at += BATCH)
			batch(&totals, at, end - at < BATCH ? end - at : BATCH);
		boundaries += here;
	}
	printf("%" PRIu64 " boundaries of %" PRIu64 " histories, a kill and a power cut at each: %" PRIu64 " failed\n", boundaries,
	       count, totals.failures);
	return totals.failures == 0 ? 0 : 1;
}

static noreturn void run_one(uint64_t seed)
{
	struct schedule_result result;
	bool passed = run_seed(seed, &result);

	printf("seed %" PRIu64 ": %s, %" PRIu64 " events, trace %016" PRIx64 "\n", seed, passed ? "passed" : "failed",
	       result.events, trace_hash);
	fflush(stdout);
	_exit(passed ? 0 : 1); /* a killed simulated process is no leak: as after a batch, nobody looks for one */
}

#ifdef OFFSITE_PLANTED

static const struct {
	const char *name, *text;
} mistakes[PLANTED_MISTAKES] = {
	[PLANTED_NOTHING] = { "NOTHING", "the program as it is" },
#define X(name, text) [PLANTED_##name] = { #name, text },
	PLANTED_LIST(X)
#undef X
};

/* Runs seeds until one fails; true when one did. */
static bool is_caught(enum planted mistake, uint64_t from, uint64_t count)
{
	struct totals totals = { 0 };

	planted_mistake = mistake;
	quiet = true;
	for (uint64_t at = 0; at < count && totals.failures == 0; at += BATCH_PLANTED)
		batch(&totals, from + at, count - at < BATCH_PLANTED ? count - at : BATCH_PLANTED);
	if (totals.failures > 0)
		printf("%-24s caught by seed %" PRIu64 ", %" PRIu64 " of %" PRIu64 " seeds: %s\n", mistakes[mistake].name,
		       totals.first_failed, totals.failures, totals.seeds, totals.why);
	else
		printf("%-24s NOT CAUGHT by %" PRIu64 " seeds: %s\n", mistakes[mistake].name, totals.seeds, mistakes[mistake].text);
	fflush(stdout);
	return totals.failures > 0;
}

/* 0 when each was caught; "all", or one. */
static int run_planted(const char *name, uint64_t from, uint64_t count)
{
	unsigned chosen = 0, missed = 0;

	for (unsigned i = PLANTED_NOTHING + 1; i < PLANTED_MISTAKES; i++) {
		if (strcmp(name, "list") == 0)
			printf("%-24s %s\n", mistakes[i].name, mistakes[i].text);
		if (strcmp(name, "all") != 0 && strcmp(name, mistakes[i].name) != 0)
			continue;
		chosen++;
		missed += !is_caught((enum planted)i, from, count);
	}
	if (strcmp(name, "list") == 0)
		return 0;
	if (chosen == 0)
		fprintf(stderr, "offsite-sim: there is no mistake \"%s\": --planted list names them\n", name);
	return chosen == 0 ? 2 : missed > 0;
}

/* One seed with a mistake switched on, for looking at it. */
static bool plant(const char *name)
{
	for (unsigned i = 0; i < PLANTED_MISTAKES; i++) {
		if (strcmp(name, mistakes[i].name) == 0)
			planted_mistake = (enum planted)i;
	}
	return planted_mistake != PLANTED_NOTHING;
}
#endif

static int usage(FILE *out, int status)
{
	fprintf(out, "usage: offsite-sim --seeds N [--from S]   run N schedules\n"
		     "       offsite-sim --seed S [--verbose]   replay one, with its trace\n"
		     "       --every-boundary                   crash short histories at each write, sync and frame instead\n"
#ifdef OFFSITE_PLANTED
		     "       --planted NAME                     with a mistake; \"list\" names them\n"
#endif
		     );
	return status;
}

static bool number(const char *text, uint64_t *out_number)
{
	char *end;

	*out_number = strtoull(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && *end == 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seeds", required_argument, NULL, 'n' }, { "from", required_argument, NULL, 'f' },
		{ "seed", required_argument, NULL, 's' }, { "verbose", no_argument, NULL, 'v' },
		{ "every-boundary", no_argument, NULL, 'b' },
#ifdef OFFSITE_PLANTED
		{ "planted", required_argument, NULL, 'p' },
#endif
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	const char *planted = NULL;
	uint64_t count = 0, from = 1, seed = 0;
	bool one = false, good = true;
	int option;

	/* Buffers of a megabyte come and go all the time: they are not to be given back to the kernel in between. */
	mallopt(M_MMAP_THRESHOLD, 256 << 20);
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
	sigaction(SIGHUP, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL); /* a lost terminal ends no run */
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'n')
			good &= number(optarg, &count);
		else if (option == 'f')
			good &= number(optarg, &from);
		else if (option == 's')
			good &= one = number(optarg, &seed);
		else if (option == 'v')
			verbose = true;
		else if (option == 'b')
			enumerating = true;
		else if (option == 'p')
			planted = optarg;
		else
			return usage(option == 'h' ? stdout : stderr, option == 'h' ? 0 : 2);
	}
	if (planted != NULL && strcmp(planted, "list") == 0)
		count = 1;
	if (!good || optind != argc || one == (count > 0))
		return usage(stderr, 2);
	if (enumerating && !one)
		return run_every_boundary(from, count);
#ifdef OFFSITE_PLANTED
	if (planted != NULL && !one)
		return run_planted(planted, from, count);
	if (planted != NULL && !plant(planted))
		return usage(stderr, 2);
#endif
	if (one)
		run_one(seed);
	return run_many(from, count);
}
