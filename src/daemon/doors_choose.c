/* All of Aliyun's calls are at the path "/", and name their action in a parameter or a header; Huawei's paths name what they
 * are about. What is neither is Huawei's: its versions are listed at "/". */
#include <string.h>

#include "daemon/doors.h"

enum dialect doors_choose(const struct http_request *request)
{
	if (strcmp(http_request_path(request), "/") != 0)
		return DIALECT_HUAWEI;
	if (strcmp(http_request_method(request), "POST") == 0 || http_request_header(request, "x-acs-action") != NULL ||
	    http_request_parameter(request, "Action") != NULL || http_request_parameter(request, "Signature") != NULL)
		return DIALECT_ALIYUN;
	return DIALECT_HUAWEI;
}
