#include "nbd/meta.h"

#include <string.h>

#include "base/bytes.h"

#define NAMESPACE "base:"

/* Takes a length and that many bytes off the front; false when there are fewer. */
static bool take_string(const uint8_t **at, uint32_t *left, const uint8_t **out_string, uint32_t *out_size)
{
	if (*left < 4 || get_be32(*at) > *left - 4)
		return false;
	*out_size = get_be32(*at);
	*out_string = *at + 4;
	*at += 4 + *out_size;
	*left -= 4 + *out_size;
	return true;
}

static bool query_is(const uint8_t *query, uint32_t size, const char *text)
{
	return size == strlen(text) && memcmp(query, text, size) == 0;
}

bool meta_parse(const uint8_t *data, uint32_t size, bool set, struct meta_request *out_request)
{
	const uint8_t *query;
	uint32_t count, query_size;

	if (!take_string(&data, &size, &out_request->name, &out_request->name_size) || size < 4)
		return false;
	count = get_be32(data);
	data += 4;
	size -= 4;
	out_request->allocation = count == 0 && !set;
	while (count-- > 0) {
		if (!take_string(&data, &size, &query, &query_size) || memchr(query, ':', query_size) == NULL)
			return false;
		if (query_is(query, query_size, META_ALLOCATION) || (!set && query_is(query, query_size, NAMESPACE)))
			out_request->allocation = true;
	}
	return size == 0;
}
