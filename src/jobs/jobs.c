/* See jobs.h. A job is RUNNING until its last step (or the last of what it undoes) is over; it is stored before each step, so
 * that the step that was interrupted is the one that is repeated. */
#include "jobs/jobs.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "jobs/internal.h"

#define LOOK_MS 250u
#define PRUNE_MS 60000u

static uint64_t clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t jobs_now_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

uint64_t jobs_wall_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

/* --- a job's way --- */

/* A step is repeated after a restart when its end could not be stored, which the client token makes harmless. */
static void job_keep(struct job *job)
{
	struct error error = { 0 };

	if (job_store(job, &error) < 0)
		log_event(LOG_ERROR, "job.not_stored", "id=%s reason=\"%s\"", job->id, error.text);
}

static void job_end(struct job *job)
{
	void (*on_end)(void *data, const struct job *job) = job->on_end;
	char logged[sizeof(job->text)];

	text_copy_quotable(logged, sizeof(logged), job->text);
	job->state = job->undoing || job->refusal != REFUSE_NONE ? JOB_FAILED : JOB_DONE;
	job->ended_ms = jobs_wall_ms();
	job->jobs->running--;
	job->jobs->ended++;
	list_remove(&job->at_work);
	list_init(&job->at_work);
	job_keep(job);
	log_event(LOG_INFO, "job.ended", "id=%s plan=%s object=%s result=%s reason=\"%s\"", job->id, job->plan->name,
		  job->object[0] == '\0' ? "-" : job->object, job->state == JOB_DONE ? "done" : "failed", logged);
	job->on_end = NULL;
	if (on_end != NULL)
		on_end(job->data, job);
}

static const struct job_step *job_step(const struct job *job)
{
	return &(job->undoing ? job->plan->undo : job->plan->steps)[job->step];
}

static void job_go_on(struct job *job, bool again)
{
	job->turn = again ? job->turn + 1 : 0;
	job->step += !again;
	job->patient_until_ms = 0;
	if (job_step(job)->name != NULL)
		job_keep(job);
}

/* The step cannot be done: the reason of the first one counts, whatever undoing meets. */
static void job_break(struct job *job, enum refusal refusal, const char *text)
{
	const struct job_step *step = job_step(job);
	char logged[sizeof(job->text)];

	if (step->may_fail || job->undoing) {
		text_copy_quotable(logged, sizeof(logged), text);
		log_event(LOG_INFO, "job.step_skipped", "id=%s step=\"%s\" reason=\"%s\"", job->id, step->name, logged);
		job_go_on(job, step->repeats);
		return;
	}
	job->refusal = refusal;
	snprintf(job->text, sizeof(job->text), "cannot %s: %s", step->name, text[0] == '\0' ? refusal_text(refusal) : text);
	text_clean(job->text);
	job->patient_until_ms = 0;
	job->step = job->turn = 0;
	job->undoing = job->plan->undo != NULL;
	if (job->undoing)
		job_keep(job);
}

/* May become possible by itself, within some time. */
static bool job_is_patient(struct job *job, enum refusal refusal)
{
	if (refusal != REFUSE_PEER_UNREACHABLE && refusal != REFUSE_TOKEN_RUNNING)
		return false;
	if (job->patient_until_ms == 0)
		job->patient_until_ms = jobs_now_ms() + 1000u * JOB_PATIENCE_S;
	return jobs_now_ms() < job->patient_until_ms;
}

static bool job_is_over(const struct job *job)
{
	return (job->refusal != REFUSE_NONE && !job->undoing) || job_step(job)->name == NULL;
}

static void on_answer(void *data, const struct control_answer *answer)
{
	struct job *job = data;
	const struct job_step *step = job_step(job);

	job->asking = false;
	if (job_is_patient(job, answer->refusal))
		return;
	job->jobs->look_ms = 0;
	if (answer->refusal != REFUSE_NONE) {
		job_break(job, answer->refusal, answer->text);
		return;
	}
	if (step->makes != NULL)
		job_remember(job, step->makes, answer->id);
	job_go_on(job, step->repeats);
}

static void job_ask(struct job *job, struct job_run *run)
{
	snprintf(run->request.client_token, sizeof(run->request.client_token), "%s-%c%u-%u", job->id,
		 job->undoing ? 'u' : 's', job->step, job->turn);
	job->asking = true;
	control_call(job->jobs->control, &run->request, on_answer, job);
}

/* One step; what follows it is for the next look, which is due at once unless there is something to wait for. */
static void job_advance(struct job *job)
{
	struct job_run run = { .control = job->jobs->control, .job = job, .refusal = REFUSE_INTERNAL };
	enum job_next next;

	if (job_is_over(job)) {
		job_end(job);
		return;
	}
	next = job_step(job)->run(&run);
	if (next == JOB_ASK) {
		job_ask(job, &run);
	} else if (next == JOB_GO_ON) {
		job_go_on(job, false);
		job->jobs->look_ms = 0;
	} else if (next == JOB_FAIL) {
		job_break(job, run.refusal, run.text);
		job->jobs->look_ms = 0;
	}
	control_request_clear(&run.request);
}

/* --- the table --- */

static bool is_old(const struct jobs *jobs, const struct job *job, uint64_t now_ms)
{
	bool seen_to = job->state == JOB_DONE || job->dismissed;

	return job->state != JOB_RUNNING &&
	       ((seen_to && job->ended_ms + 1000u * (uint64_t)JOB_KEPT_S < now_ms) || jobs->ended > JOBS_ENDED_MAX);
}

static void jobs_prune(struct jobs *jobs)
{
	uint64_t now_ms = jobs_wall_ms();

	list_for_each(entry, &jobs->all) {
		struct job *job = container_of(entry, struct job, entry);

		if (is_old(jobs, job, now_ms))
			job_drop(job);
	}
}

uint32_t jobs_tick(struct jobs *jobs)
{
	uint64_t now = jobs_now_ms();

	if (now >= jobs->prune_ms || jobs->ended > JOBS_ENDED_MAX + JOBS_ENDED_MAX / 10) {
		jobs->prune_ms = now + PRUNE_MS;
		jobs_prune(jobs);
	}
	if (now < jobs->look_ms)
		return (uint32_t)(jobs->look_ms - now);
	jobs->look_ms = now + LOOK_MS;
	list_for_each(entry, &jobs->at_work) {
		struct job *job = container_of(entry, struct job, at_work);

		if (!job->asking)
			job_advance(job);
	}
	if (list_is_empty(&jobs->at_work))
		return 1000;
	return jobs->look_ms > now ? (uint32_t)(jobs->look_ms - now) : 0;
}

int jobs_new(struct control *control, struct catalog *catalog, const struct job_plan *const *plans, struct jobs **out_jobs,
	     struct error *error)
{
	struct jobs *jobs = memory_new(1, sizeof(*jobs));
	int code;

	jobs->control = control;
	jobs->catalog = catalog;
	jobs->plans = plans;
	list_init(&jobs->all);
	list_init(&jobs->at_work);
	code = jobs_load(jobs, error);
	if (code < 0) {
		jobs_free(jobs);
		return code;
	}
	*out_jobs = jobs;
	return 0;
}

void jobs_free(struct jobs *jobs)
{
	list_for_each(entry, &jobs->all)
		job_free(container_of(entry, struct job, entry));
	free(jobs);
}

/* Of no two jobs the same: it is their order, after a restart, too. */
static uint64_t begin_time(const struct jobs *jobs)
{
	uint64_t now_ms = jobs_wall_ms(), last_ms = 0;

	if (!list_is_empty(&jobs->all))
		last_ms = container_of(jobs->all.prev, struct job, entry)->begun_ms;
	return now_ms > last_ms ? now_ms : last_ms + 1;
}

bool jobs_are_full(const struct jobs *jobs)
{
	return jobs->running >= JOBS_RUNNING_MAX;
}

const struct job *jobs_begin(struct jobs *jobs, const struct job_plan *plan, const char *object, json_t *input,
			     void (*on_end)(void *data, const struct job *job), void *data, struct error *error)
{
	uint8_t random[16];
	struct job *job;

	if (jobs_are_full(jobs) || getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
		json_decref(input);
		error_set(error, -EBUSY, "%u jobs are running already: try again in a moment", jobs->running);
		return NULL;
	}
	job = memory_new(1, sizeof(*job));
	hash_to_hex(random, sizeof(random), job->id);
	job->plan = plan;
	text_copy(job->object, sizeof(job->object), object);
	job->begun_ms = begin_time(jobs);
	job->input = input;
	job->made = json_object();
	job->on_end = on_end;
	job->data = data;
	job_add(jobs, job);
	if (job_store(job, error) < 0) {
		job_free(job);
		return NULL;
	}
	jobs->look_ms = 0;
	return job;
}

void jobs_forget(struct jobs *jobs, const struct job *job)
{
	struct job *mine = container_of(index_find(&jobs->by_id, job->id)->next, struct job, by_id.entry);

	mine->on_end = NULL;
}

const struct job *jobs_find(const struct jobs *jobs, const char *id)
{
	const struct list *found = index_find(&jobs->by_id, id);

	return found == NULL ? NULL : container_of(found->next, struct job, by_id.entry);
}

/* The newest on that object that runs, or that has ended. */
static const struct job *newest(const struct jobs *jobs, const char *object, bool runs)
{
	const struct list *found = index_find(&jobs->by_object, object);

	for (struct list *entry = found == NULL ? NULL : found->prev; entry != NULL && entry != found; entry = entry->prev) {
		const struct job *job = container_of(entry, struct job, by_object.entry);

		if ((job->state == JOB_RUNNING) == runs)
			return job;
	}
	return NULL;
}

const struct job *jobs_running(const struct jobs *jobs, const char *object)
{
	return newest(jobs, object, true);
}

const struct job *jobs_last(const struct jobs *jobs, const char *object)
{
	return newest(jobs, object, false);
}

const struct job *jobs_before(const struct jobs *jobs, const struct job *job)
{
	const struct list *found = index_find(&jobs->by_object, job->object);

	return found == NULL || job->by_object.entry.prev == found ? NULL :
	       container_of(job->by_object.entry.prev, struct job, by_object.entry);
}

const struct list *jobs_all(const struct jobs *jobs)
{
	return &jobs->all;
}

int jobs_dismiss(struct jobs *jobs, const struct job *job, struct error *error)
{
	struct job *mine = container_of(index_find(&jobs->by_id, job->id)->next, struct job, by_id.entry);

	mine->dismissed = true;
	return job_store(mine, error);
}

/* --- for steps --- */

static const char *member(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text == NULL ? "" : text;
}

const char *job_input(const struct job *job, const char *name)
{
	return member(job->input, name);
}

const char *job_made(const struct job *job, const char *name)
{
	return member(job->made, name);
}

void job_remember(struct job *job, const char *name, const char *text)
{
	json_object_set_new(job->made, name, json_string(text));
}

void job_set_object(struct job *job, const char *object)
{
	text_copy(job->object, sizeof(job->object), object);
	index_put(&job->jobs->by_object, &job->by_object, job->object);
}

enum job_next job_fail(struct job_run *run, enum refusal refusal, const char *format, ...)
{
	va_list arguments;

	run->refusal = refusal;
	va_start(arguments, format);
	vsnprintf(run->text, sizeof(run->text), format, arguments);
	va_end(arguments);
	return JOB_FAIL;
}
