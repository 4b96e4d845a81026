/* The first full sync: every changed block is sent once and written in place, while writes go on.
 *
 * Nothing is a recovery point before the cycle that follows has committed, so order does not matter here; what matters is that
 * a block leaves the change map only when the secondary says that it is stable, and that a block written meanwhile is in it
 * again. A link that breaks, or a restart, puts what was not yet proven back: the sync goes on where it stopped. */
#include <stdlib.h>

#include "base/log.h"
#include "repl/internal.h"

/* The secondary makes its disks stable after so much: often enough to lose little when the link breaks. */
#define SWEEP_END_BYTES (128u * 1024u * 1024u)

void full_sync_begin(struct unit *unit)
{
	uint64_t size = 0, dirty = 0;

	for (uint32_t i = 0; i < unit->spec.disk_count; i++) {
		size += disk_size(unit->disks[i].disk);
		dirty += disk_dirty_blocks(unit->disks[i].disk) * DISK_BLOCK_SIZE;
	}
	unit->sender.phase = SENDER_SWEEPING;
	unit->sender.ship_disk = 0;
	unit->sender.sweep_from = 0;
	unit->sender.sequence = unit->sender.sweep_ended = 0;
	unit->sender.sweep_unended_bytes = 0;
	unit->total_bytes = size;
	unit->done_bytes = dirty < size ? size - dirty : 0;
	unit_move(unit, UNIT_FULL_SYNC, "");
	full_sync_pump(unit);
}

static void full_sync_end_batch(struct unit *unit)
{
	struct frame_header header;

	unit->sender.sweep_ended = unit->sender.sequence;
	unit->sender.sweep_unended_bytes = 0;
	unit_header(unit, FRAME_SYNC_END, 0, unit->sender.sequence, &header);
	link_send_small(unit->peer, &header, NULL, 0);
}

static void full_sync_finish_pass(struct unit *unit)
{
	struct sender *sender = &unit->sender;

	if (sender->ships > 0)
		return;
	if (!list_is_empty(&sender->sweep_runs)) {
		if (sender->sweep_ended < sender->sequence)
			full_sync_end_batch(unit);
		return;
	}
	log_event(LOG_INFO, "unit.first_copy_done", "unit=%s bytes=%llu", unit->spec.id, (unsigned long long)unit->total_bytes);
	sender_forget_window(unit);
	sender->phase = SENDER_WAITING;
	sender->next_cut_ns = 0;
	sender_cut_soon(unit);
}

void full_sync_pump(struct unit *unit)
{
	struct sender *sender = &unit->sender;

	while (sender->phase == SENDER_SWEEPING && sender->ships < SHIPS_MAX && sender_may_send(unit)) {
		if (ship_begin(unit, true)) {
			if (sender->sweep_unended_bytes >= SWEEP_END_BYTES)
				full_sync_end_batch(unit);
			continue;
		}
		if (sender->ship_disk + 1 < unit->spec.disk_count) {
			sender->ship_disk++;
			sender->sweep_from = 0;
			continue;
		}
		full_sync_finish_pass(unit);
		return;
	}
}

void full_sync_on_ack(struct unit *unit, uint64_t sequence)
{
	struct sender *sender = &unit->sender;

	if (sender->phase != SENDER_SWEEPING)
		return;
	list_for_each(link, &sender->sweep_runs) {
		struct sweep_run *sweep = container_of(link, struct sweep_run, link);

		if (sweep->sequence > sequence)
			break;
		disk_sweep_proven(unit->disks[sweep->disk].disk, &sweep->run);
		unit->done_bytes += disk_run_bytes(unit->disks[sweep->disk].disk, &sweep->run);
		list_remove(link);
		free(sweep);
	}
	unit_tell(unit, false);
	sender_on_flow(unit, sequence);
}

void full_sync_forget(struct unit *unit)
{
	struct list *link;

	while ((link = list_pop(&unit->sender.sweep_runs)) != NULL)
		free(container_of(link, struct sweep_run, link));
}
