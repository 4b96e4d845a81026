/* A unit: its state, its record, opening, failing over, and what people are told. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "repl/internal.h"

#define TELL_NS (250 * MS_NS)
#define RATE_NS (1000 * MS_NS)

const char *unit_state_name(enum unit_state state)
{
	static const char *const names[UNIT_STATES] = {
		[UNIT_STOPPED] = "stopped", [UNIT_CONNECTING] = "connecting", [UNIT_FULL_SYNC] = "full sync",
		[UNIT_CATCHING_UP] = "catching up", [UNIT_CYCLING] = "cycling", [UNIT_FAILED_OVER] = "failed over",
		[UNIT_SUPERSEDED] = "superseded", [UNIT_FAILED] = "failed",
	};

	return state < UNIT_STATES ? names[state] : "?";
}

#define to(state) (1u << UNIT_##state)

/* Which state may follow which; unit_move is the one place that goes from one to another. */
static const unsigned permitted[UNIT_STATES] = {
	[UNIT_STOPPED] = to(CONNECTING) | to(FULL_SYNC) | to(CATCHING_UP) | to(FAILED_OVER) | to(SUPERSEDED) | to(FAILED),
	[UNIT_CONNECTING] = to(STOPPED) | to(FULL_SYNC) | to(CATCHING_UP) | to(FAILED_OVER) | to(SUPERSEDED) | to(FAILED),
	[UNIT_FULL_SYNC] = to(STOPPED) | to(CONNECTING) | to(CATCHING_UP) | to(CYCLING) | to(FAILED_OVER) |
			   to(SUPERSEDED) | to(FAILED),
	[UNIT_CATCHING_UP] = to(STOPPED) | to(CONNECTING) | to(FULL_SYNC) | to(CYCLING) | to(FAILED_OVER) | to(SUPERSEDED) |
			     to(FAILED),
	[UNIT_CYCLING] = to(STOPPED) | to(CONNECTING) | to(FULL_SYNC) | to(CATCHING_UP) | to(FAILED_OVER) | to(SUPERSEDED) |
			 to(FAILED),
	[UNIT_FAILED_OVER] = to(STOPPED) | to(FAILED),
	[UNIT_SUPERSEDED] = to(STOPPED) | to(FAILED),
	[UNIT_FAILED] = 0,
};

void unit_move(struct unit *unit, enum unit_state state, const char *reason)
{
	bool same = unit->state == state && strcmp(unit->reason, reason) == 0;

	assert(unit->state == state || (permitted[unit->state] & 1u << state) != 0);
	if (unit->state != state)
		log_event(LOG_INFO, "unit.state", "unit=%s from=\"%s\" to=\"%s\" reason=\"%s\"", unit->spec.id,
			  unit_state_name(unit->state), unit_state_name(state), reason);
	unit->state = state;
	snprintf(unit->reason, sizeof unit->reason, "%s", reason);
	if (!same)
		unit_tell(unit, true);
}

void unit_fail(struct unit *unit, const char *what, int code)
{
	char reason[sizeof unit->reason];

	if (unit->state == UNIT_FAILED)
		return;
	snprintf(reason, sizeof reason, "%s: %s", what, error_meaning(code));
	log_event(LOG_ERROR, "unit.failed", "unit=%s reason=\"%s\"", unit->spec.id, reason);
	if (unit_leads(unit))
		sender_stop(unit, false);
	else
		handshake_refuse(unit, FRAME_VERDICT_FAILED, reason);
	receiver_detach(unit, reason);
	unit->receiver.teller.active = false;
	unit_move(unit, UNIT_FAILED, reason);
}

bool unit_leads(const struct unit *unit)
{
	return unit->record.condition != RECORD_FOLLOWING;
}

bool unit_follows(const struct unit *unit)
{
	return unit->record.condition == RECORD_FOLLOWING;
}

bool unit_is_with(const struct unit *unit, const struct link *link)
{
	return link_to_shard(unit->peer, link_shard(link)) == link;
}

void unit_take_link(struct unit *unit, struct link *link)
{
	assert(unit_is_with(unit, link));
	if (unit->peer == link)
		return;
	/* What is counted on the old link is counted by its pace. */
	assert(unit->sender.phase <= SENDER_OFFERING && unit->sender.unacked_bytes == 0 && !unit->sender.hungry);
	assert(!unit->receiver.attached);
	unit->peer = link;
}

void unit_header(const struct unit *unit, enum frame_type type, uint64_t epoch, uint64_t sequence, struct frame_header *out)
{
	*out = (struct frame_header){
		.version = FRAME_VERSION_MAX, .type = type, .term = unit->record.term, .epoch = epoch, .sequence = sequence,
	};
	memcpy(out->lineage, unit->record.lineage, sizeof out->lineage);
}

/* --- what people are told --- */

static uint64_t unit_dirty_bytes(const struct unit *unit)
{
	uint64_t blocks = 0;

	for (uint32_t i = 0; i < unit->spec.disk_count; i++)
		blocks += disk_dirty_blocks(unit->disks[i].disk);
	return blocks * DISK_BLOCK_SIZE;
}

void unit_count(struct unit *unit, uint64_t bytes)
{
	uint64_t now = env_now_ns(unit->engine->env);

	pace_count(unit, bytes);
	unit->rate_total += bytes;
	if (now - unit->rate_mark_ns < RATE_NS)
		return;
	unit->rate_bytes = (unit->rate_total - unit->rate_mark_bytes) * SECOND_NS / (now - unit->rate_mark_ns);
	unit->rate_mark_ns = now;
	unit->rate_mark_bytes = unit->rate_total;
}

static bool unit_is_fresh(const struct unit *unit, uint64_t dirty)
{
	if (unit->state != UNIT_CYCLING || !link_is_up(unit->peer))
		return false;
	return unit_leads(unit) ? dirty == 0 : unit->receiver.idle;
}

static uint64_t unit_recovery_age_ms(const struct unit *unit)
{
	/* The cut was read off the clock of who led then. */
	uint64_t now_there = env_wall_ms(unit->engine->env) + (uint64_t)unit->record.wall_ahead_ms;
	int64_t age = (int64_t)(now_there - unit->record.committed_wall_ms);

	return age > 0 ? (uint64_t)age : 0;
}

void unit_status_fill(struct unit *unit, struct unit_status *out_status)
{
	const struct record *record = &unit->record;
	uint64_t now = env_now_ns(unit->engine->env), dirty = unit_dirty_bytes(unit);

	*out_status = (struct unit_status){
		.role = unit_leads(unit) ? UNIT_PRIMARY : UNIT_SECONDARY,
		.state = unit->state, .consistent = record->content == COPY_POINT, .diverged = record->content == COPY_DIVERGED,
		.term = record->term,
		.epoch = unit_leads(unit) ? unit->sender.epoch : record->committed,
		.recovery_epoch = record->committed, .applied_epoch = record->applied, .recovery_wall_ms = record->committed_wall_ms,
		.dirty_bytes = dirty, .total_bytes = unit->total_bytes, .done_bytes = unit->done_bytes,
		.rate_bytes = now - unit->rate_mark_ns > 3 * RATE_NS ? 0 : unit->rate_bytes,
		.link_rate_bytes = pace_rate(unit->peer), .apply_rate_bytes = unit->applier.rate_bytes,
		.shipped_bytes = unit->shipped_bytes, .abandoned = unit->abandoned,
		.changing = unit->step != STEP_NONE || unit->wish != WISH_NONE || unit->sender.handover != HANDOVER_NONE,
		.pause_ms = unit->pause_ms, .compared_equal_bytes = unit->compared_equal_bytes,
		.one_shot_done = unit->sender.one_shot_done,
		.scrubbing = unit->sender.scrubbing, .scrubbed_bytes = unit->scrubbed_bytes,
		.scrub_differences = unit->scrub_differences,
		.idle = unit_is_fresh(unit, dirty),
		.linked = unit->state == UNIT_FULL_SYNC || unit->state == UNIT_CATCHING_UP || unit->state == UNIT_CYCLING,
	};
	if (unit_follows(unit) && record->committed > record->applied)
		out_status->apply_bytes = record->staged_bytes - (unit->applier.running ? unit->applier.offset : 0);
	snprintf(out_status->id, sizeof out_status->id, "%s", unit->spec.id);
	out_status->disks_differ = unit->state == UNIT_CONNECTING && unit->sender.disks_differ;
	out_status->divergence_kept = unit->divergence != NULL && unit->step != STEP_LOADING;
	out_status->divergence_given_up = record->divergence == RECORD_DIVERGENCE_GIVEN_UP;
	out_status->divergence_bytes = divergence_bytes(unit);
	out_status->divergence_wall_ms = divergence_wall_ms(unit);
	snprintf(out_status->reason, sizeof out_status->reason, "%s", unit->reason);
	if (out_status->idle && unit_leads(unit))
		out_status->recovery_wall_ms = env_wall_ms(unit->engine->env);
	else if (out_status->idle)
		out_status->recovery_wall_ms = unit->receiver.idle_wall_ms + (now - unit->receiver.idle_ns) / MS_NS;
	else if (record->committed > 0)
		out_status->recovery_age_ms = unit_recovery_age_ms(unit);
}

void unit_tell(struct unit *unit, bool now)
{
	uint64_t time = env_now_ns(unit->engine->env);
	struct unit_status status;

	if (unit->engine->events.on_unit == NULL || (!now && time - unit->told_ns < TELL_NS))
		return;
	unit->told_ns = time;
	unit_status_fill(unit, &status);
	unit->told_dirty_bytes = status.dirty_bytes;
	unit->engine->events.on_unit(unit->engine->data, &status);
}

void unit_tell_changes(struct unit *unit)
{
	if (unit_dirty_bytes(unit) != unit->told_dirty_bytes)
		unit_tell(unit, false);
}

/* --- finding --- */

struct unit *unit_find(struct engine *engine, const char *id)
{
	const struct list *found = index_find(&engine->units_by_id, id);

	return found == NULL ? NULL : container_of(found->next, struct unit, by_id.entry);
}

struct unit *unit_find_lineage(struct engine *engine, const uint8_t lineage[ENGINE_LINEAGE_SIZE])
{
	char key[2 * ENGINE_LINEAGE_SIZE + 1];
	const struct list *found;

	hash_to_hex(lineage, ENGINE_LINEAGE_SIZE, key);
	found = index_find(&engine->units_by_lineage, key);
	return found == NULL ? NULL : container_of(found->next, struct unit, by_lineage.entry);
}

void unit_list(struct unit *unit)
{
	char key[2 * ENGINE_LINEAGE_SIZE + 1];

	hash_to_hex(unit->spec.lineage, ENGINE_LINEAGE_SIZE, key);
	list_append(&unit->engine->units, &unit->entry);
	index_put(&unit->engine->units_by_id, &unit->by_id, unit->spec.id);
	index_put(&unit->engine->units_by_lineage, &unit->by_lineage, key);
}

bool unit_is_idle(const struct unit *unit)
{
	return unit->in_flight == 0 && unit->tracking == 0 && (!unit->file_open || record_is_idle(&unit->file));
}

void unit_free(struct unit *unit)
{
	env_timer_stop(unit->engine->env, &unit->sender.timer);
	env_timer_stop(unit->engine->env, &unit->step_timer);
	full_sync_forget(unit);
	divergence_end(unit, false);
	receiver_fini(unit);
	for (uint32_t i = 0; i < unit->spec.disk_count; i++) {
		disk_on_dirty(unit->disks[i].disk, NULL, NULL);
		disk_on_shippable(unit->disks[i].disk, NULL, NULL);
		disk_hold(unit->disks[i].disk, false);
		unit->disks[i].slot->unit = NULL;
	}
	if (unit->file_open)
		record_close(&unit->file);
	index_put(&unit->engine->units_by_id, &unit->by_id, "");
	index_put(&unit->engine->units_by_lineage, &unit->by_lineage, "");
	list_remove(&unit->entry);
	free(unit);
}

/* --- superseded: the peer has a higher term --- */

static void on_superseded(struct record_write *write, int result)
{
	struct unit *unit = write->data;

	unit->record_writing = false;
	if (result < 0)
		unit_fail(unit, "writing the unit's record", result);
}

void unit_supersede(struct unit *unit, uint64_t term)
{
	char reason[sizeof unit->reason];
	uint64_t dirty = unit_dirty_bytes(unit);

	if (unit->record.condition != RECORD_LEADING || unit->state == UNIT_FAILED || unit->record_writing ||
	    unit->step != STEP_NONE || unit->wish != WISH_NONE)
		return;
	/* Nobody is chosen here: what the two sides hold is for an operator to weigh. */
	if (dirty == 0)
		snprintf(reason, sizeof reason, "the other site was failed over and holds everything that was written here");
	else
		snprintf(reason, sizeof reason, "the other site was failed over; up to %llu bytes written here never reached it",
			 (unsigned long long)dirty);
	log_event(LOG_WARNING, "unit.superseded", "unit=%s term=%llu peer_term=%llu changed_bytes=%llu", unit->spec.id,
		  (unsigned long long)unit->record.term, (unsigned long long)term,
		  (unsigned long long)dirty);
	sender_stop(unit, false);
	unit->record.condition = RECORD_SUPERSEDED;
	unit->record_writing = true;
	record_write(&unit->file, &unit->record_write, &unit->record, on_superseded, unit);
	unit_move(unit, UNIT_SUPERSEDED, reason);
}
