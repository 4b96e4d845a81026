/* A volume's actions, and attachments: both attach control's disk, which opens its export, and detach it.
 *
 * There is no state between "available" and "in-use" that a client could hold: what Cinder calls reserving says whether an
 * attachment would be taken now (actions), or attaches (attachments). A connection that is asked for before the attachment has to
 * work at once, so it attaches, too; the disk's device tells such a one from an instance's, which ends with its own detach. */
#include <string.h>

#include "api/huawei/volumes.h"
#include "base/text.h"

#define OF_CONNECTOR "nbd-connector" /* the device of a disk that os-initialize_connection has attached */
#define NAMELESS "reserved"          /* the instance of an attachment that names none */

#define REQUEST(field) offsetof(struct control_request, field), sizeof(((struct control_request *)NULL)->field)

static bool is_of_connector(const struct control_disk *disk)
{
	return disk->state == DISK_STATE_IN_USE && strcmp(disk->device, OF_CONNECTOR) == 0;
}

/* Begins an action: its value is kept, the disk looked for. */
static void act(struct huawei_call *call, json_t *value, volume_step *then)
{
	volume_work(call)->value = value;
	volume_find_argument(call, then);
}

/* --- extend --- */

static const struct huawei_field extend_fields[] = {
	{ .name = "new_size", .value = HUAWEI_COUNT, .required = true, REQUEST(size), .code = "EVS.1015" },
	{ .name = NULL },
};

static void extend(struct huawei_call *call, struct volume_work *work)
{
	uint64_t gib = work->request.size;

	if (gib > UINT64_MAX / HUAWEI_GIB || gib * HUAWEI_GIB <= work->disk.size) {
		huawei_fail(call, 400, "EVS.1015", "The new size must be greater than the present one, %llu bytes, and at most 64 TiB.",
			    (unsigned long long)work->disk.size);
		return;
	}
	work->request.size = gib * HUAWEI_GIB;
	volume_ask(call, CONTROL_RESIZE_DISK, volume_accepted);
}

static void act_extend(struct huawei_call *call, json_t *value)
{
	if (huawei_read(call, value, extend_fields, &volume_work(call)->request))
		act(call, value, extend);
}

/* --- attach, detach --- */

static const struct huawei_field attach_fields[] = {
	{ .name = "host_name", .value = HUAWEI_TEXT, .required = false, REQUEST(instance) },
	{ .name = "instance_uuid", .value = HUAWEI_UUID, .required = false, REQUEST(instance), .kind = CONTROL_RESOURCE_INSTANCE },
	{ .name = "mountpoint", .value = HUAWEI_TEXT, .required = false, REQUEST(device) },
	{ .name = NULL },
};

static bool is_read_only(const json_t *value)
{
	const char *mode = json_string_value(json_object_get(value, "mode"));

	return mode != NULL && strcmp(mode, "ro") == 0;
}

static void attach(struct huawei_call *call, struct volume_work *work)
{
	if (is_of_connector(&work->disk))
		volume_accepted(call, work);
	else
		volume_ask(call, CONTROL_ATTACH_DISK, volume_accepted);
}

static void act_attach(struct huawei_call *call, json_t *value)
{
	struct control_request *request = &volume_work(call)->request;

	if (!huawei_read(call, value, attach_fields, request))
		return;
	if (request->instance[0] == '\0')
		huawei_fail(call, 400, "", "Give instance_uuid or host_name.");
	else if (is_read_only(value))
		huawei_fail(call, 501, "", "Volumes are attached for reading and writing; mode \"ro\" is not offered.");
	else
		act(call, value, attach);
}

/* What is detached already is as the caller wants it. */
static void detach(struct huawei_call *call, struct volume_work *work)
{
	const char *attachment = json_string_value(json_object_get(work->value, "attachment_id"));
	char uuid[HUAWEI_UUID_SIZE];

	volume_attachment_uuid(work->disk.id, uuid);
	if (attachment != NULL && strcmp(attachment, uuid) != 0)
		huawei_fail(call, 404, "", "The volume has no such attachment.");
	else if (work->disk.state == DISK_STATE_AVAILABLE)
		volume_accepted(call, work);
	else
		volume_ask(call, CONTROL_DETACH_DISK, volume_accepted);
}

static void act_detach(struct huawei_call *call, json_t *value)
{
	act(call, value, detach);
}

/* --- steps that change nothing --- */

static void need_available(struct huawei_call *call, struct volume_work *work)
{
	if (work->disk.state == DISK_STATE_AVAILABLE)
		volume_accepted(call, work);
	else
		huawei_fail(call, 400, "EVS.1048", "The volume's status must be available, but is %s.", volume_status(&work->disk));
}

static void need_in_use(struct huawei_call *call, struct volume_work *work)
{
	if (work->disk.state == DISK_STATE_IN_USE)
		volume_accepted(call, work);
	else
		huawei_fail(call, 400, "EVS.1048", "The volume's status must be in-use, but is %s.", volume_status(&work->disk));
}

static void act_reserve(struct huawei_call *call, json_t *value)
{
	act(call, value, need_available);
}

static void act_unreserve(struct huawei_call *call, json_t *value)
{
	act(call, value, volume_accepted);
}

static void act_begin_detaching(struct huawei_call *call, json_t *value)
{
	act(call, value, need_in_use);
}

static void refuse_flag(struct huawei_call *call, json_t *value, const char *name, const char *sentence, volume_step *done)
{
	bool flag = false;
	const struct huawei_field fields[] = {
		{ .name = name, .value = HUAWEI_FLAG, .required = true, .offset = 0, .size = sizeof(flag) }, { .name = NULL },
	};

	if (!huawei_read(call, value, fields, &flag))
		return;
	if (flag)
		huawei_fail(call, 501, "", "%s", sentence);
	else
		act(call, value, done);
}

static void act_set_bootable(struct huawei_call *call, json_t *value)
{
	refuse_flag(call, value, "bootable", "Volumes hold data; none can be made bootable here.", volume_done);
}

static void act_set_readonly(struct huawei_call *call, json_t *value)
{
	refuse_flag(call, value, "readonly", "Volumes can be written; none can be made read-only here.", volume_accepted);
}

static void act_reset_status(struct huawei_call *call, json_t *value)
{
	(void)value;
	huawei_fail(call, 501, "", "A volume's status is what it is; it cannot be set.");
}

/* --- connections --- */

static const char *connector_host(const json_t *connector)
{
	const char *host = json_string_value(json_object_get(connector, "host"));

	return host != NULL && host[0] != '\0' && strlen(host) < CONTROL_ID_SIZE ? host : NAMELESS;
}

/* Whether a connection can be told of; false: the call has failed. */
static bool may_connect(struct huawei_call *call, const struct control_disk *disk)
{
	json_t *connection = volume_connection(call, disk);

	json_decref(connection);
	if (connection == NULL)
		huawei_fail(call, 400, "", "The volume is served, by NBD, at site %s only, and that site knows where: ask there.",
			    disk->zone);
	return connection != NULL;
}

static void connected(struct huawei_call *call, struct volume_work *work)
{
	huawei_answer(call, 200, json_pack("{s:o}", "connection_info", volume_connection(call, &work->disk)));
}

static void connect(struct huawei_call *call, struct volume_work *work)
{
	if (!may_connect(call, &work->disk))
		return;
	if (work->disk.state == DISK_STATE_IN_USE) {
		connected(call, work);
		return;
	}
	text_copy(work->request.instance, sizeof(work->request.instance), connector_host(json_object_get(work->value, "connector")));
	text_copy(work->request.device, sizeof(work->request.device), OF_CONNECTOR);
	volume_ask(call, CONTROL_ATTACH_DISK, connected);
}

static void act_connect(struct huawei_call *call, json_t *value)
{
	if (json_is_object(json_object_get(value, "connector")))
		act(call, value, connect);
	else
		huawei_fail(call, 400, "", "Give a connector, an object.");
}

static void disconnect(struct huawei_call *call, struct volume_work *work)
{
	if (is_of_connector(&work->disk))
		volume_ask(call, CONTROL_DETACH_DISK, volume_accepted);
	else
		volume_accepted(call, work);
}

static void act_disconnect(struct huawei_call *call, json_t *value)
{
	act(call, value, disconnect);
}

#define ATTACHES "ecs:AttachDisk"
#define DETACHES "ecs:DetachDisk"
#define MODIFIES "ecs:ModifyDiskAttribute"

static const struct huawei_action actions[] = {
	{ "os-extend", "ecs:ResizeDisk", act_extend },
	{ "os-attach", ATTACHES, act_attach },
	{ "os-detach", DETACHES, act_detach },
	{ "os-reserve", ATTACHES, act_reserve },
	{ "os-unreserve", ATTACHES, act_unreserve },
	{ "os-begin_detaching", DETACHES, act_begin_detaching },
	{ "os-roll_detaching", DETACHES, act_unreserve },
	{ "os-initialize_connection", ATTACHES, act_connect },
	{ "os-terminate_connection", DETACHES, act_disconnect },
	{ "os-set_bootable", MODIFIES, act_set_bootable },
	{ "os-update_readonly_flag", MODIFIES, act_set_readonly },
	{ "os-reset_status", MODIFIES, act_reset_status },
	{ NULL, NULL, NULL },
};

void volume_act(struct huawei_call *call)
{
	huawei_act(call, actions, CONTROL_RESOURCE_DISK);
}

/* --- attachments --- */

/* The one of the path, if the caller may do that to its disk. */
static void attachment_find(struct huawei_call *call, const char *action, volume_step *then)
{
	char id[CONTROL_ID_SIZE];

	if (!volume_of_attachment(call->arguments[0], id)) {
		huawei_fail(call, 404, "", "There is no such attachment.");
		return;
	}
	text_copy(call->object, sizeof(call->object), id);
	if (huawei_may(call, action, CONTROL_RESOURCE_DISK, id))
		volume_find(call, id, then);
}

static bool is_attached(struct huawei_call *call, const struct volume_work *work)
{
	if (work->disk.state == DISK_STATE_IN_USE)
		return true;
	huawei_fail(call, 404, "", "There is no such attachment.");
	return false;
}

static void show(struct huawei_call *call, struct volume_work *work)
{
	if (is_attached(call, work))
		huawei_answer(call, 200, json_pack("{s:o}", "attachment", volume_attachment(call, &work->disk)));
}

void attachment_show(struct huawei_call *call)
{
	attachment_find(call, "ecs:DescribeDisks", show);
}

/* Read again: the answer shows what is there now. */
static void attached(struct huawei_call *call, struct volume_work *work)
{
	volume_find(call, work->disk.id, show);
}

static void create(struct huawei_call *call, struct volume_work *work)
{
	json_t *connector = json_object_get(work->value, "connector");

	if (json_object_size(connector) > 0 && !may_connect(call, &work->disk))
		return;
	if (work->request.instance[0] == '\0')
		text_copy(work->request.instance, sizeof(work->request.instance), connector_host(connector));
	volume_ask(call, CONTROL_ATTACH_DISK, attached);
}

static const struct huawei_field attachment_fields[] = {
	{ .name = "volume_uuid", .value = HUAWEI_UUID, .required = true, REQUEST(disk), .kind = CONTROL_RESOURCE_DISK },
	{ .name = "instance_uuid", .value = HUAWEI_UUID, .required = false, REQUEST(instance), .kind = CONTROL_RESOURCE_INSTANCE },
	{ .name = NULL },
};

void attachment_create(struct huawei_call *call)
{
	json_t *attachment = huawei_root(call, "attachment");
	struct volume_work *work;

	if (attachment == NULL)
		return;
	work = volume_work(call);
	work->value = attachment;
	if (!huawei_read(call, attachment, attachment_fields, &work->request))
		return;
	if (is_read_only(work->value)) {
		huawei_fail(call, 501, "", "Volumes are attached for reading and writing; mode \"ro\" is not offered.");
		return;
	}
	text_copy(call->object, sizeof(call->object), work->request.disk);
	if (huawei_may(call, ATTACHES, CONTROL_RESOURCE_DISK, call->object))
		volume_find(call, call->object, create);
}

static void update(struct huawei_call *call, struct volume_work *work)
{
	if (is_attached(call, work) && may_connect(call, &work->disk))
		show(call, work);
}

void attachment_update(struct huawei_call *call)
{
	json_t *attachment = huawei_root(call, "attachment");

	if (attachment == NULL)
		return;
	if (json_object_size(json_object_get(attachment, "connector")) == 0)
		huawei_fail(call, 400, "", "Give a connector, an object.");
	else
		attachment_find(call, ATTACHES, update);
}

static void deleted(struct huawei_call *call, struct volume_work *work)
{
	(void)work;
	huawei_answer(call, 200, json_pack("{s:[]}", "attachments"));
}

static void delete(struct huawei_call *call, struct volume_work *work)
{
	if (is_attached(call, work))
		volume_ask(call, CONTROL_DETACH_DISK, deleted);
}

void attachment_delete(struct huawei_call *call)
{
	attachment_find(call, DETACHES, delete);
}

static void complete(struct huawei_call *call, struct volume_work *work)
{
	if (is_attached(call, work))
		huawei_accept(call, 204);
}

void attachment_act(struct huawei_call *call)
{
	if (json_object_get(call->body, "os-complete") != NULL)
		attachment_find(call, ATTACHES, complete);
	else
		huawei_fail(call, 501, "", "The one action of an attachment is os-complete.");
}
