/* Signatures with access keys: the vectors of the facts, what is covered and what is not, and who is let in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/http/canonical.h"
#include "api/huawei/signature.h"
#include "auth/auth.h"
#include "base/text.h"
#include "catalog/catalog.h"
#include "folder.h"
#include "request.h"

#define SECRET "SKTESTsecret00000000000000000000000000EX"
#define LIST "content-type;host;x-project-id;x-sdk-date"
#define PATH "/v1/0123456789abcdef0123456789abcdef/server-groups"
#define BODY "{\"start-server-group\":{}}"
#define NOW INT64_C(1767323045) /* 2026-01-02T03:04:05Z */
#define HEADERS 8

/* A request of our own, changed at will. */
struct sample {
	struct huawei_request request;
	struct text_pair query[4];
	struct text_pair headers[HEADERS];
};

static const char *find_header(const void *headers, const char *name)
{
	const struct text_pair *pairs = headers;

	for (size_t i = 0; i < HEADERS && pairs[i].name != NULL; i++)
		if (strcasecmp(pairs[i].name, name) == 0)
			return pairs[i].value;
	return NULL;
}

static void set_header(struct sample *sample, const char *name, const char *value)
{
	size_t i = 0;

	while (sample->headers[i].name != NULL && strcasecmp(sample->headers[i].name, name) != 0)
		i++;
	assert_true(i < HEADERS - 1);
	sample->headers[i] = (struct text_pair){ name, value };
}

static void set_body(struct sample *sample, const char *body)
{
	sample->request.body = body;
	sample->request.size = strlen(body);
}

static void sample_init(struct sample *sample, const char *method, const char *path, const char *body)
{
	memset(sample, 0, sizeof(*sample));
	sample->request = (struct huawei_request){ .method = method, .path = path, .query = sample->query,
						   .find_header = find_header, .headers = sample->headers };
	set_body(sample, body);
	set_header(sample, "X-Sdk-Date", "20260102T030405Z");
	set_header(sample, "Host", "127.0.0.1:8776");
	set_header(sample, "Content-Type", "application/json");
	set_header(sample, "X-Project-Id", "0123456789abcdef0123456789abcdef");
}

static void first_vector(struct sample *sample)
{
	sample_init(sample, "GET", PATH, "");
	sample->query[0] = (struct text_pair){ "name", "a b/c" };
	sample->query[1] = (struct text_pair){ "limit", "10" };
	sample->query[2] = (struct text_pair){ "status", "available" };
	sample->request.query_count = 3;
}

static void second_vector(struct sample *sample)
{
	sample_init(sample, "POST", PATH "/g-1/action", BODY);
}

static void assert_vector(const struct sample *sample, const char *hash, const char *signature)
{
	char found[SHA256_HEX_SIZE];

	assert_true(huawei_canonical_hash(&sample->request, LIST, found));
	assert_string_equal(found, hash);
	huawei_sign("20260102T030405Z", hash, SECRET, found);
	assert_string_equal(found, signature);
}

static void the_vectors_are_as_published(void **state)
{
	struct sample sample;

	(void)state;
	first_vector(&sample);
	assert_vector(&sample, "166844c84b55bad992fb734737235683632d6d2c66158d50b7ab5711ce12e05f",
		      "664a6274f4e1939733f1846b6f4327c6d7e56b1c50ecd763839fe1b387f8bf1c");
	second_vector(&sample);
	assert_vector(&sample, "21231cf0950fdc2868c973ceaab95f7d080a118549c59e1c1c8d329bcb3677c3",
		      "3f624c3e578b100ebcdc8e85e32823cf02f60da8012b88b470c5d24cdb428d1c");
}

/* What a client does with the sample; the signature as a test may spoil it. */
static void sign(const struct sample *sample, const char *list, char out_signature[SHA256_HEX_SIZE])
{
	char hash[SHA256_HEX_SIZE];

	assert_true(huawei_canonical_hash(&sample->request, list, hash));
	huawei_sign(find_header(sample->headers, "X-Sdk-Date"), hash, SECRET, out_signature);
}

static enum huawei_signature verify(const struct sample *sample, const char *list, const char *signature, int64_t now_s)
{
	const struct authorization authorization = { .key_id = "k", .signed_headers = list, .signature = signature };

	return huawei_verify(&sample->request, &authorization, SECRET, now_s);
}

static void whatever_is_signed_cannot_be_changed(void **state)
{
	static const struct {
		const char *method, *path, *query, *header, *value, *body, *list;
	} changes[] = {
		{ .method = "PUT" }, { .method = "post" }, { .path = PATH "/g-2/action" }, { .path = PATH "/g-1/action/x" },
		{ .path = PATH "//g-1/action" }, { .query = "1" }, { .query = "" },
		{ .header = "Host", .value = "127.0.0.1:8777" }, { .header = "Content-Type", .value = "text/plain" },
		{ .header = "X-Project-Id", .value = "0" }, { .header = "X-Sdk-Date", .value = "20260102T030406Z" },
		{ .header = "X-Sdk-Content-Sha256", .value = "UNSIGNED-PAYLOAD" }, { .body = "" }, { .body = BODY " " },
		{ .body = "{\"start-server-group\":[]}" }, { .list = "host;x-project-id;x-sdk-date" },
		{ .list = "content-type;host;x-project-id;x-sdk-date;" },
	};
	struct sample sample;
	char signature[SHA256_HEX_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		second_vector(&sample);
		sample.query[0] = (struct text_pair){ "force", "0" };
		sample.request.query_count = 1;
		sign(&sample, LIST, signature);
		assert_int_equal(verify(&sample, LIST, signature, NOW), HUAWEI_SIGNED);
		sample.request.method = changes[i].method != NULL ? changes[i].method : sample.request.method;
		sample.request.path = changes[i].path != NULL ? changes[i].path : sample.request.path;
		sample.query[0].value = changes[i].query != NULL ? changes[i].query : sample.query[0].value;
		if (changes[i].header != NULL)
			set_header(&sample, changes[i].header, changes[i].value);
		if (changes[i].body != NULL)
			set_body(&sample, changes[i].body);
		if (verify(&sample, changes[i].list != NULL ? changes[i].list : LIST, signature, NOW) != HUAWEI_SIGNATURE_WRONG)
			fail_msg("change %zu is not seen", i);
	}
	second_vector(&sample);
	sign(&sample, LIST, signature);
	sample.query[0] = (struct text_pair){ "force", "" };
	sample.request.query_count = 1;
	assert_int_equal(verify(&sample, LIST, signature, NOW), HUAWEI_SIGNATURE_WRONG);
	sample.request.query_count = 0;
	for (size_t i = 0; i < SHA256_HEX_SIZE - 1; i++) {
		char right = signature[i];

		signature[i] = right == '0' ? '1' : '0';
		assert_int_equal(verify(&sample, LIST, signature, NOW), HUAWEI_SIGNATURE_WRONG);
		signature[i] = right;
	}
	assert_int_equal(verify(&sample, LIST, signature, NOW), HUAWEI_SIGNED);
	signature[63] = '\0';
	assert_int_equal(verify(&sample, LIST, signature, NOW), HUAWEI_SIGNATURE_WRONG);
	assert_int_equal(verify(&sample, LIST, "", NOW), HUAWEI_SIGNATURE_WRONG);
}

static void paths_and_queries_have_one_writing(void **state)
{
	static const char *const same[][2] = { { "/v1/p", "/v1/p/" }, { "", "/" } };
	static const char canonical[] = "GET\n/a%20%25%C3%A9/b%3F/\n\nx-sdk-date:20260102T030405Z\n\nx-sdk-date\n"
					"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"; /* the hash of nothing */
	struct sample sample;
	char signature[SHA256_HEX_SIZE], other[SHA256_HEX_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		sample_init(&sample, "GET", same[i][0], "");
		sign(&sample, LIST, signature);
		sample.request.path = same[i][1];
		assert_int_equal(verify(&sample, LIST, signature, NOW), HUAWEI_SIGNED);
	}
	sample_init(&sample, "GET", "/a %\xc3\xa9/b?", "");
	assert_true(huawei_canonical_hash(&sample.request, "x-sdk-date", signature));
	hash_sha256_hex(canonical, sizeof(canonical) - 1, other);
	assert_string_equal(signature, other);
	/* The order in which parameters come is nobody's matter; by name, then by value. */
	sample.query[0] = (struct text_pair){ "b", "2" };
	sample.query[1] = (struct text_pair){ "a", "2" };
	sample.query[2] = (struct text_pair){ "a", "1" };
	sample.request.query_count = 3;
	sign(&sample, LIST, signature);
	assert_string_equal(sample.query[0].value, "1");
	sample.query[0] = (struct text_pair){ "a", "2" };
	sample.query[1] = (struct text_pair){ "a", "1" };
	sample.query[2] = (struct text_pair){ "b", "2" };
	assert_int_equal(verify(&sample, LIST, signature, NOW), HUAWEI_SIGNED);
	sample.query[2] = (struct text_pair){ "b", "1" };
	assert_int_equal(verify(&sample, LIST, signature, NOW), HUAWEI_SIGNATURE_WRONG);
}

static void a_list_of_headers_is_in_order_and_dated(void **state)
{
	static const char *const bad[] = {
		"", "host", "x-sdk-dat", "x-sdk-date;host", "host;host;x-sdk-date", "Host;x-sdk-date", "X-Sdk-Date",
		"host;x-missing;x-sdk-date", ";;",
	};
	struct sample sample;
	char signature[SHA256_HEX_SIZE];

	(void)state;
	second_vector(&sample);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(verify(&sample, bad[i], "", NOW), HUAWEI_SIGNATURE_MALFORMED);
	/* The least that may be signed; what is not can be changed. */
	sign(&sample, "x-sdk-date", signature);
	set_header(&sample, "X-Project-Id", "other");
	assert_int_equal(verify(&sample, "x-sdk-date", signature, NOW), HUAWEI_SIGNED);
	/* Names with "_" are headers like others, and blanks around a value are not signed. */
	set_header(&sample, "X_Sdk", "a  b");
	sign(&sample, "x-sdk-date;x_sdk", signature);
	set_header(&sample, "X_Sdk", " \ta  b ");
	assert_int_equal(verify(&sample, "x-sdk-date;x_sdk", signature, NOW), HUAWEI_SIGNED);
	set_header(&sample, "X_Sdk", "a b");
	assert_int_equal(verify(&sample, "x-sdk-date;x_sdk", signature, NOW), HUAWEI_SIGNATURE_WRONG);
}

static const char *find_any(const void *headers, const char *name)
{
	(void)headers;
	return strcmp(name, "x-sdk-date") == 0 ? "20260102T030405Z" : "v";
}

static void no_more_headers_than_there_may_be(void **state)
{
	struct huawei_request request = { .method = "GET", .path = "/", .find_header = find_any, .body = "" };
	char hash[SHA256_HEX_SIZE], list[1000] = "";

	(void)state;
	for (unsigned count = 1; count < 70; count++) {
		size_t length = strlen(list);

		snprintf(list + length, sizeof(list) - length, "h%02u;", count);
		length = strlen(list);
		snprintf(list + length, sizeof(list) - length, "x-sdk-date");
		assert_int_equal(huawei_canonical_hash(&request, list, hash), count + 1 <= HUAWEI_SIGNED_HEADERS_MAX);
		list[length] = '\0';
	}
}

static void a_body_is_signed_by_its_hash_or_not_at_all(void **state)
{
	struct sample sample;
	char plain[SHA256_HEX_SIZE], signature[SHA256_HEX_SIZE], hash[SHA256_HEX_SIZE];

	(void)state;
	second_vector(&sample);
	sign(&sample, LIST, plain);
	hash_sha256_hex(BODY, strlen(BODY), hash);
	set_header(&sample, "X-Sdk-Content-Sha256", hash);
	assert_int_equal(verify(&sample, LIST, plain, NOW), HUAWEI_SIGNED);
	/* A hash that was signed does not let another body in. */
	set_body(&sample, "{}");
	assert_int_equal(verify(&sample, LIST, plain, NOW), HUAWEI_SIGNATURE_WRONG);
	/* Nor does one of no body, once there is one. */
	set_header(&sample, "X-Sdk-Content-Sha256", "UNSIGNED-PAYLOAD");
	sign(&sample, LIST, signature);
	set_body(&sample, "[]");
	assert_int_equal(verify(&sample, LIST, signature, NOW), HUAWEI_SIGNED);
	set_body(&sample, "");
	assert_int_equal(verify(&sample, LIST, signature, NOW), HUAWEI_SIGNATURE_WRONG);
	sign(&sample, LIST, signature);
	set_body(&sample, "[]");
	assert_int_equal(verify(&sample, LIST, signature, NOW), HUAWEI_SIGNATURE_WRONG);
}

static void a_date_is_exact_and_near(void **state)
{
	static const char *const bad[] = { "", "20260102T030405", "20260102T030405Zx", "2026-01-02T03:04:05Z", "20260102 030405Z",
					   "20260102T030405z", "20260231T030405Z", "20261302T030405Z", "2026O102T030405Z" };
	struct sample sample;
	char signature[SHA256_HEX_SIZE];

	(void)state;
	first_vector(&sample);
	sign(&sample, LIST, signature);
	assert_int_equal(verify(&sample, LIST, signature, NOW + 900), HUAWEI_SIGNED);
	assert_int_equal(verify(&sample, LIST, signature, NOW - 900), HUAWEI_SIGNED);
	assert_int_equal(verify(&sample, LIST, signature, NOW + 901), HUAWEI_SIGNATURE_UNTIMELY);
	assert_int_equal(verify(&sample, LIST, signature, NOW - 901), HUAWEI_SIGNATURE_UNTIMELY);
	/* Nobody learns about our clock who cannot sign. */
	signature[0] = signature[0] == '0' ? '1' : '0';
	assert_int_equal(verify(&sample, LIST, signature, NOW + 901), HUAWEI_SIGNATURE_WRONG);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		set_header(&sample, "X-Sdk-Date", bad[i]);
		sign(&sample, LIST, signature);
		assert_int_equal(verify(&sample, LIST, signature, NOW), HUAWEI_SIGNATURE_MALFORMED);
	}
}

static void the_header_is_taken_apart(void **state)
{
	static const char *const bad[] = {
		"", "SDK-HMAC-SHA256", "SDK-HMAC-SHA256 ", "SDK-HMAC-SM3 Access=a, SignedHeaders=b, Signature=c",
		"SDK-HMAC-SHA256 Access=a, SignedHeaders=b", "SDK-HMAC-SHA256 Access=a, Signature=c",
		"SDK-HMAC-SHA256 SignedHeaders=b, Signature=c", "SDK-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c",
	};
	struct authorization authorization;
	char text[HUAWEI_HEADER_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(huawei_read_authorization(bad[i], &authorization));
		free(authorization.text);
	}
	assert_true(huawei_read_authorization("SDK-HMAC-SHA256 Access=a=, SignedHeaders=b;c,Signature=d", &authorization));
	assert_string_equal(authorization.key_id, "a=");
	assert_string_equal(authorization.signed_headers, "b;c");
	assert_string_equal(authorization.signature, "d");
	free(authorization.text);
	memset(text, 'x', sizeof(text));
	memcpy(text, "SDK-HMAC-SHA256 Access=a, SignedHeaders=b, Signature=", 53);
	text[HUAWEI_HEADER_MAX] = '\0';
	assert_true(huawei_read_authorization(text, &authorization));
	free(authorization.text);
	text[HUAWEI_HEADER_MAX] = 'x';
	text[HUAWEI_HEADER_MAX + 1] = '\0';
	assert_false(huawei_read_authorization(text, &authorization));
	free(authorization.text);
}

/* --- who is let in --- */

/* The answer to a request that this key signed, with this token in it. */
static enum huawei_signature ask(const struct auth *auth, const struct auth_key *key, const char *token,
				 struct auth_caller *out_caller)
{
	static const char plain[] = "POST /v1/p/g?name=a%20b&limit=1 HTTP/1.1\r\nHost: h\r\nX-Sdk-Date: 20260102T030405Z\r\n\r\n{}";
	struct text_pair query[] = { { "name", "a b" }, { "limit", "1" } };
	struct sample sample;
	struct http_request *request = request_new(plain, sizeof(plain) - 1);
	char hash[SHA256_HEX_SIZE], signature[SHA256_HEX_SIZE], header[300];
	enum huawei_signature answer;

	assert_false(huawei_is_signed(request));
	assert_int_equal(huawei_check_signature(auth, request, NOW, out_caller), HUAWEI_SIGNATURE_MALFORMED);
	sample_init(&sample, "POST", "/v1/p/g", "{}");
	set_header(&sample, "Host", "h");
	sample.request.query = query;
	sample.request.query_count = 2;
	assert_true(huawei_canonical_hash(&sample.request, "host;x-sdk-date", hash));
	huawei_sign("20260102T030405Z", hash, key->secret, signature);
	snprintf(header, sizeof(header), "SDK-HMAC-SHA256 Access=%s, SignedHeaders=host;x-sdk-date, Signature=%s", key->id,
		 signature);
	request_set_header(request, "Authorization", header);
	if (token != NULL)
		request_set_header(request, "X-Security-Token", token);
	assert_true(huawei_is_signed(request));
	answer = huawei_check_signature(auth, request, NOW, out_caller);
	request_free(request);
	return answer;
}

static enum huawei_signature ask_only(const struct auth *auth, const struct auth_key *key, const char *token)
{
	struct auth_caller caller;
	enum huawei_signature answer = ask(auth, key, token, &caller);

	auth_caller_clear(&caller);
	return answer;
}

static void keys_and_temporary_keys_are_let_in(void **state)
{
	struct catalog *catalog;
	struct auth *auth;
	struct auth_caller caller;
	struct auth_key session, other;
	const struct auth_key *key;
	char path[256], *token;

	snprintf(path, sizeof(path), "%s/catalog.sqlite", (const char *)*state);
	assert_int_equal(catalog_open(path, &catalog, NULL), 0);
	assert_int_equal(auth_new(catalog, *state, &auth, NULL), 0);
	assert_int_equal(auth_create_principal(auth, false, "ann", "", NULL), 0);
	assert_int_equal(auth_create_key(auth, "ann", &key, NULL), 0);
	assert_int_equal(ask(auth, key, NULL, &caller), HUAWEI_SIGNED);
	assert_string_equal(caller.user, "ann");
	auth_caller_clear(&caller);
	assert_int_equal(ask_only(auth, key, ""), HUAWEI_SIGNED);
	assert_int_equal(ask_only(auth, key, "nonsense"), HUAWEI_SIGNATURE_NO_KEY);
	other = *key;
	other.secret[0] ^= 1;
	assert_int_equal(ask_only(auth, &other, NULL), HUAWEI_SIGNATURE_WRONG);
	other = *key;
	other.id[5] ^= 1;
	assert_int_equal(ask_only(auth, &other, NULL), HUAWEI_SIGNATURE_NO_KEY);
	assert_int_equal(auth_create_principal(auth, true, "guest", "", NULL), 0);
	assert_int_equal(auth_assume_role(auth, "guest", "s-1", NULL, NOW + 1, &session, &token, NULL), 0);
	assert_int_equal(ask(auth, &session, token, &caller), HUAWEI_SIGNED);
	assert_string_equal(caller.role, "guest");
	assert_string_equal(caller.session, "s-1");
	auth_caller_clear(&caller);
	assert_int_equal(ask_only(auth, &session, NULL), HUAWEI_SIGNATURE_NO_KEY);
	assert_int_equal(ask_only(auth, key, token), HUAWEI_SIGNATURE_NO_KEY);
	free(token);
	assert_int_equal(auth_assume_role(auth, "guest", "s-1", NULL, NOW, &session, &token, NULL), 0);
	assert_int_equal(ask_only(auth, &session, token), HUAWEI_SIGNATURE_NO_KEY);
	free(token);
	assert_int_equal(auth_set_key(auth, "ann", key->id, false, NULL), 0);
	assert_int_equal(ask_only(auth, key, NULL), HUAWEI_SIGNATURE_NO_KEY);
	auth_free(auth);
	catalog_close(catalog);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vectors_are_as_published), cmocka_unit_test(whatever_is_signed_cannot_be_changed),
		cmocka_unit_test(paths_and_queries_have_one_writing), cmocka_unit_test(a_list_of_headers_is_in_order_and_dated),
		cmocka_unit_test(no_more_headers_than_there_may_be), cmocka_unit_test(a_body_is_signed_by_its_hash_or_not_at_all),
		cmocka_unit_test(a_date_is_exact_and_near), cmocka_unit_test(the_header_is_taken_apart),
		cmocka_unit_test(keys_and_temporary_keys_are_let_in),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
