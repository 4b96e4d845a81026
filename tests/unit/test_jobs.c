/* Jobs, over a real control/ and catalog and a shard that answers when it is told to: each ends, as done or as failed, wherever
 * the daemon dies, and what it made is there once or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "catalog/catalog.h"
#include "control/control.h"
#include "folder.h"
#include "jobs/jobs.h"

#define COMMANDS_MAX 64u
#define ROUNDS_MAX 20000u

/* --- a site without engine --- */

static struct site {
	char folder[64];
	struct catalog *catalog;
	struct control *control;
	struct jobs *jobs;
	struct shard_command commands[COMMANDS_MAX]; /* not answered yet */
	size_t count;
	size_t answers;                              /* that the shard still gives; then the daemon has died */
	const char *failing;                         /* name of the disk that cannot be made */
} site;

static void on_command(void *data, const struct shard_command *command)
{
	(void)data;
	assert_true(site.count < COMMANDS_MAX);
	site.commands[site.count++] = *command;
}

static void answer_one(void)
{
	const struct shard_command command = site.commands[0];
	struct error error = { 0 };

	memmove(site.commands, site.commands + 1, --site.count * sizeof(site.commands[0]));
	if (command.kind == SHARD_DISK_CREATE && site.failing != NULL && strcmp(command.u.disk.description, site.failing) == 0)
		error_set(&error, -EIO, "the device is gone");
	control_on_answer(site.control, command.id, &error);
}

static const struct job_plan *const plans[4];

static void open_site(void)
{
	const struct control_config config = { .site = { "here", "r-1", "z-1" }, .pairs_per_group_max = 128, .rpo_s_default = 900 };
	const struct control_port port = { .send = on_command };
	char path[96];
	struct error error;

	snprintf(path, sizeof(path), "%s/catalog", site.folder);
	assert_int_equal(catalog_open(path, &site.catalog, &error), 0);
	site.control = control_new(&config, site.catalog, &port, &error);
	assert_non_null(site.control);
	assert_int_equal(jobs_new(site.control, site.catalog, plans, &site.jobs, &error), 0);
}

static void close_site(void)
{
	jobs_free(site.jobs);
	control_free(site.control);
	catalog_close(site.catalog);
	site.count = 0;
}

static int set_up(void **state)
{
	(void)state;
	memset(&site, 0, sizeof(site));
	site.answers = SIZE_MAX;
	snprintf(site.folder, sizeof(site.folder), "/tmp/offsite-jobs-XXXXXX");
	assert_non_null(mkdtemp(site.folder));
	open_site();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close_site();
	folder_remove(site.folder);
	return 0;
}

/* Until no job runs, or the shard has given its last answer. */
static void go_on(void)
{
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		bool runs = false;

		unsigned due_ms = jobs_tick(site.jobs);

		list_for_each(entry, jobs_all(site.jobs))
			runs |= container_of(entry, struct job, entry)->state == JOB_RUNNING;
		if (!runs)
			return;
		if (site.count == 0) {
			poll(NULL, 0, (int)due_ms); /* as the control thread does */
			continue;
		}
		if (site.answers == 0)
			return;
		site.answers--;
		answer_one();
	}
	fail_msg("a job never ends");
}

static size_t disk_count(const char *name)
{
	const struct control_filter filter = { .name_part = name, .state = -1, .count = 100 };
	struct control_list list;
	size_t count;

	control_list_disks(site.control, &filter, &list);
	count = list.total;
	control_list_free(&list);
	return count;
}

/* --- plans --- */

static enum job_next create(struct job_run *run, const char *name)
{
	run->request.operation = CONTROL_CREATE_DISK;
	run->request.size = 1u << 20;
	snprintf(run->request.name, sizeof(run->request.name), "%s", name);
	return JOB_ASK;
}

static enum job_next create_first(struct job_run *run)
{
	return create(run, job_input(run->job, "first"));
}

static enum job_next create_second(struct job_run *run)
{
	assert_string_not_equal(job_made(run->job, "first"), "");
	return create(run, job_input(run->job, "second"));
}

static enum job_next remove_first(struct job_run *run)
{
	if (job_made(run->job, "first")[0] == '\0')
		return JOB_GO_ON;
	run->request.operation = CONTROL_DELETE_DISK;
	snprintf(run->request.disk, sizeof(run->request.disk), "%s", job_made(run->job, "first"));
	return JOB_ASK;
}

static enum job_next create_many(struct job_run *run)
{
	char name[32];

	snprintf(name, sizeof(name), "many-%u", run->job->turn);
	return run->job->turn < 5 ? create(run, name) : JOB_GO_ON;
}

static unsigned looks;

static enum job_next wait_twice(struct job_run *run)
{
	(void)run;
	return ++looks < 3 ? JOB_WAIT : JOB_GO_ON;
}

static enum job_next give_up(struct job_run *run)
{
	return job_fail(run, REFUSE_INVALID_STATUS, "it is %s", "Monday");
}

static const struct job_step two_steps[] = {
	{ .name = "make the first", .run = create_first, .makes = "first" },
	{ .name = "make the second", .run = create_second, .makes = "second" },
	{ 0 },
};
static const struct job_step undo_steps[] = { { .name = "remove the first", .run = remove_first }, { 0 } };
static const struct job_step lenient_steps[] = {
	{ .name = "make the first", .run = create_first, .makes = "first", .may_fail = true },
	{ .name = "make many", .run = create_many, .repeats = true },
	{ .name = "wait", .run = wait_twice },
	{ 0 },
};
static const struct job_step hopeless_steps[] = { { .name = "begin", .run = give_up }, { 0 } };

static const struct job_plan two = { "two", two_steps, undo_steps }, lenient = { "lenient", lenient_steps, NULL },
			     hopeless = { "hopeless", hopeless_steps, NULL };
static const struct job_plan *const plans[4] = { &two, &lenient, &hopeless, NULL };

static void on_end(void *data, const struct job *job)
{
	assert_int_not_equal(job->state, JOB_RUNNING);
	++*(unsigned *)data;
}

static const struct job *begin(const struct job_plan *plan, unsigned *ended)
{
	struct error error;
	json_t *input = json_pack("{s:s, s:s}", "first", "one", "second", "two");
	const struct job *job = jobs_begin(site.jobs, plan, "pg-1", input, ended == NULL ? NULL : on_end, ended, &error);

	assert_non_null(job);
	return job;
}

/* --- tests --- */

static void steps_are_done_in_their_order(void **state)
{
	unsigned ended = 0;
	const struct job *job = begin(&two, &ended);
	char id[JOB_ID_SIZE];

	(void)state;
	assert_ptr_equal(jobs_running(site.jobs, "pg-1"), job);
	assert_null(jobs_last(site.jobs, "pg-1"));
	go_on();
	assert_int_equal(ended, 1);
	assert_int_equal(job->state, JOB_DONE);
	assert_true(job->ended_ms >= job->begun_ms && job->begun_ms > 0);
	assert_int_equal(disk_count("one") + disk_count("two"), 2);
	assert_null(jobs_running(site.jobs, "pg-1"));
	memcpy(id, job->id, sizeof(id));
	close_site();
	open_site();
	assert_non_null(jobs_find(site.jobs, id));
	assert_ptr_equal(jobs_last(site.jobs, "pg-1"), jobs_find(site.jobs, id));
	assert_int_equal(jobs_find(site.jobs, id)->state, JOB_DONE);
	assert_string_not_equal(job_made(jobs_find(site.jobs, id), "second"), "");
}

static void a_failure_is_undone_and_says_why(void **state)
{
	unsigned ended = 0;
	const struct job *job = begin(&two, &ended);
	char id[JOB_ID_SIZE];

	(void)state;
	site.failing = "two";
	go_on();
	assert_int_equal(ended, 1);
	assert_int_equal(job->state, JOB_FAILED);
	assert_int_equal(job->refusal, REFUSE_STORAGE);
	assert_string_equal(job->text, "cannot make the second: the device is gone");
	assert_int_equal(disk_count(NULL), 0);
	memcpy(id, job->id, sizeof(id));
	assert_int_equal(jobs_dismiss(site.jobs, job, NULL), 0);
	close_site();
	open_site();
	assert_true(jobs_find(site.jobs, id)->dismissed);
	assert_string_equal(jobs_find(site.jobs, id)->text, "cannot make the second: the device is gone");
}

/* However many answers the shard has given when the daemon dies, and whether the job is to succeed or not. */
static void a_job_ends_wherever_the_daemon_dies(void **state)
{
	(void)state;
	for (size_t i = 0; i < 8; i++) {
		const struct job *job;
		char id[JOB_ID_SIZE];

		site.answers = i % 4;
		site.failing = i < 4 ? NULL : "two";
		memcpy(id, begin(&two, NULL)->id, sizeof(id));
		go_on();
		close_site();
		open_site();
		site.answers = SIZE_MAX;
		while (site.count > 0)
			answer_one();
		go_on();
		job = jobs_find(site.jobs, id);
		assert_int_equal(job->state, i < 4 ? JOB_DONE : JOB_FAILED);
		assert_int_equal(disk_count("one"), i < 4 ? 1 : 0);
		assert_int_equal(disk_count(NULL), i < 4 ? 2 : 0);
		tear_down(NULL);
		set_up(NULL);
	}
}

static void a_step_may_fail_repeat_and_wait(void **state)
{
	const struct job *job = begin(&lenient, NULL);

	(void)state;
	looks = 0;
	site.failing = "one";
	go_on();
	assert_int_equal(job->state, JOB_DONE);
	assert_int_equal(disk_count("one"), 0);
	assert_int_equal(disk_count("many-"), 5);
	assert_int_equal(looks, 3);
}

static void a_step_can_give_up(void **state)
{
	unsigned ended = 0;
	const struct job *job = begin(&hopeless, &ended), *forgotten = begin(&hopeless, &ended);

	(void)state;
	jobs_forget(site.jobs, forgotten);
	go_on();
	assert_int_equal(ended, 1);
	assert_int_equal(job->state, JOB_FAILED);
	assert_int_equal(forgotten->state, JOB_FAILED);
	assert_string_equal(job->text, "cannot begin: it is Monday");
}

static void too_many_are_refused(void **state)
{
	struct error error;

	(void)state;
	for (unsigned i = 0; i < JOBS_RUNNING_MAX; i++)
		begin(&hopeless, NULL);
	assert_true(jobs_are_full(site.jobs));
	assert_null(jobs_begin(site.jobs, &hopeless, "", json_object(), NULL, NULL, &error));
	assert_int_equal(error.code, -EBUSY);
	go_on();
	assert_false(jobs_are_full(site.jobs));
	begin(&hopeless, NULL);
	go_on();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(steps_are_done_in_their_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_failure_is_undone_and_says_why, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_job_ends_wherever_the_daemon_dies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_step_may_fail_repeat_and_wait, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_step_can_give_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(too_many_are_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
