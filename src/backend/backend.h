/* What a back end must do: hold the bytes of one disk, as a plain raw image.
 *
 * Kinds: file (sparse file or adopted image), blockdev (a block device), null (zeros, drops writes), ram. Written on
 * env.h, so the simulator runs the real file back end on simulated files. One shard's thread. */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "env/env.h"

struct backend;
struct error;

struct backend_ops {
	const char *kind; /* "file", "blockdev", "null", "ram": the word used in the catalog */
	void (*read)(struct backend *backend, struct env_io *io, void *buffer, size_t length, uint64_t offset);
	void (*write)(struct backend *backend, struct env_io *io, const void *buffer, size_t length, uint64_t offset);
	void (*zero)(struct backend *backend, struct env_io *io, uint64_t offset, uint64_t length, unsigned how);
	void (*read_ahead)(struct backend *backend, struct env_io *io, uint64_t offset, uint64_t length); /* NULL: of no use */
	void (*sync)(struct backend *backend, struct env_io *io);
	void (*forget_cache)(struct backend *backend); /* NULL where there is none, as for the next */
	int (*set_direct)(struct backend *backend, bool direct);
	int (*next_data)(struct backend *backend, uint64_t from, uint64_t *out_start, uint64_t *out_end);
	int (*extend)(struct backend *backend, uint64_t size); /* room for so many bytes; -ENOTSUP where it cannot */
	void (*close)(struct backend *backend); /* frees it; nothing may be in flight */
};

/* Embedded first in each kind's own struct. All calls as their namesakes in env.h. */
struct backend {
	const struct backend_ops *ops;
	struct env *env;
	uint64_t size;      /* bytes that are read and written */
	uint64_t room;      /* bytes it has: size, or more */
	uint64_t stale_end; /* from `size` to here it may hold anything; other room holds zeros */
	bool direct;        /* past the kernel's cache */
};

/* Opens a disk's bytes. `path` names the file or device (unused by null and ram). `size`: bytes the disk must have; the
 * file or device may not be smaller; 0 takes the size it has. Takes an exclusive lock on files. */
int backend_open(struct env *env, const char *kind, const char *path, uint64_t size, struct backend **out_backend,
		 struct error *error);

/* The size becomes larger; makes room for it where there is none yet. -EINVAL: it cannot shrink. */
int backend_grow(struct backend *backend, uint64_t size);

/* Makes a new sparse file of `size` bytes at `path`; -EEXIST when something is there. */
int backend_create_file(struct env *env, const char *path, uint64_t size, struct error *error);

#endif
