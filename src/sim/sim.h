/* The simulated world: hosts that keep files, processes that run on them, sockets between them, one virtual clock.
 *
 * One thread; everything that happens is an event with a time, and chance comes from one seeded generator, so a seed is a
 * run. A host outlives its process: what a kill or a power cut leaves of its files and memory is decided here. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "env/env.h"

struct sim_event;

struct sim {
	uint64_t now_ns;
	uint64_t random;       /* state of the generator */
	uint64_t sequence;     /* order of events at the same time */
	struct sim_event **heap;
	size_t heap_count, heap_room;
	struct list listeners; /* of env_listener */
	struct list sockets;
	struct list processes; /* of struct env */
	bool link_down;
	bool reads_slowly;     /* so that writes catch up with what is read for shipping */
	struct { uint64_t wall_ms, now_ns; } walls[4096]; /* what processes read off their clocks, and when */
	uint64_t wall_count;
	uint64_t events;       /* carried out so far */
	/* Boundaries: a file write or sync that has taken effect, a file resized or removed, bytes sent. The process dies at
	 * number `crash_at` (0: none), before it hears of it. */
	uint64_t boundaries, crash_at;
	struct env *crashed;
	void (*on_crashed)(void *data, struct env *env);
	void *crashed_data;
};

enum sim_operation { SIM_READ = 1, SIM_WRITE = 2, SIM_SYNC = 4 };

/* What goes wrong with the files whose path ends so; code 0: nothing does. */
struct sim_fault {
	char suffix[16];
	unsigned operations; /* of enum sim_operation */
	int code;            /* negative errno */
};

struct sim_host {
	struct sim_fault fault;
	bool sync_failed; /* a disk's sync has: what was written before it may be lost, though the cache shows it */
	struct list files;    /* of struct sim_file */
	struct list memories; /* of struct sim_memory */
	struct list unlinked; /* of struct sim_file: removed, and open perhaps */
};

struct sim *sim_new(uint64_t seed);
/* Frees the world; processes still in it are forgotten. */
void sim_free(struct sim *sim);
uint64_t sim_random(struct sim *sim);                    /* 64 bits */
uint64_t sim_below(struct sim *sim, uint64_t bound);     /* 0 to bound - 1 */
bool sim_chance(struct sim *sim, unsigned per_thousand);
/* Carries out what happens until then. */
void sim_run_until(struct sim *sim, uint64_t at_ns);
/* The next event; false when there is none before the limit. */
bool sim_step(struct sim *sim, uint64_t limit_ns);

struct sim_host *sim_host_new(void);
void sim_host_free(struct sim_host *host);
/* A copy of what is on the host, as it is now. */
struct sim_host *sim_host_copy(const struct sim_host *host);

/* A process on a host: one env. */
struct env *sim_process_start(struct sim *sim, struct sim_host *host);
/* The process is gone at once; what it had in flight may or may not have reached its files. Its peers see their
 * connections break, or (half-open) do not. */
void sim_process_kill(struct env *env);
/* The power is cut: memory is lost, and of what was not synced each write is kept, dropped or torn, in any order. The process
 * must be gone. */
void sim_host_power_loss(struct sim *sim, struct sim_host *host);

/* The process's wall clock jumps. */
void sim_clock_jump(struct env *env, int64_t milliseconds);
/* When a wall clock showed this, 0: never, or long ago. */
uint64_t sim_when(const struct sim *sim, uint64_t wall_ms);

/* The link between all processes breaks: connections end, or hang; or is mended. */
void sim_link_break(struct sim *sim);
void sim_link_mend(struct sim *sim);
/* One connection breaks, or hangs at one end or both; the others go on. */
void sim_connection_break(struct sim *sim);

/* A bit of a file turns, on the platter: nobody is told. */
void sim_file_rot(struct sim_host *host, const char *path, uint64_t offset);
/* The bytes of a file as a process would read them now; NULL when it is missing. Borrows. */
const uint8_t *sim_file_bytes(const struct sim_host *host, const char *path, uint64_t *out_size);

#endif
