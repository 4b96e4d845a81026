/* The real world: one thread, one io_uring. Made and run by the daemon's shard (and by small test programs). */
#ifndef ENV_URING_LOOP_H
#define ENV_URING_LOOP_H

#include <stddef.h>
#include <stdint.h>

struct env;
struct env_socket;
struct error;

/* `memory_directory` must be on tmpfs (checked) and is made when missing; env_memory_* keep their files there. NULL: no
 * kept memory is offered (env_memory_open fails with -ENOTSUP). Gives the env; env_free releases it. */
int loop_new(const char *memory_directory, struct env **out_env, struct error *error);

/* Before it runs: for how many nanoseconds at most it looks for work before it sleeps, where that has been worth it. 0, as made:
 * it sleeps at once. */
void loop_set_spin(struct env *env, uint64_t spin_ns_max);

/* Runs until loop_stop; the calling thread becomes the env's thread. */
void loop_run(struct env *env);
void loop_stop(struct env *env); /* on the env's thread */
void loop_resume(struct env *env); /* after a stop: loop_run may be called again */

/* From any thread: calls fn(data) on the env's thread, in the order of posting. */
void loop_post(struct env *env, void (*fn)(void *data), void *data);

/* --- a socket that moves from one loop to another, in the same or in another thread --- */

/* A receive under way completes soon, from the loop: with what it has received, or with -ECANCELED and nothing lost.
 * Harmless when there is none. On the env's thread, as the next. */
void loop_socket_interrupt(struct env_socket *socket);
/* Takes the socket out of its env: nothing may be in flight on it. Frees the object; gives the file descriptor, which is
 * the caller's now. */
int loop_socket_leave(struct env_socket *socket);
/* Takes a descriptor that loop_socket_leave gave, and all that was set on it. On that env's thread. */
struct env_socket *loop_socket_join(struct env *env, int fd);

/* Address space for large buffers, of which memory is taken where it is touched, by huge pages if there are any: a multiple of
 * LOOP_PIECE bytes, and aligned to it. NULL: there is none. Any thread. */
#define LOOP_PIECE ((size_t)2 * 1024 * 1024)
void *loop_space_new(size_t size);
void loop_space_release(void *memory, size_t size); /* gives the memory back, not the space; whole pieces */
void loop_space_free(void *space, size_t size);

/* Cancels what is in flight, completes it, and frees everything. */
void loop_free(struct env *env);

#endif
