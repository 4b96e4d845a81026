/* An export keeps its place in the array for as long as it is there, so that a list that is being read misses none of those that
 * stay. Free places form a list through their `next_free`. */
#include "daemon/exports.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/index.h"
#include "base/log.h"
#include "base/memory.h"
#include "env/uring/loop.h"
#include "nbd/session.h"

#define NO_PLACE UINT32_MAX

struct entry {
	struct index_node by_name;
	char name[INDEX_KEY_SIZE];
	char description[128];
	unsigned shard;
	uint32_t place;
};

/* A place in the array: an export's, or free. */
struct place {
	struct entry *entry;
	uint32_t next_free; /* without an entry */
};

/* Where to post for a shard. */
struct door {
	struct env *env;
	struct nbd_server *server; /* NULL: nothing is taken */
	unsigned awaited;          /* posted there, and not arrived */
};

struct exports {
	pthread_mutex_t lock; /* of all that follows */
	struct index by_name;
	struct place *places;
	uint32_t place_count, place_room, first_free;
	unsigned shards;
	struct door *doors;
	uint32_t clients, clients_max;
	uint64_t clients_ever;
	bool refusing; /* the limit is reached, and was logged */
};

struct exports *exports_new(unsigned shards, uint32_t clients_max)
{
	struct exports *exports = memory_new(1, sizeof *exports);

	pthread_mutex_init(&exports->lock, NULL);
	exports->first_free = NO_PLACE;
	exports->shards = shards;
	exports->doors = memory_new(shards, sizeof *exports->doors);
	exports->clients_max = clients_max;
	return exports;
}

/* --- exports --- */

static struct entry *entry_find(const struct exports *exports, const char *name)
{
	const struct list *found = index_find(&exports->by_name, name);

	return found == NULL ? NULL : container_of(found->next, struct entry, by_name.entry);
}

static uint32_t place_take(struct exports *exports, struct entry *entry)
{
	uint32_t taken = exports->first_free;

	if (taken != NO_PLACE) {
		exports->first_free = exports->places[taken].next_free;
	} else {
		taken = exports->place_count++;
		if (taken == exports->place_room) {
			exports->place_room = 2 * taken + 16;
			exports->places = memory_resize(exports->places, exports->place_room, sizeof *exports->places);
		}
	}
	exports->places[taken].entry = entry;
	return taken;
}

static void entry_free(struct exports *exports, struct entry *entry)
{
	exports->places[entry->place] = (struct place){ NULL, exports->first_free };
	exports->first_free = entry->place;
	index_put(&exports->by_name, &entry->by_name, "");
	free(entry);
}

int exports_add(struct exports *exports, const char *name, const char *description, unsigned shard)
{
	struct entry *entry;
	int result = 0;

	pthread_mutex_lock(&exports->lock);
	if (entry_find(exports, name) != NULL) {
		result = -EEXIST;
	} else {
		entry = memory_new(1, sizeof *entry);
		snprintf(entry->name, sizeof entry->name, "%s", name);
		snprintf(entry->description, sizeof entry->description, "%s", description);
		entry->shard = shard;
		entry->place = place_take(exports, entry);
		index_put(&exports->by_name, &entry->by_name, name);
	}
	pthread_mutex_unlock(&exports->lock);
	return result;
}

void exports_remove(struct exports *exports, const char *name)
{
	struct entry *entry;

	pthread_mutex_lock(&exports->lock);
	entry = entry_find(exports, name);
	if (entry != NULL)
		entry_free(exports, entry);
	pthread_mutex_unlock(&exports->lock);
}

bool exports_find(struct exports *exports, const char *name, unsigned *out_shard)
{
	const struct entry *entry;

	pthread_mutex_lock(&exports->lock);
	entry = entry_find(exports, name);
	if (entry != NULL)
		*out_shard = entry->shard;
	pthread_mutex_unlock(&exports->lock);
	return entry != NULL;
}

bool exports_next(struct exports *exports, uint32_t *place, struct nbd_export *out_export)
{
	const struct entry *entry = NULL;

	pthread_mutex_lock(&exports->lock);
	while (entry == NULL && *place < exports->place_count)
		entry = exports->places[(*place)++].entry;
	if (entry != NULL) {
		snprintf(out_export->name, sizeof out_export->name, "%s", entry->name);
		snprintf(out_export->description, sizeof out_export->description, "%s", entry->description);
	}
	pthread_mutex_unlock(&exports->lock);
	return entry != NULL;
}

/* --- servers, and what is posted to them --- */

void exports_join(struct exports *exports, unsigned shard, struct env *env, struct nbd_server *server)
{
	pthread_mutex_lock(&exports->lock);
	exports->doors[shard] = (struct door){ .env = env, .server = server };
	pthread_mutex_unlock(&exports->lock);
}

void exports_leave(struct exports *exports, unsigned shard)
{
	pthread_mutex_lock(&exports->lock);
	exports->doors[shard].server = NULL;
	pthread_mutex_unlock(&exports->lock);
}

bool exports_awaits(struct exports *exports, unsigned shard)
{
	bool awaits;

	pthread_mutex_lock(&exports->lock);
	awaits = exports->doors[shard].awaited > 0;
	pthread_mutex_unlock(&exports->lock);
	return awaits;
}

void exports_arrived(struct exports *exports, unsigned shard)
{
	pthread_mutex_lock(&exports->lock);
	exports->doors[shard].awaited--;
	pthread_mutex_unlock(&exports->lock);
}

/* The door of the shard, with one more under way to it; NULL: it takes nothing. Locked. */
static struct door *door_enter(struct exports *exports, unsigned shard)
{
	struct door *door = shard < exports->shards ? &exports->doors[shard] : NULL;

	if (door == NULL || door->server == NULL)
		return NULL;
	door->awaited++;
	return door;
}

int exports_post(struct exports *exports, unsigned shard, void (*fn)(void *data), void *data, struct nbd_server **out_server)
{
	struct door *door;

	pthread_mutex_lock(&exports->lock);
	door = door_enter(exports, shard);
	if (door != NULL) {
		*out_server = door->server;
		loop_post(door->env, fn, data);
	}
	pthread_mutex_unlock(&exports->lock);
	return door == NULL ? -ESHUTDOWN : 0;
}

int exports_move(struct exports *exports, const char *name, unsigned shard, void (*fn)(void *data), void *data)
{
	struct entry *entry;
	struct door *door;

	pthread_mutex_lock(&exports->lock);
	door = door_enter(exports, shard);
	entry = door == NULL ? NULL : entry_find(exports, name);
	if (entry != NULL)
		entry->shard = shard;
	if (door != NULL)
		loop_post(door->env, fn, data);
	pthread_mutex_unlock(&exports->lock);
	return door == NULL ? -ESHUTDOWN : 0;
}

/* --- clients --- */

uint64_t exports_admit(struct exports *exports)
{
	uint64_t number = 0;
	bool tell = false;

	pthread_mutex_lock(&exports->lock);
	if (exports->clients < exports->clients_max) {
		exports->clients++;
		number = ++exports->clients_ever;
	} else {
		tell = !exports->refusing;
		exports->refusing = true;
	}
	pthread_mutex_unlock(&exports->lock);
	if (tell)
		log_event(LOG_WARNING, "nbd.refusing", "reason=\"too many clients\" clients=%u", exports->clients_max);
	return number;
}

void exports_dismiss(struct exports *exports)
{
	pthread_mutex_lock(&exports->lock);
	exports->clients--;
	exports->refusing = false;
	pthread_mutex_unlock(&exports->lock);
}

void exports_free(struct exports *exports)
{
	for (uint32_t place = 0; place < exports->place_count; place++) {
		if (exports->places[place].entry != NULL)
			entry_free(exports, exports->places[place].entry);
	}
	pthread_mutex_destroy(&exports->lock);
	free(exports->places);
	free(exports->doors);
	free(exports);
}
