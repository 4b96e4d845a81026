/* Operations on disks. Each checks first, then stores its intent, then asks the shard; the answer ends it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "control/internal.h"

#define DISK_SIZE_MIN (UINT64_C(1) << 20)
#define SECTOR 512u

void disk_command(const struct disk_record *disk, enum shard_command_kind kind, struct shard_command *out)
{
	*out = (struct shard_command){ .kind = kind };
	memcpy(out->u.disk.id, disk->id, sizeof out->u.disk.id);
	memcpy(out->u.disk.kind, disk->kind, sizeof out->u.disk.kind);
	memcpy(out->u.disk.path, disk->path, sizeof out->u.disk.path);
	out->u.disk.size = disk->size;
	out->u.disk.adopted = disk->adopted;
	out->u.disk.direct = strcmp(disk->cache, CONTROL_CACHE_NONE) == 0;
	snprintf(out->u.disk.description, sizeof out->u.disk.description, "%.120s", disk->name);
}

static void attach(struct call *call, struct disk_record *disk);

/* --- create --- */

/* What the caller can put right is the caller's: a path to adopt that is not there, no file, too small, or in use. */
static enum refusal create_refusal(const struct disk_record *disk, int code)
{
	if (code == -ENOSPC)
		return REFUSE_NO_SPACE;
	if (code == -EEXIST)
		return REFUSE_DISK_EXISTS;
	return disk->adopted && code != -EIO ? REFUSE_BAD_PARAMETER : REFUSE_STORAGE;
}

static void on_created(struct control *control, void *data, const struct error *error)
{
	struct call *call = data;
	struct disk_record *disk = disk_find(control, call->made_id);
	struct error problem = *error;

	if (error->code != 0) {
		enum refusal refusal = create_refusal(disk, error->code);

		disk_forget(control, disk, NULL);
		call->made_id[0] = 0;
		call_end(call, refusal, "%s", error->text);
		return;
	}
	disk->state = DISK_STATE_AVAILABLE;
	if (disk_store(control, disk, &problem) < 0)
		call_end_error(call, &problem);
	else if (call->request.instance[0] != 0)
		attach(call, disk);
	else
		call_end(call, REFUSE_NONE, "%s", "");
}

static bool create_check(struct call *call)
{
	const struct disk_record *disk;
	const struct control_request *request = &call->request;
	struct control *control = call->control;

	if (request->size != 0 &&
	    (request->size < DISK_SIZE_MIN || request->size > DISK_SIZE_MAX || request->size % SECTOR != 0)) {
		call_end(call, REFUSE_DISK_SIZE, "a disk has 1 MiB to 64 TiB, a multiple of 512 bytes; %llu was asked for",
			 (unsigned long long)request->size);
		return false;
	}
	if (request->size == 0 && request->path[0] == 0) {
		call_end(call, REFUSE_MISSING_PARAMETER, "give a size, or the path of a file or device to adopt");
		return false;
	}
	if (request->path[0] != 0 && request->path[0] != '/') {
		call_end(call, REFUSE_BAD_PARAMETER, "the path to adopt, \"%s\", must begin with /", request->path);
		return false;
	}
	for (size_t at = 0; request->path[0] != 0 && (disk = rows_next(&control->disks, &at)) != NULL;) {
		if (strcmp(disk->path, request->path) == 0) {
			call_end(call, REFUSE_DISK_EXISTS, "%s is disk %s already", request->path, disk->id);
			return false;
		}
	}
	return true;
}

/* The zone says where; without one it is the region. */
void operate_create_disk(struct call *call)
{
	const struct control_request *request = &call->request;
	struct control *control = call->control;
	struct shard_command command;
	struct disk_record *disk;
	struct error error;

	if (!call_is_here(call) || !create_check(call))
		return;
	disk = memory_new(1, sizeof *disk);
	control_make_id("d-", disk->id);
	memcpy(disk->name, request->name, sizeof disk->name);
	memcpy(disk->description, request->description, sizeof disk->description);
	memcpy(disk->category, request->category, sizeof disk->category);
	memcpy(disk->performance, request->performance, sizeof disk->performance);
	memcpy(disk->cache, request->cache, sizeof disk->cache);
	memcpy(disk->resource_group, request->resource_group, sizeof disk->resource_group);
	disk->tags = request->tags == NULL ? NULL : json_deep_copy(request->tags);
	disk->adopted = request->path[0] != 0;
	snprintf(disk->kind, sizeof disk->kind, "%s", strncmp(request->path, "/dev/", 5) == 0 ? "blockdev" : "file");
	if (disk->adopted)
		memcpy(disk->path, request->path, sizeof disk->path);
	else if (snprintf(disk->path, sizeof disk->path, "%s/disks/%s.raw", control->config.directory, disk->id) >=
		 (int)sizeof disk->path)
		disk->path[0] = 0;
	disk->size = request->size;
	disk->state = DISK_STATE_CREATING;
	disk->created_s = control_now_s();
	memcpy(call->made_id, disk->id, sizeof call->made_id);
	if (disk_store(control, disk, &error) < 0) {
		disk_forget(control, disk, NULL);
		call->made_id[0] = 0;
		call_end_error(call, &error);
		return;
	}
	disk_command(disk, disk->adopted ? SHARD_DISK_OPEN : SHARD_DISK_CREATE, &command);
	send_command(control, &command, on_created, call);
}

/* --- attach, detach, resize, delete --- */

static void on_attached(struct control *control, void *data, const struct error *error)
{
	struct call *call = data;
	struct disk_record *disk = disk_find(control, call->made_id);

	disk->state = error->code == 0 ? DISK_STATE_IN_USE : DISK_STATE_AVAILABLE;
	if (error->code != 0)
		disk->instance[0] = disk->device[0] = 0;
	disk_store(control, disk, NULL);
	if (error->code == 0)
		call_end(call, REFUSE_NONE, "%s", "");
	else
		call_end_error(call, error);
}

static void on_detached(struct control *control, void *data, const struct error *error)
{
	struct call *call = data;
	struct disk_record *disk = disk_find(control, call->made_id);

	disk->state = error->code == 0 ? DISK_STATE_AVAILABLE : DISK_STATE_IN_USE;
	if (error->code == 0)
		disk->instance[0] = disk->device[0] = 0;
	disk->detached_s = control_now_s();
	disk_store(control, disk, NULL);
	if (error->code == 0)
		call_end(call, REFUSE_NONE, "%s", "");
	else
		call_end_error(call, error);
}

static void on_resized(struct control *control, void *data, const struct error *error)
{
	struct call *call = data;
	struct disk_record *disk = disk_find(control, call->made_id);

	if (error->code != 0) {
		call_end_error(call, error);
		return;
	}
	disk->size = call->request.size;
	disk_store(control, disk, NULL);
	call_end(call, REFUSE_NONE, "%s", "");
}

static void on_deleted(struct control *control, void *data, const struct error *error)
{
	struct call *call = data;
	struct disk_record *disk = disk_find(control, call->made_id);

	if (error->code != 0) {
		disk->state = DISK_STATE_AVAILABLE;
		disk_store(control, disk, NULL);
		call_end_error(call, error);
		return;
	}
	disk_forget(control, disk, NULL);
	call_end(call, REFUSE_NONE, "%s", "");
}

/* A disk that is, or is to remain, the exact copy of another: until failover nobody may read or write it. A pair that left its
 * group has no unit, but its next start takes the disk for the recovery point that it was. */
static bool is_copy(struct control *control, const struct replica *pair)
{
	const struct replica *unit = pair == NULL ? NULL : unit_of(control, pair);

	return pair != NULL && !is_source(control, pair) && unit->state != PAIR_FAILOVERED &&
	       (unit->lineage[0] != 0 || pair->synced);
}

static void choose(bool *flag, uint32_t choice)
{
	if (choice != CONTROL_AS_IT_IS)
		*flag = choice == CONTROL_YES;
}

static void attach(struct call *call, struct disk_record *disk)
{
	struct control *control = call->control;
	const struct replica *pair = replica_of_disk(control, disk->id);
	struct shard_command command;
	struct error error;

	if (disk->state == DISK_STATE_IN_USE) {
		call_end(call, REFUSE_DISK_IN_USE, "disk %s is attached to %s already", disk->id, disk->instance);
		return;
	}
	if (disk->state != DISK_STATE_AVAILABLE) {
		call_end(call, REFUSE_DISK_STATUS, "disk %s is %s", disk->id, disk_state_name((enum disk_state)disk->state));
		return;
	}
	if (is_copy(control, pair)) {
		call_end(call, REFUSE_NOT_ALLOWED, "disk %s is the secondary of pair %s: fail it over first", disk->id, pair->id);
		return;
	}
	disk->state = DISK_STATE_ATTACHING;
	snprintf(disk->instance, sizeof disk->instance, "%s", call->request.instance);
	memcpy(disk->device, call->request.device, sizeof disk->device);
	choose(&disk->delete_with_instance, call->request.delete_with_instance);
	disk->attached_s = control_now_s();
	if (disk_store(control, disk, &error) < 0) {
		call_end_error(call, &error);
		return;
	}
	disk_command(disk, SHARD_DISK_EXPORT, &command);
	send_command(control, &command, on_attached, call);
}

static void detach(struct call *call, struct disk_record *disk)
{
	struct shard_command command;

	if (disk->state == DISK_STATE_AVAILABLE) {
		call_end(call, REFUSE_DISK_DETACHED, "disk %s is attached to nothing", disk->id);
		return;
	}
	if (disk->state == DISK_STATE_IN_USE && call->request.instance[0] != 0 &&
	    strcmp(disk->instance, call->request.instance) != 0) {
		call_end(call, REFUSE_DISK_NOT_ATTACHED, "disk %s is not attached to %s", disk->id, call->request.instance);
		return;
	}
	if (disk->state != DISK_STATE_IN_USE) {
		call_end(call, REFUSE_DISK_STATUS, "disk %s is %s", disk->id, disk_state_name((enum disk_state)disk->state));
		return;
	}
	disk->state = DISK_STATE_DETACHING;
	disk_store(call->control, disk, NULL);
	disk_command(disk, SHARD_DISK_UNEXPORT, &command);
	send_command(call->control, &command, on_detached, call);
}

/* --- changing the size --- */

static void resize(struct call *call, struct disk_record *disk)
{
	const struct replica *pair = replica_of_disk(call->control, disk->id);
	enum refusal refusal = call->request.size < disk->size ? REFUSE_DISK_TOO_SMALL :
			       call->request.size > DISK_SIZE_MAX ? REFUSE_DISK_TOO_LARGE : REFUSE_DISK_SIZE;
	struct shard_command command;

	if (call->request.size == 0) {
		call_end(call, REFUSE_MISSING_PARAMETER, "give the size to grow to");
		return;
	}
	if (call->request.size < disk->size || call->request.size > DISK_SIZE_MAX || call->request.size % SECTOR != 0) {
		call_end(call, refusal, "disk %s has %llu bytes: it can grow, to at most 64 TiB, in steps of 512 bytes",
			 disk->id, (unsigned long long)disk->size);
		return;
	}
	if (pair != NULL) {
		grow_pair(call, disk, pair);
		return;
	}
	if (disk->state != DISK_STATE_AVAILABLE) {
		call_end(call, REFUSE_DISK_STATUS, "disk %s is %s: detach it first", disk->id,
			 disk_state_name((enum disk_state)disk->state));
		return;
	}
	disk_command(disk, SHARD_DISK_RESIZE, &command);
	command.u.disk.size = call->request.size;
	send_command(call->control, &command, on_resized, call);
}

static void delete(struct call *call, struct disk_record *disk)
{
	struct shard_command command;

	if (replica_of_disk(call->control, disk->id) != NULL) {
		call_end(call, REFUSE_DISK_IN_PAIR, "disk %s is in pair %s: delete the pair first", disk->id,
			 replica_of_disk(call->control, disk->id)->id);
		return;
	}
	if (disk->state != DISK_STATE_AVAILABLE) {
		call_end(call, disk->state == DISK_STATE_IN_USE ? REFUSE_DISK_STILL_ATTACHED : REFUSE_DISK_STATUS,
			 "disk %s is %s: detach it first", disk->id, disk_state_name((enum disk_state)disk->state));
		return;
	}
	disk->state = DISK_STATE_DELETING;
	disk_store(call->control, disk, NULL);
	disk_command(disk, SHARD_DISK_DELETE, &command);
	send_command(call->control, &command, on_deleted, call);
}

/* NULL: it is not here, and the call has been answered or carried over. */
static struct disk_record *call_disk(struct call *call)
{
	struct disk_record *disk = call_is_of_this_region(call) ? disk_find(call->control, call->request.disk) : NULL;

	if (disk == NULL)
		call_seek(call, REFUSE_NO_SUCH_DISK, "there is no disk %s at site %s", call->request.disk,
			  call->control->config.site.zone);
	return disk;
}

void operate_disk(struct call *call)
{
	struct disk_record *disk = call_disk(call);

	if (disk == NULL)
		return;
	memcpy(call->made_id, disk->id, sizeof call->made_id);
	if (call->request.operation == CONTROL_ATTACH_DISK)
		attach(call, disk);
	else if (call->request.operation == CONTROL_DETACH_DISK)
		detach(call, disk);
	else if (call->request.operation == CONTROL_RESIZE_DISK)
		resize(call, disk);
	else
		delete(call, disk);
}

/* --- start of the daemon --- */

static void on_opened(struct control *control, void *data, const struct error *error)
{
	char *id = data;
	struct disk_record *disk = disk_find(control, id);

	if (disk != NULL && error->code != 0 && disk->failure[0] == 0) { /* what was tried after it fails for that reason */
		snprintf(disk->failure, sizeof disk->failure, "%.150s", error->text);
		log_event(LOG_ERROR, "disk.not_opened", "disk=%s reason=\"%s\"", id, error->text);
	}
	free(id);
}

static void on_finished(struct control *control, void *data, const struct error *error)
{
	char *id = data;
	struct disk_record *disk = disk_find(control, id);

	if (disk != NULL && error->code == 0)
		disk_forget(control, disk, NULL);
	free(id);
}

/* Opens every disk; what a creation or deletion cut off left behind is removed. */
void disks_resume(struct control *control)
{
	struct shard_command command;
	struct disk_record *disk;

	for (size_t at = 0; (disk = rows_next(&control->disks, &at)) != NULL;) {
		bool unfinished = disk->state == DISK_STATE_CREATING || disk->state == DISK_STATE_DELETING;

		disk_command(disk, unfinished ? SHARD_DISK_DELETE : SHARD_DISK_OPEN, &command);
		send_command(control, &command, unfinished ? on_finished : on_opened, memory_copy_text(disk->id));
	}
}

/* After the units: exports of attached disks open again. */
void disks_export(struct control *control)
{
	struct shard_command command;
	struct disk_record *disk;

	for (size_t at = 0; (disk = rows_next(&control->disks, &at)) != NULL;) {
		if (disk->state == DISK_STATE_DETACHING) {
			disk->state = DISK_STATE_AVAILABLE;
			disk->instance[0] = disk->device[0] = 0;
			disk_store(control, disk, NULL);
		}
		if (disk->state != DISK_STATE_IN_USE && disk->state != DISK_STATE_ATTACHING)
			continue;
		disk->state = DISK_STATE_IN_USE;
		disk_command(disk, SHARD_DISK_EXPORT, &command);
		send_command(control, &command, on_opened, memory_copy_text(disk->id));
	}
}

void control_on_disk_failed(struct control *control, const char *id, int code)
{
	struct disk_record *disk = disk_find(control, id);

	if (disk != NULL)
		snprintf(disk->failure, sizeof disk->failure, "the disk failed: %s; it answers no writes until a restart",
			 error_meaning(code));
}

/* Asked with one id, or with several: all are looked at before the first is changed. */
void operate_modify_disk(struct call *call)
{
	const struct control_request *request = &call->request;
	size_t count = request->disk[0] != 0 ? 1 : json_array_size(request->ids);
	struct error error = { 0 };

	if (count == 0) {
		call_end(call, REFUSE_MISSING_PARAMETER, "give a disk's id, or a list of them");
		return;
	}
	for (size_t i = 0; i < 2 * count; i++) {
		const char *id = request->disk[0] != 0 ? request->disk :
				 json_string_value(json_array_get(request->ids, i % count));
		struct disk_record *disk = call_is_of_this_region(call) ? disk_find(call->control, id) : NULL;

		if (disk == NULL) {
			call_seek(call, REFUSE_NO_SUCH_DISK, "there is no disk %s at site %s", id,
				  call->control->config.site.zone);
			return;
		}
		if (i < count)
			continue;
		if (request->name[0] != 0)
			memcpy(disk->name, request->name, sizeof disk->name);
		if (request->description[0] != 0)
			memcpy(disk->description, request->description, sizeof disk->description);
		if (request->cache[0] != 0)
			memcpy(disk->cache, request->cache, sizeof disk->cache);
		choose(&disk->delete_with_instance, request->delete_with_instance);
		choose(&disk->delete_auto_snapshot, request->delete_auto_snapshot);
		choose(&disk->enable_auto_snapshot, request->enable_auto_snapshot);
		if (disk_store(call->control, disk, &error) < 0) {
			call_end_error(call, &error);
			return;
		}
	}
	call_end(call, REFUSE_NONE, "%s", "");
}
