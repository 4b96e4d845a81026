#include "sim/group.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "disk/disk.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define WRITE_MAX 16384u

struct client_request {
	struct disk_request request;
	struct list entry;
	struct group *group;
	unsigned side, disk;
	uint64_t number, began;
	uint8_t *bytes;
};

/* At a disk as it was when its side gave up the lead. */
struct look {
	struct disk_request request;
	struct list entry;
	struct group *group;
	unsigned side, disk;
	struct disk *view;
	uint64_t wall_ms;
	bool failing; /* files were when it began */
	uint8_t *bytes;
};

void group_init(struct group *group, struct run *run, unsigned index)
{
	*group = (struct group){ .run = run, .index = index, .shape = &run->shapes[index] };
	list_init(&group->requests);
	list_init(&group->looks);
	group->models[0] = model_new(group->shape->disk_count, group->shape->sizes, NULL, ++run->models);
}

static void request_free(struct client_request *request)
{
	list_remove(&request->entry);
	free(request->bytes);
	free(request);
}

static void forget_model(struct group *group, unsigned side)
{
	if (group->models[side] != NULL)
		model_free(group->models[side]);
	group->models[side] = NULL;
}

static void look_free(struct look *look)
{
	list_remove(&look->entry);
	free(look->bytes);
	free(look);
}

void group_free(struct group *group)
{
	list_for_each(entry, &group->looks)
		look_free(container_of(entry, struct look, entry));
	list_for_each(entry, &group->requests)
		request_free(container_of(entry, struct client_request, entry));
	forget_model(group, 0);
	forget_model(group, 1);
	for (unsigned side = 0; side < 2; side++)
		site_forget_held(group_site(group, side), group->index);
}

struct site *group_site(struct group *group, unsigned side)
{
	return &group->run->sites[group->shape->sites[side]];
}

/* Of its unit at that side. */
static struct engine *group_engine(struct group *group, unsigned side)
{
	return site_engine(group_site(group, side), group->index);
}

static struct site_unit *group_unit(struct group *group, unsigned side)
{
	return &group_site(group, side)->units[group->index];
}

static const char *group_id(const struct group *group)
{
	return site_unit_id(group->index);
}

static void get_images(struct group *group, const struct site *site, const uint8_t *images[MODEL_DISKS_MAX])
{
	for (unsigned i = 0; i < group->shape->disk_count; i++)
		images[i] = site_bytes(site, group->index, i);
}

/* --- clients --- */

static void on_request(struct disk_request *done, int result)
{
	struct client_request *request = done->data;
	struct group *group = request->group;
	struct model *model = group->models[request->side];

	if (model != NULL && result == 0 && done->operation == DISK_FLUSH)
		model_flush(model, request->disk, request->began);
	else if (model != NULL && result == 0) {
		model_ack(model, request->number, group->run->sim->now_ns);
		if (done->force_unit_access)
			model_stable(model, request->number);
	} else if (model != NULL) {
		model_fail(model, request->number);
	}
	request_free(request);
}

static bool overlaps(struct group *group, unsigned side, unsigned disk, uint64_t offset, uint64_t length)
{
	list_for_each(entry, &group->requests) {
		const struct client_request *other = container_of(entry, struct client_request, entry);

		if (other->side == side && other->disk == disk && other->request.operation != DISK_FLUSH &&
		    offset < other->request.offset + other->request.length && other->request.offset < offset + length)
			return true;
	}
	return false;
}

static struct client_request *request_new(struct group *group, unsigned side, unsigned disk, enum disk_operation operation)
{
	struct client_request *request = memory_new(1, sizeof *request);

	request->group = group;
	request->side = side;
	request->disk = disk;
	request->began = group->run->sim->now_ns;
	request->request = (struct disk_request){ .operation = operation, .on_done = on_request, .data = request };
	list_append(&group->requests, &request->entry);
	return request;
}

/* A side with clients: mostly the leader; the other one too after a failover, as long as nobody has told it. */
static bool choose_side(struct group *group, unsigned *out_side)
{
	*out_side = group->leader;
	if (group->split && sim_chance(group->run->sim, 300))
		*out_side ^= 1;
	return group->models[*out_side] != NULL && group_site(group, *out_side)->env != NULL && !group->readopt[*out_side];
}

void group_flush(struct group *group)
{
	unsigned disk = (unsigned)sim_below(group->run->sim, group->shape->disk_count), side;

	if (choose_side(group, &side))
		disk_submit(site_disk(group_site(group, side), group->index, disk),
			    &request_new(group, side, disk, DISK_FLUSH)->request);
}

void group_write(struct group *group)
{
	struct sim *sim = group->run->sim;
	unsigned disk = (unsigned)sim_below(sim, group->shape->disk_count), side;
	uint64_t size = group->shape->sizes[disk], kind = sim_below(sim, 10);
	uint64_t length = (1 + sim_below(sim, WRITE_MAX / MODEL_SECTOR)) * MODEL_SECTOR;
	/* Half of the writes fall on a few blocks: hot ones, that closed epochs still need. */
	uint64_t offset = (sim_chance(sim, 500) ? sim_below(sim, 24) : sim_below(sim, size / MODEL_SECTOR)) * MODEL_SECTOR;
	struct client_request *request;

	if (!choose_side(group, &side))
		return;
	if (offset + length > size)
		length = size - offset;
	if (overlaps(group, side, disk, offset, length))
		return;
	request = request_new(group, side, disk, kind < 2 ? DISK_TRIM : kind < 3 ? DISK_ZERO : DISK_WRITE);
	request->number = model_issue(group->models[side], disk, offset, length, kind < 3, sim->now_ns);
	request->request.offset = offset;
	request->request.length = length;
	request->request.force_unit_access = sim_chance(sim, 100);
	request->bytes = memory_new(1, length);
	for (uint64_t at = 0; at < length; at += MODEL_SECTOR)
		model_stamp(group->models[side], request->number, request->bytes + at);
	request->request.buffer = request->bytes;
	group->run->result->writes++;
	disk_submit(site_disk(group_site(group, side), group->index, disk), &request->request);
}

static void on_looked(struct disk_request *done, int result)
{
	struct look *look = done->data;
	struct group *group = look->group;
	struct site *site = group_site(group, look->side);
	const struct site_unit *unit = group_unit(group, look->side);
	bool kept = engine_keeps_diverged(site_engine(site, group->index), disk_id(site_disk(site, group->index, look->disk))) &&
		    unit->status.divergence_wall_ms == look->wall_ms;

	if (result < 0 && kept && !look->failing && site->host->fault.code == 0)
		run_fail(group->run, "what is kept of a divergence can be read", "a read of a view has failed");
	/* Another one may be kept by now; and what was to be kept may not be known any more. */
	if (result == 0 && unit->held[look->disk] != NULL && unit->held_wall_ms == look->wall_ms &&
	    done->offset < unit->held_sizes[look->disk]) {
		uint64_t left = unit->held_sizes[look->disk] - done->offset;

		group->run->result->looks++;
		if (memcmp(look->bytes, unit->held[look->disk] + done->offset, done->length < left ? done->length : left) != 0)
			run_fail(group->run, "what is kept of a divergence is what was there", "a view shows other bytes");
	}
	disk_close(look->view);
	look_free(look);
}

static void begin_look(struct group *group, unsigned side, unsigned index, bool whole)
{
	struct sim *sim = group->run->sim;
	struct site *site = group_site(group, side);
	struct disk *view = engine_open_diverged(site_engine(site, group->index), disk_id(site_disk(site, group->index, index)));
	uint64_t size, offset;
	struct look *made;

	if (view == NULL)
		return;
	size = disk_size(view);
	offset = whole ? 0 : sim_below(sim, size);
	made = memory_new(1, sizeof *made);
	made->group = group;
	made->side = side;
	made->disk = index;
	made->view = view;
	made->wall_ms = group_unit(group, side)->status.divergence_wall_ms;
	made->failing = site->host->fault.code != 0;
	made->bytes = memory_new(1, size);
	made->request = (struct disk_request){ .operation = DISK_READ, .offset = offset,
		.length = whole ? size : 1 + sim_below(sim, size - offset), .buffer = made->bytes, .on_done = on_looked, .data = made };
	list_append(&group->looks, &made->entry);
	disk_submit(view, &made->request);
}

void group_look(struct group *group, bool whole)
{
	for (unsigned side = 0; side < 2; side++) {
		for (unsigned i = 0; group_site(group, side)->env != NULL && i < group->shape->disk_count; i++)
			begin_look(group, side, i, whole);
	}
}

void group_discard(struct group *group)
{
	unsigned side = (unsigned)sim_below(group->run->sim, 2);

	if (group_site(group, side)->env != NULL)
		engine_discard_divergence(group_engine(group, side), group_id(group), NULL);
}

/* --- faults --- */

void group_after_crash(struct group *group, struct site *site, bool power)
{
	unsigned side = group_site(group, 1) == site;
	const uint8_t *images[MODEL_DISKS_MAX] = { NULL };
	char why[200];

	list_for_each(entry, &group->requests) {
		struct client_request *request = container_of(entry, struct client_request, entry);

		if (request->side != side)
			continue;
		if (request->request.operation != DISK_FLUSH && group->models[side] != NULL)
			model_fail(group->models[side], request->number);
		request_free(request);
	}
	list_for_each(entry, &group->looks) {
		struct look *look = container_of(entry, struct look, entry);

		if (look->side == side)
			look_free(look);
	}
	if (site->host->sync_failed)
		site_forget_held(site, group->index);
	if ((side != group->leader && !group->split) || !site->units[group->index].leads) {
		group->unsure |= power || site->host->sync_failed;
		return;
	}
	if (site->host->sync_failed && !power) {
		group->crashed_ns[side] = group->run->sim->now_ns;
		group->readopt[side] = true; /* what is lost shows when the disks are opened again */
		return;
	}
	group->readopt[side] = false;
	get_images(group, site, images);
	for (unsigned i = 0; i < group->shape->disk_count; i++) {
		if (!model_adopt(group->models[side], i, images[i], power ? MODEL_LOSS_POWER : MODEL_LOSS_NONE, group->run->sim->now_ns,
				 why))
			run_fail(group->run, "promise 6, what was flushed is stable", why);
	}
}

bool group_has_failed(struct group *group, const struct site *site)
{
	return site->env != NULL && site->units[group->index].loaded && site->units[group->index].status.state == UNIT_FAILED;
}

void group_after_start(struct group *group)
{
	const uint8_t *images[MODEL_DISKS_MAX] = { NULL };
	char why[200];

	for (unsigned side = 0; side < 2; side++) {
		struct site *site = group_site(group, side);

		if (!group->readopt[side] || site->env == NULL || !group_unit(group, side)->loaded ||
		    group_unit(group, side)->status.changing)
			continue;
		group->readopt[side] = false;
		if (group->models[side] == NULL || (side != group->leader && !group->split)) {
			group->unsure = true;
			continue;
		}
		get_images(group, site, images);
		for (unsigned i = 0; i < group->shape->disk_count; i++) {
			if (!model_adopt(group->models[side], i, images[i], MODEL_LOSS_SYNC, group->crashed_ns[side], why))
				run_fail(group->run, "promise 6, what was flushed is stable", why);
		}
	}
}

/* --- promise 1 --- */

static void judge(struct group *group, const struct site *site, const struct model *model, uint64_t not_before)
{
	const uint8_t *images[MODEL_DISKS_MAX] = { NULL };
	char why[200];

	get_images(group, site, images);
	group->run->result->checks++;
	if (!model_is_point_in_time(model, images, not_before, why))
		run_fail(group->run, "promise 1, the secondary is a point in time", why);
}

/* A follower that has not taken over an epoch of the new leader yet holds what it wrote itself, all of it. */
static void judge_diverged(struct group *group, const struct site *site, unsigned side)
{
	const uint8_t *images[MODEL_DISKS_MAX] = { NULL };
	char why[200];

	if (group->unsure || group->readopt[side] || group->models[side] == NULL)
		return;
	get_images(group, site, images);
	group->run->result->checks++;
	for (unsigned i = 0; i < group->shape->disk_count; i++) {
		if (!model_adopt(group->models[side], i, images[i], MODEL_LOSS_NONE, group->run->sim->now_ns, why))
			run_fail(group->run, "promise 1, a reverse delta leaves no disk half-way", why);
	}
}

static void run_alone(struct group *group, struct site *site)
{
	const struct site_unit *unit = &site->units[group->index];
	uint64_t limit = site->sim->now_ns + 60 * SECOND;

	while (!unit->loaded && sim_step(site->sim, limit))
		;
	if (engine_failover_unit(site_engine(site, group->index), group_id(group), NULL) < 0)
		return;
	while (unit->status.state != UNIT_FAILED_OVER && sim_step(site->sim, limit))
		;
}

void group_check(struct group *group)
{
	unsigned side = group->leader ^ 1;
	uint64_t not_before = group_unit(group, group->leader)->proven_ns;
	struct site *follower = group_site(group, side), copy;
	struct sim *alone;
	bool power;

	group_after_start(group);
	if (group->split || group->operation != OPERATION_NONE || group->readopt[group->leader])
		return;
	alone = sim_new(sim_random(group->run->sim));
	site_init(&copy, alone, follower->index, group->run->shapes, group->run->group_count, sim_host_copy(follower->host));
	for (unsigned i = 0; i < group->run->group_count; i++) {
		copy.units[i].leads = follower->units[i].leads;
		memcpy(copy.units[i].sizes, follower->units[i].sizes, sizeof copy.units[i].sizes);
	}
	power = sim_chance(group->run->sim, 500);
	if (power)
		sim_host_power_loss(alone, copy.host);
	site_up(&copy);
	run_alone(group, &copy);
	if (copy.units[group->index].status.state == UNIT_FAILED_OVER)
		judge(group, &copy, group->models[group->leader], not_before);
	else if (not_before != 0)
		run_fail(group->run, "promise 1, the secondary can be failed over", copy.units[group->index].status.reason);
	else if (copy.units[group->index].status.diverged && !power)
		judge_diverged(group, &copy, side);
	sim_process_kill(copy.env);
	sim_host_free(copy.host);
	sim_free(alone);
}

/* --- the operator --- */

static void told(struct group *group, unsigned side, bool leads, bool started)
{
	group_unit(group, side)->leads = leads;
	group_unit(group, side)->started = started;
}

void group_start_or_stop(struct group *group)
{
	struct site *site = group_site(group, group->leader);
	struct site_unit *unit = group_unit(group, group->leader);

	if (group->split || group->operation != OPERATION_NONE)
		return;
	unit->started = !unit->started;
	if (site->env != NULL && unit->started)
		engine_start_unit(site_engine(site, group->index), group_id(group), sim_chance(group->run->sim, 200), NULL);
	else if (site->env != NULL)
		engine_stop_unit(site_engine(site, group->index), group_id(group), NULL);
}

void group_renew(struct group *group)
{
	struct shape *shape = &group->run->shapes[group->index];
	struct site_unit *leader = group_unit(group, group->leader), *follower = group_unit(group, group->leader ^ 1);
	const struct unit_status *status = &leader->status, *theirs = &follower->status;

	if (group->split || group->operation != OPERATION_NONE || group_site(group, group->leader)->env == NULL || !leader->loaded ||
	    !follower->loaded || leader->stale ||
	    follower->stale || status->state == UNIT_FAILED || follower->status.state == UNIT_FAILED ||
	    (!status->consistent && !status->diverged))
		return;
	shape->history++;
	/* As control asks the other site: is its copy a recovery point, wholly applied? */
	shape->point_epoch = status->consistent && group_site(group, group->leader ^ 1)->env != NULL && theirs->consistent &&
			     theirs->applied_epoch == theirs->recovery_epoch ? theirs->recovery_epoch + 1 : 0;
	shape->point_site = group_site(group, group->leader ^ 1)->index;
	leader->started = false;
	leader->proven_ns = 0;
	leader->stale = follower->stale = true;
	group->unsure = true; /* a follower that is only to be compared holds nothing of its own */
	for (unsigned side = 0; side < 2; side++)
		site_forget_held(group_site(group, side), group->index);
	log_event(LOG_INFO, "sim.renew", "group=%u point_epoch=%llu", group->index, (unsigned long long)shape->point_epoch);
	group->run->result->renewals++;
}

static void renew_stale(struct group *group)
{
	for (unsigned side = 0; side < 2; side++) {
		if (group_site(group, side)->env != NULL)
			site_renew(group_site(group, side), group->index);
	}
}

/* Larger than either side has it: it may have grown at one alone, before. */
static void choose_growth(struct group *group)
{
	struct sim *sim = group->run->sim;
	unsigned disk = (unsigned)sim_below(sim, group->shape->disk_count);
	uint64_t ours = group_unit(group, 0)->sizes[disk], theirs = group_unit(group, 1)->sizes[disk];

	group->grows = disk;
	group->grows_to = (ours > theirs ? ours : theirs) + (1 + sim_below(sim, 40)) * MODEL_SECTOR;
}

void group_begin(struct group *group, enum operation operation)
{
	const struct site_unit *leader = group_unit(group, group->leader);
	struct site_unit *other = group_unit(group, group->leader ^ 1);

	if (group->operation != OPERATION_NONE)
		return;
	if (operation == OPERATION_FAILOVER && (group->split || !other->loaded || !other->status.consistent))
		return;
	if (operation == OPERATION_SWITCHOVER && (group->split || !leader->loaded || !leader->started))
		return;
	if (operation == OPERATION_GROW && (group->split || group->readopt[group->leader]))
		return;
	if ((operation == OPERATION_REPROTECT || operation == OPERATION_CANCEL) && !group->split)
		return;
	log_event(LOG_INFO, "sim.operation", "group=%u operation=%u leader=%u", group->index, operation, group->leader);
	group->operation = operation;
	group->asked = false;
	group->term = 0;
	group->not_before = leader->proven_ns;
	if (operation == OPERATION_GROW)
		choose_growth(group);
	if (operation == OPERATION_CANCEL && other->role == UNIT_PRIMARY)
		other->was_point = false; /* it takes the lead with what it wrote itself */
	group->run->result->operations++;
}

/* The follower has taken the lead from a recovery point: from now on its writes are a history of their own. */
static void take_lead(struct group *group, unsigned side)
{
	const uint8_t *images[MODEL_DISKS_MAX] = { NULL };

	forget_model(group, side);
	get_images(group, group_site(group, side), images);
	group->models[side] = model_new(group->shape->disk_count, group->shape->sizes, images, ++group->run->models);
	group->leader = side;
	group->unsure = false;
}

static bool is_up(struct group *group, unsigned side)
{
	return group_site(group, side)->env != NULL && group_unit(group, side)->loaded && !group_unit(group, side)->stale;
}

static void pursue_failover(struct group *group)
{
	unsigned side = group->leader ^ 1;
	struct site *site = group_site(group, side);

	if (!is_up(group, side))
		return;
	if (group_unit(group, side)->status.state != UNIT_FAILED_OVER) {
		if (engine_failover_unit(site_engine(site, group->index), group_id(group), NULL) == -ENODATA)
			group->operation = OPERATION_NONE;
		return;
	}
	judge(group, site, group->models[group->leader], group->not_before);
	group->run->result->failovers++;
	take_lead(group, side);
	told(group, side, true, false);
	group->split = true;
	group->operation = OPERATION_NONE;
}

/* One side gives up the lead, then the other takes it, with a higher term. True once both is so. */
static bool change_sides(struct group *group, unsigned gives, unsigned takes)
{
	const struct unit_status *giver = &group_unit(group, gives)->status, *taker = &group_unit(group, takes)->status;

	if (!is_up(group, gives) || !is_up(group, takes))
		return false;
	told(group, gives, false, false);
	if (giver->role == UNIT_PRIMARY || giver->changing || giver->state == UNIT_FAILED) {
		engine_demote_unit(group_engine(group, gives), group_id(group), false, NULL);
		return false;
	}
	told(group, takes, true, true);
	if (group->term == 0)
		group->term = giver->term + 1;
	if (taker->role == UNIT_PRIMARY && taker->state != UNIT_FAILED_OVER && taker->state != UNIT_SUPERSEDED &&
	    taker->state != UNIT_FAILED && !taker->changing && taker->term >= group->term)
		return true;
	engine_promote_unit(group_engine(group, takes), group_id(group), group->term, NULL);
	return false;
}

static void lead_begins(struct group *group)
{
	group->split = false;
	group->operation = OPERATION_NONE;
	engine_start_unit(group_engine(group, group->leader), group_id(group), false, NULL);
}

static void pursue_cancel(struct group *group)
{
	unsigned takes = group->leader ^ 1;
	const struct site *site = group_site(group, takes);

	if (!change_sides(group, group->leader, takes))
		return;
	if (group_unit(group, takes)->was_point) {
		judge(group, site, group->models[group->leader], 0);
		take_lead(group, takes);
	}
	group->leader = takes;
	lead_begins(group);
}

/* What the clients of the giving side were told is at the taking side, all of it. */
static void judge_switchover(struct group *group, unsigned takes)
{
	const uint8_t *images[MODEL_DISKS_MAX] = { NULL };
	char why[200];

	get_images(group, group_site(group, takes), images);
	for (unsigned i = 0; i < group->shape->disk_count; i++) {
		if (!model_adopt(group->models[group->leader], i, images[i], MODEL_LOSS_NONE, group->run->sim->now_ns, why))
			run_fail(group->run, "a switchover loses nothing", why);
	}
	group->run->result->switchovers++;
}

static void pursue_switchover(struct group *group)
{
	unsigned takes = group->leader ^ 1;
	const struct unit_status *giver = &group_unit(group, group->leader)->status;

	if (!is_up(group, group->leader) || giver->state == UNIT_FAILED)
		return;
	if (giver->role == UNIT_PRIMARY && !giver->changing) {
		if (group->asked || engine_demote_unit(group_engine(group, group->leader), group_id(group),
						       true, NULL) < 0)
			group->operation = OPERATION_NONE; /* given up, or not possible now: it leads as before */
		group->asked = true;
		return;
	}
	if (giver->role == UNIT_PRIMARY || !change_sides(group, group->leader, takes))
		return;
	judge_switchover(group, takes);
	take_lead(group, takes);
	lead_begins(group);
}

/* True when one side's disk has grown. */
static bool grow_side(struct group *group, unsigned side)
{
	struct run *run = group->run;
	bool crashes = run->sim->on_crashed == NULL && !run->healing && sim_chance(run->sim, 100);
	bool compare = site_has_device(group_site(group, side ^ 1), group->index);
	int result = site_grow(group_site(group, side), group->index, group->grows, group->grows_to, compare, crashes);

	if (crashes && group_site(group, side)->env != NULL)
		run_crash(run, group_site(group, side), sim_chance(run->sim, 500));
	if ((result < 0 && sim_chance(run->sim, 50)) || result == -ENOTSUP)
		group->operation = OPERATION_NONE; /* given up: one side may have grown, the other not */
	return result == 0;
}

static void pursue_grow(struct group *group)
{
	if (!is_up(group, group->leader) || !is_up(group, group->leader ^ 1))
		return;
	group->asked = group->asked || grow_side(group, group->leader ^ 1);
	if (!group->asked || group->operation == OPERATION_NONE || !is_up(group, group->leader) ||
	    !grow_side(group, group->leader))
		return;
	group->shape->sizes[group->grows] = group->grows_to;
	for (unsigned side = 0; side < 2; side++) {
		if (group->models[side] != NULL)
			model_grow(group->models[side], group->grows, group->grows_to);
	}
	group->run->result->growths++;
	group->operation = OPERATION_NONE;
}

/* One side has died, or the lead has changed, in the middle of a growth. */
static void level_disks(struct group *group)
{
	unsigned leader = group->leader, follower = leader ^ 1;

	for (unsigned i = 0; i < group->shape->disk_count; i++) {
		uint64_t ours = group_unit(group, leader)->sizes[i], theirs = group_unit(group, follower)->sizes[i];
		struct site *site = group_site(group, leader);

		if (!is_up(group, leader) || !is_up(group, follower))
			return;
		if (ours < theirs)
			site_grow(site, group->index, i, theirs, true, false);
		else if (ours > theirs && engine_suspect_disk(site_engine(site, group->index), disk_id(site_disk(site, group->index, i)),
							      group->shape->sizes[i], NULL) == 0)
			site_grow(group_site(group, follower), group->index, i, ours, true, false);
	}
}

void group_pursue(struct group *group)
{
	renew_stale(group);
	if (is_up(group, group->leader) && group_unit(group, group->leader)->status.disks_differ)
		level_disks(group);
	switch (group->operation) {
	case OPERATION_NONE:
	case OPERATIONS:
		break;
	case OPERATION_FAILOVER:
		pursue_failover(group);
		break;
	case OPERATION_REPROTECT:
		if (change_sides(group, group->leader ^ 1, group->leader))
			lead_begins(group);
		break;
	case OPERATION_CANCEL:
		pursue_cancel(group);
		break;
	case OPERATION_SWITCHOVER:
		pursue_switchover(group);
		break;
	case OPERATION_GROW:
		pursue_grow(group);
		break;
	}
}

/* --- the end --- */

void group_settle(struct group *group)
{
	struct site_unit *leader = group_unit(group, group->leader);

	group_pursue(group);
	if (group->operation != OPERATION_NONE)
		return;
	if (group->split) {
		group_begin(group, sim_chance(group->run->sim, 700) ? OPERATION_REPROTECT : OPERATION_CANCEL);
	} else if (!leader->started || leader->status.state == UNIT_STOPPED) {
		leader->started = true;
		if (is_up(group, group->leader))
			engine_start_unit(group_engine(group, group->leader), group_id(group), false, NULL);
	}
}

bool group_is_in_step(struct group *group)
{
	struct site *site = group_site(group, group->leader), *follower = group_site(group, group->leader ^ 1);
	struct unit_status status, theirs;

	return !group->split && !group->readopt[0] && !group->readopt[1] && group->operation == OPERATION_NONE &&
	       list_is_empty(&group->requests) && site->env != NULL && follower->env != NULL &&
	       engine_unit_status(site_engine(site, group->index), group_id(group), &status) && status.state == UNIT_CYCLING &&
	       status.dirty_bytes == 0 && engine_unit_status(site_engine(follower, group->index), group_id(group), &theirs) &&
	       theirs.state == UNIT_CYCLING && theirs.applied_epoch == theirs.recovery_epoch;
}

void group_judge_end(struct group *group)
{
	const uint8_t *ours[MODEL_DISKS_MAX], *theirs[MODEL_DISKS_MAX];
	char why[200];

	get_images(group, group_site(group, group->leader), ours);
	get_images(group, group_site(group, group->leader ^ 1), theirs);
	for (unsigned i = 0; i < group->shape->disk_count; i++) {
		if (memcmp(ours[i], theirs[i], group->shape->sizes[i]) != 0)
			run_fail(group->run, "promise 2, no silent divergence", "both sites are in step, and their bytes differ");
		if (!model_adopt(group->models[group->leader], i, ours[i], MODEL_LOSS_NONE, group->run->sim->now_ns, why))
			run_fail(group->run, "promise 5, the leader holds what its clients were told", why);
	}
}

/* --- what else must hold at the end --- */

static void wait_in_step(struct group *group)
{
	struct sim *sim = group->run->sim;
	uint64_t limit = sim->now_ns + 60 * SECOND;

	do {
		while (!group_is_in_step(group) && sim->now_ns < limit) {
			run_restart_failed(group->run);
			group_after_start(group);
			sim_run_until(sim, sim->now_ns + 20 * MS);
		}
		sim_run_until(sim, sim->now_ns + 2 * SECOND); /* the newest epoch is applied, or fails to be */
	} while (!group_is_in_step(group) && sim->now_ns < limit);
	if (!group_is_in_step(group))
		run_fail(group->run, "promise 2, the sites come into step again", group_unit(group, group->leader)->status.reason);
}

void group_judge_scrub(struct group *group)
{
	struct sim *sim = group->run->sim;
	struct site *leader = group_site(group, group->leader), *follower = group_site(group, group->leader ^ 1);
	unsigned disk = (unsigned)sim_below(sim, group->shape->disk_count);
	uint64_t limit = sim->now_ns + 60 * SECOND;
	struct unit_status status;

	site_rot(follower, group->index, disk, sim_below(sim, group->shape->sizes[disk]));
	engine_scrub_unit(site_engine(leader, group->index), group_id(group), NULL);
	while (engine_unit_status(site_engine(leader, group->index), group_id(group), &status) && status.scrubbing &&
	       sim_step(sim, limit))
		;
	wait_in_step(group);
	engine_unit_status(site_engine(leader, group->index), group_id(group), &status);
	/* When its unit failed and was restarted meanwhile, the comparison after that has repaired it. */
	if (status.scrubbed_bytes > 0 && status.scrub_differences != 1)
		run_fail(group->run, "a scrub finds what has rotted", status.scrub_differences == 0 ? "it found nothing" :
			 "it found more than there was");
	group->run->result->scrubs++;
	group_judge_end(group);
}

static uint64_t count_different_blocks(struct group *group)
{
	const uint8_t *ours[MODEL_DISKS_MAX], *theirs[MODEL_DISKS_MAX];
	uint64_t count = 0;

	get_images(group, group_site(group, group->leader), ours);
	get_images(group, group_site(group, group->leader ^ 1), theirs);
	for (unsigned i = 0; i < group->shape->disk_count; i++) {
		for (uint64_t at = 0; at < group->shape->sizes[i]; at += DISK_BLOCK_SIZE) {
			uint64_t left = group->shape->sizes[i] - at;

			count += memcmp(ours[i] + at, theirs[i] + at, left < DISK_BLOCK_SIZE ? left : DISK_BLOCK_SIZE) != 0;
		}
	}
	return count;
}

void group_judge_power_cut(struct group *group)
{
	struct site *leader = group_site(group, group->leader);
	uint64_t differ;
	struct unit_status status;
	char why[120];

	run_crash(group->run, leader, true);
	differ = count_different_blocks(group);
	site_up(leader);
	group_unit(group, group->leader)->started = true;
	engine_start_unit(site_engine(leader, group->index), group_id(group), false, NULL);
	wait_in_step(group);
	engine_unit_status(site_engine(leader, group->index), group_id(group), &status);
	/* At worst each block travels in a frame of its own. */
	if (status.shipped_bytes > differ * (DISK_BLOCK_SIZE + 128)) {
		snprintf(why, sizeof why, "%llu bytes were sent, %llu blocks differed", (unsigned long long)status.shipped_bytes,
			 (unsigned long long)differ);
		run_fail(group->run, "promise 3, delta always", why);
	}
	group_judge_end(group);
}
