/* When a unit's next cycle begins; who of a link's units may send next, and how fast all of them together.
 *
 * A link carries the frames of many units. What they share is bounded: bytes sent and not yet acknowledged (the window), bytes
 * queued, and, with all other links to that peer, bytes a second where a limit is set (repl/pace_line.h). A unit that finds
 * one of these used up is hungry; when there is room again the hungry unit whose recovery point misses its RPO first goes first.
 * Units in their first full sync have no deadline: they get every fourth turn, so that neither they nor the others starve. One
 * shard's thread. */
#ifndef REPL_PACE_H
#define REPL_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "env/env.h"

struct engine;
struct link;
struct pace_line;
struct unit;

struct pace {
	uint64_t unacked_bytes; /* of all units of the link */
	struct pace_line *line; /* to the peer, for the links of all shards */
	uint32_t turns;
	struct {
		uint64_t from_ns, last_ns, bytes; /* of the present train of data frames: no long pause between them */
		uint64_t rate;                    /* bytes a second, 0: not known yet */
	} meter;
	struct env_timer timer;
	struct env_io defer;
	bool deferred;
	bool waiting;           /* somebody may be hungry */
};

/* When the next cycle begins, after one that was cut, had sent its last frame, and was committed at these times: not
 * before `cycle_ns_min` after its cut, and after a rest of three times what its shipping took. But the rest ends five
 * times `cycle_ns_min` after the cut, and where the recovery point would get older than half the RPO if the next cycle
 * takes as long. In the past: begin now. A disk under load keeps most of its speed so, and a block that is written again
 * meanwhile is shipped once. */
struct pace_cycle {
	uint64_t cut_ns, shipped_ns, committed_ns;
};
uint64_t pace_next_cut_ns(const struct pace_cycle *cycle, uint64_t cycle_ns_min, uint64_t rpo_ns);

/* May this unit send a data frame now? When not it is pumped later. */
bool pace_may_send(struct unit *unit);
void pace_sent(struct unit *unit, uint64_t bytes);
/* Bytes of this unit that are on their way no more: acknowledged, or given up. */
void pace_done(struct unit *unit, uint64_t bytes);
/* Bytes of disks that came or went: what the link can carry shows while it is kept busy. */
void pace_count(struct unit *unit, uint64_t bytes);
uint64_t pace_rate(struct link *link); /* bytes a second, 0: not known yet */
/* There may be room: the hungry are pumped. */
void pace_pump(struct engine *engine, struct link *link);
void pace_init(struct link *link, struct pace_line *line);
/* Of the line to the peer of this link; this shard's hungry units hear of it, those of others when they are told, too. */
void pace_set_limit(struct engine *engine, struct link *link, uint64_t bytes_per_second);
void pace_stop(struct engine *engine, struct link *link);

#endif
