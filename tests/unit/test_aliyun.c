/* The dialect's tables: every refusal has its code in each product, every action its row. The vendor's own examples of both
 * signature versions, from the bytes of a request to its signature. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "api/aliyun/parameters.h"
#include "api/http/internal.h"
#include "api/http/http.h"
#include "request.h"

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

static void test_xml(void **state)
{
	json_t *members = json_pack("{s:[s, i], s:{s:b}}", "A", "<&\x01\xef\xbf\xbe\xef\xbf\xbf\xef\xbf\xbd\t\">", -1, "B", "C", 1);
	char *text = aliyun_xml("R", members);

	(void)state;
	assert_string_equal(text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?><R><A>&lt;&amp;???\xef\xbf\xbd\t&quot;&gt;</A><A>-1</A>"
			    "<B><C>true</C></B></R>");
	free(text);
	json_decref(members);
}

/* --- signatures --- */

static struct http_request *request_of(const char *text)
{
	struct http_request *request = request_new(text, strlen(text));

	assert_non_null(request);
	return request;
}

/* What is no text is refused: left out, it would be one fewer to change. */
static void test_lists(void **state)
{
	struct http_request *request = request_of("GET /?ResourceId.1=a&ResourceId.3=b HTTP/1.1\r\n\r\n");
	struct aliyun_error error = { 0 };
	json_t *list;

	(void)state;
	assert_true(aliyun_read_list(request, "ResourceId", &list, &error));
	assert_int_equal(json_array_size(list), 2);
	json_decref(list);
	assert_int_equal(request_set_parameter(request, "ResourceId.3", "\xff"), 0);
	assert_false(aliyun_read_list(request, "ResourceId", &list, &error));
	assert_string_equal(error.code, "InvalidParameter");
	json_decref(list);
	request_free(request);
}

#define V1_PARAMETERS "&SignatureMethod=HMAC-SHA1&Timestamp=2016-02-23T12%3A46%3A24Z&Format=XML&AccessKeyId=testid" \
	"&Version=2014-05-26&SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf&SignatureVersion=1.0"
#define V1_SIGNATURE "OLeaidS1JvxuMvnyHOwuJ+uX5qY="

static void test_signature_1_vector(void **state)
{
	/* What was signed is not signed; where a parameter stands, and how much of it is escaped, makes no difference. */
	static const char *const texts[] = {
		"GET /?Action=DescribeRegions" V1_PARAMETERS " HTTP/1.1\r\nHost: ecs.aliyuncs.com\r\n\r\n",
		"GET /?Signature=OLeaidS1JvxuMvnyHOwuJ%2BuX5qY%3D" V1_PARAMETERS "&Action=%44escribeRegions HTTP/1.1\r\n\r\n",
		"GET /?Action=DescribeRegions HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n" V1_PARAMETERS,
	};
	char signature[ALIYUN_SIGNATURE_1_SIZE], *to_sign;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct http_request *request = request_of(texts[i]);

		to_sign = aliyun_string_to_sign(request);
		assert_string_equal(to_sign, "GET&%2F&AccessKeyId%3Dtestid%26Action%3DDescribeRegions%26Format%3DXML"
				    "%26SignatureMethod%3DHMAC-SHA1%26SignatureNonce%3D3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf"
				    "%26SignatureVersion%3D1.0%26Timestamp%3D2016-02-23T12%253A46%253A24Z%26Version%3D2014-05-26");
		aliyun_sign_1(to_sign, "testsecret", signature);
		assert_string_equal(signature, V1_SIGNATURE);
		free(to_sign);
		request_free(request);
	}
}

/* The method is signed as it is. */
static void test_signature_1_of_a_post(void **state)
{
	struct http_request *request = request_of("POST /?Action=DescribeRegions" V1_PARAMETERS " HTTP/1.1\r\n\r\n");
	char signature[ALIYUN_SIGNATURE_1_SIZE], *to_sign = aliyun_string_to_sign(request);

	(void)state;
	aliyun_sign_1(to_sign, "testsecret", signature);
	assert_string_not_equal(signature, V1_SIGNATURE);
	free(to_sign);
	request_free(request);
}

#define V3_NAMES "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version"
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define V3(target, more, date, nonce) \
	"POST /?" target " HTTP/1.1\r\nHost: ecs.cn-shanghai.aliyuncs.com\r\nAccept: */*\r\n" more "x-acs-action: RunInstances\r\n" \
	"x-acs-content-sha256: " EMPTY_HASH "\r\nx-acs-version: 2014-05-26\r\nx-acs-date: " date "\r\n" \
	"x-acs-signature-nonce: " nonce "\r\n\r\n"
#define V3_TARGET "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai"
#define V3_FIRST "2023-10-26T10:22:32Z", "3156853299f313e23d1673dc12e1703d"
#define V3_FIRST_SIGNATURE "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
#define V3_OF(...) V3(__VA_ARGS__)

static void test_signature_3_vectors(void **state)
{
	static const struct {
		const char *text, *hash, *signature;
	} vectors[] = {
		{ V3_OF(V3_TARGET, "", V3_FIRST), "7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259",
		  V3_FIRST_SIGNATURE },
		{ V3_OF(V3_TARGET, "", "2023-10-26T09:01:01Z", "d410180a5abf7fe235dd9b74aca91fc0"), NULL,
		  "e521358f7776c97df52e6b2891a8bc73026794a071b50c3323388c4e0df64804" },
		/* The order of the query, headers that are not named, and blanks around values are not signed. */
		{ V3_OF("RegionId=cn%2Dshanghai&ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd", "X-Other: 1\r\n",
			"  2023-10-26T10:22:32Z \t", "3156853299f313e23d1673dc12e1703d"), NULL, V3_FIRST_SIGNATURE },
	};
	struct aliyun_error error = { 0 };
	char hash[65], signature[65];

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct http_request *request = request_of(vectors[i].text);

		assert_true(aliyun_canonical_hash(request, V3_NAMES, hash, &error));
		if (vectors[i].hash != NULL)
			assert_string_equal(hash, vectors[i].hash);
		aliyun_sign_3(hash, "YourAccessKeySecret", signature);
		assert_string_equal(signature, vectors[i].signature);
		request_free(request);
	}
}

/* A body other than the one whose hash was signed, and a header that is not there, have no signature. */
static void test_signature_3_refusals(void **state)
{
	struct http_request *request = request_of(V3_OF(V3_TARGET, "", V3_FIRST) "x");
	struct aliyun_error error = { 0 };
	char hash[65];

	(void)state;
	assert_false(aliyun_canonical_hash(request, V3_NAMES, hash, &error));
	assert_string_equal(error.code, "SignatureDoesNotMatch");
	request_free(request);
	request = request_of(V3_OF(V3_TARGET, "", V3_FIRST));
	assert_false(aliyun_canonical_hash(request, V3_NAMES ";x-other", hash, &error));
	assert_string_equal(error.code, "IncompleteSignature");
	request_free(request);
}

static void test_xml_numbers(void **state)
{
	json_t *members = json_pack("{s:f, s:f, s:f, s:I}", "tenth", 0.1, "long", 1234567890.123, "third", 1.0 / 3, "whole",
				    (json_int_t)INT64_MAX);
	char *text = aliyun_xml("r", members);

	(void)state;
	assert_non_null(strstr(text, "<tenth>0.1</tenth><long>1234567890.123</long>"));
	assert_non_null(strstr(text, "<third>0.3333333333333333</third><whole>9223372036854775807</whole>"));
	free(text);
	json_decref(members);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signature_1_vector), cmocka_unit_test(test_signature_1_of_a_post),
		cmocka_unit_test(test_signature_3_vectors), cmocka_unit_test(test_signature_3_refusals),
		cmocka_unit_test(test_refusals), cmocka_unit_test(test_actions), cmocka_unit_test(test_form),
		cmocka_unit_test(test_xml), cmocka_unit_test(test_lists),
		cmocka_unit_test(test_xml_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
