/* Answers as XML: the JSON members as elements of the same names. An array is its element repeated, without a wrapper, which
 * gives both EBS's bare lists and ECS's wrapped ones. */
#include <stdio.h>
#include <string.h>

#include "api/aliyun/canonical.h"
#include "api/aliyun/internal.h"

static void append(struct text *text, const char *string)
{
	text_append(text, string, strlen(string));
}

/* Characters that XML 1.0 does not have at all become '?'. */
static void append_escaped(struct text *text, const char *string)
{
	for (; *string != '\0'; string++) {
		unsigned char c = (unsigned char)*string;

		if (c == '&')
			append(text, "&amp;");
		else if (c == '<')
			append(text, "&lt;");
		else if (c == '>')
			append(text, "&gt;");
		else if (c == '"')
			append(text, "&quot;");
		else if (c < ' ' && c != '\t' && c != '\n' && c != '\r')
			append(text, "?");
		else
			text_append(text, string, 1);
	}
}

static void append_members(struct text *text, json_t *object);

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
		snprintf(number, sizeof(number), "%g", json_real_value(value));
		append(text, number);
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
