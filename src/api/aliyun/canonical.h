/* Texts to be signed: built piece by piece, encoded as both signature versions ask. Private to api/aliyun. */
#ifndef API_ALIYUN_CANONICAL_H
#define API_ALIYUN_CANONICAL_H

#include <stddef.h>

struct http_request;

/* A text that grows; `bytes` ends with a zero, and is freed by whoever has it last. */
struct text {
	char *bytes;
	size_t size;
	size_t room;
};

void text_append(struct text *text, const char *bytes, size_t size);
/* Percent-encoding with all but A-Z a-z 0-9 - _ . ~ escaped. */
void text_append_encoded(struct text *text, const char *plain);
/* name=value&..., sorted and encoded, of the first `count` parameters but the one named `except` (NULL: of all of these). */
void text_append_parameters(struct text *text, const struct http_request *request, size_t count, const char *except);

#endif
