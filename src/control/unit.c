/* The engine's unit of a group, or of a pair in none: opening, events, deletion, and what is resumed at start. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "control/internal.h"

static int by_id(const void *left, const void *right)
{
	return strcmp((*(struct replica *const *)left)->id, (*(struct replica *const *)right)->id);
}

bool unit_has_members(struct control *control, struct replica *replica)
{
	return !replica->is_group || replica_members(control, replica->id, NULL, 0) > 0;
}

/* Same order at both sites: by the pairs' ids. */
bool unit_make_spec(struct control *control, struct replica *replica, struct unit_spec *out_spec)
{
	struct replica *members[ENGINE_UNIT_DISKS_MAX] = { replica };
	uint32_t count = 1;
	bool source = is_source(control, replica);

	if (replica->is_group)
		count = replica_members(control, replica->id, members, ENGINE_UNIT_DISKS_MAX);
	if (count == 0 || count > ENGINE_UNIT_DISKS_MAX ||
	    !hash_from_hex(replica->lineage, out_spec->lineage, ENGINE_LINEAGE_SIZE))
		return false;
	qsort(members, count, sizeof members[0], by_id);
	memcpy(out_spec->id, replica->id, sizeof out_spec->id);
	text_copy(out_spec->peer, sizeof out_spec->peer, replica_peer(control, replica));
	out_spec->role = source ? UNIT_PRIMARY : UNIT_SECONDARY;
	out_spec->rpo_ms = (uint32_t)(replica->rpo_s * 1000);
	out_spec->compare = replica->compare;
	/* Who held that recovery point was the destination then; what this site was it still is, unless the direction was turned
	 * before its unit was ever opened. */
	if (source == (strcmp(replica->point_zone, control->config.site.zone) != 0)) {
		out_spec->point_epoch = replica->point_epoch;
		out_spec->point_wall_ms = replica->point_ms;
	}
	out_spec->disk_count = count;
	for (uint32_t i = 0; i < count; i++) {
		memcpy(out_spec->disks[i].local_disk, source ? members[i]->source_disk : members[i]->destination_disk,
		       CONTROL_ID_SIZE);
		memcpy(out_spec->disks[i].remote_disk, source ? members[i]->destination_disk : members[i]->source_disk,
		       CONTROL_ID_SIZE);
	}
	return true;
}

static void open_now(struct control *control, struct replica *replica, command_done *on_done, void *data)
{
	struct shard_command command = { .kind = SHARD_UNIT_OPEN };
	struct error error = { .code = -EINVAL, .text = "the record of the unit is damaged" };

	command.u.unit.spec = memory_new(1, sizeof *command.u.unit.spec);
	memcpy(command.u.unit.id, replica->id, sizeof command.u.unit.id);
	if (unit_make_spec(control, replica, command.u.unit.spec)) {
		replica->opened = true;
		send_command(control, &command, on_done, data);
		return;
	}
	free(command.u.unit.spec);
	if (on_done != NULL)
		on_done(control, data, &error);
}

/* --- a unit that replaces another --- */

#define OPENING_MS 2000u

static void on_stale_closed(struct control *control, void *data, const struct error *error)
{
	char *id = data;
	struct replica *replica = unit_owner(control, id);

	free(id);
	if (replica == NULL)
		return;
	replica->closing = false;
	if (error->code == 0) {
		replica->stale = false;
		control->stale_count--;
	}
	unit_openings_continue(control);
}

void unit_close_stale(struct control *control, struct replica *replica)
{
	control->stale_count += !replica->stale;
	replica->stale = true;
	if (replica->closing)
		return;
	replica->closing = true;
	unit_command(control, SHARD_UNIT_REMOVE, replica->id, false, on_stale_closed, memory_copy_text(replica->id));
}

static void opening_end(struct control *control, struct opening *opening)
{
	struct error error = { .code = -EAGAIN, .text = "the unit its disks were in before is still being closed: try again" };
	struct replica *replica = unit_owner(control, opening->id);

	list_remove(&opening->entry);
	if (replica != NULL && control->stale_count == 0)
		open_now(control, replica, opening->on_done, opening->data);
	else if (opening->on_done != NULL)
		opening->on_done(control, opening->data, &error);
	free(opening);
}

void unit_openings_continue(struct control *control)
{
	list_for_each(entry, &control->openings) {
		struct opening *opening = container_of(entry, struct opening, entry);

		if (control->stale_count == 0 || control_now_ms() > opening->deadline_ms)
			opening_end(control, opening);
	}
}

void unit_open(struct control *control, struct replica *replica, command_done *on_done, void *data)
{
	struct opening *opening;

	if (control->stale_count == 0) {
		open_now(control, replica, on_done, data);
		return;
	}
	opening = memory_new(1, sizeof *opening);
	memcpy(opening->id, replica->id, sizeof opening->id);
	opening->deadline_ms = control_now_ms() + OPENING_MS;
	opening->on_done = on_done;
	opening->data = data;
	list_append(&control->openings, &opening->entry);
}

void unit_command(struct control *control, enum shard_command_kind kind, const char *id, bool one_shot, command_done *on_done,
		  void *data)
{
	struct shard_command command = { .kind = kind };

	snprintf(command.u.unit.id, sizeof command.u.unit.id, "%s", id);
	command.u.unit.one_shot = one_shot;
	send_command(control, &command, on_done, data);
}

/* --- events --- */

static bool is_running(uint64_t state)
{
	return state == PAIR_INITIAL_SYNCING || state == PAIR_SYNCING || state == PAIR_NORMAL || state == PAIR_MANUAL_SYNCING;
}

/* The second table: what the unit does -> the state users see, while replication runs (PAIR_STATES: stays). */
static const enum pair_state shown[UNIT_STATES] = {
	[UNIT_STOPPED] = PAIR_STATES, [UNIT_CONNECTING] = PAIR_STATES, [UNIT_FULL_SYNC] = PAIR_INITIAL_SYNCING,
	[UNIT_CATCHING_UP] = PAIR_SYNCING, [UNIT_CYCLING] = PAIR_NORMAL, [UNIT_FAILED_OVER] = PAIR_FAILOVERED,
	[UNIT_SUPERSEDED] = PAIR_FAILOVERED, [UNIT_FAILED] = PAIR_INVALID,
};

/* The engine had to load the unit to know that it cannot be failed over. */
static void failover_was_refused(struct control *control, struct replica *replica)
{
	enum pair_state back = replica->state_before == PAIR_CREATING ? PAIR_FAILOVER_FAILED : (enum pair_state)replica->state_before;

	replica_set_state(control, replica, back, "there is no recovery point yet to fail over to");
}

/* Its members hold a committed copy from now on, whatever unit they will be in. */
static void mark_synced(struct control *control, struct replica *replica)
{
	struct replica *members[ENGINE_UNIT_DISKS_MAX];
	uint32_t count = replica->is_group ? replica_members(control, replica->id, members, ENGINE_UNIT_DISKS_MAX) : 0;

	replica->synced = true;
	replica->compare = false; /* its record says the rest */
	replica_keep(control, replica, NULL);
	for (uint32_t i = 0; i < count && i < ENGINE_UNIT_DISKS_MAX; i++) {
		if (members[i]->synced)
			continue;
		members[i]->synced = true;
		replica_keep(control, members[i], NULL);
	}
}

/* The other site has taken over, and this one has lost: what is broken here changes nothing of that. */
static bool was_given_up(const struct control *control, const struct replica *replica)
{
	return is_source(control, replica) && (replica->state == PAIR_FAILOVERING || replica->state == PAIR_FAILOVERED);
}

void control_on_unit(struct control *control, const struct unit_status *status)
{
	struct replica *replica = unit_owner(control, status->id);
	enum pair_state next = shown[status->state];
	bool stopped_by_itself;

	if (replica == NULL)
		return;
	/* A short one may have begun and ended since the last status: busy tells a status from before its start. */
	stopped_by_itself = replica->state == PAIR_MANUAL_SYNCING && status->state == UNIT_STOPPED && status->one_shot_done &&
			    !replica->busy && status->role == UNIT_PRIMARY;
	/* Why an operation failed stands until the state changes, or the unit has something to say, too. */
	if (status->reason[0] != '\0' || strcmp(replica->message, replica->status.reason) == 0)
		text_copy(replica->message, sizeof replica->message, status->reason);
	replica->status = *status;
	replica->told_ms = control_now_ms();
	if (status->disks_differ)
		level_disks(control, replica);
	if (status->consistent && !replica->synced)
		mark_synced(control, replica);
	if (replica->state == PAIR_DELETING)
		return;
	if (next == PAIR_FAILOVERED && replica->change != CHANGE_NONE)
		return; /* on its way out of it */
	if (next == PAIR_FAILOVERED && replica->state != PAIR_FAILOVERED) {
		if (status->state == UNIT_FAILED_OVER)
			replica->rank++;
		replica_set_state(control, replica, PAIR_FAILOVERED, status->reason);
	} else if (next == PAIR_INVALID && replica->state != PAIR_INVALID && !was_given_up(control, replica)) {
		replica_set_state(control, replica, PAIR_INVALID, status->reason);
	} else if (replica->state == PAIR_FAILOVERING && !replica->busy && !status->changing && next != PAIR_FAILOVERED &&
		   next != PAIR_INVALID) {
		failover_was_refused(control, replica);
	} else if (stopped_by_itself) {
		replica_set_state(control, replica, PAIR_STOPPED, "");
	} else if (is_running(replica->state) && next != PAIR_STATES && replica->state != PAIR_MANUAL_SYNCING &&
		   replica->state != next && is_source(control, replica)) {
		replica_set_state(control, replica, next, status->reason);
	}
}

void control_on_link(struct control *control, const char *zone, bool up, const char *reason)
{
	struct peer *peer = peer_find(control, zone);

	(void)reason;
	if (peer == NULL)
		return;
	peer->linked = up;
	if (!up)
		return;
	tokens_push(control, peer, NULL);
	tell_copies(control, peer);
}

/* --- deletion: both halves, however long the peer is away --- */

struct deletion {
	char id[CONTROL_ID_SIZE];
};

static void deletion_finish(struct control *control, struct replica *replica)
{
	if (replica->unit_gone && replica->peer_gone) {
		log_event(LOG_INFO, replica->is_group ? "group.deleted" : "pair.deleted", "id=%s", replica->id);
		replica_forget(control, replica, NULL);
	}
}

static void on_unit_removed(struct control *control, void *data, const struct error *error)
{
	struct deletion *deletion = data;
	struct replica *replica = unit_owner(control, deletion->id);

	free(deletion);
	if (replica == NULL)
		return;
	replica->busy = false;
	if (error->code != 0) { /* the next tick tries again */
		text_copy(replica->message, sizeof replica->message, error->text);
		return;
	}
	replica->unit_gone = true;
	deletion_finish(control, replica);
}

static void on_peer_removed(struct control *control, void *data, const json_t *reply)
{
	struct deletion *deletion = data;
	struct replica *replica = unit_owner(control, deletion->id);
	char text[256];

	free(deletion);
	if (replica == NULL || reply_refusal(reply, text) != REFUSE_NONE)
		return;
	replica->peer_gone = true;
	deletion_finish(control, replica);
}

static struct deletion *deletion_new(const struct replica *replica)
{
	struct deletion *deletion = memory_new(1, sizeof *deletion);

	memcpy(deletion->id, replica->id, sizeof deletion->id);
	return deletion;
}

void unit_delete_continue(struct control *control, struct replica *replica)
{
	const struct peer *peer = peer_find(control, replica_peer(control, replica));
	json_t *news;

	if (replica->state != PAIR_DELETING)
		return;
	if (!replica->unit_gone && !replica->busy) {
		replica->busy = true;
		unit_command(control, SHARD_UNIT_REMOVE, replica->id, false, on_unit_removed, deletion_new(replica));
	}
	if (!replica->peer_gone && peer != NULL && peer->linked) {
		news = json_object();
		json_object_set_new(news, "type", json_string("gone"));
		json_object_set_new(news, "id", json_string(replica->id));
		ask_peer(control, peer->site.zone, news, on_peer_removed, deletion_new(replica));
	}
}

/* --- start of the daemon --- */

static void on_resumed(struct control *control, void *data, const struct error *error)
{
	struct deletion *resumed = data;
	struct replica *replica = unit_owner(control, resumed->id);

	free(resumed);
	if (replica == NULL || error->code == 0)
		return;
	log_event(LOG_ERROR, "unit.not_opened", "id=%s reason=\"%s\"", replica->id, error->text);
	if (!was_given_up(control, replica))
		replica_set_state(control, replica, PAIR_INVALID, error->text);
}

/* Units before exports: a disk that is in a pair is never written before its changes are tracked. */
void unit_resume_all(struct control *control)
{
	struct replica *replica;

	for (size_t at = 0; (replica = rows_next(&control->replicas, &at)) != NULL;) {
		if (replica->lineage[0] == 0 || (!replica->is_group && replica->group[0] != 0) ||
		    !unit_has_members(control, replica))
			continue;
		unit_open(control, replica, on_resumed, deletion_new(replica));
		if (!is_source(control, replica)) {
			if (replica->state == PAIR_FAILOVERING)
				unit_command(control, SHARD_UNIT_FAILOVER, replica->id, false, NULL, NULL);
			continue;
		}
		if (is_running(replica->state))
			unit_command(control, SHARD_UNIT_START, replica->id, replica->state == PAIR_MANUAL_SYNCING, NULL, NULL);
		else if (replica->state == PAIR_STOPPING)
			replica_set_state(control, replica, PAIR_STOPPED, "");
	}
}
