/* A diverged secondary tells the primary which blocks it alone may have changed, before it is welcomed.
 *
 * What travels back after a failover is what either side has changed since their common point. The secondary keeps its own map
 * until an epoch that covers it is committed here, and tells it again in every handshake until then: so a primary that
 * forgets what it was told, by losing its power, loses nothing.
 *
 * Pieces are acknowledged one by one, a few on their way at a time: a large map does not fill the queue. */
#include "base/planted.h"
#include "repl/internal.h"

#define PIECES_MAX 16u /* on their way */

static bool find_piece(struct unit *unit, struct frame_changes *piece)
{
	struct teller *teller = &unit->receiver.teller;

	while (teller->disk < unit->spec.disk_count && !PLANTED(DIVERGENCE_FORGOTTEN)) {
		const struct disk *disk = unit->disks[teller->disk].disk;
		uint64_t left = disk_dirty_word_count(disk) - teller->word;

		piece->disk = teller->disk;
		piece->first_block = teller->word * 64;
		piece->word_count = left < FRAME_CHANGES_WORDS ? (uint32_t)left : FRAME_CHANGES_WORDS;
		if (left == 0) {
			teller->disk++;
			teller->word = 0;
			continue;
		}
		piece->suspect = teller->suspect;
		teller->suspect = !teller->suspect;
		if (!teller->suspect)
			teller->word += piece->word_count;
		if (disk_dirty_words(disk, piece->first_block / 64, piece->word_count, piece->suspect, piece->words))
			return true;
	}
	return false;
}

static void tell_more(struct unit *unit)
{
	struct teller *teller = &unit->receiver.teller;
	uint8_t payload[FRAME_CHANGES_SIZE_MAX];
	struct frame_changes piece = { 0 };
	struct frame_header header;

	while (teller->told - teller->acked < PIECES_MAX) {
		if (!find_piece(unit, &piece)) {
			teller->active = false;
			handshake_welcome_peer(unit, teller->round, teller->told);
			return;
		}
		unit_header(unit, FRAME_CHANGES, teller->round, ++teller->told, &header);
		link_send_small(unit->peer, &header, payload, frame_changes_encode(&piece, payload));
	}
}

void changes_tell(struct unit *unit)
{
	struct teller *teller = &unit->receiver.teller;

	*teller = (struct teller){ .active = true, .round = teller->round + 1 };
	tell_more(unit);
}

void changes_on_ack(struct unit *unit, const struct frame_header *header)
{
	struct teller *teller = &unit->receiver.teller;

	if (!teller->active || unit->wish != WISH_NONE || header->epoch != teller->round || header->sequence != teller->acked + 1)
		return;
	teller->acked++;
	tell_more(unit);
}

/* --- the primary --- */

void changes_on_piece(struct unit *unit, const struct frame_header *header, const uint8_t *payload)
{
	struct sender *sender = &unit->sender;
	struct frame_changes piece;
	struct frame_header ack;
	struct disk *disk;

	if (sender->phase != SENDER_OFFERING || header->term != unit->record.term ||
	    !frame_changes_decode(payload, header->payload_size, &piece) || piece.disk >= unit->spec.disk_count)
		return;
	disk = unit->disks[piece.disk].disk;
	if (piece.first_block / 64 + piece.word_count > disk_dirty_word_count(disk))
		return;
	if (header->sequence == 1) {
		sender->changes_round = header->epoch;
		sender->changes_count = 0;
	}
	if (header->epoch != sender->changes_round || header->sequence != sender->changes_count + 1)
		return;
	sender->changes_count++;
	disk_add_dirty(disk, piece.first_block / 64, piece.word_count, piece.suspect, piece.words);
	sender_patience(unit);
	unit_header(unit, FRAME_CHANGES_ACK, header->epoch, header->sequence, &ack);
	link_send_small(unit->peer, &ack, NULL, 0);
}

bool changes_are_complete(const struct unit *unit, const struct frame_header *state)
{
	const struct sender *sender = &unit->sender;

	return state->sequence == 0 || (state->epoch == sender->changes_round && state->sequence == sender->changes_count);
}
