/* Requests signed with an access key, as they would come: a line with the value of the header Authorization, "METHOD path?query",
 * lines "name:value" of headers, an empty line, the body. As it stands nobody has signed it right; signed here, for the list
 * that it gives, it is right, whatever the order of its parameters; and changed after that in any part, it is not. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/http/canonical.h"
#include "api/http/http.h"
#include "api/http/internal.h"
#include "api/huawei/signature.h"

#define SECRET "nobody knows it"
#define NOW INT64_C(1767323045) /* 2026-01-02T03:04:05Z */
#define LINE_SIZE 8192u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* What the input holds. */
struct sample {
	char authorization[LINE_SIZE], line[LINE_SIZE];
	struct http_parameters query, headers;
	struct huawei_request request;
};

static const char *find_header(const void *headers, const char *name)
{
	const struct http_parameters *parameters = headers;

	for (size_t i = 0; i < parameters->count; i++)
		if (strcasecmp(parameters->rows[i].name, name) == 0)
			return parameters->rows[i].value;
	return NULL;
}

/* Up to the line's end, which is skipped. False at the end of all, or when the line is too long or holds a zero. */
static bool take_line(const char **bytes, const char *end, char out[LINE_SIZE])
{
	const char *stop = memchr(*bytes, '\n', (size_t)(end - *bytes));
	size_t size = stop == NULL ? LINE_SIZE : (size_t)(stop - *bytes);

	if (size >= LINE_SIZE || memchr(*bytes, '\0', size) != NULL)
		return false;
	memcpy(out, *bytes, size);
	out[size] = '\0';
	*bytes = stop + 1;
	return true;
}

static bool read_headers(struct sample *sample, const char **bytes, const char *end)
{
	char line[LINE_SIZE], *colon;

	while (take_line(bytes, end, line)) {
		if (line[0] == '\0')
			return true;
		colon = strchr(line, ':');
		if (colon == NULL ||
		    http_parameters_add(&sample->headers, line, (size_t)(colon - line), colon + 1, strlen(colon + 1)) < 0)
			return false;
	}
	return false;
}

static bool read_sample(struct sample *sample, const char *bytes, const char *end)
{
	char *path, *query;

	if (!take_line(&bytes, end, sample->authorization) || !take_line(&bytes, end, sample->line) ||
	    !read_headers(sample, &bytes, end))
		return false;
	path = strchr(sample->line, ' ');
	if (path == NULL)
		return false;
	*path++ = '\0';
	query = strchr(path, '?');
	if (query != NULL)
		*query++ = '\0';
	if (query != NULL && http_parameters_add_form(&sample->query, query, strlen(query)) < 0)
		return false;
	/* Room for one more: a change. */
	sample->request = (struct huawei_request){ .method = sample->line, .path = path, .query_count = sample->query.count,
						   .query = calloc(sample->query.count + 1, sizeof(struct text_pair)),
						   .find_header = find_header, .headers = &sample->headers,
						   .body = bytes, .size = (size_t)(end - bytes) };
	return true;
}

static void order_query(struct sample *sample, bool backwards)
{
	size_t count = sample->query.count;

	for (size_t i = 0; i < count; i++) {
		const struct http_parameter *row = &sample->query.rows[backwards ? count - 1 - i : i];

		sample->request.query[i] = (struct text_pair){ row->name, row->value };
	}
}

static void check_list(const struct sample *sample, const char *list)
{
	char copy[LINE_SIZE], *save = NULL, before[LINE_SIZE] = "";
	unsigned count = 0;

	snprintf(copy, sizeof(copy), "%s", list);
	for (char *name = strtok_r(copy, ";", &save); name != NULL; name = strtok_r(NULL, ";", &save)) {
		assert(find_header(&sample->headers, name) != NULL && strcmp(before, name) < 0);
		snprintf(before, sizeof(before), "%s", name);
		count++;
	}
	assert(count > 0 && count <= HUAWEI_SIGNED_HEADERS_MAX);
}

static bool is_right(enum huawei_signature answer)
{
	return answer == HUAWEI_SIGNED || answer == HUAWEI_SIGNATURE_UNTIMELY;
}

static void assert_wrong(const struct huawei_request *request, const struct authorization *authorization)
{
	assert(!is_right(huawei_verify(request, authorization, SECRET, NOW)));
}

static void change_header(struct sample *sample, const struct authorization *authorization)
{
	char name[LINE_SIZE], value[LINE_SIZE + 2], *old = NULL;
	const char *list = authorization->signed_headers + strspn(authorization->signed_headers, ";");
	size_t at = 0;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(list, ";"), list);
	while (strcasecmp(sample->headers.rows[at].name, name) != 0)
		at++;
	old = sample->headers.rows[at].value;
	snprintf(value, sizeof(value), "%sx", old);
	sample->headers.rows[at].value = value;
	assert_wrong(&sample->request, authorization);
	sample->headers.rows[at].value = old;
}

/* Each part in turn, with one more letter. */
static void change(struct sample *sample, const struct authorization *authorization)
{
	const char *payload = find_header(&sample->headers, "x-sdk-content-sha256");
	struct huawei_request changed = sample->request;
	char text[LINE_SIZE + 2], *body = malloc(changed.size + 1);

	snprintf(text, sizeof(text), "%sX", changed.method);
	changed.method = text;
	assert_wrong(&changed, authorization);
	changed = sample->request;
	snprintf(text, sizeof(text), "%sx", changed.path);
	changed.path = text;
	assert_wrong(&changed, authorization);
	changed = sample->request;
	changed.query[changed.query_count++] = (struct text_pair){ "", "" };
	assert_wrong(&changed, authorization);
	order_query(sample, false);
	changed = sample->request;
	memcpy(body, changed.body, changed.size);
	body[changed.size++] = 'x';
	changed.body = body;
	if (payload == NULL || strcmp(payload, "UNSIGNED-PAYLOAD") != 0)
		assert_wrong(&changed, authorization);
	free(body);
	change_header(sample, authorization);
}

static void fuzz(struct sample *sample, struct authorization *authorization)
{
	const char *date = find_header(&sample->headers, "x-sdk-date");
	char hash[SHA256_HEX_SIZE], again[SHA256_HEX_SIZE], signature[SHA256_HEX_SIZE];

	order_query(sample, false);
	assert_wrong(&sample->request, authorization);
	if (!huawei_canonical_hash(&sample->request, authorization->signed_headers, hash))
		return;
	check_list(sample, authorization->signed_headers);
	order_query(sample, true);
	assert(huawei_canonical_hash(&sample->request, authorization->signed_headers, again) && strcmp(hash, again) == 0);
	if (strlen(date) != 16)
		return;
	huawei_sign(date, hash, SECRET, signature);
	authorization->signature = signature;
	/* Still malformed when it is the date of no day. */
	if (!is_right(huawei_verify(&sample->request, authorization, SECRET, NOW))) {
		assert(huawei_verify(&sample->request, authorization, SECRET, NOW) == HUAWEI_SIGNATURE_MALFORMED);
		return;
	}
	assert(huawei_verify(&sample->request, authorization, "another secret", NOW) == HUAWEI_SIGNATURE_WRONG);
	change(sample, authorization);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct sample *sample = calloc(1, sizeof(*sample));
	struct authorization authorization = { 0 };

	if (size <= HTTP_BODY_MAX && read_sample(sample, (const char *)bytes, (const char *)bytes + size) &&
	    huawei_read_authorization(sample->authorization, &authorization)) {
		assert(strlen(sample->authorization) <= HUAWEI_HEADER_MAX);
		assert(strpbrk(authorization.key_id, ", ") == NULL && strpbrk(authorization.signed_headers, ", ") == NULL);
		fuzz(sample, &authorization);
	}
	free(authorization.text);
	free(sample->request.query);
	http_parameters_fini(&sample->query);
	http_parameters_fini(&sample->headers);
	free(sample);
	return 0;
}
