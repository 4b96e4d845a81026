/* Which shard has which disk and which unit.
 *
 * A new disk goes where the fewest are. A unit goes where most of its disks are, and stays there for as long as it is known;
 * its other disks have to follow. Names that nobody has told are in shard 0. Memory alone; the control thread. */
#ifndef DAEMON_PLACEMENT_H
#define DAEMON_PLACEMENT_H

#include <stdbool.h>

#include "base/index.h"
#include "base/list.h"
#include "repl/engine.h"

struct placement {
	unsigned shards;
	unsigned disk_counts[ENGINE_SHARDS_MAX];
	struct index disks, units; /* struct place, by id */
	struct list places;
};

void placement_init(struct placement *placement, unsigned shards);
void placement_fini(struct placement *placement);

unsigned placement_of_disk(const struct placement *placement, const char *id);
unsigned placement_of_unit(const struct placement *placement, const char *id);
bool placement_knows_unit(const struct placement *placement, const char *id);

/* The shard it is in, or is to be opened in. */
unsigned placement_add_disk(struct placement *placement, const char *id);
unsigned placement_add_unit(struct placement *placement, const struct unit_spec *spec);
/* A disk that is known has moved. */
void placement_move_disk(struct placement *placement, const char *id, unsigned shard);
/* Harmless when it is not known. */
void placement_forget_disk(struct placement *placement, const char *id);
void placement_forget_unit(struct placement *placement, const char *id);

#endif
