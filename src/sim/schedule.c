/* Random writes, faults and operations on two sites; after each, the promises.
 *
 *   promise 1: at sampled instants the secondary's host is copied, as a kill or a power cut would leave it, and failed over
 *              alone: its disks must show one instant (sim/model.h), not before the newest acknowledged epoch's cut.
 *   promise 2: with all faults healed, both sides must come to hold the same bytes; what was flushed is never lost.
 *   promise 5: after a failover the old primary learns of it, and changes nothing at the survivor. */
#include "sim/schedule.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "base/memory.h"
#include "disk/disk.h"
#include "sim/site.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define HEAL_LIMIT (180 * SECOND)
#define STEPS_MIN 60u
#define STEPS_SPREAD 200u
#define WRITE_MAX 16384u

struct run {
	struct sim *sim;
	struct site sites[2];
	struct model *model;
	struct schedule_result *result;
	struct list requests; /* of struct client_request, in flight */
	bool failed;
};

struct client_request {
	struct disk_request request;
	struct list entry;
	struct run *run;
	struct env *env; /* the process it was given to */
	unsigned disk;
	uint64_t number, began;
	uint8_t *bytes;
};

static void fail(struct run *run, const char *promise, const char *why)
{
	if (run->failed)
		return;
	run->failed = true;
	snprintf(run->result->why, sizeof run->result->why, "at %llu.%06llu s: %s: %s",
		 (unsigned long long)(run->sim->now_ns / SECOND), (unsigned long long)(run->sim->now_ns % SECOND / 1000), promise,
		 why);
}

static struct site *north(struct run *run)
{
	return &run->sites[SITE_NORTH];
}

static struct site *south(struct run *run)
{
	return &run->sites[SITE_SOUTH];
}

/* --- the client of the primary's disks --- */

static void request_free(struct client_request *request)
{
	list_remove(&request->entry);
	free(request->bytes);
	free(request);
}

static void on_request(struct disk_request *done, int result)
{
	struct client_request *request = done->data;
	struct run *run = request->run;

	if (result == 0 && done->operation == DISK_FLUSH)
		model_flush(run->model, request->disk, request->began);
	else if (result == 0) {
		model_ack(run->model, request->number, run->sim->now_ns);
		if (done->force_unit_access)
			model_stable(run->model, request->number);
	} else {
		model_fail(run->model, request->number);
	}
	request_free(request);
}

static bool overlaps(struct run *run, unsigned disk, uint64_t offset, uint64_t length)
{
	list_for_each(entry, &run->requests) {
		const struct client_request *other = container_of(entry, struct client_request, entry);

		if (other->disk == disk && other->request.operation != DISK_FLUSH &&
		    offset < other->request.offset + other->request.length && other->request.offset < offset + length)
			return true;
	}
	return false;
}

static struct client_request *request_new(struct run *run, unsigned disk, enum disk_operation operation)
{
	struct client_request *request = memory_new(1, sizeof *request);

	request->run = run;
	request->disk = disk;
	request->env = north(run)->env;
	request->began = run->sim->now_ns;
	request->request = (struct disk_request){ .operation = operation, .on_done = on_request, .data = request };
	list_append(&run->requests, &request->entry);
	return request;
}

static void do_flush(struct run *run)
{
	unsigned disk = (unsigned)sim_below(run->sim, north(run)->disk_count);

	disk_submit(site_disk(north(run), disk), &request_new(run, disk, DISK_FLUSH)->request);
}

static void do_write(struct run *run)
{
	struct site *site = north(run);
	unsigned disk = (unsigned)sim_below(run->sim, site->disk_count);
	uint64_t sectors = site->sizes[disk] / MODEL_SECTOR, kind = sim_below(run->sim, 10);
	uint64_t length = (1 + sim_below(run->sim, WRITE_MAX / MODEL_SECTOR)) * MODEL_SECTOR;
	/* Half of the writes fall on a few blocks: hot ones, that closed epochs still need. */
	uint64_t offset = (sim_chance(run->sim, 500) ? sim_below(run->sim, 24) : sim_below(run->sim, sectors)) * MODEL_SECTOR;
	struct client_request *request;

	if (offset + length > site->sizes[disk])
		length = site->sizes[disk] - offset;
	if (overlaps(run, disk, offset, length))
		return;
	request = request_new(run, disk, kind == 0 ? DISK_TRIM : kind == 1 ? DISK_ZERO : DISK_WRITE);
	request->number = model_issue(run->model, disk, offset, length, kind < 2, run->sim->now_ns);
	request->request.offset = offset;
	request->request.length = length;
	request->request.force_unit_access = sim_chance(run->sim, 100);
	request->bytes = memory_new(1, length);
	for (uint64_t at = 0; at < length; at += MODEL_SECTOR)
		model_stamp(request->number, request->bytes + at);
	request->request.buffer = request->bytes;
	run->result->writes++;
	disk_submit(site_disk(site, disk), &request->request);
}

/* --- faults --- */

static void crash_north(struct run *run, bool power)
{
	char why[200];

	site_kill(north(run));
	if (power)
		sim_host_power_loss(run->sim, north(run)->host);
	list_for_each(entry, &run->requests) {
		struct client_request *request = container_of(entry, struct client_request, entry);

		if (request->request.operation != DISK_FLUSH)
			model_fail(run->model, request->number);
		request_free(request);
	}
	for (unsigned i = 0; i < north(run)->disk_count; i++) {
		if (!model_adopt(run->model, i, site_bytes(north(run), i), power, run->sim->now_ns, why))
			fail(run, "promise 6, what was flushed is stable", why);
	}
}

static void crash(struct run *run, unsigned index, bool power)
{
	log_event(LOG_INFO, "sim.crash", "site=%u power=%d", index, power);
	if (power)
		run->result->power_losses++;
	else
		run->result->kills++;
	if (index == SITE_NORTH) {
		crash_north(run, power);
		return;
	}
	site_kill(south(run));
	if (power)
		sim_host_power_loss(run->sim, south(run)->host);
}

/* --- promise 1, on a copy of the secondary's host --- */

static bool unit_is_loaded(struct site *site)
{
	struct unit_status status;

	return engine_unit_status(site->engine, "pg-sim", &status) && site->status.id[0] != 0;
}

/* Runs until the site's unit has failed over, or cannot. */
static bool fail_over_alone(struct site *site)
{
	uint64_t limit = site->sim->now_ns + 60 * SECOND;

	while (!unit_is_loaded(site) && sim_step(site->sim, limit))
		;
	if (engine_failover_unit(site->engine, "pg-sim", NULL) < 0)
		return false;
	while (site->status.state != UNIT_FAILED_OVER && sim_step(site->sim, limit))
		;
	return site->status.state == UNIT_FAILED_OVER;
}

static void judge_images(struct run *run, const struct site *site, uint64_t not_before)
{
	const uint8_t *images[MODEL_DISKS_MAX];
	char why[200];

	for (unsigned i = 0; i < site->disk_count; i++)
		images[i] = site_bytes(site, i);
	run->result->checks++;
	if (!model_is_point_in_time(run->model, images, not_before, why))
		fail(run, "promise 1, the secondary is a point in time", why);
}

static void check_secondary(struct run *run)
{
	uint64_t not_before = north(run)->proven_ns;
	struct sim *alone;
	struct site copy;

	if (not_before == 0)
		return;
	alone = sim_new(sim_random(run->sim));
	site_init(&copy, alone, SITE_SOUTH, south(run)->disk_count, south(run)->sizes, sim_host_copy(south(run)->host));
	if (sim_chance(run->sim, 500))
		sim_host_power_loss(alone, copy.host);
	site_up(&copy);
	if (fail_over_alone(&copy))
		judge_images(run, &copy, not_before);
	else
		fail(run, "promise 1, the secondary can be failed over", copy.status.reason);
	sim_process_kill(copy.env);
	sim_host_free(copy.host);
	sim_free(alone);
}

/* --- the schedule --- */

static void step(struct run *run)
{
	struct sim *sim = run->sim;
	uint64_t dice = sim_below(sim, 1000);
	unsigned site = (unsigned)sim_below(sim, 2);

	if (dice < 600) {
		for (uint64_t i = sim_below(sim, 4) + 1; north(run)->env != NULL && i > 0; i--)
			do_write(run);
	} else if (dice < 700) {
		if (north(run)->env != NULL)
			do_flush(run);
	} else if (dice < 720) {
		run->result->link_breaks++;
		sim_link_break(sim);
	} else if (dice < 780) {
		sim_link_mend(sim);
	} else if (dice < 805) {
		if (run->sites[site].env != NULL)
			crash(run, site, sim_chance(sim, 500));
	} else if (dice < 900) {
		if (run->sites[site].env == NULL)
			site_up(&run->sites[site]);
	} else if (dice < 915) {
		north(run)->started = !north(run)->started;
		if (north(run)->env != NULL && north(run)->started)
			engine_start_unit(north(run)->engine, "pg-sim", false, NULL);
		else if (north(run)->env != NULL)
			engine_stop_unit(north(run)->engine, "pg-sim", NULL);
	} else if (dice < 955) {
		check_secondary(run);
	}
	sim_run_until(sim, sim->now_ns + sim_below(sim, sim_chance(sim, 100) ? 400 * MS : 15 * MS));
}

static bool is_in_step(struct run *run)
{
	struct unit_status status;

	return list_is_empty(&run->requests) && engine_unit_status(north(run)->engine, "pg-sim", &status) &&
	       status.state == UNIT_CYCLING && status.dirty_bytes == 0;
}

/* All faults end: the sites must come to the same bytes. */
static void heal(struct run *run)
{
	uint64_t limit;

	sim_link_mend(run->sim);
	for (unsigned i = 0; i < 2; i++) {
		if (run->sites[i].env == NULL)
			site_up(&run->sites[i]);
	}
	north(run)->started = true;
	engine_start_unit(north(run)->engine, "pg-sim", false, NULL);
	limit = run->sim->now_ns + HEAL_LIMIT;
	while (!is_in_step(run) && sim_step(run->sim, limit))
		;
	if (!is_in_step(run)) {
		fail(run, "promise 2, the sites come into step again", north(run)->status.reason[0] != 0 ?
		     north(run)->status.reason : unit_state_name(north(run)->status.state));
		return;
	}
	sim_run_until(run->sim, run->sim->now_ns + 2 * SECOND); /* the newest epoch is applied */
	for (unsigned i = 0; i < north(run)->disk_count; i++) {
		if (memcmp(site_bytes(north(run), i), site_bytes(south(run), i), north(run)->sizes[i]) != 0)
			fail(run, "promise 2, no silent divergence", "both sites are in step, and their bytes differ");
	}
}

/* The primary is lost, or only cut off, in the middle of its work; the secondary takes over. */
static void end_with_failover(struct run *run)
{
	uint64_t not_before, limit;
	uint8_t *before[MODEL_DISKS_MAX] = { NULL };
	bool cut_off = sim_chance(run->sim, 300);

	for (uint64_t i = sim_below(run->sim, 60); i > 0; i--) {
		do_write(run);
		sim_run_until(run->sim, run->sim->now_ns + sim_below(run->sim, 8 * MS));
	}
	not_before = north(run)->proven_ns;
	if (cut_off)
		sim_link_break(run->sim);
	else
		crash(run, SITE_NORTH, sim_chance(run->sim, 500));
	run->result->failovers++;
	if (!fail_over_alone(south(run))) {
		fail(run, "the secondary can be failed over", south(run)->status.reason);
		return;
	}
	judge_images(run, south(run), not_before);
	for (unsigned i = 0; i < south(run)->disk_count; i++) {
		before[i] = memory_new(1, south(run)->sizes[i]);
		memcpy(before[i], site_bytes(south(run), i), south(run)->sizes[i]);
	}
	if (north(run)->env == NULL)
		site_up(north(run));
	sim_link_mend(run->sim);
	limit = run->sim->now_ns + HEAL_LIMIT;
	while (north(run)->status.state != UNIT_SUPERSEDED && sim_step(run->sim, limit))
		;
	if (north(run)->status.state != UNIT_SUPERSEDED)
		fail(run, "promise 5, the old primary learns of the failover", north(run)->status.reason);
	for (unsigned i = 0; i < south(run)->disk_count; i++) {
		if (before[i] == NULL || memcmp(before[i], site_bytes(south(run), i), south(run)->sizes[i]) != 0)
			fail(run, "promise 5, late frames change nothing", "the survivor's bytes changed");
		free(before[i]);
	}
}

static void run_all(struct run *run)
{
	struct sim *sim = run->sim;
	uint64_t steps = STEPS_MIN + sim_below(sim, STEPS_SPREAD);
	uint64_t sizes[MODEL_DISKS_MAX];
	unsigned disks = 1 + (unsigned)sim_below(sim, 3);

	for (unsigned i = 0; i < disks; i++)
		sizes[i] = (96 + sim_below(sim, sim_chance(sim, 200) ? 6000 : 400)) * MODEL_SECTOR;
	run->model = model_new(disks, sizes);
	for (unsigned i = 0; i < 2; i++) {
		site_init(&run->sites[i], sim, i, disks, sizes, sim_host_new());
		run->sites[i].started = true;
		site_up(&run->sites[i]);
	}
	for (uint64_t i = 0; i < steps && !run->failed; i++)
		step(run);
	if (!run->failed)
		heal(run);
	if (!run->failed)
		check_secondary(run);
	if (!run->failed && sim_chance(sim, 700))
		end_with_failover(run);
}

void schedule_run(uint64_t seed, struct schedule_result *out_result)
{
	struct run run = { .result = out_result };

	*out_result = (struct schedule_result){ 0 };
	run.sim = sim_new(seed);
	list_init(&run.requests);
	run_all(&run);
	out_result->passed = !run.failed;
	out_result->events = run.sim->events;
	for (unsigned i = 0; i < 2; i++) {
		if (run.sites[i].env != NULL)
			sim_process_kill(run.sites[i].env);
		sim_host_free(run.sites[i].host);
	}
	model_free(run.model);
	sim_free(run.sim);
}
