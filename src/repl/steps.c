/* Opening a unit and failing it over, as steps that each wait for the one before.
 *
 * Opening: record loaded -> (a primary, or a survivor) its disks tracked -> a new record is written -> ready.
 *   Order matters for a new primary: every block is marked, durably, before the record says that the unit exists; a crash in
 *   between begins again with everything.
 * Failover, invariants
 *   F1 What was received and not committed is discarded; what was committed is applied, wholly, first.
 *   F2 Tracking is on, durably, before the first write is accepted.
 *   F3 The higher term is durable before the first write is accepted: late frames of the old primary are refused from then on. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "repl/internal.h"

static void step_done(struct unit *unit);

static void on_record_written(struct record_write *write, int result)
{
	struct unit *unit = write->data;

	unit->record_writing = false;
	if (result < 0) {
		unit->step = STEP_NONE;
		unit_fail(unit, "writing the unit's record", result);
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
	if (step == STEP_FAILING_OVER)
		log_event(LOG_WARNING, "unit.failover", "unit=%s epoch=%llu term=%llu", unit->spec.id,
			  (unsigned long long)unit->record.committed, (unsigned long long)unit->record.term);
	for (uint32_t i = 0; i < unit->spec.disk_count; i++)
		disk_set_writable(unit->disks[i].disk, unit_leads(unit));
	if (unit->record.condition == RECORD_FAILED_OVER)
		unit_move(unit, UNIT_FAILED_OVER, "");
	else if (unit->record.condition == RECORD_SUPERSEDED)
		unit_move(unit, UNIT_SUPERSEDED, "the other site was failed over and holds the newer copy");
	else
		unit_tell(unit, true);
	if (unit_follows(unit) && unit->record.committed > unit->record.applied)
		apply_start(unit);
	if (unit->failover_wanted)
		unit_step_continue(unit);
	else if (unit->sender.started)
		sender_start(unit);
}

static void on_tracked(void *data, int result)
{
	struct unit *unit = data;

	if (result < 0)
		unit->step_result = result;
	if (--unit->tracking > 0)
		return;
	if (unit->step_result < 0) {
		unit->step = STEP_NONE;
		unit_fail(unit, "loading the change maps", unit->step_result);
		return;
	}
	if (unit->step == STEP_FAILING_OVER) {
		unit->record.condition = RECORD_FAILED_OVER; /* F2 holds; now F3 */
		unit->record.term++;
		unit->record.epoch_reserved = unit->record.committed + 1;
	}
	if (unit->step == STEP_FAILING_OVER || unit->record.term == 0) {
		if (unit->record.term == 0)
			unit->record.term = 1;
		step_write_record(unit);
		return;
	}
	step_done(unit);
}

static void step_track(struct unit *unit, enum disk_track how)
{
	unit->step_result = 0;
	unit->tracking = unit->spec.disk_count;
	for (uint32_t i = 0; i < unit->spec.disk_count; i++)
		disk_track(unit->disks[i].disk, unit->spec.lineage, how, &unit->kept, on_tracked, unit);
}

static void on_loaded(void *data, int result, bool found, const struct record *record)
{
	struct unit *unit = data;

	unit->in_flight--;
	if (result < 0) {
		unit->step = STEP_NONE;
		unit_fail(unit, "reading the unit's record", result);
		return;
	}
	if (found && memcmp(record->lineage, unit->spec.lineage, sizeof record->lineage) == 0) {
		unit->record = *record;
		unit->sender.epoch = record->epoch_reserved > 0 ? record->epoch_reserved : 1;
	} else {
		found = false;
		if (unit_follows(unit))
			env_random(unit->engine->env, &unit->record.copy, sizeof unit->record.copy);
	}
	if (unit_leads(unit)) {
		step_track(unit, found ? DISK_TRACK_RESUME : DISK_TRACK_ALL);
	} else if (!found) {
		unit->record.term = 1;
		step_write_record(unit);
	} else {
		step_done(unit);
	}
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

/* Moves a wanted failover on as far as it can go now; called again whenever something it waits for has ended. */
void unit_step_continue(struct unit *unit)
{
	if (!unit->failover_wanted || unit->step != STEP_NONE || unit->state == UNIT_FAILED)
		return;
	if (!unit_follows(unit) || !unit->record.consistent) {
		unit->failover_wanted = false;
		unit_tell(unit, true);
		return;
	}
	receiver_detach(unit, "failing over"); /* F1 */
	if (!receiver_is_quiet(unit) || unit->applier.running)
		return;
	if (unit->record.committed > unit->record.applied) {
		apply_start(unit);
		return;
	}
	unit->failover_wanted = false;
	unit->step = STEP_FAILING_OVER;
	step_track(unit, DISK_TRACK_NONE);
}

/* --- commands --- */

static int unit_take_disks(struct unit *unit, struct error *error)
{
	struct engine *engine = unit->engine;

	for (uint32_t i = 0; i < unit->spec.disk_count; i++) {
		struct unit_disk *slot = &unit->disks[i];

		slot->unit = unit;
		slot->slot = NULL;
		list_for_each(entry, &engine->disks) {
			struct engine_disk *disk = container_of(entry, struct engine_disk, entry);

			if (strcmp(disk_id(disk->disk), unit->spec.disks[i].local_disk) == 0)
				slot->slot = disk;
		}
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
	sender_init(unit);
	receiver_init(unit);
	result = unit_take_disks(unit, error);
	if (result < 0) {
		free(unit->receiver.disk_ios);
		free(unit->applier.disk_ios);
		free(unit);
		return result;
	}
	list_append(&engine->units, &unit->entry);
	for (uint32_t i = 0; i < spec->disk_count && spec->role == UNIT_SECONDARY; i++)
		disk_set_writable(unit->disks[i].disk, false);
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
	if (unit->spec.role == UNIT_SECONDARY)
		return 0;
	if (unit->state == UNIT_FAILED || unit->record.condition != RECORD_LEADING)
		return error_set(error, -EPERM, "unit %s cannot ship: %s", id, unit->reason);
	unit->sender.started = true;
	unit->sender.one_shot = one_shot;
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

int engine_failover_unit(struct engine *engine, const char *id, struct error *error)
{
	struct unit *unit = unit_demand(engine, id, error);

	if (unit == NULL)
		return -ENOENT;
	if (unit->state == UNIT_FAILED)
		return error_set(error, -EIO, "unit %s has failed: %s", id, unit->reason);
	if (unit->step != STEP_NONE) {
		unit->failover_wanted = true; /* decided once it is loaded */
		return 0;
	}
	if (unit->record.condition == RECORD_FAILED_OVER) {
		unit_tell(unit, true);
		return 0;
	}
	if (!unit_follows(unit))
		return error_set(error, -EPERM, "unit %s is the primary here: fail over at the other site", id);
	if (!unit->record.consistent)
		return error_set(error, -ENODATA, "unit %s has no recovery point yet: its first full sync is not complete", id);
	unit->failover_wanted = true;
	unit_step_continue(unit);
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
