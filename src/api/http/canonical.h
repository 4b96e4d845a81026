/* What signatures of requests are made of, in every dialect: texts that are built piece by piece and encoded, and the header that
 * says who signed what. Pure. */
#ifndef API_HTTP_CANONICAL_H
#define API_HTTP_CANONICAL_H

#include <stdbool.h>
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
/* The same, part by part between its slashes. */
void text_append_path(struct text *text, const char *path);
struct text_pair {
	const char *name, *value;
};
/* name=value&..., encoded, in the order of names, then values: the pairs are put in that order. */
void text_append_pairs(struct text *text, struct text_pair *pairs, size_t count);
/* name=value&..., sorted and encoded, of the first `count` parameters but the one named `except` (NULL: of all of these). */
void text_append_parameters(struct text *text, const struct http_request *request, size_t count, const char *except);
/* "name:value\n", the value without the blanks around it. */
void text_append_header(struct text *text, const char *name, const char *value);

/* The parameters of a header Authorization; behind its algorithm, whatever their order, between commas and blanks. */
struct authorization {
	char *text; /* what the others point into; to be freed */
	const char *key_id, *signed_headers, *signature;
};
/* `key_name`: what stands before the key's id, such as "Credential=". False when one of the three is missing. */
bool authorization_read(const char *parameters, const char *key_name, struct authorization *out_authorization);

#endif
