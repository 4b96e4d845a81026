#include "api/aliyun/canonical.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http/http.h"
#include "base/memory.h"

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

void text_append_encoded(struct text *text, const char *plain)
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

void text_append_parameters(struct text *text, const struct http_request *request, size_t count, const char *except)
{
	AUTO_FREE struct pair *pairs = memory_new(count + 1, sizeof(*pairs));
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		if (except != NULL && strcmp(http_request_parameter_name(request, i), except) == 0)
			continue;
		pairs[used].name = http_request_parameter_name(request, i);
		pairs[used++].value = http_request_parameter_value(request, i);
	}
	qsort(pairs, used, sizeof(*pairs), pair_compare);
	text_append(text, "", 0);
	for (size_t i = 0; i < used; i++) {
		text_append(text, "&", i > 0);
		text_append_encoded(text, pairs[i].name);
		text_append(text, "=", 1);
		text_append_encoded(text, pairs[i].value);
	}
}
