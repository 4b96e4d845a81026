#include "repl/pace.h"

#include "repl/internal.h"
#include "repl/pace_line.h"

#define SWEEP_TURN 4u
#define TRAIN_GAP_NS (100 * MS_NS)
#define TRAIN_NS_MIN (200 * MS_NS)
#define TRAIN_BYTES_MIN (1024u * 1024u)
#define REST_FACTOR 3u
#define CYCLE_FACTOR_MAX 5u

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t pace_next_cut_ns(const struct pace_cycle *cycle, uint64_t cycle_ns_min, uint64_t rpo_ns)
{
	uint64_t took_ns = cycle->committed_ns - cycle->cut_ns;
	uint64_t in_time_ns = rpo_ns / 2 > took_ns ? rpo_ns / 2 - took_ns : 0;
	uint64_t length_ns = (1 + REST_FACTOR) * (cycle->shipped_ns - cycle->cut_ns);

	length_ns = smaller(length_ns, smaller(in_time_ns, CYCLE_FACTOR_MAX * cycle_ns_min));
	return cycle->cut_ns + (length_ns > cycle_ns_min ? length_ns : cycle_ns_min);
}

/* Room for one more frame, as far as all units together are concerned. Arms the timer when only time is lacking. */
static bool has_room(struct engine *engine, struct link *link)
{
	struct pace *pace = link_pace(link);
	uint64_t window = engine->limits.window_bytes_max, free_ns;

	if (pace->unacked_bytes >= window || link_queued_bytes(link) >= window)
		return false; /* an acknowledgement pumps */
	free_ns = pace_line_free_ns(pace->line, env_now_ns(engine->env));
	if (free_ns > 0)
		env_timer_start(engine->env, &pace->timer, free_ns + MS_NS);
	return free_ns == 0;
}

/* When this unit's recovery point misses its RPO. */
static uint64_t deadline_of(const struct unit *unit)
{
	return unit->sender.recovery_ns + unit->spec.rpo_ms * MS_NS;
}

static bool is_hungry(const struct unit *unit, const struct link *link)
{
	return unit->peer == link && unit->sender.hungry &&
	       (unit->sender.phase == SENDER_SHIPPING || unit->sender.phase == SENDER_SWEEPING);
}

/* The hungry unit whose turn it is, or NULL. */
static struct unit *choose(struct engine *engine, const struct link *link, bool sweeping_first)
{
	struct unit *best = NULL;

	list_for_each(entry, &engine->units) {
		struct unit *unit = container_of(entry, struct unit, entry);
		bool sweeps = unit->sender.phase == SENDER_SWEEPING, best_sweeps;

		if (!is_hungry(unit, link))
			continue;
		best_sweeps = best != NULL && best->sender.phase == SENDER_SWEEPING;
		if (best == NULL || (sweeps != best_sweeps ? sweeps == sweeping_first : deadline_of(unit) < deadline_of(best)))
			best = unit;
	}
	return best;
}

void pace_pump(struct engine *engine, struct link *link)
{
	struct pace *pace = link_pace(link);
	struct unit *unit;

	while (pace->waiting && has_room(engine, link)) {
		unit = choose(engine, link, pace->turns % SWEEP_TURN == SWEEP_TURN - 1);
		if (unit == NULL) {
			pace->waiting = false;
			return;
		}
		pace->turns++;
		unit->sender.hungry = false;
		unit->sender.turn = true;
		if (unit->sender.phase == SENDER_SWEEPING)
			full_sync_pump(unit);
		else
			ship_pump(unit);
		unit->sender.turn = false;
	}
}

static void on_timer(struct env_timer *timer)
{
	struct link *link = timer->data;

	pace_pump(link_engine(link), link);
}

static void on_deferred(struct env_io *io, int result)
{
	struct link *link = io->data;

	(void)result;
	link_pace(link)->deferred = false;
	pace_pump(link_engine(link), link);
}

static void pump_soon(struct engine *engine, struct link *link)
{
	struct pace *pace = link_pace(link);

	if (pace->deferred)
		return;
	pace->deferred = true;
	pace->defer = (struct env_io){ .on_done = on_deferred, .data = link };
	env_defer(engine->env, &pace->defer);
}

bool pace_may_send(struct unit *unit)
{
	struct engine *engine = unit->engine;
	const struct unit *first;

	if (!has_room(engine, unit->peer)) {
		unit->sender.hungry = link_pace(unit->peer)->waiting = true;
		return false;
	}
	if (unit->sender.turn) {
		unit->sender.turn = false; /* one frame a turn, while others wait */
		return true;
	}
	first = link_pace(unit->peer)->waiting ? choose(engine, unit->peer, false) : NULL;
	if (first == NULL || first == unit)
		return true;
	unit->sender.hungry = link_pace(unit->peer)->waiting = true;
	pump_soon(engine, unit->peer);
	return false;
}

void pace_sent(struct unit *unit, uint64_t bytes)
{
	struct pace *pace = link_pace(unit->peer);

	pace->unacked_bytes += bytes;
	pace_line_take(pace->line, bytes, env_now_ns(unit->engine->env));
}

void pace_done(struct unit *unit, uint64_t bytes)
{
	struct pace *pace = link_pace(unit->peer);

	pace->unacked_bytes -= bytes < pace->unacked_bytes ? bytes : pace->unacked_bytes;
	if (pace->waiting)
		pump_soon(unit->engine, unit->peer);
}

static void meter_fold(struct pace *pace, uint64_t elapsed_ns)
{
	uint64_t rate = pace->meter.bytes * 1000 / (elapsed_ns / MS_NS);

	pace->meter.rate = pace->meter.rate == 0 ? rate : (pace->meter.rate + rate) / 2;
}

void pace_count(struct unit *unit, uint64_t bytes)
{
	struct pace *pace = link_pace(unit->peer);
	uint64_t now = env_now_ns(unit->engine->env);

	if (now - pace->meter.last_ns > TRAIN_GAP_NS) {
		if (pace->meter.last_ns - pace->meter.from_ns > TRAIN_NS_MIN && pace->meter.bytes > TRAIN_BYTES_MIN)
			meter_fold(pace, pace->meter.last_ns - pace->meter.from_ns);
		pace->meter.from_ns = now;
		pace->meter.bytes = 0;
	}
	pace->meter.last_ns = now;
	pace->meter.bytes += bytes;
	if (now - pace->meter.from_ns < SECOND_NS)
		return;
	meter_fold(pace, now - pace->meter.from_ns);
	pace->meter.from_ns = now;
	pace->meter.bytes = 0;
}

uint64_t pace_rate(struct link *link)
{
	return link_pace(link)->meter.rate;
}

void pace_init(struct link *link, struct pace_line *line)
{
	struct pace *pace = link_pace(link);

	pace->line = line;
	pace->timer.on_fire = on_timer;
	pace->timer.data = link;
}

void pace_set_limit(struct engine *engine, struct link *link, uint64_t bytes_per_second)
{
	pace_line_limit(link_pace(link)->line, bytes_per_second, env_now_ns(engine->env));
	for (unsigned i = 0; i < LINK_SHARDS_MAX; i++) {
		struct link *one = link_to_shard(link, i);

		if (link_pace(one)->waiting)
			pump_soon(engine, one);
	}
}

void pace_stop(struct engine *engine, struct link *link)
{
	env_timer_stop(engine->env, &link_pace(link)->timer);
}
