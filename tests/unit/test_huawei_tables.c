/* What the Huawei dialect's door is made of: ids and times in the clients' writing, paths against patterns, and a line for every
 * refusal in the words of each family. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "api/huawei/internal.h"
#include "api/huawei/routes.h"

/* --- ids --- */

static void assert_id(enum control_resource kind, const char *text, const char *wanted)
{
	char id[CONTROL_ID_SIZE];

	memset(id, 'x', sizeof(id));
	huawei_id(kind, text, id);
	assert_string_equal(id, wanted);
}

static void assert_uuid(const char *id, const char *wanted)
{
	char uuid[HUAWEI_UUID_SIZE];

	memset(uuid, 'x', sizeof(uuid));
	huawei_uuid(id, uuid);
	assert_string_equal(uuid, wanted);
}

static void ids_go_both_ways(void **state)
{
	static const char *const ids[CONTROL_RESOURCES] = {
		[CONTROL_RESOURCE_DISK] = "d-0123456789abcdef0123", [CONTROL_RESOURCE_PAIR] = "pair-cn-0123456789abcdef0123",
		[CONTROL_RESOURCE_GROUP] = "pg-0123456789abcdef0123", [CONTROL_RESOURCE_INSTANCE] = "i-0123456789abcdef0123",
	};

	(void)state;
	for (int kind = 0; kind < CONTROL_RESOURCES; kind++) {
		assert_uuid(ids[kind], "01234567-89ab-cdef-0123-000000000000");
		assert_id((enum control_resource)kind, "01234567-89ab-cdef-0123-000000000000", ids[kind]);
		assert_id((enum control_resource)kind, ids[kind], ids[kind]);
	}
}

static void other_texts_stay_as_they_are(void **state)
{
	static const char *const texts[] = {
		"", "-", "i-test", "d-", "d-0123456789abcdef012", "d-0123456789abcdef01234", "d-0123456789ABCDEF0123",
		"d-0123456789abcdefg123",
	};
	static const char *const uuids[] = {
		"01234567-89ab-cdef-0123-000000000001", "01234567-89ab-cdef-0123-00000000000", "01234567-89ab-cdef-0123-0000000000000",
		"01234567-89AB-cdef-0123-000000000000", "0123456789abcdef0123000000000000", "01234567-89ab-cdef-0123", "01234567-",
		"01234567-89ab-cdef-012--000000000000", "\xff-89ab-cdef-0123-000000000000",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_uuid(texts[i], texts[i]);
		assert_id(CONTROL_RESOURCE_DISK, texts[i], texts[i]);
	}
	for (size_t i = 0; i < sizeof(uuids) / sizeof(uuids[0]); i++)
		assert_id(CONTROL_RESOURCE_DISK, uuids[i], uuids[i]);
}

/* What is too long to be an id is none: cut, it could be another one's, or no text. */
static void long_texts_are_no_ids(void **state)
{
	char text[300];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[CONTROL_ID_SIZE - 1] = '\0';
	assert_id(CONTROL_RESOURCE_DISK, text, text);
	text[CONTROL_ID_SIZE - 1] = 'a';
	text[sizeof(text) - 1] = '\0';
	assert_id(CONTROL_RESOURCE_DISK, text, "");
	memcpy(text, "01234567-89ab-cdef-0123-", 24);
	assert_id(CONTROL_RESOURCE_DISK, text, "");
}

/* --- times --- */

static void assert_text(json_t *value, const char *wanted)
{
	assert_string_equal(json_string_value(value), wanted);
	json_decref(value);
}

static void times_have_each_familys_form(void **state)
{
	json_t *none[] = { huawei_time(0), huawei_time_with_blank(0), huawei_time_of_job(0) };

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_true(json_is_null(none[i]));
	assert_text(huawei_time(1767323045), "2026-01-02T03:04:05.000000");
	assert_text(huawei_time_with_blank(1767323045), "2026-01-02 03:04:05.000");
	assert_text(huawei_time_of_job(1767323045006), "2026-01-02T03:04:05.006Z");
	assert_text(huawei_time_of_job(1767323045999), "2026-01-02T03:04:05.999Z");
	json_decref(huawei_time(UINT64_MAX)); /* a peer may say so */
	json_decref(huawei_time(INT64_MAX));
	json_decref(huawei_time_of_job(UINT64_MAX));
}

/* --- paths --- */

/* Whether the path, "a/b", fits the pattern; the arguments found, with blanks between. */
static bool matches(const char *pattern, const char *path, char out_found[300])
{
	struct huawei_match match;
	const char *parts[HUAWEI_PARTS_MAX];
	char text[200];
	size_t count = 0;

	snprintf(text, sizeof(text), "%s", path);
	for (char *at = text; at != NULL; count++) {
		parts[count] = at;
		at = strchr(at, '/');
		if (at != NULL)
			*at++ = '\0';
	}
	out_found[0] = '\0';
	if (!huawei_path_matches(pattern, parts, count, &match))
		return false;
	snprintf(out_found, 300, "%s:", match.project == NULL ? "-" : match.project);
	for (size_t i = 0; match.arguments[i][0] != '\0'; i++) {
		size_t length = strlen(out_found);

		snprintf(out_found + length, 300 - length, " %s", match.arguments[i]);
	}
	return true;
}

static void paths_fit_their_patterns(void **state)
{
	static const struct {
		const char *pattern, *path, *found; /* NULL: it does not */
	} rows[] = {
		{ "/", "", "-:" },
		{ "/", "a", NULL },
		{ "/", "/", NULL },
		{ "/v3", "v3", "-:" },
		{ "/v3", "", NULL },
		{ "/v3", "v", NULL },
		{ "/v3", "v33", NULL },
		{ "/v3", "V3", NULL },
		{ "/v3", "v3/a", NULL },
		{ "/v2|v3", "v2", "-:" },
		{ "/v2|v3", "v3", "-:" },
		{ "/v2|v3", "v2|v3", NULL },
		{ "/v2|v3", "", NULL },
		{ "/v2|v3", "|", NULL },
		{ "/v2|v3/{project}/volumes", "v2/p/volumes", "p:" },
		{ "/v2|v3/{project}/volumes", "v2//volumes", NULL },
		{ "/v2|v3/{project}/volumes", "v2/p", NULL },
		{ "/v2|v3/{project}/volumes", "v4/p/volumes", NULL },
		{ "/v3/{project}/volumes/{}", "v3/p/volumes/a", "p: a" },
		{ "/v3/{project}/volumes/{}", "v3/p/volumes/", NULL },
		{ "/v3/{project}/volumes/{}", "v3/p/volumes/{}", "p: {}" },
		{ "/v3/{project}/volumes/{}/metadata/{}", "v3/p/volumes/a/metadata/b", "p: a b" },
		{ "/v3/{project}/volumes/{}/metadata/{}", "v3/p/volumes/a/metadata", NULL },
		{ "/v3/{project}/volumes/{}/metadata/{}", "v3/p/volumes/a/metadata/b/c", NULL },
		{ "/{}", "\xff", "-: \xff" },
	};
	char found[300];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(matches(rows[i].pattern, rows[i].path, found), rows[i].found != NULL);
		assert_string_equal(found, rows[i].found == NULL ? "" : rows[i].found);
	}
}

/* --- refusals --- */

static const unsigned statuses[] = { 400, 401, 403, 404, 405, 408, 409, 413, 415, 500, 501, 502, 503, 504 };

static bool is_status(unsigned status)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i] == status)
			return true;
	return false;
}

static bool is_code(enum huawei_family family, const char *code)
{
	const char *head = family == HUAWEI_SDRS ? "SDRS." : "EVS.";

	return strncmp(code, head, strlen(head)) == 0 && strspn(code + strlen(head), "0123456789") == 4 &&
	       strlen(code) == strlen(head) + 4;
}

static void every_refusal_has_a_line_in_each_family(void **state)
{
	(void)state;
	for (int family = 0; family < HUAWEI_FAMILIES; family++) {
		for (int refusal = 0; refusal < REFUSALS; refusal++) {
			const struct huawei_refusal line = huawei_refusal_of((enum huawei_family)family, (enum refusal)refusal);

			assert_true(is_status(line.status));
			assert_true(is_code((enum huawei_family)family, line.code));
			assert_true(strlen(line.sentence) > 5);
			assert_int_equal(line.status >= 500, refusal == REFUSE_NONE || refusal == REFUSE_PEER_UNREACHABLE ||
						 refusal == REFUSE_PEER_ANSWER || refusal == REFUSE_STORAGE || refusal == REFUSE_INTERNAL);
		}
	}
}

/* As the facts' section 5.1 has them: who reads what. */
static void assert_body(enum huawei_family family, unsigned status)
{
	struct huawei_call call = { .family = family, .status = status, .message = "why", .request_id = "req-1" };
	json_t *body, *fault;

	snprintf(call.code, sizeof(call.code), "%s", huawei_status_code(family, status));
	body = huawei_error_body(&call);
	fault = json_object_iter_value(json_object_iter(body));
	assert_string_equal(json_string_value(json_object_get(fault, "message")), "why");
	if (family == HUAWEI_SDRS && status != 401)
		assert_string_equal(json_string_value(json_object_get(fault, "code")), call.code);
	else
		assert_int_equal(json_integer_value(json_object_get(fault, "code")), status);
	assert_int_equal(json_object_get(body, "error") == fault, family == HUAWEI_IDENTITY || family == HUAWEI_SDRS);
	if (family == HUAWEI_IDENTITY) {
		assert_non_null(json_object_get(fault, "title"));
		assert_int_equal(json_object_size(body), 1);
	} else {
		assert_string_equal(json_string_value(json_object_get(body, "error_code")), call.code);
		assert_string_equal(json_string_value(json_object_get(body, "error_msg")), "why");
		assert_string_equal(json_string_value(json_object_get(body, "request_id")), "req-1");
	}
	json_decref(body);
}

static void every_status_has_a_body_in_each_family(void **state)
{
	(void)state;
	for (int family = 0; family < HUAWEI_FAMILIES; family++) {
		for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
			assert_true(statuses[i] == 401 || is_code((enum huawei_family)family,
								  huawei_status_code((enum huawei_family)family, statuses[i])));
			assert_body((enum huawei_family)family, statuses[i]);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_go_both_ways), cmocka_unit_test(other_texts_stay_as_they_are),
		cmocka_unit_test(long_texts_are_no_ids), cmocka_unit_test(times_have_each_familys_form),
		cmocka_unit_test(paths_fit_their_patterns), cmocka_unit_test(every_refusal_has_a_line_in_each_family),
		cmocka_unit_test(every_status_has_a_body_in_each_family),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
