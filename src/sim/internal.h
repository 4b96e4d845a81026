/* Shared by the files of the simulated world. */
#ifndef SIM_INTERNAL_H
#define SIM_INTERNAL_H

#include "sim/sim.h"

#define US UINT64_C(1000)
#define MS (1000 * US)

struct sim_event {
	uint64_t at_ns, sequence;
	struct env *env; /* forgotten when this process is gone; NULL: of the world */
	void (*happen)(struct sim *sim, struct sim_event *event);
	struct env_io *io;
	void *object;
	uint8_t *bytes;
	uint64_t length, offset;
	int result;
};

struct sim_unsynced {
	struct list entry;
	uint64_t offset, length, sequence;
	uint8_t *bytes;
};

struct sim_file {
	struct list entry;
	char path[256];
	uint8_t *current, *durable; /* what a process reads; what a power cut leaves for sure */
	uint64_t size;
	struct list unsynced;       /* in order of completion */
	uint64_t completed;         /* sequence of the newest completed write */
};

struct sim_memory {
	struct list entry;
	char name[80];
	void *bytes;
	size_t size;
};

struct timer_slot {
	struct env_timer *timer;
};

struct env {
	struct list entry;
	struct sim *sim;
	struct sim_host *host;
	bool gone;
	int64_t wall_offset_ms;
	struct timer_slot *timers;
	size_t timer_count, timer_room;
	uint64_t in_flight;
};

struct sim_event *sim_schedule(struct sim *sim, struct env *env, uint64_t delay_ns,
			       void (*happen)(struct sim *sim, struct sim_event *event));
bool sim_boundary(struct env *env); /* true: the process is dead */
void sim_sockets_of_dead(struct env *env);
void sim_files_of_dead(struct env *env);
void sim_file_apply(struct sim_file *file, uint64_t offset, const uint8_t *bytes, uint64_t length);

#endif
