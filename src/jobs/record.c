/* Jobs as they stand in the catalog: one record each, JSON. A job whose plan this version does not know has failed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "catalog/catalog.h"
#include "jobs/internal.h"

#define KIND "job"

static char *job_write(const struct job *job)
{
	json_t *json = json_pack("{s:s, s:s, s:i, s:i, s:i, s:b, s:b, s:I, s:I, s:O, s:O, s:i}", "plan", job->plan->name,
				 "object", job->object, "state", job->state, "step", (int)job->step, "turn",
				 (int)job->turn, "undoing", job->undoing, "dismissed", job->dismissed, "begun_ms",
				 (json_int_t)job->begun_ms, "ended_ms", (json_int_t)job->ended_ms, "input",
				 job->input, "made", job->made, "refusal", job->refusal);
	char *text;

	json_object_set_new(json, "text", json_string(job->text));
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	return text;
}

int job_store(struct job *job, struct error *error)
{
	struct catalog *catalog = job->jobs->catalog;
	AUTO_FREE char *body = job_write(job);
	int code = catalog_begin(catalog, error);

	if (code < 0)
		return code;
	code = catalog_put(catalog, KIND, job->id, body, error);
	if (code == 0)
		return catalog_commit(catalog, error);
	catalog_rollback(catalog);
	return code;
}

void job_add(struct jobs *jobs, struct job *job)
{
	job->jobs = jobs;
	list_append(&jobs->all, &job->entry);
	index_put(&jobs->by_id, &job->by_id, job->id);
	index_put(&jobs->by_object, &job->by_object, job->object);
	list_init(&job->at_work);
	if (job->state == JOB_RUNNING) {
		list_append(&jobs->at_work, &job->at_work);
		jobs->running++;
	} else {
		jobs->ended++;
	}
}

void job_free(struct job *job)
{
	struct jobs *jobs = job->jobs;

	if (job->state == JOB_RUNNING) {
		list_remove(&job->at_work);
		jobs->running--;
	} else {
		jobs->ended--;
	}
	list_remove(&job->entry);
	index_put(&jobs->by_id, &job->by_id, "");
	index_put(&jobs->by_object, &job->by_object, "");
	json_decref(job->input);
	json_decref(job->made);
	free(job);
}

void job_drop(struct job *job)
{
	struct catalog *catalog = job->jobs->catalog;

	if (catalog_begin(catalog, NULL) == 0) {
		catalog_remove(catalog, KIND, job->id, NULL);
		catalog_commit(catalog, NULL);
	}
	job_free(job);
}

/* --- loading --- */

struct loading {
	struct jobs *jobs;
	struct job **found;
	size_t count, room;
};

static const struct job_plan *plan_find(const struct jobs *jobs, const char *name)
{
	for (size_t i = 0; jobs->plans[i] != NULL; i++)
		if (strcmp(jobs->plans[i]->name, name) == 0)
			return jobs->plans[i];
	return NULL;
}

static uint32_t plan_length(const struct job_step *steps)
{
	uint32_t count = 0;

	while (steps != NULL && steps[count].name != NULL)
		count++;
	return count;
}

static struct job *job_read(struct jobs *jobs, const char *id, json_t *json)
{
	const char *plan = json_string_value(json_object_get(json, "plan")), *object, *text;
	json_t *input = json_object_get(json, "input"), *made = json_object_get(json, "made");
	json_int_t state = json_integer_value(json_object_get(json, "state")), step, turn, refusal;
	struct job *job;

	object = json_string_value(json_object_get(json, "object"));
	text = json_string_value(json_object_get(json, "text"));
	step = json_integer_value(json_object_get(json, "step"));
	turn = json_integer_value(json_object_get(json, "turn"));
	refusal = json_integer_value(json_object_get(json, "refusal"));
	if (plan == NULL || object == NULL || text == NULL || !json_is_object(input) || !json_is_object(made) || state < 0 ||
	    state > JOB_FAILED || refusal < 0 || refusal >= REFUSALS || plan_find(jobs, plan) == NULL)
		return NULL;
	job = memory_new(1, sizeof(*job));
	job->plan = plan_find(jobs, plan);
	text_copy(job->id, sizeof(job->id), id);
	text_copy(job->object, sizeof(job->object), object);
	text_copy(job->text, sizeof(job->text), text);
	job->state = (enum job_state)state;
	job->refusal = (enum refusal)refusal;
	job->undoing = json_is_true(json_object_get(json, "undoing"));
	job->dismissed = json_is_true(json_object_get(json, "dismissed"));
	job->begun_ms = (uint64_t)json_integer_value(json_object_get(json, "begun_ms"));
	job->ended_ms = (uint64_t)json_integer_value(json_object_get(json, "ended_ms"));
	job->step = plan_length(job->undoing ? job->plan->undo : job->plan->steps);
	if (step >= 0 && step < (json_int_t)job->step)
		job->step = (uint32_t)step;
	if (turn > 0 && turn <= UINT32_MAX)
		job->turn = (uint32_t)turn;
	job->input = json_incref(input);
	job->made = json_incref(made);
	return job;
}

static int on_job(void *data, const char *id, const char *body, struct error *error)
{
	struct loading *loading = data;
	json_t *json = json_loads(body, 0, NULL);
	struct job *job = job_read(loading->jobs, id, json);

	(void)error;
	json_decref(json);
	if (job == NULL) {
		log_event(LOG_WARNING, "job.unknown", "id=%s advice=\"it is of another version, and stays as it is\"", id);
		return 0;
	}
	if (loading->count == loading->room) {
		loading->room = loading->room == 0 ? 64 : 2 * loading->room;
		loading->found = memory_resize(loading->found, loading->room, sizeof(struct job *));
	}
	loading->found[loading->count++] = job;
	return 0;
}

static int compare_begin(const void *left, const void *right)
{
	const struct job *const *a = left, *const *b = right;

	return (*a)->begun_ms < (*b)->begun_ms ? -1 : (*a)->begun_ms > (*b)->begun_ms;
}

int jobs_load(struct jobs *jobs, struct error *error)
{
	struct loading loading = { .jobs = jobs };
	int code = catalog_each(jobs->catalog, KIND, on_job, &loading, error);

	if (loading.count > 1)
		qsort(loading.found, loading.count, sizeof(struct job *), compare_begin);
	for (size_t i = 0; i < loading.count; i++)
		job_add(jobs, loading.found[i]);
	free(loading.found);
	return code;
}
