/* Where holes are, as a disk tells it: on a back end of this test's own, which ends writes when told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/span.h"
#include "disk/disk.h"
#include "env/uring/loop.h"

#define KIB UINT64_C(1024)
#define SIZE (1024 * KIB)
#define IOS_MAX 200u
#define SPANS_MAX 16u

struct world {
	struct backend backend;
	struct env *env;
	struct disk *disk;
	uint64_t data[SPANS_MAX][2]; /* start and end, in order; ends with zeros */
	uint64_t data_every;         /* else, not 0: data and holes of this length, in turns */
	int map_result;
	unsigned looks;
	struct env_io *ios[IOS_MAX]; /* in flight */
	unsigned io_count, zero_how, read_aheads;
	struct disk_request writes[IOS_MAX];
	struct span spans[SPANS_MAX];
	struct disk_request map;
	unsigned ended;
	int result;
};

static struct world *world_of(struct backend *backend)
{
	return container_of(backend, struct world, backend);
}

static void fake_write(struct backend *backend, struct env_io *io, const void *buffer, size_t length, uint64_t offset)
{
	struct world *world = world_of(backend);

	(void)buffer;
	(void)length;
	(void)offset;
	assert_true(world->io_count < IOS_MAX);
	world->ios[world->io_count++] = io;
}

static void fake_zero(struct backend *backend, struct env_io *io, uint64_t offset, uint64_t length, unsigned how)
{
	world_of(backend)->zero_how = how;
	fake_write(backend, io, NULL, length, offset);
}

static int fake_next_data(struct backend *backend, uint64_t from, uint64_t *out_start, uint64_t *out_end)
{
	struct world *world = world_of(backend);

	world->looks++;
	if (world->map_result < 0)
		return world->map_result;
	if (world->data_every > 0) {
		uint64_t piece = from / world->data_every;

		*out_start = piece % 2 == 0 ? from : (piece + 1) * world->data_every;
		*out_end = (*out_start / world->data_every + 1) * world->data_every;
		return 0;
	}
	*out_start = *out_end = 2 * SIZE; /* the file is longer than its disk */
	for (unsigned i = 0; world->data[i][1] > 0; i++) {
		if (world->data[i][1] <= from)
			continue;
		*out_start = world->data[i][0] > from ? world->data[i][0] : from;
		*out_end = world->data[i][1];
		break;
	}
	return 0;
}

static void fake_close(struct backend *backend)
{
	(void)backend;
}

static const struct backend_ops fake_ops = {
	.kind = "fake", .write = fake_write, .zero = fake_zero, .next_data = fake_next_data, .close = fake_close,
};

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof *world);
	struct error error;

	assert_int_equal(loop_new(NULL, &world->env, &error), 0);
	world->backend = (struct backend){ .ops = &fake_ops, .env = world->env, .size = SIZE, .room = 2 * SIZE };
	assert_int_equal(disk_open(world->env, "d-1", "/nonexistent/d-1", &world->backend, &world->disk, &error), 0);
	*state = world;
	return 0;
}

static void end_write(struct world *world, unsigned index)
{
	struct env_io *io = world->ios[index];

	world->ios[index] = world->ios[--world->io_count];
	io->on_done(io, 0);
}

static int tear_down(void **state)
{
	struct world *world = *state;

	while (world->io_count > 0)
		end_write(world, 0);
	disk_close(world->disk);
	loop_free(world->env);
	free(world);
	return 0;
}

static void on_ended(struct disk_request *request, int result)
{
	struct world *world = request->data;

	world->ended++;
	world->result = result;
}

static void begin(struct world *world, enum disk_operation operation, uint64_t offset, uint64_t length)
{
	struct disk_request *request = &world->writes[world->io_count];

	*request = (struct disk_request){ .operation = operation, .offset = offset, .length = length, .on_done = on_ended,
					  .data = world };
	disk_submit(world->disk, request);
}

static void ask(struct world *world, uint64_t offset, uint64_t length, uint32_t room)
{
	world->ended = 0;
	world->map = (struct disk_request){ .operation = DISK_MAP, .offset = offset, .length = length, .buffer = world->spans,
					    .span_count = room, .on_done = on_ended, .data = world };
	disk_submit(world->disk, &world->map);
}

/* `expected`: "hole 8, data 4", in KiB. */
static void expect(struct world *world, uint64_t offset, uint64_t length, uint32_t room, const char *expected)
{
	char told[SPANS_MAX * 32];
	size_t size = 0;

	ask(world, offset, length, room);
	assert_int_equal(world->ended, 1);
	assert_int_equal(world->result, 0);
	told[0] = 0;
	for (uint32_t i = 0; i < world->map.span_count; i++)
		size += (size_t)snprintf(told + size, sizeof told - size, "%s%s %llu", i == 0 ? "" : ", ",
					 world->spans[i].hole ? "hole" : "data", (unsigned long long)(world->spans[i].length / KIB));
	assert_string_equal(told, expected);
}

static void holes_end_with_the_range_and_the_disk(void **state)
{
	struct world *world = *state;

	expect(world, 0, SIZE, SPANS_MAX, "hole 1024");
	world->data[0][0] = 64 * KIB;
	world->data[0][1] = 128 * KIB;
	world->data[1][0] = 512 * KIB;
	world->data[1][1] = 2 * SIZE;
	expect(world, 0, SIZE, SPANS_MAX, "hole 64, data 64, hole 384, data 512");
	expect(world, 100 * KIB, 10 * KIB, SPANS_MAX, "data 10");
	expect(world, 100 * KIB, 100 * KIB, SPANS_MAX, "data 28, hole 72");
	expect(world, 0, 64 * KIB, SPANS_MAX, "hole 64");
	expect(world, 0, SIZE, 1, "hole 64");
	expect(world, 0, SIZE, 3, "hole 64, data 64, hole 384");
}

static void what_cannot_be_told_is_data(void **state)
{
	struct world *world = *state;

	world->map_result = -EIO;
	expect(world, 4 * KIB, 8 * KIB, SPANS_MAX, "data 8");
}

static void writes_in_flight_are_data(void **state)
{
	static const enum disk_operation changes[] = { DISK_WRITE, DISK_ZERO, DISK_TRIM };
	struct world *world = *state;

	for (unsigned i = 0; i < 3; i++) {
		begin(world, changes[i], 100 * KIB, 20 * KIB);
		expect(world, 0, SIZE, SPANS_MAX, "hole 100, data 20, hole 904");
		expect(world, 110 * KIB, SIZE - 110 * KIB, SPANS_MAX, "data 10, hole 904");
		expect(world, 0, 110 * KIB, SPANS_MAX, "hole 100, data 10");
		expect(world, 0, 100 * KIB, SPANS_MAX, "hole 100");
		begin(world, DISK_WRITE, 110 * KIB, 50 * KIB);
		begin(world, DISK_WRITE, 800 * KIB, 24 * KIB);
		begin(world, DISK_WRITE, 20 * KIB, 4 * KIB);
		expect(world, 0, SIZE, SPANS_MAX, "hole 20, data 4, hole 76, data 60, hole 640, data 24, hole 200");
		expect(world, 120 * KIB, 20 * KIB, SPANS_MAX, "data 20");
		while (world->io_count > 0)
			end_write(world, world->io_count / 2);
		expect(world, 0, SIZE, SPANS_MAX, "hole 1024");
	}
}

/* A write that waits has not been written: nobody was told that it has. */
static void writes_that_wait_are_not(void **state)
{
	struct world *world = *state;

	disk_hold(world->disk, true);
	begin(world, DISK_WRITE, 100 * KIB, 20 * KIB);
	assert_int_equal(world->io_count, 0);
	expect(world, 0, SIZE, SPANS_MAX, "hole 1024");
	disk_hold(world->disk, false);
	assert_int_equal(world->io_count, 1);
	expect(world, 0, SIZE, SPANS_MAX, "hole 100, data 20, hole 904");
}

/* However finely data and holes lie, and however many write: one request looks so often and no more. */
static void one_request_has_a_limit(void **state)
{
	struct world *world = *state;

	for (unsigned i = 0; i < IOS_MAX; i++)
		begin(world, DISK_WRITE, i * 4 * KIB, 4 * KIB);
	ask(world, 0, SIZE, SPANS_MAX);
	assert_int_equal(world->map.span_count, 1);
	assert_false(world->spans[0].hole);
	assert_in_range(world->looks, 1, 128);
	while (world->io_count > 0)
		end_write(world, 0);
	world->looks = 0;
	world->data_every = 512;
	ask(world, 0, SIZE, SPANS_MAX);
	assert_int_equal(world->map.span_count, SPANS_MAX);
	assert_in_range(world->looks, SPANS_MAX, SPANS_MAX + 1);
}

static void a_failed_disk_tells_nothing(void **state)
{
	struct world *world = *state;

	disk_declare_failed(world->disk, -EIO);
	ask(world, 0, SIZE, SPANS_MAX);
	assert_int_equal(world->ended, 1);
	assert_int_equal(world->result, -EIO);
}

static void zeros_are_asked_for_as_the_request_says(void **state)
{
	struct world *world = *state;

	begin(world, DISK_ZERO, 0, KIB);
	assert_int_equal(world->zero_how, 0);
	begin(world, DISK_TRIM, 0, KIB);
	assert_int_equal(world->zero_how, ENV_ZERO_PUNCH);
	world->writes[2] = (struct disk_request){ .operation = DISK_ZERO, .fast = true, .length = KIB, .on_done = on_ended,
						  .data = world };
	disk_submit(world->disk, &world->writes[2]);
	assert_int_equal(world->zero_how, ENV_ZERO_FAST);
}

#define in_world(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_world(holes_end_with_the_range_and_the_disk),
		in_world(what_cannot_be_told_is_data),
		in_world(writes_in_flight_are_data),
		in_world(writes_that_wait_are_not),
		in_world(one_request_has_a_limit),
		in_world(a_failed_disk_tells_nothing),
		in_world(zeros_are_asked_for_as_the_request_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
