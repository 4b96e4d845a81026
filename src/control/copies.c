/* Both sites keep a copy of each pair and group they share; the newer one wins (peer.c, take_over). A change is sent at once.
 * When a link comes up each side tells what it has, some hundreds at a time, by rank and version, and sends what the other
 * lacks: so that a link that comes and goes costs little, however many pairs there are. */
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "control/internal.h"

#define CHUNK 200u /* copies told of, and perhaps sent, at a time */

struct pushed {
	char id[CONTROL_ID_SIZE];
};

static void on_pushed(struct control *control, void *data, const json_t *reply)
{
	struct pushed *pushed = data;
	struct replica *replica = unit_owner(control, pushed->id);
	char text[256];
	enum refusal refusal = reply_refusal(reply, text);

	/* The source does not know it: its creation was cut off, or it was deleted there. */
	if ((refusal == REFUSE_NO_SUCH_PAIR || refusal == REFUSE_NO_SUCH_GROUP) && replica != NULL &&
	    !is_source(control, replica) && replica->state != PAIR_FAILOVERED) {
		replica_set_state(control, replica, PAIR_DELETING, "");
		replica->peer_gone = true;
		unit_delete_continue(control, replica);
	}
	free(pushed);
}

static bool is_shared(const struct replica *replica)
{
	return replica->state != PAIR_CREATING && replica->state != PAIR_DELETING;
}

void push_replica(struct control *control, const struct replica *replica)
{
	const struct peer *peer = peer_find(control, replica_peer(control, replica));
	struct pushed *pushed;
	json_t *news;

	if (peer == NULL || !peer->linked || !is_shared(replica))
		return; /* the link's coming up tells of everything */
	pushed = memory_new(1, sizeof *pushed);
	memcpy(pushed->id, replica->id, sizeof pushed->id);
	news = json_object();
	json_object_set_new(news, "type", json_string("put"));
	json_object_set_new(news, "replica", replica_to_json(replica));
	ask_peer(control, peer->site.zone, news, on_pushed, pushed);
}

/* --- at a link's coming up --- */

struct telling {
	char zone[CONTROL_ID_SIZE];
	uint64_t round; /* another one has begun when the peer's differs */
};

static void tell_chunk(struct control *control, struct peer *peer);

static void on_told(struct control *control, void *data, const json_t *reply)
{
	struct telling *telling = data;
	struct peer *peer = peer_find(control, telling->zone);
	const json_t *wanted = json_object_get(reply, "wanted");

	if (peer != NULL && peer->linked && peer->telling_round == telling->round) {
		for (size_t i = 0; i < json_array_size(wanted) && i < CHUNK; i++) {
			const char *id = json_string_value(json_array_get(wanted, i));
			const struct replica *replica = id == NULL ? NULL : unit_owner(control, id);

			if (replica != NULL)
				push_replica(control, replica);
		}
		if (reply != NULL)
			peer->told_at = peer->telling_at;
		tell_chunk(control, peer);
	}
	free(telling);
}

static void tell_chunk(struct control *control, struct peer *peer)
{
	json_t *copies = json_array();
	const struct replica *replica;
	struct telling *telling;

	if (peer->told_of != control->replicas.compacted) {
		peer->told_of = control->replicas.compacted; /* rows have moved: what was told of is told of again */
		peer->told_at = 0;
	}
	peer->telling_at = peer->told_at;
	while (json_array_size(copies) < CHUNK && (replica = rows_next(&control->replicas, &peer->telling_at)) != NULL) {
		if (is_shared(replica) && strcmp(replica_peer(control, replica), peer->site.zone) == 0)
			json_array_append_new(copies, json_pack("[s, I, I]", replica->id, (json_int_t)replica->rank,
					      (json_int_t)replica->version));
	}
	if (json_array_size(copies) == 0) {
		json_decref(copies);
		return;
	}
	telling = memory_new(1, sizeof *telling);
	text_copy(telling->zone, sizeof telling->zone, peer->site.zone);
	telling->round = peer->telling_round;
	ask_peer(control, peer->site.zone, json_pack("{s:s, s:o}", "type", "versions", "copies", copies), on_told, telling);
}

void tell_copies(struct control *control, struct peer *peer)
{
	peer->telling_round++;
	peer->told_at = 0;
	peer->told_of = control->replicas.compacted;
	tell_chunk(control, peer);
}

/* "versions": what the peer has; it is asked for what is newer there. */
void on_versions(struct debt *debt, const json_t *message)
{
	struct control *control = debt_control(debt);
	json_t *copies = json_object_get(message, "copies"), *copy, *wanted = json_array(), *reply = reply_with(REFUSE_NONE, "");
	size_t index;

	json_array_foreach(copies, index, copy) {
		const char *id = json_string_value(json_array_get(copy, 0));
		json_int_t rank = json_integer_value(json_array_get(copy, 1)), version = json_integer_value(json_array_get(copy, 2));
		const struct replica *mine = id == NULL ? NULL : unit_owner(control, id);

		if (index >= CHUNK || id == NULL)
			break;
		if (mine == NULL || rank > (json_int_t)mine->rank ||
		    (rank == (json_int_t)mine->rank && version > (json_int_t)mine->version))
			json_array_append_new(wanted, json_string(id));
	}
	log_event(LOG_DEBUG, "control.versions", "told=%zu wanted=%zu", json_array_size(copies), json_array_size(wanted));
	json_object_set_new(reply, "wanted", wanted);
	debt_pay_with(debt, reply);
}
