/* The dialect's tables: every refusal has its code in each product, every action its row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "api/aliyun/internal.h"
#include "api/http/internal.h"
#include "api/http/http.h"

static void test_refusals(void **state)
{
	static struct aliyun_error error;

	(void)state;
	for (int product = ALIYUN_EBS; product <= ALIYUN_ECS; product++) {
		for (int refusal = REFUSE_NONE + 1; refusal < REFUSALS; refusal++) {
			aliyun_refuse(&error, (enum aliyun_product)product, (enum refusal)refusal, "");
			assert_in_range(error.status, 400, 599);
			assert_true(error.code[0] >= 'A' && error.code[0] <= 'Z');
			assert_true(strlen(error.message) > 5);
			aliyun_refuse(&error, (enum aliyun_product)product, (enum refusal)refusal, "particulars");
			assert_string_equal(error.message, "particulars");
		}
	}
}

static void test_actions(void **state)
{
	(void)state;
	assert_non_null(aliyun_find_operation(ALIYUN_EBS, "CreateDiskReplicaPair"));
	assert_non_null(aliyun_find_operation(ALIYUN_ECS, "AttachDisk"));
	assert_null(aliyun_find_operation(ALIYUN_EBS, "AttachDisk"));
	assert_null(aliyun_find_operation(ALIYUN_ECS, ""));
}

static void test_form(void **state)
{
	static const char body[] = "a=1&b=x%20y+z&&c&d=%e4%B8%AD&a=2";
	struct http_parameters parameters = { 0 };

	(void)state;
	assert_int_equal(http_parameters_add_form(&parameters, body, sizeof(body) - 1), 0);
	assert_int_equal(parameters.count, 5);
	assert_string_equal(parameters.rows[1].value, "x y z");
	assert_string_equal(parameters.rows[2].name, "c");
	assert_string_equal(parameters.rows[2].value, "");
	assert_string_equal(parameters.rows[3].value, "\xe4\xb8\xad");
	assert_string_equal(parameters.rows[4].value, "2");
	assert_true(http_parameters_add_form(&parameters, "a=%", 3) < 0);
	assert_true(http_parameters_add_form(&parameters, "a=%4", 4) < 0);
	assert_true(http_parameters_add_form(&parameters, "a=%zz", 5) < 0);
	assert_true(http_parameters_add_form(&parameters, "a=%00", 5) < 0);
	while (parameters.count < HTTP_PARAMETERS_MAX)
		assert_int_equal(http_parameters_add_form(&parameters, "x", 1), 0);
	assert_true(http_parameters_add_form(&parameters, "x", 1) < 0);
	http_parameters_fini(&parameters);
}

/* The vendor's own example of signature version 3. */
static void test_signature_3_vector(void **state)
{
	char signature[65];

	(void)state;
	aliyun_sign_3("7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259", "YourAccessKeySecret", signature);
	assert_string_equal(signature, "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signature_3_vector),
		cmocka_unit_test(test_refusals), cmocka_unit_test(test_actions), cmocka_unit_test(test_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
