/* Replication pairs: create, delete, list, show. A client says which two disks and where production is; the rest follows. */
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

#include "api/huawei/replication.h"
#include "api/huawei/state.h"
#include "base/memory.h"
#include "base/text.h"

/* --- how it looks --- */

static json_t *pair_short(const struct control_pair *pair, const char *status)
{
	bool failed_over = huawei_is_failed_over(pair->state, pair->switching);
	char id[HUAWEI_UUID_SIZE], group[HUAWEI_UUID_SIZE], source[HUAWEI_UUID_SIZE], destination[HUAWEI_UUID_SIZE];
	json_t *row;

	huawei_uuid(pair->id, id);
	huawei_uuid(pair->group, group);
	huawei_uuid(pair->source_disk, source);
	huawei_uuid(pair->destination_disk, destination);
	row = json_pack("{s:s, s:s, s:o, s:s+++, s:s, s:o, s:o}", "id", id, "status", status,
			"replication_consistency_group_id", pair->group[0] == '\0' ? json_null() : json_string(group),
			"volume_ids", failed_over ? destination : source, ",", failed_over ? source : destination, "",
			"priority_station", failed_over ? pair->destination.zone : pair->source.zone,
			"created_at", huawei_time(pair->created_s), "updated_at", huawei_time(pair->updated_s));
	replication_put_text(row, "name", pair->name);
	replication_put_text(row, "description", pair->description);
	return row;
}

/* Of the pair's disks, the one that is at this site tells what is the same of both. */
static json_t *metadata_of(struct huawei *huawei, const struct control_pair *pair)
{
	const char *disk = pair->here_is_production ? pair->source_disk : pair->destination_disk;
	const struct control_filter filter = { .ids = &disk, .id_count = 1, .state = -1, .count = 1 };
	struct control_list list;
	AUTO_FREE char *text = NULL;
	json_t *metadata;

	control_list_disks(huawei->control, &filter, &list);
	metadata = json_pack("{s:I, s:b}", "volume_size", (json_int_t)((pair->size + HUAWEI_GIB - 1) / HUAWEI_GIB), "multiattach",
			     0);
	replication_put_text(metadata, "volume_type", list.count == 1 ? list.disks[0].category : "");
	text = json_dumps(metadata, JSON_COMPACT);
	json_decref(metadata);
	control_list_free(&list);
	return json_string(text);
}

static json_t *pair_row(struct huawei *huawei, const struct control_pair *pair)
{
	struct huawei_state state = huawei_state_of_pair(huawei, pair);
	json_t *row = pair_short(pair, state.status);
	char progress[8];

	snprintf(progress, sizeof(progress), "%d", state.progress);
	replication_put_text(row, "replication_model", REPLICATION_MODEL);
	replication_put_text(row, "replication_status", state.replication_status);
	replication_put_text(row, "fault_level", state.fault_level);
	json_object_set_new(row, "progress", state.progress == HUAWEI_NEVER_SYNCED ? json_null() : json_string(progress));
	json_object_set_new(row, "record_metadata", metadata_of(huawei, pair));
	if (state.failure_detail != NULL)
		replication_put_text(row, "failure_detail", state.failure_detail);
	return row;
}

void replication_list_pairs(struct huawei_call *call)
{
	struct huawei_page page;
	json_t *rows;

	if (!replication_page(call, false, &page))
		return;
	rows = huawei_pair_rows(call->huawei, &page, pair_row);
	free(page.ids);
	huawei_answer(call, MHD_HTTP_OK, json_pack("{s:o}", "replications", rows));
}

void replication_show_pair(struct huawei_call *call)
{
	struct control_pair pair;

	if (huawei_find_pair(call->huawei->control, call->arguments[0], &pair))
		huawei_answer(call, MHD_HTTP_OK, json_pack("{s:o}", "replication", pair_row(call->huawei, &pair)));
	else
		huawei_refuse(call, REFUSE_NO_SUCH_PAIR, "");
}

/* --- create --- */

struct creation {
	char name[REPLICATION_TEXT_SIZE], description[REPLICATION_TEXT_SIZE], station[CONTROL_ID_SIZE];
	char model[REPLICATION_MODEL_SIZE];
	json_t *ids;
	struct control_disk disks[2];
	size_t found;
};

static const struct huawei_field creation_fields[] = {
	{ "name", HUAWEI_TEXT, false, offsetof(struct creation, name), REPLICATION_TEXT_SIZE, 0, "EVS.1003" },
	{ "description", HUAWEI_TEXT, false, offsetof(struct creation, description), REPLICATION_TEXT_SIZE, 0, "EVS.1004" },
	{ "volume_ids", HUAWEI_UUIDS, true, offsetof(struct creation, ids), 0, CONTROL_RESOURCE_DISK, "EVS.1002" },
	{ "priority_station", HUAWEI_TEXT, true, offsetof(struct creation, station), CONTROL_ID_SIZE, 0, "EVS.1036" },
	{ "replication_model", HUAWEI_TEXT, true, offsetof(struct creation, model), REPLICATION_MODEL_SIZE, 0, NULL },
	{ 0 },
};

static void creation_clear(void *creation)
{
	json_decref(((struct creation *)creation)->ids);
}

static void on_created(void *data, const struct control_answer *answer)
{
	struct huawei_call *call = data;
	struct control_pair pair;

	if (answer->refusal != REFUSE_NONE) {
		huawei_refuse(call, answer->refusal, answer->text);
		return;
	}
	text_copy(call->object, sizeof(call->object), answer->id);
	if (huawei_find_pair(call->huawei->control, answer->id, &pair))
		huawei_answer(call, MHD_HTTP_ACCEPTED, json_pack("{s:o}", "replication", pair_short(&pair, "creating")));
	else
		huawei_refuse(call, REFUSE_NO_SUCH_PAIR, "It has been deleted meanwhile.");
}

/* What control/ would not refuse, or not by the name that the client gave. */
static bool creation_check(struct huawei_call *call, const struct creation *creation)
{
	const struct control_disk *disks = creation->disks;
	const char *here = control_this_site(call->huawei->control)->zone;

	if (strcmp(disks[0].zone, disks[1].zone) == 0)
		huawei_refuse(call, REFUSE_SAME_SITE, "");
	else if (strcmp(creation->station, disks[0].zone) != 0 && strcmp(creation->station, disks[1].zone) != 0)
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "EVS.1036", "priority_station must be %s or %s, where the two disks are.",
			    disks[0].zone, disks[1].zone);
	else if (disks[0].size != disks[1].size)
		huawei_refuse(call, REFUSE_DISK_SIZES_DIFFER, "");
	else if (strcmp(here, disks[0].zone) != 0 && strcmp(here, disks[1].zone) != 0)
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "EVS.1036", "Ask at %s or %s: a pair is made at one of its two sites.",
			    disks[0].zone, disks[1].zone);
	else
		return true;
	return false;
}

static void create(struct huawei_call *call, const struct creation *creation)
{
	bool first = strcmp(creation->station, creation->disks[0].zone) == 0;
	const struct control_disk *disk = &creation->disks[first ? 0 : 1], *copy = &creation->disks[first ? 1 : 0];
	struct control_request request = { .operation = CONTROL_CREATE_PAIR };

	text_copy(request.name, sizeof(request.name), creation->name);
	text_copy(request.description, sizeof(request.description), creation->description);
	text_copy(request.region, sizeof(request.region), disk->region);
	text_copy(request.zone, sizeof(request.zone), disk->zone);
	text_copy(request.disk, sizeof(request.disk), disk->id);
	text_copy(request.peer_region, sizeof(request.peer_region), copy->region);
	text_copy(request.peer_zone, sizeof(request.peer_zone), copy->zone);
	text_copy(request.peer_disk, sizeof(request.peer_disk), copy->id);
	control_call(call->huawei->control, &request, on_created, call);
}

static void find_next(struct huawei_call *call, struct creation *creation);

static void on_found(void *data, const struct control_found *found)
{
	struct huawei_call *call = data;
	struct creation *creation = call->state;

	if (found->count == 0 && found->unreached != NULL) {
		huawei_refuse(call, found->refusal, found->text);
	} else if (found->count == 0) {
		huawei_refuse(call, REFUSE_NO_SUCH_DISK, "");
	} else {
		creation->disks[creation->found] = found->disks[0];
		creation->disks[creation->found++].tags = NULL; /* borrowed */
		find_next(call, creation);
	}
}

static void find_next(struct huawei_call *call, struct creation *creation)
{
	const struct control_disk_query query = {
		.id = json_string_value(json_array_get(creation->ids, creation->found)), .state = -1, .limit = 1,
	};

	if (query.id != NULL)
		control_find_disks(call->huawei->control, &query, on_found, call);
	else if (creation_check(call, creation))
		create(call, creation);
}

void replication_create_pair(struct huawei_call *call)
{
	struct creation *creation = call->state = memory_new(1, sizeof(*creation));
	json_t *root = huawei_root(call, "replication");
	size_t index;
	json_t *id;

	if (root == NULL)
		return;
	call->on_free = creation_clear;
	if (!huawei_read(call, root, creation_fields, creation) || !replication_model_fits(call, creation->model))
		return;
	if (json_array_size(creation->ids) != 2) {
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "EVS.1002", "volume_ids must hold two ids.");
		return;
	}
	json_array_foreach(creation->ids, index, id) {
		if (!huawei_may(call, "ebs:CreateDiskReplicaPair", CONTROL_RESOURCE_DISK, json_string_value(id)))
			return;
	}
	find_next(call, creation);
}

/* --- delete --- */

static void on_deleted(void *data, const struct control_answer *answer)
{
	if (answer->refusal == REFUSE_NONE)
		huawei_accept(data, MHD_HTTP_ACCEPTED);
	else
		huawei_refuse(data, answer->refusal, answer->text);
}

void replication_delete_pair(struct huawei_call *call)
{
	struct control_request request = { .operation = CONTROL_DELETE_PAIR };

	text_copy(request.pair, sizeof(request.pair), call->arguments[0]);
	control_call(call->huawei->control, &request, on_deleted, call);
}
