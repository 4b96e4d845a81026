/* Protection groups: groups of control's, and the pairs of zones they may lie in. */
#include <microhttpd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/huawei/plans.h"
#include "api/huawei/sdrs.h"
#include "api/huawei/state.h"
#include "base/hash.h"
#include "base/memory.h"

/* --- domains: two zones each, of which one is this site's --- */

/* The same at both sites, in either order, and kept nowhere. */
static void domain_of(const char *zone, const char *other, char out_id[HUAWEI_UUID_SIZE], char out_name[2 * CONTROL_ID_SIZE])
{
	bool in_order = strcmp(zone, other) < 0;
	uint8_t digest[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];

	snprintf(out_name, 2 * CONTROL_ID_SIZE, "%s_%s", in_order ? zone : other, in_order ? other : zone);
	hash_sha256(out_name, strlen(out_name), digest);
	hash_to_hex(digest, sizeof(digest), hex);
	snprintf(out_id, HUAWEI_UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

void sdrs_list_domains(struct huawei_call *call)
{
	const struct control_site *here = control_this_site(call->huawei->control), *peer;
	json_t *rows = json_array();
	uint64_t limit;
	bool linked;

	for (size_t i = 0; (peer = control_peer(call->huawei->control, i, &linked, &limit)) != NULL; i++) {
		char id[HUAWEI_UUID_SIZE], name[2 * CONTROL_ID_SIZE];

		domain_of(here->zone, peer->zone, id, name);
		json_array_append_new(
			rows, json_pack("{s:s, s:s, s:s, s:b, s:{s:s}, s:{s:s}}", "id", id, "name", name, "description", "",
					"sold_out", 0, "local_replication_cluster", "availability_zone", here->zone,
					"remote_replication_cluster", "availability_zone", peer->zone));
	}
	huawei_answer(call, MHD_HTTP_OK, json_pack("{s:o}", "domains", rows));
}

/* --- what is shown --- */

/* What of its data a group's status says: whether protection is on. */
static const char *protected_status(enum sdrs_status status)
{
	return status == SDRS_PROTECTED || status == SDRS_REVERSING || status == SDRS_ERROR_STOPPING ||
	       status == SDRS_ERROR_REVERSING || status == SDRS_STOPPING ? "started" : "stopped";
}

static json_t *group_row(struct huawei *huawei, const struct control_group *group)
{
	enum sdrs_status status = sdrs_group_status(huawei, group->id, group->state, group->switching);
	struct huawei_state state = huawei_state_of_group(huawei, group);
	char id[HUAWEI_UUID_SIZE], domain[HUAWEI_UUID_SIZE], domain_name[2 * CONTROL_ID_SIZE];
	const char *vpc = json_string_value(json_object_get(group->kept, "source_vpc_id"));
	json_t *row;

	huawei_uuid(group->id, id);
	domain_of(group->primary.zone, group->standby.zone, domain, domain_name);
	row = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s}", "id", id, "name", group->name, "description",
			group->description, "status", sdrs_status_name(status), "progress",
			state.progress < 0 ? 0 : state.progress, "source_availability_zone", group->primary.zone,
			"target_availability_zone", group->standby.zone, "priority_station",
			sdrs_station(group->state, group->switching, group->source.zone, group->primary.zone), "domain_id",
			domain, "domain_name", domain_name);
	json_object_set_new(row, "protected_instance_num", json_integer((json_int_t)sdrs_count_instances(group)));
	json_object_set_new(row, "replication_num", json_integer(group->pair_count));
	json_object_set_new(row, "disaster_recovery_drill_num", json_integer(0));
	json_object_set_new(row, "protected_status", json_string(protected_status(status)));
	json_object_set_new(row, "replication_status", json_string(sdrs_replication_status(&state)));
	json_object_set_new(row, "health_status", json_string(sdrs_is_abnormal(status) ? "abnormal" : "normal"));
	json_object_set_new(row, "source_vpc_id", vpc == NULL ? json_null() : json_string(vpc));
	json_object_set_new(row, "target_vpc_id", vpc == NULL ? json_null() : json_string(vpc));
	json_object_set_new(row, "test_vpc_id", json_null());
	json_object_set_new(row, "dr_type", json_string("migration"));
	json_object_set_new(row, "server_type", json_string("ECS"));
	json_object_set_new(row, "protection_type", json_null());
	json_object_set_new(row, "replication_model", json_null());
	json_object_set_new(row, "created_at", huawei_time_with_blank(group->created_s));
	json_object_set_new(row, "updated_at",
			    huawei_time_with_blank(group->updated_s > 0 ? group->updated_s : group->created_s));
	return row;
}

static void show(struct huawei_call *call, const char *id)
{
	struct control_group group;

	if (!huawei_find_group(call->huawei->control, id, &group)) {
		sdrs_no_group(call, id);
		return;
	}
	huawei_answer(call, MHD_HTTP_OK, json_pack("{s:o}", "server_group", group_row(call->huawei, &group)));
	free(group.pairs);
}

void sdrs_show_group(struct huawei_call *call)
{
	show(call, call->arguments[0]);
}

static bool is_wanted(void *data, const struct control_brief *brief)
{
	const struct sdrs_filter *filter = data;

	if ((filter->name != NULL && strstr(brief->name, filter->name) == NULL) ||
	    (filter->groups != NULL && json_object_get(filter->groups, brief->id) == NULL) ||
	    (filter->created_before_s > 0 && brief->created_s >= filter->created_before_s) ||
	    !sdrs_is_in_zone(brief, filter->zone))
		return false;
	return filter->statuses == UINT32_MAX ||
	       (filter->statuses >> sdrs_group_status(filter->huawei, brief->id, brief->state, brief->switching) & 1) != 0;
}

void sdrs_list_groups(struct huawei_call *call)
{
	struct huawei_listing listing = { .is_group = true, .is_wanted = is_wanted, .order = HUAWEI_BY_CREATION, .descending = true };
	char marker[CONTROL_ID_SIZE];
	struct sdrs_filter filter;
	struct huawei_page page;

	if (sdrs_read_filter(call, &filter)) {
		listing.data = &filter;
		listing.offset = filter.offset;
		listing.limit = filter.limit;
		if (filter.marker != NULL) {
			huawei_id(CONTROL_RESOURCE_GROUP, filter.marker, marker);
			listing.marker = marker;
		}
		if (huawei_page(call->huawei, &listing, &page)) {
			sdrs_answer_list(call, "server_groups", page.total, huawei_group_rows(call->huawei, &page, group_row));
			free(page.ids);
		} else {
			huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.0201", "The marker is no group of this list.");
		}
	}
	sdrs_clear_filter(&filter);
}

/* --- changes --- */

struct group_fields {
	char name[CONTROL_NAME_SIZE], description[CONTROL_TEXT_SIZE];
	char source[CONTROL_ID_SIZE], target[CONTROL_ID_SIZE], domain[CONTROL_ID_SIZE], vpc[128], dr_type[32];
};

#define AT(field) offsetof(struct group_fields, field), sizeof(((struct group_fields *)NULL)->field)

static const struct huawei_field group_fields[] = {
	{ "name", HUAWEI_TEXT, true, AT(name), 0, "SDRS.0202" },
	{ "description", HUAWEI_TEXT, false, AT(description), 0, "SDRS.0212" },
	{ "source_availability_zone", HUAWEI_TEXT, true, AT(source), 0, "SDRS.0203" },
	{ "target_availability_zone", HUAWEI_TEXT, true, AT(target), 0, "SDRS.0203" },
	{ "domain_id", HUAWEI_TEXT, true, AT(domain), 0, "SDRS.0205" },
	{ "source_vpc_id", HUAWEI_TEXT, true, AT(vpc), 0, "SDRS.0204" },
	{ "dr_type", HUAWEI_TEXT, false, AT(dr_type), 0, "SDRS.0201" },
	{ NULL, HUAWEI_TEXT, false, 0, 0, 0, NULL },
};

/* Where it is to lie: this site and a peer, in either order, and the domain of the two. */
static bool check_zones(struct huawei_call *call, const struct group_fields *fields)
{
	struct control *control = call->huawei->control;
	const char *here = control_this_site(control)->zone;
	char domain[HUAWEI_UUID_SIZE], name[2 * CONTROL_ID_SIZE];
	bool linked;

	if (control_find_site(control, fields->source, &linked) == NULL ||
	    control_find_site(control, fields->target, &linked) == NULL || strcmp(fields->source, fields->target) == 0 ||
	    (strcmp(fields->source, here) != 0 && strcmp(fields->target, here) != 0)) {
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.0203",
			    "A group lies in two availability zones: one is %s, where this is asked, the other one of its peers.", here);
		return false;
	}
	domain_of(fields->source, fields->target, domain, name);
	if (strcmp(domain, fields->domain) == 0)
		return true;
	huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.0205", "The domain of %s and %s is %s.", fields->source, fields->target,
		    domain);
	return false;
}

void sdrs_create_group(struct huawei_call *call)
{
	json_t *root = huawei_root(call, "server_group");
	struct group_fields fields = { 0 };
	bool linked;

	if (root == NULL || !huawei_read(call, root, group_fields, &fields) || !sdrs_check_name(call, fields.name) ||
	    !sdrs_check_description(call, fields.description) || !check_zones(call, &fields))
		return;
	if (fields.dr_type[0] != '\0' && strcmp(fields.dr_type, "migration") != 0) {
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.0201", "dr_type must be \"migration\".");
		return;
	}
	sdrs_begin(call, &sdrs_plan_create_group, "",
		   json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "name", fields.name, "description", fields.description, "zone",
			     fields.source, "region", control_find_site(call->huawei->control, fields.source, &linked)->region,
			     "peer_zone", fields.target, "peer_region",
			     control_find_site(call->huawei->control, fields.target, &linked)->region, "source_vpc_id", fields.vpc));
}

static const struct huawei_field name_fields[] = {
	{ "name", HUAWEI_TEXT, true, AT(name), 0, "SDRS.0202" },
	{ NULL, HUAWEI_TEXT, false, 0, 0, 0, NULL },
};

void sdrs_rename_group(struct huawei_call *call)
{
	struct control_request request = { .operation = CONTROL_RENAME_GROUP };
	json_t *root = huawei_root(call, "server_group");
	struct group_fields fields = { 0 };

	if (root == NULL || !huawei_read(call, root, name_fields, &fields) || !sdrs_check_name(call, fields.name))
		return;
	memcpy(request.group, call->arguments[0], strlen(call->arguments[0]) + 1);
	memcpy(request.name, fields.name, sizeof(request.name));
	sdrs_change(call, &request, show, call->arguments[0]);
}

/* The group the call is about, with its status; false: the call has failed. The pairs' ids are freed here. */
static bool find(struct huawei_call *call, struct control_group *out_group, enum sdrs_status *out_status)
{
	if (!huawei_find_group(call->huawei->control, call->arguments[0], out_group)) {
		sdrs_no_group(call, call->arguments[0]);
		return false;
	}
	free(out_group->pairs);
	out_group->pairs = NULL;
	*out_status = sdrs_group_status(call->huawei, out_group->id, out_group->state, out_group->switching);
	return true;
}

/* No job changes its pairs or instances now. */
static bool is_free(struct huawei_call *call, const char *id)
{
	const struct job *job = sdrs_job_at_work(call->huawei->jobs, id);

	if (job != NULL)
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.1002", "Job %s is changing the group: wait for its end.", job->id);
	return job == NULL;
}

void sdrs_delete_group(struct huawei_call *call)
{
	struct control_group group;
	enum sdrs_status status;

	if (!find(call, &group, &status))
		return;
	if (sdrs_count_instances(&group) > 0)
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.1001", "The group has protected instances: delete them first.");
	else if (group.pair_count > 0)
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.1010", "The group has replication pairs: delete them first.");
	else if (sdrs_allows(call,
			     SDRS_IN(AVAILABLE) | SDRS_IN(FAILED_OVER) | SDRS_IN(ERROR) | SDRS_IN(ERROR_DELETING) |
				     SDRS_IN(ERROR_STARTING) | SDRS_IN(ERROR_REPROTECTING) | SDRS_IN(INVALID),
			     status, "SDRS.1002", "deletion") &&
		 is_free(call, group.id))
		sdrs_begin(call, &sdrs_plan_delete_group, group.id, json_pack("{s:s, s:s}", "group", group.id, "name", group.name));
}

/* --- actions --- */

static void begin(struct huawei_call *call, const struct job_plan *plan, const struct control_group *group)
{
	sdrs_begin(call, plan, group->id, json_pack("{s:s}", "group", group->id));
}

static bool has_pairs(struct huawei_call *call, const struct control_group *group)
{
	if (group->pair_count == 0)
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.1002", "The group has no replication pair.");
	return group->pair_count > 0;
}

static void start(struct huawei_call *call, json_t *value)
{
	struct control_group group;
	enum sdrs_status status;
	bool reprotects;

	(void)value;
	if (!find(call, &group, &status))
		return;
	reprotects = group.state == PAIR_FAILOVERED || group.state == PAIR_REPROTECT_FAILED;
	if (!sdrs_allows(call,
			 SDRS_IN(AVAILABLE) | SDRS_IN(ERROR_STARTING) | SDRS_IN(FAILED_OVER) | SDRS_IN(ERROR_REPROTECTING) |
				 SDRS_IN(ERROR_DELETING),
			 status, "SDRS.1017", "enabling protection") ||
	    !has_pairs(call, &group) || !is_free(call, group.id))
		return;
	if (!reprotects)
		begin(call, &huawei_plan_start, &group);
	else if (huawei_may(call, "ebs:ReprotectDiskReplicaGroup", CONTROL_RESOURCE_GROUP, group.id))
		begin(call, &huawei_plan_reprotect, &group);
}

/* Before the end of the first copy there is nothing at the other site to go on from. */
static bool has_point(struct huawei_call *call, const struct control_group *group)
{
	if (group->state == PAIR_INITIAL_SYNCING)
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.1830", "The first synchronization is not complete.");
	return group->state != PAIR_INITIAL_SYNCING;
}

static void stop(struct huawei_call *call, json_t *value)
{
	struct control_group group;
	enum sdrs_status status;

	(void)value;
	if (find(call, &group, &status) &&
	    sdrs_allows(call, SDRS_IN(PROTECTED) | SDRS_IN(ERROR_STOPPING) | SDRS_IN(ERROR_REVERSING), status, "SDRS.1018",
			"disabling protection") &&
	    has_point(call, &group) && is_free(call, group.id))
		begin(call, &huawei_plan_stop, &group);
}

static void reverse(struct huawei_call *call, json_t *value)
{
	const char *station = json_string_value(json_object_get(value, "priority_station"));
	struct control_group group;
	enum sdrs_status status;

	if (!find(call, &group, &status))
		return;
	if (station == NULL || (strcmp(station, "source") != 0 && strcmp(station, "target") != 0))
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.0216", "priority_station must be \"source\" or \"target\".");
	else if (strcmp(station, sdrs_station(group.state, group.switching, group.source.zone, group.primary.zone)) == 0)
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.0216", "Production is at the %s already.", station);
	else if (sdrs_allows(call, SDRS_IN(PROTECTED) | SDRS_IN(ERROR_REVERSING), status, "SDRS.1019", "a planned failover") &&
		 has_pairs(call, &group) && has_point(call, &group) && is_free(call, group.id))
		begin(call, &huawei_plan_reverse, &group);
}

/* A disaster waits for nobody: neither for a job on its pairs, nor for a stop that the lost site cannot end. A group that is
 * invalid may be so because production has lost a disk. */
static void failover(struct huawei_call *call, json_t *value)
{
	struct control_group group;
	enum sdrs_status status;

	(void)value;
	if (find(call, &group, &status) &&
	    sdrs_allows(call,
			SDRS_IN(PROTECTED) | SDRS_IN(STOPPING) | SDRS_IN(ERROR_STOPPING) | SDRS_IN(ERROR_REVERSING) |
				SDRS_IN(ERROR_FAILING_OVER) | SDRS_IN(INVALID),
			status, "SDRS.1020", "failover") &&
	    has_pairs(call, &group) && has_point(call, &group))
		begin(call, &huawei_plan_failover, &group);
}

void sdrs_act_on_group(struct huawei_call *call)
{
	static const struct huawei_action actions[] = {
		{ "start-server-group", "ebs:StartDiskReplicaGroup", start },
		{ "stop-server-group", "ebs:StopDiskReplicaGroup", stop },
		{ "reverse-server-group", "ebs:SwitchoverDiskReplicaGroup", reverse },
		{ "failover-server-group", "ebs:FailoverDiskReplicaGroup", failover },
		{ NULL, NULL, NULL },
	};

	huawei_act(call, actions, CONTROL_RESOURCE_GROUP);
}
