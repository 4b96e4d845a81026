/* Tags of protected instances: {key: value} in the instance's note. */
#include <microhttpd.h>
#include <string.h>

#include "api/huawei/sdrs.h"

#define KEY_MAX 36u   /* characters of ASCII; other texts have more bytes, and may */
#define VALUE_MAX 43u
#define BYTES 4u      /* of a character, at most */
#define CHANGE "ebs:ModifyDiskReplicaGroup"

/* --- what comes in --- */

static bool read_tag(struct huawei_call *call, const json_t *row, json_t *tags)
{
	const char *key = sdrs_text(row, "key"), *value = sdrs_text(row, "value");

	if (key[0] != '\0' && strlen(key) <= BYTES * KEY_MAX && strlen(value) <= BYTES * VALUE_MAX) {
		json_object_set_new(tags, key, json_string(value));
		return true;
	}
	huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.2204", "A tag has a key of 1 to %u characters, and a value of at most %u.",
		    KEY_MAX, VALUE_MAX);
	return false;
}

json_t *sdrs_read_tags(struct huawei_call *call, const json_t *rows)
{
	json_t *tags = json_object(), *row;
	size_t index;

	if (rows != NULL && !json_is_null(rows) && (!json_is_array(rows) || json_array_size(rows) > SDRS_TAGS_MAX)) {
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.2202", "tags must be a list of at most %u tags.", SDRS_TAGS_MAX);
		json_decref(tags);
		return NULL;
	}
	json_array_foreach(rows, index, row) {
		if (read_tag(call, row, tags))
			continue;
		json_decref(tags);
		return NULL;
	}
	return tags;
}

/* --- of one instance --- */

json_t *sdrs_tag_rows(json_t *tags)
{
	json_t *rows = json_array(), *value;
	const char *key;

	json_object_foreach(tags, key, value) {
		json_array_append_new(rows, json_pack("{s:s, s:O}", "key", key, "value", value));
	}
	return rows;
}

void sdrs_show_tags(struct huawei_call *call)
{
	struct control_group group;
	json_t *note = sdrs_find_instance(call, "ebs:DescribeDiskReplicaGroups", &group);

	if (note != NULL)
		huawei_answer(call, MHD_HTTP_OK, json_pack("{s:o}", "tags", sdrs_tag_rows(json_object_get(note, "tags"))));
}

/* Stores the instance with these tags, which are taken. */
static void keep_tags(struct huawei_call *call, const struct control_group *group, const json_t *note, json_t *tags)
{
	json_t *changed = json_deep_copy(note);

	json_object_set_new(changed, "tags", tags);
	sdrs_keep_instance(call, group, changed, NULL);
}

/* Adds or removes some; takes them. */
static void change(struct huawei_call *call, json_t *changes, bool adds)
{
	struct control_group group;
	json_t *note = sdrs_find_instance(call, CHANGE, &group), *tags, *value;
	const char *key;

	if (note == NULL) {
		json_decref(changes);
		return;
	}
	tags = json_deep_copy(json_object_get(note, "tags"));
	json_object_foreach(changes, key, value) {
		if (adds)
			json_object_set(tags, key, value);
		else
			json_object_del(tags, key);
	}
	json_decref(changes);
	if (json_object_size(tags) <= SDRS_TAGS_MAX) {
		keep_tags(call, &group, note, tags);
		return;
	}
	json_decref(tags);
	huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.2202", "An instance has at most %u tags.", SDRS_TAGS_MAX);
}

void sdrs_change_tags(struct huawei_call *call)
{
	const char *action = sdrs_text(call->body, "action");
	json_t *tags;

	if (strcmp(action, "create") != 0 && strcmp(action, "delete") != 0) {
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.2201", "action must be \"create\" or \"delete\".");
		return;
	}
	tags = sdrs_read_tags(call, json_object_get(call->body, "tags"));
	if (tags != NULL)
		change(call, tags, strcmp(action, "create") == 0);
}

void sdrs_add_tag(struct huawei_call *call)
{
	json_t *tag = huawei_root(call, "tag"), *tags = json_object();

	if (tag != NULL && read_tag(call, tag, tags))
		change(call, tags, true);
	else
		json_decref(tags);
}

void sdrs_remove_tag(struct huawei_call *call)
{
	struct control_group group;
	json_t *note = sdrs_find_instance(call, CHANGE, &group), *tags;

	if (note == NULL)
		return;
	tags = json_deep_copy(json_object_get(note, "tags"));
	if (json_object_del(tags, call->arguments[1]) == 0) {
		keep_tags(call, &group, note, tags);
		return;
	}
	json_decref(tags);
	huawei_fail(call, MHD_HTTP_NOT_FOUND, "SDRS.2206", "The instance has no tag with that key.");
}

/* --- of all --- */

static void on_tagged(void *data, const struct control_group *group, const char *id, json_t *note)
{
	json_t *keys = data, *value;
	const char *key;

	(void)group;
	(void)id;
	json_object_foreach(json_object_get(note, "tags"), key, value) {
		json_t *values = json_object_get(keys, key);

		if (values == NULL) {
			values = json_object();
			json_object_set_new(keys, key, values);
		}
		json_object_set_new(values, json_string_value(value), json_true());
	}
}

void sdrs_list_tags(struct huawei_call *call)
{
	json_t *keys = json_object(), *rows = json_array(), *values, *unused;
	const char *key, *value;

	sdrs_each_instance(call->huawei, on_tagged, keys);
	json_object_foreach(keys, key, values) {
		json_t *list = json_array();

		json_object_foreach(values, value, unused) {
			json_array_append_new(list, json_string(value));
		}
		json_array_append_new(rows, json_pack("{s:s, s:o}", "key", key, "values", list));
	}
	json_decref(keys);
	huawei_answer(call, MHD_HTTP_OK, json_pack("{s:o}", "tags", rows));
}

/* A search: lists of {"key", "values"}, of which an instance is to have all or any, or is not to have. */
struct search {
	struct huawei *huawei;
	const json_t *tags, *tags_any, *not_tags, *not_tags_any;
	const char *name; /* part of the instance's; "" is in all */
	uint64_t offset, limit, count;
	json_t *rows;
};

/* No values are as good as any. */
static bool has_tag(const json_t *tags, const json_t *wanted)
{
	const char *value = json_string_value(json_object_get(tags, sdrs_text(wanted, "key")));
	json_t *values = json_object_get(wanted, "values"), *entry;
	size_t index;

	json_array_foreach(values, index, entry) {
		if (value != NULL && json_is_string(entry) && strcmp(json_string_value(entry), value) == 0)
			return true;
	}
	return value != NULL && json_array_size(values) == 0;
}

static size_t count_tags(const json_t *tags, const json_t *wanted)
{
	size_t index, count = 0;
	json_t *entry;

	json_array_foreach(wanted, index, entry) {
		count += has_tag(tags, entry);
	}
	return count;
}

static bool is_found(const struct search *search, const json_t *tags)
{
	return count_tags(tags, search->tags) == json_array_size(search->tags) &&
	       (json_array_size(search->tags_any) == 0 || count_tags(tags, search->tags_any) > 0) &&
	       (json_array_size(search->not_tags) == 0 ||
		count_tags(tags, search->not_tags) < json_array_size(search->not_tags)) &&
	       count_tags(tags, search->not_tags_any) == 0;
}

static void on_searched(void *data, const struct control_group *group, const char *id, json_t *note)
{
	struct search *search = data;
	json_t *tags = json_object_get(note, "tags");

	(void)group;
	if (!is_found(search, tags) || strstr(sdrs_text(note, "name"), search->name) == NULL)
		return;
	if (search->count++ >= search->offset && json_array_size(search->rows) < search->limit)
		json_array_append_new(search->rows, json_pack("{s:s, s:s, s:s, s:o}", "resource_id", id, "resource_name",
							      sdrs_text(note, "name"), "resource_detail", "", "tags",
							      sdrs_tag_rows(tags)));
}

/* Numbers, or texts of digits, as clients send both. */
static uint64_t number_of(const json_t *body, const char *name, uint64_t otherwise)
{
	const json_t *value = json_object_get(body, name);
	json_int_t number = json_is_string(value) ? strtoll(json_string_value(value), NULL, 10) : json_integer_value(value);

	return value == NULL || number < 0 ? otherwise : (uint64_t)number;
}

void sdrs_find_by_tags(struct huawei_call *call)
{
	const char *action = sdrs_text(call->body, "action");
	json_t *body = call->body, *match = json_array_get(json_object_get(body, "matches"), 0);
	struct search search = {
		.huawei = call->huawei, .tags = json_object_get(body, "tags"), .tags_any = json_object_get(body, "tags_any"),
		.not_tags = json_object_get(body, "not_tags"), .not_tags_any = json_object_get(body, "not_tags_any"),
		.name = sdrs_text(match, "value"), .offset = number_of(body, "offset", 0), .limit = number_of(body, "limit", 1000),
	};

	if (strcmp(action, "filter") != 0 && strcmp(action, "count") != 0) {
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.2201", "action must be \"filter\" or \"count\".");
		return;
	}
	search.rows = json_array();
	sdrs_each_instance(call->huawei, on_searched, &search);
	if (strcmp(action, "filter") == 0) {
		huawei_answer(call, MHD_HTTP_OK,
			      json_pack("{s:o, s:I}", "resources", search.rows, "total_count", (json_int_t)search.count));
		return;
	}
	json_decref(search.rows);
	huawei_answer(call, MHD_HTTP_OK, json_pack("{s:I}", "total_count", (json_int_t)search.count));
}
