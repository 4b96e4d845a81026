/* Frames and their payloads: what is encoded is decoded again, and what is damaged, cut short or too large is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/frame.h"

#define DISK_SIZE (1u << 20)

static struct frame_builder builder;
static uint8_t blocks[FRAME_DATA_MAX], unpacked[FRAME_DATA_MAX];
static uint8_t frame[FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX];

/* A data frame of one range of bytes and one of zeros; gives the payload's size. */
static uint32_t make_data(bool compressible, uint16_t *out_flags)
{
	uint32_t head, compressed, size;
	uint64_t random = 1;

	for (size_t i = 0; i < 8192; i++) {
		random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
		blocks[i] = compressible ? (uint8_t)(i / 512) : (uint8_t)(random >> 56);
	}
	frame_builder_start(&builder, 3, blocks);
	assert_true(frame_builder_add_data(&builder, 4096, 4096));
	assert_true(frame_builder_add_data(&builder, 8192, 4096)); /* joined with the one before */
	assert_true(frame_builder_add_zero(&builder, 65536, 131072));
	head = frame_builder_head_size(&builder);
	compressed = frame_builder_compress(&builder, frame + head);
	if (compressed == 0)
		memcpy(frame + head, blocks, builder.data_size);
	size = frame_builder_finish(&builder, compressed, frame, out_flags);
	assert_int_equal(size, head - FRAME_HEADER_SIZE + (compressed > 0 ? compressed : builder.data_size));
	return size;
}

static void test_data_round_trip(void **state)
{
	(void)state;
	for (int compressible = 0; compressible < 2; compressible++) {
		struct frame_data data;
		struct frame_range range;
		uint16_t flags;
		uint32_t size = make_data(compressible == 1, &flags);

		assert_int_equal((flags & FRAME_COMPRESSED) != 0, compressible == 1);
		assert_true(frame_data_decode(frame + FRAME_HEADER_SIZE, size, flags, &data));
		assert_int_equal(data.disk, 3);
		assert_int_equal(data.range_count, 2);
		range = frame_data_range(&data, 0);
		assert_int_equal(range.offset, 4096);
		assert_int_equal(range.length, 8192);
		assert_false(range.zero);
		range = frame_data_range(&data, 1);
		assert_int_equal(range.offset, 65536);
		assert_int_equal(range.length, 131072);
		assert_true(range.zero);
		assert_true(frame_data_unpack(&data, unpacked));
		assert_memory_equal(unpacked, blocks, 8192);
	}
}

static void test_every_damaged_byte_is_noticed(void **state)
{
	struct frame_header header = { .version = FRAME_VERSION_MAX, .type = FRAME_EPOCH_DATA, .term = 7, .epoch = 8, .sequence = 9 };
	struct frame_header seen;

	(void)state;
	header.payload_size = make_data(false, &header.flags);
	memcpy(header.lineage, "sixteen bytes...", 16);
	frame_encode(&header, frame);
	assert_true(frame_decode_header(frame, &seen));
	assert_true(frame_is_intact(frame, seen.payload_size));
	assert_int_equal(seen.epoch, 8);
	for (size_t i = 0; i < FRAME_HEADER_SIZE + header.payload_size; i++) {
		frame[i] ^= 0x10;
		assert_false(frame_decode_header(frame, &seen) && seen.payload_size == header.payload_size &&
			     frame_is_intact(frame, seen.payload_size));
		frame[i] ^= 0x10;
	}
}

static void test_headers_refused(void **state)
{
	struct frame_header header = { .version = FRAME_VERSION_MAX, .type = FRAME_PING }, seen;

	(void)state;
	frame_encode(&header, frame);
	assert_true(frame_decode_header(frame, &seen));
	header.version = FRAME_VERSION_MAX + 1;
	frame_encode(&header, frame);
	assert_false(frame_decode_header(frame, &seen));
	header.version = FRAME_VERSION_MAX;
	header.type = FRAME_TYPES;
	frame_encode(&header, frame);
	assert_false(frame_decode_header(frame, &seen));
	header.type = FRAME_PING;
	frame_encode(&header, frame);
	frame[11] = 0xff; /* a payload of 4 GiB */
	assert_false(frame_decode_header(frame, &seen));
}

/* Samples of a large frame tell whether compressing all of it can pay. */
static void test_large_frames_are_sampled(void **state)
{
	static uint8_t packed[FRAME_DATA_MAX];
	uint64_t random = 1;

	(void)state;
	for (size_t i = 0; i < FRAME_DATA_MAX; i++) {
		random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
		blocks[i] = (uint8_t)(random >> 56);
	}
	frame_builder_start(&builder, 0, blocks);
	assert_true(frame_builder_add_data(&builder, 0, FRAME_DATA_MAX));
	assert_int_equal(frame_builder_compress(&builder, packed), 0);
	memset(blocks, 7, FRAME_DATA_MAX / 4); /* a quarter that shrinks to nothing saves more than an eighth of all */
	assert_in_range(frame_builder_compress(&builder, packed), FRAME_DATA_MAX / 2, FRAME_DATA_MAX / 8 * 7);
	memset(blocks, 7, FRAME_DATA_MAX);
	assert_in_range(frame_builder_compress(&builder, packed), 1, FRAME_DATA_MAX / 100);
}

/* A data payload cut at any byte is refused, or gives fewer bytes than it promised. */
static void test_data_cut_short(void **state)
{
	struct frame_data data;
	uint16_t flags;
	uint32_t size = make_data(true, &flags);

	(void)state;
	for (uint32_t cut = 0; cut < size; cut++) {
		uint8_t *copy = malloc(cut + 1); /* so that the sanitizer sees a read past the end */

		assert_non_null(copy);
		memcpy(copy, frame + FRAME_HEADER_SIZE, cut);
		assert_false(frame_data_decode(copy, cut, flags, &data) && frame_data_unpack(&data, unpacked));
		free(copy);
	}
}

static void test_small_payloads(void **state)
{
	struct frame_offer offer = { .unit = "pg-1", .committed = 5, .floor = 4, .copy = 77, .disk_count = 2, .sizes = { 11, 22 } };
	struct frame_offer seen_offer;
	struct frame_state told = { .verdict = FRAME_VERDICT_BEHIND, .content = COPY_DIVERGED, .committed = 3, .wall_ms = 99,
				    .copy = 12, .offer = 41, .reason = "because" }, seen_state;
	struct frame_end end = { .frames = 4, .wall_ms = 5 }, seen_end;
	uint8_t payload[FRAME_OFFER_SIZE_MAX];
	uint32_t size;

	(void)state;
	size = frame_offer_encode(&offer, payload);
	assert_true(frame_offer_decode(payload, size, &seen_offer));
	assert_int_equal(seen_offer.floor, 4);
	assert_int_equal(seen_offer.copy, 77);
	assert_int_equal(seen_offer.sizes[1], 22);
	assert_false(frame_offer_decode(payload, size - 1, &seen_offer));
	memset(payload, 'x', FRAME_NAME_SIZE); /* a name that does not end */
	assert_false(frame_offer_decode(payload, size, &seen_offer));
	frame_state_encode(&told, payload);
	assert_true(frame_state_decode(payload, FRAME_STATE_SIZE, &seen_state));
	assert_int_equal(seen_state.content, COPY_DIVERGED);
	assert_int_equal(seen_state.offer, 41);
	assert_string_equal(seen_state.reason, "because");
	payload[1] = COPY_CONTENTS;
	assert_false(frame_state_decode(payload, FRAME_STATE_SIZE, &seen_state));
	frame_end_encode(&end, payload);
	assert_true(frame_end_decode(payload, FRAME_END_SIZE, &seen_end));
	assert_int_equal(seen_end.frames, 4);
	assert_false(frame_end_decode(payload, FRAME_END_SIZE + 1, &seen_end));
}

static void test_changes(void **state)
{
	static struct frame_changes piece = { .disk = 1, .suspect = true, .first_block = 128, .word_count = 3,
					      .words = { 1, 0, ~0ull } };
	static struct frame_changes seen;
	static uint8_t payload[FRAME_CHANGES_SIZE_MAX];
	uint32_t size = frame_changes_encode(&piece, payload);

	(void)state;
	assert_true(frame_changes_decode(payload, size, &seen));
	assert_int_equal(seen.first_block, 128);
	assert_int_equal(seen.word_count, 3);
	assert_true(seen.suspect);
	assert_true(seen.words[2] == ~0ull);
	assert_false(frame_changes_decode(payload, 16, &seen));       /* nothing in it */
	assert_false(frame_changes_decode(payload, size - 1, &seen)); /* half a word */
	payload[8] = 1;                                               /* not at a word's beginning */
	assert_false(frame_changes_decode(payload, size, &seen));
}

static void test_builder_is_bounded(void **state)
{
	(void)state;
	frame_builder_start(&builder, 0, blocks);
	for (uint32_t i = 0; i < FRAME_RANGES_MAX; i++)
		assert_true(frame_builder_add_zero(&builder, (uint64_t)i * 8192, 4096));
	assert_false(frame_builder_add_zero(&builder, (uint64_t)FRAME_RANGES_MAX * 8192, 4096));
	frame_builder_start(&builder, 0, blocks);
	assert_true(frame_builder_add_data(&builder, 0, FRAME_DATA_MAX));
	assert_false(frame_builder_add_data(&builder, FRAME_DATA_MAX, 4096));
}

static void test_shards_are_what_a_hello_says(void **state)
{
	struct frame_hello hello = { .version_min = 1, .version_max = 1, .from = "north", .to = "south" }, seen;
	uint8_t payload[FRAME_HELLO_SIZE];

	(void)state;
	for (unsigned count = 1; count <= FRAME_SHARDS_MAX; count++) {
		for (unsigned shard = 0; shard < FRAME_SHARDS_MAX; shard++) {
			hello.shards = (struct frame_shards){ 0, (uint8_t)count, (uint8_t)(15 - shard) };
			frame_hello_encode(&hello, payload);
			payload[2] |= (uint8_t)shard;
			assert_int_equal(frame_hello_decode(payload, sizeof payload, &seen), shard < count);
			if (shard >= count)
				continue;
			assert_int_equal(seen.shards.shard, shard);
			assert_int_equal(seen.shards.count, count);
			assert_int_equal(seen.shards.wanted, 15 - shard);
		}
	}
	for (unsigned wanted = FRAME_SHARDS_MAX; wanted < 256; wanted++) {
		payload[3] = (uint8_t)wanted;
		assert_false(frame_hello_decode(payload, sizeof payload, &seen));
	}
	hello.shards = (struct frame_shards){ 0, 1, 0 };
	frame_hello_encode(&hello, payload);
	assert_int_equal(payload[2] | payload[3], 0); /* as it was before there were shards */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data_round_trip), cmocka_unit_test(test_every_damaged_byte_is_noticed),
		cmocka_unit_test(test_headers_refused), cmocka_unit_test(test_data_cut_short), cmocka_unit_test(test_small_payloads),
		cmocka_unit_test(test_changes), cmocka_unit_test(test_builder_is_bounded),
		cmocka_unit_test(test_large_frames_are_sampled), cmocka_unit_test(test_shards_are_what_a_hello_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
