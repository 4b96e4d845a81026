/* Zeros that take every write: what the rest of the path costs, without a device. */
#include <errno.h>
#include <string.h>

#include "backend/internal.h"
#include "base/error.h"
#include "base/memory.h"

static void null_read(struct backend *backend, struct env_io *io, void *buffer, size_t length, uint64_t offset)
{
	(void)offset;
	memset(buffer, 0, length);
	env_defer(backend->env, io);
}

static void null_write(struct backend *backend, struct env_io *io, const void *buffer, size_t length, uint64_t offset)
{
	(void)buffer;
	(void)length;
	(void)offset;
	env_defer(backend->env, io);
}

static void null_zero(struct backend *backend, struct env_io *io, uint64_t offset, uint64_t length, unsigned how)
{
	(void)offset;
	(void)length;
	(void)how;
	env_defer(backend->env, io);
}

static void null_sync(struct backend *backend, struct env_io *io)
{
	env_defer(backend->env, io);
}

static int null_next_data(struct backend *backend, uint64_t from, uint64_t *out_start, uint64_t *out_end)
{
	(void)from;
	*out_start = *out_end = backend->size;
	return 0;
}

static int null_extend(struct backend *backend, uint64_t size)
{
	backend->room = size;
	return 0;
}

static void null_close(struct backend *backend)
{
	free(backend);
}

static const struct backend_ops null_ops = {
	.kind = "null", .read = null_read, .write = null_write, .zero = null_zero, .sync = null_sync,
	.next_data = null_next_data, .extend = null_extend, .close = null_close,
};

int backend_null_open(struct env *env, uint64_t size, struct backend **out_backend, struct error *error)
{
	struct backend *backend;

	if (size == 0)
		return error_set(error, -EINVAL, "a null disk needs a size");
	backend = memory_new(1, sizeof *backend);
	*backend = (struct backend){ .ops = &null_ops, .env = env, .size = size, .room = size };
	*out_backend = backend;
	return 0;
}
