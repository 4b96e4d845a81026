#include "sim/site.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "disk/disk.h"

#define WALL_START_MS UINT64_C(1700000000000)
#define MS UINT64_C(1000000)

static const char *const names[2] = { "north", "south" };

static void on_unit(void *data, const struct unit_status *status)
{
	struct site *site = data;

	site->status = *status;
	if (status->role == UNIT_PRIMARY && status->recovery_epoch > 0 && !status->idle)
		site->proven_ns = (status->recovery_wall_ms - WALL_START_MS) * MS;
}

static void disk_path(const struct site *site, unsigned disk, char out[64])
{
	snprintf(out, 64, "/%s/d-%s-%u.raw", names[site->index], names[site->index], disk);
}

void site_init(struct site *site, struct sim *sim, unsigned index, unsigned disk_count, const uint64_t *sizes,
	       struct sim_host *host)
{
	*site = (struct site){ .sim = sim, .index = index, .disk_count = disk_count, .host = host };
	memcpy(site->sizes, sizes, disk_count * sizeof sizes[0]);
}

static void open_disk(struct site *site, unsigned index)
{
	char path[64], metadata[64], id[32];
	struct backend *backend;
	struct disk *disk;
	uint64_t size;
	int result = 0;

	disk_path(site, index, path);
	snprintf(id, sizeof id, "d-%s-%u", names[site->index], index);
	snprintf(metadata, sizeof metadata, "/%s/%s", names[site->index], id);
	if (sim_file_bytes(site->host, path, &size) == NULL)
		result = backend_create_file(site->env, path, site->sizes[index], NULL);
	assert(result == 0);
	result = backend_open(site->env, "file", path, site->sizes[index], &backend, NULL);
	assert(result == 0);
	result = disk_open(site->env, id, metadata, backend, &disk, NULL);
	assert(result == 0);
	engine_add_disk(site->engine, disk);
}

static void open_unit(struct site *site)
{
	struct unit_spec spec = { .id = "pg-sim", .rpo_ms = 1000, .disk_count = site->disk_count, .lineage = "lineage of sim" };
	unsigned other = site->index ^ 1;
	int result;

	snprintf(spec.peer, sizeof spec.peer, "%s", names[other]);
	spec.role = site->index == SITE_NORTH ? UNIT_PRIMARY : UNIT_SECONDARY;
	for (unsigned i = 0; i < site->disk_count; i++) {
		snprintf(spec.disks[i].local_disk, ENGINE_ID_SIZE, "d-%s-%u", names[site->index], i);
		snprintf(spec.disks[i].remote_disk, ENGINE_ID_SIZE, "d-%s-%u", names[other], i);
	}
	result = engine_open_unit(site->engine, &spec, NULL);
	assert(result == 0);
	if (site->index == SITE_NORTH && site->started)
		engine_start_unit(site->engine, "pg-sim", false, NULL);
}

void site_up(struct site *site)
{
	struct engine_limits limits = engine_limits_default;
	const struct engine_events events = { .on_unit = on_unit };
	char directory[16], address[32];
	int result;

	limits.cycle_ms_min = 20;
	limits.kept_bytes_max = sim_below(site->sim, 3) == 0 ? 16384 : limits.kept_bytes_max;
	limits.window_bytes_max = 65536;
	snprintf(directory, sizeof directory, "/%s", names[site->index]);
	memset(&site->status, 0, sizeof site->status);
	site->env = sim_process_start(site->sim, site->host);
	site->engine = engine_new(site->env, directory, names[site->index], &limits, &events, site, NULL);
	assert(site->engine != NULL);
	for (unsigned i = 0; i < site->disk_count; i++)
		open_disk(site, i);
	snprintf(address, sizeof address, "sim:%s", names[site->index]);
	result = engine_listen(site->engine, address, NULL);
	assert(result == 0);
	snprintf(address, sizeof address, "sim:%s", names[site->index ^ 1]);
	result = engine_add_peer(site->engine, names[site->index ^ 1], address, "a secret of both sites", NULL);
	assert(result == 0);
	open_unit(site);
}

void site_kill(struct site *site)
{
	sim_process_kill(site->env);
	site->env = NULL;
	site->engine = NULL;
}

struct disk *site_disk(struct site *site, unsigned disk)
{
	char id[32];

	snprintf(id, sizeof id, "d-%s-%u", names[site->index], disk);
	return engine_find_disk(site->engine, id);
}

const uint8_t *site_bytes(const struct site *site, unsigned disk)
{
	char path[64];
	uint64_t size;

	disk_path(site, disk, path);
	return sim_file_bytes(site->host, path, &size);
}
