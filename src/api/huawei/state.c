#include "api/huawei/state.h"

#include <string.h>

#include "api/huawei/internal.h"
#include "api/huawei/plans.h"

#define FAILURE_OF_LINK "37100043"
#define FAILURE_INTERNAL "37000212"
#define FAILURE_BUSY "37000216"

/* `point`: the other site holds a recovery point. */
static const struct words {
	const char *group, *pair;            /* status; a pair has fewer */
	const char *with_point, *no_point;   /* replication_status */
} words[PAIR_STATES] = {
	[PAIR_CREATING] = { "creating", "creating", "inactive", "inactive" },
	[PAIR_CREATED] = { "available", "available", "inactive", "inactive" },
	[PAIR_CREATE_FAILED] = { "error", "error", "error", "error" },
	[PAIR_INITIAL_SYNCING] = { "available", "available", "copying", "copying" },
	[PAIR_SYNCING] = { "available", "available", "copying", "copying" },
	[PAIR_NORMAL] = { "available", "available", "active", "active" },
	[PAIR_MANUAL_SYNCING] = { "available", "available", "copying", "copying" },
	[PAIR_STOPPING] = { "available", "available", "active", "copying" },
	[PAIR_STOPPED] = { "available", "available", "active-stopped", "inactive" },
	[PAIR_STOP_FAILED] = { "error", "error", "error", "error" },
	[PAIR_FAILOVERING] = { "failovering", "available", "active-stopped", "active-stopped" },
	[PAIR_FAILOVERED] = { "failovered", "available", "active-stopped", "active-stopped" },
	[PAIR_FAILOVER_FAILED] = { "error_failovering", "available", "active-stopped", "active-stopped" },
	[PAIR_REPROTECTING] = { "available", "available", "copying", "copying" },
	[PAIR_REPROTECT_FAILED] = { "error", "error", "error", "error" },
	[PAIR_DELETING] = { "deleting", "deleting", "active-stopped", "inactive" },
	[PAIR_DELETE_FAILED] = { "error_deleting", "error_deleting", "active-stopped", "inactive" },
	[PAIR_DELETED] = { "deleting", "deleting", "inactive", "inactive" },
	[PAIR_INVALID] = { "error", "error", "error", "error" },
};
/* A switchover: what both hold is the same all along. */
static const struct words reversing = { "reversing", "available", "active", "active" };

/* While such a job is at work on a group it is this, whatever step control/ is at. */
static const struct at_work {
	const struct job_plan *plan;
	struct words words; /* NULL: as control/ says */
} at_work[] = {
	{ &huawei_plan_create_group, { "creating", NULL, NULL, NULL } },
	{ &huawei_plan_update_group, { "updating", NULL, NULL, NULL } },
	{ &huawei_plan_reverse, { "reversing", NULL, NULL, NULL } },
	{ &huawei_plan_failover, { "failovering", NULL, "active-stopped", "active-stopped" } },
	{ &huawei_plan_reprotect, { "available", NULL, "copying", "copying" } },
};

bool huawei_is_failed_over(enum pair_state state, bool switching)
{
	return state == PAIR_FAILOVERED || state == PAIR_REPROTECT_FAILED || (state == PAIR_REPROTECTING && !switching);
}

static struct words words_of(enum pair_state state, bool switching)
{
	return state == PAIR_REPROTECTING && switching ? reversing : words[state];
}

/* A job that failed, and that nobody has acted upon since: what it was to do was not done. */
static const struct job *failure_of(const struct huawei *huawei, const char *group, enum pair_state state)
{
	const struct job *job = jobs_last(huawei->jobs, group);

	if (job == NULL || job->state != JOB_FAILED || job->dismissed)
		return NULL;
	if (job->plan == &huawei_plan_create_group || job->plan == &huawei_plan_update_group)
		return state == PAIR_CREATED || state == PAIR_STOPPED ? job : NULL;
	if (job->plan == &huawei_plan_reverse)
		return huawei_job_began(job) && (state == PAIR_SYNCING || state == PAIR_NORMAL) ? job : NULL;
	return NULL;
}

static struct words words_of_group(const struct huawei *huawei, const char *group, enum pair_state state, bool switching)
{
	const struct job *running = jobs_running(huawei->jobs, group), *failed = failure_of(huawei, group, state);
	struct words said = words_of(state, switching);

	for (size_t i = 0; running != NULL && i < sizeof(at_work) / sizeof(at_work[0]); i++) {
		const struct words *by_job = &at_work[i].words;

		if (at_work[i].plan != running->plan)
			continue;
		said.group = by_job->group;
		said.with_point = by_job->with_point != NULL ? by_job->with_point : said.with_point;
		said.no_point = by_job->no_point != NULL ? by_job->no_point : said.no_point;
		return said;
	}
	if (failed != NULL)
		said.group = failed->plan == &huawei_plan_reverse ? "error_reversing" : "error";
	return said;
}

static const char *failure_detail_of(const struct job *job)
{
	if (job == NULL)
		return FAILURE_INTERNAL;
	if (job->refusal == REFUSE_PEER_UNREACHABLE)
		return FAILURE_OF_LINK;
	return job->refusal == REFUSE_INVALID_STATUS ? FAILURE_BUSY : FAILURE_INTERNAL;
}

/* --- what is the same for a pair and a group --- */

struct subject {
	enum pair_state state;
	bool switching, here_is_production, linked;
	uint32_t rpo_s;
	const struct unit_status *status;
};

static bool is_linked(const struct huawei *huawei, const char *zone)
{
	bool linked = false;

	return control_find_site(huawei->control, zone, &linked) != NULL && linked;
}

/* A failover is the other site's to do, with what it holds; who leads cannot do it, and does not know what it holds now. */
static const char *fault_level_of(const struct subject *subject)
{
	bool leads = subject->here_is_production != huawei_is_failed_over(subject->state, subject->switching);

	if (subject->state == PAIR_INVALID)
		return "2";
	if (subject->linked)
		return "0";
	return leads || !subject->status->consistent ? "5" : "2";
}

/* What runs does so by itself again when the link is back; until then nothing is copied, and what the other site holds gets
 * old. */
static bool is_cut_off(const struct subject *subject)
{
	bool copies = subject->state == PAIR_INITIAL_SYNCING || subject->state == PAIR_SYNCING ||
		      subject->state == PAIR_MANUAL_SYNCING;
	bool is_old = subject->state == PAIR_NORMAL && subject->status->recovery_age_ms > 1000u * (uint64_t)subject->rpo_s;

	return !subject->linked && (copies || is_old);
}

static int progress_of(const struct subject *subject, const char *replication_status)
{
	const struct unit_status *status = subject->status;
	uint64_t percent = status->total_bytes == 0 ? 0 : status->done_bytes / (status->total_bytes / 100 + 1);

	if (strcmp(replication_status, "copying") == 0)
		return percent < 99 ? (int)percent : 99;
	return status->consistent ? 100 : HUAWEI_NEVER_SYNCED;
}

static struct huawei_state state_of(const struct subject *subject, const char *status, const struct words *said)
{
	const char *replication_status = is_cut_off(subject) ? "inactive" :
					 subject->status->consistent ? said->with_point : said->no_point;

	return (struct huawei_state){
		.status = status, .replication_status = replication_status, .fault_level = fault_level_of(subject),
		.progress = progress_of(subject, replication_status),
	};
}

struct huawei_state huawei_state_of_pair(const struct huawei *huawei, const struct control_pair *pair)
{
	const struct subject subject = {
		pair->state, pair->switching, pair->here_is_production,
		is_linked(huawei, pair->here_is_production ? pair->destination.zone : pair->source.zone), pair->rpo_s, &pair->status,
	};
	struct words said = words_of(pair->state, pair->switching);
	struct huawei_state state = state_of(&subject, said.pair, &said);

	if (strcmp(state.status, "error") == 0)
		state.failure_detail = FAILURE_INTERNAL;
	return state;
}

struct huawei_state huawei_state_of_group(const struct huawei *huawei, const struct control_group *group)
{
	const struct subject subject = {
		group->state, group->switching, group->here_is_production,
		is_linked(huawei, group->here_is_production ? group->destination.zone : group->source.zone), group->rpo_s, &group->status,
	};
	struct words said = words_of_group(huawei, group->id, group->state, group->switching);
	struct huawei_state state = state_of(&subject, said.group, &said);

	if (strcmp(state.status, "error") == 0)
		state.failure_detail = failure_detail_of(failure_of(huawei, group->id, group->state));
	return state;
}

const char *huawei_status_of_pair(const struct control_brief *pair)
{
	return words_of(pair->state, pair->switching).pair;
}

const char *huawei_status_of_group(const struct huawei *huawei, const struct control_brief *group)
{
	return words_of_group(huawei, group->id, group->state, group->switching).group;
}
