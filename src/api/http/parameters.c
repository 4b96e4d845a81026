/* The parameters of a request: those of the query come from libmicrohttpd, those of a form are decoded here. */
#include <errno.h>
#include <string.h>

#include "api/http/http.h"
#include "api/http/internal.h"
#include "base/hash.h"
#include "base/memory.h"

static char *text_copy(const char *text, size_t size)
{
	char *copy = memory_new(size + 1, 1);

	if (size > 0)
		memcpy(copy, text, size);
	return copy;
}

int http_parameters_add(struct http_parameters *parameters, const char *name, size_t name_size, const char *value,
			size_t value_size)
{
	if (parameters->count == HTTP_PARAMETERS_MAX)
		return -E2BIG;
	if (memchr(name, '\0', name_size) != NULL || (value_size > 0 && memchr(value, '\0', value_size) != NULL))
		return -EINVAL;
	if (parameters->count == parameters->room) {
		parameters->room = parameters->room == 0 ? 16 : parameters->room * 2;
		parameters->rows = memory_resize(parameters->rows, parameters->room, sizeof(*parameters->rows));
	}
	parameters->rows[parameters->count++] = (struct http_parameter){
		.name = text_copy(name, name_size), .value = text_copy(value, value_size),
	};
	return 0;
}

void http_parameters_fini(struct http_parameters *parameters)
{
	for (size_t i = 0; i < parameters->count; i++) {
		free(parameters->rows[i].name);
		free(parameters->rows[i].value);
	}
	free(parameters->rows);
	*parameters = (struct http_parameters){ 0 };
}

/* Decodes [text, end) in place of `out`, which has room for as much; gives the decoded size or -EINVAL. */
static int form_decode(const char *text, const char *end, char *out, size_t *out_size)
{
	size_t size = 0;

	while (text < end) {
		if (*text != '%') {
			out[size++] = *text == '+' ? ' ' : *text;
			text++;
			continue;
		}
		if (end - text < 3 || !hash_read_hex(text + 1, (uint8_t *)out + size, 1))
			return -EINVAL;
		size++;
		text += 3;
	}
	*out_size = size;
	return 0;
}

static int form_add_pair(struct http_parameters *parameters, const char *text, const char *end)
{
	size_t length = (size_t)(end - text);
	AUTO_FREE char *decoded = memory_new(length + 1, 1);
	const char *equals = memchr(text, '=', length);
	size_t name_size, value_size = 0;
	int code = form_decode(text, equals == NULL ? end : equals, decoded, &name_size);

	if (code == 0 && equals != NULL)
		code = form_decode(equals + 1, end, decoded + name_size, &value_size);
	return code < 0 ? code : http_parameters_add(parameters, decoded, name_size, decoded + name_size, value_size);
}

int http_parameters_add_form(struct http_parameters *parameters, const char *body, size_t size)
{
	const char *end = body + size;

	while (body < end) {
		const char *ampersand = memchr(body, '&', (size_t)(end - body));
		const char *stop = ampersand == NULL ? end : ampersand;

		if (stop > body) {
			int code = form_add_pair(parameters, body, stop);

			if (code < 0)
				return code;
		}
		body = stop + 1;
	}
	return 0;
}
