/* What is done with a consistency group. Pausing, synchronizing and failing over are one operation of control/ each, answered
 * when that is; the others are jobs (plans.c), for whose end the answer waits a while. */
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "api/huawei/plans.h"
#include "api/huawei/replication.h"
#include "api/huawei/state.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/text.h"

#define CHANGE_S 20u /* the answer waits for a change of sides: clients expect about 10 s */
#define EXTEND_S 25u /* and for disks to have grown */
#define EXTENDED_MAX 128u
#define SIZE_MAX_GIB 65536u

/* --- the end of an action --- */

/* What had failed before is acted upon with it. */
static void done(struct huawei_call *call)
{
	const struct job *last = jobs_last(call->huawei->jobs, call->object);
	struct error error;

	if (last != NULL && last->state == JOB_FAILED && !last->dismissed)
		jobs_dismiss(call->huawei->jobs, last, &error); /* if not now, with the next one */
	huawei_accept(call, MHD_HTTP_OK);
}

static void on_answer(void *data, const struct control_answer *answer)
{
	if (answer->refusal == REFUSE_NONE)
		done(data);
	else
		huawei_refuse(data, answer->refusal, answer->text);
}

static void ask(struct huawei_call *call, enum control_operation operation)
{
	struct control_request request = { .operation = operation };

	text_copy(request.group, sizeof(request.group), call->object);
	control_call(call->huawei->control, &request, on_answer, call);
}

/* A call that waits for its job. */
struct waiting {
	struct huawei *huawei;
	const struct job *job; /* NULL: it has ended */
};

static void waiting_forget(void *data)
{
	struct waiting *waiting = data;

	if (waiting->job != NULL && waiting->huawei->jobs != NULL)
		jobs_forget(waiting->huawei->jobs, waiting->job);
}

/* A refusal that is told, of what was never begun, is nothing that anybody has to see to. */
static void on_job_ended(void *data, const struct job *job)
{
	struct huawei_call *call = data;
	struct waiting *waiting = call->state;
	struct error error;

	waiting->job = NULL;
	if (job->state == JOB_DONE) {
		done(call);
		return;
	}
	if (!huawei_job_began(job))
		jobs_dismiss(waiting->huawei->jobs, job, &error);
	huawei_refuse(call, job->refusal, job->text);
}

static void run_job(struct huawei_call *call, const struct job_plan *plan, json_t *input, uint32_t seconds,
		    void (*on_late)(struct huawei_call *call))
{
	struct waiting *waiting = call->state = memory_new(1, sizeof(*waiting));
	struct error error;

	waiting->huawei = call->huawei;
	call->on_free = waiting_forget;
	waiting->job = jobs_begin(call->huawei->jobs, plan, call->object, input, on_job_ended, call, &error);
	if (waiting->job == NULL)
		huawei_fail_begin(call, &error);
	else
		huawei_answer_within(call, seconds, on_late);
}

/* --- the actions --- */

static bool is_plain(struct huawei_call *call, const json_t *value)
{
	if (json_is_null(value) || (json_is_object(value) && json_object_size(value) == 0))
		return true;
	huawei_fail(call, MHD_HTTP_BAD_REQUEST, "", "The action's value must be null.");
	return false;
}

/* The group as a plain action finds it; but for its pairs' ids. */
static bool find(struct huawei_call *call, const json_t *value, struct control_group *out_group)
{
	if (!is_plain(call, value) || !replication_find_idle_group(call, out_group))
		return false;
	free(out_group->pairs);
	out_group->pairs = NULL;
	return true;
}

static bool is_linked(struct huawei_call *call, const struct control_group *group)
{
	bool linked = false;

	if (control_find_site(call->huawei->control,
			      group->here_is_production ? group->destination.zone : group->source.zone, &linked) != NULL && linked)
		return true;
	huawei_refuse(call, REFUSE_PEER_UNREACHABLE, "");
	return false;
}

static void synchronize(struct huawei_call *call, json_t *value)
{
	struct control_group group;

	if (!find(call, value, &group))
		return;
	if (group.state == PAIR_INITIAL_SYNCING || group.state == PAIR_SYNCING || group.state == PAIR_NORMAL)
		done(call);
	else
		ask(call, CONTROL_START_GROUP);
}

/* What does not replicate is paused: clients pause before each change, whatever state there is. */
static void stop(struct huawei_call *call, json_t *value)
{
	struct control_group group;

	if (!find(call, value, &group))
		return;
	if (group.state == PAIR_CREATED || group.state == PAIR_STOPPED || group.state == PAIR_FAILOVERED ||
	    group.state == PAIR_INVALID)
		huawei_accept(call, MHD_HTTP_OK);
	else
		ask(call, CONTROL_STOP_GROUP);
}

/* Never waits for anything else that goes on. */
static void failover(struct huawei_call *call, json_t *value)
{
	if (is_plain(call, value))
		ask(call, CONTROL_FAILOVER_GROUP);
}

/* The table says it before a job is made of it. */
static bool is_allowed(struct huawei_call *call, const struct control_group *group, enum pair_verb verb)
{
	const struct verdict *verdict = &group_table[group->state][verb];

	if (group->pair_count == 0) {
		huawei_refuse(call, REFUSE_NO_PAIR_IN_GROUP, "");
		return false;
	}
	if (verdict->kind != ACCEPT) {
		huawei_fail(call, MHD_HTTP_CONFLICT, "", "The group is %s: it is not allowed to %s now.",
			    pair_state_name(group->state), pair_verb_name(verb));
		return false;
	}
	return true;
}

static void change(struct huawei_call *call, const struct control_group *group, const struct job_plan *plan)
{
	if (is_linked(call, group))
		run_job(call, plan, json_pack("{s:s}", "group", group->id), CHANGE_S, done);
}

static void reverse(struct huawei_call *call, json_t *value)
{
	struct control_group group;

	if (find(call, value, &group) && is_allowed(call, &group, PAIR_VERB_SWITCHOVER))
		change(call, &group, &huawei_plan_reverse);
}

/* One that was turned by a failover and its reprotection, and paused, has only to be synchronized. */
static void reprotect(struct huawei_call *call, json_t *value)
{
	struct control_group group;
	bool turned;

	if (!find(call, value, &group))
		return;
	turned = group.state == PAIR_STOPPED && strcmp(group.source.zone, group.primary.zone) != 0;
	if (turned || is_allowed(call, &group, PAIR_VERB_REPROTECT))
		change(call, &group, &huawei_plan_reprotect);
}

/* --- extend --- */

struct extension {
	char pair[CONTROL_ID_SIZE];
	uint64_t size; /* GiB */
};

static const struct huawei_field extension_fields[] = {
	{ "id", HUAWEI_UUID, true, offsetof(struct extension, pair), 0, CONTROL_RESOURCE_PAIR, NULL },
	{ "new_size", HUAWEI_COUNT, true, offsetof(struct extension, size), 0, 0, "EVS.1010" },
	{ 0 },
};

static bool extension_fits(struct huawei_call *call, const struct extension *extension, const struct control_group *group,
			   const json_t *others)
{
	struct control_pair pair;
	const json_t *other;
	size_t index;

	json_array_foreach(others, index, other) {
		if (strcmp(json_string_value(json_array_get(other, 0)), extension->pair) != 0)
			continue;
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "", "replications holds a pair twice.");
		return false;
	}
	if (!huawei_find_pair(call->huawei->control, extension->pair, &pair))
		huawei_refuse(call, REFUSE_NO_SUCH_PAIR, "");
	else if (strcmp(pair.group, group->id) != 0)
		huawei_refuse(call, REFUSE_PAIR_NOT_IN_GROUP, "");
	else if (extension->size > SIZE_MAX_GIB)
		huawei_refuse(call, REFUSE_DISK_TOO_LARGE, "");
	else if (extension->size * HUAWEI_GIB <= pair.size)
		huawei_refuse(call, REFUSE_DISK_TOO_SMALL, "");
	else
		return huawei_may(call, "ecs:ResizeDisk", CONTROL_RESOURCE_DISK, pair.source_disk);
	return false;
}

/* The rows of the job's input; NULL: the call has failed. */
static json_t *read_extensions(struct huawei_call *call, json_t *value, const struct control_group *group)
{
	json_t *list = json_object_get(value, "replications"), *rows = json_array();
	size_t count = list == NULL ? 1 : json_array_size(list);

	if (!json_is_object(value) || count == 0 || count > EXTENDED_MAX) {
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "", "The action's value must hold a list \"replications\", of 1 to %u.",
			    EXTENDED_MAX);
		json_decref(rows);
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		struct extension extension = { 0 };

		/* One client can only send a single one, without the list. */
		if (!huawei_read(call, list == NULL ? value : json_array_get(list, i), extension_fields, &extension) ||
		    !extension_fits(call, &extension, group, rows)) {
			json_decref(rows);
			return NULL;
		}
		json_array_append_new(rows, json_pack("[s, I]", extension.pair, (json_int_t)extension.size * (json_int_t)HUAWEI_GIB));
	}
	return rows;
}

static void on_extend_late(struct huawei_call *call)
{
	huawei_fail(call, MHD_HTTP_GATEWAY_TIMEOUT, "", "The disks are still being extended: that goes on. Look at their sizes.");
}

static void extend(struct huawei_call *call, json_t *value)
{
	struct control_group group;
	struct huawei_state state;
	json_t *rows;

	if (!replication_find_idle_group(call, &group))
		return;
	state = huawei_state_of_group(call->huawei, &group);
	free(group.pairs);
	if (strcmp(state.status, "available") != 0) {
		huawei_fail(call, MHD_HTTP_CONFLICT, "", "The group is %s: it must be available.", state.status);
		return;
	}
	rows = read_extensions(call, value, &group);
	if (rows == NULL)
		return;
	if (is_linked(call, &group))
		run_job(call, &huawei_plan_extend, json_pack("{s:s, s:O}", "group", group.id, "pairs", rows), EXTEND_S,
			on_extend_late);
	json_decref(rows);
}

/* Extending asks for each disk. */
static const struct huawei_action actions[] = {
	{ "os-sync-replication-consistency-group", "ebs:StartDiskReplicaGroup", synchronize },
	{ "os-stop-replication-consistency-group", "ebs:StopDiskReplicaGroup", stop },
	{ "os-reverse-replication-consistency-group", "ebs:SwitchoverDiskReplicaGroup", reverse },
	{ "os-failover-replication-consistency-group", "ebs:FailoverDiskReplicaGroup", failover },
	{ "os-reprotect-replication-consistency-group", "ebs:ReprotectDiskReplicaGroup", reprotect },
	{ "os-extend-replication-volumes", "", extend },
	{ 0 },
};

void replication_act(struct huawei_call *call)
{
	huawei_act(call, actions, CONTROL_RESOURCE_GROUP);
}
