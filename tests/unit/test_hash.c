/* Hashes, against published vectors (FIPS 180, RFC 2202, RFC 4231); hex, errors and log lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"

static void assert_hex(const uint8_t *bytes, size_t size, const char *hex)
{
	char text[2 * SHA256_SIZE + 1];

	hash_to_hex(bytes, size, text);
	assert_string_equal(text, hex);
}

static void sha256_gives_the_published_value(void **state)
{
	uint8_t out[SHA256_SIZE];

	(void)state;
	hash_sha256("abc", 3, out);
	assert_hex(out, sizeof out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	hash_sha256("", 0, out);
	assert_hex(out, sizeof out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void hmac_gives_the_published_values(void **state)
{
	static const char text[] = "what do ya want for nothing?";
	static const char long_key_text[] = "Test Using Larger Than Block-Size Key - Hash Key First";
	uint8_t out[SHA256_SIZE], key[131];

	(void)state;
	hash_hmac_sha256("Jefe", 4, text, sizeof text - 1, out);
	assert_hex(out, SHA256_SIZE, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	hash_hmac_sha1("Jefe", 4, text, sizeof text - 1, out);
	assert_hex(out, SHA1_SIZE, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
	memset(key, 0xaa, sizeof key);
	hash_hmac_sha256(key, sizeof key, long_key_text, sizeof long_key_text - 1, out);
	assert_hex(out, SHA256_SIZE, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void xxh3_of_two_pieces_is_that_of_the_whole(void **state)
{
	uint8_t bytes[1000];

	(void)state;
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 7);
	assert_true(hash_xxh3("", 0) == UINT64_C(0x2d06800538d394c2));
	for (size_t at = 0; at <= sizeof bytes; at += 125)
		assert_true(hash_xxh3_pair(bytes, at, bytes + at, sizeof bytes - at) == hash_xxh3(bytes, sizeof bytes));
	bytes[999] ^= 1;
	assert_true(hash_xxh3_pair(bytes, 500, bytes + 500, 500) != hash_xxh3_pair(bytes, 500, bytes + 500, 499));
}

static void equal_means_every_byte(void **state)
{
	(void)state;
	assert_true(hash_equal("abcd", "abcd", 4));
	assert_false(hash_equal("abcd", "abce", 4));
	assert_false(hash_equal("xbcd", "abcd", 4));
	assert_true(hash_equal("a", "b", 0));
}

static void hex_goes_both_ways_and_nothing_else_is_taken(void **state)
{
	uint8_t bytes[3];
	char text[7];

	(void)state;
	assert_true(hash_from_hex("00ffA5", bytes, 3));
	assert_true(bytes[0] == 0 && bytes[1] == 0xff && bytes[2] == 0xa5);
	hash_to_hex(bytes, 3, text);
	assert_string_equal(text, "00ffa5");
	assert_false(hash_from_hex("00ffa", bytes, 3));
	assert_false(hash_from_hex("00ffa", bytes, 2));
	assert_false(hash_from_hex("00ffa5b", bytes, 3));
	assert_false(hash_from_hex("00ffg5", bytes, 3));
	assert_false(hash_from_hex("", bytes, 3));
	assert_true(hash_from_hex("", bytes, 0));
	assert_true(hash_read_hex("a5,", bytes, 1));
	assert_int_equal(bytes[0], 0xa5);
	assert_false(hash_read_hex("a", bytes, 1));
}

static void errors_say_the_context_first(void **state)
{
	struct error error = { 0 };
	char big[400];

	(void)state;
	assert_int_equal(error_set(&error, -EINVAL, "disk %d is small", 3), -EINVAL);
	assert_int_equal(error_wrap(&error, "pair %s", "p"), -EINVAL);
	assert_string_equal(error.text, "pair p: disk 3 is small");
	assert_int_equal(error_set_errno(&error, -ENOENT, "cannot open %s", "/x"), -ENOENT);
	assert_string_equal(error.text, "cannot open /x: No such file or directory");
	memset(big, 'x', sizeof big);
	big[sizeof big - 1] = 0;
	error_wrap(&error, "%s", big);
	assert_int_equal(strlen(error.text), sizeof error.text - 1);
	assert_int_equal(error_set_errno(&error, -EIO, "%s", big), -EIO);
	assert_int_equal(strlen(error.text), sizeof error.text - 1);
	assert_int_equal(error_set(NULL, -EIO, "nobody listens"), -EIO);
}

struct lines {
	int count;
	enum log_level level;
	char text[2048];
};

static void on_line(void *data, enum log_level level, const char *line)
{
	struct lines *lines = data;

	lines->count++;
	lines->level = level;
	snprintf(lines->text, sizeof lines->text, "%s", line);
}

static void log_events_up_to_the_level_reach_the_sink(void **state)
{
	struct lines lines = { 0 };
	char big[3000];

	(void)state;
	log_event(LOG_ERROR, "test.unheard", "%s", "without a sink");
	log_set_sink(on_line, &lines, LOG_INFO);
	log_event(LOG_DEBUG, "test.dropped", "%s", "");
	assert_int_equal(lines.count, 0);
	log_event(LOG_INFO, "unit.committed", "unit=%s epoch=%d", "pg-1", 7);
	assert_int_equal(lines.count, 1);
	assert_int_equal(lines.level, LOG_INFO);
	assert_string_equal(lines.text, "unit.committed unit=pg-1 epoch=7");
	memset(big, 'x', sizeof big);
	big[sizeof big - 1] = 0;
	log_event(LOG_ERROR, "test.long", "%s", big);
	assert_true(strlen(lines.text) < sizeof lines.text - 1);
	log_set_sink(NULL, NULL, LOG_INFO);
	for (enum log_level level = LOG_ERROR; level < LOG_LEVELS; level++)
		assert_string_not_equal(log_level_name(level), "?");
}

static void scoped_memory_is_given_away_by_steal(void **state)
{
	char *kept;

	(void)state;
	{
		AUTO_FREE char *text = memory_copy_text("kept");
		AUTO_FREE char *freed = memory_copy_text("freed");

		assert_string_equal(freed, "freed");
		kept = steal(text);
		assert_null(text);
	}
	assert_string_equal(kept, "kept");
	memory_wipe(kept, 4);
	assert_int_equal(kept[0] | kept[1] | kept[2] | kept[3], 0);
	free(kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_gives_the_published_value),
		cmocka_unit_test(hmac_gives_the_published_values),
		cmocka_unit_test(xxh3_of_two_pieces_is_that_of_the_whole),
		cmocka_unit_test(equal_means_every_byte),
		cmocka_unit_test(hex_goes_both_ways_and_nothing_else_is_taken),
		cmocka_unit_test(errors_say_the_context_first),
		cmocka_unit_test(log_events_up_to_the_level_reach_the_sink),
		cmocka_unit_test(scoped_memory_is_given_away_by_steal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
