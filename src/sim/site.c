#include "sim/site.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/memory.h"
#include "disk/disk.h"
#include "repl/pace_line.h"
#include "sim/visitor.h"

#define DEVICE_ROOM UINT64_C(262144)

static const char *const names[SITES_MAX] = { "north", "south", "west" };
static const char *const unit_ids[GROUPS_MAX] = { "pg-0", "pg-1", "pg-2" };

const char *site_unit_id(unsigned group)
{
	return unit_ids[group];
}

struct engine *site_engine(const struct site *site, unsigned group)
{
	return site->shards[site->units[group].shard];
}

bool site_has(const struct site *site, unsigned group)
{
	return site->shapes[group].sites[0] == site->index || site->shapes[group].sites[1] == site->index;
}

void site_forget_held(struct site *site, unsigned group)
{
	for (unsigned i = 0; i < MODEL_DISKS_MAX; i++) {
		free(site->units[group].held[i]);
		site->units[group].held[i] = NULL;
	}
}

/* Told when it has given up the lead, before anything of the new primary has come. */
static void see_held(struct site *site, unsigned group, const struct unit_status *status)
{
	struct site_unit *unit = &site->units[group];

	if (!status->divergence_kept || !status->diverged || status->divergence_wall_ms == unit->held_wall_ms)
		return;
	site_forget_held(site, group);
	unit->held_wall_ms = status->divergence_wall_ms;
	for (unsigned i = 0; i < site->shapes[group].disk_count; i++) {
		unit->held_sizes[i] = unit->sizes[i];
		unit->held[i] = memory_new(1, unit->sizes[i]);
		memcpy(unit->held[i], site_bytes(site, group, i), unit->sizes[i]);
	}
}

static void on_unit(void *data, const struct unit_status *status)
{
	struct site *site = data;
	struct site_unit *unit = &site->units[status->id[3] - '0'];

	see_held(site, (unsigned)(status->id[3] - '0'), status);
	unit->role = status->role;
	if (status->role == UNIT_SECONDARY)
		unit->was_point = status->consistent;
	unit->loaded = true;
	unit->status = *status;
	if (status->role != UNIT_PRIMARY || !status->consistent || status->state == UNIT_FAILED_OVER ||
	    status->state == UNIT_SUPERSEDED || unit->stale)
		unit->proven_ns = 0;
	else if (!status->idle && status->recovery_epoch > 0)
		unit->proven_ns = sim_when(site->sim, status->recovery_wall_ms);
}

static void disk_path(const struct site *site, unsigned group, unsigned disk, char out[64])
{
	snprintf(out, 64, "/%s/d-%u-%u.raw", names[site->index], group, disk);
}

void site_init(struct site *site, struct sim *sim, unsigned index, const struct shape *shapes, unsigned group_count,
	       struct sim_host *host)
{
	*site = (struct site){ .sim = sim, .index = index, .shapes = shapes, .group_count = group_count, .host = host };
	for (unsigned i = 0; i < group_count; i++) {
		site->units[i].leads = site->units[i].started = shapes[i].sites[0] == index;
		memcpy(site->units[i].sizes, shapes[i].sizes, sizeof shapes[i].sizes);
	}
}

bool site_has_device(const struct site *site, unsigned group)
{
	return site->shapes[group].devices[site->shapes[group].sites[1] == site->index];
}

/* A device is there before the disk is, and beyond its end lies what somebody else once wrote. */
static void make_disk(struct site *site, unsigned group, unsigned index, const char *path)
{
	uint64_t size = site->units[group].sizes[index], room = site_has_device(site, group) ? DEVICE_ROOM : 0;
	int result = backend_create_file(site->env, path, size + room, NULL);

	assert(result == 0);
	for (uint64_t at = size; at < size + room; at += 64)
		sim_file_rot(site->host, path, at + sim_below(site->sim, 64));
}

static void open_disk(struct site *site, unsigned group, unsigned index)
{
	uint64_t size;
	char path[64], metadata[64], id[32];
	struct backend *backend;
	struct disk *disk;
	int result;

	disk_path(site, group, index, path);
	snprintf(id, sizeof id, "d-%u-%u", group, index);
	snprintf(metadata, sizeof metadata, "/%s/%s", names[site->index], id);
	if (sim_file_bytes(site->host, path, &size) == NULL)
		make_disk(site, group, index, path);
	result = backend_open(site->env, site_has_device(site, group) ? "blockdev" : "file", path, site->units[group].sizes[index],
			      &backend, NULL);
	assert(result == 0);
	result = disk_open(site->env, id, metadata, backend, &disk, NULL);
	assert(result == 0);
	disk_forget_cache(disk);
	engine_add_disk(site_engine(site, group), disk);
}

static void open_unit(struct site *site, unsigned group)
{
	const struct shape *shape = &site->shapes[group];
	struct unit_spec spec = { .rpo_ms = 1000, .disk_count = shape->disk_count, .lineage = "lineage of sim" };
	unsigned other = shape->sites[0] == site->index ? shape->sites[1] : shape->sites[0];
	int result;

	spec.lineage[15] = (uint8_t)group;
	spec.lineage[14] = shape->history;
	spec.compare = shape->history > 0;
	spec.point_epoch = (shape->point_site == site->index) == !site->units[group].leads ? shape->point_epoch : 0;
	site->units[group].stale = false;
	snprintf(spec.id, sizeof spec.id, "%s", site_unit_id(group));
	snprintf(spec.peer, sizeof spec.peer, "%s", names[other]);
	spec.role = site->units[group].leads ? UNIT_PRIMARY : UNIT_SECONDARY;
	for (unsigned i = 0; i < shape->disk_count; i++) {
		snprintf(spec.disks[i].local_disk, ENGINE_ID_SIZE, "d-%u-%u", group, i);
		snprintf(spec.disks[i].remote_disk, ENGINE_ID_SIZE, "d-%u-%u", group, i);
	}
	result = engine_open_unit(site_engine(site, group), &spec, NULL);
	assert(result == 0);
	if (site->units[group].started)
		engine_start_unit(site_engine(site, group), spec.id, false, NULL);
}

void site_renew(struct site *site, unsigned group)
{
	struct site_unit *unit = &site->units[group];

	if (!unit->stale || engine_remove_unit(site_engine(site, group), site_unit_id(group), NULL) < 0)
		return;
	memset(&unit->status, 0, sizeof unit->status);
	unit->loaded = false;
	open_unit(site, group);
}

static void on_visitor(void *data, unsigned shard, struct env_socket *socket, const void *bytes, size_t size)
{
	struct site *site = data;

	visitor_send(site->env, site->shards[shard], socket, bytes, size);
}

static void open_shard(struct site *site, unsigned shard, const struct engine_limits *limits)
{
	const struct engine_events events = { .on_unit = on_unit, .on_visitor = on_visitor };
	struct engine *engine;
	char text[32];
	int result;

	snprintf(text, sizeof text, "/%s", names[site->index]);
	engine = site->shards[shard] = engine_new(site->env, text, names[site->index], limits, &events, site, NULL);
	assert(engine != NULL);
	engine_set_shard(engine, shard, site->shard_count);
	for (unsigned i = 0; i < SITES_MAX; i++) {
		if (i == site->index)
			continue;
		snprintf(text, sizeof text, "sim:%s", names[i]);
		result = engine_add_peer(engine, names[i], text, "a secret of both sites", &site->lines[i], NULL);
		assert(result == 0);
	}
}

static void open_shards(struct site *site)
{
	struct engine_limits limits = engine_limits_default;
	char address[32];
	int result;

	limits.cycle_ms_min = sim_below(site->sim, 2) == 0 ? 20 : 4; /* 4: hardly any rest between cycles */
	limits.tick_ms = 40;
	limits.kept_bytes_max = sim_below(site->sim, 3) == 0 ? 16384 : limits.kept_bytes_max;
	limits.window_bytes_max = 65536;
	limits.divergence_bytes_max = sim_below(site->sim, 4) == 0 ? sim_below(site->sim, 30) * 4096 : limits.divergence_bytes_max;
	site->shard_count = sim_chance(site->sim, 600) ? 1 : 1 + (unsigned)sim_below(site->sim, SHARDS_MAX);
	for (unsigned i = 0; i < site->shard_count; i++)
		open_shard(site, i, &limits);
	snprintf(address, sizeof address, "sim:%s", names[site->index]);
	result = engine_listen(site->shards[0], address, NULL);
	assert(result == 0);
}

/* Every shard hears of a limit, one after the other. */
static void limit_peer(struct site *site, unsigned peer, uint64_t bytes_per_second)
{
	for (unsigned i = 0; i < site->shard_count; i++)
		engine_limit_peer(site->shards[i], names[peer], bytes_per_second, NULL);
}

void site_up(struct site *site)
{
	memset(site->lines, 0, sizeof site->lines);
	site->env = sim_process_start(site->sim, site->host);
	open_shards(site);
	for (unsigned group = 0; group < site->group_count; group++) {
		memset(&site->units[group].status, 0, sizeof site->units[group].status);
		site->units[group].loaded = false;
		site->units[group].shard = (unsigned)sim_below(site->sim, site->shard_count);
		for (unsigned i = 0; site_has(site, group) && i < site->shapes[group].disk_count; i++)
			open_disk(site, group, i);
	}
	for (unsigned i = 0; i < SITES_MAX && sim_chance(site->sim, 200); i++)
		limit_peer(site, i, 1000000 + sim_below(site->sim, 8000000));
	for (unsigned group = 0; group < site->group_count; group++) {
		if (site_has(site, group))
			open_unit(site, group);
	}
}

int site_grow(struct site *site, unsigned group, unsigned disk, uint64_t size, bool compare, bool crashes)
{
	struct env *env = site->env;
	uint64_t *remembered = &site->units[group].sizes[disk], before = *remembered, dies = crashes ? sim_below(site->sim, 3) : 3;
	char id[32];
	int result;

	snprintf(id, sizeof id, "d-%u-%u", group, disk);
	result = engine_extend_disk(site_engine(site, group), id, size, NULL);
	if (result < 0 || dies == 0 || site->env != env)
		return result < 0 ? result : -EIO;
	*remembered = size;
	if (dies == 1)
		return -EIO;
	result = engine_grow_disk(site_engine(site, group), id, size, compare, NULL);
	if (dies == 2 || site->env != env)
		return -EIO;
	if (result < 0)
		*remembered = before;
	return result;
}

void site_kill(struct site *site)
{
	sim_process_kill(site->env);
	site->env = NULL;
	memset(site->shards, 0, sizeof site->shards);
}

struct disk *site_disk(struct site *site, unsigned group, unsigned disk)
{
	char id[32];

	snprintf(id, sizeof id, "d-%u-%u", group, disk);
	return engine_find_disk(site_engine(site, group), id);
}

const uint8_t *site_bytes(const struct site *site, unsigned group, unsigned disk)
{
	char path[64];
	uint64_t size;

	disk_path(site, group, disk, path);
	return sim_file_bytes(site->host, path, &size);
}

void site_rot(struct site *site, unsigned group, unsigned disk, uint64_t offset)
{
	char path[64];

	site_forget_held(site, group);
	disk_path(site, group, disk, path);
	sim_file_rot(site->host, path, offset);
}
