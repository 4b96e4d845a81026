/* Opening a unit, and changing sides: failover, promotion, demotion; as steps that each wait for the one before.
 *
 * Opening: record loaded -> (whoever leads, or has diverged) its disks tracked -> a new record is written -> ready.
 *   Order matters for a new primary: every block is marked, durably, before the record says that the unit exists; a crash in
 *   between begins again with everything.
 * Changing sides: an operator's wish waits until what is under way has ended (unit_step_continue), then its step runs: tracking,
 * where it is needed, then one write of the record, which is the instant of the change.
 *   F1 What was received and not committed is discarded; what was committed is applied, wholly, before this side leads.
 *   F2 Tracking is on, durably, before the first write is accepted.
 *   F3 The higher term is durable before the first write is accepted: late frames of the old primary are refused from then on.
 *   F4 Who gives up the lead admits no write any more, has none in flight, and has all of them on stable storage before its
 *      record says that it follows; its change map stays until an epoch of the new primary that covers it is committed here.
 *   F5 A switchover's last epoch holds every write that was answered here: those that came later were held, and are refused. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/planted.h"
#include "repl/internal.h"

static void step_done(struct unit *unit);

/* Nobody knows what the files say now: nobody writes. */
static void step_failed(struct unit *unit, const char *what, int result)
{
	unit->step = STEP_NONE;
	for (uint32_t i = 0; i < unit->spec.disk_count; i++) {
		disk_set_writable(unit->disks[i].disk, false);
		disk_hold(unit->disks[i].disk, false);
	}
	unit_fail(unit, what, result);
}

static void on_record_written(struct record_write *write, int result)
{
	struct unit *unit = write->data;

	unit->record_writing = false;
	if (result < 0) {
		step_failed(unit, "writing the unit's record", result);
		return;
	}
	step_done(unit);
}

static void step_write_record(struct unit *unit)
{
	unit->record_writing = true;
	record_write(&unit->file, &unit->record_write, &unit->record, on_record_written, unit);
}

/* What the step was for is durable now. */
static void step_done(struct unit *unit)
{
	enum unit_step step = unit->step;

	unit->step = STEP_NONE;
	if (unit->state == UNIT_FAILED) { /* meanwhile: a disk */
		step_failed(unit, "", 0);
		return;
	}
	if (step != STEP_LOADING)
		log_event(LOG_WARNING, "unit.side", "unit=%s condition=%s epoch=%llu term=%llu", unit->spec.id,
			  record_condition_name(unit->record.condition), (unsigned long long)unit->record.committed,
			  (unsigned long long)unit->record.term);
	if (unit->record.divergence != RECORD_DIVERGENCE_KEPT)
		divergence_end(unit, true);
	if (unit->handed_over) {
		unit->handed_over = false;
		unit->pause_ms = (env_now_ns(unit->engine->env) - unit->sender.hold_ns) / MS_NS;
	}
	for (uint32_t i = 0; i < unit->spec.disk_count; i++) {
		disk_set_writable(unit->disks[i].disk, unit_leads(unit));
		disk_hold(unit->disks[i].disk, false);
	}
	unit_forget_changes(unit);
	if (unit->record.condition == RECORD_FAILED_OVER)
		unit_move(unit, UNIT_FAILED_OVER, "");
	else if (unit->record.condition == RECORD_SUPERSEDED)
		unit_move(unit, UNIT_SUPERSEDED, "the other site was failed over and holds the newer copy");
	else if (step != STEP_LOADING)
		unit_move(unit, UNIT_STOPPED, "");
	unit_tell(unit, true);
	if (unit_follows(unit) && unit->record.committed > unit->record.applied)
		apply_start(unit);
	if (unit->wish != WISH_NONE)
		unit_step_continue(unit);
	else if (unit->sender.started)
		sender_start(unit);
}

bool unit_forget_changes(struct unit *unit)
{
	bool done = true;

	if (!unit_follows(unit) || (unit->record.content == COPY_DIVERGED && !PLANTED(DIVERGENCE_FORGOTTEN)))
		return true;
	for (uint32_t i = 0; i < unit->spec.disk_count; i++) {
		struct disk *disk = unit->disks[i].disk;

		if (disk_can_untrack(disk))
			disk_untrack(disk);
		else
			done = false;
	}
	return done;
}

/* The instant of the change: durable, it has happened; not durable, it has not. */
static void step_change_sides(struct unit *unit)
{
	struct record *record = &unit->record;

	if (unit->step != STEP_DEMOTING)
		record->divergence = RECORD_DIVERGENCE_NONE; /* clients will write in place */
	if (unit->step == STEP_FAILING_OVER) {
		record->condition = RECORD_FAILED_OVER;
		record->term++;
	} else if (unit->step == STEP_PROMOTING) {
		record->condition = RECORD_LEADING;
		record->content = COPY_DIVERGED; /* until the handshake says better */
		if (record->term < unit->wish_term)
			record->term = unit->wish_term;
	} else {
		record->condition = RECORD_FOLLOWING;
		record->content = unit->handed_over ? COPY_POINT : COPY_DIVERGED;
		record->applied = record->committed;
	}
	if (record->epoch_reserved <= record->committed)
		record->epoch_reserved = record->committed + 1;
	unit->sender.epoch = record->epoch_reserved;
	if (PLANTED(TERM_NOT_DURABLE) && unit->step == STEP_FAILING_OVER)
		step_done(unit);
	else
		step_write_record(unit);
}

static void on_tracked(void *data, int result)
{
	struct unit *unit = data;

	if (result < 0)
		unit->step_result = result;
	if (--unit->tracking > 0)
		return;
	if (unit->step_result < 0) {
		step_failed(unit, "loading the change maps", unit->step_result);
	} else if (unit->step != STEP_LOADING) {
		step_change_sides(unit); /* F2 holds; now F3 */
	} else if (unit->record.term == 0) {
		unit->record.term = 1;
		step_write_record(unit);
	} else {
		step_done(unit);
	}
}

static void step_track(struct unit *unit, enum disk_track how)
{
	unit->step_result = 0;
	unit->tracking = unit->spec.disk_count;
	for (uint32_t i = 0; i < unit->spec.disk_count; i++)
		disk_track(unit->disks[i].disk, unit->spec.lineage, how, &unit->kept, on_tracked, unit);
}

/* The sync of one disk has ended. True when it was the last, and all of them are stable. */
static bool step_is_synced(struct unit *unit, int result)
{
	unit->in_flight--;
	result = apply_sync_result(unit, result);
	if (result < 0)
		unit->step_result = result;
	if (--unit->tracking > 0)
		return false;
	if (unit->step_result == 0)
		return true;
	for (uint32_t i = 0; i < unit->spec.disk_count; i++)
		disk_declare_failed(unit->disks[i].disk, unit->step_result);
	step_failed(unit, "syncing a disk", unit->step_result);
	return false;
}

static void load_tracks(struct unit *unit, bool found)
{
	if (unit_leads(unit) || (unit->record.content == COPY_DIVERGED && !PLANTED(DIVERGENCE_FORGOTTEN))) {
		/* Of another history no mark counts: then all of it is marked, and compared by hash. */
		step_track(unit, found || unit->spec.compare ? DISK_TRACK_RESUME : DISK_TRACK_ALL);
	} else if (!found) {
		unit->record.term = 1;
		step_write_record(unit);
	} else {
		step_done(unit);
	}
}

static void on_divergence_loaded(struct unit *unit, int result)
{
	if (result < 0) { /* -ENOENT: it was discarded, and no record has been written since */
		unit->record.divergence = result == -ENOENT ? RECORD_DIVERGENCE_NONE : RECORD_DIVERGENCE_GIVEN_UP;
		if (result != -ENOENT)
			log_event(LOG_ERROR, "unit.divergence_lost", "unit=%s code=%d", unit->spec.id, -result);
		divergence_end(unit, false);
	}
	load_tracks(unit, true);
}

static void on_begun_synced(struct env_io *io, int result)
{
	struct unit *unit = io->data;

	if (step_is_synced(unit, result))
		load_tracks(unit, false);
}

/* What is found to be the same is not sent again, and the history before may have left it here without a sync. */
static void load_tracks_of_new(struct unit *unit)
{
	unit->step_result = 0;
	if (unit->spec.compare && unit_follows(unit))
		apply_sync_disks(unit, unit->applier.disk_ios, &unit->tracking, on_begun_synced);
	else
		load_tracks(unit, false);
}

/* A record for a unit that has none. `half_way`: what the history before left here is no recovery point. */
static void record_begin(struct unit *unit, bool half_way)
{
	const struct unit_spec *spec = &unit->spec;
	struct record *record = &unit->record;

	env_random(unit->engine->env, &record->copy, sizeof record->copy);
	if (!spec->compare)
		return;
	record->content = spec->point_epoch > 0 && !half_way ? COPY_POINT : COPY_DIVERGED;
	record->committed = record->applied = spec->point_epoch;
	record->committed_wall_ms = spec->point_wall_ms;
	record->epoch_reserved = unit->sender.epoch = spec->point_epoch + 1;
}

static void on_loaded(void *data, int result, bool found, const struct record *record)
{
	struct unit *unit = data;

	unit->in_flight--;
	if (result < 0) {
		step_failed(unit, "reading the unit's record", result);
		return;
	}
	if (found && memcmp(record->lineage, unit->spec.lineage, sizeof record->lineage) == 0) {
		unit->record = *record;
		unit->sender.epoch = record->epoch_reserved > 0 ? record->epoch_reserved : 1;
	} else {
		record_begin(unit, found && (record->committed > record->applied || record->content != COPY_POINT));
		found = false;
	}
	if (unit->record.divergence == RECORD_DIVERGENCE_KEPT) {
		divergence_load(unit, on_divergence_loaded);
		return;
	}
	divergence_remove(unit);
	if (found)
		load_tracks(unit, true);
	else
		load_tracks_of_new(unit);
}

/* Begins the opening; the record's condition has been preset from the role asked for. */
static int step_load(struct unit *unit, struct error *error)
{
	char path[sizeof unit->engine->directory + 96];
	int result;

	snprintf(path, sizeof path, "%s/units/%s.unit", unit->engine->directory, unit->spec.id);
	unit->step = STEP_LOADING;
	unit->in_flight++;
	result = record_open(&unit->file, unit->engine->env, path, on_loaded, unit);
	if (result < 0) {
		unit->in_flight--;
		unit->step = STEP_NONE;
		return error_set_errno(error, result, "cannot open %s", path);
	}
	unit->file_open = true;
	return 0;
}

static void step_begin(struct unit *unit, enum unit_step step, bool track)
{
	unit->wish = WISH_NONE;
	unit->step = step;
	if (track)
		step_track(unit, DISK_TRACK_NONE);
	else
		step_change_sides(unit);
}

/* Failing over, or promoting what follows. */
static void continue_taking_lead(struct unit *unit)
{
	bool diverged = unit->record.content == COPY_DIVERGED;

	receiver_detach(unit, "this side is taking the lead"); /* F1 */
	if (!receiver_is_quiet(unit) || unit->applier.running || !unit_forget_changes(unit))
		return;
	if (unit->record.committed > unit->record.applied)
		apply_start(unit);
	else
		step_begin(unit, unit->wish == WISH_FAIL_OVER ? STEP_FAILING_OVER : STEP_PROMOTING, !diverged);
}

static void on_divergence_created(struct unit *unit, int result)
{
	unit->record.divergence = result == 0 ? RECORD_DIVERGENCE_KEPT : RECORD_DIVERGENCE_GIVEN_UP;
	if (result < 0) {
		log_event(LOG_ERROR, "unit.divergence_given_up", "unit=%s reason=\"its file cannot be made: %s\"", unit->spec.id,
			  error_meaning(result));
		divergence_end(unit, true);
	}
	step_change_sides(unit);
}

/* The other side's first epoch will overwrite what only this one holds: from now on it is kept as it is. */
static void step_keep_divergence(struct unit *unit)
{
	bool alone = false;

	for (uint32_t i = 0; i < unit->spec.disk_count; i++)
		alone = alone || disk_dirty_blocks(unit->disks[i].disk) > 0;
	if (alone && !unit->handed_over && unit->engine->limits.divergence_bytes_max > 0) {
		divergence_create(unit, on_divergence_created);
		return;
	}
	unit->record.divergence = RECORD_DIVERGENCE_NONE;
	step_change_sides(unit);
}

static void on_demoted_synced(struct env_io *io, int result)
{
	struct unit *unit = io->data;

	if (step_is_synced(unit, result))
		step_keep_divergence(unit);
}

/* What was proven to the other side may not be stable here yet, and no mark would tell after a power cut once the first
 * epoch of the new primary has been committed: so all of it is made stable first. */
static void step_demote(struct unit *unit)
{
	unit->wish = WISH_NONE;
	unit->step = STEP_DEMOTING;
	unit->step_result = 0;
	if (PLANTED(DEMOTED_UNSYNCED))
		step_change_sides(unit);
	else
		apply_sync_disks(unit, unit->applier.disk_ios, &unit->tracking, on_demoted_synced);
}

static void continue_giving_lead(struct unit *unit)
{
	uint64_t writes = 0;

	sender_stop(unit, true);
	for (uint32_t i = 0; i < unit->spec.disk_count; i++) {
		disk_set_writable(unit->disks[i].disk, false); /* F4 */
		writes += disk_writes_in_flight(unit->disks[i].disk);
	}
	if (writes > 0 || unit->sender.record_writing)
		env_timer_start(unit->engine->env, &unit->step_timer, env_now_ns(unit->engine->env) + MS_NS);
	else
		step_demote(unit);
}

static void on_step_timer(struct env_timer *timer)
{
	unit_step_continue(timer->data);
}

/* Moves a wish on as far as it can go now; called again whenever something it waits for has ended. */
void unit_step_continue(struct unit *unit)
{
	bool follows = unit_follows(unit), done;

	if (unit->wish == WISH_NONE || unit->step != STEP_NONE || unit->state == UNIT_FAILED || unit->record_writing)
		return;
	if (unit->wish == WISH_FAIL_OVER)
		done = !follows || unit->record.content != COPY_POINT;
	else if (unit->wish == WISH_PROMOTE)
		done = (unit->record.condition == RECORD_LEADING && unit->record.term >= unit->wish_term) ||
		       (follows && unit->record.content == COPY_PARTIAL);
	else
		done = follows;
	if (done) { /* it is so already, or cannot be: what else was asked for meanwhile goes on */
		unit->wish = WISH_NONE;
		unit_tell(unit, true);
		if (unit->sender.started)
			sender_start(unit);
	} else if (unit->wish == WISH_DEMOTE) {
		continue_giving_lead(unit);
	} else if (follows) {
		continue_taking_lead(unit);
	} else if (!unit->sender.record_writing) {
		sender_stop(unit, false);
		step_begin(unit, STEP_PROMOTING, false);
	}
}

/* The last epoch of a switchover is proven: every write answered here is at the other side (F5). */
void unit_handed_over(struct unit *unit)
{
	unit->step = STEP_DEMOTING; /* so that nobody takes what follows for an end */
	unit->handed_over = true;
	unit->sender.handover = HANDOVER_NONE;
	sender_stop(unit, true);
	for (uint32_t i = 0; i < unit->spec.disk_count; i++) {
		assert(disk_dirty_blocks(unit->disks[i].disk) == 0 || PLANTED(SWITCHOVER_HOLDS_NOTHING));
		disk_set_writable(unit->disks[i].disk, false);
	}
	step_demote(unit);
}

/* --- commands --- */

static int unit_take_disks(struct unit *unit, struct error *error)
{
	for (uint32_t i = 0; i < unit->spec.disk_count; i++) {
		struct unit_disk *slot = &unit->disks[i];

		slot->unit = unit;
		slot->slot = engine_disk_find(unit->engine, unit->spec.disks[i].local_disk);
		if (slot->slot == NULL)
			return error_set(error, -ENOENT, "disk %s is not open here", unit->spec.disks[i].local_disk);
		if (slot->slot->unit != NULL)
			return error_set(error, -EBUSY, "disk %s is in unit %s already", unit->spec.disks[i].local_disk,
					 slot->slot->unit->spec.id);
		slot->disk = slot->slot->disk;
	}
	for (uint32_t i = 0; i < unit->spec.disk_count; i++)
		unit->disks[i].slot->unit = unit;
	return 0;
}

static int unit_new(struct engine *engine, const struct unit_spec *spec, struct error *error)
{
	struct link *peer = links_find(engine->links, spec->peer);
	struct unit *unit;
	int result;

	if (peer == NULL)
		return error_set(error, -ENOENT, "peer %s is not in this site's configuration", spec->peer);
	unit = memory_new(1, sizeof *unit);
	unit->engine = engine;
	unit->spec = *spec;
	unit->peer = peer;
	unit->kept.max = engine->limits.kept_bytes_max;
	memcpy(unit->record.lineage, spec->lineage, sizeof unit->record.lineage);
	unit->record.condition = spec->role == UNIT_PRIMARY ? RECORD_LEADING : RECORD_FOLLOWING;
	unit->record.disk_count = spec->disk_count;
	list_init(&unit->entry);
	unit->step_timer = (struct env_timer){ .on_fire = on_step_timer, .data = unit };
	sender_init(unit);
	receiver_init(unit);
	result = unit_take_disks(unit, error);
	if (result < 0) {
		free(unit->receiver.disk_ios);
		free(unit->applier.disk_ios);
		free(unit);
		return result;
	}
	unit_list(unit);
	/* Until the record says who leads, nobody writes. */
	for (uint32_t i = 0; i < spec->disk_count; i++)
		disk_hold(unit->disks[i].disk, true);
	result = receiver_open_stages(unit);
	if (result < 0)
		error_set_errno(error, result, "cannot open the staging files of unit %s", spec->id);
	else
		result = step_load(unit, error);
	if (result < 0)
		unit_free(unit);
	return result;
}

int engine_open_unit(struct engine *engine, const struct unit_spec *spec, struct error *error)
{
	struct unit *unit = unit_find(engine, spec->id);

	if (spec->disk_count == 0 || spec->disk_count > ENGINE_UNIT_DISKS_MAX)
		return error_set(error, -EINVAL, "a unit has 1 to %d disks", ENGINE_UNIT_DISKS_MAX);
	if (unit == NULL)
		return unit_new(engine, spec, error);
	if (memcmp(unit->spec.lineage, spec->lineage, sizeof spec->lineage) != 0)
		return error_set(error, -EEXIST, "unit %s is open with another lineage", spec->id);
	if (unit->spec.disk_count != spec->disk_count ||
	    memcmp(unit->spec.disks, spec->disks, spec->disk_count * sizeof spec->disks[0]) != 0)
		return error_set(error, -EBUSY, "unit %s is open with other disks: remove it first", spec->id);
	unit->spec.rpo_ms = spec->rpo_ms;
	unit_tell(unit, true);
	return 0;
}

int engine_remove_unit(struct engine *engine, const char *id, struct error *error)
{
	struct unit *unit = unit_find(engine, id);
	char path[sizeof engine->directory + 96];
	struct unit_disk disks[ENGINE_UNIT_DISKS_MAX];
	uint32_t count;

	if (unit == NULL)
		return 0;
	if (unit->step == STEP_NONE && unit_leads(unit))
		sender_stop(unit, true);
	receiver_detach(unit, "the unit is being removed");
	for (uint32_t i = 0; i < unit->spec.disk_count; i++) {
		if (unit->disks[i].disk != NULL && !disk_can_untrack(unit->disks[i].disk))
			return error_set(error, -EAGAIN, "unit %s is still busy: try again", id);
	}
	if (unit->step != STEP_NONE || !unit_is_idle(unit) || unit->applier.running)
		return error_set(error, -EAGAIN, "unit %s is still busy: try again", id);
	/* The copy is left at its last recovery point: what was committed must be on the disks before they are let go. */
	if (unit_follows(unit) && unit->record.committed > unit->record.applied) {
		apply_start(unit);
		return error_set(error, -EAGAIN, "unit %s is still busy: try again", id);
	}
	count = unit->spec.disk_count;
	memcpy(disks, unit->disks, count * sizeof disks[0]);
	divergence_end(unit, true);
	unit_free(unit);
	snprintf(path, sizeof path, "%s/units/%s.unit", engine->directory, id);
	env_file_remove(engine->env, path);
	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof path, "%s/units/%s.stage%u", engine->directory, id, i);
		env_file_remove(engine->env, path);
	}
	for (uint32_t i = 0; i < count; i++) {
		disk_untrack(disks[i].disk);
		disk_set_writable(disks[i].disk, true);
	}
	return 0;
}

static struct unit *unit_demand(struct engine *engine, const char *id, struct error *error)
{
	struct unit *unit = unit_find(engine, id);

	if (unit == NULL)
		error_set(error, -ENOENT, "unit %s is not open here", id);
	return unit;
}

int engine_start_unit(struct engine *engine, const char *id, bool one_shot, struct error *error)
{
	struct unit *unit = unit_demand(engine, id, error);

	if (unit == NULL)
		return -ENOENT;
	if (unit_follows(unit) && unit->step != STEP_LOADING)
		return 0;
	if (unit->state == UNIT_FAILED || unit->record.condition != RECORD_LEADING)
		return error_set(error, -EPERM, "unit %s cannot ship: %s", id, unit->reason);
	unit->sender.started = true;
	unit->sender.one_shot = one_shot;
	unit->sender.one_shot_done = false;
	if (unit->step == STEP_NONE)
		sender_start(unit);
	return 0;
}

int engine_stop_unit(struct engine *engine, const char *id, struct error *error)
{
	struct unit *unit = unit_demand(engine, id, error);

	if (unit == NULL)
		return -ENOENT;
	unit->sender.started = false;
	if (unit->record.condition == RECORD_LEADING && unit->state != UNIT_FAILED)
		sender_stop(unit, true);
	else
		unit_tell(unit, true);
	return 0;
}

/* One operation at a time a unit: -EBUSY while another one is at work. */
static struct unit *unit_demand_free(struct engine *engine, const char *id, enum unit_wish wish, int *out_result,
				     struct error *error)
{
	struct unit *unit = unit_demand(engine, id, error);

	*out_result = 0;
	if (unit == NULL)
		*out_result = -ENOENT;
	else if (unit->state == UNIT_FAILED)
		*out_result = error_set(error, -EIO, "unit %s has failed: %s", id, unit->reason);
	else if ((unit->wish != WISH_NONE && unit->wish != wish) ||
		 (unit->step != STEP_NONE && unit->step != STEP_LOADING) || unit->sender.handover != HANDOVER_NONE)
		*out_result = error_set(error, -EBUSY, "unit %s is changing sides already: wait for that to end", id);
	return *out_result == 0 ? unit : NULL;
}

int engine_failover_unit(struct engine *engine, const char *id, struct error *error)
{
	struct unit *unit;
	int result;

	unit = unit_demand_free(engine, id, WISH_FAIL_OVER, &result, error);
	if (unit == NULL)
		return result;
	if (unit->step == STEP_NONE) { /* else decided once it is loaded */
		if (unit->record.condition == RECORD_FAILED_OVER) {
			unit_tell(unit, true);
			return 0;
		}
		if (!unit_follows(unit))
			return error_set(error, -EPERM, "unit %s is the primary here: fail over at the other site", id);
		if (unit->record.content == COPY_DIVERGED)
			return error_set(error, -ENODATA, "unit %s still holds what this site wrote as the primary: the other "
					 "site's changes have not arrived", id);
		if (unit->record.content != COPY_POINT)
			return error_set(error, -ENODATA, "unit %s has no recovery point yet: its first full sync is not complete",
					 id);
	}
	unit->wish = WISH_FAIL_OVER;
	unit_step_continue(unit);
	return 0;
}

int engine_promote_unit(struct engine *engine, const char *id, uint64_t term_min, struct error *error)
{
	struct unit *unit;
	int result;

	unit = unit_demand_free(engine, id, WISH_PROMOTE, &result, error);
	if (unit == NULL)
		return result;
	if (unit->step == STEP_NONE && unit_follows(unit) && unit->record.content == COPY_PARTIAL)
		return error_set(error, -ENODATA, "unit %s has no recovery point yet: its first full sync is not complete", id);
	unit->wish = WISH_PROMOTE;
	unit->wish_term = term_min;
	unit_step_continue(unit);
	return 0;
}

int engine_demote_unit(struct engine *engine, const char *id, bool hand_over, struct error *error)
{
	struct unit *unit;
	int result;

	unit = unit_demand_free(engine, id, WISH_DEMOTE, &result, error);
	if (unit == NULL)
		return result;
	if (!hand_over) {
		unit->wish = WISH_DEMOTE;
		unit_step_continue(unit);
		return 0;
	}
	if (unit_follows(unit)) {
		unit_tell(unit, true);
		return 0;
	}
	if (unit->record.condition != RECORD_LEADING || unit->record.content != COPY_POINT ||
	    (unit->state != UNIT_CYCLING && unit->state != UNIT_CATCHING_UP) || !link_is_up(unit->peer))
		return error_set(error, -EAGAIN, "unit %s is not in step with the other site: start it and wait until it is", id);
	sender_hand_over(unit);
	unit_tell(unit, true);
	return 0;
}

int engine_scrub_unit(struct engine *engine, const char *id, struct error *error)
{
	struct unit *unit = unit_demand(engine, id, error);

	if (unit == NULL)
		return -ENOENT;
	if (unit->record.condition != RECORD_LEADING || (unit->state != UNIT_CYCLING && unit->state != UNIT_CATCHING_UP))
		return error_set(error, -EAGAIN, "unit %s is not in step here: start it, and ask at the primary's site", id);
	if (!unit->sender.scrubbing)
		sender_scrub(unit);
	unit_tell(unit, true);
	return 0;
}

int engine_set_rpo(struct engine *engine, const char *id, uint32_t rpo_ms, struct error *error)
{
	struct unit *unit = unit_demand(engine, id, error);

	if (unit == NULL)
		return -ENOENT;
	unit->spec.rpo_ms = rpo_ms;
	return 0;
}

bool engine_unit_status(struct engine *engine, const char *id, struct unit_status *out_status)
{
	struct unit *unit = unit_find(engine, id);

	if (unit == NULL)
		return false;
	unit_status_fill(unit, out_status);
	return true;
}
