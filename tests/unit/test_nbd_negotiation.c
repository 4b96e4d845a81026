/* The handshake, byte by byte and all at once: every option, every refusal, every limit. */
#include "nbd_client.h"

#include <stdlib.h>

#include "base/memory.h"

static const size_t slices[] = { 1, 3, 17, 64, 1u << 20 };
#define SLICES (sizeof slices / sizeof slices[0])
#define BOTH_FLAGS (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES)
#define FLAGS_ALL (NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_CAN_MULTI_CONN | NBD_FLAG_SEND_CACHE)
#define FLAGS_WRITABLE (FLAGS_ALL | NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_FAST_ZERO)
#define FLAGS_READ_ONLY (FLAGS_ALL | NBD_FLAG_READ_ONLY)

/* Runs the body with a client after hello, for each slice. */
static void each_slice(void (*body)(struct client *client))
{
	for (size_t i = 0; i < SLICES; i++) {
		struct client client;

		client_init(&client, slices[i]);
		client_hello(&client, BOTH_FLAGS);
		body(&client);
		client_fini(&client);
	}
}

static void expect_refused(struct client *client, uint32_t option, uint32_t type)
{
	uint32_t size;

	expect_option_reply(client, option, type, &size);
	expect_nothing(client);
	assert_false(nbd_session_ended(client->session));
}

static void expect_alive(struct client *client)
{
	uint32_t size;

	client_option(client, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
	expect_option_reply(client, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK, &size);
}

/* --- options --- */

static void go_with_all_kinds(struct client *client)
{
	static const uint8_t data[] = "\0\0\0\5" EXPORT_NAME "\0\5" "\0\3" "\0\1" "\0\2" "\0\0" "\x12\x34";
	const uint8_t *info;
	uint32_t size;

	client_option(client, NBD_OPT_GO, data, sizeof data - 1);
	info = expect_option_reply(client, NBD_OPT_GO, NBD_REP_INFO, &size);
	assert_int_equal(size, 12);
	assert_int_equal(get_be16(info), NBD_INFO_EXPORT);
	assert_int_equal(get_be64(info + 2), EXPORT_SIZE);
	assert_int_equal(get_be16(info + 10), FLAGS_WRITABLE);
	info = expect_option_reply(client, NBD_OPT_GO, NBD_REP_INFO, &size);
	assert_int_equal(size, 14);
	assert_int_equal(get_be16(info), NBD_INFO_BLOCK_SIZE);
	assert_int_equal(get_be32(info + 2), 1);
	assert_int_equal(get_be32(info + 6), 4096);
	assert_int_equal(get_be32(info + 10), NBD_PAYLOAD_MAX);
	info = expect_option_reply(client, NBD_OPT_GO, NBD_REP_INFO, &size);
	assert_int_equal(get_be16(info), NBD_INFO_NAME);
	assert_int_equal(size, 2 + strlen(EXPORT_NAME));
	assert_memory_equal(info + 2, EXPORT_NAME, strlen(EXPORT_NAME));
	info = expect_option_reply(client, NBD_OPT_GO, NBD_REP_INFO, &size);
	assert_int_equal(get_be16(info), NBD_INFO_DESCRIPTION);
	assert_memory_equal(info + 2, EXPORT_TEXT, strlen(EXPORT_TEXT));
	expect_option_reply(client, NBD_OPT_GO, NBD_REP_ACK, &size);
	assert_int_equal(size, 0);
	expect_nothing(client);
	assert_true(nbd_session_transmitting(client->session));
}

static void info_does_not_choose(struct client *client)
{
	static const uint8_t data[] = "\0\0\0\5" EXPORT_NAME "\0\0";
	uint32_t size;

	client_option(client, NBD_OPT_INFO, data, sizeof data - 1);
	expect_option_reply(client, NBD_OPT_INFO, NBD_REP_INFO, &size);
	expect_option_reply(client, NBD_OPT_INFO, NBD_REP_ACK, &size);
	assert_false(nbd_session_transmitting(client->session));
	expect_alive(client);
}

static void list_names_all(struct client *client)
{
	const uint8_t *entry;
	uint32_t size;

	client_option(client, NBD_OPT_LIST, NULL, 0);
	entry = expect_option_reply(client, NBD_OPT_LIST, NBD_REP_SERVER, &size);
	assert_int_equal(get_be32(entry), strlen(EXPORT_NAME));
	assert_memory_equal(entry + 4, EXPORT_NAME EXPORT_TEXT, size - 4);
	entry = expect_option_reply(client, NBD_OPT_LIST, NBD_REP_SERVER, &size);
	assert_memory_equal(entry + 4, "d-two", 5);
	expect_option_reply(client, NBD_OPT_LIST, NBD_REP_ACK, &size);
	client_option(client, NBD_OPT_LIST, "x", 1);
	expect_refused(client, NBD_OPT_LIST, NBD_REP_ERR_INVALID);
}

static void abort_is_acknowledged(struct client *client)
{
	uint32_t size;

	client_option(client, NBD_OPT_ABORT, NULL, 0);
	expect_option_reply(client, NBD_OPT_ABORT, NBD_REP_ACK, &size);
	expect_ended(client, "aborted by the client");
}

static void what_is_not_offered_is_refused(struct client *client)
{
	static const uint32_t options[] = { 4, 12, 99, 0, 0xffffffff };

	for (uint32_t i = 0; i < sizeof options / sizeof options[0]; i++) {
		client_option(client, options[i], "some data", i);
		expect_refused(client, options[i], NBD_REP_ERR_UNSUP);
	}
	expect_alive(client);
}

static void export_name(struct client *client)
{
	const uint8_t *answer;

	client_option(client, NBD_OPT_EXPORT_NAME, EXPORT_NAME, (uint32_t)strlen(EXPORT_NAME));
	answer = expect_bytes(client, 10);
	assert_int_equal(get_be64(answer), EXPORT_SIZE);
	assert_int_equal(get_be16(answer + 8), FLAGS_WRITABLE);
	expect_nothing(client);
	assert_true(nbd_session_transmitting(client->session));
}

static void export_name_unknown(struct client *client)
{
	client_option(client, NBD_OPT_EXPORT_NAME, "nobody", 6);
	expect_nothing(client);
	expect_ended(client, "asked for an export that does not exist");
}

static void structured_replies_offer_df(struct client *client)
{
	static const uint8_t data[] = "\0\0\0\5" EXPORT_NAME "\0\0";
	const uint8_t *info;
	uint32_t size;

	expect_alive(client);
	client_option(client, NBD_OPT_STRUCTURED_REPLY, "x", 1);
	expect_refused(client, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_INVALID);
	client_option(client, NBD_OPT_GO, data, sizeof data - 1);
	info = expect_option_reply(client, NBD_OPT_GO, NBD_REP_INFO, &size);
	assert_int_equal(get_be16(info + 10), FLAGS_WRITABLE | NBD_FLAG_SEND_DF);
}

static void extended_headers(struct client *client)
{
	static const uint8_t data[] = "\0\0\0\5" EXPORT_NAME "\0\0";
	const uint8_t *info;
	uint32_t size;

	client_option(client, NBD_OPT_EXTENDED_HEADERS, "x", 1);
	expect_refused(client, NBD_OPT_EXTENDED_HEADERS, NBD_REP_ERR_INVALID);
	client_option(client, NBD_OPT_EXTENDED_HEADERS, NULL, 0);
	expect_option_reply(client, NBD_OPT_EXTENDED_HEADERS, NBD_REP_ACK, &size);
	client_option(client, NBD_OPT_EXTENDED_HEADERS, NULL, 0);
	expect_refused(client, NBD_OPT_EXTENDED_HEADERS, NBD_REP_ERR_INVALID);
	client_option(client, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
	expect_refused(client, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_EXT_HEADER_REQD);
	client_option(client, NBD_OPT_GO, data, sizeof data - 1);
	info = expect_option_reply(client, NBD_OPT_GO, NBD_REP_INFO, &size);
	assert_int_equal(get_be16(info + 10), FLAGS_WRITABLE | NBD_FLAG_SEND_DF);
}

static void extended_after_structured(struct client *client)
{
	uint32_t size;

	expect_alive(client);
	client_option(client, NBD_OPT_EXTENDED_HEADERS, NULL, 0);
	expect_option_reply(client, NBD_OPT_EXTENDED_HEADERS, NBD_REP_ACK, &size);
	client_option(client, NBD_OPT_EXPORT_NAME, EXPORT_NAME, (uint32_t)strlen(EXPORT_NAME));
	expect_nothing(client);
	expect_ended(client, "chose an export by its name alone after extended headers");
}

/* --- metadata contexts --- */

#define QUERY(size, text) "\0\0\0" size text
#define FOR_EXPORT(count) "\0\0\0\5" EXPORT_NAME "\0\0\0" count
#define ALLOCATION QUERY("\17", "base:allocation")

static void ask_meta(struct client *client, uint32_t option, const char *data, uint32_t size, bool found)
{
	const uint8_t *answer;

	client_option(client, option, data, size);
	if (found) {
		answer = expect_option_reply(client, option, NBD_REP_META_CONTEXT, &size);
		assert_int_equal(size, 4 + 15);
		assert_int_equal(get_be32(answer) != 0, option == NBD_OPT_SET_META_CONTEXT);
		assert_memory_equal(answer + 4, "base:allocation", 15);
	}
	expect_refused(client, option, NBD_REP_ACK);
}

static void meta_contexts(struct client *client)
{
	static const struct { const char *data; uint32_t size; bool listed, set; } queries[] = {
#define CASE(text, listed, set) { text, sizeof text - 1, listed, set }
		CASE(FOR_EXPORT("\0"), true, false),
		CASE(FOR_EXPORT("\1") ALLOCATION, true, true),
		CASE(FOR_EXPORT("\2") ALLOCATION ALLOCATION, true, true),
		CASE(FOR_EXPORT("\2") QUERY("\5", "qemu:") ALLOCATION, true, true),
		CASE(FOR_EXPORT("\1") QUERY("\5", "base:"), true, false),
		CASE(FOR_EXPORT("\1") QUERY("\5", "qemu:"), false, false),
		CASE(FOR_EXPORT("\1") QUERY("\16", "base:allocatio"), false, false),
		CASE(FOR_EXPORT("\1") QUERY("\20", "base:allocations"), false, false),
	};

	client_option(client, NBD_OPT_LIST_META_CONTEXT, queries[1].data, queries[1].size);
	expect_refused(client, NBD_OPT_LIST_META_CONTEXT, NBD_REP_ERR_INVALID); /* structured replies first */
	client_option(client, NBD_OPT_SET_META_CONTEXT, queries[1].data, queries[1].size);
	expect_refused(client, NBD_OPT_SET_META_CONTEXT, NBD_REP_ERR_INVALID);
	expect_alive(client);
	for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
		ask_meta(client, NBD_OPT_LIST_META_CONTEXT, queries[i].data, queries[i].size, queries[i].listed);
		ask_meta(client, NBD_OPT_SET_META_CONTEXT, queries[i].data, queries[i].size, queries[i].set);
	}
}

static void bad_meta_contexts(struct client *client)
{
	static const struct { const char *data; uint32_t size, type; } bad[] = {
#define BAD(text, type) { text, sizeof text - 1, type }
		BAD("", NBD_REP_ERR_INVALID),
		BAD("\0\0\0", NBD_REP_ERR_INVALID),
		BAD("\0\0\0\5" EXPORT_NAME, NBD_REP_ERR_INVALID),
		BAD("\0\0\0\5" EXPORT_NAME "\0\0\0", NBD_REP_ERR_INVALID),
		BAD("\377\377\377\377" EXPORT_NAME "\0\0\0\0", NBD_REP_ERR_INVALID),
		BAD(FOR_EXPORT("\1"), NBD_REP_ERR_INVALID),
		BAD(FOR_EXPORT("\0") "x", NBD_REP_ERR_INVALID),
		BAD(FOR_EXPORT("\1") ALLOCATION ALLOCATION, NBD_REP_ERR_INVALID),
		BAD(FOR_EXPORT("\2") ALLOCATION, NBD_REP_ERR_INVALID),
		BAD(FOR_EXPORT("\1") QUERY("\4", "base"), NBD_REP_ERR_INVALID),
		BAD(FOR_EXPORT("\1") QUERY("\0", ""), NBD_REP_ERR_INVALID),
		BAD("\0\0\0\5" EXPORT_NAME "\377\377\377\377" ALLOCATION, NBD_REP_ERR_INVALID),
		BAD("\0\0\0\4" "d-on" "\0\0\0\1" ALLOCATION, NBD_REP_ERR_UNKNOWN),
		BAD("\0\0\0\0" "\0\0\0\0", NBD_REP_ERR_UNKNOWN),
		BAD("\0\0\0\5" "d-\0ne" "\0\0\0\0", NBD_REP_ERR_UNKNOWN),
	};

	expect_alive(client);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		client_option(client, NBD_OPT_LIST_META_CONTEXT, bad[i].data, bad[i].size);
		expect_refused(client, NBD_OPT_LIST_META_CONTEXT, bad[i].type);
		client_option(client, NBD_OPT_SET_META_CONTEXT, bad[i].data, bad[i].size);
		expect_refused(client, NBD_OPT_SET_META_CONTEXT, bad[i].type);
	}
	expect_alive(client);
}

/* Enters transmission and asks where holes are. */
static void expect_status(struct client *client, uint32_t error)
{
	static const uint8_t data[] = "\0\0\0\5" EXPORT_NAME "\0\0";
	uint64_t cookie;
	uint32_t size;

	client_option(client, NBD_OPT_GO, data, sizeof data - 1);
	expect_option_reply(client, NBD_OPT_GO, NBD_REP_INFO, &size);
	expect_option_reply(client, NBD_OPT_GO, NBD_REP_ACK, &size);
	cookie = client_request(client, NBD_CMD_BLOCK_STATUS, 0, 0, 512, NULL);
	if (error != NBD_SUCCESS)
		expect_error_chunk(client, cookie, error);
	else
		expect_chunk(client, cookie, NBD_CHUNK_FLAG_DONE, NBD_CHUNK_BLOCK_STATUS, &size);
	expect_nothing(client);
}

static void chosen_context_counts(struct client *client)
{
	expect_alive(client);
	client_choose_allocation(client);
	expect_status(client, NBD_SUCCESS);
}

static void chosen_by_nobody(struct client *client)
{
	expect_alive(client);
	expect_status(client, NBD_EINVAL);
}

/* Each choice replaces the one before, also one that fails. */
static void choice_is_replaced(struct client *client)
{
	expect_alive(client);
	client_choose_allocation(client);
	client_option(client, NBD_OPT_SET_META_CONTEXT, "x", 1);
	expect_refused(client, NBD_OPT_SET_META_CONTEXT, NBD_REP_ERR_INVALID);
	expect_status(client, NBD_EINVAL);
}

static void choice_of_another_export(struct client *client)
{
	static const char other[] = "\0\0\0\5" "d-two" "\0\0\0\1" ALLOCATION;

	expect_alive(client);
	ask_meta(client, NBD_OPT_SET_META_CONTEXT, other, sizeof other - 1, true);
	expect_status(client, NBD_EINVAL);
}

static void go_refused(struct client *client)
{
	static const uint8_t data[] = "\0\0\0\5" EXPORT_NAME "\0\0";

	client->refuse_open = true;
	client_option(client, NBD_OPT_GO, data, sizeof data - 1);
	expect_refused(client, NBD_OPT_GO, NBD_REP_ERR_SHUTDOWN);
	assert_false(nbd_session_transmitting(client->session));
	client->refuse_open = false;
	client_option(client, NBD_OPT_GO, data, sizeof data - 1);
	assert_true(nbd_session_transmitting(client->session));
}

/* --- bad input --- */

static void bad_info(struct client *client)
{
	static const struct { const char *data; uint32_t size, type; } bad[] = {
		{ "", 0, NBD_REP_ERR_INVALID },
		{ "\0\0\0\0\0", 5, NBD_REP_ERR_INVALID },
		{ "\0\0\0\0\0\0", 6, NBD_REP_ERR_UNKNOWN }, /* the export of no name */
		{ "\0\0\0\5" EXPORT_NAME, 9, NBD_REP_ERR_INVALID },
		{ "\0\0\0\5" EXPORT_NAME "\0\1", 11, NBD_REP_ERR_INVALID },
		{ "\0\0\0\5" EXPORT_NAME "\0\0\0", 12, NBD_REP_ERR_INVALID },
		{ "\0\0\0\6" EXPORT_NAME "\0\0", 11, NBD_REP_ERR_INVALID },
		{ "\377\377\377\377" EXPORT_NAME "\0\0", 11, NBD_REP_ERR_INVALID },
		{ "\377\377\377\372" EXPORT_NAME "\0\0", 11, NBD_REP_ERR_INVALID },
		{ "\0\0\0\5" "d-\0ne" "\0\0", 11, NBD_REP_ERR_UNKNOWN },
		{ "\0\0\0\4" "d-on" "\0\0", 10, NBD_REP_ERR_UNKNOWN },
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		client_option(client, NBD_OPT_GO, bad[i].data, bad[i].size);
		expect_refused(client, NBD_OPT_GO, bad[i].type);
	}
	expect_alive(client);
}

static void long_names_are_unknown(struct client *client)
{
	uint8_t data[6 + 4096];

	memset(data, 'x', sizeof data);
	put_be32(data, 4096);
	put_be16(data + 4 + 4096, 0);
	client_option(client, NBD_OPT_GO, data, sizeof data);
	expect_refused(client, NBD_OPT_GO, NBD_REP_ERR_UNKNOWN);
}

static void too_many_kinds(struct client *client)
{
	uint8_t data[6 + 5 + 2 * 100] = "\0\0\0\5" EXPORT_NAME "\0\x64";

	client_option(client, NBD_OPT_INFO, data, sizeof data);
	expect_refused(client, NBD_OPT_INFO, NBD_REP_ERR_TOO_BIG);
	expect_alive(client);
}

static void long_options_are_passed_over(struct client *client)
{
	uint8_t *data = memory_new(1, 64u * 1024u + 1);

	client_option(client, NBD_OPT_GO, data, 64u * 1024u);
	expect_refused(client, NBD_OPT_GO, NBD_REP_ERR_TOO_BIG);
	client_option(client, 77, data, 8u * 1024u + 1);
	expect_refused(client, 77, NBD_REP_ERR_TOO_BIG);
	expect_alive(client);
	client_option(client, NBD_OPT_GO, data, 64u * 1024u + 1);
	expect_option_reply(client, NBD_OPT_GO, NBD_REP_ERR_TOO_BIG, &(uint32_t){ 0 });
	expect_ended(client, "an option is too long");
	free(data);
}

static void export_name_too_long(struct client *client)
{
	static const uint8_t data[9000];

	client_option(client, NBD_OPT_EXPORT_NAME, data, sizeof data);
	expect_nothing(client);
	expect_ended(client, "the name of an export is too long");
}

static void bad_magic(struct client *client)
{
	client_feed(client, "IHAVEOPX\0\0\0\3\0\0\0\0", 16);
	expect_nothing(client);
	expect_ended(client, "bad option magic");
}

static void too_many_options(struct client *client)
{
	uint32_t size;

	for (int i = 0; i < 1024; i++) {
		client_option(client, 55, NULL, 0);
		expect_option_reply(client, 55, NBD_REP_ERR_UNSUP, &size);
	}
	client_option(client, 55, NULL, 0);
	expect_nothing(client);
	expect_ended(client, "too many options");
}

#define EACH_SLICE(name) static void test_##name(void **state) { (void)state; each_slice(name); }
EACH_SLICE(go_with_all_kinds)
EACH_SLICE(info_does_not_choose)
EACH_SLICE(list_names_all)
EACH_SLICE(abort_is_acknowledged)
EACH_SLICE(what_is_not_offered_is_refused)
EACH_SLICE(export_name)
EACH_SLICE(export_name_unknown)
EACH_SLICE(structured_replies_offer_df)
EACH_SLICE(extended_headers)
EACH_SLICE(extended_after_structured)
EACH_SLICE(meta_contexts)
EACH_SLICE(bad_meta_contexts)
EACH_SLICE(chosen_context_counts)
EACH_SLICE(chosen_by_nobody)
EACH_SLICE(choice_is_replaced)
EACH_SLICE(choice_of_another_export)
EACH_SLICE(go_refused)
EACH_SLICE(bad_info)
EACH_SLICE(long_names_are_unknown)
EACH_SLICE(too_many_kinds)
EACH_SLICE(long_options_are_passed_over)
EACH_SLICE(export_name_too_long)
EACH_SLICE(bad_magic)
EACH_SLICE(too_many_options)

/* --- what is not the same for each slice --- */

static void test_zeroes_when_not_declined(void **state)
{
	struct client client;

	(void)state;
	client_init(&client, 50);
	client_hello(&client, NBD_FLAG_FIXED_NEWSTYLE);
	client_option(&client, NBD_OPT_EXPORT_NAME, EXPORT_NAME, (uint32_t)strlen(EXPORT_NAME));
	assert_int_equal(get_be64(expect_bytes(&client, 134)), EXPORT_SIZE);
	expect_nothing(&client);
	client_fini(&client);
}

static void test_unknown_client_flags(void **state)
{
	struct client client;

	(void)state;
	client_init(&client, 50);
	client_hello(&client, 0x80000001);
	expect_ended(&client, "unknown client flags");
	client_fini(&client);
}

static void test_read_only_flags(void **state)
{
	struct client client;

	(void)state;
	client_init(&client, 50);
	client.read_only = true;
	client_hello(&client, BOTH_FLAGS);
	client_option(&client, NBD_OPT_EXPORT_NAME, EXPORT_NAME, (uint32_t)strlen(EXPORT_NAME));
	assert_int_equal(get_be16(expect_bytes(&client, 10) + 8), FLAGS_READ_ONLY);
	client_fini(&client);
}

/* A client that sends options and reads nothing is made to wait, and nothing of what it asked is lost. */
static void test_answers_that_are_not_read(void **state)
{
	uint8_t list[16];
	struct client client;
	uint32_t size, sent = 0, held;
	size_t room;

	(void)state;
	client_init(&client, 1u << 20);
	client_hello(&client, BOTH_FLAGS);
	put_be64(list, NBD_OPTION_MAGIC);
	put_be32(list + 8, NBD_OPT_LIST);
	put_be32(list + 12, 0);
	for (; sent < 1024; sent++) {
		uint8_t *to = nbd_session_want(client.session, &room);

		if (to == NULL)
			break;
		memcpy(to, list, sizeof list);
		nbd_session_input(client.session, sizeof list);
	}
	assert_in_range(sent, 100, 1023);
	held = sent;
	client_drain(&client);
	while (held-- > 0)
		for (int i = 0; i < 3; i++)
			expect_option_reply(&client, NBD_OPT_LIST, i < 2 ? NBD_REP_SERVER : NBD_REP_ACK, &size);
	expect_nothing(&client);
	expect_alive(&client);
	client_fini(&client);
}

/* Options sent ahead are looked at one after the other, also while answers are on their way. */
static void test_options_sent_ahead(void **state)
{
	(void)state;
	for (size_t i = 0; i < SLICES; i++) {
		uint8_t bytes[4 + 16 + 16 + 11];
		struct client client;
		uint32_t size;

		client_init(&client, slices[i]);
		put_be32(bytes, BOTH_FLAGS);
		put_be64(bytes + 4, NBD_OPTION_MAGIC);
		put_be32(bytes + 12, NBD_OPT_STRUCTURED_REPLY);
		put_be32(bytes + 16, 0);
		put_be64(bytes + 20, NBD_OPTION_MAGIC);
		put_be32(bytes + 28, NBD_OPT_GO);
		put_be32(bytes + 32, 11);
		memcpy(bytes + 36, "\0\0\0\5" EXPORT_NAME "\0\0", 11);
		assert_int_equal(client_feed(&client, bytes, sizeof bytes), sizeof bytes);
		expect_bytes(&client, 18);
		expect_option_reply(&client, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK, &size);
		expect_option_reply(&client, NBD_OPT_GO, NBD_REP_INFO, &size);
		expect_option_reply(&client, NBD_OPT_GO, NBD_REP_ACK, &size);
		client_fini(&client);
	}
}

static void test_abandoned_at_any_byte(void **state)
{
	static const char bytes[] = "\0\0\0\3IHAVEOPT\0\0\0\7\0\0\0\13\0\0\0\5" EXPORT_NAME "\0\0";

	(void)state;
	for (size_t size = 0; size < sizeof bytes; size++) {
		struct client client;

		client_init(&client, 64);
		client_feed(&client, bytes, size);
		nbd_session_abandon(client.session, "gone");
		expect_ended(&client, "gone");
		client_fini(&client);
	}
}

/* --- STARTTLS; TLS itself is below the session --- */

static void begin_tls(struct client *client, enum nbd_tls mode, size_t slice)
{
	client_init(client, slice);
	nbd_session_offer_tls(client->session, mode);
	client_hello(client, BOTH_FLAGS);
}

static void expect_upgrading(struct client *client)
{
	size_t room;
	uint32_t size;

	client_option(client, NBD_OPT_STARTTLS, NULL, 0);
	expect_option_reply(client, NBD_OPT_STARTTLS, NBD_REP_ACK, &size);
	assert_int_equal(size, 0);
	expect_nothing(client);
	assert_true(nbd_session_upgrading(client->session));
	assert_null(nbd_session_want(client->session, &room));
}

static void test_tls_off(void **state)
{
	struct client client;

	(void)state;
	client_init(&client, 64);
	client_hello(&client, BOTH_FLAGS);
	client_option(&client, NBD_OPT_STARTTLS, NULL, 0);
	expect_refused(&client, NBD_OPT_STARTTLS, NBD_REP_ERR_POLICY);
	assert_false(nbd_session_upgrading(client.session));
	expect_alive(&client);
	client_fini(&client);
}

static void test_tls_required(void **state)
{
	static const uint32_t options[] = { NBD_OPT_LIST, NBD_OPT_INFO, NBD_OPT_GO, NBD_OPT_STRUCTURED_REPLY,
					    NBD_OPT_LIST_META_CONTEXT, NBD_OPT_SET_META_CONTEXT, NBD_OPT_EXTENDED_HEADERS,
					    4, 99, 0xffffffff };
	uint8_t *much = memory_new(1, 60000);

	(void)state;
	for (size_t i = 0; i < SLICES; i++) {
		struct client client;

		begin_tls(&client, NBD_TLS_REQUIRED, slices[i]);
		for (uint32_t j = 0; j < sizeof options / sizeof options[0]; j++) {
			client_option(&client, options[j], "some data", j);
			expect_refused(&client, options[j], NBD_REP_ERR_TLS_REQD);
		}
		client_option(&client, NBD_OPT_LIST, much, 60000);
		expect_refused(&client, NBD_OPT_LIST, NBD_REP_ERR_TLS_REQD);
		client_option(&client, NBD_OPT_STARTTLS, "x", 1);
		expect_refused(&client, NBD_OPT_STARTTLS, NBD_REP_ERR_INVALID);
		expect_upgrading(&client);
		nbd_session_secured(client.session);
		expect_alive(&client);
		client_option(&client, NBD_OPT_STARTTLS, NULL, 0);
		expect_refused(&client, NBD_OPT_STARTTLS, NBD_REP_ERR_INVALID);
		client_fini(&client);
		begin_tls(&client, NBD_TLS_REQUIRED, slices[i]);
		client_option(&client, NBD_OPT_EXPORT_NAME, EXPORT_NAME, (uint32_t)strlen(EXPORT_NAME));
		expect_nothing(&client);
		expect_ended(&client, "asked for an export without TLS");
		client_fini(&client);
		begin_tls(&client, NBD_TLS_REQUIRED, slices[i]);
		abort_is_acknowledged(&client);
		client_fini(&client);
	}
	free(much);
}

/* What was agreed on in the clear does not hold: the flags say so, and extended headers can be asked for anew. */
static void test_tls_forgets_headers(void **state)
{
	static const uint8_t data[] = "\0\0\0\5" EXPORT_NAME "\0\0";
	const uint8_t *info;
	struct client client;
	uint32_t size;

	(void)state;
	begin_tls(&client, NBD_TLS_ALLOWED, 64);
	client_option(&client, NBD_OPT_EXTENDED_HEADERS, NULL, 0);
	expect_option_reply(&client, NBD_OPT_EXTENDED_HEADERS, NBD_REP_ACK, &size);
	expect_upgrading(&client);
	nbd_session_secured(client.session);
	client_option(&client, NBD_OPT_INFO, data, sizeof data - 1);
	info = expect_option_reply(&client, NBD_OPT_INFO, NBD_REP_INFO, &size);
	assert_int_equal(get_be16(info + 10), FLAGS_WRITABLE);
	expect_option_reply(&client, NBD_OPT_INFO, NBD_REP_ACK, &size);
	extended_headers(&client);
	client_fini(&client);
}

static void test_tls_forgets_contexts(void **state)
{
	struct client client;

	(void)state;
	begin_tls(&client, NBD_TLS_ALLOWED, 64);
	expect_alive(&client);
	client_choose_allocation(&client);
	expect_upgrading(&client);
	nbd_session_secured(client.session);
	chosen_by_nobody(&client);
	client_fini(&client);
}

/* An option behind STARTTLS in the same bytes is neither answered nor kept for later. */
static void test_tls_injection(void **state)
{
	static const char bytes[] = "IHAVEOPT\0\0\0\5\0\0\0\0" "IHAVEOPT\0\0\0\3\0\0\0\0";

	(void)state;
	for (int mode = NBD_TLS_ALLOWED; mode <= NBD_TLS_REQUIRED; mode++) {
		for (size_t extra = 1; extra <= 16; extra++) {
			struct client client;

			begin_tls(&client, (enum nbd_tls)mode, 1u << 20);
			client_feed(&client, bytes, 16 + extra);
			expect_nothing(&client);
			expect_ended(&client, "bytes in the clear after STARTTLS");
			client_fini(&client);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tls_off),
		cmocka_unit_test(test_tls_required),
		cmocka_unit_test(test_tls_forgets_headers),
		cmocka_unit_test(test_tls_forgets_contexts),
		cmocka_unit_test(test_tls_injection),
		cmocka_unit_test(test_go_with_all_kinds),
		cmocka_unit_test(test_info_does_not_choose),
		cmocka_unit_test(test_list_names_all),
		cmocka_unit_test(test_abort_is_acknowledged),
		cmocka_unit_test(test_what_is_not_offered_is_refused),
		cmocka_unit_test(test_export_name),
		cmocka_unit_test(test_export_name_unknown),
		cmocka_unit_test(test_structured_replies_offer_df),
		cmocka_unit_test(test_extended_headers),
		cmocka_unit_test(test_extended_after_structured),
		cmocka_unit_test(test_meta_contexts),
		cmocka_unit_test(test_bad_meta_contexts),
		cmocka_unit_test(test_chosen_context_counts),
		cmocka_unit_test(test_chosen_by_nobody),
		cmocka_unit_test(test_choice_is_replaced),
		cmocka_unit_test(test_choice_of_another_export),
		cmocka_unit_test(test_go_refused),
		cmocka_unit_test(test_bad_info),
		cmocka_unit_test(test_long_names_are_unknown),
		cmocka_unit_test(test_too_many_kinds),
		cmocka_unit_test(test_long_options_are_passed_over),
		cmocka_unit_test(test_export_name_too_long),
		cmocka_unit_test(test_bad_magic),
		cmocka_unit_test(test_too_many_options),
		cmocka_unit_test(test_zeroes_when_not_declined),
		cmocka_unit_test(test_unknown_client_flags),
		cmocka_unit_test(test_read_only_flags),
		cmocka_unit_test(test_answers_that_are_not_read),
		cmocka_unit_test(test_options_sent_ahead),
		cmocka_unit_test(test_abandoned_at_any_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
