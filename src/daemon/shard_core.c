/* The commands of control/port.h, one function each in the table `runs`.
 *
 * A command ends at once (0 or a negative errno) or later (RUN_LATER): ending an export or moving it takes time, since clients
 * have requests in flight. Meanwhile further commands for that disk wait behind it, in order. Every command is
 * repeatable: carried out twice it ends in the same state, so control/ may send it again after a crash. */
#include "daemon/shard_core.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/mailbox.h"
#include "daemon/nbd_server.h"
#include "disk/disk.h"
#include "env/env.h"
#include "repl/engine.h"

#define RUN_LATER 1 /* the answer follows */
#define GROW_AGAIN_NS UINT64_C(2000000)
#define GROW_TRIES 5000u

struct shard_work {
	struct list link; /* of shard_disk.waiting, or shard_core.growing */
	struct shard_core *core;
	struct shard_command command;
	struct env_timer again;
	uint32_t tries;
	struct nbd_departure *departure; /* of a disk on its way from one shard to another */
};

/* An open disk, as it was told to us. */
struct shard_disk {
	struct list link; /* of shard_core.disks */
	struct index_node by_id;
	struct list waiting; /* struct shard_work, while an export ends or leaves */
	struct shard_work *ending; /* the command that waits for that, or NULL */
	bool exported;
	char id[ENGINE_ID_SIZE];
	char kind[16];
	char path[512];
	bool adopted;
};

/* A disk as it was when this side gave up the lead: its export. */
struct shard_view {
	struct list link; /* of shard_core.views */
	char disk_id[ENGINE_ID_SIZE];
	struct disk *view;
	bool ending;
};

struct shard_work *shard_work_new(struct shard_core *core, const struct shard_command *command)
{
	struct shard_work *work = memory_new(1, sizeof(*work));

	list_init(&work->link);
	work->core = core;
	work->command = *command;
	return work;
}

static void work_free(struct shard_work *work)
{
	if (work->command.kind == SHARD_UNIT_OPEN)
		free(work->command.u.unit.spec);
	if (work->command.kind == SHARD_MESSAGE)
		free(work->command.u.message.bytes);
	free(work);
}

static void work_answer(struct shard_work *work, int code, const struct error *error)
{
	struct mail *mail = mail_new(MAIL_ANSWER);

	mail->u.answer.command_id = work->command.id;
	if (code < 0) {
		mail->u.answer.error = *error;
		mail->u.answer.error.code = code;
	}
	mailbox_put(work->core->mailbox, mail);
	work_free(work);
}

static struct shard_disk *core_find_disk(struct shard_core *core, const char *id)
{
	const struct list *found = index_find(&core->disks_by_id, id);

	return found == NULL ? NULL : container_of(found->next, struct shard_disk, by_id.entry);
}

static void metadata_path(const struct shard_core *core, const char *id, char *out_path, size_t size)
{
	snprintf(out_path, size, "%s/disks/%s", core->directory, id);
}

/* --- disks --- */

/* Gives the disk, or NULL with the error. */
static struct disk *disk_open_now(struct shard_core *core, const struct shard_command *command, struct error *error)
{
	const char *id = command->u.disk.id;
	char prefix[CONFIG_PATH_SIZE + ENGINE_ID_SIZE + 16];
	struct backend *backend;
	struct shard_disk *record;
	struct disk *disk;

	metadata_path(core, id, prefix, sizeof(prefix));
	if (backend_open(core->env, command->u.disk.kind, command->u.disk.path, command->u.disk.size, &backend, error) < 0 ||
	    disk_open(core->env, id, prefix, backend, &disk, error) < 0) {
		error_wrap(error, "cannot open disk %s", id);
		return NULL;
	}
	engine_add_disk(core->engine, disk);
	record = memory_new(1, sizeof(*record));
	list_init(&record->waiting);
	memcpy(record->id, id, sizeof(record->id));
	memcpy(record->kind, command->u.disk.kind, sizeof(record->kind));
	memcpy(record->path, command->u.disk.path, sizeof(record->path));
	record->adopted = command->u.disk.adopted;
	record->exported = command->u.disk.exported;
	list_append(&core->disks, &record->link);
	index_put(&core->disks_by_id, &record->by_id, record->id);
	return disk;
}

static int run_disk_open(struct shard_core *core, struct shard_work *work, struct error *error)
{
	struct disk *disk;

	if (core_find_disk(core, work->command.u.disk.id) != NULL)
		return 0;
	disk = disk_open_now(core, &work->command, error);
	if (disk == NULL)
		return error->code;
	disk_forget_cache(disk);
	return 0;
}

/* A file under the disk's own random name is ours: of the same command, cut off by a kill. It is made as long as it must
 * be; nothing was ever written to it. */
static int disk_finish_file(struct env *env, const char *path, uint64_t size, struct error *error)
{
	struct env_file *file;
	uint64_t present;
	int code = env_file_open(env, path, ENV_LOCK, &file);

	if (code < 0)
		return error_set_errno(error, code, "cannot open %.150s", path);
	code = env_file_size(file, &present);
	if (code == 0 && present < size)
		code = env_file_resize(file, size);
	env_file_close(file);
	return code < 0 ? error_set_errno(error, code, "cannot make %.150s as long as %llu bytes", path,
					  (unsigned long long)size) : 0;
}

static int run_disk_create(struct shard_core *core, struct shard_work *work, struct error *error)
{
	const char *path = work->command.u.disk.path;
	int code = 0;

	if (core_find_disk(core, work->command.u.disk.id) != NULL)
		return 0;
	if (strcmp(work->command.u.disk.kind, "file") == 0 && !work->command.u.disk.adopted) {
		code = backend_create_file(core->env, path, work->command.u.disk.size, error);
		if (code == -EEXIST)
			code = disk_finish_file(core->env, path, work->command.u.disk.size, error);
	}
	return code < 0 ? code : run_disk_open(core, work, error);
}

/* Takes a disk that is not exported out of the engine, which closes it, and forgets it. */
static int disk_close_now(struct shard_core *core, struct shard_disk *record, struct error *error)
{
	int code = engine_remove_disk(core->engine, record->id, error);

	if (code < 0 && code != -ENOENT)
		return code;
	list_remove(&record->link);
	index_put(&core->disks_by_id, &record->by_id, "");
	free(record);
	return 0;
}

static int file_remove(struct env *env, const char *path, struct error *error)
{
	int code = env_file_remove(env, path);

	if (code < 0 && code != -ENOENT)
		return error_set_errno(error, code, "cannot remove %.150s", path);
	return 0;
}

static int disk_remove_files(struct shard_core *core, const struct shard_command *command, struct error *error)
{
	char path[CONFIG_PATH_SIZE + ENGINE_ID_SIZE + 32];
	size_t length;
	int code;

	metadata_path(core, command->u.disk.id, path, sizeof(path) - 16);
	length = strlen(path);
	snprintf(path + length, sizeof(path) - length, ".intent");
	code = file_remove(core->env, path, error);
	if (code == 0 && strcmp(command->u.disk.kind, "file") == 0 && !command->u.disk.adopted)
		code = file_remove(core->env, command->u.disk.path, error);
	return code;
}

/* What a command that ends an export does once no client is left. */
static int disk_after_export(struct shard_core *core, struct shard_disk *record, struct shard_work *work,
			     struct error *error)
{
	struct shard_command *command = &work->command;
	int code;

	if (command->kind == SHARD_DISK_UNEXPORT)
		return 0;
	/* The record knows what was opened: it decides what may be removed. */
	memcpy(command->u.disk.kind, record->kind, sizeof(record->kind));
	memcpy(command->u.disk.path, record->path, sizeof(record->path));
	command->u.disk.adopted = command->u.disk.adopted || record->adopted;
	code = disk_close_now(core, record, error);
	if (code == 0 && command->kind == SHARD_DISK_DELETE)
		code = disk_remove_files(core, command, error);
	return code;
}

/* After a command that others may wait behind; what they were for may be gone now. */
static void run_waiting(struct list *waiting)
{
	for (struct list *entry = list_pop(waiting); entry != NULL; entry = list_pop(waiting))
		shard_core_run(container_of(entry, struct shard_work, link)); /* may wait again, in the same order */
}

static void disk_on_export_ended(void *data)
{
	struct shard_disk *record = data;
	struct shard_work *work = steal(record->ending);
	struct error error = { 0 };
	struct list waiting;
	int code;

	record->exported = false;
	list_init(&waiting);
	list_splice(&waiting, &record->waiting);
	code = disk_after_export(work->core, record, work, &error);
	work_answer(work, code, &error);
	run_waiting(&waiting);
}

/* CLOSE, DELETE and UNEXPORT: end the export if there is one, then the rest. */
static int run_disk_close(struct shard_core *core, struct shard_work *work, struct error *error)
{
	struct shard_disk *record = core_find_disk(core, work->command.u.disk.id);

	if (record == NULL)
		return work->command.kind == SHARD_DISK_DELETE ? disk_remove_files(core, &work->command, error) : 0;
	if (!record->exported)
		return disk_after_export(core, record, work, error);
	record->ending = work;
	nbd_server_unexport(core->nbd, record->id, disk_on_export_ended, record);
	return RUN_LATER;
}

/* Before it is used: from the file, or the device, in the way that is asked for now. */
static int disk_choose_cache(struct disk *disk, bool direct, struct error *error)
{
	struct backend *backend = disk_backend(disk);
	int code = backend->ops->set_direct == NULL ? 0 : backend->ops->set_direct(backend, direct);

	if (code == -ENOTSUP)
		return error_set(error, code, "what holds disk %s cannot be used past the kernel's cache: choose writeback",
				 disk_id(disk));
	return code < 0 ? error_set_errno(error, code, "cannot open disk %s past the kernel's cache", disk_id(disk)) : 0;
}

static int run_disk_export(struct shard_core *core, struct shard_work *work, struct error *error)
{
	struct shard_disk *record = core_find_disk(core, work->command.u.disk.id);
	struct disk *disk = engine_find_disk(core->engine, work->command.u.disk.id);
	int code;

	if (record == NULL || disk == NULL)
		return error_set(error, -ENOENT, "disk %s is not open at this site", work->command.u.disk.id);
	if (record->exported)
		return 0;
	if (disk_failure(disk) != 0)
		return error_set_errno(error, -EIO, "disk %s has failed and stays closed until a restart", record->id);
	code = disk_choose_cache(disk, work->command.u.disk.direct, error);
	if (code < 0)
		return code;
	code = nbd_server_export(core->nbd, disk, work->command.u.disk.description, false, error);
	record->exported = code == 0;
	return code;
}

/* --- a disk that moves to another shard --- */

void shard_core_tell_failed(struct shard_core *core, const char *disk, int code)
{
	struct mail *mail = mail_new(MAIL_DISK_FAILED);

	log_event(LOG_ERROR, "disk.failed", "disk=%s reason=\"%s\"", disk, strerrordesc_np(code < 0 ? -code : code));
	snprintf(mail->u.failed.disk, sizeof(mail->u.failed.disk), "%s", disk);
	mail->u.failed.code = code;
	mailbox_put(core->mailbox, mail);
}

/* On the new shard's thread. The disk has moved, even if it cannot be opened any more: then it has failed. */
static void disk_on_arrived(void *data)
{
	struct shard_work *work = data;
	struct shard_core *core = work->core;
	struct shard_command *command = &work->command;
	struct error error = { 0 };
	struct disk *disk = disk_open_now(core, command, &error);

	if (disk != NULL && disk_choose_cache(disk, command->u.disk.direct, &error) < 0)
		disk = NULL;
	if (disk == NULL)
		shard_core_tell_failed(core, command->u.disk.id, error.code);
	else
		log_event(LOG_INFO, "disk.moved", "disk=%s shard=%u", command->u.disk.id, command->u.disk.shard);
	nbd_server_arrive(core->nbd, work->departure, disk);
	work_answer(work, 0, NULL);
}

/* Closes it here and has it opened there. On an error it stays. */
static int disk_leave(struct shard_core *core, struct shard_disk *record, struct shard_work *work, struct error *error)
{
	struct disk *disk = engine_find_disk(core->engine, record->id);
	struct shard_command *command = &work->command;
	int code;

	memcpy(command->u.disk.kind, record->kind, sizeof(record->kind));
	memcpy(command->u.disk.path, record->path, sizeof(record->path));
	command->u.disk.adopted = record->adopted;
	command->u.disk.size = disk_size(disk);
	command->u.disk.direct = disk_backend(disk)->direct;
	command->u.disk.exported = record->exported;
	code = disk_close_now(core, record, error);
	if (code < 0) {
		nbd_server_arrive(core->nbd, work->departure, disk);
		return code;
	}
	work->core = core->siblings[command->u.disk.shard];
	code = nbd_departure_send(work->departure, disk_on_arrived, work);
	if (code == 0)
		return RUN_LATER; /* by now it may be answered, and freed */
	work->core = core;
	nbd_server_arrive(core->nbd, work->departure, NULL);
	return error_set(error, code, "this site is stopping");
}

static void disk_on_departed(void *data, struct nbd_departure *departure)
{
	struct shard_disk *record = data;
	struct shard_work *work = steal(record->ending);
	struct error error = { 0 };
	struct list waiting;
	int code;

	list_init(&waiting);
	list_splice(&waiting, &record->waiting);
	work->departure = departure;
	if (departure == NULL)
		code = error_set(&error, -EBUSY, "a client of disk %s is in the middle of a long request: try again", record->id);
	else
		code = disk_leave(work->core, record, work, &error);
	if (code != RUN_LATER)
		work_answer(work, code, &error);
	run_waiting(&waiting);
}

static int run_disk_move(struct shard_core *core, struct shard_work *work, struct error *error)
{
	struct shard_disk *record = core_find_disk(core, work->command.u.disk.id);

	if (record == NULL)
		return 0; /* whatever needs it says so */
	if (engine_disk_is_taken(core->engine, record->id))
		return error_set(error, -EBUSY, "disk %s is in another unit", record->id);
	if (disk_failure(engine_find_disk(core->engine, record->id)) != 0)
		return error_set_errno(error, -EIO, "disk %s has failed and stays closed until a restart", record->id);
	record->ending = work;
	nbd_server_depart(core->nbd, record->id, work->command.u.disk.shard, disk_on_departed, record);
	return RUN_LATER;
}

/* The back end grows while the disk is closed: so nothing that depends on its size is held by anybody. */
static int run_disk_resize(struct shard_core *core, struct shard_work *work, struct error *error)
{
	struct shard_disk *record = core_find_disk(core, work->command.u.disk.id);
	struct disk *disk = engine_find_disk(core->engine, work->command.u.disk.id);
	uint64_t size = work->command.u.disk.size;
	struct backend *backend;
	int code;

	if (record == NULL || disk == NULL)
		return error_set(error, -ENOENT, "disk %s is not open at this site", work->command.u.disk.id);
	if (record->exported)
		return error_set(error, -EBUSY, "disk %s is attached: detach it before its size is changed", record->id);
	if (size < disk_size(disk))
		return error_set(error, -EINVAL, "disk %s has %llu bytes already: it can grow, not shrink", record->id,
				 (unsigned long long)disk_size(disk));
	if (size == disk_size(disk))
		return 0;
	memcpy(work->command.u.disk.kind, record->kind, sizeof(record->kind));
	memcpy(work->command.u.disk.path, record->path, sizeof(record->path));
	work->command.u.disk.adopted = record->adopted;
	code = disk_close_now(core, record, error);
	if (code < 0)
		return code;
	code = backend_open(core->env, work->command.u.disk.kind, work->command.u.disk.path, 0, &backend, error);
	if (code == 0) {
		code = backend_grow(backend, size);
		backend->ops->close(backend);
		if (code < 0)
			error_set_errno(error, code, "cannot grow disk %s", work->command.u.disk.id);
	}
	if (code < 0) {
		struct error again;

		work->command.u.disk.size = 0; /* back as it was */
		run_disk_open(core, work, &again);
		return code;
	}
	return run_disk_open(core, work, error);
}

static void on_again(struct env_timer *timer)
{
	struct shard_work *work = container_of(timer, struct shard_work, again);

	list_remove(&work->link);
	shard_core_run(work);
}

/* Under load the disk's marks are being written most of the time: a moment between two writes of them is soon there. */
static int again_or(struct shard_core *core, struct shard_work *work, int code)
{
	if (code != -EAGAIN || ++work->tries > GROW_TRIES)
		return code;
	work->again.on_fire = on_again;
	list_append(&core->growing, &work->link);
	env_timer_start(core->env, &work->again, env_now_ns(core->env) + GROW_AGAIN_NS);
	return RUN_LATER;
}

static int run_disk_extend(struct shard_core *core, struct shard_work *work, struct error *error)
{
	return engine_extend_disk(core->engine, work->command.u.disk.id, work->command.u.disk.size, error);
}

static int run_disk_grow(struct shard_core *core, struct shard_work *work, struct error *error)
{
	const struct shard_command *command = &work->command;

	return again_or(core, work, engine_grow_disk(core->engine, command->u.disk.id, command->u.disk.size, command->u.disk.compare,
						     error));
}

static int run_disk_suspect(struct shard_core *core, struct shard_work *work, struct error *error)
{
	return again_or(core, work, engine_suspect_disk(core->engine, work->command.u.disk.id, work->command.u.disk.size, error));
}

/* --- what was kept of a divergence --- */

static struct shard_view *core_find_view(struct shard_core *core, const char *id)
{
	list_for_each(entry, &core->views) {
		struct shard_view *view = container_of(entry, struct shard_view, link);

		if (strcmp(view->disk_id, id) == 0)
			return view;
	}
	return NULL;
}

static void view_free(struct shard_view *view)
{
	disk_close(view->view);
	list_remove(&view->link);
	free(view);
}

static void on_view_ended(void *data)
{
	view_free(data);
}

static void view_open(struct shard_core *core, const char *id)
{
	struct disk *disk = engine_open_diverged(core->engine, id);
	struct shard_view *view;
	struct error error;

	if (disk == NULL)
		return;
	if (nbd_server_export(core->nbd, disk, "as it was when this site gave up the lead", true, &error) < 0) {
		disk_close(disk);
		return;
	}
	view = memory_new(1, sizeof(*view));
	view->view = disk;
	snprintf(view->disk_id, sizeof(view->disk_id), "%s", id);
	list_append(&core->views, &view->link);
	log_event(LOG_WARNING, "nbd.diverged_exported", "export=%s", disk_id(disk));
}

void shard_core_export_diverged(struct shard_core *core)
{
	list_for_each(entry, &core->views) {
		struct shard_view *view = container_of(entry, struct shard_view, link);

		if (view->ending || engine_keeps_diverged(core->engine, view->disk_id))
			continue;
		view->ending = true;
		nbd_server_unexport(core->nbd, disk_id(view->view), on_view_ended, view);
	}
	list_for_each(entry, &core->disks) {
		const struct shard_disk *disk = container_of(entry, struct shard_disk, link);

		if (engine_keeps_diverged(core->engine, disk->id) && core_find_view(core, disk->id) == NULL)
			view_open(core, disk->id);
	}
}

/* --- units --- */

static int run_unit_open(struct shard_core *core, struct shard_work *work, struct error *error)
{
	return engine_open_unit(core->engine, work->command.u.unit.spec, error);
}

static int run_unit_start(struct shard_core *core, struct shard_work *work, struct error *error)
{
	return engine_start_unit(core->engine, work->command.u.unit.id, work->command.u.unit.one_shot, error);
}

static int run_unit_stop(struct shard_core *core, struct shard_work *work, struct error *error)
{
	return engine_stop_unit(core->engine, work->command.u.unit.id, error);
}

static int run_unit_failover(struct shard_core *core, struct shard_work *work, struct error *error)
{
	return engine_failover_unit(core->engine, work->command.u.unit.id, error);
}

static int run_unit_demote(struct shard_core *core, struct shard_work *work, struct error *error)
{
	return engine_demote_unit(core->engine, work->command.u.unit.id, work->command.u.unit.hand_over, error);
}

static int run_unit_promote(struct shard_core *core, struct shard_work *work, struct error *error)
{
	return engine_promote_unit(core->engine, work->command.u.unit.id, work->command.u.unit.term, error);
}

static int run_unit_scrub(struct shard_core *core, struct shard_work *work, struct error *error)
{
	return engine_scrub_unit(core->engine, work->command.u.unit.id, error);
}

static int run_unit_discard(struct shard_core *core, struct shard_work *work, struct error *error)
{
	return engine_discard_divergence(core->engine, work->command.u.unit.id, error);
}

static int run_unit_remove(struct shard_core *core, struct shard_work *work, struct error *error)
{
	int code = engine_remove_unit(core->engine, work->command.u.unit.id, error);

	shard_core_export_diverged(core);
	return code;
}

static int run_peer_limit(struct shard_core *core, struct shard_work *work, struct error *error)
{
	return engine_limit_peer(core->engine, work->command.u.peer.zone, work->command.u.peer.bytes_per_second, error);
}

static int run_message(struct shard_core *core, struct shard_work *work, struct error *error)
{
	const char *peer = work->command.u.message.peer;
	int code = engine_send_message(core->engine, peer, work->command.u.message.is_answer, work->command.u.message.id,
				       work->command.u.message.bytes, work->command.u.message.size);

	return code < 0 ? error_set_errno(error, code, "cannot send to site %s", peer) : 0;
}

/* --- the table --- */

typedef int run_function(struct shard_core *core, struct shard_work *work, struct error *error);

static run_function *const runs[SHARD_COMMANDS] = {
	[SHARD_DISK_CREATE] = run_disk_create,
	[SHARD_DISK_OPEN] = run_disk_open,
	[SHARD_DISK_CLOSE] = run_disk_close,
	[SHARD_DISK_DELETE] = run_disk_close,
	[SHARD_DISK_RESIZE] = run_disk_resize,
	[SHARD_DISK_EXTEND] = run_disk_extend,
	[SHARD_DISK_GROW] = run_disk_grow,
	[SHARD_DISK_SUSPECT] = run_disk_suspect,
	[SHARD_DISK_EXPORT] = run_disk_export,
	[SHARD_DISK_UNEXPORT] = run_disk_close,
	[SHARD_DISK_MOVE] = run_disk_move,
	[SHARD_UNIT_OPEN] = run_unit_open,
	[SHARD_UNIT_START] = run_unit_start,
	[SHARD_UNIT_STOP] = run_unit_stop,
	[SHARD_UNIT_FAILOVER] = run_unit_failover,
	[SHARD_UNIT_DEMOTE] = run_unit_demote,
	[SHARD_UNIT_PROMOTE] = run_unit_promote,
	[SHARD_UNIT_SCRUB] = run_unit_scrub,
	[SHARD_UNIT_DISCARD] = run_unit_discard,
	[SHARD_UNIT_REMOVE] = run_unit_remove,
	[SHARD_PEER_LIMIT] = run_peer_limit,
	[SHARD_MESSAGE] = run_message,
};

void shard_core_run(struct shard_work *work)
{
	struct shard_core *core = work->core;
	struct error error = { 0 };
	int code;

	if (work->command.kind <= SHARD_DISK_MOVE) {
		struct shard_disk *record = core_find_disk(core, work->command.u.disk.id);

		if (record != NULL && record->ending != NULL) {
			list_append(&record->waiting, &work->link);
			return;
		}
	}
	code = runs[work->command.kind](core, work, &error);
	if (code == RUN_LATER)
		return;
	log_event(LOG_DEBUG, "shard.command", "kind=%d id=%llu code=%d", (int)work->command.kind,
		  (unsigned long long)work->command.id, code);
	work_answer(work, code, &error);
}

void shard_core_fini(struct shard_core *core)
{
	list_for_each(entry, &core->growing)
		work_free(container_of(entry, struct shard_work, link));
	list_for_each(entry, &core->views)
		view_free(container_of(entry, struct shard_view, link));
	list_for_each(entry, &core->disks) {
		struct shard_disk *record = container_of(entry, struct shard_disk, link);

		list_for_each(waiting, &record->waiting)
			work_free(container_of(waiting, struct shard_work, link));
		if (record->ending != NULL)
			work_free(record->ending);
		index_put(&core->disks_by_id, &record->by_id, "");
		free(record);
	}
	list_init(&core->disks);
}
