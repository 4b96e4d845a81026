/* Admission of requests.
 *
 * A write is admitted when (W1) its extents are marked on stable storage, (W2) no block of it belongs to the closed epoch and
 * still has to be read. No request at all is admitted before (W3) the disk's unit, if it is in one, has been loaded. Then, in
 * this order and without a pause between: its bits are set in the change map, it is counted in the open epoch, and it is issued.
 * Until then it waits in `waiting`, and is looked at again whenever one of the conditions may have changed. Requests end exactly
 * once, in disk_end. */
#include "disk/disk.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "base/bitmap.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/planted.h"
#include "disk/internal.h"

static bool is_change(const struct disk_request *request)
{
	return request->operation == DISK_WRITE || request->operation == DISK_ZERO || request->operation == DISK_TRIM;
}

int disk_open(struct env *env, const char *id, const char *metadata_path, struct backend *backend, struct disk **out_disk,
	      struct error *error)
{
	struct disk *disk = memory_new(1, sizeof *disk);
	struct env_file *file;
	char path[sizeof disk->metadata_path + 16];
	int result;

	if (snprintf(disk->id, sizeof disk->id, "%s", id) >= (int)sizeof disk->id ||
	    snprintf(disk->metadata_path, sizeof disk->metadata_path, "%s", metadata_path) >= (int)sizeof disk->metadata_path) {
		backend->ops->close(backend);
		free(disk);
		return error_set(error, -ENAMETOOLONG, "the disk's id or metadata path is too long");
	}
	disk->env = env;
	disk->backend = backend;
	disk->blocks = (backend->size + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE;
	disk->extents = (backend->size + DISK_EXTENT_SIZE - 1) / DISK_EXTENT_SIZE;
	disk->writable = true;
	list_init(&disk->writes);
	list_init(&disk->waiting);
	snprintf(path, sizeof path, "%s.intent", disk->metadata_path);
	result = env_file_open(env, path, ENV_READ_ONLY, &file);
	if (result == 0) {
		env_file_close(file);
		disk->tracking = TRACKING_EXPECTED;
	} else if (result != -ENOENT) {
		backend->ops->close(backend);
		free(disk);
		return error_set_errno(error, result, "cannot read %s", path);
	}
	*out_disk = disk;
	return 0;
}

void disk_forget_cache(struct disk *disk)
{
	if (disk->backend->ops->forget_cache != NULL)
		disk->backend->ops->forget_cache(disk->backend);
}

void disk_close(struct disk *disk)
{
	assert(disk->requests == 0 && !disk->cooling);
	if (disk->tracking == TRACKING_ON) {
		kept_clear(&disk->kept);
		change_map_close(&disk->map);
		intent_stop(&disk->intent);
	}
	free(disk->touched);
	free(disk->suspect);
	free(disk->scrub);
	free(disk->unread);
	free(disk->busy);
	free(disk->unshipped);
	disk->backend->ops->close(disk->backend);
	free(disk);
}

uint64_t disk_size(const struct disk *disk)
{
	return disk->backend->size;
}

const char *disk_id(const struct disk *disk)
{
	return disk->id;
}

struct backend *disk_backend(struct disk *disk)
{
	return disk->backend;
}

int disk_failure(const struct disk *disk)
{
	return disk->failure;
}

void disk_set_writable(struct disk *disk, bool writable)
{
	disk->writable = writable;
	disk_retry(disk);
}

bool disk_is_writable(const struct disk *disk)
{
	return disk->writable;
}

void disk_hold(struct disk *disk, bool held)
{
	disk->held = held;
	if (!held)
		disk_retry(disk);
}

uint64_t disk_writes_in_flight(const struct disk *disk)
{
	return disk->write_count;
}

void disk_declare_failed(struct disk *disk, int code)
{
	disk_fail(disk, code, "sync of the disk, asked for by its unit");
}

void disk_fail(struct disk *disk, int code, const char *what)
{
	if (disk->failure != 0)
		return;
	disk->failure = code;
	track_distrust(disk);
	log_event(LOG_ERROR, "disk.failed", "disk=%s what=\"%s\" code=%d", disk->id, what, -code);
	disk_retry(disk);
}

/* The one place where a request ends. */
static void disk_end(struct disk_request *request, int result)
{
	struct disk *disk = request->disk;

	disk->requests--;
	if (request->admitted) {
		list_remove(&request->link);
		if (PLANTED(BIT_AFTER_DATA) && disk->tracking == TRACKING_ON)
			change_map_set(&disk->map, request->first_block, request->last_block - request->first_block + 1);
		epoch_write_ended(disk, request->cuts);
	}
	request->on_done(request, result);
}

static void on_synced(struct env_io *io, int result)
{
	struct disk_request *request = io->data;

	if (result < 0)
		disk_fail(request->disk, result, "sync");
	/* Of two syncs at a time the kernel tells one that writes were lost, and the other that all is well. */
	disk_end(request, request->disk->failure != 0 ? -EIO : 0);
}

static void on_done(struct env_io *io, int result)
{
	struct disk_request *request = io->data;
	struct backend *backend = request->disk->backend;

	if (result == 0 && request->force_unit_access && is_change(request)) {
		request->io = (struct env_io){ .on_done = on_synced, .data = request };
		backend->ops->sync(backend, &request->io);
		return;
	}
	disk_end(request, result);
}

static void disk_issue(struct disk *disk, struct disk_request *request)
{
	struct backend *backend = disk->backend;

	request->io = (struct env_io){ .on_done = on_done, .data = request };
	switch (request->operation) {
	case DISK_READ:
		backend->ops->read(backend, &request->io, request->buffer, request->length, request->offset);
		break;
	case DISK_WRITE:
		backend->ops->write(backend, &request->io, request->buffer, request->length, request->offset);
		break;
	case DISK_ZERO:
	case DISK_TRIM:
		backend->ops->zero(backend, &request->io, request->offset, request->length,
				   (request->operation == DISK_TRIM ? ENV_ZERO_PUNCH : 0u) | (request->fast ? ENV_ZERO_FAST : 0u));
		break;
	case DISK_READ_AHEAD:
		if (backend->ops->read_ahead != NULL)
			backend->ops->read_ahead(backend, &request->io, request->offset, request->length);
		else
			env_defer(disk->env, &request->io);
		break;
	case DISK_MAP:
		map_spans(disk, request);
		disk_end(request, 0);
		break;
	case DISK_FLUSH:
		request->io.on_done = on_synced;
		if (PLANTED(FLUSH_LIES))
			env_defer(disk->env, &request->io);
		else
			backend->ops->sync(backend, &request->io);
		break;
	case DISK_OPERATIONS:
		assert(false); /* a count, not an operation */
	}
}

/* True when the write was issued (or refused); false when it has to wait. */
static bool disk_admit(struct disk *disk, struct disk_request *request)
{
	uint64_t first_extent = request->offset / DISK_EXTENT_SIZE;
	uint64_t last_extent = (request->offset + request->length - 1) / DISK_EXTENT_SIZE;
	bool first_since_cut = false;

	if (disk->failure != 0 || (is_change(request) && !disk->writable)) {
		disk_end(request, disk->failure != 0 ? -EIO : -EROFS);
		return true;
	}
	/* W3: until it is known what this disk is, and its map is there: a write would be in none, and a flush would say that all is
	 * well of what a map that was lost still has to look at. */
	if (disk->tracking == TRACKING_EXPECTED || disk->tracking == TRACKING_LOADING)
		return false;
	if (!is_change(request)) {
		disk_issue(disk, request);
		return true;
	}
	if (disk->held)
		return false;
	if (disk->tracking == TRACKING_ON) {
		if (!intent_is_durable(&disk->intent, first_extent, last_extent)) { /* W1 */
			intent_mark(&disk->intent, first_extent, last_extent);
			if (!PLANTED(MARK_NOT_AWAITED))
				return false;
		}
		if (!PLANTED(OLD_BYTES_LOST_WRITE) && !(PLANTED(OLD_BYTES_LOST_TRIM) && request->operation != DISK_WRITE) &&
		    !epoch_admits(disk, request->first_block, request->last_block)) /* W2 */
			return false;
		first_since_cut = disk->map.open_count == 0;
		disk_unsuspect(disk, request->first_block, request->last_block - request->first_block + 1);
		if (!PLANTED(BIT_AFTER_DATA))
			change_map_set(&disk->map, request->first_block, request->last_block - request->first_block + 1);
		bitmap_set(disk->touched, first_extent, last_extent - first_extent + 1);
	}
	request->admitted = true;
	request->cuts = disk->cuts;
	disk->write_count++;
	list_append(&disk->writes, &request->link);
	disk_issue(disk, request);
	if (first_since_cut && disk->on_dirty != NULL)
		disk->on_dirty(disk->dirty_data);
	return true;
}

void disk_submit(struct disk *disk, struct disk_request *request)
{
	assert(request->offset + request->length <= disk->backend->size);
	request->disk = disk;
	request->admitted = false;
	disk->requests++;
	if (is_change(request) && request->length == 0) {
		disk_end(request, 0);
		return;
	}
	if (is_change(request)) {
		request->first_block = request->offset / DISK_BLOCK_SIZE;
		request->last_block = (request->offset + request->length - 1) / DISK_BLOCK_SIZE;
	}
	if (!disk_admit(disk, request))
		list_append(&disk->waiting, &request->link);
}

void disk_retry(struct disk *disk)
{
	struct list again;
	struct list *link;

	list_init(&again);
	list_splice(&again, &disk->waiting);
	while ((link = list_pop(&again)) != NULL) {
		struct disk_request *request = container_of(link, struct disk_request, link);

		if (!disk_admit(disk, request))
			list_append(&disk->waiting, &request->link);
	}
}
