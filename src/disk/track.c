/* Starting and ending the tracking of a disk, and letting marks go. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "base/bitmap.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/planted.h"
#include "disk/internal.h"

#define BLOCKS_PER_EXTENT (DISK_EXTENT_SIZE / DISK_BLOCK_SIZE)

static void track_end(struct disk *disk, int result)
{
	void (*on_ready)(void *, int) = disk->on_ready;

	disk->on_ready = NULL;
	if (result == 0) {
		disk->tracking = TRACKING_ON;
	} else {
		disk->tracking = TRACKING_EXPECTED;
		disk_fail(disk, result, "metadata");
	}
	disk_retry(disk);
	on_ready(disk->ready_data, result);
}

void track_distrust(struct disk *disk)
{
	char name[sizeof disk->id + 8];

	if (disk->map.header != NULL) {
		change_map_invalidate(&disk->map);
	} else if (disk->tracking != TRACKING_OFF) {
		snprintf(name, sizeof name, "%s.map", disk->id);
		env_memory_remove(disk->env, name);
	}
}

/* Blocks of marked extents count as changed: after a power cut that is all there is to know. */
static void track_fill_from_intents(struct disk *disk)
{
	uint64_t extent = 0;

	while ((extent = bitmap_next_set(disk->intent.marked, extent, disk->extents)) != BITMAP_NONE) {
		uint64_t first = extent * BLOCKS_PER_EXTENT;
		uint64_t left = disk->blocks - first;

		left = left < BLOCKS_PER_EXTENT ? left : BLOCKS_PER_EXTENT;
		change_map_set(&disk->map, first, left);
		if (disk->track_how == DISK_TRACK_RESUME)
			disk_suspect(disk, first, left);
		extent++;
	}
}

static void on_intents_ready(void *data, int result)
{
	struct disk *disk = data;

	if (result == 0 && !disk->map_valid) {
		track_fill_from_intents(disk);
		if (disk->failure == 0)
			change_map_validate(&disk->map, disk->intent.lineage);
		log_event(LOG_INFO, "disk.tracked", "disk=%s from=%s changed_blocks=%llu", disk->id,
			  disk->track_how == DISK_TRACK_RESUME ? "intents" : "start",
			  (unsigned long long)disk->map.open_count);
	}
	track_end(disk, result);
}

static void on_intents_durable(void *data, int result)
{
	struct disk *disk = data;

	if (result < 0)
		disk_fail(disk, result, "write of intents");
	disk_retry(disk);
}

static void on_track_answer(struct env_io *io, int result)
{
	struct disk *disk = io->data;

	if (result == 0)
		result = disk->failure;
	if (disk->tracking == TRACKING_ON) {
		void (*on_ready)(void *, int) = disk->on_ready;

		disk->on_ready = NULL;
		on_ready(disk->ready_data, result);
		return;
	}
	track_end(disk, disk->failure != 0 ? disk->failure : -ENOMEM);
}

static void track_prepare(struct disk *disk)
{
	size_t words = bitmap_words(disk->blocks);

	if (disk->unread == NULL) {
		disk->unread = memory_new(words, sizeof(uint64_t));
		disk->busy = memory_new(words, sizeof(uint64_t));
		disk->unshipped = memory_new(words, sizeof(uint64_t));
		disk->suspect = memory_new(words, sizeof(uint64_t));
		disk->scrub = memory_new(words, sizeof(uint64_t));
		disk->touched = memory_new(bitmap_words(disk->extents), sizeof(uint64_t));
	}
}

void disk_track(struct disk *disk, const uint8_t lineage[CHANGE_MAP_LINEAGE_SIZE], enum disk_track how,
		struct kept_budget *budget, void (*on_ready)(void *data, int result), void *data)
{
	char name[sizeof disk->id + 8], path[sizeof disk->metadata_path + 16];
	enum intent_start start = how == DISK_TRACK_ALL ? INTENT_ALL : how == DISK_TRACK_NONE ? INTENT_NONE : INTENT_LOAD;
	bool valid = false;

	assert(disk->on_ready == NULL);
	disk->on_ready = on_ready;
	disk->ready_data = data;
	disk->kept.budget = budget;
	disk->track_io = (struct env_io){ .on_done = on_track_answer, .data = disk };
	if (disk->tracking == TRACKING_ON) {
		env_defer(disk->env, &disk->track_io);
		return;
	}
	track_prepare(disk);
	disk->track_how = how;
	disk->tracking = TRACKING_LOADING;
	snprintf(name, sizeof name, "%s.map", disk->id);
	snprintf(path, sizeof path, "%s.intent", disk->metadata_path);
	if (how != DISK_TRACK_RESUME || disk->failure != 0)
		env_memory_remove(disk->env, name);
	if (disk->failure != 0 || change_map_open(&disk->map, disk->env, name, lineage, disk->backend->size, &valid) < 0) {
		disk->map.header = NULL;
		env_defer(disk->env, &disk->track_io);
		return;
	}
	disk->map_valid = valid;
	intent_start(&disk->intent, disk->env, path, lineage, disk->backend->size, start, on_intents_ready, on_intents_durable, disk);
}

void disk_untrack(struct disk *disk)
{
	char name[sizeof disk->id + 8], path[sizeof disk->metadata_path + 16];

	assert(disk->tracking != TRACKING_LOADING);
	if (disk->tracking == TRACKING_OFF)
		return;
	if (disk->tracking == TRACKING_ON) {
		disk_epoch_abandon(disk);
		assert(disk->intent.writes_in_flight == 0 && !disk->cooling);
		change_map_close(&disk->map);
		intent_stop(&disk->intent);
	}
	snprintf(name, sizeof name, "%s.map", disk->id);
	snprintf(path, sizeof path, "%s.intent", disk->metadata_path);
	env_memory_remove(disk->env, name);
	env_file_remove(disk->env, path);
	if (disk->suspect != NULL) {
		bitmap_clear(disk->suspect, 0, disk->blocks);
		bitmap_clear(disk->scrub, 0, disk->blocks);
		disk->suspect_count = disk->scrub_count = 0;
	}
	disk->tracking = TRACKING_OFF;
	disk_retry(disk);
}

static void grow_bitmap(uint64_t **bitmap, uint64_t old_bits, uint64_t bits)
{
	size_t old_words = bitmap_words(old_bits), words = bitmap_words(bits);

	if (*bitmap == NULL)
		return;
	*bitmap = memory_resize(*bitmap, words, sizeof(uint64_t));
	memset(*bitmap + old_words, 0, (words - old_words) * sizeof(uint64_t));
}

int disk_extend(struct disk *disk, uint64_t size)
{
	return size <= disk->backend->room ? 0 : disk->backend->ops->extend(disk->backend, size);
}

/* Neither side knows what the other has there. */
static void suspect(struct disk *disk, uint64_t first, uint64_t end)
{
	if (first >= end)
		return;
	for (uint64_t block = first; block < end; block++) {
		if (!bitmap_test(disk->map.open, block) && !bitmap_test(disk->map.closed, block))
			disk_suspect(disk, block, 1);
	}
	change_map_set(&disk->map, first, end - first);
}

int disk_suspect_from(struct disk *disk, uint64_t from)
{
	uint64_t extent = from / DISK_EXTENT_SIZE;

	if (disk->failure != 0)
		return disk->failure;
	if (disk->tracking == TRACKING_OFF || from >= disk->backend->size)
		return 0; /* not tracked: a start copies or compares all */
	if (disk->tracking != TRACKING_ON)
		return -EAGAIN;
	suspect(disk, from / DISK_BLOCK_SIZE, disk->blocks);
	if (intent_is_durable(&disk->intent, extent, disk->extents - 1))
		return 0;
	intent_mark(&disk->intent, extent, disk->extents - 1);
	return -EAGAIN;
}

int disk_grow(struct disk *disk, uint64_t size, bool compare)
{
	uint64_t old_size = disk->backend->size;
	bool is_zero = disk->backend->stale_end <= old_size;
	uint64_t blocks = (size + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE, extents = (size + DISK_EXTENT_SIZE - 1) / DISK_EXTENT_SIZE;
	char name[sizeof disk->id + 8];
	int result = 0;

	assert(disk->closed == CLOSED_NONE && size >= disk->backend->size);
	if (size == disk->backend->size)
		return 0;
	if (disk->failure != 0)
		return disk->failure;
	if (disk->tracking == TRACKING_EXPECTED || !disk_can_untrack(disk))
		return -EAGAIN;
	result = backend_grow(disk->backend, size);
	if (result == 0 && disk->tracking == TRACKING_ON)
		result = intent_grow(&disk->intent, size);
	if (result == 0 && disk->tracking == TRACKING_ON) {
		snprintf(name, sizeof name, "%s.map", disk->id);
		result = change_map_grow(&disk->map, name, size);
		if (result < 0)
			disk_fail(disk, result, "growing the change map");
	}
	if (result < 0)
		return result;
	grow_bitmap(&disk->unread, disk->blocks, blocks);
	grow_bitmap(&disk->busy, disk->blocks, blocks);
	grow_bitmap(&disk->unshipped, disk->blocks, blocks);
	grow_bitmap(&disk->suspect, disk->blocks, blocks);
	grow_bitmap(&disk->scrub, disk->blocks, blocks);
	grow_bitmap(&disk->touched, disk->extents, extents);
	disk->blocks = blocks;
	disk->extents = extents;
	if (disk->tracking == TRACKING_ON && (compare || !is_zero) && !PLANTED(GROWTH_UNMARKED))
		suspect(disk, old_size / DISK_BLOCK_SIZE, blocks);
	return 0;
}

bool disk_can_untrack(const struct disk *disk)
{
	return disk->tracking != TRACKING_LOADING && disk->intent.writes_in_flight == 0 && !disk->cooling;
}

bool disk_is_idle(const struct disk *disk)
{
	return disk->requests == 0 && disk_can_untrack(disk);
}

bool disk_is_tracked(const struct disk *disk)
{
	return disk->tracking == TRACKING_ON;
}

uint64_t disk_marked_extents(const struct disk *disk)
{
	return disk->tracking == TRACKING_ON ? disk->intent.marked_count : 0;
}

static bool extent_is_proven(const struct disk *disk, uint64_t extent)
{
	uint64_t first = extent * BLOCKS_PER_EXTENT;
	uint64_t end = first + BLOCKS_PER_EXTENT < disk->blocks ? first + BLOCKS_PER_EXTENT : disk->blocks;

	return bitmap_next_set(disk->map.open, first, end) == BITMAP_NONE &&
	       bitmap_next_set(disk->map.closed, first, end) == BITMAP_NONE;
}

/* The flush began after the last write of every extent that is not touched had ended (cool_begin marks those in flight). */
static void on_cool_synced(struct env_io *io, int result)
{
	struct disk *disk = io->data;
	uint64_t extent = 0;

	disk->cooling = false;
	if (result < 0) {
		disk_fail(disk, result, "sync");
		return;
	}
	if (disk->tracking != TRACKING_ON || disk->failure != 0)
		return;
	while ((extent = bitmap_next_set(disk->intent.marked, extent, disk->extents)) != BITMAP_NONE) {
		if (PLANTED(MARK_REMOVED_EARLY) || (!bitmap_test(disk->touched, extent) && extent_is_proven(disk, extent)))
			intent_unmark(&disk->intent, extent);
		extent++;
	}
	intent_write_changed(&disk->intent);
}

void disk_cool(struct disk *disk)
{
	if (disk->tracking != TRACKING_ON || disk->cooling || disk->failure != 0 || disk->intent.marked_count == 0)
		return;
	memset(disk->touched, 0, bitmap_words(disk->extents) * sizeof(uint64_t));
	list_for_each(link, &disk->writes) {
		const struct disk_request *request = container_of(link, struct disk_request, link);
		uint64_t first = request->offset / DISK_EXTENT_SIZE;
		uint64_t last = (request->offset + request->length - 1) / DISK_EXTENT_SIZE;

		bitmap_set(disk->touched, first, last - first + 1);
	}
	disk->cooling = true;
	disk->cool_io = (struct env_io){ .on_done = on_cool_synced, .data = disk };
	disk->backend->ops->sync(disk->backend, &disk->cool_io);
}
