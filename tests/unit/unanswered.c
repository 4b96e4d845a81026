/* Stands in for what answers in http.h, where a dialect is linked whole and no request of the test comes to an answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/http/http.h"

void http_request_answer_header(struct http_request *request, const char *name, const char *value)
{
	(void)request;
	(void)name;
	(void)value;
	fail_msg("nothing here answers");
}

void http_request_answer(struct http_request *request, unsigned status, const char *type, const char *body, size_t size)
{
	(void)request;
	(void)status;
	(void)type;
	(void)body;
	(void)size;
	fail_msg("nothing here answers");
}
