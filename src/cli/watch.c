/* offsite pair|group watch: a live view; in place on a terminal, line by line elsewhere. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/table.h"

#define BAR_WIDTH 24u
#define LOOK_MS 500

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	(void)number;
	ended = 1;
}

static void print_bar(uint64_t done, uint64_t total)
{
	uint64_t part = total == 0 ? BAR_WIDTH : done >= total ? BAR_WIDTH : BAR_WIDTH * done / total;

	putchar('[');
	for (uint64_t i = 0; i < BAR_WIDTH; i++)
		putchar(i < part ? '#' : '.');
	printf("] %3llu %%", (unsigned long long)(total == 0 ? 100 : done >= total ? 100 : 100 * done / total));
}

static void print_copy(const json_t *more)
{
	uint64_t total = row_number(more, "TotalBytes"), done = row_number(more, "DoneBytes");
	uint64_t rate = row_number(more, "RateBytes");
	char a[32], b[32], c[32], left[32];

	print_bar(done, total);
	printf("  %s of %s, %s/s, ", text_size(done, a), text_size(total, b), text_size(rate, c));
	if (rate > 0 && done < total)
		printf("%s left", text_age((total - done) * 1000 / rate, left));
	else
		printf("%s", done < total ? "time left not known yet" : "done");
}

static void print_recovery(const json_t *row, const json_t *more)
{
	uint64_t age_ms = row_number(more, "RecoveryAgeMs"), rpo = row_number(row, "RPO") * 1000;
	char age[32], dirty[32];

	if (row_number(more, "RecoveryEpoch") == 0) {
		printf("no recovery point yet");
		return;
	}
	print_bar(age_ms, rpo);
	printf(" of the RPO  recovery point %s old%s, %s not yet there", text_age(age_ms, age), age_ms > rpo ? ": RPO MISSED" : "",
	       text_size(row_number(more, "DirtyBytes"), dirty));
}

static void print_look(const json_t *row, const char *name, bool in_place)
{
	const json_t *more = json_object_get(row, "Offsite");
	const char *reason = row_text(more, "Reason"), *state = row_text(row, "Status");

	if (in_place)
		printf("\r\033[K");
	printf("%s  %-15s %s  ", name, state, json_is_true(json_object_get(more, "Linked")) ? "linked" : "no link");
	if (strcmp(state, "initial_syncing") == 0)
		print_copy(more);
	else
		print_recovery(row, more);
	if (reason[0] != 0)
		printf("  (%s)", reason);
	if (!in_place)
		putchar('\n');
	fflush(stdout);
}

int run_watch(struct invocation *invocation, struct error *error)
{
	const struct sigaction action = { .sa_handler = on_signal };
	const char *noun = invocation->command->noun;
	bool once = invocation->options[OPTION_ONCE] != NULL, in_place = isatty(STDOUT_FILENO) && !once;
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
	int result = 0;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	while (!ended && result == 0) {
		json_t *rows = rows_of(invocation, noun, error);
		const json_t *row = rows == NULL ? NULL : row_find(rows, noun, invocation->arguments[0], error);

		if (row == NULL)
			result = -ENOENT;
		else
			print_look(row, invocation->arguments[0], in_place);
		json_decref(rows);
		if (once)
			break;
		if (result == 0)
			clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	}
	if (in_place)
		putchar('\n');
	return result;
}
