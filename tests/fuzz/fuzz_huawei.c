/* Whole requests, through the Huawei dialect's door down to control/ and the catalog. The input: a digit for who calls (nobody:
 * as it stands; root's token; a user's; a signature by root; from 4 on the same, spoilt on the way), a letter each for what the
 * peer does, for what the shard does and for the state of the pairs and the group, a newline; then the request as it would come,
 * "$d" and its like standing for ids (site.h).
 *
 * Besides the sanitizers: every request has one answer, in time, which is good JSON, and of its family's form when it is a
 * failure; who is known is never called unknown; who is not, or whose proof was spoilt, changes nothing; 500 needs a storage that
 * fails; and what has been stored can be read again. */
#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../unit/request.h"
#include "api/http/canonical.h"
#include "api/http/http.h"
#include "api/huawei/huawei.h"
#include "api/huawei/signature.h"
#include "base/text.h"
#include "control/state.h"
#include "log.h"
#include "site.h"

#define HEADER_SIZE 5u

int LLVMFuzzerInitialize(int *argument_count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const struct http_request *asked;
static struct {
	unsigned count, status;
} answer;

/* --- answers --- */

static bool is_text(const json_t *value)
{
	return json_string_length(value) > 0;
}

/* "error" with a title, Keystone's; or the fault, and the gateway's three members behind it. */
static void check_failure(json_t *body, unsigned status)
{
	const json_t *fault = json_object_iter_value(json_object_iter(body));
	const json_t *code = json_object_get(fault, "code");

	assert(is_text(json_object_get(fault, "message")));
	assert(is_text(code) || json_integer_value(code) == (json_int_t)status);
	if (json_object_size(body) == 1) {
		assert(is_text(json_object_get(fault, "title")) && json_object_get(body, "error") == fault);
		return;
	}
	assert(json_object_size(body) == 4 && is_text(json_object_get(body, "error_code")));
	assert(is_text(json_object_get(body, "error_msg")) && is_text(json_object_get(body, "request_id")));
}

void http_request_answer_header(struct http_request *request, const char *name, const char *value)
{
	assert(request == asked && name[0] != '\0' && strpbrk(value, "\r\n") == NULL);
}

void http_request_answer(struct http_request *request, unsigned status, const char *type, const char *body, size_t size)
{
	static const unsigned statuses[] = { 200, 201, 202, 204, 300, 400, 401, 403, 404, 405, 409, 413, 500, 501, 502, 503, 504 };
	json_t *members;
	size_t i = 0;

	assert(request == asked && strlen(body) == size);
	while (statuses[i] != status)
		assert(++i < sizeof(statuses) / sizeof(statuses[0]));
	answer.count++;
	answer.status = status;
	if (type == NULL) {
		assert(size == 0 && (status == 200 || status == 202 || status == 204));
		return;
	}
	members = json_loadb(body, size, JSON_REJECT_DUPLICATES, NULL);
	assert(strcmp(type, "application/json") == 0 && json_object_size(members) > 0);
	if (status >= 400)
		check_failure(members, status);
	json_decref(members);
}

/* --- who calls --- */

static const char *find_header(const void *headers, const char *name)
{
	return http_request_header(headers, name);
}

static bool sign(struct http_request *request)
{
	struct text_pair query[HTTP_PARAMETERS_MAX];
	struct huawei_request parts = { .method = http_request_method(request), .path = http_request_path(request), .query = query,
					.query_count = http_request_query_count(request), .find_header = find_header,
					.headers = request };
	char date[24], hash[SHA256_HEX_SIZE], signature[SHA256_HEX_SIZE], header[300];
	time_t now = time(NULL);
	struct tm utc;

	for (size_t i = 0; i < parts.query_count; i++)
		query[i] = (struct text_pair){ http_request_parameter_name(request, i), http_request_parameter_value(request, i) };
	parts.body = http_request_body(request, &parts.size);
	strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &utc));
	if (request_set_header(request, "X-Sdk-Date", date) < 0 || request_set_header(request, "X-Security-Token", "") < 0 ||
	    !huawei_canonical_hash(&parts, "x-sdk-date", hash))
		return false;
	huawei_sign(date, hash, site.key.secret, signature);
	snprintf(header, sizeof(header), "SDK-HMAC-SHA256 Access=%s, SignedHeaders=x-sdk-date, Signature=%s", site.key.id,
		 signature);
	return request_set_header(request, "Authorization", header) == 0;
}

/* False: it will not be known. */
static bool identify(struct http_request *request, enum site_caller caller, bool spoils)
{
	const char *name = caller == SIGNER ? "Authorization" : "X-Auth-Token";
	char text[600];
	bool good;

	if (caller == NOBODY)
		return false;
	if (caller == SIGNER)
		good = sign(request);
	else /* a signature would come before the token */
		good = request_set_header(request, "Authorization", "") == 0 &&
		       request_set_header(request, name, site.tokens[caller]) == 0;
	if (!good || !spoils)
		return good;
	snprintf(text, sizeof(text), "%sx", http_request_header(request, name));
	request_set_header(request, name, text);
	return false;
}

/* --- */

/* The request, with what "$" stands for; on the heap. Who is to be nobody has no token. */
static char *expand(const uint8_t *bytes, size_t size, bool has_token, size_t *out_size)
{
	struct text text = { 0 };

	text_append(&text, "", 0);
	for (size_t i = 0; i < size; i++) {
		const char *name = bytes[i] == '$' && i + 1 < size ? site_name((char)bytes[i + 1]) : NULL;

		if (name == site.tokens[ROOT] && !has_token)
			name = NULL;
		if (name != NULL)
			text_append(&text, name, strlen(name));
		else
			text_append(&text, (const char *)bytes + i, 1);
		i += name != NULL;
	}
	*out_size = text.size;
	return text.bytes;
}

static bool is_login(const struct http_request *request)
{
	const char *tail = strstr(http_request_path(request), "/v3/auth/tokens");

	return tail != NULL && strcmp(http_request_method(request), "POST") == 0;
}

static void fuzz(struct http_request *request, enum site_caller caller, bool spoils)
{
	bool known = identify(request, caller, spoils), login = is_login(request), done;

	asked = request;
	memset(&answer, 0, sizeof(answer));
	huawei_on_request(site.huawei, request);
	done = site_pass(&answer.count);
	assert(done && answer.count == 1);
	if (known)
		assert(answer.status != 401 || login);
	else
		assert(answer.status != 201 && answer.status != 202 && site.writes == 0);
	if (answer.status == 500)
		assert(site.shard >= SHARD_FAILS);
	if (site.writes != 0)
		site_check_catalog();
}

int LLVMFuzzerInitialize(int *argument_count, char ***arguments)
{
	(void)argument_count;
	(void)arguments;
	log_set_sink(check_log, NULL, LOG_INFO);
	site_init();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	enum site_caller caller;
	struct http_request *request;
	size_t text_size;
	bool spoils;
	char *text;

	if (size <= HEADER_SIZE)
		return 0;
	caller = (enum site_caller)(bytes[0] % CALLERS);
	spoils = (bytes[0] & 4) != 0;
	site_renew((unsigned)(bytes[3] - 'a') % PAIR_STATES);
	text = expand(bytes + HEADER_SIZE, size - HEADER_SIZE, caller != NOBODY && !spoils, &text_size);
	request = request_new(text, text_size);
	free(text);
	if (request == NULL)
		return 0;
	site_behave((unsigned)(bytes[1] - 'a') % PEER_KINDS, (unsigned)(bytes[2] - 'a') % SHARD_KINDS);
	fuzz(request, caller, spoils);
	request_free(request);
	return 0;
}
