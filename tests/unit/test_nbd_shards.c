/* NBD clients of two shards, each a thread with its loop: handed from the one that listens to the one that has the disk, and
 * moved with their disk while they use it. The clients notice nothing, but when they are told to go. */
#include "nbd_remote.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "folder.h"

#include "backend/backend.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/memory.h"
#include "daemon/exports.h"
#include "daemon/nbd_server.h"
#include "disk/disk.h"
#include "env/env.h"
#include "env/uring/loop.h"
#include "tls/credentials.h"

#define KIB 1024u
#define MIB (1024u * 1024u)
#define DISK_SIZE (16u * MIB)
#define SHARDS 2
#define DISKS 2 /* "d-0" begins in shard 0, "d-1" in shard 1 */

struct shard {
	struct world *world;
	unsigned number;
	pthread_t thread;
	struct env *env;
	struct nbd_server *server;
	sem_t started;
	bool stopped;
};

struct world {
	char folder[64], socket[100];
	struct nbd_server_limits limits;
	struct exports *exports;
	struct tls_credentials *credentials;
	struct shard shards[SHARDS];
	struct disk *disks[DISKS]; /* the thread's whose shard has it */
	unsigned home[DISKS];      /* which shard that is; the test's */
};

/* --- calls into a shard --- */

static void wait_for(sem_t *done)
{
	while (sem_wait(done) < 0)
		;
	sem_destroy(done);
}

struct call {
	void (*fn)(struct shard *shard, void *data);
	struct shard *shard;
	void *data;
	sem_t done;
};

static void on_call(void *data)
{
	struct call *call = data;

	call->fn(call->shard, call->data);
	sem_post(&call->done);
}

/* Carries out fn on the shard's thread and waits for it. */
static void in_shard(struct shard *shard, void (*fn)(struct shard *shard, void *data), void *data)
{
	struct call call = { .fn = fn, .shard = shard, .data = data };

	sem_init(&call.done, 0, 0);
	loop_post(shard->env, on_call, &call);
	wait_for(&call.done);
}

/* --- the world --- */

static struct disk *open_disk(struct shard *shard, unsigned number)
{
	char path[100], id[8];
	struct backend *backend;
	struct error error = { 0 };
	struct disk *disk;

	snprintf(id, sizeof id, "d-%u", number);
	snprintf(path, sizeof path, "%s/%s", shard->world->folder, id);
	if (backend_open(shard->env, "file", path, DISK_SIZE, &backend, &error) < 0 ||
	    disk_open(shard->env, id, path, backend, &disk, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		abort();
	}
	return disk;
}

static void close_disk(struct world *world, unsigned number)
{
	if (world->disks[number] != NULL)
		disk_close(world->disks[number]);
	world->disks[number] = NULL;
}

static void on_start(struct shard *shard)
{
	struct world *world = shard->world;
	unsigned number = shard->number;
	struct error error = { 0 };
	char address[120], path[100];

	shard->server = nbd_server_new(shard->env, &world->limits, world->exports, number);
	nbd_server_set_tls(shard->server, NBD_TLS_ALLOWED, world->credentials);
	snprintf(path, sizeof path, "%s/d-%u", world->folder, number);
	if (backend_create_file(shard->env, path, DISK_SIZE, &error) < 0)
		abort();
	world->disks[number] = open_disk(shard, number);
	if (nbd_server_export(shard->server, world->disks[number], number == 0 ? "zero" : "one", false, &error) < 0)
		abort();
	snprintf(address, sizeof address, "unix:%s", world->socket);
	if (number == 0 && nbd_server_listen(shard->server, address, &error) < 0)
		abort();
}

static void *run_shard(void *data)
{
	struct shard *shard = data;

	if (loop_new(NULL, &shard->env, &(struct error){ 0 }) < 0)
		abort();
	on_start(shard);
	sem_post(&shard->started);
	loop_run(shard->env);
	nbd_server_free(shard->server);
	for (unsigned i = 0; i < DISKS; i++) {
		if (shard->world->home[i] == shard->number)
			close_disk(shard->world, i);
	}
	loop_free(shard->env);
	return NULL;
}

static struct tls_credentials *make_credentials(void)
{
	char psk[] = REMOTE_PSK_NAME ":" REMOTE_PSK_KEY "\n";
	struct tls_texts texts = { .psk = { "psk", psk, sizeof psk - 1 } };
	struct tls_credentials *credentials;
	struct error error;

	assert_int_equal(tls_credentials_new(&texts, &credentials, &error), 0);
	return credentials;
}

static struct world *world_new(struct nbd_server_limits limits)
{
	struct world *world = memory_new(1, sizeof *world);

	world->limits = limits;
	snprintf(world->folder, sizeof world->folder, "/tmp/offsite-shards-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	snprintf(world->socket, sizeof world->socket, "%s/nbd", world->folder);
	world->exports = exports_new(SHARDS, limits.clients);
	world->credentials = make_credentials();
	for (unsigned i = 0; i < SHARDS; i++) {
		struct shard *shard = &world->shards[i];

		*shard = (struct shard){ .world = world, .number = i };
		world->home[i] = i;
		sem_init(&shard->started, 0, 0);
	}
	return world;
}

static void world_start(struct world *world)
{
	for (unsigned i = SHARDS; i-- > 0;) {
		assert_int_equal(pthread_create(&world->shards[i].thread, NULL, run_shard, &world->shards[i]), 0);
		wait_for(&world->shards[i].started);
	}
}

static int set_up(void **state)
{
	struct world *world = world_new((struct nbd_server_limits){ .clients = 100, .wait_s = 20, .memory = 64 * MIB });

	world_start(world);
	*state = world;
	return 0;
}

static void on_stopped(void *data)
{
	loop_stop(((struct shard *)data)->env);
}

static void on_stop(struct shard *shard, void *data)
{
	(void)data;
	nbd_server_stop(shard->server, on_stopped, shard);
}

static void shard_stop(struct shard *shard)
{
	if (shard->stopped)
		return;
	shard->stopped = true;
	in_shard(shard, on_stop, NULL);
	pthread_join(shard->thread, NULL);
}

static int tear_down(void **state)
{
	struct world *world = *state;

	for (unsigned i = 0; i < SHARDS; i++)
		shard_stop(&world->shards[i]);
	exports_free(world->exports);
	tls_credentials_unref(world->credentials);
	folder_remove(world->folder);
	free(world);
	return 0;
}

/* --- a disk's move --- */

/* Made by the test, used by one thread after the other. */
struct trip {
	struct world *world;
	char name[8];
	unsigned disk, from, to;
	bool loses_disk; /* it cannot be opened where it arrives */
	bool went;       /* and how it ended */
	int answers, send_result;
	struct nbd_departure *departure;
	sem_t done;
};

static void on_trip_arrived(void *data)
{
	struct trip *trip = data;
	struct shard *shard = &trip->world->shards[trip->to];

	if (!trip->loses_disk)
		trip->world->disks[trip->disk] = open_disk(shard, trip->disk);
	trip->world->home[trip->disk] = trip->to;
	nbd_server_arrive(shard->server, trip->departure, trip->world->disks[trip->disk]);
	trip->went = true;
	sem_post(&trip->done);
}

/* Back where it came from. */
static void trip_return(struct trip *trip)
{
	struct shard *shard = &trip->world->shards[trip->from];

	trip->world->disks[trip->disk] = open_disk(shard, trip->disk);
	nbd_server_arrive(shard->server, trip->departure, trip->world->disks[trip->disk]);
	sem_post(&trip->done);
}

static void on_trip_departed(void *data, struct nbd_departure *departure)
{
	struct trip *trip = data;
	int result;

	trip->answers++;
	trip->departure = departure;
	if (departure == NULL) {
		sem_post(&trip->done);
		return;
	}
	close_disk(trip->world, trip->disk);
	result = nbd_departure_send(departure, on_trip_arrived, trip);
	if (result == 0)
		return; /* it is the other thread's, or over */
	trip->send_result = result;
	trip_return(trip);
}

static void on_trip_begin(struct shard *shard, void *data)
{
	struct trip *trip = data;

	nbd_server_depart(shard->server, trip->name, trip->to, on_trip_departed, trip);
}

static void trip_begin(struct trip *trip, struct world *world, unsigned disk, unsigned to)
{
	*trip = (struct trip){ .world = world, .disk = disk, .from = world->home[disk], .to = to };
	snprintf(trip->name, sizeof trip->name, "d-%u", disk);
	sem_init(&trip->done, 0, 0);
	in_shard(&world->shards[trip->from], on_trip_begin, trip);
}

/* Whether it went. */
static bool trip_end(struct trip *trip)
{
	wait_for(&trip->done);
	return trip->went && trip->answers == 1;
}

static bool move(struct world *world, unsigned disk)
{
	struct trip trip;

	trip_begin(&trip, world, disk, 1 - world->home[disk]);
	return trip_end(&trip);
}

static void sleep_ms(int ms)
{
	poll(NULL, 0, ms);
}

static bool has_ended(struct trip *trip)
{
	int value;

	sem_getvalue(&trip->done, &value);
	return value > 0;
}

/* --- what clients do --- */

/* The bytes of one block, by what it was written as. */
static void fill(uint8_t *bytes, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)((i + seed) * 31 + seed / 7 + i / 509);
}

static void expect_block(struct remote *remote, uint64_t offset, uint32_t size, uint64_t seed)
{
	uint8_t *expected = memory_new(1, size), *bytes = memory_new(1, size);

	fill(expected, size, seed);
	remote_read(remote, offset, bytes, size);
	assert_memory_equal(bytes, expected, size);
	free(expected);
	free(bytes);
}

static void put_write(struct remote *remote, uint64_t offset, uint32_t size, uint64_t seed)
{
	uint8_t *bytes = memory_new(1, size);

	fill(bytes, size, seed);
	remote_put_request(remote, NBD_CMD_WRITE, offset, size);
	remote_put(remote, bytes, size);
	free(bytes);
}

#define WINDOW 24
#define BLOCK_MAX (40 * KIB)

static uint32_t block_size(unsigned round, unsigned rank)
{
	return 1 + (round * 7919 + rank * 104729) % (rank % 3 == 0 ? BLOCK_MAX : 3000);
}

/* WINDOW writes at once; then as many reads. Each is answered once, in any order. */
static void use_disk(struct remote *remote, uint64_t at, unsigned round)
{
	uint8_t *expected = memory_new(1, BLOCK_MAX), *bytes = memory_new(1, BLOCK_MAX);

	for (unsigned reads = 0; reads < 2; reads++) {
		uint64_t first = remote->cookie + 1;
		bool answered[WINDOW] = { false };

		for (unsigned i = 0; i < WINDOW; i++) {
			if (reads == 0)
				put_write(remote, at + i * BLOCK_MAX, block_size(round, i), round * 1000 + i);
			else
				remote_put_request(remote, NBD_CMD_READ, at + i * BLOCK_MAX, block_size(round, i));
		}
		remote_flush(remote);
		for (unsigned i = 0; i < WINDOW; i++) {
			uint64_t rank = remote_next_reply(remote) - first;

			assert_true(rank < WINDOW && !answered[rank]);
			answered[rank] = true;
			if (reads == 0)
				continue;
			remote_receive(remote, bytes, block_size(round, (unsigned)rank));
			fill(expected, BLOCK_MAX, round * 1000 + rank);
			assert_memory_equal(bytes, expected, block_size(round, (unsigned)rank));
		}
	}
	free(expected);
	free(bytes);
}

/* --- negotiation --- */

/* Asks for both exports and chooses the one of the other shard, with requests right behind. */
static void choose(struct world *world, uint32_t option, bool secure, unsigned disk)
{
	struct remote remote;
	uint8_t answer[10];
	char name[8];

	snprintf(name, sizeof name, "d-%u", disk);
	remote_open(&remote, world->socket, secure);
	for (unsigned i = 0; i < 3; i++)
		remote_put_info(&remote, NBD_OPT_INFO, i % 2 == 0 ? "d-1" : "d-0");
	if (option == NBD_OPT_GO)
		remote_put_info(&remote, NBD_OPT_GO, name);
	else
		remote_put_option(&remote, NBD_OPT_EXPORT_NAME, name, strlen(name));
	put_write(&remote, 4096, 5000, disk);
	remote_put_request(&remote, NBD_CMD_FLUSH, 0, 0);
	remote_flush(&remote);
	for (unsigned i = 0; i < 3; i++)
		remote_expect_info(&remote, NBD_OPT_INFO);
	if (option == NBD_OPT_GO) {
		remote_expect_info(&remote, NBD_OPT_GO);
	} else {
		remote_receive(&remote, answer, sizeof answer);
		assert_int_equal(get_be64(answer), DISK_SIZE);
	}
	assert_int_equal(remote_next_reply(&remote) + remote_next_reply(&remote), 1 + 2);
	expect_block(&remote, 4096, 5000, disk);
	remote_close(&remote);
}

static void a_client_is_handed_to_the_shard_that_has_its_export(void **state)
{
	for (unsigned i = 0; i < 20; i++) {
		choose(*state, i % 2 == 0 ? NBD_OPT_GO : NBD_OPT_EXPORT_NAME, false, i / 2 % 2);
		choose(*state, i % 2 == 0 ? NBD_OPT_GO : NBD_OPT_EXPORT_NAME, true, i / 2 % 2);
	}
}

static void tls_is_begun_where_the_client_is(void **state)
{
	struct world *world = *state;
	struct remote remote;

	remote_open(&remote, world->socket, false);
	remote_put_info(&remote, NBD_OPT_INFO, "d-1");
	remote_flush(&remote);
	remote_expect_info(&remote, NBD_OPT_INFO); /* from there on it is in shard 1 */
	remote_start_tls(&remote);
	remote_go(&remote, "d-0");
	use_disk(&remote, 0, 1);
	remote_close(&remote);
}

static void expect_listed(struct remote *remote, const char *name, const char *description)
{
	char entry[64] = { 0 };
	size_t size = remote_expect_reply(remote, NBD_OPT_LIST, NBD_REP_SERVER, entry, sizeof entry - 1);

	assert_int_equal(get_be32((uint8_t *)entry), strlen(name));
	assert_int_equal(size, 4 + strlen(name) + strlen(description));
	assert_memory_equal(entry + 4, name, strlen(name));
	assert_string_equal(entry + 4 + strlen(name), description);
}

static void every_shard_lists_all_exports(void **state)
{
	struct world *world = *state;
	struct remote remote;

	remote_open(&remote, world->socket, false);
	for (unsigned i = 0; i < 2; i++) {
		remote_put_option(&remote, NBD_OPT_LIST, NULL, 0);
		remote_put_info(&remote, NBD_OPT_INFO, "d-1");
		remote_flush(&remote);
		expect_listed(&remote, "d-1", "one"); /* shard 1 was started first */
		expect_listed(&remote, "d-0", "zero");
		remote_expect_reply(&remote, NBD_OPT_LIST, NBD_REP_ACK, NULL, 0);
		remote_expect_info(&remote, NBD_OPT_INFO);
	}
	remote_put_info(&remote, NBD_OPT_GO, "d-2");
	remote_flush(&remote);
	remote_expect_reply(&remote, NBD_OPT_GO, NBD_REP_ERR_UNKNOWN, NULL, 0);
	remote_close(&remote);
}

static void the_time_to_choose_goes_on_in_the_other_shard(void **state)
{
	struct world *world = world_new((struct nbd_server_limits){ .clients = 2, .wait_s = 3, .memory = 64 * MIB });
	struct remote remote;
	struct timespec began, ended;
	double took_s;

	world_start(world);
	*state = world;
	remote_open(&remote, world->socket, false);
	clock_gettime(CLOCK_MONOTONIC, &began);
	sleep_ms(1500); /* half of the time, of which the other shard must not begin anew */
	remote_put_info(&remote, NBD_OPT_INFO, "d-1");
	remote_flush(&remote);
	remote_expect_info(&remote, NBD_OPT_INFO);
	remote_expect_end(&remote);
	clock_gettime(CLOCK_MONOTONIC, &ended);
	took_s = (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9;
	assert_true(took_s > 3 * 0.8 && took_s < 3 * 1.45);
	remote_close(&remote);
}

static void clients_of_all_shards_are_counted_together(void **state)
{
	struct world *world = world_new((struct nbd_server_limits){ .clients = 3, .wait_s = 20, .memory = 64 * MIB });
	struct remote remotes[3], more = { .fd = -1 };

	world_start(world);
	*state = world;
	for (unsigned i = 0; i < 3; i++) {
		remote_open(&remotes[i], world->socket, false);
		remote_go(&remotes[i], i == 0 ? "d-0" : "d-1");
	}
	assert_int_equal(exports_admit(world->exports), 0);
	remote_close(&remotes[2]);
	while (exports_admit(world->exports) == 0)
		sleep_ms(1);
	exports_dismiss(world->exports);
	remote_open(&more, world->socket, false);
	remote_go(&more, "d-0");
	remote_close(&more);
	remote_close(&remotes[0]);
	remote_close(&remotes[1]);
}

/* --- moves under clients that are at work --- */

struct mover {
	struct world *world;
	pthread_t thread;
	bool stop; /* atomic */
	unsigned moves;  /* atomic */
	unsigned failures;
};

static void *run_mover(void *data)
{
	struct mover *mover = data;

	while (!__atomic_load_n(&mover->stop, __ATOMIC_ACQUIRE)) {
		if (move(mover->world, 1))
			__atomic_add_fetch(&mover->moves, 1, __ATOMIC_RELAXED);
		else
			mover->failures++;
		sleep_ms(1);
	}
	return NULL;
}

static void mover_start(struct mover *mover, struct world *world)
{
	*mover = (struct mover){ .world = world };
	assert_int_equal(pthread_create(&mover->thread, NULL, run_mover, mover), 0);
}

static void mover_stop(struct mover *mover)
{
	__atomic_store_n(&mover->stop, true, __ATOMIC_RELEASE);
	pthread_join(mover->thread, NULL);
	assert_int_equal(mover->failures, 0);
	assert_true(mover->moves > 10);
}

static void use_while_it_moves(struct world *world, bool secure)
{
	struct remote remotes[3];
	struct mover mover;

	for (unsigned i = 0; i < 3; i++) {
		remote_open(&remotes[i], world->socket, secure);
		remote_go(&remotes[i], "d-1");
	}
	mover_start(&mover, world);
	for (unsigned round = 0; round < 60 || __atomic_load_n(&mover.moves, __ATOMIC_RELAXED) < 20; round++) {
		if (secure && round % 4 == 0)
			remote_update_keys(&remotes[round % 3]);
		use_disk(&remotes[round % 3], (round % 3) * 4 * MIB, round);
	}
	mover_stop(&mover);
	for (unsigned i = 0; i < 3; i++)
		remote_close(&remotes[i]);
}

static void busy_clients_notice_nothing_of_moves(void **state)
{
	use_while_it_moves(*state, false);
}

static void nor_do_those_with_tls(void **state)
{
	use_while_it_moves(*state, true);
}

static void clients_come_and_go_while_it_moves(void **state)
{
	struct world *world = *state;
	struct mover mover;

	mover_start(&mover, world);
	for (unsigned i = 0; i < 100 || __atomic_load_n(&mover.moves, __ATOMIC_RELAXED) < 20; i++)
		choose(world, i % 2 == 0 ? NBD_OPT_GO : NBD_OPT_EXPORT_NAME, i % 4 == 0, i % 8 != 3);
	mover_stop(&mover);
}

/* --- one that is in the middle of something --- */

#define LARGE (3 * MIB)

/* Half a write. */
static void begin_write(struct remote *remote, uint64_t seed, uint8_t **out_rest)
{
	uint8_t *bytes = memory_new(1, LARGE);

	fill(bytes, LARGE, seed);
	remote_put_request(remote, NBD_CMD_WRITE, 0, LARGE);
	remote_send(remote, bytes, LARGE / 2);
	remote_wait_taken(remote);
	*out_rest = bytes;
}

static void end_write(struct remote *remote, uint8_t *rest, uint64_t seed)
{
	uint64_t replies;

	remote_put(remote, rest + LARGE / 2, LARGE / 2);
	put_write(remote, 8 * MIB, 777, seed);
	remote_flush(remote);
	replies = remote_next_reply(remote);
	replies += remote_next_reply(remote); /* in any order */
	assert_int_equal(replies, remote->cookie - 1 + remote->cookie);
	expect_block(remote, 0, LARGE, seed);
	expect_block(remote, 8 * MIB, 777, seed);
	free(rest);
}

/* One that is in the middle of a write to disk 1, one that has chosen that, and one that has not. */
static void come(struct world *world, unsigned secure, struct remote *remote, struct remote *idle, struct remote *late,
		 uint8_t **out_rest)
{
	remote_open(remote, world->socket, secure != 0);
	remote_open(idle, world->socket, secure != 0);
	remote_open(late, world->socket, secure != 0);
	remote_go(remote, "d-1");
	remote_go(idle, "d-1");
	begin_write(remote, 5 + secure, out_rest);
}

static void go(struct remote *remote, struct remote *idle, struct remote *late)
{
	remote_close(remote);
	remote_close(idle);
	remote_close(late);
}

static void a_large_write_is_completed_before_it_moves(void **state)
{
	struct world *world = *state;

	for (unsigned secure = 0; secure < 2; secure++) {
		struct remote remote, idle, late;
		struct trip trip;
		uint8_t *rest;

		come(world, secure, &remote, &idle, &late, &rest);
		trip_begin(&trip, world, 1, 1 - world->home[1]);
		remote_put_info(&late, NBD_OPT_GO, "d-1"); /* waits until it is there */
		put_write(&late, 9 * MIB, 999, secure);
		remote_flush(&late);
		sleep_ms(100);
		assert_false(has_ended(&trip));
		end_write(&remote, rest, 5 + secure);
		assert_true(trip_end(&trip));
		remote_expect_info(&late, NBD_OPT_GO);
		assert_int_equal(remote_next_reply(&late), 1);
		expect_block(&idle, 9 * MIB, 999, secure);
		expect_block(&idle, 0, LARGE, 5 + secure);
		go(&remote, &idle, &late);
	}
}

static void a_write_that_does_not_come_to_its_end_keeps_it_here(void **state)
{
	struct world *world = *state;

	for (unsigned secure = 0; secure < 2; secure++) {
		struct remote remote, idle, late;
		struct trip trip;
		uint8_t *rest;

		come(world, secure, &remote, &idle, &late, &rest);
		trip_begin(&trip, world, 1, 0);
		remote_put_info(&late, NBD_OPT_GO, "d-1");
		remote_flush(&late);
		put_write(&idle, 9 * MIB, 999, secure); /* waits with the others */
		remote_flush(&idle);
		assert_false(trip_end(&trip));
		assert_int_equal(trip.answers, 1);
		remote_expect_info(&late, NBD_OPT_GO);
		assert_int_equal(remote_next_reply(&idle), 1);
		end_write(&remote, rest, 5 + secure);
		expect_block(&late, 9 * MIB, 999, secure);
		assert_true(move(world, 1)); /* now it does */
		assert_true(move(world, 1));
		expect_block(&late, 9 * MIB, 999, secure);
		expect_block(&idle, 0, LARGE, 5 + secure);
		go(&remote, &idle, &late);
	}
}

static void who_leaves_in_the_middle_is_no_hindrance(void **state)
{
	struct world *world = *state;
	struct remote remote, idle;
	struct trip trip;
	uint8_t *rest;

	remote_open(&remote, world->socket, false);
	remote_open(&idle, world->socket, false);
	remote_go(&remote, "d-1");
	remote_go(&idle, "d-1");
	begin_write(&remote, 1, &rest);
	trip_begin(&trip, world, 1, 0);
	remote_close(&remote);
	assert_true(trip_end(&trip));
	use_disk(&idle, 0, 3);
	remote_close(&idle);
	free(rest);
}

/* --- ends --- */

static void a_disk_that_does_not_arrive_ends_its_clients(void **state)
{
	struct world *world = *state;
	struct remote remotes[2], late;
	struct trip trip;

	for (unsigned i = 0; i < 2; i++) {
		remote_open(&remotes[i], world->socket, i == 1);
		remote_go(&remotes[i], "d-1");
	}
	trip = (struct trip){ .world = world, .disk = 1, .from = 1, .to = 0, .loses_disk = true, .name = "d-1" };
	sem_init(&trip.done, 0, 0);
	in_shard(&world->shards[1], on_trip_begin, &trip);
	assert_true(trip_end(&trip));
	for (unsigned i = 0; i < 2; i++) {
		remote_expect_end(&remotes[i]);
		remote_close(&remotes[i]);
	}
	remote_open(&late, world->socket, false);
	remote_put_info(&late, NBD_OPT_GO, "d-1");
	remote_flush(&late);
	remote_expect_reply(&late, NBD_OPT_GO, NBD_REP_ERR_UNKNOWN, NULL, 0);
	remote_close(&late);
}

static void on_unexported(void *data)
{
	sem_post(data);
}

static void on_unexport(struct shard *shard, void *data)
{
	nbd_server_unexport(shard->server, "d-1", on_unexported, data);
}

static void what_is_not_exported_departs_with_nothing(void **state)
{
	struct world *world = *state;
	struct remote remote;
	sem_t done;

	sem_init(&done, 0, 0);
	in_shard(&world->shards[1], on_unexport, &done);
	wait_for(&done);
	assert_true(move(world, 1));
	assert_true(move(world, 1));
	remote_open(&remote, world->socket, false);
	remote_put_info(&remote, NBD_OPT_GO, "d-1");
	remote_flush(&remote);
	remote_expect_reply(&remote, NBD_OPT_GO, NBD_REP_ERR_UNKNOWN, NULL, 0);
	remote_close(&remote);
}

static void an_export_that_ends_does_not_depart(void **state)
{
	struct world *world = *state;
	struct remote remotes[2];
	struct trip trip;
	uint8_t *rest;
	sem_t done;

	for (unsigned i = 0; i < 2; i++) {
		remote_open(&remotes[i], world->socket, i == 1);
		remote_go(&remotes[i], "d-1");
	}
	begin_write(&remotes[0], 1, &rest);
	trip_begin(&trip, world, 1, 0);
	sem_init(&done, 0, 0);
	in_shard(&world->shards[1], on_unexport, &done);
	wait_for(&done);
	assert_false(trip_end(&trip));
	assert_int_equal(trip.answers, 1);
	assert_null(trip.departure);
	for (unsigned i = 0; i < 2; i++) {
		remote_expect_end(&remotes[i]);
		remote_close(&remotes[i]);
	}
	free(rest);
}

static void a_stop_ends_a_departure_that_is_prepared(void **state)
{
	struct world *world = *state;
	struct remote remote;
	struct trip trip;
	uint8_t *rest;

	remote_open(&remote, world->socket, false);
	remote_go(&remote, "d-1");
	begin_write(&remote, 1, &rest);
	trip_begin(&trip, world, 1, 0);
	shard_stop(&world->shards[1]);
	assert_false(trip_end(&trip));
	assert_int_equal(trip.answers, 1);
	assert_null(trip.departure);
	remote_expect_end(&remote);
	remote_close(&remote);
	free(rest);
}

static void a_shard_that_has_stopped_takes_nothing(void **state)
{
	struct world *world = *state;
	struct remote remote, lost;
	struct trip trip;

	remote_open(&remote, world->socket, false);
	remote_go(&remote, "d-0");
	remote_open(&lost, world->socket, true);
	shard_stop(&world->shards[1]);
	trip_begin(&trip, world, 0, 1);
	assert_false(trip_end(&trip));
	assert_int_equal(trip.send_result, -ESHUTDOWN);
	use_disk(&remote, 0, 1); /* at home */
	remote_put_info(&lost, NBD_OPT_GO, "d-1");
	remote_flush(&lost);
	remote_expect_reply(&lost, NBD_OPT_GO, NBD_REP_ERR_UNKNOWN, NULL, 0);
	remote_close(&lost);
	remote_close(&remote);
}

/* Both stop while clients and a disk go from one to the other. */
static void a_stop_in_the_middle_of_it_all_ends(void **state)
{
	for (unsigned i = 0; i < 10; i++) {
		struct world *world = world_new((struct nbd_server_limits){ .clients = 100, .wait_s = 20, .memory = 64 * MIB });
		struct remote remotes[8];
		struct trip trip;

		world_start(world);
		for (unsigned j = 0; j < 8; j++) {
			remote_open(&remotes[j], world->socket, j % 2 == 0);
			if (j < 4)
				remote_go(&remotes[j], "d-1");
		}
		trip_begin(&trip, world, 1, 0);
		for (unsigned j = 0; j < 8; j++) {
			if (j < 4)
				put_write(&remotes[j], j * MIB, 100 * KIB, j);
			else
				remote_put_info(&remotes[j], NBD_OPT_GO, "d-1");
			remote_flush(&remotes[j]);
		}
		*state = world;
		tear_down(state);
		trip_end(&trip);
		assert_int_equal(trip.answers, 1);
		for (unsigned j = 0; j < 8; j++)
			remote_close(&remotes[j]);
	}
	*state = NULL;
}

/* --- the table --- */

static void a_list_misses_none_that_stays(void **state)
{
	struct exports *exports = exports_new(1, 1);
	struct nbd_export export;
	unsigned shard, met = 0;
	uint32_t place = 0;
	char name[16];

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "e-%u", i);
		assert_int_equal(exports_add(exports, name, "text", i % 2), 0);
	}
	assert_int_equal(exports_add(exports, "e-7", "text", 0), -EEXIST);
	for (unsigned i = 0; exports_next(exports, &place, &export); i++) {
		unsigned number = (unsigned)strtoul(export.name + 2, NULL, 10);

		met += number % 2 == 0 && export.name[0] == 'e';
		snprintf(name, sizeof name, "e-%u", 2 * i + 1); /* those with odd numbers go, others come */
		exports_remove(exports, name);
		snprintf(name, sizeof name, "f-%u", i);
		assert_int_equal(exports_add(exports, name, "text", 0), 0);
		if (i == 300)
			break;
	}
	assert_int_equal(met, 50);
	assert_false(exports_find(exports, "e-7", &shard));
	assert_true(exports_find(exports, "e-8", &shard));
	assert_int_equal(shard, 0);
	exports_free(exports);
}

static int tear_down_if_left(void **state)
{
	return *state == NULL ? 0 : tear_down(state);
}

#define in_world(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define in_own_world(test) cmocka_unit_test_setup_teardown(test, NULL, tear_down_if_left)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_world(a_client_is_handed_to_the_shard_that_has_its_export),
		in_world(tls_is_begun_where_the_client_is),
		in_world(every_shard_lists_all_exports),
		in_own_world(the_time_to_choose_goes_on_in_the_other_shard),
		in_own_world(clients_of_all_shards_are_counted_together),
		in_world(busy_clients_notice_nothing_of_moves),
		in_world(nor_do_those_with_tls),
		in_world(clients_come_and_go_while_it_moves),
		in_world(a_large_write_is_completed_before_it_moves),
		in_world(a_write_that_does_not_come_to_its_end_keeps_it_here),
		in_world(who_leaves_in_the_middle_is_no_hindrance),
		in_world(a_disk_that_does_not_arrive_ends_its_clients),
		in_world(what_is_not_exported_departs_with_nothing),
		in_world(an_export_that_ends_does_not_depart),
		in_world(a_stop_ends_a_departure_that_is_prepared),
		in_world(a_shard_that_has_stopped_takes_nothing),
		in_own_world(a_stop_in_the_middle_of_it_all_ends),
		cmocka_unit_test(a_list_misses_none_that_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
