/* One call from its arrival to its one answer: client tokens, dispatch, forwarding. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "control/internal.h"

/* A site may know better whose work it is than the one that was asked; two that do not agree end it. */
#define HOPS_MAX 2u

const char *control_operation_name(enum control_operation operation)
{
	static const char *const names[CONTROL_OPERATIONS] = {
		[CONTROL_LIMIT_PEER] = "limit peer", [CONTROL_CREATE_DISK] = "create disk", [CONTROL_ATTACH_DISK] = "attach disk",
		[CONTROL_DETACH_DISK] = "detach disk", [CONTROL_RESIZE_DISK] = "resize disk",
		[CONTROL_DELETE_DISK] = "delete disk", [CONTROL_CREATE_PAIR] = "create pair",
		[CONTROL_START_PAIR] = "start pair", [CONTROL_STOP_PAIR] = "stop pair",
		[CONTROL_FAILOVER_PAIR] = "fail over pair", [CONTROL_REPROTECT_PAIR] = "reprotect pair",
		[CONTROL_SWITCHOVER_PAIR] = "switch over pair", [CONTROL_REPROTECT_GROUP] = "reprotect group",
		[CONTROL_SCRUB_PAIR] = "scrub pair", [CONTROL_SCRUB_GROUP] = "scrub group",
		[CONTROL_DISCARD_PAIR] = "discard divergence of pair", [CONTROL_DISCARD_GROUP] = "discard divergence of group",
		[CONTROL_MODIFY_PAIR] = "modify pair", [CONTROL_MODIFY_GROUP] = "modify group",
		[CONTROL_MODIFY_DISK] = "modify disk", [CONTROL_TAG] = "tag", [CONTROL_UNTAG] = "untag",
		[CONTROL_CHANGE_RESOURCE_GROUP] = "change resource group",
		[CONTROL_PREVIEW_PAIR] = "preview pair", [CONTROL_PREVIEW_GROUP] = "preview group",
		[CONTROL_SWITCHOVER_GROUP] = "switch over group", [CONTROL_DELETE_PAIR] = "delete pair",
		[CONTROL_CREATE_GROUP] = "create group", [CONTROL_ADD_PAIR] = "add pair",
		[CONTROL_REMOVE_PAIR] = "remove pair", [CONTROL_START_GROUP] = "start group",
		[CONTROL_STOP_GROUP] = "stop group", [CONTROL_FAILOVER_GROUP] = "fail over group",
		[CONTROL_DELETE_GROUP] = "delete group", [CONTROL_RUN_INSTANCES] = "run instances",
		[CONTROL_DELETE_INSTANCES] = "delete instances", [CONTROL_RENAME_PAIR] = "rename pair",
		[CONTROL_RENAME_GROUP] = "rename group", [CONTROL_KEEP_GROUP] = "keep with group",
	};

	return operation < CONTROL_OPERATIONS ? names[operation] : "?";
}

static void (*const operations[CONTROL_OPERATIONS])(struct call *call) = {
	[CONTROL_LIMIT_PEER] = operate_limit_peer,
	[CONTROL_CREATE_DISK] = operate_create_disk, [CONTROL_ATTACH_DISK] = operate_disk, [CONTROL_DETACH_DISK] = operate_disk,
	[CONTROL_RESIZE_DISK] = operate_disk, [CONTROL_DELETE_DISK] = operate_disk, [CONTROL_CREATE_PAIR] = operate_create_pair,
	[CONTROL_START_PAIR] = operate_replica, [CONTROL_STOP_PAIR] = operate_replica,
	[CONTROL_REPROTECT_PAIR] = operate_replica, [CONTROL_SWITCHOVER_PAIR] = operate_replica,
	[CONTROL_SCRUB_PAIR] = operate_replica, [CONTROL_SCRUB_GROUP] = operate_replica,
	[CONTROL_DISCARD_PAIR] = operate_discard, [CONTROL_DISCARD_GROUP] = operate_discard,
	[CONTROL_MODIFY_PAIR] = operate_replica, [CONTROL_MODIFY_GROUP] = operate_replica,
	[CONTROL_MODIFY_DISK] = operate_modify_disk, [CONTROL_TAG] = operate_tags, [CONTROL_UNTAG] = operate_tags,
	[CONTROL_CHANGE_RESOURCE_GROUP] = operate_resource_group,
	[CONTROL_PREVIEW_PAIR] = operate_preview, [CONTROL_PREVIEW_GROUP] = operate_preview,
	[CONTROL_REPROTECT_GROUP] = operate_replica, [CONTROL_SWITCHOVER_GROUP] = operate_replica,
	[CONTROL_FAILOVER_PAIR] = operate_replica, [CONTROL_DELETE_PAIR] = operate_replica,
	[CONTROL_CREATE_GROUP] = operate_create_group, [CONTROL_ADD_PAIR] = operate_member,
	[CONTROL_REMOVE_PAIR] = operate_member, [CONTROL_START_GROUP] = operate_replica, [CONTROL_STOP_GROUP] = operate_replica,
	[CONTROL_FAILOVER_GROUP] = operate_replica, [CONTROL_DELETE_GROUP] = operate_replica,
	[CONTROL_RUN_INSTANCES] = operate_run_instances, [CONTROL_DELETE_INSTANCES] = operate_delete_instances,
	[CONTROL_RENAME_PAIR] = operate_rename, [CONTROL_RENAME_GROUP] = operate_rename, [CONTROL_KEEP_GROUP] = operate_keep,
};

/* --- calls --- */

void call_begin(struct control *control, const struct control_request *request, const char *from, uint32_t hops,
		void (*on_answer)(void *data, const struct control_answer *answer), void *data)
{
	struct call *call = memory_new(1, sizeof *call);

	list_append(&control->calls, &call->entry);
	call->control = control;
	call->request = *request;
	json_incref(call->request.ids);
	json_incref(call->request.keys);
	json_incref(call->request.tags);
	json_incref(call->request.kept);
	call->on_answer = on_answer;
	call->data = data;
	call->from = from;
	call->hops = hops;
	if (!token_begin(call))
		operations[request->operation](call);
}

void control_call(struct control *control, const struct control_request *request,
		  void (*on_answer)(void *data, const struct control_answer *answer), void *data)
{
	call_begin(control, request, NULL, 0, on_answer, data);
}

void call_free(struct call *call)
{
	list_remove(&call->entry);
	control_request_clear(&call->request);
	free(call);
}

void call_end(struct call *call, enum refusal refusal, const char *format, ...)
{
	struct control_answer answer = { .refusal = refusal, .preview = call->previewed ? &call->preview : NULL };
	char logged[sizeof answer.text];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(answer.text, sizeof answer.text, format, arguments);
	va_end(arguments);
	text_clean(answer.text);
	text_copy_quotable(logged, sizeof logged, answer.text); /* it may quote a caller, or another site */
	if (call->owns_token)
		token_end(call, refusal == REFUSE_NONE);
	snprintf(answer.id, sizeof answer.id, "%s", call->made_id);
	answer.amount = call->request.amount == 0 ? 1 : call->request.amount;
	log_event(LOG_INFO, "control.call", "operation=\"%s\" id=%s refusal=%s text=\"%s\"",
		  control_operation_name(call->request.operation), answer.id[0] != 0 ? answer.id : "-", refusal_name(refusal),
		  logged);
	call->on_answer(call->data, &answer);
	call_free(call);
}

void call_end_error(struct call *call, const struct error *error)
{
	call_end(call, error->code == -ENOSPC ? REFUSE_NO_SPACE : REFUSE_STORAGE, "%s", error->text);
}

/* --- calls that are another site's work --- */

static void on_forwarded(struct control *control, void *data, const json_t *reply)
{
	struct call *call = data;
	const char *id = json_string_value(json_object_get(reply, "id"));
	char text[256];
	enum refusal refusal = reply_refusal(reply, text);

	(void)control;
	call->previewed = preview_from_json(json_object_get(reply, "preview"), &call->preview);
	if (id != NULL)
		snprintf(call->made_id, sizeof call->made_id, "%s", id);
	else if (refusal == REFUSE_NONE)
		refusal = REFUSE_PEER_ANSWER;
	call_end(call, refusal, "%s", text);
}

/* With its token: should the answer be lost, that site knows the repetition. */
static void carry(struct call *call, const char *zone, ask_done *on_reply)
{
	json_t *question = json_object();

	json_object_set_new(question, "type", json_string("call"));
	json_object_set_new(question, "request", request_to_json(&call->request));
	json_object_set_new(question, "hops", json_integer(call->hops + 1));
	ask_for_call(call->control, zone, question, on_reply, call);
}

void call_forward(struct call *call, const char *zone)
{
	const struct peer *peer = peer_find(call->control, zone);

	if (peer == NULL || !peer->linked)
		call_end(call, REFUSE_PEER_UNREACHABLE, "site %s, where this has to be done, is not reachable now", zone);
	else if (call->hops >= HOPS_MAX) /* a change of sides that one of them has not heard of */
		call_end(call, REFUSE_PEER_UNREACHABLE, "the sites do not agree now on whose work this is: try again in a moment");
	else
		carry(call, zone, on_forwarded);
}

static const char *call_region(const struct call *call)
{
	return call->request.region[0] != 0 ? call->request.region : call->control->config.site.region;
}

bool call_is_of_this_region(const struct call *call)
{
	return strcmp(call_region(call), call->control->config.site.region) == 0;
}

static bool is_unknown(enum refusal refusal)
{
	return refusal == REFUSE_NO_SUCH_REGION || refusal == REFUSE_NO_SUCH_ZONE || refusal == REFUSE_NO_SUCH_DISK ||
	       refusal == REFUSE_NO_SUCH_PAIR || refusal == REFUSE_NO_SUCH_GROUP || refusal == REFUSE_NO_SUCH_RESOURCE ||
	       refusal == REFUSE_NO_SUCH_INSTANCE;
}

static void seek_next(struct call *call);

static void on_sought(struct control *control, void *data, const json_t *reply)
{
	struct call *call = data;
	char text[256];
	enum refusal refusal = reply_refusal(reply, text);

	if (refusal == REFUSE_PEER_UNREACHABLE || !is_unknown(refusal)) {
		on_forwarded(control, data, reply); /* a silent one is waited for once: there is no time for another */
		return;
	}
	call->sought_refusal = refusal;
	memcpy(call->sought_text, text, sizeof text);
	seek_next(call);
}

static void seek_next(struct call *call)
{
	struct control *control = call->control;

	while (call->hops < HOPS_MAX && call->sought < control->config.peer_count) {
		const struct peer *peer = &control->peers[call->sought++];

		if (strcmp(peer->site.region, call_region(call)) != 0 ||
		    (call->from != NULL && strcmp(peer->site.zone, call->from) == 0))
			continue;
		if (peer->linked) {
			carry(call, peer->site.zone, on_sought);
			return;
		}
		call->unreached = true;
	}
	if (call->unreached)
		call_end(call, REFUSE_PEER_UNREACHABLE, "a site of region %s, which may know it, is not reachable now",
			 call_region(call));
	else
		call_end(call, call->sought_refusal, "%s", call->sought_text);
}

void call_seek(struct call *call, enum refusal refusal, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(call->sought_text, sizeof call->sought_text, format, arguments);
	va_end(arguments);
	call->sought_refusal = refusal;
	seek_next(call);
}

bool call_is_here(struct call *call)
{
	const struct control_request *request = &call->request;
	struct control *control = call->control;

	if (request->zone[0] == 0 ? call_is_of_this_region(call) : strcmp(request->zone, control->config.site.zone) == 0)
		return true;
	if (request->zone[0] == 0)
		call_seek(call, REFUSE_NO_SUCH_REGION, "there is no region %s here", request->region);
	else if (peer_find(control, request->zone) != NULL)
		call_forward(call, request->zone);
	else
		call_seek(call, REFUSE_NO_SUCH_ZONE, "site %s is no peer in this site's configuration", request->zone);
	return false;
}
