/* One group in a run: its clients, its operator, and what the oracle says of it.
 *
 * The oracle keeps a model for each side that writes or has written: while a side leads, its model is the truth; after a
 * failover both sides may write, until an operation says whose writes count. Operations are pursued as control would: by
 * commands that are repeated until the engine's state says that they are done, over crashes of either side. */
#ifndef SIM_GROUP_H
#define SIM_GROUP_H

#include "base/list.h"
#include "sim/schedule.h"
#include "sim/site.h"

enum operation {
	OPERATION_NONE,
	OPERATION_FAILOVER,   /* at the side that follows */
	OPERATION_REPROTECT,  /* the survivor ships back */
	OPERATION_CANCEL,     /* the original primary ships again */
	OPERATION_SWITCHOVER,
	OPERATION_GROW,       /* of one disk, at both sides */
	OPERATIONS,
};

struct run {
	struct sim *sim;
	struct site sites[SITES_MAX];
	unsigned site_count;
	struct shape shapes[GROUPS_MAX];
	struct group *groups;
	unsigned group_count;
	uint32_t models;
	bool healing;     /* no more faults */
	bool crash_power; /* a crash at a boundary is a power cut */
	struct schedule_result *result;
	bool failed;
};

struct group {
	struct run *run;
	unsigned index;
	struct shape *shape;
	struct model *models[2]; /* of a side that leads or has led; NULL: it has only followed */
	unsigned leader;         /* the side whose writes count */
	bool split;              /* failed over: the other side has not been told to follow */
	uint64_t crashed_ns[2];
	bool readopt[2];         /* the side's disks lost a sync: what it holds is seen when it has been opened again */
	bool unsure;             /* what a diverged follower holds is not known any more: its power was cut */
	struct list requests;    /* of struct client_request, in flight */
	struct list looks;       /* of struct look */
	enum operation operation;
	uint64_t term;           /* that the side taking the lead must reach; 0: not yet known */
	bool asked;              /* OPERATION_SWITCHOVER: the command was given; OPERATION_GROW: the secondary's has grown */
	unsigned grows;          /* OPERATION_GROW: the disk, and to how many bytes */
	uint64_t grows_to;
	uint64_t not_before;     /* OPERATION_FAILOVER: what the recovery point must hold at least */
};

/* A site dies; power: what was not synced is lost. */
void run_crash(struct run *run, struct site *site, bool power);
/* What an operator does when a unit has failed and its disk is good again: restarts that daemon. */
void run_restart_failed(struct run *run);
void run_fail(struct run *run, const char *promise, const char *why);

void group_init(struct group *group, struct run *run, unsigned index);
void group_free(struct group *group);
struct site *group_site(struct group *group, unsigned side);
/* Something random that a client or an operator does. */
void group_write(struct group *group);
void group_flush(struct group *group);
/* At what a side keeps of its divergence; whole: all of every disk. */
void group_look(struct group *group, bool whole);
void group_discard(struct group *group);
void group_start_or_stop(struct group *group);
/* Another disk comes to the group, or one leaves it: the same here. */
void group_renew(struct group *group);
void group_begin(struct group *group, enum operation operation);
/* Takes the operation under way a step further, if it can be. */
void group_pursue(struct group *group);
/* A site has died; power: what was not synced is lost. Before the host's files are looked at by others. */
void group_after_crash(struct group *group, struct site *site, bool power);
/* Promise 1, on a copy of the follower's host. */
void group_check(struct group *group);
/* Whether a side's unit has failed: an operator would restart that daemon. */
bool group_has_failed(struct group *group, const struct site *site);
/* Looks at what came back after a failed sync. */
void group_after_start(struct group *group);
/* Everything is up again: brings the group to one leader that ships. */
void group_settle(struct group *group);
bool group_is_in_step(struct group *group);
/* Promise 2: both sides hold the same bytes, and the leader's are what its clients were told. */
void group_judge_end(struct group *group);
/* In step, and quiet: a bit turns at the follower; a scrub must find it, and the next cycle repair it. */
void group_judge_scrub(struct group *group);
/* In step, and quiet: the leader loses its power. What it sends then is what differs, found by hash, and no more. */
void group_judge_power_cut(struct group *group);

#endif
