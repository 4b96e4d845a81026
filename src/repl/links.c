/* Which links there are to be: one from this shard to each of the peer's.
 *
 * How many that are only the peer knows, and it may come back with another number: its shard 0 tells with every handshake. So the
 * link to shard 0 is dialled for ever, the others while it is up. A link to a shard that is no more ends, and stays down. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "repl/link_internal.h"

#define TICK_NS SECOND_NS
#define SECRET_SIZE_MIN 16u

void links_look_at(struct links *links, uint64_t at_ns)
{
	bool waits = links->timer.heap_index != 0;

	if (!links->closing && (!waits || at_ns < links->timer.at_ns))
		env_timer_start(links->env, &links->timer, at_ns);
}

/* --- dialling --- */

static bool link_is_wanted(const struct link *link)
{
	const struct peer *peer = link->peer;

	return peer->dials && (link->shard == 0 || (link->shard < peer->shards && peer->to[0].up != NULL));
}

/* Dials what is due; `next` becomes the time of what is not due yet. True when anything is lacking. */
static bool peer_dial(struct peer *peer, uint64_t now, uint64_t *next)
{
	bool lacking = false;

	for (unsigned i = 0; i < LINK_SHARDS_MAX; i++) {
		struct link *link = &peer->to[i];

		if (!link_is_wanted(link) || link->up != NULL || link->dialling != NULL)
			continue;
		if (link->redial_at_ns <= now)
			connection_dial(link);
		else if (link->redial_at_ns < *next)
			*next = link->redial_at_ns;
		lacking = true;
	}
	return lacking;
}

static void on_tick(struct env_timer *timer)
{
	struct links *links = timer->data;
	uint64_t now = env_now_ns(links->env), next = now + TICK_NS;
	bool busy = connections_watch(links, now);

	list_for_each(entry, &links->peers)
		busy = peer_dial(container_of(entry, struct peer, entry), now, &next) || busy;
	if (busy)
		links_look_at(links, next);
}

static void link_end(struct link *link, const char *reason)
{
	if (link->dialling != NULL)
		connection_close(link->dialling, reason);
	if (link->up != NULL)
		connection_close(link->up, reason);
}

void peer_has_shards(struct peer *peer, unsigned shards)
{
	peer->shards = shards;
	for (unsigned i = shards; i < LINK_SHARDS_MAX; i++)
		link_end(&peer->to[i], "the peer has fewer shards than before");
	if (peer->dials && shards > 1)
		links_look_at(peer->links, env_now_ns(peer->links->env));
}

/* --- the set --- */

struct links *links_new(struct env *env, const char *site, const struct link_handler *handler, void *data)
{
	struct links *links = memory_new(1, sizeof *links);

	links->env = env;
	links->handler = *handler;
	links->data = data;
	links->shards = 1;
	links->timer.on_fire = on_tick;
	links->timer.data = links;
	snprintf(links->site, sizeof links->site, "%s", site);
	list_init(&links->peers);
	list_init(&links->connections);
	return links;
}

void links_set_shard(struct links *links, unsigned shard, unsigned shards)
{
	assert(shard < shards && shards <= LINK_SHARDS_MAX && list_is_empty(&links->peers));
	links->shard = shard;
	links->shards = shards;
}

static void on_accept(struct env_listener *listener, struct env_socket *socket, void *data)
{
	(void)listener;
	connection_accept(data, socket, NULL, 0);
}

int links_listen(struct links *links, const char *address, struct error *error)
{
	assert(links->shard == 0);
	return env_listen(links->env, address, on_accept, links, &links->listener, error);
}

const char *links_address(const struct links *links)
{
	return links->listener == NULL ? "" : env_listener_address(links->listener);
}

void links_accept(struct links *links, struct env_socket *socket, const void *bytes, size_t size)
{
	connection_accept(links, socket, bytes, size);
}

static void link_init(struct peer *peer, unsigned shard, struct pace_line *line)
{
	struct link *link = &peer->to[shard];

	link->peer = peer;
	link->shard = shard;
	link->redial_ns = REDIAL_NS_MIN;
	snprintf(link->reason, sizeof link->reason, "not connected yet");
	pace_init(link, line);
}

int links_add(struct links *links, const char *name, const char *address, const char *secret, struct pace_line *line,
	      struct error *error)
{
	struct peer *peer;

	if (name[0] == 0 || strlen(name) >= FRAME_NAME_SIZE || strcmp(name, links->site) == 0)
		return error_set(error, -EINVAL, "a peer's name must differ from this site's, and have 1 to %u characters",
				 FRAME_NAME_SIZE - 1);
	if (links_peer(links, name) != NULL)
		return error_set(error, -EEXIST, "peer %s is named twice", name);
	if (strlen(secret) < SECRET_SIZE_MIN)
		return error_set(error, -EINVAL, "the secret shared with peer %s must have %u characters or more", name,
				 SECRET_SIZE_MIN);
	peer = memory_new(1, sizeof *peer);
	peer->links = links;
	peer->shards = 1;
	snprintf(peer->name, sizeof peer->name, "%s", name);
	snprintf(peer->address, sizeof peer->address, "%s", address == NULL ? "" : address);
	peer->secret = memory_copy_text(secret);
	peer->dials = peer->address[0] != 0 && strcmp(links->site, name) < 0;
	for (unsigned i = 0; i < LINK_SHARDS_MAX; i++)
		link_init(peer, i, line);
	list_append(&links->peers, &peer->entry);
	if (peer->dials)
		links_look_at(links, env_now_ns(links->env));
	return 0;
}

struct peer *links_peer(struct links *links, const char *name)
{
	list_for_each(entry, &links->peers) {
		struct peer *peer = container_of(entry, struct peer, entry);

		if (strcmp(peer->name, name) == 0)
			return peer;
	}
	return NULL;
}

struct link *links_find(struct links *links, const char *name)
{
	struct peer *peer = links_peer(links, name);

	return peer == NULL ? NULL : &peer->to[0];
}

void links_close(struct links *links)
{
	links->closing = true;
	env_timer_stop(links->env, &links->timer);
	if (links->listener != NULL)
		env_listener_close(links->listener);
	links->listener = NULL;
	connections_close(links, "this site is stopping");
}

static void count_deferred(struct link *link, void *data)
{
	*(unsigned *)data += link->pace.deferred;
}

bool links_are_idle(struct links *links)
{
	unsigned deferred = 0;

	links_each(links, count_deferred, &deferred);
	return deferred == 0 && list_is_empty(&links->connections);
}

void links_free(struct links *links)
{
	struct list *entry;

	assert(links_are_idle(links));
	while ((entry = list_pop(&links->peers)) != NULL) {
		struct peer *peer = container_of(entry, struct peer, entry);

		memory_wipe(peer->secret, strlen(peer->secret));
		free(peer->secret);
		free(peer);
	}
	free(links);
}

void links_each(struct links *links, void (*visit)(struct link *link, void *data), void *data)
{
	list_for_each(entry, &links->peers) {
		struct peer *peer = container_of(entry, struct peer, entry);

		for (unsigned i = 0; i < LINK_SHARDS_MAX; i++)
			visit(&peer->to[i], data);
	}
}

/* --- one of them --- */

struct pace *link_pace(struct link *link)
{
	return &link->pace;
}

struct engine *link_engine(const struct link *link)
{
	return link->peer->links->data;
}

const char *link_peer(const struct link *link)
{
	return link->peer->name;
}

unsigned link_shard(const struct link *link)
{
	return link->shard;
}

unsigned link_shards(const struct link *link)
{
	return link->peer->shards;
}

struct link *link_to_shard(const struct link *link, unsigned shard)
{
	return &link->peer->to[shard];
}

bool link_is_up(const struct link *link)
{
	return link->up != NULL;
}

const char *link_reason(const struct link *link)
{
	return link->reason;
}

size_t link_queued_bytes(const struct link *link)
{
	return link->queued_bytes;
}

bool link_clock(const struct link *link, int64_t *out_ahead_ms)
{
	*out_ahead_ms = link->clock.ahead_ms;
	return link->clock.at_ns != 0;
}
