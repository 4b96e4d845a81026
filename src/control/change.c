/* Changing sides: reprotect, cancel, switchover, pursued until they are done.
 *
 * The site that is to lead drives: the destination for a reprotect and a switchover, the source for a cancel. Its intent
 * (`change`) is in the catalog before anything happens, so a restart goes on. Two steps, each of which may be repeated:
 *   1 the other site follows ("follow"): it checks that nobody uses its disks, and its unit gives up the lead;
 *   2 once it is known to follow, and with which term, ours takes the lead with a higher one.
 * Then the directions of the records are turned (not for a cancel), and both sites hold the same copy again. No moment has two
 * leaders; a moment with none is ended by the driver's next tick, as soon as the link is up. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "control/internal.h"

#define RETRY_MS 500u

struct change_work {
	char id[CONTROL_ID_SIZE];
	struct call *call; /* to be answered, or NULL */
};

static bool drives(const struct control *control, const struct replica *replica)
{
	return is_source(control, replica) == (replica->change == CHANGE_CANCEL);
}

/* What this site's unit is doing now; for the other site. */
json_t *change_status(const struct replica *replica, json_t *reply)
{
	const struct unit_status *status = &replica->status;

	json_object_set_new(reply, "follows", json_boolean(status->role == UNIT_SECONDARY && status->state != UNIT_FAILED));
	/* A unit that has failed may not know its own record: what it is shows when it has been restarted. */
	json_object_set_new(reply, "changing", json_boolean(status->changing || status->state == UNIT_FAILED));
	json_object_set_new(reply, "term", json_integer((json_int_t)status->term));
	json_object_set_new(reply, "dirty_bytes", json_integer((json_int_t)status->dirty_bytes));
	json_object_set_new(reply, "reason", json_string(status->reason));
	return reply;
}

static void on_follow_answered(struct control *control, void *data, const json_t *reply);

/* mode: "ask", "demote", "hand over". */
static void ask_to_follow(struct control *control, struct replica *replica, const char *mode, struct call *call)
{
	struct change_work *work = memory_new(1, sizeof *work);
	json_t *question = json_object();

	memcpy(work->id, replica->id, sizeof work->id);
	work->call = call;
	replica->busy = true;
	replica->change_retry_ms = control_now_ms() + RETRY_MS;
	json_object_set_new(question, "type", json_string("follow"));
	json_object_set_new(question, "id", json_string(replica->id));
	json_object_set_new(question, "mode", json_string(mode));
	(call != NULL ? ask_for_call : ask_peer)(control, replica_peer(control, replica), question, on_follow_answered, work);
}

static void change_end(struct control *control, struct replica *replica, enum pair_state state, const char *message)
{
	replica->change = CHANGE_NONE;
	replica->change_term = 0;
	replica_set_state(control, replica, state, message);
}

/* --- the end: the records' directions --- */

static void swap_text(char left[CONTROL_ID_SIZE], char right[CONTROL_ID_SIZE])
{
	char kept[CONTROL_ID_SIZE];

	memcpy(kept, left, sizeof kept);
	memcpy(left, right, sizeof kept);
	memcpy(right, kept, sizeof kept);
}

/* From here to the other site; done already: nothing. */
static void turn(const struct control *control, struct replica *replica)
{
	if (is_source(control, replica))
		return;
	swap_text(replica->source, replica->destination);
	swap_text(replica->source_disk, replica->destination_disk);
}

/* The members first, each by itself: a restart in between turns the rest. The unit's own record is the last word. */
static void change_finish(struct control *control, struct replica *replica)
{
	struct replica *members[ENGINE_UNIT_DISKS_MAX];
	uint32_t count = replica->is_group ? replica_members(control, replica->id, members, ENGINE_UNIT_DISKS_MAX) : 0;
	bool switchover = replica->change == CHANGE_SWITCHOVER;

	log_event(LOG_INFO, "control.sides", "id=%s change=%llu term=%llu", replica->id, (unsigned long long)replica->change,
		  (unsigned long long)replica->status.term);
	for (uint32_t i = 0; i < count; i++) {
		turn(control, members[i]);
		members[i]->rank = replica->rank + 1;
		replica_store(control, members[i], NULL);
	}
	turn(control, replica);
	replica->rank++;
	change_end(control, replica, switchover ? PAIR_SYNCING : PAIR_STOPPED, "");
	if (switchover)
		unit_command(control, SHARD_UNIT_START, replica->id, false, NULL, NULL);
}

/* --- the steps --- */

static void on_promoted(struct control *control, void *data, const struct error *error)
{
	struct change_work *work = data;
	struct replica *replica = unit_owner(control, work->id);

	free(work);
	if (replica == NULL)
		return;
	replica->busy = false;
	if (error->code != 0)
		text_copy(replica->message, sizeof replica->message, error->text);
}

static void promote(struct control *control, struct replica *replica)
{
	struct shard_command command = { .kind = SHARD_UNIT_PROMOTE };
	struct change_work *work = memory_new(1, sizeof *work);

	memcpy(work->id, replica->id, sizeof work->id);
	memcpy(command.u.unit.id, replica->id, sizeof command.u.unit.id);
	command.u.unit.term = replica->change_term;
	replica->busy = true;
	replica->change_retry_ms = control_now_ms() + RETRY_MS;
	send_command(control, &command, on_promoted, work);
}

/* The other side has said that it will not: nothing has changed. */
static void change_refused(struct control *control, struct replica *replica, struct call *call, enum refusal refusal,
			   const char *text)
{
	enum pair_state back = call != NULL ? (enum pair_state)call->state_before :
			       replica->change == CHANGE_SWITCHOVER ? PAIR_SYNCING : PAIR_FAILOVERED;

	if (call == NULL && refusal == REFUSE_PEER_UNREACHABLE)
		return; /* asked again */
	change_end(control, replica, back, text);
	if (call != NULL)
		call_end(call, refusal, "%s", text);
}

static void on_follow_answered(struct control *control, void *data, const json_t *reply)
{
	struct change_work *work = data;
	struct replica *replica = unit_owner(control, work->id);
	struct call *call = work->call;
	char text[256];
	enum refusal refusal = reply_refusal(reply, text);

	free(work);
	if (replica == NULL) {
		if (call != NULL)
			call_end(call, REFUSE_INTERNAL, "%s", "the record has gone meanwhile");
		return;
	}
	replica->busy = false;
	if (refusal != REFUSE_NONE) {
		change_refused(control, replica, call, refusal, text);
		return;
	}
	if (call != NULL)
		call_end(call, REFUSE_NONE, "%s", "");
	if (json_is_true(json_object_get(reply, "changing")))
		return;
	if (json_is_true(json_object_get(reply, "follows"))) {
		replica->change_term = (uint64_t)json_integer_value(json_object_get(reply, "term")) + 1;
		promote(control, replica);
	} else if (replica->change == CHANGE_SWITCHOVER && call == NULL) { /* given up: it leads as before */
		change_end(control, replica, PAIR_SYNCING, json_string_value(json_object_get(reply, "reason")));
	}
}

static bool leads_now(const struct replica *replica)
{
	const struct unit_status *status = &replica->status;

	return status->role == UNIT_PRIMARY && status->state != UNIT_FAILED_OVER && status->state != UNIT_SUPERSEDED &&
	       status->state != UNIT_FAILED &&
	       !status->changing && replica->change_term != 0 && status->term >= replica->change_term;
}

void change_continue(struct control *control, struct replica *replica)
{
	const struct peer *peer = peer_find(control, replica_peer(control, replica));

	if (replica->change == CHANGE_NONE || replica->state == PAIR_DELETING || !drives(control, replica) || replica->busy)
		return;
	if (leads_now(replica))
		change_finish(control, replica);
	else if (control_now_ms() >= replica->change_retry_ms && replica->change_term != 0)
		promote(control, replica);
	else if (control_now_ms() >= replica->change_retry_ms && peer != NULL && peer->linked)
		ask_to_follow(control, replica, replica->change == CHANGE_SWITCHOVER ? "ask" : "demote", NULL);
}

/* --- how it begins --- */

/* The disk of a pair that is at this site. */
static const struct disk_record *disk_here(struct control *control, const struct replica *pair)
{
	return disk_find(control, is_source(control, pair) ? pair->source_disk : pair->destination_disk);
}

/* A disk of the unit here that somebody uses, or NULL. */
static const struct disk_record *disk_in_use(struct control *control, struct replica *replica)
{
	struct replica *members[ENGINE_UNIT_DISKS_MAX] = { replica };
	uint32_t count = replica->is_group ? replica_members(control, replica->id, members, ENGINE_UNIT_DISKS_MAX) : 1;

	for (uint32_t i = 0; i < count; i++) {
		const struct disk_record *disk = disk_here(control, members[i]);

		if (disk != NULL && disk->state != DISK_STATE_AVAILABLE)
			return disk;
	}
	return NULL;
}

void change_begin(struct call *call, struct replica *replica, enum change change)
{
	struct control *control = call->control;
	const struct peer *peer = peer_find(control, replica_peer(control, replica));

	if (peer == NULL || !peer->linked) {
		call_end(call, REFUSE_PEER_UNREACHABLE, "site %s is not reachable now: both sites have to take part",
			 replica_peer(control, replica));
		return;
	}
	replica->change = change;
	replica->change_term = 0;
	replica->rank++; /* this site's copy counts until the change has ended */
	replica_set_state(control, replica, PAIR_REPROTECTING, "");
	ask_to_follow(control, replica, change == CHANGE_SWITCHOVER ? "hand over" : "demote", call);
}

static void on_gave_up_lead(struct control *control, void *data, const struct error *error)
{
	struct debt *debt = data;
	struct replica *replica = unit_owner(control, debt_unit(debt));
	json_t *reply;

	if (error->code != 0 || replica == NULL) {
		debt_pay(debt, error->code == -EAGAIN || error->code == -EBUSY ? REFUSE_INVALID_STATUS : REFUSE_STORAGE,
			 error->text);
		return;
	}
	reply = change_status(replica, reply_with(REFUSE_NONE, ""));
	debt_pay_with(debt, reply);
}

/* "follow": the other site wants to lead. */
void on_follow(struct debt *debt, const json_t *message)
{
	struct control *control = debt_control(debt);
	const char *id = json_string_value(json_object_get(message, "id"));
	const char *mode = json_string_value(json_object_get(message, "mode"));
	struct replica *replica = id == NULL ? NULL : unit_owner(control, id);
	const struct disk_record *used = replica == NULL ? NULL : disk_in_use(control, replica);
	struct shard_command command = { .kind = SHARD_UNIT_DEMOTE };
	json_t *reply;
	char text[512];

	if (replica == NULL || mode == NULL) {
		debt_pay(debt, REFUSE_NO_SUCH_PAIR, "the other site does not know it");
		return;
	}
	debt_set_unit(debt, id);
	if (strcmp(mode, "ask") == 0) {
		reply = change_status(replica, reply_with(REFUSE_NONE, ""));
		preview_tell(control, replica, reply);
		debt_pay_with(debt, reply);
		return;
	}
	command.u.unit.hand_over = strcmp(mode, "hand over") == 0;
	if (used != NULL && !command.u.unit.hand_over) {
		snprintf(text, sizeof text, "disk %s at site %s is attached to %s: detach it first, it will be overwritten",
			 used->id, control->config.site.zone, used->instance);
		debt_pay(debt, REFUSE_NOT_ALLOWED, text);
		return;
	}
	memcpy(command.u.unit.id, replica->id, sizeof command.u.unit.id);
	send_command(control, &command, on_gave_up_lead, debt);
}
