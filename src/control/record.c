/* Records: one table of fields gives the stored form, the form sent to the peer, and back. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "catalog/catalog.h"
#include "control/internal.h"

enum field_kind { FIELD_TEXT, FIELD_NUMBER, FIELD_NUMBER32, FIELD_FLAG, FIELD_JSON };

struct field {
	const char *name;
	enum field_kind kind;
	size_t offset, size;
};

#define TEXT(type, member) { #member, FIELD_TEXT, offsetof(struct type, member), sizeof(((struct type *)0)->member) }
#define NUMBER(type, member) { #member, FIELD_NUMBER, offsetof(struct type, member), sizeof(uint64_t) }
#define NUMBER32(type, member) { #member, FIELD_NUMBER32, offsetof(struct type, member), sizeof(uint32_t) }
#define FLAG(type, member) { #member, FIELD_FLAG, offsetof(struct type, member), sizeof(bool) }
#define JSON(type, member) { #member, FIELD_JSON, offsetof(struct type, member), sizeof(json_t *) }
#define END { NULL, FIELD_TEXT, 0, 0 }

static const struct field disk_fields[] = {
	TEXT(disk_record, id), TEXT(disk_record, name), TEXT(disk_record, description), TEXT(disk_record, kind),
	TEXT(disk_record, path), TEXT(disk_record, category), TEXT(disk_record, instance), FLAG(disk_record, adopted),
	NUMBER(disk_record, size), NUMBER(disk_record, state), NUMBER(disk_record, created_s), NUMBER(disk_record, attached_s),
	NUMBER(disk_record, detached_s), TEXT(disk_record, resource_group), JSON(disk_record, tags),
	TEXT(disk_record, device), TEXT(disk_record, performance), TEXT(disk_record, cache), FLAG(disk_record, delete_with_instance),
	FLAG(disk_record, delete_auto_snapshot), FLAG(disk_record, enable_auto_snapshot), END,
};

static const struct field instance_fields[] = {
	TEXT(instance_record, id), TEXT(instance_record, name), TEXT(instance_record, description),
	NUMBER(instance_record, created_s), TEXT(instance_record, resource_group), JSON(instance_record, tags), END,
};

static const struct field replica_fields[] = {
	FLAG(replica, is_group), TEXT(replica, id), TEXT(replica, name), TEXT(replica, description), TEXT(replica, source),
	TEXT(replica, destination), TEXT(replica, primary), TEXT(replica, standby), TEXT(replica, lineage),
	TEXT(replica, charge_type), NUMBER(replica, state), NUMBER(replica, size), NUMBER(replica, rpo_s),
	NUMBER(replica, bandwidth), NUMBER(replica, created_s), NUMBER(replica, one_shot_s), NUMBER(replica, rank),
	NUMBER(replica, version), NUMBER(replica, change), FLAG(replica, enable_rtc), TEXT(replica, group),
	FLAG(replica, synced), FLAG(replica, compare), NUMBER(replica, point_epoch), NUMBER(replica, point_ms),
	TEXT(replica, point_zone), NUMBER(replica, period),
	TEXT(replica, source_disk), TEXT(replica, destination_disk), TEXT(replica, resource_group), JSON(replica, tags),
	JSON(replica, kept), NUMBER(replica, updated_s), END,
};

static const struct field request_fields[] = {
	NUMBER32(control_request, operation), TEXT(control_request, client_token), TEXT(control_request, region),
	TEXT(control_request, zone), TEXT(control_request, disk), TEXT(control_request, pair), TEXT(control_request, group),
	TEXT(control_request, instance), TEXT(control_request, peer_region), TEXT(control_request, peer_zone),
	TEXT(control_request, peer_disk), TEXT(control_request, name), TEXT(control_request, description),
	TEXT(control_request, path), TEXT(control_request, category), NUMBER(control_request, size),
	NUMBER32(control_request, rpo_s), NUMBER(control_request, bandwidth), TEXT(control_request, charge_type),
	FLAG(control_request, one_shot), FLAG(control_request, enable_rtc), FLAG(control_request, cancel),
	FLAG(control_request, rtc_given), NUMBER32(control_request, resource), TEXT(control_request, resource_group),
	FLAG(control_request, all), JSON(control_request, ids), JSON(control_request, keys), JSON(control_request, tags),
	TEXT(control_request, performance), TEXT(control_request, cache), TEXT(control_request, device),
	NUMBER32(control_request, delete_with_instance), NUMBER32(control_request, delete_auto_snapshot),
	NUMBER32(control_request, enable_auto_snapshot), NUMBER32(control_request, amount),
	NUMBER32(control_request, period), JSON(control_request, kept), FLAG(control_request, adopts_state), END,
};

static json_t *to_json(const struct field *fields, const void *object)
{
	json_t *json = json_object();

	for (; fields->name != NULL; fields++) {
		const char *at = (const char *)object + fields->offset;
		uint64_t number;
		uint32_t number32;
		json_t *member;
		bool flag;

		switch (fields->kind) {
		case FIELD_JSON:
			memcpy(&member, at, sizeof member);
			if (member != NULL)
				json_object_set_new(json, fields->name, json_deep_copy(member));
			break;
		case FIELD_TEXT:
			if (at[0] != 0)
				json_object_set_new(json, fields->name, json_string(at));
			break;
		case FIELD_NUMBER:
			memcpy(&number, at, sizeof number);
			json_object_set_new(json, fields->name, json_integer((json_int_t)number));
			break;
		case FIELD_NUMBER32:
			memcpy(&number32, at, sizeof number32);
			json_object_set_new(json, fields->name, json_integer(number32));
			break;
		case FIELD_FLAG:
			memcpy(&flag, at, sizeof flag);
			json_object_set_new(json, fields->name, json_boolean(flag));
			break;
		}
	}
	return json;
}

/* One field; a missing one stays as it is (an older record has fewer). */
static bool field_from_json(const struct field *field, const json_t *value, char *at)
{
	uint64_t number;
	uint32_t number32;
	json_t *member;
	bool flag;

	switch (field->kind) {
	case FIELD_JSON:
		member = json_deep_copy(value);
		memcpy(at, &member, sizeof member);
		return json_is_object(value) || json_is_array(value);
	case FIELD_TEXT:
		if (!json_is_string(value) || json_string_length(value) >= field->size)
			return false;
		memcpy(at, json_string_value(value), json_string_length(value) + 1);
		return true;
	case FIELD_NUMBER:
		number = (uint64_t)json_integer_value(value);
		memcpy(at, &number, sizeof number);
		return json_is_integer(value) && json_integer_value(value) >= 0;
	case FIELD_NUMBER32:
		number32 = (uint32_t)json_integer_value(value);
		memcpy(at, &number32, sizeof number32);
		return json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) <= UINT32_MAX;
	case FIELD_FLAG:
		flag = json_is_true(value);
		memcpy(at, &flag, sizeof flag);
		return json_is_boolean(value);
	}
	return false;
}

static bool from_json(const struct field *fields, const json_t *json, void *object)
{
	if (!json_is_object(json))
		return false;
	for (; fields->name != NULL; fields++) {
		const json_t *value = json_object_get(json, fields->name);

		if (value != NULL && !field_from_json(fields, value, (char *)object + fields->offset))
			return false;
	}
	return true;
}

json_t *disk_to_json(const struct disk_record *disk)
{
	return to_json(disk_fields, disk);
}

bool disk_from_json(const json_t *json, struct disk_record *out_disk)
{
	memset(out_disk, 0, sizeof *out_disk);
	if (from_json(disk_fields, json, out_disk) && out_disk->state < DISK_STATES &&
	    (out_disk->tags == NULL || json_is_object(out_disk->tags)))
		return true;
	json_decref(out_disk->tags);
	return false;
}

json_t *replica_to_json(const struct replica *replica)
{
	return to_json(replica_fields, replica);
}

bool replica_from_json(const json_t *json, struct replica *out_replica)
{
	memset(out_replica, 0, sizeof *out_replica);
	if (from_json(replica_fields, json, out_replica) && out_replica->id[0] != 0 && out_replica->state < PAIR_STATES &&
	    out_replica->change < CHANGES && (out_replica->tags == NULL || json_is_object(out_replica->tags)) &&
	    (out_replica->kept == NULL || json_is_object(out_replica->kept)))
		return true;
	replica_clear(out_replica);
	return false;
}

void replica_clear(struct replica *replica)
{
	json_decref(replica->tags);
	json_decref(replica->kept);
	replica->tags = replica->kept = NULL;
}

json_t *request_to_json(const struct control_request *request)
{
	return to_json(request_fields, request);
}

bool request_from_json(const json_t *json, struct control_request *out_request)
{
	memset(out_request, 0, sizeof *out_request);
	if (from_json(request_fields, json, out_request) && out_request->operation < CONTROL_OPERATIONS &&
	    out_request->resource < CONTROL_RESOURCES && out_request->amount <= CONTROL_INSTANCES_MAX)
		return true;
	control_request_clear(out_request);
	return false;
}

void control_request_clear(struct control_request *request)
{
	json_decref(request->ids);
	json_decref(request->keys);
	json_decref(request->tags);
	json_decref(request->kept);
	request->ids = request->keys = request->tags = request->kept = NULL;
}

/* --- the catalog --- */

/* Within a transaction. Takes the JSON. */
static int put_one(struct control *control, const char *kind, const char *id, json_t *json, struct error *error)
{
	char *body = json_dumps(json, JSON_COMPACT);
	int result = catalog_put(control->catalog, kind, id, body, error);

	free(body);
	json_decref(json);
	return result;
}

static int put(struct control *control, const char *kind, const char *id, json_t *json, struct error *error)
{
	int result = catalog_begin(control->catalog, error);

	if (result == 0) {
		result = put_one(control, kind, id, json_incref(json), error);
		if (result == 0)
			result = catalog_commit(control->catalog, error);
		else
			catalog_rollback(control->catalog);
	}
	json_decref(json);
	if (result < 0)
		log_event(LOG_ERROR, "catalog.failed", "reason=\"%s\"", error == NULL ? "" : error->text);
	return result;
}

static int forget(struct control *control, const char *kind, const char *id, struct error *error)
{
	int result = catalog_begin(control->catalog, error);

	if (result < 0)
		return result;
	result = catalog_remove(control->catalog, kind, id, error);
	if (result == 0)
		return catalog_commit(control->catalog, error);
	catalog_rollback(control->catalog);
	return result;
}

static void disk_index(struct control *control, struct disk_record *disk)
{
	rows_add(&control->disks, disk, &disk->place);
	disk->tags_mark = tags_mark_of(disk->tags);
	index_put(&control->disks_by_id, &disk->by_id, disk->id);
	index_put(&control->disks_by_instance, &disk->by_instance, disk->instance);
}

static void disk_free(struct control *control, struct disk_record *disk)
{
	index_put(&control->disks_by_id, &disk->by_id, "");
	index_put(&control->disks_by_instance, &disk->by_instance, "");
	rows_remove(&control->disks, &disk->place);
	json_decref(disk->tags);
	free(disk);
}

int disk_store(struct control *control, struct disk_record *disk, struct error *error)
{
	disk_index(control, disk);
	return put(control, "disk", disk->id, to_json(disk_fields, disk), error);
}

int disk_forget(struct control *control, struct disk_record *disk, struct error *error)
{
	int result = forget(control, "disk", disk->id, error);

	disk_free(control, disk);
	return result;
}

static void instance_index(struct control *control, struct instance_record *instance)
{
	rows_add(&control->instances, instance, &instance->place);
	instance->tags_mark = tags_mark_of(instance->tags);
	index_put(&control->instances_by_id, &instance->by_id, instance->id);
}

static void instance_free(struct control *control, struct instance_record *instance)
{
	index_put(&control->instances_by_id, &instance->by_id, "");
	rows_remove(&control->instances, &instance->place);
	json_decref(instance->tags);
	free(instance);
}

int instances_make(struct control *control, struct instance_record **instances, uint32_t count, struct error *error)
{
	int result = catalog_begin(control->catalog, error);
	bool begun = result == 0;

	for (uint32_t i = 0; result == 0 && i < count; i++)
		result = put_one(control, "instance", instances[i]->id, to_json(instance_fields, instances[i]), error);
	if (result == 0)
		result = catalog_commit(control->catalog, error);
	else if (begun)
		catalog_rollback(control->catalog);
	for (uint32_t i = 0; i < count; i++) {
		if (result == 0)
			instance_index(control, instances[i]);
		else
			instance_free(control, instances[i]);
	}
	return result;
}

int instance_store(struct control *control, struct instance_record *instance, struct error *error)
{
	instance_index(control, instance);
	return put(control, "instance", instance->id, to_json(instance_fields, instance), error);
}

int instance_forget(struct control *control, struct instance_record *instance, struct error *error)
{
	int result = forget(control, "instance", instance->id, error);

	if (result == 0)
		instance_free(control, instance);
	return result;
}

static const char *replica_kind(const struct replica *replica)
{
	return replica->is_group ? "group" : "pair";
}

static int16_t zone_at(const struct control *control, const char *zone)
{
	if (strcmp(zone, control->config.site.zone) == 0)
		return 0;
	for (size_t i = 0; i < control->config.peer_count; i++) {
		if (strcmp(zone, control->peers[i].site.zone) == 0)
			return (int16_t)(i + 1);
	}
	return -1;
}

/* Whatever of it has changed is found by what it is now. */
static void replica_index(struct control *control, struct replica *replica)
{
	rows_add(&control->replicas, replica, &replica->place);
	replica->tags_mark = tags_mark_of(replica->tags);
	replica->source_at = zone_at(control, replica->source);
	replica->destination_at = zone_at(control, replica->destination);
	index_put(&control->replicas_by_id, &replica->by_id, replica->id);
	index_put(&control->pairs_by_group, &replica->by_group, replica->group);
	index_put(&control->pairs_by_source, &replica->by_source, replica->source_disk);
	index_put(&control->pairs_by_destination, &replica->by_destination, replica->destination_disk);
}

static void replica_free(struct control *control, struct replica *replica)
{
	control->stale_count -= replica->stale;
	index_put(&control->replicas_by_id, &replica->by_id, "");
	index_put(&control->pairs_by_group, &replica->by_group, "");
	index_put(&control->pairs_by_source, &replica->by_source, "");
	index_put(&control->pairs_by_destination, &replica->by_destination, "");
	rows_remove(&control->replicas, &replica->place);
	replica_clear(replica);
	free(replica);
}

void record_unload(struct control *control)
{
	struct disk_record *disk;
	struct replica *replica;
	struct instance_record *instance;

	for (size_t at = 0; (disk = rows_next(&control->disks, &at)) != NULL;)
		disk_free(control, disk);
	for (size_t at = 0; (replica = rows_next(&control->replicas, &at)) != NULL;)
		replica_free(control, replica);
	for (size_t at = 0; (instance = rows_next(&control->instances, &at)) != NULL;)
		instance_free(control, instance);
	rows_clear(&control->disks);
	rows_clear(&control->replicas);
	rows_clear(&control->instances);
}

int replica_keep(struct control *control, struct replica *replica, struct error *error)
{
	replica_index(control, replica);
	return put(control, replica_kind(replica), replica->id, replica_to_json(replica), error);
}

int replica_store(struct control *control, struct replica *replica, struct error *error)
{
	int result;

	if (replica->version++ > 0)
		replica->updated_s = control_now_s();
	result = replica_keep(control, replica, error);
	if (result == 0)
		push_replica(control, replica);
	return result;
}

int replica_forget(struct control *control, struct replica *replica, struct error *error)
{
	int result = forget(control, replica_kind(replica), replica->id, error);

	replica_free(control, replica);
	return result;
}

static int on_disk(void *data, const char *id, const char *body, struct error *error)
{
	struct control *control = data;
	struct disk_record *disk = memory_new(1, sizeof *disk);
	json_t *json = json_loads(body, 0, NULL);
	bool good = disk_from_json(json, disk) && strcmp(disk->id, id) == 0;

	json_decref(json);
	if (!good) {
		free(disk);
		return error_set(error, -EBADMSG, "the catalog's record of disk %s is damaged", id);
	}
	disk_index(control, disk);
	return 0;
}

static int on_instance(void *data, const char *id, const char *body, struct error *error)
{
	struct control *control = data;
	struct instance_record *instance = memory_new(1, sizeof *instance);
	json_t *json = json_loads(body, 0, NULL);
	bool good = from_json(instance_fields, json, instance) && strcmp(instance->id, id) == 0;

	json_decref(json);
	if (!good) {
		instance_free(control, instance);
		return error_set(error, -EBADMSG, "the catalog's record of instance %s is damaged", id);
	}
	instance_index(control, instance);
	return 0;
}

static int on_replica(void *data, const char *id, const char *body, struct error *error)
{
	struct control *control = data;
	struct replica *replica = memory_new(1, sizeof *replica);
	json_t *json = json_loads(body, 0, NULL);
	bool good = replica_from_json(json, replica) && strcmp(replica->id, id) == 0;

	json_decref(json);
	if (!good) {
		replica_clear(replica);
		free(replica);
		return error_set(error, -EBADMSG, "the catalog's record of %s is damaged", id);
	}
	replica_index(control, replica);
	return 0;
}

int record_load(struct control *control, struct error *error)
{
	int result = catalog_each(control->catalog, "disk", on_disk, control, error);

	if (result == 0)
		result = catalog_each(control->catalog, "pair", on_replica, control, error);
	if (result == 0)
		result = catalog_each(control->catalog, "group", on_replica, control, error);
	if (result == 0)
		result = catalog_each(control->catalog, "instance", on_instance, control, error);
	return result;
}

/* --- finding --- */

struct disk_record *disk_find(struct control *control, const char *id)
{
	const struct list *found = index_find(&control->disks_by_id, id);

	return found == NULL ? NULL : container_of(found->next, struct disk_record, by_id.entry);
}

struct instance_record *instance_find(struct control *control, const char *id)
{
	const struct list *found = index_find(&control->instances_by_id, id);

	return found == NULL ? NULL : container_of(found->next, struct instance_record, by_id.entry);
}

struct disk_record *disk_of_instance(struct control *control, const char *instance)
{
	const struct list *found = instance[0] == 0 ? NULL : index_find(&control->disks_by_instance, instance);

	return found == NULL ? NULL : container_of(found->next, struct disk_record, by_instance.entry);
}

struct replica *replica_find(struct control *control, const char *id, bool is_group)
{
	struct replica *replica = unit_owner(control, id);

	return replica != NULL && replica->is_group == is_group ? replica : NULL;
}

struct replica *unit_owner(struct control *control, const char *unit_id)
{
	const struct list *found = index_find(&control->replicas_by_id, unit_id);

	return found == NULL ? NULL : container_of(found->next, struct replica, by_id.entry);
}

/* A pair that is being deleted, and waits for the peer, holds its disk no more: there may be another one. */
struct replica *replica_of_disk(struct control *control, const char *disk)
{
	const struct list *sources = index_find(&control->pairs_by_source, disk);
	const struct list *destinations = index_find(&control->pairs_by_destination, disk);

	for (struct list *entry = sources == NULL ? NULL : sources->next; entry != NULL && entry != sources; entry = entry->next) {
		if (!container_of(entry, struct replica, by_source.entry)->unit_gone)
			return container_of(entry, struct replica, by_source.entry);
	}
	for (struct list *entry = destinations == NULL ? NULL : destinations->next; entry != NULL && entry != destinations;
	     entry = entry->next) {
		if (!container_of(entry, struct replica, by_destination.entry)->unit_gone)
			return container_of(entry, struct replica, by_destination.entry);
	}
	return NULL;
}

uint32_t replica_members(struct control *control, const char *group, struct replica **out, uint32_t max)
{
	const struct list *found = index_find(&control->pairs_by_group, group);
	uint32_t count = 0;

	for (struct list *entry = found == NULL ? NULL : found->next; entry != NULL && entry != found; entry = entry->next) {
		if (count < max)
			out[count] = container_of(entry, struct replica, by_group.entry);
		count++;
	}
	return count;
}

bool is_source(const struct control *control, const struct replica *replica)
{
	return strcmp(replica->source, control->config.site.zone) == 0;
}

const char *replica_peer(const struct control *control, const struct replica *replica)
{
	return is_source(control, replica) ? replica->destination : replica->source;
}

void replica_set_state(struct control *control, struct replica *replica, enum pair_state state, const char *message)
{
	struct replica *members[ENGINE_UNIT_DISKS_MAX];
	uint32_t count = 0;

	if (replica->is_group)
		count = replica_members(control, replica->id, members, ENGINE_UNIT_DISKS_MAX);
	for (uint32_t i = 0; i < count && i < ENGINE_UNIT_DISKS_MAX; i++) {
		if (members[i]->state != state)
			replica_set_state(control, members[i], state, "");
	}
	text_copy(replica->message, sizeof replica->message, message);
	if (replica->state == state)
		return;
	log_event(LOG_INFO, replica->is_group ? "group.state" : "pair.state", "id=%s from=%s to=%s", replica->id,
		  pair_state_name((enum pair_state)replica->state), pair_state_name(state));
	replica->state = state;
	replica_store(control, replica, NULL);
}
