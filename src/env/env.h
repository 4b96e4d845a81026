/* The world, as declarations: time, random bytes, files, memory that outlives a killed process, sockets.
 *
 * Two implementations define these functions and the program is linked with one of them: env/uring (Linux, io_uring) and
 * sim (virtual time, disks that lose what was not synced, links that break). The engine (wire, backend, disk, nbd, repl)
 * reaches the outside through nothing else.
 *
 * An env belongs to one thread (a shard), and every function here is called on it. Asynchronous calls complete exactly
 * once through env_io.on_done, from the event loop, never inside the call that started them; also at shutdown. The env_io
 * and the buffers belong to the caller, who keeps them until then. Results are 0 or more, or a negative errno. */
#ifndef ENV_ENV_H
#define ENV_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"

struct error;
struct env;
struct env_file;
struct env_socket;
struct env_listener;

/* One asynchronous call in flight. The caller sets on_done and data; `private` belongs to the implementation. */
struct env_io {
	void (*on_done)(struct env_io *io, int result);
	void *data;
	union {
		uint64_t words[16];
		struct list link;
	} private;
};

/* --- time and chance --- */

/* Monotonic nanoseconds. */
uint64_t env_now_ns(struct env *env);
/* Wall clock, milliseconds since 1970; may jump. For showing only. */
uint64_t env_wall_ms(struct env *env);
void env_random(struct env *env, void *out, size_t size);

struct env_timer {
	void (*on_fire)(struct env_timer *timer);
	void *data;
	uint64_t at_ns;     /* set by env_timer_start */
	size_t heap_index;  /* of the implementation; 0 when not running */
};

/* Fires once at the given time (at once when past); starting a running timer moves it. */
void env_timer_start(struct env *env, struct env_timer *timer, uint64_t at_ns);
void env_timer_stop(struct env *env, struct env_timer *timer); /* harmless when not running */

/* Runs `io` from the event loop, result 0, after what is already due: for completions that need no I/O. */
void env_defer(struct env *env, struct env_io *io);

/* --- files: absolute or daemon-relative paths --- */

enum env_open {
	ENV_READ_ONLY = 1,
	ENV_CREATE = 2,    /* makes the file when it is missing, and syncs its directory */
	ENV_EXCLUSIVE = 4, /* with ENV_CREATE: -EEXIST when it is there */
	ENV_LOCK = 8,      /* takes an exclusive advisory lock: -EBUSY when another process has it */
};

/* Synchronous; for opening, sizing and removing, which are rare. */
int env_file_open(struct env *env, const char *path, int flags, struct env_file **out_file);
void env_file_close(struct env_file *file); /* NULL is allowed; nothing may be in flight */
int env_file_size(struct env_file *file, uint64_t *out_size); /* block devices too */
int env_file_resize(struct env_file *file, uint64_t size);
int env_file_remove(struct env *env, const char *path); /* and syncs the directory; -ENOENT when missing */
int env_file_rename(struct env *env, const char *from, const char *to); /* replaces `to`; and syncs the directory */
int env_directory_create(struct env *env, const char *path);  /* 0 when it is there already */

/* First range of data at or after `from`: [*start, *end), or *start == *end == size when all the rest is a hole. Where the
 * file system cannot tell, everything is data. Synchronous. */
int env_file_next_data(struct env_file *file, uint64_t from, uint64_t *out_start, uint64_t *out_end);

/* The whole length is read or written, or the result is a negative errno (-EIO at the end of file); else 0. */
void env_file_read(struct env_file *file, struct env_io *io, void *buffer, size_t length, uint64_t offset);
void env_file_write(struct env_file *file, struct env_io *io, const void *buffer, size_t length, uint64_t offset);
/* All writes completed before this call are on stable storage when it completes with 0. After a failure the caller must
 * treat the file as lost: it is never retried into success. */
void env_file_sync(struct env_file *file, struct env_io *io);
/* Reads from now on see what is on the platter, where nothing unsynced is in the way: after a failed sync the kernel's cache may
 * show bytes that were lost. Best effort, at once. */
void env_file_forget_cache(struct env_file *file);
/* From now on bytes go past the kernel's cache where request and buffer are aligned as the device wants it; the others go
 * through it, in step with them. Neither is on stable storage before a sync. -ENOTSUP: the file system cannot; false always
 * can. */
int env_file_set_direct(struct env_file *file, bool direct);

enum env_zero {
	ENV_ZERO_PUNCH = 1, /* the space is given back where possible, else kept */
	ENV_ZERO_FAST = 2,  /* -EOPNOTSUPP where it would mean to write zeros */
};

/* Makes the range read as zeros. `how`: of enum env_zero. */
void env_file_zero(struct env_file *file, struct env_io *io, uint64_t offset, uint64_t length, unsigned how);
/* The range is likely to be read soon: advice, which may come to nothing. Ends when it has been given; result 0. Up to 1 GiB. */
void env_file_read_ahead(struct env_file *file, struct env_io *io, uint64_t offset, uint64_t length);

/* --- memory that outlives the process but not a power cut (a file on tmpfs, mapped) --- */

/* Maps `size` bytes under `name` (letters, digits, '-', '.'), zeroed when new. *out_kept: the memory is that of an
 * earlier process of this boot; a size that differs counts as new. */
int env_memory_open(struct env *env, const char *name, size_t size, void **out_memory, bool *out_kept);
void env_memory_close(struct env *env, void *memory, size_t size);
int env_memory_remove(struct env *env, const char *name); /* 0 when missing */

/* --- sockets: streams of bytes. Addresses: "tcp:HOST:PORT", "tcp:[V6]:PORT", "unix:/path" --- */

/* Accepted sockets are given to on_accept. Port 0 picks one; env_listener_address tells which. "fd:N": a listening socket that
 * this process was given as descriptor N; whoever gave it may go on listening there after the end. */
int env_listen(struct env *env, const char *address, void (*on_accept)(struct env_listener *listener,
	       struct env_socket *socket, void *data), void *data, struct env_listener **out_listener, struct error *error);
const char *env_listener_address(const struct env_listener *listener); /* borrows; the address as bound */
void env_listener_close(struct env_listener *listener);

/* io completes with 0 and *out_socket set, or a negative errno (-ETIMEDOUT after some seconds). */
void env_connect(struct env *env, const char *address, struct env_io *io, struct env_socket **out_socket);

/* At most one receive and one send are in flight on a socket. Receive completes with the number of bytes (at least one), 0
 * at the end of the stream, or a negative errno. Send completes with 0 when every byte was taken, else a negative errno;
 * iov is kept (and changed) until then. */
void env_socket_receive(struct env_socket *socket, struct env_io *io, void *buffer, size_t length);
void env_socket_send(struct env_socket *socket, struct env_io *io, struct iovec *iov, int count);
/* Ends the stream at once; what is in flight completes with -ECANCELED or its true result, later, from the loop. The
 * pointer is not valid after this call. */
void env_socket_close(struct env_socket *socket);

#endif
