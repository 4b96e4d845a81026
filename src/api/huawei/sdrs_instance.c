/* Protected instances: which server's disks the pairs of a group are. No machine is behind one, here or at the other site. An
 * instance is a note kept with its group, and travels with it to both sites; its id begins with the group's, so that it is found
 * without asking every group. */
#include <microhttpd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "api/huawei/sdrs.h"
#include "api/huawei/state.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/text.h"

#define PREFIX "instance:"
#define OWN_DIGITS 12u       /* of an id, its last ones; the others are the group's */
#define SERVERS_MAX 30u      /* in one call */
#define GROUPS_AT_ONCE 100u
#define CHANGE "ebs:ModifyDiskReplicaGroup"
#define SEE "ebs:DescribeDiskReplicaGroups"

/* --- notes --- */

const char *sdrs_text(const json_t *note, const char *name)
{
	const char *text = json_string_value(json_object_get(note, name));

	return text == NULL ? "" : text;
}

void sdrs_instance_key(const char *id, char out[SDRS_INSTANCE_KEY_SIZE])
{
	snprintf(out, SDRS_INSTANCE_KEY_SIZE, PREFIX "%.*s", HUAWEI_UUID_SIZE - 1, id);
}

void sdrs_group_of_instance(const char *id, char out[CONTROL_ID_SIZE])
{
	char group[HUAWEI_UUID_SIZE];

	out[0] = '\0';
	if (strlen(id) != HUAWEI_UUID_SIZE - 1)
		return;
	memcpy(group, id, sizeof(group));
	memset(group + HUAWEI_UUID_SIZE - 1 - OWN_DIGITS, '0', OWN_DIGITS);
	huawei_id(CONTROL_RESOURCE_GROUP, group, out);
}

static void make_id(const char *group, char out[HUAWEI_UUID_SIZE])
{
	uint8_t random[OWN_DIGITS / 2];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		abort(); /* the kernel gives so few bytes whole, always */
	huawei_uuid(group, out);
	hash_to_hex(random, sizeof(random), out + HUAWEI_UUID_SIZE - 1 - OWN_DIGITS);
}

json_t *sdrs_instance_of(const struct control_group *group, const char *id)
{
	char key[SDRS_INSTANCE_KEY_SIZE];

	sdrs_instance_key(id, key);
	return json_object_get(group->kept, key);
}

/* Of a name among a group's notes: the instance's id, or NULL. */
static const char *id_of(const char *name)
{
	return strncmp(name, PREFIX, strlen(PREFIX)) == 0 ? name + strlen(PREFIX) : NULL;
}

size_t sdrs_count_instances(const struct control_group *group)
{
	const char *name;
	json_t *note;
	size_t count = 0;

	json_object_foreach(group->kept, name, note) {
		count += id_of(name) != NULL;
	}
	return count;
}

json_t *sdrs_attachments_of_pair(const struct control_group *group, const char *pair)
{
	json_t *rows = json_array(), *note, *row;
	const char *name;
	size_t index;

	json_object_foreach(group->kept, name, note) {
		if (id_of(name) == NULL)
			continue;
		json_array_foreach(json_object_get(note, "attachment"), index, row) {
			if (strcmp(sdrs_text(row, "replication"), pair) == 0)
				json_array_append_new(rows, json_pack("{s:s, s:s}", "protected_instance", id_of(name), "device",
								      sdrs_text(row, "device")));
		}
	}
	return rows;
}

void sdrs_each_instance(struct huawei *huawei,
			void (*visit)(void *data, const struct control_group *group, const char *id, json_t *note), void *data)
{
	struct control_filter filter = { .state = -1, .count = GROUPS_AT_ONCE };
	struct control_list list;
	const char *name;
	json_t *note;

	do {
		control_list_groups(huawei->control, &filter, &list);
		for (size_t i = 0; i < list.count; i++)
			json_object_foreach(list.groups[i].kept, name, note) {
				if (id_of(name) != NULL)
					visit(data, &list.groups[i], id_of(name), note);
			}
		filter.first += GROUPS_AT_ONCE;
		control_list_free(&list);
	} while (filter.first < list.total);
}

/* --- what is shown --- */

static json_t *attachment_rows(const json_t *note)
{
	json_t *rows = json_array(), *row;
	size_t index;

	json_array_foreach(json_object_get(note, "attachment"), index, row) {
		char id[HUAWEI_UUID_SIZE];

		huawei_uuid(sdrs_text(row, "replication"), id);
		json_array_append_new(rows, json_pack("{s:s, s:s}", "replication", id, "device", sdrs_text(row, "device")));
	}
	return rows;
}

static json_t *time_of(const json_t *note, const char *name)
{
	return huawei_time_with_blank((uint64_t)json_integer_value(json_object_get(note, name)));
}

static json_t *instance_row(struct huawei *huawei, const struct control_group *group, const char *id, const json_t *note)
{
	enum sdrs_status status = sdrs_instance_status(huawei, id, group);
	struct huawei_state state = huawei_state_of_group(huawei, group);
	char group_id[HUAWEI_UUID_SIZE], server[HUAWEI_UUID_SIZE];
	json_t *row;

	huawei_uuid(group->id, group_id);
	huawei_uuid(sdrs_text(note, "server"), server);
	row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:n, s:s, s:o, s:o, s:{}}", "id", id, "name", sdrs_text(note, "name"),
			"description", sdrs_text(note, "description"), "server_group_id", group_id, "status",
			sdrs_status_name(status), "progress", state.progress < 0 ? 0 : state.progress, "source_server", server,
			"target_server", "priority_station",
			sdrs_station(group->state, group->switching, group->source.zone, group->primary.zone), "attachment",
			attachment_rows(note), "tags", sdrs_tag_rows(json_object_get(note, "tags")), "metadata");
	json_object_set_new(row, "created_at", time_of(note, "created"));
	json_object_set_new(row, "updated_at", time_of(note, "updated"));
	return row;
}

static void no_instance(struct huawei_call *call, const char *id)
{
	huawei_fail(call, MHD_HTTP_NOT_FOUND, "SDRS.1320", "There is no protected instance %s.", id);
}

/* The group of an instance, without its pairs' ids. */
static bool find_group(struct huawei *huawei, const char *id, struct control_group *out_group)
{
	char group[CONTROL_ID_SIZE];

	sdrs_group_of_instance(id, group);
	if (group[0] == '\0' || !huawei_find_group(huawei->control, group, out_group))
		return false;
	free(out_group->pairs);
	out_group->pairs = NULL;
	return true;
}

json_t *sdrs_find_instance(struct huawei_call *call, const char *action, struct control_group *out_group)
{
	const char *id = call->arguments[0];
	json_t *note = find_group(call->huawei, id, out_group) ? sdrs_instance_of(out_group, id) : NULL;

	if (note == NULL) {
		no_instance(call, id);
		return NULL;
	}
	text_copy(call->object, sizeof(call->object), out_group->id);
	return huawei_may(call, action, CONTROL_RESOURCE_GROUP, out_group->id) ? note : NULL;
}

static void show(struct huawei_call *call, const char *id)
{
	struct control_group group;
	json_t *note = find_group(call->huawei, id, &group) ? sdrs_instance_of(&group, id) : NULL;

	if (note == NULL)
		no_instance(call, id);
	else
		huawei_answer(call, MHD_HTTP_OK, json_pack("{s:o}", "protected_instance", instance_row(call->huawei, &group, id, note)));
}

void sdrs_show_instance(struct huawei_call *call)
{
	struct control_group group;

	if (sdrs_find_instance(call, SEE, &group) != NULL)
		show(call, call->arguments[0]);
}

struct listing {
	const struct sdrs_filter *filter;
	uint64_t behind_marker, count;
	bool is_behind;
	json_t *rows;
};

static void on_instance(void *data, const struct control_group *group, const char *id, json_t *note)
{
	struct listing *listing = data;
	const struct sdrs_filter *filter = listing->filter;
	const struct control_brief brief = { .source = group->source.zone, .destination = group->destination.zone,
					     .state = group->state, .switching = group->switching };

	if ((filter->name != NULL && strstr(sdrs_text(note, "name"), filter->name) == NULL) ||
	    (filter->groups != NULL && json_object_get(filter->groups, group->id) == NULL) ||
	    (filter->instances != NULL && json_object_get(filter->instances, id) == NULL) ||
	    !sdrs_is_in_zone(&brief, filter->zone) ||
	    (filter->statuses >> sdrs_instance_status(filter->huawei, id, group) & 1) == 0)
		return;
	listing->count++;
	if (listing->is_behind && listing->behind_marker++ >= filter->offset && json_array_size(listing->rows) < filter->limit)
		json_array_append_new(listing->rows, instance_row(filter->huawei, group, id, note));
	listing->is_behind = listing->is_behind || strcmp(filter->marker, id) == 0;
}

void sdrs_list_instances(struct huawei_call *call)
{
	struct sdrs_filter filter;
	struct listing listing = { .filter = &filter };

	if (sdrs_read_filter(call, &filter)) {
		listing.is_behind = filter.marker == NULL;
		listing.rows = json_array();
		sdrs_each_instance(call->huawei, on_instance, &listing);
		sdrs_answer_list(call, "protected_instances", listing.count, listing.rows);
	}
	sdrs_clear_filter(&filter);
}

/* --- create: the disks attached to each server are asked for, one server after the other --- */

struct creation {
	char group[CONTROL_ID_SIZE], description[CONTROL_TEXT_SIZE], name[CONTROL_NAME_SIZE];
	char server[CONTROL_ID_SIZE];
	json_t *tags, *servers; /* {key: value}; notes, of which those before `at` have their attachments */
	size_t at;
};

static void free_creation(void *state)
{
	struct creation *creation = state;

	json_decref(creation->tags);
	json_decref(creation->servers);
}

#define AT(field) offsetof(struct creation, field), sizeof(((struct creation *)NULL)->field)
#define END { NULL, HUAWEI_TEXT, false, 0, 0, 0, NULL }

static const struct huawei_field create_fields[] = {
	{ "name", HUAWEI_TEXT, true, AT(name), 0, "SDRS.0202" },
	{ "description", HUAWEI_TEXT, false, AT(description), 0, "SDRS.0212" },
	{ "server_group_id", HUAWEI_UUID, true, AT(group), CONTROL_RESOURCE_GROUP, "SDRS.0207" },
	{ "server_id", HUAWEI_UUID, true, AT(server), CONTROL_RESOURCE_INSTANCE, "SDRS.0210" },
	END,
};
static const struct huawei_field batch_fields[] = {
	{ "name_prefix", HUAWEI_TEXT, true, AT(name), 0, "SDRS.0202" },
	{ "description", HUAWEI_TEXT, false, AT(description), 0, "SDRS.0212" },
	{ "server_group_id", HUAWEI_UUID, true, AT(group), CONTROL_RESOURCE_GROUP, "SDRS.0207" },
	END,
};
static const struct huawei_field server_fields[] = {
	{ "server_id", HUAWEI_UUID, true, AT(server), CONTROL_RESOURCE_INSTANCE, "SDRS.0210" },
	END,
};

/* Which of the servers to be protected is so already; "" none. */
struct used_servers {
	const json_t *servers;
	char id[CONTROL_ID_SIZE];
};

static void on_used(void *data, const struct control_group *group, const char *id, json_t *note)
{
	struct used_servers *used = data;
	json_t *server;
	size_t index;

	(void)group;
	(void)id;
	json_array_foreach(used->servers, index, server) {
		if (strcmp(sdrs_text(server, "server"), sdrs_text(note, "server")) == 0)
			text_copy(used->id, sizeof(used->id), sdrs_text(note, "server"));
	}
}

static void create_all(struct huawei_call *call, const struct creation *creation)
{
	json_t *kept = json_object(), *input = json_pack("{s:s, s:s}", "group", creation->group, "name", creation->name), *note;
	char id[HUAWEI_UUID_SIZE], key[SDRS_INSTANCE_KEY_SIZE];
	size_t index;

	json_array_foreach(creation->servers, index, note) {
		make_id(creation->group, id);
		sdrs_instance_key(id, key);
		json_object_set(kept, key, note);
	}
	if (json_array_size(creation->servers) == 1) {
		json_object_set_new(input, "instance", json_string(id));
		json_object_set_new(input, "server", json_string(sdrs_text(json_array_get(creation->servers, 0), "server")));
	}
	json_object_set_new(input, "kept", kept);
	sdrs_begin(call, &sdrs_plan_create_instances, creation->group, input);
}

static void find_disks(struct huawei_call *call);

static void on_disks(void *data, const struct control_found *found)
{
	struct huawei_call *call = data;
	struct creation *creation = call->state;
	json_t *attached = json_array();
	struct control_pair pair;

	for (size_t i = 0; i < found->count; i++)
		if (found->disks[i].pair[0] != '\0' &&
		    huawei_find_pair(call->huawei->control, found->disks[i].pair, &pair) &&
		    strcmp(pair.group, creation->group) == 0)
			json_array_append_new(attached, json_pack("{s:s, s:s}", "replication", pair.id, "device",
								  found->disks[i].device));
	json_object_set_new(json_array_get(creation->servers, creation->at++), "attachment", attached);
	find_disks(call);
}

/* Of the server whose turn it is; after the last, the job begins. */
static void find_disks(struct huawei_call *call)
{
	struct creation *creation = call->state;
	struct control_disk_query query = { .state = -1, .limit = CONTROL_FIND_MAX };
	struct control_group group;

	if (!huawei_find_group(call->huawei->control, creation->group, &group)) {
		sdrs_no_group(call, creation->group);
		return;
	}
	free(group.pairs);
	query.zone = group.source.zone;
	query.instance = sdrs_text(json_array_get(creation->servers, creation->at), "server");
	if (creation->at < json_array_size(creation->servers))
		control_find_disks(call->huawei->control, &query, on_disks, call);
	else
		create_all(call, creation);
}

static void check_creation(struct huawei_call *call, struct creation *creation)
{
	struct used_servers used = { .servers = creation->servers };
	struct control_group group;
	enum sdrs_status status;

	if (!huawei_find_group(call->huawei->control, creation->group, &group)) {
		sdrs_no_group(call, creation->group);
		return;
	}
	free(group.pairs);
	status = sdrs_group_status(call->huawei, group.id, group.state, group.switching);
	sdrs_each_instance(call->huawei, on_used, &used);
	if (used.id[0] != '\0')
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.1305", "Server %s is in a protected instance already.", used.id);
	else if (huawei_may(call, CHANGE, CONTROL_RESOURCE_GROUP, group.id) &&
		 sdrs_allows(call, SDRS_IN(AVAILABLE) | SDRS_IN(PROTECTED), status, "SDRS.1023", "a new instance"))
		find_disks(call);
}

static void add_server(struct creation *creation, const char *name)
{
	json_int_t now = (json_int_t)time(NULL);

	json_array_append_new(creation->servers,
			      json_pack("{s:s, s:s, s:s, s:I, s:I, s:O}", "name", name, "description", creation->description,
					"server", creation->server, "created", now, "updated", now, "tags", creation->tags));
}

/* Reads what a single instance and a batch have in common; NULL: the call has failed. */
static struct creation *read_creation(struct huawei_call *call, const json_t *root, const struct huawei_field *fields)
{
	struct creation *creation = memory_new(1, sizeof(*creation));

	call->state = creation;
	call->on_free = free_creation;
	creation->servers = json_array();
	if (root == NULL || !huawei_read(call, root, fields, creation) || !sdrs_check_name(call, creation->name) ||
	    !sdrs_check_description(call, creation->description))
		return NULL;
	creation->tags = sdrs_read_tags(call, json_object_get(root, "tags"));
	return creation->tags == NULL ? NULL : creation;
}

void sdrs_create_instance(struct huawei_call *call)
{
	struct creation *creation = read_creation(call, huawei_root(call, "protected_instance"), create_fields);

	if (creation == NULL)
		return;
	add_server(creation, creation->name);
	check_creation(call, creation);
}

void sdrs_create_instances(struct huawei_call *call)
{
	json_t *root = huawei_root(call, "protected_instances"), *servers = json_object_get(root, "servers"), *server, *other;
	struct creation *creation = root == NULL ? NULL : read_creation(call, root, batch_fields);
	char name[CONTROL_NAME_SIZE + 24];
	size_t index, before;

	if (creation == NULL)
		return;
	if (!json_is_array(servers) || json_array_size(servers) == 0 || json_array_size(servers) > SERVERS_MAX) {
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.0210", "servers must be a list of 1 to %u servers.", SERVERS_MAX);
		return;
	}
	json_array_foreach(servers, index, server) {
		if (!huawei_read(call, server, server_fields, creation))
			return;
		json_array_foreach(creation->servers, before, other) {
			if (strcmp(sdrs_text(other, "server"), creation->server) == 0) {
				huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.0210", "A server is given twice.");
				return;
			}
		}
		snprintf(name, sizeof(name), "%s-%04zu", creation->name, index + 1);
		add_server(creation, name);
	}
	check_creation(call, creation);
}

/* --- other changes --- */

void sdrs_keep_instance(struct huawei_call *call, const struct control_group *group, json_t *note,
			void (*show_it)(struct huawei_call *call, const char *id))
{
	struct control_request request = { .operation = CONTROL_KEEP_GROUP };
	char key[SDRS_INSTANCE_KEY_SIZE];

	json_object_set_new(note, "updated", json_integer((json_int_t)time(NULL)));
	text_copy(request.group, sizeof(request.group), group->id);
	sdrs_instance_key(call->arguments[0], key);
	request.kept = json_pack("{s:o}", key, note);
	sdrs_change(call, &request, show_it, call->arguments[0]);
}

static const struct huawei_field name_fields[] = { { "name", HUAWEI_TEXT, true, AT(name), 0, "SDRS.0202" }, END };

void sdrs_rename_instance(struct huawei_call *call)
{
	json_t *root = huawei_root(call, "protected_instance"), *note;
	struct creation fields = { 0 };
	struct control_group group;

	if (root == NULL || !huawei_read(call, root, name_fields, &fields) || !sdrs_check_name(call, fields.name))
		return;
	note = sdrs_find_instance(call, CHANGE, &group);
	if (note == NULL)
		return;
	note = json_deep_copy(note);
	json_object_set_new(note, "name", json_string(fields.name));
	sdrs_keep_instance(call, &group, note, show);
}

#define DELETABLE \
	(SDRS_IN(AVAILABLE) | SDRS_IN(PROTECTED) | SDRS_IN(FAILED_OVER) | (UINT32_MAX << SDRS_ERROR))

void sdrs_delete_instance(struct huawei_call *call)
{
	const char *id = call->arguments[0];
	struct control_group group;
	json_t *note = sdrs_find_instance(call, CHANGE, &group);
	char key[SDRS_INSTANCE_KEY_SIZE];

	if (note == NULL ||
	    !sdrs_allows(call, DELETABLE, sdrs_instance_status(call->huawei, id, &group), "SDRS.1301", "deletion"))
		return;
	sdrs_instance_key(id, key);
	sdrs_begin(call, &sdrs_plan_delete_instances, group.id,
		   json_pack("{s:s, s:s, s:s, s:s, s:{s:n}}", "group", group.id, "instance", id, "server", sdrs_text(note, "server"),
			     "name", sdrs_text(note, "name"), "kept", key));
}

/* Of one group each time: one job, all or none. */
void sdrs_delete_instances(struct huawei_call *call)
{
	json_t *rows = json_object_get(call->body, "protected_instances"), *row, *kept = json_object();
	struct control_group group = { 0 };
	size_t index;

	json_array_foreach(rows, index, row) {
		char id[CONTROL_ID_SIZE], key[SDRS_INSTANCE_KEY_SIZE];

		sdrs_group_of_instance(sdrs_text(row, "id"), id);
		call->arguments[0] = sdrs_text(row, "id");
		if (index == SERVERS_MAX || (index > 0 && strcmp(id, group.id) != 0)) {
			huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.0207", "Give at most %u instances, of one group.", SERVERS_MAX);
			json_decref(kept);
			return;
		}
		if (sdrs_find_instance(call, CHANGE, &group) == NULL) {
			json_decref(kept);
			return;
		}
		sdrs_instance_key(call->arguments[0], key);
		json_object_set_new(kept, key, json_null());
	}
	if (group.id[0] != '\0') {
		sdrs_begin(call, &sdrs_plan_delete_instances, group.id, json_pack("{s:s, s:o}", "group", group.id, "kept", kept));
		return;
	}
	json_decref(kept);
	huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.0208", "protected_instances must be a list of objects with an id.");
}

/* --- attachments --- */

struct attachment {
	char pair[CONTROL_ID_SIZE], device[CONTROL_ID_SIZE];
};

static const struct huawei_field attachment_fields[] = {
	{ "replication_id", HUAWEI_UUID, true, offsetof(struct attachment, pair), CONTROL_ID_SIZE, CONTROL_RESOURCE_PAIR,
	  "SDRS.0213" },
	{ "device", HUAWEI_TEXT, true, offsetof(struct attachment, device), CONTROL_ID_SIZE, 0, "SDRS.0201" },
	END,
};

/* The instance and the pair are of one group; NULL: the call has failed. Gives the rows of what the pair is attached to. */
static json_t *find_both(struct huawei_call *call, const char *pair_id, struct control_group *out_group)
{
	struct control_pair pair;

	if (sdrs_find_instance(call, CHANGE, out_group) == NULL)
		return NULL;
	if (!huawei_find_pair(call->huawei->control, pair_id, &pair)) {
		sdrs_no_pair(call, pair_id);
		return NULL;
	}
	if (strcmp(pair.group, out_group->id) == 0)
		return sdrs_attachments_of_pair(out_group, pair_id);
	huawei_refuse(call, REFUSE_PAIR_NOT_IN_GROUP, "");
	return NULL;
}

static void begin_attachment(struct huawei_call *call, const struct job_plan *plan, const struct control_group *group,
			     const struct attachment *attachment)
{
	const json_t *note = sdrs_instance_of(group, call->arguments[0]);

	sdrs_begin(call, plan, group->id,
		   json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "group", group->id, "instance", call->arguments[0], "server",
			     sdrs_text(note, "server"), "name", sdrs_text(note, "name"), "pair", attachment->pair, "device",
			     attachment->device));
}

void sdrs_attach_pair(struct huawei_call *call)
{
	json_t *root = huawei_root(call, "replicationAttachment"), *rows;
	struct attachment attachment = { 0 };
	struct control_group group;
	bool is_attached;

	if (root == NULL || !huawei_read(call, root, attachment_fields, &attachment))
		return;
	rows = find_both(call, attachment.pair, &group);
	if (rows == NULL)
		return;
	is_attached = json_array_size(rows) > 0;
	json_decref(rows);
	if (is_attached)
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.1605", "The pair is attached to an instance already.");
	else if (sdrs_allows(call, SDRS_IN(AVAILABLE) | SDRS_IN(PROTECTED),
			     sdrs_instance_status(call->huawei, call->arguments[0], &group), "SDRS.1002", "attaching"))
		begin_attachment(call, &sdrs_plan_attach_pair, &group, &attachment);
}

void sdrs_detach_pair(struct huawei_call *call)
{
	struct attachment attachment = { 0 };
	struct control_group group;
	json_t *rows, *row;
	bool is_attached = false;
	size_t index;

	huawei_id(CONTROL_RESOURCE_PAIR, call->arguments[1], attachment.pair);
	rows = find_both(call, attachment.pair, &group);
	if (rows == NULL)
		return;
	json_array_foreach(rows, index, row) {
		is_attached = is_attached || strcmp(sdrs_text(row, "protected_instance"), call->arguments[0]) == 0;
	}
	json_decref(rows);
	if (!is_attached)
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.1604", "The pair is not attached to that instance.");
	else if (sdrs_allows(call, DELETABLE, sdrs_instance_status(call->huawei, call->arguments[0], &group), "SDRS.1002",
			     "detaching"))
		begin_attachment(call, &sdrs_plan_detach_pair, &group, &attachment);
}
