#include "backend/backend.h"

#include <errno.h>
#include <string.h>

#include "backend/internal.h"
#include "base/error.h"

int backend_open(struct env *env, const char *kind, const char *path, uint64_t size, struct backend **out_backend,
		 struct error *error)
{
	if (strcmp(kind, "file") == 0)
		return backend_file_open(env, &backend_file_ops, path, size, out_backend, error);
	if (strcmp(kind, "blockdev") == 0)
		return backend_file_open(env, &backend_blockdev_ops, path, size, out_backend, error);
	if (strcmp(kind, "ram") == 0)
		return backend_ram_open(env, size, out_backend, error);
	if (strcmp(kind, "null") == 0)
		return backend_null_open(env, size, out_backend, error);
	return error_set(error, -EINVAL, "there is no back end of kind \"%s\": file, blockdev, ram or null", kind);
}

int backend_grow(struct backend *backend, uint64_t size)
{
	int result = 0;

	if (size < backend->size)
		return -EINVAL;
	if (size > backend->room)
		result = backend->ops->extend(backend, size);
	if (result == 0)
		backend->size = size;
	return result;
}

int backend_create_file(struct env *env, const char *path, uint64_t size, struct error *error)
{
	struct env_file *file;
	int result = env_file_open(env, path, ENV_CREATE | ENV_EXCLUSIVE, &file);

	if (result < 0)
		return error_set_errno(error, result, "cannot make the disk file %s", path);
	result = env_file_resize(file, size);
	env_file_close(file);
	if (result < 0) {
		env_file_remove(env, path);
		return error_set_errno(error, result, "cannot make the disk file %s with %llu bytes", path,
				       (unsigned long long)size);
	}
	return 0;
}
