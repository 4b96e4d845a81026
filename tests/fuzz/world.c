#include "world.h"

#include <assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/http/http.h"
#include "base/memory.h"
#include "catalog/catalog.h"
#include "control/control.h"

#define NONCES_MAX 8000u
#define ODD "<a&\"b\xef\xbf\xbf\x01>" /* what XML cannot hold as it is, and what it cannot hold at all */

struct world world;

static const struct control_site sites[] = { { "here", "r-1", "z-1" }, { "there", "r-2", "z-2" } };

static struct {
	void (*on_answer)(void *data, const struct control_answer *answer);
	void *data;
	struct control_answer answer;
} waiting;

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
	(void)status;
	(void)kind;
	(void)at;
	return remove(path);
}

static void remove_folder(void)
{
	nftw(world.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Root, a user and a session in a role: both may do some things, on some disks and pairs. */
static void make_callers(void)
{
	static const char policy[] = "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"ebs:*\",\"*:Describe*\","
		"\"ram:Get*\"],\"Resource\":[\"acs:ebs:*\",\"acs:ecs:*:disk/d-1*\",\"acs:ram:*\"],\"Condition\":{\"IpAddress\":{"
		"\"acs:SourceIp\":\"10.0.0.0/8\"}}},{\"Effect\":\"Deny\",\"Action\":\"ebs:Delete*\",\"Resource\":\"*\"}]}";
	const struct auth_key *key;
	int good = 0;

	world.keys[ROOT] = *auth_first_key(world.auth);
	good |= auth_create_policy(world.auth, "p", policy, NULL);
	good |= auth_create_principal(world.auth, false, "u", "", NULL);
	good |= auth_create_principal(world.auth, true, "r", "", NULL);
	good |= auth_attach_policy(world.auth, false, "u", "p", NULL);
	good |= auth_attach_policy(world.auth, true, "r", "p", NULL);
	good |= auth_create_key(world.auth, "u", &key, NULL);
	assert(good == 0);
	world.keys[USER] = *key;
	good = auth_assume_role(world.auth, "r", "session", NULL, (int64_t)time(NULL) + AUTH_SESSION_S_MAX, &world.keys[SESSION],
				&world.token, NULL);
	assert(good == 0);
}

static void make(void)
{
	static struct catalog *const none = NULL;
	int good = auth_new(none, world.folder, &world.auth, NULL);

	assert(good == 0);
	make_callers();
	world.writes = 0;
}

void world_init(void)
{
	const char *parent = getenv("TMPDIR");

	snprintf(world.folder, sizeof(world.folder), "%.40s/offsite-fuzz-XXXXXX", parent == NULL ? "/tmp" : parent);
	if (mkdtemp(world.folder) == NULL)
		abort();
	atexit(remove_folder);
	make();
}

void world_renew(void)
{
	char path[80];

	if (world.writes == 0 && world.nonces < NONCES_MAX)
		return;
	auth_free(world.auth);
	free(world.token);
	if (world.nonces >= NONCES_MAX) {
		snprintf(path, sizeof(path), "%s/nonces", world.folder);
		unlink(path);
		world.nonces = 0;
	}
	make();
}

void world_answer(void)
{
	if (waiting.on_answer == NULL)
		return;
	if ((world.answer & 0xc0) != 0xc0)
		waiting.on_answer(waiting.data, &waiting.answer);
	waiting.on_answer = NULL;
}

/* Of the nonces: nothing here has to outlive a power cut. */
int fdatasync(int fd)
{
	(void)fd;
	return 0;
}

/* --- catalog.h: forgets all --- */

int catalog_begin(struct catalog *catalog, struct error *error)
{
	(void)catalog;
	(void)error;
	return 0;
}

int catalog_commit(struct catalog *catalog, struct error *error)
{
	(void)catalog;
	(void)error;
	return 0;
}

void catalog_rollback(struct catalog *catalog)
{
	(void)catalog;
}

int catalog_put(struct catalog *catalog, const char *kind, const char *id, const char *body, struct error *error)
{
	(void)catalog;
	(void)kind;
	(void)error;
	assert(id[0] != '\0' && body[0] == '{');
	world.writes++;
	return 0;
}

int catalog_remove(struct catalog *catalog, const char *kind, const char *id, struct error *error)
{
	(void)catalog;
	(void)kind;
	(void)error;
	assert(id[0] != '\0');
	world.writes++;
	return 0;
}

int catalog_each(struct catalog *catalog, const char *kind,
		 int (*on_record)(void *data, const char *id, const char *body, struct error *error), void *data,
		 struct error *error)
{
	(void)catalog;
	(void)kind;
	(void)on_record;
	(void)data;
	(void)error;
	return 0;
}

/* --- control.h: checks what it is promised --- */

/* Ends in its room, and is UTF-8, since it is kept as JSON. */
#define CHECK_TEXT(field) \
	do { \
		json_t *string_ = memchr(field, '\0', sizeof(field)) == NULL ? NULL : json_string(field); \
		assert(string_ != NULL); \
		json_decref(string_); \
	} while (0)
#define CHECK_ID(field) assert(field[strspn(field, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")] == '\0')

/* As many as were given: NAME.1, NAME.2, ... */
static void check_list(json_t *list, const char *name, unsigned most)
{
	size_t given = 0, index;
	json_t *entry;

	for (unsigned i = 1; i <= most; i++) {
		char full[40];
		const char *value;

		snprintf(full, sizeof(full), "%s.%u", name, i);
		value = http_request_parameter(world.request, full);
		given += value != NULL && value[0] != '\0';
	}
	assert(json_array_size(list) == given);
	json_array_foreach(list, index, entry)
		assert(json_is_string(entry));
}

static void check_tags(json_t *tags, bool is_filter)
{
	const char *key;
	json_t *value;

	assert(json_object_size(tags) <= 20);
	json_object_foreach(tags, key, value)
		assert(key[0] != '\0' && (json_is_string(value) || (is_filter && json_is_null(value))));
}

void control_call(struct control *control, const struct control_request *request,
		  void (*on_answer)(void *data, const struct control_answer *answer), void *data)
{
	static const struct control_preview preview = {
		.recovery_ms = 1000, .peer_zone = "z-2", .cost_count = 1,
		.costs = { { "failover", true, UINT64_MAX, true, UINT64_MAX, true, 1, "z-1" } },
	};
	bool previews = request->operation == CONTROL_PREVIEW_PAIR || request->operation == CONTROL_PREVIEW_GROUP;

	(void)control;
	world.calls++;
	assert(request->operation < CONTROL_OPERATIONS && request->resource < CONTROL_RESOURCES && request->rpo_s <= 86400);
	CHECK_TEXT(request->client_token);
	CHECK_TEXT(request->name);
	CHECK_TEXT(request->description);
	CHECK_TEXT(request->path);
	CHECK_ID(request->region);
	CHECK_ID(request->zone);
	CHECK_ID(request->disk);
	CHECK_ID(request->pair);
	CHECK_ID(request->group);
	CHECK_ID(request->instance);
	CHECK_ID(request->resource_group);
	CHECK_ID(request->category);
	if (request->ids != NULL)
		check_list(request->ids, "ResourceId", 50);
	if (request->keys != NULL)
		check_list(request->keys, "TagKey", 20);
	check_tags(request->tags, false);
	waiting.answer = (struct control_answer){ .refusal = (enum refusal)((world.answer & 0x3f) % REFUSALS) };
	if (waiting.answer.refusal == REFUSE_NONE) {
		snprintf(waiting.answer.id, sizeof(waiting.answer.id), "d-1");
		waiting.answer.preview = previews ? &preview : NULL;
	}
	waiting.on_answer = on_answer;
	waiting.data = data;
	if ((world.answer & 0x80) == 0)
		world_answer();
}

void control_request_clear(struct control_request *request)
{
	json_decref(request->ids);
	json_decref(request->keys);
	json_decref(request->tags);
}

static void check_filter(const struct control_filter *filter, struct control_list *out_list)
{
	assert(filter->count > 0 && filter->count <= 500 && filter->region != NULL && filter->state < 100);
	for (size_t i = 0; i < filter->id_count; i++)
		assert(strlen(filter->ids[i]) < HTTP_BODY_MAX);
	check_tags(filter->tags, true);
	*out_list = (struct control_list){ .count = filter->first == 0, .total = 7 };
}

static json_t *odd_tags(void)
{
	static json_t *tags;

	if (tags == NULL)
		tags = json_pack("{s:s, s:s}", "key", "value", ODD, ODD);
	return tags;
}

int control_list_disks(struct control *control, const struct control_filter *filter, struct control_list *out_list)
{
	(void)control;
	check_filter(filter, out_list);
	out_list->disks = memory_new(1, sizeof(*out_list->disks));
	*out_list->disks = (struct control_disk){ .id = "d-1", .name = ODD, .region = "r-1", .kind = "file",
		.state = DISK_STATE_IN_USE, .instance = "i", .diverged_kept = true, .tags = odd_tags(), .size = UINT64_MAX - (1 << 30),
		.attached_s = 1 };
	return 0;
}

int control_list_pairs(struct control *control, const struct control_filter *filter, struct control_list *out_list)
{
	(void)control;
	check_filter(filter, out_list);
	out_list->pairs = memory_new(1, sizeof(*out_list->pairs));
	*out_list->pairs = (struct control_pair){ .id = "pair-1", .description = ODD, .state = PAIR_NORMAL, .source = sites[0],
		.destination = sites[1], .tags = odd_tags(), .recovery_ms = UINT64_MAX, .message = ODD,
		.status = { .total_bytes = UINT64_MAX, .done_bytes = UINT64_MAX - 1 } };
	return 0;
}

int control_list_groups(struct control *control, const struct control_filter *filter, struct control_list *out_list)
{
	(void)control;
	check_filter(filter, out_list);
	out_list->groups = memory_new(1, sizeof(*out_list->groups));
	*out_list->groups = (struct control_group){ .id = "pg-1", .name = ODD, .source = sites[0], .destination = sites[1],
		.pair_count = 1, .pairs = memory_new(1, CONTROL_ID_SIZE) };
	return 0;
}

int control_list_instances(struct control *control, const struct control_filter *filter, struct control_list *out_list)
{
	(void)control;
	check_filter(filter, out_list);
	out_list->instances = memory_new(1, sizeof(*out_list->instances));
	*out_list->instances = (struct control_instance){ .id = "i-1", .name = ODD, .region = "r-1", .tags = odd_tags(),
		.created_s = UINT64_MAX, .disk_count = 1, .disks = memory_new(1, CONTROL_ID_SIZE) };
	return 0;
}

void control_instance_id(const char *first, uint32_t index, char out[CONTROL_ID_SIZE])
{
	assert(index < CONTROL_INSTANCES_MAX);
	snprintf(out, CONTROL_ID_SIZE, "%.8s%u", first, index);
}

void control_set_reader(struct control *control, json_t *(*on_read)(void *data, const json_t *question), void *data)
{
	(void)control;
	(void)on_read;
	(void)data;
}

/* The other site does not answer. */
void control_read(struct control *control, const char *zone, json_t *question,
		  void (*on_reply)(void *data, const json_t *reply), void *data)
{
	(void)control;
	assert(zone[0] != '\0' && json_is_object(question));
	json_decref(question);
	on_reply(data, NULL);
}

void control_list_free(struct control_list *list)
{
	if (list->instances != NULL)
		free(list->instances->disks);
	free(list->instances);
	if (list->groups != NULL)
		free(list->groups->pairs);
	free(list->disks);
	free(list->pairs);
	free(list->groups);
}

json_t *control_list_tags(struct control *control, enum control_resource type, json_t *ids, json_t *wanted)
{
	(void)control;
	assert(type < CONTROL_RESOURCES);
	check_list(ids, "ResourceId", 50);
	check_tags(wanted, true);
	return json_pack("[{s:s, s:s, s:s}]", "id", "d-1", "key", "k", "value", ODD);
}

bool control_has_resource(struct control *control, enum control_resource type, const char *id)
{
	(void)control;
	(void)type;
	return strlen(id) < 8;
}

const struct control_site *control_this_site(const struct control *control)
{
	(void)control;
	return &sites[0];
}

const struct control_site *control_peer(const struct control *control, size_t index, bool *out_linked, uint64_t *out_limit)
{
	(void)control;
	*out_linked = true;
	*out_limit = 1;
	return index == 0 ? &sites[1] : NULL;
}

const char *unit_state_name(enum unit_state state)
{
	(void)state;
	return "normal";
}
