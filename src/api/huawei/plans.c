#include "api/huawei/plans.h"

#include <stdlib.h>
#include <string.h>

#include "api/huawei/internal.h"
#include "api/huawei/sdrs.h"
#include "api/huawei/state.h"
#include "base/text.h"

bool huawei_plan_group(const struct job_run *run, const char *id, struct control_group *out_group)
{
	if (!huawei_find_group(run->control, id, out_group))
		return false;
	free(out_group->pairs);
	out_group->pairs = NULL;
	return true;
}

/* The job's group. */
static bool group_now(const struct job_run *run, struct control_group *out_group)
{
	return huawei_plan_group(run, job_input(run->job, "group"), out_group);
}

static enum job_next gone(struct job_run *run)
{
	return job_fail(run, REFUSE_NO_SUCH_GROUP, "the group has been deleted meanwhile");
}

static enum job_next ask(struct job_run *run, enum control_operation operation)
{
	run->request.operation = operation;
	text_copy(run->request.group, sizeof(run->request.group), job_input(run->job, "group"));
	return JOB_ASK;
}

static enum job_next start(struct job_run *run)
{
	return ask(run, CONTROL_START_GROUP);
}

static const struct job_step start_steps[] = { { .name = "start it", .run = start }, { 0 } };
const struct job_plan huawei_plan_start = { .name = "start group", .steps = start_steps };

static enum job_next stop(struct job_run *run)
{
	return ask(run, CONTROL_STOP_GROUP);
}

static const struct job_step stop_steps[] = { { .name = "stop it", .run = stop }, { 0 } };
const struct job_plan huawei_plan_stop = { .name = "stop group", .steps = stop_steps };

/* --- changes of sides --- */

/* Before it is asked for: a step that is repeated after a restart must not take the new direction for the old one. */
static enum job_next note_direction(struct job_run *run)
{
	struct control_group group;

	if (!group_now(run, &group))
		return gone(run);
	job_remember(run->job, "from", group.source.zone);
	return JOB_GO_ON;
}

bool huawei_job_began(const struct job *job)
{
	return job_made(job, "began")[0] != '\0';
}

static bool is_turned(const struct job_run *run, const struct control_group *group)
{
	return strcmp(group->source.zone, job_made(run->job, "from")) != 0;
}

static enum job_next not_turned(struct job_run *run, const struct control_group *group)
{
	return job_fail(run, REFUSE_INVALID_STATUS, "%s",
			group->message[0] != '\0' ? group->message : "it was given up: both sites are as before");
}

static enum job_next switch_over(struct job_run *run)
{
	return ask(run, CONTROL_SWITCHOVER_GROUP);
}

/* What was written between the two sides' change is copied, too, unless the link is down: then that lasts. */
static enum job_next until_switched(struct job_run *run)
{
	struct control_group group;

	if (!group_now(run, &group))
		return gone(run);
	job_remember(run->job, "began", "yes");
	if (group.state == PAIR_REPROTECTING)
		return JOB_WAIT;
	if (!is_turned(run, &group))
		return not_turned(run, &group);
	return group.state == PAIR_SYNCING && group.status.linked ? JOB_WAIT : JOB_GO_ON;
}

static const struct job_step reverse_steps[] = {
	{ .name = "find the group", .run = note_direction },
	{ .name = "switch over", .run = switch_over },
	{ .name = "finish the switchover", .run = until_switched },
	{ 0 },
};
const struct job_plan huawei_plan_reverse = { .name = "reverse group", .steps = reverse_steps };

static enum job_next fail_over(struct job_run *run)
{
	return ask(run, CONTROL_FAILOVER_GROUP);
}

static enum job_next until_failed_over(struct job_run *run)
{
	struct control_group group;

	if (!group_now(run, &group))
		return gone(run);
	if (group.state == PAIR_FAILOVERING)
		return JOB_WAIT;
	return group.state == PAIR_FAILOVERED ? JOB_GO_ON : job_fail(run, REFUSE_STORAGE, "%s", group.message);
}

static const struct job_step failover_steps[] = {
	{ .name = "fail over", .run = fail_over },
	{ .name = "finish the failover", .run = until_failed_over },
	{ 0 },
};
const struct job_plan huawei_plan_failover = { .name = "fail over group", .steps = failover_steps };

/* One that was reprotected already, and not started, is only started. */
static enum job_next reprotect(struct job_run *run)
{
	struct control_group group;

	if (!group_now(run, &group))
		return gone(run);
	return group.state == PAIR_STOPPED ? JOB_GO_ON : ask(run, CONTROL_REPROTECT_GROUP);
}

static enum job_next until_reprotected(struct job_run *run)
{
	struct control_group group;

	if (!group_now(run, &group))
		return gone(run);
	if (group.state == PAIR_REPROTECTING)
		return JOB_WAIT;
	return huawei_is_failed_over(group.state, group.switching) ? not_turned(run, &group) : JOB_GO_ON;
}

static const struct job_step reprotect_steps[] = {
	{ .name = "reprotect", .run = reprotect },
	{ .name = "finish the reprotection", .run = until_reprotected },
	{ .name = "start it", .run = start },
	{ 0 },
};
const struct job_plan huawei_plan_reprotect = { .name = "reprotect group", .steps = reprotect_steps };

/* --- members --- */

/* The pair whose turn it is, of those that the input has under that name. */
static enum job_next ask_for_pair(struct job_run *run, const char *name, enum control_operation operation)
{
	const char *pair = json_string_value(json_array_get(json_object_get(run->job->input, name), run->job->turn));

	if (pair == NULL)
		return JOB_GO_ON;
	text_copy(run->request.pair, sizeof(run->request.pair), pair);
	return ask(run, operation);
}

static enum job_next add(struct job_run *run)
{
	run->request.adopts_state = true;
	return ask_for_pair(run, "add", CONTROL_ADD_PAIR);
}

static enum job_next take_out_added(struct job_run *run)
{
	return ask_for_pair(run, "add", CONTROL_REMOVE_PAIR);
}

static const struct job_step create_steps[] = { { .name = "add the pairs", .run = add, .repeats = true }, { 0 } };
static const struct job_step create_undo[] = {
	{ .name = "take the pairs out again", .run = take_out_added, .may_fail = true, .repeats = true },
	{ 0 },
};
const struct job_plan huawei_plan_create_group = { .name = "create group", .steps = create_steps, .undo = create_undo };

static enum job_next rename_group(struct job_run *run)
{
	text_copy(run->request.name, sizeof(run->request.name), job_input(run->job, "name"));
	text_copy(run->request.description, sizeof(run->request.description), job_input(run->job, "description"));
	if (run->request.name[0] == '\0' && run->request.description[0] == '\0')
		return JOB_GO_ON;
	return ask(run, CONTROL_RENAME_GROUP);
}

static enum job_next take_out(struct job_run *run)
{
	return ask_for_pair(run, "remove", CONTROL_REMOVE_PAIR);
}

static const struct job_step update_steps[] = {
	{ .name = "rename it", .run = rename_group },
	{ .name = "take pairs out", .run = take_out, .repeats = true },
	{ .name = "add pairs", .run = add, .repeats = true },
	{ 0 },
};
const struct job_plan huawei_plan_update_group = { .name = "update group", .steps = update_steps };

/* --- sizes --- */

static enum job_next extend(struct job_run *run)
{
	const json_t *row = json_array_get(json_object_get(run->job->input, "pairs"), run->job->turn);
	struct control_pair pair;

	if (row == NULL)
		return JOB_GO_ON;
	if (!huawei_find_pair(run->control, json_string_value(json_array_get(row, 0)), &pair))
		return job_fail(run, REFUSE_NO_SUCH_PAIR, "a pair has been deleted meanwhile");
	run->request.operation = CONTROL_RESIZE_DISK;
	run->request.size = (uint64_t)json_integer_value(json_array_get(row, 1));
	text_copy(run->request.region, sizeof(run->request.region), pair.source.region);
	text_copy(run->request.zone, sizeof(run->request.zone), pair.source.zone);
	text_copy(run->request.disk, sizeof(run->request.disk), pair.source_disk);
	return JOB_ASK;
}

static const struct job_step extend_steps[] = { { .name = "extend the disks", .run = extend, .repeats = true }, { 0 } };
const struct job_plan huawei_plan_extend = { .name = "extend disks", .steps = extend_steps };

const struct job_plan *const huawei_plans[] = {
	&huawei_plan_start, &huawei_plan_stop, &huawei_plan_reverse, &huawei_plan_failover, &huawei_plan_reprotect,
	&huawei_plan_create_group, &huawei_plan_update_group, &huawei_plan_extend,
	&sdrs_plan_create_group, &sdrs_plan_delete_group, &sdrs_plan_create_pair, &sdrs_plan_delete_pair, &sdrs_plan_expand_pair,
	&sdrs_plan_create_instances, &sdrs_plan_delete_instances, &sdrs_plan_attach_pair, &sdrs_plan_detach_pair, NULL,
};
