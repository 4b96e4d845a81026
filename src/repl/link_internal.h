/* Shared by link.c (one connection's life) and links.c (who is dialled, and when); of nobody else. */
#ifndef REPL_LINK_INTERNAL_H
#define REPL_LINK_INTERNAL_H

#include "env/env.h"
#include "repl/link.h"
#include "repl/pace.h"

#define MS_NS UINT64_C(1000000)
#define SECOND_NS (1000 * MS_NS)
#define REDIAL_NS_MIN (SECOND_NS / 5)
#define REDIAL_NS_MAX (5 * SECOND_NS)

struct connection;

struct link {
	struct peer *peer;
	unsigned shard;            /* the peer's */
	struct connection *up;     /* the one that proved itself */
	struct connection *dialling;
	uint64_t redial_ns, redial_at_ns;
	size_t queued_bytes;
	struct pace pace;
	struct {
		int64_t ahead_ms;
		uint64_t round_trip_ns, at_ns; /* at_ns 0: nothing known */
	} clock;
	char reason[160];
};

/* Its links stay where they are as long as it is there, whatever number of shards it comes back with. */
struct peer {
	struct list entry; /* of links->peers */
	struct links *links;
	char name[FRAME_NAME_SIZE];
	char address[256];
	char *secret;
	bool dials;
	unsigned shards; /* as its shard 0 has told; 1 before that */
	struct link to[LINK_SHARDS_MAX];
};

struct links {
	struct env *env;
	char site[FRAME_NAME_SIZE];
	unsigned shard, shards; /* of this site */
	struct link_handler handler;
	void *data;
	struct list peers, connections;
	struct env_listener *listener;
	struct env_timer timer;
	uint32_t strangers;
	bool closing;
};

/* links.c */
struct peer *links_peer(struct links *links, const char *name); /* NULL: not in the configuration */
/* The peer's shard 0 says how many there are: links to what is gone end, those to what has come are dialled. */
void peer_has_shards(struct peer *peer, unsigned shards);
/* The timer looks after connections and dialling; at the latest then. */
void links_look_at(struct links *links, uint64_t at_ns);

/* link.c */
void connection_dial(struct link *link);
/* Takes the socket, of a stranger from whom these bytes have come. */
void connection_accept(struct links *links, struct env_socket *socket, const void *bytes, size_t size);
void connection_close(struct connection *connection, const char *reason);
/* Ends those that have been silent for too long, and asks the others; true when there are any. */
bool connections_watch(struct links *links, uint64_t now);
void connections_close(struct links *links, const char *reason);

#endif
