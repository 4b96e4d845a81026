/* Signature version 1 ("RPC"): HMAC-SHA1 over METHOD & %2F & the sorted, encoded parameters. The facts are in the dialect's
 * documents; the string to sign is told in the refusal, since clients compare it with theirs. */
#include <errno.h>
#include <microhttpd.h>
#include <nettle/base64.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/aliyun/internal.h"
#include "api/http/canonical.h"
#include "api/http/http.h"
#include "auth/auth.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/text.h"

char *aliyun_string_to_sign(const struct http_request *request)
{
	struct text canonical = { 0 }, whole = { 0 };

	text_append_parameters(&canonical, request, http_request_parameter_count(request), "Signature");
	text_append(&whole, http_request_method(request), strlen(http_request_method(request)));
	text_append(&whole, "&%2F&", 5);
	text_append_encoded(&whole, canonical.bytes);
	free(canonical.bytes);
	return whole.bytes;
}

void aliyun_sign_1(const char *to_sign, const char *secret, char out_signature[ALIYUN_SIGNATURE_1_SIZE])
{
	char key[AUTH_SECRET_SIZE + 2];
	uint8_t digest[SHA1_SIZE];

	snprintf(key, sizeof(key), "%s&", secret);
	hash_hmac_sha1(key, strlen(key), to_sign, strlen(to_sign), digest);
	base64_encode_raw(out_signature, sizeof(digest), digest);
	out_signature[BASE64_ENCODE_RAW_LENGTH(SHA1_SIZE)] = '\0';
	memory_wipe(key, sizeof(key));
}

static bool signature_is_right(const char *secret, const char *to_sign, const char *given)
{
	char expected[ALIYUN_SIGNATURE_1_SIZE];
	bool right;

	aliyun_sign_1(to_sign, secret, expected);
	right = strlen(given) == strlen(expected) && hash_equal(given, expected, strlen(expected));
	memory_wipe(expected, sizeof(expected));
	return right;
}

/* Everything that must be there before a signature can be looked at. */
static bool check_present(const struct http_request *request, struct aliyun_error *error)
{
	static const char *const names[] = { "AccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "SignatureNonce",
					     "Timestamp" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (aliyun_need(request, names[i], error) == NULL)
			return false;
	if (strcmp(http_request_parameter(request, "SignatureMethod"), "HMAC-SHA1") != 0)
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidSignatureMethod", "SignatureMethod must be HMAC-SHA1.");
	if (strcmp(http_request_parameter(request, "SignatureVersion"), "1.0") != 0)
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "IncompleteSignature", "SignatureVersion must be 1.0.");
	return true;
}

bool aliyun_check_time(const char *given, int64_t now_s, struct aliyun_error *error)
{
	int64_t given_s;

	if (!text_parse_time(given, &given_s))
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidTimeStamp.Format",
				   "The time of a request must look like 2026-01-02T03:04:05Z.");
	if (!auth_is_timely(given_s, now_s))
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidTimeStamp.Expired",
				   "Timestamp is more than 15 minutes away from this server's clock: set the clocks right.");
	return true;
}

bool aliyun_find_caller(const struct auth *auth, const char *key_id, const char *token, int64_t now_s,
			struct auth_caller *out_caller, struct aliyun_error *error)
{
	static const struct {
		unsigned status;
		const char *code, *sentence;
	} lines[] = {
		[AUTH_KEY_UNKNOWN] = { 404, "InvalidAccessKeyId.NotFound", "There is no such access key at this site." },
		[AUTH_KEY_INACTIVE] = { 400, "InvalidAccessKeyId.Inactive", "The access key is disabled." },
		[AUTH_TOKEN_MALFORMED] = { 400, "InvalidSecurityToken.Malformed", "The SecurityToken is none of this site's." },
		[AUTH_TOKEN_EXPIRED] = { 400, "InvalidSecurityToken.Expired", "The SecurityToken has expired: assume the role again." },
		[AUTH_TOKEN_MISMATCH] = { 400, "InvalidSecurityToken.MismatchWithAccessKey",
					  "The SecurityToken belongs to another access key." },
	};
	enum auth_answer answer = auth_find_caller(auth, key_id, token, now_s, out_caller);

	return answer == AUTH_FOUND || aliyun_fail(error, lines[answer].status, lines[answer].code, "%s", lines[answer].sentence);
}

bool aliyun_use_nonce(struct auth *auth, const char *key_id, const char *nonce, int64_t now_s, struct aliyun_error *error)
{
	switch (auth_use_nonce(auth, key_id, nonce, now_s)) {
	case 0:
		return true;
	case -EEXIST:
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "SignatureNonceUsed", "The SignatureNonce was used before.");
	case -ENOSPC:
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "Throttling", "More calls than this site can remember, or its data "
				   "folder is full.");
	default:
		return aliyun_fail(error, MHD_HTTP_INTERNAL_SERVER_ERROR, "InternalError", "The nonces cannot be kept.");
	}
}

bool aliyun_is_version_3(const struct http_request *request)
{
	const char *header = http_request_header(request, "Authorization");

	return header != NULL && strncmp(header, "ACS3-", 5) == 0;
}

bool aliyun_check_signature(struct auth *auth, const struct http_request *request, struct auth_caller *out_caller,
			    struct aliyun_error *error)
{
	int64_t now_s = (int64_t)time(NULL);
	const char *key_id, *token;
	AUTO_FREE char *to_sign = NULL;

	if (aliyun_is_version_3(request))
		return aliyun_check_signature_3(auth, request, out_caller, error);
	if (!check_present(request, error))
		return false;
	key_id = http_request_parameter(request, "AccessKeyId");
	token = http_request_parameter(request, "SecurityToken");
	if (!aliyun_find_caller(auth, key_id, token != NULL && token[0] == '\0' ? NULL : token, now_s, out_caller, error))
		return false;
	to_sign = aliyun_string_to_sign(request);
	if (!signature_is_right(out_caller->secret, to_sign, http_request_parameter(request, "Signature"))) {
		aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "SignatureDoesNotMatch",
			    "The signature is not the one calculated here. server string to sign is:");
		error->tail = steal(to_sign);
		return false;
	}
	if (!aliyun_check_time(http_request_parameter(request, "Timestamp"), now_s, error))
		return false;
	return aliyun_use_nonce(auth, key_id, http_request_parameter(request, "SignatureNonce"), now_s, error);
}
