/* A connection's life is a table: each state permits one frame type at a time until it is up.
 *
 *   dialler:   CONNECTING -> (connected, sends HELLO) GREETED -> (HELLO, sends PROOF) PROVING -> (PROOF) UP
 *   listener:  ACCEPTED -> (HELLO, sends HELLO) CHALLENGED -> (PROOF, sends PROOF) UP
 *
 * A HELLO that wants another shard ends the life of an accepted connection here: its socket, with all that has come on it, goes
 * on as ACCEPTED there. */
#include "repl/link.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "env/env.h"
#include "repl/link_internal.h"
#include "repl/pace.h"

#define HANDSHAKE_NS (10 * SECOND_NS)
#define ASK_AGAIN_NS (5 * SECOND_NS)    /* for the peer's clock, whatever else is said */
#define CLOCK_OLD_NS (30 * SECOND_NS)   /* an estimate so old gives way to a worse one: clocks are set */
#define SILENT_NS (15 * SECOND_NS)      /* nothing received for so long: gone */
#define STRANGER_PAYLOAD_MAX 4096u      /* before the proof */
#define STRANGERS_MAX 64u               /* connections that have proved nothing yet */
#define SEND_IOV 16
#define RECEIVE_BUFFER (FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX)
#define READ_AHEAD 16384u

enum connection_state { CONNECTION_CONNECTING, CONNECTION_GREETED, CONNECTION_PROVING, CONNECTION_ACCEPTED,
			CONNECTION_CHALLENGED, CONNECTION_UP, CONNECTION_CLOSED };

struct connection {
	struct list entry; /* of links->connections */
	struct links *links;
	struct link *link; /* whom it belongs to; NULL for an accepted stranger */
	struct env_socket *socket;
	enum connection_state state;
	bool receiving, sending, connecting;
	uint64_t began_ns, received_ns, pinged_ns;
	struct env_io receive_io, send_io, connect_io;
	uint8_t nonce[FRAME_NONCE_SIZE], peer_nonce[FRAME_NONCE_SIZE];
	struct frame_shards shards, peer_shards; /* as each side's hello said */
	uint8_t version;
	uint8_t *buffer;
	size_t filled;
	struct list queue; /* of struct frame_out */
	struct iovec iov[SEND_IOV];
	int iov_count;
};

static void connection_receive(struct connection *connection);
static void connection_send(struct connection *connection);
static void connection_ping(struct connection *connection, uint64_t now);

struct frame_out *frame_out_new(size_t payload_size_max)
{
	struct frame_out *frame = malloc(sizeof *frame + FRAME_HEADER_SIZE + payload_size_max);

	if (frame == NULL)
		abort();
	list_init(&frame->link);
	frame->size = 0;
	frame->bytes = (uint8_t *)(frame + 1);
	frame->memory = NULL;
	return frame;
}

struct frame_out *frame_out_in_place(uint8_t *bytes, uint8_t *memory)
{
	struct frame_out *frame = memory_new(1, sizeof *frame);

	list_init(&frame->link);
	frame->bytes = bytes;
	frame->memory = memory;
	return frame;
}

static void frame_out_free(struct frame_out *frame)
{
	free(frame->memory);
	free(frame);
}

/* --- connections --- */

static struct connection *connection_new(struct links *links, struct link *link, enum connection_state state)
{
	struct connection *connection = memory_new(1, sizeof *connection);

	connection->links = links;
	connection->link = link;
	connection->state = state;
	connection->began_ns = connection->received_ns = env_now_ns(links->env);
	connection->buffer = memory_resize(NULL, 1, RECEIVE_BUFFER); /* not zeroed: pages that carry nothing cost nothing */
	list_init(&connection->queue);
	list_append(&links->connections, &connection->entry);
	env_random(links->env, connection->nonce, sizeof connection->nonce);
	return connection;
}

static void connection_drop_queue(struct connection *connection)
{
	struct list *entry;

	while ((entry = list_pop(&connection->queue)) != NULL) {
		struct frame_out *frame = container_of(entry, struct frame_out, link);

		if (connection->link != NULL && connection->link->up == connection)
			connection->link->queued_bytes -= frame->size;
		frame_out_free(frame);
	}
}

static void connection_free_when_idle(struct connection *connection)
{
	if (connection->state != CONNECTION_CLOSED || connection->receiving || connection->sending || connection->connecting)
		return;
	connection_drop_queue(connection);
	list_remove(&connection->entry);
	free(connection->buffer);
	free(connection);
}

void connection_close(struct connection *connection, const char *reason)
{
	struct link *link = connection->link;
	struct links *links = connection->links;

	if (connection->state == CONNECTION_CLOSED)
		return;
	if (link == NULL || connection->state == CONNECTION_ACCEPTED || connection->state == CONNECTION_CHALLENGED)
		links->strangers--;
	connection->state = CONNECTION_CLOSED;
	if (connection->socket != NULL)
		env_socket_close(connection->socket);
	connection->socket = NULL;
	if (link == NULL) {
		log_event(LOG_WARNING, "link.refused", "reason=\"%s\"", reason);
	} else {
		if (link->dialling == connection)
			link->dialling = NULL;
		if (!connection->sending)
			connection_drop_queue(connection);
		if (link->up == connection) {
			link->up = NULL;
			link->queued_bytes = 0;
			link->redial_ns = REDIAL_NS_MIN;
			link->redial_at_ns = env_now_ns(links->env) + REDIAL_NS_MIN;
			snprintf(link->reason, sizeof link->reason, "%s", reason);
			links->handler.on_state(links->data, link, false, reason);
		} else if (link->up == NULL) {
			if (!links->closing && strncmp(link->reason, reason, sizeof link->reason - 1) != 0) /* not at each try */
				log_event(LOG_WARNING, "link.failed", "peer=%s reason=\"%s\" shard=%u far=%u", link->peer->name, reason,
				  links->shard, link->shard);
			snprintf(link->reason, sizeof link->reason, "%s", reason);
		}
	}
	links_look_at(links, env_now_ns(links->env) + REDIAL_NS_MIN);
	connection_free_when_idle(connection);
}

static void connection_queue(struct connection *connection, struct frame_out *frame, const struct frame_header *header)
{
	frame_encode(header, frame->bytes);
	frame->size = FRAME_HEADER_SIZE + header->payload_size;
	list_append(&connection->queue, &frame->link);
	if (connection->link != NULL && connection->link->up == connection)
		connection->link->queued_bytes += frame->size;
	connection_send(connection);
}

static void connection_queue_small(struct connection *connection, enum frame_type type, const void *payload, uint32_t size)
{
	struct frame_out *frame = frame_out_new(size);
	struct frame_header header = { .version = FRAME_VERSION_MAX, .type = type, .payload_size = size };

	if (size > 0)
		memcpy(frame->bytes + FRAME_HEADER_SIZE, payload, size);
	connection_queue(connection, frame, &header);
}

static void on_sent(struct env_io *io, int result)
{
	struct connection *connection = io->data;
	struct link *link = connection->link;

	connection->sending = false;
	for (int i = 0; i < connection->iov_count; i++) {
		struct frame_out *frame = container_of(connection->queue.next, struct frame_out, link);

		list_remove(&frame->link);
		if (link != NULL && link->up == connection)
			link->queued_bytes -= frame->size;
		frame_out_free(frame);
	}
	if (connection->state == CONNECTION_CLOSED)
		connection_free_when_idle(connection);
	else if (result < 0)
		connection_close(connection, "the connection broke while sending");
	else
		connection_send(connection);
}

static void connection_send(struct connection *connection)
{
	if (connection->sending || connection->state == CONNECTION_CLOSED || list_is_empty(&connection->queue))
		return;
	connection->iov_count = 0;
	list_for_each(entry, &connection->queue) {
		struct frame_out *frame = container_of(entry, struct frame_out, link);

		connection->iov[connection->iov_count++] = (struct iovec){ .iov_base = frame->bytes, .iov_len = frame->size };
		if (connection->iov_count == SEND_IOV)
			break;
	}
	connection->sending = true;
	connection->send_io = (struct env_io){ .on_done = on_sent, .data = connection };
	env_socket_send(connection->socket, &connection->send_io, connection->iov, connection->iov_count);
}

/* --- proving who one is --- */

static void connection_hello(struct connection *connection)
{
	const struct links *links = connection->links;
	const struct link *link = connection->link;
	struct frame_hello hello = { .version_min = FRAME_VERSION_MIN, .version_max = FRAME_VERSION_MAX };
	uint8_t payload[FRAME_HELLO_SIZE];

	connection->shards = (struct frame_shards){ (uint8_t)links->shard, (uint8_t)links->shards, (uint8_t)link->shard };
	hello.shards = connection->shards;
	memcpy(hello.from, links->site, sizeof hello.from);
	memcpy(hello.to, link->peer->name, sizeof hello.to);
	memcpy(hello.nonce, connection->nonce, sizeof hello.nonce);
	frame_hello_encode(&hello, payload);
	connection_queue_small(connection, FRAME_HELLO, payload, sizeof payload);
}

/* What one side says to prove itself: bound to both names and nonces, to what both said of their shards, to the version, and to
 * who says it. */
static void connection_proof(const struct connection *connection, bool of_dialler, bool by_me, uint8_t out[SHA256_SIZE])
{
	const struct peer *peer = connection->link->peer;
	uint8_t text[32 + 2 * FRAME_NAME_SIZE + 2 * FRAME_NONCE_SIZE] = "offsite link 1";
	const char *speaker = by_me ? connection->links->site : peer->name;
	const char *listener = by_me ? peer->name : connection->links->site;

	frame_shards_encode(by_me ? &connection->shards : &connection->peer_shards, text + 26);
	frame_shards_encode(by_me ? &connection->peer_shards : &connection->shards, text + 28);
	text[30] = connection->version;
	text[31] = of_dialler;
	memcpy(text + 32, speaker, FRAME_NAME_SIZE);
	memcpy(text + 32 + FRAME_NAME_SIZE, listener, FRAME_NAME_SIZE);
	memcpy(text + 32 + 2 * FRAME_NAME_SIZE, by_me ? connection->nonce : connection->peer_nonce, FRAME_NONCE_SIZE);
	memcpy(text + 32 + 2 * FRAME_NAME_SIZE + FRAME_NONCE_SIZE, by_me ? connection->peer_nonce : connection->nonce,
	       FRAME_NONCE_SIZE);
	hash_hmac_sha256(peer->secret, strlen(peer->secret), text, sizeof text, out);
}

static void connection_prove(struct connection *connection, bool dialler)
{
	uint8_t proof[SHA256_SIZE];

	connection_proof(connection, dialler, true, proof);
	connection_queue_small(connection, FRAME_PROOF, proof, sizeof proof);
}

static void connection_up(struct connection *connection)
{
	struct link *link = connection->link;
	struct links *links = connection->links;

	if (link->up != NULL)
		connection_close(link->up, "the peer connected anew");
	if (connection->state == CONNECTION_CHALLENGED)
		links->strangers--;
	if (link->dialling == connection)
		link->dialling = NULL;
	connection->state = CONNECTION_UP;
	link->up = connection;
	link->queued_bytes = 0;
	list_for_each(entry, &connection->queue)
		link->queued_bytes += container_of(entry, struct frame_out, link)->size;
	link->redial_ns = REDIAL_NS_MIN;
	link->reason[0] = 0;
	connection_ping(connection, env_now_ns(links->env));
	if (link->shard == 0)
		peer_has_shards(link->peer, connection->peer_shards.count);
	links->handler.on_state(links->data, link, true, "");
}

/* The dialler wants another shard: that one takes the socket, as if it had accepted it. */
static const char *connection_hand_over(struct connection *connection, unsigned wanted)
{
	struct links *links = connection->links;
	struct env_socket *socket = connection->socket;

	if (links->shard != 0 || wanted >= links->shards)
		return "the peer wanted a shard that this site does not have";
	links->strangers--;
	connection->state = CONNECTION_CLOSED; /* freed by who took the hello off it */
	connection->socket = NULL;
	links->handler.on_visitor(links->data, wanted, socket, connection->buffer, connection->filled);
	return NULL;
}

static const char *on_hello_of_dialler(struct connection *connection, const struct frame_hello *hello)
{
	struct links *links = connection->links;
	struct peer *peer = links_peer(links, hello->from);

	if (peer == NULL)
		return "a site that is not in this site's configuration connected";
	if (hello->shards.wanted != links->shard)
		return connection_hand_over(connection, hello->shards.wanted);
	connection->link = &peer->to[hello->shards.shard];
	connection->state = CONNECTION_CHALLENGED;
	connection_hello(connection);
	return NULL;
}

static const char *on_hello_of_listener(struct connection *connection, const struct frame_hello *hello)
{
	const struct link *link = connection->link;

	if (strcmp(hello->from, link->peer->name) != 0)
		return "another site answers at the peer's address";
	if (hello->shards.shard != link->shard || hello->shards.wanted != connection->shards.shard)
		return "another shard of the peer answers than was asked for";
	connection->state = CONNECTION_PROVING;
	connection_prove(connection, true);
	return NULL;
}

static const char *on_hello(struct connection *connection, const uint8_t *payload, uint32_t size)
{
	struct frame_hello hello;

	if (!frame_hello_decode(payload, size, &hello))
		return "the peer's hello is damaged";
	connection->version = hello.version_max < FRAME_VERSION_MAX ? hello.version_max : FRAME_VERSION_MAX;
	if (connection->version < FRAME_VERSION_MIN || connection->version < hello.version_min)
		return "the peer speaks no protocol version that this site speaks: update the older one";
	if (strcmp(hello.to, connection->links->site) != 0)
		return "the peer wanted to reach another site: its configuration names this address wrongly";
	memcpy(connection->peer_nonce, hello.nonce, sizeof connection->peer_nonce);
	connection->peer_shards = hello.shards;
	return connection->state == CONNECTION_ACCEPTED ? on_hello_of_dialler(connection, &hello) :
	       on_hello_of_listener(connection, &hello);
}

static const char *on_proof(struct connection *connection, const uint8_t *payload, uint32_t size)
{
	bool peer_dialled = connection->state == CONNECTION_CHALLENGED;
	uint8_t expected[SHA256_SIZE];

	connection_proof(connection, peer_dialled, false, expected);
	if (size != sizeof expected || !hash_equal(payload, expected, sizeof expected))
		return "the peer does not hold the same secret: compare both configurations";
	if (peer_dialled)
		connection_prove(connection, false);
	connection_up(connection);
	return NULL;
}

/* The clocks' difference rides on the pings: a ping carries when it was sent, its answer gives that back with the peer's wall
 * clock, read about half a round trip ago. The quickest answer of late says it best. */
static void connection_ping(struct connection *connection, uint64_t now)
{
	struct frame_header header = { .version = FRAME_VERSION_MAX, .type = FRAME_PING, .sequence = now };

	connection->pinged_ns = now;
	connection_queue(connection, frame_out_new(0), &header);
}

static void on_ping(struct connection *connection, const struct frame_header *ping)
{
	struct frame_header header = { .version = FRAME_VERSION_MAX, .type = FRAME_PONG, .sequence = ping->sequence,
		.epoch = env_wall_ms(connection->links->env) };

	connection_queue(connection, frame_out_new(0), &header);
}

static void on_pong(struct connection *connection, const struct frame_header *header)
{
	struct env *env = connection->links->env;
	struct link *link = connection->link;
	uint64_t now = env_now_ns(env), round_trip = now - header->sequence;

	if (header->sequence > now || round_trip > SILENT_NS)
		return; /* an answer to nothing that was asked */
	if (link->clock.at_ns != 0 && round_trip > link->clock.round_trip_ns && now - link->clock.at_ns < CLOCK_OLD_NS)
		return;
	link->clock.ahead_ms = (int64_t)(header->epoch + round_trip / 2 / MS_NS - env_wall_ms(env));
	link->clock.round_trip_ns = round_trip;
	link->clock.at_ns = now;
}

/* A stranger may say only what its state expects. NULL when all is well, else why the connection ends. */
static const char *connection_frame(struct connection *connection, const struct frame_header *header, const uint8_t *frame)
{
	const uint8_t *payload = frame + FRAME_HEADER_SIZE;
	struct links *links = connection->links;

	if (connection->state != CONNECTION_UP) {
		bool hello = connection->state == CONNECTION_GREETED || connection->state == CONNECTION_ACCEPTED;

		if (header->type == FRAME_HELLO && hello)
			return on_hello(connection, payload, header->payload_size);
		if (header->type == FRAME_PROOF && !hello)
			return on_proof(connection, payload, header->payload_size);
		return "the peer said something else than the handshake asks for";
	}
	if (header->type == FRAME_HELLO || header->type == FRAME_PROOF)
		return "the peer began the handshake again";
	if (header->type == FRAME_PING)
		on_ping(connection, header);
	else if (header->type == FRAME_PONG)
		on_pong(connection, header);
	else
		links->handler.on_frame(links->data, connection->link, header, frame);
	return NULL;
}

uint8_t *link_keep_frame(struct link *link, const struct frame_header *header, const uint8_t *frame)
{
	struct connection *connection = link->up;
	size_t size = FRAME_HEADER_SIZE + header->payload_size;
	uint8_t *kept;

	if (frame != connection->buffer || size < RECEIVE_BUFFER / 2)
		return memcpy(memory_resize(NULL, 1, size), frame, size);
	kept = connection->buffer; /* the next frames stay where they are, in another buffer */
	connection->buffer = memory_resize(NULL, 1, RECEIVE_BUFFER);
	memcpy(connection->buffer + size, kept + size, connection->filled - size);
	return kept;
}

/* Takes whole frames out of the buffer; false when the connection was closed over one. */
static bool connection_consume(struct connection *connection)
{
	struct frame_header header;
	size_t at = 0;

	while (connection->filled - at >= FRAME_HEADER_SIZE) {
		const uint8_t *frame = connection->buffer + at;
		const char *wrong = NULL;

		if (!frame_decode_header(frame, &header))
			wrong = "the peer sent a damaged frame";
		else if (connection->state != CONNECTION_UP && header.payload_size > STRANGER_PAYLOAD_MAX)
			wrong = "a stranger sent too much";
		if (wrong == NULL && connection->filled - at < FRAME_HEADER_SIZE + header.payload_size)
			break;
		if (wrong == NULL && !frame_is_intact(frame, header.payload_size))
			wrong = "a frame's checksum does not match";
		if (wrong == NULL)
			wrong = connection_frame(connection, &header, frame);
		if (connection->state == CONNECTION_CLOSED)
			return false;
		if (wrong != NULL) {
			connection_close(connection, wrong);
			return false;
		}
		at += FRAME_HEADER_SIZE + header.payload_size;
	}
	connection->filled -= at;
	memmove(connection->buffer, connection->buffer + at, connection->filled);
	return true;
}

/* So many more bytes have come. */
static void connection_take(struct connection *connection, size_t size)
{
	connection->filled += size;
	connection->received_ns = env_now_ns(connection->links->env);
	connection->receiving = true; /* a frame that closes the connection must not free it under this loop */
	if (connection_consume(connection)) {
		connection_receive(connection);
		return;
	}
	connection->receiving = false;
	connection_free_when_idle(connection);
}

static void on_received(struct env_io *io, int result)
{
	struct connection *connection = io->data;

	if (connection->state == CONNECTION_CLOSED) {
		connection->receiving = false;
		connection_free_when_idle(connection);
		return;
	}
	if (result > 0) {
		connection_take(connection, (size_t)result);
		return;
	}
	connection->receiving = false;
	connection_close(connection, result == 0 ? "the peer closed the connection" : "the connection broke");
}

/* Little more than the frame at the beginning of the buffer still lacks, so that little of the next one has to be moved. */
static size_t receive_size(const struct connection *connection)
{
	size_t size = FRAME_HEADER_SIZE + READ_AHEAD, room = RECEIVE_BUFFER - connection->filled;
	struct frame_header header;

	if (connection->filled >= FRAME_HEADER_SIZE && frame_decode_header(connection->buffer, &header))
		size += header.payload_size;
	size -= connection->filled; /* a whole frame would not be there any more */
	return size < room ? size : room;
}

static void connection_receive(struct connection *connection)
{
	connection->receiving = true;
	connection->receive_io = (struct env_io){ .on_done = on_received, .data = connection };
	env_socket_receive(connection->socket, &connection->receive_io, connection->buffer + connection->filled,
			   receive_size(connection));
}

/* --- dialling and listening --- */

static void on_connected(struct env_io *io, int result)
{
	struct connection *connection = io->data;
	char reason[320];

	connection->connecting = false;
	if (connection->state == CONNECTION_CLOSED) {
		if (result == 0 && connection->socket != NULL)
			env_socket_close(connection->socket);
		connection->socket = NULL;
		connection_free_when_idle(connection);
		return;
	}
	if (result < 0) {
		connection->socket = NULL;
		snprintf(reason, sizeof reason, "cannot connect to %s: %s", connection->link->peer->address,
			 error_meaning(result));
		connection_close(connection, reason);
		return;
	}
	connection->state = CONNECTION_GREETED;
	connection_hello(connection);
	connection_receive(connection);
}

void connection_dial(struct link *link)
{
	struct links *links = link->peer->links;
	struct connection *connection = connection_new(links, link, CONNECTION_CONNECTING);

	link->dialling = connection;
	link->redial_at_ns = env_now_ns(links->env) + link->redial_ns;
	link->redial_ns = link->redial_ns * 2 < REDIAL_NS_MAX ? link->redial_ns * 2 : REDIAL_NS_MAX;
	connection->connecting = true;
	connection->connect_io = (struct env_io){ .on_done = on_connected, .data = connection };
	env_connect(links->env, link->peer->address, &connection->connect_io, &connection->socket);
}

void connection_accept(struct links *links, struct env_socket *socket, const void *bytes, size_t size)
{
	struct connection *connection;

	assert(size <= RECEIVE_BUFFER);
	if (links->closing || links->strangers >= STRANGERS_MAX) {
		env_socket_close(socket);
		return;
	}
	links->strangers++;
	connection = connection_new(links, NULL, CONNECTION_ACCEPTED);
	connection->socket = socket;
	if (size > 0)
		memcpy(connection->buffer, bytes, size);
	links_look_at(links, env_now_ns(links->env) + SECOND_NS);
	connection_take(connection, size);
}

static void connection_watch(struct connection *connection, uint64_t now)
{
	if (connection->state == CONNECTION_CLOSED || connection->connecting)
		return;
	if (connection->state != CONNECTION_UP) {
		if (now - connection->began_ns > HANDSHAKE_NS)
			connection_close(connection, "the peer did not complete the handshake in time");
		return;
	}
	if (now - connection->received_ns > SILENT_NS)
		connection_close(connection, "the peer has been silent for too long");
	else if (now - connection->pinged_ns > ASK_AGAIN_NS)
		connection_ping(connection, now);
}

bool connections_watch(struct links *links, uint64_t now)
{
	bool any = !list_is_empty(&links->connections);

	list_for_each(entry, &links->connections)
		connection_watch(container_of(entry, struct connection, entry), now);
	return any;
}

void connections_close(struct links *links, const char *reason)
{
	list_for_each(entry, &links->connections)
		connection_close(container_of(entry, struct connection, entry), reason);
}

/* --- of use to others --- */

void link_send(struct link *link, struct frame_out *frame, const struct frame_header *header)
{
	if (link->up == NULL) {
		frame_out_free(frame);
		return;
	}
	connection_queue(link->up, frame, header);
}

void link_send_small(struct link *link, const struct frame_header *header, const void *payload, uint32_t size)
{
	struct frame_out *frame = frame_out_new(size);
	struct frame_header sized = *header;

	sized.payload_size = size;
	if (size > 0)
		memcpy(frame->bytes + FRAME_HEADER_SIZE, payload, size);
	link_send(link, frame, &sized);
}
