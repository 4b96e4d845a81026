/* Names people give to things: tags and resource groups, of disks, pairs and groups. They mean nothing here.
 *
 * A disk's are its site's. A pair's and a group's belong to its record, which the source keeps: asked elsewhere, the call is
 * carried over. One call is all or nothing: every id is looked at before the first is changed. */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/text.h"
#include "control/internal.h"

#define TAGS_MAX 20u /* on one resource */

/* One thing that can be tagged: a record of one of the kinds. */
struct tagged {
	struct disk_record *disk;
	struct instance_record *instance;
	struct replica *replica;
};

static bool tagged_find(struct control *control, enum control_resource type, const char *id, struct tagged *out)
{
	*out = (struct tagged){ 0 };
	if (type == CONTROL_RESOURCE_DISK)
		out->disk = disk_find(control, id);
	else if (type == CONTROL_RESOURCE_INSTANCE)
		out->instance = instance_find(control, id);
	else
		out->replica = replica_find(control, id, type == CONTROL_RESOURCE_GROUP);
	return out->disk != NULL || out->instance != NULL ||
	       (out->replica != NULL && !(out->replica->unit_gone && out->replica->peer_gone));
}

static json_t **tagged_tags(const struct tagged *tagged)
{
	return tagged->disk != NULL ? &tagged->disk->tags :
	       tagged->instance != NULL ? &tagged->instance->tags : &tagged->replica->tags;
}

static int tagged_store(struct control *control, const struct tagged *tagged, struct error *error)
{
	return tagged->disk != NULL ? disk_store(control, tagged->disk, error) :
	       tagged->instance != NULL ? instance_store(control, tagged->instance, error) :
	       replica_store(control, tagged->replica, error);
}

/* What the thing's tags would be after the call. */
static json_t *tags_after(const struct call *call, const struct tagged *tagged)
{
	const struct control_request *request = &call->request;
	json_t *present = *tagged_tags(tagged);
	bool all = request->operation == CONTROL_UNTAG && request->all && json_array_size(request->keys) == 0;
	json_t *after = present == NULL || all ? json_object() : json_deep_copy(present);
	size_t index;
	json_t *key;

	if (request->operation == CONTROL_TAG)
		json_object_update(after, request->tags);
	json_array_foreach(request->keys, index, key) {
		json_object_del(after, json_string_value(key));
	}
	return after;
}

/* False: it is not here, and the call has been answered or carried over. */
static bool call_find(struct call *call, const char *id, struct tagged *out)
{
	bool is_shared = call->request.resource == CONTROL_RESOURCE_PAIR || call->request.resource == CONTROL_RESOURCE_GROUP;
	bool may_be_here = is_shared || call_is_of_this_region(call);

	if (may_be_here && tagged_find(call->control, call->request.resource, id, out))
		return true;
	call_seek(call, REFUSE_NO_SUCH_RESOURCE, "there is no %s %s", control_resource_name(call->request.resource), id);
	return false;
}

/* Whose work the ids are: true when it is all ours; else the call has been answered or carried over. */
static bool ids_are_ours(struct call *call)
{
	struct control *control = call->control;
	const char *elsewhere = NULL;
	size_t index, ours = 0;
	json_t *id;

	json_array_foreach(call->request.ids, index, id) {
		struct tagged tagged;
		json_t *after;
		bool fits;

		if (!call_find(call, json_string_value(id), &tagged))
			return false;
		if (tagged.replica != NULL && !is_source(control, tagged.replica))
			elsewhere = tagged.replica->source;
		else
			ours++;
		after = tags_after(call, &tagged);
		fits = json_object_size(after) <= TAGS_MAX;
		json_decref(after);
		if (!fits) {
			call_end(call, REFUSE_TAG_QUOTA, "%s would have more than %u tags", json_string_value(id), TAGS_MAX);
			return false;
		}
	}
	if (elsewhere == NULL)
		return true;
	if (ours > 0)
		call_end(call, REFUSE_NOT_ALLOWED, "site %s keeps the record of some of these ids, this site that of others: ask for "
			 "them one site at a time", elsewhere);
	else
		call_forward(call, elsewhere);
	return false;
}

void operate_tags(struct call *call)
{
	struct error error = { 0 };
	size_t index;
	json_t *id;

	if (!ids_are_ours(call))
		return;
	json_array_foreach(call->request.ids, index, id) {
		struct tagged tagged;
		json_t *after;

		tagged_find(call->control, call->request.resource, json_string_value(id), &tagged);
		after = tags_after(call, &tagged);
		json_decref(*tagged_tags(&tagged));
		*tagged_tags(&tagged) = after;
		if (tagged_store(call->control, &tagged, &error) < 0) {
			call_end_error(call, &error);
			return;
		}
	}
	call_end(call, REFUSE_NONE, "%s", "");
}

void operate_resource_group(struct call *call)
{
	struct control *control = call->control;
	struct error error = { 0 };
	struct tagged tagged;
	const char *id = call->request.name;

	if (!call_find(call, id, &tagged))
		return;
	if (tagged.replica != NULL && !is_source(control, tagged.replica)) {
		call_forward(call, tagged.replica->source);
		return;
	}
	if (tagged.disk != NULL)
		memcpy(tagged.disk->resource_group, call->request.resource_group, sizeof tagged.disk->resource_group);
	else if (tagged.instance != NULL)
		memcpy(tagged.instance->resource_group, call->request.resource_group, sizeof tagged.instance->resource_group);
	else
		memcpy(tagged.replica->resource_group, call->request.resource_group, sizeof tagged.replica->resource_group);
	if (tagged_store(control, &tagged, &error) < 0)
		call_end_error(call, &error);
	else
		call_end(call, REFUSE_NONE, "%s", "");
}

/* --- reading --- */

uint64_t tags_mark_of(json_t *tags)
{
	uint64_t mark = 0;
	const char *key;
	json_t *value;

	json_object_foreach(tags, key, value) {
		uint64_t hash = hash_xxh3(key, strlen(key));
		const char *text = json_string_value(value);

		mark |= UINT64_C(1) << (hash & 31);
		if (text != NULL)
			mark |= UINT64_C(1) << (32 + (hash_xxh3_pair(&hash, sizeof hash, text, strlen(text)) & 31));
	}
	return mark;
}

bool tags_match(const json_t *tags, json_t *wanted)
{
	const char *key;
	json_t *value;

	json_object_foreach(wanted, key, value) {
		json_t *present = json_object_get(tags, key);

		if (present == NULL || (!json_is_null(value) && !json_equal(present, value)))
			return false;
	}
	return true;
}

static void add_tags(json_t *rows, const char *id, json_t *tags, json_t *wanted)
{
	const char *key;
	json_t *value;

	if (!tags_match(tags, wanted))
		return;
	json_object_foreach(tags, key, value) {
		json_array_append_new(rows, json_pack("{s:s, s:s, s:O}", "id", id, "key", key, "value", value));
	}
}

static bool is_asked(json_t *ids, const char *id)
{
	size_t index;
	json_t *asked;

	if (json_array_size(ids) == 0)
		return true;
	json_array_foreach(ids, index, asked) {
		if (strcmp(json_string_value(asked), id) == 0)
			return true;
	}
	return false;
}

json_t *control_list_tags(struct control *control, enum control_resource type, json_t *ids, json_t *wanted)
{
	json_t *rows = json_array();
	const struct instance_record *instance;
	const struct disk_record *disk;
	const struct replica *replica;

	for (size_t at = 0; (disk = rows_next(&control->disks, &at)) != NULL;) {
		if (type == CONTROL_RESOURCE_DISK && is_asked(ids, disk->id))
			add_tags(rows, disk->id, disk->tags, wanted);
	}
	for (size_t at = 0; (instance = rows_next(&control->instances, &at)) != NULL;) {
		if (type == CONTROL_RESOURCE_INSTANCE && is_asked(ids, instance->id))
			add_tags(rows, instance->id, instance->tags, wanted);
	}
	for (size_t at = 0; (replica = rows_next(&control->replicas, &at)) != NULL;) {
		if (type == (replica->is_group ? CONTROL_RESOURCE_GROUP : CONTROL_RESOURCE_PAIR) &&
		    !(replica->unit_gone && replica->peer_gone) && is_asked(ids, replica->id))
			add_tags(rows, replica->id, replica->tags, wanted);
	}
	return rows;
}

bool control_has_resource(struct control *control, enum control_resource type, const char *id)
{
	struct tagged tagged;

	return tagged_find(control, type, id, &tagged);
}

const char *control_resource_name(enum control_resource type)
{
	static const char *const names[CONTROL_RESOURCES] = {
		[CONTROL_RESOURCE_DISK] = "disk", [CONTROL_RESOURCE_PAIR] = "pair", [CONTROL_RESOURCE_GROUP] = "group",
		[CONTROL_RESOURCE_INSTANCE] = "instance",
	};

	return type < CONTROL_RESOURCES ? names[type] : "?";
}
