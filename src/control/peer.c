/* Commands to the shard and questions to the peers, each answered once; a question that is not answered in time is. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "control/hold.h"
#include "control/internal.h"

#define ASK_LIMIT_MS 2500u
#define CALLS_MAX 64u /* that wait for one peer: a silent one must not take all the doors' connections */

struct peer *peer_find(struct control *control, const char *zone)
{
	for (size_t i = 0; i < control->config.peer_count; i++) {
		if (strcmp(control->peers[i].site.zone, zone) == 0)
			return &control->peers[i];
	}
	return NULL;
}

static struct waiting *waiting_new(struct control *control, struct list *queue, void *data)
{
	struct waiting *waiting = memory_new(1, sizeof *waiting);

	waiting->id = ++control->next_id;
	waiting->data = data;
	list_append(queue, &waiting->entry);
	return waiting;
}

/* Takes the entry with this id out of a queue; NULL when there is none. */
static struct waiting *waiting_take(struct list *queue, uint64_t id)
{
	list_for_each(entry, queue) {
		struct waiting *waiting = container_of(entry, struct waiting, entry);

		if (waiting->id != id)
			continue;
		list_remove(entry);
		return waiting;
	}
	return NULL;
}

void send_command(struct control *control, struct shard_command *command, command_done *on_done, void *data)
{
	struct waiting *waiting;

	if (hold_command(control, command, on_done, data))
		return;
	waiting = waiting_new(control, &control->commands, data);
	waiting->on_command = on_done;
	command->id = waiting->id;
	control->port.send(control->port.data, command);
}

void control_on_answer(struct control *control, uint64_t command_id, const struct error *error)
{
	struct waiting *waiting = waiting_take(&control->commands, command_id);

	if (waiting == NULL)
		return;
	if (waiting->on_command != NULL)
		waiting->on_command(control, waiting->data, error);
	free(waiting);
}

static void send_message(struct control *control, const char *zone, bool is_answer, uint64_t id, json_t *json,
			 command_done *on_done, void *data)
{
	struct shard_command command = { .kind = SHARD_MESSAGE };

	text_copy(command.u.message.peer, sizeof command.u.message.peer, zone);
	command.u.message.is_answer = is_answer;
	command.u.message.id = id;
	command.u.message.bytes = json_dumps(json, JSON_COMPACT);
	command.u.message.size = strlen(command.u.message.bytes);
	json_decref(json);
	if (is_answer && command.u.message.size > ENGINE_MESSAGE_MAX) { /* said at once, not left to a time limit */
		free(command.u.message.bytes);
		json = reply_with(REFUSE_BAD_PARAMETER, "the answer is too long for the link: ask for smaller pages");
		send_message(control, zone, true, id, json, on_done, data);
		return;
	}
	send_command(control, &command, on_done, data);
}

static void ask_end(struct control *control, struct waiting *waiting, const json_t *reply)
{
	if (waiting->waited_for != NULL)
		waiting->waited_for->calls--;
	if (waiting->on_ask != NULL)
		waiting->on_ask(control, waiting->data, reply);
	free(waiting);
}

/* A question that could not even be sent is not waited for. */
static void on_ask_sent(struct control *control, void *data, const struct error *error)
{
	uint64_t *id = data;
	struct waiting *waiting = error->code == 0 ? NULL : waiting_take(&control->asks, *id);

	free(id);
	if (waiting != NULL)
		ask_end(control, waiting, NULL);
}

static void ask(struct control *control, const char *zone, json_t *question, struct peer *waited_for, ask_done *on_reply,
		void *data)
{
	struct waiting *waiting = waiting_new(control, &control->asks, data);
	uint64_t *id = memory_new(1, sizeof *id);

	waiting->waited_for = waited_for;
	waiting->on_ask = on_reply;
	waiting->deadline_ms = control_now_ms() + ASK_LIMIT_MS;
	*id = waiting->id;
	send_message(control, zone, false, waiting->id, question, on_ask_sent, id);
}

void ask_peer(struct control *control, const char *zone, json_t *question, ask_done *on_reply, void *data)
{
	if (!hold_question(control, zone, question, on_reply, data))
		ask(control, zone, question, NULL, on_reply, data);
}

void ask_for_call(struct control *control, const char *zone, json_t *question, ask_done *on_reply, void *data)
{
	struct peer *peer = peer_find(control, zone);

	if (hold_question(control, zone, question, on_reply, data))
		return;
	if (peer == NULL || peer->calls >= CALLS_MAX) {
		json_t *refusal = reply_with(REFUSE_PEER_UNREACHABLE, "too many calls wait for the other site");

		json_decref(question);
		on_reply(control, data, refusal);
		json_decref(refusal);
		return;
	}
	peer->calls++;
	ask(control, zone, question, peer, on_reply, data);
}

void tell_peer(struct control *control, const char *zone, json_t *news)
{
	ask_peer(control, zone, news, NULL, NULL);
}

uint32_t peer_expire(struct control *control, uint32_t most)
{
	uint64_t now = control_now_ms();

	/* In order of their deadlines; an answer may change the list, so each look is at its head. */
	while (!list_is_empty(&control->asks)) {
		struct waiting *waiting = container_of(control->asks.next, struct waiting, entry);

		if (waiting->deadline_ms > now)
			return waiting->deadline_ms - now < most ? (uint32_t)(waiting->deadline_ms - now) : most;
		list_remove(&waiting->entry);
		ask_end(control, waiting, NULL);
	}
	return most;
}

/* --- what the peer sends --- */

json_t *reply_with(enum refusal refusal, const char *text)
{
	json_t *reply = json_object();

	json_object_set_new(reply, "refusal", json_integer(refusal));
	json_object_set_new(reply, "text", json_string(text));
	return reply;
}

enum refusal reply_refusal(const json_t *reply, char text[256])
{
	const json_t *refusal = reply == NULL ? NULL : json_object_get(reply, "refusal");
	const char *said = reply == NULL ? NULL : json_string_value(json_object_get(reply, "text"));

	text_copy(text, 256, said == NULL ? "" : said);
	if (reply == NULL) {
		text_copy(text, 256, "the other site did not answer in time");
		return REFUSE_PEER_UNREACHABLE;
	}
	if (!json_is_integer(refusal) || json_integer_value(refusal) < 0 || json_integer_value(refusal) >= REFUSALS) {
		text_copy(text, 256, "the other site's answer is not understood: it may be of another version than this one");
		return REFUSE_PEER_ANSWER;
	}
	return (enum refusal)json_integer_value(refusal);
}

struct debt {
	struct list entry; /* of the control: not paid yet */
	struct control *control;
	char peer[CONTROL_ID_SIZE];
	uint64_t id;
	char unit[CONTROL_ID_SIZE];
};

static void debt_free(struct debt *debt)
{
	list_remove(&debt->entry);
	free(debt);
}

void debt_pay_with(struct debt *debt, json_t *reply)
{
	send_message(debt->control, debt->peer, true, debt->id, reply, NULL, NULL);
	debt_free(debt);
}

static struct debt *debt_new(struct control *control, const char *peer, uint64_t id)
{
	struct debt *debt = memory_new(1, sizeof *debt);

	list_append(&control->debts, &debt->entry);
	debt->control = control;
	debt->id = id;
	text_copy(debt->peer, sizeof debt->peer, peer);
	return debt;
}

bool debt_forget(struct control *control, const void *data)
{
	list_for_each(entry, &control->debts) {
		struct debt *debt = container_of(entry, struct debt, entry);

		if (debt != data)
			continue;
		debt_free(debt);
		return true;
	}
	return false;
}

void debts_unload(struct control *control)
{
	list_for_each(entry, &control->debts)
		debt_free(container_of(entry, struct debt, entry));
}

void debt_pay(struct debt *debt, enum refusal refusal, const char *text)
{
	debt_pay_with(debt, reply_with(refusal, text));
}

struct control *debt_control(const struct debt *debt)
{
	return debt->control;
}

const char *debt_unit(const struct debt *debt)
{
	return debt->unit;
}

void debt_set_unit(struct debt *debt, const char *id)
{
	text_copy(debt->unit, sizeof debt->unit, id);
}

static void on_forwarded_answer(void *data, const struct control_answer *answer)
{
	struct debt *debt = data;
	json_t *reply = reply_with(answer->refusal, answer->text);

	json_object_set_new(reply, "id", json_string(answer->id));
	if (answer->preview != NULL)
		json_object_set_new(reply, "preview", preview_to_json(answer->preview));
	debt_pay_with(debt, reply);
}

static void on_call(struct debt *debt, const json_t *message)
{
	struct control_request request;
	json_int_t hops = json_integer_value(json_object_get(message, "hops"));

	if (!request_from_json(json_object_get(message, "request"), &request)) {
		debt_pay(debt, REFUSE_BAD_PARAMETER, "the forwarded request is damaged");
		return;
	}
	call_begin(debt->control, &request, peer_find(debt->control, debt->peer)->site.zone, hops > 0 ? (uint32_t)hops : 1,
		   on_forwarded_answer, debt);
	control_request_clear(&request);
}

/* "read": what the door gives for it; control/ does not look into it. */
static void on_question(struct debt *debt, const json_t *message)
{
	struct control *control = debt->control;

	if (control->on_read == NULL)
		debt_pay(debt, REFUSE_INTERNAL, "nobody reads here");
	else
		debt_pay_with(debt, control->on_read(control->on_read_data, json_object_get(message, "question")));
}

void control_set_reader(struct control *control, json_t *(*on_read)(void *data, const json_t *question), void *data)
{
	control->on_read = on_read;
	control->on_read_data = data;
}

struct reading {
	void (*on_reply)(void *data, const json_t *reply);
	void *data;
};

static void on_read_reply(struct control *control, void *data, const json_t *reply)
{
	struct reading *reading = data;
	char text[256];

	(void)control;
	reading->on_reply(reading->data, reply_refusal(reply, text) == REFUSE_PEER_UNREACHABLE ? NULL : reply);
	free(reading);
}

void control_read(struct control *control, const char *zone, json_t *question,
		  void (*on_reply)(void *data, const json_t *reply), void *data)
{
	struct reading *reading = memory_new(1, sizeof *reading);

	reading->on_reply = on_reply;
	reading->data = data;
	ask_for_call(control, zone, json_pack("{s:s, s:o}", "type", "read", "question", question), on_read_reply, reading);
}

/* Takes over the peer's copy when it is the newer one. Gives the record, or NULL when it is not of these two sites. */
static struct replica *take_over(struct control *control, const char *peer, const json_t *json)
{
	struct replica copy, *mine;
	const char *here = control->config.site.zone;

	if (!replica_from_json(json, &copy))
		return NULL;
	if (!(strcmp(copy.source, peer) == 0 && strcmp(copy.destination, here) == 0) &&
	    !(strcmp(copy.destination, peer) == 0 && strcmp(copy.source, here) == 0)) {
		replica_clear(&copy);
		return NULL;
	}
	mine = replica_find(control, copy.id, copy.is_group);
	if (mine == NULL) {
		mine = memory_new(1, sizeof *mine);
		*mine = copy;
	} else if (mine->state == PAIR_DELETING || copy.rank < mine->rank ||
		   (copy.rank == mine->rank && copy.version <= mine->version)) {
		replica_clear(&copy);
		return mine;
	} else {
		copy.place = mine->place;
		copy.by_id = mine->by_id;
		copy.by_group = mine->by_group;
		copy.by_source = mine->by_source;
		copy.by_destination = mine->by_destination;
		copy.levelling = mine->levelling;
		copy.status = mine->status;
		copy.told_ms = mine->told_ms;
		copy.state_before = mine->state_before;
		copy.opened = mine->opened;
		copy.stale = mine->stale;
		copy.closing = mine->closing;
		copy.busy = mine->busy;
		copy.change_term = mine->change_term;
		copy.change_retry_ms = mine->change_retry_ms;
		memcpy(copy.message, mine->message, sizeof copy.message);
		replica_clear(mine);
		*mine = copy;
	}
	replica_keep(control, mine, NULL);
	return mine;
}

/* "prepare": the peer wants to make this pair with a disk of ours. */
static void on_prepare(struct debt *debt, const json_t *message)
{
	struct control *control = debt->control;
	struct replica copy;
	const struct disk_record *disk;
	char text[256];

	if (!replica_from_json(json_object_get(message, "replica"), &copy)) {
		debt_pay(debt, REFUSE_BAD_PARAMETER, "the pair's record is damaged");
		return;
	}
	replica_clear(&copy); /* take_over reads it again */
	disk = disk_find(control, copy.destination_disk);
	if (disk == NULL) {
		snprintf(text, sizeof text, "site %s has no disk %s", control->config.site.zone, copy.destination_disk);
		debt_pay(debt, REFUSE_NO_SUCH_DISK, text);
	} else if (replica_of_disk(control, disk->id) != NULL &&
		   strcmp(replica_of_disk(control, disk->id)->id, copy.id) != 0) {
		snprintf(text, sizeof text, "disk %s is in pair %s already", disk->id, replica_of_disk(control, disk->id)->id);
		debt_pay(debt, REFUSE_DISK_IN_PAIR, text);
	} else if (disk->state != DISK_STATE_AVAILABLE) {
		snprintf(text, sizeof text, "the secondary disk %s is %s: detach it first", disk->id,
			 disk_state_name((enum disk_state)disk->state));
		debt_pay(debt, REFUSE_STANDBY_ATTACHED, text);
	} else if (disk->size != copy.size) {
		snprintf(text, sizeof text, "the primary disk has %llu bytes, the secondary disk %s has %llu: they must be equal",
			 (unsigned long long)copy.size, disk->id, (unsigned long long)disk->size);
		debt_pay(debt, REFUSE_DISK_SIZES_DIFFER, text);
	} else {
		take_over(control, debt->peer, json_object_get(message, "replica"));
		debt_pay(debt, REFUSE_NONE, "");
	}
}

static void on_secondary_open(struct control *control, void *data, const struct error *error)
{
	struct debt *debt = data;
	struct replica *replica = unit_owner(control, debt->unit);

	if (error->code == 0 && replica != NULL)
		replica->opened = true;
	debt_pay(debt, error->code == 0 ? REFUSE_NONE : REFUSE_STORAGE, error->text);
}

/* "start": the secondary's disks must be detached; then our half of the unit is opened. */
static void on_start(struct debt *debt, const json_t *message)
{
	struct control *control = debt->control;
	const json_t *members = json_object_get(message, "members");
	struct replica *replica;
	char text[256];

	for (size_t i = 0; i < json_array_size(members) && i < ENGINE_UNIT_DISKS_MAX; i++) {
		struct replica *member = take_over(control, debt->peer, json_array_get(members, i));
		const struct disk_record *disk = member == NULL ? NULL : disk_find(control, member->destination_disk);

		if (disk == NULL) {
			debt_pay(debt, REFUSE_NO_SUCH_DISK, "a secondary disk is missing at the other site");
			return;
		}
		if (disk->state != DISK_STATE_AVAILABLE) {
			snprintf(text, sizeof text, "the secondary disk %s is attached to %s: detach it first", disk->id,
				 disk->instance);
			debt_pay(debt, REFUSE_STANDBY_ATTACHED, text);
			return;
		}
	}
	replica = take_over(control, debt->peer, json_object_get(message, "replica"));
	if (replica == NULL || !unit_has_members(control, replica)) {
		debt_pay(debt, REFUSE_BAD_PARAMETER, "the record to start is damaged");
		return;
	}
	memcpy(debt->unit, replica->id, sizeof debt->unit);
	unit_open(control, replica, on_secondary_open, debt);
}

/* "put": the peer's copy of a record. A pair that we do not know and that should start here was never finished: it goes. */
static void on_put(struct debt *debt, const json_t *message)
{
	struct control *control = debt->control;
	const json_t *json = json_object_get(message, "replica");
	struct replica copy, *mine;
	enum pair_state before;
	bool known;

	if (!replica_from_json(json, &copy)) {
		debt_pay(debt, REFUSE_BAD_PARAMETER, "the record is damaged");
		return;
	}
	replica_clear(&copy); /* take_over reads it again */
	mine = replica_find(control, copy.id, copy.is_group);
	known = mine != NULL;
	before = known ? (enum pair_state)mine->state : PAIR_DELETED;
	if (!known && strcmp(copy.source, control->config.site.zone) == 0) {
		debt_pay(debt, copy.is_group ? REFUSE_NO_SUCH_GROUP : REFUSE_NO_SUCH_PAIR, "");
		return;
	}
	mine = take_over(control, debt->peer, json);
	if (mine != NULL && known && before != (enum pair_state)mine->state)
		log_event(LOG_INFO, mine->is_group ? "group.state" : "pair.state", "id=%s from=%s to=%s by=peer", mine->id,
			  pair_state_name(before), pair_state_name((enum pair_state)mine->state));
	if (mine != NULL && mine->opened && mine->lineage[0] == 0) { /* its membership changed: it begins anew */
		mine->opened = false;
		unit_close_stale(control, mine);
	}
	debt_pay(debt, REFUSE_NONE, "");
}

/* "gone": the peer has deleted it. */
static void on_gone(struct debt *debt, const json_t *message)
{
	struct control *control = debt->control;
	const char *id = json_string_value(json_object_get(message, "id"));
	struct replica *replica = id == NULL ? NULL : unit_owner(control, id);

	if (replica != NULL && replica->version == 0) { /* prepared and never made: nothing has begun here, its disk is free */
		replica_forget(control, replica, NULL);
	} else if (replica != NULL) {
		replica_set_state(control, replica, PAIR_DELETING, "");
		replica->peer_gone = true;
		unit_delete_continue(control, replica);
	}
	debt_pay(debt, REFUSE_NONE, "");
}

static const struct {
	const char *type;
	void (*handle)(struct debt *debt, const json_t *message);
} handlers[] = {
	{ "call", on_call }, { "prepare", on_prepare }, { "start", on_start }, { "put", on_put }, { "gone", on_gone },
	{ "follow", on_follow }, { "grow", on_grow }, { "settled", on_settled },
	{ "versions", on_versions }, { "tokens", on_tokens }, { "read", on_question }, { "find", on_find },
};

void control_on_message(struct control *control, const char *peer, bool is_answer, uint64_t id, const void *bytes, size_t size)
{
	json_t *json = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL);
	const char *type = json_string_value(json_object_get(json, "type"));
	struct waiting *waiting = is_answer ? waiting_take(&control->asks, id) : NULL;
	struct debt *debt;

	if (waiting != NULL) {
		if (!json_is_object(json)) { /* an answer, and none that says anything */
			json_decref(json);
			json = json_object();
		}
		ask_end(control, waiting, json);
	}
	if (!is_answer && type != NULL && peer_find(control, peer) != NULL) {
		debt = debt_new(control, peer, id);
		for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++) {
			if (strcmp(handlers[i].type, type) != 0)
				continue;
			handlers[i].handle(debt, json);
			debt = NULL;
			break;
		}
		if (debt != NULL)
			debt_pay(debt, REFUSE_PEER_ANSWER, "the other site does not know this message: update the older one");
	}
	json_decref(json);
}
