/* Comparing a path with a route's pattern. Pure: bytes in, answer out. Private to api/huawei. */
#ifndef API_HUAWEI_ROUTES_H
#define API_HUAWEI_ROUTES_H

#include "api/huawei/internal.h"

struct huawei_match {
	const char *project; /* NULL: the pattern has none */
	const char *arguments[HUAWEI_PARTS_MAX]; /* "" behind the last */
};

/* `parts`: what stands between the slashes of a path, without its first one; "/" is one empty part. */
bool huawei_path_matches(const char *pattern, const char *const *parts, size_t count, struct huawei_match *out_match);

#endif
