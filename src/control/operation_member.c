/* Adding pairs to groups and removing them; the source's work. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "control/internal.h"

/* The history of a unit is that of its members: with other members it begins anew, with its next start. */
static void unit_begin_anew(struct control *control, struct replica *replica)
{
	if (replica->lineage[0] == 0)
		return;
	replica->lineage[0] = 0;
	replica->opened = false;
	memset(&replica->status, 0, sizeof replica->status);
	unit_close_stale(control, replica);
}

/* What the unit's next history begins with. Disks that were a copy already are compared, not copied again; that they are a
 * recovery point only when all of them are, wholly, and hold nothing else: `epoch`, or 0. */
static void unit_inherit(struct control *control, struct replica *replica, uint64_t epoch, uint64_t wall_ms)
{
	struct replica *members[ENGINE_UNIT_DISKS_MAX] = { replica };
	uint32_t count = replica->is_group ? replica_members(control, replica->id, members, ENGINE_UNIT_DISKS_MAX) : 1, synced = 0;

	for (uint32_t i = 0; i < count && i < ENGINE_UNIT_DISKS_MAX; i++)
		synced += members[i]->synced;
	replica->compare = synced > 0;
	replica->point_epoch = synced == count && synced > 0 ? epoch : 0;
	replica->point_ms = replica->point_epoch > 0 ? wall_ms : 0;
	memcpy(replica->point_zone, replica->destination, sizeof replica->point_zone);
	if (replica->is_group)
		replica->synced = false; /* told again once it is true of all of them */
}

/* A change of members under way: the other site is asked first whether its copies are recovery points, wholly applied. It is
 * stopped, so they stay so. */
struct member_work {
	struct call *call;
	char group[CONTROL_ID_SIZE], pair[CONTROL_ID_SIZE];
	bool adds;
};

/* The recovery point a unit is at, as told by the other site, or as its next history was to begin; 0: none. */
static uint64_t settled_epoch(const struct replica *replica, const json_t *reply)
{
	json_int_t epoch = json_integer_value(json_object_get(json_object_get(reply, "settled"), replica->id));

	if (replica->lineage[0] == 0)
		return replica->point_epoch;
	return epoch > 0 ? (uint64_t)epoch + 1 : 0;
}

static void member_store(struct call *call, struct replica *group, struct replica *pair, bool adds, const json_t *reply)
{
	struct control *control = call->control;
	uint64_t of_group = settled_epoch(group, reply), of_pair = settled_epoch(pair, reply), epoch;
	uint64_t wall_ms = group->status.recovery_wall_ms > 0 ? group->status.recovery_wall_ms : pair->status.recovery_wall_ms;
	bool first = replica_members(control, group->id, NULL, 0) == 0;
	struct error error;

	if (!adds)
		epoch = of_group;
	else if (first)
		epoch = of_pair;
	else
		epoch = of_group == 0 || of_pair == 0 ? 0 : of_group > of_pair ? of_group : of_pair;
	if (adds) {
		memcpy(pair->group, group->id, sizeof pair->group);
		pair->rpo_s = group->rpo_s;
		pair->state = group->state; /* created or stopped, both: what it is with its members is known from its next start on */
	} else {
		pair->group[0] = 0;
	}
	unit_begin_anew(control, group);
	unit_begin_anew(control, pair);
	unit_inherit(control, group, epoch, wall_ms);
	if (!adds)
		unit_inherit(control, pair, epoch, wall_ms);
	if (replica_store(control, pair, &error) < 0 || replica_store(control, group, &error) < 0)
		call_end_error(call, &error);
	else
		call_end(call, REFUSE_NONE, "%s", "");
}

static void on_settled_answered(struct control *control, void *data, const json_t *reply)
{
	struct member_work *work = data;
	struct replica *group = replica_find(control, work->group, true), *pair = replica_find(control, work->pair, false);

	if (group != NULL && pair != NULL) {
		group->busy = pair->busy = false;
		member_store(work->call, group, pair, work->adds, reply);
	} else {
		call_end(work->call, REFUSE_NO_SUCH_PAIR, "the group or the pair has been deleted meanwhile");
	}
	free(work);
}

static void member_change(struct call *call, struct replica *group, struct replica *pair, bool adds)
{
	const struct peer *peer = peer_find(call->control, replica_peer(call->control, group));
	struct member_work *work;
	json_t *question;

	if (group->busy || pair->busy) {
		call_end(call, REFUSE_INVALID_STATUS, "another operation on %s is running: try again in a moment", group->id);
		return;
	}
	if ((group->lineage[0] == 0 && pair->lineage[0] == 0) || peer == NULL || !peer->linked) {
		member_store(call, group, pair, adds, NULL);
		return;
	}
	work = memory_new(1, sizeof *work);
	work->call = call;
	work->adds = adds;
	memcpy(work->group, group->id, sizeof work->group);
	memcpy(work->pair, pair->id, sizeof work->pair);
	group->busy = pair->busy = true;
	question = json_pack("{s:s, s:[s, s]}", "type", "settled", "ids", group->id, pair->id);
	ask_for_call(call->control, replica_peer(call->control, group), question, on_settled_answered, work);
}

/* "settled": which of these units are stopped here at a recovery point, wholly applied, and hold nothing else. */
void on_settled(struct debt *debt, const json_t *message)
{
	json_t *ids = json_object_get(message, "ids"), *reply = reply_with(REFUSE_NONE, ""), *settled = json_object(), *id;
	size_t index;

	json_array_foreach(ids, index, id) {
		const struct replica *replica = !json_is_string(id) || index > 1 ? NULL :
						unit_owner(debt_control(debt), json_string_value(id));
		const struct unit_status *status = replica == NULL ? NULL : &replica->status;

		if (status != NULL && replica->opened && status->role == UNIT_SECONDARY && status->state != UNIT_FAILED &&
		    status->consistent && status->recovery_epoch > 0 && status->applied_epoch == status->recovery_epoch)
			json_object_set_new(settled, replica->id, json_integer((json_int_t)status->recovery_epoch));
	}
	json_object_set_new(reply, "settled", settled);
	debt_pay_with(debt, reply);
}

static bool zones_differ(const struct replica *group, const struct replica *pair)
{
	return strcmp(group->source, pair->source) != 0 || strcmp(group->destination, pair->destination) != 0;
}

static void add(struct call *call, struct replica *group, struct replica *pair)
{
	struct control *control = call->control;
	const struct verdict *of_group = &group_table[group->state][PAIR_VERB_ADD];
	const struct verdict *of_pair = &pair_table[pair->state][PAIR_VERB_ADD];

	if (strcmp(pair->group, group->id) == 0)
		call_end(call, REFUSE_NONE, "%s", "");
	else if (pair->group[0] != 0)
		call_end(call, REFUSE_PAIR_IN_ANOTHER_GROUP, "pair %s is in group %s already", pair->id, pair->group);
	else if (zones_differ(group, pair))
		call_end(call, REFUSE_ZONE_CONFLICT, "pair %s goes from %s to %s, group %s from %s to %s", pair->id,
			 pair->source, pair->destination, group->id, group->source, group->destination);
	else if (of_group->kind != ACCEPT || of_pair->kind != ACCEPT)
		call_end(call, (enum refusal)(of_group->kind != ACCEPT ? of_group->because : of_pair->because),
			 "group %s is %s, pair %s is %s: both must be created, or both stopped", group->id,
			 pair_state_name((enum pair_state)group->state), pair->id,
			 pair_state_name((enum pair_state)pair->state));
	else if (group->state != pair->state && !call->request.adopts_state)
		call_end(call, REFUSE_STATUS_CONFLICT, "group %s is %s, pair %s is %s: both must be created, or both stopped",
			 group->id, pair_state_name((enum pair_state)group->state), pair->id,
			 pair_state_name((enum pair_state)pair->state));
	else if (replica_members(control, group->id, NULL, 0) >= control->config.pairs_per_group_max)
		call_end(call, REFUSE_PAIRS_EXCEED, "group %s has %u pairs, the most that pairs_per_group allows", group->id,
			 control->config.pairs_per_group_max);
	else
		member_change(call, group, pair, true);
}

static void remove_pair(struct call *call, struct replica *group, struct replica *pair)
{
	const struct verdict *of_group = &group_table[group->state][PAIR_VERB_REMOVE];

	if (strcmp(pair->group, group->id) != 0)
		call_end(call, pair->group[0] == 0 ? REFUSE_PAIR_NOT_IN_GROUP : REFUSE_PAIR_IN_ANOTHER_GROUP,
			 "pair %s is not in group %s", pair->id, group->id);
	else if (of_group->kind != ACCEPT)
		call_end(call, (enum refusal)of_group->because, "group %s is %s: stop it first", group->id,
			 pair_state_name((enum pair_state)group->state));
	else
		member_change(call, group, pair, false);
}

void operate_member(struct call *call)
{
	struct control *control = call->control;
	struct replica *group = replica_find(control, call->request.group, true);
	struct replica *pair = replica_find(control, call->request.pair, false);

	if (group == NULL || pair == NULL) {
		call_seek(call, group == NULL ? REFUSE_NO_SUCH_GROUP : REFUSE_NO_SUCH_PAIR, "there is no %s %s",
			 group == NULL ? "group" : "pair", group == NULL ? call->request.group : call->request.pair);
		return;
	}
	memcpy(call->made_id, group->id, sizeof call->made_id);
	if (!is_source(control, group)) {
		call_forward(call, group->source);
		return;
	}
	if (call->request.operation == CONTROL_ADD_PAIR)
		add(call, group, pair);
	else
		remove_pair(call, group, pair);
}
