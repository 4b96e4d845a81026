/* How a disk looks as a volume, as an attachment, and to who wants to connect to it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http/http.h"
#include "api/huawei/volumes.h"
#include "base/text.h"

const char *volume_status(const struct control_disk *disk)
{
	static const char *const names[DISK_STATES] = {
		[DISK_STATE_CREATING] = "creating",   [DISK_STATE_AVAILABLE] = "available", [DISK_STATE_ATTACHING] = "attaching",
		[DISK_STATE_IN_USE] = "in-use",	      [DISK_STATE_DETACHING] = "detaching", [DISK_STATE_DELETING] = "deleting",
	};

	return disk->failure[0] != '\0' ? "error" : names[disk->state];
}

static json_t *links(struct huawei_call *call, const char *uuid)
{
	const char *version = strncmp(http_request_path(call->request), "/v2/", 4) == 0 ? "v2" : "v3";
	char base[256];

	huawei_base_url(call, base);
	return json_pack("[{s:s, s:s++++++}, {s:s, s:s++++}]", "rel", "self", "href", base, "/", version, "/",
			 call->huawei->project, "/volumes/", uuid, "rel", "bookmark", "href", base, "/",
			 call->huawei->project, "/volumes/", uuid);
}

json_t *volume_summary(struct huawei_call *call, const struct control_disk *disk)
{
	char uuid[HUAWEI_UUID_SIZE];

	huawei_uuid(disk->id, uuid);
	return json_pack("{s:s, s:s, s:o}", "id", uuid, "name", disk->name, "links", links(call, uuid));
}

static json_t *instance_text(const struct control_disk *disk)
{
	char uuid[HUAWEI_UUID_SIZE];

	huawei_uuid(disk->instance, uuid);
	return json_string(strlen(disk->instance) < sizeof(uuid) ? uuid : disk->instance);
}

/* As volumes show it. */
static json_t *attachments_of(const struct control_disk *disk)
{
	char uuid[HUAWEI_UUID_SIZE], attachment[HUAWEI_UUID_SIZE];

	if (disk->state != DISK_STATE_IN_USE)
		return json_array();
	huawei_uuid(disk->id, uuid);
	volume_attachment_uuid(disk->id, attachment);
	return json_pack("[{s:s, s:s, s:s, s:o, s:s, s:n, s:o}]", "id", uuid, "volume_id", uuid, "attachment_id", attachment,
			 "server_id", instance_text(disk), "device", disk->device, "host_name", "attached_at",
			 huawei_time(disk->attached_s));
}

json_t *volume_row(struct huawei_call *call, const struct control_disk *disk)
{
	uint64_t changed_s = disk->attached_s > disk->detached_s ? disk->attached_s : disk->detached_s;
	json_t *row = volume_summary(call, disk);

	json_object_update_new(row, json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "status", volume_status(disk),
		"size", (json_int_t)((disk->size + HUAWEI_GIB - 1) / HUAWEI_GIB), "availability_zone", disk->zone,
		"description", disk->description, "volume_type", disk->category, "volume_type_id", disk->category,
		"created_at", huawei_time(disk->created_s), "updated_at", huawei_time(changed_s),
		"attachments", attachments_of(disk)));
	json_object_update_new(row, json_pack("{s:s, s:b, s:b, s:b, s:o, s:n, s:n, s:n, s:n, s:n, s:s}", "bootable", "false",
		"encrypted", 0, "multiattach", 0, "shareable", 0,
		"metadata", disk->tags == NULL ? json_object() : json_incref(disk->tags), "snapshot_id", "source_volid",
		"consistencygroup_id", "group_id", "user_id", "replication_status", "disabled"));
	json_object_update_new(row, json_pack("{s:s, s:s, s:n, s:n, s:n, s:{}}",
		"os-vol-tenant-attr:tenant_id", call->huawei->project, "os-vol-host-attr:host", disk->zone,
		"os-volume-replication:extended_status", "os-vol-mig-status-attr:migstat", "os-vol-mig-status-attr:name_id",
		"volume_image_metadata"));
	return row;
}

/* --- attachments --- */

void volume_attachment_uuid(const char *id, char out[HUAWEI_UUID_SIZE])
{
	huawei_uuid(id, out);
	out[strlen(out) - 1] = '1';
}

bool volume_of_attachment(const char *text, char out[CONTROL_ID_SIZE])
{
	char uuid[HUAWEI_UUID_SIZE];
	size_t length = strlen(text);

	if (length != HUAWEI_UUID_SIZE - 1 || text[length - 1] != '1')
		return false;
	memcpy(uuid, text, HUAWEI_UUID_SIZE);
	uuid[length - 1] = '0';
	huawei_id(CONTROL_RESOURCE_DISK, uuid, out);
	return true;
}

json_t *volume_attachment_summary(struct huawei_call *call, const struct control_disk *disk)
{
	char uuid[HUAWEI_UUID_SIZE], attachment[HUAWEI_UUID_SIZE];

	(void)call;
	huawei_uuid(disk->id, uuid);
	volume_attachment_uuid(disk->id, attachment);
	return json_pack("{s:s, s:s, s:o, s:s}", "id", attachment, "volume_id", uuid, "instance", instance_text(disk), "status",
			 "attached");
}

json_t *volume_attachment(struct huawei_call *call, const struct control_disk *disk)
{
	json_t *row = volume_attachment_summary(call, disk), *connection = volume_connection(call, disk);

	json_object_update_new(row, json_pack("{s:o, s:n, s:s, s:o}", "attached_at", huawei_time(disk->attached_s), "detached_at",
					      "attach_mode", "rw", "connection_info",
					      connection == NULL ? json_object() : connection));
	return row;
}

/* --- connections --- */

/* "nbd://HOST:PORT/..." */
static void add_address(json_t *data, const char *uri)
{
	const char *host = uri + strlen("nbd://"), *path = strchr(host, '/');
	const char *colon = path;
	size_t length;

	if (path == NULL)
		return;
	while (colon > host && *colon != ':')
		colon--;
	length = (size_t)(colon - host);
	if (host[0] == '[' && length >= 2)
		json_object_set_new(data, "host", json_stringn(host + 1, length - 2));
	else
		json_object_set_new(data, "host", json_stringn(host, length));
	json_object_set_new(data, "port", json_integer((json_int_t)strtoul(colon + 1, NULL, 10)));
}

static void add_uri(json_t *data, const char *name, const char *pattern, const char *id)
{
	const char *mark = strstr(pattern, "{disk}");
	int before = (int)(mark == NULL ? strlen(pattern) : (size_t)(mark - pattern));

	if (pattern[0] != '\0')
		json_object_set_new(data, name, json_sprintf("%.*s%s%s", before, pattern, id,
							     mark == NULL ? "" : mark + strlen("{disk}")));
}

json_t *volume_connection(const struct huawei_call *call, const struct control_disk *disk)
{
	const char *tcp = call->huawei->nbd_uris[0], *local = call->huawei->nbd_uris[1];
	char uuid[HUAWEI_UUID_SIZE];
	json_t *data;

	if (strcmp(disk->zone, control_this_site(call->huawei->control)->zone) != 0 || (tcp[0] == '\0' && local[0] == '\0'))
		return NULL;
	huawei_uuid(disk->id, uuid);
	data = json_pack("{s:s, s:s, s:s, s:b, s:b}", "volume_id", uuid, "export", disk->id, "access_mode", "rw", "encrypted", 0,
			 "discard", 1);
	if (tcp[0] != '\0')
		add_address(data, tcp);
	add_uri(data, "uri", tcp, disk->id);
	add_uri(data, "unix_uri", local, disk->id);
	return json_pack("{s:s, s:o}", "driver_volume_type", "nbd", "data", data);
}
