/* A simulated site: a host, and while it is up a process with one to three engines, as the shards of a daemon, and their disks
 * and units. How many, and which unit is in which, is another chance at each start. */
#ifndef SIM_SITE_H
#define SIM_SITE_H

#include "repl/engine.h"
#include "repl/pace_line.h"
#include "sim/model.h"
#include "sim/sim.h"

#define SITES_MAX 3u
#define GROUPS_MAX 3u
#define SHARDS_MAX 3u

/* A group of disks on two of the sites; side 0 is the primary at the beginning. */
struct shape {
	unsigned sites[2];
	unsigned disk_count;
	uint64_t sizes[MODEL_DISKS_MAX]; /* that clients may use: each side's disk has as many bytes, or more */
	bool devices[2];      /* a side's disks are parts of larger devices, on which anything may lie */
	uint8_t history;      /* grows when its members change: another unit, with another lineage */
	uint64_t point_epoch; /* the recovery point that the present history began with, 0: none */
	unsigned point_site;  /* who holds it */
};

/* What a site knows of one group: what its control would remember, and what its engine has told. */
struct site_unit {
	bool leads;            /* this side is to be the primary, as far as control has been told */
	bool started;
	bool stale;            /* the engine still has the unit of the history before */
	bool loaded;           /* the engine has told of it since the process began */
	unsigned shard;        /* where it and its disks are, since the process began */
	enum unit_role role;   /* as last told, over restarts */
	bool was_point;        /* as it was last seen following, it was at a recovery point */
	uint64_t sizes[MODEL_DISKS_MAX]; /* of its disks, as its control remembers them */
	struct unit_status status;
	uint8_t *held[MODEL_DISKS_MAX]; /* what its disks held when it gave up the lead, while that is to be kept; or NULL */
	uint64_t held_sizes[MODEL_DISKS_MAX];
	uint64_t held_wall_ms;          /* when, as the engine says it: each is looked at once */
	uint64_t proven_ns;    /* cut of the newest epoch known to be committed at the other side; 0: none */
};

struct site {
	struct sim *sim;
	struct sim_host *host;
	struct env *env;       /* NULL: down */
	struct engine *shards[SHARDS_MAX];
	unsigned shard_count;
	unsigned index;
	const struct shape *shapes;
	unsigned group_count;
	struct site_unit units[GROUPS_MAX];
	struct pace_line lines[SITES_MAX];
};

/* `shapes` stay the caller's. */
void site_init(struct site *site, struct sim *sim, unsigned index, const struct shape *shapes, unsigned group_count,
	       struct sim_host *host);
bool site_has(const struct site *site, unsigned group);
/* The one that has the group's unit and disks; of a site that is up. */
struct engine *site_engine(const struct site *site, unsigned group);
void site_up(struct site *site);
/* Replaces the unit by that of the new history, when it can be. */
void site_renew(struct site *site, unsigned group);
void site_kill(struct site *site);
/* As its control does: makes room, remembers the size, and tells the engine, which may be busy: -EAGAIN or -EBUSY. The daemon may
 * die in between, when `crashes`: -EIO. */
int site_grow(struct site *site, unsigned group, unsigned disk, uint64_t size, bool compare, bool crashes);
bool site_has_device(const struct site *site, unsigned group);
const char *site_unit_id(unsigned group);
struct disk *site_disk(struct site *site, unsigned group, unsigned disk);
const uint8_t *site_bytes(const struct site *site, unsigned group, unsigned disk);
/* What is kept of a divergence is not known any more. */
void site_forget_held(struct site *site, unsigned group);
/* A bit of a disk turns, and nobody is told. */
void site_rot(struct site *site, unsigned group, unsigned disk, uint64_t offset);

#endif
