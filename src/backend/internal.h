/* The kinds of back ends, for backend_open. */
#ifndef BACKEND_INTERNAL_H
#define BACKEND_INTERNAL_H

#include "backend/backend.h"

extern const struct backend_ops backend_file_ops, backend_blockdev_ops;

int backend_file_open(struct env *env, const struct backend_ops *ops, const char *path, uint64_t size,
		      struct backend **out_backend, struct error *error);
int backend_ram_open(struct env *env, uint64_t size, struct backend **out_backend, struct error *error);
int backend_null_open(struct env *env, uint64_t size, struct backend **out_backend, struct error *error);

#endif
