/* Reading changed blocks and sending them as data frames: of a closed epoch, and of the first full sync.
 *
 * A ship is one frame on its way: runs of one disk, up to a frame's worth of blocks, read at the same time into one buffer;
 * then zeros become ranges, the rest is packed and sent. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "repl/internal.h"

#define SHIP_BLOCKS (FRAME_DATA_MAX / DISK_BLOCK_SIZE)

struct ship {
	struct unit *unit;
	uint64_t generation;
	uint32_t disk;
	bool sweep;
	uint32_t run_count;
	uint32_t pending;
	int result;
	uint8_t *buffer; /* FRAME_DATA_MAX */
	struct disk_run runs[SHIP_RUNS_MAX];
	struct disk_reader readers[SHIP_RUNS_MAX];
	struct frame_builder builder;
};

static bool is_zero(const uint8_t *bytes, size_t size)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* Packs a run that stands at `bytes`; what is not zero moves down to the end of the data so far. */
static void ship_pack_run(struct ship *ship, const struct disk_run *run, const uint8_t *bytes)
{
	uint64_t left = disk_run_bytes(ship->unit->disks[ship->disk].disk, run), offset = run->first * DISK_BLOCK_SIZE;
	bool added;

	while (left > 0) {
		uint32_t size = left < DISK_BLOCK_SIZE ? (uint32_t)left : DISK_BLOCK_SIZE;

		if (is_zero(bytes, size)) {
			added = frame_builder_add_zero(&ship->builder, offset, size);
		} else {
			memmove(ship->builder.data + ship->builder.data_size, bytes, size);
			added = frame_builder_add_data(&ship->builder, offset, size);
		}
		assert(added); /* a range a block at most, and there is room for more ranges than blocks */
		bytes += size;
		offset += size;
		left -= size;
	}
}

static void ship_send(struct ship *ship)
{
	struct unit *unit = ship->unit;
	struct frame_builder *builder = &ship->builder;
	uint64_t at = 0, covered = 0;
	struct frame_header header;
	struct frame_out *frame;

	frame_builder_start(builder, ship->disk, ship->buffer);
	for (uint32_t i = 0; i < ship->run_count; i++) {
		const struct disk_run *run = &ship->runs[i];
		uint64_t bytes = disk_run_bytes(unit->disks[ship->disk].disk, run);

		covered += bytes;
		if (run->kind == DISK_RUN_HOLE) {
			frame_builder_add_zero(builder, run->first * DISK_BLOCK_SIZE, bytes);
			continue;
		}
		ship_pack_run(ship, run, ship->buffer + at);
		at += run->count * DISK_BLOCK_SIZE;
	}
	frame = frame_out_new(FRAME_RANGE_HEADER + 16 * (size_t)builder->range_count + builder->data_size);
	unit_header(unit, ship->sweep ? FRAME_SYNC_DATA : FRAME_EPOCH_DATA, ship->sweep ? 0 : unit->sender.closed_epoch,
		    ++unit->sender.sequence, &header);
	header.payload_size = frame_builder_finish(builder, frame->bytes, &header.flags);
	sender_sent(unit, FRAME_HEADER_SIZE + header.payload_size);
	for (uint32_t i = 0; ship->sweep && i < ship->run_count; i++) {
		struct sweep_run *sweep = memory_new(1, sizeof *sweep);

		sweep->disk = ship->disk;
		sweep->sequence = unit->sender.sequence;
		sweep->run = ship->runs[i];
		list_append(&unit->sender.sweep_runs, &sweep->link);
	}
	if (ship->sweep)
		unit->sender.sweep_unended_bytes += header.payload_size;
	else
		unit->done_bytes += covered;
	unit_count(unit, covered);
	link_send(unit->peer, frame, &header);
	unit_tell(unit, false);
}

static void ship_end(struct ship *ship)
{
	struct unit *unit = ship->unit;
	bool sweep = ship->sweep, valid = ship->generation == unit->sender.generation;
	int result = ship->result;

	unit->in_flight--;
	if (valid) {
		unit->sender.ships--;
		if (result == 0)
			ship_send(ship);
	}
	free(ship->buffer);
	free(ship);
	if (!valid)
		return;
	if (result < 0)
		unit_fail(unit, "reading a disk for shipping", result);
	else if (sweep)
		full_sync_pump(unit);
	else
		ship_pump(unit);
}

static void on_run_read(struct disk_reader *reader, int result)
{
	struct ship *ship = reader->data;

	if (result < 0)
		ship->result = result;
	if (--ship->pending == 0)
		ship_end(ship);
}

/* Collects runs and starts their reads; false when the disk has none to give now. */
static bool ship_collect(struct ship *ship)
{
	struct sender *sender = &ship->unit->sender;
	struct disk *disk = ship->unit->disks[ship->disk].disk;
	uint64_t blocks = 0;

	while (ship->run_count < SHIP_RUNS_MAX && blocks < SHIP_BLOCKS) {
		struct disk_run *run = &ship->runs[ship->run_count];
		struct disk_reader *reader = &ship->readers[ship->run_count];
		uint8_t *at = ship->buffer + blocks * DISK_BLOCK_SIZE;
		bool found = ship->sweep ? disk_sweep_next(disk, sender->sweep_from, SHIP_BLOCKS - blocks, run)
					 : disk_ship_next(disk, SHIP_BLOCKS - blocks, run);

		if (!found)
			break;
		ship->run_count++;
		sender->sweep_from = run->first + run->count;
		if (run->kind == DISK_RUN_HOLE)
			continue;
		blocks += run->count;
		if (run->kind == DISK_RUN_KEPT) {
			disk_ship_kept(disk, run, at);
			continue;
		}
		reader->on_read = on_run_read;
		reader->data = ship;
		ship->pending++;
		if (ship->sweep)
			disk_sweep_read(disk, reader, run, at);
		else
			disk_ship_read(disk, reader, run, at);
	}
	return ship->run_count > 0;
}

bool ship_begin(struct unit *unit, bool sweep)
{
	struct ship *ship = malloc(sizeof *ship);

	if (ship == NULL)
		abort();
	ship->unit = unit;
	ship->generation = unit->sender.generation;
	ship->disk = unit->sender.ship_disk;
	ship->sweep = sweep;
	ship->run_count = ship->pending = 0;
	ship->result = 0;
	ship->buffer = memory_try_buffer(FRAME_DATA_MAX);
	if (ship->buffer == NULL || !ship_collect(ship)) {
		free(ship->buffer);
		free(ship);
		return false;
	}
	unit->in_flight++;
	unit->sender.ships++;
	if (ship->pending == 0) { /* all kept, or all holes */
		unit->in_flight--;
		unit->sender.ships--;
		ship_send(ship);
		free(ship->buffer);
		free(ship);
	}
	return true;
}

void ship_pump(struct unit *unit)
{
	struct sender *sender = &unit->sender;

	while (sender->phase == SENDER_SHIPPING && sender->ships < SHIPS_MAX && sender_may_send(unit)) {
		if (ship_begin(unit, false))
			continue;
		if (!disk_ship_done(unit->disks[sender->ship_disk].disk))
			return; /* its last blocks are being kept: on_shippable tells */
		if (sender->ship_disk + 1 < unit->spec.disk_count) {
			sender->ship_disk++;
			continue;
		}
		if (sender->ships == 0)
			sender_shipped(unit);
		return;
	}
}
