/* What an operation means: the one place that decides, for every dialect.
 *
 * One control thread owns this object and the catalog. A door (api/) fills a request, calls control_call, and gets one answer.
 * An operation checks the state table and its named conditions, writes its intent to the catalog, answers, and acts through
 * idempotent messages to the shard and to the peer; transient states last as long as the work does. At start, unfinished
 * intents are resumed. Nothing here knows a dialect's names, codes or sentences. */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "control/port.h"
#include "control/refusal.h"
#include "control/state.h"

struct catalog;
struct control;

#define CONTROL_ID_SIZE ENGINE_ID_SIZE
#define CONTROL_NAME_SIZE 513 /* 128 characters of UTF-8 */
#define CONTROL_TEXT_SIZE 1025 /* 256 characters of UTF-8 */
#define CONTROL_TOKEN_SIZE 65
#define CONTROL_PEERS_MAX 64
/* Whether a disk's bytes go through the kernel's cache. Neither is on stable storage before a flush. */
#define CONTROL_CACHE_NONE "none"
#define CONTROL_CACHE_WRITEBACK "writeback"

struct control_site {
	char name[CONTROL_ID_SIZE];   /* = zone: unique among all sites */
	char region[CONTROL_ID_SIZE];
	char zone[CONTROL_ID_SIZE];
};

struct control_config {
	struct control_site site;
	struct control_site *peers; /* borrowed for control_new */
	size_t peer_count;
	char directory[512];        /* disks made here are "<directory>/disks/<id>.raw" */
	uint32_t pairs_per_group_max; /* 128 */
	uint32_t rpo_s_default;     /* 900, as the cloud's; from 1 s accepted */
	char nbd_uris[2][256];      /* where exports are reached: prefix, the disk's id is appended; "" when off */
};

enum control_operation {
	CONTROL_LIMIT_PEER, /* zone, size: bytes a second, 0 for none */
	CONTROL_CREATE_DISK,
	CONTROL_ATTACH_DISK,
	CONTROL_DETACH_DISK,
	CONTROL_RESIZE_DISK, /* an unpaired one */
	CONTROL_DELETE_DISK,
	CONTROL_CREATE_PAIR,
	CONTROL_START_PAIR,
	CONTROL_STOP_PAIR,
	CONTROL_FAILOVER_PAIR,
	CONTROL_REPROTECT_PAIR,
	CONTROL_SWITCHOVER_PAIR,
	CONTROL_SCRUB_PAIR,
	CONTROL_DISCARD_PAIR, /* what either site keeps of its divergence */
	CONTROL_PREVIEW_PAIR, /* changes nothing; the answer has `preview` */
	CONTROL_DELETE_PAIR,
	CONTROL_CREATE_GROUP,
	CONTROL_ADD_PAIR,
	CONTROL_REMOVE_PAIR,
	CONTROL_START_GROUP,
	CONTROL_STOP_GROUP,
	CONTROL_FAILOVER_GROUP,
	CONTROL_REPROTECT_GROUP,
	CONTROL_SWITCHOVER_GROUP,
	CONTROL_SCRUB_GROUP,
	CONTROL_DISCARD_GROUP,
	CONTROL_PREVIEW_GROUP,
	CONTROL_MODIFY_PAIR, /* name, description, RPO, bandwidth: those that are given */
	CONTROL_MODIFY_GROUP,
	CONTROL_MODIFY_DISK, /* name, description */
	CONTROL_TAG,         /* resource, ids, tags */
	CONTROL_UNTAG,       /* resource, ids, keys or all */
	CONTROL_CHANGE_RESOURCE_GROUP, /* resource, the id in `name`, resource_group */
	CONTROL_DELETE_GROUP,
	CONTROL_RUN_INSTANCES,    /* amount; the answer has the first id, control_instance_id gives the others */
	CONTROL_DELETE_INSTANCES, /* instance, or ids: all or none */
	CONTROL_RENAME_PAIR,      /* name, description: those that are given; in any state */
	CONTROL_RENAME_GROUP,
	CONTROL_KEEP_GROUP,       /* kept: members that are set, or, when null, removed; in any state */
	CONTROL_OPERATIONS,
};
const char *control_operation_name(enum control_operation operation);

/* What can be tagged. */
enum control_resource {
	CONTROL_RESOURCE_DISK,
	CONTROL_RESOURCE_PAIR,
	CONTROL_RESOURCE_GROUP,
	CONTROL_RESOURCE_INSTANCE,
	CONTROL_RESOURCES,
};
const char *control_resource_name(enum control_resource type);

/* A flag that a change may leave as it is. */
enum control_choice { CONTROL_AS_IT_IS, CONTROL_NO, CONTROL_YES };

/* A request to change something; fields an operation does not use are empty. */
struct control_request {
	enum control_operation operation;
	char client_token[CONTROL_TOKEN_SIZE]; /* "": none */
	char region[CONTROL_ID_SIZE];          /* RegionId as given: where the caller acts */
	char zone[CONTROL_ID_SIZE];
	char disk[CONTROL_ID_SIZE];
	char pair[CONTROL_ID_SIZE];
	char group[CONTROL_ID_SIZE];
	char instance[CONTROL_ID_SIZE];
	char peer_region[CONTROL_ID_SIZE];
	char peer_zone[CONTROL_ID_SIZE];
	char peer_disk[CONTROL_ID_SIZE];
	char name[CONTROL_NAME_SIZE];
	char description[CONTROL_TEXT_SIZE];
	char path[512];    /* CREATE_DISK: adopt this raw file or block device in place */
	char category[32];
	char performance[8]; /* of a disk: a word that is kept, as the category */
	char cache[12];      /* of a disk, from its next attachment on: CONTROL_CACHE_NONE or _WRITEBACK; "": as it is */
	char device[CONTROL_ID_SIZE];
	uint32_t delete_with_instance, delete_auto_snapshot, enable_auto_snapshot; /* enum control_choice; kept, no more */
	uint32_t amount;   /* RUN_INSTANCES: 0 is 1 */
	uint64_t size;     /* bytes */
	uint32_t rpo_s;    /* 0: the default */
	uint32_t period;   /* of a pair, in months: kept */
	uint64_t bandwidth;
	char charge_type[16];
	bool one_shot;
	bool enable_rtc;
	bool rtc_given;    /* MODIFY: enable_rtc counts */
	bool cancel;       /* REPROTECT: back to the original direction */
	bool adopts_state; /* ADD_PAIR: of a group and a pair one may be created and the other stopped; the group's state counts */
	uint32_t resource; /* enum control_resource */
	char resource_group[CONTROL_ID_SIZE];
	bool all;          /* UNTAG: every tag */
	json_t *ids, *keys; /* arrays of strings, or NULL; of the caller, who calls control_request_clear */
	json_t *tags;      /* {key: value}, or NULL */
	json_t *kept;      /* {name: anything, or null}, or NULL: CREATE_GROUP, KEEP_GROUP */
};
void control_request_clear(struct control_request *request);

#define CONTROL_INSTANCES_MAX 100u /* made by one call */

#define CONTROL_COSTS_MAX 4

/* What a change of sides would cost if it were asked for now. */
struct control_cost {
	const char *operation;   /* "failover", "switchover", "reprotect", "cancel" */
	bool bytes_known;
	uint64_t move_bytes;     /* over the link, at most */
	bool time_known;
	uint64_t expected_ms;    /* at the rate the link has carried so far */
	bool set_aside_known;
	uint64_t set_aside_bytes; /* changed at one side only, and given up */
	char set_aside_zone[CONTROL_ID_SIZE];
};

struct control_preview {
	uint64_t recovery_ms, recovery_age_ms; /* of the newest recovery point; 0: none */
	char peer_zone[CONTROL_ID_SIZE];
	bool peer_answered;
	uint32_t cost_count; /* of what is allowed in the present state */
	struct control_cost costs[CONTROL_COSTS_MAX];
};

/* The one answer: id of what was made, or the refusal with a sentence that holds the particulars ("" : the dialect's own
 * sentence is enough). */
struct control_answer {
	enum refusal refusal; /* REFUSE_NONE: done, or begun */
	char id[CONTROL_ID_SIZE];
	char text[256];
	uint32_t amount;      /* of instances made */
	const struct control_preview *preview; /* of a preview, else NULL; borrowed for the call */
};

/* --- what can be read --- */

struct control_disk {
	char id[CONTROL_ID_SIZE];
	char name[CONTROL_NAME_SIZE];
	char description[CONTROL_TEXT_SIZE];
	char region[CONTROL_ID_SIZE];
	char zone[CONTROL_ID_SIZE];
	char kind[16];
	char path[512];
	char category[32];
	bool adopted;
	uint64_t size; /* bytes */
	enum disk_state state;
	char instance[CONTROL_ID_SIZE];
	char device[CONTROL_ID_SIZE];
	char performance[8], cache[12];
	bool delete_with_instance, delete_auto_snapshot, enable_auto_snapshot;
	char pair[CONTROL_ID_SIZE];      /* "" when in none */
	char failure[160];               /* "" or why the disk failed */
	json_t *tags;                    /* {key: value} or NULL; borrowed, as long as nothing is changed */
	char resource_group[CONTROL_ID_SIZE];
	bool diverged_kept;              /* as it was when this site gave up the lead, it is exported, too */
	uint64_t created_s, attached_s, detached_s; /* wall clock, seconds; 0: never */
};

struct control_pair {
	char id[CONTROL_ID_SIZE];
	char name[CONTROL_NAME_SIZE];
	char description[CONTROL_TEXT_SIZE];
	char group[CONTROL_ID_SIZE];
	char group_name[CONTROL_NAME_SIZE];
	enum pair_state state;
	char message[256];               /* why it is in a failed state, waits, or is behind; "" */
	struct control_site source, destination; /* of the present direction */
	struct control_site primary, standby;    /* as first made */
	char source_disk[CONTROL_ID_SIZE], destination_disk[CONTROL_ID_SIZE];
	bool here_is_production;         /* this site has the source */
	uint64_t size;
	uint32_t rpo_s;
	uint64_t bandwidth;
	char charge_type[16];
	uint32_t period;                 /* months; 0: not given */
	bool enable_rtc;
	json_t *tags;                    /* as a disk's */
	char resource_group[CONTROL_ID_SIZE];
	uint64_t created_s;
	uint64_t updated_s;              /* when its record last changed; 0: never */
	bool switching;                  /* its sides change over, as planned */
	uint64_t recovery_ms;            /* newest recovery point, primary's wall clock; 0: none */
	struct unit_status status;       /* live, as far as this side knows */
};

struct control_group {
	char id[CONTROL_ID_SIZE];
	char name[CONTROL_NAME_SIZE];
	char description[CONTROL_TEXT_SIZE];
	enum pair_state state;           /* groups use the same set of states; their table is another */
	char message[256];
	struct control_site source, destination, primary, standby;
	bool here_is_production;
	uint32_t rpo_s;
	uint64_t bandwidth;
	bool enable_rtc;
	json_t *tags;
	json_t *kept;                    /* what dialects keep with it, and nobody else reads: an object or NULL; borrowed */
	char resource_group[CONTROL_ID_SIZE];
	uint64_t created_s, updated_s;
	bool switching;
	uint64_t recovery_ms;
	uint32_t pair_count;
	char (*pairs)[CONTROL_ID_SIZE];  /* freed by control_list_free */
	struct unit_status status;
};

/* What disks are attached to: no more than a name. Made by RUN_INSTANCES, or named by an attachment, and there as long
 * as that. */
struct control_instance {
	char id[CONTROL_ID_SIZE];
	char name[CONTROL_NAME_SIZE];    /* "" when it was only named */
	char description[CONTROL_TEXT_SIZE];
	char region[CONTROL_ID_SIZE];
	char zone[CONTROL_ID_SIZE];
	char resource_group[CONTROL_ID_SIZE];
	json_t *tags;                    /* as a disk's */
	uint64_t created_s;
	uint32_t disk_count;
	char (*disks)[CONTROL_ID_SIZE];  /* attached to it; freed by control_list_free */
};

enum control_site_filter { CONTROL_SITE_ANY, CONTROL_SITE_PRODUCTION, CONTROL_SITE_BACKUP };

/* Empty fields do not filter. */
struct control_filter {
	const char *const *ids;
	size_t id_count;
	const char *region;
	const char *zone;
	const char *name_part;
	const char *group;   /* pairs: "-" means in no group */
	const char *instance;
	const char *category; /* of a disk */
	bool or_no_category;  /* disks made without one, too */
	int state;           /* enum of the kind listed, or -1 */
	enum control_site_filter site;
	json_t *tags;               /* {key: value or null}: all of them; null: whatever value */
	const char *resource_group;
	size_t first, count; /* the page: rows to skip, rows to give (at most 500) */
};

/* A page of rows, and how many there are in all. Freed with control_list_free. */
struct control_list {
	size_t count, total;
	struct control_disk *disks;   /* one of the four is set */
	struct control_pair *pairs;
	struct control_group *groups;
	struct control_instance *instances;
};

/* Takes nothing; borrows the catalog until control_free. Opens what the catalog holds and resumes unfinished work. */
struct control *control_new(const struct control_config *config, struct catalog *catalog, const struct control_port *port,
			    struct error *error);
void control_free(struct control *control);

/* Calls on_answer exactly once, on this thread: before returning, or later when the peer has to be asked (then within 2.5
 * seconds; the work goes on). */
void control_call(struct control *control, const struct control_request *request,
		  void (*on_answer)(void *data, const struct control_answer *answer), void *data);

/* Reads of another site, which its door answers: what it is asked and what it replies are the dialect's own, objects.
 * control_read takes the question, and calls on_reply exactly once, with NULL when that site did not answer in 2.5 seconds, or
 * when too many calls wait for it. The reader gives the reply to a question of a peer to its caller. */
void control_set_reader(struct control *control, json_t *(*on_read)(void *data, const json_t *question), void *data);
void control_read(struct control *control, const char *zone, json_t *question,
		  void (*on_reply)(void *data, const json_t *reply), void *data);

int control_list_disks(struct control *control, const struct control_filter *filter, struct control_list *out_list);
/* How many disks this site has, and their bytes. */
void control_sum_disks(struct control *control, size_t *out_count, uint64_t *out_bytes);
int control_list_pairs(struct control *control, const struct control_filter *filter, struct control_list *out_list);
int control_list_groups(struct control *control, const struct control_filter *filter, struct control_list *out_list);
int control_list_instances(struct control *control, const struct control_filter *filter, struct control_list *out_list);
void control_list_free(struct control_list *list);

/* A pair or a group, as little of it as a walk over all of them has to look at; borrowed for the visit. */
struct control_brief {
	const char *id, *name, *group;
	const char *source, *destination; /* zones */
	const char *source_disk, *destination_disk; /* of a pair */
	enum pair_state state;
	uint64_t created_s, updated_s;
	bool switching;
	uint32_t rpo_s;
	uint64_t recovery_age_ms;    /* 0 too when there is no recovery point */
};
/* Every pair, or every group, that is listed; oldest first. Nothing may be changed in a visit. */
void control_each(struct control *control, bool is_group, void (*visit)(void *data, const struct control_brief *brief),
		  void *data);

/* Disks of this site and of its peers, in one order. */
enum control_disk_order { CONTROL_BY_CREATION, CONTROL_BY_NAME, CONTROL_BY_SIZE, CONTROL_BY_ID, CONTROL_DISK_ORDERS };

#define CONTROL_FIND_MAX 1000u

struct control_disk_query {
	const char *id, *zone, *name; /* only these; NULL: all */
	const char *instance;         /* attached to it, or NULL */
	json_t *tags;                 /* {key: value or null}, or NULL */
	int state;                    /* enum disk_state, or -1 */
	enum control_disk_order order;
	bool descending;
	const struct control_disk *after; /* those behind this one; NULL: from the first */
	size_t limit;                 /* 1 to CONTROL_FIND_MAX */
};

struct control_found {
	struct control_disk *disks; /* tags included, for as long as on_found runs */
	size_t count;
	bool more;                  /* behind the last */
	const struct control_site *unreached; /* a site asked that did not answer, or NULL; why: */
	enum refusal refusal;       /* PEER_UNREACHABLE or PEER_ANSWER */
	char text[CONTROL_ID_SIZE + 64];
};

/* Calls on_found exactly once, before returning or within 2.5 seconds. */
void control_find_disks(struct control *control, const struct control_disk_query *query,
			void (*on_found)(void *data, const struct control_found *found), void *data);

/* Rows {"id", "key", "value"}, a tag each, of those of these ids (NULL or empty: all) that have all tags wanted; given to the
 * caller. */
json_t *control_list_tags(struct control *control, enum control_resource type, json_t *ids, json_t *wanted);
bool control_has_resource(struct control *control, enum control_resource type, const char *id);

/* The id of instance `index` (below CONTROL_INSTANCES_MAX) of those that were made together, from the first one's. */
void control_instance_id(const char *first, uint32_t index, char out[CONTROL_ID_SIZE]);

/* The most pairs that a group may have. */
uint32_t control_pairs_per_group(const struct control *control);

/* This site; and its peers: are they linked, how fast may they be shipped to (bytes a second, 0: no limit)? Borrows; NULL past
 * the last. */
const struct control_site *control_this_site(const struct control *control);
const struct control_site *control_peer(const struct control *control, size_t index, bool *out_linked,
					uint64_t *out_limit);
/* This site or a peer; NULL when neither lies in that zone. */
const struct control_site *control_find_site(const struct control *control, const char *zone, bool *out_linked);

/* --- called by the daemon on the control thread --- */

void control_on_answer(struct control *control, uint64_t command_id, const struct error *error); /* code 0: done */
void control_on_unit(struct control *control, const struct unit_status *status);
void control_on_link(struct control *control, const char *peer, bool up, const char *reason);
void control_on_message(struct control *control, const char *peer, bool is_answer, uint64_t id, const void *bytes, size_t size);
void control_on_disk_failed(struct control *control, const char *disk, int code);

/* Time limits, retries of unfinished work; returns milliseconds until it wants to be called again (at most 1000). */
uint32_t control_tick(struct control *control);

#endif
