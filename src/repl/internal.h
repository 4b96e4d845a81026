/* The engine's own state, shared by the files of this folder. One shard's thread, no lock.
 *
 * A unit has one of two halves at work: the sender (sender.c, ship.c, full_sync.c) where it leads, the receiver (receiver.c,
 * apply.c) where it follows. unit.c owns `state` and moves it; handshake.c decides who may talk to whom. */
#ifndef REPL_INTERNAL_H
#define REPL_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/index.h"
#include "base/list.h"
#include "disk/disk.h"
#include "disk/epoch.h"
#include "env/env.h"
#include "repl/divergence.h"
#include "repl/engine.h"
#include "repl/link.h"
#include "repl/pace.h"
#include "repl/record.h"
#include "wire/frame.h"

#define MS_NS UINT64_C(1000000)
#define SECOND_NS (1000 * MS_NS)

struct engine {
	struct env *env;
	char directory[512];
	char site[ENGINE_ID_SIZE];
	unsigned shard;
	struct engine_limits limits;
	struct engine_events events;
	void *data;
	struct links *links;
	struct list disks; /* of struct engine_disk */
	struct index disks_by_id;
	struct list units;
	struct index units_by_id, units_by_lineage; /* in hex */
	struct env_timer timer; /* cooling of marks, retries, shutdown */
	uint64_t ticks;
	bool closing;
	void (*on_shutdown)(void *data);
	void *shutdown_data;
};

struct engine_disk {
	struct list entry;
	struct index_node by_id;
	struct disk *disk;
	struct unit *unit; /* that uses it, or NULL */
	bool failure_told;
};

/* --- the sender --- */

/* A planned switchover, seen from the side that gives up the lead. */
enum handover {
	HANDOVER_NONE,
	HANDOVER_WANTED,  /* catching up, with writes going on */
	HANDOVER_HOLDING, /* the last epoch: writes wait */
};

enum sender_phase {
	SENDER_OFF,        /* not started, or nobody to talk to */
	SENDER_OFFERING,   /* offer sent, waiting for the state */
	SENDER_SWEEPING,   /* first full sync */
	SENDER_WAITING,    /* between cycles */
	SENDER_RESERVING,  /* epoch numbers are being reserved before a cut */
	SENDER_DRAINING,   /* cut; waiting for the writes admitted before it */
	SENDER_SHIPPING,
	SENDER_ENDING,     /* all sent; waiting for the commit */
	SENDER_PROVING,    /* committed; our record of it is being written */
	SENDER_PHASES,
};

#define SHIPS_MAX 4u /* data frames being read at a time, a unit */
#define SHIP_RUNS_MAX 256u
#define ASKS_MAX 16u /* frames' worth of blocks being compared by hash at a time, a unit */
#define SENT_MAX 4096u /* data frames not yet acknowledged, a unit; a power of two */

struct ship; /* one data frame being read */

/* A data frame on its way, until FLOW (or SYNC_ACK) says it has been written. */
struct sent {
	uint64_t sequence;
	uint64_t bytes;
};

struct sweep_run {
	struct list link;
	uint32_t disk;
	uint64_t sequence;
	struct disk_run run;
};

struct sender {
	enum sender_phase phase;
	bool started, one_shot, one_shot_done;
	uint64_t offer;      /* number of the last one: a welcome to an earlier one told of other sizes */
	uint64_t welcomed;   /* the one whose welcome is being written down */
	uint32_t unknown;    /* a bit for each of the peer's shards that does not know the unit, in this round of offers */
	bool disks_differ;   /* as the peer answered it */
	bool offered_ever;
	bool commit_needed;  /* the secondary has no recovery point yet, or a start wants one */
	enum handover handover;
	uint32_t handover_cycles;
	uint64_t hold_ns;      /* when writes began to wait */
	uint64_t changes_round, changes_count; /* pieces of the peer's map taken over in this handshake */
	uint64_t generation; /* grows whenever what is in flight loses its meaning */
	uint64_t epoch;      /* the open one */
	uint64_t closed_epoch, closed_wall_ms;
	uint64_t cut_ns, shipped_ns, next_cut_ns, retry_ns;
	uint32_t draining;   /* disks not drained yet */
	uint32_t ship_disk;
	uint32_t ships;      /* struct ship in flight of this generation */
	struct list asking;  /* of them, those that wait for the other side to compare hashes */
	uint32_t asks;
	uint64_t ask_sequence;
	bool scrubbing;
	uint64_t sequence;   /* of the last data frame */
	uint64_t unacked_bytes;
	bool hungry, turn;   /* pace.c: waits for room on the link; it is its turn */
	uint64_t recovery_ns;  /* cut of the newest epoch committed, or when it was started */
	struct sent sent[SENT_MAX];
	uint64_t sent_first, sent_last;
	uint64_t sweep_from; /* block, in ship_disk */
	uint64_t sweep_unended_bytes, sweep_ended;
	struct list sweep_runs; /* not yet stable at the secondary */
	struct record_write record_write;
	bool record_writing;
	struct env_timer timer;
};

/* --- the receiver --- */

/* Tells the primary what this side alone may have changed, piece by piece, before the welcome (changes.c). */
struct teller {
	bool active;
	uint64_t round;          /* of the handshake; pieces of an older one mean nothing */
	uint64_t told, acked;    /* pieces */
	uint32_t disk;
	uint64_t word;           /* next to look at */
	bool suspect;            /* next: of that piece, the blocks that may not have changed */
};

struct receiver {
	bool attached;        /* a primary has been welcomed on the present link */
	struct teller teller;
	uint64_t offer;       /* the last one looked at, and what it said: */
	uint64_t peer_committed, peer_copy; /* durable at the primary */
	uint64_t generation;
	uint64_t epoch;       /* being staged; 0: none */
	uint64_t next_sequence;
	uint32_t stage;       /* the file it goes to */
	struct env_file *stages[2];
	uint64_t staged_bytes, frames;
	uint32_t writes;      /* staging writes of this epoch, in flight or held */
	uint32_t stale_writes;/* of epochs discarded since */
	struct list held;     /* frames that wait until those are out of the way */
	uint32_t comparing_count;
	struct list comparing; /* of struct comparison, that wait until the newest epoch is applied */
	bool ended;           /* EPOCH_END has come */
	struct frame_end end;
	bool committing;
	uint64_t commit_generation;
	struct list sync_frames; /* in-place frames being written, in order */
	uint64_t sync_barrier;   /* SYNC_END's sequence, 0: none */
	uint32_t syncs;          /* disks being synced */
	uint64_t sync_sequence, sync_generation; /* of that sync */
	int sync_result;
	struct env_io io;
	struct env_io *disk_ios; /* one a disk */
	struct record_write record_write;
	uint64_t idle_wall_ms, idle_ns; /* UNIT_IDLE: the recovery point was as good as now at idle_ns */
	bool idle;
};

/* Applying the committed epoch: a small machine of its own, since it may run while the next one is staged. */
struct applier {
	bool running;
	uint64_t epoch, offset, size;
	uint32_t stage;
	uint32_t frames;      /* in flight */
	bool reading;
	int result;
	uint64_t began_ns, rate_bytes;
	bool saving;          /* a first pass over the epoch, for what it overwrites of a divergence */
	uint8_t *saved_frame; /* that frame, being looked at */
	uint8_t *buffer;
	struct env_io io;
	struct env_io *disk_ios;
	uint32_t syncs;
	struct record_write record_write;
};

struct unit_disk {
	struct unit *unit;
	struct engine_disk *slot;
	struct disk *disk;
	uint64_t peer_size; /* secondary: of the primary's, as it offered; ours may be larger */
};

enum unit_step { /* opening and changing sides, one at a time */
	STEP_NONE,
	STEP_LOADING,      /* record, then tracking */
	STEP_FAILING_OVER, /* from here on: tracking, where it is needed, then the record */
	STEP_PROMOTING,
	STEP_DEMOTING,
};

/* What an operator asked for, until what it has to wait for has ended and its step begins. */
enum unit_wish {
	WISH_NONE,
	WISH_FAIL_OVER,
	WISH_PROMOTE,
	WISH_DEMOTE,
};

struct unit {
	struct list entry;
	struct index_node by_id, by_lineage;
	struct engine *engine;
	struct unit_spec spec;
	struct link *peer; /* to the shard where the other half is, as far as is known; never NULL: unit_take_link */
	enum unit_state state;
	enum unit_step step;
	enum unit_wish wish;
	uint64_t wish_term;
	struct env_timer step_timer;
	bool handed_over; /* STEP_DEMOTING: the other side holds every byte */
	struct divergence *divergence; /* kept, or NULL: repl/divergence.h */
	struct record record;
	struct record_file file;
	bool file_open;
	struct record_write record_write; /* of unit.c: loading, failing over, superseded */
	bool record_writing;
	uint32_t tracking;  /* disks being loaded */
	int step_result;
	struct unit_disk disks[ENGINE_UNIT_DISKS_MAX];
	struct kept_budget kept;
	struct sender sender;
	struct receiver receiver;
	struct applier applier;
	uint32_t in_flight; /* I/O of the unit's own, of whatever kind */
	/* for people */
	char reason[160];
	uint64_t total_bytes, done_bytes, shipped_bytes, abandoned, pause_ms;
	uint64_t scrubbed_bytes, scrub_differences, compared_equal_bytes;
	uint64_t rate_bytes, rate_mark_ns, rate_mark_bytes, rate_total;
	uint64_t told_ns, told_dirty_bytes;
};

/* unit.c */
void unit_move(struct unit *unit, enum unit_state state, const char *reason);
void unit_fail(struct unit *unit, const char *what, int code);
void unit_tell(struct unit *unit, bool now); /* on_unit; not `now`: at most a few times a second */
void unit_tell_changes(struct unit *unit);   /* if what would be lost has changed since it was told: writes alone tell nothing */
void unit_count(struct unit *unit, uint64_t bytes);
bool unit_leads(const struct unit *unit);
bool unit_follows(const struct unit *unit);
bool unit_is_with(const struct unit *unit, const struct link *link); /* whether the link goes to the unit's peer site */
/* The other half is, or may be, at the end of this link. Nothing may be under way on the one before. */
void unit_take_link(struct unit *unit, struct link *link);
void unit_header(const struct unit *unit, enum frame_type type, uint64_t epoch, uint64_t sequence, struct frame_header *out);
void unit_step_continue(struct unit *unit);
void unit_handed_over(struct unit *unit);
/* A secondary at a point in time has nothing to tell: its own changes are forgotten. False while that has to wait. */
bool unit_forget_changes(struct unit *unit);
void unit_supersede(struct unit *unit, uint64_t term);
struct engine_disk *engine_disk_find(struct engine *engine, const char *id);
struct unit *unit_find(struct engine *engine, const char *id);
struct unit *unit_find_lineage(struct engine *engine, const uint8_t lineage[ENGINE_LINEAGE_SIZE]);
void unit_status_fill(struct unit *unit, struct unit_status *out_status);
bool unit_is_idle(const struct unit *unit);
void unit_list(struct unit *unit); /* where it is found, until unit_free */
void unit_free(struct unit *unit);

/* handshake.c */
void handshake_on_offer(struct engine *engine, struct link *link, const struct frame_header *header, const uint8_t *payload);
void handshake_on_state(struct unit *unit, const struct frame_header *header, const uint8_t *payload);
void handshake_welcome_peer(struct unit *unit, uint64_t round, uint64_t pieces);
void handshake_refuse(struct unit *unit, enum frame_verdict verdict, const char *reason);

/* changes.c */
void changes_tell(struct unit *unit);
void changes_on_ack(struct unit *unit, const struct frame_header *header);
void changes_on_piece(struct unit *unit, const struct frame_header *header, const uint8_t *payload);
/* Whether every piece that the peer has told is here. */
bool changes_are_complete(const struct unit *unit, const struct frame_header *state);

/* sender.c */
void sender_init(struct unit *unit);
void sender_start(struct unit *unit);
void sender_stop(struct unit *unit, bool tell_peer);
void sender_link_up(struct unit *unit, struct link *link); /* any to the unit's peer */
void sender_link_down(struct unit *unit, const char *reason);
void sender_welcomed(struct unit *unit);
void sender_wait(struct unit *unit, const char *reason); /* offer again later */
void sender_unknown(struct unit *unit); /* the shard at the other end does not know the unit: the next one is asked */
void sender_abandon(struct unit *unit);
void sender_on_flow(struct unit *unit, uint64_t sequence);
void sender_on_epoch_ack(struct unit *unit, const struct frame_header *header);
void sender_shipped(struct unit *unit); /* every block of the closed epoch is on its way */
bool sender_may_send(struct unit *unit);
void sender_sent(struct unit *unit, uint64_t bytes);
void sender_forget_window(struct unit *unit);
void sender_cut_soon(struct unit *unit);
/* The cycle at work is given up, for something that cannot go on beside it; then it is offered anew. */
void sender_pause(struct unit *unit);
void sender_resume(struct unit *unit);
void sender_hand_over(struct unit *unit);
void sender_scrub(struct unit *unit);
/* The peer is at work on the handshake: it is not asked again so soon. */
void sender_patience(struct unit *unit);

/* compare.c: the secondary's half */
void compare_on_hashes(struct unit *unit, const struct frame_header *header, const uint8_t *payload);
/* Compares what had to wait until the newest epoch was applied. */
void compare_continue(struct unit *unit);
void compare_forget(struct unit *unit);

/* ship.c */
void ship_on_differ(struct unit *unit, const struct frame_header *header, const uint8_t *payload);
void ship_forget_asking(struct unit *unit);

void ship_pump(struct unit *unit);
/* Begins one data frame of ship_disk; false when that disk has no block to give now. */
bool ship_begin(struct unit *unit, bool sweep);
/* full_sync.c */
void full_sync_begin(struct unit *unit);
void full_sync_pump(struct unit *unit);
void full_sync_on_ack(struct unit *unit, uint64_t sequence);
void full_sync_forget(struct unit *unit);

/* receiver.c */
void receiver_init(struct unit *unit);
int receiver_open_stages(struct unit *unit);
void receiver_fini(struct unit *unit);
void receiver_attach(struct unit *unit);
void receiver_detach(struct unit *unit, const char *reason);
void receiver_on_frame(struct unit *unit, const struct frame_header *header, const uint8_t *frame);
bool receiver_is_quiet(const struct unit *unit);
void receiver_commit_continue(struct unit *unit);

/* apply.c */
void apply_start(struct unit *unit);
/* Writes the ranges of a data frame in place; on_done once, with 0 or a negative errno; takes the bytes. */
void apply_frame(struct unit *unit, uint8_t *frame, void (*on_done)(struct unit *unit, void *data, int result), void *data);
/* Syncs every disk of the unit; ios has one a disk. What a sync says goes through apply_sync_result. */
void apply_sync_disks(struct unit *unit, struct env_io *ios, uint32_t *count, void (*on_done)(struct env_io *io, int result));
/* 0 or a negative errno. Of a disk that has failed no sync says anything: the kernel tells a lost write only once. */
int apply_sync_result(const struct unit *unit, int result);

#endif
