/* What SDRS calls the state of a group, a pair or an instance. Nothing of it is stored: it follows from the engine's state, from
 * the job that is at work, and from the last one that has ended, by tables. */
#include <string.h>

#include "api/huawei/plans.h"
#include "api/huawei/sdrs.h"
#include "api/huawei/state.h"

const char *sdrs_status_name(enum sdrs_status status)
{
	static const char *const names[SDRS_STATUSES] = {
#define X(name, text) [SDRS_##name] = text,
		SDRS_STATUS_LIST(X)
#undef X
	};

	return names[status];
}

#define STILL (SDRS_IN(AVAILABLE) | SDRS_IN(PROTECTED) | SDRS_IN(FAILED_OVER) | SDRS_IN(ERROR) | SDRS_IN(INVALID))

const struct sdrs_work sdrs_works[] = {
	{ &sdrs_plan_create_group, "createProtectionGroupNoCG", SDRS_GROUP, "createFail", "SDRS.1014", SDRS_CREATING,
	  SDRS_ERROR, 0 },
	{ &sdrs_plan_delete_group, "deleteProtectionGroupNoCG", SDRS_GROUP, "deleteFail", "SDRS.1016", SDRS_DELETING,
	  SDRS_ERROR_DELETING, STILL },
	{ &huawei_plan_start, "startProtectionGroupNoCG", SDRS_GROUP, "startFail", "SDRS.1027", SDRS_STARTING, SDRS_ERROR_STARTING,
	  SDRS_IN(AVAILABLE) },
	{ &huawei_plan_stop, "stopProtectionGroupNoCG", SDRS_GROUP, "stopFail", "SDRS.1028", SDRS_STOPPING, SDRS_ERROR_STOPPING,
	  SDRS_IN(PROTECTED) },
	{ &huawei_plan_reverse, "reverseProtectionGroupNoCG", SDRS_GROUP, "reverseFail", "SDRS.1029", SDRS_REVERSING,
	  SDRS_ERROR_REVERSING, SDRS_IN(PROTECTED) },
	{ &huawei_plan_failover, "failoverProtectionGroupNoCG", SDRS_GROUP, "failoverFail", "SDRS.1030", SDRS_FAILING_OVER,
	  SDRS_ERROR_FAILING_OVER, SDRS_IN(PROTECTED) },
	{ &huawei_plan_reprotect, "reprotectProtectionGroupNoCG", SDRS_GROUP, "reprotectFail", "SDRS.1032", SDRS_REPROTECTING,
	  SDRS_ERROR_REPROTECTING, SDRS_IN(FAILED_OVER) | SDRS_IN(AVAILABLE) },
	{ &sdrs_plan_create_pair, "createReplicationPairNoCG", SDRS_PAIR, "createFail", "SDRS.1606", SDRS_CREATING,
	  SDRS_ERROR, STILL },
	{ &sdrs_plan_delete_pair, "deleteReplicationPairNoCG", SDRS_PAIR, "deleteFail", "SDRS.1607", SDRS_DELETING,
	  SDRS_ERROR_DELETING, STILL },
	{ &sdrs_plan_expand_pair, "expandReplicationPairNew", SDRS_PAIR, "expandFail", "SDRS.1820", SDRS_EXTENDING,
	  SDRS_ERROR_EXTENDING, SDRS_IN(AVAILABLE) | SDRS_IN(PROTECTED) },
	{ &sdrs_plan_create_instances, "createProtectedInstanceNoCG", SDRS_INSTANCE, "createFail", "SDRS.0404", SDRS_CREATING,
	  SDRS_ERROR, 0 },
	{ &sdrs_plan_delete_instances, "deleteProtectedInstanceNoCG", SDRS_INSTANCE, "deleteFail", "SDRS.1301", SDRS_DELETING,
	  SDRS_ERROR_DELETING, STILL },
	{ &sdrs_plan_attach_pair, "attachReplicationPairNew", SDRS_INSTANCE, "attachFail", "SDRS.1821", SDRS_ATTACHING,
	  SDRS_ERROR_ATTACHING, STILL },
	{ &sdrs_plan_detach_pair, "detachReplicationPairNew", SDRS_INSTANCE, "detachFail", "SDRS.1822", SDRS_DETACHING,
	  SDRS_ERROR_DETACHING, STILL },
	{ NULL, NULL, SDRS_GROUP, NULL, NULL, SDRS_ERROR, SDRS_ERROR, 0 },
};

const struct sdrs_work *sdrs_work_of(const struct job *job)
{
	for (const struct sdrs_work *work = sdrs_works; work->plan != NULL; work++)
		if (work->plan == job->plan)
			return work;
	return NULL;
}

/* --- the engine's state --- */

static enum sdrs_status engine_status(enum pair_state state, bool switching)
{
	static const enum sdrs_status table[PAIR_STATES] = {
		[PAIR_CREATING] = SDRS_CREATING, [PAIR_CREATED] = SDRS_AVAILABLE, [PAIR_CREATE_FAILED] = SDRS_ERROR,
		[PAIR_INITIAL_SYNCING] = SDRS_PROTECTED, [PAIR_SYNCING] = SDRS_PROTECTED, [PAIR_NORMAL] = SDRS_PROTECTED,
		[PAIR_MANUAL_SYNCING] = SDRS_PROTECTED, [PAIR_STOPPING] = SDRS_STOPPING, [PAIR_STOPPED] = SDRS_AVAILABLE,
		[PAIR_STOP_FAILED] = SDRS_ERROR_STOPPING, [PAIR_FAILOVERING] = SDRS_FAILING_OVER,
		[PAIR_FAILOVERED] = SDRS_FAILED_OVER, [PAIR_FAILOVER_FAILED] = SDRS_ERROR_FAILING_OVER,
		[PAIR_REPROTECTING] = SDRS_REPROTECTING, [PAIR_REPROTECT_FAILED] = SDRS_ERROR_REPROTECTING,
		[PAIR_DELETING] = SDRS_DELETING, [PAIR_DELETE_FAILED] = SDRS_ERROR_DELETING, [PAIR_DELETED] = SDRS_DELETING,
		[PAIR_INVALID] = SDRS_INVALID,
	};

	return switching ? SDRS_REVERSING : table[state];
}

/* --- jobs --- */

const struct job *sdrs_job_at_work(const struct jobs *jobs, const char *object)
{
	const struct job *job = jobs_running(jobs, object), *first = job;

	for (; job != NULL && job->state == JOB_RUNNING; job = jobs_before(jobs, job))
		first = job;
	return first;
}

/* The newest job on the pair itself, or on its group and about this pair: of those that run, else the last that has ended. */
static const struct job *job_of_pair(const struct jobs *jobs, const char *id, const char *group)
{
	const struct job *job = jobs_running(jobs, id), *last;

	if (job != NULL)
		return job;
	for (job = jobs_running(jobs, group); job != NULL && job->state == JOB_RUNNING; job = jobs_before(jobs, job))
		if (strcmp(job_input(job, "pair"), id) == 0 || strcmp(job_made(job, "pair"), id) == 0)
			return job;
	job = jobs_last(jobs, id);
	last = jobs_last(jobs, group);
	if (last != NULL && strcmp(job_input(last, "pair"), id) == 0 && (job == NULL || job->ended_ms < last->ended_ms))
		return last;
	return job;
}

/* A job about that kind of thing says more than the state: what it is doing, or that it has failed and left it as it was. */
static enum sdrs_status job_status(enum sdrs_status status, const struct job *job, enum sdrs_kind kind)
{
	const struct sdrs_work *work = job == NULL ? NULL : sdrs_work_of(job);

	if (work == NULL || work->about != kind)
		return status;
	if (job->state == JOB_RUNNING)
		return work->runs;
	return job->state == JOB_FAILED && (work->from & (UINT32_C(1) << status)) != 0 ? work->fails : status;
}

enum sdrs_status sdrs_group_status(const struct huawei *huawei, const char *id, enum pair_state state, bool switching)
{
	const struct job *job = sdrs_job_at_work(huawei->jobs, id);
	enum sdrs_status status = engine_status(state, switching);

	/* A job that changes its pairs pauses it on the way. */
	if (job != NULL && strcmp(job_made(job, "ran"), "yes") == 0 && (status == SDRS_AVAILABLE || status == SDRS_STOPPING))
		status = SDRS_PROTECTED;
	return job_status(status, job != NULL ? job : jobs_last(huawei->jobs, id), SDRS_GROUP);
}

enum sdrs_status sdrs_pair_status(const struct huawei *huawei, const char *id, const char *group, enum pair_state state,
				  bool switching)
{
	enum sdrs_status status = group[0] == '\0' ? engine_status(state, switching) :
						     sdrs_group_status(huawei, group, state, switching);

	if (status == SDRS_ERROR_DELETING || status == SDRS_DELETING) /* the group's own, which has no pairs */
		status = engine_status(state, switching);
	return job_status(status, job_of_pair(huawei->jobs, id, group), SDRS_PAIR);
}

enum sdrs_status sdrs_instance_status(const struct huawei *huawei, const char *id, const struct control_group *group)
{
	enum sdrs_status status = sdrs_group_status(huawei, group->id, group->state, group->switching);
	const struct job *job = jobs_running(huawei->jobs, group->id);

	while (job != NULL && job->state == JOB_RUNNING && strcmp(job_input(job, "instance"), id) != 0)
		job = jobs_before(huawei->jobs, job);
	if (job == NULL || job->state != JOB_RUNNING)
		job = jobs_last(huawei->jobs, group->id);
	return job != NULL && strcmp(job_input(job, "instance"), id) == 0 ? job_status(status, job, SDRS_INSTANCE) : status;
}

bool sdrs_is_abnormal(enum sdrs_status status)
{
	return status >= SDRS_ERROR;
}

const char *sdrs_replication_status(const struct huawei_state *state)
{
	return strcmp(state->replication_status, "error") == 0 ? "inactive" : state->replication_status;
}

const char *sdrs_station(enum pair_state state, bool switching, const char *source, const char *primary)
{
	return (strcmp(source, primary) == 0) != huawei_is_failed_over(state, switching) ? "source" : "target";
}

bool sdrs_is_in_zone(const struct control_brief *brief, const char *zone)
{
	bool failed_over = huawei_is_failed_over(brief->state, brief->switching);

	return zone == NULL || strcmp(zone, failed_over ? brief->destination : brief->source) == 0;
}
