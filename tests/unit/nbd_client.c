#include "nbd_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/memory.h"

static void describe(const struct client *client, struct nbd_export *out_export)
{
	*out_export = (struct nbd_export){ .size = EXPORT_SIZE, .read_only = client->read_only };
	snprintf(out_export->name, sizeof out_export->name, "%s", EXPORT_NAME);
	snprintf(out_export->description, sizeof out_export->description, "%s", EXPORT_TEXT);
}

static bool host_find(void *host, const char *name, struct nbd_export *out_export)
{
	struct client *client = host;

	if (client->empty || strcmp(name, EXPORT_NAME) != 0)
		return false;
	describe(client, out_export);
	return true;
}

static bool host_list(void *host, uint32_t index, struct nbd_export *out_export)
{
	struct client *client = host;

	if (client->empty || index > 1)
		return false;
	describe(client, out_export);
	if (index == 1)
		snprintf(out_export->name, sizeof out_export->name, "d-two");
	return true;
}

static bool host_open(void *host, const struct nbd_export *chosen)
{
	struct client *client = host;

	assert_string_equal(chosen->name, EXPORT_NAME);
	return !client->refuse_open;
}

static void carry_out(struct client *client, struct nbd_request *request)
{
	if (client->result < 0)
		return;
	switch (request->command) {
	case NBD_READ:
		memcpy(request->buffer, client->disk + request->offset, request->length);
		break;
	case NBD_WRITE:
		memcpy(client->disk + request->offset, request->buffer, request->length);
		break;
	case NBD_TRIM:
	case NBD_WRITE_ZEROES:
		memset(client->disk + request->offset, 0, request->length);
		break;
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
	*client = (struct client){ .slice = slice, .cookie = 0x1122334455667700 };
	client->disk = memory_new(1, EXPORT_SIZE);
	client->session = nbd_session_new(&host, client);
}

void client_fini(struct client *client)
{
	while (client->held_count > 0)
		client_answer(client, 0, 0);
	nbd_session_free(client->session);
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

void client_go_structured(struct client *client)
{
	uint32_t size;

	client_hello(client, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	client_option(client, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
	expect_option_reply(client, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK, &size);
	go(client);
}

uint64_t client_request(struct client *client, uint16_t type, uint16_t flags, uint64_t offset, uint32_t length,
			const void *payload)
{
	uint8_t bytes[NBD_REQUEST_SIZE];

	client->cookie++;
	put_be32(bytes, NBD_REQUEST_MAGIC);
	put_be16(bytes + 4, flags);
	put_be16(bytes + 6, type);
	put_be64(bytes + 8, client->cookie);
	put_be64(bytes + 16, offset);
	put_be32(bytes + 24, length);
	client_feed(client, bytes, sizeof bytes);
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

void expect_error_chunk(struct client *client, uint64_t cookie, uint32_t error)
{
	const uint8_t *chunk = expect_bytes(client, NBD_CHUNK_SIZE);
	const uint8_t *own;
	uint32_t size = get_be32(chunk + 16);

	assert_int_equal(get_be32(chunk), NBD_CHUNK_MAGIC);
	assert_int_equal(get_be16(chunk + 4), NBD_CHUNK_FLAG_DONE);
	assert_int_equal(get_be16(chunk + 6), NBD_CHUNK_ERROR);
	assert_int_equal(get_be64(chunk + 8), cookie);
	own = expect_bytes(client, size);
	assert_int_equal(get_be32(own), error);
	assert_int_equal(get_be16(own + 4), size - 6);
	assert_true(size > 6);
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
