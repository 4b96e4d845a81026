/* Answers as XML: the JSON members as elements of the same names. An array is its element repeated, without a wrapper, which
 * gives both EBS's bare lists and ECS's wrapped ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/aliyun/internal.h"
#include "api/http/canonical.h"

static void append(struct text *text, const char *string)
{
	text_append(text, string, strlen(string));
}

/* Bytes of the character when XML 1.0 does not have it at all, else 0: most control characters, U+FFFE and U+FFFF. */
static size_t no_character(const char *string)
{
	unsigned char c = (unsigned char)*string;

	if (c < ' ')
		return c != '\t' && c != '\n' && c != '\r';
	return strncmp(string, "\xef\xbf\xbe", 3) == 0 || strncmp(string, "\xef\xbf\xbf", 3) == 0 ? 3 : 0;
}

/* What XML does not have becomes '?'; a carriage return as it is would be read as a line feed. */
static void append_escaped(struct text *text, const char *string)
{
	size_t skipped;

	for (; *string != '\0'; string += skipped == 0 ? 1 : skipped) {
		skipped = no_character(string);
		if (skipped > 0)
			append(text, "?");
		else if (*string == '&')
			append(text, "&amp;");
		else if (*string == '<')
			append(text, "&lt;");
		else if (*string == '>')
			append(text, "&gt;");
		else if (*string == '"')
			append(text, "&quot;");
		else if (*string == '\r')
			append(text, "&#13;");
		else
			text_append(text, string, 1);
	}
}

static void append_members(struct text *text, json_t *object);

/* The shortest that is read back as the same number. */
static void append_real(struct text *text, double real)
{
	char number[40];
	int digits = 15;

	do
		snprintf(number, sizeof(number), "%.*g", digits, real);
	while (digits++ < 17 && strtod(number, NULL) != real);
	append(text, number);
}

static void append_element(struct text *text, const char *name, json_t *value)
{
	char number[40];

	append(text, "<");
	append(text, name);
	append(text, ">");
	if (json_is_object(value)) {
		append_members(text, value);
	} else if (json_is_string(value)) {
		append_escaped(text, json_string_value(value));
	} else if (json_is_integer(value)) {
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
		append(text, number);
	} else if (json_is_real(value)) {
		append_real(text, json_real_value(value));
	} else if (json_is_boolean(value)) {
		append(text, json_is_true(value) ? "true" : "false");
	}
	append(text, "</");
	append(text, name);
	append(text, ">");
}

/* Names are ours: letters and digits. */
static void append_members(struct text *text, json_t *object)
{
	const char *name;
	json_t *value, *entry;
	size_t index;

	json_object_foreach(object, name, value) {
		if (!json_is_array(value)) {
			append_element(text, name, value);
			continue;
		}
		json_array_foreach(value, index, entry) {
			append_element(text, name, entry);
		}
	}
}

char *aliyun_xml(const char *root, json_t *members)
{
	struct text text = { 0 };

	append(&text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
	append_element(&text, root, members);
	return text.bytes;
}
