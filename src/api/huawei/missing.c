/* Families that are not written yet: each takes its line away, the last one the file. */
#include "api/huawei/internal.h"

const struct huawei_route huawei_sdrs_routes[] = { { 0 } };
