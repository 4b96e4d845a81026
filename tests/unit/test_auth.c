/* Policies: wildcards, networks, what is refused at parsing, and what each kind of statement says. Nonces: each once, for as long
 * as it matters, through growth and a restart. Secrets: opened by their key and for their purpose alone. Tokens: who they stand
 * for, and every way in which they end. Passwords. New files: there after a power cut, too. */
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
#include <sys/syscall.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/nonces.h"
#include "auth/secrets.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/text.h"
#include "catalog/catalog.h"
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

/* --- tokens --- */

struct site {
	struct catalog *catalog;
	struct auth *auth;
};

/* The same folder gives the same site again. */
static struct site site_open(const char *folder, const char *name)
{
	struct site site;
	char path[256], file[300];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
	snprintf(file, sizeof file, "%s/catalog.sqlite", path);
	assert_int_equal(catalog_open(file, &site.catalog, NULL), 0);
	assert_int_equal(auth_new(site.catalog, path, &site.auth, NULL), 0);
	return site;
}

static void site_close(struct site *site)
{
	auth_free(site->auth);
	catalog_close(site->catalog);
}

static const struct auth_key *new_user(struct auth *auth, const char *name)
{
	const struct auth_key *key;

	assert_int_equal(auth_create_principal(auth, false, name, "", NULL), 0);
	assert_int_equal(auth_create_key(auth, name, &key, NULL), 0);
	return key;
}

/* Of a caller with this password. */
static char *new_token(const struct auth *auth, const struct auth_key *key, struct auth_token *out_token)
{
	struct auth_caller caller;
	char *text;

	assert_true(auth_check_password(auth, key->user, key->secret, &caller));
	assert_int_equal(auth_issue_token(auth, &caller, NOW, out_token, &text, NULL), 0);
	auth_caller_clear(&caller);
	return text;
}

static enum auth_answer ask(const struct auth *auth, const char *text, int64_t now_s)
{
	struct auth_caller caller;
	enum auth_answer answer = auth_find_token(auth, text, now_s, &caller);

	auth_caller_clear(&caller);
	return answer;
}

static void a_token_stands_for_its_caller_for_a_day(void **state)
{
	struct site site = site_open(*state, "life");
	const struct auth_key *key = new_user(site.auth, "ann");
	struct auth_token token, again;
	struct auth_caller caller;
	char *text = new_token(site.auth, key, &token), *second;

	assert_int_equal(auth_find_token(site.auth, text, NOW, &caller), AUTH_FOUND);
	assert_string_equal(caller.user, "ann");
	assert_string_equal(caller.key_id, key->id);
	assert_string_equal(caller.token.audit_id, token.audit_id);
	assert_string_equal(caller.token.first_id, token.audit_id);
	assert_int_equal(caller.token.issued_s, NOW);
	assert_int_equal(caller.token.expires_s, NOW + 24 * 60 * 60);
	/* One made from it ends with it, and so does one made from that. */
	for (int i = 1; i < 3; i++) {
		assert_int_equal(auth_issue_token(site.auth, &caller, NOW + i, &again, &second, NULL), 0);
		assert_int_equal(again.issued_s, NOW + i);
		assert_int_equal(again.expires_s, token.expires_s);
		assert_string_equal(again.first_id, token.audit_id);
		assert_string_not_equal(again.audit_id, token.audit_id);
		auth_caller_clear(&caller);
		assert_int_equal(auth_find_token(site.auth, second, NOW + i, &caller), AUTH_FOUND);
		assert_int_equal(ask(site.auth, second, token.expires_s), AUTH_TOKEN_EXPIRED);
		free(second);
	}
	auth_caller_clear(&caller);
	assert_int_equal(ask(site.auth, text, token.expires_s - 1), AUTH_FOUND);
	assert_int_equal(ask(site.auth, text, token.expires_s), AUTH_TOKEN_EXPIRED);
	site_close(&site);
	site = site_open(*state, "life");
	assert_int_equal(ask(site.auth, text, NOW), AUTH_FOUND);
	free(text);
	site_close(&site);
}

static void revoked_stays_revoked(void **state)
{
	struct site site = site_open(*state, "revoked");
	const struct auth_key *key = new_user(site.auth, "ann");
	struct auth_token tokens[3], late;
	struct auth_caller caller;
	char *texts[3], *second;

	for (size_t i = 0; i < 3; i++)
		texts[i] = new_token(site.auth, key, &tokens[i]);
	assert_int_equal(auth_find_token(site.auth, texts[0], NOW, &caller), AUTH_FOUND);
	assert_int_equal(auth_issue_token(site.auth, &caller, NOW, &late, &second, NULL), 0);
	auth_caller_clear(&caller);
	assert_int_equal(auth_revoke_token(site.auth, &tokens[0], NOW, NULL), 0);
	assert_int_equal(auth_revoke_token(site.auth, &tokens[2], NOW, NULL), 0);
	assert_int_equal(auth_revoke_token(site.auth, &tokens[0], NOW, NULL), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ask(site.auth, texts[0], NOW), AUTH_TOKEN_REVOKED);
		assert_int_equal(ask(site.auth, texts[1], NOW), AUTH_FOUND);
		assert_int_equal(ask(site.auth, texts[2], NOW), AUTH_TOKEN_REVOKED);
		assert_int_equal(ask(site.auth, second, NOW), AUTH_FOUND);
		assert_int_equal(ask(site.auth, texts[0], tokens[0].expires_s), AUTH_TOKEN_EXPIRED);
		site_close(&site);
		site = site_open(*state, "revoked");
	}
	for (size_t i = 0; i < 3; i++)
		free(texts[i]);
	free(second);
	site_close(&site);
}

static int count_record(void *data, const char *id, const char *body, struct error *error)
{
	(void)id;
	(void)body;
	(void)error;
	++*(int *)data;
	return 0;
}

static int count_revoked(const struct site *site)
{
	int count = 0;

	assert_int_equal(catalog_each(site->catalog, "revoked", count_record, &count, NULL), 0);
	return count;
}

static void the_revoked_are_bounded_and_dropped(void **state)
{
	struct site site = site_open(*state, "bounded");
	const struct auth_key *key;
	struct auth_token token;
	char id[AUTH_AUDIT_SIZE], *text;

	assert_int_equal(catalog_begin(site.catalog, NULL), 0);
	for (int i = 0; i < AUTH_REVOKED_MAX; i++) {
		snprintf(id, sizeof id, "%022d", i);
		assert_int_equal(catalog_put(site.catalog, "revoked", id, i % 2 == 0 ? "{\"expires\":1000100}" : "{\"expires\":1000200}",
					     NULL), 0);
	}
	assert_int_equal(catalog_commit(site.catalog, NULL), 0);
	site_close(&site);
	site = site_open(*state, "bounded");
	key = new_user(site.auth, "ann");
	text = new_token(site.auth, key, &token);
	assert_int_equal(auth_revoke_token(site.auth, &token, NOW + 99, NULL), -ENOSPC);
	assert_int_equal(ask(site.auth, text, NOW + 99), AUTH_FOUND);
	assert_int_equal(auth_revoke_token(site.auth, &token, NOW + 100, NULL), 0);
	assert_int_equal(ask(site.auth, text, NOW + 100), AUTH_TOKEN_REVOKED);
	assert_in_range(count_revoked(&site), 90000, AUTH_REVOKED_MAX - 1); /* no call takes long for it */
	/* Call by call the rest goes. */
	for (int i = 0; i < 100; i++) {
		free(text);
		text = new_token(site.auth, key, &token);
		assert_int_equal(auth_revoke_token(site.auth, &token, NOW + 200, NULL), 0);
	}
	assert_int_equal(count_revoked(&site), 101);
	assert_int_equal(ask(site.auth, text, NOW + 200), AUTH_TOKEN_REVOKED);
	free(text);
	site_close(&site);
}

static void a_token_dies_with_its_key_and_its_user(void **state)
{
	struct site site = site_open(*state, "key");
	const struct auth_key *key = new_user(site.auth, "ann"), *other;
	struct auth_token token;
	char id[AUTH_KEY_ID_SIZE], *text = new_token(site.auth, key, &token);

	text_copy(id, sizeof id, key->id);
	assert_int_equal(auth_create_key(site.auth, "ann", &other, NULL), 0);
	assert_int_equal(auth_set_key(site.auth, "ann", id, false, NULL), 0);
	assert_int_equal(ask(site.auth, text, NOW), AUTH_KEY_INACTIVE);
	assert_int_equal(auth_set_key(site.auth, "ann", id, true, NULL), 0);
	assert_int_equal(ask(site.auth, text, NOW), AUTH_FOUND);
	assert_int_equal(auth_delete_key(site.auth, "ann", other->id, NULL), 0);
	assert_int_equal(auth_delete_principal(site.auth, false, "ann", NULL), -EBUSY);
	assert_int_equal(auth_delete_key(site.auth, "ann", id, NULL), 0);
	assert_int_equal(ask(site.auth, text, NOW), AUTH_KEY_UNKNOWN);
	assert_int_equal(auth_delete_principal(site.auth, false, "ann", NULL), 0);
	/* Another one of the same name is another one. */
	new_user(site.auth, "ann");
	assert_int_equal(ask(site.auth, text, NOW), AUTH_KEY_UNKNOWN);
	free(text);
	site_close(&site);
}

static void a_changed_or_foreign_token_is_none(void **state)
{
	struct site site = site_open(*state, "here"), other = site_open(*state, "there");
	const struct auth_key *key = new_user(site.auth, "ann");
	struct auth_token token;
	struct auth_caller caller;
	struct auth_key session;
	char *text = new_token(site.auth, key, &token), *again = new_token(site.auth, key, &token), *session_token, *none;

	for (size_t i = 0; text[i] != 0; i++) {
		char right = text[i];

		text[i] = (char)(right == 'A' ? 'B' : 'A');
		/* The last letter may have bits that count for nothing. */
		assert_true(ask(site.auth, text, NOW) == AUTH_TOKEN_MALFORMED || strspn(text + i + 1, "=") == strlen(text + i + 1));
		text[i] = right;
	}
	assert_int_equal(ask(site.auth, text, NOW), AUTH_FOUND);
	memcpy(text, again, strlen(text) / 2);
	assert_int_equal(ask(site.auth, text, NOW), AUTH_TOKEN_MALFORMED);
	assert_int_equal(ask(site.auth, "", NOW), AUTH_TOKEN_MALFORMED);
	assert_int_equal(ask(other.auth, again, NOW), AUTH_TOKEN_MALFORMED);
	/* Neither kind passes for the other, and a session gets none. */
	assert_int_equal(auth_create_principal(site.auth, true, "guest", "", NULL), 0);
	assert_int_equal(auth_assume_role(site.auth, "guest", "s", NULL, NOW + 900, &session, &session_token, NULL), 0);
	assert_int_equal(ask(site.auth, session_token, NOW), AUTH_TOKEN_MALFORMED);
	assert_int_equal(auth_find_caller(site.auth, key->id, again, NOW, &caller), AUTH_TOKEN_MALFORMED);
	auth_caller_clear(&caller);
	assert_int_equal(auth_find_caller(site.auth, session.id, session_token, NOW, &caller), AUTH_FOUND);
	assert_int_equal(auth_issue_token(site.auth, &caller, NOW, &token, &none, NULL), -EINVAL);
	auth_caller_clear(&caller);
	free(session_token);
	free(text);
	free(again);
	site_close(&site);
	site_close(&other);
}

static bool lets_in(const struct auth *auth, const char *user, const char *password)
{
	struct auth_caller caller;
	bool good = auth_check_password(auth, user, password, &caller);

	assert_string_equal(caller.user, good ? user : "");
	auth_caller_clear(&caller);
	return good;
}

static void a_password_is_the_secret_of_an_active_key(void **state)
{
	struct site site = site_open(*state, "password");
	const struct auth_key *first = new_user(site.auth, "ann"), *second, *other = new_user(site.auth, "bob");
	char longer[AUTH_SECRET_SIZE + 1];

	assert_int_equal(auth_create_key(site.auth, "ann", &second, NULL), 0);
	assert_true(lets_in(site.auth, "ann", first->secret));
	assert_true(lets_in(site.auth, "ann", second->secret));
	assert_true(lets_in(site.auth, "bob", other->secret));
	assert_false(lets_in(site.auth, "ann", other->secret));
	assert_false(lets_in(site.auth, "nobody", first->secret));
	assert_false(lets_in(site.auth, "ann", ""));
	snprintf(longer, sizeof longer, "%sx", first->secret);
	assert_false(lets_in(site.auth, "ann", longer));
	longer[strlen(first->secret) - 1] = 0;
	assert_false(lets_in(site.auth, "ann", longer));
	assert_int_equal(auth_set_key(site.auth, "ann", first->id, false, NULL), 0);
	assert_false(lets_in(site.auth, "ann", first->secret));
	assert_true(lets_in(site.auth, "ann", second->secret));
	site_close(&site);
}

/* --- files --- */

static const char *settling; /* the path to be made */
static bool settled;         /* it was there when its folder was synced */

/* In place of libc's, which it does. */
int fsync(int fd)
{
	struct stat status;

	if (settling != NULL && fstat(fd, &status) == 0 && S_ISDIR(status.st_mode) && access(settling, F_OK) == 0)
		settled = true;
	return (int)syscall(SYS_fsync, fd);
}

static void new_files_outlive_a_power_cut(void **state)
{
	struct nonces *nonces;
	struct secrets secrets;
	char path[256];

	settling = path;
	settled = false;
	snprintf(path, sizeof path, "%s/new-nonces", (const char *)*state);
	assert_int_equal(nonces_open(path, AUTH_NONCE_S, &nonces, NULL), 0);
	assert_true(settled);
	nonces_close(nonces);
	settled = false;
	snprintf(path, sizeof path, "%s/new-secrets", (const char *)*state);
	assert_int_equal(secrets_open(&secrets, path, true, NULL), 0);
	assert_true(settled);
	secrets_close(&secrets);
	settling = NULL;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(wildcards_match), cmocka_unit_test(what_is_not_understood_is_refused),
		cmocka_unit_test(statements_say_what_they_mean), cmocka_unit_test(a_nonce_counts_once),
		cmocka_unit_test(all_that_live_are_remembered), cmocka_unit_test(a_damaged_file_is_no_empty_one),
		cmocka_unit_test(secrets_open_with_their_key_alone), cmocka_unit_test(a_token_stands_for_its_caller_for_a_day),
		cmocka_unit_test(revoked_stays_revoked), cmocka_unit_test(the_revoked_are_bounded_and_dropped),
		cmocka_unit_test(a_token_dies_with_its_key_and_its_user), cmocka_unit_test(a_changed_or_foreign_token_is_none),
		cmocka_unit_test(a_password_is_the_secret_of_an_active_key),
		cmocka_unit_test(new_files_outlive_a_power_cut),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
