/* A simulated site: a host, and while it is up a process with an engine, its disks and its unit. */
#ifndef SIM_SITE_H
#define SIM_SITE_H

#include "repl/engine.h"
#include "sim/model.h"
#include "sim/sim.h"

#define SITE_NORTH 0u
#define SITE_SOUTH 1u

struct site {
	struct sim *sim;
	struct sim_host *host;
	struct env *env;       /* NULL: down */
	struct engine *engine;
	unsigned index;
	unsigned disk_count;
	uint64_t sizes[MODEL_DISKS_MAX];
	bool started;          /* the primary is to ship */
	struct unit_status status;
	uint64_t proven_ns;    /* cut of the newest epoch the primary has heard to be committed */
};

void site_init(struct site *site, struct sim *sim, unsigned index, unsigned disk_count, const uint64_t *sizes,
	       struct sim_host *host);
void site_up(struct site *site);
void site_kill(struct site *site);
struct disk *site_disk(struct site *site, unsigned disk);
const uint8_t *site_bytes(const struct site *site, unsigned disk);

#endif
