#include "sim/model.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

#define NEVER UINT64_MAX
#define ZERO 0u /* the value of a sector of zeros */
#define ANYTHING NEVER /* the value of one that nobody has written, beyond the old end of a disk that has grown */

/* One entry of a sector's history. */
struct entry {
	uint64_t value;  /* the stamp, or ZERO */
	uint64_t number; /* of the write */
	bool stable;     /* seen after a power cut; the write's other sectors may have been lost */
};

struct sector {
	struct entry *entries;
	uint32_t count, room;
};

struct write {
	uint64_t issued, acked; /* NEVER */
	bool stable, over;
};

struct model {
	uint64_t series; /* of the stamps, in their upper half */
	unsigned disk_count;
	uint64_t sectors[MODEL_DISKS_MAX];
	struct sector *disks[MODEL_DISKS_MAX];
	struct write *writes; /* by number; adopted entries have a write of their own */
	uint64_t write_count, write_room;
	uint8_t *write_disk;
};

static uint64_t write_new(struct model *model, unsigned disk, uint64_t issued, uint64_t acked)
{
	if (model->write_count == model->write_room) {
		model->write_room = 2 * model->write_room + 64;
		model->writes = memory_resize(model->writes, model->write_room, sizeof *model->writes);
		model->write_disk = memory_resize(model->write_disk, model->write_room, 1);
	}
	model->writes[model->write_count] = (struct write){ .issued = issued, .acked = acked };
	model->write_disk[model->write_count] = (uint8_t)disk;
	return model->write_count++;
}

static void sector_add(struct sector *sector, uint64_t value, uint64_t number)
{
	if (sector->count == sector->room) {
		sector->room = 2 * sector->room + 2;
		sector->entries = memory_resize(sector->entries, sector->room, sizeof *sector->entries);
	}
	sector->entries[sector->count++] = (struct entry){ .value = value, .number = number };
}

/* The value a sector shows, or ANYTHING when it is no stamp. */
static uint64_t value_of(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof value);
	for (size_t i = 0; i < MODEL_SECTOR; i += sizeof value) {
		if (memcmp(bytes + i, &value, sizeof value) != 0)
			return ANYTHING;
	}
	return value;
}

struct model *model_new(unsigned disk_count, const uint64_t *sizes, const uint8_t *const *images, uint32_t series)
{
	struct model *model = memory_new(1, sizeof *model);

	assert(disk_count <= MODEL_DISKS_MAX);
	model->disk_count = disk_count;
	model->series = (uint64_t)series << 32;
	write_new(model, 0, 0, 0); /* number 0: what every disk began with */
	model->writes[0].stable = true;
	for (unsigned i = 0; i < disk_count; i++) {
		model->sectors[i] = sizes[i] / MODEL_SECTOR;
		model->disks[i] = memory_new(model->sectors[i], sizeof(struct sector));
		for (uint64_t s = 0; s < model->sectors[i]; s++)
			sector_add(&model->disks[i][s], images == NULL ? ZERO : value_of(images[i] + s * MODEL_SECTOR), 0);
	}
	return model;
}

void model_free(struct model *model)
{
	for (unsigned i = 0; i < model->disk_count; i++) {
		for (uint64_t s = 0; s < model->sectors[i]; s++)
			free(model->disks[i][s].entries);
		free(model->disks[i]);
	}
	free(model->writes);
	free(model->write_disk);
	free(model);
}

void model_grow(struct model *model, unsigned disk, uint64_t size)
{
	uint64_t from = model->sectors[disk], end = size / MODEL_SECTOR;

	model->disks[disk] = memory_resize(model->disks[disk], end, sizeof(struct sector));
	for (uint64_t s = from; s < end; s++) {
		model->disks[disk][s] = (struct sector){ 0 };
		sector_add(&model->disks[disk][s], ANYTHING, 0);
	}
	model->sectors[disk] = end;
}

/* Can this entry be what the sector shows? */
static bool matches(const struct entry *entry, uint64_t value)
{
	return entry->value == value || (entry->value == ANYTHING && value == ZERO);
}

uint64_t model_issue(struct model *model, unsigned disk, uint64_t offset, uint64_t length, bool zero, uint64_t now)
{
	uint64_t number = write_new(model, disk, now, NEVER);

	for (uint64_t s = offset / MODEL_SECTOR; s < (offset + length) / MODEL_SECTOR; s++)
		sector_add(&model->disks[disk][s], zero ? ZERO : model->series + number, number);
	return number;
}

void model_ack(struct model *model, uint64_t number, uint64_t now)
{
	model->writes[number].acked = now;
}

void model_stable(struct model *model, uint64_t number)
{
	model->writes[number].stable = true;
}

void model_fail(struct model *model, uint64_t number)
{
	model->writes[number].over = true;
}

void model_flush(struct model *model, unsigned disk, uint64_t began)
{
	for (uint64_t i = 0; i < model->write_count; i++) {
		if (model->write_disk[i] == disk && model->writes[i].acked != NEVER && model->writes[i].acked <= began)
			model->writes[i].stable = true;
	}
}

void model_stamp(const struct model *model, uint64_t number, uint8_t out[MODEL_SECTOR])
{
	uint64_t value = model->series + number;

	for (size_t i = 0; i < MODEL_SECTOR; i += sizeof value)
		memcpy(out + i, &value, sizeof value);
}

bool model_adopt(struct model *model, unsigned disk, const uint8_t *bytes, enum model_loss loss, uint64_t now, char why[200])
{
	for (uint64_t s = 0; s < model->sectors[disk]; s++) {
		struct sector *sector = &model->disks[disk][s];
		uint64_t value = value_of(bytes + s * MODEL_SECTOR);
		uint32_t must = 0; /* the oldest entry that may be seen */
		bool found = false;

		for (uint32_t i = 0; i < sector->count; i++) {
			const struct write *write = &model->writes[sector->entries[i].number];

			if (write->stable || sector->entries[i].stable || (loss == MODEL_LOSS_NONE && write->acked != NEVER))
				must = i;
		}
		for (uint32_t i = must; i < sector->count; i++)
			found |= matches(&sector->entries[i], value);
		if (!found) {
			snprintf(why, 200, "disk %u sector %llu shows %llx: a write that was stable is missing", disk,
				 (unsigned long long)s, (unsigned long long)value);
			return false;
		}
		if (!matches(&sector->entries[sector->count - 1], value)) {
			uint64_t number = write_new(model, disk, now, now);

			sector_add(sector, value, number);
		}
		sector->entries[sector->count - 1].stable |= loss == MODEL_LOSS_POWER;
	}
	return true;
}

/* Does instant T explain this sector's value? */
static bool explains(const struct model *model, const struct sector *sector, uint64_t value, uint64_t instant)
{
	for (uint32_t i = 0; i < sector->count; i++) {
		if (!matches(&sector->entries[i], value) || model->writes[sector->entries[i].number].issued > instant)
			continue;
		if (i + 1 == sector->count || model->writes[sector->entries[i + 1].number].acked > instant)
			return true;
	}
	return false;
}

/* The span of instants a sector with one matching entry allows narrows [lo, hi); false when it has several. */
static bool narrow(const struct model *model, const struct sector *sector, uint64_t value, uint64_t *lo, uint64_t *hi,
		   bool *out_found)
{
	uint32_t found = 0, at = 0;
	uint64_t issued, next;

	for (uint32_t i = 0; i < sector->count; i++) {
		if (matches(&sector->entries[i], value)) {
			found++;
			at = i;
		}
	}
	*out_found = found > 0;
	if (found != 1)
		return false;
	issued = model->writes[sector->entries[at].number].issued;
	next = at + 1 < sector->count ? model->writes[sector->entries[at + 1].number].acked : NEVER;
	if (issued > *lo)
		*lo = issued;
	if (next < *hi)
		*hi = next;
	return true;
}

bool model_is_point_in_time(const struct model *model, const uint8_t *const *images, uint64_t not_before, char why[200])
{
	uint64_t lo = not_before, hi = NEVER, instant;
	bool found;

	for (unsigned disk = 0; disk < model->disk_count; disk++) {
		for (uint64_t s = 0; s < model->sectors[disk]; s++) {
			uint64_t value = value_of(images[disk] + s * MODEL_SECTOR);

			narrow(model, &model->disks[disk][s], value, &lo, &hi, &found);
			if (!found || lo >= hi) {
				snprintf(why, 200, "disk %u sector %llu shows write %llx: %s", disk, (unsigned long long)s,
					 (unsigned long long)value, found ? "no instant fits it and the others" :
					 "bytes that were never written there");
				return false;
			}
		}
	}
	/* Sectors with several explanations: each write's issue time in the span is an instant to try, beside its start. */
	for (uint64_t i = 0; i <= model->write_count; i++) {
		bool good = true;

		instant = i == model->write_count ? lo : model->writes[i].issued;
		if (instant < lo || instant >= hi)
			continue;
		for (unsigned disk = 0; good && disk < model->disk_count; disk++) {
			for (uint64_t s = 0; good && s < model->sectors[disk]; s++)
				good = explains(model, &model->disks[disk][s], value_of(images[disk] + s * MODEL_SECTOR), instant);
		}
		if (good)
			return true;
	}
	snprintf(why, 200, "no instant between %llu and %llu explains every sector", (unsigned long long)lo,
		 (unsigned long long)hi);
	return false;
}
