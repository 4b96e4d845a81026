/* The small payloads: hello, offer, state, end. Lengths are exact, names end in a zero. */
#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "wire/frame.h"

/* A fixed field that must hold its final zero. */
static bool name_decode(const uint8_t *field, uint32_t size, char *out)
{
	if (memchr(field, 0, size) == NULL)
		return false;
	memcpy(out, field, size);
	return true;
}

void frame_shards_encode(const struct frame_shards *shards, uint8_t out[FRAME_SHARDS_SIZE])
{
	assert(shards->shard < shards->count && shards->count <= FRAME_SHARDS_MAX && shards->wanted < FRAME_SHARDS_MAX);
	out[0] = (uint8_t)(shards->shard | (shards->count - 1) << 4);
	out[1] = shards->wanted;
}

static bool shards_decode(const uint8_t *field, struct frame_shards *out_shards)
{
	out_shards->shard = field[0] & 15;
	out_shards->count = (uint8_t)((field[0] >> 4) + 1);
	out_shards->wanted = field[1];
	return out_shards->shard < out_shards->count && out_shards->wanted < FRAME_SHARDS_MAX;
}

void frame_hello_encode(const struct frame_hello *hello, uint8_t out[FRAME_HELLO_SIZE])
{
	memset(out, 0, FRAME_HELLO_SIZE);
	out[0] = hello->version_min;
	out[1] = hello->version_max;
	frame_shards_encode(&hello->shards, out + 2);
	memcpy(out + 4, hello->from, FRAME_NAME_SIZE);
	memcpy(out + 4 + FRAME_NAME_SIZE, hello->to, FRAME_NAME_SIZE);
	memcpy(out + 4 + 2 * FRAME_NAME_SIZE, hello->nonce, FRAME_NONCE_SIZE);
}

bool frame_hello_decode(const uint8_t *payload, uint32_t size, struct frame_hello *out_hello)
{
	if (size != FRAME_HELLO_SIZE || !shards_decode(payload + 2, &out_hello->shards))
		return false;
	out_hello->version_min = payload[0];
	out_hello->version_max = payload[1];
	memcpy(out_hello->nonce, payload + 4 + 2 * FRAME_NAME_SIZE, FRAME_NONCE_SIZE);
	return name_decode(payload + 4, FRAME_NAME_SIZE, out_hello->from) &&
	       name_decode(payload + 4 + FRAME_NAME_SIZE, FRAME_NAME_SIZE, out_hello->to);
}

const char *frame_verdict_text(enum frame_verdict verdict)
{
	static const char *const texts[FRAME_VERDICTS] = {
#define X(name, text) text,
		FRAME_VERDICT_LIST(X)
#undef X
	};

	return verdict < FRAME_VERDICTS ? texts[verdict] : "?";
}

uint32_t frame_offer_encode(const struct frame_offer *offer, uint8_t out[FRAME_OFFER_SIZE_MAX])
{
	uint32_t at = FRAME_OFFER_HEADER;

	memset(out, 0, at);
	memcpy(out, offer->unit, FRAME_NAME_SIZE);
	put_le64(out + FRAME_NAME_SIZE, offer->committed);
	put_le64(out + FRAME_NAME_SIZE + 8, offer->floor);
	put_le64(out + FRAME_NAME_SIZE + 16, offer->copy);
	put_le32(out + FRAME_NAME_SIZE + 24, offer->disk_count);
	for (uint32_t i = 0; i < offer->disk_count; i++, at += 8)
		put_le64(out + at, offer->sizes[i]);
	return at;
}

bool frame_offer_decode(const uint8_t *payload, uint32_t size, struct frame_offer *out_offer)
{
	uint32_t at = FRAME_OFFER_HEADER;

	if (size < at || !name_decode(payload, FRAME_NAME_SIZE, out_offer->unit))
		return false;
	out_offer->committed = get_le64(payload + FRAME_NAME_SIZE);
	out_offer->floor = get_le64(payload + FRAME_NAME_SIZE + 8);
	out_offer->copy = get_le64(payload + FRAME_NAME_SIZE + 16);
	out_offer->disk_count = get_le32(payload + FRAME_NAME_SIZE + 24);
	if (out_offer->disk_count > FRAME_OFFER_DISKS_MAX || size != at + 8 * out_offer->disk_count)
		return false;
	for (uint32_t i = 0; i < out_offer->disk_count; i++, at += 8)
		out_offer->sizes[i] = get_le64(payload + at);
	return true;
}

void frame_state_encode(const struct frame_state *state, uint8_t out[FRAME_STATE_SIZE])
{
	memset(out, 0, FRAME_STATE_SIZE);
	out[0] = (uint8_t)state->verdict;
	out[1] = (uint8_t)state->content;
	put_le64(out + 4, state->committed);
	put_le64(out + 12, state->wall_ms);
	put_le64(out + 20, state->copy);
	put_le64(out + 28, state->offer);
	memcpy(out + 36, state->reason, sizeof state->reason);
}

bool frame_state_decode(const uint8_t *payload, uint32_t size, struct frame_state *out_state)
{
	if (size != FRAME_STATE_SIZE || payload[0] >= FRAME_VERDICTS || payload[1] >= COPY_CONTENTS)
		return false;
	out_state->verdict = (enum frame_verdict)payload[0];
	out_state->content = (enum copy_content)payload[1];
	out_state->committed = get_le64(payload + 4);
	out_state->wall_ms = get_le64(payload + 12);
	out_state->copy = get_le64(payload + 20);
	out_state->offer = get_le64(payload + 28);
	return name_decode(payload + 36, sizeof out_state->reason, out_state->reason);
}

uint32_t frame_changes_encode(const struct frame_changes *changes, uint8_t out[FRAME_CHANGES_SIZE_MAX])
{
	put_le32(out, changes->disk);
	put_le32(out + 4, changes->suspect ? FRAME_CHANGES_SUSPECT : 0);
	put_le64(out + 8, changes->first_block);
	for (uint32_t i = 0; i < changes->word_count; i++)
		put_le64(out + 16 + 8 * (size_t)i, changes->words[i]);
	return 16 + 8 * changes->word_count;
}

bool frame_changes_decode(const uint8_t *payload, uint32_t size, struct frame_changes *out_changes)
{
	if (size <= 16 || size > FRAME_CHANGES_SIZE_MAX || size % 8 != 0 || get_le32(payload + 4) > FRAME_CHANGES_SUSPECT ||
	    get_le64(payload + 8) % 64 != 0)
		return false;
	out_changes->disk = get_le32(payload);
	out_changes->suspect = get_le32(payload + 4) == FRAME_CHANGES_SUSPECT;
	out_changes->first_block = get_le64(payload + 8);
	out_changes->word_count = (size - 16) / 8;
	for (uint32_t i = 0; i < out_changes->word_count; i++)
		out_changes->words[i] = get_le64(payload + 16 + 8 * (size_t)i);
	return true;
}

uint32_t frame_hashes_encode(const struct frame_hashes *hashes, uint8_t out[FRAME_HASHES_SIZE_MAX])
{
	put_le32(out, hashes->disk);
	put_le32(out + 4, hashes->count);
	for (uint32_t i = 0; i < hashes->count; i++) {
		put_le64(out + 8 + 40 * (size_t)i, hashes->blocks[i]);
		memcpy(out + 16 + 40 * (size_t)i, hashes->hashes[i], 32);
	}
	return 8 + 40 * hashes->count;
}

bool frame_hashes_decode(const uint8_t *payload, uint32_t size, struct frame_hashes *out_hashes)
{
	if (size < 8 || size > FRAME_HASHES_SIZE_MAX || get_le32(payload + 4) != (size - 8) / 40 || (size - 8) % 40 != 0)
		return false;
	out_hashes->disk = get_le32(payload);
	out_hashes->count = get_le32(payload + 4);
	for (uint32_t i = 0; i < out_hashes->count; i++) {
		out_hashes->blocks[i] = get_le64(payload + 8 + 40 * (size_t)i);
		memcpy(out_hashes->hashes[i], payload + 16 + 40 * (size_t)i, 32);
	}
	return out_hashes->count > 0;
}

void frame_end_encode(const struct frame_end *end, uint8_t out[FRAME_END_SIZE])
{
	put_le64(out, end->frames);
	put_le64(out + 8, end->wall_ms);
}

bool frame_end_decode(const uint8_t *payload, uint32_t size, struct frame_end *out_end)
{
	if (size != FRAME_END_SIZE)
		return false;
	out_end->frames = get_le64(payload);
	out_end->wall_ms = get_le64(payload + 8);
	return true;
}
