/* Reading changed blocks and sending them as data frames: of a closed epoch, and of the first full sync.
 *
 * A ship is one frame on its way: runs of one disk, up to a frame's worth of blocks, read into one buffer, a few at a time,
 * each taken when its turn to be read has come: until then a write may keep its bytes. Then zeros become ranges, the rest is
 * packed and sent. Blocks that are only suspected to have changed are compared first: their hashes go, the other side says
 * which differ from what it has committed, and those are sent. All within one closed epoch, so that what is compared stands
 * still on both sides. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "backend/backend.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "repl/internal.h"

#define SHIP_BLOCKS (FRAME_DATA_MAX / DISK_BLOCK_SIZE)
/* Whole pages, so that the blocks are read to whole pages. */
#define SHIP_HEAD ((FRAME_HEAD_MAX + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE * DISK_BLOCK_SIZE)

#define READS_MAX 8u /* runs being read from the cache at a time, a frame */
#define IN_PLACE_MIN (FRAME_DATA_MAX / 2) /* a frame that waits to be sent should not hold much more memory than it has bytes */

struct ship {
	struct list link; /* of sender.asking */
	struct unit *unit;
	uint64_t generation;
	uint32_t disk;
	bool sweep, suspect;
	uint64_t ask; /* the question's sequence */
	uint32_t run_count;
	uint32_t pending; /* of them, those being read */
	uint64_t blocks;  /* of them all, holes apart */
	bool complete;    /* no more of them */
	int result;
	uint8_t *memory; /* room for what stands before a frame's blocks, and the next: */
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

/* The frame of what is packed: compressed where that pays, else, when it is large, just where it was read. The payload's size and
 * flags are put into the header. */
static struct frame_out *ship_frame(struct ship *ship, struct frame_header *header)
{
	const struct frame_builder *builder = &ship->builder;
	uint32_t head = frame_builder_head_size(builder);
	struct frame_out *frame = frame_out_new(head - FRAME_HEADER_SIZE + builder->data_size);
	uint32_t compressed = frame_builder_compress(builder, frame->bytes + head);

	if (compressed == 0 && builder->data_size > IN_PLACE_MIN) {
		free(frame);
		frame = frame_out_in_place(ship->buffer - head, steal(ship->memory));
	} else if (compressed == 0) {
		memcpy(frame->bytes + head, builder->data, builder->data_size);
	}
	header->payload_size = frame_builder_finish(builder, compressed, frame->bytes, &header->flags);
	return frame;
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
	unit_header(unit, ship->sweep ? FRAME_SYNC_DATA : FRAME_EPOCH_DATA, ship->sweep ? 0 : unit->sender.closed_epoch,
		    ++unit->sender.sequence, &header);
	frame = ship_frame(ship, &header);
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

/* --- comparing --- */

static void ship_free(struct ship *ship)
{
	free(ship->memory);
	free(ship);
}

static void ship_ask(struct ship *ship)
{
	struct unit *unit = ship->unit;
	struct frame_hashes hashes = { .disk = ship->disk };
	uint8_t payload[FRAME_HASHES_SIZE_MAX];
	struct frame_header header;
	const uint8_t *at = ship->buffer;

	for (uint32_t i = 0; i < ship->run_count; i++) {
		const struct disk_run *run = &ship->runs[i];
		uint64_t left = disk_run_bytes(unit->disks[ship->disk].disk, run);

		for (uint64_t n = 0; n < run->count; n++) {
			uint64_t size = left < DISK_BLOCK_SIZE ? left : DISK_BLOCK_SIZE;

			hashes.blocks[hashes.count] = run->first + n;
			hash_sha256(at, size, hashes.hashes[hashes.count++]);
			at += DISK_BLOCK_SIZE;
			left -= size;
		}
	}
	ship->ask = ++unit->sender.ask_sequence;
	unit->sender.asks++;
	list_append(&unit->sender.asking, &ship->link);
	unit_header(unit, FRAME_HASHES, unit->sender.closed_epoch, ship->ask, &header);
	link_send_small(unit->peer, &header, payload, frame_hashes_encode(&hashes, payload));
}

void ship_forget_asking(struct unit *unit)
{
	struct list *link;

	while ((link = list_pop(&unit->sender.asking)) != NULL)
		ship_free(container_of(link, struct ship, link));
	unit->sender.asks = 0;
}

/* A scrub's block was known to be the same on both sides. */
static void report_difference(struct unit *unit, const struct disk *disk, uint64_t block)
{
	unit->scrub_differences++;
	log_event(LOG_ERROR, "unit.scrub_difference", "unit=%s disk=%s offset=%llu", unit->spec.id, disk_id(disk),
		  (unsigned long long)block * DISK_BLOCK_SIZE);
}

/* Keeps, of the runs, the blocks that differ; their bytes move down. */
static void ship_keep_different(struct ship *ship, const uint8_t *bits)
{
	struct unit *unit = ship->unit;
	const struct disk *disk = unit->disks[ship->disk].disk;
	struct disk_run kept[SHIP_RUNS_MAX] = { 0 };
	uint32_t kept_count = 0, index = 0;
	uint64_t equal = 0;
	uint8_t *to = ship->buffer;

	for (uint32_t i = 0; i < ship->run_count; i++) {
		for (uint64_t block = ship->runs[i].first; block < ship->runs[i].first + ship->runs[i].count; block++, index++) {
			bool joined = kept_count > 0 && kept[kept_count - 1].first + kept[kept_count - 1].count == block;

			if ((bits[index / 8] >> (index % 8) & 1) == 0) {
				equal += DISK_BLOCK_SIZE;
				continue;
			}
			if (disk_is_scrubbed(disk, block))
				report_difference(unit, disk, block);
			if (joined)
				kept[kept_count - 1].count++;
			else
				kept[kept_count++] = (struct disk_run){ .first = block, .count = 1, .kind = DISK_RUN_READ };
			memmove(to, ship->buffer + (size_t)index * DISK_BLOCK_SIZE, DISK_BLOCK_SIZE);
			to += DISK_BLOCK_SIZE;
		}
	}
	unit->compared_equal_bytes += equal;
	unit->done_bytes += equal;
	memcpy(ship->runs, kept, kept_count * sizeof kept[0]);
	ship->run_count = kept_count;
}

void ship_on_differ(struct unit *unit, const struct frame_header *header, const uint8_t *payload)
{
	struct sender *sender = &unit->sender;

	list_for_each(link, &sender->asking) {
		struct ship *ship = container_of(link, struct ship, link);
		uint64_t blocks = 0;

		if (ship->ask != header->sequence)
			continue;
		for (uint32_t i = 0; i < ship->run_count; i++)
			blocks += ship->runs[i].count;
		if (header->payload_size != (blocks + 7) / 8)
			return; /* not of this protocol */
		list_remove(link);
		sender->asks--;
		sender->ships--;
		ship_keep_different(ship, payload);
		if (ship->run_count > 0)
			ship_send(ship);
		ship_free(ship);
		ship_pump(unit);
		return;
	}
}

static void ship_end(struct ship *ship)
{
	struct unit *unit = ship->unit;
	bool sweep = ship->sweep, valid = ship->generation == unit->sender.generation;
	int result = ship->result;

	unit->in_flight--;
	if (valid && result == 0 && ship->suspect) {
		ship_ask(ship);
		ship_pump(unit);
		return;
	}
	if (valid) {
		unit->sender.ships--;
		if (result == 0)
			ship_send(ship);
	}
	ship_free(ship);
	if (!valid)
		return;
	if (result < 0)
		unit_fail(unit, "reading a disk for shipping", result);
	else if (sweep)
		full_sync_pump(unit);
	else
		ship_pump(unit);
}

static void ship_collect(struct ship *ship);

static void on_run_read(struct disk_reader *reader, int result)
{
	struct ship *ship = reader->data;

	if (result < 0)
		ship->result = result;
	ship->pending--;
	if (!ship->complete && ship->generation == ship->unit->sender.generation && ship->result == 0)
		ship_collect(ship);
	if (ship->pending == 0)
		ship_end(ship);
}

/* The next run, and the start of its read; false when the frame is full, or the disk has none for it now. */
static bool ship_add_run(struct ship *ship)
{
	struct sender *sender = &ship->unit->sender;
	struct disk *disk = ship->unit->disks[ship->disk].disk;
	struct disk_run *run = &ship->runs[ship->run_count];
	struct disk_reader *reader = &ship->readers[ship->run_count];
	uint8_t *at = ship->buffer + ship->blocks * DISK_BLOCK_SIZE;
	uint64_t room = SHIP_BLOCKS - ship->blocks;

	if (ship->run_count == SHIP_RUNS_MAX || room == 0 || ship->disk != sender->ship_disk)
		return false; /* all of that disk has been given out: `sweep_from` is another's */
	if (!(ship->sweep ? disk_sweep_next(disk, sender->sweep_from, room, run) : disk_ship_next(disk, room, run)))
		return false;
	if (ship->run_count == 0)
		ship->suspect = run->suspect;
	if (ship->suspect != run->suspect) {
		disk_ship_unget(disk, run);
		return false;
	}
	ship->run_count++;
	sender->sweep_from = run->first + run->count;
	if (run->kind == DISK_RUN_HOLE)
		return true;
	ship->blocks += run->count;
	if (run->kind == DISK_RUN_KEPT) {
		disk_ship_kept(disk, run, at);
		return true;
	}
	reader->on_read = on_run_read;
	reader->data = ship;
	ship->pending++;
	if (ship->sweep)
		disk_sweep_read(disk, reader, run, at);
	else
		disk_ship_read(disk, reader, run, at);
	return true;
}

/* Collects runs until enough are being read, or the frame is complete. From the cache each read is a copy that clients wait for,
 * so only a few are begun at a time. A device is done soonest with all at once, and until a block is read a write to it costs
 * twice. */
static void ship_collect(struct ship *ship)
{
	const struct backend *backend = disk_backend(ship->unit->disks[ship->disk].disk);

	while (!ship->complete && (backend->direct || ship->pending < READS_MAX))
		ship->complete = !ship_add_run(ship);
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
	ship->suspect = false;
	list_init(&ship->link);
	ship->run_count = ship->pending = 0;
	ship->blocks = 0;
	ship->complete = false;
	ship->result = 0;
	ship->memory = memory_try_buffer(SHIP_HEAD + FRAME_DATA_MAX);
	if (ship->memory != NULL) {
		ship->buffer = ship->memory + SHIP_HEAD;
		ship_collect(ship);
	}
	if (ship->run_count == 0) {
		ship_free(ship);
		return false;
	}
	unit->sender.ships++;
	if (ship->pending > 0) {
		unit->in_flight++;
	} else if (ship->suspect) { /* all kept */
		ship_ask(ship);
	} else { /* all kept, or all holes */
		unit->sender.ships--;
		ship_send(ship);
		ship_free(ship);
	}
	return true;
}

void ship_pump(struct unit *unit)
{
	struct sender *sender = &unit->sender;

	while (sender->phase == SENDER_SHIPPING && sender->ships - sender->asks < SHIPS_MAX && sender->asks < ASKS_MAX &&
	       sender_may_send(unit)) {
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
