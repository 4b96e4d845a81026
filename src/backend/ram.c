/* A disk in memory, for tests and measurements: gone with the process. */
#include <errno.h>
#include <string.h>

#include "backend/internal.h"
#include "base/error.h"
#include "base/list.h"
#include "base/memory.h"

#define RAM_SIZE_MAX (UINT64_C(1) << 34)

struct ram {
	struct backend backend;
	uint8_t *bytes;
};

static uint8_t *ram_at(struct backend *backend, uint64_t offset)
{
	return container_of(backend, struct ram, backend)->bytes + offset;
}

static void ram_read(struct backend *backend, struct env_io *io, void *buffer, size_t length, uint64_t offset)
{
	memcpy(buffer, ram_at(backend, offset), length);
	env_defer(backend->env, io);
}

static void ram_write(struct backend *backend, struct env_io *io, const void *buffer, size_t length, uint64_t offset)
{
	memcpy(ram_at(backend, offset), buffer, length);
	env_defer(backend->env, io);
}

static void ram_zero(struct backend *backend, struct env_io *io, uint64_t offset, uint64_t length, unsigned how)
{
	(void)how;
	memset(ram_at(backend, offset), 0, length);
	env_defer(backend->env, io);
}

static void ram_sync(struct backend *backend, struct env_io *io)
{
	env_defer(backend->env, io);
}

static int ram_next_data(struct backend *backend, uint64_t from, uint64_t *out_start, uint64_t *out_end)
{
	*out_start = from;
	*out_end = backend->size;
	return 0;
}

static int ram_extend(struct backend *backend, uint64_t size)
{
	(void)backend;
	(void)size;
	return -ENOTSUP;
}

static void ram_close(struct backend *backend)
{
	free(container_of(backend, struct ram, backend)->bytes);
	free(container_of(backend, struct ram, backend));
}

static const struct backend_ops ram_ops = {
	.kind = "ram", .read = ram_read, .write = ram_write, .zero = ram_zero, .sync = ram_sync,
	.next_data = ram_next_data, .extend = ram_extend, .close = ram_close,
};

int backend_ram_open(struct env *env, uint64_t size, struct backend **out_backend, struct error *error)
{
	struct ram *ram;

	if (size == 0 || size > RAM_SIZE_MAX)
		return error_set(error, -EINVAL, "a disk in memory has 1 to %llu bytes", (unsigned long long)RAM_SIZE_MAX);
	ram = memory_new(1, sizeof *ram);
	ram->backend = (struct backend){ .ops = &ram_ops, .env = env, .size = size, .room = size };
	ram->bytes = memory_new(1, size);
	*out_backend = &ram->backend;
	return 0;
}
