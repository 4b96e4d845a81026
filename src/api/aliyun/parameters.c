/* Parameters of requests into the fields of struct control_request: one reader a kind, one row a parameter. */
#include "api/aliyun/parameters.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/http/http.h"

#define GIB (1024ull * 1024 * 1024)
#define SIZE_GIB_MAX 65536ull
#define PREPAID_KBIT 10240u /* of a pair that names no bandwidth */

#define BAD MHD_HTTP_BAD_REQUEST, "InvalidParameter"

const char *aliyun_given(const struct http_request *request, const char *name)
{
	const char *value = http_request_parameter(request, name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

const char *aliyun_next_id(const char **list, size_t *out_length)
{
	static const char separators[] = " ,[]\"";
	const char *id = *list + strspn(*list, separators);

	*out_length = strcspn(id, separators);
	*list = id + *out_length;
	return *out_length > 0 ? id : NULL;
}

const char *aliyun_need(const struct http_request *request, const char *name, struct aliyun_error *error)
{
	const char *value = aliyun_given(request, name);
	char code[ALIYUN_CODE_SIZE];

	if (value != NULL)
		return value;
	if (strcmp(name, "NewResourceGroupId") == 0) { /* the one that has a code of its own */
		aliyun_fail(error, MHD_HTTP_NOT_FOUND, "MissingParameter.ResourceGroup", "The parameter %s is mandatory and missing.",
			    name);
		return NULL;
	}
	snprintf(code, sizeof(code), "Missing%s", name);
	aliyun_fail(error, MHD_HTTP_BAD_REQUEST, code, "The parameter %s is mandatory and missing.", name);
	return NULL;
}

/* Digits only: no sign, no blank, no overflow. */
static bool number_read(const char *text, uint64_t *out_number)
{
	char *end = NULL;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*out_number = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0';
}

bool aliyun_read_number(const struct http_request *request, const char *name, uint64_t min, uint64_t max, uint64_t otherwise,
			uint64_t *out_number, struct aliyun_error *error)
{
	const char *text = http_request_parameter(request, name);

	*out_number = otherwise;
	if (text == NULL || text[0] == '\0')
		return true;
	if (!number_read(text, out_number) || *out_number < min || *out_number > max)
		return aliyun_fail(error, BAD, "The parameter %s must be a whole number between %llu and %llu.", name,
				   (unsigned long long)min, (unsigned long long)max);
	return true;
}

/* Characters of a UTF-8 text, or SIZE_MAX when it is none. */
static size_t text_length(const char *text)
{
	json_t *string = json_string(text); /* checks the encoding */
	size_t length = 0;

	if (string == NULL)
		return SIZE_MAX;
	json_decref(string);
	for (; *text != '\0'; text++)
		length += ((unsigned char)*text & 0xc0) != 0x80;
	return length;
}

static bool has_scheme(const char *text)
{
	return strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0;
}

/* --- one function a kind of value --- */

static bool parse_id(const struct aliyun_parameter *row, const char *text, void *target, struct aliyun_error *error)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";

	if (strspn(text, allowed) != strlen(text) || strlen(text) >= row->size)
		return aliyun_fail(error, BAD, "The parameter %s must be an id: at most %zu letters, digits, '-', '_' and '.'.",
				   row->name, row->size - 1);
	memcpy(target, text, strlen(text) + 1);
	return true;
}

static bool parse_name(const struct aliyun_parameter *row, const char *text, void *target, struct aliyun_error *error)
{
	static const char marks[] = ":_.-";
	size_t length = text_length(text);
	bool good = length >= 2 && length <= 128 && strlen(text) < row->size && !has_scheme(text);

	for (size_t i = 0; good && text[i] != '\0'; i++) {
		unsigned char c = (unsigned char)text[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;

		good = letter || (i > 0 && ((c >= '0' && c <= '9') || strchr(marks, c) != NULL));
	}
	if (!good)
		return aliyun_fail(error, BAD, "The parameter %s must have 2 to 128 letters, digits, ':', '_', '.' and '-', start "
				   "with a letter, and not be a URL.", row->name);
	memcpy(target, text, strlen(text) + 1);
	return true;
}

static bool parse_description(const struct aliyun_parameter *row, const char *text, void *target, struct aliyun_error *error)
{
	size_t length = text_length(text);

	if (length < 2 || length > 256 || strlen(text) >= row->size || has_scheme(text))
		return aliyun_fail(error, BAD, "The parameter %s must have 2 to 256 characters and not be a URL.", row->name);
	memcpy(target, text, strlen(text) + 1);
	return true;
}

static bool parse_token(const struct aliyun_parameter *row, const char *text, void *target, struct aliyun_error *error)
{
	bool good = strlen(text) < row->size;

	for (size_t i = 0; good && text[i] != '\0'; i++)
		good = text[i] >= ' ' && text[i] < 0x7f;
	if (!good)
		return aliyun_fail(error, BAD, "The parameter %s must have at most %zu printable ASCII characters.", row->name,
				   row->size - 1);
	memcpy(target, text, strlen(text) + 1);
	return true;
}

static bool parse_path(const struct aliyun_parameter *row, const char *text, void *target, struct aliyun_error *error)
{
	if (text[0] != '/' || strlen(text) >= row->size || text_length(text) == SIZE_MAX)
		return aliyun_fail(error, BAD, "The parameter %s must be an absolute path of at most %zu bytes.", row->name,
				   row->size - 1);
	memcpy(target, text, strlen(text) + 1);
	return true;
}

/* Texts of a closed set are kept as they are; control/ gives them no meaning. */
static bool parse_word(const struct aliyun_parameter *row, const char *text, void *target, struct aliyun_error *error)
{
	return parse_id(row, text, target, error);
}

static bool parse_flag(const struct aliyun_parameter *row, const char *text, void *target, struct aliyun_error *error)
{
	bool yes = strcasecmp(text, "true") == 0;

	if (!yes && strcasecmp(text, "false") != 0)
		return aliyun_fail(error, BAD, "The parameter %s must be true or false.", row->name);
	*(bool *)target = yes;
	return true;
}

static bool parse_no_flag(const struct aliyun_parameter *row, const char *text, void *target, struct aliyun_error *error)
{
	bool yes = false;

	if (!parse_flag(row, text, &yes, error))
		return false;
	*(bool *)target = !yes;
	return true;
}

static bool parse_seconds(const struct aliyun_parameter *row, const char *text, void *target, struct aliyun_error *error)
{
	uint64_t number;

	if (!number_read(text, &number) || number < 1 || number > 86400)
		return aliyun_fail(error, BAD, "The parameter %s must be between 1 and 86400 seconds.", row->name);
	*(uint32_t *)target = (uint32_t)number;
	return true;
}

static bool parse_count(const struct aliyun_parameter *row, const char *text, void *target, struct aliyun_error *error)
{
	uint64_t number;

	if (!number_read(text, &number) || number > INT64_MAX)
		return aliyun_fail(error, BAD, "The parameter %s must be a whole number.", row->name);
	*(uint64_t *)target = number;
	return true;
}

static bool parse_gib(const struct aliyun_parameter *row, const char *text, void *target, struct aliyun_error *error)
{
	uint64_t number;

	if (!number_read(text, &number) || number < 1 || number > SIZE_GIB_MAX)
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidSize.ValueNotSupported",
				   "The parameter %s must be between 1 and %llu GiB.", row->name, SIZE_GIB_MAX);
	*(uint64_t *)target = number * GIB;
	return true;
}

static bool parse_number(const struct aliyun_parameter *row, const char *text, void *target, struct aliyun_error *error)
{
	uint64_t number;

	if (!number_read(text, &number) || number > UINT32_MAX)
		return aliyun_fail(error, BAD, "The parameter %s must be a whole number.", row->name);
	*(uint32_t *)target = (uint32_t)number;
	return true;
}

static bool parse_amount(const struct aliyun_parameter *row, const char *text, void *target, struct aliyun_error *error)
{
	uint64_t number;

	if (!number_read(text, &number) || number < 1 || number > CONTROL_INSTANCES_MAX)
		return aliyun_fail(error, BAD, "The parameter %s must be between 1 and %u.", row->name, CONTROL_INSTANCES_MAX);
	*(uint32_t *)target = (uint32_t)number;
	return true;
}

static bool parse_choice(const struct aliyun_parameter *row, const char *text, void *target, struct aliyun_error *error)
{
	bool yes = false;

	if (!parse_flag(row, text, &yes, error))
		return false;
	*(uint32_t *)target = yes ? CONTROL_YES : CONTROL_NO;
	return true;
}

static bool parse_nothing(const struct aliyun_parameter *row, const char *text, void *target,
			  struct aliyun_error *error)
{
	(void)row;
	(void)text;
	(void)target;
	(void)error;
	return true;
}

static bool is_one_of(const struct aliyun_parameter *row, const char *text, struct aliyun_error *error)
{
	char list[256] = "";

	for (const char *const *word = row->words->words; *word != NULL; word++) {
		size_t length = strlen(*word);

		if ((*word)[length - 1] == '*' ? strncmp(text, *word, length - 1) == 0 : strcmp(text, *word) == 0)
			return true;
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", list[0] == '\0' ? "" : ", ", *word);
	}
	if (list[0] == '\0')
		return aliyun_fail(error, row->words->status, row->words->code, "There is no %.64s: no %s is known here.", text,
				   row->name);
	return aliyun_fail(error, row->words->status, row->words->code, "The parameter %s must be one of: %s.", row->name,
			   list);
}

typedef bool parse_function(const struct aliyun_parameter *row, const char *text, void *target, struct aliyun_error *error);

static parse_function *const parsers[ALIYUN_LIST] = {
	[ALIYUN_ID] = parse_id,
	[ALIYUN_NAME] = parse_name,
	[ALIYUN_DESCRIPTION] = parse_description,
	[ALIYUN_TOKEN] = parse_token,
	[ALIYUN_PATH] = parse_path,
	[ALIYUN_WORD] = parse_word,
	[ALIYUN_FLAG] = parse_flag,
	[ALIYUN_NO_FLAG] = parse_no_flag,
	[ALIYUN_SECONDS] = parse_seconds,
	[ALIYUN_COUNT] = parse_count,
	[ALIYUN_GIB] = parse_gib,
	[ALIYUN_NUMBER] = parse_number,
	[ALIYUN_AMOUNT] = parse_amount,
	[ALIYUN_CHOICE] = parse_choice,
	[ALIYUN_CHECKED] = parse_nothing,
};

/* A row that takes its value from several parameters. */
static bool read_many(const struct aliyun_parameter *row, const struct http_request *request, void *target,
		      struct aliyun_error *error)
{
	char code[ALIYUN_CODE_SIZE];

	if (row->kind == ALIYUN_RESOURCE_TYPE)
		return aliyun_read_resource_type(request, target, error);
	if (row->kind == ALIYUN_TAGS && !aliyun_read_tags(request, false, target, error))
		return false;
	if (row->kind == ALIYUN_LIST && !aliyun_read_list(request, row->name, target, error))
		return false;
	if (!row->required || json_array_size(*(json_t **)target) > 0 || json_object_size(*(json_t **)target) > 0)
		return true;
	snprintf(code, sizeof(code), "Missing%s", row->name);
	return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, code, "The parameter %s.1 is mandatory and missing.", row->name);
}

/* What parameters say together. */
static bool fit_together(const struct aliyun_operation *operation, const struct http_request *request,
			 struct control_request *out_request, struct aliyun_error *error)
{
	const char *dry = http_request_parameter(request, "DryRun");

	if (operation->change == CONTROL_CREATE_PAIR && strcmp(out_request->charge_type, "PREPAY") == 0) {
		if (out_request->period == 0)
			return aliyun_need(request, "Period", error) != NULL;
		if (out_request->bandwidth == 0)
			out_request->bandwidth = PREPAID_KBIT;
	}
	if (operation->change == CONTROL_CREATE_DISK && out_request->zone[0] != '\0' && out_request->instance[0] != '\0')
		return aliyun_fail(error, MHD_HTTP_FORBIDDEN, "InvalidParam.ZoneIdAndInstanceId.Conflict",
				   "Give ZoneId or InstanceId, not both.");
	if (operation->product == ALIYUN_ECS && dry != NULL && strcasecmp(dry, "true") == 0)
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "DryRunOperation",
				   "The request would have been accepted; nothing was done, as DryRun was asked for.");
	return true;
}

bool aliyun_read_request(const struct aliyun_operation *operation, const struct http_request *request,
			 struct control_request *out_request, struct aliyun_error *error)
{
	*out_request = (struct control_request){ .operation = operation->change };
	out_request->rtc_given = http_request_parameter(request, "EnableRtc") != NULL;
	for (const struct aliyun_parameter *row = operation->parameters; row->name != NULL; row++) {
		const char *text = http_request_parameter(request, row->name);

		if (row->kind >= ALIYUN_LIST) {
			if (!read_many(row, request, (char *)out_request + row->offset, error))
				return false;
			continue;
		}
		if (text == NULL || text[0] == '\0') {
			if (row->required && aliyun_need(request, row->name, error) == NULL)
				return false;
			continue;
		}
		if (row->words != NULL && !is_one_of(row, text, error))
			return false;
		if (!parsers[row->kind](row, text, (char *)out_request + row->offset, error)) {
			if (operation->product == ALIYUN_ECS && (row->kind == ALIYUN_NAME || row->kind == ALIYUN_DESCRIPTION))
				snprintf(error->code, sizeof(error->code), "Invalid%s.Malformed", row->name);
			return false;
		}
	}
	return fit_together(operation, request, out_request, error);
}
