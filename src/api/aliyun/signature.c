/* Signature version 1 ("RPC"): HMAC-SHA1 over METHOD & %2F & the sorted, encoded parameters. The facts are in the dialect's
 * documents; the string to sign is told in the refusal, since clients compare it with theirs. */
#include <microhttpd.h>
#include <nettle/base64.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/aliyun/internal.h"
#include "api/http/http.h"
#include "auth/auth.h"
#include "base/hash.h"
#include "base/memory.h"

struct text {
	char *bytes;
	size_t size;
	size_t room;
};

static void text_append(struct text *text, const char *bytes, size_t size)
{
	if (text->size + size + 1 > text->room) {
		text->room = (text->size + size + 1) * 2;
		text->bytes = memory_resize(text->bytes, text->room, 1);
	}
	memcpy(text->bytes + text->size, bytes, size);
	text->size += size;
	text->bytes[text->size] = '\0';
}

/* Percent-encoding with all but A-Z a-z 0-9 - _ . ~ escaped. */
static void text_append_encoded(struct text *text, const char *plain)
{
	static const char kept[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
	char escape[4];

	for (; *plain != '\0'; plain++) {
		if (strchr(kept, *plain) != NULL) {
			text_append(text, plain, 1);
			continue;
		}
		snprintf(escape, sizeof(escape), "%%%02X", (unsigned)(unsigned char)*plain);
		text_append(text, escape, 3);
	}
}

struct pair {
	const char *name;
	const char *value;
};

static int pair_compare(const void *left, const void *right)
{
	const struct pair *a = left, *b = right;
	int order = strcmp(a->name, b->name);

	return order != 0 ? order : strcmp(a->value, b->value);
}

/* Gives "METHOD&%2F&...", on the heap. */
static char *string_to_sign(const struct http_request *request)
{
	size_t count = http_request_parameter_count(request), used = 0;
	AUTO_FREE struct pair *pairs = memory_new(count + 1, sizeof(*pairs));
	struct text canonical = { 0 }, whole = { 0 };

	for (size_t i = 0; i < count; i++) {
		if (strcmp(http_request_parameter_name(request, i), "Signature") == 0)
			continue;
		pairs[used].name = http_request_parameter_name(request, i);
		pairs[used++].value = http_request_parameter_value(request, i);
	}
	qsort(pairs, used, sizeof(*pairs), pair_compare);
	text_append(&canonical, "", 0);
	for (size_t i = 0; i < used; i++) {
		text_append(&canonical, "&", i > 0);
		text_append_encoded(&canonical, pairs[i].name);
		text_append(&canonical, "=", 1);
		text_append_encoded(&canonical, pairs[i].value);
	}
	text_append(&whole, http_request_method(request), strlen(http_request_method(request)));
	text_append(&whole, "&%2F&", 5);
	text_append_encoded(&whole, canonical.bytes);
	free(canonical.bytes);
	return whole.bytes;
}

static bool signature_is_right(const char *secret, const char *to_sign, const char *given)
{
	char key[AUTH_SECRET_SIZE + 2], expected[BASE64_ENCODE_RAW_LENGTH(SHA1_SIZE) + 1] = "";
	uint8_t digest[SHA1_SIZE];
	bool right;

	snprintf(key, sizeof(key), "%s&", secret);
	hash_hmac_sha1(key, strlen(key), to_sign, strlen(to_sign), digest);
	base64_encode_raw(expected, sizeof(digest), digest);
	right = strlen(given) == strlen(expected) && hash_equal(given, expected, strlen(expected));
	memory_wipe(key, sizeof(key));
	memory_wipe(expected, sizeof(expected));
	return right;
}

/* Everything that must be there before a signature can be looked at. */
static bool check_present(const struct http_request *request, struct aliyun_error *error)
{
	static const char *const names[] = { "AccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "SignatureNonce",
					     "Timestamp" };
	const char *header = http_request_header(request, "Authorization");

	if (header != NULL && strncmp(header, "ACS3-", 5) == 0)
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidSignatureMethod",
				   "Signature version 3 is not spoken here yet: use version 1 (HMAC-SHA1).");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (aliyun_need(request, names[i], error) == NULL)
			return false;
	if (strcmp(http_request_parameter(request, "SignatureMethod"), "HMAC-SHA1") != 0)
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidSignatureMethod", "SignatureMethod must be HMAC-SHA1.");
	if (strcmp(http_request_parameter(request, "SignatureVersion"), "1.0") != 0)
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "IncompleteSignature", "SignatureVersion must be 1.0.");
	return true;
}

static bool check_time(const struct http_request *request, int64_t now_s, struct aliyun_error *error)
{
	const char *given = http_request_parameter(request, "Timestamp");
	struct tm utc = { 0 };
	const char *end = strptime(given, "%Y-%m-%dT%H:%M:%SZ", &utc);

	if (end == NULL || *end != '\0')
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidTimeStamp.Format",
				   "Timestamp must look like 2026-01-02T03:04:05Z.");
	if (!auth_is_timely((int64_t)timegm(&utc), now_s))
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidTimeStamp.Expired",
				   "Timestamp is more than 15 minutes away from this server's clock: set the clocks right.");
	return true;
}

bool aliyun_check_signature(struct auth *auth, const struct http_request *request, struct aliyun_error *error)
{
	int64_t now_s = (int64_t)time(NULL);
	const char *key_id, *secret, *nonce;
	AUTO_FREE char *to_sign = NULL;
	bool disabled;

	if (!check_present(request, error))
		return false;
	key_id = http_request_parameter(request, "AccessKeyId");
	secret = auth_find_secret(auth, key_id, &disabled);
	if (secret == NULL && disabled)
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidAccessKeyId.Inactive", "The access key is disabled.");
	if (secret == NULL)
		return aliyun_fail(error, MHD_HTTP_NOT_FOUND, "InvalidAccessKeyId.NotFound",
				   "There is no such access key at this site.");
	to_sign = string_to_sign(request);
	if (!signature_is_right(secret, to_sign, http_request_parameter(request, "Signature")))
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "SignatureDoesNotMatch",
				   "The signature is not the one calculated here. server string to sign is:%s", to_sign);
	if (!check_time(request, now_s, error))
		return false;
	nonce = http_request_parameter(request, "SignatureNonce");
	if (!auth_use_nonce(auth, key_id, nonce, now_s))
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "SignatureNonceUsed", "The SignatureNonce was used before.");
	return true;
}
