/* A session that goes on elsewhere: in the middle of a negotiation, or parked between two requests. What the client has
 * sent ahead is carried out once, in order, after it. */
#include "nbd_client.h"

#include <stdlib.h>

#include "base/memory.h"
#include "nbd_request.h"

#define KIB 1024u
#define MIB (1024u * 1024u)

static const size_t slices[] = { 1, 7, 100, 5000, 64u * MIB };
#define SLICES (sizeof slices / sizeof slices[0])

/* Messages in a row, as a client sends them that does not wait. */
struct stream {
	uint8_t *bytes;
	size_t size;
	uint64_t cookie;
};

static void stream_put(struct stream *stream, const void *bytes, size_t size)
{
	stream->bytes = memory_resize(stream->bytes, stream->size + size, 1);
	memcpy(stream->bytes + stream->size, bytes, size);
	stream->size += size;
}

static void stream_option(struct stream *stream, uint32_t option, const void *data, uint32_t size)
{
	uint8_t header[16];

	put_be64(header, NBD_OPTION_MAGIC);
	put_be32(header + 8, option);
	put_be32(header + 12, size);
	stream_put(stream, header, sizeof header);
	stream_put(stream, data, size);
}

/* Gives the cookie. */
static uint64_t stream_request(struct stream *stream, uint16_t type, uint64_t offset, uint32_t length, const void *payload)
{
	uint8_t header[NBD_REQUEST_SIZE];

	nbd_request_encode(header, type, ++stream->cookie, offset, length);
	stream_put(stream, header, sizeof header);
	if (payload != NULL)
		stream_put(stream, payload, length);
	return stream->cookie;
}

static uint8_t *pattern(size_t size)
{
	uint8_t *bytes = memory_new(1, size);

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 11 + i / 253 + 1);
	return bytes;
}

/* What a shard that the session goes to has. */
static struct nbd_budget *budget_new(void)
{
	struct nbd_budget *budget = memory_new(1, sizeof *budget);

	nbd_budget_init(budget, NBD_REQUEST_BYTES_MAX);
	return budget;
}

static void budget_end(struct nbd_budget *budget)
{
	nbd_budget_fini(budget);
	free(budget);
}

static void expect_waiting(struct client *client)
{
	size_t room;

	expect_nothing(client);
	assert_null(nbd_session_want(client->session, &room));
	assert_false(nbd_session_ended(client->session));
	assert_false(nbd_session_awaits(client->session));
	assert_int_equal(client->submitted, 0);
}

/* --- an option that names an export of somewhere else --- */

static void expect_write_and_read(struct client *client, const uint8_t *data)
{
	expect_simple(client, 1, NBD_SUCCESS);
	expect_simple(client, 2, NBD_SUCCESS);
	assert_memory_equal(expect_bytes(client, 300), data, 300);
	expect_nothing(client);
	expect_ended(client, "disconnected by the client");
	assert_int_equal(client->submitted, 2);
}

/* The option and all that is sent behind it, in two places after each other before the third has the export. */
static void choose_elsewhere(uint32_t option, const void *data, uint32_t data_size, size_t slice)
{
	struct nbd_budget *third = budget_new();
	uint8_t *written = pattern(300);
	struct stream stream = { 0 };
	struct client client;
	uint32_t size;
	size_t fed;

	stream_option(&stream, option, data, data_size);
	stream_request(&stream, NBD_CMD_WRITE, 4096, 300, written);
	stream_request(&stream, NBD_CMD_READ, 4096, 300, NULL);
	stream_request(&stream, NBD_CMD_DISC, 0, 0, NULL);
	client_init(&client, slice);
	client_hello(&client, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	client.elsewhere = true;
	fed = client_feed(&client, stream.bytes, stream.size);
	expect_waiting(&client);
	nbd_session_resume(client.session, &client.budget);
	expect_waiting(&client);
	client.elsewhere = false;
	nbd_session_resume(client.session, third);
	client_feed(&client, stream.bytes + fed, stream.size - fed);
	if (option == NBD_OPT_EXPORT_NAME) {
		assert_int_equal(get_be64(expect_bytes(&client, 10)), EXPORT_SIZE);
	} else {
		expect_option_reply(&client, option, NBD_REP_INFO, &size);
		expect_option_reply(&client, option, NBD_REP_ACK, &size);
	}
	expect_write_and_read(&client, written);
	client_fini(&client);
	budget_end(third);
	free(written);
	free(stream.bytes);
}

static void an_export_of_another_place_is_chosen_there_with_what_was_sent_behind(void **state)
{
	static const uint8_t go[] = "\0\0\0\5" EXPORT_NAME "\0\0";

	(void)state;
	for (size_t i = 0; i < SLICES; i++) {
		choose_elsewhere(NBD_OPT_GO, go, sizeof go - 1, slices[i]);
		choose_elsewhere(NBD_OPT_EXPORT_NAME, EXPORT_NAME, sizeof EXPORT_NAME - 1, slices[i]);
	}
}

static void options_that_only_ask_are_answered_there_once(void **state)
{
	static const uint8_t info[] = "\0\0\0\5" EXPORT_NAME "\0\0";
	static const uint8_t context[] = "\0\0\0\5" EXPORT_NAME "\0\0\0\1" "\0\0\0\17" "base:allocation";
	struct client client;
	uint32_t size;

	(void)state;
	client_init(&client, 50);
	client_hello(&client, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	client_option(&client, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
	expect_option_reply(&client, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK, &size);
	client.elsewhere = true;
	client_option(&client, NBD_OPT_SET_META_CONTEXT, context, sizeof context - 1);
	expect_waiting(&client);
	client.elsewhere = false;
	nbd_session_resume(client.session, &client.budget);
	client_drain(&client);
	expect_option_reply(&client, NBD_OPT_SET_META_CONTEXT, NBD_REP_META_CONTEXT, &size);
	expect_option_reply(&client, NBD_OPT_SET_META_CONTEXT, NBD_REP_ACK, &size);
	expect_nothing(&client);
	client.elsewhere = true;
	client_option(&client, NBD_OPT_INFO, info, sizeof info - 1);
	expect_waiting(&client);
	client.elsewhere = false;
	nbd_session_resume(client.session, &client.budget);
	client_drain(&client);
	expect_option_reply(&client, NBD_OPT_INFO, NBD_REP_INFO, &size);
	expect_option_reply(&client, NBD_OPT_INFO, NBD_REP_ACK, &size);
	expect_nothing(&client);
	assert_false(nbd_session_transmitting(client.session));
	client_fini(&client);
}

static void an_export_that_went_away_meanwhile_is_refused(void **state)
{
	static const uint8_t go[] = "\0\0\0\5" EXPORT_NAME "\0\0";
	struct client client;
	uint32_t size;

	(void)state;
	client_init(&client, 1000);
	client_hello(&client, NBD_FLAG_FIXED_NEWSTYLE);
	client.elsewhere = true;
	client_option(&client, NBD_OPT_GO, go, sizeof go - 1);
	expect_waiting(&client);
	client.empty = true;
	nbd_session_resume(client.session, &client.budget);
	client_drain(&client);
	expect_option_reply(&client, NBD_OPT_GO, NBD_REP_ERR_UNKNOWN, &size);
	client.empty = false;
	client_option(&client, NBD_OPT_GO, go, sizeof go - 1);
	nbd_session_abandon(client.session, "gone while it waited");
	expect_ended(&client, "gone while it waited");
	nbd_session_resume(client.session, &client.budget);
	expect_ended(&client, "gone while it waited");
	client_fini(&client);
}

/* --- parked --- */

static void what_is_held_is_answered_and_what_is_behind_it_waits(void **state)
{
	struct nbd_budget *other = budget_new();
	uint8_t *written = pattern(2000);
	struct stream stream = { 0 };
	struct client client;
	size_t room;

	(void)state;
	client_init(&client, MIB);
	client_go(&client);
	client.hold = true;
	stream_request(&stream, NBD_CMD_WRITE, 0, 2000, written);
	client_feed(&client, stream.bytes, stream.size);
	assert_non_null(nbd_session_want(client.session, &room)); /* a receive is under way */
	nbd_session_park(client.session);
	assert_false(nbd_session_is_parked(client.session));
	nbd_session_input(client.session, 0); /* and given up */
	client_answer(&client, 0, 0);
	assert_false(nbd_session_is_parked(client.session)); /* its reply is to be sent */
	client_drain(&client);
	expect_simple(&client, 1, NBD_SUCCESS);
	assert_true(nbd_session_is_parked(client.session));
	assert_int_equal(client.budget.used, 0);
	assert_null(nbd_session_want(client.session, &room));
	assert_false(nbd_session_awaits(client.session));
	nbd_session_resume(client.session, other);
	assert_false(nbd_session_is_parked(client.session));
	client.hold = false;
	stream.size = 0;
	stream_request(&stream, NBD_CMD_READ, 0, 2000, NULL);
	client_feed(&client, stream.bytes, stream.size);
	expect_simple(&client, 2, NBD_SUCCESS);
	assert_memory_equal(expect_bytes(&client, 2000), written, 2000);
	client_fini(&client);
	budget_end(other);
	free(written);
	free(stream.bytes);
}

static void requests_received_after_the_park_are_carried_out_after_it(void **state)
{
	uint8_t *written = pattern(2000);
	struct stream stream = { 0 };
	struct client client;
	uint8_t *place;
	size_t room;

	(void)state;
	for (size_t cut = 0; cut <= NBD_REQUEST_SIZE + 2000 + NBD_REQUEST_SIZE; cut += 13) {
		stream.size = 0;
		stream.cookie = 0;
		client_init(&client, MIB);
		client_go(&client);
		place = nbd_session_want(client.session, &room);
		nbd_session_park(client.session);
		stream_request(&stream, NBD_CMD_WRITE, 0, 2000, written);
		stream_request(&stream, NBD_CMD_READ, 0, 2000, NULL);
		memcpy(place, stream.bytes, cut);
		nbd_session_input(client.session, cut);
		assert_true(nbd_session_is_parked(client.session));
		assert_null(nbd_session_want(client.session, &room));
		assert_int_equal(client.submitted, 0);
		nbd_session_resume(client.session, &client.budget);
		client_feed(&client, stream.bytes + cut, stream.size - cut);
		expect_simple(&client, 1, NBD_SUCCESS);
		expect_simple(&client, 2, NBD_SUCCESS);
		assert_memory_equal(expect_bytes(&client, 2000), written, 2000);
		expect_nothing(&client);
		assert_int_equal(client.submitted, 2);
		client_fini(&client);
	}
	free(written);
	free(stream.bytes);
}

static void a_payload_that_is_coming_in_is_completed_first(void **state)
{
	static const uint32_t sizes[] = { 2, 4 * KIB, 100 * KIB, 300 * KIB };
	uint8_t *written = pattern(300 * KIB);

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		size_t half = NBD_REQUEST_SIZE + sizes[i] / 2, fed;
		struct stream stream = { 0 };
		struct client client;

		stream_request(&stream, NBD_CMD_WRITE, 512, sizes[i], written);
		stream_request(&stream, NBD_CMD_FLUSH, 0, 0, NULL);
		client_init(&client, 64 * MIB);
		client_go(&client);
		client_feed(&client, stream.bytes, half);
		nbd_session_park(client.session);
		assert_false(nbd_session_is_parked(client.session));
		assert_true(nbd_session_awaits(client.session));
		fed = half + client_feed(&client, stream.bytes + half, stream.size - half);
		expect_simple(&client, 1, NBD_SUCCESS);
		expect_nothing(&client);
		assert_true(nbd_session_is_parked(client.session));
		assert_int_equal(client.submitted, 1);
		nbd_session_resume(client.session, &client.budget);
		client_feed(&client, stream.bytes + fed, stream.size - fed);
		expect_simple(&client, 2, NBD_SUCCESS);
		assert_memory_equal(client.disk + 512, written, sizes[i]);
		client_fini(&client);
		free(stream.bytes);
	}
	free(written);
}

/* Two clients, memory for one. */
static void who_stands_in_line_leaves_it_and_comes_back(void **state)
{
	struct nbd_budget *budget = budget_new();
	struct client first, second;
	uint64_t cookie;
	size_t room;

	(void)state;
	client_init_within(&first, MIB, budget);
	client_init_within(&second, MIB, budget);
	client_go(&first);
	client_go(&second);
	first.hold = true;
	client_request(&first, NBD_CMD_READ, 0, 0, NBD_PAYLOAD_MAX, NULL);
	client_request(&first, NBD_CMD_READ, 0, 0, NBD_PAYLOAD_MAX, NULL);
	cookie = client_request(&second, NBD_CMD_READ, 0, 0, MIB, NULL);
	assert_false(list_is_empty(&budget->line));
	nbd_session_park(second.session);
	assert_true(list_is_empty(&budget->line));
	assert_true(nbd_session_is_parked(second.session));
	nbd_session_resume(second.session, budget);
	assert_false(list_is_empty(&budget->line));
	client_answer(&first, 0, 0);
	client_drain(&first);
	nbd_session_park(second.session); /* with what it was granted */
	assert_true(nbd_session_is_parked(second.session));
	nbd_session_resume(second.session, budget);
	assert_non_null(nbd_session_want(second.session, &room));
	client_drain(&second);
	expect_simple(&second, cookie, NBD_SUCCESS);
	assert_int_equal(second.submitted, 1);
	client_fini(&first);
	client_fini(&second);
	budget_end(budget);
}

/* Requests sent ahead, in pieces of any size; between two pieces the session is parked and goes to the other of two
 * budgets as soon as it can. */
static void a_busy_session_goes_back_and_forth(void **state)
{
	struct nbd_budget *budgets[2] = { budget_new(), budget_new() };
	uint8_t *written = pattern(70000);
	struct stream stream = { 0 };
	struct client client;
	size_t fed = 0, moves = 0;
	uint64_t seed = 7;

	(void)state;
	client_init_within(&client, 64 * MIB, budgets[0]);
	client_go(&client);
	for (uint32_t i = 0; i < 200; i++) {
		uint32_t length = 1 + (i * 7919 * (i % 5)) % 60000;

		stream_request(&stream, NBD_CMD_WRITE, i * 64 * KIB, length, written + i);
		stream_request(&stream, NBD_CMD_READ, i * 64 * KIB, length, NULL);
	}
	while (fed < stream.size) {
		size_t piece;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		piece = 1 + (size_t)((seed >> 33) % ((seed >> 60) < 8 ? 40 : 100000));
		fed += client_feed(&client, stream.bytes + fed, piece < stream.size - fed ? piece : stream.size - fed);
		if (nbd_session_is_parked(client.session))
			nbd_session_resume(client.session, budgets[++moves % 2]);
		else
			nbd_session_park(client.session);
	}
	nbd_session_resume(client.session, budgets[moves % 2]);
	client_drain(&client);
	assert_true(moves > 50);
	for (uint32_t i = 0; i < 200; i++) {
		uint32_t length = 1 + (i * 7919 * (i % 5)) % 60000;

		expect_simple(&client, 2 * i + 1, NBD_SUCCESS);
		expect_simple(&client, 2 * i + 2, NBD_SUCCESS);
		assert_memory_equal(expect_bytes(&client, length), written + i, length);
	}
	expect_nothing(&client);
	assert_int_equal(client.submitted, 400);
	client_fini(&client);
	budget_end(budgets[0]);
	budget_end(budgets[1]);
	free(written);
	free(stream.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_export_of_another_place_is_chosen_there_with_what_was_sent_behind),
		cmocka_unit_test(options_that_only_ask_are_answered_there_once),
		cmocka_unit_test(an_export_that_went_away_meanwhile_is_refused),
		cmocka_unit_test(what_is_held_is_answered_and_what_is_behind_it_waits),
		cmocka_unit_test(requests_received_after_the_park_are_carried_out_after_it),
		cmocka_unit_test(a_payload_that_is_coming_in_is_completed_first),
		cmocka_unit_test(who_stands_in_line_leaves_it_and_comes_back),
		cmocka_unit_test(a_busy_session_goes_back_and_forth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
