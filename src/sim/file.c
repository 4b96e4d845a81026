/* Files whose unsynced writes are a list that a power cut keeps, drops, tears or reorders; memory that a kill leaves. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "sim/internal.h"

#define SECTOR 512u

struct env_file {
	struct env *env;
	struct sim_file *file;
};

/* --- hosts --- */

struct sim_host *sim_host_new(void)
{
	struct sim_host *host = memory_new(1, sizeof *host);

	list_init(&host->files);
	list_init(&host->memories);
	list_init(&host->unlinked);
	return host;
}

static void drop_unsynced(struct sim_file *file)
{
	struct list *entry;

	while ((entry = list_pop(&file->unsynced)) != NULL) {
		free(container_of(entry, struct sim_unsynced, entry)->bytes);
		free(container_of(entry, struct sim_unsynced, entry));
	}
}

static void file_free(struct sim_file *file)
{
	drop_unsynced(file);
	list_remove(&file->entry);
	free(file->current);
	free(file->durable);
	free(file);
}

/* As an unlinked file: whoever has it open goes on with it. */
static void file_unlink(struct sim_host *host, struct sim_file *file)
{
	list_remove(&file->entry);
	file->path[0] = 0;
	list_append(&host->unlinked, &file->entry);
}

static void memory_free(struct sim_memory *memory)
{
	list_remove(&memory->entry);
	free(memory->bytes);
	free(memory);
}

void sim_host_free(struct sim_host *host)
{
	list_for_each(entry, &host->files)
		file_free(container_of(entry, struct sim_file, entry));
	list_for_each(entry, &host->unlinked)
		file_free(container_of(entry, struct sim_file, entry));
	list_for_each(entry, &host->memories)
		memory_free(container_of(entry, struct sim_memory, entry));
	free(host);
}

static uint8_t *copy_bytes(const uint8_t *bytes, uint64_t size)
{
	uint8_t *copy = memory_resize(NULL, 1, size + 1);

	if (size > 0)
		memcpy(copy, bytes, size);
	return copy;
}

struct sim_host *sim_host_copy(const struct sim_host *host)
{
	struct sim_host *copy = sim_host_new();

	for (struct list *entry = host->files.next; entry != &host->files; entry = entry->next) {
		const struct sim_file *file = container_of(entry, struct sim_file, entry);
		struct sim_file *made = memory_new(1, sizeof *made);

		memcpy(made->path, file->path, sizeof made->path);
		made->size = file->size;
		made->current = copy_bytes(file->current, file->size);
		made->durable = copy_bytes(file->durable, file->size);
		list_init(&made->unsynced);
		for (struct list *at = file->unsynced.next; at != &file->unsynced; at = at->next) {
			const struct sim_unsynced *write = container_of(at, struct sim_unsynced, entry);
			struct sim_unsynced *same = memory_new(1, sizeof *same);

			*same = *write;
			same->bytes = copy_bytes(write->bytes, write->length);
			list_append(&made->unsynced, &same->entry);
		}
		list_append(&copy->files, &made->entry);
	}
	for (struct list *entry = host->memories.next; entry != &host->memories; entry = entry->next) {
		const struct sim_memory *memory = container_of(entry, struct sim_memory, entry);
		struct sim_memory *made = memory_new(1, sizeof *made);

		*made = *memory;
		made->bytes = copy_bytes(memory->bytes, memory->size);
		list_append(&copy->memories, &made->entry);
	}
	return copy;
}

/* One unsynced write meets the power cut: wholly kept, wholly lost, or some of its sectors. */
static void settle_write(struct sim *sim, struct sim_file *file, const struct sim_unsynced *write)
{
	uint64_t fate = sim_below(sim, 4), at = write->offset, end = write->offset + write->length;

	if (fate == 0)
		return;
	while (at < end) {
		uint64_t next = (at / SECTOR + 1) * SECTOR < end ? (at / SECTOR + 1) * SECTOR : end;

		if ((fate == 1 || sim_chance(sim, 500)) && next <= file->size)
			memcpy(file->durable + at, write->bytes + (at - write->offset), next - at);
		at = next;
	}
}

void sim_host_power_loss(struct sim *sim, struct sim_host *host)
{
	list_for_each(entry, &host->memories)
		memory_free(container_of(entry, struct sim_memory, entry));
	list_for_each(entry, &host->files) {
		struct sim_file *file = container_of(entry, struct sim_file, entry);

		/* Reordered: a second pass over some of them puts older bytes over newer ones. */
		for (int pass = 0; pass < 2; pass++) {
			list_for_each(at, &file->unsynced) {
				if (pass == 0 || sim_chance(sim, 200))
					settle_write(sim, file, container_of(at, struct sim_unsynced, entry));
			}
		}
		drop_unsynced(file);
		memcpy(file->current, file->durable, file->size);
	}
}

static struct sim_file *file_find(const struct sim_host *host, const char *path)
{
	for (struct list *entry = host->files.next; entry != &host->files; entry = entry->next) {
		struct sim_file *file = container_of(entry, struct sim_file, entry);

		if (strcmp(file->path, path) == 0)
			return file;
	}
	return NULL;
}

const uint8_t *sim_file_bytes(const struct sim_host *host, const char *path, uint64_t *out_size)
{
	const struct sim_file *file = file_find(host, path);

	if (file == NULL)
		return NULL;
	*out_size = file->size;
	return file->current;
}

void sim_file_rot(struct sim_host *host, const char *path, uint64_t offset)
{
	struct sim_file *file = file_find(host, path);

	if (file == NULL || offset >= file->size)
		return;
	file->current[offset] ^= 4;
	file->durable[offset] = file->current[offset];
}

/* --- env.h: opening, sizing, removing: at once, and durable --- */

int env_file_open(struct env *env, const char *path, int flags, struct env_file **out_file)
{
	struct sim_file *file = file_find(env->host, path);

	if (file == NULL && (flags & ENV_CREATE) == 0)
		return -ENOENT;
	if (file != NULL && (flags & ENV_EXCLUSIVE) != 0)
		return -EEXIST;
	if (file == NULL) {
		file = memory_new(1, sizeof *file);
		snprintf(file->path, sizeof file->path, "%s", path);
		file->current = memory_new(1, 1);
		file->durable = memory_new(1, 1);
		list_init(&file->unsynced);
		list_append(&env->host->files, &file->entry);
	}
	*out_file = memory_new(1, sizeof **out_file);
	**out_file = (struct env_file){ .env = env, .file = file };
	return 0;
}

void env_file_close(struct env_file *file)
{
	free(file);
}

int env_file_size(struct env_file *file, uint64_t *out_size)
{
	*out_size = file->file->size;
	return 0;
}

static void resize(struct sim_file *file, uint64_t size)
{
	file->current = memory_resize(file->current, size + 1, 1);
	file->durable = memory_resize(file->durable, size + 1, 1);
	if (size > file->size) {
		memset(file->current + file->size, 0, size - file->size);
		memset(file->durable + file->size, 0, size - file->size);
	}
	file->size = size;
}

int env_file_resize(struct env_file *file, uint64_t size)
{
	if (size < file->file->size) /* what was beyond is gone, synced or not */
		drop_unsynced(file->file);
	if (size == file->file->size)
		return 0;
	resize(file->file, size);
	sim_boundary(file->env);
	return 0;
}

int env_file_remove(struct env *env, const char *path)
{
	struct sim_file *file = file_find(env->host, path);

	if (file == NULL)
		return -ENOENT;
	file_unlink(env->host, file);
	sim_boundary(env);
	return 0;
}

int env_file_rename(struct env *env, const char *from, const char *to)
{
	struct sim_file *file = file_find(env->host, from);

	if (file == NULL)
		return -ENOENT;
	if (file_find(env->host, to) != NULL)
		file_free(file_find(env->host, to));
	snprintf(file->path, sizeof file->path, "%s", to);
	return 0;
}

int env_directory_create(struct env *env, const char *path)
{
	(void)env;
	(void)path;
	return 0;
}

static bool is_zero(const uint8_t *bytes, uint64_t size)
{
	return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* Zero blocks count as holes. */
int env_file_next_data(struct env_file *file, uint64_t from, uint64_t *out_start, uint64_t *out_end)
{
	const struct sim_file *at = file->file;
	uint64_t block = 4096, start = from;

	while (start < at->size && is_zero(at->current + start, at->size - start < block ? at->size - start : block))
		start += block;
	*out_start = start < at->size ? start : at->size;
	*out_end = at->size;
	return 0;
}

/* --- bytes --- */

static uint64_t io_delay(struct sim *sim)
{
	return sim_chance(sim, 30) ? sim_below(sim, 20 * MS) : 20 * US + sim_below(sim, 300 * US);
}

static void io_end(struct sim_event *event, int result)
{
	event->env->in_flight--;
	event->io->on_done(event->io, result);
}

/* 0, or what the host's fault says of this operation on this file. */
static int fault_of(const struct sim_event *event, const struct sim_file *file, enum sim_operation operation)
{
	const struct sim_fault *fault = &event->env->host->fault;
	size_t length = strlen(fault->suffix), path = strlen(file->path);

	if (fault->code == 0 || (fault->operations & operation) == 0 || path < length ||
	    strcmp(file->path + path - length, fault->suffix) != 0)
		return 0;
	return fault->code;
}

static void on_read(struct sim *sim, struct sim_event *event)
{
	const struct sim_file *file = event->object;
	uint8_t *buffer;

	(void)sim;
	memcpy(&buffer, event->io->private.words, sizeof buffer);
	if (event->offset + event->length > file->size || fault_of(event, file, SIM_READ) != 0) {
		io_end(event, -EIO);
		return;
	}
	memcpy(buffer, file->current + event->offset, event->length);
	io_end(event, 0);
}

void env_file_read(struct env_file *file, struct env_io *io, void *buffer, size_t length, uint64_t offset)
{
	uint64_t delay = io_delay(file->env->sim) * (file->env->sim->reads_slowly ? 20 : 1);
	struct sim_event *event = sim_schedule(file->env->sim, file->env, delay, on_read);

	event->io = io;
	event->object = file->file;
	event->length = length;
	event->offset = offset;
	memcpy(io->private.words, &buffer, sizeof buffer);
	file->env->in_flight++;
}

void sim_file_apply(struct sim_file *file, uint64_t offset, const uint8_t *bytes, uint64_t length)
{
	struct sim_unsynced *write = memory_new(1, sizeof *write);

	if (offset + length > file->size)
		resize(file, offset + length);
	memcpy(file->current + offset, bytes, length);
	write->offset = offset;
	write->length = length;
	write->sequence = ++file->completed;
	write->bytes = copy_bytes(bytes, length);
	list_append(&file->unsynced, &write->entry);
}

static void on_write(struct sim *sim, struct sim_event *event)
{
	int fault = fault_of(event, event->object, SIM_WRITE);

	(void)sim;
	if (fault == 0)
		sim_file_apply(event->object, event->offset, event->bytes, event->length);
	if (!sim_boundary(event->env))
		io_end(event, fault);
}

/* What was on its way to a file when the process died may have arrived. */
void sim_files_of_dead(struct env *env)
{
	struct sim *sim = env->sim;

	for (size_t i = 1; i <= sim->heap_count; i++) {
		struct sim_event *event = sim->heap[i];

		if (event->env == env && event->happen == on_write && sim_chance(sim, 500))
			sim_file_apply(event->object, event->offset, event->bytes, event->length);
	}
}

static void write_bytes(struct env_file *file, struct env_io *io, uint8_t *taken, uint64_t length, uint64_t offset)
{
	struct sim_event *event = sim_schedule(file->env->sim, file->env, io_delay(file->env->sim), on_write);

	event->io = io;
	event->object = file->file;
	event->bytes = taken;
	event->length = length;
	event->offset = offset;
	file->env->in_flight++;
}

void env_file_write(struct env_file *file, struct env_io *io, const void *buffer, size_t length, uint64_t offset)
{
	write_bytes(file, io, copy_bytes(buffer, length), length, offset);
}

void env_file_zero(struct env_file *file, struct env_io *io, uint64_t offset, uint64_t length, unsigned how)
{
	(void)how;
	write_bytes(file, io, memory_new(1, length), length, offset);
}

void env_file_read_ahead(struct env_file *file, struct env_io *io, uint64_t offset, uint64_t length)
{
	(void)offset;
	(void)length;
	env_defer(file->env, io);
}

/* What had completed when the sync was asked for is durable when it ends. A failed one leaves it in the cache alone, and
 * forgets that it was to be written: as the kernel does, so a second sync proves nothing. */
static void on_sync(struct sim *sim, struct sim_event *event)
{
	struct sim_file *file = event->object;
	int fault = fault_of(event, file, SIM_SYNC);

	(void)sim;
	list_for_each(entry, &file->unsynced) {
		struct sim_unsynced *write = container_of(entry, struct sim_unsynced, entry);

		if (write->sequence > event->offset)
			continue;
		if (fault == 0 && write->offset + write->length <= file->size)
			memcpy(file->durable + write->offset, write->bytes, write->length);
		list_remove(entry);
		free(write->bytes);
		free(write);
	}
	if (fault != 0 && strcmp(event->env->host->fault.suffix, ".raw") == 0)
		event->env->host->sync_failed = true;
	if (!sim_boundary(event->env))
		io_end(event, fault);
}

/* What is not synced is lost either way. */
int env_file_set_direct(struct env_file *file, bool direct)
{
	(void)file;
	(void)direct;
	return 0;
}

void env_file_forget_cache(struct env_file *file)
{
	memcpy(file->file->current, file->file->durable, file->file->size);
	list_for_each(entry, &file->file->unsynced) {
		const struct sim_unsynced *write = container_of(entry, struct sim_unsynced, entry);

		if (write->offset + write->length <= file->file->size)
			memcpy(file->file->current + write->offset, write->bytes, write->length);
	}
}

void env_file_sync(struct env_file *file, struct env_io *io)
{
	struct sim_event *event = sim_schedule(file->env->sim, file->env, 3 * io_delay(file->env->sim), on_sync);

	event->io = io;
	event->object = file->file;
	event->offset = file->file->completed;
	file->env->in_flight++;
}

/* --- memory --- */

int env_memory_open(struct env *env, const char *name, size_t size, void **out_memory, bool *out_kept)
{
	struct sim_memory *made;

	list_for_each(entry, &env->host->memories) {
		struct sim_memory *memory = container_of(entry, struct sim_memory, entry);

		if (strcmp(memory->name, name) != 0)
			continue;
		*out_kept = memory->size == size;
		if (*out_kept) {
			*out_memory = memory->bytes;
			return 0;
		}
		memory->name[0] = 0;
		break;
	}
	made = memory_new(1, sizeof *made);
	snprintf(made->name, sizeof made->name, "%s", name);
	made->bytes = memory_new(1, size);
	made->size = size;
	list_append(&env->host->memories, &made->entry);
	*out_memory = made->bytes;
	*out_kept = false;
	return 0;
}

void env_memory_close(struct env *env, void *memory, size_t size)
{
	(void)env;
	(void)memory;
	(void)size;
}

int env_memory_remove(struct env *env, const char *name)
{
	list_for_each(entry, &env->host->memories) {
		if (strcmp(container_of(entry, struct sim_memory, entry)->name, name) == 0)
			container_of(entry, struct sim_memory, entry)->name[0] = 0; /* whoever has it open goes on with it */
	}
	return 0;
}
