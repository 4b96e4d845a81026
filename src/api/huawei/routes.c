/* All routes, a table each family, and finding one: the parts of a path are compared one by one. */
#include <string.h>

#include "api/huawei/internal.h"
#include "api/huawei/routes.h"

const struct huawei_routes huawei_tables[] = {
	{ HUAWEI_IDENTITY, huawei_identity_routes },
	{ HUAWEI_VOLUMES, huawei_volume_routes },
	{ HUAWEI_REPLICATION, huawei_replication_routes },
	{ HUAWEI_SDRS, huawei_sdrs_routes },
	{ HUAWEI_FAMILIES, NULL },
};

/* Whether one part, `length` bytes of a pattern, takes this text: "v2|v3", "{}". */
static bool part_matches(const char *pattern, size_t length, const char *part)
{
	const char *end = pattern + length;

	if (length > 1 && pattern[0] == '{')
		return part[0] != '\0';
	while (pattern <= end) {
		size_t size = 0;

		while (pattern + size < end && pattern[size] != '|')
			size++;
		if (strlen(part) == size && memcmp(pattern, part, size) == 0)
			return true;
		pattern += size + 1;
	}
	return false;
}

bool huawei_path_matches(const char *pattern, const char *const *parts, size_t count, struct huawei_match *out_match)
{
	size_t at = 0, arguments = 0;

	*out_match = (struct huawei_match){ 0 };
	for (size_t i = 0; i < HUAWEI_PARTS_MAX; i++)
		out_match->arguments[i] = "";
	while (*pattern == '/') {
		size_t length = strcspn(++pattern, "/");

		if (at == count || !part_matches(pattern, length, parts[at]))
			return false;
		if (length == 2 && pattern[0] == '{')
			out_match->arguments[arguments++] = parts[at];
		else if (pattern[0] == '{')
			out_match->project = parts[at];
		pattern += length;
		at++;
	}
	return at == count;
}
