/* Preview: what a change of sides would cost if it were asked for now. Nothing is changed. Either site can be asked: what only
 * the other one knows is asked for over the link, and left out when it does not answer. A third site carries the call to one of
 * them. */
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "control/internal.h"

/* What one side knows. */
struct side {
	bool known;
	const char *zone;
	uint64_t dirty_bytes, link_rate, limit, apply_bytes, apply_rate;
};

static uint64_t number(const json_t *reply, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(reply, key));

	return value > 0 ? (uint64_t)value : 0;
}

/* Of this site, for the other one; side_from_reply reads it there. */
void preview_tell(struct control *control, const struct replica *replica, json_t *reply)
{
	const struct peer *peer = peer_find(control, replica_peer(control, replica));
	const struct unit_status *status = &replica->status;

	json_object_set_new(reply, "link_rate", json_integer((json_int_t)status->link_rate_bytes));
	json_object_set_new(reply, "limit", json_integer(peer == NULL ? 0 : (json_int_t)peer->limit));
	json_object_set_new(reply, "apply_bytes", json_integer((json_int_t)status->apply_bytes));
	json_object_set_new(reply, "apply_rate", json_integer((json_int_t)status->apply_rate_bytes));
}

static struct side side_from_reply(const json_t *reply, const char *zone)
{
	return (struct side){
		.known = reply != NULL && json_is_integer(json_object_get(reply, "dirty_bytes")), .zone = zone,
		.dirty_bytes = number(reply, "dirty_bytes"), .link_rate = number(reply, "link_rate"),
		.limit = number(reply, "limit"), .apply_bytes = number(reply, "apply_bytes"),
		.apply_rate = number(reply, "apply_rate"),
	};
}

static struct side side_here(struct control *control, const struct replica *replica)
{
	json_t *told = change_status(replica, json_object());
	struct side side;

	preview_tell(control, replica, told);
	side = side_from_reply(told, control->config.site.zone);
	json_decref(told);
	return side;
}

/* `bytes` from one side to the other, at what the link has carried so far and the sender is allowed. */
static void set_time(struct control_cost *cost, uint64_t bytes, const struct side *from, const struct side *to)
{
	uint64_t rate = from->link_rate > to->link_rate ? from->link_rate : to->link_rate;

	if (from->limit > 0 && (rate == 0 || rate > from->limit))
		rate = from->limit;
	cost->time_known = cost->bytes_known && (bytes == 0 || rate > 0);
	cost->expected_ms = cost->time_known && bytes > 0 ? bytes * 1000 / rate : 0;
}

static void set_aside(struct control_cost *cost, const struct side *side)
{
	cost->set_aside_known = side->known;
	cost->set_aside_bytes = side->dirty_bytes;
	text_copy(cost->set_aside_zone, sizeof cost->set_aside_zone, side->zone);
}

static void cost_failover(struct control_cost *cost, const struct side *source, const struct side *destination)
{
	cost->bytes_known = true; /* none travel */
	cost->time_known = destination->known && (destination->apply_bytes == 0 || destination->apply_rate > 0);
	if (cost->time_known && destination->apply_bytes > 0)
		cost->expected_ms = destination->apply_bytes * 1000 / destination->apply_rate;
	set_aside(cost, source);
}

static void cost_switchover(struct control_cost *cost, const struct side *source, const struct side *destination)
{
	cost->bytes_known = source->known;
	cost->move_bytes = source->dirty_bytes;
	set_time(cost, cost->move_bytes, source, destination);
	cost->set_aside_known = true; /* nothing is */
}

/* Back to a common state: what either side has changed travels, as one epoch; blocks that both changed count twice here. */
static void cost_return(struct control_cost *cost, const struct side *leads, const struct side *follows)
{
	cost->bytes_known = leads->known && follows->known;
	cost->move_bytes = leads->dirty_bytes + follows->dirty_bytes;
	set_time(cost, cost->move_bytes, leads, follows);
	set_aside(cost, follows);
}

static void cost_reprotect(struct control_cost *cost, const struct side *source, const struct side *destination)
{
	cost_return(cost, destination, source);
}

static void cost_cancel(struct control_cost *cost, const struct side *source, const struct side *destination)
{
	cost_return(cost, source, destination);
}

static const char *const operations[CONTROL_COSTS_MAX] = { "failover", "switchover", "reprotect", "cancel" };

static json_t *cost_to_json(const struct control_cost *cost)
{
	return json_pack("{s:s, s:b, s:I, s:b, s:I, s:b, s:I, s:s}", "operation", cost->operation, "bytes_known", cost->bytes_known,
			 "move_bytes", (json_int_t)cost->move_bytes, "time_known", cost->time_known, "expected_ms",
			 (json_int_t)cost->expected_ms, "set_aside_known", cost->set_aside_known, "set_aside_bytes",
			 (json_int_t)cost->set_aside_bytes, "set_aside_zone", cost->set_aside_zone);
}

static bool cost_from_json(const json_t *json, struct control_cost *out)
{
	const char *operation = json_string_value(json_object_get(json, "operation"));
	const char *zone = json_string_value(json_object_get(json, "set_aside_zone"));

	for (size_t i = 0; operation != NULL && i < CONTROL_COSTS_MAX; i++) {
		if (strcmp(operations[i], operation) == 0)
			out->operation = operations[i];
	}
	out->bytes_known = json_is_true(json_object_get(json, "bytes_known"));
	out->move_bytes = number(json, "move_bytes");
	out->time_known = json_is_true(json_object_get(json, "time_known"));
	out->expected_ms = number(json, "expected_ms");
	out->set_aside_known = json_is_true(json_object_get(json, "set_aside_known"));
	out->set_aside_bytes = number(json, "set_aside_bytes");
	text_copy(out->set_aside_zone, sizeof out->set_aside_zone, zone == NULL ? "" : zone);
	return out->operation != NULL;
}

json_t *preview_to_json(const struct control_preview *preview)
{
	json_t *costs = json_array();

	for (uint32_t i = 0; i < preview->cost_count; i++)
		json_array_append_new(costs, cost_to_json(&preview->costs[i]));
	return json_pack("{s:I, s:I, s:s, s:b, s:o}", "recovery_ms", (json_int_t)preview->recovery_ms, "recovery_age_ms",
			 (json_int_t)preview->recovery_age_ms, "peer_zone", preview->peer_zone, "peer_answered",
			 preview->peer_answered, "costs", costs);
}

bool preview_from_json(const json_t *json, struct control_preview *out)
{
	const char *zone = json_string_value(json_object_get(json, "peer_zone"));
	const json_t *costs = json_object_get(json, "costs");

	memset(out, 0, sizeof *out);
	out->recovery_ms = number(json, "recovery_ms");
	out->recovery_age_ms = number(json, "recovery_age_ms");
	text_copy(out->peer_zone, sizeof out->peer_zone, zone == NULL ? "" : zone);
	out->peer_answered = json_is_true(json_object_get(json, "peer_answered"));
	for (size_t i = 0; i < json_array_size(costs) && i < CONTROL_COSTS_MAX; i++) {
		if (cost_from_json(json_array_get(costs, i), &out->costs[out->cost_count]))
			out->cost_count++;
	}
	return json_is_object(json);
}

static void preview_end(struct call *call, const struct replica *replica, const struct side *there)
{
	static const struct {
		enum pair_verb verb;
		void (*fill)(struct control_cost *cost, const struct side *source, const struct side *destination);
	} rows[CONTROL_COSTS_MAX] = { /* as `operations` */
		{ PAIR_VERB_FAILOVER, cost_failover }, { PAIR_VERB_SWITCHOVER, cost_switchover },
		{ PAIR_VERB_REPROTECT, cost_reprotect }, { PAIR_VERB_REPROTECT, cost_cancel },
	};
	struct control *control = call->control;
	struct side here = side_here(control, replica);
	bool at_source = is_source(control, replica);
	struct control_preview *preview = &call->preview;

	call->previewed = true;
	preview->peer_answered = there->known;
	text_copy(preview->peer_zone, sizeof preview->peer_zone, there->zone);
	preview->recovery_ms = replica->status.recovery_epoch == 0 ? 0 : replica->status.recovery_wall_ms;
	preview->recovery_age_ms = recovery_age_of(&replica->status, replica->told_ms);
	for (size_t i = 0; i < CONTROL_COSTS_MAX; i++) {
		const struct verdict *verdict =
			&(replica->is_group ? group_table : pair_table)[replica->state][rows[i].verb];
		struct control_cost *cost = &preview->costs[preview->cost_count];

		/* A failover that has been done costs nothing more; one that never can be is no choice. */
		if (verdict->kind != ACCEPT || (rows[i].verb == PAIR_VERB_FAILOVER &&
		    (replica->state == PAIR_FAILOVERED || replica->status.recovery_epoch == 0)))
			continue;
		cost->operation = operations[i];
		rows[i].fill(cost, at_source ? &here : there, at_source ? there : &here);
		preview->cost_count++;
	}
	call_end(call, REFUSE_NONE, "%s", "");
}

static void on_asked(struct control *control, void *data, const json_t *reply)
{
	struct call *call = data;
	const struct replica *replica = unit_owner(control, call->made_id);
	struct side there;

	if (replica == NULL) {
		call_end(call, REFUSE_NO_SUCH_PAIR, "%s has been deleted meanwhile", call->made_id);
		return;
	}
	there = side_from_reply(reply, replica_peer(control, replica));
	preview_end(call, replica, &there);
}

void operate_preview(struct call *call)
{
	struct control *control = call->control;
	bool is_group = call->request.operation == CONTROL_PREVIEW_GROUP;
	const char *id = is_group ? call->request.group : call->request.pair;
	struct replica *replica = replica_find(control, id, is_group);
	const struct peer *peer = replica == NULL ? NULL : peer_find(control, replica_peer(control, replica));
	json_t *question;

	if (replica == NULL) {
		call_seek(call, is_group ? REFUSE_NO_SUCH_GROUP : REFUSE_NO_SUCH_PAIR, "there is no %s %s",
			 is_group ? "group" : "pair", id);
		return;
	}
	if (replica->group[0] != 0) {
		call_end(call, REFUSE_PAIR_IN_GROUP, "pair %s is in group %s: do it with the group", id, replica->group);
		return;
	}
	memcpy(call->made_id, replica->id, sizeof call->made_id);
	if (peer == NULL || !peer->linked) {
		preview_end(call, replica, &(struct side){ .zone = replica_peer(control, replica) });
		return;
	}
	question = json_object();
	json_object_set_new(question, "type", json_string("follow"));
	json_object_set_new(question, "id", json_string(replica->id));
	json_object_set_new(question, "mode", json_string("ask"));
	ask_for_call(control, replica_peer(control, replica), question, on_asked, call);
}
