/* The payload of data frames: ranges of one disk, zeros as ranges alone, blocks compressed when that pays. */
#include <assert.h>
#include <string.h>
#include <zstd.h>

#include "base/bytes.h"
#include "wire/frame.h"

/* Level 1 with a fast strategy costs less than sending what it saves on any link below some 5 Gbit/s. */
#define COMPRESSION_LEVEL (-1)
/* Below this a frame is sent as it is: the saving is not worth the call. */
#define COMPRESSION_SIZE_MIN 4096u
/* Of larger ones, as many samples are tried first: what is random, or compressed already, costs a few of them. */
#define SAMPLED_SIZE_MIN (128u * 1024u)
#define SAMPLE_SIZE 4096u
#define SAMPLES 8u

void frame_builder_start(struct frame_builder *builder, uint32_t disk, uint8_t *data)
{
	builder->disk = disk;
	builder->range_count = 0;
	builder->data_size = 0;
	builder->data = data;
}

static bool builder_add(struct frame_builder *builder, uint64_t offset, uint64_t length, bool zero)
{
	struct frame_range *last;

	if (builder->range_count > 0) {
		last = &builder->ranges[builder->range_count - 1];
		if (last->zero == zero && last->offset + last->length == offset) {
			last->length += length;
			return true;
		}
	}
	if (builder->range_count == FRAME_RANGES_MAX)
		return false;
	builder->ranges[builder->range_count++] = (struct frame_range){ .offset = offset, .length = length, .zero = zero };
	return true;
}

bool frame_builder_add_data(struct frame_builder *builder, uint64_t offset, uint32_t length)
{
	if (length > FRAME_DATA_MAX - builder->data_size || !builder_add(builder, offset, length, false))
		return false;
	builder->data_size += length;
	return true;
}

bool frame_builder_add_zero(struct frame_builder *builder, uint64_t offset, uint64_t length)
{
	return builder_add(builder, offset, length, true);
}

uint32_t frame_builder_head_size(const struct frame_builder *builder)
{
	return FRAME_HEADER_SIZE + FRAME_RANGE_HEADER + 16 * builder->range_count;
}

/* 0 when it does not save an eighth: not an error, but a reason to send it as it is. */
static uint32_t compress(const uint8_t *data, uint32_t size, uint8_t *out)
{
	size_t packed = ZSTD_compress(out, size - size / 8, data, size, COMPRESSION_LEVEL);

	return ZSTD_isError(packed) ? 0 : (uint32_t)packed;
}

uint32_t frame_builder_compress(const struct frame_builder *builder, uint8_t *out)
{
	uint32_t size = builder->data_size, dense = 0;

	if (size < COMPRESSION_SIZE_MIN)
		return 0;
	for (uint32_t i = 0; size > SAMPLED_SIZE_MIN && i < SAMPLES; i++)
		dense += compress(builder->data + (size_t)i * (size / SAMPLES), SAMPLE_SIZE, out) == 0;
	return dense == SAMPLES ? 0 : compress(builder->data, size, out);
}

uint32_t frame_builder_finish(const struct frame_builder *builder, uint32_t compressed_size, uint8_t *frame, uint16_t *out_flags)
{
	uint8_t *payload = frame + FRAME_HEADER_SIZE;
	uint32_t at = FRAME_RANGE_HEADER;

	put_le32(payload, builder->disk);
	put_le32(payload + 4, builder->range_count);
	put_le32(payload + 8, builder->data_size);
	put_le32(payload + 12, 0);
	for (uint32_t i = 0; i < builder->range_count; i++, at += 16) {
		const struct frame_range *range = &builder->ranges[i];

		put_le64(payload + at, range->offset);
		put_le64(payload + at + 8, range->length | (range->zero ? FRAME_RANGE_ZERO : 0));
	}
	*out_flags = compressed_size > 0 ? FRAME_COMPRESSED : 0;
	return at + (compressed_size > 0 ? compressed_size : builder->data_size);
}

bool frame_data_decode(const uint8_t *payload, uint32_t size, uint16_t flags, struct frame_data *out_data)
{
	uint32_t ranges_size;
	uint64_t total = 0;

	if (size < FRAME_RANGE_HEADER || (flags & ~FRAME_COMPRESSED) != 0)
		return false;
	out_data->disk = get_le32(payload);
	out_data->range_count = get_le32(payload + 4);
	out_data->data_size = get_le32(payload + 8);
	if (out_data->range_count > FRAME_RANGES_MAX || out_data->data_size > FRAME_DATA_MAX)
		return false;
	ranges_size = out_data->range_count * 16;
	if (size - FRAME_RANGE_HEADER < ranges_size)
		return false;
	out_data->ranges = payload + FRAME_RANGE_HEADER;
	out_data->packed = out_data->ranges + ranges_size;
	out_data->packed_size = size - FRAME_RANGE_HEADER - ranges_size;
	out_data->compressed = (flags & FRAME_COMPRESSED) != 0;
	for (uint32_t i = 0; i < out_data->range_count; i++) {
		struct frame_range range = frame_data_range(out_data, i);

		if (range.length == 0 || range.offset > UINT64_MAX / 4 || range.length > UINT64_MAX / 4)
			return false;
		if (!range.zero)
			total += range.length;
		if (total > FRAME_DATA_MAX)
			return false;
	}
	if (total != out_data->data_size)
		return false;
	return out_data->compressed || out_data->packed_size == out_data->data_size;
}

struct frame_range frame_data_range(const struct frame_data *data, uint32_t index)
{
	const uint8_t *at = data->ranges + (size_t)index * 16;
	uint64_t length = get_le64(at + 8);

	assert(index < data->range_count);
	return (struct frame_range){
		.offset = get_le64(at), .length = length & ~FRAME_RANGE_ZERO, .zero = (length & FRAME_RANGE_ZERO) != 0,
	};
}

bool frame_data_unpack(const struct frame_data *data, uint8_t *out)
{
	if (!data->compressed) {
		memcpy(out, data->packed, data->data_size);
		return true;
	}
	return ZSTD_decompress(out, data->data_size, data->packed, data->packed_size) == data->data_size;
}
