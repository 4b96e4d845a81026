/* At a door of several dialects: whose words a request has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "daemon/doors.h"
#include "request.h"

static const struct {
	const char *bytes;
	enum dialect dialect;
} rows[] = {
	{ "GET /?Action=DescribeDisks HTTP/1.1\r\n\r\n", DIALECT_ALIYUN },
	{ "GET /?Action HTTP/1.1\r\n\r\n", DIALECT_ALIYUN },
	{ "GET /?Signature=x HTTP/1.1\r\n\r\n", DIALECT_ALIYUN },
	{ "GET / HTTP/1.1\r\nX-Acs-Action: DescribeDisks\r\n\r\n", DIALECT_ALIYUN },
	{ "POST / HTTP/1.1\r\n\r\n", DIALECT_ALIYUN },
	{ "POST / HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{}", DIALECT_ALIYUN },
	{ "PUT /?Action=x HTTP/1.1\r\n\r\n", DIALECT_ALIYUN },
	{ "GET / HTTP/1.1\r\n\r\n", DIALECT_HUAWEI },
	{ "HEAD / HTTP/1.1\r\n\r\n", DIALECT_HUAWEI },
	{ "GET /?action=x&Version=1 HTTP/1.1\r\n\r\n", DIALECT_HUAWEI },
	{ "GET /?limit=1 HTTP/1.1\r\nX-Auth-Token: t\r\n\r\n", DIALECT_HUAWEI },
	{ "PUT / HTTP/1.1\r\n\r\n", DIALECT_HUAWEI },
	{ "OPTIONS * HTTP/1.1\r\n\r\n", DIALECT_HUAWEI },
	{ "POST /v3/auth/tokens HTTP/1.1\r\n\r\n{}", DIALECT_HUAWEI },
	{ "GET /v3/?Action=DescribeDisks&Signature=x HTTP/1.1\r\nx-acs-action: a\r\n\r\n", DIALECT_HUAWEI },
	{ "DELETE /v1/p/protection-groups/g HTTP/1.1\r\n\r\n", DIALECT_HUAWEI },
	{ "GET // HTTP/1.1\r\n\r\n", DIALECT_HUAWEI },
};

static void test_choice(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct http_request *request = request_new(rows[i].bytes, strlen(rows[i].bytes));

		assert_non_null(request);
		if (doors_choose(request) != rows[i].dialect)
			fail_msg("%s", rows[i].bytes);
		request_free(request);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
