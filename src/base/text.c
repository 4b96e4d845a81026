#include "base/text.h"

#include <string.h>
#include <time.h>

void text_copy(char *out, size_t size, const char *text)
{
	size_t length = strnlen(text, size - 1);

	memcpy(out, text, length);
	out[length] = 0;
}

bool text_parse_time(const char *text, int64_t *out_s)
{
	static const char form[] = "dddd-dd-ddTdd:dd:ddZ";
	struct tm parsed = { 0 }, again;
	time_t seconds;

	*out_s = 0;
	for (size_t i = 0; i < sizeof form; i++) {
		if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
			return false;
	}
	if (strptime(text, "%Y-%m-%dT%H:%M:%SZ", &parsed) == NULL)
		return false;
	again = parsed;
	seconds = timegm(&again);
	*out_s = (int64_t)seconds;
	/* The 31st of February would silently be the 3rd of March. */
	return again.tm_mday == parsed.tm_mday && again.tm_mon == parsed.tm_mon;
}

void text_write_time(int64_t seconds, char out[TEXT_TIME_SIZE])
{
	time_t when = (time_t)seconds;
	struct tm utc = { 0 };

	gmtime_r(&when, &utc);
	strftime(out, TEXT_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc);
}
