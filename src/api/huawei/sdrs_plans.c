/* SDRS's changes as jobs. A job waits for its turn: those on one group are done one after the other, in the order in which they
 * were asked for, so that clients that ask for many at once get each of them. What changes the pairs of a group that runs stops
 * it first and starts it again; "ran" is remembered before that, for a step that is repeated after a restart sees it stopped. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/huawei/plans.h"
#include "api/huawei/sdrs.h"
#include "base/text.h"

#define WAIT_S 600 /* for a state that another site, or its link, leads to */

#define COPY(target, text) text_copy(target, sizeof(target), text)

/* --- what steps have in common --- */

static const char *group_of(const struct job_run *run)
{
	return job_input(run->job, "group");
}

static enum job_next ask(struct job_run *run, enum control_operation operation)
{
	run->request.operation = operation;
	return JOB_ASK;
}

static enum job_next ask_of_group(struct job_run *run, enum control_operation operation)
{
	COPY(run->request.group, group_of(run));
	return ask(run, operation);
}

static bool is_running(enum pair_state state)
{
	return state == PAIR_INITIAL_SYNCING || state == PAIR_SYNCING || state == PAIR_NORMAL || state == PAIR_MANUAL_SYNCING;
}

/* Looked at again, but not for ever: a job ends. After a restart the time begins anew. */
static enum job_next wait_for(struct job_run *run, const char *what)
{
	json_t *until = json_object_get(run->job->made, what);
	json_int_t now = (json_int_t)time(NULL);

	if (until == NULL)
		json_object_set_new(run->job->made, what, json_integer(now + WAIT_S));
	else if (json_integer_value(until) < now)
		return job_fail(run, REFUSE_PEER_UNREACHABLE, "that the %s takes longer than %d s", what, WAIT_S);
	return JOB_WAIT;
}

static enum job_next take_turn(struct job_run *run)
{
	return sdrs_job_at_work(run->job->jobs, run->job->object) == run->job ? JOB_GO_ON : JOB_WAIT;
}

static bool did_run(const struct job_run *run)
{
	return strcmp(job_made(run->job, "ran"), "yes") == 0;
}

/* --- groups --- */

static enum job_next create_group(struct job_run *run)
{
	const struct job *job = run->job;

	COPY(run->request.name, job_input(job, "name"));
	COPY(run->request.description, job_input(job, "description"));
	COPY(run->request.zone, job_input(job, "zone"));
	COPY(run->request.region, job_input(job, "region"));
	COPY(run->request.peer_zone, job_input(job, "peer_zone"));
	COPY(run->request.peer_region, job_input(job, "peer_region"));
	run->request.kept = json_pack("{s:s, s:s}", "source_vpc_id", job_input(job, "source_vpc_id"), "dr_type", "migration");
	return ask(run, CONTROL_CREATE_GROUP);
}

static enum job_next see_group(struct job_run *run)
{
	struct control_group group;

	if (!huawei_plan_group(run, job_made(run->job, "group"), &group))
		return wait_for(run, "site of its production tells of it");
	job_set_object(run->job, group.id);
	return JOB_GO_ON;
}

static enum job_next delete_made_group(struct job_run *run)
{
	COPY(run->request.group, job_made(run->job, "group"));
	return run->request.group[0] == '\0' ? JOB_GO_ON : ask(run, CONTROL_DELETE_GROUP);
}

static const struct job_step create_group_steps[] = {
	{ .name = "create the group", .run = create_group, .makes = "group" },
	{ .name = "see the group", .run = see_group },
	{ 0 },
};
static const struct job_step create_group_undo[] = { { .name = "delete the group", .run = delete_made_group }, { 0 } };
const struct job_plan sdrs_plan_create_group = { .name = "sdrs create group", .steps = create_group_steps,
						 .undo = create_group_undo };

static enum job_next delete_group(struct job_run *run)
{
	return ask_of_group(run, CONTROL_DELETE_GROUP);
}

static enum job_next group_is_gone(struct job_run *run)
{
	struct control_group group;

	return huawei_plan_group(run, group_of(run), &group) ? wait_for(run, "deletion at both sites") : JOB_GO_ON;
}

static const struct job_step delete_group_steps[] = {
	{ .name = "wait for other jobs", .run = take_turn },
	{ .name = "delete the group", .run = delete_group },
	{ .name = "finish the deletion", .run = group_is_gone },
	{ 0 },
};
const struct job_plan sdrs_plan_delete_group = { .name = "sdrs delete group", .steps = delete_group_steps };

/* --- pairs: the group is stopped on the way --- */

static enum job_next look(struct job_run *run)
{
	struct control_group group;

	if (group_of(run)[0] == '\0')
		return JOB_GO_ON;
	if (!huawei_plan_group(run, group_of(run), &group))
		return job_fail(run, REFUSE_NO_SUCH_GROUP, "the group has been deleted meanwhile");
	if (group.switching || group.state == PAIR_STOPPING || group.state == PAIR_REPROTECTING)
		return wait_for(run, "change of the group's state");
	job_remember(run->job, "ran", is_running(group.state) ? "yes" : "no");
	return JOB_GO_ON;
}

/* One that has failed to stop is stopped, too, and not started again. */
static enum job_next stop_group(struct job_run *run)
{
	struct control_group group;
	bool stops = huawei_plan_group(run, group_of(run), &group) &&
		     (is_running(group.state) || group.state == PAIR_STOP_FAILED);

	return stops ? ask_of_group(run, CONTROL_STOP_GROUP) : JOB_GO_ON;
}

static enum job_next group_has_stopped(struct job_run *run)
{
	struct control_group group;

	if (!huawei_plan_group(run, group_of(run), &group))
		return JOB_GO_ON;
	if (is_running(group.state) || group.state == PAIR_STOPPING)
		return wait_for(run, "stop of the group");
	return group.state == PAIR_STOP_FAILED ? job_fail(run, REFUSE_INVALID_STATUS, "%s", group.message) : JOB_GO_ON;
}

/* As it was; one that has lost its last pair has nothing to run. */
static enum job_next start_group(struct job_run *run)
{
	struct control_group group;

	if (!did_run(run) || !huawei_plan_group(run, group_of(run), &group) || group.pair_count == 0 ||
	    is_running(group.state))
		return JOB_GO_ON;
	return ask_of_group(run, CONTROL_START_GROUP);
}

/* "pair" of what the job has made, or else of its input. */
static const char *pair_of(const struct job_run *run)
{
	const char *made = job_made(run->job, "pair");

	return made[0] != '\0' ? made : job_input(run->job, "pair");
}

static enum job_next ask_of_pair(struct job_run *run, enum control_operation operation)
{
	COPY(run->request.pair, pair_of(run));
	return run->request.pair[0] == '\0' ? JOB_GO_ON : ask(run, operation);
}

/* Now or not at all: nothing has been made yet, and whoever asked can ask again. */
static enum job_next reach_sites(struct job_run *run)
{
	static const char *const sites[] = { "zone", "peer_zone" };

	for (size_t i = 0; i < 2; i++) {
		const char *zone = job_input(run->job, sites[i]);
		bool linked = false;

		if (control_find_site(run->control, zone, &linked) == NULL || !linked)
			return job_fail(run, REFUSE_PEER_UNREACHABLE, "site %s is not reachable now", zone);
	}
	return JOB_GO_ON;
}

static enum job_next create_disk(struct job_run *run)
{
	const struct job *job = run->job;

	COPY(run->request.zone, job_input(job, "peer_zone"));
	COPY(run->request.region, job_input(job, "peer_region"));
	COPY(run->request.name, job_input(job, "disk_name"));
	COPY(run->request.category, job_input(job, "category"));
	run->request.size = (uint64_t)json_integer_value(json_object_get(job->input, "size"));
	return ask(run, CONTROL_CREATE_DISK);
}

static enum job_next create_pair(struct job_run *run)
{
	const struct job *job = run->job;

	COPY(run->request.zone, job_input(job, "zone"));
	COPY(run->request.region, job_input(job, "region"));
	COPY(run->request.peer_zone, job_input(job, "peer_zone"));
	COPY(run->request.peer_region, job_input(job, "peer_region"));
	COPY(run->request.disk, job_input(job, "disk"));
	COPY(run->request.peer_disk, job_made(job, "peer_disk"));
	COPY(run->request.name, job_input(job, "name"));
	COPY(run->request.description, job_input(job, "description"));
	return ask(run, CONTROL_CREATE_PAIR);
}

static enum job_next add_pair(struct job_run *run)
{
	run->request.adopts_state = true;
	COPY(run->request.group, group_of(run));
	return ask_of_pair(run, CONTROL_ADD_PAIR);
}

static enum job_next remove_pair(struct job_run *run)
{
	struct control_pair pair;

	if (huawei_find_pair(run->control, pair_of(run), &pair) && pair.group[0] == '\0')
		return JOB_GO_ON;
	COPY(run->request.group, group_of(run));
	return ask_of_pair(run, CONTROL_REMOVE_PAIR);
}

static enum job_next delete_pair(struct job_run *run)
{
	return ask_of_pair(run, CONTROL_DELETE_PAIR);
}

static enum job_next pair_is_gone(struct job_run *run)
{
	struct control_pair pair;

	return huawei_find_pair(run->control, pair_of(run), &pair) ? wait_for(run, "deletion at both sites") : JOB_GO_ON;
}

static enum job_next delete_made_disk(struct job_run *run)
{
	COPY(run->request.disk, job_made(run->job, "peer_disk"));
	COPY(run->request.zone, job_input(run->job, "peer_zone"));
	COPY(run->request.region, job_input(run->job, "peer_region"));
	return run->request.disk[0] == '\0' ? JOB_GO_ON : ask(run, CONTROL_DELETE_DISK);
}

/* Alone, while the group goes on: with a member that is no copy yet it would have no recovery point to fail over to. */
static enum job_next begin_copy(struct job_run *run)
{
	struct control_group group;

	if (!huawei_plan_group(run, group_of(run), &group))
		return job_fail(run, REFUSE_NO_SUCH_GROUP, "the group has been deleted meanwhile");
	return is_running(group.state) && group.status.consistent ? ask_of_pair(run, CONTROL_START_PAIR) : JOB_GO_ON;
}

/* However long it takes, but for a link that is down for long. */
static enum job_next has_been_copied(struct job_run *run)
{
	static const char link[] = "link";
	struct control_group group;
	struct control_pair pair;

	if (!huawei_plan_group(run, group_of(run), &group) || !huawei_find_pair(run->control, pair_of(run), &pair))
		return job_fail(run, REFUSE_NO_SUCH_GROUP, "the group or the pair has been deleted meanwhile");
	if (pair.state != PAIR_INITIAL_SYNCING && pair.state != PAIR_SYNCING)
		return JOB_GO_ON;
	if (group.state >= PAIR_FAILOVERING) /* other jobs may stop it for a while */
		return job_fail(run, REFUSE_INVALID_STATUS, "the group is %s", pair_state_name(group.state));
	if (!pair.status.linked)
		return wait_for(run, link);
	json_object_del(run->job->made, link);
	return JOB_WAIT;
}

/* One that is in no group: it was copied alone, or an earlier deletion took it out, and failed. */
static enum job_next stop_pair(struct job_run *run)
{
	struct control_pair pair;

	if (!huawei_find_pair(run->control, pair_of(run), &pair))
		return job_fail(run, REFUSE_NO_SUCH_PAIR, "the pair has been deleted meanwhile");
	return pair.group[0] == '\0' && is_running(pair.state) ? ask_of_pair(run, CONTROL_STOP_PAIR) : JOB_GO_ON;
}

static const struct job_step create_pair_steps[] = {
	{ .name = "reach both sites", .run = reach_sites },
	{ .name = "create the DR disk", .run = create_disk, .makes = "peer_disk" },
	{ .name = "create the pair", .run = create_pair, .makes = "pair" },
	{ .name = "copy the disk", .run = begin_copy },
	{ .name = "finish the copy", .run = has_been_copied },
	{ .name = "wait for other jobs", .run = take_turn },
	{ .name = "find the group", .run = look },
	{ .name = "stop the pair", .run = stop_pair },
	{ .name = "stop the group", .run = stop_group },
	{ .name = "finish the stop of the group", .run = group_has_stopped },
	{ .name = "add the pair", .run = add_pair },
	{ .name = "start the group again", .run = start_group },
	{ 0 },
};
static const struct job_step create_pair_undo[] = {
	{ .name = "take the pair out of the group", .run = remove_pair },
	{ .name = "stop the pair", .run = stop_pair },
	{ .name = "delete the pair", .run = delete_pair },
	{ .name = "finish the deletion", .run = pair_is_gone },
	{ .name = "delete the DR disk", .run = delete_made_disk },
	{ .name = "start the group again", .run = start_group },
	{ 0 },
};
const struct job_plan sdrs_plan_create_pair = { .name = "sdrs create pair", .steps = create_pair_steps,
						.undo = create_pair_undo };

static enum job_next take_out(struct job_run *run)
{
	return group_of(run)[0] == '\0' ? JOB_GO_ON : remove_pair(run);
}

static enum job_next delete_target(struct job_run *run)
{
	COPY(run->request.disk, job_input(run->job, "target"));
	COPY(run->request.zone, job_input(run->job, "target_zone"));
	COPY(run->request.region, job_input(run->job, "target_region"));
	return run->request.disk[0] == '\0' ? JOB_GO_ON : ask(run, CONTROL_DELETE_DISK);
}

static const struct job_step delete_pair_steps[] = {
	{ .name = "wait for other jobs", .run = take_turn },
	{ .name = "find the group", .run = look },
	{ .name = "stop the group", .run = stop_group },
	{ .name = "finish the stop of the group", .run = group_has_stopped },
	{ .name = "stop the pair", .run = stop_pair },
	{ .name = "take the pair out of the group", .run = take_out },
	{ .name = "delete the pair", .run = delete_pair },
	{ .name = "finish the deletion", .run = pair_is_gone },
	{ .name = "delete the DR disk", .run = delete_target },
	{ .name = "start the group again", .run = start_group },
	{ 0 },
};
static const struct job_step delete_pair_undo[] = { { .name = "start the group again", .run = start_group }, { 0 } };
const struct job_plan sdrs_plan_delete_pair = { .name = "sdrs delete pair", .steps = delete_pair_steps,
						.undo = delete_pair_undo };

static enum job_next expand(struct job_run *run)
{
	COPY(run->request.disk, job_input(run->job, "disk"));
	COPY(run->request.zone, job_input(run->job, "zone"));
	COPY(run->request.region, job_input(run->job, "region"));
	run->request.size = (uint64_t)json_integer_value(json_object_get(run->job->input, "size"));
	return ask(run, CONTROL_RESIZE_DISK);
}

static const struct job_step expand_steps[] = { { .name = "expand both disks", .run = expand }, { 0 } };
const struct job_plan sdrs_plan_expand_pair = { .name = "sdrs expand pair", .steps = expand_steps };

/* --- protected instances: notes with the group --- */

/* Input "kept": the notes as they are to be; null for one that goes. */
static enum job_next keep(struct job_run *run)
{
	run->request.kept = json_incref(json_object_get(run->job->input, "kept"));
	return ask_of_group(run, CONTROL_KEEP_GROUP);
}

static const struct job_step keep_steps[] = {
	{ .name = "wait for other jobs", .run = take_turn },
	{ .name = "note it with the group", .run = keep },
	{ 0 },
};
const struct job_plan sdrs_plan_create_instances = { .name = "sdrs create instances", .steps = keep_steps };
const struct job_plan sdrs_plan_delete_instances = { .name = "sdrs delete instances", .steps = keep_steps };

/* The instance's note with the pair attached, or without it: from how it is once it is this job's turn. */
static enum job_next change_attachments(struct job_run *run, bool attaches)
{
	const char *id = job_input(run->job, "instance"), *pair = job_input(run->job, "pair");
	json_t *note, *attached, *row;
	struct control_group group;
	char key[SDRS_INSTANCE_KEY_SIZE];
	size_t index;

	if (!huawei_plan_group(run, group_of(run), &group))
		return job_fail(run, REFUSE_NO_SUCH_GROUP, "the group has been deleted meanwhile");
	note = json_deep_copy(sdrs_instance_of(&group, id));
	if (note == NULL)
		return job_fail(run, REFUSE_NO_SUCH_INSTANCE, "the instance has been deleted meanwhile");
	attached = json_array();
	json_array_foreach(json_object_get(note, "attachment"), index, row) {
		if (strcmp(sdrs_text(row, "replication"), pair) != 0)
			json_array_append(attached, row);
	}
	if (attaches)
		json_array_append_new(attached, json_pack("{s:s, s:s}", "replication", pair, "device",
							  job_input(run->job, "device")));
	json_object_set_new(note, "attachment", attached);
	json_object_set_new(note, "updated", json_integer((json_int_t)(run->job->begun_ms / 1000)));
	sdrs_instance_key(id, key);
	run->request.kept = json_pack("{s:o}", key, note);
	return ask_of_group(run, CONTROL_KEEP_GROUP);
}

static enum job_next attach(struct job_run *run)
{
	return change_attachments(run, true);
}

static enum job_next detach(struct job_run *run)
{
	return change_attachments(run, false);
}

static const struct job_step attach_steps[] = {
	{ .name = "wait for other jobs", .run = take_turn },
	{ .name = "attach the pair", .run = attach },
	{ 0 },
};
const struct job_plan sdrs_plan_attach_pair = { .name = "sdrs attach pair", .steps = attach_steps };

static const struct job_step detach_steps[] = {
	{ .name = "wait for other jobs", .run = take_turn },
	{ .name = "detach the pair", .run = detach },
	{ 0 },
};
const struct job_plan sdrs_plan_detach_pair = { .name = "sdrs detach pair", .steps = detach_steps };
