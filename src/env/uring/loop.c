#include "env/uring/loop.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "env/uring/internal.h"

#define RING_ENTRIES 1024u
#define DEFERRED_ROUNDS 3u
#define SECOND_NS UINT64_C(1000000000)
#define SPIN_NS_MIN UINT64_C(4000)
#define TRANSFER_SPIN_NS UINT64_C(200000) /* fast devices answer one of several transfers within it */

/* --- time and chance --- */

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

uint64_t env_now_ns(struct env *env)
{
	(void)env;
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t env_wall_ms(struct env *env)
{
	(void)env;
	return clock_ns(CLOCK_REALTIME) / 1000000;
}

void env_random(struct env *env, void *out, size_t size)
{
	uint8_t *at = out;

	(void)env;
	while (size > 0) {
		ssize_t got = getrandom(at, size, 0);

		if (got < 0 && errno != EINTR)
			abort(); /* the kernel promises it for a program that has started */
		if (got > 0) {
			at += got;
			size -= (size_t)got;
		}
	}
}

/* In env_io.private, until its turn comes. */
struct deferred {
	struct list link;
	int result;
};

void env_defer_result(struct env *env, struct env_io *io, int result)
{
	struct deferred *deferred = (struct deferred *)(void *)io->private.words;

	deferred->result = result;
	list_append(&env->deferred, &deferred->link);
}

void env_defer(struct env *env, struct env_io *io)
{
	env_defer_result(env, io, 0);
}

/* --- the ring --- */

struct io_uring_sqe *loop_entry(struct env *env, struct op *op)
{
	struct io_uring_sqe *entry = io_uring_get_sqe(&env->ring);

	while (entry == NULL) { /* the queue is full: hand it over */
		io_uring_submit(&env->ring);
		entry = io_uring_get_sqe(&env->ring);
	}
	io_uring_sqe_set_data(entry, op);
	if (op != NULL)
		env->in_flight++;
	return entry;
}

/* What these defer in turn, such as replies to what has been written, goes out with the same entry into the kernel. */
static void run_deferred(struct env *env)
{
	struct list *link;
	struct list now;

	for (unsigned round = 0; round < DEFERRED_ROUNDS && !list_is_empty(&env->deferred); round++) {
		list_init(&now);
		list_splice(&now, &env->deferred);
		while ((link = list_pop(&now)) != NULL) {
			struct deferred *deferred = container_of(link, struct deferred, link);

			io_end(container_of(deferred, struct env_io, private), deferred->result);
		}
	}
}

static void run_completed(struct env *env)
{
	struct io_uring_cqe *entries[256];
	unsigned count;

	while ((count = io_uring_peek_batch_cqe(&env->ring, entries, 256)) > 0) {
		for (unsigned i = 0; i < count; i++) {
			struct op *op = io_uring_cqe_get_data(entries[i]);
			int result = entries[i]->res;

			if (op == NULL)
				continue;
			env->in_flight--;
			op->on_complete(env, op, result);
		}
		io_uring_cq_advance(&env->ring, count);
	}
}

/* --- posts from other threads --- */

static void event_arm(struct env *env)
{
	struct io_uring_sqe *entry = loop_entry(env, &env->event_op);

	io_uring_prep_read(entry, env->event_fd, &env->event_value, sizeof env->event_value, 0);
	env->event_armed = true;
}

static void run_posted(struct env *env)
{
	struct post *post;

	pthread_mutex_lock(&env->post_lock);
	post = env->posted;
	env->posted = NULL;
	env->posted_end = &env->posted;
	pthread_mutex_unlock(&env->post_lock);
	while (post != NULL) {
		struct post *next = post->next;

		post->fn(post->data);
		free(post);
		post = next;
	}
}

static void on_event(struct env *env, struct op *op, int result)
{
	(void)op;
	(void)result;
	env->event_armed = false;
	run_posted(env);
	if (!env->stopping)
		event_arm(env);
}

/* Under the lock to the end: what was posted may end the loop and free it at once. */
void loop_post(struct env *env, void (*fn)(void *data), void *data)
{
	struct post *post = memory_new(1, sizeof *post);
	uint64_t one = 1;

	post->fn = fn;
	post->data = data;
	pthread_mutex_lock(&env->post_lock);
	*env->posted_end = post;
	env->posted_end = &post->next;
	while (write(env->event_fd, &one, sizeof one) < 0 && errno == EINTR)
		;
	pthread_mutex_unlock(&env->post_lock);
}

/* --- running --- */

static bool loop_has_work(struct env *env)
{
	return io_uring_cq_ready(&env->ring) > 0 || (__atomic_load_n(env->ring.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN) != 0;
}

/* For how long to look for work instead of falling asleep: to be woken takes longer than most requests. While a device is at work
 * on several transfers, the next of them is soon there, or worth the loss; one alone takes what it takes. */
static uint64_t loop_spin_ns(const struct env *env)
{
	if (env->transfers == 0 || env->spin_ns_max == 0)
		return env->spin_ns;
	return env->transfers == 1 ? 0 : env->spin_ns_max < TRANSFER_SPIN_NS ? TRANSFER_SPIN_NS : env->spin_ns_max;
}

/* True: there is something to do. Whoever else wants this processor meanwhile gets it. */
static bool loop_spin(struct env *env, uint64_t spin_ns)
{
	uint64_t until_ns;

	if (spin_ns == 0)
		return false;
	io_uring_submit_and_get_events(&env->ring);
	until_ns = env_now_ns(env) + spin_ns;
	while (!loop_has_work(env)) {
		if (env_now_ns(env) >= until_ns)
			return false;
		sched_yield();
	}
	io_uring_get_events(&env->ring);
	return true;
}

static void loop_sleep(struct env *env, uint64_t wait_ns)
{
	struct __kernel_timespec time;
	struct io_uring_cqe *entry;

	if (wait_ns == UINT64_MAX) {
		io_uring_submit_and_wait(&env->ring, 1);
		return;
	}
	time.tv_sec = (long long)(wait_ns / SECOND_NS);
	time.tv_nsec = (long long)(wait_ns % SECOND_NS);
	io_uring_submit_and_wait_timeout(&env->ring, &entry, 1, &time, NULL);
}

/* Looking is worth it again where it would have been worth it now. */
static void loop_wait(struct env *env)
{
	uint64_t wait_ns = list_is_empty(&env->deferred) ? timers_wait_ns(env) : 0, spin_ns = loop_spin_ns(env), began_ns;

	if (wait_ns == 0) {
		io_uring_submit_and_get_events(&env->ring);
		return;
	}
	if (wait_ns > spin_ns && loop_spin(env, spin_ns))
		return;
	began_ns = env_now_ns(env);
	loop_sleep(env, wait_ns);
	if (env_now_ns(env) - began_ns > env->spin_ns_max)
		env->spin_ns = 0;
	else
		env->spin_ns = env->spin_ns == 0 ? SPIN_NS_MIN : 2 * env->spin_ns;
	if (env->spin_ns > env->spin_ns_max)
		env->spin_ns = env->spin_ns_max;
}

void loop_set_spin(struct env *env, uint64_t spin_ns_max)
{
	env->spin_ns_max = spin_ns_max;
}

void loop_run(struct env *env)
{
	if (!env->event_armed)
		event_arm(env);
	while (!env->stopping) {
		loop_wait(env);
		run_completed(env);
		timers_fire(env);
		run_deferred(env);
	}
}

void loop_stop(struct env *env)
{
	env->stopping = true;
}

void loop_resume(struct env *env)
{
	env->stopping = false;
}

/* Completions are worked off where this thread asks for them, not in the middle of whatever it does: one interrupt and two
 * switches less for each. Kernels before 6.1 do not know that. */
static int ring_init(struct io_uring *ring)
{
	static const unsigned flags[] = { IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0 };
	int result = -EINVAL;

	for (size_t i = 0; result == -EINVAL && i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct io_uring_params params = { .flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | flags[i],
						  .cq_entries = 8 * RING_ENTRIES };

		result = io_uring_queue_init_params(RING_ENTRIES, ring, &params);
	}
	return result;
}

int loop_new(const char *memory_directory, struct env **out_env, struct error *error)
{
	struct env *env;
	int result;

	if (memory_directory != NULL && memory_directory_check(memory_directory, error) < 0)
		return error->code;
	env = memory_new(1, sizeof *env);
	result = ring_init(&env->ring);
	if (result < 0) {
		free(env);
		return error_set_errno(error, result, "the kernel offers no io_uring (is kernel.io_uring_disabled set?)");
	}
	env->event_fd = eventfd(0, EFD_CLOEXEC);
	if (env->event_fd < 0) {
		result = -errno;
		io_uring_queue_exit(&env->ring);
		free(env);
		return error_set_errno(error, result, "no event descriptor");
	}
	env->memory_directory = memory_directory == NULL ? NULL : memory_copy_text(memory_directory);
	env->event_op.on_complete = on_event;
	env->posted_end = &env->posted;
	pthread_mutex_init(&env->post_lock, NULL);
	list_init(&env->deferred);
	*out_env = env;
	return 0;
}

/* What is in flight belongs to files and sockets that are closed by now, or is the event: it is cancelled and waited for. */
void loop_free(struct env *env)
{
	struct io_uring_sync_cancel_reg cancel = {
		.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL, .timeout = { .tv_sec = -1, .tv_nsec = -1 },
	};

	env->stopping = true;
	io_uring_submit(&env->ring);
	io_uring_register_sync_cancel(&env->ring, &cancel);
	while (env->in_flight > 0) {
		struct __kernel_timespec time = { .tv_sec = 1 };
		struct io_uring_cqe *entry;

		if (io_uring_wait_cqe_timeout(&env->ring, &entry, &time) == -ETIME)
			break;
		run_completed(env);
		run_deferred(env);
	}
	run_deferred(env);
	run_posted(env);
	io_uring_queue_exit(&env->ring);
	close(env->event_fd);
	pthread_mutex_destroy(&env->post_lock);
	free(env->memory_directory);
	free(env->timers);
	free(env);
}
