/* Files and block devices: both are an env_file; they differ in whether they can grow. */
#include <errno.h>

#include "backend/internal.h"
#include "base/error.h"
#include "base/list.h"
#include "base/memory.h"

struct file {
	struct backend backend;
	struct env_file *file;
};

static struct env_file *file_of(struct backend *backend)
{
	return container_of(backend, struct file, backend)->file;
}

static void file_read(struct backend *backend, struct env_io *io, void *buffer, size_t length, uint64_t offset)
{
	env_file_read(file_of(backend), io, buffer, length, offset);
}

static void file_write(struct backend *backend, struct env_io *io, const void *buffer, size_t length, uint64_t offset)
{
	env_file_write(file_of(backend), io, buffer, length, offset);
}

static void file_zero(struct backend *backend, struct env_io *io, uint64_t offset, uint64_t length, unsigned how)
{
	env_file_zero(file_of(backend), io, offset, length, how);
}

static void file_read_ahead(struct backend *backend, struct env_io *io, uint64_t offset, uint64_t length)
{
	env_file_read_ahead(file_of(backend), io, offset, length);
}

static void file_sync(struct backend *backend, struct env_io *io)
{
	env_file_sync(file_of(backend), io);
}

static void file_forget_cache(struct backend *backend)
{
	env_file_forget_cache(file_of(backend));
}

static int file_set_direct(struct backend *backend, bool direct)
{
	int result = env_file_set_direct(file_of(backend), direct);

	if (result == 0)
		backend->direct = direct;
	return result;
}

static int file_next_data(struct backend *backend, uint64_t from, uint64_t *out_start, uint64_t *out_end)
{
	return env_file_next_data(file_of(backend), from, out_start, out_end);
}

static int file_extend(struct backend *backend, uint64_t size)
{
	int result = env_file_resize(file_of(backend), size);

	if (result == 0)
		backend->room = size;
	return result;
}

/* A device grows by its own means; what it has grown to already may be taken, with whatever is there. */
static int blockdev_extend(struct backend *backend, uint64_t size)
{
	uint64_t has;
	int result = env_file_size(file_of(backend), &has);

	if (result < 0)
		return result;
	backend->room = backend->stale_end = has;
	return size > has ? -ENOTSUP : 0;
}

static void file_close(struct backend *backend)
{
	env_file_close(file_of(backend));
	free(container_of(backend, struct file, backend));
}

const struct backend_ops backend_file_ops = {
	.kind = "file", .read = file_read, .write = file_write, .zero = file_zero, .sync = file_sync,
	.read_ahead = file_read_ahead, .forget_cache = file_forget_cache, .set_direct = file_set_direct,
	.next_data = file_next_data, .extend = file_extend, .close = file_close,
};

const struct backend_ops backend_blockdev_ops = {
	.kind = "blockdev", .read = file_read, .write = file_write, .zero = file_zero, .sync = file_sync,
	.read_ahead = file_read_ahead, .forget_cache = file_forget_cache, .set_direct = file_set_direct,
	.next_data = file_next_data, .extend = blockdev_extend, .close = file_close,
};

int backend_file_open(struct env *env, const struct backend_ops *ops, const char *path, uint64_t size,
		      struct backend **out_backend, struct error *error)
{
	struct env_file *file;
	struct file *made;
	uint64_t has;
	int result = env_file_open(env, path, ENV_LOCK, &file);

	if (result == -EBUSY)
		return error_set(error, result, "%s is in use by another program", path);
	if (result < 0)
		return error_set_errno(error, result, "cannot open %s", path);
	result = env_file_size(file, &has);
	if (result == 0 && (has < size || has == 0))
		result = error_set(error, -EINVAL, "%s has %llu bytes, the disk needs %llu", path, (unsigned long long)has,
				   (unsigned long long)size);
	else if (result < 0)
		error_set_errno(error, result, "cannot tell the size of %s", path);
	if (result < 0) {
		env_file_close(file);
		return result;
	}
	made = memory_new(1, sizeof *made);
	made->backend = (struct backend){ .ops = ops, .env = env, .size = size == 0 ? has : size, .room = has, .stale_end = has };
	made->file = file;
	*out_backend = &made->backend;
	return 0;
}
