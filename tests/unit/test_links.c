/* Two sites of several shards in the simulated world: a link between each two, units found wherever they are, one limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "disk/disk.h"
#include "repl/engine.h"
#include "repl/pace_line.h"
#include "sim/sim.h"
#include "sim/visitor.h"
#include "wire/frame.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define SECRET "a secret of both sites"
#define UNITS_MAX 4u
#define DISK_SIZE (8u * 1024u * 1024u)
#define STRANGERS 70u

enum { NORTH, SOUTH }; /* north dials */
static const char *const names[2] = { "north", "south" };

struct site {
	struct sim_host *host;
	struct env *env;
	struct engine *shards[ENGINE_SHARDS_MAX];
	unsigned shard_count;
	struct pace_line line;
	unsigned place[UNITS_MAX]; /* the shard of each unit */
	unsigned links_told;       /* by on_link */
};

static struct {
	struct sim *sim;
	struct site sites[2];
	bool up[2][ENGINE_SHARDS_MAX][ENGINE_SHARDS_MAX]; /* which links of a site are, from its log */
	unsigned unknown; /* times that a unit was said to be unknown */
	char refused[200]; /* the last reason */
} world;

/* --- what is said --- */

static unsigned number_after(const char *line, const char *key)
{
	const char *at = strstr(line, key);

	assert_non_null(at);
	return (unsigned)strtoul(at + strlen(key), NULL, 10);
}

static void on_log(void *data, enum log_level level, const char *line)
{
	bool up = strncmp(line, "link.up ", 8) == 0;

	(void)data;
	if (getenv("TEST_VERBOSE") != NULL)
		fprintf(stderr, "# %llu %s %s\n", (unsigned long long)(world.sim->now_ns / MS), log_level_name(level), line);
	if (up || strncmp(line, "link.down ", 10) == 0)
		world.up[strstr(line, "peer=south") == NULL][number_after(line, "shard=")][number_after(line, "far=")] = up;
	if (strncmp(line, "unit.unknown ", 13) == 0)
		world.unknown++;
	if (strncmp(line, "link.refused ", 13) == 0 || strncmp(line, "link.failed ", 12) == 0)
		snprintf(world.refused, sizeof world.refused, "%s", line);
}

static void on_link(void *data, const char *peer, bool up, const char *reason)
{
	(void)peer;
	(void)reason;
	((struct site *)data)->links_told += up;
}

/* --- sites --- */

static void on_visitor(void *data, unsigned shard, struct env_socket *socket, const void *bytes, size_t size)
{
	struct site *site = data;

	assert_true(shard > 0 && shard < site->shard_count);
	visitor_send(site->env, site->shards[shard], socket, bytes, size);
}

static void open_shard(unsigned index, unsigned shard)
{
	const struct engine_events events = { .on_link = on_link, .on_visitor = on_visitor };
	struct engine_limits limits = engine_limits_default;
	struct site *site = &world.sites[index];
	char text[32];

	limits.cycle_ms_min = 20;
	snprintf(text, sizeof text, "/%s", names[index]);
	site->shards[shard] = engine_new(site->env, text, names[index], &limits, &events, site, NULL);
	assert_non_null(site->shards[shard]);
	engine_set_shard(site->shards[shard], shard, site->shard_count);
	snprintf(text, sizeof text, "sim:%s", names[index ^ 1]);
	assert_int_equal(engine_add_peer(site->shards[shard], names[index ^ 1], text, SECRET, &site->line, NULL), 0);
}

static void start(unsigned index, unsigned shard_count)
{
	struct site *site = &world.sites[index];
	char address[32];

	site->env = sim_process_start(world.sim, site->host);
	site->shard_count = shard_count;
	memset(&site->line, 0, sizeof site->line);
	for (unsigned i = 0; i < shard_count; i++)
		open_shard(index, i);
	snprintf(address, sizeof address, "sim:%s", names[index]);
	assert_int_equal(engine_listen(site->shards[0], address, NULL), 0);
}

static void stop(unsigned index)
{
	sim_process_kill(world.sites[index].env);
	memset(world.up[index], 0, sizeof world.up[index]);
}

static void pass(uint64_t milliseconds)
{
	sim_run_until(world.sim, world.sim->now_ns + milliseconds * MS);
}

static void start_both(unsigned north, unsigned south)
{
	start(NORTH, north);
	start(SOUTH, south);
	pass(3000);
}

static int set_up(void **state)
{
	(void)state;
	memset(&world, 0, sizeof world);
	log_set_sink(on_log, NULL, LOG_DEBUG);
	world.sim = sim_new(7);
	for (unsigned i = 0; i < 2; i++)
		world.sites[i].host = sim_host_new();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		if (world.sites[i].env != NULL)
			sim_process_kill(world.sites[i].env);
		sim_host_free(world.sites[i].host);
	}
	sim_free(world.sim);
	return 0;
}

/* --- units: "u0", "u1", ..., of one disk each --- */

static struct engine *engine_of(unsigned index, unsigned unit)
{
	return world.sites[index].shards[world.sites[index].place[unit]];
}

static void open_unit(unsigned index, unsigned shard, unsigned unit)
{
	struct unit_spec spec = { .rpo_ms = 1000, .disk_count = 1, .lineage = "0123456789abcde" };
	struct site *site = &world.sites[index];
	struct backend *backend;
	char path[64], metadata[64], id[32];
	struct disk *disk;
	uint64_t size;

	site->place[unit] = shard;
	snprintf(id, sizeof id, "d%u", unit);
	snprintf(path, sizeof path, "/%s/%s.raw", names[index], id);
	snprintf(metadata, sizeof metadata, "/%s/%s", names[index], id);
	if (sim_file_bytes(site->host, path, &size) == NULL)
		assert_int_equal(backend_create_file(site->env, path, DISK_SIZE, NULL), 0);
	assert_int_equal(backend_open(site->env, "file", path, DISK_SIZE, &backend, NULL), 0);
	assert_int_equal(disk_open(site->env, id, metadata, backend, &disk, NULL), 0);
	engine_add_disk(site->shards[shard], disk);
	snprintf(spec.id, sizeof spec.id, "u%u", unit);
	snprintf(spec.peer, sizeof spec.peer, "%s", names[index ^ 1]);
	snprintf(spec.disks[0].local_disk, ENGINE_ID_SIZE, "%s", id);
	snprintf(spec.disks[0].remote_disk, ENGINE_ID_SIZE, "%s", id);
	spec.lineage[0] = (uint8_t)unit;
	spec.role = index == NORTH ? UNIT_PRIMARY : UNIT_SECONDARY;
	assert_int_equal(engine_open_unit(site->shards[shard], &spec, NULL), 0);
	if (index == NORTH)
		assert_int_equal(engine_start_unit(site->shards[shard], spec.id, false, NULL), 0);
}

static struct unit_status status_of(unsigned index, unsigned unit)
{
	struct unit_status status;
	char id[16];

	snprintf(id, sizeof id, "u%u", unit);
	assert_true(engine_unit_status(engine_of(index, unit), id, &status));
	return status;
}

static void on_written(struct disk_request *request, int result)
{
	assert_int_equal(result, 0);
	*(bool *)request->data = true;
}

/* Bytes that do not compress, another time others. */
static void write_some(unsigned unit, uint64_t length)
{
	uint8_t *bytes = memory_new(1, length);
	bool written = false;
	struct disk_request request = { .operation = DISK_WRITE, .length = length, .buffer = bytes, .on_done = on_written,
					.data = &written };
	char id[16];

	for (uint64_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)sim_random(world.sim);
	snprintf(id, sizeof id, "d%u", unit);
	disk_submit(engine_find_disk(engine_of(NORTH, unit), id), &request);
	while (!written)
		assert_true(sim_step(world.sim, UINT64_MAX));
	free(bytes);
}

static bool is_in_step(unsigned unit)
{
	struct unit_status status = status_of(NORTH, unit), theirs = status_of(SOUTH, unit);

	return status.state == UNIT_CYCLING && status.dirty_bytes == 0 && theirs.applied_epoch == status.recovery_epoch;
}

static void expect_in_step(unsigned unit, uint64_t limit_ms)
{
	const uint8_t *ours, *theirs;
	uint64_t limit_ns = world.sim->now_ns + limit_ms * MS, size;
	char path[64];

	while (!is_in_step(unit) && world.sim->now_ns < limit_ns)
		pass(10);
	assert_true(is_in_step(unit));
	snprintf(path, sizeof path, "/north/d%u.raw", unit);
	ours = sim_file_bytes(world.sites[NORTH].host, path, &size);
	snprintf(path, sizeof path, "/south/d%u.raw", unit);
	theirs = sim_file_bytes(world.sites[SOUTH].host, path, &size);
	assert_memory_equal(ours, theirs, DISK_SIZE);
}

/* --- a link between each two --- */

static void expect_links(void)
{
	for (unsigned i = 0; i < ENGINE_SHARDS_MAX; i++) {
		for (unsigned k = 0; k < ENGINE_SHARDS_MAX; k++) {
			bool there = i < world.sites[NORTH].shard_count && k < world.sites[SOUTH].shard_count;

			assert_int_equal(world.up[NORTH][i][k], there);
			assert_int_equal(world.up[SOUTH][k][i], there);
		}
	}
}

static void each_shard_is_linked_with_each_of_the_peers(void **state)
{
	static const unsigned counts[][2] = { { 1, 1 }, { 1, 2 }, { 2, 1 }, { 2, 3 }, { 3, 2 }, { 16, 16 } };

	for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
		start_both(counts[i][0], counts[i][1]);
		expect_links();
		for (unsigned side = 0; side < 2; side++) {
			/* One event for each shard's link to the peer's shard 0. */
			assert_int_equal(world.sites[side].links_told, world.sites[side].shard_count);
			assert_true(engine_peer_is_up(world.sites[side].shards[0], names[side ^ 1]));
		}
		tear_down(state);
		set_up(state);
	}
}

static void a_peer_comes_back_with_other_numbers(void **state)
{
	static const unsigned counts[] = { 1, 3, 2, 4, 1 };

	(void)state;
	start_both(2, 3);
	for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
		stop(SOUTH);
		start(SOUTH, counts[i]);
		pass(25000); /* half-open ends are found by their silence */
		expect_links();
		stop(NORTH);
		start(NORTH, 5 - counts[i]);
		pass(25000);
		expect_links();
	}
}

/* Of some of its old connections nobody says that they are gone: the first of its new ones does. */
static void links_to_shards_that_are_gone_end_at_once(void **state)
{
	(void)state;
	start_both(6, 3);
	stop(NORTH);
	start(NORTH, 1);
	pass(2000);
	expect_links();
}

/* --- the other half of a unit --- */

static void a_unit_is_found_wherever_it_is(void **state)
{
	for (unsigned near = 0; near < 2; near++) {
		for (unsigned far = 0; far < 3; far++) {
			start_both(2, 3);
			open_unit(SOUTH, far, 0);
			open_unit(NORTH, near, 0);
			write_some(0, 65536);
			expect_in_step(0, 5000);
			assert_int_equal(world.unknown, 0);
			tear_down(state);
			set_up(state);
		}
	}
}

static void a_unit_that_nobody_knows_is_told_once_and_found_later(void **state)
{
	(void)state;
	start_both(2, 3);
	open_unit(NORTH, 1, 0);
	write_some(0, 65536);
	pass(10000);
	assert_int_equal(world.unknown, 1);
	assert_int_equal(status_of(NORTH, 0).state, UNIT_CONNECTING);
	assert_string_equal(status_of(NORTH, 0).reason, frame_verdict_text(FRAME_VERDICT_UNKNOWN_UNIT));
	open_unit(SOUTH, 2, 0);
	expect_in_step(0, 4000);
	assert_int_equal(world.unknown, 1);
}

static void a_unit_is_found_again_when_either_half_has_moved(void **state)
{
	static const unsigned places[][4] = { /* shards of the north, of the south; which of them have it */
		{ 2, 3, 1, 2 }, { 2, 1, 1, 0 }, { 2, 3, 0, 1 }, { 3, 3, 2, 1 }, { 3, 3, 2, 0 }, { 1, 2, 0, 1 },
	};

	(void)state;
	start_both(places[0][0], places[0][1]);
	open_unit(SOUTH, places[0][3], 0);
	open_unit(NORTH, places[0][2], 0);
	write_some(0, 65536);
	expect_in_step(0, 5000);
	for (unsigned i = 1; i < sizeof places / sizeof places[0]; i++) {
		stop(SOUTH);
		start(SOUTH, places[i][1]);
		open_unit(SOUTH, places[i][3], 0);
		write_some(0, 65536);
		expect_in_step(0, 30000);
		stop(NORTH);
		start(NORTH, places[i][0]);
		open_unit(NORTH, places[i][2], 0);
		write_some(0, 65536);
		expect_in_step(0, 30000);
	}
}

/* What was the follower's begins where it was followed. */
static void a_unit_that_changes_sides_stays_where_it_is(void **state)
{
	(void)state;
	start_both(3, 3);
	open_unit(SOUTH, 2, 0);
	open_unit(NORTH, 1, 0);
	write_some(0, 65536);
	expect_in_step(0, 5000);
	assert_int_equal(engine_demote_unit(engine_of(NORTH, 0), "u0", true, NULL), 0);
	while (status_of(NORTH, 0).changing)
		pass(10);
	assert_int_equal(status_of(NORTH, 0).role, UNIT_SECONDARY);
	assert_int_equal(engine_promote_unit(engine_of(SOUTH, 0), "u0", status_of(NORTH, 0).term + 1, NULL), 0);
	while (status_of(SOUTH, 0).changing || status_of(SOUTH, 0).role != UNIT_PRIMARY)
		pass(10);
	assert_int_equal(engine_start_unit(engine_of(SOUTH, 0), "u0", false, NULL), 0);
	pass(1000);
	assert_int_equal(status_of(SOUTH, 0).state, UNIT_CYCLING);
	assert_int_equal(status_of(NORTH, 0).state, UNIT_CYCLING);
	assert_int_equal(world.unknown, 0);
}

/* --- one limit for all --- */

static uint64_t shipped_bytes(unsigned units)
{
	uint64_t bytes = 0;

	for (unsigned unit = 0; unit < units; unit++)
		bytes += status_of(NORTH, unit).shipped_bytes;
	return bytes;
}

static void limit_south(uint64_t bytes_per_second)
{
	for (unsigned shard = 0; shard < 2; shard++)
		assert_int_equal(engine_limit_peer(world.sites[NORTH].shards[shard], "south", bytes_per_second, NULL), 0);
}

static void a_limit_holds_for_all_shards_together(void **state)
{
	const uint64_t limit = 1000000, burst = limit / 10, frame = FRAME_DATA_MAX + 4096;
	uint64_t before;

	(void)state;
	start_both(2, 2);
	for (unsigned unit = 0; unit < UNITS_MAX; unit++) {
		open_unit(SOUTH, unit / 2, unit);
		open_unit(NORTH, unit % 2, unit);
		expect_in_step(unit, 5000);
	}
	limit_south(limit);
	before = shipped_bytes(UNITS_MAX);
	for (unsigned unit = 0; unit < UNITS_MAX; unit++)
		write_some(unit, DISK_SIZE);
	for (unsigned second = 1; second <= 30; second++) {
		pass(1000);
		/* Never less than the line carries. More by a burst, and by what may be read at the same time: four frames a unit. */
		assert_in_range(shipped_bytes(UNITS_MAX) - before, second * limit,
				second * limit + burst + 4 * UNITS_MAX * frame);
	}
	limit_south(0); /* and those that wait hear of it */
	for (unsigned unit = 0; unit < UNITS_MAX; unit++)
		expect_in_step(unit, 2000);
	assert_true(shipped_bytes(UNITS_MAX) - before >= UNITS_MAX * DISK_SIZE);
}

/* --- strangers --- */

static struct stranger {
	struct env_io connect_io, send_io, receive_io;
	struct env_socket *socket;
	struct iovec iov;
	uint8_t sent[FRAME_HEADER_SIZE + FRAME_HELLO_SIZE], received[1024];
	size_t filled;
	bool closed;
} strangers[STRANGERS];

static const struct frame_hello good_hello = { .version_min = FRAME_VERSION_MIN, .version_max = FRAME_VERSION_MAX,
	.shards = { .shard = 0, .count = 1, .wanted = 0 }, .from = "north", .to = "south" };

static void on_received(struct env_io *io, int result)
{
	struct stranger *stranger = io->data;

	stranger->closed = result <= 0;
	if (stranger->closed)
		return;
	stranger->filled += (size_t)result;
	env_socket_receive(stranger->socket, io, stranger->received + stranger->filled, sizeof stranger->received - stranger->filled);
}

static void on_sent(struct env_io *io, int result)
{
	(void)io;
	(void)result;
}

static void say(struct stranger *stranger, const uint8_t *bytes, size_t size)
{
	memcpy(stranger->sent, bytes, size);
	stranger->send_io = (struct env_io){ .on_done = on_sent, .data = stranger };
	stranger->iov = (struct iovec){ .iov_base = stranger->sent, .iov_len = size };
	env_socket_send(stranger->socket, &stranger->send_io, &stranger->iov, 1);
}

static void on_connected(struct env_io *io, int result)
{
	struct stranger *stranger = io->data;

	assert_int_equal(result, 0);
	stranger->receive_io = (struct env_io){ .on_done = on_received, .data = stranger };
	env_socket_receive(stranger->socket, &stranger->receive_io, stranger->received, sizeof stranger->received);
}

/* Connects with the south, which nobody else does. */
static struct stranger *connect_stranger(struct env *env, unsigned index)
{
	struct stranger *stranger = &strangers[index];

	*stranger = (struct stranger){ .connect_io = { .on_done = on_connected, .data = stranger } };
	env_connect(env, "sim:south", &stranger->connect_io, &stranger->socket);
	pass(10);
	return stranger;
}

static void make_frame(uint8_t *frame, enum frame_type type, const void *payload, uint32_t size)
{
	struct frame_header header = { .version = FRAME_VERSION_MAX, .type = type, .payload_size = size };

	memcpy(frame + FRAME_HEADER_SIZE, payload, size);
	frame_encode(&header, frame);
}

/* The hello, with these bytes where the shards' numbers are. */
static void say_hello(struct stranger *stranger, uint8_t shards, uint8_t wanted)
{
	uint8_t payload[FRAME_HELLO_SIZE], frame[FRAME_HEADER_SIZE + FRAME_HELLO_SIZE];

	frame_hello_encode(&good_hello, payload);
	payload[2] = shards;
	payload[3] = wanted;
	make_frame(frame, FRAME_HELLO, payload, sizeof payload);
	say(stranger, frame, sizeof frame);
	pass(20);
}

static void expect_refused(struct env *env, uint8_t shards, uint8_t wanted, const char *reason)
{
	struct stranger *stranger = connect_stranger(env, 0);

	world.refused[0] = 0;
	say_hello(stranger, shards, wanted);
	assert_true(stranger->closed);
	assert_int_equal(stranger->filled, 0);
	assert_non_null(strstr(world.refused, reason));
	env_socket_close(stranger->socket);
	pass(10);
}

static void numbers_that_cannot_be_are_refused(void **state)
{
	struct env *env = sim_process_start(world.sim, world.sites[NORTH].host);

	(void)state;
	start(SOUTH, 2);
	for (unsigned count = 1; count <= ENGINE_SHARDS_MAX; count++) {
		for (unsigned shard = count; shard < ENGINE_SHARDS_MAX; shard++)
			expect_refused(env, (uint8_t)(shard | (count - 1) << 4), 0, "the peer's hello is damaged");
	}
	expect_refused(env, 0, 16, "the peer's hello is damaged");
	expect_refused(env, 0, 255, "the peer's hello is damaged");
	expect_refused(env, 0, 2, "the peer wanted a shard that this site does not have");
	expect_refused(env, 0, 15, "the peer wanted a shard that this site does not have");
	sim_process_kill(env);
}

/* A shard keeps no more strangers waiting than a site with one does, and they leave no trace. */
static void strangers_are_limited_at_each_shard(void **state)
{
	struct env *env = sim_process_start(world.sim, world.sites[NORTH].host);
	unsigned welcomed = 0;

	(void)state;
	start(SOUTH, 2);
	for (unsigned i = 0; i < STRANGERS; i++)
		say_hello(connect_stranger(env, i), 0, 1);
	for (unsigned i = 0; i < STRANGERS; i++)
		welcomed += strangers[i].filled > 0 && !strangers[i].closed;
	assert_int_equal(welcomed, 64);
	pass(12000);
	for (unsigned i = 0; i < STRANGERS; i++)
		assert_true(strangers[i].closed);
	sim_process_kill(env);
	start(NORTH, 2);
	pass(3000);
	expect_links();
}

/* A hello that comes in two pieces is handed over when it is whole, and what comes later reaches the shard that was wanted. */
static void a_visitor_is_handed_over_with_what_it_said(void **state)
{
	struct env *env = sim_process_start(world.sim, world.sites[NORTH].host);
	uint8_t payload[FRAME_HELLO_SIZE], frame[FRAME_HEADER_SIZE + FRAME_HELLO_SIZE], wrong[SHA256_SIZE] = { 0 };
	struct frame_hello hello = good_hello, answer;
	struct stranger *stranger;

	(void)state;
	start(SOUTH, 3);
	stranger = connect_stranger(env, 0);
	hello.shards = (struct frame_shards){ .shard = 4, .count = 7, .wanted = 2 };
	frame_hello_encode(&hello, payload);
	make_frame(frame, FRAME_HELLO, payload, sizeof payload);
	say(stranger, frame, 100);
	pass(20);
	assert_int_equal(stranger->filled, 0);
	say(stranger, frame + 100, sizeof frame - 100);
	pass(20);
	assert_int_equal(stranger->filled, FRAME_HEADER_SIZE + FRAME_HELLO_SIZE);
	assert_true(frame_hello_decode(stranger->received + FRAME_HEADER_SIZE, FRAME_HELLO_SIZE, &answer));
	assert_int_equal(answer.shards.shard, 2);
	assert_int_equal(answer.shards.count, 3);
	assert_int_equal(answer.shards.wanted, 4);
	make_frame(frame, FRAME_PROOF, wrong, sizeof wrong);
	say(stranger, frame, FRAME_HEADER_SIZE + sizeof wrong);
	pass(20);
	assert_true(stranger->closed);
	assert_non_null(strstr(world.refused, "the peer does not hold the same secret"));
	assert_int_equal(number_after(world.refused, "shard="), 2);
	sim_process_kill(env);
}

/* The proof of a dialler, over what the numbers in the hellos are said to be. With one shard at both sites they are all zero. */
static void prove(struct stranger *stranger, const uint8_t numbers[4])
{
	uint8_t text[32 + 2 * FRAME_NAME_SIZE + 2 * FRAME_NONCE_SIZE] = "offsite link 1", proof[SHA256_SIZE];
	uint8_t frame[FRAME_HEADER_SIZE + SHA256_SIZE];
	struct frame_hello answer;

	assert_true(frame_hello_decode(stranger->received + FRAME_HEADER_SIZE, FRAME_HELLO_SIZE, &answer));
	memcpy(text + 26, numbers, 4);
	text[30] = FRAME_VERSION_MAX;
	text[31] = 1;
	memcpy(text + 32, good_hello.from, FRAME_NAME_SIZE);
	memcpy(text + 32 + FRAME_NAME_SIZE, good_hello.to, FRAME_NAME_SIZE);
	memcpy(text + 32 + 2 * FRAME_NAME_SIZE + FRAME_NONCE_SIZE, answer.nonce, FRAME_NONCE_SIZE);
	hash_hmac_sha256(SECRET, strlen(SECRET), text, sizeof text, proof);
	make_frame(frame, FRAME_PROOF, proof, sizeof proof);
	say(stranger, frame, sizeof frame);
	pass(20);
}

static void the_proof_is_bound_to_the_numbers(void **state)
{
	static const struct {
		uint8_t said[2], proven[4];
		unsigned shards;
		bool good;
	} cases[] = {
		{ { 0, 0 }, { 0, 0, 0, 0 }, 1, true }, /* as it was before there were shards */
		{ { 0x31, 0 }, { 0x31, 0, 0, 1 }, 1, true },
		{ { 0x31, 1 }, { 0x31, 1, 0x11, 1 }, 2, true },
		{ { 0x31, 1 }, { 0x31, 0, 0x11, 1 }, 2, false }, /* somebody on the way asked for another shard, */
		{ { 0x31, 1 }, { 0x32, 1, 0x11, 1 }, 2, false }, /* said that another one speaks, */
		{ { 0x31, 1 }, { 0x21, 1, 0x11, 1 }, 2, false }, /* that there are fewer, */
		{ { 0x31, 1 }, { 0x31, 1, 0x21, 1 }, 2, false }, /* or more here */
		{ { 0x31, 1 }, { 0x31, 1, 0x11, 0 }, 2, false },
	};

	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct env *env = sim_process_start(world.sim, world.sites[NORTH].host);
		struct stranger *stranger;

		start(SOUTH, cases[i].shards);
		stranger = connect_stranger(env, 0);
		say_hello(stranger, cases[i].said[0], cases[i].said[1]);
		prove(stranger, cases[i].proven);
		assert_int_equal(world.up[SOUTH][cases[i].said[1]][cases[i].said[0] & 15], cases[i].good);
		assert_int_equal(!stranger->closed, cases[i].good);
		sim_process_kill(env);
		tear_down(state);
		set_up(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_shard_is_linked_with_each_of_the_peers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_peer_comes_back_with_other_numbers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(links_to_shards_that_are_gone_end_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_unit_is_found_wherever_it_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_unit_that_nobody_knows_is_told_once_and_found_later, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_unit_is_found_again_when_either_half_has_moved, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_unit_that_changes_sides_stays_where_it_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_limit_holds_for_all_shards_together, set_up, tear_down),
		cmocka_unit_test_setup_teardown(numbers_that_cannot_be_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(strangers_are_limited_at_each_shard, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_visitor_is_handed_over_with_what_it_said, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_proof_is_bound_to_the_numbers, set_up, tear_down),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	fflush(NULL);
	_exit(failed); /* a killed simulated process is no leak: nobody looks for one */
}
