#include "request.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/http/http.h"
#include "api/http/internal.h"
#include "base/memory.h"

#define FORM "application/x-www-form-urlencoded"

struct http_request {
	char *method, *path, *body;
	size_t size;
	struct http_parameters headers, parameters;
	size_t query_count; /* of the parameters */
	unsigned fault;
};

static char *copy(const char *bytes, size_t size)
{
	char *text = memory_new(size + 1, 1);

	memcpy(text, bytes, size);
	return text;
}

/* "METHOD /path?query HTTP/1.1". Paths are taken as they stand: one that is escaped is not "/" either way. */
static bool read_line(struct http_request *request, const char *line, size_t size)
{
	const char *end = line + size, *blank = memchr(line, ' ', size), *target, *stop, *mark;

	if (blank == NULL || memchr(line, '\0', size) != NULL)
		return false;
	target = blank + 1;
	stop = memchr(target, ' ', (size_t)(end - target));
	stop = stop == NULL ? end : stop;
	mark = memchr(target, '?', (size_t)(stop - target));
	request->method = copy(line, (size_t)(blank - line));
	request->path = copy(target, (size_t)((mark == NULL ? stop : mark) - target));
	return mark == NULL || http_parameters_add_form(&request->parameters, mark + 1, (size_t)(stop - mark - 1)) == 0;
}

/* "Name: value"; blanks before the value are no part of it. */
static bool read_header(struct http_request *request, const char *line, size_t size)
{
	const char *colon = memchr(line, ':', size), *value;

	if (colon == NULL || colon == line)
		return false;
	for (value = colon + 1; value < line + size && (*value == ' ' || *value == '\t'); value++)
		;
	return http_parameters_add(&request->headers, line, (size_t)(colon - line), value, (size_t)(line + size - value)) == 0;
}

/* The line at `bytes` without its end; gives where the next one begins. */
static const char *take_line(const char *bytes, const char *end, size_t *out_size)
{
	const char *feed = memchr(bytes, '\n', (size_t)(end - bytes));
	const char *stop = feed == NULL ? end : feed;

	*out_size = (size_t)(stop - bytes);
	if (*out_size > 0 && bytes[*out_size - 1] == '\r')
		--*out_size;
	return feed == NULL ? end : feed + 1;
}

static bool read_all(struct http_request *request, const char *bytes, const char *end)
{
	const char *type, *line = bytes;
	size_t size;

	bytes = take_line(line, end, &size);
	if (!read_line(request, line, size))
		return false;
	while (bytes < end) {
		line = bytes;
		bytes = take_line(line, end, &size);
		if (size == 0)
			break;
		if (!read_header(request, line, size))
			return false;
	}
	request->size = (size_t)(end - bytes);
	request->body = copy(bytes, request->size);
	request->query_count = request->parameters.count;
	type = http_request_header(request, "Content-Type");
	if (request->size > HTTP_BODY_MAX)
		request->fault = 413;
	else if (type != NULL && strncasecmp(type, FORM, sizeof(FORM) - 1) == 0 &&
		 http_parameters_add_form(&request->parameters, request->body, request->size) < 0)
		request->fault = 400;
	return true;
}

struct http_request *request_new(const char *bytes, size_t size)
{
	struct http_request *request = memory_new(1, sizeof(*request));

	if (read_all(request, bytes, bytes + size))
		return request;
	request_free(request);
	return NULL;
}

void request_free(struct http_request *request)
{
	http_parameters_fini(&request->headers);
	http_parameters_fini(&request->parameters);
	free(request->method);
	free(request->path);
	free(request->body);
	free(request);
}

/* --- changes --- */

static struct http_parameter *find(const struct http_parameters *parameters, const char *name,
				   int (*compare)(const char *, const char *))
{
	for (size_t i = 0; i < parameters->count; i++)
		if (compare(parameters->rows[i].name, name) == 0)
			return &parameters->rows[i];
	return NULL;
}

static int set(struct http_parameters *parameters, struct http_parameter *row, const char *name, const char *value)
{
	if (row == NULL)
		return http_parameters_add(parameters, name, strlen(name), value, strlen(value));
	free(row->value);
	row->value = memory_copy_text(value);
	return 0;
}

int request_set_header(struct http_request *request, const char *name, const char *value)
{
	return set(&request->headers, find(&request->headers, name, strcasecmp), name, value);
}

int request_set_parameter(struct http_request *request, const char *name, const char *value)
{
	return set(&request->parameters, find(&request->parameters, name, strcmp), name, value);
}

/* --- http.h --- */

unsigned http_request_fault(const struct http_request *request, const char **out_sentence)
{
	*out_sentence = "It cannot be taken";
	return request->fault;
}

const char *http_request_method(const struct http_request *request)
{
	return request->method;
}

const char *http_request_path(const struct http_request *request)
{
	return request->path;
}

const char *http_request_header(const struct http_request *request, const char *name)
{
	const struct http_parameter *row = find(&request->headers, name, strcasecmp);

	return row == NULL ? NULL : row->value;
}

const char *http_request_body(const struct http_request *request, size_t *out_size)
{
	*out_size = request->size;
	return request->body;
}

size_t http_request_parameter_count(const struct http_request *request)
{
	return request->parameters.count;
}

size_t http_request_query_count(const struct http_request *request)
{
	return request->query_count;
}

const char *http_request_parameter_name(const struct http_request *request, size_t index)
{
	return request->parameters.rows[index].name;
}

const char *http_request_parameter_value(const struct http_request *request, size_t index)
{
	return request->parameters.rows[index].value;
}

const char *http_request_parameter(const struct http_request *request, const char *name)
{
	const struct http_parameter *row = find(&request->parameters, name, strcmp);

	return row == NULL ? NULL : row->value;
}

void http_request_source(const struct http_request *request, char out[HTTP_SOURCE_SIZE])
{
	(void)request;
	snprintf(out, HTTP_SOURCE_SIZE, "10.1.2.3");
}

struct http_request *http_request_make(void)
{
	struct http_request *request = memory_new(1, sizeof(*request));

	request->method = memory_copy_text("GET");
	request->path = memory_copy_text("/");
	request->body = memory_copy_text("");
	return request;
}

int http_request_put(struct http_request *request, const char *name, const char *value)
{
	return http_parameters_add(&request->parameters, name, strlen(name), value, strlen(value));
}

void http_request_drop(struct http_request *request)
{
	request_free(request);
}
