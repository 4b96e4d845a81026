/* Adding pairs to groups and removing them; the source's work. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
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

/* What the unit's next history begins with. Disks that were a copy already are compared, not copied again; that they are one only
 * when all of them are, and hold nothing else. */
static void unit_inherit(struct control *control, struct replica *replica, uint64_t epoch, uint64_t wall_ms, bool diverged)
{
	struct replica *members[ENGINE_UNIT_DISKS_MAX] = { replica };
	uint32_t count = replica->is_group ? replica_members(control, replica->id, members, ENGINE_UNIT_DISKS_MAX) : 1, synced = 0;

	for (uint32_t i = 0; i < count && i < ENGINE_UNIT_DISKS_MAX; i++)
		synced += members[i]->synced;
	replica->compare = synced > 0;
	replica->point_epoch = synced == count && synced > 0 && !diverged ? epoch + 1 : 0;
	replica->point_ms = replica->point_epoch > 0 ? wall_ms : 0;
	if (replica->is_group)
		replica->synced = false; /* told again once it is true of all of them */
}

static void member_store(struct call *call, struct replica *group, struct replica *pair)
{
	struct control *control = call->control;
	const struct unit_status ours = group->status, theirs = pair->status;
	uint64_t epoch = ours.recovery_epoch > theirs.recovery_epoch ? ours.recovery_epoch : theirs.recovery_epoch;
	uint64_t wall_ms = ours.recovery_wall_ms > 0 ? ours.recovery_wall_ms : theirs.recovery_wall_ms;
	bool diverged = ours.diverged || theirs.diverged || group->state == PAIR_FAILOVERED;
	struct error error;

	unit_begin_anew(control, group);
	unit_begin_anew(control, pair);
	unit_inherit(control, group, epoch, wall_ms, diverged);
	if (pair->group[0] == 0)
		unit_inherit(control, pair, epoch, wall_ms, diverged);
	if (replica_store(control, pair, &error) < 0 || replica_store(control, group, &error) < 0)
		call_end_error(call, &error);
	else
		call_end(call, REFUSE_NONE, "%s", "");
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
	else if (group->state != pair->state)
		call_end(call, REFUSE_STATUS_CONFLICT, "group %s is %s, pair %s is %s: both must be created, or both stopped",
			 group->id, pair_state_name((enum pair_state)group->state), pair->id,
			 pair_state_name((enum pair_state)pair->state));
	else if (replica_members(control, group->id, NULL, 0) >= control->config.pairs_per_group_max)
		call_end(call, REFUSE_PAIRS_EXCEED, "group %s has %u pairs, the most that pairs_per_group allows", group->id,
			 control->config.pairs_per_group_max);
	else {
		memcpy(pair->group, group->id, sizeof pair->group);
		pair->rpo_s = group->rpo_s;
		member_store(call, group, pair);
	}
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
	else {
		pair->group[0] = 0;
		member_store(call, group, pair);
	}
}

void operate_member(struct call *call)
{
	struct control *control = call->control;
	struct replica *group = replica_find(control, call->request.group, true);
	struct replica *pair = replica_find(control, call->request.pair, false);

	if (group == NULL || pair == NULL) {
		call_end(call, group == NULL ? REFUSE_NO_SUCH_GROUP : REFUSE_NO_SUCH_PAIR, "there is no %s %s",
			 group == NULL ? "group" : "pair", group == NULL ? call->request.group : call->request.pair);
		return;
	}
	memcpy(call->made_id, group->id, sizeof call->made_id);
	if (!is_source(control, group)) {
		call_forward(call, group->source);
		return;
	}
	if (group->busy || pair->busy)
		call_end(call, REFUSE_INVALID_STATUS, "another operation on %s is running: try again in a moment", group->id);
	else if (call->request.operation == CONTROL_ADD_PAIR)
		add(call, group, pair);
	else
		remove_pair(call, group, pair);
}
