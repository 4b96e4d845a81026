/* Memory that outlives the process: files on tmpfs, mapped. Their blocks are allocated when they are made, so that a full tmpfs
 * is an error then, not a signal later. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "env/uring/internal.h"
#include "env/uring/loop.h"

#define PATH_SIZE 1024

int memory_directory_check(const char *path, struct error *error)
{
	char parent[PATH_SIZE];
	struct statfs info;

	snprintf(parent, sizeof parent, "%s", path);
	for (char *slash = parent + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = 0;
		mkdir(parent, 0700); /* whether it worked shows at the end */
		*slash = '/';
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set_errno(error, -errno, "cannot make the run folder %s", path);
	if (statfs(path, &info) < 0)
		return error_set_errno(error, -errno, "cannot look at the run folder %s", path);
	if (info.f_type != TMPFS_MAGIC && info.f_type != RAMFS_MAGIC)
		return error_set(error, -EINVAL, "the run folder %s is not on tmpfs: change maps must be lost with the power; "
				 "set run= to a folder below /run", path);
	return 0;
}

static int memory_path(const struct env *env, const char *name, char path[PATH_SIZE])
{
	if (env->memory_directory == NULL)
		return -ENOTSUP;
	if (strchr(name, '/') != NULL || name[0] == '.' || name[0] == 0)
		return -EINVAL;
	if (snprintf(path, PATH_SIZE, "%s/%s", env->memory_directory, name) >= PATH_SIZE)
		return -ENAMETOOLONG;
	return 0;
}

/* Sizes the file; *out_kept when it has that size already. */
static int memory_size(int fd, size_t size, bool *out_kept)
{
	struct stat info;

	if (fstat(fd, &info) < 0)
		return -errno;
	*out_kept = info.st_size == (off_t)size;
	if (*out_kept)
		return 0;
	if (ftruncate(fd, 0) < 0)
		return -errno;
	return -posix_fallocate(fd, 0, (off_t)size);
}

int env_memory_open(struct env *env, const char *name, size_t size, void **out_memory, bool *out_kept)
{
	char path[PATH_SIZE];
	int fd, result = memory_path(env, name, path);
	void *memory;

	if (result < 0)
		return result;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	result = memory_size(fd, size, out_kept);
	if (result < 0) {
		unlink(path);
		close(fd);
		return result;
	}
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	result = -errno;
	close(fd);
	if (memory == MAP_FAILED)
		return result;
	*out_memory = memory;
	return 0;
}

void env_memory_close(struct env *env, void *memory, size_t size)
{
	(void)env;
	munmap(memory, size);
}

int env_memory_remove(struct env *env, const char *name)
{
	char path[PATH_SIZE];
	int result = memory_path(env, name, path);

	if (result < 0)
		return result;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* --- space for large buffers --- */

/* The kernel gives pages at any place: what is too much at both ends goes back. */
void *loop_space_new(size_t size)
{
	uint8_t *space = mmap(NULL, size + LOOP_PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t before;

	if (space == MAP_FAILED)
		return NULL;
	before = (LOOP_PIECE - (uintptr_t)space % LOOP_PIECE) % LOOP_PIECE;
	if (before > 0)
		munmap(space, before);
	munmap(space + before + size, LOOP_PIECE - before);
	madvise(space + before, size, MADV_HUGEPAGE); /* without huge pages it is memory as any other */
	return space + before;
}

void loop_space_release(void *memory, size_t size)
{
	madvise(memory, size, MADV_DONTNEED);
}

void loop_space_free(void *space, size_t size)
{
	munmap(space, size);
}
