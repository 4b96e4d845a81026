/* Reads that another site has to answer: those of its region, and of disks and instances of another zone of this one. What both
 * sites have a copy of (pairs, groups) is answered here when it is asked for by id, and when the other site does not answer; what
 * only that site has is asked for there. It is one hop: whoever is asked answers from what it has itself. */
#include <string.h>
#include <strings.h>

#include "api/aliyun/internal.h"
#include "api/http/http.h"

static const struct read {
	json_t *(*read)(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
	bool has_copy;   /* this site's is as good */
	const char *ids; /* the parameter that names what is asked for */
} reads[] = {
	{ aliyun_describe_pairs, true, "PairIds" }, { aliyun_describe_groups, true, "GroupIds" },
	{ aliyun_describe_progress, true, "ReplicaPairId" }, { aliyun_list_tags, true, "ResourceId.1" },
	{ aliyun_list_disk_tags, true, "ResourceId.1" }, { aliyun_describe_disks, false, "DiskIds" },
	{ aliyun_describe_instances, false, "InstanceIds" }, { aliyun_list_edges, true, NULL }, { aliyun_describe_zones, true, NULL },
};

/* NULL: of no region, or a change. */
static const struct read *read_of(const struct aliyun_operation *operation)
{
	for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++)
		if (reads[i].read == operation->read)
			return &reads[i];
	return NULL;
}

bool aliyun_has_copy(const struct aliyun_operation *operation, const struct http_request *request)
{
	const struct read *read = read_of(operation);
	const char *type = aliyun_given(request, "ResourceType");

	return read != NULL && read->has_copy &&
	       (type == NULL || (strcasecmp(type, "disk") != 0 && strcasecmp(type, "instance") != 0));
}

static size_t id_count(const char *ids)
{
	size_t count = 0, length;

	while (aliyun_next_id(&ids, &length) != NULL)
		count++;
	return count;
}

/* The list of ids that narrows a read, or NULL. */
static const char *given_ids(const struct http_request *request, const struct read *read)
{
	return read == NULL || read->ids == NULL ? NULL : aliyun_given(request, read->ids);
}

bool aliyun_is_complete(const struct aliyun_operation *operation, const struct http_request *request, json_t *answer)
{
	const struct read *read = read_of(operation);
	const char *ids = given_ids(request, read);
	const json_t *total = json_object_get(answer, "TotalCount");

	return answer != NULL && (ids == NULL || total == NULL || json_integer_value(total) >= (json_int_t)id_count(ids));
}

bool aliyun_is_answered_here(struct aliyun *aliyun, const struct aliyun_operation *operation, const struct http_request *request,
			     json_t *answer, const struct aliyun_error *error)
{
	const struct read *read = read_of(operation);
	const struct control_site *here = control_this_site(aliyun->control);
	const char *region = aliyun_given(request, "RegionId"), *zone = aliyun_given(request, "ZoneId");

	if (read == NULL || region == NULL || (answer == NULL && error->status != 404))
		return true;
	if (strcmp(region, here->region) == 0)
		return (zone == NULL || strcmp(zone, here->zone) == 0) && aliyun_is_complete(operation, request, answer);
	return aliyun_has_copy(operation, request) && given_ids(request, read) != NULL &&
	       aliyun_is_complete(operation, request, answer);
}

bool aliyun_may_know(const struct control_site *site, const struct http_request *request)
{
	const char *zone = aliyun_given(request, "ZoneId"), *region = aliyun_given(request, "RegionId");

	if (zone == NULL)
		zone = aliyun_given(request, "Azone");
	return region != NULL && strcmp(site->region, region) == 0 && (zone == NULL || strcmp(zone, site->zone) == 0);
}

static json_t *rows_of(const json_t *answer)
{
	json_t *disks = json_object_get(json_object_get(answer, "Disks"), "Disk");

	return disks != NULL ? disks : json_object_get(json_object_get(answer, "Instances"), "Instance");
}

bool aliyun_has_rows(const json_t *answer)
{
	return json_array_size(rows_of(answer)) > 0;
}

bool aliyun_merge(json_t *answer, const json_t *more)
{
	json_t *rows = rows_of(answer);
	json_int_t total = json_integer_value(json_object_get(answer, "TotalCount"));

	if (!json_is_array(rows))
		return false;
	json_array_extend(rows, rows_of(more));
	json_object_set_new(answer, "TotalCount", json_integer(total + json_integer_value(json_object_get(more, "TotalCount"))));
	return true;
}

/* --- over the link --- */

/* Who signed, and how, is this site's business. */
static bool is_of_signature(const char *name)
{
	return strncmp(name, "Signature", 9) == 0 || strcmp(name, "AccessKeyId") == 0 || strcmp(name, "SecurityToken") == 0;
}

json_t *aliyun_question(const struct aliyun_operation *operation, const struct http_request *request)
{
	json_t *parameters = json_array();

	for (size_t i = 0; i < http_request_parameter_count(request); i++) {
		const char *name = http_request_parameter_name(request, i);

		if (!is_of_signature(name)) /* what is no UTF-8 text is none of ours */
			json_array_append_new(parameters, json_pack("[s, s]", name, http_request_parameter_value(request, i)));
	}
	return json_pack("{s:i, s:s, s:o}", "product", (int)operation->product, "action", operation->action, "parameters",
			 parameters);
}

static const struct aliyun_operation *question_operation(const json_t *question)
{
	json_int_t product = json_integer_value(json_object_get(question, "product"));
	const char *action = json_string_value(json_object_get(question, "action"));
	const struct aliyun_operation *operation =
		action == NULL || product < 0 || product >= ALIYUN_PRODUCTS ? NULL :
		aliyun_find_operation((enum aliyun_product)product, action);

	return operation != NULL && read_of(operation) != NULL ? operation : NULL;
}

json_t *aliyun_on_read(void *data, const json_t *question)
{
	struct aliyun *aliyun = data;
	const struct aliyun_operation *operation = question_operation(question);
	struct http_request *request = http_request_make();
	struct aliyun_error error = { 0 };
	json_t *answer = NULL, *reply, *row;
	size_t index;

	json_array_foreach(json_object_get(question, "parameters"), index, row) {
		const char *name = json_string_value(json_array_get(row, 0)), *value = json_string_value(json_array_get(row, 1));

		if (name != NULL && value != NULL)
			http_request_put(request, name, value);
	}
	if (operation == NULL)
		aliyun_fail(&error, 404, "InvalidAction.NotFound", "The other site does not know this read.");
	else
		answer = operation->read(aliyun, request, &error);
	http_request_drop(request);
	if (answer != NULL)
		reply = json_pack("{s:o}", "members", answer);
	else
		reply = json_pack("{s:[i, s, s]}", "error", (int)error.status, error.code, error.message);
	aliyun_error_clear(&error);
	return reply != NULL ? reply : json_object();
}
