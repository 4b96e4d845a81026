/* What a pair or a group is called, and what dialects keep with a group: allowed in any state, for it moves no data. Done by the
 * site whose copy of the record is the newest, so that the two copies never part: the source, or who has failed it over. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "control/internal.h"

#define KEPT_SIZE_MAX (64u * 1024u) /* bytes as JSON, of one group: the record goes over the link whole */

/* The record, when it is this site's to change; else NULL, and the call was answered or carried over. */
static struct replica *label_find(struct call *call, const char *id, bool is_group)
{
	struct replica *replica = replica_find(call->control, id, is_group);
	bool failed_over = replica != NULL && (replica->state == PAIR_FAILOVERED || replica->state == PAIR_FAILOVERING);

	if (replica == NULL || replica->state == PAIR_DELETING) {
		call_seek(call, is_group ? REFUSE_NO_SUCH_GROUP : REFUSE_NO_SUCH_PAIR, "there is no %s %s",
			  is_group ? "group" : "pair", id);
		return NULL;
	}
	memcpy(call->made_id, replica->id, sizeof call->made_id);
	if (is_source(call->control, replica) != failed_over)
		return replica;
	call_forward(call, replica_peer(call->control, replica));
	return NULL;
}

static void label_store(struct call *call, struct replica *replica)
{
	struct error error = { 0 };

	if (replica_store(call->control, replica, &error) < 0)
		call_end_error(call, &error);
	else
		call_end(call, REFUSE_NONE, "%s", "");
}

void operate_rename(struct call *call)
{
	const struct control_request *request = &call->request;
	bool is_group = request->operation == CONTROL_RENAME_GROUP;
	struct replica *replica = label_find(call, is_group ? request->group : request->pair, is_group);

	if (replica == NULL)
		return;
	if (request->name[0] != 0)
		memcpy(replica->name, request->name, sizeof replica->name);
	if (request->description[0] != 0)
		memcpy(replica->description, request->description, sizeof replica->description);
	label_store(call, replica);
}

/* Given: of the caller. */
static json_t *kept_after(const struct replica *replica, json_t *changes)
{
	json_t *after = replica->kept == NULL ? json_object() : json_copy(replica->kept), *value;
	const char *name;

	json_object_foreach(changes, name, value) {
		if (json_is_null(value))
			json_object_del(after, name);
		else
			json_object_set_new(after, name, json_deep_copy(value));
	}
	return after;
}

void operate_keep(struct call *call)
{
	struct replica *replica = label_find(call, call->request.group, true);
	json_t *after;

	if (replica == NULL)
		return;
	after = kept_after(replica, call->request.kept);
	if (json_dumpb(after, NULL, 0, JSON_COMPACT) > KEPT_SIZE_MAX) {
		json_decref(after);
		call_end(call, REFUSE_NO_SPACE, "group %s has room for %u bytes of what is kept with it, and no more", replica->id,
			 KEPT_SIZE_MAX);
		return;
	}
	json_decref(replica->kept);
	replica->kept = after;
	label_store(call, replica);
}
