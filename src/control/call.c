/* One call from its arrival to its one answer: client tokens, dispatch, forwarding. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "control/internal.h"

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
		[CONTROL_DELETE_GROUP] = "delete group",
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
};

/* --- calls --- */

void control_call(struct control *control, const struct control_request *request,
		  void (*on_answer)(void *data, const struct control_answer *answer), void *data)
{
	struct call *call = memory_new(1, sizeof *call);

	call->control = control;
	call->request = *request;
	json_incref(call->request.ids);
	json_incref(call->request.keys);
	json_incref(call->request.tags);
	call->on_answer = on_answer;
	call->data = data;
	if (!token_begin(call))
		operations[request->operation](call);
}

void call_end(struct call *call, enum refusal refusal, const char *format, ...)
{
	struct control_answer answer = { .refusal = refusal, .preview = call->previewed ? &call->preview : NULL };
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(answer.text, sizeof answer.text, format, arguments);
	va_end(arguments);
	text_clean(answer.text);
	if (call->owns_token)
		token_end(call, refusal == REFUSE_NONE);
	snprintf(answer.id, sizeof answer.id, "%s", call->made_id);
	log_event(LOG_INFO, "control.call", "operation=\"%s\" id=%s refusal=%s text=\"%s\"",
		  control_operation_name(call->request.operation), answer.id[0] != 0 ? answer.id : "-", refusal_name(refusal),
		  answer.text);
	call->on_answer(call->data, &answer);
	control_request_clear(&call->request);
	free(call);
}

void call_end_error(struct call *call, const struct error *error)
{
	call_end(call, error->code == -ENOSPC ? REFUSE_NO_SPACE : REFUSE_STORAGE, "%s", error->text);
}

static void on_forwarded(struct control *control, void *data, const json_t *reply)
{
	struct call *call = data;
	const char *id = json_string_value(json_object_get(reply, "id"));
	char text[256];
	enum refusal refusal = reply_refusal(reply, text);

	(void)control;
	if (id != NULL)
		snprintf(call->made_id, sizeof call->made_id, "%s", id);
	call_end(call, refusal, "%s", text);
}

void call_forward(struct call *call, const char *zone)
{
	struct control_request onward = call->request;
	const struct peer *peer = peer_find(call->control, zone);
	json_t *question;

	if (peer == NULL || !peer->linked) {
		call_end(call, REFUSE_PEER_UNREACHABLE, "site %s, where this has to be done, is not reachable now", zone);
		return;
	}
	/* The token stays here: this side answers its repetition. */
	onward.client_token[0] = 0;
	question = json_object();
	json_object_set_new(question, "type", json_string("call"));
	json_object_set_new(question, "request", request_to_json(&onward));
	ask_peer(call->control, zone, question, on_forwarded, call);
}
