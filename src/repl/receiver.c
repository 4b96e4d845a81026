/* The secondary's half: stages the frames of an epoch, and commits it with one record for the whole unit.
 *
 * Invariants
 *  R1 Nothing of an epoch touches the disks before its commit record is durable.
 *  R2 The commit record is written only when every data frame of the epoch is on stable storage: counted, then synced.
 *  R3 The acknowledgement is sent only when the commit record is durable.
 *  R4 At most one committed epoch is not wholly applied: the next commit waits for the apply before it, so two staging files
 *     are enough and the one being written is never the one being applied.
 *  R5 A frame of another term, or received on a link that has broken since, changes nothing (generation).
 * What can fail: no room for staging refuses the epoch and keeps the last recovery point; any other failed write or sync ends
 * the unit. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/planted.h"
#include "repl/internal.h"

/* A data frame being written to the staging file, or waiting until the remains of a discarded epoch are out of the way. */
struct staged {
	struct list link;
	struct env_io io;
	struct unit *unit;
	uint64_t generation;
	uint64_t sequence, offset;
	size_t size;
	uint8_t *frame;
};

static void staged_free(struct staged *staged)
{
	free(staged->frame);
	free(staged);
}

/* A frame of the first full sync, being written in place. */
struct placed {
	struct list link; /* of receiver.sync_frames, in order of arrival */
	uint64_t generation;
	uint64_t sequence;
};

void receiver_init(struct unit *unit)
{
	list_init(&unit->receiver.sync_frames);
	list_init(&unit->receiver.held);
	list_init(&unit->receiver.comparing);
	unit->receiver.disk_ios = memory_new(unit->spec.disk_count, sizeof *unit->receiver.disk_ios);
	unit->applier.disk_ios = memory_new(unit->spec.disk_count, sizeof *unit->applier.disk_ios);
}

int receiver_open_stages(struct unit *unit)
{
	char path[sizeof unit->engine->directory + 96];
	int result = 0;

	for (unsigned i = 0; i < 2 && result == 0; i++) {
		snprintf(path, sizeof path, "%s/units/%s.stage%u", unit->engine->directory, unit->spec.id, i);
		result = env_file_open(unit->engine->env, path, ENV_CREATE, &unit->receiver.stages[i]);
	}
	return result;
}

void receiver_fini(struct unit *unit)
{
	compare_forget(unit);
	for (unsigned i = 0; i < 2; i++) {
		if (unit->receiver.stages[i] != NULL)
			env_file_close(unit->receiver.stages[i]);
	}
	free(unit->receiver.disk_ios);
	free(unit->applier.disk_ios);
}

static void receiver_answer(struct unit *unit, enum frame_type type, uint64_t epoch, uint64_t sequence)
{
	struct frame_header header;

	unit_header(unit, type, epoch, sequence, &header);
	link_send_small(unit->peer, &header, NULL, 0);
}

bool receiver_is_quiet(const struct unit *unit)
{
	const struct receiver *receiver = &unit->receiver;

	return receiver->writes == 0 && receiver->stale_writes == 0 && !receiver->committing &&
	       list_is_empty(&receiver->sync_frames) && receiver->syncs == 0;
}

/* Forgets the epoch being staged; its writes in flight become stale. */
static void receiver_discard(struct unit *unit)
{
	struct receiver *receiver = &unit->receiver;
	struct list *link;

	while ((link = list_pop(&unit->receiver.held)) != NULL) {
		staged_free(container_of(link, struct staged, link));
		receiver->writes--;
	}
	receiver->generation++;
	receiver->stale_writes += receiver->writes;
	receiver->writes = 0;
	receiver->epoch = 0;
	receiver->staged_bytes = receiver->frames = 0;
	receiver->ended = false;
	receiver->sync_barrier = 0;
	receiver->teller.active = false;
	compare_forget(unit);
}

void receiver_attach(struct unit *unit)
{
	receiver_discard(unit);
	unit->receiver.attached = true;
	unit->receiver.idle = false;
	unit->total_bytes = unit->done_bytes = 0;
	unit_move(unit, unit->record.content == COPY_PARTIAL ? UNIT_FULL_SYNC : UNIT_CATCHING_UP, "");
}

void receiver_detach(struct unit *unit, const char *reason)
{
	if (!unit->receiver.attached)
		return;
	receiver_discard(unit);
	unit->receiver.attached = false;
	unit->receiver.idle = false;
	if (unit_follows(unit) && unit->state != UNIT_FAILED)
		unit_move(unit, UNIT_CONNECTING, reason);
}

/* The epoch, or the copy in place, cannot go on for want of room: said to the primary, who tries again later. */
static void receiver_refuse_space(struct unit *unit)
{
	const char *reason = frame_verdict_text(FRAME_VERDICT_NO_SPACE);

	if (!unit->receiver.attached)
		return;
	handshake_refuse(unit, FRAME_VERDICT_NO_SPACE, reason);
	receiver_detach(unit, "no room left at this site for the changes of a cycle: free some space");
}

static void receiver_problem(struct unit *unit, const char *what, int result)
{
	if (result == -ENOSPC)
		receiver_refuse_space(unit);
	else
		unit_fail(unit, what, result);
}

/* --- staging --- */

static void staged_issue(struct staged *staged);

static void on_staged(struct env_io *io, int result)
{
	struct staged *staged = io->data;
	struct unit *unit = staged->unit;
	struct receiver *receiver = &unit->receiver;
	bool valid = staged->generation == receiver->generation;
	uint64_t sequence = staged->sequence;
	struct list *link;

	unit->in_flight--;
	staged_free(staged);
	if (!valid) {
		if (--receiver->stale_writes == 0) {
			while ((link = list_pop(&unit->receiver.held)) != NULL)
				staged_issue(container_of(link, struct staged, link));
		}
		unit_step_continue(unit);
		return;
	}
	receiver->writes--;
	if (result < 0) {
		receiver_problem(unit, "writing the staging file", result);
		unit_step_continue(unit);
		return;
	}
	receiver_answer(unit, FRAME_FLOW, receiver->epoch, sequence);
	receiver_commit_continue(unit);
}

static void staged_issue(struct staged *staged)
{
	struct unit *unit = staged->unit;

	staged->io = (struct env_io){ .on_done = on_staged, .data = staged };
	unit->in_flight++;
	env_file_write(unit->receiver.stages[unit->receiver.stage], &staged->io, staged->frame, staged->size, staged->offset);
}

static void receiver_begin_epoch(struct unit *unit, uint64_t epoch)
{
	struct receiver *receiver = &unit->receiver;

	if (receiver->epoch == epoch)
		return;
	receiver_discard(unit);
	receiver->epoch = epoch;
	receiver->stage = unit->record.stage ^ 1; /* R4 */
	receiver->idle = false;
}

static void on_planted_in_place(struct unit *unit, void *data, int result)
{
	(void)unit;
	(void)data;
	(void)result;
}

static void on_epoch_data(struct unit *unit, const struct frame_header *header, const uint8_t *frame)
{
	struct receiver *receiver = &unit->receiver;
	size_t size = FRAME_HEADER_SIZE + header->payload_size;
	struct staged *staged;

	receiver_begin_epoch(unit, header->epoch);
	if (receiver->ended)
		return; /* frames after the end: not of this protocol */
	if (receiver->staged_bytes + size > unit->engine->limits.staging_bytes_max) {
		receiver_refuse_space(unit);
		return;
	}
	staged = memory_new(1, sizeof *staged);
	staged->unit = unit;
	staged->generation = receiver->generation;
	staged->sequence = header->sequence;
	staged->offset = receiver->staged_bytes;
	staged->size = size;
	list_init(&staged->link);
	staged->frame = link_keep_frame(unit->peer, header, frame);
	if (PLANTED(STAGED_IN_PLACE))
		apply_frame(unit, memcpy(memory_resize(NULL, 1, size), staged->frame, size), on_planted_in_place, NULL);
	receiver->staged_bytes += size;
	receiver->frames++;
	receiver->writes++;
	unit->done_bytes += size;
	unit_count(unit, size);
	if (receiver->stale_writes > 0)
		list_append(&unit->receiver.held, &staged->link);
	else
		staged_issue(staged);
	unit_tell(unit, false);
}

/* --- commit --- */

static void on_committed(struct record_write *write, int result)
{
	struct unit *unit = write->data;
	struct receiver *receiver = &unit->receiver;

	receiver->committing = false;
	if (result < 0) {
		unit_fail(unit, "writing the commit record", result);
		return;
	}
	write->record.divergence = unit->record.divergence; /* it may have been discarded meanwhile */
	unit->record = write->record;
	receiver->peer_committed = unit->record.committed;
	log_event(LOG_DEBUG, "unit.recovery_point", "unit=%s epoch=%llu bytes=%llu", unit->spec.id,
		  (unsigned long long)unit->record.committed, (unsigned long long)unit->record.staged_bytes);
	if (receiver->attached && receiver->epoch == unit->record.committed) {
		receiver_answer(unit, FRAME_EPOCH_ACK, unit->record.committed, 0); /* R3 */
		receiver_discard(unit);
		unit_move(unit, UNIT_CYCLING, "");
	}
	unit_forget_changes(unit);
	unit_tell(unit, true);
	if (unit->record.committed > unit->record.applied)
		apply_start(unit);
	unit_step_continue(unit);
}

static void commit_write_record(struct unit *unit)
{
	struct receiver *receiver = &unit->receiver;
	struct record next = unit->record;
	int64_t ahead_ms;

	next.committed = receiver->epoch;
	next.committed_wall_ms = receiver->end.wall_ms;
	if (link_clock(unit->peer, &ahead_ms))
		next.wall_ahead_ms = ahead_ms;
	next.content = COPY_POINT;
	/* The primary cut this epoch: it has on stable storage what it offered, or the epoch committed here since. */
	next.floor = receiver->peer_committed;
	next.peer_copy = receiver->peer_copy;
	next.stage = receiver->stage;
	next.staged_bytes = receiver->staged_bytes;
	next.frames = receiver->frames;
	if (receiver->frames == 0)
		next.applied = next.committed; /* nothing to apply */
	if (PLANTED(ACK_BEFORE_RECORD))
		receiver_answer(unit, FRAME_EPOCH_ACK, next.committed, 0);
	record_write(&unit->file, &receiver->record_write, &next, on_committed, unit);
}

static void on_stage_synced(struct env_io *io, int result)
{
	struct unit *unit = io->data;

	unit->in_flight--;
	if (result < 0) {
		unit->receiver.committing = false;
		receiver_problem(unit, "syncing the staging file", result);
		unit_step_continue(unit);
		return;
	}
	if (unit->receiver.commit_generation != unit->receiver.generation) { /* given up while syncing: R5 */
		unit->receiver.committing = false;
		unit_step_continue(unit);
		receiver_commit_continue(unit);
		return;
	}
	commit_write_record(unit);
}

/* Commits the ended epoch once all it waits for is there; called whenever some of it may have come. */
void receiver_commit_continue(struct unit *unit)
{
	struct receiver *receiver = &unit->receiver;

	if (!receiver->ended || receiver->writes > 0 || receiver->committing || unit->state == UNIT_FAILED)
		return;
	if (unit->applier.running || unit->record.committed > unit->record.applied)
		return; /* R4 */
	receiver->committing = true;
	receiver->commit_generation = receiver->generation;
	if (receiver->frames == 0 || PLANTED(COMMIT_BEFORE_SYNC)) {
		commit_write_record(unit);
		return;
	}
	unit->in_flight++;
	receiver->io = (struct env_io){ .on_done = on_stage_synced, .data = unit };
	env_file_sync(receiver->stages[receiver->stage], &receiver->io); /* R2 */
}

static void on_epoch_end(struct unit *unit, const struct frame_header *header, const uint8_t *payload)
{
	struct receiver *receiver = &unit->receiver;

	receiver_begin_epoch(unit, header->epoch);
	if (receiver->ended || !frame_end_decode(payload, header->payload_size, &receiver->end))
		return;
	if (receiver->end.frames != receiver->frames) { /* R2 */
		handshake_refuse(unit, FRAME_VERDICT_FAILED, "frames of the epoch are missing");
		receiver_detach(unit, "frames of the epoch are missing");
		return;
	}
	receiver->ended = true;
	receiver_commit_continue(unit);
}

/* --- the first full sync, in place --- */

static void sync_continue(struct unit *unit);

static void on_disk_synced(struct env_io *io, int result)
{
	struct unit *unit = io->data;
	struct receiver *receiver = &unit->receiver;

	unit->in_flight--;
	result = apply_sync_result(unit, result);
	if (result < 0)
		receiver->sync_result = result;
	if (--receiver->syncs > 0)
		return;
	if (receiver->sync_result < 0) {
		unit_fail(unit, "syncing a disk", receiver->sync_result);
	} else {
		if (receiver->attached && receiver->sync_generation == receiver->generation) {
			receiver_answer(unit, FRAME_SYNC_ACK, 0, receiver->sync_sequence);
			if (receiver->sync_barrier == receiver->sync_sequence)
				receiver->sync_barrier = 0;
		}
		sync_continue(unit); /* of a copy begun meanwhile, too */
	}
	unit_step_continue(unit);
}

/* Makes the disks stable once every frame up to the barrier is written. */
static void sync_continue(struct unit *unit)
{
	struct receiver *receiver = &unit->receiver;

	if (receiver->sync_barrier == 0 || receiver->syncs > 0)
		return;
	list_for_each(link, &receiver->sync_frames) {
		const struct placed *placed = container_of(link, struct placed, link);

		if (placed->generation == receiver->generation && placed->sequence <= receiver->sync_barrier)
			return;
	}
	receiver->sync_sequence = receiver->sync_barrier;
	receiver->sync_generation = receiver->generation;
	receiver->sync_result = 0;
	apply_sync_disks(unit, receiver->disk_ios, &receiver->syncs, on_disk_synced);
}

static void on_placed(struct unit *unit, void *data, int result)
{
	struct placed *placed = data;
	bool valid = placed->generation == unit->receiver.generation;

	list_remove(&placed->link);
	if (result < 0)
		receiver_problem(unit, "writing a disk", result);
	else if (valid)
		receiver_answer(unit, FRAME_FLOW, 0, placed->sequence);
	free(placed);
	if (valid && result == 0)
		sync_continue(unit);
	unit_step_continue(unit);
}

static void on_sync_data(struct unit *unit, const struct frame_header *header, const uint8_t *frame)
{
	size_t size = FRAME_HEADER_SIZE + header->payload_size;
	struct placed *placed;

	if (unit->record.content != COPY_PARTIAL)
		return; /* a copy that was once whole is never written in place */
	placed = memory_new(1, sizeof *placed);
	placed->generation = unit->receiver.generation;
	placed->sequence = header->sequence;
	list_append(&unit->receiver.sync_frames, &placed->link);
	unit_count(unit, size);
	unit->done_bytes += size;
	apply_frame(unit, link_keep_frame(unit->peer, header, frame), on_placed, placed);
	unit_tell(unit, false);
}

/* --- frames --- */

void receiver_on_frame(struct unit *unit, const struct frame_header *header, const uint8_t *frame)
{
	struct receiver *receiver = &unit->receiver;
	const uint8_t *payload = frame + FRAME_HEADER_SIZE;

	if (!PLANTED(LATE_FRAME_ACCEPTED) &&
	    (header->term != unit->record.term || !unit_follows(unit) || unit->step != STEP_NONE)) { /* R5 */
		if (header->term < unit->record.term)
			handshake_refuse(unit, FRAME_VERDICT_SUPERSEDED, "");
		return;
	}
	if (header->type == FRAME_CHANGES_ACK) {
		changes_on_ack(unit, header);
		return;
	}
	if ((!receiver->attached || unit->wish != WISH_NONE) && !PLANTED(LATE_FRAME_ACCEPTED))
		return;
	if ((header->type == FRAME_EPOCH_DATA || header->type == FRAME_EPOCH_END || header->type == FRAME_HASHES) &&
	    header->epoch <= unit->record.committed)
		return; /* late: committed already */
	if (header->type == FRAME_EPOCH_DATA) {
		on_epoch_data(unit, header, frame);
	} else if (header->type == FRAME_EPOCH_END) {
		on_epoch_end(unit, header, payload);
	} else if (header->type == FRAME_HASHES) {
		receiver_begin_epoch(unit, header->epoch);
		compare_on_hashes(unit, header, payload);
	} else if (header->type == FRAME_SYNC_DATA) {
		on_sync_data(unit, header, frame);
	} else if (header->type == FRAME_SYNC_END) {
		receiver->sync_barrier = header->sequence;
		sync_continue(unit);
	} else if (header->type == FRAME_UNIT_STOP) {
		receiver_detach(unit, "");
		unit_move(unit, UNIT_STOPPED, "");
	} else if (header->type == FRAME_UNIT_IDLE || header->type == FRAME_UNIT_BUSY) {
		receiver->idle = header->type == FRAME_UNIT_IDLE && header->epoch == unit->record.committed;
		receiver->idle_wall_ms = header->sequence;
		receiver->idle_ns = env_now_ns(unit->engine->env);
		unit_tell(unit, true);
	}
}
