/* Time, chance and processes. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "sim/internal.h"

#define WALL_START_MS UINT64_C(1700000000000)

/* --- chance: splitmix64 --- */

uint64_t sim_random(struct sim *sim)
{
	uint64_t value = sim->random += UINT64_C(0x9E3779B97F4A7C15);

	value = (value ^ value >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	value = (value ^ value >> 27) * UINT64_C(0x94D049BB133111EB);
	return value ^ value >> 31;
}

uint64_t sim_below(struct sim *sim, uint64_t bound)
{
	return sim_random(sim) % bound;
}

bool sim_chance(struct sim *sim, unsigned per_thousand)
{
	return sim_below(sim, 1000) < per_thousand;
}

/* --- events --- */

static bool earlier(const struct sim_event *left, const struct sim_event *right)
{
	return left->at_ns != right->at_ns ? left->at_ns < right->at_ns : left->sequence < right->sequence;
}

static void heap_push(struct sim *sim, struct sim_event *event)
{
	size_t at = ++sim->heap_count;

	if (sim->heap_count + 1 > sim->heap_room) {
		sim->heap_room = sim->heap_room == 0 ? 256 : 2 * sim->heap_room;
		sim->heap = memory_resize(sim->heap, sim->heap_room, sizeof(struct sim_event *));
	}
	while (at > 1 && earlier(event, sim->heap[at / 2])) {
		sim->heap[at] = sim->heap[at / 2];
		at /= 2;
	}
	sim->heap[at] = event;
}

static struct sim_event *heap_pop(struct sim *sim)
{
	struct sim_event *first = sim->heap[1], *last = sim->heap[sim->heap_count--];
	size_t at = 1;

	for (;;) {
		size_t child = 2 * at;

		if (child > sim->heap_count)
			break;
		if (child < sim->heap_count && earlier(sim->heap[child + 1], sim->heap[child]))
			child++;
		if (!earlier(sim->heap[child], last))
			break;
		sim->heap[at] = sim->heap[child];
		at = child;
	}
	if (sim->heap_count > 0)
		sim->heap[at] = last;
	return first;
}

struct sim_event *sim_schedule(struct sim *sim, struct env *env, uint64_t delay_ns,
			       void (*happen)(struct sim *sim, struct sim_event *event))
{
	struct sim_event *event = memory_new(1, sizeof *event);

	event->at_ns = sim->now_ns + delay_ns;
	event->sequence = ++sim->sequence;
	event->env = env;
	event->happen = happen;
	heap_push(sim, event);
	return event;
}

/* The first timer due of any process. */
static struct env_timer *first_timer(struct sim *sim, struct env **out_env)
{
	struct env_timer *first = NULL;

	list_for_each(entry, &sim->processes) {
		struct env *env = container_of(entry, struct env, entry);

		for (size_t i = 0; !env->gone && i < env->timer_count; i++) {
			if (first == NULL || env->timers[i].timer->at_ns < first->at_ns) {
				first = env->timers[i].timer;
				*out_env = env;
			}
		}
	}
	return first;
}

bool sim_boundary(struct env *env)
{
	struct sim *sim = env->sim;

	if (++sim->boundaries == sim->crash_at)
		sim->crashed = env;
	return sim->crashed == env;
}

static void after_event(struct sim *sim)
{
	struct env *env = sim->crashed;

	sim->crashed = NULL;
	if (env != NULL && !env->gone)
		sim->on_crashed(sim->crashed_data, env);
}

bool sim_step(struct sim *sim, uint64_t limit_ns)
{
	struct env *env = NULL;
	struct env_timer *timer = first_timer(sim, &env);
	struct sim_event *event = sim->heap_count > 0 ? sim->heap[1] : NULL;

	if (timer != NULL && (event == NULL || timer->at_ns < event->at_ns)) {
		if (timer->at_ns > limit_ns)
			return false;
		if (timer->at_ns > sim->now_ns)
			sim->now_ns = timer->at_ns;
		env_timer_stop(env, timer);
		sim->events++;
		timer->on_fire(timer);
		after_event(sim);
		return true;
	}
	if (event == NULL || event->at_ns > limit_ns)
		return false;
	heap_pop(sim);
	sim->now_ns = event->at_ns;
	sim->events++;
	if (event->env == NULL || !event->env->gone)
		event->happen(sim, event);
	free(event->bytes);
	free(event);
	after_event(sim);
	return true;
}

void sim_run_until(struct sim *sim, uint64_t at_ns)
{
	while (sim_step(sim, at_ns))
		;
	if (sim->now_ns < at_ns)
		sim->now_ns = at_ns;
}

struct sim *sim_new(uint64_t seed)
{
	struct sim *sim = memory_new(1, sizeof *sim);

	sim->random = seed * UINT64_C(0x2545F4914F6CDD1D) + 1;
	sim->now_ns = 1000 * MS;
	list_init(&sim->listeners);
	list_init(&sim->sockets);
	list_init(&sim->processes);
	return sim;
}

void sim_free(struct sim *sim)
{
	struct list *entry;

	while (sim->heap_count > 0) {
		struct sim_event *event = heap_pop(sim);

		free(event->bytes);
		free(event);
	}
	while ((entry = list_pop(&sim->processes)) != NULL) {
		struct env *env = container_of(entry, struct env, entry);

		free(env->timers);
		free(env);
	}
	free(sim->heap);
	free(sim);
}

/* --- processes --- */

struct env *sim_process_start(struct sim *sim, struct sim_host *host)
{
	struct env *env = memory_new(1, sizeof *env);

	env->sim = sim;
	env->host = host;
	list_append(&sim->processes, &env->entry);
	return env;
}

void sim_process_kill(struct env *env)
{
	sim_sockets_of_dead(env);
	sim_files_of_dead(env);
	env->gone = true;
	env->timer_count = 0;
}

/* --- env.h --- */

uint64_t env_now_ns(struct env *env)
{
	return env->sim->now_ns;
}

uint64_t env_wall_ms(struct env *env)
{
	struct sim *sim = env->sim;
	uint64_t wall_ms = WALL_START_MS + sim->now_ns / MS + (uint64_t)env->wall_offset_ms;
	size_t slots = sizeof sim->walls / sizeof sim->walls[0];

	if (sim->wall_count == 0 || sim->walls[(sim->wall_count - 1) % slots].wall_ms != wall_ms) {
		sim->walls[sim->wall_count % slots].wall_ms = wall_ms;
		sim->walls[sim->wall_count++ % slots].now_ns = sim->now_ns;
	}
	return wall_ms;
}

void sim_clock_jump(struct env *env, int64_t milliseconds)
{
	env->wall_offset_ms += milliseconds;
}

uint64_t sim_when(const struct sim *sim, uint64_t wall_ms)
{
	size_t slots = sizeof sim->walls / sizeof sim->walls[0];
	uint64_t when = 0;

	/* The first time in that millisecond: in between others may have read clocks that are set differently. */
	for (uint64_t i = sim->wall_count; i > 0 && sim->wall_count - i < slots; i--) {
		if (when != 0 && when - sim->walls[(i - 1) % slots].now_ns > MS)
			break;
		if (sim->walls[(i - 1) % slots].wall_ms == wall_ms)
			when = sim->walls[(i - 1) % slots].now_ns;
	}
	return when;
}

void env_random(struct env *env, void *out, size_t size)
{
	uint8_t *bytes = out;

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)sim_random(env->sim);
}

void env_timer_start(struct env *env, struct env_timer *timer, uint64_t at_ns)
{
	env_timer_stop(env, timer);
	if (env->timer_count == env->timer_room) {
		env->timer_room = env->timer_room == 0 ? 16 : 2 * env->timer_room;
		env->timers = memory_resize(env->timers, env->timer_room, sizeof *env->timers);
	}
	timer->at_ns = at_ns;
	env->timers[env->timer_count++].timer = timer;
	timer->heap_index = env->timer_count;
}

void env_timer_stop(struct env *env, struct env_timer *timer)
{
	size_t index = timer->heap_index;

	if (index == 0)
		return;
	env->timers[index - 1] = env->timers[--env->timer_count];
	env->timers[index - 1].timer->heap_index = index;
	timer->heap_index = 0;
}

static void on_deferred(struct sim *sim, struct sim_event *event)
{
	(void)sim;
	event->io->on_done(event->io, 0);
}

void env_defer(struct env *env, struct env_io *io)
{
	sim_schedule(env->sim, env, 0, on_deferred)->io = io;
}
