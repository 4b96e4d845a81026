/* Policies: wildcards, networks, what is refused at parsing, and what each kind of statement says. Nonces: each once, for as long
 * as it matters, through growth and a restart. Secrets: opened by their key and for their purpose alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/nonces.h"
#include "auth/secrets.h"
#include "base/error.h"
#include "base/hash.h"
#include "folder.h"

#define ONE(statement) "{\"Version\":\"1\",\"Statement\":[" statement "]}"
#define ALL "\"Action\":\"*\",\"Resource\":\"*\""
#define WHEN(condition) ONE("{\"Effect\":\"Allow\"," ALL ",\"Condition\":{" condition "}}")
#define NEVER_WHEN(condition) ONE("{\"Effect\":\"Allow\"," ALL "},{\"Effect\":\"Deny\"," ALL ",\"Condition\":{" condition "}}")
#define FROM(network) WHEN("\"IpAddress\":{\"acs:SourceIp\":\"" network "\"}")
#define NOT_FROM(network) WHEN("\"NotIpAddress\":{\"acs:SourceIp\":\"" network "\"}")

static void wildcards_match(void **state)
{
	(void)state;
	assert_true(policy_wildcard("*", ""));
	assert_true(policy_wildcard("ebs:*Disk*", "ebs:StartDiskReplicaPair"));
	assert_true(policy_wildcard("a?c*", "abc"));
	assert_true(policy_wildcard("*ab", "aab"));
	assert_false(policy_wildcard("a?c", "ac"));
	assert_false(policy_wildcard("ebs:Start", "ebs:StartDiskReplicaPair"));
	assert_false(policy_wildcard("", "a"));
}

static void what_is_not_understood_is_refused(void **state)
{
	static const char *const texts[] = {
		"", "[]", "{}", "{\"Version\":\"2\",\"Statement\":[{\"Effect\":\"Allow\"," ALL "}]}",
		"{\"Version\":\"1\",\"Statement\":[]}", ONE("{\"Effect\":\"Maybe\"," ALL "}"), ONE("{\"Effect\":\"Allow\"}"),
		ONE("{\"Effect\":\"Allow\"," ALL ",\"NotAction\":\"a\"}"), ONE("{\"Effect\":\"Allow\",\"Action\":[],\"Resource\":\"*\"}"),
		ONE("{\"Effect\":\"Allow\"," ALL ",\"Condition\":\"x\"}"), ONE("{\"Effect\":\"Allow\"," ALL ",\"Condition\":{}}"),
		WHEN("\"StringLike\":{\"acs:SourceIp\":\"*\"}"), FROM("10.0.0.0/33"), FROM("10.0.0.0/"), FROM("10.0.0.0/-1"),
		WHEN("\"IpAddress\":{\"acs:CurrentTime\":\"10.0.0.0/8\"}"), FROM("::/129"), FROM("nowhere"),
		WHEN("\"DateLessThan\":{\"acs:CurrentTime\":\"soon\"}"),
		WHEN("\"DateLessThan\":{\"acs:CurrentTime\":\"2026-02-31T00:00:00Z\"}"),
		WHEN("\"Bool\":{\"acs:SecureTransport\":\"yes\"}"),
	};
	struct policy *policy = NULL;
	struct error error;

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		assert_int_equal(policy_parse(texts[i], strlen(texts[i]), &policy, &error), -EINVAL);
	assert_null(policy);
}

enum { SILENT, ALLOWED, DENIED };

static const struct {
	const char *text, *source;
	int says;
} cases[] = {
	{ ONE("{\"Effect\":\"Allow\"," ALL "}"), "10.1.2.3", ALLOWED },
	{ ONE("{\"Effect\":\"Allow\",\"Action\":\"ecs:*\",\"Resource\":\"*\"}"), "10.1.2.3", SILENT },
	{ ONE("{\"Effect\":\"Allow\",\"NotAction\":\"ecs:*\",\"Resource\":\"*\"}"), "10.1.2.3", ALLOWED },
	{ ONE("{\"Effect\":\"Allow\",\"NotAction\":\"ebs:*\",\"Resource\":\"*\"}"), "10.1.2.3", SILENT },
	{ ONE("{\"Effect\":\"Allow\",\"Action\":[\"ecs:*\",\"ebs:St?rt*\"],\"Resource\":\"acs:ebs:*:*:diskreplicapair/p-1\"}"), "::1",
	  ALLOWED },
	{ ONE("{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"acs:ebs:*:*:diskreplicapair/p-2\"}"), "::1", SILENT },
	{ ONE("{\"Effect\":\"Allow\"," ALL "},{\"Effect\":\"Deny\",\"Action\":\"ebs:Start*\",\"Resource\":\"*\"}"), "::1", DENIED },
	{ ONE("{\"Effect\":\"Deny\"," ALL "},{\"Effect\":\"Allow\"," ALL "}"), "::1", DENIED },
	{ FROM("10.0.0.0/8"), "10.255.0.1", ALLOWED }, { FROM("10.0.0.0/8"), "11.0.0.1", SILENT },
	{ FROM("192.168.1.128/25"), "192.168.1.200", ALLOWED }, { FROM("192.168.1.128/25"), "192.168.1.127", SILENT },
	{ FROM("0.0.0.0/0"), "8.8.8.8", ALLOWED }, { FROM("10.0.0.1"), "10.0.0.1", ALLOWED },
	{ FROM("2001:db8::/33"), "2001:db8:7fff::1", ALLOWED }, { FROM("2001:db8::/33"), "2001:db8:8000::1", SILENT },
	/* The same address, as a socket of both families shows it. */
	{ FROM("10.0.0.0/8"), "::ffff:10.1.2.3", ALLOWED }, { NOT_FROM("10.0.0.0/8"), "::ffff:10.1.2.3", SILENT },
	{ NOT_FROM("10.0.0.0/8"), "11.0.0.1", ALLOWED },
	/* Nobody knows where it comes from: that never helps the caller. */
	{ FROM("0.0.0.0/0"), "", SILENT }, { NOT_FROM("10.0.0.0/8"), "", SILENT },
	{ NEVER_WHEN("\"IpAddress\":{\"acs:SourceIp\":\"10.0.0.0/8\"}"), "", DENIED },
	{ NEVER_WHEN("\"NotIpAddress\":{\"acs:SourceIp\":\"10.0.0.0/8\"}"), "", DENIED },
	{ NEVER_WHEN("\"IpAddress\":{\"acs:SourceIp\":\"10.0.0.0/8\"}"), "11.0.0.1", ALLOWED },
	{ WHEN("\"DateLessThan\":{\"acs:CurrentTime\":\"2001-09-09T01:46:41Z\"}"), "::1", ALLOWED },
	{ WHEN("\"DateLessThan\":{\"acs:CurrentTime\":\"2001-09-09T01:46:40Z\"}"), "::1", SILENT },
	{ WHEN("\"DateLessThanEquals\":{\"acs:CurrentTime\":\"2001-09-09T01:46:40Z\"}"), "::1", ALLOWED },
	{ WHEN("\"DateGreaterThan\":{\"acs:CurrentTime\":\"2001-09-09T01:46:39Z\"}"), "::1", ALLOWED },
	{ WHEN("\"DateGreaterThanEquals\":{\"acs:CurrentTime\":\"2001-09-09T01:46:41Z\"}"), "::1", SILENT },
	{ WHEN("\"Bool\":{\"acs:SecureTransport\":\"true\"}"), "::1", SILENT },
	{ WHEN("\"Bool\":{\"acs:SecureTransport\":\"false\"},\"IpAddress\":{\"acs:SourceIp\":\"11.0.0.0/8\"}"), "10.1.2.3", SILENT },
};

static void statements_say_what_they_mean(void **state)
{
	struct policy_call call = { "ebs:StartDiskReplicaPair", "acs:ebs:r-1:offsite:diskreplicapair/p-1", "", 1000000000, false };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct policy_outcome outcome = { 0 };
		struct policy *policy;

		call.source = cases[i].source;
		assert_int_equal(policy_parse(cases[i].text, strlen(cases[i].text), &policy, NULL), 0);
		policy_evaluate(policy, &call, &outcome);
		if ((outcome.denied ? DENIED : outcome.allowed ? ALLOWED : SILENT) != cases[i].says)
			fail_msg("%s from \"%s\": denied %d allowed %d", cases[i].text, cases[i].source, outcome.denied, outcome.allowed);
		policy_free(policy);
	}
}

/* --- nonces --- */

#define NOW INT64_C(1000000)
#define MANY (NONCES_PLACES_MIN * 3)

static uint64_t nth(uint64_t i)
{
	return hash_xxh3(&i, sizeof i);
}

static void a_nonce_counts_once(void **state)
{
	struct nonces *nonces;
	char path[256];

	snprintf(path, sizeof path, "%s/nonces", (const char *)*state);
	assert_int_equal(nonces_open(path, AUTH_NONCE_S, &nonces, NULL), 0);
	assert_int_equal(nonces_use(nonces, 1, NOW), 0);
	assert_int_equal(nonces_use(nonces, 1, NOW), -EEXIST);
	assert_int_equal(nonces_use(nonces, 1 + NONCES_PLACES_MIN, NOW), 0); /* wants the same place */
	/* A call may be dated a skew ahead, and is timely for a skew after that: up to the last second of it. */
	assert_int_equal(nonces_use(nonces, 1, NOW + AUTH_NONCE_S), -EEXIST);
	assert_true(auth_is_timely(NOW + AUTH_SKEW_S, NOW + AUTH_NONCE_S));
	assert_false(auth_is_timely(NOW + AUTH_SKEW_S, NOW + AUTH_NONCE_S + 1));
	assert_int_equal(nonces_use(nonces, 1, NOW + AUTH_NONCE_S + 1), 0);
	assert_int_equal(nonces_use(nonces, 1, NOW + AUTH_NONCE_S + 1), -EEXIST);
	nonces_close(nonces);
}

static void all_that_live_are_remembered(void **state)
{
	struct nonces *nonces;
	struct stat status;
	char path[256];

	snprintf(path, sizeof path, "%s/many", (const char *)*state);
	assert_int_equal(nonces_open(path, AUTH_NONCE_S, &nonces, NULL), 0);
	for (uint64_t i = 0; i < MANY; i++)
		assert_int_equal(nonces_use(nonces, nth(i), NOW + (int64_t)(i / 100)), 0);
	assert_int_equal(nonces_settle(nonces), 0);
	nonces_close(nonces);
	assert_int_equal(nonces_open(path, AUTH_NONCE_S, &nonces, NULL), 0);
	for (uint64_t i = 0; i < MANY; i++)
		assert_int_equal(nonces_use(nonces, nth(i), NOW + (int64_t)(MANY / 100)), -EEXIST);
	/* Later the file is small again: what is over takes no room for ever. */
	for (uint64_t i = MANY; i < 8 * MANY; i++)
		assert_int_equal(nonces_use(nonces, nth(i), NOW + (int64_t)i), 0);
	assert_int_equal(stat(path, &status), 0);
	assert_in_range(status.st_size, 1, (off_t)(16 * NONCES_PLACES_MIN + 4096));
	nonces_close(nonces);
}

static void a_damaged_file_is_no_empty_one(void **state)
{
	struct nonces *nonces;
	struct error error;
	char path[256];
	int fd;

	snprintf(path, sizeof path, "%s/damaged", (const char *)*state);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "OFSN nonsense", 13), 13);
	close(fd);
	assert_int_equal(nonces_open(path, AUTH_NONCE_S, &nonces, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "damaged"));
}

/* --- secrets --- */

static void secrets_open_with_their_key_alone(void **state)
{
	struct secrets secrets, other;
	struct error error;
	char path[256], *sealed, *again, *plain;
	size_t size;

	snprintf(path, sizeof path, "%s/secret.key", (const char *)*state);
	assert_int_equal(secrets_open(&secrets, path, false, &error), -ENOENT);
	assert_non_null(strstr(error.text, "backup"));
	assert_int_equal(secrets_open(&secrets, path, true, &error), 0);
	sealed = secrets_seal(&secrets, "LTAI1", "a secret", 8);
	again = secrets_seal(&secrets, "LTAI1", "a secret", 8);
	assert_string_not_equal(sealed, again);
	assert_int_equal(secrets_open(&other, path, true, &error), 0); /* the file is kept */
	plain = secrets_unseal(&other, "LTAI1", sealed, &size);
	assert_string_equal(plain, "a secret");
	assert_int_equal(size, 8);
	free(plain);
	assert_null(secrets_unseal(&other, "LTAI2", sealed, &size));
	other.key[3] ^= 1;
	assert_null(secrets_unseal(&other, "LTAI1", sealed, &size));
	for (size_t i = 0; sealed[i] != 0; i++) {
		sealed[i] = (char)(sealed[i] == 'A' ? 'B' : 'A');
		assert_null(secrets_unseal(&secrets, "LTAI1", sealed, &size));
		sealed[i] = again[i]; /* of another nonce: does not fit either */
	}
	assert_null(secrets_unseal(&secrets, "LTAI1", "", &size));
	assert_null(secrets_unseal(&secrets, "LTAI1", "%%%", &size));
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(secrets_open(&other, path, true, &error), -EACCES);
	free(sealed);
	free(again);
}

static int setup(void **state)
{
	static char path[64];

	snprintf(path, sizeof path, "/tmp/offsite-auth-XXXXXX");
	*state = mkdtemp(path);
	return *state == NULL;
}

static int teardown(void **state)
{
	folder_remove(*state);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(wildcards_match), cmocka_unit_test(what_is_not_understood_is_refused),
		cmocka_unit_test(statements_say_what_they_mean), cmocka_unit_test(a_nonce_counts_once),
		cmocka_unit_test(all_that_live_are_remembered), cmocka_unit_test(a_damaged_file_is_no_empty_one),
		cmocka_unit_test(secrets_open_with_their_key_alone),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
