/* Replication pairs: a production disk that there is, and a DR disk that is made for it at the group's other site. */
#include <microhttpd.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "api/huawei/sdrs.h"
#include "api/huawei/state.h"
#include "base/memory.h"
#include "base/text.h"

#define GIB_MAX 65536u /* 64 TiB */

/* --- what is shown --- */

static json_int_t gib_of(uint64_t bytes)
{
	return (json_int_t)((bytes + HUAWEI_GIB - 1) / HUAWEI_GIB);
}

/* "<production>,<DR>", as they were first made: clients compare the first with the disk they asked for. */
static json_t *volume_ids(const struct control_pair *pair)
{
	bool turned = strcmp(pair->source.zone, pair->primary.zone) != 0;
	char source[HUAWEI_UUID_SIZE], destination[HUAWEI_UUID_SIZE];

	huawei_uuid(turned ? pair->destination_disk : pair->source_disk, source);
	huawei_uuid(turned ? pair->source_disk : pair->destination_disk, destination);
	return json_sprintf("%s,%s", source, destination);
}

/* Of the one of its two disks that is at this site; "" when that has none. */
static json_t *type_of_disk(struct huawei *huawei, const struct control_pair *pair)
{
	const char *ids[] = { pair->source_disk, pair->destination_disk };
	const struct control_filter filter = { .ids = ids, .id_count = 2, .state = -1, .count = 2 };
	struct control_list list;
	json_t *type;

	control_list_disks(huawei->control, &filter, &list);
	type = json_string(list.count == 0 ? "" : list.disks[0].category);
	control_list_free(&list);
	return type;
}

static json_t *attachments(struct huawei *huawei, const struct control_pair *pair)
{
	struct control_group group;
	json_t *rows;

	if (pair->group[0] == '\0' || !huawei_find_group(huawei->control, pair->group, &group))
		return json_array();
	rows = sdrs_attachments_of_pair(&group, pair->id);
	free(group.pairs);
	return rows;
}

static json_t *pair_row(struct huawei *huawei, const struct control_pair *pair)
{
	enum sdrs_status status = sdrs_pair_status(huawei, pair->id, pair->group, pair->state, pair->switching);
	struct huawei_state state = huawei_state_of_pair(huawei, pair);
	char id[HUAWEI_UUID_SIZE], group[HUAWEI_UUID_SIZE];
	json_t *row;

	huawei_uuid(pair->id, id);
	huawei_uuid(pair->group, group);
	row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:s}", "id", id, "name", pair->name, "description",
			pair->description, "replication_model", "hypermetro", "status", sdrs_status_name(status), "progress",
			state.progress < 0 ? 0 : state.progress, "replication_status", sdrs_replication_status(&state),
			"priority_station",
			sdrs_station(pair->state, pair->switching, pair->source.zone, pair->primary.zone), "fault_level",
			state.fault_level);
	json_object_set_new(row, "server_group_id", group[0] == '\0' ? json_null() : json_string(group));
	json_object_set_new(row, "attachment", attachments(huawei, pair));
	json_object_set_new(row, "volume_ids", volume_ids(pair));
	json_object_set_new(row, "record_metadata",
			    json_pack("{s:b, s:b, s:I, s:o}", "multiattach", 0, "bootable", 0, "volume_size",
				      gib_of(pair->size), "volume_type", type_of_disk(huawei, pair)));
	json_object_set_new(row, "failure_detail",
			    state.failure_detail == NULL ? json_null() : json_string(state.failure_detail));
	json_object_set_new(row, "created_at", huawei_time(pair->created_s));
	json_object_set_new(row, "updated_at", huawei_time(pair->updated_s > 0 ? pair->updated_s : pair->created_s));
	return row;
}

static void show(struct huawei_call *call, const char *id)
{
	struct control_pair pair;

	if (huawei_find_pair(call->huawei->control, id, &pair))
		huawei_answer(call, MHD_HTTP_OK, json_pack("{s:o}", "replication", pair_row(call->huawei, &pair)));
	else
		sdrs_no_pair(call, id);
}

void sdrs_show_pair(struct huawei_call *call)
{
	show(call, call->arguments[0]);
}

static bool is_wanted(void *data, const struct control_brief *brief)
{
	const struct sdrs_filter *filter = data;
	enum sdrs_status status;

	if ((filter->name != NULL && strstr(brief->name, filter->name) == NULL) ||
	    (filter->groups != NULL && json_object_get(filter->groups, brief->group) == NULL) ||
	    (filter->pairs != NULL && json_object_get(filter->pairs, brief->id) == NULL) ||
	    !sdrs_is_in_zone(brief, filter->zone))
		return false;
	if (filter->statuses == UINT32_MAX)
		return true;
	status = sdrs_pair_status(filter->huawei, brief->id, brief->group, brief->state, brief->switching);
	return (filter->statuses >> status & 1) != 0;
}

/* The pairs attached to the instances that the filter names. */
static void add_pairs_of_instances(struct sdrs_filter *filter)
{
	const char *instance;
	json_t *unused, *row;
	size_t index;

	filter->pairs = filter->instances == NULL ? NULL : json_object();
	json_object_foreach(filter->instances, instance, unused) {
		struct control_group group;
		char id[CONTROL_ID_SIZE];

		sdrs_group_of_instance(instance, id);
		if (!huawei_find_group(filter->huawei->control, id, &group))
			continue;
		free(group.pairs);
		json_array_foreach(json_object_get(sdrs_instance_of(&group, instance), "attachment"), index, row) {
			json_object_set_new(filter->pairs, sdrs_text(row, "replication"), json_true());
		}
	}
}

void sdrs_list_pairs(struct huawei_call *call)
{
	struct huawei_listing listing = { .is_wanted = is_wanted, .order = HUAWEI_BY_CREATION, .descending = true };
	char marker[CONTROL_ID_SIZE];
	struct sdrs_filter filter;
	struct huawei_page page;

	if (sdrs_read_filter(call, &filter)) {
		add_pairs_of_instances(&filter);
		listing.data = &filter;
		listing.offset = filter.offset;
		listing.limit = filter.limit;
		if (filter.marker != NULL) {
			huawei_id(CONTROL_RESOURCE_PAIR, filter.marker, marker);
			listing.marker = marker;
		}
		if (huawei_page(call->huawei, &listing, &page)) {
			sdrs_answer_list(call, "replications", page.total, huawei_pair_rows(call->huawei, &page, pair_row));
			free(page.ids);
		} else {
			huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.0201", "The marker is no pair of this list.");
		}
	}
	sdrs_clear_filter(&filter);
}

/* --- create --- */

struct pair_fields {
	char name[CONTROL_NAME_SIZE], description[CONTROL_TEXT_SIZE];
	char group[CONTROL_ID_SIZE], disk[CONTROL_ID_SIZE];
	uint64_t new_size; /* GiB; in the end bytes */
	bool delete_target;
};

#define AT(field) offsetof(struct pair_fields, field), sizeof(((struct pair_fields *)NULL)->field)
#define END { NULL, HUAWEI_TEXT, false, 0, 0, 0, NULL }

static const struct huawei_field create_fields[] = {
	{ "name", HUAWEI_TEXT, true, AT(name), 0, "SDRS.0202" },
	{ "description", HUAWEI_TEXT, false, AT(description), 0, "SDRS.0212" },
	{ "server_group_id", HUAWEI_UUID, true, AT(group), CONTROL_RESOURCE_GROUP, "SDRS.0207" },
	{ "volume_id", HUAWEI_UUID, true, AT(disk), CONTROL_RESOURCE_DISK, "SDRS.0211" },
	END,
};

/* The group that is to have another pair; false: the call has failed. */
static bool find_group(struct huawei_call *call, const char *id, struct control_group *out_group)
{
	enum sdrs_status status;

	if (!huawei_find_group(call->huawei->control, id, out_group)) {
		sdrs_no_group(call, id);
		return false;
	}
	free(out_group->pairs);
	out_group->pairs = NULL;
	status = sdrs_group_status(call->huawei, id, out_group->state, out_group->switching);
	return sdrs_allows(call, SDRS_IN(AVAILABLE) | SDRS_IN(PROTECTED), status, "SDRS.1022", "a new pair");
}

static bool check_disk(struct huawei_call *call, const struct control_found *found, const struct control_group *group)
{
	const struct control_disk *disk = found->disks;

	if (found->count == 0 && found->unreached != NULL)
		huawei_refuse(call, found->refusal, found->text);
	else if (found->count == 0)
		huawei_refuse(call, REFUSE_NO_SUCH_DISK, "");
	else if (strcmp(disk->zone, group->source.zone) != 0)
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.1809", "The disk is in %s: production is in %s now.", disk->zone,
			    group->source.zone);
	else if (disk->pair[0] != '\0')
		huawei_refuse(call, REFUSE_DISK_IN_PAIR, "");
	else if (disk->state != DISK_STATE_AVAILABLE && disk->state != DISK_STATE_IN_USE)
		huawei_refuse(call, REFUSE_DISK_STATUS, "");
	else
		return true;
	return false;
}

static void on_disk(void *data, const struct control_found *found)
{
	struct huawei_call *call = data;
	const struct pair_fields *fields = call->state;
	const struct control_disk *disk = found->disks;
	struct control_group group;
	json_t *input;

	if (!find_group(call, fields->group, &group) || !check_disk(call, found, &group) ||
	    !huawei_may(call, "ebs:AddDiskReplicaPair", CONTROL_RESOURCE_GROUP, fields->group) ||
	    !huawei_may(call, "ebs:CreateDiskReplicaPair", CONTROL_RESOURCE_DISK, fields->disk) ||
	    !huawei_may(call, "ecs:CreateDisk", -1, NULL))
		return;
	input = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "group", group.id, "name", fields->name, "description",
			  fields->description, "zone", group.source.zone, "region", group.source.region, "peer_zone",
			  group.destination.zone, "peer_region", group.destination.region, "size", (json_int_t)disk->size);
	json_object_set_new(input, "disk", json_string(disk->id));
	json_object_set_new(input, "disk_name", json_string(disk->name[0] != '\0' ? disk->name : fields->name));
	json_object_set_new(input, "category", json_string(disk->category));
	sdrs_begin(call, &sdrs_plan_create_pair, group.id, input);
}

void sdrs_create_pair(struct huawei_call *call)
{
	json_t *root = huawei_root(call, "replication");
	struct control_disk_query query = { .state = -1, .limit = 1 };
	struct pair_fields *fields = memory_new(1, sizeof(*fields));
	struct control_group group;

	call->state = fields;
	if (root == NULL || !huawei_read(call, root, create_fields, fields) || !sdrs_check_name(call, fields->name) ||
	    !sdrs_check_description(call, fields->description) || !find_group(call, fields->group, &group))
		return;
	query.id = fields->disk;
	control_find_disks(call->huawei->control, &query, on_disk, call);
}

/* --- other changes --- */

static const struct huawei_field name_fields[] = { { "name", HUAWEI_TEXT, true, AT(name), 0, "SDRS.0202" }, END };

void sdrs_rename_pair(struct huawei_call *call)
{
	struct control_request request = { .operation = CONTROL_RENAME_PAIR };
	json_t *root = huawei_root(call, "replication");
	struct pair_fields fields = { 0 };

	if (root == NULL || !huawei_read(call, root, name_fields, &fields) || !sdrs_check_name(call, fields.name))
		return;
	text_copy(request.pair, sizeof(request.pair), call->arguments[0]);
	text_copy(request.name, sizeof(request.name), fields.name);
	sdrs_change(call, &request, show, call->arguments[0]);
}

/* It is attached to no instance, and its group can be stopped for it; false: the call has failed. */
static bool check_deletion(struct huawei_call *call, const struct control_pair *pair)
{
	enum sdrs_status status = sdrs_pair_status(call->huawei, pair->id, pair->group, pair->state, pair->switching);
	bool attached = false;
	struct control_group group;
	json_t *rows;

	if (!sdrs_allows(call,
			 SDRS_IN(AVAILABLE) | SDRS_IN(PROTECTED) | SDRS_IN(FAILED_OVER) | SDRS_IN(ERROR) |
				 SDRS_IN(ERROR_STARTING) | SDRS_IN(ERROR_STOPPING) | SDRS_IN(ERROR_REVERSING) |
				 SDRS_IN(ERROR_DELETING) | SDRS_IN(ERROR_REPROTECTING) | SDRS_IN(ERROR_EXTENDING) |
				 SDRS_IN(INVALID),
			 status, "SDRS.1024", "deletion"))
		return false;
	if (pair->group[0] != '\0' && huawei_find_group(call->huawei->control, pair->group, &group)) {
		rows = sdrs_attachments_of_pair(&group, pair->id);
		attached = json_array_size(rows) > 0;
		json_decref(rows);
		free(group.pairs);
	}
	if (attached)
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.1605", "The pair is attached to a protected instance: detach it first.");
	return !attached;
}

static const struct huawei_field delete_fields[] = {
	{ "server_group_id", HUAWEI_UUID, false, AT(group), CONTROL_RESOURCE_GROUP, "SDRS.0207" },
	{ "delete_target_volume", HUAWEI_FLAG, false, AT(delete_target), 0, "SDRS.0201" },
	END,
};

void sdrs_delete_pair(struct huawei_call *call)
{
	struct pair_fields fields = { 0 };
	struct control_pair pair;
	json_t *input;

	if (!huawei_read(call, json_object_get(call->body, "replication"), delete_fields, &fields))
		return;
	if (!huawei_find_pair(call->huawei->control, call->arguments[0], &pair)) {
		sdrs_no_pair(call, call->arguments[0]);
		return;
	}
	if (fields.group[0] != '\0' && strcmp(fields.group, pair.group) != 0) {
		huawei_refuse(call, REFUSE_PAIR_NOT_IN_GROUP, "");
		return;
	}
	/* What the DR disk was has become production's: it is not for a flag to delete. */
	if (fields.delete_target &&
	    strcmp(sdrs_station(pair.state, pair.switching, pair.source.zone, pair.primary.zone), "source") != 0) {
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.1809",
			    "Production is at the target site now: delete the pair without delete_target_volume.");
		return;
	}
	if (!check_deletion(call, &pair) ||
	    (fields.delete_target && !huawei_may(call, "ecs:DeleteDisk", CONTROL_RESOURCE_DISK, pair.destination_disk)))
		return;
	input = json_pack("{s:s, s:s, s:s}", "group", pair.group, "pair", pair.id, "name", pair.name);
	if (fields.delete_target) {
		json_object_set_new(input, "target", json_string(pair.destination_disk));
		json_object_set_new(input, "target_zone", json_string(pair.destination.zone));
		json_object_set_new(input, "target_region", json_string(pair.destination.region));
	}
	sdrs_begin(call, &sdrs_plan_delete_pair, pair.group[0] != '\0' ? pair.group : pair.id, input);
}

static const struct huawei_field extend_fields[] = {
	{ "new_size", HUAWEI_COUNT, true, AT(new_size), 0, "SDRS.0201" },
	END,
};

static void extend(struct huawei_call *call, json_t *value)
{
	struct pair_fields fields = { 0 };
	struct control_pair pair;
	enum sdrs_status status;

	if (!huawei_read(call, value, extend_fields, &fields))
		return;
	if (!huawei_find_pair(call->huawei->control, call->arguments[0], &pair)) {
		sdrs_no_pair(call, call->arguments[0]);
		return;
	}
	status = sdrs_pair_status(call->huawei, pair.id, pair.group, pair.state, pair.switching);
	if (!sdrs_allows(call, SDRS_IN(AVAILABLE) | SDRS_IN(PROTECTED) | SDRS_IN(ERROR_EXTENDING), status, "SDRS.1816", "expansion"))
		return;
	fields.new_size *= fields.new_size <= GIB_MAX ? HUAWEI_GIB : 0;
	if (fields.new_size <= pair.size)
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.0201", "The disks have %lld GiB: they can grow, to at most %u.",
			    gib_of(pair.size), GIB_MAX);
	else if (huawei_may(call, "ecs:ResizeDisk", CONTROL_RESOURCE_DISK, pair.source_disk))
		sdrs_begin(call, &sdrs_plan_expand_pair, pair.id,
			   json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "group", pair.group, "pair", pair.id, "name", pair.name,
				     "disk", pair.source_disk, "zone", pair.source.zone, "region", pair.source.region, "size",
				     (json_int_t)fields.new_size));
}

void sdrs_act_on_pair(struct huawei_call *call)
{
	static const struct huawei_action actions[] = {
		{ "extend-replication", "ebs:ModifyDiskReplicaPair", extend },
		{ NULL, NULL, NULL },
	};

	huawei_act(call, actions, CONTROL_RESOURCE_PAIR);
}
