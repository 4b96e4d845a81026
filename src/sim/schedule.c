/* Random writes, faults and operations on two or three sites; after each, the promises.
 *
 *   promise 1: at sampled instants the follower's host is copied, as a kill or a power cut would leave it, and failed over
 *              alone: its disks must show one instant (sim/model.h), not before the newest acknowledged epoch's cut. One that
 *              still holds its own diverged bytes must hold all of them.
 *   promise 2: with all faults healed, both sides must come to hold the same bytes; what was flushed is never lost.
 *   promise 5: whatever was failed over, reversed, cancelled and switched, the leader holds what its clients were told. */
#include "sim/schedule.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "sim/group.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define HEAL_LIMIT (90 * SECOND)
#define STEPS_MIN 60u
#define STEPS_SPREAD 260u

void run_fail(struct run *run, const char *promise, const char *why)
{
	if (run->failed)
		return;
	run->failed = true;
	snprintf(run->result->why, sizeof run->result->why, "at %llu.%06llu s: %s: %s",
		 (unsigned long long)(run->sim->now_ns / SECOND), (unsigned long long)(run->sim->now_ns % SECOND / 1000), promise,
		 why);
}

void run_crash(struct run *run, struct site *site, bool power)
{
	log_event(LOG_INFO, "sim.crash", "site=%u power=%d", site->index, power);
	if (power)
		run->result->power_losses++;
	else
		run->result->kills++;
	site_kill(site);
	if (power)
		sim_host_power_loss(run->sim, site->host);
	for (unsigned i = 0; i < run->group_count; i++) {
		if (site_has(site, i))
			group_after_crash(&run->groups[i], site, power);
	}
}

/* --- faults of files --- */

static void break_files(struct run *run, struct site *site)
{
	static const struct sim_fault faults[] = {
		{ ".stage0", SIM_WRITE, -ENOSPC }, { ".stage1", SIM_WRITE, -ENOSPC }, { ".raw", SIM_WRITE, -ENOSPC },
		{ ".raw", SIM_READ, -EIO }, { ".raw", SIM_WRITE, -EIO }, { ".raw", SIM_SYNC, -EIO }, { ".stage1", SIM_SYNC, -EIO },
		{ ".stage0", SIM_READ, -EIO }, { ".unit", SIM_WRITE, -EIO }, { ".unit", SIM_SYNC, -EIO },
		{ ".intent", SIM_WRITE, -EIO }, { ".intent", SIM_SYNC, -EIO },
		{ ".diverged", SIM_WRITE, -EIO }, { ".diverged", SIM_WRITE, -ENOSPC }, { ".diverged", SIM_SYNC, -EIO },
		{ ".diverged", SIM_READ, -EIO },
	};

	site->host->fault = faults[sim_below(run->sim, sizeof faults / sizeof faults[0])];
	run->result->faults++;
	log_event(LOG_INFO, "sim.fault", "site=%u file=%s operations=%u", site->index, site->host->fault.suffix,
		  site->host->fault.operations);
}

static void mend_files(struct run *run)
{
	for (unsigned i = 0; i < run->site_count; i++)
		run->sites[i].host->fault = (struct sim_fault){ 0 };
}

void run_restart_failed(struct run *run)
{
	for (unsigned i = 0; i < run->site_count; i++) {
		struct site *site = &run->sites[i];
		bool failed = false;

		for (unsigned k = 0; k < run->group_count; k++)
			failed = failed || (site_has(site, k) && group_has_failed(&run->groups[k], site));
		if (!failed || site->host->fault.code != 0)
			continue;
		run_crash(run, site, false);
		site_up(site);
	}
}

static void look_after(struct run *run)
{
	for (unsigned i = 0; i < run->group_count; i++) {
		group_after_start(&run->groups[i]);
		group_pursue(&run->groups[i]);
		if (sim_chance(run->sim, 150))
			group_look(&run->groups[i], sim_chance(run->sim, 300));
	}
}

/* Something happens, by chance: per thousand. */
static void step(struct run *run)
{
	struct sim *sim = run->sim;
	uint64_t dice = sim_below(sim, 1000);
	struct site *site = &run->sites[sim_below(sim, run->site_count)];
	struct group *group = &run->groups[sim_below(sim, run->group_count)];

	if (dice < 590) {
		for (uint64_t i = sim_below(sim, 4) + 1; i > 0; i--)
			group_write(group);
	} else if (dice < 680) {
		group_flush(group);
	} else if (dice < 700) {
		run->result->link_breaks++;
		sim_link_break(sim);
	} else if (dice < 760) {
		sim_link_mend(sim);
	} else if (dice < 785) {
		if (site->env != NULL)
			run_crash(run, site, sim_chance(sim, 500));
	} else if (dice < 880) {
		if (site->env == NULL)
			site_up(site);
	} else if (dice < 890) {
		group_start_or_stop(group);
	} else if (dice < 930) {
		group_check(group);
	} else if (dice < 965) {
		group_begin(group, (enum operation)(1 + sim_below(sim, OPERATIONS - 1)));
	} else if (dice < 970 && site->env != NULL) {
		sim_clock_jump(site->env, (int64_t)sim_below(sim, 7200000) - 3600000);
	} else if (dice < 975) {
		break_files(run, site);
	} else if (dice < 990) {
		mend_files(run);
		run_restart_failed(run);
	} else if (dice < 991) {
		group_discard(group);
	} else if (dice < 994) {
		group_renew(group);
	} else if (dice < 998) {
		sim_connection_break(sim);
	}
	look_after(run);
	sim_run_until(sim, sim->now_ns + sim_below(sim, sim_chance(sim, 100) ? 400 * MS : 15 * MS));
}

static bool is_in_step(struct run *run)
{
	bool in_step = true;

	for (unsigned i = 0; i < run->group_count; i++)
		in_step = in_step && group_is_in_step(&run->groups[i]);
	return in_step;
}

/* All faults end: the sites must come to the same bytes. */
static void heal(struct run *run)
{
	uint64_t limit = run->sim->now_ns + HEAL_LIMIT;

	run->healing = true;
	sim_link_mend(run->sim);
	mend_files(run);
	for (unsigned i = 0; i < run->site_count; i++) {
		if (run->sites[i].env == NULL)
			site_up(&run->sites[i]);
	}
	do {
		while (!is_in_step(run) && run->sim->now_ns < limit && !run->failed) {
			run_restart_failed(run);
			for (unsigned i = 0; i < run->group_count; i++) {
				group_after_start(&run->groups[i]);
				group_settle(&run->groups[i]);
			}
			sim_run_until(run->sim, run->sim->now_ns + 20 * MS);
		}
		sim_run_until(run->sim, run->sim->now_ns + 2 * SECOND); /* the newest epoch is applied, or fails to be */
	} while (!is_in_step(run) && run->sim->now_ns < limit && !run->failed);
	for (unsigned i = 0; i < run->group_count && !is_in_step(run); i++) {
		struct group *group = &run->groups[i];
		const struct unit_status *status = &group_site(group, group->leader)->units[i].status;

		if (!group_is_in_step(group))
			run_fail(run, "promise 2, the sites come into step again",
				 status->reason[0] != 0 ? status->reason : unit_state_name(status->state));
	}
	for (unsigned i = 0; i < run->group_count && !run->failed; i++) {
		group_judge_end(&run->groups[i]);
		group_look(&run->groups[i], true);
	}
	sim_run_until(run->sim, run->sim->now_ns + SECOND);
}

static void shape_random(struct run *run, struct shape *shape)
{
	struct sim *sim = run->sim;

	shape->devices[0] = sim_chance(sim, 300);
	shape->devices[1] = sim_chance(sim, 300);
	shape->disk_count = 1 + (unsigned)sim_below(sim, sim_chance(sim, 100) ? MODEL_DISKS_MAX : 3);
	shape->sites[0] = (unsigned)sim_below(sim, run->site_count);
	shape->sites[1] = (shape->sites[0] + 1 + (unsigned)sim_below(sim, run->site_count - 1)) % run->site_count;
	for (unsigned i = 0; i < shape->disk_count; i++)
		shape->sizes[i] = (96 + sim_below(sim, sim_chance(sim, 60) ? 6000 : 400)) * MODEL_SECTOR;
}

static void run_all(struct run *run)
{
	struct sim *sim = run->sim;
	uint64_t steps = STEPS_MIN + sim_below(sim, STEPS_SPREAD);

	sim->reads_slowly = sim_chance(sim, 150);
	run->site_count = sim_chance(sim, 200) ? 3 : 2;
	run->group_count = sim_chance(sim, 700) ? 1 : 1 + (unsigned)sim_below(sim, GROUPS_MAX);
	run->groups = memory_new(run->group_count, sizeof *run->groups);
	for (unsigned i = 0; i < run->group_count; i++) {
		shape_random(run, &run->shapes[i]);
		group_init(&run->groups[i], run, i);
	}
	for (unsigned i = 0; i < run->site_count; i++) {
		site_init(&run->sites[i], sim, i, run->shapes, run->group_count, sim_host_new());
		site_up(&run->sites[i]);
	}
	for (uint64_t i = 0; i < steps && !run->failed; i++)
		step(run);
	if (!run->failed)
		heal(run);
	for (unsigned i = 0; i < run->group_count && !run->failed; i++)
		group_check(&run->groups[i]);
	if (!run->failed && sim_chance(sim, 200))
		group_judge_scrub(&run->groups[0]);
	if (!run->failed && run->group_count == 1 && sim_chance(sim, 200))
		group_judge_power_cut(&run->groups[0]);
}

static void run_begin(struct run *run, uint64_t seed, struct schedule_result *result)
{
	*result = (struct schedule_result){ 0 };
	*run = (struct run){ .result = result, .sim = sim_new(seed) };
}

static void run_end(struct run *run)
{
	run->result->passed = !run->failed;
	run->result->events = run->sim->events;
	for (unsigned i = 0; i < run->site_count; i++) {
		if (run->sites[i].env != NULL)
			sim_process_kill(run->sites[i].env);
		sim_host_free(run->sites[i].host);
	}
	for (unsigned i = 0; i < run->group_count; i++)
		group_free(&run->groups[i]);
	free(run->groups);
	sim_free(run->sim);
}

void schedule_run(uint64_t seed, struct schedule_result *out_result)
{
	struct run run;

	run_begin(&run, seed, out_result);
	run_all(&run);
	run_end(&run);
}

/* --- every boundary of one short history --- */

static void on_crashed(void *data, struct env *env)
{
	struct run *run = data;

	for (unsigned i = 0; i < run->site_count; i++) {
		if (run->sites[i].env == env)
			run_crash(run, &run->sites[i], run->crash_power);
	}
}

/* Time passes; a site that has died is started again. */
static void pass(struct run *run, uint64_t milliseconds)
{
	for (uint64_t i = 0; i < milliseconds && !run->failed; i += 5) {
		for (unsigned k = 0; k < run->site_count; k++) {
			if (run->sites[k].env == NULL)
				site_up(&run->sites[k]);
		}
		look_after(run);
		sim_run_until(run->sim, run->sim->now_ns + 5 * MS);
	}
}

static void write_some(struct run *run, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		group_write(&run->groups[0]);
		pass(run, 5);
	}
	group_flush(&run->groups[0]);
	pass(run, 20);
}

static void operate(struct run *run, enum operation operation)
{
	group_begin(&run->groups[0], operation);
	for (unsigned i = 0; i < 4000 && run->groups[0].operation != OPERATION_NONE && !run->failed; i++)
		pass(run, 5);
}

uint64_t schedule_run_boundary(uint64_t seed, uint64_t boundary, bool power, struct schedule_result *out_result)
{
	struct run run;
	uint64_t boundaries;

	run_begin(&run, seed, out_result);
	run.crash_power = power;
	run.sim->crash_at = boundary;
	run.sim->on_crashed = on_crashed;
	run.sim->crashed_data = &run;
	run.site_count = 2;
	run.group_count = 1;
	run.groups = memory_new(1, sizeof *run.groups);
	run.shapes[0] = (struct shape){ .sites = { 0, 1 }, .devices = { seed % 2 == 0, seed % 3 == 0 },
					 .disk_count = 2, .sizes = { 160 * MODEL_SECTOR, 100 * MODEL_SECTOR } };
	group_init(&run.groups[0], &run, 0);
	for (unsigned i = 0; i < 2; i++) {
		site_init(&run.sites[i], run.sim, i, run.shapes, 1, sim_host_new());
		site_up(&run.sites[i]);
	}
	write_some(&run, 6);
	pass(&run, 200);
	operate(&run, OPERATION_GROW);
	write_some(&run, 6);
	operate(&run, OPERATION_FAILOVER);
	write_some(&run, 4);
	operate(&run, OPERATION_REPROTECT);
	write_some(&run, 4);
	pass(&run, 300);
	operate(&run, OPERATION_SWITCHOVER);
	write_some(&run, 4);
	group_start_or_stop(&run.groups[0]);
	write_some(&run, 2);
	group_start_or_stop(&run.groups[0]);
	pass(&run, 100);
	operate(&run, OPERATION_FAILOVER);
	write_some(&run, 4);
	operate(&run, OPERATION_CANCEL);
	write_some(&run, 2);
	pass(&run, 200);
	boundaries = run.sim->boundaries;
	if (!run.failed)
		heal(&run);
	if (!run.failed)
		group_check(&run.groups[0]);
	run_end(&run);
	return boundaries;
}
