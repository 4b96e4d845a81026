/* The door: who calls, what for, and the answer's form. Changes are answered when control/ has decided, which may be later; reads
 * at once, unless they are of another site (carry.c). */
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "api/aliyun/aliyun.h"
#include "api/aliyun/internal.h"
#include "api/http/http.h"
#include "auth/audit.h"
#include "auth/auth.h"
#include "base/log.h"
#include "base/memory.h"

#define JSON_TYPE "application/json;charset=utf-8"
#define XML_TYPE "text/xml;charset=utf-8"
#define REQUEST_ID_SIZE 40
#define ACTION_SIZE 64

/* A request on its way through. */
struct call {
	struct list link; /* of the open calls */
	struct aliyun *aliyun;
	struct http_request *request;
	const struct aliyun_operation *operation;
	char request_id[REQUEST_ID_SIZE];
	struct auth_caller caller; /* key_id: as given; the rest: of a key that there is */
	bool known;                /* its signature was right */
	struct aliyun_error error;
	/* of a read that others are asked for */
	json_t *here;     /* what this site would answer, or NULL: the error */
	json_t *there;    /* what they have answered, or NULL */
	size_t next_peer;
	bool unreached;   /* one of them did not answer */
};

static void call_free(struct call *call)
{
	if (call->aliyun->caller == &call->caller)
		call->aliyun->caller = NULL;
	auth_caller_clear(&call->caller);
	aliyun_error_clear(&call->error);
	json_decref(call->here);
	json_decref(call->there);
	list_remove(&call->link);
	free(call);
}

struct aliyun *aliyun_new(const struct aliyun_config *config)
{
	struct aliyun *aliyun = memory_new(1, sizeof(*aliyun));

	list_init(&aliyun->calls);
	aliyun->control = config->control;
	aliyun->auth = config->auth;
	for (size_t i = 0; i < 2; i++)
		if (config->nbd_uris[i] != NULL)
			snprintf(aliyun->nbd_uris[i], sizeof(aliyun->nbd_uris[i]), "%s", config->nbd_uris[i]);
	control_set_reader(config->control, aliyun_on_read, aliyun);
	return aliyun;
}

void aliyun_free(struct aliyun *aliyun)
{
	/* Calls that control/ had not answered when it ended; it ends first. */
	list_for_each(entry, &aliyun->calls)
		call_free(container_of(entry, struct call, link));
	free(aliyun);
}

/* Upper-case UUID, version 4. */
static void request_id_make(char out[REQUEST_ID_SIZE])
{
	uint8_t b[16] = { 0 };

	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		log_event(LOG_WARNING, "api.no_random", "advice=\"request ids repeat\"");
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	snprintf(out, REQUEST_ID_SIZE, "%02X%02X%02X%02X-%02X%02X-%02X%02X-%02X%02X-%02X%02X%02X%02X%02X%02X", b[0], b[1], b[2],
		 b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

/* Version 1 of the signature came with XML, and has it unless JSON is asked for; whoever does not sign gets JSON. */
static bool wants_xml(const struct call *call)
{
	const char *format = http_request_parameter(call->request, "Format");

	if (format != NULL)
		return strcasecmp(format, "XML") == 0;
	return !aliyun_is_version_3(call->request) && http_request_parameter(call->request, "Signature") != NULL;
}

/* What a call was about, as far as the caller says it. */
static const char *call_object(const struct call *call)
{
	static const char *const names[] = { "ReplicaGroupId", "ReplicaPairId", "DiskId", "ResourceId", "ResourceId.1", "UserName",
					     "RoleName", "PolicyName", "RoleArn", "GroupIds", "PairIds", "DiskIds", "DiskIds.1",
					     "InstanceId", "InstanceId.1", "InstanceIds" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = http_request_parameter(call->request, names[i]);

		if (value != NULL && value[0] != '\0')
			return value;
	}
	return "";
}

static void call_audit(const struct call *call, unsigned status, const char *made)
{
	const struct aliyun_operation *operation = call->operation;
	char source[HTTP_SOURCE_SIZE];

	http_request_source(call->request, source);
	audit_log(&(struct audit){ .request_id = call->request_id, .source = source, .caller = &call->caller, .known = call->known,
				   .product = operation == NULL ? NULL : aliyun_product_name(operation->product),
				   .action = operation == NULL ? NULL : operation->action,
				   .object = made != NULL ? made : call_object(call), .status = status,
				   .code = call->error.status == 0 ? "OK" : call->error.code });
}

/* Sends the members (taken) with the request's id, and ends the call. */
static void call_send(struct call *call, unsigned status, json_t *members)
{
	char *text, root[ACTION_SIZE + sizeof("Response")] = "Error";
	bool xml = wants_xml(call);

	json_object_set_new(members, "RequestId", json_string(call->request_id));
	if (status == MHD_HTTP_OK)
		snprintf(root, sizeof(root), "%sResponse", call->operation->action);
	text = xml ? aliyun_xml(root, members) : json_dumps(members, JSON_COMPACT);
	json_decref(members);
	if (text == NULL)
		http_request_answer(call->request, MHD_HTTP_INTERNAL_SERVER_ERROR, JSON_TYPE, "{}", 2);
	else
		http_request_answer(call->request, status, xml ? XML_TYPE : JSON_TYPE, text, strlen(text));
	free(text);
	call_free(call);
}

static void call_accept(struct call *call, json_t *members, const char *made)
{
	call_audit(call, MHD_HTTP_OK, made);
	call_send(call, MHD_HTTP_OK, members);
}

static void call_refuse(struct call *call)
{
	const char *host = http_request_header(call->request, "Host"), *tail = call->error.tail;
	json_t *members = json_pack("{s:s, s:s++, s:s, s:O*}", "Code", call->error.code, "Message", call->error.message,
				    tail == NULL ? "" : tail, "", "Recommend", "", "AccessDeniedDetail", call->error.detail);

	/* The host may be anything: what is no text is left out. */
	json_object_set_new(members, "HostId", json_string(host == NULL ? "" : host));
	call_audit(call, call->error.status, NULL);
	call_send(call, call->error.status, members);
}

/* The members that only some changes have. */
static void put_made(const struct call *call, const struct control_answer *answer, json_t *members)
{
	enum control_operation made = call->operation->change;
	json_t *ids;

	if (made == CONTROL_CREATE_PAIR || made == CONTROL_CREATE_DISK || made == CONTROL_RESIZE_DISK ||
	    made == CONTROL_RUN_INSTANCES)
		json_object_set_new(members, "OrderId", json_string("")); /* nothing is billed */
	if (made != CONTROL_RUN_INSTANCES)
		return;
	ids = json_array();
	for (uint32_t i = 0; i < answer->amount; i++) {
		char id[CONTROL_ID_SIZE];

		control_instance_id(answer->id, i, id);
		json_array_append_new(ids, json_string(id));
	}
	json_object_set_new(members, "InstanceIdSets", json_pack("{s:o}", "InstanceIdSet", ids));
}

static void call_on_answer(void *data, const struct control_answer *answer)
{
	struct call *call = data;
	json_t *members;

	if (answer->refusal != REFUSE_NONE) {
		aliyun_refuse(&call->error, call->operation->product, answer->refusal, answer->text);
		call_refuse(call);
		return;
	}
	members = json_object();
	put_made(call, answer, members);
	if (call->operation->id_name != NULL)
		json_object_set_new(members, call->operation->id_name, json_string(answer->id));
	if (answer->preview != NULL)
		aliyun_put_preview(members, answer->preview);
	call_accept(call, members, answer->id[0] == '\0' ? NULL : answer->id);
}

/* With signature version 3 these are headers, and signed. */
static const char *need_named(struct call *call, const char *parameter, const char *header)
{
	const char *value = aliyun_is_version_3(call->request) ? http_request_header(call->request, header) : NULL;

	return value != NULL ? value : aliyun_need(call->request, parameter, &call->error);
}

static bool call_find_operation(struct call *call)
{
	static const char *const versions[ALIYUN_PRODUCTS] = { [ALIYUN_EBS] = "2021-07-30", [ALIYUN_ECS] = "2014-05-26",
							       [ALIYUN_RAM] = "2015-05-01", [ALIYUN_STS] = "2015-04-01" };
	const char *action = need_named(call, "Action", "x-acs-action");
	const char *version = action == NULL ? NULL : need_named(call, "Version", "x-acs-version");
	int product = 0;

	if (version == NULL)
		return false;
	while (product < ALIYUN_PRODUCTS && strcmp(versions[product], version) != 0)
		product++;
	if (product == ALIYUN_PRODUCTS)
		return aliyun_fail(&call->error, MHD_HTTP_BAD_REQUEST, "InvalidVersion",
				   "Version must be 2021-07-30 (EBS), 2014-05-26 (ECS), 2015-05-01 (RAM) or 2015-04-01 (STS).");
	call->operation = aliyun_find_operation((enum aliyun_product)product, action);
	if (call->operation == NULL)
		return aliyun_fail(&call->error, MHD_HTTP_NOT_FOUND, "InvalidAction.NotFound",
				   "There is no action \"%.64s\" in version %s here.", action, version);
	return true;
}

/* Who calls, whether they may, and that the call counts once: all of it before anything is done. */
static bool call_admit(struct call *call)
{
	struct aliyun *aliyun = call->aliyun;

	/* The key first: whoever has none learns nothing of what is spoken here. */
	if (!aliyun_check_signature(aliyun->auth, call->request, &call->caller, &call->error))
		return false;
	call->known = true;
	aliyun->caller = &call->caller;
	if (!call_find_operation(call) || !aliyun_authorize(aliyun, call->operation, call->request, &call->error))
		return false;
	if (!call->operation->is_read && auth_settle_nonces(aliyun->auth) < 0)
		return aliyun_fail(&call->error, MHD_HTTP_INTERNAL_SERVER_ERROR, "InternalError", "The nonces cannot be kept.");
	return true;
}

static bool call_check_regions(struct call *call, const struct control_request *change)
{
	const char *const regions[] = { change->region, change->peer_region };

	for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
		if (regions[i][0] == '\0' || aliyun_region_is_known(call->aliyun->control, regions[i]))
			continue;
		aliyun_refuse(&call->error, call->operation->product, REFUSE_NO_SUCH_REGION, "");
		return false;
	}
	return true;
}

/* --- reads --- */

static void call_answer_read(struct call *call, json_t *members)
{
	if (members == NULL) {
		call_refuse(call);
		return;
	}
	aliyun_error_clear(&call->error); /* of this site, which does not have what another has */
	call_accept(call, json_incref(members), NULL);
}

static void call_read_on(struct call *call);

/* What it gives is kept; the first of several, unless they are rows to be put together. */
static void call_take_reply(struct call *call, const json_t *reply)
{
	json_t *members = json_object_get(reply, "members");
	json_t *error = json_object_get(reply, "error");
	const char *code = json_string_value(json_array_get(error, 1)), *message = json_string_value(json_array_get(error, 2));
	json_int_t refusal = json_integer_value(json_object_get(reply, "refusal"));

	if (json_is_object(members)) {
		if (call->there == NULL || !aliyun_merge(call->there, members)) {
			json_decref(call->there);
			call->there = json_incref(members);
		}
		return;
	}
	aliyun_error_clear(&call->error);
	if (code != NULL && message != NULL)
		aliyun_fail(&call->error, (unsigned)json_integer_value(json_array_get(error, 0)), code, "%s", message);
	else
		aliyun_refuse(&call->error, call->operation->product,
			      refusal > 0 && refusal < REFUSALS ? (enum refusal)refusal : REFUSE_PEER_ANSWER,
			      "The other site cannot answer this: the answer is too long, or the site is older than this one.");
}

static void call_on_read(void *data, const json_t *reply)
{
	struct call *call = data;

	if (reply == NULL) {
		call->unreached = true; /* there is no time to wait for another */
		call->next_peer = SIZE_MAX;
	} else {
		call_take_reply(call, reply);
	}
	call_read_on(call);
}

/* The next site that may know; when there is none, the answer from what they have given. */
static void call_read_on(struct call *call)
{
	struct control *control = call->aliyun->control;
	const struct control_site *site;
	uint64_t limit;
	bool linked;

	while (call->next_peer != SIZE_MAX && (site = control_peer(control, call->next_peer, &linked, &limit)) != NULL) {
		call->next_peer++;
		if (!aliyun_may_know(site, call->request) || aliyun_is_complete(call->operation, call->request, call->there))
			continue;
		if (linked) {
			control_read(control, site->zone, aliyun_question(call->operation, call->request), call_on_read, call);
			return;
		}
		call->unreached = true;
	}
	if (!call->unreached || aliyun_is_complete(call->operation, call->request, call->there)) {
		call_answer_read(call, call->there != NULL ? call->there : call->error.status != 0 ? NULL : call->here);
	} else if (call->here != NULL && aliyun_has_copy(call->operation, call->request)) {
		call_answer_read(call, call->here);
	} else {
		aliyun_error_clear(&call->error);
		aliyun_refuse(&call->error, call->operation->product, REFUSE_PEER_UNREACHABLE,
			      "The site that knows this does not answer now.");
		call_refuse(call);
	}
}

static void call_read(struct call *call)
{
	call->here = call->operation->read(call->aliyun, call->request, &call->error);
	if (aliyun_is_answered_here(call->aliyun, call->operation, call->request, call->here, &call->error)) {
		call_answer_read(call, call->here);
		return;
	}
	if (aliyun_has_rows(call->here)) /* to which others' are added */
		call->there = json_deep_copy(call->here);
	call_read_on(call);
}

/* What is no call at all, whoever sends it. */
static bool call_check_form(struct call *call)
{
	const char *sentence, *method = http_request_method(call->request);
	unsigned fault = http_request_fault(call->request, &sentence);

	if (fault != 0)
		return aliyun_fail(&call->error, fault, fault == MHD_HTTP_REQUEST_TIMEOUT ? "RequestTimeout" :
				   fault == MHD_HTTP_CONTENT_TOO_LARGE ? "RequestEntityTooLarge" : "InvalidParameter", "%s.", sentence);
	if (strcmp(method, "GET") != 0 && strcmp(method, "POST") != 0 && strcmp(method, "HEAD") != 0) {
		http_request_answer_header(call->request, "Allow", "GET, HEAD, POST");
		return aliyun_fail(&call->error, MHD_HTTP_METHOD_NOT_ALLOWED, "UnsupportedHTTPMethod", "Use GET or POST.");
	}
	if (strcmp(http_request_path(call->request), "/") != 0)
		return aliyun_fail(&call->error, MHD_HTTP_NOT_FOUND, "InvalidAction.NotFound", "The API is at the path \"/\".");
	return true;
}

void aliyun_on_request(void *data, struct http_request *request)
{
	struct aliyun *aliyun = data;
	struct call *call = memory_new(1, sizeof(*call));
	struct control_request change;

	call->aliyun = aliyun;
	call->request = request;
	list_append(&aliyun->calls, &call->link);
	request_id_make(call->request_id);
	if (!call_check_form(call) || !call_admit(call)) {
		call_refuse(call);
		return;
	}
	if (call->operation->read != NULL) {
		call_read(call);
		return;
	}
	if (aliyun_read_request(call->operation, request, &change, &call->error) && call_check_regions(call, &change))
		control_call(aliyun->control, &change, call_on_answer, call);
	else
		call_refuse(call);
	control_request_clear(&change);
}
