/* A client is a socket, a session, and the requests of it that a disk carries out. When it asks for TLS, the socket becomes a
 * secure one, which is used in the same way; a session that has seen bytes in the clear after asking has ended before that.
 *
 * Life: nothing frees a client but client_free_when_done, which waits until the socket is closed (gone) and nothing refers to
 * the client any more: no receive, send or wake is under way and no request is in a disk. client_drop begins the end.
 *
 * A client moves to another shard with all it has: its session, its socket, the bytes it has sent ahead. Before it leaves,
 * nothing may be under way (client_settle): a receive is interrupted, all else is waited for.
 *
 * Replies are sent in batches: a session's wake only arms one deferred call, which runs after all completions of this turn
 * of the loop, and sends what they all have left in the session with one sendmsg. */
#include "daemon/nbd_client.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "daemon/nbd_work.h"
#include "daemon/secure_socket.h"
#include "disk/disk.h"
#include "env/uring/loop.h"

#define SECOND_NS UINT64_C(1000000000)
#define LAST_WORDS_NS (10 * SECOND_NS) /* a client that does not take the last replies by then is disconnected */
#define OUTPUT_IOV 256 /* replies and payloads of the 128 requests that a session may hold */
#define SEND_MAX (4u * 1024u * 1024u) /* bytes at once: how much a client has to take to be seen taking */

/* Where a client is about to go. MOVE_NONE: it stays. */
enum move {
	MOVE_NONE,
	MOVE_WAITS,  /* its option names an export that is on its way here, or about to leave */
	MOVE_LEAVES, /* its option names an export of another shard: it goes there when it has settled */
	MOVE_PARKS,  /* its export departs: it finishes what it began */
	MOVE_PARKED, /* and has: counted in export->parked */
};

struct nbd_client {
	struct list entry; /* of server->clients; or of a departure's */
	struct nbd_server *server;
	uint64_t number; /* for the log */
	enum move move;
	unsigned to_shard;            /* MOVE_LEAVES */
	struct env_socket *socket;    /* NULL once secure, and between two envs */
	int fd;                       /* between two envs, without TLS */
	bool timed;                   /* between two envs: the timer ran */
	struct secure_socket *secure; /* NULL without TLS */
	struct nbd_session *session;
	struct nbd_server_export *export; /* once chosen */
	bool receiving, sending, waking; /* calls to env that have not completed */
	bool parting;                    /* a client with TLS was told that nothing follows */
	bool gone;                       /* the socket is closed */
	struct env_io receive_io, send_io, wake_io;
	struct iovec iov[OUTPUT_IOV];
	size_t sending_bytes;
	uint64_t moved, seen; /* receives and sends that ended; at the last look */
	unsigned still;       /* looks since then */
	struct env_timer timer; /* of the handshake, then of the last words */
	struct nbd_works works;
};

static void client_receive(struct nbd_client *client);
static void client_go_on(struct nbd_client *client);
static void client_settle(struct nbd_client *client);

static void client_leave_export(struct nbd_client *client)
{
	struct nbd_server_export *export = client->export;

	if (export == NULL)
		return;
	if (client->move == MOVE_PARKED)
		export->parked--;
	nbd_server_export_left(export);
}

/* The one place where a client ends. */
static void client_free_when_done(struct nbd_client *client)
{
	struct nbd_server *server = client->server;

	if (!client->gone || client->receiving || client->sending || client->waking ||
	    nbd_session_in_flight(client->session) > 0)
		return;
	client_leave_export(client);
	nbd_works_fini(&client->works);
	nbd_session_free(client->session);
	list_remove(&client->entry);
	free(client);
	exports_dismiss(server->exports_of_all);
	nbd_server_left(server);
}

/* Begins the end; the reason counts unless the session has ended for one of its own. */
static void client_drop(struct nbd_client *client, const char *reason)
{
	if (client->gone)
		return;
	client->gone = client->works.abandoned = true;
	nbd_session_abandon(client->session, reason);
	env_timer_stop(client->server->env, &client->timer);
	log_event(LOG_INFO, "nbd.disconnected", "client=%llu export=%s reason=\"%s\"", (unsigned long long)client->number,
		  client->export == NULL ? "-" : client->export->name, nbd_session_reason(client->session));
	if (client->secure != NULL)
		secure_socket_close(client->secure); /* the reason may have been its own */
	else
		env_socket_close(client->socket);
	client_free_when_done(client);
}

static void client_start_timer(struct nbd_client *client, uint64_t after_ns)
{
	env_timer_start(client->server->env, &client->timer, env_now_ns(client->server->env) + after_ns);
}

/* Why the stream does not go on. */
static const char *client_broken(const struct nbd_client *client)
{
	bool known = client->secure != NULL && secure_socket_reason(client->secure)[0] != '\0';

	return known ? secure_socket_reason(client->secure) : "the connection broke";
}

/* After what was under way has ended: whether the stream goes on. If not, the client has been dropped, or is gone. */
static bool client_stays(struct nbd_client *client, int result)
{
	if (client->gone)
		client_free_when_done(client);
	else if (result < 0)
		client_drop(client, client_broken(client));
	else
		return true;
	return false;
}

static void on_late(struct env_timer *timer)
{
	client_drop(timer->data, "no export was chosen in time");
}

static void on_received(struct env_io *io, int result)
{
	struct nbd_client *client = io->data;
	bool interrupted = result == -ECANCELED && !client->gone;

	client->receiving = false;
	client->moved++;
	if (!interrupted && !client_stays(client, result))
		return;
	if (result == 0) {
		client_drop(client, "the client closed the connection");
		return;
	}
	nbd_session_input(client->session, interrupted ? 0 : (size_t)result);
	client_receive(client);
	if (client->move != MOVE_NONE)
		client_settle(client);
}

static void client_receive(struct nbd_client *client)
{
	uint8_t *room;
	size_t size;

	if (client->receiving)
		return;
	room = nbd_session_want(client->session, &size);
	if (room == NULL)
		return;
	client->receiving = true;
	client->receive_io = (struct env_io){ .on_done = on_received, .data = client };
	if (client->secure != NULL)
		secure_socket_receive(client->secure, &client->receive_io, room, size);
	else
		env_socket_receive(client->socket, &client->receive_io, room, size);
}

static void on_sent(struct env_io *io, int result)
{
	struct nbd_client *client = io->data;

	client->sending = false;
	client->moved++;
	if (!client_stays(client, result))
		return;
	if (!client->parting)
		nbd_session_sent(client->session, client->sending_bytes);
	client_go_on(client);
}

static void client_send(struct nbd_client *client)
{
	int count;

	if (client->sending)
		return;
	count = nbd_session_output(client->session, client->iov, OUTPUT_IOV);
	if (count == 0)
		return;
	client->sending_bytes = 0;
	for (int i = 0; i < count; i++) {
		if (client->iov[i].iov_len >= SEND_MAX - client->sending_bytes) {
			client->iov[i].iov_len = SEND_MAX - client->sending_bytes;
			count = i + 1;
		}
		client->sending_bytes += client->iov[i].iov_len;
	}
	client->sending = true;
	client->send_io = (struct env_io){ .on_done = on_sent, .data = client };
	if (client->secure != NULL)
		secure_socket_send(client->secure, &client->send_io, client->iov, count);
	else
		env_socket_send(client->socket, &client->send_io, client->iov, count);
}

/* --- TLS --- */

static void on_secured(struct env_io *io, int result)
{
	struct nbd_client *client = io->data;

	client->receiving = false;
	if (!client_stays(client, result))
		return;
	log_event(LOG_INFO, "nbd.secured", "client=%llu tls=%s", (unsigned long long)client->number,
		  secure_socket_kind(client->secure));
	nbd_session_secured(client->session);
	client_go_on(client);
}

/* The session has said all it had to say in the clear, and neither sends nor receives. */
static void client_secure(struct nbd_client *client)
{
	if (client->server->credentials == NULL) { /* turned off since it connected */
		client_drop(client, "TLS is off");
		return;
	}
	client->secure = secure_socket_new(client->server->env, client->socket, client->server->credentials);
	if (client->secure == NULL) {
		client_drop(client, "out of memory for TLS");
		return;
	}
	client->socket = NULL;
	client->receiving = true;
	client->receive_io = (struct env_io){ .on_done = on_secured, .data = client };
	secure_socket_handshake(client->secure, &client->receive_io);
}

/* The session has ended and has nothing left to say: ends the client, one with TLS after it was told so. */
static void client_part(struct nbd_client *client)
{
	if (client->secure == NULL || client->parting) {
		client_drop(client, "");
		return;
	}
	client->parting = client->sending = true;
	client->send_io = (struct env_io){ .on_done = on_sent, .data = client };
	secure_socket_end(client->secure, &client->send_io);
}

/* Starts what can be started: a send, a receive, TLS, a move; or ends a client that has nothing left to say. */
static void client_go_on(struct nbd_client *client)
{
	client_send(client);
	client_receive(client);
	if (client->sending)
		return;
	if (nbd_session_upgrading(client->session) && !client->receiving)
		client_secure(client);
	else if (nbd_session_ended(client->session) && nbd_session_in_flight(client->session) == 0)
		client_part(client);
	else if (client->move != MOVE_NONE)
		client_settle(client);
}

/* --- what a session asks for --- */

static void on_wake(struct env_io *io, int result)
{
	struct nbd_client *client = io->data;

	(void)result;
	client->waking = false;
	if (client->gone)
		client_free_when_done(client);
	else
		client_go_on(client);
}

static void host_wake(void *host)
{
	struct nbd_client *client = host;

	if (client->gone || client->session == NULL) /* NULL: the greeting, while the session is made; on_accept sends it */
		return;
	if (nbd_session_ended(client->session))
		client_start_timer(client, LAST_WORDS_NS);
	if (client->waking)
		return;
	client->waking = true;
	client->wake_io = (struct env_io){ .on_done = on_wake, .data = client };
	env_defer(client->server->env, &client->wake_io);
}

static void export_describe(struct nbd_server_export *export, struct nbd_export *out_export)
{
	*out_export = (struct nbd_export){
		.size = disk_size(export->disk), .disk = export,
		.read_only = export->read_only || !disk_is_writable(export->disk), /* while sides change */
	};
	snprintf(out_export->name, sizeof out_export->name, "%s", export->name);
	snprintf(out_export->description, sizeof out_export->description, "%s", export->description);
}

/* An export that is this shard's and not here is on its way here, or about to leave: the client waits for
 * nbd_client_ask_again. */
static enum nbd_found host_find(void *host, const char *name, struct nbd_export *out_export)
{
	struct nbd_client *client = host;
	struct nbd_server *server = client->server;
	struct nbd_server_export *export = nbd_server_find(server, name);

	if (export != NULL && !export->closing && export->departure == NULL) {
		export_describe(export, out_export);
		return NBD_FOUND;
	}
	if (!exports_find(server->exports_of_all, name, &client->to_shard))
		return NBD_NOT_FOUND;
	client->move = client->to_shard == server->shard ? MOVE_WAITS : MOVE_LEAVES;
	return NBD_ELSEWHERE;
}

static bool host_list(void *host, uint32_t *place, struct nbd_export *out_export)
{
	return exports_next(((struct nbd_client *)host)->server->exports_of_all, place, out_export);
}

static bool host_open(void *host, const struct nbd_export *chosen)
{
	struct nbd_client *client = host;
	struct nbd_server_export *export = chosen->disk;

	if (export->closing || client->server->stopping)
		return false;
	env_timer_stop(client->server->env, &client->timer);
	client->export = export;
	export->clients++;
	log_event(LOG_INFO, "nbd.connected", "client=%llu export=%s clients=%u", (unsigned long long)client->number,
		  export->name, export->clients);
	return true;
}

static void on_worked(struct nbd_works *works, struct nbd_request *request, int result)
{
	struct nbd_client *client = container_of(works, struct nbd_client, works);

	nbd_session_done(client->session, request, result);
	client_free_when_done(client);
}

static void host_submit(void *host, struct nbd_request *request)
{
	struct nbd_client *client = host;

	nbd_works_submit(&client->works, client->export->disk, request);
}

static const struct nbd_host host = {
	.find = host_find, .list = host_list, .open = host_open, .submit = host_submit, .wake = host_wake,
};

void nbd_client_new(struct nbd_server *server, struct env_socket *socket, uint64_t number)
{
	struct nbd_client *client = memory_new(1, sizeof *client);

	client->server = server;
	client->number = number;
	client->socket = socket;
	client->timer.on_fire = on_late;
	client->timer.data = client;
	nbd_works_init(&client->works, on_worked);
	list_append(&server->clients, &client->entry);
	server->client_count++;
	client->session = nbd_session_new(&host, client, &server->budget);
	nbd_session_offer_tls(client->session, server->tls);
	client_start_timer(client, server->limits.wait_s * SECOND_NS);
	client_go_on(client);
}

struct nbd_client *nbd_client_of(struct list *entry)
{
	return container_of(entry, struct nbd_client, entry);
}

/* Nothing is done for it a request: two counters that moved, or did not. A client that has asked for nothing may be silent for
 * ever, and so may one in the middle of a TLS record, of which nothing is held for it yet; one whose machine is gone is found
 * out by the keepalive of its connection (env/uring/socket.c). */
void nbd_client_look(struct nbd_client *client)
{
	bool awaited = client->sending || nbd_session_awaits(client->session);

	if (!awaited || client->moved != client->seen) {
		client->seen = client->moved;
		client->still = 0;
	} else if (++client->still == NBD_LOOKS) {
		client_drop(client, client->sending ? "replies were not taken in time" : "the rest of a message did not come in time");
	}
}

void nbd_client_drop_all(struct nbd_server *server, const struct nbd_server_export *export, const char *reason)
{
	list_for_each(entry, &server->clients) {
		struct nbd_client *client = container_of(entry, struct nbd_client, entry);

		if (export == NULL || client->export == export)
			client_drop(client, reason);
	}
}

/* --- to another shard --- */

/* What was under way has ended, and nothing begins: the client takes itself out of server and env. */
static void client_leave(struct nbd_client *client)
{
	struct nbd_server *server = client->server;

	assert(!client->gone && !client->receiving && !client->sending && !client->waking);
	client->timed = client->timer.heap_index != 0;
	env_timer_stop(server->env, &client->timer);
	list_remove(&client->entry);
	if (client->secure != NULL)
		secure_socket_leave(client->secure);
	else
		client->fd = loop_socket_leave(steal(client->socket));
	nbd_server_left(server);
}

/* The timer goes on with what was left: all envs have the same clock. */
static void client_enter(struct nbd_client *client, struct nbd_server *server)
{
	client->server = server;
	client->move = MOVE_NONE;
	list_append(&server->clients, &client->entry);
	server->client_count++;
	if (client->secure != NULL)
		secure_socket_join(client->secure, server->env);
	else
		client->socket = loop_socket_join(server->env, client->fd);
	if (client->timed)
		env_timer_start(server->env, &client->timer, client->timer.at_ns);
}

static void client_resume(struct nbd_client *client)
{
	if (client->move == MOVE_PARKED)
		client->export->parked--;
	client->move = MOVE_NONE;
	nbd_session_resume(client->session, &client->server->budget);
	client_go_on(client);
}

/* On the thread of the shard that has, or had, what the client asks for. */
static void on_handed_on(void *data)
{
	struct nbd_client *client = data;
	struct nbd_server *server = client->server;

	exports_arrived(server->exports_of_all, server->shard);
	client_enter(client, server);
	if (server->stopping)
		client_drop(client, NBD_STOPPING);
	else
		client_resume(client);
}

static void client_hand_on(struct nbd_client *client)
{
	struct nbd_server *server = client->server;

	client_leave(client);
	if (exports_post(server->exports_of_all, client->to_shard, on_handed_on, client, &client->server) == 0)
		return; /* it is the other thread's */
	client_enter(client, server);
	client_drop(client, NBD_STOPPING);
}

static bool client_is_ready(const struct nbd_client *client)
{
	bool ready = client->move == MOVE_LEAVES || (client->move == MOVE_PARKS && nbd_session_is_parked(client->session));

	return ready && !client->sending && !client->waking && !nbd_session_ended(client->session);
}

static void client_settled(struct nbd_client *client)
{
	if (client->move == MOVE_LEAVES) {
		client_hand_on(client);
		return;
	}
	client->move = MOVE_PARKED;
	client->export->parked++;
	nbd_departure_look(client->export->departure);
}

static void on_settled(struct env_io *io, int result)
{
	struct nbd_client *client = io->data;

	client->receiving = false;
	if (!client_stays(client, result))
		return;
	if (client_is_ready(client))
		client_settled(client);
	else
		client_go_on(client); /* it has begun something meanwhile */
}

/* Once the session will begin nothing more: ends what is under way, so that the client can leave. */
static void client_settle(struct nbd_client *client)
{
	if (!client_is_ready(client))
		return;
	if (client->receiving && client->secure != NULL) {
		secure_socket_interrupt(client->secure);
	} else if (client->receiving) {
		loop_socket_interrupt(client->socket);
	} else if (client->secure != NULL) {
		client->receiving = true;
		client->receive_io = (struct env_io){ .on_done = on_settled, .data = client };
		secure_socket_settle(client->secure, &client->receive_io);
	} else {
		client_settled(client);
	}
}

void nbd_client_park_all(struct nbd_server *server, const struct nbd_server_export *export)
{
	list_for_each(entry, &server->clients) {
		struct nbd_client *client = nbd_client_of(entry);

		if (client->export != export || client->gone)
			continue;
		client->move = MOVE_PARKS;
		nbd_session_park(client->session);
		client_settle(client);
	}
}

void nbd_client_resume_all(struct nbd_server *server, const struct nbd_server_export *export)
{
	list_for_each(entry, &server->clients) {
		struct nbd_client *client = nbd_client_of(entry);

		if (client->export == export && !client->gone)
			client_resume(client);
	}
}

void nbd_client_leave_all(struct nbd_server *server, const struct nbd_server_export *export, struct list *clients)
{
	list_for_each(entry, &server->clients) {
		struct nbd_client *client = nbd_client_of(entry);

		if (client->export != export)
			continue;
		client_leave(client);
		list_append(clients, &client->entry);
	}
}

void nbd_client_enter_all(struct nbd_server *server, struct list *clients)
{
	list_for_each(entry, clients) {
		list_remove(entry);
		client_enter(nbd_client_of(entry), server);
	}
}

void nbd_client_ask_again(struct nbd_server *server)
{
	list_for_each(entry, &server->clients) {
		struct nbd_client *client = nbd_client_of(entry);

		if (client->move == MOVE_WAITS && !client->gone)
			client_resume(client);
	}
}
