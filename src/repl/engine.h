/* The engine of one shard: its disks, its units and its links to peers, under one roof.
 *
 * Whoever runs a shard (the daemon; the simulator) makes one engine on an env, adds peers, disks and units, and gives
 * commands; the engine answers with events. Commands are idempotent: repeated, they end in the same state. No system call,
 * no lock; one thread. Strings are copied. */
#ifndef REPL_ENGINE_H
#define REPL_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct disk;
struct engine;
struct env;
struct env_socket;
struct pace_line;

#define ENGINE_ID_SIZE 64      /* ids of disks, units, peers, with the final zero */
#define ENGINE_UNIT_DISKS_MAX 128
#define ENGINE_LINEAGE_SIZE 16
#define ENGINE_MESSAGE_MAX (1024u * 1024u) /* bytes of one message between the sites' controls */
#define ENGINE_SHARDS_MAX 16u  /* of a site */

enum unit_role {
	UNIT_PRIMARY,   /* its disks are written here */
	UNIT_SECONDARY, /* its disks follow the peer's */
	UNIT_ROLES,
};

/* What the engine's unit is doing: a table in repl/unit.c says which may follow which. */
enum unit_state {
	UNIT_STOPPED,     /* tracking changes, not shipping */
	UNIT_CONNECTING,  /* primary: wants to ship, waits for the peer; secondary: waits for the primary */
	UNIT_FULL_SYNC,   /* first copy, in place */
	UNIT_CATCHING_UP, /* there is a recovery point; the first cycle after a start is not committed yet */
	UNIT_CYCLING,     /* in step: the newest cycle committed */
	UNIT_FAILED_OVER, /* this side was the secondary and is writable now */
	UNIT_SUPERSEDED,  /* this side was the primary; the peer has a higher term */
	UNIT_FAILED,      /* a disk or a file failed: the reason says which */
	UNIT_STATES,
};
const char *unit_state_name(enum unit_state state);

struct unit_disk_spec {
	char local_disk[ENGINE_ID_SIZE];
	char remote_disk[ENGINE_ID_SIZE];
};

struct unit_spec {
	char id[ENGINE_ID_SIZE]; /* the group's id, or the pair's for a pair in none; the same at both sites */
	char peer[ENGINE_ID_SIZE];
	enum unit_role role;
	uint8_t lineage[ENGINE_LINEAGE_SIZE]; /* the same at both sites; random, made with the unit */
	uint32_t rpo_ms;
	/* Of a unit that has no record yet. compare: the secondary's disks hold most of it, as members of another unit; nothing is
	 * copied in place, but all of it is compared by hash, and what differs comes as one epoch. point_epoch: they also are a
	 * recovery point, of this number, cut at point_wall_ms; 0: not before that epoch is committed. */
	bool compare;
	uint64_t point_epoch, point_wall_ms;
	uint32_t disk_count;
	struct unit_disk_spec disks[ENGINE_UNIT_DISKS_MAX]; /* same order at both sites */
};

/* What is known of a unit now. Times in milliseconds of the primary's wall clock. */
struct unit_status {
	char id[ENGINE_ID_SIZE];
	enum unit_role role;
	enum unit_state state;
	bool linked;              /* the peer is connected and agreed in the handshake */
	bool idle;                /* nothing has changed since the recovery point: it is as good as now */
	bool consistent;          /* the secondary holds a recovery point */
	bool diverged;            /* the secondary holds what it wrote itself, as a primary, until the first epoch is committed */
	bool disks_differ;        /* the smaller one of each two is to be grown first */
	bool changing;            /* a failover, promotion, demotion or switchover is at work */
	uint64_t term;
	uint64_t epoch;           /* primary: the open one; secondary: the newest committed */
	uint64_t recovery_epoch;  /* newest committed at the secondary, as far as this side knows; 0: none */
	uint64_t recovery_wall_ms;/* when that epoch was cut */
	uint64_t recovery_age_ms; /* how long ago, whatever the clocks of the two sites say; 0 when it is as good as now */
	uint64_t dirty_bytes;     /* changed here and not proven at the other side */
	uint64_t total_bytes;     /* this copy (full sync or cycle): bytes to look at */
	uint64_t done_bytes;      /* of them done */
	uint64_t rate_bytes;      /* per second, over the last seconds, as shipped or received */
	uint64_t link_rate_bytes; /* per second, when the link was last kept busy for a while, either way; 0: not known yet */
	uint64_t applied_epoch;   /* secondary: newest that is wholly in place */
	uint64_t apply_bytes;     /* secondary: of the newest recovery point, not in place yet; a failover waits for them */
	uint64_t apply_rate_bytes;/* per second, of the last apply; 0: not known yet */
	uint64_t shipped_bytes;   /* since start of the daemon: frames' payloads to the peer */
	uint64_t compared_equal_bytes; /* since start of the daemon: suspected, and found to be the same by hash */
	bool one_shot_done;       /* the last start was for one epoch, and it is at the other side */
	bool scrubbing;           /* a comparison of both sides is under way */
	uint64_t scrubbed_bytes, scrub_differences; /* of the last one: bytes looked at, blocks that differed */
	uint64_t pause_ms;        /* how long the last switchover held writes at this side; 0: none yet */
	uint64_t abandoned;       /* epochs given up and merged since start of the daemon */
	bool divergence_kept;     /* the disks as they were when this side gave up the lead can be read */
	bool divergence_given_up; /* could not be kept, or not any longer */
	uint64_t divergence_bytes, divergence_wall_ms; /* size of its file; when it began */
	char reason[160];         /* why it waits or failed, one sentence; "" when all is well */
};

struct engine_limits {
	uint64_t kept_bytes_max;      /* memory for old bytes of closed epochs, a unit */
	uint64_t window_bytes_max;    /* shipped and not yet acknowledged, a link */
	uint64_t staging_bytes_max;   /* staging file of one epoch at the secondary */
	uint64_t divergence_bytes_max;/* file of what a side held alone when it gave up the lead, a unit; 0: none is kept */
	uint32_t cycle_ms_min;        /* shortest cycle */
	uint32_t tick_ms;             /* how often disks are looked after; marks are let go every tenth time */
};
extern const struct engine_limits engine_limits_default;

/* Called on the engine's thread; may call engine functions, but not close the unit or the engine. Borrows. */
struct engine_events {
	/* State, reason, role, term, recovery point or link of a unit changed; or progress moved (a few times a second). */
	void (*on_unit)(void *data, const struct unit_status *status);
	/* The link to a peer's shard 0 came up or went down; `reason` one sentence when down. */
	void (*on_link)(void *data, const char *peer, bool up, const char *reason);
	/* A message of the peer's control. Requests carry an id to be given back with the answer; answers carry the id of the
	 * request they belong to. `bytes` need not be text. */
	void (*on_message)(void *data, const char *peer, bool is_answer, uint64_t id, const void *bytes, size_t size);
	/* A disk failed for good. */
	void (*on_disk_failed)(void *data, const char *disk, int code);
	/* Shard 0: somebody has connected who wants another shard of this site, of those there are. Takes the socket, on which
	 * nothing is in flight; borrows the bytes that have come on it. Both are for engine_accept there. NULL: it is closed. */
	void (*on_visitor)(void *data, unsigned shard, struct env_socket *socket, const void *bytes, size_t size);
};

/* `directory`: where units keep their files ("<directory>/units/..."); made when missing. `site` is this site's name as the
 * peers know it. Gives the engine, or NULL with the error. */
struct engine *engine_new(struct env *env, const char *directory, const char *site, const struct engine_limits *limits,
			  const struct engine_events *events, void *data, struct error *error);
/* Which of the site's shards this is (0 to shards - 1), of how many (1 to ENGINE_SHARDS_MAX); before anything else. Without it:
 * the only one. What a unit keeps is found by whichever shard opens it: its place may be another one after each start. */
void engine_set_shard(struct engine *engine, unsigned shard, unsigned shards);
/* Ends links and cycles, then calls on_done from the loop once nothing of the engine's own is in flight. */
void engine_shutdown(struct engine *engine, void (*on_done)(void *data), void *data);
/* After the shutdown; nothing may be in flight on the disks from outside. Closes the disks added, frees all. */
void engine_free(struct engine *engine);

/* --- links --- */

/* Listens for peers. Shard 0 alone does, for all of the site. */
int engine_listen(struct engine *engine, const char *address, struct error *error);
/* The address listened on, as bound; "" when not listening. Borrows. */
const char *engine_address(const struct engine *engine);
/* What on_visitor gave to shard 0, at the shard that was wanted: goes on as if it had been accepted here. Takes the socket, which
 * belongs to this engine's env; borrows the bytes. */
void engine_accept(struct engine *engine, struct env_socket *socket, const void *bytes, size_t size);
/* Names a peer, in each shard of the site. With an address it is dialled (again and again) when this site's name sorts before the
 * peer's, by each shard, once for each of the peer's; the other waits to be dialled. The secret is the one both configurations
 * hold. Keeps the line until engine_free: one a peer, the same for all shards. */
int engine_add_peer(struct engine *engine, const char *peer, const char *address, const char *secret, struct pace_line *line,
		    struct error *error);
/* Bytes a second that all units of all shards together may ship to a peer, 0: as fast as it goes. At once, for the line; each
 * shard is to be told, so that what waits there hears of it. */
int engine_limit_peer(struct engine *engine, const char *peer, uint64_t bytes_per_second, struct error *error);
/* Of the link to the peer's shard 0, like the events on_link and on_message: the peer's control is there. */
bool engine_peer_is_up(const struct engine *engine, const char *peer);
/* Sends a message to the peer's control; -ENOTCONN when the link is down, -EMSGSIZE, -EAGAIN when too much waits. Ids of
 * requests are the caller's. A link that breaks loses messages: the caller has its own time limit. */
int engine_send_message(struct engine *engine, const char *peer, bool is_answer, uint64_t id, const void *bytes, size_t size);

/* --- disks --- */

/* The engine takes the disk and closes it in engine_remove_disk or engine_free. */
void engine_add_disk(struct engine *engine, struct disk *disk);
struct disk *engine_find_disk(struct engine *engine, const char *id); /* NULL; borrows */
/* Makes room for so many bytes, which nobody sees before engine_grow_disk: the caller remembers the new size in between, so that
 * no write beyond the old one is ever forgotten. -ENOTSUP: its device is too small. */
int engine_extend_disk(struct engine *engine, const char *id, uint64_t size, struct error *error);
/* Grows a disk, in a unit or not, while it is used: first the secondary's, then the primary's, whose unit begins its cycle anew.
 * `compare`: the secondary's has not grown by zeros. -EAGAIN: for some milliseconds; -EBUSY: while the unit changes sides. */
int engine_grow_disk(struct engine *engine, const char *id, uint64_t size, bool compare, struct error *error);
/* Before the peer's smaller disk grows to the size of this one: what is beyond the size that both have had is to be compared. 0
 * when that is durable; -EAGAIN: in some milliseconds. */
int engine_suspect_disk(struct engine *engine, const char *id, uint64_t from, struct error *error);
bool engine_disk_is_taken(struct engine *engine, const char *id); /* by a unit */
/* -EBUSY while a unit uses it or a request is in flight. */
int engine_remove_disk(struct engine *engine, const char *id, struct error *error);

/* --- units; each command is idempotent --- */

/* Brings a unit to life in state STOPPED (or what its file says: FAILED_OVER, SUPERSEDED), reading or making its file. A unit
 * that exists with the same lineage takes the new rpo; other membership needs it STOPPED. Secondary disks become
 * read-only. */
int engine_open_unit(struct engine *engine, const struct unit_spec *spec, struct error *error);
/* Forgets the unit and removes its files; its disks are untracked, and writable again. */
int engine_remove_unit(struct engine *engine, const char *id, struct error *error);
/* Primary: ship from now on (both sides' calls are welcome; the secondary follows the primary). one_shot: stop by itself
 * after one complete cycle. */
int engine_start_unit(struct engine *engine, const char *id, bool one_shot, struct error *error);
/* Primary: stop shipping. The open cycle is abandoned, the secondary keeps its last recovery point. */
int engine_stop_unit(struct engine *engine, const char *id, struct error *error);
/* Secondary: finish applying the newest committed epoch, discard anything later, raise the term, track changes, become
 * writable. Completes by an on_unit with state FAILED_OVER. -ENODATA without a recovery point: before the first full sync, or the
 * first reverse epoch, is complete. */
int engine_failover_unit(struct engine *engine, const char *id, struct error *error);
/* Gives up the lead, so that the other site can take it: the disks become read-only, and this side follows.
 * hand_over false (reprotect, cancel): at once; what was written here and never committed there counts as diverged, and is
 * overwritten by the first epoch that the new primary commits. hand_over true (planned switchover): the last changes are
 * committed at the other side first, writes waiting meanwhile; -EAGAIN when the unit is not in step. Given up, with the
 * unit leading as before and the reason in its status, when the link breaks or the last epoch takes too long. Completes by
 * an on_unit with role secondary (or still primary) and `changing` false. */
int engine_demote_unit(struct engine *engine, const char *id, bool hand_over, struct error *error);
/* Takes the lead, with a term of term_min or more; only when the other side is known to follow. Completes by an on_unit with role
 * primary, state STOPPED and `changing` false. */
int engine_promote_unit(struct engine *engine, const char *id, uint64_t term_min, struct error *error);
/* Primary: compares both sides by hash from beginning to end, a slice a cycle, while everything goes on; a block that differs
 * is told loudly, and repaired by the same cycle. -EAGAIN when the unit is not in step. */
int engine_scrub_unit(struct engine *engine, const char *id, struct error *error);
/* What this side held alone when it gave up the lead is dropped; without it, nothing happens. Views of it answer -EIO from now
 * on, and are to be closed. */
int engine_discard_divergence(struct engine *engine, const char *id, struct error *error);
/* The disk as it was then, read-only, as a disk of its own: "<id>.diverged", which the caller closes. NULL: nothing is kept. */
struct disk *engine_open_diverged(struct engine *engine, const char *disk);
bool engine_keeps_diverged(struct engine *engine, const char *disk);
int engine_set_rpo(struct engine *engine, const char *id, uint32_t rpo_ms, struct error *error);
/* False when unknown. */
bool engine_unit_status(struct engine *engine, const char *id, struct unit_status *out_status);

#endif
