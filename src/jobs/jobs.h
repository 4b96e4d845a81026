/* Jobs: what takes several operations of control/, one after the other, and is to end whatever happens in between.
 *
 * A plan is a table of steps; a job is one run of it, kept in the catalog from before its first step. Each operation
 * carries a client token made of the job's id and the step, so that control/ answers a step that was done already from its
 * memory: after a restart the job goes on where it was, and nothing is done twice. A step that fails ends the job as failed,
 * with its reason, after what the plan undoes; a site that does not answer is asked again for a while first. Running jobs
 * are looked at with every tick.
 *
 * Source of the outer shape: SDRS's jobs (the dialect's facts, section 4.5). The control thread. */
#ifndef JOBS_JOBS_H
#define JOBS_JOBS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/index.h"
#include "base/list.h"
#include "control/control.h"

struct catalog;
struct error;
struct jobs;

#define JOB_ID_SIZE 33           /* 32 hexadecimal digits */
#define JOBS_RUNNING_MAX 1000u   /* at once; more are refused */
#define JOBS_ENDED_MAX 10000u    /* kept, the newest; and none for longer than JOB_KEPT_S, but for failures nobody has seen to */
#define JOB_KEPT_S (7u * 24u * 3600u)
#define JOB_PATIENCE_S 120u      /* for a site that does not answer, a step */

enum job_state { JOB_RUNNING, JOB_DONE, JOB_FAILED };

/* What a step says. */
enum job_next {
	JOB_ASK,   /* of control/: the request has been filled */
	JOB_WAIT,  /* nothing to do yet: looked at again with the next tick */
	JOB_GO_ON, /* done, or not needed: the next step */
	JOB_FAIL,  /* with the refusal and the text of the run */
};

struct job;

/* A step at work. */
struct job_run {
	struct control *control;
	struct job *job;
	struct control_request request; /* zeros; what is put in and on the heap belongs to the run */
	enum refusal refusal;
	char text[256];
};

struct job_step {
	const char *name; /* for the log, and for what a failure says: "create the disk" */
	enum job_next (*run)(struct job_run *run);
	/* The member of the job's `made` that takes the id in control's answer; NULL: not needed. */
	const char *makes;
	bool may_fail; /* a refusal is as good: what it was to do away with is gone, what it was to stop is stopped */
	bool repeats;  /* asked for once more after each answer, with the job's next `turn`, until it says JOB_GO_ON */
};

struct job_plan {
	const char *name; /* in the catalog and in answers */
	const struct job_step *steps; /* end with a row without name */
	const struct job_step *undo;  /* of a failure: all of them, in order, may_fail or not; or NULL */
};

struct job {
	char id[JOB_ID_SIZE];
	const struct job_plan *plan;
	char object[CONTROL_ID_SIZE]; /* the pair or group it is about; "" until it is made */
	enum job_state state;
	uint32_t step, turn;          /* where it is; how often a step that repeats has been done */
	bool undoing;
	bool dismissed;               /* a failure that somebody has seen to: it is not listed any more */
	uint64_t begun_ms, ended_ms;  /* wall clock; 0: not yet */
	json_t *input, *made;         /* objects: what was asked for; what the steps have made, and remember */
	enum refusal refusal;         /* of a failure */
	char text[256];
	/* not kept */
	struct jobs *jobs;
	struct list entry;            /* of all jobs, oldest first */
	struct list at_work;          /* of those that run */
	struct index_node by_id, by_object;
	uint64_t patient_until_ms;    /* monotonic; 0: nobody has kept it waiting */
	bool asking;                  /* control/ has not answered yet */
	void (*on_end)(void *data, const struct job *job);
	void *data;
};

/* `plans`: all there are, ended by NULL; borrowed, as the others, until jobs_free. Loads what the catalog holds. */
int jobs_new(struct control *control, struct catalog *catalog, const struct job_plan *const *plans, struct jobs **out_jobs,
	     struct error *error);
/* Before control_free: answers of control/ that are still to come find nobody. */
void jobs_free(struct jobs *jobs);

/* Begins a job, durably; its first step runs with the next tick, which is due at once. Takes `input`. `on_end` (or NULL) is
 * called once, and not after jobs_forget. NULL with the error: -EBUSY, too many run; or the catalog's. */
const struct job *jobs_begin(struct jobs *jobs, const struct job_plan *plan, const char *object, json_t *input,
			     void (*on_end)(void *data, const struct job *job), void *data, struct error *error);
/* Another one cannot begin now: to be asked by whoever does something else first. */
bool jobs_are_full(const struct jobs *jobs);
/* Whoever waited waits no longer; the job goes on. */
void jobs_forget(struct jobs *jobs, const struct job *job);

const struct job *jobs_find(const struct jobs *jobs, const char *id);
/* The job that works on it now, or NULL; and the newest that has ended. */
const struct job *jobs_running(const struct jobs *jobs, const char *object);
const struct job *jobs_last(const struct jobs *jobs, const char *object);
/* The one on the same object that began before this one, or NULL. */
const struct job *jobs_before(const struct jobs *jobs, const struct job *job);
/* Of struct job.entry, oldest first. */
const struct list *jobs_all(const struct jobs *jobs);
/* A failure that somebody has seen to: listed no more. */
int jobs_dismiss(struct jobs *jobs, const struct job *job, struct error *error);

/* Looks at what waits; milliseconds until it wants to be called again, at most 1000. */
uint32_t jobs_tick(struct jobs *jobs);

/* --- for steps --- */

/* A text of the job's input, or of what it has made; "" when there is none. Borrowed. */
const char *job_input(const struct job *job, const char *name);
const char *job_made(const struct job *job, const char *name);
/* Remembered with the job from the end of the step on. */
void job_remember(struct job *job, const char *name, const char *text);
/* What it is about, once that has been made. */
void job_set_object(struct job *job, const char *object);
enum job_next job_fail(struct job_run *run, enum refusal refusal, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
