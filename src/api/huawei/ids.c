/* Ids and times, as the clients write and read them. */
#include <stdio.h>
#include <string.h>

#include "api/huawei/internal.h"
#include "base/text.h"

#define DIGITS 20u /* of an id: the first of a UUID, whose others are zeros */
#define REST "000000000000"

static const char *const prefixes[CONTROL_RESOURCES] = {
	[CONTROL_RESOURCE_DISK] = "d-", [CONTROL_RESOURCE_PAIR] = "pair-cn-", [CONTROL_RESOURCE_GROUP] = "pg-",
	[CONTROL_RESOURCE_INSTANCE] = "i-",
};

static bool is_digits(const char *text, size_t count)
{
	return strspn(text, "0123456789abcdef") >= count;
}

void huawei_uuid(const char *id, char out[HUAWEI_UUID_SIZE])
{
	const char *dash = strrchr(id, '-'), *digits = dash == NULL ? id : dash + 1;

	if (strlen(digits) == DIGITS && is_digits(digits, DIGITS))
		snprintf(out, HUAWEI_UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-" REST, digits, digits + 8, digits + 12, digits + 16);
	else
		text_copy(out, HUAWEI_UUID_SIZE, id);
}

void huawei_id(enum control_resource kind, const char *text, char out[CONTROL_ID_SIZE])
{
	static const uint8_t lengths[] = { 8, 4, 4, 4 };
	char digits[DIGITS + 1];
	const char *at = text;
	size_t count = 0;

	for (size_t i = 0; i < sizeof(lengths); i++) {
		if (!is_digits(at, lengths[i]) || at[lengths[i]] != '-') {
			text_copy(out, CONTROL_ID_SIZE, strlen(text) < CONTROL_ID_SIZE ? text : "");
			return;
		}
		memcpy(digits + count, at, lengths[i]);
		count += lengths[i];
		at += lengths[i] + 1u;
	}
	digits[count] = '\0';
	if (strcmp(at, REST) == 0)
		snprintf(out, CONTROL_ID_SIZE, "%s%s", prefixes[kind], digits);
	else
		text_copy(out, CONTROL_ID_SIZE, strlen(text) < CONTROL_ID_SIZE ? text : "");
}

/* "2026-01-02", then what divides it from the time, and what follows that. */
static json_t *time_text(uint64_t seconds, char divider, const char *tail)
{
	char text[TEXT_TIME_SIZE], whole[TEXT_TIME_SIZE + 8];

	if (seconds == 0)
		return json_null();
	text_write_time((int64_t)seconds, text);
	text[strlen(text) - 1] = '\0'; /* its Z */
	text[strcspn(text, "T")] = divider;
	snprintf(whole, sizeof(whole), "%s%s", text, tail);
	return json_string(whole);
}

json_t *huawei_time(uint64_t seconds)
{
	return time_text(seconds, 'T', ".000000");
}

json_t *huawei_time_with_blank(uint64_t seconds)
{
	return time_text(seconds, ' ', ".000");
}

json_t *huawei_time_of_job(uint64_t milliseconds)
{
	char tail[8];

	snprintf(tail, sizeof(tail), ".%03uZ", (unsigned)(milliseconds % 1000));
	return time_text(milliseconds / 1000, 'T', tail);
}
