/* Applying a committed epoch: its staged frames are written in place, the disks are synced, and the record says so.
 *
 * Idempotent: a crash anywhere leaves committed > applied in the record, and the whole epoch is applied again. Frames of one
 * epoch name each block at most once, so they may be written in any order. The staging file is emptied only after the
 * record with `applied` is durable, which comes after the sync of every disk. No room on a disk is waited for, since the
 * epoch is safe in the staging file; any other failure ends the unit. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "backend/backend.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/planted.h"
#include "repl/internal.h"

#define APPLY_FRAMES_MAX 4u
#define APPLY_READ_MAX (FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX)

/* --- one frame --- */

struct placing {
	struct unit *unit;
	uint8_t *frame, *blocks; /* blocks: NULL when they stand in the frame as they are */
	uint32_t pending;
	int result;
	void (*on_done)(struct unit *unit, void *data, int result);
	void *data;
	struct env_io defer;
	struct env_io ios[];
};

static void placing_end(struct placing *placing)
{
	struct unit *unit = placing->unit;

	unit->in_flight--;
	placing->on_done(unit, placing->data, placing->result);
	free(placing->frame);
	free(placing->blocks);
	free(placing);
}

static void on_range_written(struct env_io *io, int result)
{
	struct placing *placing = io->data;

	if (result < 0)
		placing->result = result;
	if (--placing->pending == 0)
		placing_end(placing);
}

/* Decodes and checks against the unit's disks. */
static bool placing_check(const struct unit *unit, const uint8_t *frame, struct frame_header *out_header,
			  struct frame_data *out_data)
{
	if (!frame_decode_header(frame, out_header) ||
	    !frame_data_decode(frame + FRAME_HEADER_SIZE, out_header->payload_size, out_header->flags, out_data) ||
	    out_data->disk >= unit->spec.disk_count)
		return false;
	for (uint32_t i = 0; i < out_data->range_count; i++) {
		struct frame_range range = frame_data_range(out_data, i);

		if (range.offset + range.length > disk_size(unit->disks[out_data->disk].disk))
			return false;
	}
	return true;
}

static void placing_write(struct placing *placing, const struct frame_data *data)
{
	struct backend *backend = disk_backend(placing->unit->disks[data->disk].disk);
	const uint8_t *at = placing->blocks != NULL ? placing->blocks : data->packed;

	for (uint32_t i = 0; i < data->range_count; i++) {
		struct frame_range range = frame_data_range(data, i);
		struct env_io *io = &placing->ios[i];

		*io = (struct env_io){ .on_done = on_range_written, .data = placing };
		placing->pending++;
		if (range.zero) {
			backend->ops->zero(backend, io, range.offset, range.length, ENV_ZERO_PUNCH);
			continue;
		}
		backend->ops->write(backend, io, at, range.length, range.offset);
		at += range.length;
	}
}

void apply_frame(struct unit *unit, uint8_t *frame, void (*on_done)(struct unit *unit, void *data, int result), void *data)
{
	struct frame_header header;
	struct frame_data content = { 0 };
	bool good = placing_check(unit, frame, &header, &content);
	struct placing *placing = memory_new(1, sizeof *placing + content.range_count * sizeof placing->ios[0]);

	placing->unit = unit;
	placing->frame = frame;
	placing->on_done = on_done;
	placing->data = data;
	unit->in_flight++;
	if (good && content.compressed) {
		placing->blocks = memory_try_buffer(content.data_size > 0 ? content.data_size : 1);
		good = placing->blocks != NULL && frame_data_unpack(&content, placing->blocks);
	}
	if (good && content.range_count > 0) {
		placing_write(placing, &content);
		return;
	}
	placing->result = good ? 0 : -EBADMSG;
	placing->pending = 1;
	placing->defer = (struct env_io){ .on_done = on_range_written, .data = placing };
	env_defer(unit->engine->env, &placing->defer);
}

void apply_sync_disks(struct unit *unit, struct env_io *ios, uint32_t *count, void (*on_done)(struct env_io *io, int result))
{
	*count = PLANTED(COMMIT_PER_DISK) ? 1 : unit->spec.disk_count;
	for (uint32_t i = 0; i < *count; i++) {
		struct backend *backend = disk_backend(unit->disks[i].disk);

		ios[i] = (struct env_io){ .on_done = on_done, .data = unit };
		unit->in_flight++;
		backend->ops->sync(backend, &ios[i]);
	}
}

int apply_sync_result(const struct unit *unit, int result)
{
	for (uint32_t i = 0; i < unit->spec.disk_count && result == 0; i++)
		result = disk_failure(unit->disks[i].disk);
	return result;
}

/* --- the epoch --- */

static void apply_pump(struct unit *unit);

static void apply_end(struct unit *unit, int result, const char *what)
{
	struct applier *applier = &unit->applier;

	free(applier->buffer);
	applier->buffer = NULL;
	applier->running = false;
	if (result == -ENOSPC)
		unit_move(unit, unit->state, "no room left on a disk's file system here: the newest recovery point waits in "
			  "the staging file; free some space");
	else if (result < 0)
		unit_fail(unit, what, result);
	receiver_commit_continue(unit);
	compare_continue(unit);
	unit_step_continue(unit);
}

static uint64_t apply_rate(const struct unit *unit)
{
	uint64_t took_ns = env_now_ns(unit->engine->env) - unit->applier.began_ns;

	return unit->applier.size * 1000 / (took_ns / MS_NS + 1);
}

static void on_applied(struct record_write *write, int result)
{
	struct unit *unit = write->data;

	if (result < 0) {
		apply_end(unit, result, "writing the unit's record");
		return;
	}
	unit->record.applied = unit->applier.epoch;
	unit->applier.rate_bytes = apply_rate(unit);
	/* Gives the space back; that it may fail costs nothing. */
	env_file_resize(unit->receiver.stages[unit->applier.stage], 0);
	log_event(LOG_DEBUG, "unit.applied", "unit=%s epoch=%llu", unit->spec.id, (unsigned long long)unit->applier.epoch);
	unit_tell(unit, true);
	apply_end(unit, 0, "");
}

static void on_disk_synced(struct env_io *io, int result)
{
	struct unit *unit = io->data;
	struct applier *applier = &unit->applier;
	struct record next;

	unit->in_flight--;
	result = apply_sync_result(unit, result);
	if (result < 0)
		applier->result = result;
	if (--applier->syncs > 0)
		return;
	if (applier->result < 0) {
		apply_end(unit, applier->result, "syncing a disk");
		return;
	}
	next = unit->record;
	next.applied = applier->epoch;
	record_write(&unit->file, &applier->record_write, &next, on_applied, unit);
}

static void on_frame_applied(struct unit *unit, void *data, int result)
{
	(void)data;
	unit->applier.frames--;
	if (result < 0)
		unit->applier.result = result;
	apply_pump(unit);
}

static void on_frame_saved(struct unit *unit, int result);

/* The frame at the beginning of the buffer; with the buffer, when it is most of it. */
static uint8_t *apply_take_frame(struct applier *applier, size_t size)
{
	if (size > APPLY_READ_MAX / 2)
		return steal(applier->buffer);
	return memcpy(memory_resize(NULL, 1, size), applier->buffer, size);
}

static void on_stage_read(struct env_io *io, int result)
{
	struct unit *unit = io->data;
	struct applier *applier = &unit->applier;
	uint64_t left = applier->size - applier->offset;
	struct frame_header header;
	uint8_t *frame;

	unit->in_flight--;
	applier->reading = false;
	if (result == 0 && (left < FRAME_HEADER_SIZE || !frame_decode_header(applier->buffer, &header) ||
			    left < FRAME_HEADER_SIZE + header.payload_size || header.epoch != applier->epoch ||
			    !frame_is_intact(applier->buffer, header.payload_size)))
		result = -EBADMSG;
	if (result < 0) {
		applier->result = result;
		apply_pump(unit);
		return;
	}
	frame = apply_take_frame(applier, FRAME_HEADER_SIZE + header.payload_size);
	applier->offset += FRAME_HEADER_SIZE + header.payload_size;
	if (applier->saving && unit->divergence != NULL) {
		applier->saved_frame = frame;
		divergence_save(unit, applier->epoch, frame, on_frame_saved);
		return;
	}
	if (applier->saving) { /* discarded meanwhile */
		free(frame);
		apply_pump(unit);
		return;
	}
	applier->frames++;
	apply_frame(unit, frame, on_frame_applied, NULL);
	apply_pump(unit);
}

/* --- the first pass, while a divergence is kept: what the epoch overwrites is saved --- */

static void apply_write(struct unit *unit)
{
	unit->applier.saving = false;
	unit->applier.offset = 0;
	apply_pump(unit);
}

static void on_given_up(struct record_write *write, int result)
{
	struct unit *unit = write->data;

	if (result < 0) {
		apply_end(unit, result, "writing the unit's record");
		return;
	}
	divergence_end(unit, true);
	apply_write(unit);
}

/* The record first: without it a restart would take what is overwritten from now on for what was there. */
static void give_up_divergence(struct unit *unit, int result)
{
	log_event(LOG_ERROR, "unit.divergence_given_up", "unit=%s bytes=%llu reason=\"%s\"", unit->spec.id,
		  (unsigned long long)divergence_bytes(unit),
		  result == -EFBIG ? "it has outgrown divergence_bytes" : error_meaning(result));
	unit->record.divergence = RECORD_DIVERGENCE_GIVEN_UP;
	record_write(&unit->file, &unit->applier.record_write, &unit->record, on_given_up, unit);
}

static void on_saved_synced(struct unit *unit, int result)
{
	unit->applier.reading = false;
	if (result < 0)
		give_up_divergence(unit, result);
	else
		apply_write(unit);
}

static void on_frame_saved(struct unit *unit, int result)
{
	struct applier *applier = &unit->applier;

	free(applier->saved_frame);
	applier->saved_frame = NULL;
	if (result == -ENOSPC) {
		applier->result = result;
		apply_pump(unit);
	} else if (result < 0) {
		give_up_divergence(unit, result);
	} else {
		apply_pump(unit);
	}
}

static void saving_done(struct unit *unit)
{
	if (unit->divergence == NULL) {
		apply_write(unit);
		return;
	}
	unit->applier.reading = true; /* nothing else meanwhile */
	divergence_sync(unit, on_saved_synced);
}

static void apply_pump(struct unit *unit)
{
	struct applier *applier = &unit->applier;
	uint64_t left = applier->size - applier->offset;

	if (applier->reading)
		return;
	if (applier->result == 0 && left > 0) {
		if (applier->frames == APPLY_FRAMES_MAX)
			return;
		applier->reading = true;
		unit->in_flight++;
		applier->io = (struct env_io){ .on_done = on_stage_read, .data = unit };
		if (applier->buffer == NULL)
			applier->buffer = memory_resize(NULL, 1, applier->size < APPLY_READ_MAX ? applier->size : APPLY_READ_MAX);
		env_file_read(unit->receiver.stages[applier->stage], &applier->io, applier->buffer,
			      left < APPLY_READ_MAX ? left : APPLY_READ_MAX, applier->offset);
		return;
	}
	if (applier->frames > 0)
		return;
	if (applier->result == 0 && applier->saving) {
		saving_done(unit);
		return;
	}
	if (applier->result < 0)
		apply_end(unit, applier->result, "applying the newest recovery point");
	else {
		if (PLANTED(STAGING_TRIMMED_EARLY))
			env_file_resize(unit->receiver.stages[applier->stage], 0);
		apply_sync_disks(unit, applier->disk_ios, &applier->syncs, on_disk_synced);
	}
}

void apply_start(struct unit *unit)
{
	struct applier *applier = &unit->applier;

	if (applier->running || unit->state == UNIT_FAILED || unit->engine->closing)
		return;
	assert(unit->record.committed > unit->record.applied);
	applier->running = true;
	applier->epoch = unit->record.committed;
	applier->stage = unit->record.stage;
	applier->size = unit->record.staged_bytes;
	applier->offset = 0;
	applier->result = 0;
	applier->frames = 0;
	applier->saving = unit->divergence != NULL;
	applier->began_ns = env_now_ns(unit->engine->env);
	apply_pump(unit);
}
