#include "site.h"

#include <assert.h>
#include <errno.h>
#include <ftw.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "api/huawei/huawei.h"
#include "api/huawei/sdrs.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"
#include "catalog/catalog.h"
#include "control/internal.h"
#include "jobs/internal.h"

#define THERE "z-2"
#define DISK_THERE "d-77777777777777777777"
#define WAITS_MAX 1024u /* for the shard and the peer, at once */
#define LIMIT_MS 200000u   /* the longest that a job is patient, and its end */

struct site site;

/* What stands for what; a disk is free, attached, in the pair, in the group's pair, or at the peer. The instance is protected, by
 * the group; the job has failed. */
enum name {
	FREE, ATTACHED, OF_PAIR, OF_MEMBER, THERES, PAIR, MEMBER, GROUP, ATTACHMENT, PROJECT, INSTANCE, JOB, DOMAIN, TOKEN, NAMES
};
static const char letters[NAMES + 1] = "deacqrmgnpijot";

static struct {
	char folder[64];
	struct catalog *catalog;
	struct control *control;
	char ids[NAMES][CONTROL_ID_SIZE];
	char names[NAMES][HUAWEI_UUID_SIZE + 1];
	uint64_t passed_ms, opened_ms; /* since the site was opened; when that was done */
	uint64_t random;
	unsigned state;
	bool touched; /* by something else than writes */
	struct wait {
		enum wait_kind { FOR_SHARD, FOR_SENDING, FOR_ROWS, FOR_REPLY } kind;
		uint64_t id;
	} waits[WAITS_MAX];
	size_t count;
} world;

/* --- the machine: the linker puts these in the place of what they are named for --- */

int __real_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);
ssize_t __wrap_getrandom(void *out, size_t size, unsigned flags);
int __real_catalog_put(struct catalog *catalog, const char *kind, const char *id, const char *body, struct error *error);
int __wrap_catalog_put(struct catalog *catalog, const char *kind, const char *id, const char *body, struct error *error);
int __real_catalog_remove(struct catalog *catalog, const char *kind, const char *id, struct error *error);
int __wrap_catalog_remove(struct catalog *catalog, const char *kind, const char *id, struct error *error);

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
	int result = __real_clock_gettime(clock, out);

	if (clock == CLOCK_MONOTONIC)
		*out = (struct timespec){ .tv_sec = 1000 + (time_t)(world.passed_ms / 1000),
					  .tv_nsec = (long)(world.passed_ms % 1000) * 1000000 };
	return result;
}

ssize_t __wrap_getrandom(void *out, size_t size, unsigned flags)
{
	(void)flags;
	for (size_t i = 0; i < size; i++) {
		world.random = world.random * UINT64_C(6364136223846793005) + 1442695040888963407u;
		((uint8_t *)out)[i] = (uint8_t)(world.random >> 56);
	}
	return (ssize_t)size;
}

int __wrap_catalog_put(struct catalog *catalog, const char *kind, const char *id, const char *body, struct error *error)
{
	assert(id[0] != '\0' && body[0] != '\0');
	if (site.shard == CATALOG_FAILS)
		return error_set(error, -EIO, "told to fail");
	site.writes++;
	return __real_catalog_put(catalog, kind, id, body, error);
}

int __wrap_catalog_remove(struct catalog *catalog, const char *kind, const char *id, struct error *error)
{
	assert(id[0] != '\0');
	if (site.shard == CATALOG_FAILS)
		return error_set(error, -EIO, "told to fail");
	site.writes++;
	return __real_catalog_remove(catalog, kind, id, error);
}

/* --- the shard, and the peer behind it --- */

static void world_expect(enum wait_kind kind, uint64_t id)
{
	assert(world.count < WAITS_MAX);
	world.waits[world.count].kind = kind;
	world.waits[world.count++].id = id;
}

/* A message is answered twice: it has been sent, and what the peer says. */
static void on_command(void *data, const struct shard_command *command)
{
	(void)data;
	if (command->kind != SHARD_MESSAGE) {
		if (command->kind == SHARD_UNIT_OPEN)
			free(command->u.unit.spec);
		world.touched = true;
		world_expect(FOR_SHARD, command->id);
		return;
	}
	world_expect(FOR_SENDING, command->id);
	if (!command->u.message.is_answer)
		world_expect(memmem(command->u.message.bytes, command->u.message.size, "\"find\"", 6) != NULL ? FOR_ROWS : FOR_REPLY,
			     command->u.message.id);
	free(command->u.message.bytes);
}

#define ROW(id, pair) \
	"{\"id\":\"" id "\",\"name\":\"there\",\"description\":\"\",\"kind\":\"file\",\"path\":\"/x\",\"category\":\"SSD\"," \
	"\"instance\":\"\",\"adopted\":false,\"size\":1073741824,\"state\":1,\"created_s\":5,\"attached_s\":0,\"detached_s\":0," \
	"\"resource_group\":\"\",\"tags\":{\"a\":\"b\"},\"device\":\"\",\"performance\":\"\"" pair "}"
#define ROWS(rows, more) "{\"refusal\":0,\"text\":\"\",\"rows\":[" rows "],\"more\":" more "}"

static const char good_rows[] = ROWS(ROW(DISK_THERE, ""), "false");
static const char *const garbage[PEER_KINDS - PEER_GARBAGE] = {
	"", "no JSON", "{}", "[[]]", "{\"refusal\":9999}", "{\"refusal\":0,\"rows\":7}", ROWS("null", "true"),
	ROWS(ROW("", ""), "true"), ROWS(ROW("d-1", ",\"pair\":\"x\""), "true"), ROWS(ROW("d-1", "") "," ROW("d-1", ""), "true"),
	"{\"refusal\":0,\"id\":\"d-1\",\"text\":7}", "{\"refusal\":7,\"text\":\"\\u001b[2J\\n\\\"\"}",
};

static void shard_answer(uint64_t id)
{
	struct error error = { 0 };

	if (site.shard == SHARD_FAILS || site.shard == SHARD_FULL)
		error_set(&error, site.shard == SHARD_FULL ? -ENOSPC : -EIO, "told to fail");
	control_on_answer(world.control, id, &error);
}

static void peer_answer(uint64_t id, const char *good)
{
	const char *reply = site.peer >= PEER_GARBAGE ? garbage[site.peer - PEER_GARBAGE] : good;

	if (site.peer != PEER_SILENT)
		control_on_message(world.control, THERE, true, id, reply, strlen(reply));
}

/* What waits by now, but for a shard that takes its time. */
static void world_answer(void)
{
	const struct error sent = { 0 };
	size_t count = world.count, kept = 0;

	for (size_t i = 0; i < count; i++) {
		const struct wait wait = world.waits[i];

		if (wait.kind == FOR_SHARD && site.shard == SHARD_LATE)
			world.waits[kept++] = wait;
		else if (wait.kind == FOR_SHARD)
			shard_answer(wait.id);
		else if (wait.kind == FOR_SENDING)
			control_on_answer(world.control, wait.id, &sent);
		else
			peer_answer(wait.id, wait.kind == FOR_ROWS ? good_rows : "{\"refusal\":0,\"text\":\"\",\"id\":\"d-8\"}");
	}
	memmove(world.waits + kept, world.waits + count, (world.count - count) * sizeof(world.waits[0]));
	world.count -= count - kept;
}

static void world_settle(void)
{
	while (world.count > 0)
		world_answer();
}

/* --- what there is --- */

static void on_made(void *data, const struct control_answer *answer)
{
	enum name *name = data;

	if (answer->refusal != REFUSE_NONE)
		abort();
	if (answer->id[0] != '\0')
		memcpy(world.ids[*name], answer->id, sizeof(world.ids[0]));
}

static void make(enum name name, const struct control_request *request)
{
	control_call(world.control, request, on_made, &name);
	world_settle();
}

static void make_disk(enum name name)
{
	make(name, &(struct control_request){ .operation = CONTROL_CREATE_DISK, .region = "r-1", .zone = "z-1",
					      .size = UINT64_C(1) << 30, .name = "here", .category = "SSD" });
}

static void make_pair(enum name name, enum name disk, const char *copy)
{
	struct control_request request = { .operation = CONTROL_CREATE_PAIR, .region = "r-1", .zone = "z-1", .peer_region = "r-2",
					   .peer_zone = THERE };

	memcpy(request.disk, world.ids[disk], sizeof(request.disk));
	snprintf(request.peer_disk, sizeof(request.peer_disk), "%s", copy);
	make(name, &request);
}

/* As sdrs_instance.c and sdrs_group.c write them. */
static void make_instance(void)
{
	struct control_request request = { .operation = CONTROL_KEEP_GROUP };
	json_t *note = json_pack("{s:s, s:s, s:s, s:i, s:i, s:{s:s}, s:[{s:s, s:s}]}", "name", "n", "description", "", "server",
				 "i-2", "created", 1, "updated", 1, "tags", "k", "v", "attachment", "replication",
				 world.ids[MEMBER], "device", "/dev/vdb");
	char key[60], hex[SHA256_HEX_SIZE];

	memcpy(world.names[INSTANCE], world.names[GROUP], sizeof(world.names[0]));
	world.names[INSTANCE][35] = '7';
	snprintf(key, sizeof(key), "instance:%s", world.names[INSTANCE]);
	request.kept = json_pack("{s:o}", key, note);
	memcpy(request.group, world.ids[GROUP], sizeof(request.group));
	make(GROUP, &request);
	control_request_clear(&request);
	hash_sha256_hex("z-1_" THERE, 4 + strlen(THERE), hex);
	snprintf(world.names[DOMAIN], sizeof(world.names[0]), "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
		 hex + 20);
}

static void make_job(void)
{
	const unsigned done = 1;
	const struct job *job = jobs_begin(site.huawei->jobs, &sdrs_plan_expand_pair, world.ids[MEMBER],
					   json_pack("{s:s, s:s, s:s}", "group", world.ids[GROUP], "pair", "none", "disk", "none"),
					   NULL, NULL, NULL);

	assert(job != NULL);
	memcpy(world.names[JOB], job->id, sizeof(job->id));
	site_pass(&done);
}

static void make_things(void)
{
	struct control_request attach = { .operation = CONTROL_ATTACH_DISK, .instance = "i-1" };
	struct control_request add = { .operation = CONTROL_ADD_PAIR };

	for (enum name disk = FREE; disk <= OF_MEMBER; disk++)
		make_disk(disk);
	snprintf(world.ids[THERES], sizeof(world.ids[0]), DISK_THERE);
	memcpy(attach.disk, world.ids[ATTACHED], sizeof(attach.disk));
	make(ATTACHED, &attach);
	make_pair(PAIR, OF_PAIR, "d-66666666666666666666");
	make_pair(MEMBER, OF_MEMBER, "d-55555555555555555555");
	make(GROUP, &(struct control_request){ .operation = CONTROL_CREATE_GROUP, .region = "r-1", .zone = "z-1",
					       .peer_region = "r-2", .peer_zone = THERE });
	memcpy(add.pair, world.ids[MEMBER], sizeof(add.pair));
	memcpy(add.group, world.ids[GROUP], sizeof(add.group));
	make(GROUP, &add);
	for (enum name name = FREE; name <= GROUP; name++)
		huawei_uuid(world.ids[name], world.names[name]);
	memcpy(world.names[ATTACHMENT], world.names[ATTACHED], sizeof(world.names[0]));
	world.names[ATTACHMENT][35] = '1'; /* as volumes_row.c makes it */
	memcpy(world.names[PROJECT], site.huawei->project, HUAWEI_PROJECT_SIZE);
	make_instance();
	make_job();
}

static void make_callers(void)
{
	static const char policy[] = "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"ebs:*\",\"*:Describe*\"],"
		"\"Resource\":\"*\"},{\"Effect\":\"Deny\",\"Action\":\"ebs:Delete*\",\"Resource\":\"*\"}]}";
	struct auth_caller callers[CALLERS] = { [ROOT] = { .user = AUTH_ROOT }, [USER] = { .user = "u" } };
	const struct auth_key *key;
	struct auth_token token;
	int good = 0;

	site.key = *auth_first_key(site.auth);
	memcpy(callers[ROOT].key_id, site.key.id, sizeof(site.key.id));
	good |= auth_create_policy(site.auth, "p", policy, NULL);
	good |= auth_create_principal(site.auth, false, "u", "", NULL);
	good |= auth_attach_policy(site.auth, false, "u", "p", NULL);
	good |= auth_create_key(site.auth, "u", &key, NULL);
	assert(good == 0);
	memcpy(callers[USER].key_id, key->id, sizeof(key->id));
	for (int caller = ROOT; caller <= USER; caller++) {
		good = auth_issue_token(site.auth, &callers[caller], (int64_t)time(NULL), &token, &site.tokens[caller], NULL);
		assert(good == 0);
	}
}

static void open_control(void)
{
	struct control_site peer = { THERE, "r-2", THERE };
	const struct control_config config = { .site = { "z-1", "r-1", "z-1" }, .peers = &peer, .peer_count = 1,
					       .pairs_per_group_max = 128, .rpo_s_default = 900 };
	const struct control_port port = { .send = on_command };
	struct huawei_config huawei = { .auth = site.auth, .catalog = world.catalog,
					.nbd_uris = { "nbd://h/{disk}", "nbd+unix:///" } };
	struct error error = { 0 };

	world.control = huawei.control = control_new(&config, world.catalog, &port, &error);
	assert(world.control != NULL);
	site.huawei = huawei_new(&huawei, &error);
	assert(site.huawei != NULL);
	control_on_link(world.control, THERE, true, "");
	world_settle();
}

static void close_control(void)
{
	huawei_stop(site.huawei);
	control_free(world.control);
	huawei_free(site.huawei);
	world.count = 0;
}

static void set_state(enum name name, bool is_group)
{
	replica_find(world.control, world.ids[name], is_group)->state = world.state;
}

static void open_all(void)
{
	int good;

	site.peer = PEER_GOOD;
	site.shard = SHARD_GOOD;
	world.passed_ms = world.random = 0;
	good = catalog_open(":memory:", &world.catalog, NULL);
	assert(good == 0);
	good = auth_new(world.catalog, world.folder, &site.auth, NULL);
	assert(good == 0);
	make_callers();
	open_control();
	make_things();
	set_state(PAIR, false);
	set_state(MEMBER, false);
	set_state(GROUP, true);
	site.writes = 0;
	world.opened_ms = world.passed_ms;
	world.touched = false;
}

static void close_all(void)
{
	close_control();
	auth_free(site.auth);
	catalog_close(world.catalog);
	for (int caller = 0; caller < CALLERS; caller++) {
		free(site.tokens[caller]);
		site.tokens[caller] = NULL;
	}
}

void site_renew(unsigned state)
{
	if (site.writes != 0 || world.touched || world.passed_ms != world.opened_ms || world.count != 0 || state != world.state) {
		close_all();
		world.state = state;
		open_all();
	}
	world.random = 1;
	site.writes = 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
	(void)status;
	(void)kind;
	(void)at;
	return remove(path);
}

static void fini(void)
{
	close_all();
	nftw(world.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void site_init(void)
{
	snprintf(world.folder, sizeof(world.folder), "/dev/shm/offsite-fuzz-XXXXXX");
	if (mkdtemp(world.folder) == NULL)
		abort();
	world.state = PAIR_CREATED;
	open_all();
	atexit(fini);
}

void site_behave(unsigned peer, unsigned shard)
{
	site.peer = (enum site_peer)peer;
	site.shard = (enum site_shard)shard;
	if (site.peer == PEER_UNLINKED) {
		world.touched = true;
		control_on_link(world.control, THERE, false, "gone");
	}
}

/* --- time --- */

static bool has_jobs(void)
{
	return !list_is_empty(&site.huawei->jobs->at_work);
}

bool site_pass(const unsigned *done)
{
	uint64_t end_ms = world.passed_ms + LIMIT_MS;

	while (world.passed_ms < end_ms) {
		uint32_t wait_ms, jobs_ms;

		world_answer();
		if (*done != 0 && world.count == 0 && !has_jobs())
			return true;
		wait_ms = control_tick(world.control);
		jobs_ms = huawei_tick(site.huawei);
		world.passed_ms += jobs_ms < wait_ms ? jobs_ms : wait_ms;
	}
	if (site.shard == SHARD_LATE) {
		site.shard = SHARD_GOOD;
		return site_pass(done);
	}
	return *done != 0;
}

void site_check_catalog(void)
{
	close_control();
	site.peer = PEER_GOOD;
	site.shard = SHARD_GOOD;
	open_control();
}

const char *site_name(char letter)
{
	const char *found = letter == '\0' ? NULL : strchr(letters, letter);

	if (found == NULL)
		return NULL;
	return found - letters == TOKEN ? site.tokens[ROOT] : world.names[found - letters];
}
