/* Private to jobs/. */
#ifndef JOBS_INTERNAL_H
#define JOBS_INTERNAL_H

#include "jobs/jobs.h"

struct jobs {
	struct control *control;
	struct catalog *catalog;
	const struct job_plan *const *plans;
	struct list all, at_work; /* of struct job: entry, at_work */
	struct index by_id, by_object;
	uint32_t running, ended;
	uint64_t look_ms, prune_ms; /* when the next look is due; monotonic */
};

/* record.c: the jobs of the catalog, into memory and back. Order: that of their beginning. */
int jobs_load(struct jobs *jobs, struct error *error);
int job_store(struct job *job, struct error *error);
/* Out of the catalog, and freed. */
void job_drop(struct job *job);
/* Puts it among the others; it belongs to them from now on. */
void job_add(struct jobs *jobs, struct job *job);
void job_free(struct job *job);

uint64_t jobs_now_ms(void);  /* monotonic */
uint64_t jobs_wall_ms(void); /* since 1970 */

#endif
