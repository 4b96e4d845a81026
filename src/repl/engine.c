#include "repl/engine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "repl/internal.h"

#define CLOSING_TICK_NS (5 * MS_NS)
/* Marks of extents that were quiet for so long are removed: a power cut then compares less. */
#define COOL_TICKS 10u

const struct engine_limits engine_limits_default = {
	.kept_bytes_max = UINT64_C(256) << 20,
	.window_bytes_max = UINT64_C(16) << 20,
	.staging_bytes_max = UINT64_C(1) << 40,
	.cycle_ms_min = 500,
	.divergence_bytes_max = UINT64_C(10) << 30,
	.tick_ms = 1000,
};

/* --- frames --- */

static void on_message(struct engine *engine, struct link *link, const struct frame_header *header, const uint8_t *payload)
{
	if (link_shard(link) == 0 && engine->events.on_message != NULL && header->payload_size <= ENGINE_MESSAGE_MAX)
		engine->events.on_message(engine->data, link_peer(link), header->type == FRAME_ANSWER, header->sequence, payload,
					  header->payload_size);
}

/* Which half of a unit a frame is for. */
static bool is_for_sender(enum frame_type type)
{
	return type == FRAME_UNIT_STATE || type == FRAME_DIFFER || type == FRAME_CHANGES || type == FRAME_SYNC_ACK ||
	       type == FRAME_EPOCH_ACK || type == FRAME_FLOW;
}

static void on_sender_frame(struct unit *unit, const struct frame_header *header, const uint8_t *payload)
{
	const struct sender *sender = &unit->sender;
	uint64_t epoch = sender->phase == SENDER_SWEEPING ? 0 : sender->closed_epoch;

	if (header->type == FRAME_UNIT_STATE)
		handshake_on_state(unit, header, payload);
	else if (header->type == FRAME_CHANGES)
		changes_on_piece(unit, header, payload);
	else if (header->term != unit->record.term || header->epoch != epoch)
		return; /* of an epoch given up since */
	else if (header->type == FRAME_SYNC_ACK)
		full_sync_on_ack(unit, header->sequence);
	else if (header->type == FRAME_DIFFER)
		ship_on_differ(unit, header, payload);
	else if (header->type == FRAME_EPOCH_ACK)
		sender_on_epoch_ack(unit, header);
	else
		sender_on_flow(unit, header->sequence);
}

static void on_frame(void *data, struct link *link, const struct frame_header *header, const uint8_t *frame)
{
	struct engine *engine = data;
	const uint8_t *payload = frame + FRAME_HEADER_SIZE;
	struct unit *unit;

	if (header->type == FRAME_MESSAGE || header->type == FRAME_ANSWER) {
		on_message(engine, link, header, payload);
		return;
	}
	if (header->type == FRAME_UNIT_OFFER) {
		handshake_on_offer(engine, link, header, payload);
		return;
	}
	unit = unit_find_lineage(engine, header->lineage);
	if (unit == NULL || unit->peer != link || engine->closing)
		return;
	if (is_for_sender(header->type))
		on_sender_frame(unit, header, payload);
	else
		receiver_on_frame(unit, header, frame);
}

static void unit_on_link(struct unit *unit, struct link *link, const char *reason)
{
	if (link_is_up(link)) {
		sender_link_up(unit, link);
	} else if (unit->peer == link) {
		sender_link_down(unit, reason);
		receiver_detach(unit, reason);
	}
}

static void on_link_state(void *data, struct link *link, bool up, const char *reason)
{
	struct engine *engine = data;

	log_event(LOG_INFO, up ? "link.up" : "link.down", "peer=%s reason=\"%s\" shard=%u far=%u", link_peer(link), reason,
		  engine->shard, link_shard(link));
	list_for_each(entry, &engine->units) {
		struct unit *unit = container_of(entry, struct unit, entry);

		if (unit_is_with(unit, link))
			unit_on_link(unit, link, reason);
	}
	if (link_shard(link) == 0 && engine->events.on_link != NULL)
		engine->events.on_link(engine->data, link_peer(link), up, reason);
}

static void on_visitor(void *data, unsigned shard, struct env_socket *socket, const void *bytes, size_t size)
{
	struct engine *engine = data;

	if (engine->events.on_visitor != NULL)
		engine->events.on_visitor(engine->data, shard, socket, bytes, size);
	else
		env_socket_close(socket);
}

/* --- the tick --- */

static bool engine_is_idle(const struct engine *engine)
{
	list_for_each(entry, &engine->units) {
		const struct unit *unit = container_of(entry, const struct unit, entry);

		if (!unit_is_idle(unit) || unit->applier.running || !receiver_is_quiet(unit))
			return false;
	}
	list_for_each(entry, &engine->disks) {
		if (!disk_is_idle(container_of(entry, const struct engine_disk, entry)->disk))
			return false;
	}
	return links_are_idle(engine->links);
}

static void engine_watch_disk(struct engine *engine, struct engine_disk *slot)
{
	int failure = disk_failure(slot->disk);

	if (failure == 0 || slot->failure_told)
		return;
	slot->failure_told = true;
	if (slot->unit != NULL)
		unit_fail(slot->unit, "a disk failed", failure);
	if (engine->events.on_disk_failed != NULL)
		engine->events.on_disk_failed(engine->data, disk_id(slot->disk), failure);
}

static void stop_pace(struct link *link, void *data)
{
	pace_stop(data, link);
}

static void on_tick(struct env_timer *timer)
{
	struct engine *engine = timer->data;

	if (engine->closing) {
		if (engine_is_idle(engine)) {
			engine->on_shutdown(engine->shutdown_data);
			return;
		}
		env_timer_start(engine->env, timer, env_now_ns(engine->env) + CLOSING_TICK_NS);
		return;
	}
	engine->ticks++;
	list_for_each(entry, &engine->disks) {
		struct engine_disk *slot = container_of(entry, struct engine_disk, entry);

		engine_watch_disk(engine, slot);
		if (engine->ticks % COOL_TICKS == 0)
			disk_cool(slot->disk);
	}
	list_for_each(entry, &engine->units) {
		struct unit *unit = container_of(entry, struct unit, entry);

		/* An apply that waited for room. */
		if (unit->step == STEP_NONE && unit_follows(unit) && unit->record.committed > unit->record.applied &&
		    !unit->receiver.committing)
			apply_start(unit);
		if (unit->step == STEP_NONE)
			unit_forget_changes(unit);
		unit_step_continue(unit);
		unit_tell_changes(unit);
	}
	env_timer_start(engine->env, timer, env_now_ns(engine->env) + engine->limits.tick_ms * MS_NS);
}

/* --- beginning and end --- */

struct engine *engine_new(struct env *env, const char *directory, const char *site, const struct engine_limits *limits,
			  const struct engine_events *events, void *data, struct error *error)
{
	static const struct link_handler handler = { .on_state = on_link_state, .on_frame = on_frame,
							   .on_visitor = on_visitor };
	struct engine *engine = memory_new(1, sizeof *engine);
	char units[sizeof engine->directory + 8];
	int result;

	engine->env = env;
	engine->limits = *limits;
	engine->events = *events;
	engine->data = data;
	list_init(&engine->disks);
	list_init(&engine->units);
	snprintf(engine->directory, sizeof engine->directory, "%s", directory);
	snprintf(engine->site, sizeof engine->site, "%s", site);
	snprintf(units, sizeof units, "%s/units", engine->directory);
	result = env_directory_create(env, engine->directory);
	if (result == 0)
		result = env_directory_create(env, units);
	if (result < 0) {
		error_set_errno(error, result, "cannot make the folder %s", units);
		free(engine);
		return NULL;
	}
	engine->links = links_new(env, engine->site, &handler, engine);
	engine->timer.on_fire = on_tick;
	engine->timer.data = engine;
	env_timer_start(env, &engine->timer, env_now_ns(env) + limits->tick_ms * MS_NS);
	return engine;
}

void engine_set_shard(struct engine *engine, unsigned shard, unsigned shards)
{
	engine->shard = shard;
	links_set_shard(engine->links, shard, shards);
}

void engine_shutdown(struct engine *engine, void (*on_done)(void *data), void *data)
{
	list_for_each(entry, &engine->units) {
		struct unit *unit = container_of(entry, struct unit, entry);

		if (unit_leads(unit))
			sender_stop(unit, false);
		receiver_detach(unit, "this site is stopping");
	}
	engine->closing = true;
	links_each(engine->links, stop_pace, engine);
	engine->on_shutdown = on_done;
	engine->shutdown_data = data;
	links_close(engine->links);
	env_timer_start(engine->env, &engine->timer, env_now_ns(engine->env));
}

void engine_free(struct engine *engine)
{
	env_timer_stop(engine->env, &engine->timer);
	list_for_each(entry, &engine->units)
		unit_free(container_of(entry, struct unit, entry));
	list_for_each(entry, &engine->disks) {
		struct engine_disk *slot = container_of(entry, struct engine_disk, entry);

		index_put(&engine->disks_by_id, &slot->by_id, "");
		disk_close(slot->disk);
		free(slot);
	}
	links_free(engine->links);
	free(engine);
}

/* --- links --- */

int engine_listen(struct engine *engine, const char *address, struct error *error)
{
	return links_listen(engine->links, address, error);
}

const char *engine_address(const struct engine *engine)
{
	return links_address(engine->links);
}

void engine_accept(struct engine *engine, struct env_socket *socket, const void *bytes, size_t size)
{
	links_accept(engine->links, socket, bytes, size);
}

int engine_add_peer(struct engine *engine, const char *peer, const char *address, const char *secret, struct pace_line *line,
		    struct error *error)
{
	return links_add(engine->links, peer, address, secret, line, error);
}

int engine_limit_peer(struct engine *engine, const char *peer, uint64_t bytes_per_second, struct error *error)
{
	struct link *link = links_find(engine->links, peer);

	if (link == NULL)
		return error_set(error, -ENOENT, "peer %s is not in this site's configuration", peer);
	pace_set_limit(engine, link, bytes_per_second);
	return 0;
}

bool engine_peer_is_up(const struct engine *engine, const char *peer)
{
	struct link *link = links_find(engine->links, peer);

	return link != NULL && link_is_up(link);
}

int engine_send_message(struct engine *engine, const char *peer, bool is_answer, uint64_t id, const void *bytes, size_t size)
{
	struct frame_header header = { .version = FRAME_VERSION_MAX, .type = is_answer ? FRAME_ANSWER : FRAME_MESSAGE,
				       .sequence = id };
	struct link *link = links_find(engine->links, peer);

	if (link == NULL || !link_is_up(link))
		return -ENOTCONN;
	if (size > ENGINE_MESSAGE_MAX)
		return -EMSGSIZE;
	if (link_queued_bytes(link) > 4 * engine->limits.window_bytes_max)
		return -EAGAIN;
	link_send_small(link, &header, bytes, (uint32_t)size);
	return 0;
}

/* --- disks --- */

void engine_add_disk(struct engine *engine, struct disk *disk)
{
	struct engine_disk *slot = memory_new(1, sizeof *slot);

	slot->disk = disk;
	list_append(&engine->disks, &slot->entry);
	index_put(&engine->disks_by_id, &slot->by_id, disk_id(disk));
}

struct engine_disk *engine_disk_find(struct engine *engine, const char *id)
{
	const struct list *found = index_find(&engine->disks_by_id, id);

	return found == NULL ? NULL : container_of(found->next, struct engine_disk, by_id.entry);
}

struct disk *engine_find_disk(struct engine *engine, const char *id)
{
	struct engine_disk *slot = engine_disk_find(engine, id);

	return slot == NULL ? NULL : slot->disk;
}

int engine_extend_disk(struct engine *engine, const char *id, uint64_t size, struct error *error)
{
	struct engine_disk *slot = engine_disk_find(engine, id);
	int result;

	if (slot == NULL)
		return error_set(error, -ENOENT, "disk %s is not open here", id);
	result = disk_extend(slot->disk, size);
	if (result == -ENOTSUP)
		return error_set(error, result, "the device of disk %s has less than %llu bytes: make it larger first", id,
				 (unsigned long long)size);
	return result < 0 ? error_set_errno(error, result, "cannot make room for disk %s", id) : 0;
}

int engine_suspect_disk(struct engine *engine, const char *id, uint64_t from, struct error *error)
{
	struct engine_disk *slot = engine_disk_find(engine, id);
	int result;

	if (slot == NULL)
		return error_set(error, -ENOENT, "disk %s is not open here", id);
	result = disk_suspect_from(slot->disk, from);
	return result < 0 ? error_set_errno(error, result, "cannot mark disk %s", id) : 0;
}

int engine_grow_disk(struct engine *engine, const char *id, uint64_t size, bool compare, struct error *error)
{
	struct engine_disk *slot = engine_disk_find(engine, id);
	int result;

	if (slot == NULL)
		return error_set(error, -ENOENT, "disk %s is not open here", id);
	if (size < disk_size(slot->disk))
		return error_set(error, -EINVAL, "disk %s has %llu bytes already: it can grow, not shrink", id,
				 (unsigned long long)disk_size(slot->disk));
	if (slot->unit != NULL && (slot->unit->step != STEP_NONE || slot->unit->wish != WISH_NONE))
		return error_set(error, -EBUSY, "unit %s is changing sides", slot->unit->spec.id);
	if (size == disk_size(slot->disk))
		return 0;
	if (!disk_can_untrack(slot->disk))
		return error_set(error, -EAGAIN, "the marks of disk %s are being written", id);
	if (slot->unit != NULL)
		sender_pause(slot->unit);
	result = disk_grow(slot->disk, size, compare);
	if (slot->unit != NULL)
		sender_resume(slot->unit);
	if (result < 0)
		return error_set_errno(error, result, "cannot grow disk %s", id);
	log_event(LOG_INFO, "disk.grown", "disk=%s bytes=%llu", id, (unsigned long long)size);
	return 0;
}

bool engine_disk_is_taken(struct engine *engine, const char *id)
{
	const struct engine_disk *slot = engine_disk_find(engine, id);

	return slot != NULL && slot->unit != NULL;
}

int engine_remove_disk(struct engine *engine, const char *id, struct error *error)
{
	struct engine_disk *slot = engine_disk_find(engine, id);

	if (slot == NULL)
		return 0;
	if (slot->unit != NULL)
		return error_set(error, -EBUSY, "disk %s is in unit %s", id, slot->unit->spec.id);
	if (!disk_is_idle(slot->disk))
		return error_set(error, -EBUSY, "disk %s has requests in flight", id);
	list_remove(&slot->entry);
	index_put(&engine->disks_by_id, &slot->by_id, "");
	disk_close(slot->disk);
	free(slot);
	return 0;
}

/* --- what a side held alone --- */

static struct unit *unit_of_disk(struct engine *engine, const char *id, uint32_t *out_index)
{
	const struct engine_disk *slot = engine_disk_find(engine, id);

	if (slot == NULL || slot->unit == NULL)
		return NULL;
	*out_index = 0;
	while (slot->unit->disks[*out_index].slot != slot)
		++*out_index;
	return slot->unit;
}

bool engine_keeps_diverged(struct engine *engine, const char *disk)
{
	uint32_t index;
	const struct unit *unit = unit_of_disk(engine, disk, &index);

	return unit != NULL && unit->divergence != NULL && unit->step != STEP_LOADING;
}

struct disk *engine_open_diverged(struct engine *engine, const char *id)
{
	uint32_t index;
	struct unit *unit = unit_of_disk(engine, id, &index);
	struct backend *view = unit == NULL ? NULL : divergence_view(unit, index);
	char name[ENGINE_ID_SIZE], metadata[sizeof engine->directory + ENGINE_ID_SIZE + 16];
	struct disk *disk;

	if (view == NULL)
		return NULL;
	snprintf(name, sizeof name, "%s.diverged", id);
	snprintf(metadata, sizeof metadata, "%s/units/%s", engine->directory, name); /* no file: it is never tracked */
	if (disk_open(engine->env, name, metadata, view, &disk, NULL) < 0)
		return NULL;
	disk_set_writable(disk, false);
	return disk;
}

int engine_discard_divergence(struct engine *engine, const char *id, struct error *error)
{
	struct unit *unit = unit_find(engine, id);

	if (unit == NULL)
		return error_set(error, -ENOENT, "unit %s is not open here", id);
	if (unit->step != STEP_NONE)
		return error_set(error, -EAGAIN, "unit %s is still busy: try again", id);
	/* The next record that is written says so; until then a file that is missing does. */
	unit->record.divergence = RECORD_DIVERGENCE_NONE;
	divergence_end(unit, true);
	unit_tell(unit, true);
	return 0;
}
