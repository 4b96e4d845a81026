/* Files and block devices. Opening and sizing are done at once; bytes go through the ring. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "env/uring/internal.h"

#define ZERO_CHUNK (1024u * 1024u) /* written at a time where the device cannot zero by itself */
#define DIRECT_ALIGNMENT 4096u
#define AT_ONCE_PIECE (256u * 1024u) /* then others take their turn: what the client sends next, above all */
#define AT_ONCE_NS UINT64_C(10000000) /* above what a thread that wants this processor, too, takes of it */
#define BUSY_FACTOR 20u                /* of what a write took: the thread waits for a twentieth of the time at most */
#define SUBMIT_AT 2u     /* entries: the device works on the first while others are still being made, */
#define SUBMIT_BELOW 33u /* transfers in flight: unless it has enough to do */
#define LOCK_TRIES 20
#define LOCK_RETRY_MS 25

struct env_file {
	struct env *env;
	int fd;
	int direct_fd;      /* the same, opened once more past the cache; -1: never asked for. Entries in the ring may name it */
	bool direct;
	uint64_t busy_until_ns; /* writes into the cache are the workers' until then */
	uint32_t alignment; /* bytes, of what goes there: offset, length and memory; a power of two */
	bool is_device;
};

/* In env_io.private, while a transfer is in flight. */
struct transfer {
	struct op op;
	struct env_io *io;
	struct env_file *file;
	uint8_t *at;
	uint64_t left, offset;
	bool write;
	unsigned how; /* of enum env_zero */
	int result;   /* of a piece written at once */
};
static_assert(sizeof(struct transfer) <= sizeof(((struct env_io *)0)->private), "a transfer fits into env_io");

static struct transfer *transfer_start(struct env_file *file, struct env_io *io,
				       void (*on_complete)(struct env *, struct op *, int))
{
	struct transfer *transfer = (struct transfer *)(void *)io->private.words;

	*transfer = (struct transfer){ .op.on_complete = on_complete, .io = io, .file = file };
	file->env->transfers++;
	return transfer;
}

static void transfer_end(struct transfer *transfer, int result)
{
	transfer->file->env->transfers--;
	io_end(transfer->io, result);
}

static struct transfer *transfer_of(struct op *op)
{
	return container_of(op, struct transfer, op);
}

/* --- paths --- */

int directory_sync(const char *path_in_it)
{
	char directory[1024];
	char *slash;
	int fd, result = 0;

	if (snprintf(directory, sizeof directory, "%s", path_in_it) >= (int)sizeof directory)
		return -ENAMETOOLONG;
	slash = strrchr(directory, '/');
	if (slash == NULL)
		snprintf(directory, sizeof directory, ".");
	else
		slash[slash == directory] = 0;
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		result = -errno;
	close(fd);
	return result;
}

static int file_open_flags(int flags)
{
	int open_flags = O_CLOEXEC | ((flags & ENV_READ_ONLY) != 0 ? O_RDONLY : O_RDWR);

	if ((flags & ENV_CREATE) != 0)
		open_flags |= O_CREAT;
	if ((flags & ENV_EXCLUSIVE) != 0)
		open_flags |= O_EXCL;
	return open_flags;
}

/* The ring of a process that was just killed holds its files, locked, until what was in flight on them has ended: for some
 * milliseconds after the process is gone. The next one, started at once, waits for that. */
static int file_lock(int fd)
{
	for (int tries = 0; tries < LOCK_TRIES; tries++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK)
			return -errno;
		poll(NULL, 0, LOCK_RETRY_MS);
	}
	return -EBUSY;
}

int env_file_open(struct env *env, const char *path, int flags, struct env_file **out_file)
{
	int fd = open(path, file_open_flags(flags), 0600), result = 0;
	struct stat info;

	if (fd < 0)
		return -errno;
	if ((flags & ENV_LOCK) != 0)
		result = file_lock(fd);
	if (result == 0 && fstat(fd, &info) < 0)
		result = -errno;
	if (result == 0 && !S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode))
		result = -EINVAL;
	if (result == 0 && (flags & ENV_CREATE) != 0)
		result = directory_sync(path);
	if (result < 0) {
		close(fd);
		return result;
	}
	*out_file = memory_new(1, sizeof **out_file);
	**out_file = (struct env_file){ .env = env, .fd = fd, .direct_fd = -1, .is_device = S_ISBLK(info.st_mode) };
	return 0;
}

void env_file_close(struct env_file *file)
{
	if (file == NULL)
		return;
	if (file->direct_fd >= 0)
		close(file->direct_fd);
	close(file->fd);
	free(file);
}

int env_file_size(struct env_file *file, uint64_t *out_size)
{
	struct stat info;

	if (file->is_device)
		return ioctl(file->fd, BLKGETSIZE64, out_size) < 0 ? -errno : 0;
	if (fstat(file->fd, &info) < 0)
		return -errno;
	*out_size = (uint64_t)info.st_size;
	return 0;
}

int env_file_resize(struct env_file *file, uint64_t size)
{
	return ftruncate(file->fd, (off_t)size) < 0 ? -errno : 0;
}

int env_file_remove(struct env *env, const char *path)
{
	(void)env;
	return unlink(path) < 0 ? -errno : directory_sync(path);
}

int env_file_rename(struct env *env, const char *from, const char *to)
{
	(void)env;
	return rename(from, to) < 0 ? -errno : directory_sync(to);
}

int env_directory_create(struct env *env, const char *path)
{
	(void)env;
	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? 0 : -errno;
	return directory_sync(path);
}

int env_file_next_data(struct env_file *file, uint64_t from, uint64_t *out_start, uint64_t *out_end)
{
	uint64_t size;
	off_t start, end;
	int result = env_file_size(file, &size);

	if (result < 0)
		return result;
	start = file->is_device ? (off_t)from : lseek(file->fd, (off_t)from, SEEK_DATA);
	if (start < 0 && errno == ENXIO) { /* the rest is a hole */
		*out_start = *out_end = size;
		return 0;
	}
	end = start < 0 || file->is_device ? -1 : lseek(file->fd, start, SEEK_HOLE);
	*out_start = start < 0 ? from : (uint64_t)start;
	*out_end = end < 0 ? size : (uint64_t)end;
	return 0;
}

/* --- bytes --- */

static void transfer_submit(struct transfer *transfer);

static void on_transferred(struct env *env, struct op *op, int result)
{
	struct transfer *transfer = transfer_of(op);

	(void)env;
	if (result == -EINTR || result == -EAGAIN) {
		transfer_submit(transfer);
		return;
	}
	if (result <= 0) {
		transfer_end(transfer, result < 0 ? result : -EIO); /* end of file, or a write of nothing */
		return;
	}
	transfer->at += result;
	transfer->offset += (uint64_t)result;
	transfer->left -= (uint64_t)result;
	if (transfer->left > 0)
		transfer_submit(transfer);
	else
		transfer_end(transfer, 0);
}

/* The kernel keeps the cache in step with what goes past it: the rest of a transfer may take the other way. */
static int transfer_fd(const struct transfer *transfer, unsigned size)
{
	const struct env_file *file = transfer->file;

	if (!file->direct || (((uintptr_t)transfer->at | transfer->offset | size) & (file->alignment - 1)) != 0)
		return file->fd;
	return file->direct_fd;
}

/* The kernel has no way to begin a write into its cache of every file system: then the ring gives each to a worker, which costs
 * more than the copy. So short ones are done here, as long as the kernel takes them at once; a write that it makes wait, because
 * too much is dirty, sends those that follow to the workers for a while. True: done, or failed as *out_result says. */
static bool write_at_once(struct env_file *file, const void *buffer, size_t length, uint64_t offset, int *out_result)
{
	uint64_t began_ns, now_ns;
	ssize_t written;

	if (file->is_device || file->direct)
		return false;
	began_ns = env_now_ns(file->env);
	if (began_ns < file->busy_until_ns)
		return false;
	written = pwrite(file->fd, buffer, length, (off_t)offset);
	*out_result = written < 0 ? -errno : (int)written;
	now_ns = env_now_ns(file->env);
	if (now_ns - began_ns > AT_ONCE_NS)
		file->busy_until_ns = now_ns + BUSY_FACTOR * (now_ns - began_ns);
	return written == (ssize_t)length || (written < 0 && *out_result != -EINTR && *out_result != -EAGAIN);
}

static void on_piece_written(struct env *env, struct op *op, int result)
{
	(void)result;
	op->on_complete = on_transferred;
	on_transferred(env, op, transfer_of(op)->result);
}

static void transfer_to_ring(struct transfer *transfer)
{
	struct io_uring_sqe *entry = loop_entry(transfer->file->env, &transfer->op);
	unsigned size = transfer->left < (1u << 30) ? (unsigned)transfer->left : 1u << 30;
	int fd = transfer_fd(transfer, size);

	if (transfer->write)
		io_uring_prep_write(entry, fd, transfer->at, size, transfer->offset);
	else
		io_uring_prep_read(entry, fd, transfer->at, size, transfer->offset);
	if (transfer->file->env->transfers < SUBMIT_BELOW && io_uring_sq_ready(&transfer->file->env->ring) >= SUBMIT_AT)
		io_uring_submit(&transfer->file->env->ring);
}

static void transfer_submit(struct transfer *transfer)
{
	unsigned piece = transfer->left < AT_ONCE_PIECE ? (unsigned)transfer->left : AT_ONCE_PIECE;

	if (transfer->write && write_at_once(transfer->file, transfer->at, piece, transfer->offset, &transfer->result)) {
		transfer->op.on_complete = on_piece_written;
		io_uring_prep_nop(loop_entry(transfer->file->env, &transfer->op));
	} else {
		transfer_to_ring(transfer);
	}
}

static void transfer_bytes(struct env_file *file, struct env_io *io, void *buffer, size_t length, uint64_t offset, bool write)
{
	struct transfer *transfer;

	if (length == 0) {
		env_defer(file->env, io);
		return;
	}
	transfer = transfer_start(file, io, on_transferred);
	transfer->at = buffer;
	transfer->left = length;
	transfer->offset = offset;
	transfer->write = write;
	transfer_submit(transfer);
}

void env_file_read(struct env_file *file, struct env_io *io, void *buffer, size_t length, uint64_t offset)
{
	transfer_bytes(file, io, buffer, length, offset, false);
}

void env_file_write(struct env_file *file, struct env_io *io, const void *buffer, size_t length, uint64_t offset)
{
	void *bytes;
	int result;

	if (length > 0 && length <= AT_ONCE_PIECE && write_at_once(file, buffer, length, offset, &result)) {
		env_defer_result(file->env, io, result < 0 ? result : 0);
		return;
	}
	memcpy(&bytes, &buffer, sizeof bytes); /* the ring reads it only; its interface has one pointer for both ways */
	transfer_bytes(file, io, bytes, length, offset, true);
}

static void on_ended(struct env *env, struct op *op, int result)
{
	(void)env;
	transfer_end(transfer_of(op), result < 0 ? result : 0);
}

void env_file_sync(struct env_file *file, struct env_io *io)
{
	struct transfer *transfer = transfer_start(file, io, on_ended);

	io_uring_prep_fsync(loop_entry(file->env, &transfer->op), file->fd, IORING_FSYNC_DATASYNC);
}

void env_file_forget_cache(struct env_file *file)
{
	posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED);
}

/* What the device wants; where the kernel does not say, what all of them take. */
static uint32_t direct_alignment(int fd)
{
	struct statx info;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &info) < 0 || (info.stx_mask & STATX_DIOALIGN) == 0)
		return DIRECT_ALIGNMENT;
	return info.stx_dio_offset_align > info.stx_dio_mem_align ? info.stx_dio_offset_align : info.stx_dio_mem_align;
}

int env_file_set_direct(struct env_file *file, bool direct)
{
	char path[32];
	int fd;

	if (!direct || file->direct_fd >= 0) {
		file->direct = direct;
		return 0;
	}
	snprintf(path, sizeof path, "/proc/self/fd/%d", file->fd);
	fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		return errno == EINVAL ? -ENOTSUP : -errno;
	file->alignment = direct_alignment(fd);
	if (file->alignment == 0) { /* opened, and then it cannot after all */
		close(fd);
		return -ENOTSUP;
	}
	file->direct_fd = fd;
	file->direct = true;
	return 0;
}

/* --- zeros --- */

static const uint8_t zeros[ZERO_CHUNK];

static void zero_by_writing(struct transfer *transfer);

static void on_zeros_written(struct env *env, struct op *op, int result)
{
	struct transfer *transfer = transfer_of(op);

	(void)env;
	if (result > 0) {
		transfer->offset += (uint64_t)result;
		transfer->left -= (uint64_t)result;
	} else if (result != -EINTR && result != -EAGAIN) {
		transfer_end(transfer, result < 0 ? result : -EIO);
		return;
	}
	if (transfer->left > 0)
		zero_by_writing(transfer);
	else
		transfer_end(transfer, 0);
}

static void zero_by_writing(struct transfer *transfer)
{
	struct io_uring_sqe *entry = loop_entry(transfer->file->env, &transfer->op);
	unsigned size = transfer->left < ZERO_CHUNK ? (unsigned)transfer->left : ZERO_CHUNK;

	transfer->op.on_complete = on_zeros_written;
	io_uring_prep_write(entry, transfer->file->fd, zeros, size, transfer->offset);
}

static void zero_otherwise(struct transfer *transfer)
{
	if ((transfer->how & ENV_ZERO_FAST) != 0)
		transfer_end(transfer, -EOPNOTSUPP);
	else
		zero_by_writing(transfer);
}

static void zero_by_allocating(struct transfer *transfer);

static void on_zeroed(struct env *env, struct op *op, int result)
{
	struct transfer *transfer = transfer_of(op);

	(void)env;
	if (result == -EINTR || result == -EAGAIN)
		zero_by_allocating(transfer);
	else if (result == -EOPNOTSUPP || result == -EINVAL || result == -ENOSYS)
		zero_otherwise(transfer);
	else
		transfer_end(transfer, result < 0 ? result : 0);
}

static void zero_by_allocating(struct transfer *transfer)
{
	struct io_uring_sqe *entry = loop_entry(transfer->file->env, &transfer->op);
	int mode = ((transfer->how & ENV_ZERO_PUNCH) != 0 ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) | FALLOC_FL_KEEP_SIZE;

	io_uring_prep_fallocate(entry, transfer->file->fd, mode, (off_t)transfer->offset, (off_t)transfer->left);
}

static void on_not_fast(struct env *env, struct op *op, int result)
{
	(void)env;
	(void)result;
	transfer_end(transfer_of(op), -EOPNOTSUPP);
}

void env_file_zero(struct env_file *file, struct env_io *io, uint64_t offset, uint64_t length, unsigned how)
{
	struct transfer *transfer;

	if (length == 0) {
		env_defer(file->env, io);
		return;
	}
	transfer = transfer_start(file, io, on_zeroed);
	transfer->offset = offset;
	transfer->left = length;
	transfer->how = how;
	if (file->is_device && how == ENV_ZERO_FAST) { /* a device's own zeros are fast only where it may give the space back */
		transfer->op.on_complete = on_not_fast;
		io_uring_prep_nop(loop_entry(file->env, &transfer->op));
		return;
	}
	zero_by_allocating(transfer);
}

static void on_advised(struct env *env, struct op *op, int result)
{
	(void)env;
	(void)result;
	transfer_end(transfer_of(op), 0);
}

void env_file_read_ahead(struct env_file *file, struct env_io *io, uint64_t offset, uint64_t length)
{
	struct transfer *transfer = transfer_start(file, io, on_advised);

	io_uring_prep_fadvise(loop_entry(file->env, &transfer->op), file->fd, offset, (off_t)length, POSIX_FADV_WILLNEED);
}
