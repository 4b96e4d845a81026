/* Operations on pairs and groups: create, start, stop, fail over, delete. The table decides on states; the rest are named
 * conditions. Starting, stopping and deleting are the source's work, failing over the destination's: a call that reaches
 * the other site is carried over. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "control/internal.h"

static struct replica *call_replica(struct call *call)
{
	return unit_owner(call->control, call->made_id);
}

/* --- create --- */

static bool same_site(struct call *call)
{
	const struct control_request *request = &call->request;

	if (strcmp(request->zone, request->peer_zone) != 0)
		return false;
	call_end(call, REFUSE_SAME_SITE, "both disks are at site %s: the copy must be at another site", request->zone);
	return true;
}

/* Which site a create belongs to; false when the call was answered or carried over. */
static bool create_is_here(struct call *call)
{
	const struct control_request *request = &call->request;
	struct control *control = call->control;

	if (same_site(call))
		return false;
	if (strcmp(request->zone, control->config.site.zone) == 0) {
		if (peer_find(control, request->peer_zone) != NULL)
			return true;
		call_end(call, REFUSE_NO_SUCH_ZONE, "site %s is no peer in this site's configuration", request->peer_zone);
		return false;
	}
	if (peer_find(control, request->zone) != NULL)
		call_forward(call, request->zone);
	else
		call_seek(call, REFUSE_NO_SUCH_ZONE, "site %s is no peer in this site's configuration", request->zone);
	return false;
}

static struct replica *replica_new(struct call *call, bool is_group)
{
	const struct control_request *request = &call->request;
	struct replica *replica = memory_new(1, sizeof *replica);

	replica->is_group = is_group;
	control_make_id(is_group ? "pg-" : "pair-cn-", replica->id);
	memcpy(replica->name, request->name, sizeof replica->name);
	memcpy(replica->description, request->description, sizeof replica->description);
	memcpy(replica->source, request->zone, sizeof replica->source);
	memcpy(replica->primary, request->zone, sizeof replica->primary);
	memcpy(replica->destination, request->peer_zone, sizeof replica->destination);
	memcpy(replica->standby, request->peer_zone, sizeof replica->standby);
	memcpy(replica->charge_type, request->charge_type, sizeof replica->charge_type);
	replica->rpo_s = request->rpo_s != 0 ? request->rpo_s : call->control->config.rpo_s_default;
	replica->bandwidth = request->bandwidth;
	replica->period = request->period;
	replica->enable_rtc = request->enable_rtc;
	replica->tags = request->tags == NULL ? NULL : json_deep_copy(request->tags);
	replica->kept = request->kept == NULL ? NULL : json_deep_copy(request->kept);
	memcpy(replica->resource_group, request->resource_group, sizeof replica->resource_group);
	replica->created_s = control_now_s();
	replica->state = PAIR_CREATED;
	memcpy(call->made_id, replica->id, sizeof call->made_id);
	return replica;
}

static void on_prepared(struct control *control, void *data, const json_t *reply)
{
	struct call *call = data;
	struct replica *replica = call_replica(call);
	struct error error = { 0 };
	char text[256];
	enum refusal refusal = reply_refusal(reply, text);

	if (refusal == REFUSE_NONE) {
		replica->state = PAIR_CREATED;
		if (replica_store(control, replica, &error) == 0) {
			call_end(call, REFUSE_NONE, "%s", "");
			return;
		}
		refusal = REFUSE_STORAGE;
		memcpy(text, error.text, sizeof text);
	}
	/* What the peer may have made of it goes, too: now, or when it shows it to us, who do not know it. */
	if (refusal == REFUSE_PEER_UNREACHABLE)
		tell_peer(control, replica->destination, json_pack("{s:s, s:s}", "type", "gone", "id", replica->id));
	replica_forget(control, replica, NULL);
	call->made_id[0] = 0;
	call_end(call, refusal, "%s", text);
}

/* What could not be stored is not there. */
static void create_undo(struct call *call, struct replica *replica, const struct error *error)
{
	replica_forget(call->control, replica, NULL);
	call->made_id[0] = 0;
	call_end_error(call, error);
}

void operate_create_pair(struct call *call)
{
	const struct control_request *request = &call->request;
	struct control *control = call->control;
	const struct disk_record *disk;
	const struct replica *pair;
	struct replica *replica;
	struct error error;
	json_t *question;

	if (!create_is_here(call))
		return;
	disk = disk_find(control, request->disk);
	if (disk == NULL) {
		call_end(call, REFUSE_NO_SUCH_DISK, "there is no disk %s at site %s", request->disk, request->zone);
		return;
	}
	pair = replica_of_disk(control, disk->id);
	if (pair != NULL) {
		call_end(call, REFUSE_DISK_IN_PAIR, "disk %s is in pair %s already", disk->id, pair->id);
		return;
	}
	if (disk->state != DISK_STATE_AVAILABLE && disk->state != DISK_STATE_IN_USE) {
		call_end(call, REFUSE_DISK_STATUS, "disk %s is %s", disk->id, disk_state_name((enum disk_state)disk->state));
		return;
	}
	if (!peer_find(control, request->peer_zone)->linked) {
		call_end(call, REFUSE_PEER_UNREACHABLE, "site %s, which holds the secondary disk, is not reachable now",
			 request->peer_zone);
		return;
	}
	replica = replica_new(call, false);
	memcpy(replica->source_disk, request->disk, sizeof replica->source_disk);
	memcpy(replica->destination_disk, request->peer_disk, sizeof replica->destination_disk);
	replica->size = disk->size;
	question = json_object();
	json_object_set_new(question, "type", json_string("prepare"));
	json_object_set_new(question, "replica", replica_to_json(replica)); /* the peer keeps it as created */
	replica->state = PAIR_CREATING;
	if (replica_keep(control, replica, &error) < 0) {
		json_decref(question);
		create_undo(call, replica, &error);
		return;
	}
	ask_for_call(control, request->peer_zone, question, on_prepared, call);
}

void operate_create_group(struct call *call)
{
	struct replica *replica;
	struct error error;

	if (!create_is_here(call))
		return;
	replica = replica_new(call, true);
	if (replica_store(call->control, replica, &error) < 0)
		create_undo(call, replica, &error);
	else
		call_end(call, REFUSE_NONE, "%s", "");
}

/* --- start: the secondary opens its half, then ours is opened, then it ships --- */

/* The other site failed it over, or it broke, while it was to start. */
static bool is_overtaken(const struct replica *replica)
{
	return replica->state >= PAIR_FAILOVERING;
}

static void start_end(struct call *call, enum refusal refusal, const char *text)
{
	struct replica *replica = call_replica(call);

	replica->busy = false;
	if (refusal != REFUSE_NONE && !is_overtaken(replica))
		replica_set_state(call->control, replica, (enum pair_state)call->state_before, text);
	call_end(call, refusal, "%s", text);
}

static void on_started(struct control *control, void *data, const struct error *error)
{
	(void)control;
	start_end(data, error->code == 0 ? REFUSE_NONE : REFUSE_STORAGE, error->text);
}

static void on_source_open(struct control *control, void *data, const struct error *error)
{
	struct call *call = data;
	struct replica *replica = call_replica(call);
	/* A new unit has told nothing yet: then it counts what its disks are said to be. */
	bool is_copy = replica->status.consistent || replica->status.diverged || replica->point_epoch > 0;
	enum pair_state next = call->request.one_shot ? PAIR_MANUAL_SYNCING : is_copy ? PAIR_SYNCING : PAIR_INITIAL_SYNCING;

	if (error->code != 0) {
		start_end(call, REFUSE_STORAGE, error->text);
		return;
	}
	if (is_overtaken(replica)) {
		start_end(call, REFUSE_INVALID_STATUS, "it was failed over, or has failed, in the meantime");
		return;
	}
	if (call->request.one_shot)
		replica->one_shot_s = control_now_s();
	replica_set_state(control, replica, next, "");
	unit_command(control, SHARD_UNIT_START, replica->id, call->request.one_shot, on_started, call);
}

static void on_secondary_ready(struct control *control, void *data, const json_t *reply)
{
	struct call *call = data;
	char text[256];
	enum refusal refusal = reply_refusal(reply, text);

	if (refusal != REFUSE_NONE)
		start_end(call, refusal, text);
	else
		unit_open(control, call_replica(call), on_source_open, call);
}

static json_t *start_question(struct control *control, struct replica *replica)
{
	struct replica *members[ENGINE_UNIT_DISKS_MAX] = { replica };
	uint32_t count = 1;
	json_t *question = json_object(), *list = json_array();

	if (replica->is_group)
		count = replica_members(control, replica->id, members, ENGINE_UNIT_DISKS_MAX);
	for (uint32_t i = 0; i < count; i++)
		json_array_append_new(list, replica_to_json(members[i]));
	json_object_set_new(question, "type", json_string("start"));
	json_object_set_new(question, "replica", replica_to_json(replica));
	json_object_set_new(question, "members", list);
	return question;
}

static void start(struct call *call, struct replica *replica)
{
	struct control *control = call->control;
	uint8_t lineage[ENGINE_LINEAGE_SIZE];
	struct error error;

	if (call->request.one_shot && replica->one_shot_s + replica->rpo_s / 2 > control_now_s()) {
		call_end(call, REFUSE_MANUAL_SYNC_LIMIT, "the last one-shot sync was less than %llu s ago (half the RPO)",
			 (unsigned long long)(replica->rpo_s / 2));
		return;
	}
	if (replica->state == PAIR_SYNCING || replica->state == PAIR_NORMAL || replica->state == PAIR_MANUAL_SYNCING) {
		call_end(call, REFUSE_NONE, "%s", ""); /* runs already */
		return;
	}
	if (!peer_find(control, replica->destination)->linked) {
		call_end(call, REFUSE_PEER_UNREACHABLE, "site %s is not reachable now: start again when its link is up",
			 replica->destination);
		return;
	}
	if (replica->lineage[0] == 0) {
		control_random(lineage, sizeof lineage);
		hash_to_hex(lineage, sizeof lineage, replica->lineage);
		replica->version++;
		if (replica_keep(control, replica, &error) < 0) {
			call_end_error(call, &error);
			return;
		}
	}
	replica->busy = true;
	ask_for_call(control, replica->destination, start_question(control, replica), on_secondary_ready, call);
}

/* --- stop --- */

static void on_stopped(struct control *control, void *data, const struct error *error)
{
	struct call *call = data;
	struct replica *replica = call_replica(call);

	replica->busy = false;
	if (replica->state == PAIR_STOPPING) /* not failed over meanwhile */
		replica_set_state(control, replica, error->code == 0 ? PAIR_STOPPED : PAIR_STOP_FAILED, error->text);
	if (error->code == 0)
		call_end(call, REFUSE_NONE, "%s", "");
	else
		call_end_error(call, error);
}

static void stop(struct call *call, struct replica *replica)
{
	if (replica->state == PAIR_STOPPED) {
		call_end(call, REFUSE_NONE, "%s", "");
		return;
	}
	replica->busy = true;
	replica_set_state(call->control, replica, PAIR_STOPPING, "");
	unit_command(call->control, SHARD_UNIT_STOP, replica->id, false, on_stopped, call);
}

/* --- fail over --- */

static void on_failover_begun(struct control *control, void *data, const struct error *error)
{
	struct call *call = data;
	struct replica *replica = call_replica(call);

	replica->busy = false;
	if (error->code == 0) {
		call_end(call, REFUSE_NONE, "%s", "");
		return;
	}
	replica_set_state(control, replica,
			  error->code == -ENODATA ? (enum pair_state)call->state_before : PAIR_FAILOVER_FAILED, error->text);
	call_end(call, error->code == -ENODATA ? REFUSE_NEVER_SYNCED : REFUSE_STORAGE, "%s", error->text);
}

static void failover(struct call *call, struct replica *replica)
{
	if (replica->state == PAIR_FAILOVERED) {
		call_end(call, REFUSE_NONE, "%s", "");
		return;
	}
	/* Right after the daemon's start nothing has been told of the unit yet: then the engine decides, once it has loaded it. */
	if (replica->lineage[0] == 0 || (replica->told_ms != 0 && !replica->status.consistent)) {
		call_end(call, REFUSE_NEVER_SYNCED, "%s has no recovery point yet: its first full sync is not complete",
			 replica->id);
		return;
	}
	if (replica->state == PAIR_INVALID && replica->status.state == UNIT_FAILED) { /* not the other site's half, but ours */
		call_end(call, REFUSE_STORAGE, "the copy at this site has failed: %s", replica->status.reason);
		return;
	}
	replica->busy = true;
	replica->state_before = replica->state;
	replica_set_state(call->control, replica, PAIR_FAILOVERING, "");
	unit_command(call->control, SHARD_UNIT_FAILOVER, replica->id, false, on_failover_begun, call);
}

/* --- change sides --- */

static void reprotect(struct call *call, struct replica *replica)
{
	change_begin(call, replica, call->request.cancel ? CHANGE_CANCEL : CHANGE_REPROTECT);
}

static void switchover(struct call *call, struct replica *replica)
{
	if (replica->status.divergence_kept) {
		call_end(call, REFUSE_NOT_ALLOWED, "site %s still keeps what only it held before the last reprotect: save what you "
			 "need of it, and discard it", call->control->config.site.zone);
		return;
	}
	change_begin(call, replica, CHANGE_SWITCHOVER);
}

/* --- scrub --- */

static void on_scrub_begun(struct control *control, void *data, const struct error *error)
{
	(void)control;
	if (error->code == 0)
		call_end(data, REFUSE_NONE, "%s", "");
	else
		call_end(data, error->code == -EAGAIN ? REFUSE_INVALID_STATUS : REFUSE_STORAGE, "%s", error->text);
}

static void scrub(struct call *call, struct replica *replica)
{
	unit_command(call->control, SHARD_UNIT_SCRUB, replica->id, false, on_scrub_begun, call);
}

/* --- what is kept of a divergence --- */

static void on_discarded(struct control *control, void *data, const struct error *error)
{
	(void)control;
	if (error->code == 0)
		call_end(data, REFUSE_NONE, "%s", "");
	else
		call_end(data, error->code == -EAGAIN ? REFUSE_INVALID_STATUS : REFUSE_STORAGE, "%s", error->text);
}

/* It is at one of the two sites. */
void operate_discard(struct call *call)
{
	bool is_group = call->request.operation == CONTROL_DISCARD_GROUP;
	const char *id = is_group ? call->request.group : call->request.pair;
	struct replica *replica = replica_find(call->control, id, is_group);

	if (replica == NULL) {
		call_seek(call, is_group ? REFUSE_NO_SUCH_GROUP : REFUSE_NO_SUCH_PAIR, "there is no %s %s",
			 is_group ? "group" : "pair", id);
		return;
	}
	memcpy(call->made_id, replica->id, sizeof call->made_id);
	if (replica->status.divergence_kept) {
		unit_command(call->control, SHARD_UNIT_DISCARD, replica->id, false, on_discarded, call);
	} else if (call->from == NULL || strcmp(call->from, replica_peer(call->control, replica)) != 0) {
		call_forward(call, replica_peer(call->control, replica));
	} else {
		call_end(call, REFUSE_INVALID_STATUS, "neither site keeps anything of a divergence of %s", id);
	}
}

/* --- modify --- */

static void modify(struct call *call, struct replica *replica)
{
	const struct control_request *request = &call->request;
	struct error error = { 0 };

	if (request->name[0] != 0)
		memcpy(replica->name, request->name, sizeof replica->name);
	if (request->description[0] != 0)
		memcpy(replica->description, request->description, sizeof replica->description);
	if (request->rpo_s != 0)
		replica->rpo_s = request->rpo_s;
	if (request->bandwidth != 0)
		replica->bandwidth = request->bandwidth;
	if (request->rtc_given)
		replica->enable_rtc = request->enable_rtc;
	if (replica_store(call->control, replica, &error) < 0)
		call_end_error(call, &error);
	else
		call_end(call, REFUSE_NONE, "%s", ""); /* the next start tells the engine */
}

/* --- delete --- */

static void delete(struct call *call, struct replica *replica)
{
	struct control *control = call->control;
	char id[CONTROL_ID_SIZE];

	if (replica->is_group && replica_members(control, replica->id, NULL, 0) > 0) {
		call_end(call, REFUSE_GROUP_HAS_PAIR, "group %s still has %u pairs: remove them first", replica->id,
			 replica_members(control, replica->id, NULL, 0));
		return;
	}
	memcpy(id, replica->id, sizeof id);
	replica_set_state(control, replica, PAIR_DELETING, "");
	unit_delete_continue(control, replica);
	call_end(call, REFUSE_NONE, "%s", "");
}

/* --- which verb, whose work, may it --- */

static const struct verb {
	enum pair_verb verb;
	bool is_group;
	bool at_destination;
	bool needs_members;
	void (*proceed)(struct call *call, struct replica *replica);
} verbs[CONTROL_OPERATIONS] = {
	[CONTROL_START_PAIR] = { PAIR_VERB_START, false, false, false, start },
	[CONTROL_STOP_PAIR] = { PAIR_VERB_STOP, false, false, false, stop },
	[CONTROL_FAILOVER_PAIR] = { PAIR_VERB_FAILOVER, false, true, false, failover },
	[CONTROL_REPROTECT_PAIR] = { PAIR_VERB_REPROTECT, false, true, false, reprotect },
	[CONTROL_SWITCHOVER_PAIR] = { PAIR_VERB_SWITCHOVER, false, true, false, switchover },
	[CONTROL_SCRUB_PAIR] = { PAIR_VERB_SCRUB, false, false, false, scrub },
	[CONTROL_DELETE_PAIR] = { PAIR_VERB_DELETE, false, false, false, delete },
	[CONTROL_START_GROUP] = { PAIR_VERB_START, true, false, true, start },
	[CONTROL_STOP_GROUP] = { PAIR_VERB_STOP, true, false, false, stop },
	[CONTROL_FAILOVER_GROUP] = { PAIR_VERB_FAILOVER, true, true, true, failover },
	[CONTROL_REPROTECT_GROUP] = { PAIR_VERB_REPROTECT, true, true, true, reprotect },
	[CONTROL_SWITCHOVER_GROUP] = { PAIR_VERB_SWITCHOVER, true, true, true, switchover },
	[CONTROL_SCRUB_GROUP] = { PAIR_VERB_SCRUB, true, false, true, scrub },
	[CONTROL_MODIFY_PAIR] = { PAIR_VERB_MODIFY, false, false, false, modify },
	[CONTROL_MODIFY_GROUP] = { PAIR_VERB_MODIFY, true, false, false, modify },
	[CONTROL_DELETE_GROUP] = { PAIR_VERB_DELETE, true, false, false, delete },
};

static const char *region_of(struct control *control, const char *zone)
{
	const struct peer *peer = peer_find(control, zone);

	return peer != NULL ? peer->site.region : control->config.site.region;
}

/* A call is for one of the two regions that it lies in; a pair of another region is none. */
static bool is_in_region(struct control *control, const struct replica *replica, const char *region)
{
	return region[0] == 0 || strcmp(region, region_of(control, replica->source)) == 0 ||
	       strcmp(region, region_of(control, replica->destination)) == 0;
}

/* True when this site does the work; otherwise the call has been answered or carried over. */
static bool is_ours(struct call *call, const struct verb *verb, struct replica *replica)
{
	struct control *control = call->control;
	const char *source = region_of(control, replica->source), *destination = region_of(control, replica->destination);
	bool failed_over = replica->state == PAIR_FAILOVERED && verb->proceed == delete, at_destination;

	if ((verb->proceed == failover || verb->proceed == reprotect) && call->request.region[0] != 0 &&
	    strcmp(call->request.region, source) == 0 && strcmp(source, destination) != 0) {
		call_end(call, REFUSE_ON_PRIMARY, "ask for this in the secondary's region, %s", destination);
		return false;
	}
	at_destination = verb->at_destination && !call->request.cancel; /* a cancel is driven by who leads again */
	if (failed_over || at_destination != is_source(control, replica))
		return true;
	call_forward(call, replica_peer(control, replica));
	return false;
}

/* Asked for once more while it runs: it is done once. */
static bool is_under_way(const struct verb *verb, const struct replica *replica)
{
	return (verb->proceed == stop && replica->state == PAIR_STOPPING && replica->busy) ||
	       (verb->proceed == failover && replica->state == PAIR_FAILOVERING) ||
	       (verb->proceed == delete && replica->state == PAIR_DELETING);
}

void operate_replica(struct call *call)
{
	const struct verb *verb = &verbs[call->request.operation];
	struct control *control = call->control;
	const char *id = verb->is_group ? call->request.group : call->request.pair;
	struct replica *replica = replica_find(control, id, verb->is_group);
	enum pair_verb asked = verb->verb == PAIR_VERB_START && call->request.one_shot ? PAIR_VERB_START_ONE_SHOT : verb->verb;
	const struct verdict *verdict;

	if (replica == NULL) {
		call_seek(call, verb->is_group ? REFUSE_NO_SUCH_GROUP : REFUSE_NO_SUCH_PAIR, "there is no %s %s",
			 verb->is_group ? "group" : "pair", id);
		return;
	}
	if (!is_in_region(control, replica, call->request.region)) {
		call_end(call, verb->is_group ? REFUSE_NO_SUCH_GROUP : REFUSE_NO_SUCH_PAIR, "there is no %s %s in region %s",
			 verb->is_group ? "group" : "pair", id, call->request.region);
		return;
	}
	memcpy(call->made_id, replica->id, sizeof call->made_id);
	call->state_before = replica->state;
	if (!verb->is_group && replica->group[0] != 0) {
		call_end(call, REFUSE_PAIR_IN_GROUP, "pair %s is in group %s: do it with the group", id, replica->group);
		return;
	}
	if (!is_ours(call, verb, replica))
		return;
	if (verb->needs_members && !unit_has_members(control, replica)) {
		call_end(call, REFUSE_NO_PAIR_IN_GROUP, "group %s has no pair: add one first", id);
		return;
	}
	verdict = &(verb->is_group ? group_table : pair_table)[replica->state][asked];
	if (verdict->kind != ACCEPT) {
		call_end(call, (enum refusal)verdict->because, "%s %s is %s: %s is not allowed in this state",
			 verb->is_group ? "group" : "pair", id, pair_state_name((enum pair_state)replica->state),
			 pair_verb_name(asked));
		return;
	}
	if (is_under_way(verb, replica)) {
		call_end(call, REFUSE_NONE, "%s", "");
		return;
	}
	if (replica->busy) {
		call_end(call, REFUSE_INVALID_STATUS, "another operation on %s is running: try again in a moment", id);
		return;
	}
	verb->proceed(call, replica);
}
