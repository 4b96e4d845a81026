/* SDRS v1: its routes, and what all of its handlers use. */
#include "api/huawei/sdrs.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/text.h"

#define NAME_SIZE 65u /* of names and descriptions, the final zero included */
#define IDS_MAX 30u   /* of a filter */
#define DRILL_S (90u * 24u * 3600u)

/* --- jobs and changes --- */

void sdrs_begin(struct huawei_call *call, const struct job_plan *plan, const char *object, json_t *input)
{
	struct error error = { 0 };
	const struct job *job = jobs_begin(call->huawei->jobs, plan, object, input, NULL, NULL, &error);

	text_copy(call->object, sizeof(call->object), object);
	if (job == NULL)
		huawei_fail_begin(call, &error);
	else
		huawei_answer(call, MHD_HTTP_OK, json_pack("{s:s}", "job_id", job->id));
}

static void on_changed(void *data, const struct control_answer *answer)
{
	struct huawei_call *call = data;
	const struct sdrs_change *change = call->state;

	if (answer->refusal != REFUSE_NONE)
		huawei_refuse(call, answer->refusal, answer->text);
	else if (change->show != NULL)
		change->show(call, change->id);
	else
		huawei_accept(call, MHD_HTTP_NO_CONTENT);
}

void sdrs_change(struct huawei_call *call, struct control_request *request, void (*show)(struct huawei_call *, const char *),
		 const char *id)
{
	struct sdrs_change *change = memory_new(1, sizeof(*change));

	change->show = show;
	text_copy(change->id, sizeof(change->id), id);
	free(call->state);
	call->state = change;
	control_call(call->huawei->control, request, on_changed, call);
	control_request_clear(request);
}

/* --- what comes in --- */

bool sdrs_check_name(struct huawei_call *call, const char *name)
{
	bool good = name[0] != '\0' && strlen(name) < NAME_SIZE;

	for (const char *at = name; *at != '\0'; at++)
		good = good && ((*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
				strchr("._-", *at) != NULL || (unsigned char)*at >= 0x80);
	if (!good)
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.0202",
			    "A name has 1 to 64 bytes: letters, digits, '.', '_' and '-'.");
	return good;
}

bool sdrs_check_description(struct huawei_call *call, const char *description)
{
	bool good = strlen(description) < NAME_SIZE && strpbrk(description, "<>") == NULL;

	if (!good)
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.0212", "A description has at most 64 bytes, and no '<' or '>'.");
	return good;
}

void sdrs_no_group(struct huawei_call *call, const char *id)
{
	huawei_fail(call, MHD_HTTP_NOT_FOUND, "SDRS.1013", "There is no protection group %s.", id);
}

void sdrs_no_pair(struct huawei_call *call, const char *id)
{
	huawei_fail(call, MHD_HTTP_NOT_FOUND, "SDRS.1608", "There is no replication pair %s.", id);
}

bool sdrs_allows(struct huawei_call *call, uint32_t statuses, enum sdrs_status status, const char *code, const char *what)
{
	if ((statuses & (UINT32_C(1) << status)) != 0)
		return true;
	huawei_fail(call, MHD_HTTP_BAD_REQUEST, code, "It is %s: %s is not allowed in this state.", sdrs_status_name(status), what);
	return false;
}

/* --- lists --- */

/* The ids of a filter: those of the list, JSON as text, win over the single one. False: the call has failed. */
static bool read_ids(struct huawei_call *call, const char *many, const char *one, bool is_group, json_t **out)
{
	const char *list = huawei_given(call, many), *single = huawei_given(call, one);
	json_t *ids = list != NULL ? json_loads(list, 0, NULL) : single != NULL ? json_pack("[s]", single) : NULL, *entry;
	size_t index;

	if (list == NULL && single == NULL)
		return true;
	*out = json_object();
	json_array_foreach(ids, index, entry) {
		char id[CONTROL_ID_SIZE] = "";

		if (!json_is_string(entry) || json_string_length(entry) >= sizeof(id))
			break;
		if (is_group)
			huawei_id(CONTROL_RESOURCE_GROUP, json_string_value(entry), id);
		else
			text_copy(id, sizeof(id), json_string_value(entry));
		json_object_set_new(*out, id, json_true());
	}
	if (json_is_array(ids) && index == json_array_size(ids) && index <= IDS_MAX) {
		json_decref(ids);
		return true;
	}
	huawei_fail(call, MHD_HTTP_BAD_REQUEST, index > IDS_MAX ? "SDRS.0226" : "SDRS.0201",
		    "%s must be a JSON array of at most %u ids.", list != NULL ? many : one, IDS_MAX);
	json_decref(ids);
	return false;
}

/* Status and query_type together: the statuses that are wanted. */
static bool read_statuses(struct huawei_call *call, struct sdrs_filter *filter)
{
	const char *status = huawei_given(call, "status"), *type = huawei_given(call, "query_type");

	filter->statuses = status == NULL ? UINT32_MAX : 0;
	for (int i = 0; status != NULL && i < SDRS_STATUSES; i++)
		if (strcmp(status, sdrs_status_name((enum sdrs_status)i)) == 0)
			filter->statuses |= UINT32_C(1) << i;
	if (status != NULL && filter->statuses == 0) {
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.0209", "There is no status \"%.64s\".", status);
		return false;
	}
	if (type == NULL || strcmp(type, "general") == 0)
		return true;
	if (strcmp(type, "status_abnormal") == 0) {
		filter->statuses &= UINT32_MAX << SDRS_ERROR;
	} else if (strcmp(type, "stop_protected") == 0) {
		filter->statuses &= SDRS_IN(AVAILABLE);
	} else if (strcmp(type, "period_no_dr_drill") == 0) {
		filter->created_before_s = (uint64_t)time(NULL) - DRILL_S; /* there has been no drill of any */
	} else {
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.0201", "There is no query_type \"%.64s\".", type);
		return false;
	}
	return true;
}

bool sdrs_read_filter(struct huawei_call *call, struct sdrs_filter *out_filter)
{
	*out_filter = (struct sdrs_filter){ .huawei = call->huawei, .name = huawei_given(call, "name"),
					    .zone = huawei_given(call, "availability_zone"), .marker = huawei_given(call, "marker") };
	return huawei_read_number(call, "limit", 0, 1000, 1000, "SDRS.0221", &out_filter->limit) &&
	       huawei_read_number(call, "offset", 0, UINT32_MAX, 0, "SDRS.0222", &out_filter->offset) &&
	       read_ids(call, "server_group_ids", "server_group_id", true, &out_filter->groups) &&
	       read_ids(call, "protected_instance_ids", "protected_instance_id", false, &out_filter->instances) &&
	       read_statuses(call, out_filter);
}

void sdrs_clear_filter(struct sdrs_filter *filter)
{
	json_decref(filter->groups);
	json_decref(filter->instances);
	json_decref(filter->pairs);
}

void sdrs_answer_list(struct huawei_call *call, const char *name, size_t count, json_t *rows)
{
	huawei_answer(call, MHD_HTTP_OK, json_pack("{s:I, s:o}", "count", (json_int_t)count, name, rows));
}

/* --- small things --- */

static void show_version(struct huawei_call *call)
{
	char url[256];

	huawei_base_url(call, url);
	huawei_answer(call, MHD_HTTP_OK,
		      json_pack("{s:{s:s, s:[{s:s, s:s++}], s:s, s:s, s:s, s:s}}", "version", "id", "v1", "links", "rel", "self",
				"href", url, "/v1", "", "status", "CURRENT", "updated", "2018-05-30T00:00:00Z", "version", "",
				"min_version", ""));
}

static void count_brief(void *data, const struct control_brief *brief)
{
	json_int_t *count = data;

	(void)brief;
	++*count;
}

static void show_quotas(struct huawei_call *call)
{
	static const char *const types[] = { "replications", "server_groups" };
	json_t *rows = json_array();

	for (int is_group = 0; is_group < 2; is_group++) {
		json_int_t used = 0;

		control_each(call->huawei->control, is_group != 0, count_brief, &used);
		json_array_append_new(rows, json_pack("{s:s, s:I, s:i, s:i, s:i}", "type", types[is_group], "used", used, "quota",
						      -1, "min", -1, "max", -1));
	}
	huawei_answer(call, MHD_HTTP_OK, json_pack("{s:{s:o}}", "quotas", "resources", rows));
}

static void list_drills(struct huawei_call *call)
{
	sdrs_answer_list(call, "disaster_recovery_drills", 0, json_array());
}

static void refuse_drill(struct huawei_call *call)
{
	huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.1922",
		    "DR drills are not built yet: a drill needs writable copies of the DR disks.");
}

static void no_drill(struct huawei_call *call)
{
	huawei_fail(call, MHD_HTTP_NOT_FOUND, "SDRS.1902", "There is no DR drill %s.", call->arguments[0]);
}

static void refuse_machines(struct huawei_call *call)
{
	huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.0005",
		    "There are no machines here, only their disks: network cards and sizes are for whoever runs the machines.");
}

/* --- routes --- */

#define GROUP CONTROL_RESOURCE_GROUP
#define PAIR CONTROL_RESOURCE_PAIR
#define SEE_GROUPS "ebs:DescribeDiskReplicaGroups"
#define SEE_PAIRS "ebs:DescribeDiskReplicaPairs"
#define V1 "/v1/{project}"
#define INSTANCES V1 "/protected-instances"
#define DRILLS V1 "/disaster-recovery-drills"
#define FAILURES V1 "/task-center/failure-jobs"

/* Routes with "" ask for what they need once they know what they are about: the group of an instance, the pair of a job. */
const struct huawei_route huawei_sdrs_routes[] = {
	{ "GET", "/v1", NULL, -1, show_version },
	{ "GET", V1 "/jobs/{}", "", -1, sdrs_show_job },
	{ "GET", V1 "/active-domains", "", -1, sdrs_list_domains },
	{ "POST", V1 "/server-groups", "ebs:CreateDiskReplicaGroup", -1, sdrs_create_group },
	{ "GET", V1 "/server-groups", SEE_GROUPS, -1, sdrs_list_groups },
	{ "GET", V1 "/server-groups/{}", SEE_GROUPS, GROUP, sdrs_show_group },
	{ "PUT", V1 "/server-groups/{}", "ebs:ModifyDiskReplicaGroup", GROUP, sdrs_rename_group },
	{ "DELETE", V1 "/server-groups/{}", "ebs:DeleteDiskReplicaGroup", GROUP, sdrs_delete_group },
	{ "POST", V1 "/server-groups/{}/action", "", GROUP, sdrs_act_on_group },
	{ "POST", V1 "/replications", "ebs:CreateDiskReplicaPair", -1, sdrs_create_pair },
	{ "GET", V1 "/replications", SEE_PAIRS, -1, sdrs_list_pairs },
	{ "GET", V1 "/replications/{}", SEE_PAIRS, PAIR, sdrs_show_pair },
	{ "PUT", V1 "/replications/{}", "ebs:ModifyDiskReplicaPair", PAIR, sdrs_rename_pair },
	{ "DELETE", V1 "/replications/{}", "ebs:DeleteDiskReplicaPair", PAIR, sdrs_delete_pair },
	{ "POST", V1 "/replications/{}/action", "", PAIR, sdrs_act_on_pair },
	{ "POST", INSTANCES, "", -1, sdrs_create_instance },
	{ "POST", INSTANCES "/batch", "", -1, sdrs_create_instances },
	{ "POST", INSTANCES "/delete", "", -1, sdrs_delete_instances },
	{ "POST", INSTANCES "/resource_instances/action", SEE_GROUPS, -1, sdrs_find_by_tags },
	{ "GET", INSTANCES, SEE_GROUPS, -1, sdrs_list_instances },
	{ "GET", INSTANCES "/tags", SEE_GROUPS, -1, sdrs_list_tags },
	{ "GET", INSTANCES "/{}", "", -1, sdrs_show_instance },
	{ "PUT", INSTANCES "/{}", "", -1, sdrs_rename_instance },
	{ "DELETE", INSTANCES "/{}", "", -1, sdrs_delete_instance },
	{ "POST", INSTANCES "/{}/attachreplication", "", -1, sdrs_attach_pair },
	{ "DELETE", INSTANCES "/{}/detachreplication/{}", "", -1, sdrs_detach_pair },
	{ "POST", INSTANCES "/{}/nic", "", -1, refuse_machines },
	{ "POST", INSTANCES "/{}/nic/delete", "", -1, refuse_machines },
	{ "POST", INSTANCES "/{}/resize", "", -1, refuse_machines },
	{ "POST", INSTANCES "/{}/tags/action", "", -1, sdrs_change_tags },
	{ "POST", INSTANCES "/{}/tags", "", -1, sdrs_add_tag },
	{ "GET", INSTANCES "/{}/tags", "", -1, sdrs_show_tags },
	{ "DELETE", INSTANCES "/{}/tags/{}", "", -1, sdrs_remove_tag },
	{ "POST", DRILLS, "ebs:StartReplicaGroupDrill", -1, refuse_drill },
	{ "GET", DRILLS, "ebs:DescribeReplicaGroupDrills", -1, list_drills },
	{ "GET", DRILLS "/{}", "ebs:DescribeReplicaGroupDrills", -1, no_drill },
	{ "PUT", DRILLS "/{}", "ebs:StartReplicaGroupDrill", -1, no_drill },
	{ "DELETE", DRILLS "/{}", "ebs:ClearReplicaGroupDrill", -1, no_drill },
	{ "GET", FAILURES, SEE_GROUPS, -1, sdrs_list_failures },
	{ "DELETE", FAILURES "/batch", "ebs:ModifyDiskReplicaGroup", -1, sdrs_dismiss_failures },
	{ "DELETE", FAILURES "/{}", "", -1, sdrs_dismiss_failure },
	{ "DELETE", V1 "/task-center/{}/failure-jobs/batch", "ebs:ModifyDiskReplicaGroup", GROUP, sdrs_dismiss_failures_of_group },
	{ "GET", V1 "/sdrs/quotas", SEE_GROUPS, -1, show_quotas },
	{ "GET", V1 "/resource/rpo-statistics", SEE_PAIRS, -1, huawei_list_rpo },
	{ NULL, NULL, NULL, -1, NULL },
};
