/* Frames from a peer: headers, and every payload by the type its header says. What is decoded is encoded and decoded again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"

static uint8_t unpacked[FRAME_DATA_MAX];

static void fuzz_data(const uint8_t *payload, uint32_t size, uint16_t flags)
{
	struct frame_data data;
	uint64_t bytes = 0;

	if (!frame_data_decode(payload, size, flags, &data))
		return;
	for (uint32_t i = 0; i < data.range_count; i++) {
		struct frame_range range = frame_data_range(&data, i);

		assert(range.length > 0 && range.offset + range.length > range.offset);
		bytes += range.zero ? 0 : range.length;
	}
	assert(bytes == data.data_size && bytes <= FRAME_DATA_MAX);
	frame_data_unpack(&data, unpacked);
}

static void fuzz_small(const uint8_t *payload, uint32_t size)
{
	static struct frame_changes changes, changes_again;
	static struct frame_hashes hashes, hashes_again;
	static uint8_t encoded[FRAME_CHANGES_SIZE_MAX];
	struct frame_offer offer, offer_again;
	uint8_t offered[FRAME_OFFER_SIZE_MAX];
	struct frame_hello hello, hello_again;
	uint8_t greeted[FRAME_HELLO_SIZE];
	struct frame_state state;
	struct frame_end end;

	if (frame_hello_decode(payload, size, &hello)) {
		frame_hello_encode(&hello, greeted);
		assert(frame_hello_decode(greeted, size, &hello_again) && memcmp(greeted + 2, payload + 2, FRAME_SHARDS_SIZE) == 0);
	}
	frame_state_decode(payload, size, &state);
	frame_end_decode(payload, size, &end);
	if (frame_offer_decode(payload, size, &offer)) {
		assert(frame_offer_encode(&offer, offered) == size && frame_offer_decode(offered, size, &offer_again));
		assert(offer.disk_count == offer_again.disk_count && offer.floor == offer_again.floor);
	}
	if (frame_changes_decode(payload, size, &changes)) {
		assert(frame_changes_encode(&changes, encoded) == size && frame_changes_decode(encoded, size, &changes_again));
		assert(memcmp(changes.words, changes_again.words, 8 * (size_t)changes.word_count) == 0);
	}
	if (frame_hashes_decode(payload, size, &hashes)) {
		assert(frame_hashes_encode(&hashes, encoded) == size && frame_hashes_decode(encoded, size, &hashes_again));
		assert(memcmp(hashes.blocks, hashes_again.blocks, 8 * (size_t)hashes.count) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct frame_header header;

	if (size < FRAME_HEADER_SIZE || size > UINT32_MAX)
		return 0;
	if (frame_decode_header(bytes, &header) && header.payload_size <= size - FRAME_HEADER_SIZE)
		frame_is_intact(bytes, header.payload_size);
	fuzz_data(bytes + FRAME_HEADER_SIZE, (uint32_t)(size - FRAME_HEADER_SIZE), 0);
	fuzz_data(bytes + FRAME_HEADER_SIZE, (uint32_t)(size - FRAME_HEADER_SIZE), FRAME_COMPRESSED);
	fuzz_small(bytes + FRAME_HEADER_SIZE, (uint32_t)(size - FRAME_HEADER_SIZE));
	return 0;
}
