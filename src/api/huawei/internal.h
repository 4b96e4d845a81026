/* Private to api/huawei: a call on its way through the door, and what its handlers use. */
#ifndef API_HUAWEI_INTERNAL_H
#define API_HUAWEI_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/auth.h"
#include "base/list.h"
#include "control/control.h"
#include "jobs/jobs.h"

struct catalog;
struct error;
struct http_request;

#define HUAWEI_UUID_SIZE 37
#define HUAWEI_PROJECT_SIZE 33
#define HUAWEI_PARTS_MAX 10u /* of a path */
#define HUAWEI_GIB (UINT64_C(1) << 30)

/* Errors look different in each. */
enum huawei_family { HUAWEI_IDENTITY, HUAWEI_VOLUMES, HUAWEI_REPLICATION, HUAWEI_SDRS, HUAWEI_FAMILIES };

struct huawei {
	struct control *control;
	struct auth *auth;
	struct jobs *jobs;
	struct catalog *catalog;
	int64_t rpo_due_s;                 /* since 1970: of the next sample (rpo.c); 0: just started */
	char nbd_uris[2][256], url[256];
	char project[HUAWEI_PROJECT_SIZE]; /* the id of the one project there is; its name is the region's */
	struct list calls;                 /* not answered yet */
};

struct huawei_route;

struct huawei_call {
	struct list link; /* of the open calls */
	struct huawei *huawei;
	struct http_request *request;
	enum huawei_family family;
	const struct huawei_route *route; /* NULL: none was found */
	char request_id[HUAWEI_UUID_SIZE + 4];
	struct auth_caller caller;
	bool known;                       /* who calls has been proven */
	bool handled, ended;              /* its handler has not returned; it has been answered: both, and it waits to be freed */
	char *path;                       /* cut at its slashes */
	const char *arguments[HUAWEI_PARTS_MAX]; /* what stands at the route's {}, in their order; "" where there is none */
	json_t *body;                     /* an object, or NULL when there is no body */
	char action[64], object[CONTROL_ID_SIZE]; /* for the audit line: what a policy calls it, and what it is about */
	unsigned status;                  /* of a failure, 0: none */
	char code[32];                    /* of it: "SDRS.1013" */
	char message[512];
	uint64_t late_ms;                 /* monotonic: from then on the answer is late; 0: never */
	void (*on_late)(struct huawei_call *call);
	void *state;                      /* of the handler, on the heap; freed with the call, after on_free (or NULL) saw it */
	void (*on_free)(void *state);
};

/* What may be asked of a path. */
struct huawei_route {
	const char *method;
	/* "/v2|v3/{project}/volumes/{}": alternatives of a part are divided by '|', {} is an argument, {project} the one project. */
	const char *path;
	/* What policies call it, "ebs:StartDiskReplicaPair"; "": whoever is known may; NULL: anybody, known or not. */
	const char *action;
	int resource; /* enum control_resource of the first argument, which then becomes an id of control's; or -1 */
	/* Ends the call with one of huawei_answer, huawei_accept, huawei_fail, huawei_refuse, once: now, and the call is there until
	 * the handler returns; or later, and then it is freed with that. */
	void (*handle)(struct huawei_call *call);
};

struct huawei_routes {
	enum huawei_family family;
	const struct huawei_route *rows; /* end with a row without method */
};
extern const struct huawei_routes huawei_tables[]; /* routes.c; end with a row without rows */
extern const struct huawei_route huawei_identity_routes[], huawei_volume_routes[], huawei_replication_routes[],
	huawei_sdrs_routes[];
extern const struct job_plan *const huawei_plans[]; /* plans.c; end with NULL */

/* --- door.c: answers --- */

/* Takes the JSON. */
void huawei_answer(struct huawei_call *call, unsigned status, json_t *body);
/* Without a body. */
void huawei_accept(struct huawei_call *call, unsigned status);
/* `code` as in the family's list of codes ("EVS.1010"), or "" for the one that goes with the status. */
void huawei_fail(struct huawei_call *call, unsigned status, const char *code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* A refusal of control's in the words of the family; `text` (may be "") holds particulars. */
void huawei_refuse(struct huawei_call *call, enum refusal refusal, const char *text);
/* A job that jobs_begin could not begin. */
void huawei_fail_begin(struct huawei_call *call, const struct error *error);
/* Unless the call has ended before so many seconds are over, on_late is called, once: it ends it. */
void huawei_answer_within(struct huawei_call *call, uint32_t seconds, void (*on_late)(struct huawei_call *call));
/* Whether the caller may do this to that one (an id of control's; NULL: to whatever there is); false: the call has failed. */
bool huawei_may(struct huawei_call *call, const char *action, int resource, const char *id);
/* "http://host:port", as the client called it or as configured; for links. */
void huawei_base_url(const struct huawei_call *call, char out[256]);

/* volumes_site.c: the header that says in which microversion an answer of the family is: the one asked for. */
void huawei_put_version(const struct huawei_call *call);

/* --- errors.c --- */

/* The code that goes with a status when there is no better one. */
const char *huawei_status_code(enum huawei_family family, unsigned status);

/* The body of a failure, in the form of the call's family. */
json_t *huawei_error_body(const struct huawei_call *call);
struct huawei_refusal {
	unsigned status;
	const char *code, *sentence;
};
struct huawei_refusal huawei_refusal_of(enum huawei_family family, enum refusal refusal);

/* --- ids.c --- */

/* "pg-0123456789ab8def8abc" <-> "01234567-89ab-8def-8abc-000000000000"; what is not of control's form stays as it is. */
void huawei_uuid(const char *id, char out[HUAWEI_UUID_SIZE]);
/* The id of control's that a client means, of a kind of thing; control's own form is understood, too. */
void huawei_id(enum control_resource kind, const char *text, char out[CONTROL_ID_SIZE]);

/* Times as texts: of Cinder and EVS, of SDRS's pairs ("...T...ffffff"); of SDRS's groups and instances ("... ... .fff"); of jobs
 * ("...T....fffZ"). JSON null for 0. */
json_t *huawei_time(uint64_t seconds);
json_t *huawei_time_with_blank(uint64_t seconds);
json_t *huawei_time_of_job(uint64_t milliseconds);

/* --- read.c: what comes in; false: the call has failed, and is over --- */

enum huawei_value {
	HUAWEI_TEXT,     /* char[size]; null is as good as missing */
	HUAWEI_UUID,     /* char[CONTROL_ID_SIZE] of a thing of kind `kind`: control's id */
	HUAWEI_UUIDS,    /* json_t *: a new array of texts, control's ids; at most 128, each once */
	HUAWEI_COUNT,    /* uint64_t: from 1; decimals are cut off, as digits in a text are read */
	HUAWEI_FLAG,     /* bool: true, false, or these as texts */
	HUAWEI_TEXTS_BY_NAME, /* json_t *: a new object whose values are texts */
};

/* A member of a body. */
struct huawei_field {
	const char *name; /* NULL ends a table */
	enum huawei_value value;
	bool required;
	size_t offset, size; /* in the struct that is filled; of a text, its room: longer is refused */
	enum control_resource kind;
	const char *code;    /* of the refusal of a bad value, or NULL */
};

/* Members that no field names are let pass, as the clouds do. What it gives belongs to the caller, also when it fails. */
bool huawei_read(struct huawei_call *call, const json_t *object, const struct huawei_field *fields, void *out);
/* The one object under that name in the body: {"replication": {...}}; NULL: the call has failed. */
json_t *huawei_root(struct huawei_call *call, const char *name);
/* A parameter of the query as a whole number. */
bool huawei_read_number(struct huawei_call *call, const char *name, uint64_t min, uint64_t max, uint64_t otherwise,
			const char *code, uint64_t *out);
/* A parameter of the query, or NULL when it is missing or empty. */
const char *huawei_given(const struct huawei_call *call, const char *name);

/* Actions: a body with one member, whose name says which. */
struct huawei_action {
	const char *key; /* NULL ends a table */
	const char *action; /* what policies call it; "": the handler asks */
	void (*handle)(struct huawei_call *call, json_t *value);
};
/* Asks whether the caller may do it to arguments[0], of that kind; then lets it be done. */
void huawei_act(struct huawei_call *call, const struct huawei_action *actions, enum control_resource kind);

/* --- list.c: pairs and groups, sorted and by pages --- */

enum huawei_order { HUAWEI_BY_CREATION, HUAWEI_BY_UPDATE, HUAWEI_BY_NAME, HUAWEI_BY_ID, HUAWEI_BY_STATE };

struct huawei_listing {
	bool is_group;
	bool (*is_wanted)(void *data, const struct control_brief *brief);
	void *data;
	enum huawei_order order;
	bool descending;
	const char *marker; /* those behind this one, an id of control's; or NULL */
	uint64_t offset, limit; /* limit at most 1000 */
};

/* Ids of a page, and how many there are in all; freed by the caller. False: there is no such marker. */
struct huawei_page {
	char (*ids)[CONTROL_ID_SIZE];
	size_t count, total;
};
bool huawei_page(struct huawei *huawei, const struct huawei_listing *listing, struct huawei_page *out_page);
/* The rows of a page, in its order, as the function makes them: an array. */
json_t *huawei_pair_rows(struct huawei *huawei, const struct huawei_page *page,
			 json_t *(*make)(struct huawei *huawei, const struct control_pair *pair));
json_t *huawei_group_rows(struct huawei *huawei, const struct huawei_page *page,
			  json_t *(*make)(struct huawei *huawei, const struct control_group *group));
/* One of them; false when there is none. Groups: their pairs' ids are freed by the caller. */
bool huawei_find_pair(struct control *control, const char *id, struct control_pair *out_pair);
bool huawei_find_group(struct control *control, const char *id, struct control_group *out_group);

#endif
