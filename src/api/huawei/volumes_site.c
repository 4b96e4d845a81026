/* What is true of the service, whatever volumes there are: versions, types, zones, quotas, limits; and what there is none of. */
#include <stdio.h>
#include <string.h>

#include "api/http/http.h"
#include "api/huawei/volumes.h"
#include "base/text.h"

/* --- versions --- */

static const struct version {
	const char *id, *path, *status, *version, *min_version, *updated;
} versions[] = {
	{ "v1", "v1", "CURRENT", "", "", "2018-05-30T00:00:00Z" }, /* SDRS */
	{ "v2.0", "v2", "SUPPORTED", "", "", "2014-06-28T12:20:21Z" },
	{ "v3.0", "v3", "CURRENT", VOLUMES_VERSION_MAX, "3.0", "2016-02-08T12:20:21Z" },
};

static json_t *version_row(const struct huawei_call *call, const struct version *version)
{
	char base[256];

	huawei_base_url(call, base);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:[{s:s, s:s++++}], s:[{s:s, s:s}]}", "id", version->id, "status",
			 version->status, "version", version->version, "min_version", version->min_version, "updated",
			 version->updated, "links", "rel", "self", "href", base, "/", version->path, "/", "", "media-types",
			 "base", "application/json", "type", "application/json");
}

void volumes_root(struct huawei_call *call)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		json_array_append_new(rows, version_row(call, &versions[i]));
	huawei_answer(call, 300, json_pack("{s:o}", "versions", rows));
}

void volumes_version(struct huawei_call *call)
{
	huawei_answer(call, 200, json_pack("{s:[o]}", "versions", version_row(call, &versions[1])));
}

/* Never refused, what is beyond the last one neither: clients ask for more than they were offered. */
void huawei_put_version(const struct huawei_call *call)
{
	const char *asked = http_request_header(call->request, "OpenStack-API-Version");
	char text[16] = "volume 3.0";

	if (strncmp(http_request_path(call->request), "/v3/", 4) != 0)
		return;
	if (asked != NULL && strcmp(asked, "volume latest") == 0)
		text_copy(text, sizeof(text), "volume " VOLUMES_VERSION_MAX);
	else if (asked != NULL && strncmp(asked, "volume 3.", 9) == 0 && strlen(asked) < sizeof(text) &&
		 strspn(asked + 9, "0123456789") == strlen(asked + 9))
		text_copy(text, sizeof(text), asked);
	http_request_answer_header(call->request, "OpenStack-API-Version", text);
	http_request_answer_header(call->request, "Vary", "OpenStack-API-Version");
}

/* --- types: words that a disk keeps; they mean nothing --- */

/* The first is for who asks for none. */
static const char *const types[] = { "SSD", "SAS", "SATA", "GPSSD", "ESSD", "co-p1", "uh-l1" };

const char *volume_type(const char *name)
{
	if (name[0] == '\0')
		return types[0];
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i], name) == 0)
			return types[i];
	return NULL;
}

static json_t *type_row(const char *type)
{
	return json_pack("{s:s, s:s, s:s, s:b, s:b, s:{}, s:n}", "id", type, "name", type, "description",
			 "Of no meaning here: a volume is as fast as what it lies on.", "is_public", 1,
			 "os-volume-type-access:is_public", 1, "extra_specs", "qos_specs_id");
}

void volumes_types(struct huawei_call *call)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		json_array_append_new(rows, type_row(types[i]));
	huawei_answer(call, 200, json_pack("{s:o}", "volume_types", rows));
}

void volumes_type(struct huawei_call *call)
{
	const char *name = call->arguments[0], *type = volume_type(strcmp(name, "default") == 0 ? "" : name);

	if (type == NULL)
		huawei_fail(call, 404, "EVS.1020", "There is no such volume type.");
	else
		huawei_answer(call, 200, json_pack("{s:o}", "volume_type", type_row(type)));
}

/* --- zones --- */

static json_t *zone_row(const char *zone, bool available)
{
	return json_pack("{s:s, s:{s:b}, s:n}", "zoneName", zone, "zoneState", "available", available, "hosts");
}

void volumes_zones(struct huawei_call *call)
{
	struct control *control = call->huawei->control;
	json_t *rows = json_array();
	const struct control_site *site;
	uint64_t limit;
	bool linked;

	json_array_append_new(rows, zone_row(control_this_site(control)->zone, true));
	for (size_t i = 0; (site = control_peer(control, i, &linked, &limit)) != NULL; i++)
		json_array_append_new(rows, zone_row(site->zone, linked));
	huawei_answer(call, 200, json_pack("{s:o}", "availabilityZoneInfo", rows));
}

/* --- quotas and limits: what there is room for decides, not a number --- */

static const struct {
	const char *name;
	int limit; /* -1: none */
} quotas[] = {
	{ "volumes", -1 }, { "gigabytes", -1 },	       { "per_volume_gigabytes", 65536 }, { "snapshots", 0 },
	{ "backups", 0 },  { "backup_gigabytes", 0 }, { "groups", 0 },
};

static json_t *quota_value(int limit, uint64_t in_use, bool with_usage)
{
	return with_usage ? json_pack("{s:I, s:i, s:i}", "in_use", (json_int_t)in_use, "limit", limit, "reserved", 0) :
			    json_integer(limit);
}

void volumes_quotas(struct huawei_call *call)
{
	const char *usage = huawei_given(call, "usage");
	bool with_usage = usage != NULL && (usage[0] == 'T' || usage[0] == 't' || usage[0] == '1');
	json_t *set = json_pack("{s:s}", "id", call->arguments[0]);
	size_t count;
	uint64_t bytes;

	control_sum_disks(call->huawei->control, &count, &bytes);
	for (size_t i = 0; i < sizeof(quotas) / sizeof(quotas[0]); i++) {
		uint64_t in_use = i == 0 ? count : i == 1 ? (bytes + HUAWEI_GIB - 1) / HUAWEI_GIB : 0;

		json_object_set_new(set, quotas[i].name, quota_value(quotas[i].limit, in_use, with_usage));
	}
	huawei_answer(call, 200, json_pack("{s:o}", "quota_set", set));
}

void volumes_limits(struct huawei_call *call)
{
	size_t count;
	uint64_t bytes;

	control_sum_disks(call->huawei->control, &count, &bytes);
	huawei_answer(call, 200, json_pack("{s:{s:[], s:{s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:i, s:i, s:i}}}", "limits", "rate",
		"absolute", "maxTotalVolumes", -1, "maxTotalVolumeGigabytes", -1, "maxTotalSnapshots", 0, "maxTotalBackups", 0,
		"maxTotalBackupGigabytes", 0, "totalVolumesUsed", (json_int_t)count, "totalGigabytesUsed",
		(json_int_t)((bytes + HUAWEI_GIB - 1) / HUAWEI_GIB), "totalSnapshotsUsed", 0, "totalBackupsUsed", 0,
		"totalBackupGigabytesUsed", 0));
}

/* --- what there is none of --- */

void volumes_no_extensions(struct huawei_call *call)
{
	huawei_answer(call, 200, json_pack("{s:[]}", "extensions"));
}

void volumes_no_snapshots(struct huawei_call *call)
{
	huawei_answer(call, 200, json_pack("{s:[]}", "snapshots"));
}

void volumes_no_snapshot(struct huawei_call *call)
{
	huawei_fail(call, 404, "", "There is no such snapshot.");
}

void volumes_make_no_snapshot(struct huawei_call *call)
{
	huawei_fail(call, 501, "", "Snapshots of volumes are not offered: replicate the volume instead.");
}
