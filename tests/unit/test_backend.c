/* The back ends, each through the same interface: what is written is read, and what cannot be is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "folder.h"

#include "backend/backend.h"
#include "base/error.h"
#include "env/uring/loop.h"

#define SIZE (1u << 20)

struct world {
	struct env *env;
	char directory[64], path[80];
	int result, count;
};

static void on_done(struct env_io *io, int result)
{
	struct world *world = io->data;

	world->result = result;
	world->count++;
	loop_stop(world->env);
}

static struct env_io io_of(struct world *world)
{
	world->count = 0;
	return (struct env_io){ .on_done = on_done, .data = world };
}

static void done(struct world *world)
{
	assert_int_equal(world->count, 0); /* never inside the call */
	loop_resume(world->env);
	loop_run(world->env);
	assert_int_equal(world->count, 1);
	assert_int_equal(world->result, 0);
}

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof *world);

	snprintf(world->directory, sizeof world->directory, "/tmp/offsite-backend-XXXXXX");
	assert_non_null(mkdtemp(world->directory));
	snprintf(world->path, sizeof world->path, "%s/disk", world->directory);
	assert_int_equal(loop_new(NULL, &world->env, &(struct error){ 0 }), 0);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	loop_free(world->env);
	folder_remove(world->directory);
	free(world);
	return 0;
}

static void read_at(struct world *world, struct backend *backend, void *bytes, size_t size, uint64_t offset)
{
	struct env_io io = io_of(world);

	backend->ops->read(backend, &io, bytes, size, offset);
	done(world);
}

/* Writes, syncs, zeroes the middle; `holds`: what was written can be read. */
static void use(struct world *world, struct backend *backend, bool holds)
{
	uint8_t bytes[8192], back[8192];
	struct env_io io = io_of(world);
	uint64_t from, to;

	memset(bytes, 0xa5, sizeof bytes);
	backend->ops->write(backend, &io, bytes, sizeof bytes, SIZE - sizeof bytes);
	done(world);
	io = io_of(world);
	backend->ops->sync(backend, &io);
	done(world);
	io = io_of(world);
	backend->ops->zero(backend, &io, SIZE - 6000, 1000, ENV_ZERO_PUNCH);
	done(world);
	memset(bytes + sizeof bytes - 6000, 0, 1000);
	read_at(world, backend, back, sizeof back, SIZE - sizeof back);
	if (!holds)
		memset(bytes, 0, sizeof bytes);
	assert_memory_equal(back, bytes, sizeof bytes);
	read_at(world, backend, back, sizeof back, 0);
	memset(bytes, 0, sizeof bytes);
	assert_memory_equal(back, bytes, sizeof bytes);
	assert_int_equal(backend->ops->next_data(backend, 0, &from, &to), 0);
	assert_true(from <= to && to <= SIZE);
	assert_true(!holds || (from <= SIZE - sizeof back && from < to));
}

static void a_file_holds_its_bytes_and_grows(void **state)
{
	struct world *world = *state;
	struct error error = { 0 };
	struct backend *backend, *second;
	uint8_t byte = 1;

	assert_int_equal(backend_create_file(world->env, world->path, SIZE, &error), 0);
	assert_int_equal(backend_create_file(world->env, world->path, SIZE, &error), -EEXIST);
	assert_int_equal(backend_open(world->env, "file", world->path, 0, &backend, &error), 0);
	assert_string_equal(backend->ops->kind, "file");
	assert_int_equal(backend->size, SIZE);
	assert_int_equal(backend_open(world->env, "file", world->path, 0, &second, &error), -EBUSY);
	assert_non_null(strstr(error.text, "in use"));
	use(world, backend, true);
	assert_int_equal(backend_grow(backend, SIZE / 2), -EINVAL);
	assert_int_equal(backend_grow(backend, 2 * SIZE), 0);
	assert_int_equal(backend->size, 2 * SIZE);
	read_at(world, backend, &byte, 1, 2 * SIZE - 1);
	assert_int_equal(byte, 0);
	backend->ops->close(backend);
	assert_int_equal(backend_open(world->env, "file", world->path, 2 * SIZE, &backend, &error), 0);
	read_at(world, backend, &byte, 1, SIZE - 1);
	assert_int_equal(byte, 0xa5);
	backend->ops->close(backend);
}

/* tmpfs gives space back, and cannot zero what it keeps but by writing. */
static void fast_zeros_are_never_written(void **state)
{
	struct world *world = *state;
	struct backend *backend;
	struct error error;
	struct env_io io;
	uint8_t bytes[8192];

	snprintf(world->path, sizeof world->path, "/dev/shm/%s", world->directory + strlen("/tmp/"));
	assert_int_equal(backend_create_file(world->env, world->path, SIZE, &error), 0);
	assert_int_equal(backend_open(world->env, "file", world->path, 0, &backend, &error), 0);
	memset(bytes, 0xa5, sizeof bytes);
	io = io_of(world);
	backend->ops->write(backend, &io, bytes, sizeof bytes, 0);
	done(world);
	io = io_of(world);
	backend->ops->zero(backend, &io, 0, 4096, ENV_ZERO_FAST);
	loop_resume(world->env);
	loop_run(world->env);
	assert_int_equal(world->result, -EOPNOTSUPP);
	read_at(world, backend, bytes, 1, 0);
	assert_int_equal(bytes[0], 0xa5);
	io = io_of(world);
	backend->ops->zero(backend, &io, 0, 4096, ENV_ZERO_FAST | ENV_ZERO_PUNCH);
	done(world);
	read_at(world, backend, bytes, sizeof bytes, 0);
	assert_int_equal(bytes[4095], 0);
	assert_int_equal(bytes[4096], 0xa5);
	io = io_of(world);
	backend->ops->read_ahead(backend, &io, 0, SIZE);
	done(world);
	backend->ops->close(backend);
	unlink(world->path);
}

static void memory_holds_its_bytes(void **state)
{
	struct world *world = *state;
	struct backend *backend;

	assert_int_equal(backend_open(world->env, "ram", NULL, SIZE, &backend, &(struct error){ 0 }), 0);
	use(world, backend, true);
	assert_int_equal(backend_grow(backend, 2 * SIZE), -ENOTSUP);
	backend->ops->close(backend);
}

static void nothing_takes_every_write_and_reads_as_zeros(void **state)
{
	struct world *world = *state;
	struct backend *backend;

	assert_int_equal(backend_open(world->env, "null", NULL, SIZE, &backend, &(struct error){ 0 }), 0);
	use(world, backend, false);
	assert_int_equal(backend_grow(backend, 2 * SIZE), 0);
	backend->ops->close(backend);
}

static void what_cannot_be_a_disk_is_refused_with_a_sentence(void **state)
{
	struct world *world = *state;
	static const struct {
		const char *kind;
		uint64_t size;
		int code;
	} cases[] = {
		{ "file", 0, -ENOENT }, { "blockdev", 0, -ENOENT }, { "tape", SIZE, -EINVAL },
		{ "ram", 0, -EINVAL }, { "ram", UINT64_MAX, -EINVAL }, { "null", 0, -EINVAL },
	};
	struct backend *backend;
	struct error error;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		error = (struct error){ 0 };
		assert_int_equal(backend_open(world->env, cases[i].kind, world->path, cases[i].size, &backend, &error), cases[i].code);
		assert_string_not_equal(error.text, "");
	}
	assert_int_equal(backend_create_file(world->env, world->path, SIZE, &error), 0);
	assert_int_equal(backend_open(world->env, "file", world->path, SIZE + 1, &backend, &error), -EINVAL);
	assert_int_equal(backend_open(world->env, "file", world->directory, 0, &backend, &error), -EISDIR);
}

#define in_world(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_world(a_file_holds_its_bytes_and_grows),
		in_world(fast_zeros_are_never_written),
		in_world(memory_holds_its_bytes),
		in_world(nothing_takes_every_write_and_reads_as_zeros),
		in_world(what_cannot_be_a_disk_is_refused_with_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
