/* A disk as it was when the lead was given up: a read-only back end over what has been saved, and the disk. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/hash.h"
#include "base/memory.h"
#include "repl/divergence_internal.h"

#define GLANCE_BLOCKS 64u /* of a read, looked at together */

struct view {
	struct backend backend;
	struct divergence *divergence;
	uint32_t disk;
};

/* One read of a view, a glance at a time: the disk first, then what has been saved by then over it. A block that was not saved
 * when the disk had been read was not overwritten before either. */
struct look {
	struct divergence *divergence;
	uint32_t disk;
	struct env_io *io; /* of who asked */
	uint8_t *buffer;
	uint64_t offset, left;
	uint64_t size;     /* of this glance */
	uint32_t pending;
	int result;
	uint8_t *saved;    /* GLANCE_BLOCKS pages */
	uint32_t counts;
	struct { uint64_t block; uint32_t check; } blocks[GLANCE_BLOCKS];
	struct env_io ios[GLANCE_BLOCKS];
};

static void look_on(struct look *look);

static void look_end(struct look *look, int result)
{
	struct divergence *divergence = look->divergence;
	struct unit *unit = divergence->unit;
	struct env_io *io = look->io;

	free(look->saved);
	free(look);
	unit->in_flight--;
	divergence_release(divergence);
	io->on_done(io, result);
	unit_step_continue(unit);
}

/* Copies the part of a block that was asked for. */
static void lay_over(struct look *look, uint64_t block, const uint8_t *bytes)
{
	uint64_t from = block * DIVERGENCE_PAGE, to = from + DIVERGENCE_PAGE, first = look->offset, last = look->offset + look->size;
	uint64_t begins = from > first ? from : first, ends = to < last ? to : last;

	if (bytes == NULL)
		memset(look->buffer + (begins - first), 0, (size_t)(ends - begins));
	else
		memcpy(look->buffer + (begins - first), bytes + (begins - from), (size_t)(ends - begins));
}

static void glance_end(struct look *look)
{
	for (uint32_t i = 0; look->result == 0 && i < look->counts; i++) {
		const uint8_t *bytes = look->saved + (size_t)i * DIVERGENCE_PAGE;

		if ((uint32_t)hash_xxh3(bytes, DIVERGENCE_PAGE) != look->blocks[i].check)
			look->result = -EIO;
		else
			lay_over(look, look->blocks[i].block, bytes);
	}
	look->offset += look->size;
	look->buffer += look->size;
	look->left -= look->size;
	if (look->divergence->ended)
		look->result = -EIO;
	if (look->result < 0 || look->left == 0)
		look_end(look, look->result);
	else
		look_on(look);
}

static void on_saved_read(struct env_io *io, int result)
{
	struct look *look = io->data;

	if (result < 0)
		look->result = result;
	if (--look->pending == 0)
		glance_end(look);
}

static void on_disk_read(struct env_io *io, int result)
{
	struct look *look = io->data;
	struct divergence *divergence = look->divergence;
	uint64_t last = (look->offset + look->size - 1) / DIVERGENCE_PAGE;

	look->result = result;
	look->counts = 0;
	for (uint64_t block = look->offset / DIVERGENCE_PAGE; result == 0 && block <= last; block++) {
		const struct saved_block *saved = divergence_find(divergence, look->disk, block);

		if (saved == NULL)
			continue;
		if (saved->page == DIVERGENCE_ZEROS) {
			lay_over(look, block, NULL);
			continue;
		}
		look->blocks[look->counts].block = block;
		look->blocks[look->counts].check = saved->check;
		look->ios[look->counts] = (struct env_io){ .on_done = on_saved_read, .data = look };
		env_file_read(divergence->file, &look->ios[look->counts], look->saved + (size_t)look->counts * DIVERGENCE_PAGE,
			      DIVERGENCE_PAGE, (uint64_t)saved->page * DIVERGENCE_PAGE);
		look->counts++;
	}
	look->pending = look->counts;
	if (look->counts == 0)
		glance_end(look);
}

static void look_on(struct look *look)
{
	uint64_t most = GLANCE_BLOCKS * DIVERGENCE_PAGE - look->offset % DIVERGENCE_PAGE;
	struct backend *backend = disk_backend(look->divergence->unit->disks[look->disk].disk);

	look->size = look->left < most ? look->left : most;
	look->ios[0] = (struct env_io){ .on_done = on_disk_read, .data = look };
	backend->ops->read(backend, &look->ios[0], look->buffer, (size_t)look->size, look->offset);
}

/* --- the back end of a view --- */

struct refusal_io {
	struct env_io io, *asked;
	int result;
};

static void on_refused(struct env_io *io, int result)
{
	struct refusal_io *refusal = io->data;
	struct env_io *asked = refusal->asked;

	result = refusal->result;
	free(refusal);
	asked->on_done(asked, result);
}

static void answer_later(struct env *env, struct env_io *asked, int result)
{
	struct refusal_io *refusal = memory_new(1, sizeof *refusal);

	*refusal = (struct refusal_io){ .io = { .on_done = on_refused, .data = refusal }, .asked = asked, .result = result };
	env_defer(env, &refusal->io);
}

static void view_read(struct backend *backend, struct env_io *io, void *buffer, size_t length, uint64_t offset)
{
	struct view *view = container_of(backend, struct view, backend);
	struct look *look;

	if (view->divergence->ended || length == 0) {
		answer_later(backend->env, io, length == 0 ? 0 : -EIO);
		return;
	}
	look = memory_new(1, sizeof *look);
	look->divergence = view->divergence;
	look->disk = view->disk;
	look->io = io;
	look->buffer = buffer;
	look->offset = offset;
	look->left = length;
	look->saved = memory_resize(NULL, GLANCE_BLOCKS, DIVERGENCE_PAGE);
	divergence_take(view->divergence);
	look_on(look);
}

static void view_write(struct backend *backend, struct env_io *io, const void *buffer, size_t length, uint64_t offset)
{
	(void)buffer;
	(void)length;
	(void)offset;
	answer_later(backend->env, io, -EROFS);
}

static void view_zero(struct backend *backend, struct env_io *io, uint64_t offset, uint64_t length, unsigned how)
{
	(void)offset;
	(void)length;
	(void)how;
	answer_later(backend->env, io, -EROFS);
}

static void view_sync(struct backend *backend, struct env_io *io)
{
	answer_later(backend->env, io, 0);
}

static int view_next_data(struct backend *backend, uint64_t from, uint64_t *out_start, uint64_t *out_end)
{
	*out_start = from;
	*out_end = backend->size;
	return 0;
}

static int view_extend(struct backend *backend, uint64_t size)
{
	(void)backend;
	(void)size;
	return -ENOTSUP;
}

static void view_close(struct backend *backend)
{
	struct view *view = container_of(backend, struct view, backend);

	divergence_release(view->divergence);
	free(view);
}

static const struct backend_ops view_ops = {
	.kind = "diverged", .read = view_read, .write = view_write, .zero = view_zero, .sync = view_sync,
	.next_data = view_next_data, .extend = view_extend, .close = view_close,
};

struct backend *divergence_view(struct unit *unit, uint32_t disk)
{
	struct view *view;

	if (unit->divergence == NULL || unit->step == STEP_LOADING)
		return NULL;
	view = memory_new(1, sizeof *view);
	view->backend = (struct backend){ .ops = &view_ops, .env = unit->engine->env, .size = unit->divergence->disks[disk].size };
	view->divergence = unit->divergence;
	view->divergence->references++;
	view->disk = disk;
	return &view->backend;
}
