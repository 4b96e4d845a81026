/* Timers: a binary heap by time; heap_index 0 means "not in it". */
#include "base/memory.h"
#include "env/uring/internal.h"

static void timer_put(struct env *env, size_t index, struct env_timer *timer)
{
	env->timers[index] = timer;
	timer->heap_index = index;
}

static void timer_rise(struct env *env, size_t index)
{
	struct env_timer *timer = env->timers[index];

	while (index > 1 && env->timers[index / 2]->at_ns > timer->at_ns) {
		timer_put(env, index, env->timers[index / 2]);
		index /= 2;
	}
	timer_put(env, index, timer);
}

static void timer_sink(struct env *env, size_t index)
{
	struct env_timer *timer = env->timers[index];

	for (;;) {
		size_t child = 2 * index;

		if (child > env->timer_count)
			break;
		if (child < env->timer_count && env->timers[child + 1]->at_ns < env->timers[child]->at_ns)
			child++;
		if (env->timers[child]->at_ns >= timer->at_ns)
			break;
		timer_put(env, index, env->timers[child]);
		index = child;
	}
	timer_put(env, index, timer);
}

void env_timer_start(struct env *env, struct env_timer *timer, uint64_t at_ns)
{
	env_timer_stop(env, timer);
	if (env->timer_count + 2 > env->timer_room) {
		env->timer_room = env->timer_room == 0 ? 64 : 2 * env->timer_room;
		env->timers = memory_resize(env->timers, env->timer_room, sizeof *env->timers);
	}
	timer->at_ns = at_ns;
	timer_put(env, ++env->timer_count, timer);
	timer_rise(env, timer->heap_index);
}

void env_timer_stop(struct env *env, struct env_timer *timer)
{
	size_t index = timer->heap_index;
	struct env_timer *last;

	if (index == 0)
		return;
	timer->heap_index = 0;
	last = env->timers[env->timer_count--];
	if (last == timer)
		return;
	timer_put(env, index, last);
	timer_rise(env, index);
	timer_sink(env, last->heap_index);
}

uint64_t timers_wait_ns(struct env *env)
{
	uint64_t now = env_now_ns(env);

	if (env->timer_count == 0)
		return UINT64_MAX;
	return env->timers[1]->at_ns > now ? env->timers[1]->at_ns - now : 0;
}

void timers_fire(struct env *env)
{
	uint64_t now = env_now_ns(env);

	/* No more than there are now: one that starts itself again at once must not keep the rest of the loop waiting. */
	for (size_t left = env->timer_count; left > 0 && env->timer_count > 0 && env->timers[1]->at_ns <= now; left--) {
		struct env_timer *timer = env->timers[1];

		env_timer_stop(env, timer);
		timer->on_fire(timer);
	}
}
