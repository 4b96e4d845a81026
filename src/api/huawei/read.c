/* What comes in, checked by tables: members of bodies, parameters of the query, actions. */
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/http/http.h"
#include "api/huawei/internal.h"
#include "base/memory.h"

#define UUIDS_MAX 128u
#define TEXTS_MAX 128u

/* Why a value is refused, without the member's name; NULL: it is good. */
typedef const char *read_value(const struct huawei_field *field, const json_t *value, char *at);

static const char *read_text(const struct huawei_field *field, const json_t *value, char *at)
{
	if (!json_is_string(value))
		return "must be a text";
	if (json_string_length(value) >= field->size || strlen(json_string_value(value)) != json_string_length(value))
		return "is too long";
	memcpy(at, json_string_value(value), json_string_length(value) + 1);
	return NULL;
}

static const char *read_uuid(const struct huawei_field *field, const json_t *value, char *at)
{
	if (!json_is_string(value) || json_string_length(value) == 0 || json_string_length(value) >= CONTROL_ID_SIZE)
		return "must be an id";
	huawei_id(field->kind, json_string_value(value), at);
	return NULL;
}

static const char *read_uuids(const struct huawei_field *field, const json_t *value, char *at)
{
	json_t *ids = json_array(), *entry, *other;
	const char *wrong = json_is_array(value) && json_array_size(value) <= UUIDS_MAX ? NULL : "must be a list of at most 128 ids";
	size_t index, before;

	for (index = 0; wrong == NULL && index < json_array_size(value); index++) {
		char id[CONTROL_ID_SIZE] = "";

		entry = json_array_get(value, index);
		wrong = read_uuid(field, entry, id) != NULL ? "must hold ids" : NULL;
		json_array_foreach(ids, before, other) {
			if (strcmp(json_string_value(other), id) == 0)
				wrong = "holds an id twice";
		}
		json_array_append_new(ids, json_string(id));
	}
	if (wrong == NULL)
		memcpy(at, &ids, sizeof(ids));
	else
		json_decref(ids);
	return wrong;
}

static const char *read_count(const struct huawei_field *field, const json_t *value, char *at)
{
	double number = json_number_value(value);
	uint64_t count;
	char *end = NULL;

	(void)field;
	if (json_is_string(value)) {
		number = strtod(json_string_value(value), &end);
		if (end == json_string_value(value) || *end != '\0')
			return "must be a whole number";
	} else if (!json_is_number(value)) {
		return "must be a whole number";
	}
	if (!(number >= 1 && number <= 1e15))
		return "must be a whole number from 1";
	count = (uint64_t)number;
	memcpy(at, &count, sizeof(count));
	return NULL;
}

static const char *read_flag(const struct huawei_field *field, const json_t *value, char *at)
{
	const char *text = json_string_value(value);
	bool flag = json_is_true(value) || (text != NULL && strcasecmp(text, "true") == 0);

	(void)field;
	if (!json_is_boolean(value) && !flag && (text == NULL || strcasecmp(text, "false") != 0))
		return "must be true or false";
	memcpy(at, &flag, sizeof(flag));
	return NULL;
}

static const char *read_texts_by_name(const struct huawei_field *field, const json_t *value, char *at)
{
	const char *wrong = NULL, *name;
	json_t *copy, *entry;

	(void)field;
	if (!json_is_object(value) || json_object_size(value) > TEXTS_MAX)
		return "must be an object of at most 128 texts";
	copy = json_deep_copy(value);
	json_object_foreach(copy, name, entry) {
		if (!json_is_string(entry) || name[0] == '\0' || strlen(name) > 255 || json_string_length(entry) > 255)
			wrong = "must hold texts of at most 255 bytes";
	}
	if (wrong == NULL)
		memcpy(at, &copy, sizeof(copy));
	else
		json_decref(copy);
	return wrong;
}

static read_value *const readers[] = {
	[HUAWEI_TEXT] = read_text, [HUAWEI_UUID] = read_uuid, [HUAWEI_UUIDS] = read_uuids, [HUAWEI_COUNT] = read_count,
	[HUAWEI_FLAG] = read_flag, [HUAWEI_TEXTS_BY_NAME] = read_texts_by_name,
};

bool huawei_read(struct huawei_call *call, const json_t *object, const struct huawei_field *fields, void *out)
{
	for (; fields->name != NULL; fields++) {
		const json_t *value = json_object_get(object, fields->name);
		const char *wrong;

		if (value == NULL || json_is_null(value)) {
			wrong = fields->required ? "is missing" : NULL;
		} else {
			wrong = readers[fields->value](fields, value, (char *)out + fields->offset);
		}
		if (wrong == NULL)
			continue;
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, fields->code == NULL ? "" : fields->code, "%s %s.", fields->name, wrong);
		return false;
	}
	return true;
}

json_t *huawei_root(struct huawei_call *call, const char *name)
{
	json_t *root = json_object_get(call->body, name);

	if (json_is_object(root))
		return root;
	huawei_fail(call, MHD_HTTP_BAD_REQUEST, "", "The body must be an object with an object \"%s\".", name);
	return NULL;
}

const char *huawei_given(const struct huawei_call *call, const char *name)
{
	const char *value = http_request_parameter(call->request, name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

bool huawei_read_number(struct huawei_call *call, const char *name, uint64_t min, uint64_t max, uint64_t otherwise,
			const char *code, uint64_t *out)
{
	const char *value = huawei_given(call, name);
	unsigned long long number;
	char *end;

	*out = otherwise;
	if (value == NULL)
		return true;
	errno = 0;
	number = strtoull(value, &end, 10);
	if (strspn(value, "0123456789") != strlen(value) || errno != 0 || *end != '\0' || number < min || number > max) {
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, code, "%s must be a whole number from %llu to %llu.", name,
			    (unsigned long long)min, (unsigned long long)max);
		return false;
	}
	*out = number;
	return true;
}

void huawei_act(struct huawei_call *call, const struct huawei_action *actions, enum control_resource kind)
{
	void *member = json_object_iter(call->body);
	const char *key = member == NULL ? "" : json_object_iter_key(member);

	if (json_object_size(call->body) != 1) {
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "", "The body must have one member: the action.");
		return;
	}
	while (actions->key != NULL && strcmp(actions->key, key) != 0)
		actions++;
	if (actions->key == NULL) {
		huawei_fail(call, MHD_HTTP_NOT_IMPLEMENTED, "", "There is no action \"%.64s\" here.", key);
		return;
	}
	if (actions->action[0] == '\0' || huawei_may(call, actions->action, (int)kind, call->arguments[0]))
		actions->handle(call, json_object_iter_value(member));
}
