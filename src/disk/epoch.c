/* The closed epoch's bytes: which blocks are unread, who reads them, and what is kept when a write comes first.
 *
 * Invariants
 *  E1 A write is issued to a block of the closed epoch only when the block's bytes of that epoch have been read or kept.
 *  E2 Nothing of the closed epoch is read before every write admitted to it has ended (drained).
 *  E3 A block is read by one reader at a time (busy), so a write that waits for its unread bit waits for every reader.
 *  E4 An abandoned epoch has no unread block: its readers still in flight are told apart by `generation`, and what they
 *     read is thrown away. */
#include "disk/epoch.h"

#include <assert.h>
#include <string.h>

#include "backend/backend.h"
#include "base/bitmap.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/planted.h"
#include "disk/internal.h"

uint64_t disk_open_blocks(const struct disk *disk)
{
	return disk->tracking == TRACKING_ON ? disk->map.open_count : 0;
}

uint64_t disk_closed_blocks(const struct disk *disk)
{
	return disk->tracking == TRACKING_ON ? disk->map.closed_count : 0;
}

uint64_t disk_dirty_blocks(const struct disk *disk)
{
	return disk_open_blocks(disk) + disk_closed_blocks(disk);
}

uint64_t disk_dirty_word_count(const struct disk *disk)
{
	return bitmap_words(disk->blocks);
}

bool disk_dirty_words(const struct disk *disk, uint64_t word, uint32_t count, bool suspect, uint64_t *out_words)
{
	uint64_t any = 0;

	assert(disk->tracking == TRACKING_ON && word + count <= bitmap_words(disk->blocks));
	for (uint32_t i = 0; i < count; i++) {
		uint64_t suspects = disk->suspect[word + i];

		out_words[i] = (disk->map.open[word + i] | disk->map.closed[word + i]) & (suspect ? suspects : ~suspects);
		any |= out_words[i];
	}
	return any != 0;
}

void disk_suspect(struct disk *disk, uint64_t first, uint64_t count)
{
	disk->suspect_count += count - bitmap_count(disk->suspect, first, count);
	bitmap_set(disk->suspect, first, count);
}

/* It has changed for certain: nothing to compare. The scrub's word stands while its block waits in the closed epoch. */
void disk_unsuspect(struct disk *disk, uint64_t first, uint64_t count)
{
	if (disk->suspect_count > 0) {
		disk->suspect_count -= bitmap_count(disk->suspect, first, count);
		bitmap_clear(disk->suspect, first, count);
	}
	for (uint64_t block = first; disk->scrub_count > 0 && block < first + count; block++) {
		if (bitmap_test(disk->scrub, block) && !bitmap_test(disk->map.closed, block)) {
			bitmap_clear(disk->scrub, block, 1);
			disk->scrub_count--;
		}
	}
}

static void add_run(struct disk *disk, uint64_t first, uint64_t count, bool suspect)
{
	for (uint64_t block = first; suspect && block < first + count; block++) {
		if (!bitmap_test(disk->map.open, block) && !bitmap_test(disk->map.closed, block))
			disk_suspect(disk, block, 1);
	}
	if (!suspect)
		disk_unsuspect(disk, first, count);
	change_map_set(&disk->map, first, count);
}

void disk_scrub_begin(struct disk *disk)
{
	disk->scrub_at = 0;
}

bool disk_scrub_next(struct disk *disk, uint64_t max)
{
	uint64_t left = max;

	assert(disk->tracking == TRACKING_ON);
	while (left > 0 && disk->scrub_at < disk->blocks) {
		uint64_t block = disk->scrub_at++;

		if (bitmap_test(disk->map.open, block) || bitmap_test(disk->map.closed, block))
			continue;
		disk_suspect(disk, block, 1);
		bitmap_set(disk->scrub, block, 1);
		disk->scrub_count++;
		change_map_set(&disk->map, block, 1);
		left--;
	}
	return left < max;
}

uint64_t disk_scrubbed_blocks(const struct disk *disk)
{
	return disk->scrub_at;
}

bool disk_is_scrubbed(const struct disk *disk, uint64_t block)
{
	return disk->scrub_count > 0 && bitmap_test(disk->scrub, block);
}

void disk_add_dirty(struct disk *disk, uint64_t word, uint32_t count, bool suspect, const uint64_t *words)
{
	uint64_t block = 0, end = (uint64_t)count * 64;

	assert(disk->tracking == TRACKING_ON);
	while ((block = bitmap_next_set(words, block, end)) != BITMAP_NONE && 64 * word + block < disk->blocks) {
		uint64_t stop = bitmap_next_clear(words, block, end), first = 64 * word + block, left = disk->blocks - first;

		if (stop == BITMAP_NONE)
			stop = end;
		add_run(disk, first, stop - block < left ? stop - block : left, suspect);
		block = stop;
	}
}

uint64_t disk_run_bytes(const struct disk *disk, const struct disk_run *run)
{
	uint64_t start = run->first * DISK_BLOCK_SIZE, end = (run->first + run->count) * DISK_BLOCK_SIZE;

	return (end < disk->backend->size ? end : disk->backend->size) - start;
}

void disk_cut(struct disk *disk, void (*on_drained)(void *data), void *data)
{
	size_t size = bitmap_words(disk->blocks) * sizeof(uint64_t);

	assert(disk->closed == CLOSED_NONE && disk->tracking == TRACKING_ON);
	change_map_cut(&disk->map);
	disk->closed = CLOSED_CUT;
	disk->generation++;
	memcpy(disk->unread, disk->map.closed, size);
	memcpy(disk->unshipped, disk->map.closed, size);
	memset(disk->busy, 0, size);
	disk->unshipped_count = disk->map.closed_count;
	disk->ship_cursor = 0;
	disk->on_drained = on_drained;
	disk->drained_data = data;
	disk->cuts++;
	/* All of them, those of an epoch given up before its writes had ended too. */
	disk->before_count = disk->write_count;
	disk->drained = disk->before_count == 0 || PLANTED(CUT_NOT_DRAINED);
	if (disk->drained)
		on_drained(data);
}

void epoch_write_ended(struct disk *disk, uint64_t admitted)
{
	assert(disk->write_count > 0);
	disk->write_count--;
	if (admitted == disk->cuts)
		return;
	assert(disk->before_count > 0);
	disk->before_count--;
	if (disk->closed != CLOSED_CUT || disk->drained || disk->before_count > 0)
		return;
	disk->drained = true; /* E2 */
	disk_retry(disk);
	if (disk->closed == CLOSED_CUT) /* the retry may have used up the budget and abandoned the epoch */
		disk->on_drained(disk->drained_data);
}

/* --- keeping old bytes --- */

struct keep {
	struct env_io io;
	struct disk *disk;
	uint64_t generation;
	uint64_t block;
	uint8_t bytes[DISK_BLOCK_SIZE];
};

static void on_keep_read(struct env_io *io, int result)
{
	struct keep *keep = io->data;
	struct disk *disk = keep->disk;
	uint64_t block = keep->block;

	disk->requests--;
	if (disk->closed == CLOSED_CUT && keep->generation == disk->generation) {
		bitmap_clear(disk->busy, block, 1);
		if (result < 0) { /* the old bytes cannot be had: the epoch cannot be shipped */
			disk->kept.budget->on_exceeded(disk->kept.budget->data);
		} else {
			memcpy(kept_add(&disk->kept, block), keep->bytes, DISK_BLOCK_SIZE);
			bitmap_clear(disk->unread, block, 1);
		}
	}
	free(keep);
	disk_retry(disk);
	if (disk->closed == CLOSED_CUT && disk->on_shippable != NULL)
		disk->on_shippable(disk->shippable_data);
}

static void keep_block(struct disk *disk, uint64_t block)
{
	struct keep *keep = memory_new(1, sizeof *keep);
	struct disk_run run = { .first = block, .count = 1 };

	keep->disk = disk;
	keep->generation = disk->generation;
	keep->block = block;
	keep->io = (struct env_io){ .on_done = on_keep_read, .data = keep };
	bitmap_set(disk->busy, block, 1);
	disk->requests++;
	disk->backend->ops->read(disk->backend, &keep->io, keep->bytes, disk_run_bytes(disk, &run),
				 block * DISK_BLOCK_SIZE);
}

bool epoch_admits(struct disk *disk, uint64_t first, uint64_t last)
{
	struct kept_budget *budget = disk->kept.budget;
	uint64_t block = first, needed;

	if (disk->closed != CLOSED_CUT || bitmap_next_set(disk->unread, first, last + 1) == BITMAP_NONE)
		return true; /* E1 */
	if (!disk->drained)
		return false; /* E2 */
	needed = bitmap_count(disk->unread, first, last - first + 1) * DISK_BLOCK_SIZE;
	if (budget->used + needed > budget->max) {
		budget->on_exceeded(budget->data);
		return true; /* the epoch is abandoned: there is nothing to keep */
	}
	while ((block = bitmap_next_set(disk->unread, block, last + 1)) != BITMAP_NONE) {
		if (!bitmap_test(disk->busy, block)) /* E3 */
			keep_block(disk, block);
		block++;
	}
	return false;
}

/* --- shipping --- */

bool disk_ship_done(const struct disk *disk)
{
	return disk->unshipped_count == 0;
}

void disk_on_dirty(struct disk *disk, void (*on_dirty)(void *data), void *data)
{
	disk->on_dirty = on_dirty;
	disk->dirty_data = data;
}

void disk_on_shippable(struct disk *disk, void (*on_shippable)(void *data), void *data)
{
	disk->on_shippable = on_shippable;
	disk->shippable_data = data;
}

/* How many blocks from `first` on are of the same kind, and can be shipped as one run. */
static uint64_t ship_run_length(const struct disk *disk, uint64_t first, uint64_t max, bool unread, bool suspect)
{
	uint64_t end = first + max < disk->blocks ? first + max : disk->blocks;
	uint64_t block = first;

	while (block < end && bitmap_test(disk->unshipped, block) && !bitmap_test(disk->busy, block) &&
	       bitmap_test(disk->unread, block) == unread && bitmap_test(disk->suspect, block) == suspect)
		block++;
	return block - first;
}

bool disk_ship_next(struct disk *disk, uint64_t max, struct disk_run *out_run)
{
	uint64_t block = disk->ship_cursor, start;
	bool unread, wrapped = false;

	assert(disk->closed == CLOSED_CUT && disk->drained);
	if (disk->unshipped_count == 0)
		return false;
	for (;;) {
		start = bitmap_next_set(disk->unshipped, block, disk->blocks);
		if (start == BITMAP_NONE) {
			if (wrapped)
				return false;
			wrapped = true;
			block = 0;
			continue;
		}
		if (!bitmap_test(disk->busy, start))
			break;
		block = start + 1;
	}
	unread = bitmap_test(disk->unread, start);
	out_run->first = start;
	out_run->suspect = bitmap_test(disk->suspect, start);
	out_run->count = ship_run_length(disk, start, max, unread, out_run->suspect);
	out_run->kind = unread ? DISK_RUN_READ : DISK_RUN_KEPT;
	bitmap_clear(disk->unshipped, start, out_run->count);
	disk->unshipped_count -= out_run->count;
	disk->ship_cursor = start + out_run->count;
	return true;
}

void disk_ship_unget(struct disk *disk, const struct disk_run *run)
{
	bitmap_set(disk->unshipped, run->first, run->count);
	disk->unshipped_count += run->count;
	disk->ship_cursor = run->first;
}

static void on_ship_read(struct env_io *io, int result)
{
	struct disk_reader *reader = io->data;
	struct disk *disk = reader->disk;

	disk->requests--;
	if (disk->closed == CLOSED_CUT && reader->generation == disk->generation) {
		bitmap_clear(disk->busy, reader->run.first, reader->run.count);
		bitmap_clear(disk->unread, reader->run.first, reader->run.count);
		disk_retry(disk);
	}
	reader->on_read(reader, result);
}

static void reader_start(struct disk *disk, struct disk_reader *reader, const struct disk_run *run, uint8_t *buffer)
{
	reader->disk = disk;
	reader->run = *run;
	reader->generation = disk->generation;
	reader->io = (struct env_io){ .on_done = on_ship_read, .data = reader };
	disk->requests++;
	disk->backend->ops->read(disk->backend, &reader->io, buffer, disk_run_bytes(disk, run), run->first * DISK_BLOCK_SIZE);
}

void disk_ship_read(struct disk *disk, struct disk_reader *reader, const struct disk_run *run, uint8_t *buffer)
{
	assert(run->kind == DISK_RUN_READ && disk->closed == CLOSED_CUT);
	bitmap_set(disk->busy, run->first, run->count); /* E3 */
	reader_start(disk, reader, run, buffer);
}

void disk_ship_kept(struct disk *disk, const struct disk_run *run, uint8_t *buffer)
{
	assert(run->kind == DISK_RUN_KEPT);
	for (uint64_t i = 0; i < run->count; i++)
		memcpy(buffer + i * DISK_BLOCK_SIZE, kept_find(&disk->kept, run->first + i), DISK_BLOCK_SIZE);
}

static void epoch_end(struct disk *disk)
{
	disk->closed = CLOSED_NONE;
	disk->generation++; /* E4 */
	disk->unshipped_count = 0;
	kept_clear(&disk->kept);
}

/* What was compared, or sent, is settled; but for blocks that are open again. */
static void epoch_forget_suspects(struct disk *disk)
{
	for (size_t i = 0; i < bitmap_words(disk->blocks); i++) {
		disk->suspect[i] &= ~disk->map.closed[i];
		disk->scrub[i] &= ~disk->map.closed[i];
	}
	disk->suspect_count = bitmap_count(disk->suspect, 0, disk->blocks);
	disk->scrub_count = bitmap_count(disk->scrub, 0, disk->blocks);
}

void disk_epoch_commit(struct disk *disk)
{
	assert(disk->closed == CLOSED_CUT && disk->unshipped_count == 0);
	epoch_end(disk);
	if (disk->suspect_count > 0 || disk->scrub_count > 0)
		epoch_forget_suspects(disk);
	change_map_drop_closed(&disk->map);
	disk_retry(disk);
}

static void on_retry(struct env_io *io, int result)
{
	struct disk *disk = io->data;

	(void)result;
	disk->retry_pending = false;
	disk->requests--;
	disk_retry(disk);
}

void disk_epoch_abandon(struct disk *disk)
{
	if (disk->tracking != TRACKING_ON)
		return;
	epoch_end(disk);
	if (PLANTED(ABANDON_DROPS_BITS))
		change_map_drop_closed(&disk->map);
	change_map_merge_closed(&disk->map);
	if (disk->retry_pending)
		return;
	/* From the loop: this may be called while what waits is being looked at. */
	disk->retry_pending = true;
	disk->requests++;
	disk->retry_io = (struct env_io){ .on_done = on_retry, .data = disk };
	env_defer(disk->env, &disk->retry_io);
}

#ifdef OFFSITE_PLANTED
void disk_forget_dirty(struct disk *disk)
{
	change_map_merge_closed(&disk->map);
	bitmap_clear(disk->map.open, 0, disk->blocks);
	disk->map.open_count = 0;
}
#endif

/* --- first full sync --- */

/* A write in flight to a block that was just closed may or may not be seen by the reader: it goes again. */
static void sweep_reopen_in_flight(struct disk *disk, const struct disk_run *run)
{
	uint64_t end = run->first + run->count;

	list_for_each(link, &disk->writes) {
		const struct disk_request *request = container_of(link, struct disk_request, link);
		uint64_t first = request->first_block > run->first ? request->first_block : run->first;
		uint64_t last = request->last_block + 1 < end ? request->last_block + 1 : end;

		if (first < last && !PLANTED(SWEEP_MISSES_FLIGHT))
			change_map_set(&disk->map, first, last - first);
	}
}

/* Whether all from `offset` to *out_data is a hole. */
static bool sweep_is_hole(struct disk *disk, uint64_t offset, uint64_t *out_data)
{
	uint64_t start, end;

	if (offset >= disk->sweep_data_start && offset < disk->sweep_data_end)
		return false;
	if (disk->backend->ops->next_data(disk->backend, offset, &start, &end) < 0)
		return false;
	disk->sweep_data_start = start;
	disk->sweep_data_end = end;
	*out_data = start;
	return start / DISK_BLOCK_SIZE > offset / DISK_BLOCK_SIZE;
}

bool disk_sweep_next(struct disk *disk, uint64_t from, uint64_t max, struct disk_run *out_run)
{
	uint64_t first = bitmap_next_set(disk->map.open, from, disk->blocks), end, data;

	assert(disk->closed != CLOSED_CUT);
	if (first == BITMAP_NONE)
		return false;
	disk->closed = CLOSED_SWEEP;
	end = bitmap_next_clear(disk->map.open, first, disk->blocks);
	if (end == BITMAP_NONE)
		end = disk->blocks;
	out_run->first = first;
	out_run->kind = DISK_RUN_READ;
	out_run->suspect = false; /* a copy that is not whole is not compared */
	if (sweep_is_hole(disk, first * DISK_BLOCK_SIZE, &data)) {
		out_run->kind = DISK_RUN_HOLE; /* as far as the hole goes, however long */
		end = data / DISK_BLOCK_SIZE < end && data < disk->backend->size ? data / DISK_BLOCK_SIZE : end;
	} else {
		end = end - first > max ? first + max : end;
	}
	out_run->count = end - first;
	change_map_close_range(&disk->map, out_run->first, out_run->count);
	sweep_reopen_in_flight(disk, out_run);
	return true;
}

void disk_sweep_read(struct disk *disk, struct disk_reader *reader, const struct disk_run *run, uint8_t *buffer)
{
	reader_start(disk, reader, run, buffer);
}

void disk_sweep_proven(struct disk *disk, const struct disk_run *run)
{
	assert(disk->closed == CLOSED_SWEEP);
	disk_unsuspect(disk, run->first, run->count);
	change_map_drop_range(&disk->map, run->first, run->count);
	if (disk->map.closed_count == 0)
		disk->closed = CLOSED_NONE;
}
