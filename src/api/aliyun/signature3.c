/* Signature version 3 (ACS3-HMAC-SHA256): HMAC-SHA256 over the hash of method, path, query, the headers that the client names,
 * and the body's hash. The action and the version ride in headers. */
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "api/aliyun/internal.h"
#include "api/http/canonical.h"
#include "api/http/http.h"
#include "auth/auth.h"
#include "base/hash.h"
#include "base/memory.h"

#define ALGORITHM "ACS3-HMAC-SHA256"
#define HEADERS_MAX 64u
#define TOKEN_HEADER "x-acs-security-token"

static bool read_header(const char *header, struct authorization *out_authorization, struct aliyun_error *error)
{
	if (strncmp(header, ALGORITHM " ", strlen(ALGORITHM) + 1) != 0) {
		aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidSignatureMethod", "The algorithm must be " ALGORITHM ".");
		return false;
	}
	if (authorization_read(header + strlen(ALGORITHM) + 1, "Credential=", out_authorization))
		return true;
	aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "IncompleteSignature",
		    "Authorization must have Credential, SignedHeaders and Signature.");
	return false;
}

/* What is not signed could have been changed on the way: these must be. */
static bool signs_what_it_must(const struct http_request *request, const char *signed_headers, struct aliyun_error *error)
{
	const char *const needed[] = { "host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce",
				       "x-acs-content-sha256",
				       http_request_header(request, TOKEN_HEADER) == NULL ? "host" : TOKEN_HEADER };
	char list[1024], name[40];
	size_t size;

	if (snprintf(list, sizeof(list), ";%s;", signed_headers) >= (int)sizeof(list))
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "IncompleteSignature", "SignedHeaders is too long.");
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		snprintf(name, sizeof(name), ";%s;", needed[i]);
		if (strstr(list, name) == NULL)
			return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "IncompleteSignature", "SignedHeaders must name %s.", needed[i]);
	}
	/* It decides whether the body is read as parameters. */
	http_request_body(request, &size);
	if (size > 0 && strstr(list, ";content-type;") == NULL)
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "IncompleteSignature",
				   "SignedHeaders must name content-type when there is a body.");
	return true;
}

/* "name:value\n" for each name of the list, in its order: clients sort it. */
static bool append_headers(struct text *text, const struct http_request *request, const char *list, struct aliyun_error *error)
{
	AUTO_FREE char *names = memory_copy_text(list);
	const char *before = "";
	char *save = NULL;
	unsigned count = 0;

	for (char *name = strtok_r(names, ";", &save); name != NULL; name = strtok_r(NULL, ";", &save)) {
		const char *value = http_request_header(request, name);

		/* In order, each once: a long header, named again and again, would make a text of any length. */
		if (value == NULL || strcasecmp(before, name) >= 0 || ++count > HEADERS_MAX)
			return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "IncompleteSignature",
					   "SignedHeaders names %.64s, which the request has not, out of order, or too many.", name);
		text_append_header(text, name, value);
		before = name;
	}
	return true;
}

bool aliyun_canonical_hash(const struct http_request *request, const char *signed_headers, char out_hash[SHA256_HEX_SIZE],
			   struct aliyun_error *error)
{
	const char *claimed = http_request_header(request, "x-acs-content-sha256"), *body;
	struct text text = { 0 };
	char body_hash[SHA256_HEX_SIZE];
	size_t size;
	bool good;

	body = http_request_body(request, &size);
	hash_sha256_hex(body, size, body_hash);
	if (claimed == NULL || strcasecmp(claimed, body_hash) != 0)
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "SignatureDoesNotMatch",
				   "x-acs-content-sha256 is not the hash of the body that came.");
	text_append(&text, http_request_method(request), strlen(http_request_method(request)));
	text_append(&text, "\n/\n", 3);
	text_append_parameters(&text, request, http_request_query_count(request), NULL);
	text_append(&text, "\n", 1);
	good = append_headers(&text, request, signed_headers, error);
	text_append(&text, "\n", 1);
	text_append(&text, signed_headers, strlen(signed_headers));
	text_append(&text, "\n", 1);
	text_append(&text, body_hash, strlen(body_hash));
	hash_sha256_hex(text.bytes, text.size, out_hash);
	free(text.bytes);
	return good;
}

void aliyun_sign_3(const char *hash, const char *secret, char out_signature[SHA256_HEX_SIZE])
{
	char to_sign[sizeof(ALGORITHM) + SHA256_HEX_SIZE];
	uint8_t digest[SHA256_SIZE];

	snprintf(to_sign, sizeof(to_sign), ALGORITHM "\n%s", hash);
	hash_hmac_sha256(secret, strlen(secret), to_sign, strlen(to_sign), digest);
	hash_to_hex(digest, sizeof(digest), out_signature);
}

static bool check(struct auth *auth, const struct http_request *request, const struct authorization *authorization,
		  struct auth_caller *out_caller, struct aliyun_error *error)
{
	const char *date = http_request_header(request, "x-acs-date");
	const char *nonce = http_request_header(request, "x-acs-signature-nonce");
	char hash[SHA256_HEX_SIZE], expected[SHA256_HEX_SIZE];
	int64_t now_s = (int64_t)time(NULL);

	if (!signs_what_it_must(request, authorization->signed_headers, error))
		return false;
	if (!aliyun_find_caller(auth, authorization->key_id, http_request_header(request, TOKEN_HEADER), now_s, out_caller,
				error) ||
	    !aliyun_canonical_hash(request, authorization->signed_headers, hash, error))
		return false;
	aliyun_sign_3(hash, out_caller->secret, expected);
	if (strlen(authorization->signature) != strlen(expected) ||
	    !hash_equal(authorization->signature, expected, strlen(expected)))
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "SignatureDoesNotMatch", "The signature is not the one calculated here. "
				   "server StringToSign is [" ALGORITHM "\n%s]", hash);
	/* Both are there: they are among the headers that were signed. */
	return aliyun_check_time(date, now_s, error) && aliyun_use_nonce(auth, authorization->key_id, nonce, now_s, error);
}

bool aliyun_check_signature_3(struct auth *auth, const struct http_request *request, struct auth_caller *out_caller,
			      struct aliyun_error *error)
{
	struct authorization authorization = { 0 };
	bool good = read_header(http_request_header(request, "Authorization"), &authorization, error) &&
		    check(auth, request, &authorization, out_caller, error);

	free(authorization.text);
	return good;
}
