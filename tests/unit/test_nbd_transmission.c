/* Requests and replies: data in any slices, replies in any order, every refusal, and what one client can make us hold. */
#include "nbd_client.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/memory.h"

#define MIB (1024u * 1024u)

static const size_t slices[] = { 1, 13, 4000, 70000, 64u * MIB };
#define SLICES (sizeof slices / sizeof slices[0])

static uint8_t *pattern(size_t size)
{
	uint8_t *bytes = memory_new(1, size);

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251 + 1);
	return bytes;
}

static void test_write_then_read(void **state)
{
	static const uint32_t sizes[] = { 1, 511, 4096, 65536, 200000 };
	uint8_t *data = pattern(200000);

	(void)state;
	for (size_t i = 0; i < SLICES; i++) {
		struct client client;

		client_init(&client, slices[i]);
		client_go(&client);
		for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++) {
			uint64_t cookie = client_request(&client, NBD_CMD_WRITE, 0, 1000 * j + 5, sizes[j], data);

			expect_simple(&client, cookie, NBD_SUCCESS);
			cookie = client_request(&client, NBD_CMD_READ, 0, 1000 * j + 5, sizes[j], NULL);
			expect_simple(&client, cookie, NBD_SUCCESS);
			assert_memory_equal(expect_bytes(&client, sizes[j]), data, sizes[j]);
			expect_nothing(&client);
		}
		client_fini(&client);
	}
	free(data);
}

static void test_structured_read(void **state)
{
	uint8_t *data = pattern(100000);

	(void)state;
	for (size_t i = 0; i < SLICES; i++) {
		struct client client;
		const uint8_t *chunk;
		uint64_t cookie;

		client_init(&client, slices[i]);
		client_go_structured(&client);
		cookie = client_request(&client, NBD_CMD_WRITE, NBD_CMD_FLAG_FUA, 12345, 100000, data);
		expect_simple(&client, cookie, NBD_SUCCESS);
		assert_true(client.last.force_unit_access);
		cookie = client_request(&client, NBD_CMD_READ, NBD_CMD_FLAG_DF, 12345, 100000, NULL);
		chunk = expect_bytes(&client, NBD_CHUNK_SIZE + 8 + 100000);
		assert_int_equal(get_be32(chunk), NBD_CHUNK_MAGIC);
		assert_int_equal(get_be16(chunk + 4), NBD_CHUNK_FLAG_DONE);
		assert_int_equal(get_be16(chunk + 6), NBD_CHUNK_OFFSET_DATA);
		assert_int_equal(get_be64(chunk + 8), cookie);
		assert_int_equal(get_be32(chunk + 16), 8 + 100000);
		assert_int_equal(get_be64(chunk + 20), 12345);
		assert_memory_equal(chunk + 28, data, 100000);
		expect_nothing(&client);
		client_fini(&client);
	}
	free(data);
}

static void test_largest_payloads(void **state)
{
	uint8_t *data = pattern(NBD_PAYLOAD_MAX);
	struct client client;
	uint64_t cookie;

	(void)state;
	client_init(&client, 3 * MIB + 1);
	client_go(&client);
	cookie = client_request(&client, NBD_CMD_WRITE, 0, 16 * MIB, NBD_PAYLOAD_MAX, data);
	expect_simple(&client, cookie, NBD_SUCCESS);
	cookie = client_request(&client, NBD_CMD_READ, 0, 16 * MIB, NBD_PAYLOAD_MAX, NULL);
	expect_simple(&client, cookie, NBD_SUCCESS);
	assert_memory_equal(expect_bytes(&client, NBD_PAYLOAD_MAX), data, NBD_PAYLOAD_MAX);
	client_fini(&client);
	free(data);
}

static void test_commands_and_their_flags(void **state)
{
	struct client client;

	(void)state;
	client_init(&client, 100);
	client_go(&client);
	expect_simple(&client, client_request(&client, NBD_CMD_FLUSH, 0, 0, 0, NULL), NBD_SUCCESS);
	assert_int_equal(client.last.command, NBD_FLUSH);
	expect_simple(&client, client_request(&client, NBD_CMD_TRIM, NBD_CMD_FLAG_FUA, 4096, 8192, NULL), NBD_SUCCESS);
	assert_int_equal(client.last.command, NBD_TRIM);
	assert_true(client.last.force_unit_access);
	expect_simple(&client, client_request(&client, NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_NO_HOLE, 0, EXPORT_SIZE, NULL),
		      NBD_SUCCESS);
	assert_int_equal(client.last.command, NBD_WRITE_ZEROES);
	assert_int_equal(client.last.length, EXPORT_SIZE);
	assert_true(client.last.no_hole);
	assert_false(client.last.fast);
	assert_false(client.last.force_unit_access);
	expect_simple(&client, client_request(&client, NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_FAST_ZERO, 0, 512, NULL), NBD_SUCCESS);
	assert_true(client.last.fast);
	assert_false(client.last.no_hole);
	expect_simple(&client, client_request(&client, NBD_CMD_CACHE, NBD_CMD_FLAG_FUA, 512, EXPORT_SIZE - 512, NULL), NBD_SUCCESS);
	assert_int_equal(client.last.command, NBD_CACHE);
	expect_simple(&client, client_request(&client, NBD_CMD_BLOCK_STATUS, 0, 0, 512, NULL), NBD_EINVAL); /* no context */
	client_fini(&client);
}

/* --- refusals: the same in both forms of reply, and the session goes on --- */

static const struct bad_request {
	uint16_t type, flags;
	uint64_t offset;
	uint32_t length, error;
} bad_requests[] = {
	{ NBD_CMD_READ, 0, EXPORT_SIZE, 1, NBD_EINVAL },
	{ NBD_CMD_READ, 0, EXPORT_SIZE - 511, 512, NBD_EINVAL },
	{ NBD_CMD_READ, 0, UINT64_MAX, 1, NBD_EINVAL },
	{ NBD_CMD_READ, 0, UINT64_MAX - 511, 512, NBD_EINVAL },
	{ NBD_CMD_READ, 0, 0, NBD_PAYLOAD_MAX + 1, NBD_EINVAL },
	{ NBD_CMD_READ, 0, 0, UINT32_MAX, NBD_EINVAL },
	{ NBD_CMD_READ, 0, 0, 0, NBD_EINVAL },
	{ NBD_CMD_READ, NBD_CMD_FLAG_NO_HOLE, 0, 512, NBD_EINVAL },
	{ NBD_CMD_READ, 0x8000, 0, 512, NBD_EINVAL },
	{ NBD_CMD_TRIM, 0, EXPORT_SIZE - 511, 512, NBD_EINVAL },
	{ NBD_CMD_TRIM, 0, 0, UINT32_MAX, NBD_EINVAL },
	{ NBD_CMD_TRIM, NBD_CMD_FLAG_DF, 0, 512, NBD_EINVAL },
	{ NBD_CMD_WRITE_ZEROES, 0, EXPORT_SIZE, 1, NBD_ENOSPC },
	{ NBD_CMD_WRITE_ZEROES, 0, 1, UINT32_MAX, NBD_ENOSPC },
	{ NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_REQ_ONE, 0, 512, NBD_EINVAL },
	{ NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_PAYLOAD_LEN << 1, 0, 512, NBD_EINVAL },
	{ NBD_CMD_TRIM, NBD_CMD_FLAG_FAST_ZERO, 0, 512, NBD_EINVAL },
	{ NBD_CMD_WRITE, 0, 0, 0, NBD_EINVAL },
	{ NBD_CMD_FLUSH, 0, 1, 0, NBD_EINVAL },
	{ NBD_CMD_FLUSH, 0, 0, 1, NBD_EINVAL },
	{ NBD_CMD_CACHE, 0, 0, 0, NBD_EINVAL },
	{ NBD_CMD_CACHE, 0, EXPORT_SIZE, 1, NBD_EINVAL },
	{ NBD_CMD_CACHE, NBD_CMD_FLAG_DF, 0, 512, NBD_EINVAL },
	{ NBD_CMD_BLOCK_STATUS, 0, 0, 0, NBD_EINVAL },
	{ NBD_CMD_BLOCK_STATUS, 0, EXPORT_SIZE - 511, 512, NBD_EINVAL },
	{ NBD_CMD_BLOCK_STATUS, 0, 0, UINT32_MAX, NBD_EINVAL },
	{ NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_NO_HOLE, 0, 512, NBD_EINVAL },
	{ 8, 0, 0, 512, NBD_EINVAL },
	{ 0xffff, (uint16_t)~NBD_CMD_FLAG_PAYLOAD_LEN, UINT64_MAX, UINT32_MAX, NBD_EINVAL },
};

static void refuse_all(struct client *client, bool structured)
{
	for (size_t i = 0; i < sizeof bad_requests / sizeof bad_requests[0]; i++) {
		const struct bad_request *bad = &bad_requests[i];
		uint64_t cookie = client_request(client, bad->type, bad->flags, bad->offset, bad->length, NULL);

		if (structured)
			expect_error_chunk(client, cookie, bad->error);
		else
			expect_simple(client, cookie, bad->error);
		expect_nothing(client);
	}
	assert_int_equal(client->submitted, 0);
	expect_success(client, client_request(client, NBD_CMD_FLUSH, 0, 0, 0, NULL));
}

static void test_bad_requests_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < SLICES; i++) {
		struct client client;

		client_init(&client, slices[i]);
		client_go(&client);
		refuse_all(&client, false);
		expect_simple(&client, client_request(&client, NBD_CMD_READ, NBD_CMD_FLAG_DF, 0, 512, NULL), NBD_EINVAL);
		client_fini(&client);
		client_init(&client, slices[i]);
		client_go_structured(&client);
		refuse_all(&client, true);
		expect_error_chunk(&client, client_request(&client, NBD_CMD_READ, NBD_CMD_FLAG_DF, 0, NBD_PAYLOAD_MAX + 1, NULL),
				   NBD_EOVERFLOW);
		client_fini(&client);
		client_init(&client, slices[i]);
		client_go_extended(&client);
		refuse_all(&client, true);
		client_fini(&client);
	}
}

/* Lengths that only fit into an extended header; and no sum of offset and length may wrap around. */
static void test_bad_long_requests(void **state)
{
	static const uint16_t types[] = { NBD_CMD_READ, NBD_CMD_TRIM, NBD_CMD_CACHE, NBD_CMD_WRITE_ZEROES, NBD_CMD_BLOCK_STATUS };
	static const uint64_t ranges[][2] = { { 0, UINT64_MAX }, { 1, UINT64_MAX }, { 512, UINT64_MAX - 511 },
					      { EXPORT_SIZE - 1, UINT64_C(1) << 32 }, { UINT64_MAX, UINT64_MAX }, { 0, 0 } };
	struct client client;

	(void)state;
	client_init(&client, 1000);
	client_go_extended(&client);
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
		for (size_t j = 0; j < sizeof ranges / sizeof ranges[0]; j++) {
			uint64_t cookie = client_request(&client, types[i], 0, ranges[j][0], ranges[j][1], NULL);
			bool is_full = types[i] == NBD_CMD_WRITE_ZEROES && ranges[j][1] != 0;

			expect_error_chunk(&client, cookie, is_full ? NBD_ENOSPC : NBD_EINVAL);
			assert_int_equal(client.told_offset, ranges[j][0]);
		}
	}
	assert_int_equal(client.submitted, 0);
	client_fini(&client);
}

/* --- extended headers --- */

static void test_extended_requests(void **state)
{
	uint8_t *data = pattern(100000);

	(void)state;
	for (size_t i = 0; i < SLICES; i++) {
		struct client client;
		const uint8_t *own;
		uint64_t cookie;
		uint32_t size;

		client_init(&client, slices[i]);
		client_go_extended(&client);
		cookie = client_request(&client, NBD_CMD_WRITE, NBD_CMD_FLAG_PAYLOAD_LEN | NBD_CMD_FLAG_FUA, 12345, 100000, data);
		expect_success(&client, cookie);
		assert_int_equal(client.told_offset, 12345);
		assert_true(client.last.force_unit_access);
		cookie = client_request(&client, NBD_CMD_READ, NBD_CMD_FLAG_DF, 12345, 100000, NULL);
		own = expect_chunk(&client, cookie, NBD_CHUNK_FLAG_DONE, NBD_CHUNK_OFFSET_DATA, &size);
		assert_int_equal(size, 8 + 100000);
		assert_int_equal(get_be64(own), 12345);
		assert_memory_equal(own + 8, data, 100000);
		expect_success(&client, client_request(&client, NBD_CMD_FLUSH, 0, 0, 0, NULL));
		expect_success(&client, client_request(&client, NBD_CMD_WRITE_ZEROES, 0, 0, EXPORT_SIZE, NULL));
		assert_int_equal(client.last.length, EXPORT_SIZE);
		expect_nothing(&client);
		client_request(&client, NBD_CMD_DISC, 0, 0, 0, NULL);
		expect_ended(&client, "disconnected by the client");
		client_fini(&client);
	}
	free(data);
}

/* A payload passes by whether its command has one or not; a length without the flag is none. */
static void test_payload_flag(void **state)
{
	static const uint16_t types[] = { NBD_CMD_READ, NBD_CMD_FLUSH, NBD_CMD_TRIM, NBD_CMD_CACHE, NBD_CMD_WRITE_ZEROES,
					  NBD_CMD_BLOCK_STATUS, 8, 0xffff };
	uint8_t *data = pattern(NBD_PAYLOAD_MAX);

	(void)state;
	for (size_t i = 1; i < SLICES; i++) {
		struct client client;

		client_init(&client, slices[i]);
		client_go(&client);
		expect_simple(&client, client_request(&client, NBD_CMD_WRITE, NBD_CMD_FLAG_PAYLOAD_LEN, 0, 512, data), NBD_EINVAL);
		expect_simple(&client, client_request(&client, NBD_CMD_TRIM, NBD_CMD_FLAG_PAYLOAD_LEN, 0, 512, NULL), NBD_EINVAL);
		expect_simple(&client, client_request(&client, NBD_CMD_FLUSH, 0, 0, 0, NULL), NBD_SUCCESS);
		client_fini(&client);
		client_init(&client, slices[i]);
		client_go_extended(&client);
		for (size_t j = 0; j < sizeof types / sizeof types[0]; j++) {
			uint64_t cookie = client_request(&client, types[j], NBD_CMD_FLAG_PAYLOAD_LEN, 0, 70000, data);

			expect_error_chunk(&client, cookie, NBD_EINVAL);
		}
		expect_error_chunk(&client, client_request(&client, NBD_CMD_WRITE, 0, 0, 512, NULL), NBD_EINVAL);
		expect_error_chunk(&client, client_request(&client, NBD_CMD_WRITE, NBD_CMD_FLAG_PAYLOAD_LEN, 0, 0, NULL), NBD_EINVAL);
		expect_error_chunk(&client, client_request(&client, NBD_CMD_WRITE, NBD_CMD_FLAG_PAYLOAD_LEN, EXPORT_SIZE, 512, data),
				   NBD_ENOSPC);
		if (slices[i] > 10000)
			expect_error_chunk(&client, client_request(&client, NBD_CMD_TRIM, NBD_CMD_FLAG_PAYLOAD_LEN, 0,
								   NBD_PAYLOAD_MAX, data), NBD_EINVAL);
		assert_int_equal(client.submitted, 0);
		expect_success(&client, client_request(&client, NBD_CMD_FLUSH, 0, 0, 0, NULL));
		client_request(&client, NBD_CMD_TRIM, NBD_CMD_FLAG_PAYLOAD_LEN, 0, NBD_PAYLOAD_MAX + 1, NULL);
		expect_nothing(&client);
		expect_ended(&client, "a payload of more than 32 MiB");
		client_fini(&client);
	}
	free(data);
}

static void test_headers_of_the_other_kind(void **state)
{
	struct client client;

	(void)state;
	client_init(&client, 100);
	client_go_extended(&client);
	client.extended = false;
	client_request(&client, NBD_CMD_FLUSH, 0, 0, 0, NULL);
	client_feed(&client, "1234", 4);
	expect_ended(&client, "bad request magic");
	client_fini(&client);
	client_init(&client, 100);
	client_go_structured(&client);
	client.extended = true;
	client_request(&client, NBD_CMD_FLUSH, 0, 0, 0, NULL);
	expect_ended(&client, "bad request magic");
	client_fini(&client);
}

/* --- holes --- */

static void go_either(struct client *client, bool extended)
{
	if (extended)
		client_go_extended(client);
	else
		client_go_structured(client);
	client->knows_holes = true;
}

static void write_at(struct client *client, uint64_t offset, uint32_t length, const uint8_t *data)
{
	expect_success(client, client_request(client, NBD_CMD_WRITE, client->extended ? NBD_CMD_FLAG_PAYLOAD_LEN : 0, offset, length,
					      data));
}

static void test_block_status(void **state)
{
	uint8_t *data = pattern(MIB);

	(void)state;
	for (size_t i = 0; i < 2 * SLICES; i++) {
		struct client client;
		const uint8_t *at;
		uint64_t cookie;
		uint32_t size;

		client_init(&client, slices[i / 2]);
		go_either(&client, i % 2 == 1);
		write_at(&client, 8192, 4096, data);
		write_at(&client, MIB, 8192, data);
		cookie = client_request(&client, NBD_CMD_BLOCK_STATUS, 0, 0, EXPORT_SIZE, NULL);
		at = expect_chunk(&client, cookie, NBD_CHUNK_FLAG_DONE,
				  client.extended ? NBD_CHUNK_BLOCK_STATUS_EXT : NBD_CHUNK_BLOCK_STATUS, &size);
		assert_int_equal(size, client.extended ? 8 + 5 * 16 : 4 + 5 * 8);
		assert_int_equal(get_be32(at), client.context);
		if (client.extended)
			assert_int_equal(get_be32(at + 4), 5);
		at += client.extended ? 8 : 4;
		expect_span(&client, &at, 8192, true);
		expect_span(&client, &at, 4096, false);
		expect_span(&client, &at, MIB - 12288, true);
		expect_span(&client, &at, 8192, false);
		expect_span(&client, &at, EXPORT_SIZE - MIB - 8192, true);
		cookie = client_request(&client, NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_REQ_ONE | NBD_CMD_FLAG_FUA, 8192, MIB, NULL);
		at = expect_chunk(&client, cookie, NBD_CHUNK_FLAG_DONE,
				  client.extended ? NBD_CHUNK_BLOCK_STATUS_EXT : NBD_CHUNK_BLOCK_STATUS, &size);
		assert_int_equal(size, client.extended ? 8 + 16 : 4 + 8);
		at += client.extended ? 8 : 4;
		expect_span(&client, &at, 4096, false);
		client.result = -EIO;
		expect_error_chunk(&client, client_request(&client, NBD_CMD_BLOCK_STATUS, 0, 0, 512, NULL), NBD_EIO);
		expect_nothing(&client);
		client_fini(&client);
	}
	free(data);
}

/* Reads the chunks of a sparse read into `out`; gives how many there were. */
static unsigned expect_sparse(struct client *client, uint64_t cookie, uint64_t offset, uint64_t length, uint8_t *out)
{
	unsigned chunks = 0;

	memset(out, 0xee, length);
	for (uint64_t done = 0; done < length; chunks++) {
		size_t header = client->extended ? NBD_EXTENDED_CHUNK_SIZE : NBD_CHUNK_SIZE;
		const uint8_t *chunk = client->out + client->out_read, *own;
		uint16_t flags, type;
		uint32_t size;

		assert_true(client->out_size - client->out_read >= header);
		flags = get_be16(chunk + 4);
		type = get_be16(chunk + 6);
		own = expect_chunk(client, cookie, flags, type, &size);
		assert_int_equal(get_be64(own), offset + done);
		if (type == NBD_CHUNK_OFFSET_HOLE) {
			assert_int_equal(size, 12);
			size = get_be32(own + 8);
			assert_in_range(size, 1, length - done);
			memset(out + done, 0, size);
		} else {
			assert_int_equal(type, NBD_CHUNK_OFFSET_DATA);
			size -= 8;
			assert_in_range(size, 1, length - done);
			memcpy(out + done, own + 8, size);
		}
		done += size;
		assert_int_equal(flags, done == length ? NBD_CHUNK_FLAG_DONE : 0);
	}
	return chunks;
}

static void test_sparse_reads(void **state)
{
	uint8_t *data = pattern(MIB), *out = memory_new(1, MIB);

	(void)state;
	for (size_t i = 0; i < 2 * SLICES; i++) {
		struct client client;
		uint64_t cookie;
		uint32_t size;

		client_init(&client, slices[i / 2]);
		go_either(&client, i % 2 == 1);
		cookie = client_request(&client, NBD_CMD_READ, 0, 77, MIB, NULL);
		assert_int_equal(expect_sparse(&client, cookie, 77, MIB, out), 1);
		for (uint32_t hole = 0; hole < 20; hole++)
			write_at(&client, 8192 * hole, 4096, data + 100 * hole);
		cookie = client_request(&client, NBD_CMD_READ, 0, 4096, 200000, NULL);
		assert_int_equal(expect_sparse(&client, cookie, 4096, 200000, out), 39);
		assert_memory_equal(out, client.disk + 4096, 200000);
		cookie = client_request(&client, NBD_CMD_READ, NBD_CMD_FLAG_DF, 100, 200000, NULL);
		expect_chunk(&client, cookie, NBD_CHUNK_FLAG_DONE, NBD_CHUNK_OFFSET_DATA, &size);
		assert_int_equal(size, 8 + 200000);
		cookie = client_request(&client, NBD_CMD_READ, 0, 4096, 4096, NULL); /* short: not worth a look */
		expect_chunk(&client, cookie, NBD_CHUNK_FLAG_DONE, NBD_CHUNK_OFFSET_DATA, &size);
		write_at(&client, 0, MIB, data);
		cookie = client_request(&client, NBD_CMD_READ, 0, 0, MIB, NULL);
		assert_int_equal(expect_sparse(&client, cookie, 0, MIB, out), 1);
		assert_memory_equal(out, data, MIB);
		expect_nothing(&client);
		client_fini(&client);
	}
	free(data);
	free(out);
}

/* Sparse replies among others, taken a few pieces at a time. */
static void test_sparse_replies_wait_their_turn(void **state)
{
	uint8_t *data = pattern(MIB), *out = memory_new(1, MIB);
	struct client client;
	uint64_t first, second, third;

	(void)state;
	client_init(&client, 64u * MIB);
	go_either(&client, true);
	for (uint32_t hole = 0; hole < 30; hole++)
		write_at(&client, 8192 * hole, 4096, data + 100 * hole);
	client.hold = true;
	first = client_request(&client, NBD_CMD_READ, 0, 0, 245760, NULL);
	second = client_request(&client, NBD_CMD_FLUSH, 0, 0, 0, NULL);
	third = client_request(&client, NBD_CMD_READ, 0, 8192, 100000, NULL);
	client.slice = 777;
	while (client.held_count > 0)
		client_answer(&client, 0, 0);
	client_drain(&client);
	assert_int_equal(expect_sparse(&client, first, 0, 245760, out), 60);
	assert_memory_equal(out, client.disk, 245760);
	expect_success(&client, second);
	expect_sparse(&client, third, 8192, 100000, out);
	assert_memory_equal(out, client.disk + 8192, 100000);
	expect_nothing(&client);
	client_fini(&client);
	free(data);
	free(out);
}

static void test_where_it_failed(void **state)
{
	(void)state;
	for (int extended = 0; extended < 2; extended++) {
		struct client client;
		const uint8_t *own;
		uint64_t cookie;
		uint32_t size;

		client_init(&client, 1000);
		go_either(&client, extended == 1);
		client.result = -EIO;
		client.fails_after = 4096;
		cookie = client_request(&client, NBD_CMD_TRIM, 0, 8192, MIB, NULL);
		own = expect_chunk(&client, cookie, NBD_CHUNK_FLAG_DONE, NBD_CHUNK_ERROR_OFFSET, &size);
		assert_int_equal(get_be32(own), NBD_EIO);
		assert_int_equal(get_be16(own + 4), size - 14);
		assert_int_equal(get_be64(own + size - 8), 8192 + 4096);
		client.fails_after = 0;
		expect_error_chunk(&client, client_request(&client, NBD_CMD_TRIM, 0, 8192, MIB, NULL), NBD_EIO);
		expect_nothing(&client);
		client_fini(&client);
	}
}

/* The payload of a refused write passes by; what follows it is understood. */
static void test_refused_writes(void **state)
{
	uint8_t *data = pattern(64u * MIB);

	(void)state;
	for (size_t i = 1; i < SLICES; i++) {
		struct client client;

		client_init(&client, slices[i]);
		client_go(&client);
		expect_simple(&client, client_request(&client, NBD_CMD_WRITE, 0, EXPORT_SIZE, 70000, data), NBD_ENOSPC);
		expect_simple(&client, client_request(&client, NBD_CMD_WRITE, 0, UINT64_MAX, 1, data), NBD_ENOSPC);
		expect_simple(&client, client_request(&client, NBD_CMD_WRITE, NBD_CMD_FLAG_DF, 0, 512, data), NBD_EINVAL);
		if (slices[i] > 10000) {
			expect_simple(&client, client_request(&client, NBD_CMD_WRITE, 0, 0, NBD_PAYLOAD_MAX + 1, data), NBD_EINVAL);
			expect_simple(&client, client_request(&client, NBD_CMD_WRITE, 0, 0, 64u * MIB, data), NBD_EINVAL);
		}
		assert_int_equal(client.submitted, 0);
		expect_simple(&client, client_request(&client, NBD_CMD_WRITE, 0, 0, 512, data), NBD_SUCCESS);
		client_request(&client, NBD_CMD_WRITE, 0, 0, 64u * MIB + 1, NULL);
		expect_nothing(&client);
		expect_ended(&client, "a write of more than 64 MiB");
		client_fini(&client);
	}
	free(data);
}

static void test_read_only(void **state)
{
	static const uint8_t data[600] = { 1 };
	struct client client;

	(void)state;
	client_init(&client, 100);
	client.read_only = true;
	client_go(&client);
	expect_simple(&client, client_request(&client, NBD_CMD_WRITE, 0, 0, sizeof data, data), NBD_EPERM);
	expect_simple(&client, client_request(&client, NBD_CMD_TRIM, 0, 0, 512, NULL), NBD_EPERM);
	expect_simple(&client, client_request(&client, NBD_CMD_WRITE_ZEROES, 0, 0, 512, NULL), NBD_EPERM);
	expect_simple(&client, client_request(&client, NBD_CMD_READ, 0, 0, 1, NULL), NBD_SUCCESS);
	expect_bytes(&client, 1);
	expect_simple(&client, client_request(&client, NBD_CMD_FLUSH, 0, 0, 0, NULL), NBD_SUCCESS);
	expect_simple(&client, client_request(&client, NBD_CMD_CACHE, 0, 0, 512, NULL), NBD_SUCCESS);
	client_fini(&client);
}

static void test_failures_of_the_disk(void **state)
{
	static const struct { int result; uint32_t error; } failures[] = {
		{ -EIO, NBD_EIO }, { -EROFS, NBD_EPERM }, { -EPERM, NBD_EPERM }, { -ENOSPC, NBD_ENOSPC }, { -EDQUOT, NBD_ENOSPC },
		{ -ENOMEM, NBD_ENOMEM }, { -EINVAL, NBD_EINVAL }, { -EOPNOTSUPP, NBD_ENOTSUP }, { -ESHUTDOWN, NBD_ESHUTDOWN },
		{ -EBADF, NBD_EIO },
	};
	struct client client, structured;

	(void)state;
	client_init(&client, 10000);
	client_go(&client);
	client_init(&structured, 10000);
	client_go_structured(&structured);
	for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
		client.result = structured.result = failures[i].result;
		expect_simple(&client, client_request(&client, NBD_CMD_READ, 0, 0, 512, NULL), failures[i].error);
		expect_nothing(&client);
		expect_error_chunk(&structured, client_request(&structured, NBD_CMD_READ, 0, 0, 512, NULL), failures[i].error);
		expect_error_chunk(&structured, client_request(&structured, NBD_CMD_FLUSH, 0, 0, 0, NULL), failures[i].error);
		expect_nothing(&structured);
	}
	client_fini(&client);
	client_fini(&structured);
}

/* --- order, limits and ends --- */

static void test_replies_in_any_order(void **state)
{
	struct client client;
	uint64_t first, second, third;

	(void)state;
	client_init(&client, 7);
	client_go(&client);
	client.hold = true;
	first = client_request(&client, NBD_CMD_READ, 0, 0, 10, NULL);
	second = client_request(&client, NBD_CMD_FLUSH, 0, 0, 0, NULL);
	third = client_request(&client, NBD_CMD_READ, 0, EXPORT_SIZE, 10, NULL); /* refused: answered at once */
	expect_simple(&client, third, NBD_EINVAL);
	assert_int_equal(nbd_session_in_flight(client.session), 2);
	client_answer(&client, 1, 0);
	client_drain(&client);
	expect_simple(&client, second, NBD_SUCCESS);
	client_answer(&client, 0, -EIO);
	client_drain(&client);
	expect_simple(&client, first, NBD_EIO);
	expect_nothing(&client);
	assert_int_equal(nbd_session_in_flight(client.session), 0);
	client_fini(&client);
}

/* Writes the requests of a client that reads nothing until the session takes no more; gives how many it took. */
static uint32_t push_requests(struct client *client, uint16_t type, uint32_t length)
{
	uint32_t count = 0;
	size_t room;
	uint8_t *to;

	while (count < 10000 && (to = nbd_session_want(client->session, &room)) != NULL) {
		assert_true(room >= NBD_REQUEST_SIZE);
		memset(to, 0, NBD_REQUEST_SIZE);
		put_be32(to, NBD_REQUEST_MAGIC);
		put_be16(to + 6, type);
		put_be32(to + 24, length);
		nbd_session_input(client->session, NBD_REQUEST_SIZE);
		count++;
	}
	return count;
}

static void test_what_a_client_can_make_us_hold(void **state)
{
	struct client client;

	(void)state;
	client_init(&client, MIB);
	client_go(&client);
	client.hold = true; /* a slow disk */
	assert_int_equal(push_requests(&client, NBD_CMD_FLUSH, 0), 128);
	client_answer(&client, 5, 0); /* the reply is not read: still held */
	assert_int_equal(push_requests(&client, NBD_CMD_FLUSH, 0), 0);
	client_drain(&client);
	assert_int_equal(push_requests(&client, NBD_CMD_FLUSH, 0), 1);
	client.hold = false;
	while (client.held_count > 0)
		client_answer(&client, 0, 0);
	client_drain(&client);
	assert_int_equal(push_requests(&client, NBD_CMD_BLOCK_STATUS, 1), 128); /* refusals nobody reads */
	client_drain(&client);
	assert_int_equal(push_requests(&client, NBD_CMD_READ, NBD_PAYLOAD_MAX), 2); /* replies nobody reads */
	client_drain(&client);
	assert_int_equal(push_requests(&client, NBD_CMD_READ, NBD_PAYLOAD_MAX - 1), 3);
	client_fini(&client);
}

/* --- memory that several share --- */

#define SHARERS 3u

static void share(struct client clients[SHARERS], struct nbd_budget *budget)
{
	nbd_budget_init(budget, 64u * MIB);
	for (unsigned i = 0; i < SHARERS; i++) {
		client_init_within(&clients[i], 64u * MIB, budget);
		client_go(&clients[i]);
		clients[i].hold = true;
	}
}

static void share_no_more(struct client clients[SHARERS], struct nbd_budget *budget)
{
	for (unsigned i = 0; i < SHARERS; i++)
		client_fini(&clients[i]);
	assert_true(list_is_empty(&budget->line));
	nbd_budget_fini(budget);
}

/* It wants input again, or has its turn. */
static bool goes_on(struct client *client)
{
	size_t room;

	if (nbd_session_want(client->session, &room) == NULL)
		return false;
	nbd_session_input(client->session, 0);
	return true;
}

static void test_who_wants_much_waits_his_turn(void **state)
{
	struct client clients[SHARERS];
	struct nbd_budget budget;
	unsigned wakes;

	(void)state;
	share(clients, &budget);
	client_request(&clients[0], NBD_CMD_READ, 0, 0, NBD_PAYLOAD_MAX, NULL);
	client_request(&clients[0], NBD_CMD_READ, 0, 0, NBD_PAYLOAD_MAX - 65536, NULL);
	assert_int_equal(clients[0].submitted, 2);
	client_request(&clients[1], NBD_CMD_READ, 0, 0, MIB, NULL);
	assert_int_equal(clients[1].submitted, 0);
	assert_false(goes_on(&clients[1]));
	assert_false(nbd_session_awaits(clients[1].session));
	client_request(&clients[2], NBD_CMD_FLUSH, 0, 0, 0, NULL);       /* needs nothing */
	client_request(&clients[2], NBD_CMD_READ, 0, 0, 65536, NULL);    /* who holds nothing always gets a little */
	client_request(&clients[2], NBD_CMD_READ, 0, 0, 4096, NULL);     /* would fit, but another was first */
	assert_int_equal(clients[2].submitted, 2);
	wakes = clients[1].wakes;
	client_answer(&clients[0], 0, 0); /* answered, and not taken: nothing is free yet */
	assert_int_equal(clients[1].wakes, wakes);
	client_drain(&clients[0]);
	assert_int_equal(clients[1].wakes, wakes + 1);
	assert_true(goes_on(&clients[1]));
	assert_int_equal(clients[1].submitted, 1);
	assert_true(goes_on(&clients[2]));
	assert_int_equal(clients[2].submitted, 3);
	share_no_more(clients, &budget);
}

static void test_who_leaves_the_line_is_passed_over(void **state)
{
	struct client clients[SHARERS];
	struct nbd_budget budget;

	(void)state;
	share(clients, &budget);
	client_request(&clients[0], NBD_CMD_READ, 0, 0, NBD_PAYLOAD_MAX, NULL);
	client_request(&clients[0], NBD_CMD_READ, 0, 0, NBD_PAYLOAD_MAX, NULL);
	client_request(&clients[1], NBD_CMD_WRITE, 0, 0, NBD_PAYLOAD_MAX, NULL);
	client_request(&clients[2], NBD_CMD_READ, 0, 0, NBD_PAYLOAD_MAX, NULL);
	assert_int_equal(clients[1].submitted + clients[2].submitted, 0);
	nbd_session_abandon(clients[1].session, "gone while it stands in line");
	client_answer(&clients[0], 0, -EIO);
	assert_true(goes_on(&clients[2]));
	assert_int_equal(clients[2].submitted, 1);
	client_request(&clients[2], NBD_CMD_READ, 0, 0, NBD_PAYLOAD_MAX, NULL);
	client_answer(&clients[0], 0, -EIO);
	assert_int_equal(budget.used, 64u * MIB);
	nbd_session_abandon(clients[2].session, "gone when its turn has come");
	assert_int_equal(budget.used, 32u * MIB);
	share_no_more(clients, &budget);
}

static void test_whom_is_waited_for(void **state)
{
	uint8_t header[NBD_REQUEST_SIZE] = { 0x25, 0x60, 0x95, 0x13, 0, 0, 0, NBD_CMD_WRITE };
	struct client client;

	(void)state;
	client_init(&client, 64u * MIB);
	assert_false(nbd_session_awaits(client.session)); /* the handshake has a limit of its own */
	client_go(&client);
	assert_false(nbd_session_awaits(client.session));
	header[NBD_REQUEST_SIZE - 1] = 2;
	client_feed(&client, header, 1);
	assert_true(nbd_session_awaits(client.session));
	client_feed(&client, header + 1, sizeof header - 1);
	assert_true(nbd_session_awaits(client.session));
	client_feed(&client, "1", 1);
	assert_true(nbd_session_awaits(client.session));
	client.hold = true;
	client_feed(&client, "2", 1);
	assert_false(nbd_session_awaits(client.session)); /* the disk is waited for */
	assert_int_equal(client.held_count, 1);
	client_fini(&client);
}

/* Requests that came with the one that reached the limit are kept, and go on when there is room. */
static void test_requests_wait_for_room(void **state)
{
	uint8_t requests[300][NBD_REQUEST_SIZE];
	struct client client;
	size_t room;

	(void)state;
	memset(requests, 0, sizeof requests);
	for (unsigned i = 0; i < 300; i++) {
		put_be32(requests[i], NBD_REQUEST_MAGIC);
		put_be16(requests[i] + 6, NBD_CMD_FLUSH);
		put_be64(requests[i] + 8, i);
	}
	client_init(&client, MIB);
	client_go(&client);
	client.hold = true;
	memcpy(nbd_session_want(client.session, &room), requests, sizeof requests);
	assert_true(room >= sizeof requests);
	nbd_session_input(client.session, sizeof requests);
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(client.held_count, 300 - i < 128 ? 300 - i : 128);
		assert_ptr_equal(nbd_session_want(client.session, &room), NULL);
		client_answer(&client, 0, 0);
		client_drain(&client);
		expect_simple(&client, i, NBD_SUCCESS);
		if (i >= 172)
			break;
	}
	client_fini(&client);
}

static void test_disconnect_waits_for_nothing_new(void **state)
{
	struct client client;
	uint64_t cookie;

	(void)state;
	client_init(&client, 1000);
	client_go(&client);
	client.hold = true;
	cookie = client_request(&client, NBD_CMD_FLUSH, 0, 0, 0, NULL);
	client_request(&client, NBD_CMD_DISC, 0, 0, 0, NULL);
	expect_ended(&client, "disconnected by the client");
	assert_int_equal(nbd_session_in_flight(client.session), 1);
	client_answer(&client, 0, 0);
	client_drain(&client);
	expect_simple(&client, cookie, NBD_SUCCESS);
	client_fini(&client);
}

static void test_bad_request_magic(void **state)
{
	static const uint8_t garbage[64] = { 0x25, 0x60, 0x95, 0x12 };
	struct client client;

	(void)state;
	client_init(&client, 10);
	client_go(&client);
	client_feed(&client, garbage, sizeof garbage);
	expect_nothing(&client);
	expect_ended(&client, "bad request magic");
	client_fini(&client);
}

/* A connection that breaks: nothing that was received and not submitted reaches the disk, replies are dropped. */
static void test_abandoned_with_requests_in_flight(void **state)
{
	uint8_t *data = pattern(10 * MIB);
	struct client client;
	struct iovec iov[4];

	(void)state;
	client_init(&client, MIB);
	client_go(&client);
	client.hold = true;
	client_request(&client, NBD_CMD_WRITE, 0, 0, 4096, data);
	push_requests(&client, NBD_CMD_FLUSH, 0);
	assert_int_equal(client.held_count, 128);
	nbd_session_abandon(client.session, "the connection broke");
	nbd_session_abandon(client.session, "again");
	while (client.held_count > 0)
		client_answer(&client, client.held_count / 2, 0);
	assert_int_equal(nbd_session_output(client.session, iov, 4), 0);
	expect_ended(&client, "the connection broke");
	client_fini(&client);
	for (size_t cut = 1; cut < 10u * MIB; cut = cut * 3 + 1) { /* in the middle of a write */
		client_init(&client, MIB);
		client_go(&client);
		client_request(&client, NBD_CMD_WRITE, 0, 0, 10 * MIB, NULL);
		client_feed(&client, data, cut);
		nbd_session_abandon(client.session, "the connection broke");
		assert_int_equal(client.submitted, 0);
		client_fini(&client);
	}
	free(data);
}

/* Random requests in random slices against a copy of the disk. */
static void test_random_requests(void **state)
{
	uint8_t *copy = memory_new(1, EXPORT_SIZE), *data = pattern(300000);
	uint64_t seed = 42;
	struct client client;

	(void)state;
	client_init(&client, 1);
	client_go(&client);
	for (unsigned i = 0; i < 3000; i++) {
		uint64_t draw = seed = seed * 6364136223846793005u + 1442695040888963407u;
		uint32_t length = (uint32_t)((draw >> 20) % 300000) >> ((draw >> 40) % 18);
		uint64_t offset = (draw >> 13) % (EXPORT_SIZE - 300000), cookie;

		length += length == 0;
		client.slice = 1 + (draw >> 33) % (draw % 2 == 0 ? 100 : 200000);
		if (draw >> 60 < 8) {
			memcpy(copy + offset, data + i % 1000, length < 299000 ? length : (length = 299000));
			cookie = client_request(&client, NBD_CMD_WRITE, 0, offset, length, data + i % 1000);
			expect_simple(&client, cookie, NBD_SUCCESS);
		} else {
			cookie = client_request(&client, NBD_CMD_READ, 0, offset, length, NULL);
			expect_simple(&client, cookie, NBD_SUCCESS);
			assert_memory_equal(expect_bytes(&client, length), copy + offset, length);
		}
		expect_nothing(&client);
		client.out_size = client.out_read = 0;
	}
	client_fini(&client);
	free(copy);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_then_read),
		cmocka_unit_test(test_structured_read),
		cmocka_unit_test(test_largest_payloads),
		cmocka_unit_test(test_commands_and_their_flags),
		cmocka_unit_test(test_bad_requests_are_refused),
		cmocka_unit_test(test_bad_long_requests),
		cmocka_unit_test(test_extended_requests),
		cmocka_unit_test(test_payload_flag),
		cmocka_unit_test(test_headers_of_the_other_kind),
		cmocka_unit_test(test_block_status),
		cmocka_unit_test(test_sparse_reads),
		cmocka_unit_test(test_sparse_replies_wait_their_turn),
		cmocka_unit_test(test_where_it_failed),
		cmocka_unit_test(test_refused_writes),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_failures_of_the_disk),
		cmocka_unit_test(test_replies_in_any_order),
		cmocka_unit_test(test_what_a_client_can_make_us_hold),
		cmocka_unit_test(test_who_wants_much_waits_his_turn),
		cmocka_unit_test(test_who_leaves_the_line_is_passed_over),
		cmocka_unit_test(test_whom_is_waited_for),
		cmocka_unit_test(test_requests_wait_for_room),
		cmocka_unit_test(test_disconnect_waits_for_nothing_new),
		cmocka_unit_test(test_bad_request_magic),
		cmocka_unit_test(test_abandoned_with_requests_in_flight),
		cmocka_unit_test(test_random_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
