#include "wire/frame.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"

static const uint8_t frame_magic[4] = { 'O', 'F', 'S', 'F' };

#define CHECKSUM_AT 56u

const char *frame_type_name(enum frame_type type)
{
	static const char *const names[FRAME_TYPES] = {
		"none",
#define X(name, text) text,
		FRAME_TYPE_LIST(X)
#undef X
	};

	return type < FRAME_TYPES ? names[type] : "?";
}

static uint64_t frame_checksum(const uint8_t *frame, uint32_t payload_size)
{
	uint8_t header[FRAME_HEADER_SIZE];

	memcpy(header, frame, sizeof header);
	put_le64(header + CHECKSUM_AT, 0);
	return hash_xxh3_pair(header, sizeof header, frame + FRAME_HEADER_SIZE, payload_size);
}

void frame_encode(const struct frame_header *header, uint8_t *frame)
{
	assert(header->payload_size <= FRAME_PAYLOAD_MAX);
	memset(frame, 0, FRAME_HEADER_SIZE);
	memcpy(frame, frame_magic, sizeof frame_magic);
	frame[4] = header->version;
	frame[5] = (uint8_t)header->type;
	put_le16(frame + 6, header->flags);
	put_le32(frame + 8, header->payload_size);
	memcpy(frame + 16, header->lineage, sizeof header->lineage);
	put_le64(frame + 32, header->term);
	put_le64(frame + 40, header->epoch);
	put_le64(frame + 48, header->sequence);
	put_le64(frame + CHECKSUM_AT, frame_checksum(frame, header->payload_size));
}

bool frame_decode_header(const uint8_t *bytes, struct frame_header *out_header)
{
	if (memcmp(bytes, frame_magic, sizeof frame_magic) != 0)
		return false;
	if (bytes[4] < FRAME_VERSION_MIN || bytes[4] > FRAME_VERSION_MAX)
		return false;
	if (bytes[5] == FRAME_NONE || bytes[5] >= FRAME_TYPES)
		return false;
	if (get_le32(bytes + 8) > FRAME_PAYLOAD_MAX || get_le32(bytes + 12) != 0)
		return false;
	out_header->version = bytes[4];
	out_header->type = (enum frame_type)bytes[5];
	out_header->flags = get_le16(bytes + 6);
	out_header->payload_size = get_le32(bytes + 8);
	memcpy(out_header->lineage, bytes + 16, sizeof out_header->lineage);
	out_header->term = get_le64(bytes + 32);
	out_header->epoch = get_le64(bytes + 40);
	out_header->sequence = get_le64(bytes + 48);
	return true;
}

bool frame_is_intact(const uint8_t *frame, uint32_t payload_size)
{
	return get_le64(frame + CHECKSUM_AT) == frame_checksum(frame, payload_size);
}
