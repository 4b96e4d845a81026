/* Frames between two sites: a 64-byte header, then a payload. Little endian. Version 1.
 *
 *   offset size field
 *        0    4 magic "OFSF"
 *        4    1 version        of the protocol in use on this link
 *        5    1 type           enum frame_type
 *        6    2 flags          FRAME_COMPRESSED
 *        8    4 payload_size   bytes that follow the header, at most FRAME_PAYLOAD_MAX
 *       12    4 zero
 *       16   16 lineage        of the unit; zero where no unit is concerned
 *       32    8 term
 *       40    8 epoch
 *       48    8 sequence       within the epoch (data), or an id (messages)
 *       56    8 checksum       XXH3 of the header with this field zero, then the payload
 *
 * Staging files hold data frames exactly as they came, so what is applied has been checked from end to end. Pure. */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_SIZE 64u
#define FRAME_DATA_MAX (1024u * 1024u)               /* bytes of blocks in one data frame */
#define FRAME_PAYLOAD_MAX (FRAME_DATA_MAX + 65536u)  /* and its ranges, or a message */
#define FRAME_VERSION_MIN 1u
#define FRAME_VERSION_MAX 1u

#define FRAME_TYPE_LIST(X) \
	X(HELLO, "hello")           /* link: versions, name, challenge */ \
	X(PROOF, "proof")           /* link: answer to the challenge */ \
	X(PING, "ping")             /* link: still there? */ \
	X(PONG, "pong") \
	X(MESSAGE, "message")       /* between the sites' controls: a request */ \
	X(ANSWER, "answer")         /* its answer */ \
	X(UNIT_OFFER, "unit-offer") /* primary: here is what I am and have */ \
	X(UNIT_STATE, "unit-state") /* secondary: what I have, or why I refuse */ \
	X(CHANGES, "changes")       /* secondary whose copy has diverged: blocks that it alone may have changed */ \
	X(CHANGES_ACK, "changes-ack") \
	X(UNIT_STOP, "unit-stop")   /* primary: I ship no more */ \
	X(UNIT_IDLE, "unit-idle")   /* primary: since the epoch committed last nothing has changed */ \
	X(UNIT_BUSY, "unit-busy")   /* primary: something has */ \
	X(SYNC_DATA, "sync-data")   /* first full sync: write in place */ \
	X(SYNC_END, "sync-end")     /* make all of it stable, then acknowledge */ \
	X(SYNC_ACK, "sync-ack") \
	X(EPOCH_DATA, "epoch-data") /* to be staged */ \
	X(EPOCH_END, "epoch-end")   /* commit it */ \
	X(EPOCH_ACK, "epoch-ack")   /* committed, durably, on every disk of the unit */ \
	X(HASHES, "hashes")         /* primary: what these blocks are at the cut; are they so at your side? */ \
	X(DIFFER, "differ")         /* secondary: these of them are not */ \
	X(FLOW, "flow")             /* secondary: data frames up to `sequence` are written (not yet stable) */

enum frame_type {
	FRAME_NONE,
#define X(name, text) FRAME_##name,
	FRAME_TYPE_LIST(X)
#undef X
	FRAME_TYPES,
};
const char *frame_type_name(enum frame_type type);

#define FRAME_COMPRESSED 1u

struct frame_header {
	uint8_t version;
	enum frame_type type;
	uint16_t flags;
	uint32_t payload_size;
	uint8_t lineage[16];
	uint64_t term;
	uint64_t epoch;
	uint64_t sequence;
};

/* Writes the header, checksum included, in front of a payload that is already there. */
void frame_encode(const struct frame_header *header, uint8_t *frame);

/* Reads a header; false when magic, version, type or length are not acceptable. The checksum is checked when the payload is
 * there, by frame_is_intact. Borrows FRAME_HEADER_SIZE bytes. */
bool frame_decode_header(const uint8_t *bytes, struct frame_header *out_header);
bool frame_is_intact(const uint8_t *frame, uint32_t payload_size);

/* --- payload of SYNC_DATA and EPOCH_DATA: changed ranges of one disk ---
 *
 *        0    4 disk           index in the unit
 *        4    4 range count    at most FRAME_RANGES_MAX
 *        8    4 data size      bytes of blocks, uncompressed, at most FRAME_DATA_MAX
 *       12    4 zero
 *       16  16n ranges         offset, length; the top bit of length says "zeros, no data follows"
 *     then the blocks of the data ranges, one after the other, compressed as a whole when FRAME_COMPRESSED is set */

#define FRAME_RANGES_MAX 1024u
#define FRAME_RANGE_HEADER 16u
#define FRAME_RANGE_ZERO (UINT64_C(1) << 63)

struct frame_range {
	uint64_t offset; /* bytes */
	uint64_t length; /* bytes */
	bool zero;
};

/* Builds one data frame, range by range, its blocks where they were read. */
struct frame_builder {
	uint32_t disk;
	uint32_t range_count;
	uint32_t data_size;
	struct frame_range ranges[FRAME_RANGES_MAX];
	uint8_t *data; /* FRAME_DATA_MAX bytes, of the caller */
};

void frame_builder_start(struct frame_builder *builder, uint32_t disk, uint8_t *data);
/* Adds blocks that stand at builder->data + builder->data_size already; false when it does not fit. Joins neighbours. */
bool frame_builder_add_data(struct frame_builder *builder, uint64_t offset, uint32_t length);
bool frame_builder_add_zero(struct frame_builder *builder, uint64_t offset, uint64_t length);
/* Bytes of a frame before its blocks: the header and the ranges so far; FRAME_HEAD_MAX at most. */
#define FRAME_HEAD_MAX (FRAME_HEADER_SIZE + FRAME_RANGE_HEADER + 16u * FRAME_RANGES_MAX)
uint32_t frame_builder_head_size(const struct frame_builder *builder);
/* The blocks, compressed, to `out`, which has room for data_size bytes: their size, 0 when that does not save an eighth. */
uint32_t frame_builder_compress(const struct frame_builder *builder, uint8_t *out);
/* The payload up to the blocks, which stand behind it: `compressed_size` bytes as frame_builder_compress made them, or, 0, as
 * they are. Gives the size of the whole payload, and its flags. */
uint32_t frame_builder_finish(const struct frame_builder *builder, uint32_t compressed_size, uint8_t *frame, uint16_t *out_flags);

/* A decoded data payload. Ranges lie within `disk_size` given and add up to the data; checked. */
struct frame_data {
	uint32_t disk;
	uint32_t range_count;
	uint32_t data_size;
	const uint8_t *ranges; /* borrowed from the payload */
	const uint8_t *packed; /* borrowed */
	uint32_t packed_size;
	bool compressed;
};

bool frame_data_decode(const uint8_t *payload, uint32_t size, uint16_t flags, struct frame_data *out_data);
struct frame_range frame_data_range(const struct frame_data *data, uint32_t index);
/* The blocks: `out` has room for FRAME_DATA_MAX. False when they do not unpack to data_size bytes. */
bool frame_data_unpack(const struct frame_data *data, uint8_t *out);

/* --- other payloads --- */

/* --- payload of HELLO ---
 *
 *        0    1 version_min
 *        1    1 version_max
 *        2    1 shard          low four bits: which of the sender's shards speaks; high four: how many it has, less one
 *        3    1 wanted         which of the receiver's is spoken to
 *        4   64 from           the sender's site, with its final zero
 *       68   64 to             the receiver's
 *      132   32 nonce */
#define FRAME_NAME_SIZE 64u
#define FRAME_NONCE_SIZE 32u
#define FRAME_HELLO_SIZE (4u + 2 * FRAME_NAME_SIZE + FRAME_NONCE_SIZE)
#define FRAME_SHARDS_MAX 16u /* of a site */
#define FRAME_SHARDS_SIZE 2u

struct frame_shards {
	uint8_t shard, count; /* of the sender: shard is less than count, which is 1 to FRAME_SHARDS_MAX */
	uint8_t wanted;       /* of the receiver */
};
void frame_shards_encode(const struct frame_shards *shards, uint8_t out[FRAME_SHARDS_SIZE]);

struct frame_hello {
	uint8_t version_min, version_max;
	struct frame_shards shards;
	char from[FRAME_NAME_SIZE];
	char to[FRAME_NAME_SIZE];
	uint8_t nonce[FRAME_NONCE_SIZE];
};
void frame_hello_encode(const struct frame_hello *hello, uint8_t out[FRAME_HELLO_SIZE]);
bool frame_hello_decode(const uint8_t *payload, uint32_t size, struct frame_hello *out_hello);

/* What a secondary answers to an offer. The decision table is in repl/handshake.c. */
#define FRAME_VERDICT_LIST(X) \
	X(WELCOME, "welcome") \
	X(UNKNOWN_UNIT, "the other site does not know this unit (yet)") \
	X(UNRELATED, "the copies do not share a history (another lineage)") \
	X(SUPERSEDED, "the other site was failed over: its copy is the newer one") \
	X(BEHIND, "the other site holds an older state than it once acknowledged: was it restored from a backup?") \
	X(NOT_SECONDARY, "the other site's copy is not a secondary") \
	X(PRIMARY_OLD, "this site holds an older state than the other site has seen here: was it restored from a backup?") \
	X(DISKS_DIFFER, "the disks of the two sites differ in number or size") \
	X(NO_SPACE, "the other site has no room left for the changes of a cycle") \
	X(FAILED, "the other site's copy has failed")

enum frame_verdict {
#define X(name, text) FRAME_VERDICT_##name,
	FRAME_VERDICT_LIST(X)
#undef X
	FRAME_VERDICTS,
};
const char *frame_verdict_text(enum frame_verdict verdict);

#define FRAME_OFFER_DISKS_MAX 128u

struct frame_offer {
	char unit[FRAME_NAME_SIZE];
	uint64_t committed;  /* newest epoch the primary has seen acknowledged, or had committed when it was the secondary */
	uint64_t floor;      /* the secondary must have seen this epoch proven: see repl/record.h */
	uint64_t copy;       /* random, of the primary's copy */
	uint32_t disk_count;
	uint64_t sizes[FRAME_OFFER_DISKS_MAX];
};
#define FRAME_OFFER_HEADER (FRAME_NAME_SIZE + 32u)
#define FRAME_OFFER_SIZE_MAX (FRAME_OFFER_HEADER + 8u * FRAME_OFFER_DISKS_MAX)
uint32_t frame_offer_encode(const struct frame_offer *offer, uint8_t out[FRAME_OFFER_SIZE_MAX]);
bool frame_offer_decode(const uint8_t *payload, uint32_t size, struct frame_offer *out_offer);

/* What a secondary's disks hold. */
enum copy_content {
	COPY_PARTIAL,  /* the first full sync is not complete */
	COPY_POINT,    /* the newest committed epoch */
	COPY_DIVERGED, /* what it wrote itself, as a primary: one staged epoch brings it to a point in time */
	COPY_CONTENTS,
};

struct frame_state {
	enum frame_verdict verdict;
	enum copy_content content;
	uint64_t committed; /* newest epoch committed */
	uint64_t wall_ms;   /* when it was cut */
	uint64_t copy;      /* random, made with the secondary's unit file: another one is another copy */
	uint64_t offer;     /* which one it welcomes, or does not know the unit of: the epoch in its header; 0: none */
	char reason[160];   /* particulars for people; may be "" */
};
#define FRAME_STATE_SIZE (4u + 32u + 160u)
/* --- payload of HASHES: blocks of one disk, each with the SHA-256 of its bytes, so that nobody can forge a match ---
 *
 *        0    4 disk           index in the unit
 *        4    4 count          at most FRAME_HASHES_MAX
 *        8  40n block number, hash
 * Its sequence is given back with the answer DIFFER, whose payload has a bit a block, from the lowest of byte 0 on. */
#define FRAME_HASHES_MAX 256u
#define FRAME_HASHES_SIZE_MAX (8u + 40u * FRAME_HASHES_MAX)
#define FRAME_DIFFER_SIZE_MAX (FRAME_HASHES_MAX / 8u)

struct frame_hashes {
	uint32_t disk;
	uint32_t count;
	uint64_t blocks[FRAME_HASHES_MAX];
	uint8_t hashes[FRAME_HASHES_MAX][32];
};
uint32_t frame_hashes_encode(const struct frame_hashes *hashes, uint8_t out[FRAME_HASHES_SIZE_MAX]);
bool frame_hashes_decode(const uint8_t *payload, uint32_t size, struct frame_hashes *out_hashes);

/* --- payload of CHANGES: a piece of the change map of one disk ---
 *
 *        0    4 disk           index in the unit
 *        4    4 flags          FRAME_CHANGES_SUSPECT: marked, not known to have changed; compare by hash
 *        8    8 first block    a multiple of 64
 *       16   8n words of bits, at most FRAME_CHANGES_WORDS
 * The header's sequence numbers the pieces of one handshake from 1; the STATE that follows the last carries their count. */
#define FRAME_CHANGES_WORDS 4096u
#define FRAME_CHANGES_SIZE_MAX (16u + 8u * FRAME_CHANGES_WORDS)
#define FRAME_CHANGES_SUSPECT 1u

struct frame_changes {
	uint32_t disk;
	bool suspect;
	uint64_t first_block;
	uint32_t word_count;
	uint64_t words[FRAME_CHANGES_WORDS];
};
uint32_t frame_changes_encode(const struct frame_changes *changes, uint8_t out[FRAME_CHANGES_SIZE_MAX]);
bool frame_changes_decode(const uint8_t *payload, uint32_t size, struct frame_changes *out_changes);

void frame_state_encode(const struct frame_state *state, uint8_t out[FRAME_STATE_SIZE]);
bool frame_state_decode(const uint8_t *payload, uint32_t size, struct frame_state *out_state);

struct frame_end {
	uint64_t frames;  /* data frames of this epoch */
	uint64_t wall_ms; /* primary's wall clock at the cut */
};
#define FRAME_END_SIZE 16u
void frame_end_encode(const struct frame_end *end, uint8_t out[FRAME_END_SIZE]);
bool frame_end_decode(const uint8_t *payload, uint32_t size, struct frame_end *out_end);

#endif
