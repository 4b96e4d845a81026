/* EVS replication: its routes, what its files share, and quotas. */
#include "api/huawei/replication.h"

#include <microhttpd.h>
#include <string.h>
#include <strings.h>

#include "api/huawei/state.h"

void replication_put_text(json_t *row, const char *name, const char *text)
{
	json_t *value = json_string(text);

	json_object_set_new(row, name, value != NULL ? value : json_string(""));
}

bool replication_model_fits(struct huawei_call *call, const char *model)
{
	if (strcmp(model, REPLICATION_MODEL) == 0)
		return true;
	huawei_fail(call, MHD_HTTP_BAD_REQUEST, "", "replication_model must be " REPLICATION_MODEL ".");
	return false;
}

const char *replication_station(enum pair_state state, bool switching, const char *source, const char *destination)
{
	return huawei_is_failed_over(state, switching) ? destination : source;
}

/* --- quotas: pairs and groups are as many as there is memory for --- */


static void count_one(void *count, const struct control_brief *brief)
{
	(void)brief;
	++*(uint64_t *)count;
}

static json_t *quota(json_int_t limit, uint64_t used, bool with_usage)
{
	return !with_usage ? json_integer(limit) :
			     json_pack("{s:I, s:I, s:i}", "in_use", (json_int_t)used, "limit", limit, "reserved", 0);
}

static void answer_quotas(struct huawei_call *call, bool with_usage)
{
	struct control *control = call->huawei->control;
	json_int_t size = control_pairs_per_group(control);
	uint64_t pairs = 0, groups = 0;

	if (strcmp(call->arguments[0], call->huawei->project) != 0) {
		huawei_fail(call, MHD_HTTP_NOT_FOUND, "", "There is one project here, %s.", call->huawei->project);
		return;
	}
	control_each(control, false, count_one, &pairs);
	control_each(control, true, count_one, &groups);
	/* The documents spell the last name in two ways. */
	huawei_answer(call, MHD_HTTP_OK, json_pack("{s:{s:s, s:o, s:o, s:o, s:o}}", "quota_set", "id", call->huawei->project,
		      "replications", quota(-1, pairs, with_usage), "replication_consistency_groups",
		      quota(-1, groups, with_usage), "per_replication_consistency_group_size", quota(size, 0, with_usage),
		      "per_replication_consistency_groups_size", quota(size, 0, with_usage)));
}

static void show_quotas(struct huawei_call *call)
{
	const char *usage = huawei_given(call, "usage");

	if (usage != NULL && strcasecmp(usage, "true") != 0 && strcasecmp(usage, "false") != 0)
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "", "usage must be true or false.");
	else
		answer_quotas(call, usage != NULL && strcasecmp(usage, "true") == 0);
}

static void show_default_quotas(struct huawei_call *call)
{
	answer_quotas(call, false);
}

#define PAIRS "/v2|v3/{project}/os-vendor-replications"
#define GROUPS "/v2|v3/{project}/os-vendor-replication-consistency-groups"
#define QUOTAS "/v2|v3/{project}/os-vendor-replication-quota-sets"

/* Without an action here: a handler asks for each thing that the call names. */
const struct huawei_route huawei_replication_routes[] = {
	{ "POST", PAIRS, "", -1, replication_create_pair },
	{ "GET", PAIRS, "ebs:DescribeDiskReplicaPairs", -1, replication_list_pairs },
	{ "GET", PAIRS "/{}", "ebs:DescribeDiskReplicaPairs", CONTROL_RESOURCE_PAIR, replication_show_pair },
	{ "DELETE", PAIRS "/{}", "ebs:DeleteDiskReplicaPair", CONTROL_RESOURCE_PAIR, replication_delete_pair },
	{ "POST", GROUPS, "ebs:CreateDiskReplicaGroup", -1, replication_create_group },
	{ "GET", GROUPS, "ebs:DescribeDiskReplicaGroups", -1, replication_list_groups },
	{ "GET", GROUPS "/{}", "ebs:DescribeDiskReplicaGroups", CONTROL_RESOURCE_GROUP, replication_show_group },
	{ "PUT", GROUPS "/{}", "", CONTROL_RESOURCE_GROUP, replication_update_group },
	{ "DELETE", GROUPS "/{}", "ebs:DeleteDiskReplicaGroup", CONTROL_RESOURCE_GROUP, replication_delete_group },
	{ "POST", GROUPS "/{}/action", "", CONTROL_RESOURCE_GROUP, replication_act },
	{ "GET", QUOTAS "/{}", "ebs:DescribeDiskReplicaGroups", -1, show_quotas },
	{ "GET", QUOTAS "/{}/defaults", "ebs:DescribeDiskReplicaGroups", -1, show_default_quotas },
	{ 0 },
};
