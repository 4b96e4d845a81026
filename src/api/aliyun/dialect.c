/* The door: who calls, what for, and the answer's form. Changes are answered when control/ has decided, which may be later; reads
 * at once. */
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "api/aliyun/aliyun.h"
#include "api/aliyun/internal.h"
#include "api/http/http.h"
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
	struct aliyun_error error;
};

struct aliyun *aliyun_new(const struct aliyun_config *config)
{
	struct aliyun *aliyun = memory_new(1, sizeof(*aliyun));

	list_init(&aliyun->calls);
	aliyun->control = config->control;
	aliyun->auth = config->auth;
	for (size_t i = 0; i < 2; i++)
		if (config->nbd_uris[i] != NULL)
			snprintf(aliyun->nbd_uris[i], sizeof(aliyun->nbd_uris[i]), "%s", config->nbd_uris[i]);
	return aliyun;
}

void aliyun_free(struct aliyun *aliyun)
{
	/* Calls that control/ had not answered when it ended. */
	list_for_each(entry, &aliyun->calls)
		free(container_of(entry, struct call, link));
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
	list_remove(&call->link);
	free(call);
}

static void call_refuse(struct call *call)
{
	const char *host = http_request_header(call->request, "Host");

	log_event(LOG_INFO, "api.refused", "request=%s action=%s code=%s", call->request_id,
		  call->operation == NULL ? "-" : call->operation->action, call->error.code);
	call_send(call, call->error.status, json_pack("{s:s*, s:s, s:s, s:s}", "HostId", host, "Code", call->error.code, "Message",
		  call->error.message, "Recommend", ""));
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
	log_event(LOG_INFO, "api.accepted", "request=%s action=%s id=%s", call->request_id, call->operation->action,
		  answer->id[0] == '\0' ? "-" : answer->id);
	members = json_object();
	if (call->operation->id_name != NULL)
		json_object_set_new(members, call->operation->id_name, json_string(answer->id));
	if (answer->preview != NULL)
		aliyun_put_preview(members, answer->preview);
	call_send(call, MHD_HTTP_OK, members);
}

/* With signature version 3 these are headers, and signed. */
static const char *need_named(struct call *call, const char *parameter, const char *header)
{
	const char *value = aliyun_is_version_3(call->request) ? http_request_header(call->request, header) : NULL;

	return value != NULL ? value : aliyun_need(call->request, parameter, &call->error);
}

static bool call_find_operation(struct call *call)
{
	static const char *const versions[ALIYUN_PRODUCTS] = { [ALIYUN_EBS] = "2021-07-30", [ALIYUN_ECS] = "2014-05-26" };
	const char *action = need_named(call, "Action", "x-acs-action");
	const char *version = action == NULL ? NULL : need_named(call, "Version", "x-acs-version");
	int product = 0;

	if (version == NULL)
		return false;
	while (product < ALIYUN_PRODUCTS && strcmp(versions[product], version) != 0)
		product++;
	if (product == ALIYUN_PRODUCTS)
		return aliyun_fail(&call->error, MHD_HTTP_BAD_REQUEST, "InvalidVersion",
				   "Version must be 2021-07-30 (EBS) or 2014-05-26 (ECS).");
	call->operation = aliyun_find_operation((enum aliyun_product)product, action);
	if (call->operation == NULL)
		return aliyun_fail(&call->error, MHD_HTTP_NOT_FOUND, "InvalidAction.NotFound",
				   "There is no action \"%.64s\" in version %s here.", action, version);
	return true;
}

void aliyun_on_request(void *data, struct http_request *request)
{
	struct aliyun *aliyun = data;
	struct call *call = memory_new(1, sizeof(*call));
	struct control_request change;
	json_t *members;

	call->aliyun = aliyun;
	call->request = request;
	list_append(&aliyun->calls, &call->link);
	request_id_make(call->request_id);
	if (strcmp(http_request_path(request), "/") != 0) {
		aliyun_fail(&call->error, MHD_HTTP_NOT_FOUND, "InvalidAction.NotFound", "The API is at the path \"/\".");
		call_refuse(call);
		return;
	}
	/* The key first: whoever has none learns nothing of what is spoken here. */
	if (!aliyun_check_signature(aliyun->auth, request, &call->error) || !call_find_operation(call)) {
		call_refuse(call);
		return;
	}
	if (call->operation->read != NULL) {
		members = call->operation->read(aliyun, request, &call->error);
		if (members == NULL)
			call_refuse(call);
		else
			call_send(call, MHD_HTTP_OK, members);
		return;
	}
	if (aliyun_read_request(call->operation, request, &change, &call->error))
		control_call(aliyun->control, &change, call_on_answer, call);
	else
		call_refuse(call);
	control_request_clear(&change);
}
