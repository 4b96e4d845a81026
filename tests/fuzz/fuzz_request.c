/* Whole requests, through the door up to control/. The input: a digit for who calls (nobody: as it stands; root; a user; a
 * session; from 4 on the same, and changed on the way), a byte for what control/ answers and which parameter is changed, a
 * newline; then the request as it would come. A known caller's request is signed here, in the version that it has.
 *
 * Besides the sanitizers: every request has one answer, which is good JSON or XML; what was signed right is never called wrong;
 * what was not signed, or was changed after it, changes nothing and is refused. */
#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../unit/request.h"
#include "api/aliyun/aliyun.h"
#include "api/aliyun/internal.h"
#include "api/http/canonical.h"
#include "api/http/http.h"
#include "api/http/internal.h"
#include "base/hash.h"
#include "base/text.h"
#include "log.h"
#include "world.h"

#define HEADER_SIZE 3u
#define DEPTH_MAX 16

int LLVMFuzzerInitialize(int *argument_count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct {
	unsigned count, status;
	bool mismatch; /* the signature was called wrong */
} answer;

/* --- answers --- */

/* A character of XML 1.0, in UTF-8; gives its bytes, 0 for what is none. */
static size_t xml_character(const char *text)
{
	const uint8_t *bytes = (const uint8_t *)text;
	size_t size = bytes[0] < 0x80 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;

	for (size_t i = 1; i < size; i++)
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
	if (size == 1)
		return bytes[0] >= ' ' || strchr("\t\n\r", *text) != NULL;
	if (size == 3 && bytes[0] == 0xef && bytes[1] == 0xbf && bytes[2] >= 0xbe)
		return 0;
	return bytes[0] >= 0xc2 && bytes[0] <= 0xf4 ? size : 0;
}

static size_t xml_escape(const char *text)
{
	static const char *const escapes[] = { "&amp;", "&lt;", "&gt;", "&quot;", "&#13;" };

	for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++)
		if (strncmp(text, escapes[i], strlen(escapes[i])) == 0)
			return strlen(escapes[i]);
	return 0;
}

/* Tags that fit, one around all the others. */
static void check_xml(const char *text)
{
	static const char head[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
	const char *names[DEPTH_MAX];
	size_t depth = 0, step;

	assert(strncmp(text, head, strlen(head)) == 0);
	text += strlen(head);
	assert(*text == '<');
	do {
		if (*text == '<') {
			bool ends = text[1] == '/';
			const char *name = text + 1 + ends;
			size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");

			assert(length > 0 && name[length] == '>');
			if (ends)
				assert(strncmp(names[--depth], name, length + 1) == 0);
			else
				names[depth++] = name;
			assert(depth < DEPTH_MAX);
			step = (size_t)(name + length + 1 - text);
		} else {
			step = *text == '&' ? xml_escape(text) : xml_character(text);
		}
		assert(step > 0);
		text += step;
	} while (depth > 0);
	assert(*text == '\0');
}

static bool check_json(const char *text, size_t size, unsigned status)
{
	json_t *members = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
	const char *code = json_string_value(json_object_get(members, "Code"));
	bool mismatch = code != NULL && strcmp(code, "SignatureDoesNotMatch") == 0;

	assert(json_string_length(json_object_get(members, "RequestId")) == 36);
	assert(status == 200 || (code != NULL && json_string_length(json_object_get(members, "Message")) > 0));
	json_decref(members);
	return mismatch;
}

void http_request_answer_header(struct http_request *request, const char *name, const char *value)
{
	assert(request == world.request && name[0] != '\0' && strpbrk(value, "\r\n") == NULL);
}

void http_request_answer(struct http_request *request, unsigned status, const char *type, const char *body, size_t size)
{
	assert(request == world.request && (status == 200 || (status >= 400 && status < 600)));
	assert(strlen(body) == size);
	answer.count++;
	answer.status = status;
	if (strncmp(type, "text/xml", 8) != 0) {
		answer.mismatch = check_json(body, size, status);
		return;
	}
	check_xml(body);
	answer.mismatch = strstr(body, "<Code>SignatureDoesNotMatch</Code>") != NULL; /* nobody else's text has a "<" */
}

/* --- signatures --- */

static int sign_1(struct http_request *request, const struct auth_key *key, const char *token, const char *nonce,
		  const char *time_text)
{
	char signature[ALIYUN_SIGNATURE_1_SIZE], *to_sign;
	int bad = 0;

	bad |= request_set_parameter(request, "AccessKeyId", key->id);
	bad |= request_set_parameter(request, "SignatureMethod", "HMAC-SHA1");
	bad |= request_set_parameter(request, "SignatureVersion", "1.0");
	bad |= request_set_parameter(request, "SignatureNonce", nonce);
	bad |= request_set_parameter(request, "Timestamp", time_text);
	bad |= request_set_parameter(request, "SecurityToken", token);
	to_sign = aliyun_string_to_sign(request);
	aliyun_sign_1(to_sign, key->secret, signature);
	free(to_sign);
	return bad | request_set_parameter(request, "Signature", signature);
}

/* The list of headers is the input's, but never signs the signature. */
static int sign_3(struct http_request *request, const struct auth_key *key, const char *token, const char *nonce,
		  const char *time_text)
{
	const char *given = strstr(http_request_header(request, "Authorization"), "SignedHeaders="), *body;
	char list[800] = "", hash[65], signature[65], header[1200];
	struct aliyun_error error;
	uint8_t digest[SHA256_SIZE];
	size_t size;
	int bad = 0;

	if (given != NULL)
		snprintf(list, sizeof(list), "%.*s", (int)strcspn(given + 14, ", "), given + 14);
	body = http_request_body(request, &size);
	hash_sha256(body, size, digest);
	hash_to_hex(digest, sizeof(digest), hash);
	bad |= request_set_header(request, "x-acs-content-sha256", hash);
	bad |= request_set_header(request, "x-acs-date", time_text);
	bad |= request_set_header(request, "x-acs-signature-nonce", nonce);
	if (token[0] != '\0')
		bad |= request_set_header(request, "x-acs-security-token", token);
	if (bad < 0 || strcasestr(list, "authorization") != NULL || !aliyun_canonical_hash(request, list, hash, &error))
		return -1;
	aliyun_sign_3(hash, key->secret, signature);
	snprintf(header, sizeof(header), "ACS3-HMAC-SHA256 Credential=%s,SignedHeaders=%s,Signature=%s", key->id, list, signature);
	return request_set_header(request, "Authorization", header);
}

static int sign(struct http_request *request, enum world_caller caller)
{
	const char *token = caller == SESSION ? world.token : "";
	char time_text[TEXT_TIME_SIZE], nonce[24];

	text_write_time((int64_t)time(NULL), time_text);
	snprintf(nonce, sizeof(nonce), "n%u", world.nonces++);
	return (aliyun_is_version_3(request) ? sign_3 : sign_1)(request, &world.keys[caller], token, nonce, time_text);
}

/* After it was signed: one more byte in a parameter, or with version 3 and none in the query, in the action. */
static void change(struct http_request *request, uint8_t which)
{
	size_t count = aliyun_is_version_3(request) ? http_request_query_count(request) : http_request_parameter_count(request);
	const char *name = count == 0 ? NULL : http_request_parameter_name(request, which % count);
	const char *value = count == 0 ? http_request_header(request, "x-acs-action") : http_request_parameter(request, name);
	struct text text = { 0 };

	text_append(&text, value == NULL ? "" : value, value == NULL ? 0 : strlen(value));
	text_append(&text, "x", 1);
	if (count == 0)
		request_set_header(request, "x-acs-action", text.bytes);
	else
		request_set_parameter(request, name, text.bytes);
	free(text.bytes);
}

/* The string that is signed says all there is: read as a form it gives every parameter but those left out. */
static void check_canonical(const struct http_request *request)
{
	struct http_parameters again = { 0 };
	struct text text = { 0 };
	size_t kept = 0;

	text_append_parameters(&text, request, http_request_parameter_count(request), "Signature");
	for (size_t i = 0; i < http_request_parameter_count(request); i++)
		kept += strcmp(http_request_parameter_name(request, i), "Signature") != 0;
	assert(http_parameters_add_form(&again, text.bytes, text.size) == 0 && again.count == kept);
	for (size_t i = 1; i < again.count; i++)
		assert(strcmp(again.rows[i - 1].name, again.rows[i].name) <= 0);
	free(text.bytes);
	http_parameters_fini(&again);
}

/* --- */

int LLVMFuzzerInitialize(int *argument_count, char ***arguments)
{
	(void)argument_count;
	(void)arguments;
	log_set_sink(check_log, NULL, LOG_INFO);
	world_init();
	return 0;
}

static void fuzz(struct http_request *request, enum world_caller caller, bool changes)
{
	const struct aliyun_config config = { .auth = world.auth, .nbd_uris = { "nbd://h/{disk}", "nbd+unix:///" } };
	struct aliyun *aliyun = aliyun_new(&config);
	bool is_signed = caller != NOBODY && sign(request, caller) >= 0;

	if (changes)
		change(request, world.answer);
	check_canonical(request);
	world.request = request;
	world.calls = 0;
	memset(&answer, 0, sizeof(answer));
	aliyun_on_request(aliyun, request);
	assert(answer.count == 1 || (answer.count == 0 && world.calls == 1));
	world_answer();
	assert(answer.count == 1 || world.answer >= 0xc0);
	if (changes || !is_signed)
		assert(answer.status >= 400 && world.calls == 0 && world.writes == 0);
	else
		assert(!answer.mismatch);
	aliyun_free(aliyun);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct http_request *request;

	if (size <= HEADER_SIZE)
		return 0;
	request = request_new((const char *)bytes + HEADER_SIZE, size - HEADER_SIZE);
	if (request == NULL)
		return 0;
	world.answer = bytes[1];
	fuzz(request, (enum world_caller)(bytes[0] % CALLERS), (bytes[0] & 4) != 0);
	request_free(request);
	world_renew();
	return 0;
}
