#include "daemon/placement.h"

#include <stdlib.h>

#include "base/memory.h"

struct place {
	struct list link; /* of placement.places */
	struct index *index;
	struct index_node by_id;
	unsigned shard;
};

static struct place *place_find(const struct index *index, const char *id)
{
	const struct list *found = index_find(index, id);

	return found == NULL ? NULL : container_of(found->next, struct place, by_id.entry);
}

static struct place *place_new(struct placement *placement, struct index *index, const char *id, unsigned shard)
{
	struct place *place = memory_new(1, sizeof *place);

	place->shard = shard;
	place->index = index;
	list_append(&placement->places, &place->link);
	index_put(index, &place->by_id, id);
	return place;
}

static void place_free(struct place *place)
{
	list_remove(&place->link);
	index_put(place->index, &place->by_id, "");
	free(place);
}

void placement_init(struct placement *placement, unsigned shards)
{
	*placement = (struct placement){ .shards = shards };
	list_init(&placement->places);
}

void placement_fini(struct placement *placement)
{
	list_for_each(entry, &placement->places)
		place_free(container_of(entry, struct place, link));
}

unsigned placement_of_disk(const struct placement *placement, const char *id)
{
	const struct place *place = place_find(&placement->disks, id);

	return place == NULL ? 0 : place->shard;
}

unsigned placement_of_unit(const struct placement *placement, const char *id)
{
	const struct place *place = place_find(&placement->units, id);

	return place == NULL ? 0 : place->shard;
}

bool placement_knows_unit(const struct placement *placement, const char *id)
{
	return place_find(&placement->units, id) != NULL;
}

/* The first of those that have the least, or the most. */
static unsigned rank_of(const unsigned *counts, unsigned shards, bool most)
{
	unsigned best = 0;

	for (unsigned i = 1; i < shards; i++) {
		if (most ? counts[i] > counts[best] : counts[i] < counts[best])
			best = i;
	}
	return best;
}

unsigned placement_add_disk(struct placement *placement, const char *id)
{
	struct place *place = place_find(&placement->disks, id);

	if (place == NULL) {
		place = place_new(placement, &placement->disks, id, rank_of(placement->disk_counts, placement->shards, false));
		placement->disk_counts[place->shard]++;
	}
	return place->shard;
}

unsigned placement_add_unit(struct placement *placement, const struct unit_spec *spec)
{
	struct place *place = place_find(&placement->units, spec->id);
	unsigned counts[ENGINE_SHARDS_MAX] = { 0 };

	for (uint32_t i = 0; i < spec->disk_count; i++)
		counts[placement_of_disk(placement, spec->disks[i].local_disk)]++;
	if (place == NULL)
		place = place_new(placement, &placement->units, spec->id, rank_of(counts, placement->shards, true));
	return place->shard;
}

void placement_move_disk(struct placement *placement, const char *id, unsigned shard)
{
	struct place *place = place_find(&placement->disks, id);

	if (place == NULL)
		return;
	placement->disk_counts[place->shard]--;
	placement->disk_counts[shard]++;
	place->shard = shard;
}

void placement_forget_disk(struct placement *placement, const char *id)
{
	struct place *place = place_find(&placement->disks, id);

	if (place == NULL)
		return;
	placement->disk_counts[place->shard]--;
	place_free(place);
}

void placement_forget_unit(struct placement *placement, const char *id)
{
	struct place *place = place_find(&placement->units, id);

	if (place != NULL)
		place_free(place);
}
