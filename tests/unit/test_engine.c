/* Two engines in one real event loop, joined by a real socket: first sync, cycles, a broken pair of daemons, failover. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "base/log.h"
#include "disk/disk.h"
#include "env/env.h"
#include "env/uring/loop.h"
#include "repl/engine.h"
#include "repl/pace_line.h"

#define DISK_SIZE (5u * 1024u * 1024u + 512u)
#define LIMIT_NS (20ull * 1000000000ull)
#define SHARDS_MAX 2u

struct site {
	struct engine *shards[SHARDS_MAX];
	unsigned shard_count;
	struct engine *engine; /* of the last shard: the disks and the unit are there */
	char name[16];
	char directory[256];
	struct pace_line line;
	struct unit_status status;
};

struct world {
	struct env *env;
	char directory[128], run[128];
	struct site sites[2];
	bool shut_down;
	/* what the loop runs until */
	bool (*until)(struct world *world);
	struct env_timer timer;
	uint64_t deadline_ns;
	bool timed_out;
	struct disk_request request;
	int request_result;
	bool request_done;
};

static void on_log(void *data, enum log_level level, const char *line)
{
	(void)data;
	if (getenv("TEST_VERBOSE") != NULL)
		fprintf(stderr, "# %s %s\n", log_level_name(level), line);
}

static void on_unit(void *data, const struct unit_status *status)
{
	((struct site *)data)->status = *status;
}

static void on_look(struct env_timer *timer)
{
	struct world *world = timer->data;

	world->timed_out = env_now_ns(world->env) > world->deadline_ns;
	if (world->until(world) || world->timed_out)
		loop_stop(world->env);
	else
		env_timer_start(world->env, timer, env_now_ns(world->env) + 1000000);
}

static void run_until(struct world *world, bool (*until)(struct world *world))
{
	world->until = until;
	world->deadline_ns = env_now_ns(world->env) + LIMIT_NS;
	world->timer.on_fire = on_look;
	world->timer.data = world;
	env_timer_start(world->env, &world->timer, env_now_ns(world->env));
	loop_resume(world->env);
	loop_run(world->env);
	assert_false(world->timed_out);
}

/* The shards of these sites share a loop: nothing has to change threads. */
static void on_visitor(void *data, unsigned shard, struct env_socket *socket, const void *bytes, size_t size)
{
	engine_accept(((struct site *)data)->shards[shard], socket, bytes, size);
}

static void open_shard(struct world *world, unsigned index, unsigned shard, const char *link)
{
	static const char *const peers[2] = { "south", "north" };
	struct site *site = &world->sites[index];
	struct engine_limits limits = engine_limits_default;
	struct engine_events events = { .on_unit = on_unit, .on_visitor = on_visitor };
	char address[256];

	limits.cycle_ms_min = 20;
	site->engine = engine_new(world->env, site->directory, site->name, &limits, &events, site, NULL);
	assert_non_null(site->engine);
	site->shards[shard] = site->engine;
	engine_set_shard(site->engine, shard, site->shard_count);
	snprintf(address, sizeof address, "unix:%s/%s.sock", world->directory, peers[index]);
	assert_int_equal(engine_add_peer(site->engine, peers[index], address, link, &site->line, NULL), 0);
}

static void open_site(struct world *world, unsigned index, const char *link)
{
	struct site *site = &world->sites[index];
	char path[512], metadata[512], address[256];

	snprintf(site->name, sizeof site->name, "%s", index == 0 ? "north" : "south");
	snprintf(site->directory, sizeof site->directory, "%s/%s", world->directory, index == 0 ? "north" : "south");
	mkdir(site->directory, 0700);
	for (unsigned i = 0; i < site->shard_count; i++)
		open_shard(world, index, i, link);
	for (unsigned i = 0; i < 2; i++) {
		struct backend *backend;
		struct disk *disk;
		char id[32];

		snprintf(id, sizeof id, "d-%s-%u", site->name, i);
		snprintf(path, sizeof path, "%s/%s.raw", site->directory, id);
		snprintf(metadata, sizeof metadata, "%s/%s", site->directory, id);
		if (access(path, F_OK) != 0)
			assert_int_equal(backend_create_file(world->env, path, DISK_SIZE, NULL), 0);
		assert_int_equal(backend_open(world->env, "file", path, DISK_SIZE, &backend, NULL), 0);
		assert_int_equal(disk_open(world->env, id, metadata, backend, &disk, NULL), 0);
		engine_add_disk(site->engine, disk);
	}
	snprintf(address, sizeof address, "unix:%s/%s.sock", world->directory, site->name);
	assert_int_equal(engine_listen(site->shards[0], address, NULL), 0);
}

static void open_unit(struct world *world, unsigned index)
{
	struct unit_spec spec = { .id = "pg-1", .rpo_ms = 1000, .disk_count = 2, .lineage = "0123456789abcde" };

	snprintf(spec.peer, sizeof spec.peer, "%s", index == 0 ? "south" : "north");
	spec.role = index == 0 ? UNIT_PRIMARY : UNIT_SECONDARY;
	for (unsigned i = 0; i < 2; i++) {
		snprintf(spec.disks[i].local_disk, ENGINE_ID_SIZE, "d-%s-%u", index == 0 ? "north" : "south", i);
		snprintf(spec.disks[i].remote_disk, ENGINE_ID_SIZE, "d-%s-%u", index == 0 ? "south" : "north", i);
	}
	assert_int_equal(engine_open_unit(world->sites[index].engine, &spec, NULL), 0);
}

static bool is_shut_down(struct world *world)
{
	return world->shut_down;
}

static void on_shut_down(void *data)
{
	((struct world *)data)->shut_down = true;
}

static void close_site(struct world *world, unsigned index)
{
	for (unsigned i = 0; i < world->sites[index].shard_count; i++) {
		world->shut_down = false;
		engine_shutdown(world->sites[index].shards[i], on_shut_down, world);
		run_until(world, is_shut_down);
		engine_free(world->sites[index].shards[i]);
	}
}

static void on_request_done(struct disk_request *request, int result)
{
	struct world *world = request->data;

	world->request_result = result;
	world->request_done = true;
}

static bool is_request_done(struct world *world)
{
	return world->request_done;
}

static int do_request(struct world *world, unsigned site, unsigned disk, enum disk_operation operation, void *buffer,
		      uint64_t offset, uint64_t length)
{
	char id[32];

	snprintf(id, sizeof id, "d-%s-%u", site == 0 ? "north" : "south", disk);
	world->request = (struct disk_request){ .operation = operation, .offset = offset, .length = length, .buffer = buffer,
						.on_done = on_request_done, .data = world };
	world->request_done = false;
	disk_submit(engine_find_disk(world->sites[site].engine, id), &world->request);
	run_until(world, is_request_done);
	return world->request_result;
}

static void fill(struct world *world, unsigned site, unsigned disk, uint64_t offset, uint64_t length, int byte)
{
	uint8_t *bytes = malloc(length);

	memset(bytes, byte, length);
	assert_int_equal(do_request(world, site, disk, DISK_WRITE, bytes, offset, length), 0);
	free(bytes);
}

static void expect(struct world *world, unsigned site, unsigned disk, uint64_t offset, uint64_t length, int byte)
{
	uint8_t *bytes = malloc(length);

	assert_int_equal(do_request(world, site, disk, DISK_READ, bytes, offset, length), 0);
	for (uint64_t i = 0; i < length; i++)
		assert_int_equal(bytes[i], byte);
	free(bytes);
}

static bool is_fresh(struct world *world)
{
	struct unit_status status;

	return engine_unit_status(world->sites[0].engine, "pg-1", &status) && status.state == UNIT_CYCLING && status.idle;
}

static bool is_failed_over(struct world *world)
{
	return world->sites[1].status.state == UNIT_FAILED_OVER;
}

static bool is_superseded(struct world *world)
{
	return world->sites[0].status.state == UNIT_SUPERSEDED;
}

static int set_up_shards(void **state, unsigned shard_count)
{
	struct world *world = calloc(1, sizeof *world);

	snprintf(world->directory, sizeof world->directory, "/tmp/offsite-engine-XXXXXX");
	assert_non_null(mkdtemp(world->directory));
	snprintf(world->run, sizeof world->run, "/dev/shm/offsite-engine-XXXXXX");
	assert_non_null(mkdtemp(world->run));
	log_set_sink(on_log, NULL, LOG_DEBUG);
	assert_int_equal(loop_new(world->run, &world->env, &(struct error){ 0 }), 0);
	for (unsigned i = 0; i < 2; i++) {
		world->sites[i].shard_count = shard_count;
		open_site(world, i, "a secret of both sites");
	}
	*state = world;
	return 0;
}

static int set_up(void **state)
{
	return set_up_shards(state, 1);
}

static int set_up_two_shards(void **state)
{
	return set_up_shards(state, 2);
}

static int tear_down(void **state)
{
	struct world *world = *state;
	char program[] = "rm", option[] = "-rf", *remove[] = { program, option, world->directory, world->run, NULL };
	int status;
	pid_t child;

	close_site(world, 0);
	close_site(world, 1);
	loop_free(world->env);
	assert_int_equal(posix_spawnp(&child, "rm", NULL, NULL, remove, environ), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	free(world);
	return 0;
}

static void a_group_is_copied_and_followed(void **state)
{
	struct world *world = *state;

	fill(world, 0, 0, 0, 2 * 1024 * 1024, 'a');
	fill(world, 0, 1, DISK_SIZE - 700, 700, 'z');
	open_unit(world, 1);
	open_unit(world, 0);
	assert_int_equal(engine_start_unit(world->sites[0].engine, "pg-1", false, NULL), 0);
	run_until(world, is_fresh);
	expect(world, 1, 0, 0, 2 * 1024 * 1024, 'a');
	expect(world, 1, 0, 2 * 1024 * 1024, 4096, 0);
	expect(world, 1, 1, DISK_SIZE - 700, 700, 'z');
	fill(world, 0, 0, 1234, 5000, 'b');
	assert_int_equal(do_request(world, 0, 1, DISK_TRIM, NULL, DISK_SIZE - 600, 600), 0);
	run_until(world, is_fresh);
	run_until(world, is_fresh);
	assert_int_equal(do_request(world, 1, 0, DISK_WRITE, (char[512]){ 0 }, 0, 512), -EROFS);
}

static void a_restart_of_either_side_loses_nothing(void **state)
{
	struct world *world = *state;

	a_group_is_copied_and_followed(state);
	close_site(world, 1);
	fill(world, 0, 1, 4096, 4096, 'c');
	open_site(world, 1, "a secret of both sites");
	open_unit(world, 1);
	run_until(world, is_fresh);
	close_site(world, 0);
	open_site(world, 0, "a secret of both sites");
	open_unit(world, 0);
	fill(world, 0, 1, 8192, 4096, 'd');
	assert_int_equal(engine_start_unit(world->sites[0].engine, "pg-1", false, NULL), 0);
	run_until(world, is_fresh);
	expect(world, 1, 1, 4096, 4096, 'c');
}

static void failover_makes_the_copy_writable_and_the_old_primary_learns_it(void **state)
{
	struct world *world = *state;

	a_restart_of_either_side_loses_nothing(state);
	assert_int_equal(engine_failover_unit(world->sites[1].engine, "pg-1", NULL), 0);
	run_until(world, is_failed_over);
	expect(world, 1, 1, 8192, 4096, 'd');
	expect(world, 1, 0, 1234, 5000, 'b');
	expect(world, 1, 1, DISK_SIZE - 600, 600, 0);
	fill(world, 1, 0, 0, 4096, 'n');
	fill(world, 0, 0, 0, 4096, 'o');
	run_until(world, is_superseded);
	expect(world, 1, 0, 0, 4096, 'n');
	assert_int_equal(world->sites[1].status.term, world->sites[0].status.term + 1);
}

static void failover_before_the_first_sync_is_refused(void **state)
{
	struct world *world = *state;

	open_unit(world, 1);
	assert_int_equal(engine_failover_unit(world->sites[1].engine, "pg-1", NULL), 0); /* while it loads */
	open_unit(world, 0);
	assert_int_equal(engine_start_unit(world->sites[0].engine, "pg-1", false, NULL), 0);
	run_until(world, is_fresh);
	assert_int_not_equal(world->sites[1].status.state, UNIT_FAILED_OVER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_group_is_copied_and_followed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_restart_of_either_side_loses_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(failover_makes_the_copy_writable_and_the_old_primary_learns_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(failover_makes_the_copy_writable_and_the_old_primary_learns_it, set_up_two_shards,
						tear_down),
		cmocka_unit_test_setup_teardown(failover_before_the_first_sync_is_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
