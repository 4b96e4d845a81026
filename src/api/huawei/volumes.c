/* Cinder's volumes: what is asked of one, and the routes of the family. v2 and v3 differ in the path only. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/huawei/volumes.h"
#include "base/memory.h"
#include "base/text.h"

#define METADATA_MAX 20u /* members, as control's tags */
#define SIZE_MAX_GIB UINT64_C(65536)

/* --- finding and asking --- */

static void work_free(void *state)
{
	struct volume_work *work = state;

	json_decref(work->disk.tags);
	control_request_clear(&work->request);
}

struct volume_work *volume_work(struct huawei_call *call)
{
	if (call->state == NULL) {
		call->state = memory_new(1, sizeof(struct volume_work));
		call->on_free = work_free;
	}
	return call->state;
}

static void on_found(void *data, const struct control_found *found)
{
	struct huawei_call *call = data;
	struct volume_work *work = volume_work(call);

	if (found->count > 0) {
		json_decref(work->disk.tags);
		work->disk = found->disks[0];
		json_incref(work->disk.tags);
		work->then(call, work);
	} else if (found->unreached != NULL) {
		huawei_refuse(call, found->refusal, found->text);
	} else {
		huawei_fail(call, 404, "", "There is no such volume.");
	}
}

/* Clients try a name as an id first, and must learn at once that it is none, a silent site or not. */
static bool is_disk_id(const char *id)
{
	return strncmp(id, "d-", 2) == 0 && strlen(id) == 22 && strspn(id + 2, "0123456789abcdef") == 20;
}

void volume_find(struct huawei_call *call, const char *id, volume_step *then)
{
	struct control_disk_query query = { .id = id, .state = -1, .limit = 1 };

	volume_work(call)->then = then;
	if (is_disk_id(id))
		control_find_disks(call->huawei->control, &query, on_found, call);
	else
		huawei_fail(call, 404, "", "There is no such volume.");
}

void volume_find_argument(struct huawei_call *call, volume_step *then)
{
	volume_find(call, call->arguments[0], then);
}

static void on_answer(void *data, const struct control_answer *answer)
{
	struct huawei_call *call = data;
	struct volume_work *work = volume_work(call);

	if (answer->refusal != REFUSE_NONE) {
		huawei_refuse(call, answer->refusal, answer->text);
		return;
	}
	if (answer->id[0] != '\0')
		text_copy(work->disk.id, sizeof(work->disk.id), answer->id);
	work->then(call, work);
}

static void ask(struct huawei_call *call, enum control_operation operation, volume_step *then)
{
	struct volume_work *work = volume_work(call);

	work->request.operation = operation;
	memcpy(work->request.region, work->disk.region, sizeof(work->request.region));
	memcpy(work->request.zone, work->disk.zone, sizeof(work->request.zone));
	work->then = then;
	control_call(call->huawei->control, &work->request, on_answer, call);
}

void volume_ask(struct huawei_call *call, enum control_operation operation, volume_step *then)
{
	struct volume_work *work = volume_work(call);

	memcpy(work->request.disk, work->disk.id, sizeof(work->request.disk));
	ask(call, operation, then);
}

void volume_accepted(struct huawei_call *call, struct volume_work *work)
{
	(void)work;
	huawei_accept(call, 202);
}

void volume_done(struct huawei_call *call, struct volume_work *work)
{
	(void)work;
	huawei_accept(call, 200);
}

/* --- create --- */

#define REQUEST(field) offsetof(struct control_request, field), sizeof(((struct control_request *)NULL)->field)

static const struct huawei_field create_fields[] = {
	{ .name = "size", .value = HUAWEI_COUNT, .required = true, REQUEST(size), .code = "EVS.1010" },
	{ .name = "display_name", .value = HUAWEI_TEXT, .required = false, REQUEST(name), .code = "EVS.1003" },
	{ .name = "name", .value = HUAWEI_TEXT, .required = false, REQUEST(name), .code = "EVS.1003" },
	{ .name = "display_description", .value = HUAWEI_TEXT, .required = false, REQUEST(description), .code = "EVS.1004" },
	{ .name = "description", .value = HUAWEI_TEXT, .required = false, REQUEST(description), .code = "EVS.1004" },
	{ .name = "availability_zone", .value = HUAWEI_TEXT, .required = false, REQUEST(zone), .code = "EVS.1036" },
	{ .name = "volume_type", .value = HUAWEI_TEXT, .required = false, REQUEST(category), .code = "EVS.1020" },
	{ .name = "metadata", .value = HUAWEI_TEXTS_BY_NAME, .required = false, REQUEST(tags), .code = "EVS.1011" },
	{ .name = NULL },
};

/* What a volume cannot be made of, or be, here; each refused when it is given and not null or false. */
static const struct {
	const char *name, *meaning;
} not_made[] = {
	{ "snapshot_id", "a snapshot" }, { "source_volid", "another volume" }, { "imageRef", "an image" },
	{ "backup_id", "a backup" }, { "consistencygroup_id", "a consistency group" }, { "group_id", "a group" },
};

static bool create_check_kind(struct huawei_call *call, json_t *volume)
{
	json_t *shared = json_object_get(volume, "multiattach"), *also = json_object_get(volume, "shareable");
	json_t *count = json_object_get(volume, "count");

	for (size_t i = 0; i < sizeof(not_made) / sizeof(not_made[0]); i++) {
		json_t *given = json_object_get(volume, not_made[i].name);

		if (given == NULL || json_is_null(given) || (json_is_string(given) && json_string_length(given) == 0))
			continue;
		huawei_fail(call, 501, "", "Volumes are made empty here: not of, or in, %s.", not_made[i].meaning);
		return false;
	}
	if (json_is_true(shared) || json_is_true(also)) {
		huawei_fail(call, 501, "", "A volume can be attached once: multiattach and shareable are not offered.");
		return false;
	}
	if (count != NULL && !json_is_null(count) && json_integer_value(count) != 1) {
		huawei_fail(call, 501, "", "One volume is made at a time: count must be 1.");
		return false;
	}
	return true;
}

/* Where it is to be made, of what type and size; in the work's disk, too, which is the answer. */
static bool create_check(struct huawei_call *call, struct volume_work *work)
{
	struct control_request *request = &work->request;
	struct control_disk *disk = &work->disk;
	struct control *control = call->huawei->control;
	const char *type = volume_type(request->category);
	bool linked;
	const struct control_site *site = request->zone[0] == '\0' ? control_this_site(control) :
					  control_find_site(control, request->zone, &linked);

	if (site == NULL) {
		huawei_fail(call, 400, "EVS.1036", "Availability zone '%s' is invalid.", request->zone);
		return false;
	}
	if (type == NULL) {
		huawei_fail(call, 404, "EVS.1020", "Volume type with name %s could not be found.", request->category);
		return false;
	}
	if (request->size > SIZE_MAX_GIB) {
		huawei_fail(call, 400, "EVS.1010", "A volume has at most %llu GiB.", (unsigned long long)SIZE_MAX_GIB);
		return false;
	}
	if (json_object_size(request->tags) > METADATA_MAX) {
		huawei_fail(call, 413, "", "A volume has at most %u metadata items.", METADATA_MAX);
		return false;
	}
	request->size *= HUAWEI_GIB;
	text_copy(request->category, sizeof(request->category), type);
	memcpy(disk->region, site->region, sizeof(disk->region));
	memcpy(disk->zone, site->zone, sizeof(disk->zone));
	memcpy(disk->name, request->name, sizeof(disk->name));
	memcpy(disk->description, request->description, sizeof(disk->description));
	memcpy(disk->category, request->category, sizeof(disk->category));
	disk->size = request->size;
	disk->tags = json_incref(request->tags);
	disk->state = DISK_STATE_CREATING;
	disk->created_s = (uint64_t)time(NULL);
	return true;
}

static void created(struct huawei_call *call, struct volume_work *work)
{
	text_copy(call->object, sizeof(call->object), work->disk.id);
	huawei_answer(call, 202, json_pack("{s:o}", "volume", volume_row(call, &work->disk)));
}

static void volume_create(struct huawei_call *call)
{
	struct volume_work *work = volume_work(call);
	json_t *volume = huawei_root(call, "volume");

	if (volume != NULL && huawei_read(call, volume, create_fields, &work->request) && create_check_kind(call, volume) &&
	    create_check(call, work))
		ask(call, CONTROL_CREATE_DISK, created);
}

/* --- show, update, delete --- */

static void show(struct huawei_call *call, struct volume_work *work)
{
	huawei_answer(call, 200, json_pack("{s:o}", "volume", volume_row(call, &work->disk)));
}

static void volume_show(struct huawei_call *call)
{
	volume_find_argument(call, show);
}

static const struct huawei_field update_fields[] = {
	{ .name = "display_name", .value = HUAWEI_TEXT, .required = false, REQUEST(name), .code = "EVS.1003" },
	{ .name = "name", .value = HUAWEI_TEXT, .required = false, REQUEST(name), .code = "EVS.1003" },
	{ .name = "display_description", .value = HUAWEI_TEXT, .required = false, REQUEST(description), .code = "EVS.1004" },
	{ .name = "description", .value = HUAWEI_TEXT, .required = false, REQUEST(description), .code = "EVS.1004" },
	{ .name = NULL },
};

/* Read again: the answer shows what is there now. */
static void updated(struct huawei_call *call, struct volume_work *work)
{
	volume_find(call, work->disk.id, show);
}

static void update(struct huawei_call *call, struct volume_work *work)
{
	(void)work;
	volume_ask(call, CONTROL_MODIFY_DISK, updated);
}

static void volume_update(struct huawei_call *call)
{
	json_t *volume = huawei_root(call, "volume");

	if (volume == NULL || !huawei_read(call, volume, update_fields, &volume_work(call)->request))
		return;
	if (json_object_get(volume, "metadata") != NULL)
		huawei_fail(call, 400, "", "Metadata is changed at the volume's own URI, .../metadata.");
	else
		volume_find_argument(call, update);
}

static void delete(struct huawei_call *call, struct volume_work *work)
{
	(void)work;
	volume_ask(call, CONTROL_DELETE_DISK, volume_accepted);
}

static void volume_delete(struct huawei_call *call)
{
	volume_find_argument(call, delete);
}

/* --- routes --- */

#define BOTH "/v2|v3/{project}/"
#define DISK CONTROL_RESOURCE_DISK
#define READS "ecs:DescribeDisks"
#define TAGS "ecs:TagResources"

const struct huawei_route huawei_volume_routes[] = {
	{ "GET", "/", NULL, -1, volumes_root },
	{ "GET", "/v2", NULL, -1, volumes_version },
	{ "POST", BOTH "volumes", "ecs:CreateDisk", -1, volume_create },
	{ "GET", BOTH "volumes", READS, -1, volumes_list },
	{ "GET", BOTH "volumes/detail", READS, -1, volumes_list_detail },
	{ "GET", BOTH "volumes/{}", READS, DISK, volume_show },
	{ "PUT", BOTH "volumes/{}", "ecs:ModifyDiskAttribute", DISK, volume_update },
	{ "DELETE", BOTH "volumes/{}", "ecs:DeleteDisk", DISK, volume_delete },
	{ "POST", BOTH "volumes/{}/action", "", DISK, volume_act },
	{ "GET", BOTH "volumes/{}/metadata", READS, DISK, metadata_list },
	{ "POST", BOTH "volumes/{}/metadata", TAGS, DISK, metadata_add },
	{ "PUT", BOTH "volumes/{}/metadata", TAGS, DISK, metadata_replace },
	{ "GET", BOTH "volumes/{}/metadata/{}", READS, DISK, metadata_show_one },
	{ "PUT", BOTH "volumes/{}/metadata/{}", TAGS, DISK, metadata_set_one },
	{ "DELETE", BOTH "volumes/{}/metadata/{}", "ecs:UntagResources", DISK, metadata_delete_one },
	{ "GET", "/v3/{project}/attachments", READS, -1, attachments_list },
	{ "GET", "/v3/{project}/attachments/detail", READS, -1, attachments_list_detail },
	{ "POST", "/v3/{project}/attachments", "", -1, attachment_create },
	{ "GET", "/v3/{project}/attachments/{}", "", -1, attachment_show },
	{ "PUT", "/v3/{project}/attachments/{}", "", -1, attachment_update },
	{ "DELETE", "/v3/{project}/attachments/{}", "", -1, attachment_delete },
	{ "POST", "/v3/{project}/attachments/{}/action", "", -1, attachment_act },
	{ "GET", BOTH "types", "", -1, volumes_types },
	{ "GET", BOTH "types/{}", "", -1, volumes_type },
	{ "GET", BOTH "os-availability-zone", "", -1, volumes_zones },
	{ "GET", BOTH "os-quota-sets/{}", READS, -1, volumes_quotas },
	{ "GET", BOTH "os-quota-sets/{}/defaults", READS, -1, volumes_quotas },
	{ "GET", BOTH "limits", READS, -1, volumes_limits },
	{ "GET", BOTH "extensions", "", -1, volumes_no_extensions },
	{ "GET", BOTH "snapshots", "", -1, volumes_no_snapshots },
	{ "GET", BOTH "snapshots/detail", "", -1, volumes_no_snapshots },
	{ "POST", BOTH "snapshots", "", -1, volumes_make_no_snapshot },
	{ "GET", BOTH "snapshots/{}", "", -1, volumes_no_snapshot },
	{ "PUT", BOTH "snapshots/{}", "", -1, volumes_no_snapshot },
	{ "DELETE", BOTH "snapshots/{}", "", -1, volumes_no_snapshot },
	{ NULL, NULL, NULL, -1, NULL },
};
