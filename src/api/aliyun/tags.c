/* Lists in requests (ResourceId.1, Tag.1.Key), tags as filters, and the reads of tags. */
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/aliyun/parameters.h"
#include "api/http/http.h"

#define TAGS_MAX 20u
#define IDS_MAX 50u
#define LIST_MAX 100u /* of disks, of instances */
#define KEY_MAX 128u
#define RESULTS_MAX 500

static size_t characters(const char *text)
{
	size_t length = 0;

	for (; *text != '\0'; text++)
		length += ((unsigned char)*text & 0xc0) != 0x80;
	return length;
}

static bool has_prefix(const char *text, const char *prefix)
{
	return strncasecmp(text, prefix, strlen(prefix)) == 0;
}

/* Rules of keys and values: 1 to 128 and 0 to 128 characters, no URL, and what begins as the cloud's own is the cloud's. */
static bool tag_is_good(const char *text, bool is_key)
{
	size_t length = characters(text);

	return length <= KEY_MAX && (!is_key || length > 0) && strstr(text, "http://") == NULL &&
	       strstr(text, "https://") == NULL && !has_prefix(text, "acs:") && !(is_key && has_prefix(text, "aliyun"));
}

static const char *numbered(const struct http_request *request, const char *name, unsigned number, const char *part)
{
	char full[64];

	snprintf(full, sizeof(full), "%s.%u%s", name, number, part);
	return http_request_parameter(request, full);
}

/* One more than the protocol allows is looked for, so that too many are told from enough. */
bool aliyun_read_list(const struct http_request *request, const char *name, json_t **out_list, struct aliyun_error *error)
{
	bool is_ids = strcmp(name, "ResourceId") == 0, is_tags = strcmp(name, "TagKey") == 0;
	unsigned most = is_ids ? IDS_MAX : is_tags ? TAGS_MAX : LIST_MAX;
	json_t *list = json_array();

	*out_list = list;
	for (unsigned number = 1; number <= most + 1; number++) {
		const char *value = numbered(request, name, number, "");

		/* One that were left out would be one fewer to change or to filter by. */
		if (value != NULL && value[0] != '\0' && json_array_append_new(list, json_string(value)) < 0)
			return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidParameter", "%s.%u must be a UTF-8 text.", name, number);
	}
	if (json_array_size(list) > most)
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST,
				   is_ids ? "NumberExceed.ResourceIds" : is_tags ? "NumberExceed.Tags" : "InvalidParameter",
				   "At most %u of %s.N.", most, name);
	return true;
}

static bool add_tag(json_t *tags, const char *key, json_t *value, struct aliyun_error *error)
{
	if (json_object_get(tags, key) != NULL) {
		json_decref(value);
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "Duplicate.TagKey", "The tag key %.128s occurs twice.", key);
	}
	if (value == NULL || json_object_set_new(tags, key, value) < 0)
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidParameter", "Tags must be UTF-8 texts.");
	return true;
}

bool aliyun_read_tags(const struct http_request *request, bool is_filter, json_t **out_tags, struct aliyun_error *error)
{
	json_t *tags = json_object();

	*out_tags = tags;
	for (unsigned number = 1; number <= TAGS_MAX + 1; number++) {
		const char *key = numbered(request, "Tag", number, ".Key"), *value = numbered(request, "Tag", number, ".Value");
		bool any_value = is_filter && (value == NULL || value[0] == '\0');

		if (key == NULL && value == NULL)
			continue;
		if (number > TAGS_MAX)
			return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "NumberExceed.Tags", "NumberExceed.Tags");
		if (key == NULL || key[0] == '\0')
			return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidParameter.TagValue",
					   "Tag.%u has a value and no key.", number);
		if (!is_filter && (!tag_is_good(key, true) || !tag_is_good(value == NULL ? "" : value, false)))
			return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidParameter",
					   "Tag.%u: a key has 1 to 128 characters, a value at most 128; neither holds http:// or https://, "
					   "nor begins with acs: (a key: nor with aliyun).", number);
		if (!add_tag(tags, key, any_value ? json_null() : json_string(value == NULL ? "" : value), error))
			return false;
	}
	if (json_object_size(tags) == 0) {
		json_decref(tags);
		*out_tags = NULL;
	}
	return true;
}

static const struct {
	const char *name;
	enum control_resource type;
} types[] = {
	{ "diskreplicapair", CONTROL_RESOURCE_PAIR }, { "pair", CONTROL_RESOURCE_PAIR },
	{ "diskreplicagroup", CONTROL_RESOURCE_GROUP }, { "group", CONTROL_RESOURCE_GROUP }, { "disk", CONTROL_RESOURCE_DISK },
	{ "instance", CONTROL_RESOURCE_INSTANCE },
};

bool aliyun_read_resource_type(const struct http_request *request, uint32_t *out_type, struct aliyun_error *error)
{
	const char *text = http_request_parameter(request, "ResourceType");

	if (text == NULL || text[0] == '\0')
		return aliyun_fail(error, MHD_HTTP_NOT_FOUND, "MissingParameter.ResourceType",
				   "The parameter ResourceType is mandatory and missing.");
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcasecmp(types[i].name, text) != 0)
			continue;
		*out_type = types[i].type;
		return true;
	}
	return aliyun_fail(error, MHD_HTTP_NOT_FOUND, "InvalidResourceType.NotFound",
			   "ResourceType must be diskreplicapair or diskreplicagroup (ECS: disk, instance).");
}

/* --- reads --- */

json_t *aliyun_tags_row(json_t *tags)
{
	json_t *rows = json_array(), *value;
	const char *key;

	json_object_foreach(tags, key, value) {
		json_array_append_new(rows, json_pack("{s:s, s:O}", "TagKey", key, "TagValue", value));
	}
	return rows;
}

/* Every id that was asked for must be there. */
static bool ids_are_known(struct control *control, enum control_resource type, json_t *ids, struct aliyun_error *error)
{
	size_t index;
	json_t *id;

	json_array_foreach(ids, index, id) {
		if (!control_has_resource(control, type, json_string_value(id)))
			return aliyun_fail(error, MHD_HTTP_NOT_FOUND, "InvalidResourceId.NotFound", "There is no resource %.64s.",
					   json_string_value(id));
	}
	return true;
}

static json_t *tag_rows(const json_t *found, const char *type, uint64_t first, uint64_t count, bool ecs)
{
	json_t *rows = json_array();

	for (size_t i = first; i < json_array_size(found) && i < first + count; i++) {
		const json_t *row = json_array_get(found, i);

		json_array_append_new(rows, json_pack("{s:O, s:s, s:O, s:O}", "ResourceId", json_object_get(row, "id"),
				      "ResourceType", type, "TagKey", json_object_get(row, "key"), "TagValue",
				      json_object_get(row, "value")));
	}
	return ecs ? json_pack("{s:o}", "TagResource", rows) : rows;
}

static json_t *list_tags(struct aliyun *aliyun, const struct http_request *request, bool ecs, struct aliyun_error *error)
{
	json_t *ids = NULL, *tags = NULL, *found, *answer = NULL;
	uint64_t first, most;
	char next[24] = "";
	uint32_t type = 0;

	if (aliyun_need_region(aliyun, ALIYUN_EBS, request, error) != NULL && aliyun_read_resource_type(request, &type, error) &&
	    aliyun_read_number(request, "NextToken", 0, INT64_MAX, 0, &first, error) &&
	    aliyun_read_number(request, "MaxResults", 1, RESULTS_MAX, RESULTS_MAX, &most, error) &&
	    aliyun_read_list(request, "ResourceId", &ids, error) && aliyun_read_tags(request, true, &tags, error) &&
	    ids_are_known(aliyun->control, (enum control_resource)type, ids, error)) {
		found = control_list_tags(aliyun->control, (enum control_resource)type, ids, tags);
		if (first + most < json_array_size(found))
			snprintf(next, sizeof(next), "%llu", (unsigned long long)first + most);
		answer = json_pack("{s:s, s:o}", "NextToken", next, "TagResources",
				   tag_rows(found, http_request_parameter(request, "ResourceType"), first, most, ecs));
		json_decref(found);
	}
	json_decref(ids);
	json_decref(tags);
	return answer;
}

json_t *aliyun_list_tags(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	return list_tags(aliyun, request, false, error);
}

json_t *aliyun_list_disk_tags(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	return list_tags(aliyun, request, true, error);
}
