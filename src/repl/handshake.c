/* Who may ship to whom: the primary offers, the secondary decides, and its durable values are the truth.
 *
 * The decision, first row that fits (offer: what the primary said; mine: the secondary's record):
 *   H1 no unit of this lineage, none of this name      -> unknown unit
 *   H2 no unit of this lineage, but one of this name   -> unrelated
 *   H3 I have failed (and may not know my own record)  -> failed
 *   H4 my term is higher                               -> superseded
 *   H5 I am not a secondary                            -> not secondary; if the primary's term is higher than mine and I was
 *                                                         one myself, I learn that I am superseded
 *   H6 the primary saw a later epoch committed here    -> behind (restored from an old backup)
 *   H7 I saw a later epoch proven to the primary       -> primary old (it was restored from an old backup)
 *   H8 disks differ in number, or mine are smaller     -> disks differ
 *   H9 otherwise                                       -> welcome; a higher term of the primary is taken over, durably. Whether
 *                                                         I am in step, one epoch ahead (an acknowledgement was lost),
 *                                                         have diverged or hold a first copy half done is in `content`
 *                                                         and `committed`; if I have diverged I tell what I changed first
 * The primary checks on its side that the copy is the one it has synced (P1), and that it is not behind (P2). What the
 * superseded side holds that the other lacks is counted and told (unit_supersede): no side wins by itself.
 *
 * In which of its shards the secondary has the unit, the primary does not know: it offers to one after the other until one says
 * something else than H1 (sender_unknown). The secondary follows the link that an offer comes on. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "repl/internal.h"

static void handshake_answer(struct link *link, const struct frame_header *offer, struct unit *unit,
			     enum frame_verdict verdict, const char *reason)
{
	struct frame_header header = { .version = FRAME_VERSION_MAX, .type = FRAME_UNIT_STATE };
	struct frame_state state = { .verdict = verdict, .offer = offer->epoch };
	uint8_t payload[FRAME_STATE_SIZE];

	memcpy(header.lineage, offer->lineage, sizeof header.lineage);
	if (unit != NULL) {
		header.term = unit->record.term;
		state.content = unit->record.content;
		state.committed = unit->record.committed;
		state.wall_ms = unit->record.committed_wall_ms;
		state.copy = unit->record.copy;
	}
	snprintf(state.reason, sizeof state.reason, "%s", reason);
	frame_state_encode(&state, payload);
	link_send_small(link, &header, payload, sizeof payload);
	if (verdict != FRAME_VERDICT_UNKNOWN_UNIT) /* it may be in another shard: sender_unknown says when it is in none */
		log_event(LOG_WARNING, "unit.refused", "unit=%s peer=%s verdict=\"%s\" reason=\"%s\"",
			  unit == NULL ? "?" : unit->spec.id, link_peer(link), frame_verdict_text(verdict), reason);
}

void handshake_refuse(struct unit *unit, enum frame_verdict verdict, const char *reason)
{
	struct frame_header header;

	unit_header(unit, FRAME_UNIT_STATE, 0, 0, &header);
	handshake_answer(unit->peer, &header, unit, verdict, reason);
}

static bool handshake_disks_match(const struct unit *unit, const struct frame_offer *offer)
{
	if (offer->disk_count != unit->spec.disk_count)
		return false;
	for (uint32_t i = 0; i < offer->disk_count; i++) {
		uint64_t size = disk_size(unit->disks[i].disk);

		/* A secondary grows first: it may be larger for a while, with nothing written there unless it has led. */
		if (offer->sizes[i] > size || (offer->sizes[i] < size && unit->record.content == COPY_DIVERGED))
			return false;
	}
	return true;
}

static enum frame_verdict handshake_decide(const struct unit *unit, const struct frame_header *header,
					   const struct frame_offer *offer)
{
	if (unit->state == UNIT_FAILED)
		return FRAME_VERDICT_FAILED; /* H3 */
	if (header->term < unit->record.term)
		return FRAME_VERDICT_SUPERSEDED; /* H4 */
	if (!unit_follows(unit))
		return FRAME_VERDICT_NOT_SECONDARY; /* H5 */
	if (unit->record.committed < offer->floor)
		return FRAME_VERDICT_BEHIND; /* H6 */
	if (offer->committed < unit->record.floor)
		return FRAME_VERDICT_PRIMARY_OLD; /* H7 */
	if (!handshake_disks_match(unit, offer))
		return FRAME_VERDICT_DISKS_DIFFER; /* H8 */
	return FRAME_VERDICT_WELCOME; /* H9 */
}

void handshake_welcome_peer(struct unit *unit, uint64_t round, uint64_t pieces)
{
	struct frame_state state = { .verdict = FRAME_VERDICT_WELCOME, .content = unit->record.content,
		.committed = unit->record.committed, .wall_ms = unit->record.committed_wall_ms, .copy = unit->record.copy,
		.offer = unit->receiver.offer };
	uint8_t payload[FRAME_STATE_SIZE];
	struct frame_header header;

	receiver_attach(unit);
	frame_state_encode(&state, payload);
	unit_header(unit, FRAME_UNIT_STATE, round, pieces, &header);
	link_send_small(unit->peer, &header, payload, sizeof payload);
}

static void handshake_accept(struct unit *unit)
{
	if (unit->record.content == COPY_DIVERGED)
		changes_tell(unit);
	else
		handshake_welcome_peer(unit, 0, 0);
}

static void on_term_written(struct record_write *write, int result)
{
	struct unit *unit = write->data;

	unit->record_writing = false;
	if (result < 0) {
		unit_fail(unit, "writing the unit's record", result);
		return;
	}
	if (unit->state != UNIT_FAILED && unit_follows(unit) && unit->wish == WISH_NONE && link_is_up(unit->peer))
		handshake_accept(unit);
	unit_step_continue(unit);
}

/* Whether an offer on this link may be answered: not while the unit is attached to a primary in another of the peer's shards.
 * When that is the half-open end of a peer that has restarted, it goes down before long. */
static bool handshake_may_follow(const struct unit *unit, const struct link *link)
{
	return unit->peer == link || (unit_is_with(unit, link) && !unit->receiver.attached);
}

void handshake_on_offer(struct engine *engine, struct link *link, const struct frame_header *header, const uint8_t *payload)
{
	struct unit *unit = unit_find_lineage(engine, header->lineage);
	enum frame_verdict verdict;
	struct frame_offer offer;

	if (!frame_offer_decode(payload, header->payload_size, &offer))
		return;
	if (unit == NULL) {
		verdict = unit_find(engine, offer.unit) == NULL ? FRAME_VERDICT_UNKNOWN_UNIT : FRAME_VERDICT_UNRELATED;
		handshake_answer(link, header, NULL, verdict, frame_verdict_text(verdict)); /* H1, H2 */
		return;
	}
	/* A commit that outlived its link must end first: its staging file would be taken for the next epoch. So must what a first
	 * copy given up is still writing in place: it could come after what the next one writes there. */
	if (!list_is_empty(&unit->receiver.sync_frames) || unit->receiver.committing || unit->step != STEP_NONE ||
	    unit->wish != WISH_NONE || unit->record_writing || !handshake_may_follow(unit, link))
		return; /* busy: the primary offers again */
	verdict = handshake_decide(unit, header, &offer);
	if (verdict == FRAME_VERDICT_WELCOME)
		unit_take_link(unit, link);
	unit->receiver.offer = header->epoch;
	unit->receiver.peer_committed = offer.committed;
	unit->receiver.peer_copy = offer.copy;
	for (uint32_t i = 0; verdict == FRAME_VERDICT_WELCOME && i < unit->spec.disk_count; i++)
		unit->disks[i].peer_size = offer.sizes[i];
	if (verdict == FRAME_VERDICT_WELCOME && header->term > unit->record.term) {
		if (unit->applier.running)
			return; /* the record has one writer at a time, or the newest `applied` would be lost */
		unit->record.term = header->term;
		unit->record_writing = true;
		record_write(&unit->file, &unit->record_write, &unit->record, on_term_written, unit);
		return;
	}
	if (verdict == FRAME_VERDICT_WELCOME) {
		handshake_accept(unit);
		return;
	}
	handshake_answer(link, header, unit, verdict, verdict == FRAME_VERDICT_FAILED ? unit->reason : "");
	if (verdict == FRAME_VERDICT_NOT_SECONDARY && header->term > unit->record.term)
		unit_supersede(unit, header->term);
}

static void on_copy_written(struct record_write *write, int result)
{
	struct unit *unit = write->data;

	unit->sender.record_writing = false;
	if (result < 0)
		unit_fail(unit, "writing the unit's record", result);
	else if (unit->sender.phase == SENDER_OFFERING && unit->sender.welcomed == unit->sender.offer && link_is_up(unit->peer))
		sender_welcomed(unit);
}

static void handshake_welcome(struct unit *unit, const struct frame_state *state)
{
	struct record *record = &unit->record;
	bool known = true;

	if (record->peer_copy != 0 && record->peer_copy != state->copy) { /* P1 */
		sender_wait(unit, "the copy at the other site is not the one that was synced: delete the pair and make it anew");
		return;
	}
	if (state->committed < record->floor) { /* P2 */
		sender_wait(unit, frame_verdict_text(FRAME_VERDICT_BEHIND));
		return;
	}
	/* Epochs are never used twice, by whichever side: what the other one has seen is used. */
	if (unit->sender.epoch <= state->committed) {
		unit->sender.epoch = record->epoch_reserved = state->committed + 1;
		known = false;
	}
	if (known && record->peer_copy == state->copy && record->content == state->content &&
	    (state->content != COPY_POINT || record->committed == state->committed)) {
		sender_welcomed(unit);
		return;
	}
	/* Durable before anything rests on it: which copy this is, and that an epoch whose acknowledgement was lost is there. */
	record->peer_copy = state->copy;
	record->content = state->content;
	if (state->content == COPY_POINT) {
		record->committed = record->floor = state->committed;
		record->committed_wall_ms = state->wall_ms;
		record->wall_ahead_ms = 0;
	}
	unit->sender.record_writing = true;
	unit->sender.welcomed = state->offer;
	record_write(&unit->file, &unit->sender.record_write, record, on_copy_written, unit);
}

void handshake_on_state(struct unit *unit, const struct frame_header *header, const uint8_t *payload)
{
	struct frame_state state;

	if (unit->record.condition != RECORD_LEADING || unit->step != STEP_NONE || unit->state == UNIT_FAILED ||
	    !frame_state_decode(payload, header->payload_size, &state))
		return;
	if (state.verdict == FRAME_VERDICT_UNKNOWN_UNIT) {
		if (unit->sender.started && state.offer == unit->sender.offer)
			sender_unknown(unit);
		return;
	}
	unit->sender.unknown = 0;
	unit->sender.disks_differ = state.verdict == FRAME_VERDICT_DISKS_DIFFER;
	if (state.verdict == FRAME_VERDICT_WELCOME) {
		if (unit->sender.phase == SENDER_OFFERING && state.offer == unit->sender.offer &&
		    !unit->sender.record_writing && changes_are_complete(unit, header))
			handshake_welcome(unit, &state);
		return;
	}
	if (state.verdict == FRAME_VERDICT_SUPERSEDED && header->term > unit->record.term) {
		unit_supersede(unit, header->term);
		return;
	}
	if (unit->sender.started)
		sender_wait(unit, state.reason[0] != 0 ? state.reason : frame_verdict_text(state.verdict));
}
