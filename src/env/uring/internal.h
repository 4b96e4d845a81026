/* The state of the real world, shared by the files of this folder. One thread, but for the posted list.
 *
 * Every ring entry points to a struct op, whose `on_complete` is called with the kernel's result. An op lives in
 * env_io.private, or in the object it belongs to: no allocation an operation. */
#ifndef ENV_URING_INTERNAL_H
#define ENV_URING_INTERNAL_H

#include <liburing.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "base/list.h"
#include "env/env.h"

struct op {
	void (*on_complete)(struct env *env, struct op *op, int result);
};

struct post {
	struct post *next;
	void (*fn)(void *data);
	void *data;
};

struct env {
	struct io_uring ring;
	bool stopping;
	char *memory_directory;    /* NULL: no kept memory */
	struct list deferred;      /* of env_io, in their private part */
	struct env_timer **timers; /* binary heap; the first is at index 1 */
	size_t timer_count, timer_room;
	uint64_t in_flight;        /* ring entries not completed */
	uint64_t transfers;        /* of them, those of files */
	uint64_t spin_ns_max;      /* to look for work before falling asleep */
	uint64_t spin_ns;          /* of it, for what comes from a socket: as much as paid of late */
	pthread_mutex_t post_lock;
	struct post *posted, **posted_end;
	int event_fd;
	uint64_t event_value;
	bool event_armed;
	struct op event_op;
};

/* A ring entry for the op, counted; never NULL. Without an op (NULL) nobody is told of its end, and it is not counted. */
struct io_uring_sqe *loop_entry(struct env *env, struct op *op);

/* Ends an env_io: its private part is free for the next call. */
static inline void io_end(struct env_io *io, int result)
{
	io->on_done(io, result);
}

/* As env_defer, with that result. */
void env_defer_result(struct env *env, struct env_io *io, int result);

/* timer.c */
void timers_fire(struct env *env);
/* Nanoseconds until the first timer, 0 when it is due, UINT64_MAX when there is none. */
uint64_t timers_wait_ns(struct env *env);

/* memory.c */
int memory_directory_check(const char *path, struct error *error);

/* path.c */
int directory_sync(const char *path_in_it);

#endif
