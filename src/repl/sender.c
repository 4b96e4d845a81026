/* The primary's half: offers itself, runs one cycle after the other, and gives an epoch up whenever something is in its way.
 *
 *   OFF -> OFFERING -> [SWEEPING ->] WAITING -> [RESERVING ->] DRAINING -> SHIPPING -> ENDING -> PROVING -> WAITING ...
 *
 * Bits of the change map are dropped in one place (on_proven), after the secondary's acknowledgement of the epoch they
 * are in, and after this side's own record of it is durable, so that a secondary restored from an older state is told apart. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/planted.h"
#include "repl/internal.h"

#define RETRY_NS (2 * SECOND_NS)
#define RESERVE_EPOCHS 1024u
#define SCRUB_SLICE_BLOCKS (32u * 1024u * 1024u / DISK_BLOCK_SIZE) /* a cycle */
/* A switchover begins its last epoch once the one before was small, or after so many cycles. */
#define HANDOVER_BYTES (16u * 1024u * 1024u)
#define HANDOVER_CYCLES 8u
#define HOLD_NS_MAX (20 * SECOND_NS)

static void sender_arm(struct unit *unit, uint64_t at_ns);
static void sender_cut(struct unit *unit);
static void sender_off(struct unit *unit);

static uint64_t open_blocks(const struct unit *unit)
{
	uint64_t blocks = 0;

	for (uint32_t i = 0; i < unit->spec.disk_count; i++)
		blocks += disk_open_blocks(unit->disks[i].disk);
	return blocks;
}

static void sender_offer(struct unit *unit)
{
	struct frame_offer offer = { .committed = unit->record.committed, .floor = unit->record.floor,
		.copy = unit->record.copy, .disk_count = unit->spec.disk_count };
	uint8_t payload[FRAME_OFFER_SIZE_MAX];
	struct frame_header header;
	uint32_t size;

	for (uint32_t i = 0; i < offer.disk_count; i++)
		offer.sizes[i] = disk_size(unit->disks[i].disk);
	memcpy(offer.unit, unit->spec.id, sizeof offer.unit);
	size = frame_offer_encode(&offer, payload);
	unit_header(unit, FRAME_UNIT_OFFER, ++unit->sender.offer, 0, &header);
	unit->sender.phase = SENDER_OFFERING;
	link_send_small(unit->peer, &header, payload, size);
	sender_arm(unit, env_now_ns(unit->engine->env) + RETRY_NS); /* an offer may be passed over: it is made again */
}

/* --- looking for the shard that has the other half --- */

/* The next of the peer's shards, from the present one around, that has not said in this round that it does not know the unit;
 * `up`: of those whose link is up, else of those whose is down. NULL: there is none. */
static struct link *next_link(const struct unit *unit, bool up)
{
	for (unsigned i = 0; i < LINK_SHARDS_MAX; i++) {
		unsigned shard = (link_shard(unit->peer) + i) % LINK_SHARDS_MAX;
		struct link *link = link_to_shard(unit->peer, shard);

		if (link_is_up(link) == up && (up || shard < link_shards(link)) && (unit->sender.unknown >> shard & 1) == 0)
			return link;
	}
	return NULL;
}

/* Begins a round of offers: takes the present link when it is up, else another. False when none is. */
static bool sender_find_link(struct unit *unit)
{
	struct link *link;

	unit->sender.unknown = 0;
	link = next_link(unit, true);
	if (link != NULL)
		unit_take_link(unit, link);
	return link != NULL;
}

void sender_unknown(struct unit *unit)
{
	const char *reason = frame_verdict_text(FRAME_VERDICT_UNKNOWN_UNIT);
	struct link *next;

	sender_off(unit);
	unit->sender.unknown |= 1u << link_shard(unit->peer);
	next = next_link(unit, true);
	if (next != NULL) {
		unit_take_link(unit, next);
		sender_offer(unit);
		return;
	}
	next = next_link(unit, false);
	if (next != NULL)
		reason = link_reason(next); /* it may be there */
	else if (strcmp(unit->reason, reason) != 0)
		log_event(LOG_WARNING, "unit.unknown", "unit=%s peer=%s", unit->spec.id, link_peer(unit->peer));
	sender_wait(unit, reason);
}

/* --- switchover: catch up, hold writes for the last epoch, then follow --- */

static void hold_disks(struct unit *unit, bool held)
{
	for (uint32_t i = 0; i < unit->spec.disk_count; i++)
		disk_hold(unit->disks[i].disk, held);
}

static void handover_give_up(struct unit *unit, const char *reason)
{
	if (unit->sender.handover == HANDOVER_NONE)
		return;
	log_event(LOG_WARNING, "unit.switchover_given_up", "unit=%s reason=\"%s\"", unit->spec.id, reason);
	unit->sender.handover = HANDOVER_NONE;
	hold_disks(unit, false);
	snprintf(unit->reason, sizeof unit->reason, "%s", reason);
	unit_tell(unit, true);
}

void sender_hand_over(struct unit *unit)
{
	unit->sender.handover = HANDOVER_WANTED;
	unit->sender.handover_cycles = 0;
	unit->sender.commit_needed = true;
	if (unit->sender.phase == SENDER_WAITING)
		sender_arm(unit, env_now_ns(unit->engine->env));
}

static void handover_before_cut(struct unit *unit)
{
	struct sender *sender = &unit->sender;

	if (sender->handover != HANDOVER_WANTED)
		return;
	if (open_blocks(unit) * DISK_BLOCK_SIZE > HANDOVER_BYTES && sender->handover_cycles++ < HANDOVER_CYCLES)
		return;
	sender->handover = HANDOVER_HOLDING;
	sender->hold_ns = env_now_ns(unit->engine->env);
	hold_disks(unit, !PLANTED(SWITCHOVER_HOLDS_NOTHING));
	sender_arm(unit, sender->hold_ns + HOLD_NS_MAX);
}

static void on_timer(struct env_timer *timer)
{
	struct unit *unit = timer->data;

	if (!unit->sender.started || unit->engine->closing)
		return;
	if (unit->sender.handover == HANDOVER_HOLDING && unit->sender.phase >= SENDER_DRAINING) {
		if (unit->sender.phase == SENDER_PROVING)
			return;
		handover_give_up(unit, "the last epoch of the switchover took too long: writes go on here");
		sender_abandon(unit);
		unit->sender.phase = SENDER_WAITING;
		sender_cut_soon(unit);
	} else if (unit->sender.phase == SENDER_WAITING)
		sender_cut(unit);
	else if ((unit->sender.phase == SENDER_OFF || unit->sender.phase == SENDER_OFFERING) && sender_find_link(unit))
		sender_offer(unit);
}

static void sender_arm(struct unit *unit, uint64_t at_ns)
{
	env_timer_start(unit->engine->env, &unit->sender.timer, at_ns);
}

void sender_patience(struct unit *unit)
{
	sender_arm(unit, env_now_ns(unit->engine->env) + RETRY_NS);
}

static void tell_peer(struct unit *unit, enum frame_type type)
{
	struct frame_header header;

	unit_header(unit, type, unit->record.committed, env_wall_ms(unit->engine->env), &header);
	link_send_small(unit->peer, &header, NULL, 0);
}

static void on_dirty(void *data)
{
	struct unit *unit = data;
	struct sender *sender = &unit->sender;

	if (sender->phase != SENDER_WAITING || sender->commit_needed || !sender->started)
		return;
	tell_peer(unit, FRAME_UNIT_BUSY);
	sender_cut_soon(unit);
	unit_tell(unit, true); /* that the recovery point is as good as now is no longer true */
}

void sender_cut_soon(struct unit *unit)
{
	uint64_t now = env_now_ns(unit->engine->env);

	sender_arm(unit, unit->sender.next_cut_ns > now ? unit->sender.next_cut_ns : now);
}

static void on_shippable(void *data)
{
	ship_pump(data);
}

static void on_kept_exceeded(void *data)
{
	struct unit *unit = data;

	log_event(LOG_WARNING, "unit.abandoned", "unit=%s epoch=%llu reason=\"no memory left for old bytes: the cycle is merged"
		  " into the next\"", unit->spec.id, (unsigned long long)unit->sender.closed_epoch);
	sender_abandon(unit);
	unit->sender.phase = SENDER_WAITING;
	sender_cut_soon(unit);
}

void sender_init(struct unit *unit)
{
	unit->sender.epoch = 1;
	unit->sender.timer.on_fire = on_timer;
	unit->sender.timer.data = unit;
	list_init(&unit->sender.sweep_runs);
	list_init(&unit->sender.asking);
	unit->kept.on_exceeded = on_kept_exceeded;
	unit->kept.data = unit;
}

static void sender_connect(struct unit *unit)
{
	bool found = sender_find_link(unit);

	unit_move(unit, UNIT_CONNECTING, found ? "" : link_reason(unit->peer));
	if (found)
		sender_offer(unit);
}

void sender_start(struct unit *unit)
{
	if (unit->record.condition != RECORD_LEADING || unit->state == UNIT_FAILED || unit->sender.phase != SENDER_OFF)
		return;
	for (uint32_t i = 0; i < unit->spec.disk_count; i++) {
		disk_on_dirty(unit->disks[i].disk, on_dirty, unit);
		disk_on_shippable(unit->disks[i].disk, on_shippable, unit);
	}
	unit->sender.recovery_ns = env_now_ns(unit->engine->env);
	sender_connect(unit);
}

/* What is in flight loses its meaning; closed bits join the open epoch. */
void sender_abandon(struct unit *unit)
{
	struct sender *sender = &unit->sender;

	handover_give_up(unit, "the switchover was given up before its last epoch was committed: writes go on here");
	if (sender->phase >= SENDER_DRAINING)
		unit->abandoned++;
	sender->generation++;
	sender->ships = 0;
	ship_forget_asking(unit);
	sender->draining = 0;
	sender_forget_window(unit);
	full_sync_forget(unit);
	for (uint32_t i = 0; i < unit->spec.disk_count; i++)
		disk_epoch_abandon(unit->disks[i].disk);
}

static void sender_off(struct unit *unit)
{
	sender_abandon(unit);
	unit->sender.phase = SENDER_OFF;
	env_timer_stop(unit->engine->env, &unit->sender.timer);
}

void sender_stop(struct unit *unit, bool tell)
{
	if (tell && unit->sender.phase != SENDER_OFF)
		tell_peer(unit, FRAME_UNIT_STOP);
	unit->sender.started = false;
	sender_off(unit);
	if (unit->record.condition == RECORD_LEADING && unit->state != UNIT_FAILED)
		unit_move(unit, UNIT_STOPPED, "");
}

void sender_pause(struct unit *unit)
{
	if (unit->record.condition == RECORD_LEADING && unit->state != UNIT_FAILED)
		sender_off(unit);
}

void sender_resume(struct unit *unit)
{
	if (!unit->sender.started || unit->record.condition != RECORD_LEADING || unit->state == UNIT_FAILED)
		return;
	sender_connect(unit);
}

void sender_wait(struct unit *unit, const char *reason)
{
	sender_off(unit);
	unit_move(unit, UNIT_CONNECTING, reason);
	sender_arm(unit, env_now_ns(unit->engine->env) + RETRY_NS);
}

/* The link that came up is the one the unit had, or one more to ask: when it has nobody, or has asked all others. */
void sender_link_up(struct unit *unit, struct link *link)
{
	struct sender *sender = &unit->sender;
	bool lost = !link_is_up(unit->peer), asked = sender->phase == SENDER_OFF && sender->unknown != 0;

	if (!sender->started || unit->step != STEP_NONE || unit->record.condition != RECORD_LEADING || unit->state == UNIT_FAILED)
		return;
	if (unit->peer != link && !lost && !asked)
		return;
	if (lost || unit->peer == link)
		sender->unknown = 0;
	unit_take_link(unit, link);
	sender_offer(unit);
}

void sender_link_down(struct unit *unit, const char *reason)
{
	if (!unit->sender.started || unit->record.condition != RECORD_LEADING || unit->state == UNIT_FAILED ||
	    unit->step != STEP_NONE)
		return;
	sender_off(unit);
	unit_move(unit, UNIT_CONNECTING, reason);
}

/* --- scrub: a slice a cycle is compared with the other side --- */

static void scrub_next_slice(struct unit *unit)
{
	uint64_t blocks = 0;

	for (uint32_t i = 0; i < unit->spec.disk_count; i++) {
		struct disk *disk = unit->disks[i].disk;

		if (disk_scrub_next(disk, SCRUB_SLICE_BLOCKS)) {
			unit->scrubbed_bytes = 0;
			for (uint32_t k = 0; k < unit->spec.disk_count; k++)
				blocks += disk_scrubbed_blocks(unit->disks[k].disk);
			unit->scrubbed_bytes = blocks * DISK_BLOCK_SIZE;
			return;
		}
	}
	unit->sender.scrubbing = false;
	log_event(unit->scrub_differences == 0 ? LOG_INFO : LOG_ERROR, "unit.scrubbed", "unit=%s differences=%llu", unit->spec.id,
		  (unsigned long long)unit->scrub_differences);
}

void sender_scrub(struct unit *unit)
{
	unit->scrubbed_bytes = unit->scrub_differences = 0;
	for (uint32_t i = 0; i < unit->spec.disk_count; i++)
		disk_scrub_begin(unit->disks[i].disk);
	unit->sender.scrubbing = true;
	if (unit->sender.phase == SENDER_WAITING)
		sender_cut_soon(unit);
}

void sender_welcomed(struct unit *unit)
{
	unit->sender.commit_needed = true; /* a fresh recovery point, even when nothing has changed */
#ifdef OFFSITE_PLANTED
	for (uint32_t i = 0; PLANTED(HANDSHAKE_CLEARS_BITS) && i < unit->spec.disk_count; i++)
		disk_forget_dirty(unit->disks[i].disk);
#endif
	if (unit->record.content == COPY_PARTIAL) {
		full_sync_begin(unit);
		return;
	}
	unit->sender.phase = SENDER_WAITING;
	unit_move(unit, UNIT_CATCHING_UP, "");
	sender_cut_soon(unit);
}

/* --- the window --- */

bool sender_may_send(struct unit *unit)
{
	return unit->sender.sent_last - unit->sender.sent_first < SENT_MAX - SHIPS_MAX && pace_may_send(unit);
}

void sender_forget_window(struct unit *unit)
{
	struct sender *sender = &unit->sender;

	pace_done(unit, sender->unacked_bytes);
	sender->unacked_bytes = 0;
	sender->sent_first = sender->sent_last;
	sender->hungry = false;
}

void sender_sent(struct unit *unit, uint64_t bytes)
{
	struct sender *sender = &unit->sender;

	assert(sender->sent_last - sender->sent_first < SENT_MAX);
	sender->sent[sender->sent_last++ % SENT_MAX] = (struct sent){ .sequence = sender->sequence, .bytes = bytes };
	sender->unacked_bytes += bytes;
	pace_sent(unit, bytes);
	unit->shipped_bytes += bytes;
}

void sender_on_flow(struct unit *unit, uint64_t sequence)
{
	struct sender *sender = &unit->sender;

	while (sender->sent_first < sender->sent_last && sender->sent[sender->sent_first % SENT_MAX].sequence <= sequence) {
		uint64_t bytes = sender->sent[sender->sent_first % SENT_MAX].bytes;

		sender->unacked_bytes -= bytes;
		sender->sent_first++;
		pace_done(unit, bytes);
	}
	if (sender->phase == SENDER_SWEEPING)
		full_sync_pump(unit);
	else if (sender->phase == SENDER_SHIPPING)
		ship_pump(unit);
}

/* --- a cycle --- */

static void on_drained(void *data)
{
	struct unit *unit = data;

	assert(unit->sender.phase == SENDER_DRAINING && unit->sender.draining > 0);
	if (--unit->sender.draining > 0)
		return;
	unit->sender.phase = SENDER_SHIPPING;
	ship_pump(unit);
}

static void on_reserved(struct record_write *write, int result)
{
	struct unit *unit = write->data;

	unit->sender.record_writing = false;
	if (result < 0)
		unit_fail(unit, "writing the unit's record", result);
	else if (unit->sender.phase == SENDER_RESERVING) {
		unit->sender.phase = SENDER_WAITING;
		sender_cut(unit);
	}
}

static void sender_cut(struct unit *unit)
{
	struct sender *sender = &unit->sender;
	uint64_t blocks = 0;

	if (sender->record_writing) { /* of an epoch given up meanwhile: its end is near */
		sender_arm(unit, env_now_ns(unit->engine->env) + 10 * MS_NS);
		return;
	}
	if (!sender->commit_needed && !sender->scrubbing && open_blocks(unit) == 0)
		return;
	if (sender->epoch >= unit->record.epoch_reserved) {
		sender->phase = SENDER_RESERVING;
		unit->record.epoch_reserved = sender->epoch + RESERVE_EPOCHS;
		sender->record_writing = true;
		record_write(&unit->file, &sender->record_write, &unit->record, on_reserved, unit);
		return;
	}
	handover_before_cut(unit);
	if (sender->scrubbing && sender->handover == HANDOVER_NONE)
		scrub_next_slice(unit);
	sender->phase = SENDER_DRAINING;
	sender->closed_epoch = sender->epoch++;
	sender->closed_wall_ms = env_wall_ms(unit->engine->env);
	sender->cut_ns = env_now_ns(unit->engine->env);
	sender->next_cut_ns = sender->cut_ns + unit->engine->limits.cycle_ms_min * MS_NS;
	sender->sequence = 0;
	sender->ship_disk = 0;
	sender->draining = unit->spec.disk_count + 1; /* one for this loop: the last drain must not end it early */
	for (uint32_t i = 0; i < unit->spec.disk_count; i++) {
		disk_cut(unit->disks[i].disk, on_drained, unit);
		blocks += disk_closed_blocks(unit->disks[i].disk);
	}
	unit->total_bytes = blocks * DISK_BLOCK_SIZE;
	unit->done_bytes = 0;
	on_drained(unit);
}

void sender_shipped(struct unit *unit)
{
	struct frame_end end = { .frames = unit->sender.sequence, .wall_ms = unit->sender.closed_wall_ms };
	uint8_t payload[FRAME_END_SIZE];
	struct frame_header header;

	unit->sender.phase = SENDER_ENDING;
	unit->sender.shipped_ns = env_now_ns(unit->engine->env);
	frame_end_encode(&end, payload);
	unit_header(unit, FRAME_EPOCH_END, unit->sender.closed_epoch, 0, &header);
	link_send_small(unit->peer, &header, payload, sizeof payload);
}

/* The proof is durable on both sides: now, and only now, the bits go. */
static void sender_proven(struct unit *unit)
{
	struct sender *sender = &unit->sender;
	const struct pace_cycle cycle = { sender->cut_ns, sender->shipped_ns, env_now_ns(unit->engine->env) };

	for (uint32_t i = 0; i < unit->spec.disk_count; i++)
		disk_epoch_commit(unit->disks[i].disk);
	sender_forget_window(unit);
	sender->phase = SENDER_WAITING;
	sender->commit_needed = false;
	sender->recovery_ns = sender->cut_ns;
	sender->next_cut_ns = pace_next_cut_ns(&cycle, unit->engine->limits.cycle_ms_min * MS_NS, unit->spec.rpo_ms * MS_NS);
	unit->done_bytes = unit->total_bytes;
	log_event(LOG_DEBUG, "unit.committed", "unit=%s epoch=%llu bytes=%llu", unit->spec.id,
		  (unsigned long long)sender->closed_epoch, (unsigned long long)unit->total_bytes);
	if (sender->handover == HANDOVER_HOLDING) {
		unit_handed_over(unit);
		return;
	}
	if (sender->handover == HANDOVER_WANTED) {
		sender->commit_needed = true;
		sender_arm(unit, env_now_ns(unit->engine->env));
		return;
	}
	if (sender->one_shot) {
		sender->one_shot_done = true;
		sender_stop(unit, true);
		return;
	}
	if (open_blocks(unit) > 0 || sender->scrubbing)
		sender_cut_soon(unit);
	else
		tell_peer(unit, FRAME_UNIT_IDLE);
	unit_move(unit, UNIT_CYCLING, "");
	unit_tell(unit, true);
}

static void on_proven(struct record_write *write, int result)
{
	struct unit *unit = write->data;

	unit->sender.record_writing = false;
	if (result < 0)
		unit_fail(unit, "writing the unit's record", result);
	else if (unit->sender.phase == SENDER_PROVING)
		sender_proven(unit);
}

void sender_on_epoch_ack(struct unit *unit, const struct frame_header *header)
{
	struct sender *sender = &unit->sender;

	if (sender->phase != SENDER_ENDING || header->epoch != sender->closed_epoch || header->term != unit->record.term)
		return;
	sender->phase = SENDER_PROVING;
	unit->record.committed = sender->closed_epoch;
	unit->record.committed_wall_ms = sender->closed_wall_ms;
	unit->record.wall_ahead_ms = 0;
	unit->record.floor = sender->closed_epoch;
	unit->record.content = COPY_POINT;
	if (sender->epoch + RESERVE_EPOCHS / 2 > unit->record.epoch_reserved)
		unit->record.epoch_reserved = sender->epoch + RESERVE_EPOCHS; /* costs nothing here */
	sender->record_writing = true;
	record_write(&unit->file, &sender->record_write, &unit->record, on_proven, unit);
}
