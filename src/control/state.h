/* The states users see, and the tables that say what may be asked in each. Both from one list each. */
#ifndef CONTROL_STATE_H
#define CONTROL_STATE_H

#include <stdint.h>

#include "control/refusal.h"

#define DISK_STATE_LIST(X) \
	X(CREATING, "Creating") X(AVAILABLE, "Available") X(ATTACHING, "Attaching") X(IN_USE, "In_use") \
	X(DETACHING, "Detaching") X(DELETING, "Deleting")

enum disk_state {
#define X(name, text) DISK_STATE_##name,
	DISK_STATE_LIST(X)
#undef X
	DISK_STATES,
};

#define PAIR_STATE_LIST(X) \
	X(CREATING, "creating") X(CREATED, "created") X(CREATE_FAILED, "create_failed") \
	X(INITIAL_SYNCING, "initial_syncing") X(SYNCING, "syncing") X(NORMAL, "normal") \
	X(MANUAL_SYNCING, "manual_syncing") X(STOPPING, "stopping") X(STOPPED, "stopped") X(STOP_FAILED, "stop_failed") \
	X(FAILOVERING, "failovering") X(FAILOVERED, "failovered") X(FAILOVER_FAILED, "failover_failed") \
	X(REPROTECTING, "reprotecting") X(REPROTECT_FAILED, "reprotect_failed") \
	X(DELETING, "deleting") X(DELETE_FAILED, "delete_failed") X(DELETED, "deleted") X(INVALID, "invalid")

enum pair_state {
#define X(name, text) PAIR_##name,
	PAIR_STATE_LIST(X)
#undef X
	PAIR_STATES,
};

const char *disk_state_name(enum disk_state state);
const char *pair_state_name(enum pair_state state);

/* The operations the tables decide on; a pair's and a group's have the same verbs. */
#define PAIR_VERB_LIST(X) \
	X(START, "start") X(START_ONE_SHOT, "start one-shot") X(STOP, "stop") X(FAILOVER, "failover") \
	X(REPROTECT, "reprotect") X(DELETE, "delete") X(MODIFY, "modify") X(ADD, "add") X(REMOVE, "remove") \
	X(SWITCHOVER, "switch over") X(SCRUB, "scrub")

enum pair_verb {
#define X(name, text) PAIR_VERB_##name,
	PAIR_VERB_LIST(X)
#undef X
	PAIR_VERBS,
};
const char *pair_verb_name(enum pair_verb verb);

/* UNDECIDED is zero: a cell nobody thought about fails the table test. */
enum verdict_kind { UNDECIDED, ACCEPT, REFUSE };

struct verdict {
	uint8_t kind;    /* enum verdict_kind */
	uint8_t then;    /* ACCEPT: enum pair_state while it runs */
	uint8_t because; /* REFUSE: enum refusal */
};

extern const struct verdict pair_table[PAIR_STATES][PAIR_VERBS];
extern const struct verdict group_table[PAIR_STATES][PAIR_VERBS];

#endif
