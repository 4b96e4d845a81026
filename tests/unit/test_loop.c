/* The real world's env: files, sockets, timers, kept memory, posts, and an end with work in flight. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/un.h>
#include <sys/socket.h>
#include <string.h>

#include <cmocka.h>

#include "folder.h"

#include "base/error.h"
#include "env/env.h"
#include "env/uring/loop.h"

#define LIMIT_NS UINT64_C(20000000000)
#define MIB (1u << 20)

struct world {
	struct env *env;
	char directory[64], run[64];
	struct env_timer limit;
	struct env_socket *accepted;
	struct env_listener *listener;
};

/* One asynchronous call and how often it completed. */
struct call {
	struct env_io io;
	struct world *world;
	int result, count;
	bool awaited;
};

static void on_done(struct env_io *io, int result)
{
	struct call *call = io->data;

	call->result = result;
	call->count++;
	if (call->awaited)
		loop_stop(call->world->env);
}

static struct call call_of(struct world *world)
{
	return (struct call){ .io.on_done = on_done, .world = world };
}

static struct env_io *start(struct call *call)
{
	call->io.data = call;
	return &call->io;
}

static void on_limit(struct env_timer *timer)
{
	(void)timer;
	fail_msg("nothing completed in time");
}

static void run(struct world *world)
{
	world->limit.on_fire = on_limit;
	env_timer_start(world->env, &world->limit, env_now_ns(world->env) + LIMIT_NS);
	loop_resume(world->env);
	loop_run(world->env);
	env_timer_stop(world->env, &world->limit);
}

static int wait_for(struct call *call)
{
	if (call->count == 0) {
		call->awaited = true;
		run(call->world);
		call->awaited = false;
	}
	assert_int_equal(call->count, 1);
	return call->result;
}

static void path_of(const struct world *world, const char *name, char out[128])
{
	snprintf(out, 128, "%s/%s", world->directory, name);
}

static uint64_t spin_ns; /* of the worlds that are set up */

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof *world);

	snprintf(world->directory, sizeof world->directory, "/tmp/offsite-loop-XXXXXX");
	assert_non_null(mkdtemp(world->directory));
	snprintf(world->run, sizeof world->run, "/dev/shm/offsite-loop-XXXXXX");
	assert_non_null(mkdtemp(world->run));
	assert_int_equal(loop_new(world->run, &world->env, &(struct error){ 0 }), 0);
	loop_set_spin(world->env, spin_ns);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	if (world->env != NULL)
		loop_free(world->env);
	folder_remove(world->directory);
	folder_remove(world->run);
	free(world);
	return 0;
}

/* --- files --- */

static struct env_file *make_file(struct world *world, const char *name, uint64_t size)
{
	struct env_file *file;
	char path[128];

	path_of(world, name, path);
	assert_int_equal(env_file_open(world->env, path, ENV_CREATE | ENV_EXCLUSIVE, &file), 0);
	assert_int_equal(env_file_resize(file, size), 0);
	return file;
}

static void bytes_written_are_read_back_and_zeroed(void **state)
{
	struct world *world = *state;
	struct env_file *file = make_file(world, "f", 4 * MIB);
	uint8_t *bytes = malloc(2 * MIB), *back = malloc(2 * MIB);

	for (unsigned i = 0; i < 2 * MIB; i++)
		bytes[i] = (uint8_t)(i / 4096 + 1); /* so that a piece in the wrong place shows */
	for (int punch = 0; punch < 2; punch++) {
		struct call calls[4] = { call_of(world), call_of(world), call_of(world), call_of(world) };

		env_file_write(file, start(&calls[0]), bytes, 2 * MIB, 4096);
		assert_int_equal(calls[0].count, 0); /* never inside the call */
		assert_int_equal(wait_for(&calls[0]), 0);
		env_file_sync(file, start(&calls[1]));
		assert_int_equal(wait_for(&calls[1]), 0);
		env_file_zero(file, start(&calls[2]), 4096 + 512, MIB, punch != 0 ? ENV_ZERO_PUNCH : 0);
		assert_int_equal(wait_for(&calls[2]), 0);
		env_file_read(file, start(&calls[3]), back, 2 * MIB, 4096);
		assert_int_equal(wait_for(&calls[3]), 0);
		for (unsigned i = 0; i < 2 * MIB; i++)
			assert_int_equal(back[i], i >= 512 && i < 512 + MIB ? 0 : bytes[i]);
	}
	env_file_close(file);
	free(bytes);
	free(back);
}

static void a_read_beyond_the_end_fails_and_an_empty_one_does_not(void **state)
{
	struct world *world = *state;
	struct env_file *file = make_file(world, "f", 1000);
	struct call beyond = call_of(world), empty = call_of(world);
	uint8_t bytes[4096];

	env_file_read(file, start(&beyond), bytes, sizeof bytes, 0);
	assert_int_equal(wait_for(&beyond), -EIO);
	env_file_read(file, start(&empty), bytes, 0, 0);
	assert_int_equal(empty.count, 0);
	assert_int_equal(wait_for(&empty), 0);
	env_file_close(file);
}

static void data_and_holes_are_told_apart(void **state)
{
	struct world *world = *state;
	struct env_file *file = make_file(world, "f", 8 * MIB);
	struct call call = call_of(world);
	uint64_t from, to;
	uint8_t bytes[4096] = { 1 };

	env_file_write(file, start(&call), bytes, sizeof bytes, 4 * MIB);
	assert_int_equal(wait_for(&call), 0);
	assert_int_equal(env_file_next_data(file, 0, &from, &to), 0);
	assert_true(from <= 4 * MIB && to >= 4 * MIB + sizeof bytes);
	assert_int_equal(env_file_next_data(file, to, &from, &to), 0);
	assert_true(from == to ? to == 8 * MIB : from < to);
	env_file_close(file);
}

static void names_are_made_locked_moved_and_removed(void **state)
{
	struct world *world = *state;
	struct env_file *file, *second;
	char path[128], other[128];
	uint64_t size;

	path_of(world, "a", path);
	path_of(world, "b", other);
	assert_int_equal(env_file_open(world->env, path, 0, &file), -ENOENT);
	assert_int_equal(env_file_open(world->env, path, ENV_CREATE | ENV_LOCK, &file), 0);
	assert_int_equal(env_file_open(world->env, path, ENV_CREATE | ENV_EXCLUSIVE, &second), -EEXIST);
	assert_int_equal(env_file_open(world->env, path, ENV_LOCK, &second), -EBUSY);
	assert_int_equal(env_file_resize(file, 12345), 0);
	env_file_close(file);
	env_file_close(NULL);
	assert_int_equal(env_file_rename(world->env, path, other), 0);
	assert_int_equal(env_file_open(world->env, other, ENV_LOCK | ENV_READ_ONLY, &file), 0);
	assert_int_equal(env_file_size(file, &size), 0);
	assert_int_equal(size, 12345);
	env_file_close(file);
	assert_int_equal(env_file_remove(world->env, other), 0);
	assert_int_equal(env_file_remove(world->env, other), -ENOENT);
	assert_int_equal(env_directory_create(world->env, path), 0);
	assert_int_equal(env_directory_create(world->env, path), 0);
	assert_int_equal(env_file_open(world->env, "/dev/null", 0, &file), -EINVAL);
}

/* --- timers, deferred, posts --- */

struct ticks {
	struct world *world;
	struct env_timer timers[40];
	uint64_t last_ns;
	int fired, wanted;
};

static void on_tick(struct env_timer *timer)
{
	struct ticks *ticks = timer->data;

	assert_true(timer->at_ns >= ticks->last_ns && timer->at_ns <= env_now_ns(ticks->world->env));
	assert_int_equal(timer->heap_index, 0);
	ticks->last_ns = timer->at_ns;
	if (++ticks->fired == ticks->wanted)
		loop_stop(ticks->world->env);
}

static void timers_fire_in_order_moved_and_stopped(void **state)
{
	struct world *world = *state;
	struct ticks ticks = { .world = world, .wanted = 30 };
	uint64_t now = env_now_ns(world->env);

	for (unsigned i = 0; i < 40; i++) {
		ticks.timers[i] = (struct env_timer){ .on_fire = on_tick, .data = &ticks };
		env_timer_start(world->env, &ticks.timers[i], now + (i * 17 % 40) * 500000);
	}
	for (unsigned i = 0; i < 10; i++) {
		env_timer_stop(world->env, &ticks.timers[i * 4]);
		env_timer_stop(world->env, &ticks.timers[i * 4]); /* harmless */
	}
	env_timer_start(world->env, &ticks.timers[1], now + 40 * 500000);
	run(world);
	assert_int_equal(ticks.fired, 30);
}

struct posts {
	struct world *world;
	int next;
	bool in_order;
};

struct posted {
	struct posts *posts;
	int number;
};

static struct posted posted[1000];

static void on_posted(void *data)
{
	const struct posted *one = data;

	one->posts->in_order = one->posts->in_order && one->number == one->posts->next;
	if (++one->posts->next == 1000)
		loop_stop(one->posts->world->env);
}

static void *post_all(void *data)
{
	struct posts *posts = data;

	for (int i = 0; i < 1000; i++) {
		posted[i] = (struct posted){ posts, i };
		loop_post(posts->world->env, on_posted, &posted[i]);
	}
	return NULL;
}

static void posts_of_another_thread_arrive_in_order(void **state)
{
	struct world *world = *state;
	struct posts posts = { .world = world, .in_order = true };
	struct call deferred = call_of(world);
	pthread_t thread;

	env_defer(world->env, start(&deferred));
	assert_int_equal(pthread_create(&thread, NULL, post_all, &posts), 0);
	run(world);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(posts.in_order);
	assert_int_equal(deferred.count, 1);
}

/* --- kept memory --- */

static void memory_outlives_its_env_until_its_size_changes(void **state)
{
	struct world *world = *state;
	void *memory;
	bool kept;

	assert_int_equal(env_memory_open(world->env, "map-1.now", 10000, &memory, &kept), 0);
	assert_false(kept);
	assert_int_equal(((char *)memory)[9999], 0);
	memset(memory, 7, 10000);
	env_memory_close(world->env, memory, 10000);
	loop_free(world->env);
	assert_int_equal(loop_new(world->run, &world->env, &(struct error){ 0 }), 0);
	assert_int_equal(env_memory_open(world->env, "map-1.now", 10000, &memory, &kept), 0);
	assert_true(kept);
	assert_int_equal(((char *)memory)[9999], 7);
	env_memory_close(world->env, memory, 10000);
	assert_int_equal(env_memory_open(world->env, "map-1.now", 20000, &memory, &kept), 0);
	assert_false(kept);
	assert_int_equal(((char *)memory)[9999], 0);
	env_memory_close(world->env, memory, 20000);
	assert_int_equal(env_memory_open(world->env, "../x", 100, &memory, &kept), -EINVAL);
	assert_int_equal(env_memory_remove(world->env, "map-1.now"), 0);
	assert_int_equal(env_memory_remove(world->env, "map-1.now"), 0);
}

static void a_run_folder_on_disk_is_refused(void **state)
{
	struct world *world = *state;
	struct error error = { 0 };
	struct env *env;

	assert_true(loop_new("/proc", &env, &error) < 0);
	assert_non_null(strstr(error.text, "tmpfs"));
	assert_non_null(world->env);
}

/* --- sockets --- */

static void on_accept(struct env_listener *listener, struct env_socket *socket, void *data)
{
	struct world *world = data;

	assert_ptr_equal(listener, world->listener);
	world->accepted = socket;
	loop_stop(world->env);
}

/* Listens, connects; gives the side that connected, the other is world->accepted. */
static struct env_socket *connect_pair(struct world *world, const char *address)
{
	struct call connecting = call_of(world);
	struct env_socket *socket = NULL;

	world->accepted = NULL;
	assert_int_equal(env_listen(world->env, address, on_accept, world, &world->listener, &(struct error){ 0 }), 0);
	env_connect(world->env, env_listener_address(world->listener), start(&connecting), &socket);
	assert_int_equal(wait_for(&connecting), 0);
	while (world->accepted == NULL)
		run(world);
	return socket;
}

/* 3 MiB each way at the same time, in uneven pieces. */
static void exchange(struct world *world, struct env_socket *left, struct env_socket *right)
{
	size_t size = 3 * MIB, got[2] = { 0, 0 };
	uint8_t *out = malloc(size), *in[2] = { malloc(size), malloc(size) };
	struct env_socket *sides[2] = { left, right };
	struct iovec iov[2][3];
	struct call sends[2] = { call_of(world), call_of(world) };

	for (size_t i = 0; i < size; i++)
		out[i] = (uint8_t)(i * 31 >> 3);
	for (int i = 0; i < 2; i++) {
		iov[i][0] = (struct iovec){ out, 10 };
		iov[i][1] = (struct iovec){ out + 10, 0 };
		iov[i][2] = (struct iovec){ out + 10, size - 10 };
		env_socket_send(sides[i], start(&sends[i]), iov[i], 3);
	}
	for (int i = 1; got[0] < size || got[1] < size; i = !i) {
		struct call receive = call_of(world);
		int result;

		if (got[i] == size)
			continue;
		env_socket_receive(sides[i], start(&receive), in[i] + got[i], size - got[i]);
		result = wait_for(&receive);
		assert_true(result > 0);
		got[i] += (size_t)result;
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(wait_for(&sends[i]), 0);
		assert_memory_equal(in[i], out, size);
		free(in[i]);
	}
	free(out);
}

static void end_of_stream_is_seen(struct world *world, struct env_socket *left)
{
	struct call receive = call_of(world);
	uint8_t byte;

	env_socket_receive(left, start(&receive), &byte, 1);
	env_socket_close(world->accepted);
	assert_int_equal(wait_for(&receive), 0);
	env_socket_close(left);
}

static void tcp_carries_both_directions_at_once(void **state)
{
	struct world *world = *state;
	struct env_socket *left = connect_pair(world, "tcp:127.0.0.1:0");
	struct env_listener *second;
	struct error error = { 0 };

	exchange(world, left, world->accepted);
	assert_int_equal(env_listen(world->env, env_listener_address(world->listener), on_accept, world, &second, &error),
			 -EADDRINUSE);
	assert_non_null(strstr(error.text, "in use"));
	end_of_stream_is_seen(world, left);
	env_listener_close(world->listener);
}

static void unix_sockets_do_too_and_a_stale_one_is_replaced(void **state)
{
	struct world *world = *state;
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	char address[160];
	struct env_socket *left;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address, sizeof address, "unix:%s/s", world->directory);
	snprintf(name.sun_path, sizeof name.sun_path, "%.100s", address + 5);
	assert_int_equal(bind(fd, (struct sockaddr *)(void *)&name, sizeof name), 0);
	close(fd); /* what a process that is gone leaves behind */
	left = connect_pair(world, address);
	assert_string_equal(env_listener_address(world->listener), address);
	exchange(world, left, world->accepted);
	end_of_stream_is_seen(world, left);
	env_listener_close(world->listener);
}

static void closing_ends_what_is_in_flight_once(void **state)
{
	struct world *world = *state;
	struct env_socket *left = connect_pair(world, "tcp:127.0.0.1:0");
	struct call receive = call_of(world), send = call_of(world);
	size_t size = 64 * MIB; /* more than the kernel takes */
	uint8_t *bytes = calloc(1, size), byte;
	struct iovec iov = { bytes, size };

	env_socket_receive(left, start(&receive), &byte, 1);
	env_socket_send(left, start(&send), &iov, 1);
	env_socket_close(left);
	assert_int_equal(receive.count + send.count, 0); /* later, from the loop */
	wait_for(&receive);
	wait_for(&send);
	assert_true(send.result < 0);
	env_socket_close(world->accepted);
	env_listener_close(world->listener);
	free(bytes);
}

static void a_connect_that_cannot_be_fails_from_the_loop(void **state)
{
	struct world *world = *state;
	static const char *const addresses[] = { "nonsense", "tcp:127.0.0.1", "unix:relative",
		"unix:/nowhere/at/all", "tcp:127.0.0.1:1" };

	for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
		struct call call = call_of(world);
		struct env_socket *socket = NULL;

		env_connect(world->env, addresses[i], start(&call), &socket);
		assert_int_equal(call.count, 0);
		assert_true(wait_for(&call) < 0);
		assert_null(socket);
	}
}

static void an_interrupted_receive_ends_and_loses_nothing(void **state)
{
	struct world *world = *state;
	struct env_socket *left = connect_pair(world, "tcp:127.0.0.1:0");
	struct call silent = call_of(world), late = call_of(world), send = call_of(world), last = call_of(world);
	char bytes[8] = "1234567", back[8] = "";
	struct iovec iov = { bytes, sizeof bytes };

	loop_socket_interrupt(world->accepted); /* harmless */
	env_socket_receive(world->accepted, start(&silent), back, sizeof back);
	loop_socket_interrupt(world->accepted);
	assert_int_equal(silent.count, 0);
	assert_int_equal(wait_for(&silent), -ECANCELED);
	env_socket_send(left, start(&send), &iov, 1);
	assert_int_equal(wait_for(&send), 0);
	env_socket_receive(world->accepted, start(&late), back, sizeof back);
	loop_socket_interrupt(world->accepted); /* as the bytes come */
	loop_socket_interrupt(world->accepted);
	if (wait_for(&late) == -ECANCELED) {
		env_socket_receive(world->accepted, start(&last), back, sizeof back);
		late.result = wait_for(&last);
	}
	assert_int_equal(late.result, sizeof back);
	assert_memory_equal(back, bytes, sizeof back);
	end_of_stream_is_seen(world, left);
	env_listener_close(world->listener);
}

static void a_socket_goes_on_in_another_loop(void **state)
{
	struct world *world = *state, other = { 0 };
	struct env_socket *left = connect_pair(world, "tcp:127.0.0.1:0"), *moved;

	assert_int_equal(loop_new(NULL, &other.env, &(struct error){ 0 }), 0);
	for (unsigned i = 0; i < 3; i++) {
		struct call sends[2] = { call_of(world), call_of(&other) }, receives[2] = { call_of(world), call_of(&other) };
		struct call idle = call_of(world);
		char bytes[2][8] = { "to left", "to move" }, back[2][8] = { "", "" };
		struct iovec iov[2] = { { bytes[0], 8 }, { bytes[1], 8 } };

		env_socket_receive(world->accepted, start(&idle), back[1], 8);
		loop_socket_interrupt(world->accepted);
		assert_int_equal(wait_for(&idle), -ECANCELED);
		env_socket_send(left, start(&sends[0]), &iov[1], 1); /* on its way while the socket moves */
		moved = loop_socket_join(other.env, loop_socket_leave(world->accepted));
		assert_int_equal(wait_for(&sends[0]), 0);
		env_socket_receive(moved, start(&receives[1]), back[1], 8);
		assert_int_equal(wait_for(&receives[1]), 8);
		assert_string_equal(back[1], "to move");
		env_socket_send(moved, start(&sends[1]), &iov[0], 1);
		assert_int_equal(wait_for(&sends[1]), 0);
		env_socket_receive(left, start(&receives[0]), back[0], 8);
		assert_int_equal(wait_for(&receives[0]), 8);
		assert_string_equal(back[0], "to left");
		world->accepted = loop_socket_join(world->env, loop_socket_leave(moved));
	}
	end_of_stream_is_seen(world, left);
	env_listener_close(world->listener);
	loop_free(other.env);
}

/* --- the end --- */

static void freeing_the_loop_completes_everything_exactly_once(void **state)
{
	struct world *world = *state;
	struct env_file *file = make_file(world, "f", MIB);
	struct env_socket *left = connect_pair(world, "tcp:127.0.0.1:0");
	struct call receive = call_of(world), deferred = call_of(world), writes[32];
	uint8_t bytes[4096] = { 0 }, byte;

	env_socket_receive(left, start(&receive), &byte, 1);
	env_defer(world->env, start(&deferred));
	for (unsigned i = 0; i < 32; i++) {
		writes[i] = call_of(world);
		env_file_write(file, start(&writes[i]), bytes, sizeof bytes, i * sizeof bytes);
	}
	env_socket_close(left);
	env_socket_close(world->accepted);
	env_listener_close(world->listener);
	loop_free(world->env);
	world->env = NULL;
	assert_int_equal(receive.count, 1);
	assert_int_equal(deferred.count, 1);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(writes[i].count, 1);
	env_file_close(file);
}

#define in_world(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	static const uint64_t spins_ns[] = { 0, 1000000 };
	int failed = 0;
	const struct CMUnitTest tests[] = {
		in_world(bytes_written_are_read_back_and_zeroed),
		in_world(a_read_beyond_the_end_fails_and_an_empty_one_does_not),
		in_world(data_and_holes_are_told_apart),
		in_world(names_are_made_locked_moved_and_removed),
		in_world(timers_fire_in_order_moved_and_stopped),
		in_world(posts_of_another_thread_arrive_in_order),
		in_world(memory_outlives_its_env_until_its_size_changes),
		in_world(a_run_folder_on_disk_is_refused),
		in_world(tcp_carries_both_directions_at_once),
		in_world(unix_sockets_do_too_and_a_stale_one_is_replaced),
		in_world(closing_ends_what_is_in_flight_once),
		in_world(a_connect_that_cannot_be_fails_from_the_loop),
		in_world(an_interrupted_receive_ends_and_loses_nothing),
		in_world(a_socket_goes_on_in_another_loop),
		in_world(freeing_the_loop_completes_everything_exactly_once),
	};

	for (size_t i = 0; i < sizeof spins_ns / sizeof spins_ns[0]; i++) {
		spin_ns = spins_ns[i];
		failed += cmocka_run_group_tests_name(i == 0 ? "sleeping at once" : "looking first", tests, NULL, NULL);
	}
	return failed;
}
