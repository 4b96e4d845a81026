#include "nbd_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/memory.h"
#include "base/span.h"

static void describe(const struct client *client, struct nbd_export *out_export)
{
	*out_export = (struct nbd_export){ .size = EXPORT_SIZE, .read_only = client->read_only };
	snprintf(out_export->name, sizeof out_export->name, "%s", EXPORT_NAME);
	snprintf(out_export->description, sizeof out_export->description, "%s", EXPORT_TEXT);
}

static enum nbd_found host_find(void *host, const char *name, struct nbd_export *out_export)
{
	struct client *client = host;

	if (client->empty || (strcmp(name, EXPORT_NAME) != 0 && strcmp(name, "d-two") != 0))
		return NBD_NOT_FOUND;
	if (client->elsewhere)
		return NBD_ELSEWHERE;
	describe(client, out_export);
	snprintf(out_export->name, sizeof out_export->name, "%s", name);
	return NBD_FOUND;
}

static bool host_list(void *host, uint32_t *place, struct nbd_export *out_export)
{
	struct client *client = host;

	if (client->empty || *place > 1)
		return false;
	describe(client, out_export);
	if ((*place)++ == 1)
		snprintf(out_export->name, sizeof out_export->name, "d-two");
	return true;
}

static bool host_open(void *host, const struct nbd_export *chosen)
{
	struct client *client = host;

	assert_string_equal(chosen->name, EXPORT_NAME);
	return !client->refuse_open;
}

/* Blocks of zeros are holes, where the test says that this host knows holes. */
static void map(const struct client *client, struct nbd_request *request)
{
	static const uint8_t zeros[4096];
	uint64_t left = request->length;
	uint32_t most = request->one ? 1 : NBD_SPANS_MAX, count = 0;

	for (const uint8_t *at = client->disk + request->offset; left > 0; ) {
		uint64_t size = left < sizeof zeros ? left : sizeof zeros;
		bool hole = client->knows_holes && memcmp(at, zeros, size) == 0;

		if (count > 0 && request->spans[count - 1].hole == hole)
			request->spans[count - 1].length += size;
		else if (count == most)
			break;
		else
			request->spans[count++] = (struct span){ .length = size, .hole = hole };
		at += size;
		left -= size;
	}
	request->span_count = request->command == NBD_READ && left > 0 ? 0 : count;
}

static void carry_out(struct client *client, struct nbd_request *request)
{
	if (client->result < 0) {
		request->failed_at = request->offset + client->fails_after;
		return;
	}
	switch (request->command) {
	case NBD_READ:
		if (request->spans != NULL && client->knows_holes)
			map(client, request);
		memcpy(request->buffer, client->disk + request->offset, request->length);
		break;
	case NBD_WRITE:
		memcpy(client->disk + request->offset, request->buffer, request->length);
		break;
	case NBD_TRIM:
	case NBD_WRITE_ZEROES:
		memset(client->disk + request->offset, 0, request->length);
		break;
	case NBD_BLOCK_STATUS:
		map(client, request);
		break;
	case NBD_CACHE:
	case NBD_FLUSH:
		break;
	}
}

static void host_submit(void *host, struct nbd_request *request)
{
	struct client *client = host;

	client->submitted++;
	client->last = *request;
	if (request->command != NBD_FLUSH) {
		assert_true(request->offset <= EXPORT_SIZE && request->length <= EXPORT_SIZE - request->offset);
		assert_true(request->length > 0);
	}
	if (request->command == NBD_READ || request->command == NBD_WRITE) {
		assert_true(request->length <= NBD_PAYLOAD_MAX);
		assert_non_null(request->buffer);
		assert_int_equal((uintptr_t)request->buffer % 4096, 0);
	} else {
		assert_null(request->buffer);
	}
	if (request->command != NBD_READ)
		assert_int_equal(request->spans != NULL, request->command == NBD_BLOCK_STATUS);
	assert_int_equal(request->span_count, 0);
	if (client->hold) {
		assert_true(client->held_count < HELD_MAX);
		client->held[client->held_count++] = request;
		return;
	}
	carry_out(client, request);
	nbd_session_done(client->session, request, client->result);
}

static void host_wake(void *host)
{
	((struct client *)host)->wakes++;
}

static const struct nbd_host host = {
	.find = host_find, .list = host_list, .open = host_open, .submit = host_submit, .wake = host_wake,
};

void client_init(struct client *client, size_t slice)
{
	client_init_within(client, slice, &client->budget);
}

void client_init_within(struct client *client, size_t slice, struct nbd_budget *budget)
{
	*client = (struct client){ .slice = slice, .cookie = 0x1122334455667700 };
	client->disk = memory_new(1, EXPORT_SIZE);
	nbd_budget_init(&client->budget, UINT64_MAX);
	client->session = nbd_session_new(&host, client, budget);
}

void client_fini(struct client *client)
{
	while (client->held_count > 0)
		client_answer(client, 0, 0);
	nbd_session_free(client->session);
	nbd_budget_fini(&client->budget);
	free(client->disk);
	free(client->out);
}

void client_answer(struct client *client, size_t index, int result)
{
	struct nbd_request *request = client->held[index];

	assert_true(index < client->held_count);
	memmove(client->held + index, client->held + index + 1, (client->held_count - index - 1) * sizeof client->held[0]);
	client->held_count--;
	client->result = result;
	carry_out(client, request);
	client->result = 0;
	nbd_session_done(client->session, request, result);
}

void client_drain(struct client *client)
{
	struct iovec iov[5];
	int count;

	while ((count = nbd_session_output(client->session, iov, 5)) > 0) {
		size_t room = client->slice, sent = 0;

		for (int i = 0; i < count && room > 0; i++) {
			size_t size = iov[i].iov_len < room ? iov[i].iov_len : room;

			if (client->out_size + size > client->out_room) {
				client->out_room = 2 * (client->out_size + size);
				client->out = memory_resize(client->out, client->out_room, 1);
			}
			memcpy(client->out + client->out_size, iov[i].iov_base, size);
			client->out_size += size;
			room -= size;
			sent += size;
		}
		nbd_session_sent(client->session, sent);
	}
}

size_t client_feed(struct client *client, const void *bytes, size_t size)
{
	const uint8_t *from = bytes;
	size_t fed = 0;

	while (fed < size) {
		size_t room, now = size - fed;
		uint8_t *to = nbd_session_want(client->session, &room);

		if (to == NULL) {
			client_drain(client);
			to = nbd_session_want(client->session, &room);
		}
		if (to == NULL)
			break;
		now = now < room ? now : room;
		now = now < client->slice ? now : client->slice;
		memcpy(to, from + fed, now);
		nbd_session_input(client->session, now);
		fed += now;
	}
	client_drain(client);
	return fed;
}

/* --- messages --- */

void client_hello(struct client *client, uint32_t flags)
{
	uint8_t bytes[4];
	const uint8_t *greeting;

	client_drain(client);
	greeting = expect_bytes(client, 18);
	assert_memory_equal(greeting, "NBDMAGICIHAVEOPT", 16);
	assert_int_equal(get_be16(greeting + 16), NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	put_be32(bytes, flags);
	assert_int_equal(client_feed(client, bytes, 4), 4);
}

void client_option(struct client *client, uint32_t option, const void *data, uint32_t size)
{
	uint8_t *bytes = memory_new(1, 16 + size);

	put_be64(bytes, NBD_OPTION_MAGIC);
	put_be32(bytes + 8, option);
	put_be32(bytes + 12, size);
	if (size > 0)
		memcpy(bytes + 16, data, size);
	client_feed(client, bytes, 16 + size);
	free(bytes);
}

void client_choose_allocation(struct client *client)
{
	static const uint8_t data[] = "\0\0\0\5" EXPORT_NAME "\0\0\0\1" "\0\0\0\17" "base:allocation";
	const uint8_t *answer;
	uint32_t size;

	client_option(client, NBD_OPT_SET_META_CONTEXT, data, sizeof data - 1);
	answer = expect_option_reply(client, NBD_OPT_SET_META_CONTEXT, NBD_REP_META_CONTEXT, &size);
	client->context = get_be32(answer);
	assert_int_equal(size, 4 + 15);
	assert_memory_equal(answer + 4, "base:allocation", 15);
	expect_option_reply(client, NBD_OPT_SET_META_CONTEXT, NBD_REP_ACK, &size);
}

static void go(struct client *client)
{
	static const uint8_t data[] = "\0\0\0\5" EXPORT_NAME "\0\0";
	uint32_t size;

	client_option(client, NBD_OPT_GO, data, sizeof data - 1);
	expect_option_reply(client, NBD_OPT_GO, NBD_REP_INFO, &size);
	expect_option_reply(client, NBD_OPT_GO, NBD_REP_ACK, &size);
	assert_true(nbd_session_transmitting(client->session));
}

void client_go(struct client *client)
{
	client_hello(client, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	go(client);
}

static void go_with(struct client *client, uint32_t option)
{
	uint32_t size;

	client_hello(client, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	client_option(client, option, NULL, 0);
	expect_option_reply(client, option, NBD_REP_ACK, &size);
	client_choose_allocation(client);
	go(client);
}

void client_go_structured(struct client *client)
{
	go_with(client, NBD_OPT_STRUCTURED_REPLY);
}

void client_go_extended(struct client *client)
{
	go_with(client, NBD_OPT_EXTENDED_HEADERS);
	client->extended = true;
}

uint64_t client_request(struct client *client, uint16_t type, uint16_t flags, uint64_t offset, uint64_t length,
			const void *payload)
{
	uint8_t bytes[NBD_EXTENDED_REQUEST_SIZE];

	client->cookie++;
	put_be32(bytes, client->extended ? NBD_EXTENDED_REQUEST_MAGIC : NBD_REQUEST_MAGIC);
	put_be16(bytes + 4, flags);
	put_be16(bytes + 6, type);
	put_be64(bytes + 8, client->cookie);
	put_be64(bytes + 16, offset);
	if (client->extended) {
		put_be64(bytes + 24, length);
	} else {
		assert_true(length <= UINT32_MAX);
		put_be32(bytes + 24, (uint32_t)length);
	}
	client_feed(client, bytes, client->extended ? NBD_EXTENDED_REQUEST_SIZE : NBD_REQUEST_SIZE);
	if (payload != NULL)
		client_feed(client, payload, length);
	return client->cookie;
}

/* --- what was said --- */

const uint8_t *expect_bytes(struct client *client, size_t size)
{
	const uint8_t *found = client->out + client->out_read;

	assert_true(client->out_size - client->out_read >= size);
	client->out_read += size;
	return found;
}

const uint8_t *expect_option_reply(struct client *client, uint32_t option, uint32_t type, uint32_t *out_size)
{
	const uint8_t *header = expect_bytes(client, 20);

	assert_int_equal(get_be64(header), NBD_OPTION_REPLY_MAGIC);
	assert_int_equal(get_be32(header + 8), option);
	assert_int_equal(get_be32(header + 12), type);
	*out_size = get_be32(header + 16);
	return expect_bytes(client, *out_size);
}

void expect_simple(struct client *client, uint64_t cookie, uint32_t error)
{
	const uint8_t *reply = expect_bytes(client, NBD_SIMPLE_REPLY_SIZE);

	assert_int_equal(get_be32(reply), NBD_SIMPLE_REPLY_MAGIC);
	assert_int_equal(get_be32(reply + 4), error);
	assert_int_equal(get_be64(reply + 8), cookie);
}

const uint8_t *expect_chunk(struct client *client, uint64_t cookie, uint16_t flags, uint16_t type, uint32_t *out_size)
{
	const uint8_t *chunk = expect_bytes(client, client->extended ? NBD_EXTENDED_CHUNK_SIZE : NBD_CHUNK_SIZE);

	assert_int_equal(get_be32(chunk), client->extended ? NBD_EXTENDED_CHUNK_MAGIC : NBD_CHUNK_MAGIC);
	assert_int_equal(get_be16(chunk + 4), flags);
	assert_int_equal(get_be16(chunk + 6), type);
	assert_int_equal(get_be64(chunk + 8), cookie);
	if (client->extended) {
		client->told_offset = get_be64(chunk + 16);
		assert_int_equal(get_be32(chunk + 24), 0);
		*out_size = get_be32(chunk + 28);
	} else {
		*out_size = get_be32(chunk + 16);
	}
	return expect_bytes(client, *out_size);
}

void expect_success(struct client *client, uint64_t cookie)
{
	uint32_t size;

	if (client->extended) {
		expect_chunk(client, cookie, NBD_CHUNK_FLAG_DONE, NBD_CHUNK_NONE, &size);
		assert_int_equal(size, 0);
	} else {
		expect_simple(client, cookie, NBD_SUCCESS);
	}
}

void expect_error_chunk(struct client *client, uint64_t cookie, uint32_t error)
{
	uint32_t size;
	const uint8_t *own = expect_chunk(client, cookie, NBD_CHUNK_FLAG_DONE, NBD_CHUNK_ERROR, &size);

	assert_int_equal(get_be32(own), error);
	assert_int_equal(get_be16(own + 4), size - 6);
	assert_true(size > 6);
}

void expect_span(struct client *client, const uint8_t **at, uint64_t length, bool hole)
{
	if (client->extended) {
		assert_int_equal(get_be64(*at), length);
		assert_int_equal(get_be64(*at + 8), hole ? NBD_STATE_HOLE | NBD_STATE_ZERO : 0);
		*at += 16;
	} else {
		assert_int_equal(get_be32(*at), length);
		assert_int_equal(get_be32(*at + 4), hole ? NBD_STATE_HOLE | NBD_STATE_ZERO : 0);
		*at += 8;
	}
}

void expect_nothing(struct client *client)
{
	assert_int_equal(client->out_size, client->out_read);
}

void expect_ended(struct client *client, const char *reason)
{
	size_t room;

	assert_true(nbd_session_ended(client->session));
	assert_string_equal(nbd_session_reason(client->session), reason);
	assert_null(nbd_session_want(client->session, &room));
}
