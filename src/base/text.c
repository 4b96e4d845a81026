#include "base/text.h"

#include <stdint.h>
#include <string.h>
#include <time.h>

void text_copy(char *out, size_t size, const char *text)
{
	size_t length = strnlen(text, size - 1);

	memcpy(out, text, length);
	out[length] = 0;
}

void text_copy_quotable(char *out, size_t size, const char *text)
{
	text_copy(out, size, text);
	for (; *out != 0; out++)
		if (*out == '"' || *out == '\\')
			*out = '?';
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

/* Bytes of the UTF-8 character that begins here, 0 when none does: overlong forms, surrogates and what is beyond U+10FFFF are
 * none. The final zero is no continuation, so nothing behind it is read. */
static size_t character_size(const unsigned char *text)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t size = text[0] < 0x80 ? 1 : text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
	uint32_t code = text[0] & (0xffu >> (size + 1));

	if (size == 1)
		return text[0] >= ' ' && text[0] != 0x7f;
	if (text[0] < 0xc0 || text[0] >= 0xf8)
		return 0;
	for (size_t i = 1; i < size; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text[i] & 0x3f);
	}
	return code < least[size] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : size;
}

void text_clean(char *text)
{
	while (*text != 0) {
		size_t size = character_size((const unsigned char *)text);

		if (size == 0)
			*text = '?';
		text += size == 0 ? 1 : size;
	}
}
