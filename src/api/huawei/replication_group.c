/* Consistency groups: create, update, delete, list, show. What takes several operations is a job (plans.c); until it ends the
 * group says so in its status. */
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "api/huawei/plans.h"
#include "api/huawei/replication.h"
#include "api/huawei/state.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/text.h"

/* --- how it looks --- */

static json_t *group_short(const struct control_group *group, const char *status)
{
	char id[HUAWEI_UUID_SIZE];
	json_t *row;

	huawei_uuid(group->id, id);
	row = json_pack("{s:s, s:s, s:s, s:o, s:o}", "id", id, "status", status, "priority_station",
			replication_station(group->state, group->switching, group->source.zone, group->destination.zone),
			"created_at", huawei_time(group->created_s), "updated_at", huawei_time(group->updated_s));
	replication_put_text(row, "name", group->name);
	replication_put_text(row, "description", group->description);
	return row;
}

static json_t *group_row(struct huawei *huawei, const struct control_group *group)
{
	struct huawei_state state = huawei_state_of_group(huawei, group);
	json_t *row = group_short(group, state.status), *pairs = json_array();
	char id[HUAWEI_UUID_SIZE];

	for (uint32_t i = 0; i < group->pair_count; i++) {
		huawei_uuid(group->pairs[i], id);
		json_array_append_new(pairs, json_string(id));
	}
	json_object_set_new(row, "replication_ids", pairs);
	replication_put_text(row, "replication_model", REPLICATION_MODEL);
	replication_put_text(row, "replication_status", state.replication_status);
	replication_put_text(row, "fault_level", state.fault_level);
	if (state.failure_detail != NULL)
		replication_put_text(row, "failure_detail", state.failure_detail);
	return row;
}

void replication_list_groups(struct huawei_call *call)
{
	struct huawei_page page;
	json_t *rows;

	if (!replication_page(call, true, &page))
		return;
	rows = huawei_group_rows(call->huawei, &page, group_row);
	free(page.ids);
	huawei_answer(call, MHD_HTTP_OK, json_pack("{s:o}", "replication_consistency_groups", rows));
}

void replication_show_group(struct huawei_call *call)
{
	struct control_group group;

	if (!huawei_find_group(call->huawei->control, call->arguments[0], &group)) {
		huawei_refuse(call, REFUSE_NO_SUCH_GROUP, "");
		return;
	}
	huawei_answer(call, MHD_HTTP_OK, json_pack("{s:o}", "replication_consistency_group", group_row(call->huawei, &group)));
	free(group.pairs);
}

/* The job has begun, or could not be: the call's answer. */
static void answer_begun(struct huawei_call *call, const char *id, const struct job_plan *plan, json_t *input, const char *status)
{
	struct control_group group;
	struct error error;

	if (jobs_begin(call->huawei->jobs, plan, id, input, NULL, NULL, &error) == NULL) {
		huawei_fail_begin(call, &error);
	} else if (!huawei_find_group(call->huawei->control, id, &group)) {
		huawei_refuse(call, REFUSE_NO_SUCH_GROUP, "");
	} else {
		huawei_answer(call, MHD_HTTP_ACCEPTED,
			      json_pack("{s:o}", "replication_consistency_group", group_short(&group, status)));
		free(group.pairs);
	}
}

/* --- pairs that join --- */

/* One that goes another way than the group is to, is in another one, or is at work, cannot. */
static bool pair_fits(struct huawei_call *call, const struct control_pair *pair, const char *group, const char *source,
		      const char *destination)
{
	char id[HUAWEI_UUID_SIZE];

	huawei_uuid(pair->id, id);
	if (pair->group[0] != '\0' && strcmp(pair->group, group) != 0)
		huawei_fail(call, MHD_HTTP_CONFLICT, "", "Pair %s is in another group.", id);
	else if (strcmp(pair->source.zone, source) != 0 || strcmp(pair->destination.zone, destination) != 0)
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "EVS.1036", "Pair %s goes from %s to %s, the group from %s to %s.", id,
			    pair->source.zone, pair->destination.zone, source, destination);
	else if (pair->state != PAIR_CREATED && pair->state != PAIR_STOPPED)
		huawei_fail(call, MHD_HTTP_CONFLICT, "", "Pair %s is not available: it is %s.", id, pair_state_name(pair->state));
	else
		return true;
	return false;
}

/* `destination` "": wherever the first one goes, which is written there. */
static bool pairs_fit(struct huawei_call *call, const json_t *ids, const char *group, const char *source,
		      char destination[CONTROL_ID_SIZE])
{
	const json_t *id;
	size_t index;

	json_array_foreach(ids, index, id) {
		struct control_pair pair;

		if (!huawei_may(call, "ebs:AddDiskReplicaPair", CONTROL_RESOURCE_PAIR, json_string_value(id)))
			return false;
		if (!huawei_find_pair(call->huawei->control, json_string_value(id), &pair)) {
			huawei_refuse(call, REFUSE_NO_SUCH_PAIR, "");
			return false;
		}
		if (destination[0] == '\0')
			text_copy(destination, CONTROL_ID_SIZE, pair.destination.zone);
		if (!pair_fits(call, &pair, group, source, destination))
			return false;
	}
	return true;
}

/* --- create --- */

struct wish {
	char name[REPLICATION_TEXT_SIZE], description[REPLICATION_TEXT_SIZE], station[CONTROL_ID_SIZE];
	char model[REPLICATION_MODEL_SIZE];
	json_t *add, *remove; /* ids of pairs */
};

#define NAMES \
	{ "name", HUAWEI_TEXT, false, offsetof(struct wish, name), REPLICATION_TEXT_SIZE, 0, "EVS.1003" }, \
	{ "description", HUAWEI_TEXT, false, offsetof(struct wish, description), REPLICATION_TEXT_SIZE, 0, "EVS.1004" }
#define PAIRS(key, required, member) \
	{ key, HUAWEI_UUIDS, required, offsetof(struct wish, member), 0, CONTROL_RESOURCE_PAIR, NULL }
#define MODEL(required) \
	{ "replication_model", HUAWEI_TEXT, required, offsetof(struct wish, model), REPLICATION_MODEL_SIZE, 0, NULL }

static const struct huawei_field creation_fields[] = {
	NAMES, PAIRS("replication_ids", true, add), MODEL(true),
	{ "priority_station", HUAWEI_TEXT, true, offsetof(struct wish, station), CONTROL_ID_SIZE, 0, "EVS.1036" },
	{ 0 },
};
static const struct huawei_field update_fields[] = {
	NAMES, PAIRS("add_replication_ids", false, add), PAIRS("remove_replication_ids", false, remove), MODEL(false), { 0 },
};

static void wish_clear(void *data)
{
	struct wish *wish = data;

	json_decref(wish->add);
	json_decref(wish->remove);
}

/* NULL: the call has failed. */
static struct wish *wish_read(struct huawei_call *call, const struct huawei_field *fields)
{
	const json_t *root = huawei_root(call, "replication_consistency_group");
	struct wish *wish;

	if (root == NULL)
		return NULL;
	wish = call->state = memory_new(1, sizeof(*wish));
	call->on_free = wish_clear;
	if (!huawei_read(call, root, fields, wish))
		return NULL;
	if (wish->model[0] == '\0' && fields != creation_fields)
		return wish;
	return replication_model_fits(call, wish->model) ? wish : NULL;
}

static void on_created(void *data, const struct control_answer *answer)
{
	struct huawei_call *call = data;
	const struct wish *wish = call->state;

	if (answer->refusal != REFUSE_NONE) {
		huawei_refuse(call, answer->refusal, answer->text);
		return;
	}
	text_copy(call->object, sizeof(call->object), answer->id);
	answer_begun(call, answer->id, &huawei_plan_create_group, json_pack("{s:s, s:O}", "group", answer->id, "add", wish->add),
		     "creating");
}

void replication_create_group(struct huawei_call *call)
{
	const struct wish *wish = wish_read(call, creation_fields);
	struct control_request request = { .operation = CONTROL_CREATE_GROUP };
	const struct control_site *source, *destination;
	bool linked;

	if (wish == NULL)
		return;
	if (json_array_size(wish->add) == 0) {
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "", "replication_ids must hold at least one id.");
		return;
	}
	if (!pairs_fit(call, wish->add, "", wish->station, request.peer_zone))
		return;
	if (jobs_are_full(call->huawei->jobs)) { /* or there would be a group without its pairs */
		huawei_fail(call, MHD_HTTP_SERVICE_UNAVAILABLE, "", "Too many changes are under way: try again in a moment.");
		return;
	}
	source = control_find_site(call->huawei->control, wish->station, &linked);
	destination = control_find_site(call->huawei->control, request.peer_zone, &linked);
	if (source == NULL || destination == NULL) {
		huawei_refuse(call, REFUSE_NO_SUCH_ZONE, "");
		return;
	}
	text_copy(request.name, sizeof(request.name), wish->name);
	text_copy(request.description, sizeof(request.description), wish->description);
	text_copy(request.region, sizeof(request.region), source->region);
	text_copy(request.zone, sizeof(request.zone), source->zone);
	text_copy(request.peer_region, sizeof(request.peer_region), destination->region);
	control_call(call->huawei->control, &request, on_created, call);
}

/* --- update --- */

bool replication_find_idle_group(struct huawei_call *call, struct control_group *out_group)
{
	if (!huawei_find_group(call->huawei->control, call->arguments[0], out_group)) {
		huawei_refuse(call, REFUSE_NO_SUCH_GROUP, "");
		return false;
	}
	if (jobs_running(call->huawei->jobs, out_group->id) == NULL)
		return true;
	free(out_group->pairs);
	huawei_fail(call, MHD_HTTP_CONFLICT, "", "The group is being changed already: wait until it is available.");
	return false;
}

/* Those that are taken out are in it, and are not to be added as well. */
static bool removals_fit(struct huawei_call *call, const struct wish *wish, const char *group)
{
	const json_t *id, *added;
	size_t index, other;

	json_array_foreach(wish->remove, index, id) {
		struct control_pair pair;

		if (!huawei_may(call, "ebs:RemoveDiskReplicaPair", CONTROL_RESOURCE_PAIR, json_string_value(id)))
			return false;
		json_array_foreach(wish->add, other, added) {
			if (!json_equal(id, added))
				continue;
			huawei_fail(call, MHD_HTTP_BAD_REQUEST, "", "A pair is to be added and to be taken out.");
			return false;
		}
		if (!huawei_find_pair(call->huawei->control, json_string_value(id), &pair)) {
			huawei_refuse(call, REFUSE_NO_SUCH_PAIR, "");
			return false;
		}
		if (strcmp(pair.group, group) != 0) {
			huawei_refuse(call, REFUSE_PAIR_NOT_IN_GROUP, "");
			return false;
		}
	}
	return true;
}

/* One that is not replicating may be changed; after a failover, or when it has failed, pairs may still be taken out. */
static bool update_is_allowed(struct huawei_call *call, const struct control_group *group, const struct wish *wish)
{
	bool paused = group->state == PAIR_CREATED || group->state == PAIR_STOPPED;

	if (paused || (json_array_size(wish->add) == 0 && group_table[group->state][PAIR_VERB_REMOVE].kind == ACCEPT))
		return true;
	huawei_fail(call, MHD_HTTP_CONFLICT, "", "The group is %s: pause it first.", pair_state_name(group->state));
	return false;
}

static bool update_check(struct huawei_call *call, const struct control_group *group, const struct wish *wish)
{
	char destination[CONTROL_ID_SIZE];

	text_copy(destination, sizeof(destination), group->destination.zone);
	if ((wish->name[0] != '\0' || wish->description[0] != '\0') &&
	    !huawei_may(call, "ebs:ModifyDiskReplicaGroup", CONTROL_RESOURCE_GROUP, group->id))
		return false;
	if (json_array_size(wish->add) > 0 && !huawei_may(call, "ebs:AddDiskReplicaPair", CONTROL_RESOURCE_GROUP, group->id))
		return false;
	if (json_array_size(wish->remove) > 0 &&
	    !huawei_may(call, "ebs:RemoveDiskReplicaPair", CONTROL_RESOURCE_GROUP, group->id))
		return false;
	return update_is_allowed(call, group, wish) && removals_fit(call, wish, group->id) &&
	       pairs_fit(call, wish->add, group->id, group->source.zone, destination);
}

static void set_if_given(json_t *object, const char *name, json_t *value)
{
	if (value != NULL)
		json_object_set(object, name, value);
}

void replication_update_group(struct huawei_call *call)
{
	const struct wish *wish = wish_read(call, update_fields);
	struct control_group group;
	json_t *input;

	if (wish == NULL || !replication_find_idle_group(call, &group))
		return;
	free(group.pairs);
	if (!update_check(call, &group, wish))
		return;
	input = json_pack("{s:s, s:s, s:s}", "group", group.id, "name", wish->name, "description", wish->description);
	set_if_given(input, "add", wish->add);
	set_if_given(input, "remove", wish->remove);
	answer_begun(call, group.id, &huawei_plan_update_group, input, "updating");
}

/* --- delete --- */

static void on_deleted(void *data, const struct control_answer *answer)
{
	if (answer->refusal == REFUSE_NONE)
		huawei_accept(data, MHD_HTTP_ACCEPTED);
	else
		huawei_refuse(data, answer->refusal, answer->text);
}

void replication_delete_group(struct huawei_call *call)
{
	struct control_request request = { .operation = CONTROL_DELETE_GROUP };
	struct control_group group;

	if (!replication_find_idle_group(call, &group))
		return;
	free(group.pairs);
	text_copy(request.group, sizeof(request.group), group.id);
	control_call(call->huawei->control, &request, on_deleted, call);
}
