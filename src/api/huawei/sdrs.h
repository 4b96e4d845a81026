/* Private to api/huawei: what the files of SDRS share. A protection group is a group of control's, a replication pair a pair; a
 * protected instance is a note kept with the group. Every change but a few is a job. The control thread. */
#ifndef API_HUAWEI_SDRS_H
#define API_HUAWEI_SDRS_H

#include "api/huawei/internal.h"

struct huawei_state;

/* What clients are told of groups, pairs and instances: one set of words for the three. */
#define SDRS_STATUS_LIST(X) \
	X(AVAILABLE, "available") X(PROTECTED, "protected") X(FAILED_OVER, "failed-over") \
	X(CREATING, "creating") X(STARTING, "starting") X(STOPPING, "stopping") X(REVERSING, "reversing") \
	X(FAILING_OVER, "failing-over") X(REPROTECTING, "reprotecting") X(DELETING, "deleting") X(EXTENDING, "extending") \
	X(ATTACHING, "attaching") X(DETACHING, "detaching") \
	X(ERROR, "error") X(ERROR_STARTING, "error-starting") X(ERROR_STOPPING, "error-stopping") \
	X(ERROR_REVERSING, "error-reversing") X(ERROR_FAILING_OVER, "error-failing-over") \
	X(ERROR_REPROTECTING, "error-reprotecting") X(ERROR_DELETING, "error-deleting") \
	X(ERROR_EXTENDING, "error-extending") X(ERROR_ATTACHING, "error-attaching") \
	X(ERROR_DETACHING, "error-detaching") X(INVALID, "invalid") X(FAULT, "fault")

enum sdrs_status {
#define X(name, text) SDRS_##name,
	SDRS_STATUS_LIST(X)
#undef X
	SDRS_STATUSES,
};
const char *sdrs_status_name(enum sdrs_status status);
#define SDRS_IN(name) (UINT32_C(1) << SDRS_##name)

/* What a job is about. */
enum sdrs_kind { SDRS_GROUP, SDRS_PAIR, SDRS_INSTANCE };

/* A plan in SDRS's words. */
struct sdrs_work {
	const struct job_plan *plan; /* NULL ends the table */
	const char *type;            /* of the job */
	enum sdrs_kind about;
	const char *failure;         /* in the task centre */
	const char *code;            /* of a failed job */
	enum sdrs_status runs, fails;/* what it is about, meanwhile, and after a failure */
	uint32_t from;               /* statuses that a failure leaves as they were: only these are hidden behind `fails` */
};
extern const struct sdrs_work sdrs_works[];
/* NULL: of another family. */
const struct sdrs_work *sdrs_work_of(const struct job *job);

/* sdrs_plans.c */
extern const struct job_plan sdrs_plan_create_group, sdrs_plan_delete_group, sdrs_plan_create_pair, sdrs_plan_delete_pair,
	sdrs_plan_expand_pair, sdrs_plan_create_instances, sdrs_plan_delete_instances, sdrs_plan_attach_pair, sdrs_plan_detach_pair;

/* sdrs_state.c: from the engine's state and the jobs on it */
enum sdrs_status sdrs_group_status(const struct huawei *huawei, const char *id, enum pair_state state, bool switching);
enum sdrs_status sdrs_pair_status(const struct huawei *huawei, const char *id, const char *group, enum pair_state state,
				  bool switching);
enum sdrs_status sdrs_instance_status(const struct huawei *huawei, const char *id, const struct control_group *group);
bool sdrs_is_abnormal(enum sdrs_status status);
/* SDRS has no word for data that nobody knows about: it is not the same. */
const char *sdrs_replication_status(const struct huawei_state *state);
/* "source" or "target": where production is, seen from how it was first made. */
const char *sdrs_station(enum pair_state state, bool switching, const char *source, const char *primary);
/* Whether production is in that zone; NULL: in whichever. */
bool sdrs_is_in_zone(const struct control_brief *brief, const char *zone);
/* The job that is at work on it, of those that wait for each other; or NULL. */
const struct job *sdrs_job_at_work(const struct jobs *jobs, const char *object);

/* sdrs.c: what all handlers use */

/* Answers with the id of a job that has begun. Takes the input. */
void sdrs_begin(struct huawei_call *call, const struct job_plan *plan, const char *object, json_t *input);
/* Letters, digits, '.', '_', '-' and what is not ASCII, at most 64 bytes; false: the call has failed. */
bool sdrs_check_name(struct huawei_call *call, const char *name);
bool sdrs_check_description(struct huawei_call *call, const char *description);
/* 404 with the code for an unknown group or pair. */
void sdrs_no_group(struct huawei_call *call, const char *id);
void sdrs_no_pair(struct huawei_call *call, const char *id);
/* Whether the status is one of these; false: the call has failed with that code. */
bool sdrs_allows(struct huawei_call *call, uint32_t statuses, enum sdrs_status status, const char *code, const char *what);
/* Ends a call when control has answered: the data is the call, its `state` a struct sdrs_change. */
struct sdrs_change {
	void (*show)(struct huawei_call *call, const char *id); /* or NULL: 204 */
	char id[HUAWEI_UUID_SIZE > CONTROL_ID_SIZE ? HUAWEI_UUID_SIZE : CONTROL_ID_SIZE];
};
void sdrs_change(struct huawei_call *call, struct control_request *request, void (*show)(struct huawei_call *, const char *),
		 const char *id);

/* Filters that lists have in common. */
struct sdrs_filter {
	struct huawei *huawei;
	json_t *groups, *instances; /* objects whose members are the ids wanted, of control's for groups; NULL: all */
	json_t *pairs;              /* of these instances; NULL: all */
	const char *name, *zone;    /* or NULL */
	uint64_t created_before_s;  /* seconds since 1970; 0: whenever */
	uint32_t statuses;          /* the ones wanted */
	uint64_t offset, limit;
	const char *marker;         /* as the client gave it, or NULL */
};
/* False: the call has failed. Cleared whatever it says. */
bool sdrs_read_filter(struct huawei_call *call, struct sdrs_filter *out_filter);
void sdrs_clear_filter(struct sdrs_filter *filter);
/* Takes the rows. {"count": ..., name: [...]} */
void sdrs_answer_list(struct huawei_call *call, const char *name, size_t count, json_t *rows);

/* sdrs_group.c */
void sdrs_create_group(struct huawei_call *call);
void sdrs_list_groups(struct huawei_call *call);
void sdrs_show_group(struct huawei_call *call);
void sdrs_rename_group(struct huawei_call *call);
void sdrs_delete_group(struct huawei_call *call);
void sdrs_act_on_group(struct huawei_call *call);
void sdrs_list_domains(struct huawei_call *call);

/* sdrs_pair.c */
void sdrs_create_pair(struct huawei_call *call);
void sdrs_list_pairs(struct huawei_call *call);
void sdrs_show_pair(struct huawei_call *call);
void sdrs_rename_pair(struct huawei_call *call);
void sdrs_delete_pair(struct huawei_call *call);
void sdrs_act_on_pair(struct huawei_call *call);

/* sdrs_instance.c: protected instances are notes with a group, {name, description, server, created, updated, attachment, tags} */
#define SDRS_INSTANCE_KEY_SIZE (9 + HUAWEI_UUID_SIZE)

/* A text of a note; "" when there is none. Borrowed. */
const char *sdrs_text(const json_t *note, const char *name);
/* The name of an instance's note. */
void sdrs_instance_key(const char *id, char out[SDRS_INSTANCE_KEY_SIZE]);
/* The group whose note an instance is: their ids begin alike. "" when the text is no id of an instance. */
void sdrs_group_of_instance(const char *id, char out[CONTROL_ID_SIZE]);
/* Borrowed, as long as nothing is changed; NULL when there is none. */
json_t *sdrs_instance_of(const struct control_group *group, const char *id);
size_t sdrs_count_instances(const struct control_group *group);
/* The instances of a group that a pair is attached to: rows {"protected_instance", "device"}. */
json_t *sdrs_attachments_of_pair(const struct control_group *group, const char *pair);
/* Calls visit for each instance of each group, the oldest group's first. */
void sdrs_each_instance(struct huawei *huawei,
			void (*visit)(void *data, const struct control_group *group, const char *id, json_t *note), void *data);
/* The one that arguments[0] names, if the caller may do this to its group, which is given without its pairs' ids; NULL: the
 * call has failed. Borrowed, as long as nothing is changed. */
json_t *sdrs_find_instance(struct huawei_call *call, const char *action, struct control_group *out_group);
/* Stores the note of arguments[0], which is taken, and shows it (NULL: 204). */
void sdrs_keep_instance(struct huawei_call *call, const struct control_group *group, json_t *note,
			void (*show)(struct huawei_call *call, const char *id));
void sdrs_create_instance(struct huawei_call *call);
void sdrs_create_instances(struct huawei_call *call);
void sdrs_list_instances(struct huawei_call *call);
void sdrs_show_instance(struct huawei_call *call);
void sdrs_rename_instance(struct huawei_call *call);
void sdrs_delete_instance(struct huawei_call *call);
void sdrs_delete_instances(struct huawei_call *call);
void sdrs_attach_pair(struct huawei_call *call);
void sdrs_detach_pair(struct huawei_call *call);

/* sdrs_tags.c: tags of instances */
#define SDRS_TAGS_MAX 10u
/* {key: value}, new, of rows {"key", "value"} (NULL: none); NULL: the call has failed. */
json_t *sdrs_read_tags(struct huawei_call *call, const json_t *rows);
json_t *sdrs_tag_rows(json_t *tags);
void sdrs_find_by_tags(struct huawei_call *call);
void sdrs_change_tags(struct huawei_call *call);
void sdrs_add_tag(struct huawei_call *call);
void sdrs_remove_tag(struct huawei_call *call);
void sdrs_show_tags(struct huawei_call *call);
void sdrs_list_tags(struct huawei_call *call);

/* sdrs_tasks.c: jobs and what failed */
void sdrs_show_job(struct huawei_call *call);
void sdrs_list_failures(struct huawei_call *call);
void sdrs_dismiss_failure(struct huawei_call *call);
void sdrs_dismiss_failures(struct huawei_call *call);
void sdrs_dismiss_failures_of_group(struct huawei_call *call);

/* rpo.c: how many pairs had an older recovery point than their RPO allows, hour by hour */
void huawei_rpo_tick(struct huawei *huawei);
void huawei_list_rpo(struct huawei_call *call);

#endif
