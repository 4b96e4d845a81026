/* Private to api/aliyun. */
#ifndef API_ALIYUN_INTERNAL_H
#define API_ALIYUN_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "control/control.h"

struct auth;
struct auth_caller;
struct http_request;

#define ALIYUN_CODE_SIZE 96
#define ALIYUN_MESSAGE_SIZE 1024

enum aliyun_product { ALIYUN_EBS, ALIYUN_ECS, ALIYUN_RAM, ALIYUN_STS, ALIYUN_PRODUCTS };
/* As actions and resources begin: "ebs". */
const char *aliyun_product_name(enum aliyun_product product);

struct aliyun {
	struct control *control;
	struct auth *auth;
	const struct auth_caller *caller; /* of the call that is being read, or NULL; the call's */
	char nbd_uris[2][256];
	struct list calls; /* not answered yet */
};

/* An error as the client sees it. status 0: none. */
struct aliyun_error {
	unsigned status;
	char code[ALIYUN_CODE_SIZE];
	char message[ALIYUN_MESSAGE_SIZE];
	char *tail;     /* of the message, on the heap, or NULL: the string to sign may be long, and clients compare it */
	json_t *detail; /* of a denial, or NULL */
};

/* Fills the error; returns false, so that `return aliyun_fail(...)` reads well. */
bool aliyun_fail(struct aliyun_error *error, unsigned status, const char *code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The refusal in the words of the product; `text` (may be "") holds particulars. */
void aliyun_refuse(struct aliyun_error *error, enum aliyun_product product, enum refusal refusal, const char *text);

/* Signature version 1 or 3: who calls, when, once only, and that nothing was changed on the way. The caller is to be cleared
 * whatever the answer. */
bool aliyun_check_signature(struct auth *auth, const struct http_request *request, struct auth_caller *out_caller,
			    struct aliyun_error *error);
bool aliyun_check_signature_3(struct auth *auth, const struct http_request *request, struct auth_caller *out_caller,
			      struct aliyun_error *error);
bool aliyun_is_version_3(const struct http_request *request);
/* The parts that both share. */
bool aliyun_find_caller(const struct auth *auth, const char *key_id, const char *token, int64_t now_s,
			struct auth_caller *out_caller, struct aliyun_error *error);
bool aliyun_check_time(const char *given, int64_t now_s, struct aliyun_error *error);
bool aliyun_use_nonce(struct auth *auth, const char *key_id, const char *nonce, int64_t now_s, struct aliyun_error *error);

/* Version 1: "METHOD&%2F&...", on the heap, and its signature. */
#define ALIYUN_SIGNATURE_1_SIZE 29 /* base64 of 20 bytes, and a zero */
char *aliyun_string_to_sign(const struct http_request *request);
void aliyun_sign_1(const char *to_sign, const char *secret, char out_signature[ALIYUN_SIGNATURE_1_SIZE]);
/* Version 3: the hash of the canonical request, and of this hash the signature; both 64 hexadecimal digits and a zero. No hash
 * when the body is not the one whose hash the request tells, or a header is not there. */
bool aliyun_canonical_hash(const struct http_request *request, const char *signed_headers, char out_hash[65],
			   struct aliyun_error *error);
void aliyun_sign_3(const char *hash, const char *secret, char out_signature[65]);

/* The answer as XML, on the heap. */
char *aliyun_xml(const char *root, json_t *members);

/* One action of the API. */
struct aliyun_operation {
	const char *action;
	enum aliyun_product product;
	const struct aliyun_parameter *parameters;  /* of a change; ends with a row without name */
	enum control_operation change;
	const char *id_name; /* of the id in the answer to a change, or NULL */
	/* Answers at once, without control/: a read, or a change of users and roles; NULL for others. Gives the answer's members, or
	 * NULL with the error. */
	json_t *(*read)(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
	bool is_read; /* it changes nothing */
};

/* Whether the caller may do this with all that the request names: Forbidden.Action, or Forbidden. */
bool aliyun_authorize(struct aliyun *aliyun, const struct aliyun_operation *operation, const struct http_request *request,
		      struct aliyun_error *error);

/* NULL when the product has no such action. */
const struct aliyun_operation *aliyun_find_operation(enum aliyun_product product, const char *action);
/* Fills the request of a change from the parameters, each checked. */
bool aliyun_read_request(const struct aliyun_operation *operation, const struct http_request *request,
			 struct control_request *out_request, struct aliyun_error *error);

/* --- carry.c: reads that another site has to answer --- */

/* Whether what this site gives for a read (`answer`; NULL: only the error) is all there is to say. */
bool aliyun_is_answered_here(struct aliyun *aliyun, const struct aliyun_operation *operation, const struct http_request *request,
			     json_t *answer, const struct aliyun_error *error);
/* Whether the read may be that site's to answer, and what it is asked. */
bool aliyun_may_know(const struct control_site *site, const struct http_request *request);
json_t *aliyun_question(const struct aliyun_operation *operation, const struct http_request *request);
/* The reader for control_set_reader (data: the struct aliyun). */
json_t *aliyun_on_read(void *data, const json_t *question);
/* Has all that is named been found? */
bool aliyun_is_complete(const struct aliyun_operation *operation, const struct http_request *request, json_t *answer);
/* Rows of disks or instances, to which those of another site are added; false when the answer is not of that kind. */
bool aliyun_has_rows(const json_t *answer);
bool aliyun_merge(json_t *answer, const json_t *more);
/* When the other site does not answer: is what is here as good? */
bool aliyun_has_copy(const struct aliyun_operation *operation, const struct http_request *request);

/* As if nothing had failed. */
void aliyun_error_clear(struct aliyun_error *error);

/* A parameter that says something; NULL when it is missing or empty. */
const char *aliyun_given(const struct http_request *request, const char *name);
/* The next id of a list - separated by commas, or in JSON - at which *list stands, which is moved behind it. Not ended by a zero;
 * NULL when there is none. */
const char *aliyun_next_id(const char **list, size_t *out_length);
/* A parameter that must be there. NULL with the error. */
const char *aliyun_need(const struct http_request *request, const char *name, struct aliyun_error *error);
/* A whole number between the two; `otherwise` when the parameter is missing. */
bool aliyun_read_number(const struct http_request *request, const char *name, uint64_t min, uint64_t max, uint64_t otherwise,
			uint64_t *out_number, struct aliyun_error *error);

/* Whether a site that is here or linked by the configuration lies in it. */
bool aliyun_region_is_known(struct control *control, const char *region);
/* RegionId, which must be there and known. NULL with the error in the product's words. */
const char *aliyun_need_region(struct aliyun *aliyun, enum aliyun_product product, const struct http_request *request,
			       struct aliyun_error *error);

/* The members of the answer to a preview. */
void aliyun_put_preview(json_t *members, const struct control_preview *preview);

json_t *aliyun_describe_regions(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_list_tags(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_list_disk_tags(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_list_edges(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_no_drills(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_describe_ecs_regions(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_describe_zones(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_describe_disks(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_describe_instances(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_describe_pairs(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_describe_groups(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_describe_progress(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);

/* ram.c: users, roles, keys, policies (RAM 2015-05-01) and sessions (STS 2015-04-01) */
json_t *aliyun_create_user(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_get_user(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_list_users(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_delete_user(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_create_key(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_list_keys(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_update_key(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_delete_key(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_create_policy(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_get_policy(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_list_policies(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_delete_policy(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_attach_to_user(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_detach_from_user(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_list_user_policies(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_create_role(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_get_role(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_list_roles(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_delete_role(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_attach_to_role(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_detach_from_role(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_list_role_policies(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_assume_role(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);
json_t *aliyun_get_caller(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error);

#endif
