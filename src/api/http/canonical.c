#include "api/http/canonical.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http/http.h"
#include "base/memory.h"

#define UNRESERVED "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"

void text_append(struct text *text, const char *bytes, size_t size)
{
	if (text->size + size + 1 > text->room) {
		text->room = (text->size + size + 1) * 2;
		text->bytes = memory_resize(text->bytes, text->room, 1);
	}
	memcpy(text->bytes + text->size, bytes, size);
	text->size += size;
	text->bytes[text->size] = '\0';
}

static void append_encoded(struct text *text, const char *plain, const char *kept)
{
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

void text_append_encoded(struct text *text, const char *plain)
{
	append_encoded(text, plain, UNRESERVED);
}

void text_append_path(struct text *text, const char *path)
{
	append_encoded(text, path, UNRESERVED "/");
}

static int pair_compare(const void *left, const void *right)
{
	const struct text_pair *a = left, *b = right;
	int order = strcmp(a->name, b->name);

	return order != 0 ? order : strcmp(a->value, b->value);
}

void text_append_pairs(struct text *text, struct text_pair *pairs, size_t count)
{
	if (count > 1)
		qsort(pairs, count, sizeof(*pairs), pair_compare);
	text_append(text, "", 0);
	for (size_t i = 0; i < count; i++) {
		text_append(text, "&", i > 0);
		text_append_encoded(text, pairs[i].name);
		text_append(text, "=", 1);
		text_append_encoded(text, pairs[i].value);
	}
}

void text_append_parameters(struct text *text, const struct http_request *request, size_t count, const char *except)
{
	AUTO_FREE struct text_pair *pairs = memory_new(count + 1, sizeof(*pairs));
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		if (except != NULL && strcmp(http_request_parameter_name(request, i), except) == 0)
			continue;
		pairs[used].name = http_request_parameter_name(request, i);
		pairs[used++].value = http_request_parameter_value(request, i);
	}
	text_append_pairs(text, pairs, used);
}

void text_append_header(struct text *text, const char *name, const char *value)
{
	size_t size;

	value += strspn(value, " \t");
	size = strlen(value);
	while (size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t'))
		size--;
	text_append(text, name, strlen(name));
	text_append(text, ":", 1);
	text_append(text, value, size);
	text_append(text, "\n", 1);
}

static void read_part(const char *part, const char *name, const char **out_value)
{
	if (strncmp(part, name, strlen(name)) == 0)
		*out_value = part + strlen(name);
}

bool authorization_read(const char *parameters, const char *key_name, struct authorization *out_authorization)
{
	char *save = NULL;

	*out_authorization = (struct authorization){ .text = memory_copy_text(parameters) };
	for (char *part = strtok_r(out_authorization->text, ", ", &save); part != NULL; part = strtok_r(NULL, ", ", &save)) {
		read_part(part, key_name, &out_authorization->key_id);
		read_part(part, "SignedHeaders=", &out_authorization->signed_headers);
		read_part(part, "Signature=", &out_authorization->signature);
	}
	return out_authorization->key_id != NULL && out_authorization->signed_headers != NULL &&
	       out_authorization->signature != NULL;
}
