/* Control's own state, shared by the files of this folder. The control thread.
 *
 * A pair and a group are both a `replica`: the same states, sites and history; a group has members, a pair has disks. What is
 * stored and what is sent to the peer is the same JSON, made from one table of fields (record.c). */
#ifndef CONTROL_INTERNAL_H
#define CONTROL_INTERNAL_H

#include <jansson.h>

#include "base/index.h"
#include "base/list.h"
#include "control/control.h"
#include "control/rows.h"

struct disk_record {
	size_t place; /* in control's rows */
	uint64_t tags_mark;
	struct index_node by_id, by_instance;
	char id[CONTROL_ID_SIZE], name[CONTROL_NAME_SIZE], description[CONTROL_TEXT_SIZE];
	char kind[16], path[512], category[32], instance[CONTROL_ID_SIZE];
	char device[CONTROL_ID_SIZE], performance[8], cache[12];
	bool adopted, delete_with_instance, delete_auto_snapshot, enable_auto_snapshot;
	uint64_t size, state, created_s, attached_s, detached_s;
	char resource_group[CONTROL_ID_SIZE];
	json_t *tags; /* of the record; NULL: none */
	char failure[160]; /* not stored */
};

struct instance_record {
	size_t place; /* in control's rows */
	uint64_t tags_mark;
	struct index_node by_id;
	char id[CONTROL_ID_SIZE], name[CONTROL_NAME_SIZE], description[CONTROL_TEXT_SIZE];
	uint64_t created_s;
	char resource_group[CONTROL_ID_SIZE];
	json_t *tags; /* of the record; NULL: none */
};

/* A change of sides under way: control/change.c. */
enum change { CHANGE_NONE, CHANGE_REPROTECT, CHANGE_CANCEL, CHANGE_SWITCHOVER, CHANGES };

struct replica {
	/* What lists and the tick look at in each row of 100,000 stands first, together: */
	size_t place; /* in control's rows */
	uint64_t state;
	uint64_t tags_mark; /* see tags_mark_of */
	uint64_t change;    /* enum change */
	struct index_node by_group;
	bool is_group;
	bool stale;     /* the shard may still have the unit it had with other members */
	bool unit_gone; /* deleting: our half is done */
	bool peer_gone; /* deleting: the peer's half is done */
	int16_t source_at, destination_at; /* the zones: 0 here, i + 1 the i-th peer's, -1 of a peer that has left */
	struct index_node by_id, by_source, by_destination;
	char id[CONTROL_ID_SIZE], name[CONTROL_NAME_SIZE], description[CONTROL_TEXT_SIZE];
	char source[CONTROL_ID_SIZE], destination[CONTROL_ID_SIZE]; /* zones, of the present direction */
	char primary[CONTROL_ID_SIZE], standby[CONTROL_ID_SIZE];    /* as first made */
	char lineage[2 * ENGINE_LINEAGE_SIZE + 1]; /* "" before the first start */
	char charge_type[16];
	uint64_t size, rpo_s, bandwidth, period, created_s, updated_s, one_shot_s;
	uint64_t rank, version; /* the copy with the higher (rank, version) is the newer; rank grows with each failover */
	bool enable_rtc;
	bool synced;            /* a pair: its secondary disk has held a committed copy; a unit: its members have, as this unit */
	bool compare;           /* its unit begins with a comparison: see unit_spec in repl/engine.h */
	uint64_t point_epoch, point_ms;
	char point_zone[CONTROL_ID_SIZE]; /* who holds that recovery point */
	char resource_group[CONTROL_ID_SIZE];
	json_t *tags, *kept;    /* of the record; NULL: none */
	/* of a pair */
	char group[CONTROL_ID_SIZE], source_disk[CONTROL_ID_SIZE], destination_disk[CONTROL_ID_SIZE];
	/* not stored */
	char message[256];
	struct unit_status status;
	uint64_t told_ms; /* when (monotonic); 0: not yet */
	uint64_t state_before; /* of a failover asked for since the daemon's start; else PAIR_CREATING */
	uint64_t change_term, change_retry_ms; /* the term to lead with, 0: not known yet; when to try the next step again */
	bool opened;    /* the shard has its unit */
	bool closing;   /* and has been told to close it */
	bool busy;      /* an operation on it waits for the shard or the peer */
	uint32_t levelling; /* disks of it whose sizes are being made the same at both sides */
};

typedef void command_done(struct control *control, void *data, const struct error *error);
/* `reply` is NULL when the peer did not answer in time. */
typedef void ask_done(struct control *control, void *data, const json_t *reply);

struct waiting {
	struct list entry;
	uint64_t id;
	uint64_t deadline_ms; /* asks */
	struct peer *waited_for; /* asks: by a call, which counts as one that waits for this peer; or NULL */
	command_done *on_command;
	ask_done *on_ask;
	void *data;
};

struct peer {
	struct control_site site;
	bool linked;
	uint64_t limit; /* bytes a second, 0: none */
	/* copies.c: rows it has been told of, and is being told of, since the link came up */
	size_t told_at, telling_at, told_of;
	uint64_t telling_round;
	uint32_t calls; /* that wait for it */
};

/* An opening that waits until the unit its disks were in before has been closed, at most until the deadline. */
struct opening {
	struct list entry;
	char id[CONTROL_ID_SIZE];
	uint64_t deadline_ms;
	command_done *on_done;
	void *data;
};

/* A call on its way. */
struct call {
	struct list entry; /* of the control: not answered yet */
	struct control *control;
	struct control_request request;
	void (*on_answer)(void *data, const struct control_answer *answer);
	void *data;
	char made_id[CONTROL_ID_SIZE]; /* what a create made, or the object it works on */
	uint64_t state_before;
	bool owns_token; /* the first call with its client token */
	bool previewed;
	struct control_preview preview;
	const char *from; /* zone of the peer that carried it here, or NULL; of the configuration */
	uint32_t hops;    /* how often it has been carried */
	/* while it is sought at the other sites of its region */
	size_t sought;    /* peers gone through */
	bool unreached;   /* one of them did not answer */
	enum refusal sought_refusal;
	char sought_text[256];
};

/* A client token, and what its call made; kept for a day. */
struct token {
	struct list entry;
	struct index_node by_text;
	char text[CONTROL_TOKEN_SIZE];
	char digest[65];
	char id[CONTROL_ID_SIZE];
	uint64_t at_s;
	bool running;
};

struct control {
	struct control_config config;
	struct peer *peers;
	struct catalog *catalog;
	struct control_port port;
	struct rows disks, replicas, instances; /* of struct disk_record, struct replica, struct instance_record */
	struct index disks_by_id, replicas_by_id, pairs_by_group, pairs_by_source, pairs_by_destination, tokens_by_text;
	struct index disks_by_instance, instances_by_id;
	struct list commands, asks;    /* of struct waiting */
	struct list tokens;            /* in the order of their calls; at start in no order */
	uint64_t token_count, tokens_looked_s;
	json_t *(*on_read)(void *data, const json_t *question);
	void *on_read_data;
	uint32_t stale_count;          /* of replicas that are stale: looked at whenever a unit is opened */
	struct list calls;             /* of struct call */
	struct list debts;             /* peer.c: of struct debt */
	struct list findings;          /* find.c: answers that are awaited */
	struct list openings;          /* of struct opening: units that wait for the one before them to be closed */
	uint64_t next_id;
	uint64_t tick_ms;
};

uint64_t control_now_ms(void); /* monotonic */
uint64_t control_now_s(void);  /* wall clock */
void control_random(void *out, size_t size);
void control_make_id(const char *prefix, char out[CONTROL_ID_SIZE]);

/* record.c */
int record_load(struct control *control, struct error *error);
int disk_store(struct control *control, struct disk_record *disk, struct error *error);
int disk_forget(struct control *control, struct disk_record *disk, struct error *error);
/* Stores with a new version, and sends the new copy to the peer. */
int replica_store(struct control *control, struct replica *replica, struct error *error);
/* As it is. */
int replica_keep(struct control *control, struct replica *replica, struct error *error);
int replica_forget(struct control *control, struct replica *replica, struct error *error);
/* All records and what finds them, freed. */
void record_unload(struct control *control);
int instance_store(struct control *control, struct instance_record *instance, struct error *error);
/* All or none; the new ones are taken. */
int instances_make(struct control *control, struct instance_record **instances, uint32_t count, struct error *error);
int instance_forget(struct control *control, struct instance_record *instance, struct error *error);
/* The first disk attached to it, or NULL. */
struct disk_record *disk_of_instance(struct control *control, const char *instance);
struct instance_record *instance_find(struct control *control, const char *id);
struct disk_record *disk_find(struct control *control, const char *id);
struct replica *replica_find(struct control *control, const char *id, bool is_group);
/* The pair that holds a disk of this site, or NULL. */
struct replica *replica_of_disk(struct control *control, const char *disk);
struct replica *unit_owner(struct control *control, const char *unit_id);
json_t *disk_to_json(const struct disk_record *disk);
/* What it holds is given back by json_decref of its tags. */
bool disk_from_json(const json_t *json, struct disk_record *out_disk);
json_t *replica_to_json(const struct replica *replica);
/* What it holds is given back with replica_clear. */
bool replica_from_json(const json_t *json, struct replica *out_replica);
void replica_clear(struct replica *replica);
json_t *request_to_json(const struct control_request *request);
bool request_from_json(const json_t *json, struct control_request *out_request);
uint32_t replica_members(struct control *control, const char *group, struct replica **out, uint32_t max);
bool is_source(const struct control *control, const struct replica *replica);
const char *replica_peer(const struct control *control, const struct replica *replica);
void replica_set_state(struct control *control, struct replica *replica, enum pair_state state, const char *message);

/* peer.c */
struct peer *peer_find(struct control *control, const char *zone);
void send_command(struct control *control, struct shard_command *command, command_done *on_done, void *data);
/* Takes the JSON. */
void ask_peer(struct control *control, const char *zone, json_t *question, ask_done *on_reply, void *data);
/* For a call that waits for the reply: too many of them at one peer, and it is a refusal at once. The last thing to do with a
 * call. */
void ask_for_call(struct control *control, const char *zone, json_t *question, ask_done *on_reply, void *data);
void tell_peer(struct control *control, const char *zone, json_t *news);
enum refusal reply_refusal(const json_t *reply, char text[256]);
/* Gives the milliseconds until it wants to be called again, at most `most`. */
uint32_t peer_expire(struct control *control, uint32_t most);

/* An answer owed to a peer; paid exactly once. */
struct debt;
json_t *reply_with(enum refusal refusal, const char *text);
void debt_pay(struct debt *debt, enum refusal refusal, const char *text);
void debt_pay_with(struct debt *debt, json_t *reply); /* takes the JSON */
struct control *debt_control(const struct debt *debt);
const char *debt_unit(const struct debt *debt);
void debt_set_unit(struct debt *debt, const char *id);
/* At the end of the control. debt_forget: true when `data` was a debt, which is freed. */
bool debt_forget(struct control *control, const void *data);
void debts_unload(struct control *control);

/* copies.c */
void push_replica(struct control *control, const struct replica *replica);
/* The link has come up. */
void tell_copies(struct control *control, struct peer *peer);
void on_versions(struct debt *debt, const json_t *message);

/* change.c */
void change_begin(struct call *call, struct replica *replica, enum change change);
void change_continue(struct control *control, struct replica *replica);
json_t *change_status(const struct replica *replica, json_t *reply);
void on_follow(struct debt *debt, const json_t *message);

/* operation_tags.c */
void operate_tags(struct call *call);
void operate_resource_group(struct call *call);
/* A bit for each key, and one for each key and value: tags that lack a bit of the wanted ones' cannot match. */
uint64_t tags_mark_of(json_t *tags);
bool tags_match(const json_t *tags, json_t *wanted);

/* find.c */
void findings_unload(struct control *control);
void on_find(struct debt *debt, const json_t *message);

/* operation_label.c */
void operate_rename(struct call *call);
void operate_keep(struct call *call);

/* preview.c */
void operate_preview(struct call *call);
/* Over the link, with the answer to a call that was carried. */
json_t *preview_to_json(const struct control_preview *preview);
bool preview_from_json(const json_t *json, struct control_preview *out_preview);
void preview_tell(struct control *control, const struct replica *replica, json_t *reply);

/* list.c */
void fill_disk(struct control *control, const struct disk_record *disk, struct control_disk *row);
/* The group of a pair that is in one, else itself. */
const struct replica *unit_of(struct control *control, const struct replica *replica);
/* 0 when it is as good as now; `told_ms`: when the status was told (monotonic). */
uint64_t recovery_age_of(const struct unit_status *status, uint64_t told_ms);

/* token.c */
/* True when the call was answered from its token. */
bool token_begin(struct call *call);
void token_end(struct call *call, bool keep);
void tokens_expire(struct control *control);
void tokens_unload(struct control *control);
int token_load(struct control *control, const char *text, const char *body);
void tokens_push(struct control *control, const struct peer *peer, const struct token *only);
void on_tokens(struct debt *debt, const json_t *message);

/* call.c */
/* As control_call; `from`: the peer that carried it here, or NULL. */
void call_begin(struct control *control, const struct control_request *request, const char *from, uint32_t hops,
		void (*on_answer)(void *data, const struct control_answer *answer), void *data);
void call_free(struct call *call);
void call_end(struct call *call, enum refusal refusal, const char *format, ...) __attribute__((format(printf, 3, 4)));
void call_end_error(struct call *call, const struct error *error);
void call_forward(struct call *call, const char *zone);
/* What it names is not here: the other sites of its region are asked, one after the other. The refusal is for when there is no
 * other, or when none of them has it either. */
void call_seek(struct call *call, enum refusal refusal, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Its region is this site's, or none is given. */
bool call_is_of_this_region(const struct call *call);
/* Where something is to be made: false when the call was answered, or carried over to the site it names. */
bool call_is_here(struct call *call);

/* operation_disk.c */
#define DISK_SIZE_MAX (UINT64_C(1) << 46)
void operate_create_disk(struct call *call);
void operate_disk(struct call *call);
void operate_modify_disk(struct call *call);
void disk_command(const struct disk_record *disk, enum shard_command_kind kind, struct shard_command *out);
void disks_resume(struct control *control);
void disks_export(struct control *control);

/* grow.c */
/* The disks of a pair, called for the primary's; ends the call. The size has been checked. */
void grow_pair(struct call *call, const struct disk_record *disk, const struct replica *pair);
/* The sizes differ, the engine says: the smaller disk of each pair grows. */
void level_disks(struct control *control, struct replica *replica);
void on_grow(struct debt *debt, const json_t *message);

/* operation_replica.c, operation_member.c, operation_instance.c, operation_site.c */
void operate_create_pair(struct call *call);
void operate_create_group(struct call *call);
void operate_replica(struct call *call);
void operate_discard(struct call *call);
void operate_member(struct call *call);
void on_settled(struct debt *debt, const json_t *message);
void operate_run_instances(struct call *call);
void operate_delete_instances(struct call *call);
void operate_limit_peer(struct call *call);
int limits_resume(struct control *control, struct error *error);

/* unit.c: the engine's unit of a replica */
bool unit_has_members(struct control *control, struct replica *replica);
bool unit_make_spec(struct control *control, struct replica *replica, struct unit_spec *out_spec);
void unit_open(struct control *control, struct replica *replica, command_done *on_done, void *data);
void unit_command(struct control *control, enum shard_command_kind kind, const char *id, bool one_shot, command_done *on_done,
		  void *data);
/* With other members it is another unit: the shard's is closed, at leisure. */
void unit_close_stale(struct control *control, struct replica *replica);
void unit_openings_continue(struct control *control);
void unit_delete_continue(struct control *control, struct replica *replica);
void unit_resume_all(struct control *control);

#endif
