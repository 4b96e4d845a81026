#include "api/huawei/signature.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/http/canonical.h"
#include "api/http/http.h"
#include "auth/auth.h"
#include "base/memory.h"
#include "base/text.h"

#define ALGORITHM "SDK-HMAC-SHA256"
#define DATE_SIZE 17
#define DATE_HEADER "x-sdk-date"

bool huawei_read_authorization(const char *header, struct authorization *out_authorization)
{
	memset(out_authorization, 0, sizeof(*out_authorization));
	return strnlen(header, HUAWEI_HEADER_MAX + 1) <= HUAWEI_HEADER_MAX &&
	       strncmp(header, ALGORITHM " ", strlen(ALGORITHM) + 1) == 0 &&
	       authorization_read(header + strlen(ALGORITHM) + 1, "Access=", out_authorization);
}

/* "20260102T030405Z", exactly so. */
static bool read_date(const char *date, int64_t *out_s)
{
	char text[TEXT_TIME_SIZE];

	if (strnlen(date, DATE_SIZE) != DATE_SIZE - 1)
		return false;
	snprintf(text, sizeof(text), "%.4s-%.2s-%.5s:%.2s:%s", date, date + 4, date + 6, date + 11, date + 13);
	return text_parse_time(text, out_s);
}

/* --- the canonical request --- */

/* In order, and each in one way of writing only: no header counts twice, and the text grows no longer than the request. */
static bool append_headers(struct text *text, const struct huawei_request *request, const char *list)
{
	AUTO_FREE char *names = memory_copy_text(list);
	const char *before = "";
	char *save = NULL;
	unsigned count = 0;
	bool dated = false;

	for (char *name = strtok_r(names, ";", &save); name != NULL; name = strtok_r(NULL, ";", &save)) {
		const char *value = request->find_header(request->headers, name);

		if (value == NULL || ++count > HUAWEI_SIGNED_HEADERS_MAX || strcmp(before, name) >= 0 ||
		    strpbrk(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL)
			return false;
		text_append_header(text, name, value);
		dated = dated || strcmp(name, DATE_HEADER) == 0;
		before = name;
	}
	return dated;
}

/* The body's hash, or what the client has put in its place: the same in its own writing, or that the body is not signed. A hash
 * that is not the body's counts for nothing. */
static void append_payload(struct text *text, const struct huawei_request *request)
{
	const char *given = request->find_header(request->headers, "x-sdk-content-sha256");
	char hash[SHA256_HEX_SIZE];

	hash_sha256_hex(request->body, request->size, hash);
	if (request->size == 0 || given == NULL || (strcmp(given, "UNSIGNED-PAYLOAD") != 0 && strcasecmp(given, hash) != 0))
		given = hash;
	text_append(text, given, strlen(given));
}

bool huawei_canonical_hash(const struct huawei_request *request, const char *signed_headers, char out_hash[SHA256_HEX_SIZE])
{
	struct text text = { 0 };
	bool good;

	text_append(&text, request->method, strlen(request->method));
	text_append(&text, "\n", 1);
	text_append_path(&text, request->path);
	if (text.bytes[text.size - 1] != '/')
		text_append(&text, "/", 1);
	text_append(&text, "\n", 1);
	text_append_pairs(&text, request->query, request->query_count);
	text_append(&text, "\n", 1);
	good = append_headers(&text, request, signed_headers);
	text_append(&text, "\n", 1);
	text_append(&text, signed_headers, strlen(signed_headers));
	text_append(&text, "\n", 1);
	append_payload(&text, request);
	hash_sha256_hex(text.bytes, text.size, out_hash);
	free(text.bytes);
	return good;
}

void huawei_sign(const char *date, const char *hash, const char *secret, char out_signature[SHA256_HEX_SIZE])
{
	char to_sign[sizeof(ALGORITHM) + DATE_SIZE + SHA256_HEX_SIZE];
	uint8_t digest[SHA256_SIZE];

	snprintf(to_sign, sizeof(to_sign), ALGORITHM "\n%s\n%s", date, hash);
	hash_hmac_sha256(secret, strlen(secret), to_sign, strlen(to_sign), digest);
	hash_to_hex(digest, sizeof(digest), out_signature);
}

enum huawei_signature huawei_verify(const struct huawei_request *request, const struct authorization *authorization,
				    const char *secret, int64_t now_s)
{
	const char *date = request->find_header(request->headers, DATE_HEADER);
	char hash[SHA256_HEX_SIZE], expected[SHA256_HEX_SIZE];
	int64_t date_s;
	bool right;

	if (date == NULL || !read_date(date, &date_s) ||
	    !huawei_canonical_hash(request, authorization->signed_headers, hash))
		return HUAWEI_SIGNATURE_MALFORMED;
	huawei_sign(date, hash, secret, expected);
	right = strlen(authorization->signature) == strlen(expected) &&
		hash_equal(authorization->signature, expected, strlen(expected));
	memory_wipe(expected, sizeof(expected));
	if (!right)
		return HUAWEI_SIGNATURE_WRONG;
	return auth_is_timely(date_s, now_s) ? HUAWEI_SIGNED : HUAWEI_SIGNATURE_UNTIMELY;
}

/* --- of a request that came --- */

static const char *find_header(const void *headers, const char *name)
{
	return http_request_header(headers, name);
}

bool huawei_is_signed(const struct http_request *request)
{
	const char *header = http_request_header(request, "Authorization");

	return header != NULL && strncmp(header, ALGORITHM " ", strlen(ALGORITHM) + 1) == 0;
}

static enum huawei_signature check(const struct auth *auth, const struct http_request *request,
				   const struct authorization *authorization, int64_t now_s, struct auth_caller *out_caller)
{
	const char *token = http_request_header(request, "X-Security-Token");
	size_t count = http_request_query_count(request);
	AUTO_FREE struct text_pair *query = memory_new(count + 1, sizeof(*query));
	struct huawei_request parts = { .method = http_request_method(request), .path = http_request_path(request), .query = query,
					.query_count = count, .find_header = find_header, .headers = request };

	if (token != NULL && token[0] == '\0')
		token = NULL;
	if (auth_find_caller(auth, authorization->key_id, token, now_s, out_caller) != AUTH_FOUND)
		return HUAWEI_SIGNATURE_NO_KEY;
	for (size_t i = 0; i < count; i++)
		query[i] = (struct text_pair){ http_request_parameter_name(request, i), http_request_parameter_value(request, i) };
	parts.body = http_request_body(request, &parts.size);
	return huawei_verify(&parts, authorization, out_caller->secret, now_s);
}

enum huawei_signature huawei_check_signature(const struct auth *auth, const struct http_request *request, int64_t now_s,
					     struct auth_caller *out_caller)
{
	const char *header = http_request_header(request, "Authorization");
	struct authorization authorization = { 0 };
	enum huawei_signature answer = HUAWEI_SIGNATURE_MALFORMED;

	memset(out_caller, 0, sizeof(*out_caller));
	if (header != NULL && huawei_read_authorization(header, &authorization))
		answer = check(auth, request, &authorization, now_s, out_caller);
	free(authorization.text);
	return answer;
}
